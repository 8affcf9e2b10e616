/* SPDX-License-Identifier: MIT
 * OpenAI's common parameters, usage and errors. Pure. Shapes: the OpenAI API reference, and the behaviour of its clients. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/constraint.h"
#include "api/openai_priv.h"

static err_code parse_stream(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = json_get_bool(root, "stream", &r->stream, e);
    if (code != ERR_OK) return code;
    yyjson_val *options = yyjson_obj_get(root, "stream_options");
    if (options == NULL || yyjson_is_null(options)) return ERR_OK;
    if (!yyjson_is_obj(options)) return api_wrong(e, "stream_options", "an object");
    if (!r->stream) return err_set_field(e, ERR_INVALID, "stream_options", "only allowed with \"stream\": true");
    code = json_get_bool(options, "include_usage", &r->include_usage, e);
    if (code != ERR_OK) err_in_object(e, "stream_options");
    return code;
}

err_code openai_parse_limit(yyjson_val *root, const char *key, int32_t *ret, struct err *e) {
    int64_t limit = *ret;
    err_code code = json_get_i64(root, key, -1, INT32_MAX, &limit, e);
    if (code != ERR_OK) return code;
    if (limit == 0) return err_set_field(e, ERR_INVALID, key, "expected at least 1 (or -1: as many as the context holds), got 0");
    *ret = (int32_t)limit;
    return ERR_OK;
}

err_code openai_parse_common(yyjson_val *root, struct api_request *r, struct err *e) {
    int64_t n = 1;
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    if ((code = api_refuse_fields(root, e)) != ERR_OK) return code;
    if ((code = parse_stream(root, r, e)) != ERR_OK) return code;
    if ((code = json_get_i64(root, "n", 1, API_MAX_CHOICES, &n, e)) != ERR_OK) return code;
    r->n = (uint32_t)n;
    if ((code = api_parse_stops(yyjson_obj_get(root, "stop"), "stop", r, e)) != ERR_OK) return code;
    if ((code = api_parse_sampling(root, r, e)) != ERR_OK) return code;
    if ((code = constraint_parse(root, r, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "ignore_eos", &r->ignore_eos, e)) != ERR_OK) return code;
    return json_get_bool(root, "caravan_stats", &r->stats, e);
}

/* ---- output ---- */

const char *openai_finish_name(enum api_finish finish) {
    return finish == API_FINISH_LENGTH ? "length" : finish == API_FINISH_CALLS ? "tool_calls" : "stop";
}

void openai_append_logprob(struct buf *out, float logprob) {
    if (!(logprob > -9999.0f)) logprob = -9999.0f; /* -inf and NaN have no JSON form; OpenAI writes this */
    buf_printf(out, "%.6g", (double)logprob);
}

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

void openai_append_logprobs(const struct api_token *tokens, size_t n, struct buf *out) {
    buf_append_byte(out, '[');
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
    buf_append_byte(out, ']');
}

void openai_append_usage(const struct api_answer *a, struct buf *out) {
    const struct api_usage *u = &a->usage;
    buf_printf(out,
               "{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64
               ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu64 "}",
               u->prompt_tokens, u->completion_tokens, u->prompt_tokens + u->completion_tokens, u->cached_tokens);
    if (u->draft_tokens > 0) {
        buf_printf(out, ",\"completion_tokens_details\":{\"accepted_prediction_tokens\":%" PRIu64, u->draft_accepted);
        buf_printf(out, ",\"rejected_prediction_tokens\":%" PRIu64 "}", u->draft_tokens - u->draft_accepted);
    }
    buf_append_str(out, "}");
}

static void append_ms(struct buf *out, const char *name, uint64_t us, const char *end) {
    buf_printf(out, "\"%s\":%" PRIu64 ".%03u%s", name, us / 1000, (unsigned)(us % 1000), end);
}

