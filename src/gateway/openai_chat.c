/* SPDX-License-Identifier: MIT
 * POST /v1/chat/completions: OpenAI's chat to the internal request, events to chunks or one object. Pure. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/openai_priv.h"

/* ---- request ---- */

static err_code wrong_message(struct err *e, size_t i, const char *what, const char *expected) {
    return err_set(e, ERR_INVALID, "field \"messages[%zu]%s\": expected %s", i, what, expected);
}

static err_code parse_role(yyjson_val *message, size_t i, const char **ret, struct err *e) {
    static const struct { const char *name, *role; } roles[] = {
        {"system", "system"}, {"developer", "system"}, {"user", "user"}, {"assistant", "assistant"}};
    yyjson_val *v = yyjson_obj_get(message, "role");
    if (!yyjson_is_str(v)) return wrong_message(e, i, ".role", "a string");
    for (size_t k = 0; k < sizeof roles / sizeof *roles; k++)
        if (yyjson_equals_str(v, roles[k].name)) {
            *ret = roles[k].role;
            return ERR_OK;
        }
    if (yyjson_equals_str(v, "tool") || yyjson_equals_str(v, "function"))
        return err_set(e, ERR_UNSUPPORTED, "field \"messages[%zu].role\": messages of tools are not supported yet", i);
    return wrong_message(e, i, ".role", "\"system\", \"developer\", \"user\" or \"assistant\"");
}

static err_code append_part(yyjson_val *part, size_t i, size_t k, struct buf *out, struct err *e) {
    yyjson_val *type = yyjson_obj_get(part, "type"), *text = yyjson_obj_get(part, "text");
    if (!yyjson_is_str(type)) return err_set(e, ERR_INVALID, "field \"messages[%zu].content[%zu].type\": expected a string", i, k);
    if (!yyjson_equals_str(type, "text"))
        return err_set(e, ERR_UNSUPPORTED, "field \"messages[%zu].content[%zu].type\": \"%.40s\" parts are not supported, only \"text\"", i,
                       k, yyjson_get_str(type));
    if (!yyjson_is_str(text)) return err_set(e, ERR_INVALID, "field \"messages[%zu].content[%zu].text\": expected a string", i, k);
    buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
    return ERR_OK;
}

static err_code parse_content(yyjson_val *message, size_t i, struct arena *arena, const char **ret, struct err *e) {
    yyjson_val *v = yyjson_obj_get(message, "content"), *part;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1); /* bounded by the body */
    err_code rc = ERR_OK;
    if (yyjson_is_str(v)) {
        buf_append(&text, yyjson_get_str(v), yyjson_get_len(v));
    } else if (yyjson_is_arr(v)) {
        size_t k, n;
        yyjson_arr_foreach(v, k, n, part) {
            if (rc == ERR_OK) rc = append_part(part, i, k, &text, e);
        }
    } else if (!(yyjson_is_null(v) && yyjson_equals_str(yyjson_obj_get(message, "role"), "assistant"))) {
        rc = wrong_message(e, i, ".content", "a string or an array of parts");
    }
    if (rc == ERR_OK && text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        rc = wrong_message(e, i, ".content", "text without NUL characters");
    if (rc == ERR_OK) *ret = arena_strndup(arena, buf_cstr(&text), text.len);
    buf_done(&text);
    return rc;
}

static err_code parse_messages(yyjson_val *root, struct gateway_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "messages"), *message;
    size_t n = yyjson_arr_size(list), i, max;
    if (!yyjson_is_arr(list) || n == 0) return openai_wrong(e, "messages", "an array with at least one message");
    if (n > ENGINE_MAX_MESSAGES)
        return err_set(e, ERR_INVALID, "field \"messages\": expected at most %d messages, got %zu", ENGINE_MAX_MESSAGES, n);
    r->messages = arena_alloc(r->arena, n * sizeof *r->messages);
    yyjson_arr_foreach(list, i, max, message) {
        if (!yyjson_is_obj(message)) return wrong_message(e, i, "", "an object");
        struct engine_message *m = &r->messages[i];
        err_code rc = parse_role(message, i, &m->role, e);
        if (rc == ERR_OK) rc = parse_content(message, i, r->arena, &m->content, e);
        if (rc != ERR_OK) return rc;
        if (yyjson_get_len(yyjson_obj_get(message, "tool_calls")) > 0)
            return err_set(e, ERR_UNSUPPORTED, "field \"messages[%zu].tool_calls\": tools are not supported yet", i);
    }
    r->n_messages = n;
    return ERR_OK;
}

static err_code parse_tool_choice(yyjson_val *root, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "tool_choice");
    if (v == NULL || yyjson_is_null(v) || yyjson_equals_str(v, "none") || yyjson_equals_str(v, "auto")) return ERR_OK;
    return err_set(e, ERR_UNSUPPORTED, "field \"tool_choice\": tools are not supported yet");
}

static err_code parse_logprobs(yyjson_val *root, struct gateway_request *r, struct err *e) {
    err_code rc = json_get_bool(root, "logprobs", &r->logprobs, e);
    if (rc != ERR_OK) return rc;
    if (!r->logprobs && r->sampling.n_top_logprobs > 0)
        return err_set(e, ERR_INVALID, "field \"top_logprobs\": only allowed with \"logprobs\": true");
    return ERR_OK;
}

