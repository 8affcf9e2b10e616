/* SPDX-License-Identifier: MIT
 * POST /v1/completions: OpenAI's older text completions to the internal request, events to chunks or one object. Pure. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/parse.h"
#include "api/openai_priv.h"

/* ---- request ---- */

static const char PROMPT_EXPECTED[] = "a string, an array of strings, an array of token ids, or an array of such arrays";

static err_code parse_prompt(yyjson_val *v, struct api_request *r, struct api_prompt *ret, struct err *e) {
    if (yyjson_is_arr(v) && yyjson_arr_size(v) == 0) return api_wrong(e, "prompt", "at least one token in each array");
    if (yyjson_is_arr(v)) return api_prompt_tokens(v, "prompt", r, ret, e);
    if (!yyjson_is_str(v)) return api_wrong(e, "prompt", PROMPT_EXPECTED);
    *ret = api_prompt_text(r, v);
    return ERR_OK;
}

static err_code parse_prompts(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "prompt"), *first = yyjson_arr_get_first(v), *item;
    size_t n = yyjson_arr_size(v), i, max;
    bool list = yyjson_is_arr(v) && !yyjson_is_num(first);
    if (v == NULL || yyjson_is_null(v)) return api_wrong(e, "prompt", PROMPT_EXPECTED);
    if (yyjson_is_arr(v) && n == 0) return api_wrong(e, "prompt", "at least one prompt");
    r->n_prompts = list ? n : 1;
    if (r->n_prompts * r->n > API_MAX_CHOICES)
        return err_set_field(e, ERR_INVALID, "prompt", "%zu prompts with \"n\": %u make more than %d choices", r->n_prompts, r->n,
                             API_MAX_CHOICES);
    r->prompts = arena_alloc(r->arena, r->n_prompts * sizeof(*r->prompts));
    if (!list) return parse_prompt(v, r, &r->prompts[0], e);
    yyjson_arr_foreach(v, i, max, item) {
        err_code code = parse_prompt(item, r, &r->prompts[i], e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* In this API logprobs is a number: how many of the best tokens to show at each position. */
static err_code parse_logprobs(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "logprobs");
    r->sampling.n_top_logprobs = 0;
    if (v == NULL || yyjson_is_null(v) || yyjson_is_false(v)) return ERR_OK;
    int64_t n = 0;
    err_code code = json_get_i64(root, "logprobs", 0, ENGINE_MAX_TOP_LOGPROBS, &n, e);
    if (code != ERR_OK) return code;
    r->logprobs = true;
    r->sampling.n_top_logprobs = (uint32_t)n;
    return ERR_OK;
}

static err_code parse_echo(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = json_get_bool(root, "echo", &r->echo, e);
    if (code != ERR_OK || !r->echo) return code;
    r->scores = r->logprobs;
    for (size_t i = 0; i < r->n_prompts; i++) r->scores |= r->prompts[i].text == NULL; /* the text of token ids comes with the scores */
    return ERR_OK;
}

/* 0 asks for the prompt alone, to echo it or to read it into the cache. */
static err_code parse_limit(yyjson_val *root, const char *key, struct api_request *r, struct err *e) {
    int64_t limit = r->max_tokens;
    err_code code = json_get_i64(root, key, -1, INT32_MAX, &limit, e);
    if (code == ERR_OK) r->max_tokens = (int32_t)limit;
    return code;
}

static err_code completions_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = openai_parse_common(root, r, e)) != ERR_OK) return code;
    if ((code = parse_prompts(root, r, e)) != ERR_OK) return code;
    if ((code = parse_logprobs(root, r, e)) != ERR_OK) return code;
    if ((code = parse_echo(root, r, e)) != ERR_OK) return code;
    r->max_tokens = 16; /* OpenAI's default for this API */
    if ((code = parse_limit(root, "max_tokens", r, e)) != ERR_OK) return code;
    if ((code = parse_limit(root, "max_completion_tokens", r, e)) != ERR_OK) return code;
    int64_t best_of = r->n;
    if ((code = json_get_i64(root, "best_of", 1, API_MAX_CHOICES, &best_of, e)) != ERR_OK) return code;
    if (best_of != r->n) return err_set_field(e, ERR_UNSUPPORTED, "best_of", "not supported other than equal to \"n\"");
    return api_parse_suffix(root, r, e);
}

/* ---- answer ---- */

/* Tokens and the text that they stand in, which begins at byte `start` of its choice, after `chars` characters. */
struct span {
    const struct api_token *tokens;
    size_t n;
    const char *text;
    size_t len, start, chars;
};

/* Writes one element for each token of the spans. chars: the characters before the token. */
typedef void (*append_fn)(const struct api_token *t, size_t chars, struct buf *out);

static void append_list(const char *key, const struct span *spans, size_t n, append_fn fn, struct buf *out) {
    const char *comma = "";
    buf_printf(out, "\"%s\":[", key);
    for (size_t s = 0; s < n; s++) {
        const struct span *in = &spans[s];
        size_t at = 0, chars = in->chars; /* chars counts the text up to this byte */
        for (size_t i = 0; i < in->n; i++, comma = ",") {
            size_t to = in->tokens[i].text_start > in->start ? in->tokens[i].text_start - in->start : 0;
            if (to > in->len) to = in->len;
            if (to > at) {
                chars += text_count(in->text + at, to - at);
                at = to;
            }
            buf_append_str(out, comma);
            fn(&in->tokens[i], chars, out);
        }
    }
    buf_append_byte(out, ']');
}

