/* SPDX-License-Identifier: MIT
 * TLS 1.3 with an external pre-shared key, the only way bytes cross between machines (RFC 8446 section 2.2; RFC 9258 warns that a PSK
 * belongs to one hash: one SHA-256 suite, TLS_CHACHA20_POLY1305_SHA256 or TLS_AES_128_GCM_SHA256, is pinned; ECDHE (psk_dhe_ke) for
 * forward secrecy). Two shapes over the same context: io_tls_stream, blocking over a socket, for stage threads; io_tls_pump, memory BIOs
 * for the loop. A stream belongs to one thread at a time per direction. */
#ifndef CARAVAN_IO_TLS_H
#define CARAVAN_IO_TLS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

enum { IO_TLS_KEY_SIZE = 32, IO_TLS_NAME_MAX = 128 };

/* Once per process, before anything else of OpenSSL or curl: keeps the host's openssl.cnf and provider folder out. */
void io_tls_startup(void);

/* HKDF-SHA256 (RFC 5869): 32 bytes from a 32-byte cluster key and a label ("caravan 1 link"). */
void io_tls_derive(const uint8_t key[IO_TLS_KEY_SIZE], const char *label, uint8_t ret[IO_TLS_KEY_SIZE]);
void io_tls_random(void *out, size_t len); /* cryptographic randomness; ends the process if there is none */

struct io_tls_ctx; /* both roles, one key; any thread may use it read-only */
struct io_tls_ctx *io_tls_ctx_create(const uint8_t link_key[IO_TLS_KEY_SIZE], struct err *e);
void io_tls_ctx_free(struct io_tls_ctx *ctx);

/* The server name in a ClientHello of which `len` bytes have been peeked: ERR_OK and *ret_name filled, ERR_BUSY: more bytes are needed,
 * ERR_PROTOCOL: not a TLS 1.3 ClientHello with a server name. Nothing is consumed. */
err_code io_tls_peek_name(const uint8_t *hello, size_t len, char ret_name[IO_TLS_NAME_MAX], struct err *e);

/* ---- blocking, over a connected socket -------------------------------------------------------------------------------------- */
struct io_tls_stream;
/* Client: shakes hands naming `name` (SNI). Server: shakes hands. Takes fd (closed on failure too). Gives up after timeout_ms.
 * ERR_AUTH: the other side has another key. */
err_code io_tls_connect(struct io_tls_ctx *ctx, int fd, const char *name, int timeout_ms, struct io_tls_stream **ret, struct err *e);
err_code io_tls_accept(struct io_tls_ctx *ctx, int fd, int timeout_ms, struct io_tls_stream **ret, struct err *e);
/* Reads at least 1 and at most len bytes into buf. wait: true blocks; false returns ERR_BUSY at once when nothing is there. ERR_CLOSED: orderly end
 * or reset. */
err_code io_tls_read(struct io_tls_stream *s, void *buf, size_t len, bool wait, size_t *ret_n, struct err *e);
/* Bytes decrypted already, or ERR_BUSY-free to read without a system call. */
bool io_tls_pending(const struct io_tls_stream *s);
/* Writes as much as goes: wait: true all of it; false returns with *ret_n < len when the socket is full. */
err_code io_tls_write(struct io_tls_stream *s, const void *buf, size_t len, bool wait, size_t *ret_n, struct err *e);
int io_tls_fd(const struct io_tls_stream *s);
/* Makes a thread blocked in read or write return ERR_CLOSED; from any thread. */
void io_tls_shutdown(struct io_tls_stream *s);
void io_tls_close(struct io_tls_stream *s); /* NULL is fine */

/* ---- memory pump, for the loop ---------------------------------------------------------------------------------------------- */
struct io_tls_pump;
struct io_tls_pump *io_tls_pump_create(struct io_tls_ctx *ctx, bool server, const char *name);
void io_tls_pump_free(struct io_tls_pump *p);
/* Bytes came from the network: decrypted ones are appended to plain; what must be sent is appended to net (handshake, alerts). */
err_code io_tls_pump_receive(struct io_tls_pump *p, const void *data, size_t len, struct buf *plain, struct buf *net, struct err *e);
/* Encrypts len bytes onto net; before the handshake is done they are kept and go out after it. */
err_code io_tls_pump_send(struct io_tls_pump *p, const void *data, size_t len, struct buf *net, struct err *e);
bool io_tls_pump_ready(const struct io_tls_pump *p);

#endif
