/* SPDX-License-Identifier: MIT
 * The context and port of TLS, for tls.c, tls_stream.c, tls_pump.c (and the bench that compares cipher suites). */
#ifndef CARAVAN_IO_TLS_PRIV_H
#define CARAVAN_IO_TLS_PRIV_H

#include <openssl/ssl.h>
#include <pthread.h>
#include <sys/types.h>

#include "io/tls.h"

enum {
    TLS_RECORD_MAX = 16384,           /* plaintext bytes of one record (RFC 8446 section 5.1) */
    TLS_RECORD_ROOM = 16384 + 512,    /* the most that one record adds to the bytes to send, with a KeyUpdate before it */
    TLS_READ_BUFFER = 128 * 1024,     /* so that one recv takes a whole frame of 32 KiB of hidden rows, and more */
};

struct tls_key {
    uint8_t key[IO_TLS_KEY_SIZE];
    uint64_t id; /* 0: there is no such key */
};

struct io_tls_ctx {
    SSL_CTX *ssl;
    pthread_mutex_t lock;             /* guards keys */
    struct tls_key keys[2];           /* the key that new connections use; the one before it */
    uint64_t records_per_key;         /* after this many written records a KeyUpdate is sent (RFC 8446 section 5.5) */
};

/* Where a connection's encrypted bytes come from and go to: the custom BIO of both interfaces calls these two functions. They return
 * bytes, 0 at the end of the stream (take only), TLS_PORT_AGAIN or TLS_PORT_BROKEN. */
enum { TLS_PORT_AGAIN = -1, TLS_PORT_BROKEN = -2 };
struct tls_port {
    ssize_t (*take)(struct tls_port *p, void *buf, size_t len);
    ssize_t (*give)(struct tls_port *p, const void *buf, size_t len);
    bool ended;                       /* take has returned 0 */
    bool use_old_key;                 /* a client's choice, before the handshake */
    bool asked;                       /* a client: `offered` is set */
    struct tls_key offered;
    char identity[48];                /* a client's PSK identity */
    uint64_t key_id;                  /* of the key in use; set by the handshake */
};

/* A connection over a port; name is the server name to ask for, NULL on the server's side. */
SSL *tls_connection_create(struct io_tls_ctx *ctx, struct tls_port *port, const char *name);

enum tls_step { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_ENDED, TLS_FAILED };
/* The meaning of the result (<= 0) of the last SSL_* call. */
enum tls_step tls_step_of(SSL *ssl, int result);
/* The error of a handshake that ended with `step`, as a text for people. */
err_code tls_handshake_error(SSL *ssl, enum tls_step step, struct err *e);
/* After the handshake: checks that the key was really used, so that no peer comes in by a certificate or without the key. */
err_code tls_check_keyed(SSL *ssl, struct err *e);
/* Keying material of this connection (RFC 8446 section 7.5). */
void tls_export(SSL *ssl, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]);
/* The error of reading or writing after the handshake. */
err_code tls_stream_error(enum tls_step step, struct err *e);

/* For measurements: only "TLS_AES_128_GCM_SHA256" or "TLS_CHACHA20_POLY1305_SHA256", whatever the processor has. False: unknown name. */
bool tls_ctx_force_suite(struct io_tls_ctx *ctx, const char *suite);

#endif