static void append_piece(const struct api_token *t, size_t chars, struct buf *out) {
    (void)chars;
    text_append_json(out, t->piece, t->len);
}

static void append_logprob(const struct api_token *t, size_t chars, struct buf *out) {
    (void)chars;
    if (t->unknown) buf_append_str(out, "null");
    else openai_append_logprob(out, t->logprob);
}

static void append_offset(const struct api_token *t, size_t chars, struct buf *out) {
    (void)t;
    buf_printf(out, "%zu", chars);
}

static void append_top(const struct api_token *t, size_t chars, struct buf *out) {
    (void)chars;
    if (t->unknown) {
        buf_append_str(out, "null");
        return;
    }
    buf_append_byte(out, '{');
    for (uint32_t k = 0; k < t->n_top; k++) {
        if (k > 0) buf_append_byte(out, ',');
        text_append_json(out, t->top[k].piece, t->top[k].len);
        buf_append_byte(out, ':');
        openai_append_logprob(out, t->top[k].logprob);
    }
    buf_append_byte(out, '}');
}

static void append_logprobs(const struct api_answer *a, const struct span *spans, size_t n, struct buf *out) {
    size_t n_tokens = 0;
    for (size_t i = 0; i < n; i++) n_tokens += spans[i].n;
    if (!a->request->logprobs || n_tokens == 0) {
        buf_append_str(out, "null");
        return;
    }
    buf_append_byte(out, '{');
    append_list("tokens", spans, n, append_piece, out);
    buf_append_byte(out, ',');
    append_list("token_logprobs", spans, n, append_logprob, out);
    buf_append_byte(out, ',');
    if (a->request->sampling.n_top_logprobs == 0) buf_append_str(out, "\"top_logprobs\":null");
    else append_list("top_logprobs", spans, n, append_top, out);
    buf_append_byte(out, ',');
    append_list("text_offset", spans, n, append_offset, out);
    buf_append_byte(out, '}');
}

static void append_identity(const struct api_answer *a, struct buf *out) {
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%" PRId64 ",\"model\":", a->id, a->created);
    text_append_json(out, a->model, strlen(a->model));
    buf_append_str(out, ",\"system_fingerprint\":");
    text_append_json(out, a->fingerprint, strlen(a->fingerprint));
    buf_append_str(out, ",\"choices\":[");
}

static void append_chunk(struct api_answer *a, const struct api_event *ev, const char *finish, struct buf *out) {
    struct api_choice_text *c = &a->choices[ev->choice];
    buf_append(out, a->prefix.data, a->prefix.len);
    buf_printf(out, "{\"index\":%u,\"text\":", ev->choice);
    text_append_json(out, ev->text, ev->len);
    buf_append_str(out, ",\"logprobs\":");
    append_logprobs(a, &(struct span){ev->tokens, ev->n_tokens, ev->text, ev->len, ev->start, c->chars}, 1, out);
    c->chars += text_count(ev->text, ev->len);
    if (finish != NULL) buf_printf(out, ",\"finish_reason\":\"%s\"}]", finish);
    else buf_append_str(out, ",\"finish_reason\":null}]");
    buf_append_str(out, a->request->include_usage ? ",\"usage\":null}\n\n" : "}\n\n");
}

static void completions_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    if (a->prefix.len == 0) {
        buf_append_str(&a->prefix, "data: ");
        append_identity(a, &a->prefix);
    }
    switch (ev->kind) {
    case API_BEGIN: break;
    case API_PROMPT:
    case API_TEXT: append_chunk(a, ev, NULL, out); break;
    case API_FINISH: append_chunk(a, ev, openai_finish_name(ev->finish), out); break;
    case API_END: openai_stream_end(a, out); break;
    case API_REASONING:
    case API_CALL:
    case API_ARGUMENTS:
    case API_CALL_END: break;
    case API_FAIL: openai_stream_fail(ev, out); break;
    }
}

static void append_choice(const struct api_answer *a, const struct api_choice_text *c, uint32_t index, struct buf *out) {
    const char *prompt = c->prompt.len > 0 ? (const char *)c->prompt.data : "", *text = c->text.len > 0 ? (const char *)c->text.data : "";
    const struct span spans[] = {
        {c->tokens, c->n_prompt, prompt, c->prompt.len, 0, 0},
        {c->tokens + c->n_prompt, c->n_tokens - c->n_prompt, text, c->text.len, 0, text_count(prompt, c->prompt.len)}};
    struct buf both;
    buf_init(&both, SIZE_MAX - 1);
    buf_append(&both, prompt, c->prompt.len);
    buf_append(&both, text, c->text.len);
    buf_printf(out, "{\"index\":%u,\"text\":", index);
    text_append_json(out, buf_cstr(&both), both.len);
    buf_append_str(out, ",\"logprobs\":");
    append_logprobs(a, spans, 2, out);
    buf_printf(out, ",\"finish_reason\":\"%s\"}", openai_finish_name(c->finish));
    buf_done(&both);
}

static void completions_whole(struct api_answer *a, struct buf *out) {
    append_identity(a, out);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_choice(a, &a->choices[i], i, out);
    }
    buf_append_str(out, "],\"usage\":");
    openai_append_usage(a, out);
    openai_append_stats(a, out);
    buf_append_byte(out, '}');
}

const struct api api_openai_completions = {
    .name = "openai completions",
    .id_prefix = "cmpl-",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .parse = completions_parse,
    .stream = completions_stream,
    .whole = completions_whole,
    .error = openai_error,
};
