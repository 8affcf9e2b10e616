/* SPDX-License-Identifier: MIT */
#include "engine/vocab.h"

#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

bool engine_vocab_usable(const struct llama_vocab *v) { return v != NULL && llama_vocab_type(v) != LLAMA_VOCAB_TYPE_NONE; }

/* A first guess of the number of tokens. If a text has more, libllama returns their number, and the second try has room. */
static size_t first_guess(size_t len) { return len / 3 + 16; }

err_code engine_vocab_tokenize(const struct llama_vocab *v, const char *text, size_t len, bool add_bos, bool special, int32_t **ret_tokens,
                               size_t *ret_n, struct err *e) {
    if (!engine_vocab_usable(v)) return err_set(e, ERR_UNSUPPORTED, "the model has no tokenizer");
    if (len > ENGINE_MAX_TEXT) return err_set(e, ERR_LIMIT, "text of %zu bytes, at most %d can be tokenised at once", len, ENGINE_MAX_TEXT);
    size_t room = first_guess(len);
    int32_t *tokens = NULL;
    for (;;) {
        int32_t *grown = realloc(tokens, room * sizeof(*tokens));
        if (grown == NULL) {
            free(tokens);
            return err_set(e, ERR_MEMORY, "cannot tokenise %zu bytes", len);
        }
        tokens = grown;
        int32_t n = llama_tokenize(v, text, (int32_t)len, tokens, (int32_t)room, add_bos, special);
        if (n >= 0) {
            *ret_tokens = tokens;
            *ret_n = (size_t)n;
            return ERR_OK;
        }
        if (n == INT32_MIN) {
            free(tokens);
            return err_set(e, ERR_LIMIT, "text of %zu bytes has too many tokens", len);
        }
        room = (size_t)-n;
    }
}

/* ---- pairs ---- */

static err_code fill_form(const struct llama_vocab *v, const char *form, const char *query, size_t query_len, const char *text, size_t len,
                          int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    static const char query_mark[] = "{query}", text_mark[] = "{document}";
    struct buf b;
    buf_init(&b, (size_t)ENGINE_MAX_TEXT * 2);
    for (const char *p = form; *p != '\0';) {
        bool is_query = strncmp(p, query_mark, sizeof(query_mark) - 1) == 0, is_text = strncmp(p, text_mark, sizeof(text_mark) - 1) == 0;
        if (is_query) buf_append(&b, query, query_len);
        else if (is_text) buf_append(&b, text, len);
        else buf_append_byte(&b, (uint8_t)*p);
        p += is_query ? sizeof(query_mark) - 1 : is_text ? sizeof(text_mark) - 1 : 1;
    }
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "the two texts are too long")
                             : engine_vocab_tokenize(v, (const char *)b.data, b.len, true, true, ret_tokens, ret_n, e);
    buf_done(&b);
    return code;
}

static void put(int32_t *to, size_t *n, bool wanted, int32_t token) {
    if (wanted && token >= 0) to[(*n)++] = token;
}

err_code engine_vocab_tokenize_pair(const struct llama_vocab *v, const char *form, const char *query, size_t query_len, const char *text,
                                    size_t len, int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    if (form != NULL) return fill_form(v, form, query, query_len, text, len, ret_tokens, ret_n, e);
    int32_t *first = NULL, *second = NULL;
    size_t n_first = 0, n_second = 0, n = 0;
    err_code code = engine_vocab_tokenize(v, query, query_len, false, false, &first, &n_first, e);
    if (code == ERR_OK) code = engine_vocab_tokenize(v, text, len, false, false, &second, &n_second, e);
    if (code == ERR_OK) { /* begin, query, end, separator, text, end: without the tokens that the model does not want */
        int32_t *all = mem_calloc(n_first + n_second + 4, sizeof(*all));
        int32_t end = llama_vocab_eos(v) >= 0 ? llama_vocab_eos(v) : llama_vocab_sep(v);
        put(all, &n, llama_vocab_get_add_bos(v), llama_vocab_bos(v));
        memcpy(all + n, first, n_first * sizeof(*all));
        n += n_first;
        put(all, &n, llama_vocab_get_add_eos(v), end);
        put(all, &n, llama_vocab_get_add_sep(v), llama_vocab_sep(v));
        memcpy(all + n, second, n_second * sizeof(*all));
        n += n_second;
        put(all, &n, llama_vocab_get_add_eos(v), end);
        *ret_tokens = all;
        *ret_n = n;
    }
    free(first);
    free(second);
    return code;
}

bool engine_vocab_piece(const struct llama_vocab *v, int32_t token, struct buf *out) {
    if (!engine_vocab_usable(v) || token < 0 || token >= llama_vocab_n_tokens(v)) return false;
    int32_t room = 64;
    for (int tries = 0; tries < 2 && buf_reserve(out, (size_t)room); tries++) {
        int32_t n = llama_token_to_piece(v, token, (char *)out->data + out->len, room, 0, true);
        if (n >= 0) {
            out->len += (size_t)n;
            break;
        }
        room = -n;
    }
    return llama_vocab_is_control(v, token);
}

bool engine_vocab_is_end(const struct llama_vocab *v, int32_t token) {
    return token >= 0 && token < llama_vocab_n_tokens(v) && llama_vocab_is_eog(v, token);
}

uint32_t engine_vocab_size(const struct llama_vocab *v) { return (uint32_t)llama_vocab_n_tokens(v); }
