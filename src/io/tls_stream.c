/* SPDX-License-Identifier: MIT
 * TLS over a connected socket. It blocks by poll on a non-blocking descriptor.
 *
 * Written records are gathered in `out` and leave in one send. Every SSL_write is one record that is known to fit there, so OpenSSL
 * never sees a full socket and never asks for a retry. `lock` is held only for calls that do not wait: one thread may read while another
 * writes. */
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_priv.h"
#include "io/tls_stream.h"

enum {
    OUT_SIZE = 4 * TLS_RECORD_ROOM + 4096, /* 4 records, and some room always left for alerts and KeyUpdates while reading */
    OUT_RECORDS = 4 * TLS_RECORD_ROOM
};

struct io_tls_stream {
    struct tls_port port;
    const struct io_tls_ctx *ctx;
    SSL *ssl;
    int fd;
    pthread_mutex_t lock;     /* ssl, out, dry, records, sent, received */
    bool dry;                 /* the last read took all received bytes: only the socket can bring more */
    bool broken;              /* after a fatal error OpenSSL must not be asked to write */
    uint64_t records;         /* written with the present key */
    uint64_t sent, received;  /* encrypted bytes, since the beginning */
    size_t out_at, out_len;   /* encrypted bytes still to be sent */
    uint8_t *out;             /* OUT_SIZE */
    uint8_t *gather;          /* TLS_RECORD_MAX: small parts become one record */
};

static ssize_t socket_take(struct tls_port *p, void *buf, size_t len) {
    struct io_tls_stream *s = (struct io_tls_stream *)p;
    ssize_t n;
    do n = recv(s->fd, buf, len, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) s->received += (uint64_t)n;
    if (n >= 0) return n;
    return errno == EAGAIN ? TLS_PORT_AGAIN : 0; /* a reset connection has ended */
}

static ssize_t socket_give(struct tls_port *p, const void *buf, size_t len) {
    struct io_tls_stream *s = (struct io_tls_stream *)p;
    if (len > OUT_SIZE - s->out_len) return TLS_PORT_AGAIN;
    memcpy(s->out + s->out_len, buf, len);
    s->out_len += len;
    return (ssize_t)len;
}

/* Sends the bytes in `out`. ERR_OK: all of them; ERR_BUSY: the socket is full; ERR_CLOSED. */
static err_code push(struct io_tls_stream *s, struct err *e) {
    while (s->out_at < s->out_len) {
        ssize_t n = send(s->fd, s->out + s->out_at, s->out_len - s->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            s->out_at += (size_t)n;
            s->sent += (uint64_t)n;
        } else if (errno == EAGAIN) {
            if (s->out_at > 0) memmove(s->out, s->out + s->out_at, s->out_len - s->out_at);
            s->out_len -= s->out_at;
            s->out_at = 0;
            return ERR_BUSY;
        } else if (errno != EINTR) {
            return err_set_errno(e, ERR_CLOSED, errno, "the other side closed the connection");
        }
    }
    s->out_at = s->out_len = 0;
    return ERR_OK;
}

/* ---- opening ---- */

static struct io_tls_stream *stream_create(struct io_tls_ctx *ctx, int fd, const char *name) {
    struct io_tls_stream *s = MEM_NEW(struct io_tls_stream);
    s->port.take = socket_take;
    s->port.give = socket_give;
    s->ctx = ctx;
    s->fd = fd;
    s->out = mem_alloc(OUT_SIZE);
    s->gather = mem_alloc(TLS_RECORD_MAX);
    pthread_mutex_init(&s->lock, NULL);
    s->ssl = tls_connection_create(ctx, &s->port, name);
    io_sock_tune(fd, &(struct io_sock_options){.no_delay = true}, NULL); /* a link works without it, only slower */
    return s;
}

static err_code shake_hands(struct io_tls_stream *s, clock_us deadline, struct err *e) {
    for (;;) {
        ERR_clear_error();
        int result = SSL_do_handshake(s->ssl);
        enum tls_step step = result == 1 ? TLS_DONE : tls_step_of(s->ssl, result);
        err_code code = step == TLS_ENDED || step == TLS_FAILED ? tls_handshake_error(s->ssl, step, e) : ERR_OK;
        s->broken = code != ERR_OK;
        err_code pushed = push(s, code == ERR_OK ? e : NULL);
        if (code != ERR_OK) return code;
        if (pushed != ERR_OK && pushed != ERR_BUSY) return pushed;
        if (step == TLS_DONE && pushed == ERR_OK) return tls_check_keyed(s->ssl, e);
        short events = (short)((step == TLS_WANT_READ ? POLLIN : 0) | (pushed == ERR_BUSY ? POLLOUT : 0));
        code = io_sock_wait(s->fd, events, io_ms_left(deadline), e);
        if (code == ERR_TIMEOUT) return err_set(e, ERR_TIMEOUT, "the other side did not finish the TLS handshake in time");
        if (code != ERR_OK) return code;
    }
}

