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
        return err_set(e, ERR_INVALID, "field \"prompt\": %zu prompts with \"n\": %u make more than %d choices", r->n_prompts, r->n,
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
    if (r->logprobs)
        return err_set(e, ERR_UNSUPPORTED, "field \"echo\": log probabilities of the prompt are not supported; leave \"logprobs\" out");
    for (size_t i = 0; i < r->n_prompts; i++)
        if (r->prompts[i].text == NULL)
            return err_set(e, ERR_UNSUPPORTED, "field \"echo\": only text prompts can be echoed, not token ids");
    return ERR_OK;
}

static err_code completions_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = openai_parse_common(root, r, e)) != ERR_OK) return code;
    if ((code = parse_prompts(root, r, e)) != ERR_OK) return code;
    if ((code = parse_logprobs(root, r, e)) != ERR_OK) return code;
    if ((code = parse_echo(root, r, e)) != ERR_OK) return code;
    r->max_tokens = 16; /* OpenAI's default for this API */
    if ((code = openai_parse_limit(root, "max_tokens", &r->max_tokens, e)) != ERR_OK) return code;
    if ((code = openai_parse_limit(root, "max_completion_tokens", &r->max_tokens, e)) != ERR_OK) return code;
    int64_t best_of = r->n;
    if ((code = json_get_i64(root, "best_of", 1, API_MAX_CHOICES, &best_of, e)) != ERR_OK) return code;
    if (best_of != r->n) return err_set(e, ERR_UNSUPPORTED, "field \"best_of\": not supported other than equal to \"n\"");
    return api_parse_suffix(root, r, e);
}

/* ---- answer ---- */

static void append_strings(const struct api_token *tokens, size_t n, struct buf *out) {
    buf_append_str(out, "{\"tokens\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) buf_append_byte(out, ',');
        text_append_json(out, tokens[i].piece, tokens[i].len);
    }
    buf_append_str(out, "],\"token_logprobs\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) buf_append_byte(out, ',');
        openai_append_logprob(out, tokens[i].logprob);
    }
}

static void append_top(const struct api_token *t, struct buf *out) {
    buf_append_byte(out, '{');
    for (uint32_t k = 0; k < t->n_top; k++) {
        if (k > 0) buf_append_byte(out, ',');
        text_append_json(out, t->top[k].piece, t->top[k].len);
        buf_append_byte(out, ':');
        openai_append_logprob(out, t->top[k].logprob);
    }
    buf_append_byte(out, '}');
}

/* text begins at byte `start` of the choice's text, after `chars` characters. */
static void append_logprobs(const struct api_answer *a, const struct api_token *tokens, size_t n, const char *text, size_t len,
                            size_t start, size_t chars, struct buf *out) {
    if (!a->request->logprobs || n == 0) {
        buf_append_str(out, "null");
        return;
    }
    append_strings(tokens, n, out);
    buf_append_str(out, "],\"top_logprobs\":");
    if (a->request->sampling.n_top_logprobs == 0) {
        buf_append_str(out, "null");
    } else {
        for (size_t i = 0; i < n; i++) {
            buf_append_byte(out, i == 0 ? '[' : ',');
            append_top(&tokens[i], out);
        }
        buf_append_byte(out, ']');
    }
    buf_append_str(out, ",\"text_offset\":[");
    size_t at = 0; /* chars counts the text up to this byte */
    for (size_t i = 0; i < n; i++) {
        size_t to = tokens[i].text_start > start ? tokens[i].text_start - start : 0;
        if (to > len) to = len;
        if (to > at) {
            chars += text_count(text + at, to - at);
            at = to;
        }
        buf_printf(out, "%s%zu", i > 0 ? "," : "", chars);
    }
    buf_append_str(out, "]}");
}

static void append_identity(const struct api_answer *a, struct buf *out) {
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"text_completion\",\"created\":%" PRId64 ",\"model\":", a->id, a->created);
    text_append_json(out, a->model, strlen(a->model));
    buf_append_str(out, ",\"system_fingerprint\":");
    text_append_json(out, a->fingerprint, strlen(a->fingerprint));
    buf_append_str(out, ",\"choices\":[");
}

static const struct api_prompt *prompt_of(const struct api_answer *a, uint32_t choice) {
    return &a->request->prompts[choice / a->request->n];
}

static void append_chunk(struct api_answer *a, const struct api_event *ev, const char *finish, struct buf *out) {
    struct api_choice_text *c = &a->choices[ev->choice];
    buf_append(out, a->prefix.data, a->prefix.len);
    buf_printf(out, "{\"index\":%u,\"text\":", ev->choice);
    text_append_json(out, ev->text, ev->len);
    buf_append_str(out, ",\"logprobs\":");
    append_logprobs(a, ev->tokens, ev->n_tokens, ev->text, ev->len, ev->start, c->chars, out);
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
    case API_BEGIN:
        if (a->request->echo) {
            const struct api_prompt *p = prompt_of(a, ev->choice);
            struct api_event echo = {.kind = API_TEXT, .choice = ev->choice, .text = p->text, .len = p->len};
            append_chunk(a, &echo, NULL, out);
        }
        break;
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

static void completions_whole(struct api_answer *a, struct buf *out) {
    append_identity(a, out);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        const struct api_choice_text *c = &a->choices[i];
        buf_printf(out, "%s{\"index\":%u,\"text\":", i > 0 ? "," : "", i);
        if (a->request->echo) {
            struct buf both;
            buf_init(&both, SIZE_MAX - 1);
            buf_append(&both, prompt_of(a, i)->text, prompt_of(a, i)->len);
            buf_append(&both, c->text.data, c->text.len);
            text_append_json(out, (const char *)both.data, both.len);
            buf_done(&both);
        } else {
            text_append_json(out, (const char *)c->text.data, c->text.len);
        }
        buf_append_str(out, ",\"logprobs\":");
        append_logprobs(a, c->tokens, c->n_tokens, (const char *)c->text.data, c->text.len, 0, 0, out);
        buf_printf(out, ",\"finish_reason\":\"%s\"}", openai_finish_name(c->finish));
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
