/* SPDX-License-Identifier: MIT
 * See tls_client.h. The network is a pair of OpenSSL's memory BIOs. */
#include "io/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/runtime.h"

enum { PENDING_MAX = 1 << 20 /* plaintext kept while the handshake runs */, RECORD = 16384 };

struct io_tls_trust {
    SSL_CTX *ssl;
};

struct io_tls_client {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    struct buf pending;
    bool ready;
};

bool io_tls_trust_system(char *ret, size_t size) {
    static const char system[] = "/etc/ssl/certs/ca-certificates.crt";
    bool there = access(system, R_OK) == 0;
    if (there) snprintf(ret, size, "%s", system);
    return there || os_runtime_path(os_ca_bundle, ret, size);
}

err_code io_tls_trust_create(const char *ca_file, struct io_tls_trust **ret, struct err *e) {
    char system[4096];
    bool named = ca_file != NULL && ca_file[0] != '\0';
    if (!named && !io_tls_trust_system(system, sizeof(system))) return err_set(e, ERR_IO, "this system has no certificates to trust");
    const char *file = named ? ca_file : system;
    if (access(file, R_OK) != 0) return err_set(e, ERR_IO, "cannot read the certificates \"%s\"", file);
    SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
    if (ssl == NULL) abort();
    ERR_clear_error();
    if (SSL_CTX_load_verify_locations(ssl, file, NULL) != 1) {
        SSL_CTX_free(ssl);
        ERR_clear_error();
        return err_set(e, ERR_FORMAT, "there are no certificates (PEM) in \"%s\"", file);
    }
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    struct io_tls_trust *t = MEM_NEW(struct io_tls_trust);
    t->ssl = ssl;
    *ret = t;
    return ERR_OK;
}

void io_tls_trust_free(struct io_tls_trust *t) {
    if (t == NULL) return;
    SSL_CTX_free(t->ssl);
    free(t);
}

struct io_tls_client *io_tls_client_create(struct io_tls_trust *t, const char *host) {
    struct io_tls_client *c = MEM_NEW(struct io_tls_client);
    c->ssl = SSL_new(t->ssl);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    if (c->ssl == NULL || c->in == NULL || c->out == NULL) abort();
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_connect_state(c->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), host) != 1) { /* it is a name */
        SSL_set1_host(c->ssl, host);
        SSL_set_tlsext_host_name(c->ssl, host);
    }
    buf_init(&c->pending, PENDING_MAX);
    return c;
}

void io_tls_client_free(struct io_tls_client *c) {
    if (c == NULL) return;
    SSL_free(c->ssl);
    buf_done(&c->pending);
    free(c);
}

/* Moves what OpenSSL wants to send. */
static void take_out(struct io_tls_client *c, struct buf *net) {
    char *data;
    long len = BIO_get_mem_data(c->out, &data);
    if (len > 0) buf_append(net, data, (size_t)len);
    (void)BIO_reset(c->out);
}

static err_code failure(struct io_tls_client *c, int result, struct err *e) {
    int what = SSL_get_error(c->ssl, result);
    long verified = SSL_get_verify_result(c->ssl);
    if (what == SSL_ERROR_WANT_READ) return ERR_OK;
    if (verified != X509_V_OK) return err_set(e, ERR_AUTH, "its certificate is not believed: %s", X509_verify_cert_error_string(verified));
    if (what == SSL_ERROR_ZERO_RETURN || what == SSL_ERROR_SYSCALL) return err_set(e, ERR_CLOSED, "it has ended the connection");
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return err_set(e, ERR_PROTOCOL, "TLS failed: %s", reason != NULL ? reason : "unknown cause");
}

static err_code client_encrypt(struct io_tls_client *c, const void *data, size_t len, struct err *e) {
    size_t written;
    if (len == 0) return ERR_OK;
    int result = SSL_write_ex(c->ssl, data, len, &written); /* memory takes all of it */
    return result == 1 ? ERR_OK : failure(c, result, e);
}

static err_code shake_hands(struct io_tls_client *c, struct err *e) {
    int result = SSL_do_handshake(c->ssl);
    if (result != 1) return failure(c, result, e);
    c->ready = true;
    err_code code = client_encrypt(c, c->pending.data, c->pending.len, e);
    buf_clear(&c->pending);
    return code;
}

static err_code decrypt(struct io_tls_client *c, struct buf *plain, struct err *e) {
    for (;;) {
        size_t n = 0;
        if (!buf_reserve(plain, RECORD)) return err_set(e, ERR_LIMIT, "more than %zu received bytes wait", plain->max);
        int result = SSL_read_ex(c->ssl, plain->data + plain->len, RECORD, &n);
        if (result != 1) return failure(c, result, e);
        plain->len += n;
    }
}

err_code io_tls_client_receive(struct io_tls_client *c, const void *data, size_t len, struct buf *plain, struct buf *net, struct err *e) {
    ERR_clear_error();
    for (size_t at = 0; at < len;) {
        int n = BIO_write(c->in, (const char *)data + at, (int)(len - at < INT32_MAX ? len - at : INT32_MAX));
        if (n <= 0) return err_set(e, ERR_MEMORY, "no memory for received bytes");
        at += (size_t)n;
    }
    err_code code = c->ready ? ERR_OK : shake_hands(c, e);
    if (code == ERR_OK && c->ready) code = decrypt(c, plain, e);
    take_out(c, net); /* an alert says why we go */
    return code;
}

err_code io_tls_client_send(struct io_tls_client *c, const void *data, size_t len, struct buf *net, struct err *e) {
    err_code code = ERR_OK;
    ERR_clear_error();
    if (c->ready) {
        code = client_encrypt(c, data, len, e);
    } else {
        buf_append(&c->pending, data, len);
        code = c->pending.failed ? err_set(e, ERR_LIMIT, "more than %d bytes wait for the TLS handshake", PENDING_MAX) : shake_hands(c, e);
    }
    take_out(c, net);
    return code;
}