static err_code open_stream(struct io_tls_ctx *ctx, int fd, const char *name, int timeout_ms, struct io_tls_stream **ret, struct err *e) {
    struct io_tls_stream *s = stream_create(ctx, fd, name);
    err_code code = shake_hands(s, clock_now() + (clock_us)timeout_ms * 1000, e);
    if (code != ERR_OK) {
        io_tls_finish(s, 200); /* the alert with the reason must reach the other side */
        return code;
    }
    *ret = s;
    return ERR_OK;
}

err_code io_tls_connect(struct io_tls_ctx *ctx, int fd, const char *name, int timeout_ms, struct io_tls_stream **ret, struct err *e) {
    return open_stream(ctx, fd, name, timeout_ms, ret, e);
}

err_code io_tls_accept(struct io_tls_ctx *ctx, int fd, int timeout_ms, struct io_tls_stream **ret, struct err *e) {
    return open_stream(ctx, fd, NULL, timeout_ms, ret, e);
}

/* ---- reading ---- */

static err_code read_now(struct io_tls_stream *s, void *buf, size_t len, size_t *ret_n, struct err *e) {
    if (s->broken) return err_set(e, ERR_CLOSED, "the connection has ended");
    ERR_clear_error();
    int result = SSL_read_ex(s->ssl, buf, len, ret_n);
    if (s->out_len > 0) push(s, NULL); /* OpenSSL may have written an answer; bytes that don't go now go with the next write */
    if (result == 1) {
        s->dry = false;
        return ERR_OK;
    }
    enum tls_step step = tls_step_of(s->ssl, result);
    if (step == TLS_WANT_READ || step == TLS_WANT_WRITE) {
        s->dry = true;
        return ERR_BUSY;
    }
    s->broken = step == TLS_FAILED;
    return tls_stream_error(step, e);
}

err_code io_tls_read(struct io_tls_stream *s, void *buf, size_t len, bool wait, size_t *ret_n, struct err *e) {
    for (;;) {
        pthread_mutex_lock(&s->lock);
        err_code code = read_now(s, buf, len, ret_n, e);
        pthread_mutex_unlock(&s->lock);
        if (code != ERR_BUSY || !wait) return code;
        code = io_sock_wait(s->fd, POLLIN, -1, e);
        if (code != ERR_OK) return code;
    }
}

bool io_tls_pending(struct io_tls_stream *s) {
    pthread_mutex_lock(&s->lock);
    bool pending = !s->dry && SSL_has_pending(s->ssl) == 1;
    pthread_mutex_unlock(&s->lock);
    return pending;
}

/* ---- writing ---- */

/* The bytes of the next record: directly from a part that has enough for a whole record, else gathered from several parts. */
static size_t next_record(struct io_tls_stream *s, const struct iovec *parts, size_t n_parts, size_t *part, size_t *at,
                          const uint8_t **ret) {
    size_t i = *part, off = *at, n = 0;
    while (i < n_parts && n < TLS_RECORD_MAX) {
        size_t left = parts[i].iov_len - off, room = TLS_RECORD_MAX - n;
        const uint8_t *p = (const uint8_t *)parts[i].iov_base + off;
        size_t take = left < room ? left : room;
        if (n == 0 && (take == TLS_RECORD_MAX || i + 1 == n_parts)) {
            *ret = p;
            n = take;
            off += take;
            break;
        }
        if (take > 0) memcpy(s->gather + n, p, take);
        *ret = s->gather;
        n += take;
        off += take;
        if (off == parts[i].iov_len) {
            i++;
            off = 0;
        }
    }
    *part = i;
    *at = off;
    return n;
}

