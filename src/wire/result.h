/* SPDX-License-Identifier: MIT
 * The TOKENS payload: the tail's answers to the flagged tokens of one COMPUTE frame (struct result), in the order of the batch, then the
 * stages' traces (struct wire_trace). Encoding and bounds-checked decoding; no I/O, any thread. */
#ifndef CARAVAN_WIRE_RESULT_H
#define CARAVAN_WIRE_RESULT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "engine/engine.h"
#include "wire/frame.h"

enum {
    RESULT_SAMPLED = 1, /* the sample is there */
    RESULT_LOGITS = 2,  /* a row of logits is there */
    RESULT_FAILED = 4,  /* sampling this sequence failed: the text says why */
    RESULT_VECTOR = 8,  /* the vector of a text is there, in place of logits */
    RESULT_SCORED = 16, /* the token's own score is there */
    RESULT_FLAGS = RESULT_SAMPLED | RESULT_LOGITS | RESULT_FAILED | RESULT_VECTOR | RESULT_SCORED
};
enum { RESULT_MAX_TEXT = 400 };

#define MESSAGES_RESULT
#include "base/field_structs.h"
#undef MESSAGES_RESULT

/* The token that was sampled last in a sequence, and the position after which it was sampled; both -1: none. The tail and the head each
 * keep one for every sequence, and so agree which proposals are answered. */
struct result_last {
    int32_t pos, token;
};
/* Is a token with these flags answered? A proposal is answered only if it equals the token sampled last and has the next position. */
bool result_is_due(const struct result_last *last, uint16_t flags, int32_t pos, int32_t token);
/* Notes the answer to a token with ENGINE_TOKEN_SAMPLE. */
void result_note(struct result_last *last, const struct result *r);

/* Parts whose flag is not set are left out. */
void result_put(const struct result *r, struct buf *out);
/* Reads the next result. ERR_PROTOCOL: cut short, out of range, or parts without their flag. */
err_code result_get(struct bytes_reader *r, struct result *ret, struct err *e);

#endif
