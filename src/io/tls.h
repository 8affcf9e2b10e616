/* SPDX-License-Identifier: MIT
 * TLS 1.3 with an external pre-shared key, the only way in which bytes cross between machines (RFC 8446 section 2.2). A PSK belongs to
 * one hash (RFC 9258), so only the two SHA-256 suites are used: AES-128-GCM where both ends have AES in hardware, else
 * ChaCha20-Poly1305. ECDHE with X25519 (psk_dhe_ke) gives forward secrecy. There are no certificates, tickets, early data or
 * renegotiation. Two interfaces share one context: io_tls_stream blocks on a socket, for stage threads; io_tls_pump works in memory, for
 * the loop. One thread may read a stream while another writes to it; a pump belongs to one thread. */
#ifndef CARAVAN_IO_TLS_H
#define CARAVAN_IO_TLS_H

#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum { IO_TLS_KEY_SIZE = 32, IO_TLS_NAME_MAX = 128 };

/* Once per process, before any other use of OpenSSL or curl: ignores the host's openssl.cnf and provider folder. */
void io_tls_startup(void);

/* HKDF-SHA256 (RFC 5869): 32 bytes from a 32-byte cluster key and a label ("caravan 1 link"). */
void io_tls_derive(const uint8_t key[IO_TLS_KEY_SIZE], const char *label, uint8_t ret[IO_TLS_KEY_SIZE]);
void io_tls_random(void *out, size_t len); /* cryptographic randomness; ends the process if there is none */

struct io_tls_ctx; /* both roles, one key, or for a time two; any thread */
struct io_tls_ctx *io_tls_ctx_create(const uint8_t link_key[IO_TLS_KEY_SIZE], struct err *e);
/* From now on new connections use link_key; incoming ones may also use old_key (NULL: none). Existing connections stay as they are. */
void io_tls_ctx_set_keys(struct io_tls_ctx *ctx, const uint8_t link_key[IO_TLS_KEY_SIZE], const uint8_t *old_key);
/* A name for a key that doesn't reveal it; 64 bits, derived. The PSK identity of every handshake carries it. */
uint64_t io_tls_key_id(const uint8_t link_key[IO_TLS_KEY_SIZE]);
uint64_t io_tls_ctx_key_id(struct io_tls_ctx *ctx); /* of the key that new connections use */
void io_tls_ctx_free(struct io_tls_ctx *ctx);

/* The server name in the first `len` bytes of a ClientHello. ERR_OK: *ret_name is filled; ERR_BUSY: more bytes are needed; ERR_PROTOCOL:
 * not a TLS 1.3 ClientHello with a server name. Consumes nothing. */
err_code io_tls_peek_name(const uint8_t *hello, size_t len, char ret_name[IO_TLS_NAME_MAX], struct err *e);

/* ---- blocking, over a connected socket ---- */
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
int io_tls_fd(const struct io_tls_stream *s);
/* 32 bytes that only the two ends of this connection know (RFC 8446 section 7.5). label begins with "EXPORTER-". */
enum { IO_TLS_EXPORT_SIZE = 32 };
void io_tls_export(struct io_tls_stream *s, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]);
uint64_t io_tls_stream_key_id(const struct io_tls_stream *s); /* of the key with which this connection was made */
const char *io_tls_suite(const struct io_tls_stream *s); /* "TLS_AES_128_GCM_SHA256", for logs */
/* Makes a thread blocked in read or write return ERR_CLOSED; from any thread. */
void io_tls_shutdown(struct io_tls_stream *s);
void io_tls_close(struct io_tls_stream *s); /* NULL is fine */
/* Closes so that the last written bytes reach the other side even if it has sent bytes that were not read: ends the writing direction
 * and drops incoming bytes until the other side closes, for at most timeout_ms. */
void io_tls_finish(struct io_tls_stream *s, int timeout_ms);

/* ---- memory pump, for the loop ---- */
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
