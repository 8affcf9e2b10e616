/* SPDX-License-Identifier: MIT
 * TLS 1.3 with an external pre-shared key, the only way in which bytes cross between machines (RFC 8446 section 2.2). A PSK belongs to
 * one hash (RFC 9258), so only the two SHA-256 suites are used: AES-128-GCM where both ends have AES in hardware, else
 * ChaCha20-Poly1305. ECDHE with X25519 (psk_dhe_ke) gives forward secrecy. There are no certificates, tickets, early data or
 * renegotiation. Here are the keys and the context that all connections share, for any thread. Connections have two forms:
 * io/tls_stream.h blocks on a socket, for stage threads; io/tls_pump.h works in memory, for the loop. */
#ifndef CARAVAN_IO_TLS_H
#define CARAVAN_IO_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { IO_TLS_KEY_SIZE = 32, IO_TLS_NAME_MAX = 128 };
/* Bytes that a connection exports: only its two ends know them (RFC 8446 section 7.5). Their label begins with "EXPORTER-". */
enum { IO_TLS_EXPORT_SIZE = 32 };

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

#endif
