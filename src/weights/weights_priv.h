/* SPDX-License-Identifier: MIT
 * Inside of weights.h: frames over a TLS stream, and links that are opened in threads of their own, so that no link waits for another. */
#ifndef CARAVAN_WEIGHTS_WEIGHTS_PRIV_H
#define CARAVAN_WEIGHTS_WEIGHTS_PRIV_H

#include "weights/weights.h"
#include "weights/cache.h"
#include "weights/msg.h"
#include "io/sock.h"
#include "io/tls_stream.h"
#include "model/slice.h"
#include "wire/frame.h"
#include "wire/reader.h"

/* Sends a frame; number carries the part. */
err_code weights_send(struct io_tls_stream *s, enum frame_type type, uint32_t number, const void *data, size_t len, struct err *e);
/* Reads the next frame; r holds it until the next call. wait = false: ERR_BUSY when not all of it has come yet. A REFUSE is returned as the
 * error that it carries. */
err_code weights_receive(struct io_tls_stream *s, struct wire_reader *r, bool wait, struct err *e);
/* Questions: WANT, and HASHES. */
err_code weights_ask(struct io_tls_stream *s, uint32_t part, uint64_t offset, uint64_t len, struct err *e);
err_code weights_ask_hashes(struct io_tls_stream *s, uint32_t part, const struct weights_run *run, struct err *e);
/* The frame answers the question about these hashes: *ret_hashes points at them, run->n x WEIGHTS_HASH bytes. ERR_PROTOCOL: it doesn't. */
err_code weights_hashes_check(const struct wire_reader *in, uint32_t part, const struct weights_run *run, const uint8_t **ret_hashes,
                              struct err *e);

/* The shared state that outlives a fetch while an attempt to connect is running; reference-counted. It copies the key and this node's
 * proof from the place. */
struct weights_shared;
struct weights_shared *weights_shared_create(const struct weights_place *place, struct err *e);
int weights_shared_wake_fd(const struct weights_shared *s); /* poll it for reading, then empty it */
void weights_shared_wake(struct weights_shared *s);
void weights_shared_release(struct weights_shared *s);

/* Connects to that node, names the model, and receives its shape. Each step blocks for at most a few seconds. */
err_code weights_connect(struct weights_shared *s, const struct io_addr *to, uint64_t node, const char *id, struct io_tls_stream **ret,
                         struct weights_shape *ret_shape, struct err *e);
/* An attempt to connect, in a thread of its own; the wake descriptor tells when it is over. */
struct weights_dial;
struct weights_dial *weights_dial_start(struct weights_shared *s, const struct io_addr *to, uint64_t node, const char *id);
/* ERR_BUSY: it is still running. */
err_code weights_dial_result(struct weights_dial *d, struct io_tls_stream **ret, struct weights_shape *ret_shape, struct err *e);
void weights_dial_free(struct weights_dial *d); /* also while it runs; NULL is fine */

/* The chunks that the ranges of a slice touch, sorted, as a new array. */
struct weights_chunk {
    uint32_t part;
    uint64_t chunk;
};
struct weights_chunk *weights_chunks_of(const struct model_slice *slice, size_t *ret_n);
uint32_t weights_chunk_bytes(const struct weights_shape *s, const struct weights_chunk *c);

#endif
