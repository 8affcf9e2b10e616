/* SPDX-License-Identifier: MIT
 * The messages of a weights link besides the bytes themselves (docs/PROTOCOL.md): HELLO, WELCOME, HAVE, HASHES, SOURCES. Values and both
 * directions of their encoding; every count and length is checked on reading. No I/O, any thread. */
#ifndef CARAVAN_WEIGHTS_MSG_H
#define CARAVAN_WEIGHTS_MSG_H

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"
#include "wire/pass.h"

#define WEIGHTS_NAME "weights.caravan" /* the server name of a weights link */
enum {
    WEIGHTS_CHUNK = 1 << 20,
    WEIGHTS_PIECE = 256 * 1024,  /* the most in one RANGE, so that a slow source shows signs of life */
    WEIGHTS_HASH = 32,
    WEIGHTS_MAX_HASHES = 256,    /* in one HASHES */
    WEIGHTS_MAX_SOURCES = 64
};
#define WEIGHTS_MAX_HEADER (1ull << 30)
#define WEIGHTS_MAX_FILE   (1ull << 44) /* so that its HAVE still fits a frame */

/* The structs weights_hello, weights_welcome with weights_shape, weights_want, weights_range, weights_run (HASHES, the question),
 * weights_hashed (the answer), weights_have, and weights_sources. */
#define MESSAGES_WEIGHTS
#include "base/field_structs.h"
#undef MESSAGES_WEIGHTS

uint64_t weights_n_chunks(uint64_t size);
void weights_hello_encode(const struct weights_hello *h, struct buf *out);
err_code weights_hello_decode(const uint8_t *data, size_t len, struct weights_hello *ret, struct err *e);
void weights_welcome_encode(const struct weights_shape *s, const struct wire_proof *proof, struct buf *out);
err_code weights_welcome_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct wire_proof *ret_proof, struct err *e);
/* The shape alone, for the cache's file. */
void weights_shape_encode(const struct weights_shape *s, struct buf *out);
err_code weights_shape_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct err *e);

/* HAVE: n values of enum exchange_bits, two bits each. */
void weights_have_encode(const uint8_t *bits, uint64_t n, struct buf *out);
err_code weights_have_decode(const uint8_t *data, size_t len, uint64_t n, uint8_t *ret_bits, struct err *e);

/* HASHES, the question, of a part of n_chunks. */
err_code weights_run_decode(const uint8_t *data, size_t len, uint64_t n_chunks, struct weights_run *ret, struct err *e);

/* SOURCES: the nodes that have the model or parts of it. */
void weights_sources_encode(const struct weights_source *list, size_t n, struct buf *out);
err_code weights_sources_decode(const uint8_t *data, size_t len, struct weights_source ret[WEIGHTS_MAX_SOURCES], size_t *ret_n,
                                struct err *e);

#endif
