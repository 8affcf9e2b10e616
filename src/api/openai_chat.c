/* SPDX-License-Identifier: MIT
 * POST /v1/chat/completions: events to chunks, or one object. openai_chat_parse.c reads the request. Pure. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/custom.h"
#include "api/openai_priv.h"

static void append_logprobs(const struct api_answer *a, const struct api_token *tokens, size_t n, struct buf *out) {
    if (!a->request->logprobs || n == 0) {
        buf_append_str(out, "null");
        return;
    }
    buf_append_str(out, "{\"content\":");
    openai_append_logprobs(tokens, n, out);
    buf_append_str(out, ",\"refusal\":null}");
}

static void append_identity(const struct api_answer *a, const char *object, struct buf *out) {
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", a->id, object, a->created);
    text_append_json(out, a->model, strlen(a->model));
    buf_append_str(out, ",\"system_fingerprint\":");
    text_append_json(out, a->fingerprint, strlen(a->fingerprint));
}

static void begin_chunk(struct api_answer *a, uint32_t choice, struct buf *out) {
    buf_append(out, a->prefix.data, a->prefix.len);
    buf_printf(out, "{\"index\":%u,\"delta\":", choice);
}

static void end_chunk(const struct api_answer *a, const char *finish, struct buf *out) {
    if (finish != NULL) buf_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    else buf_append_str(out, ",\"finish_reason\":null}]");
    buf_append_str(out, a->request->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

/* A call in the old form has a finish reason of its own. */
static const char *finish_name(const struct api_answer *a, enum api_finish finish) {
    return finish == API_FINISH_CALLS && a->request->old_functions ? "function_call" : openai_finish_name(finish);
}

/* The first chunk of a call has everything except its arguments. They follow in pieces, which the client joins by the index. */
static void stream_part(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    begin_chunk(a, ev->choice, out);
    if (ev->kind == API_REASONING) {
        buf_append_str(out, "{\"reasoning_content\":");
        text_append_json(out, ev->text, ev->len);
        buf_append_byte(out, '}');
    } else if (a->request->old_functions) {
        buf_append_str(out, ev->kind == API_CALL ? "{\"function_call\":{\"name\":" : "{\"function_call\":{\"arguments\":");
        text_append_json(out, ev->text, ev->len);
        buf_append_str(out, ev->kind == API_CALL ? ",\"arguments\":\"\"}}" : "}}");
    } else {
        buf_printf(out, "{\"tool_calls\":[{\"index\":%u,", ev->call);
        if (ev->kind == API_CALL) {
            buf_append_str(out, "\"id\":");
            text_append_json(out, ev->id, strlen(ev->id));
            buf_append_str(out, ",\"type\":\"function\",\"function\":{\"name\":");
            text_append_json(out, ev->text, ev->len);
            buf_append_str(out, ",\"arguments\":\"\"}}]}");
        } else {
            buf_append_str(out, "\"function\":{\"arguments\":");
            text_append_json(out, ev->text, ev->len);
            buf_append_str(out, "}}]}");
        }
    }
    buf_append_str(out, ",\"logprobs\":null");
    end_chunk(a, NULL, out);
}

/* The text of the custom tool's call that has just ended, in one piece: no part of it can be told from the JSON around it before. */
static void stream_custom(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    const struct api_choice_text *c = &a->choices[ev->choice];
    const struct api_item *item = &c->items[c->n_items - 1];
    size_t len;
    const char *arguments = api_item_text(c, item, &len);
    struct buf input;
    buf_init(&input, SIZE_MAX - 1);
    api_custom_input(arguments, len, &input);
    begin_chunk(a, ev->choice, out);
    buf_printf(out, "{\"tool_calls\":[{\"index\":%u,\"id\":", ev->call);
    text_append_json(out, item->id, strlen(item->id));
    buf_append_str(out, ",\"type\":\"custom\",\"custom\":{\"name\":");
    text_append_json(out, item->name, strlen(item->name));
    buf_append_str(out, ",\"input\":");
    text_append_json(out, buf_cstr(&input), input.len);
    buf_append_str(out, "}}]},\"logprobs\":null");
    end_chunk(a, NULL, out);
    buf_done(&input);
}

/* Is the choice's last call one of a custom tool? */
static bool calls_custom(const struct api_answer *a, uint32_t choice) {
    const struct api_choice_text *c = &a->choices[choice];
    const struct api_item *item = a->request->has_custom && c->n_items > 0 ? &c->items[c->n_items - 1] : NULL;
    return item != NULL && item->kind == API_CALL && api_custom_is(a->request, item->name, strlen(item->name));
}

