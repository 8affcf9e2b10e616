/* SPDX-License-Identifier: MIT
 * What crosses a weights link besides the bytes themselves (docs/PROTOCOL.md): HELLO, WELCOME, HAVE, HASHES, SOURCES. Values and both
 * directions of their encoding; every count and length is checked on the way in. No I/O, any thread. */
#ifndef CARAVAN_WEIGHTS_MSG_H
#define CARAVAN_WEIGHTS_MSG_H

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"
#include "wire/pass.h"

enum {
    WEIGHTS_CHUNK = 1 << 20,
    WEIGHTS_PIECE = 256 * 1024,  /* the most in one RANGE: a slow source is heard from now and then */
    WEIGHTS_HASH = 32,
    WEIGHTS_MAX_HASHES = 256,    /* in one HASHES */
    WEIGHTS_MAX_SOURCES = 64
};
#define WEIGHTS_MAX_HEADER (1ull << 30)
#define WEIGHTS_MAX_FILE   (1ull << 44) /* its HAVE still fits a frame */

/* HELLO: which model, and who wants it. */
struct weights_hello {
    char model[65];
    char instance[WIRE_PASS_INSTANCE]; /* that it is for, which the proof belongs to */
    uint64_t epoch;
    struct wire_proof proof;
};
void weights_hello_encode(const struct weights_hello *h, struct buf *out);
err_code weights_hello_decode(const uint8_t *data, size_t len, struct weights_hello *ret, struct err *e);

/* WELCOME: the model's files, and the server's proof (NULL: as the cache keeps it, without one). */
struct weights_shape {
    uint32_t n_parts;
    struct weights_part_shape {
        uint64_t size, header; /* bytes of the file, and of what stands before its tensor data */
    } parts[MODEL_MAX_PARTS];
    bool whole; /* this node has all of them: it can say what their chunks' hashes are */
};
uint64_t weights_n_chunks(uint64_t size);
void weights_shape_encode(const struct weights_shape *s, const struct wire_proof *proof, struct buf *out);
err_code weights_shape_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct wire_proof *ret_proof, struct err *e);

/* HAVE: n values of enum exchange_bits, two bits each. */
void weights_have_encode(const uint8_t *bits, uint64_t n, struct buf *out);
err_code weights_have_decode(const uint8_t *data, size_t len, uint64_t n, uint8_t *ret_bits, struct err *e);

/* HASHES, the question (the answer is u64 first, then the hashes). */
struct weights_run {
    uint64_t first;
    uint32_t n;
};
void weights_run_encode(const struct weights_run *r, struct buf *out);
err_code weights_run_decode(const uint8_t *data, size_t len, uint64_t n_chunks, struct weights_run *ret, struct err *e);

/* SOURCES: who has the model, or parts of it. */
struct weights_source {
    uint64_t node;
    char host[64];
    uint16_t port;
    bool whole;
};
void weights_sources_encode(const struct weights_source *list, size_t n, struct buf *out);
err_code weights_sources_decode(const uint8_t *data, size_t len, struct weights_source ret[WEIGHTS_MAX_SOURCES], size_t *ret_n,
                                struct err *e);

#endif
