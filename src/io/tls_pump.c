/* SPDX-License-Identifier: MIT
 * TLS in memory, for the loop: encrypted bytes in, plaintext and encrypted bytes out; it owns no socket. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/tls_priv.h"
#include "io/tls_pump.h"

enum { PENDING_MAX = 4 * 1024 * 1024 }; /* plaintext kept while the handshake runs */

struct io_tls_pump {
    struct tls_port port;
    const struct io_tls_ctx *ctx;
    SSL *ssl;
    const uint8_t *in;  /* valid only inside io_tls_pump_receive */
    size_t in_len;
    struct buf *net;    /* valid only inside a call */
    struct buf pending;
    uint64_t records;
    bool ready, broken;
};

static ssize_t memory_take(struct tls_port *port, void *buf, size_t len) {
    struct io_tls_pump *p = (struct io_tls_pump *)port;
    size_t n = p->in_len < len ? p->in_len : len;
    if (n == 0) return TLS_PORT_AGAIN;
    memcpy(buf, p->in, n);
    p->in += n;
    p->in_len -= n;
    return (ssize_t)n;
}

static ssize_t memory_give(struct tls_port *port, const void *buf, size_t len) {
    struct io_tls_pump *p = (struct io_tls_pump *)port;
    buf_append(p->net, buf, len);
    return p->net->failed ? TLS_PORT_BROKEN : (ssize_t)len;
}

struct io_tls_pump *io_tls_pump_create(struct io_tls_ctx *ctx, bool server, const char *name) {
    struct io_tls_pump *p = MEM_NEW(struct io_tls_pump);
    p->port.take = memory_take;
    p->port.give = memory_give;
    p->ctx = ctx;
    buf_init(&p->pending, PENDING_MAX);
    p->ssl = tls_connection_create(ctx, &p->port, server ? NULL : name);
    return p;
}

void io_tls_pump_free(struct io_tls_pump *p) {
    if (p == NULL) return;
    SSL_free(p->ssl);
    OPENSSL_cleanse(&p->port, sizeof(p->port));
    buf_done(&p->pending);
    free(p);
}

bool io_tls_pump_ready(const struct io_tls_pump *p) { return p->ready; }

void io_tls_pump_use_old_key(struct io_tls_pump *p) { p->port.use_old_key = true; }
uint64_t io_tls_pump_key_id(const struct io_tls_pump *p) { return p->port.key_id; }
void io_tls_pump_export(const struct io_tls_pump *p, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]) { tls_export(p->ssl, label, ret); }

static err_code broken(struct io_tls_pump *p, err_code code) {
    p->broken = true;
    return code;
}

static err_code encrypt(struct io_tls_pump *p, const uint8_t *data, size_t len, struct err *e) {
    for (size_t at = 0; at < len;) {
        size_t n = len - at < TLS_RECORD_MAX ? len - at : TLS_RECORD_MAX, written = 0;
        ERR_clear_error();
        if (p->records++ == p->ctx->records_per_key) {
            p->records = 1;
            SSL_key_update(p->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
        }
        int result = SSL_write_ex(p->ssl, data + at, n, &written);
        if (p->net->failed) return broken(p, err_set(e, ERR_LIMIT, "more than %zu bytes wait to be sent", p->net->max));
        if (result != 1) return broken(p, tls_stream_error(tls_step_of(p->ssl, result), e));
        at += written;
    }
    return ERR_OK;
}

static err_code shake_hands(struct io_tls_pump *p, struct err *e) {
    ERR_clear_error();
    int result = SSL_do_handshake(p->ssl);
    enum tls_step step = result == 1 ? TLS_DONE : tls_step_of(p->ssl, result);
    if (p->net->failed) return broken(p, err_set(e, ERR_LIMIT, "more than %zu bytes wait to be sent", p->net->max));
    if (step == TLS_WANT_READ) return ERR_OK;
    if (step != TLS_DONE) return broken(p, tls_handshake_error(p->ssl, step, e));
    err_code code = tls_check_keyed(p->ssl, e);
    if (code != ERR_OK) return broken(p, code);
    p->ready = true;
    code = encrypt(p, p->pending.data, p->pending.len, e);
    buf_done(&p->pending);
    buf_init(&p->pending, PENDING_MAX);
    return code;
}

/* Decrypts all complete records, straight into plain. */
static err_code decrypt(struct io_tls_pump *p, struct buf *plain, struct err *e) {
    for (;;) {
        if (!buf_reserve(plain, TLS_RECORD_MAX)) return broken(p, err_set(e, ERR_LIMIT, "more than %zu received bytes wait", plain->max));
        size_t n = 0;
        ERR_clear_error();
        int result = SSL_read_ex(p->ssl, plain->data + plain->len, TLS_RECORD_MAX, &n);
        if (result == 1) {
            plain->len += n;
            continue;
        }
        enum tls_step step = tls_step_of(p->ssl, result);
        if (step == TLS_WANT_READ) return ERR_OK;
        return broken(p, tls_stream_error(step, e));
    }
}

err_code io_tls_pump_receive(struct io_tls_pump *p, const void *data, size_t len, struct buf *plain, struct buf *net, struct err *e) {
    if (p->broken) return err_set(e, ERR_CLOSED, "the connection has ended");
    p->in = data;
    p->in_len = len;
    p->net = net;
    err_code code = p->ready ? ERR_OK : shake_hands(p, e);
    if (code == ERR_OK && p->ready) code = decrypt(p, plain, e);
    p->in = NULL;
    p->in_len = 0;
    p->net = NULL;
    return code;
}

err_code io_tls_pump_send(struct io_tls_pump *p, const void *data, size_t len, struct buf *net, struct err *e) {
    if (p->broken) return err_set(e, ERR_CLOSED, "the connection has ended");
    p->net = net;
    err_code code = ERR_OK;
    if (!p->ready) {
        buf_append(&p->pending, data, len);
        if (p->pending.failed) code = broken(p, err_set(e, ERR_LIMIT, "more than %d bytes wait for the TLS handshake", PENDING_MAX));
        else code = shake_hands(p, e); /* a client's first call makes its ClientHello */
    } else {
        code = encrypt(p, data, len, e);
    }
    p->net = NULL;
    return code;
}

err_code io_tls_pump_finish(struct io_tls_pump *p, struct buf *net, struct err *e) {
    if (p->broken || !p->ready) return ERR_OK;
    p->net = net;
    ERR_clear_error();
    SSL_shutdown(p->ssl);
    ERR_clear_error();
    p->net = NULL;
    return net->failed ? err_set(e, ERR_LIMIT, "more than %zu bytes wait to be sent", net->max) : ERR_OK;
}
