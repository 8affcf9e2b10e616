/* SPDX-License-Identifier: MIT
 * The payload of a COMPUTE frame: sequence operations, tokens, trace, hidden rows, laid out as wire/frame.h draws them. Encoding makes the
 * part in front of the hidden rows (which stand wherever wire/hidden.h put them); reading gives a checked view over the received bytes:
 * nothing is copied or allocated. Sans-I/O, any thread. */
#ifndef CARAVAN_WIRE_COMPUTE_H
#define CARAVAN_WIRE_COMPUTE_H

#include "wire/frame.h"

enum { WIRE_MAX_POSITION = (1 << 30) - 1 };

/* What a sequence operation does, before the tokens of its frame are computed (the engine's operations, as they are numbered on the
 * wire). */
enum wire_op_kind {
    WIRE_OP_RM = 1,    /* remove positions [p0, p1) of seq */
    WIRE_OP_CP = 2,    /* copy positions [p0, p1) of seq to dst */
    WIRE_OP_KEEP = 3,  /* drop every other sequence */
    WIRE_OP_CLOSE = 4, /* the sequence ends */
    WIRE_OP_PARK = 5,  /* the sequence is not needed for a while */
};
struct wire_op {
    uint8_t kind;
    uint32_t seq, dst; /* dst: CP only, else 0 */
    int32_t p0, p1;    /* p1 -1: to the end. KEEP, CLOSE, PARK: 0 and -1 */
};

enum { WIRE_TOKEN_SAMPLE = 1, WIRE_TOKEN_LOGITS = 2, WIRE_TOKEN_DRAFT = 4, WIRE_TOKEN_POOL = 8, WIRE_TOKEN_FLAGS = 15 };
struct wire_token {
    int32_t token, pos;
    uint16_t seq, flags;
};

/* What a stage did with a frame; each appends one as the frame passes. */
struct wire_trace {
    uint16_t stage;
    uint32_t hop_us;     /* on the way from the previous stage */
    uint32_t wait_us;    /* here, until its turn came */
    uint32_t compute_us;
};

/* Bytes of all that stands in front of the hidden rows. */
size_t wire_compute_head_size(uint32_t n_ops, uint32_t n_tokens, uint32_t n_trace);
/* Writes them to out (wire_compute_head_size bytes). An entry that wire_compute_view would refuse is a programmer's error (asserted);
 * fields that a kind of operation does not use are written as the wire wants them, and any negative p0 or p1 as 0 or -1. */
void wire_compute_put(uint8_t *out, const struct wire_op *ops, uint32_t n_ops, const struct wire_token *tokens, uint32_t n_tokens,
                      const struct wire_trace *trace, uint32_t n_trace);
/* One trace entry alone (FRAME_TRACE_SIZE bytes), for whoever passes a frame on. */
void wire_trace_put(uint8_t out[FRAME_TRACE_SIZE], const struct wire_trace *t);

/* A received COMPUTE; points into the payload. */
struct wire_compute {
    const uint8_t *ops, *tokens, *trace, *hidden;
    uint32_t n_ops, n_tokens, n_trace, width;
    uint8_t dtype;
    size_t row_bytes;
};
/* The view over the payload of a header that frame_header_get has passed. Every entry is checked: kind, sequences under FRAME_MAX_SEQ,
 * positions, known flags, reserved bytes 0, and that rows are `width` floats wide wherever there are tokens. ERR_PROTOCOL names the entry
 * and the field. */
err_code wire_compute_view(const struct frame_header *h, const uint8_t *payload, uint32_t width, struct wire_compute *ret, struct err *e);

/* Entries of a checked view; i is under its count (asserted). */
struct wire_op wire_compute_op(const struct wire_compute *c, uint32_t i);
struct wire_token wire_compute_token(const struct wire_compute *c, uint32_t i);
struct wire_trace wire_compute_trace(const struct wire_compute *c, uint32_t i);

/* Trace entries of a TOKENS payload, or any n x FRAME_TRACE_SIZE bytes. */
struct wire_trace wire_trace_get(const uint8_t in[FRAME_TRACE_SIZE]);

#endif