static err_code chat_parse(yyjson_val *root, struct gateway_request *r, struct err *e) {
    static const struct { const char *key, *why; } refused[] = {
        {"tools", "tools are not supported yet"},
        {"functions", "functions are not supported"},
        {"audio", "audio is not supported"},
        {"web_search_options", "web search is not supported"},
    };
    err_code rc;
    if ((rc = openai_parse_common(root, r, e)) != ERR_OK) return rc;
    if ((rc = parse_messages(root, r, e)) != ERR_OK) return rc;
    if ((rc = parse_logprobs(root, r, e)) != ERR_OK) return rc;
    if ((rc = openai_parse_limit(root, "max_tokens", &r->max_tokens, e)) != ERR_OK) return rc;
    if ((rc = openai_parse_limit(root, "max_completion_tokens", &r->max_tokens, e)) != ERR_OK) return rc; /* the newer name wins */
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if ((rc = openai_refuse(root, refused[i].key, refused[i].why, e)) != ERR_OK) return rc;
    yyjson_val *modality, *modalities = yyjson_obj_get(root, "modalities");
    size_t i, max;
    yyjson_arr_foreach(modalities, i, max, modality) {
        if (!yyjson_equals_str(modality, "text")) return err_set(e, ERR_UNSUPPORTED, "field \"modalities\": only \"text\" is supported");
    }
    return parse_tool_choice(root, e);
}

/* ---- answer ---- */

static void append_bytes(const char *piece, size_t len, struct buf *out) {
    buf_append_byte(out, '[');
    for (size_t i = 0; i < len; i++) buf_printf(out, i > 0 ? ",%u" : "%u", (uint8_t)piece[i]);
    buf_append_byte(out, ']');
}

static void append_token(const char *piece, size_t len, float logprob, struct buf *out) {
    buf_append_str(out, "{\"token\":");
    text_append_json(out, piece, len);
    buf_append_str(out, ",\"logprob\":");
    openai_append_logprob(out, logprob);
    buf_append_str(out, ",\"bytes\":");
    append_bytes(piece, len, out);
}

static void append_logprobs(const struct gateway_answer *a, const struct gateway_token *tokens, size_t n, struct buf *out) {
    if (!a->request->logprobs || n == 0) {
        buf_append_str(out, "null");
        return;
    }
    buf_append_str(out, "{\"content\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_token(tokens[i].piece, tokens[i].len, tokens[i].logprob, out);
        buf_append_str(out, ",\"top_logprobs\":[");
        for (uint32_t k = 0; k < tokens[i].n_top; k++) {
            if (k > 0) buf_append_byte(out, ',');
            append_token(tokens[i].top[k].piece, tokens[i].top[k].len, tokens[i].top[k].logprob, out);
            buf_append_byte(out, '}');
        }
        buf_append_str(out, "]}");
    }
    buf_append_str(out, "],\"refusal\":null}");
}

static void append_identity(const struct gateway_answer *a, const char *object, struct buf *out) {
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", a->id, object, a->created);
    text_append_json(out, a->model, strlen(a->model));
    buf_append_str(out, ",\"system_fingerprint\":");
    text_append_json(out, a->fingerprint, strlen(a->fingerprint));
}

static void begin_chunk(struct gateway_answer *a, uint32_t choice, struct buf *out) {
    buf_append(out, a->prefix.data, a->prefix.len);
    buf_printf(out, "{\"index\":%u,\"delta\":", choice);
}

static void end_chunk(const struct gateway_answer *a, const char *finish, struct buf *out) {
    if (finish != NULL)
        buf_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    else
        buf_append_str(out, ",\"finish_reason\":null}]");
    buf_append_str(out, a->request->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

static void chat_stream(struct gateway_answer *a, const struct gateway_event *ev, struct buf *out) {
    if (a->prefix.len == 0) {
        buf_append_str(&a->prefix, "data: ");
        append_identity(a, "chat.completion.chunk", &a->prefix);
        buf_append_str(&a->prefix, ",\"choices\":[");
    }
    switch (ev->kind) {
    case GATEWAY_BEGIN:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null");
        end_chunk(a, NULL, out);
        break;
    case GATEWAY_TEXT:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{\"content\":");
        text_append_json(out, ev->text, ev->len);
        buf_append_str(out, "},\"logprobs\":");
        append_logprobs(a, ev->tokens, ev->n_tokens, out);
        end_chunk(a, NULL, out);
        break;
    case GATEWAY_FINISH:
        begin_chunk(a, ev->choice, out);
        buf_append_str(out, "{},\"logprobs\":null");
        end_chunk(a, openai_finish_name(ev->finish), out);
        break;
    case GATEWAY_END: openai_stream_end(a, out); break;
    case GATEWAY_REASONING:
    case GATEWAY_CALL:
    case GATEWAY_ARGUMENTS:
    case GATEWAY_CALL_END: break;
    case GATEWAY_FAIL: openai_stream_fail(ev, out); break;
    }
}

static void chat_whole(struct gateway_answer *a, struct buf *out) {
    append_identity(a, "chat.completion", out);
    buf_append_str(out, ",\"choices\":[");
    for (uint32_t i = 0; i < a->n_choices; i++) {
        const struct gateway_choice_text *c = &a->choices[i];
        buf_printf(out, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", i > 0 ? "," : "", i);
        text_append_json(out, (const char *)c->text.data, c->text.len);
        buf_append_str(out, ",\"refusal\":null},\"logprobs\":");
        append_logprobs(a, c->tokens, c->n_tokens, out);
        buf_printf(out, ",\"finish_reason\":\"%s\"}", openai_finish_name(c->finish));
    }
    buf_append_str(out, "],\"usage\":");
    openai_append_usage(a, out);
    openai_append_stats(a, out);
    buf_append_byte(out, '}');
}

const struct gateway_api gateway_openai_chat = {
    .name = "openai chat",
    .id_prefix = "chatcmpl-",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .parse = chat_parse,
    .stream = chat_stream,
    .whole = chat_whole,
    .error = openai_error,
};
