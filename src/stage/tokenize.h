/* SPDX-License-Identifier: MIT
 * Asking a head stage to turn text into tokens, or tokens into text (frames TOKENIZE and TOKENIZED): values and their encoding, from
 * tables/messages.def. The name in a question is the instance's, for the node that has the head; a head gets an empty name. No I/O, any
 * thread. */
#ifndef CARAVAN_STAGE_TOKENIZE_H
#define CARAVAN_STAGE_TOKENIZE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"

/* The structs tokenize_ask, and tokenize_answer, which precedes the tokens or the error. */
#define MESSAGES_TOKENIZE
#include "base/field_structs.h"
#undef MESSAGES_TOKENIZE

void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out);
err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e); /* text points into data */
/* The i-th token of a decoded question with `back`; i is under n_tokens (asserted). */
int32_t tokenize_ask_token(const struct tokenize_ask *a, size_t i);

void tokenize_tokens_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out);
/* bytes: all pieces; ends[i]: where the i-th ends. */
void tokenize_pieces_encode(uint64_t id, const char *bytes, const uint32_t *ends, size_t n, struct buf *out);
void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out);

/* *ret_tokens is the caller's (free). ERR_PROTOCOL: malformed; any other code: the error that the other side sent. */
err_code tokenize_tokens_decode(const uint8_t *data, size_t len, int32_t **ret_tokens, size_t *ret_n, struct err *e);
/* *ret_ends is the caller's (free); bytes point into data. Errors likewise. */
err_code tokenize_pieces_decode(const uint8_t *data, size_t len, const char **ret_bytes, uint32_t **ret_ends, size_t *ret_n, struct err *e);

/* Reads, and replaces, the id of the question in a TOKENIZED answer: for a node that passes the answer on. */
err_code tokenize_answer_peek(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *e);
void tokenize_answer_rename(uint8_t *data, size_t len, uint64_t id);

#endif
