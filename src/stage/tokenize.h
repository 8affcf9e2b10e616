/* SPDX-License-Identifier: MIT
 * Asking a head stage to turn text into tokens, or tokens into text (frames TOKENIZE and TOKENIZED): values and their encoding,
 * little-endian. The name is the instance's, for the node that has the head; a head gets none.
 * TOKENIZE:  u64 id | u8 bos | u8 special | u16 name length | u8 back | u8[3] 0 | name | text (UTF-8), or, back, n x i32 tokens
 * TOKENIZED: u64 id | u32 n_tokens | n_tokens x i32, or, back, n_tokens x u32 where each piece ends | the pieces' bytes;
 *            n_tokens = UINT32_MAX: it failed, the rest is the error's text.
 * No I/O, any thread. */
#ifndef CARAVAN_STAGE_TOKENIZE_H
#define CARAVAN_STAGE_TOKENIZE_H

#include "base/buf.h"
#include "base/err.h"

struct tokenize_ask {
    uint64_t id;
    bool bos, special;  /* put the model's begin-of-text token first; read control tokens in the text */
    bool back;          /* tokens into text */
    const char *text;   /* borrowed; back: the tokens' bytes, as they stand in the frame */
    size_t len;
    const char *name;   /* borrowed, not terminated */
    size_t name_len;
};
void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out);
err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e); /* text points into data */

void tokenize_answer_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out);
/* bytes: all pieces; ends[i]: where the i-th ends. */
void tokenize_pieces_encode(uint64_t id, const char *bytes, const uint32_t *ends, size_t n, struct buf *out);
/* *ret_ends is the caller's (free); bytes point into data. The other side's failure comes back as an error. */
err_code tokenize_pieces_decode(const uint8_t *data, size_t len, const char **ret_bytes, uint32_t **ret_ends, size_t *ret_n, struct err *e);
void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out);
/* *ret_tokens is the caller's (free). The other side's failure comes back as an error. */
err_code tokenize_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, int32_t **ret_tokens, size_t *ret_n, struct err *e);

#endif
