/* SPDX-License-Identifier: MIT
 * POST /v1/messages: Anthropic's messages to the internal request, events to its stream or one message. Pure. Shapes: the reference of the
 * Messages API, version 2023-06-01. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/parse.h"
#include "api/tools.h"

/* ---- request ---- */

struct place {
    size_t message, block;
}; /* where in "messages" something stands, for errors */

static err_code wrong_block(struct err *e, struct place at, const char *what, const char *expected) {
    return err_set(e, ERR_INVALID, "field \"messages.%zu.content.%zu%s\": expected %s", at.message, at.block, what, expected);
}

static err_code append_text(yyjson_val *text, struct place at, struct buf *out, struct err *e) {
    if (!yyjson_is_str(text)) return wrong_block(e, at, ".text", "a string");
    if (memchr(yyjson_get_str(text), 0, yyjson_get_len(text)) != NULL) return wrong_block(e, at, ".text", "text without NUL characters");
    buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
    return ERR_OK;
}

/* A string, or blocks of text one after another. */
static err_code append_texts(yyjson_val *v, struct place at, struct buf *out, struct err *e) {
    yyjson_val *block;
    size_t i, n;
    if (yyjson_is_str(v)) return append_text(v, at, out, e);
    if (v != NULL && !yyjson_is_null(v) && !yyjson_is_arr(v)) return wrong_block(e, at, "", "a string or an array of blocks");
    yyjson_arr_foreach(v, i, n, block) {
        if (!yyjson_equals_str(yyjson_obj_get(block, "type"), "text"))
            return err_set(e, ERR_UNSUPPORTED, "field \"messages.%zu.content.%zu\": only blocks of text are supported here", at.message,
                           at.block);
        err_code code = append_text(yyjson_obj_get(block, "text"), at, out, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code take_result(yyjson_val *block, struct place at, struct api_request *r, struct err *e) {
    yyjson_val *id = yyjson_obj_get(block, "tool_use_id");
    if (!yyjson_is_str(id)) return wrong_block(e, at, ".tool_use_id", "a string");
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_texts(yyjson_obj_get(block, "content"), at, &text, e);
    if (code == ERR_OK) {
        yyjson_mut_val *m = api_chat_add(r, "tool", buf_cstr(&text), text.len);
        api_chat_set(r, m, "tool_call_id", yyjson_get_str(id), yyjson_get_len(id));
        if (yyjson_is_true(yyjson_obj_get(block, "is_error"))) yyjson_mut_obj_add_bool(r->doc, m, "is_error", true);
    }
    buf_done(&text);
    return code;
}

static err_code take_use(yyjson_val *block, struct place at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *id = yyjson_obj_get(block, "id"), *name = yyjson_obj_get(block, "name"), *input = yyjson_obj_get(block, "input");
    if (!yyjson_is_str(id)) return wrong_block(e, at, ".id", "a string");
    if (!yyjson_is_str(name)) return wrong_block(e, at, ".name", "a string");
    if (!yyjson_is_obj(input)) return wrong_block(e, at, ".input", "an object");
    api_chat_call(r, message, api_keep_str(r, id), api_keep_str(r, name), api_keep_json(r, input));
    return ERR_OK;
}

/* A message may have several of them, between its calls: one after another. */
static err_code take_thinking(yyjson_val *block, struct place at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *thinking = yyjson_obj_get(block, "thinking");
    if (!yyjson_is_str(thinking)) return wrong_block(e, at, ".thinking", "a string");
    yyjson_mut_val *before = yyjson_mut_obj_get(message, "reasoning_content");
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    if (before != NULL) {
        buf_append(&text, yyjson_mut_get_str(before), yyjson_mut_get_len(before));
        buf_append_str(&text, "\n\n");
    }
    buf_append(&text, yyjson_get_str(thinking), yyjson_get_len(thinking));
    api_chat_set(r, message, "reasoning_content", buf_cstr(&text), text.len);
    buf_done(&text);
    return ERR_OK;
}

static err_code take_block(yyjson_val *block, struct place at, bool user, struct api_request *r, yyjson_mut_val *message, struct buf *text,
                           struct err *e) {
    yyjson_val *type = yyjson_obj_get(block, "type");
    if (!yyjson_is_str(type)) return wrong_block(e, at, ".type", "a string");
    if (yyjson_equals_str(type, "text")) return append_text(yyjson_obj_get(block, "text"), at, text, e);
    if (user && yyjson_equals_str(type, "tool_result")) return take_result(block, at, r, e);
    if (!user && yyjson_equals_str(type, "tool_use")) return take_use(block, at, r, message, e);
    if (!user && yyjson_equals_str(type, "redacted_thinking")) return ERR_OK;
    if (!user && yyjson_equals_str(type, "thinking")) return take_thinking(block, at, r, message, e);
    return err_set(e, ERR_UNSUPPORTED, "field \"messages.%zu.content.%zu.type\": blocks of type \"%.40s\" are not supported here",
                   at.message, at.block, yyjson_get_str(type));
}

/* Blocks of an assistant make one message; of a user's, each tool result is a message of its own, before the text. */
static err_code take_blocks(yyjson_val *content, size_t i, bool user, struct api_request *r, struct err *e) {
    struct place at = {.message = i};
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    yyjson_mut_val *message = user ? NULL : api_chat_add(r, "assistant", NULL, 0);
    yyjson_val *block;
    size_t n;
    err_code code = ERR_OK;
    bool results = false;
    yyjson_arr_foreach(content, at.block, n, block) {
        if (code == ERR_OK) code = take_block(block, at, user, r, message, &text, e);
        results |= yyjson_equals_str(yyjson_obj_get(block, "type"), "tool_result");
    }
    if (code == ERR_OK && user && (text.len > 0 || !results)) api_chat_add(r, "user", buf_cstr(&text), text.len);
    if (code == ERR_OK && !user && (text.len > 0 || yyjson_mut_obj_get(message, "tool_calls") == NULL))
        api_chat_set(r, message, "content", buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

static err_code parse_message(yyjson_val *message, size_t i, struct api_request *r, struct err *e) {
    yyjson_val *role = yyjson_obj_get(message, "role"), *content = yyjson_obj_get(message, "content");
    bool user = yyjson_equals_str(role, "user");
    if (!user && !yyjson_equals_str(role, "assistant"))
        return err_set(e, ERR_INVALID, "field \"messages.%zu.role\": expected \"user\" or \"assistant\"", i);
    if (yyjson_is_arr(content)) return take_blocks(content, i, user, r, e);
    if (!yyjson_is_str(content))
        return err_set(e, ERR_INVALID, "field \"messages.%zu.content\": expected a string or an array of blocks", i);
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_text(content, (struct place){.message = i}, &text, e);
    if (code == ERR_OK) api_chat_add(r, user ? "user" : "assistant", buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

static err_code parse_chat(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *system = yyjson_obj_get(root, "system"), *list = yyjson_obj_get(root, "messages"), *message;
    size_t i, n = yyjson_arr_size(list);
    if (!yyjson_is_arr(list) || n == 0) return api_wrong(e, "messages", "an array with at least one message");
    if (n > ENGINE_MAX_MESSAGES) return err_set(e, ERR_INVALID, "field \"messages\": expected at most %d messages", ENGINE_MAX_MESSAGES);
    if (system != NULL && !yyjson_is_null(system)) {
        struct buf text;
        buf_init(&text, SIZE_MAX - 1);
        err_code code = append_texts(system, (struct place){0}, &text, NULL);
        if (code == ERR_OK && text.len > 0) api_chat_add(r, "system", buf_cstr(&text), text.len);
        buf_done(&text);
        if (code != ERR_OK) return api_wrong(e, "system", "a string or an array of blocks of text");
    }
    yyjson_arr_foreach(list, i, n, message) {
        err_code code = parse_message(message, i, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static const struct api_tools_shape tools_shape = {
    .type = "custom",
    .type_optional = true,
    .schema = "input_schema",
    .dotted = true,
    .required = "any",
    .named = "tool",
    .choice_typed = true,
    .choice_help = "{\"type\": \"auto\"}, {\"type\": \"any\"}, {\"type\": \"none\"} or {\"type\": \"tool\", \"name\": ...}",
};

static err_code parse_tools(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = api_tools_parse(root, &tools_shape, r, e);
    return code == ERR_OK ? json_get_bool(yyjson_obj_get(root, "tool_choice"), "disable_parallel_tool_use", &r->single_tool, e) : code;
}

static err_code parse_thinking(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "thinking"), *type = yyjson_obj_get(v, "type");
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    bool on = yyjson_equals_str(type, "enabled") || yyjson_equals_str(type, "adaptive");
    if (!on && !yyjson_equals_str(type, "disabled")) return api_wrong(e, "thinking.type", "\"enabled\", \"adaptive\" or \"disabled\"");
    yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", on);
    return ERR_OK;
}

static err_code parse_format(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(root, "output_config"), "format");
    r->format_field = "output_config.format";
    if (v == NULL) {
        v = yyjson_obj_get(root, "output_format");
        r->format_field = "output_format";
    }
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    yyjson_val *schema = yyjson_obj_get(v, "schema");
    if (!yyjson_equals_str(yyjson_obj_get(v, "type"), "json_schema") || !yyjson_is_obj(schema))
        return api_wrong(e, r->format_field, "{\"type\": \"json_schema\", \"schema\": {...}}");
    r->format = API_FORMAT_SCHEMA;
    r->schema = api_keep_json(r, schema);
    return ERR_OK;
}

/* All that counting tokens needs. */
static err_code count_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    api_chat_begin(r);
    if ((code = parse_chat(root, r, e)) != ERR_OK) return code;
    if ((code = parse_tools(root, r, e)) != ERR_OK) return code;
    if ((code = parse_thinking(root, r, e)) != ERR_OK) return code;
    return parse_format(root, r, e);
}

static err_code messages_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    int64_t limit = 0;
    if ((code = count_parse(root, r, e)) != ERR_OK) return code;
    if ((code = json_need_i64(root, "max_tokens", 1, INT32_MAX, &limit, e)) != ERR_OK) return code;
    r->max_tokens = (int32_t)limit;
    if ((code = json_get_bool(root, "stream", &r->stream, e)) != ERR_OK) return code;
    if ((code = api_parse_stops(yyjson_obj_get(root, "stop_sequences"), "stop_sequences", r, e)) != ERR_OK) return code;
    if ((code = api_refuse(root, "mcp_servers", "MCP servers are not supported", e)) != ERR_OK) return code;
    if ((code = api_refuse(root, "container", "containers are not supported", e)) != ERR_OK) return code;
    return api_parse_sampling(root, r, e);
}

/* ---- answer ---- */

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

/* A block; whole: with what it holds, else as it begins (a stream says a call before it is known to be cut). */
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

static void messages_error(err_code code, const struct err *e, struct buf *out) {
    buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", error_type(code));
    api_error_append(code, e, out);
    buf_append_str(out, "},\"request_id\":null}");
}

static void messages_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    switch (ev->kind) {
    case API_BEGIN: stream_begin(a, ev, out); break;
    case API_TEXT:
    case API_REASONING:
    case API_CALL:
    case API_ARGUMENTS: stream_delta(a, ev, out); break;
    case API_CALL_END:
    case API_FINISH: close_block(a, out); break;
    case API_END: stream_end(a, out); break;
    case API_FAIL:
        buf_append_str(out, "event: error\ndata: ");
        messages_error(ev->code, ev->err, out);
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
    .parse = messages_parse,
    .stream = messages_stream,
    .whole = messages_whole,
    .error = messages_error,
};

const struct api api_anthropic_count = {
    .name = "anthropic count_tokens",
    .id_prefix = "count_",
    .whole_type = "application/json",
    .counts = true,
    .parse = count_parse,
    .whole = count_whole,
    .error = messages_error,
};