void openai_append_stats(const struct api_answer *a, struct buf *out) {
    if (!a->request->stats) return;
    const struct api_usage *u = &a->usage;
    buf_append_str(out, ",\"caravan\":{");
    append_ms(out, "queued_ms", u->queued_us, ",");
    append_ms(out, "expected_ms", u->expected_us, ",");
    append_ms(out, "prefill_ms", u->prefill_us, ",");
    append_ms(out, "decode_ms", u->decode_us, ",");
    buf_printf(out, "\"draft_tokens\":%" PRIu64 ",\"draft_accepted\":%" PRIu64, u->draft_tokens, u->draft_accepted);
    if (u->mtp_tokens > 0) buf_printf(out, ",\"mtp_tokens\":%" PRIu64 ",\"mtp_accepted\":%" PRIu64, u->mtp_tokens, u->mtp_accepted);
    buf_append_str(out, ",\"stages\":[");
    for (uint32_t i = 0; i < u->n_hop; i++) {
        const struct request_hop *h = &u->hops[i];
        buf_printf(out, "%s{\"stage\":%u,\"frames\":%u,", i > 0 ? "," : "", h->stage, h->frames);
        append_ms(out, "compute_ms", h->compute_us, ",");
        append_ms(out, "wait_ms", h->wait_us, ",");
        append_ms(out, "hop_ms", h->hop_us, "}");
    }
    buf_append_str(out, "]}");
}

void openai_stream_end(const struct api_answer *a, struct buf *out) {
    if (a->request->include_usage || a->request->stats) {
        buf_append(out, a->prefix.data, a->prefix.len);
        buf_append_str(out, "],\"usage\":");
        openai_append_usage(a, out);
        openai_append_stats(a, out);
        buf_append_str(out, "}\n\n");
    }
    buf_append_str(out, "data: [DONE]\n\n");
}

void openai_stream_fail(const struct api_event *ev, struct buf *out) {
    buf_append_str(out, "data: ");
    openai_error(ev->code, ev->err, ev->request, out);
    buf_append_str(out, "\n\n");
}

/* ---- errors ---- */

static const char *error_type(err_code code) {
    switch (code) {
    case ERR_AUTH: return "authentication_error";
    case ERR_FORBIDDEN: return "permission_error";
    case ERR_BUSY:
    case ERR_QUOTA: return "rate_limit_error";
    case ERR_UNAVAILABLE: return "unavailable_error";
    default: return api_error_status(code) < 500 ? "invalid_request_error" : "server_error";
    }
}

static const char *error_code(err_code code) {
    switch (code) {
    case ERR_AUTH: return "invalid_api_key";
    case ERR_FORBIDDEN: return "insufficient_permissions";
    case ERR_BUSY: return "server_busy";
    case ERR_QUOTA: return "rate_limit_exceeded";
    case ERR_UNAVAILABLE: return "model_unavailable";
    case ERR_LIMIT: return "context_length_exceeded";
    case ERR_TEMPLATE: return "chat_template_limit";
    case ERR_NOT_FOUND: return "not_found";
    case ERR_NO_MODEL: return "model_not_found";
    case ERR_UNSUPPORTED: return "unsupported_parameter";
    case ERR_USAGE: return "method_not_allowed";
    case ERR_FORMAT: return "malformed_data";
    case ERR_JSON: return "invalid_json";
    default: return api_error_status(code) < 500 ? "invalid_value" : "server_error";
    }
}

void openai_error(err_code code, const struct err *e, const char *request, struct buf *out) {
    const char *param = e != NULL && api_error_status(code) < 500 ? e->field : ""; /* else it is no field of the client's */
    buf_append_str(out, "{\"error\":{\"message\":");
    api_error_append(code, e, out);
    buf_printf(out, ",\"type\":\"%s\",\"param\":", error_type(code));
    if (*param != '\0') text_append_json(out, param, strlen(param));
    else buf_append_str(out, "null");
    buf_printf(out, ",\"code\":\"%s\"}", error_code(code));
    api_error_append_request(request, out);
    buf_append_byte(out, '}');
}
