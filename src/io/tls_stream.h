/* SPDX-License-Identifier: MIT
 * A TLS connection over a connected socket, for threads that may wait (io/tls.h says which TLS). The stream owns its descriptor. One thread
 * may read while another writes; io_tls_shutdown may come from any thread. It has no messages of its own: wire/link.h and weights/ send
 * frames over it. */
#ifndef CARAVAN_IO_TLS_STREAM_H
#define CARAVAN_IO_TLS_STREAM_H

#include <stdbool.h>
#include <sys/uio.h>

#include "io/tls.h"

struct io_tls_stream;
/* Client: makes the handshake and names `name` (SNI). Server: makes the handshake. Takes fd (closed on failure too). Gives up after
 * timeout_ms. ERR_AUTH: the other side has another key. */
err_code io_tls_connect(struct io_tls_ctx *ctx, int fd, const char *name, int timeout_ms, struct io_tls_stream **ret, struct err *e);
err_code io_tls_accept(struct io_tls_ctx *ctx, int fd, int timeout_ms, struct io_tls_stream **ret, struct err *e);
/* Reads 1 to len bytes into buf. wait true: blocks; false: returns ERR_BUSY at once if no bytes are there. ERR_CLOSED: orderly end or
 * reset. */
err_code io_tls_read(struct io_tls_stream *s, void *buf, size_t len, bool wait, size_t *ret_n, struct err *e);
/* The stream holds received bytes that poll doesn't know of: a read may return some although the socket isn't readable. After a read has
 * returned ERR_BUSY it is false until more bytes come. */
bool io_tls_pending(struct io_tls_stream *s);
/* wait true: writes everything. false: writes until the socket is full and returns with *ret_n < len. Taken bytes may still be in the
 * stream, encrypted: io_tls_flush sends them (ERR_BUSY: the socket is full and wait is false). */
err_code io_tls_write(struct io_tls_stream *s, const void *buf, size_t len, bool wait, size_t *ret_n, struct err *e);
/* The same for several parts, gathered into as few records and system calls as possible. */
err_code io_tls_writev(struct io_tls_stream *s, const struct iovec *parts, size_t n_parts, bool wait, size_t *ret_n, struct err *e);
err_code io_tls_flush(struct io_tls_stream *s, bool wait, struct err *e);
/* Bytes that the kernel has taken and given so far: encrypted, handshake and alerts included. From any thread. */
void io_tls_carried(struct io_tls_stream *s, uint64_t *ret_sent, uint64_t *ret_received);
int io_tls_fd(const struct io_tls_stream *s);
/* Fills ret with bytes that only the two ends of this connection know (IO_TLS_EXPORT_SIZE). */
void io_tls_export(struct io_tls_stream *s, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]);
uint64_t io_tls_stream_key_id(const struct io_tls_stream *s); /* of the key with which this connection was made */
const char *io_tls_suite(const struct io_tls_stream *s); /* "TLS_AES_128_GCM_SHA256", for logs */
/* Makes a thread blocked in read or write return ERR_CLOSED; from any thread. */
void io_tls_shutdown(struct io_tls_stream *s);
void io_tls_close(struct io_tls_stream *s); /* NULL is fine */
/* Closes so that the last written bytes reach the other side even if it has sent bytes that were not read: ends the writing direction
 * and drops incoming bytes until the other side closes, for at most timeout_ms. */
void io_tls_finish(struct io_tls_stream *s, int timeout_ms);

#endif
