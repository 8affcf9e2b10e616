/* SPDX-License-Identifier: MIT
 * What the TLS files share among themselves (and the bench that compares cipher suites). */
#ifndef CARAVAN_IO_TLS_PRIV_H
#define CARAVAN_IO_TLS_PRIV_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/types.h>

#include "io/tls.h"

enum {
    TLS_RECORD_MAX = 16384,           /* plaintext bytes of one record (RFC 8446 section 5.1) */
    TLS_RECORD_ROOM = 16384 + 512,    /* what one record can add to the bytes to send, a KeyUpdate in front of it included */
    TLS_READ_BUFFER = 128 * 1024,     /* so that one recv takes a whole frame of 32 KiB hidden rows, and more */
};

struct tls_key {
    uint8_t key[IO_TLS_KEY_SIZE];
    uint64_t id; /* 0: there is no such key */
};

struct io_tls_ctx {
    SSL_CTX *ssl;
    pthread_mutex_t lock;             /* guards keys */
    struct tls_key keys[2];           /* the one that new connections use; the one before it */
    uint64_t records_per_key;         /* after so many written records a KeyUpdate goes out (RFC 8446 section 5.5) */
};

/* Where a connection's encrypted bytes come from and go to: the one custom BIO of both shapes calls these two.
 * They return bytes, 0 at the end of the stream (take only), TLS_PORT_AGAIN or TLS_PORT_BROKEN. */
enum { TLS_PORT_AGAIN = -1, TLS_PORT_BROKEN = -2 };
struct tls_port {
    ssize_t (*take)(struct tls_port *p, void *buf, size_t len);
    ssize_t (*give)(struct tls_port *p, const void *buf, size_t len);
    bool ended;                       /* take has given 0 */
    bool use_old_key;                 /* a client's choice, before the handshake */
    bool asked;                       /* a client: `offered` is set */
    struct tls_key offered;
    char identity[48];                /* a client's PSK identity */
    uint64_t key_id;                  /* of the key in use; set by the handshake */
};

/* A connection over a port; name is the server name to ask for, NULL on the server's side. */
SSL *tls_connection_create(struct io_tls_ctx *ctx, struct tls_port *port, const char *name);

enum tls_step { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_ENDED, TLS_FAILED };
/* What the last SSL_* call that returned `result` (<= 0) means. */
enum tls_step tls_step_of(SSL *ssl, int result);
/* The error of a handshake that ended with `step`, in words for people. */
err_code tls_handshake_error(SSL *ssl, enum tls_step step, struct err *e);
/* After the handshake: the key was really used (nobody may come in by a certificate or without the key). */
err_code tls_check_keyed(SSL *ssl, struct err *e);
/* Keying material of this connection (RFC 8446 section 7.5). */
void tls_export(SSL *ssl, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]);
/* The error of reading or writing after the handshake. */
err_code tls_stream_error(enum tls_step step, struct err *e);

/* For measurements: "TLS_AES_128_GCM_SHA256" or "TLS_CHACHA20_POLY1305_SHA256" only, whatever the processor has. False: unknown. */
bool tls_ctx_force_suite(struct io_tls_ctx *ctx, const char *suite);

#endif
