/* SPDX-License-Identifier: MIT
 * The payload of a COMPUTE frame: operations (struct engine_op), tokens (struct engine_token) and traces (struct wire_trace), as their
 * tables lay them out, then hidden rows. Encoding makes the part in front of the hidden rows, which wire/hidden.h makes. Reading gives a
 * checked view of the received bytes; nothing is copied or allocated. Sans-I/O, any thread. */
#ifndef CARAVAN_WIRE_COMPUTE_H
#define CARAVAN_WIRE_COMPUTE_H

#include "engine/engine.h"
#include "wire/frame.h"

/* Bytes in front of the hidden rows. */
size_t wire_compute_head_size(uint32_t n_ops, uint32_t n_tokens, uint32_t n_trace);
/* Writes them to out (wire_compute_head_size bytes). An entry that wire_compute_view would refuse is a programmer's error (asserted).
 * Fields that a kind of operation does not use are written as 0 and -1; so are a negative p0 and p1. */
void wire_compute_put(uint8_t *out, const struct engine_op *ops, uint32_t n_ops, const struct engine_token *tokens, uint32_t n_tokens,
                      const struct wire_trace *trace, uint32_t n_trace);

/* A received COMPUTE; points into the payload. */
struct wire_compute {
    const uint8_t *ops, *tokens, *trace, *hidden;
    uint32_t n_ops, n_tokens, n_trace, width;
    uint8_t dtype;
    size_t row_bytes;
};
/* Makes the view of a payload whose header frame_header_get has accepted. Checks every entry, and that rows are `width` floats wide if
 * there are tokens. ERR_PROTOCOL names the entry and its fault. */
err_code wire_compute_view(const struct frame_header *h, const uint8_t *payload, uint32_t width, struct wire_compute *ret, struct err *e);

/* Entries of a checked view; i is under its count (asserted). */
struct engine_op wire_compute_op(const struct wire_compute *c, uint32_t i);
struct engine_token wire_compute_token(const struct wire_compute *c, uint32_t i);
struct wire_trace wire_compute_trace(const struct wire_compute *c, uint32_t i);

#endif
