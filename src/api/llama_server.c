/* SPDX-License-Identifier: MIT
 * llama-server's own routes: POST /completion continues a prompt, POST /infill writes the text between two others, POST /apply-template
 * makes a chat a prompt. Shapes: llama.cpp, tools/server/README.md. Pure. */
#include <inttypes.h>
#include <string.h>

#include "api/constraint.h"
#include "api/openai_priv.h"

/* ---- requests ---- */

static err_code parse_common(yyjson_val *root, struct api_request *r, struct err *e) {
    int64_t limit = -1;
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    if ((code = api_refuse_fields(root, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "stream", &r->stream, e)) != ERR_OK) return code;
    if ((code = json_get_i64(root, "n_predict", -2, INT32_MAX, &limit, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "ignore_eos", &r->ignore_eos, e)) != ERR_OK) return code;
    if ((code = api_parse_stops(yyjson_obj_get(root, "stop"), "stop", r, e)) != ERR_OK) return code;
    if ((code = api_parse_sampling(root, r, e)) != ERR_OK) return code;
    r->max_tokens = limit < 0 ? -1 : (int32_t)limit; /* 0 asks only to read the prompt */
    r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
    return constraint_parse(root, r, e);
}

static err_code completion_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *prompt = yyjson_obj_get(root, "prompt");
    err_code code = parse_common(root, r, e);
    if (code != ERR_OK) return code;
    r->n_prompts = 1;
    if (yyjson_is_arr(prompt)) return api_prompt_tokens(prompt, "prompt", r, &r->prompts[0], e);
    if (!yyjson_is_str(prompt)) return api_wrong(e, "prompt", "a string or an array of token ids");
    r->prompts[0] = api_prompt_text(r, prompt);
    return ERR_OK;
}

/* A field with text, if it is there. */
static err_code append_field(yyjson_val *root, const char *key, struct buf *out, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (!yyjson_is_str(v)) return api_wrong(e, key, "a string");
    buf_append(out, yyjson_get_str(v), yyjson_get_len(v));
    return ERR_OK;
}

/* Appends the text before the gap: other files first, then the text before the cursor. */
static err_code append_prefix(yyjson_val *root, struct buf *out, struct err *e) {
    yyjson_val *file;
    size_t i, n;
    err_code code = ERR_OK;
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "input_extra")), i, n, file) {
        if (code != ERR_OK) break;
        if ((code = append_field(file, "text", out, e)) != ERR_OK) err_in_object(e, err_place("input_extra[%zu]", i).text);
        buf_append_byte(out, '\n');
    }
    if (code == ERR_OK) code = append_field(root, "input_prefix", out, e);
    return code == ERR_OK ? append_field(root, "prompt", out, e) : code;
}

static err_code infill_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    struct buf prefix, suffix;
    err_code code = parse_common(root, r, e);
    if (code != ERR_OK) return code;
    buf_init(&prefix, SIZE_MAX - 1);
    buf_init(&suffix, SIZE_MAX - 1);
    code = append_prefix(root, &prefix, e);
    if (code == ERR_OK) code = append_field(root, "input_suffix", &suffix, e);
    if (code == ERR_OK) {
        struct {
            const struct buf *from;
            char *to;
        } texts[] = {{&prefix, NULL}, {&suffix, NULL}};
        for (size_t i = 0; i < 2; i++) {
            texts[i].to = arena_alloc(r->arena, texts[i].from->len + 1); /* no C strings: they may hold NUL */
            if (texts[i].from->len > 0) memcpy(texts[i].to, texts[i].from->data, texts[i].from->len);
        }
        r->n_prompts = 1;
        r->prompts[0] = (struct api_prompt){.text = texts[0].to, .len = prefix.len};
        r->suffix = texts[1].to;
        r->suffix_len = suffix.len;
        r->suffix_field = "input_suffix";
    }
    buf_done(&prefix);
    buf_done(&suffix);
    return code;
}

/* ---- answers ---- */

static void append_rate(const char *what, uint64_t n, uint64_t us, struct buf *out) {
    double ms = (double)us / 1000;
    buf_printf(out, "\"%s_n\":%" PRIu64 ",\"%s_ms\":%.3f,\"%s_per_token_ms\":%.3f,\"%s_per_second\":%.3f", what, n, what, ms, what,
               n > 0 ? ms / (double)n : 0, what, us > 0 ? (double)n * 1e6 / (double)us : 0);
}

static void append_counts(const struct api_answer *a, struct buf *out) {
    const struct api_usage *u = &a->usage;
    buf_printf(out, ",\"index\":0,\"id_slot\":0,\"tokens\":[],\"tokens_predicted\":%" PRIu64 ",\"tokens_evaluated\":%" PRIu64,
               u->completion_tokens, u->prompt_tokens);
}

static void append_final(const struct api_answer *a, const char *text, size_t len, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    const struct api_usage *u = &a->usage;
    buf_append_str(out, "{\"content\":");
    text_append_json(out, text, len);
    append_counts(a, out);
    buf_append_str(out, ",\"stop\":true,\"model\":");
    text_append_json(out, a->model, strlen(a->model));
    buf_printf(out, ",\"truncated\":false,\"stop_type\":\"%s\",\"stopping_word\":",
               c->stop != NULL                  ? "word"
               : c->finish == API_FINISH_LENGTH ? "limit"
                                                : "eos");
    text_append_json(out, c->stop != NULL ? c->stop->text : "", c->stop != NULL ? c->stop->len : 0);
    buf_printf(out, ",\"tokens_cached\":%" PRIu64 ",\"timings\":{", u->cached_tokens);
    append_rate("prompt", u->prompt_tokens - u->cached_tokens, u->prefill_us, out);
    buf_append_byte(out, ',');
    append_rate("predicted", u->completion_tokens, u->decode_us, out);
    buf_append_str(out, "}}");
}

static void completion_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    if (ev->kind == API_FAIL) {
        openai_stream_fail(ev, out);
    } else if (ev->kind == API_TEXT && ev->len > 0) {
        buf_append_str(out, "data: {\"content\":");
        text_append_json(out, ev->text, ev->len);
        append_counts(a, out);
        buf_append_str(out, ",\"stop\":false}\n\n");
    } else if (ev->kind == API_END) {
        buf_append_str(out, "data: ");
        append_final(a, "", 0, out);
        buf_append_str(out, "\n\n");
    }
}

static void completion_whole(struct api_answer *a, struct buf *out) {
    const struct buf *text = &a->choices[0].text;
    append_final(a, text->len > 0 ? (const char *)text->data : "", text->len, out);
}

static void template_whole(struct api_answer *a, struct buf *out) {
    const struct api_prompt *p = &a->request->prompts[0];
    buf_append_str(out, "{\"prompt\":");
    text_append_json(out, p->text, p->len);
    buf_append_byte(out, '}');
}

const struct api api_llama_completion = {
    .name = "llama-server completion",
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .parse = completion_parse,
    .stream = completion_stream,
    .whole = completion_whole,
    .error = openai_error,
};

const struct api api_llama_infill = {
    .name = "llama-server infill",
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .parse = infill_parse,
    .stream = completion_stream,
    .whole = completion_whole,
    .error = openai_error,
};

const struct api api_llama_template = {
    .name = "llama-server apply-template",
    .id_prefix = "tmpl-",
    .work = API_WORK_PROMPT,
    .whole_type = "application/json",
    .parse = openai_chat_parse,
    .whole = template_whole,
    .error = openai_error,
};
