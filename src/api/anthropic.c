/* SPDX-License-Identifier: MIT
 * POST /v1/messages: events to Anthropic's stream or one message. anthropic_parse.c reads the request. Pure. Shapes: the reference of the
 * Messages API, version 2023-06-01. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/anthropic_priv.h"

static void append_usage(uint64_t prompt, uint64_t cached, uint64_t output, struct buf *out) {
    buf_printf(out,
               "\"usage\":{\"input_tokens\":%" PRIu64 ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%" PRIu64
               ",\"output_tokens\":%" PRIu64 "}",
               prompt - (cached < prompt ? cached : prompt), cached, output);
}

static void append_head(const struct api_answer *a, struct buf *out) {
    buf_printf(out, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", a->id);
    text_append_json(out, a->model, strlen(a->model));
}

static void append_stop(const struct api_choice_text *c, struct buf *out) {
    const char *reason = c->finish == API_FINISH_CALLS    ? "tool_use"
                         : c->stop != NULL                ? "stop_sequence"
                         : c->finish == API_FINISH_LENGTH ? "max_tokens"
                                                          : "end_turn";
    buf_printf(out, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (c->stop != NULL) text_append_json(out, c->stop->text, c->stop->len);
    else buf_append_str(out, "null");
}

static void append_field(struct buf *out, const char *key, const char *text, size_t len) {
    buf_printf(out, ",\"%s\":", key);
    text_append_json(out, text, len);
}

/* Appends a block with its content (whole), or as a stream opens it: without content, and a call as a call, since nobody knows yet that it
 * will be cut. */
static void append_block(const struct api_choice_text *c, const struct api_item *item, bool whole, struct buf *out) {
    enum api_event_kind kind = whole ? api_item_kind(item) : item->kind;
    size_t len;
    const char *text = api_item_text(c, item, &len);
    if (!whole) len = 0;
    if (kind == API_REASONING) {
        buf_append_str(out, "{\"type\":\"thinking\"");
        append_field(out, "thinking", text, len);
        buf_append_str(out, ",\"signature\":\"\"}");
    } else if (kind == API_CALL) {
        buf_append_str(out, "{\"type\":\"tool_use\"");
        append_field(out, "id", item->id, strlen(item->id));
        append_field(out, "name", item->name, strlen(item->name));
        buf_append_str(out, ",\"input\":");
        buf_append(out, whole ? text : "{}", whole ? len : 2);
        buf_append_byte(out, '}');
    } else {
        buf_append_str(out, "{\"type\":\"text\"");
        append_field(out, "text", text, len);
        buf_append_byte(out, '}');
    }
}

static void event_begin(struct buf *out, const char *type) { buf_printf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type); }

static void close_block(struct api_answer *a, struct buf *out) {
    if (a->open == 0) return;
    event_begin(out, "content_block_stop");
    buf_printf(out, ",\"index\":%zu}\n\n", a->open - 1);
    a->open = 0;
}

static void stream_delta(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    if (c->n_items == 0 || (ev->len == 0 && ev->kind != API_CALL)) return;
    if (a->open != c->n_items) {
        close_block(a, out);
        a->open = c->n_items;
        event_begin(out, "content_block_start");
        buf_printf(out, ",\"index\":%zu,\"content_block\":", a->open - 1);
        append_block(c, &c->items[a->open - 1], false, out);
        buf_append_str(out, "}\n\n");
    }
    if (ev->kind == API_CALL) return;
    event_begin(out, "content_block_delta");
    buf_printf(out, ",\"index\":%zu,\"delta\":{\"type\":", a->open - 1);
    if (ev->kind == API_REASONING) buf_append_str(out, "\"thinking_delta\",\"thinking\":");
    else buf_append_str(out, ev->kind == API_TEXT ? "\"text_delta\",\"text\":" : "\"input_json_delta\",\"partial_json\":");
    text_append_json(out, ev->text, ev->len);
    buf_append_str(out, "}}\n\n");
}

static void stream_begin(const struct api_answer *a, const struct api_event *ev, struct buf *out) {
    event_begin(out, "message_start");
    buf_append_str(out, ",\"message\":");
    append_head(a, out);
    buf_append_str(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
    append_usage(ev->prompt_tokens, ev->cached_tokens, 0, out);
    buf_append_str(out, "}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n");
}

static void stream_end(const struct api_answer *a, struct buf *out) {
    event_begin(out, "message_delta");
    buf_append_str(out, ",\"delta\":{");
    append_stop(&a->choices[0], out);
    buf_append_str(out, "},");
    append_usage(a->usage.prompt_tokens, a->usage.cached_tokens, a->usage.completion_tokens, out);
    buf_append_str(out, "}\n\n");
    event_begin(out, "message_stop");
    buf_append_str(out, "}\n\n");
}

static const char *error_type(err_code code) {
    switch (api_error_status(code)) {
    case 400: return "invalid_request_error";
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 405: return "invalid_request_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return "api_error";
    }
}

static void messages_error(err_code code, const struct err *e, const char *request, struct buf *out) {
    buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", error_type(code));
    api_error_append(code, e, out);
    if (code == ERR_NO_THREAD) /* the SDK reads this, and sends the whole conversation instead */
        buf_append_str(out, ",\"details\":{\"error_code\":\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}");
    buf_append_byte(out, '}');
    if (request == NULL || request[0] == '\0') buf_append_str(out, ",\"request_id\":null");
    api_error_append_request(request, out);
    buf_append_byte(out, '}');
}

static void messages_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    switch (ev->kind) {
    case API_BEGIN: stream_begin(a, ev, out); break;
    case API_PROMPT: break;
    case API_TEXT:
    case API_REASONING:
    case API_CALL:
    case API_ARGUMENTS: stream_delta(a, ev, out); break;
    case API_CALL_END:
    case API_FINISH: close_block(a, out); break;
    case API_END: stream_end(a, out); break;
    case API_FAIL:
        buf_append_str(out, "event: error\ndata: ");
        messages_error(ev->code, ev->err, ev->request, out);
        buf_append_str(out, "\n\n");
        break;
    }
}

static void messages_whole(struct api_answer *a, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    append_head(a, out);
    buf_append_str(out, ",\"content\":[");
    for (size_t i = 0; i < c->n_items; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_block(c, &c->items[i], true, out);
    }
    buf_append_str(out, "],");
    append_stop(c, out);
    buf_append_byte(out, ',');
    append_usage(a->usage.prompt_tokens, a->usage.cached_tokens, a->usage.completion_tokens, out);
    buf_append_byte(out, '}');
}

static void count_whole(struct api_answer *a, struct buf *out) {
    buf_printf(out, "{\"input_tokens\":%" PRIu64 "}", a->usage.prompt_tokens);
}

const struct api api_anthropic = {
    .name = "anthropic messages",
    .id_prefix = "msg_",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    .keeps_items = true,
    .parse = anthropic_parse,
    .stream = messages_stream,
    .whole = messages_whole,
    .error = messages_error,
};

const struct api api_anthropic_count = {
    .name = "anthropic count_tokens",
    .id_prefix = "count_",
    .whole_type = "application/json",
    .work = API_WORK_COUNT,
    .parse = anthropic_parse_count,
    .whole = count_whole,
    .error = messages_error,
};
