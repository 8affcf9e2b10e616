/* SPDX-License-Identifier: MIT
 * Ed25519 signatures (RFC 8032) and SHA-256, by OpenSSL: the basis of a node's identity (members/identity.h). Keys and signatures are
 * plain byte arrays. Any thread; no state. */
#ifndef CARAVAN_IO_SIGN_H
#define CARAVAN_IO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IO_SIGN_SECRET_SIZE = 32, IO_SIGN_PUBLIC_SIZE = 32, IO_SIGN_SIZE = 64, IO_SHA256_SIZE = 32 };

/* Any 32 random bytes are a secret key; this gives its public key. */
void io_sign_public(const uint8_t secret[IO_SIGN_SECRET_SIZE], uint8_t ret_public[IO_SIGN_PUBLIC_SIZE]);
void io_sign_make(const uint8_t secret[IO_SIGN_SECRET_SIZE], const void *data, size_t len, uint8_t ret[IO_SIGN_SIZE]);
/* Whether the signature is good. The public key may come from a peer: bytes that are not a key give false. */
bool io_sign_check(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], const void *data, size_t len, const uint8_t signature[IO_SIGN_SIZE]);
/* A short name for a public key: the first 8 bytes (little-endian) of its SHA-256; never 0. */
uint64_t io_sign_id(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE]);
void io_sha256(const void *data, size_t len, uint8_t ret[IO_SHA256_SIZE]);
/* SHA-256 of data that comes piece by piece. end() frees the state; with ret NULL it does only that. */
struct io_sha256;
struct io_sha256 *io_sha256_begin(void);
void io_sha256_update(struct io_sha256 *s, const void *data, size_t len);
void io_sha256_end(struct io_sha256 *s, uint8_t ret[IO_SHA256_SIZE]);

#endif
