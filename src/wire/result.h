/* SPDX-License-Identifier: MIT
 * The TOKENS payload: what the tail says of the flagged tokens of one COMPUTE frame, in the order of the batch. Encoding and bounds-checked
 * decoding of bytes; no I/O, any thread. The trace (compute times of the stages) follows the results in the same payload.
 *
 *   result, little-endian: u16 seq | u16 index in the batch | i32 pos | i32 token | f32 logprob | u8 flags | u8 n_top | u16 text_len
 *           | u32 n_logits | n_top x { i32 token, f32 logprob } | text (why sampling failed) | n_logits x f32
 *   trace:  as in wire/frame.h: u16 stage | u16 0 | u32 hop_us | u32 wait_us | u32 compute_us */
#ifndef CARAVAN_WIRE_RESULT_H
#define CARAVAN_WIRE_RESULT_H

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "engine/engine.h"
#include "wire/compute.h"

enum {
    RESULT_END = 1,      /* the token ends the generation */
    RESULT_SAMPLED = 2,  /* token, logprob, top are there */
    RESULT_LOGITS = 4,   /* a row of logits is there */
    RESULT_VECTOR = 16,  /* the vector of a text is there, in place of logits */
    RESULT_FAILED = 8
}; /* sampling this sequence failed: text says why */
enum { RESULT_FIXED_SIZE = 24, RESULT_MAX_TEXT = 400 };

struct result {
    uint16_t seq, index;
    int32_t pos;
    uint8_t flags;
    struct engine_sample sample;       /* with RESULT_SAMPLED */
    const char *text;                  /* with RESULT_FAILED; text_len bytes, no NUL; points into the payload when decoded */
    uint16_t text_len;
    const uint8_t *logits;             /* with RESULT_LOGITS: n_logits little-endian floats; points into the payload when decoded */
    uint32_t n_logits;
};

/* The last token sampled in a sequence, and behind which position; both -1: none. The tail and the head keep one of each sequence, and so
 * agree which proposals are answered. */
struct result_last {
    int32_t pos, token;
};
/* Is a token with these flags answered? Not a proposal that isn't the last token sampled, or stands elsewhere. */
bool result_is_due(const struct result_last *last, uint16_t flags, int32_t pos, int32_t token);
/* A token that was to be sampled after (ENGINE_TOKEN_SAMPLE) has been answered. */
void result_note(struct result_last *last, const struct result *r);

void result_put(const struct result *r, struct buf *out);
/* Reads the next result. ERR_FORMAT: cut short, an unknown flag, n_top over ENGINE_MAX_TOP_LOGPROBS, a text that is too long, or parts
 * without their flag. */
err_code result_get(struct bytes_reader *r, struct result *ret, struct err *e);
/* Reads the next entry of the trace (wire_trace_put writes one). */
err_code result_get_trace(struct bytes_reader *r, struct wire_trace *ret, struct err *e);

#endif
