/* SPDX-License-Identifier: MIT
 * A TLS connection in memory, for the loop (io/tls.h says which TLS): bytes from the network go in, decrypted bytes and bytes for the
 * network come out, and the caller moves them (io/stream.h). A pump belongs to one thread and never waits. */
#ifndef CARAVAN_IO_TLS_PUMP_H
#define CARAVAN_IO_TLS_PUMP_H

#include <stdbool.h>

#include "base/buf.h"
#include "io/tls.h"

struct io_tls_pump;
struct io_tls_pump *io_tls_pump_create(struct io_tls_ctx *ctx, bool server, const char *name);
void io_tls_pump_free(struct io_tls_pump *p);
/* Bytes came from the network: decrypted bytes are appended to plain, and bytes that must be sent (handshake, alerts) to net. */
err_code io_tls_pump_receive(struct io_tls_pump *p, const void *data, size_t len, struct buf *plain, struct buf *net, struct err *e);
/* Encrypts len bytes onto net. Before the handshake is done they are kept and sent after it. A client starts its handshake by a first
 * send or receive, even of 0 bytes. */
err_code io_tls_pump_send(struct io_tls_pump *p, const void *data, size_t len, struct buf *net, struct err *e);
bool io_tls_pump_ready(const struct io_tls_pump *p);
/* The client will use the context's old key for the handshake, if there is one. Call it before the first send. */
void io_tls_pump_use_old_key(struct io_tls_pump *p);
uint64_t io_tls_pump_key_id(const struct io_tls_pump *p); /* of the key with which this connection was made; once it is ready */
void io_tls_pump_export(const struct io_tls_pump *p, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]); /* once it is ready */
/* Appends the orderly end of this direction (close_notify) to net; nothing may be sent after it. */
err_code io_tls_pump_finish(struct io_tls_pump *p, struct buf *net, struct err *e);

#endif