static err_code write_record(struct io_tls_stream *s, const uint8_t *data, size_t len, struct err *e) {
    if (s->broken) return err_set(e, ERR_CLOSED, "the connection has ended");
    ERR_clear_error();
    if (s->records++ == s->ctx->records_per_key) {
        s->records = 1;
        SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    size_t written = 0;
    int result = SSL_write_ex(s->ssl, data, len, &written);
    if (result == 1 && written == len) return ERR_OK;
    s->broken = true;
    return tls_stream_error(result == 1 ? TLS_FAILED : tls_step_of(s->ssl, result), e);
}

/* Encrypts and sends records until all parts are taken or the socket is full (ERR_BUSY). *taken counts the plaintext bytes. */
static err_code write_now(struct io_tls_stream *s, const struct iovec *parts, size_t n_parts, size_t *part, size_t *at, size_t *taken,
                          struct err *e) {
    for (;;) {
        while (s->out_len + TLS_RECORD_ROOM <= OUT_RECORDS) {
            const uint8_t *data = NULL;
            size_t n = next_record(s, parts, n_parts, part, at, &data);
            if (n == 0) return push(s, e);
            err_code code = write_record(s, data, n, e);
            if (code != ERR_OK) return code;
            *taken += n;
        }
        err_code code = push(s, e);
        if (code != ERR_OK) return code;
    }
}

err_code io_tls_writev(struct io_tls_stream *s, const struct iovec *parts, size_t n_parts, bool wait, size_t *ret_n, struct err *e) {
    size_t part = 0, at = 0, taken = 0;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        err_code code = write_now(s, parts, n_parts, &part, &at, &taken, e);
        pthread_mutex_unlock(&s->lock);
        if (code == ERR_BUSY && wait) code = io_sock_wait(s->fd, POLLOUT, -1, e);
        else if (code == ERR_OK || code == ERR_BUSY) {
            *ret_n = taken;
            return ERR_OK;
        }
        if (code != ERR_OK) return code;
    }
}

err_code io_tls_write(struct io_tls_stream *s, const void *buf, size_t len, bool wait, size_t *ret_n, struct err *e) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    return io_tls_writev(s, &part, 1, wait, ret_n, e);
}

err_code io_tls_flush(struct io_tls_stream *s, bool wait, struct err *e) {
    for (;;) {
        pthread_mutex_lock(&s->lock);
        err_code code = push(s, e);
        pthread_mutex_unlock(&s->lock);
        if (code != ERR_BUSY || !wait) return code;
        code = io_sock_wait(s->fd, POLLOUT, -1, e);
        if (code != ERR_OK) return code;
    }
}

/* ---- closing ---- */

void io_tls_export(struct io_tls_stream *s, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]) {
    pthread_mutex_lock(&s->lock);
    tls_export(s->ssl, label, ret);
    pthread_mutex_unlock(&s->lock);
}

void io_tls_carried(struct io_tls_stream *s, uint64_t *ret_sent, uint64_t *ret_received) {
    pthread_mutex_lock(&s->lock);
    *ret_sent = s->sent;
    *ret_received = s->received;
    pthread_mutex_unlock(&s->lock);
}

int io_tls_fd(const struct io_tls_stream *s) { return s->fd; }

uint64_t io_tls_stream_key_id(const struct io_tls_stream *s) { return s->port.key_id; }

const char *io_tls_suite(const struct io_tls_stream *s) { return SSL_CIPHER_get_name(SSL_get_current_cipher(s->ssl)); }

void io_tls_shutdown(struct io_tls_stream *s) { shutdown(s->fd, SHUT_RDWR); }

/* Sends the orderly end as far as that is possible without waiting. */
static void say_goodbye(struct io_tls_stream *s) {
    ERR_clear_error();
    if (!s->broken && SSL_is_init_finished(s->ssl)) SSL_shutdown(s->ssl);
    ERR_clear_error();
    push(s, NULL);
}

void io_tls_close(struct io_tls_stream *s) {
    if (s == NULL) return;
    say_goodbye(s);
    close(s->fd);
    SSL_free(s->ssl);
    pthread_mutex_destroy(&s->lock);
    free(s->out);
    free(s->gather);
    free(s);
}

void io_tls_finish(struct io_tls_stream *s, int timeout_ms) {
    if (s == NULL) return;
    clock_us deadline = clock_now() + (clock_us)timeout_ms * 1000;
    say_goodbye(s);
    while (s->out_len > 0 && io_sock_wait(s->fd, POLLOUT, io_ms_left(deadline), NULL) == ERR_OK)
        if (push(s, NULL) != ERR_BUSY) break;
    shutdown(s->fd, SHUT_WR);
    while (io_sock_wait(s->fd, POLLIN, io_ms_left(deadline), NULL) == ERR_OK) {
        ssize_t n = recv(s->fd, s->gather, TLS_RECORD_MAX, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    }
    io_tls_close(s);
}
