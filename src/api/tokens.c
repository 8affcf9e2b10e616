/* SPDX-License-Identifier: MIT
 * POST /tokenize and /detokenize, in llama-server's shapes: the tokens of a text, with their pieces if asked, and the text of tokens. Pure.
 * A text to tokenise is the request's prompt as text; tokens to turn into text are its prompt as tokens. */
#include <string.h>

#include "api/openai_priv.h"
#include "base/str.h"

/* ---- request ---- */

static err_code tokenize_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *content = yyjson_obj_get(root, "content");
    bool bos = false, special = true;
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    if (!yyjson_is_str(content)) return api_wrong(e, "content", "a string");
    if ((code = json_get_bool(root, "add_special", &bos, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "parse_special", &special, e)) != ERR_OK) return code;
    if ((code = json_get_bool(root, "with_pieces", &r->with_pieces, e)) != ERR_OK) return code;
    r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
    struct api_prompt *p = &r->prompts[r->n_prompts++];
    *p = api_prompt_text(r, content);
    p->has_bos = !bos;
    p->control_is_text = !special;
    return ERR_OK;
}

static err_code detokenize_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = api_parse_model(root, r, e);
    if (code != ERR_OK) return code;
    r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
    return api_prompt_tokens(yyjson_obj_get(root, "tokens"), "tokens", r, &r->prompts[r->n_prompts++], e);
}

/* ---- answer ---- */

/* A piece that is not UTF-8 by itself is written as its bytes. */
static void append_piece(struct buf *out, const char *piece, size_t len) {
    if (str_utf8_valid(piece, len)) {
        text_append_json(out, piece, len);
        return;
    }
    buf_append_byte(out, '[');
    for (size_t i = 0; i < len; i++) buf_printf(out, i > 0 ? ",%u" : "%u", (uint8_t)piece[i]);
    buf_append_byte(out, ']');
}

/* Millions of numbers: printf would take as long as turning the text into tokens. */
static void append_number(struct buf *out, int32_t number) {
    char digits[12], *at = digits + sizeof(digits);
    uint32_t left = (uint32_t)number;
    do *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    buf_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

static void tokenize_whole(struct api_answer *a, struct buf *out) {
    const struct api_tokens *t = &a->tokens;
    buf_append_str(out, "{\"tokens\":[");
    for (size_t i = 0, at = 0; i < t->n; i++) {
        if (i > 0) buf_append_byte(out, ',');
        if (t->ends == NULL) {
            append_number(out, t->ids[i]);
            continue;
        }
        buf_printf(out, "{\"id\":%d,\"piece\":", t->ids[i]);
        append_piece(out, t->bytes + at, t->ends[i] - at);
        buf_append_byte(out, '}');
        at = t->ends[i];
    }
    buf_append_str(out, "]}");
}

static void detokenize_whole(struct api_answer *a, struct buf *out) {
    const struct api_tokens *t = &a->tokens;
    buf_append_str(out, "{\"content\":");
    text_append_json(out, t->n > 0 ? t->bytes : "", t->n > 0 ? t->ends[t->n - 1] : 0);
    buf_append_byte(out, '}');
}

const struct api api_tokenize = {
    .name = "tokenize",
    .id_prefix = "tok-",
    .work = API_WORK_TOKENS,
    .whole_type = "application/json",
    .parse = tokenize_parse,
    .whole = tokenize_whole,
    .error = openai_error,
};

const struct api api_detokenize = {
    .name = "detokenize",
    .id_prefix = "tok-",
    .work = API_WORK_TOKENS,
    .whole_type = "application/json",
    .parse = detokenize_parse,
    .whole = detokenize_whole,
    .error = openai_error,
};