static void chat_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    if (a->prefix.len == 0) {
        buf_append_str(&a->prefix, "data: ");
        append_identity(a, "chat.completion.chunk", &a->prefix);
        buf_append_str(&a->prefix, ",\"choices\":[");
    }
    switch (ev->kind) {
    case API_BEGIN:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null");
        end_chunk(a, NULL, out);
        break;
    case API_TEXT:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{\"content\":");
        text_append_json(out, ev->text, ev->len);
        buf_append_str(out, "},\"logprobs\":");
        append_logprobs(a, ev->tokens, ev->n_tokens, out);
        end_chunk(a, NULL, out);
        break;
    case API_FINISH:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{},\"logprobs\":null");
        end_chunk(a, finish_name(a, ev->finish), out);
        break;
    case API_END: openai_stream_end(a, out); break;
    case API_REASONING: stream_part(a, ev, out); break;
    case API_CALL:
    case API_ARGUMENTS:
        if (!calls_custom(a, ev->choice)) stream_part(a, ev, out);
        break;
    case API_CALL_END:
        if (calls_custom(a, ev->choice)) stream_custom(a, ev, out);
        break;
    case API_PROMPT: break;
    case API_FAIL: openai_stream_fail(ev, out); break;
    }
}

static void append_call(const struct api_answer *a, const struct api_choice_text *c, const struct api_item *item, struct buf *out) {
    bool custom = api_custom_is(a->request, item->name, strlen(item->name));
    const char *type = custom ? "custom" : "function";
    size_t len;
    const char *arguments = api_item_text(c, item, &len);
    struct buf input;
    buf_init(&input, SIZE_MAX - 1);
    if (custom) api_custom_input(arguments, len, &input);
    else buf_append(&input, arguments, len);
    buf_append_str(out, "{\"id\":");
    text_append_json(out, item->id, strlen(item->id));
    buf_printf(out, ",\"type\":\"%s\",\"%s\":{\"name\":", type, type);
    text_append_json(out, item->name, strlen(item->name));
    buf_append_str(out, custom ? ",\"input\":" : ",\"arguments\":");
    text_append_json(out, buf_cstr(&input), input.len);
    buf_append_str(out, "}}");
    buf_done(&input);
}

static size_t append_calls(const struct api_answer *a, const struct api_choice_text *c, struct buf *out) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_items; i++) {
        if (c->items[i].kind != API_CALL) continue;
        buf_append_str(out, n++ == 0 ? ",\"tool_calls\":[" : ",");
        append_call(a, c, &c->items[i], out);
    }
    if (n > 0) buf_append_byte(out, ']');
    return n;
}

/* Appends the only call in the old form. */
static size_t append_old_call(const struct api_choice_text *c, struct buf *out) {
    for (size_t i = 0; i < c->n_items; i++) {
        const struct api_item *item = &c->items[i];
        if (item->kind != API_CALL) continue;
        buf_append_str(out, ",\"function_call\":{\"name\":");
        text_append_json(out, item->name, strlen(item->name));
        buf_append_str(out, ",\"arguments\":");
        text_append_json(out, (const char *)c->arguments.data + item->start, item->end - item->start);
        buf_append_byte(out, '}');
        return 1;
    }
    return 0;
}

static void append_message(const struct api_answer *a, const struct api_choice_text *c, struct buf *out) {
    struct buf calls;
    buf_init(&calls, SIZE_MAX - 1);
    size_t n = a->request->old_functions ? append_old_call(c, &calls) : append_calls(a, c, &calls);
    buf_append_str(out, "{\"role\":\"assistant\",\"content\":");
    if (n > 0 && c->text.len == 0) buf_append_str(out, "null");
    else text_append_json(out, (const char *)c->text.data, c->text.len);
    buf_append_str(out, ",\"refusal\":null");
    if (c->reasoning.len > 0) {
        buf_append_str(out, ",\"reasoning_content\":");
        text_append_json(out, (const char *)c->reasoning.data, c->reasoning.len);
    }
    buf_append(out, calls.data, calls.len);
    buf_append_byte(out, '}');
    buf_done(&calls);
}

static void chat_whole(struct api_answer *a, struct buf *out) {
    append_identity(a, "chat.completion", out);
    buf_append_str(out, ",\"choices\":[");
    for (uint32_t i = 0; i < a->n_choices; i++) {
        const struct api_choice_text *c = &a->choices[i];
        buf_printf(out, "%s{\"index\":%u,\"message\":", i > 0 ? "," : "", i);
        append_message(a, c, out);
        buf_append_str(out, ",\"logprobs\":");
        append_logprobs(a, c->tokens, c->n_tokens, out);
        buf_printf(out, ",\"finish_reason\":\"%s\"}", finish_name(a, c->finish));
    }
    buf_append_str(out, "],\"usage\":");
    openai_append_usage(a, out);
    openai_append_stats(a, out);
    buf_append_byte(out, '}');
}

const struct api api_openai_chat = {
    .name = "openai chat",
    .id_prefix = "chatcmpl-",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .parse = openai_chat_parse,
    .stream = chat_stream,
    .whole = chat_whole,
    .error = openai_error,
};
