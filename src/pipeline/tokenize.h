/* SPDX-License-Identifier: MIT
 * Asking a head stage to turn text into tokens (frames TOKENIZE and TOKENIZED): values and their encoding, little-endian.
 * TOKENIZE:  u64 id | u8 bos | u8 special | u8[6] 0 | text (UTF-8)
 * TOKENIZED: u64 id | u32 n_tokens | n_tokens x i32; n_tokens = UINT32_MAX: it failed, the rest is the error's text.   No I/O, any thread.
 * */
#ifndef CARAVAN_PIPELINE_TOKENIZE_H
#define CARAVAN_PIPELINE_TOKENIZE_H

#include "base/buf.h"
#include "base/err.h"

struct tokenize_ask {
    uint64_t id;
    bool bos, special;  /* put the model's begin-of-text token first; read control tokens in the text */
    const char *text;   /* borrowed */
    size_t len;
};
void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out);
err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e); /* text points into data */

void tokenize_answer_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out);
void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out);
/* *ret_tokens is the caller's (free). The other side's failure comes back as an error. */
err_code tokenize_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, int32_t **ret_tokens, size_t *ret_n, struct err *e);

#endif
