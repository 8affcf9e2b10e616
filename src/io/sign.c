/* SPDX-License-Identifier: MIT
 * See sign.h. */
#include "io/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "io/tls.h"

static void must(bool ok) {
    if (ok) return;
    fprintf(stderr, "caravan: OpenSSL cannot do Ed25519 or SHA-256\n");
    abort();
}

static EVP_PKEY *secret_key(const uint8_t secret[IO_SIGN_SECRET_SIZE]) {
    io_tls_startup();
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, IO_SIGN_SECRET_SIZE);
    must(key != NULL);
    return key;
}

void io_sign_public(const uint8_t secret[IO_SIGN_SECRET_SIZE], uint8_t ret_public[IO_SIGN_PUBLIC_SIZE]) {
    EVP_PKEY *key = secret_key(secret);
    size_t len = IO_SIGN_PUBLIC_SIZE;
    must(EVP_PKEY_get_raw_public_key(key, ret_public, &len) == 1 && len == IO_SIGN_PUBLIC_SIZE);
    EVP_PKEY_free(key);
}

void io_sign_make(const uint8_t secret[IO_SIGN_SECRET_SIZE], const void *data, size_t len, uint8_t ret[IO_SIGN_SIZE]) {
    EVP_PKEY *key = secret_key(secret);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = IO_SIGN_SIZE;
    must(c != NULL && EVP_DigestSignInit(c, NULL, NULL, NULL, key) == 1 && EVP_DigestSign(c, ret, &n, data, len) == 1);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
}

bool io_sign_check(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], const void *data, size_t len, const uint8_t signature[IO_SIGN_SIZE]) {
    io_tls_startup();
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, IO_SIGN_PUBLIC_SIZE);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = key != NULL && c != NULL && EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(c, signature, IO_SIGN_SIZE, data, len) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(key);
    ERR_clear_error(); /* a bad signature leaves an error in OpenSSL's queue, which the next TLS call would report */
    return good;
}

struct io_sha256 *io_sha256_begin(void) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    must(c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1);
    return (struct io_sha256 *)c;
}

void io_sha256_update(struct io_sha256 *s, const void *data, size_t len) { must(EVP_DigestUpdate((EVP_MD_CTX *)s, data, len) == 1); }

void io_sha256_end(struct io_sha256 *s, uint8_t ret[IO_SHA256_SIZE]) {
    unsigned n = IO_SHA256_SIZE;
    if (ret != NULL) must(EVP_DigestFinal_ex((EVP_MD_CTX *)s, ret, &n) == 1);
    EVP_MD_CTX_free((EVP_MD_CTX *)s);
}

void io_sha256(const void *data, size_t len, uint8_t ret[IO_SHA256_SIZE]) {
    io_tls_startup();
    unsigned n = IO_SHA256_SIZE;
    must(EVP_Digest(data, len, ret, &n, EVP_sha256(), NULL) == 1);
}

uint64_t io_sign_id(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE]) {
    uint8_t hash[IO_SHA256_SIZE];
    io_sha256(public_key, IO_SIGN_PUBLIC_SIZE, hash);
    uint64_t id = bytes_get_u64(hash);
    return id != 0 ? id : 1;
}
