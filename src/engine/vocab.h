/* SPDX-License-Identifier: MIT
 * Text to tokens and back, by libllama's tokenizer. Thread-safe as libllama's is; the vocabulary belongs to its model. */
#ifndef CARAVAN_ENGINE_VOCAB_H
#define CARAVAN_ENGINE_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct llama_vocab;

enum { ENGINE_MAX_TEXT = 64 * 1024 * 1024 }; /* bytes tokenised at once */

/* Is there a tokenizer at all? (Middle slices and some test models have none.) */
bool engine_vocab_usable(const struct llama_vocab *v);
/* *ret_tokens is a new array (free it), or NULL if there are no tokens. add_bos: adds the begin token if the model asks for it. special:
 * control tokens in the text are parsed. ERR_LIMIT: too long. ERR_UNSUPPORTED: no tokenizer. Bytes that are not UTF-8 become the
 * replacement character. */
err_code engine_vocab_tokenize(const struct llama_vocab *v, const char *text, size_t len, bool add_bos, bool special, int32_t **ret_tokens,
                               size_t *ret_n, struct err *e);
/* A query and a text, for a model that ranks: in its template ("{query}" and "{document}" stand for them) if it has one (else NULL), or
 * separated by the vocabulary's tokens for that purpose. As engine_vocab_tokenize otherwise. */
err_code engine_vocab_tokenize_pair(const struct llama_vocab *v, const char *form, const char *query, size_t query_len, const char *text,
                                    size_t len, int32_t **ret_tokens, size_t *ret_n, struct err *e);
/* Appends the bytes of a token; nothing for a number out of range. True for a control token: its text is markup, not for the reader. */
bool engine_vocab_piece(const struct llama_vocab *v, int32_t token, struct buf *out);
/* Does this token end generation (end of sequence, of turn, ...)? */
bool engine_vocab_is_end(const struct llama_vocab *v, int32_t token);
uint32_t engine_vocab_size(const struct llama_vocab *v);

#endif
