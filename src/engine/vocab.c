/* SPDX-License-Identifier: MIT */
#include "engine/vocab.h"

#include <llama.h>
#include <stdlib.h>

bool engine_vocab_usable(const struct llama_vocab *v) {
    return v != NULL && llama_vocab_type(v) != LLAMA_VOCAB_TYPE_NONE;
}

/* Rarely more tokens than this; if so, libllama says how many, and the second try has room. */
static size_t first_guess(size_t len) { return len / 3 + 16; }

err_code engine_vocab_tokenize(const struct llama_vocab *v, const char *text, size_t len, bool add_bos, bool special,
                               int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    if (!engine_vocab_usable(v)) return err_set(e, ERR_UNSUPPORTED, "the model has no tokenizer");
    if (len > ENGINE_MAX_TEXT)
        return err_set(e, ERR_LIMIT, "text of %zu bytes, at most %d can be tokenised at once", len, ENGINE_MAX_TEXT);
    size_t room = first_guess(len);
    int32_t *tokens = NULL;
    for (;;) {
        int32_t *grown = realloc(tokens, room * sizeof *tokens);
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
