/* SPDX-License-Identifier: MIT
 * Weights links of the fetching side: opening and reading (weights_priv.h). */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/os.h"
#include "weights/weights.h"
#include "weights/weights_priv.h"
#include "wire/handshake.h"

enum { CONNECT_MS = 5000 };

/* ---- connecting ---- */

struct weights_shared {
    struct io_tls_ctx *tls;
    weights_connect_fn connect;
    struct wire_pass pass;
    char instance[WIRE_PASS_INSTANCE];
    uint64_t epoch;
    int wake[2]; /* a pipe: its reading end is polled */
    atomic_uint refs;
};

struct weights_shared *weights_shared_create(const struct weights_place *place, struct err *e) {
    struct weights_shared *s = MEM_NEW(struct weights_shared);
    s->refs = 1;
    s->connect = place->connect;
    s->pass = place->pass;
    s->epoch = place->epoch;
    memcpy(s->instance, place->instance, sizeof(s->instance));
    bool piped = os_pipe(s->wake, false) == 0;
    if (!piped) {
        s->wake[0] = s->wake[1] = -1;
        err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    }
    s->tls = piped ? io_tls_ctx_create(place->key, e) : NULL;
    if (s->tls) return s;
    weights_shared_release(s);
    return NULL;
}

static err_code send_hello(const struct weights_shared *s, struct io_tls_stream *stream, const char *id,
                           const uint8_t binding[IO_TLS_EXPORT_SIZE], struct err *e) {
    struct weights_hello h = {.epoch = s->epoch};
    struct buf out;
    memcpy(h.model, id, sizeof(h.model));
    memcpy(h.instance, s->instance, sizeof(h.instance));
    wire_pass_prove(&s->pass, true, binding, &h.proof);
    buf_init(&out, frame_max_payload(FRAME_HELLO));
    weights_hello_encode(&h, &out);
    err_code code = weights_send(stream, FRAME_HELLO, 0, out.data, out.len, e);
    buf_done(&out);
    return code;
}

/* Both ends prove which node they belong to. */
static err_code greet(const struct weights_shared *s, struct io_tls_stream *stream, uint64_t node, const char *id,
                      struct weights_shape *ret, struct err *e) {
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    struct wire_proof proof;
    struct wire_reader in;
    io_tls_export(stream, WIRE_PASS_LABEL, binding);
    wire_reader_init(&in, FRAME_LINK_WEIGHTS);
    err_code code = send_hello(s, stream, id, binding, e);
    if (code == ERR_OK) code = weights_receive(stream, &in, true, e);
    if (code == ERR_OK && in.header.type != FRAME_WELCOME)
        code = err_set(e, ERR_PROTOCOL, "expected WELCOME, got %s", frame_type_name(in.header.type));
    if (code == ERR_OK) code = weights_welcome_decode(in.payload, in.header.payload_len, ret, &proof, e);
    if (code == ERR_OK) code = wire_proof_check(&proof, node, "", 0, false, binding, e);
    wire_reader_done(&in);
    return code;
}

err_code weights_connect(struct weights_shared *s, const struct io_addr *to, uint64_t node, const char *id, struct io_tls_stream **ret,
                         struct weights_shape *ret_shape, struct err *e) {
    int fd = -1;
    struct io_tls_stream *stream = NULL;
    err_code code = s->connect ? s->connect(node, to, CONNECT_MS, &fd, e) : io_sock_connect(to, CONNECT_MS, &fd, e);
    if (code == ERR_OK) code = io_tls_connect(s->tls, fd, WEIGHTS_NAME, CONNECT_MS, &stream, e);
    if (code == ERR_OK) code = greet(s, stream, node, id, ret_shape, e);
    if (code != ERR_OK) {
        io_tls_close(stream);
        return code;
    }
    *ret = stream;
    return ERR_OK;
}

/* ---- connecting in a thread of its own ---- */

int weights_shared_wake_fd(const struct weights_shared *s) { return s->wake[0]; }

void weights_shared_wake(struct weights_shared *s) {
    if (write(s->wake[1], "", 1) < 0) return; /* the pipe is full: the thread will wake anyway */
}

void weights_shared_release(struct weights_shared *s) {
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1) return;
    io_tls_ctx_free(s->tls);
    for (int i = 0; i < 2; i++)
        if (s->wake[i] >= 0) close(s->wake[i]);
    free(s);
}

struct weights_dial {
    struct weights_shared *shared;
    struct io_addr to;
    uint64_t node;
    char id[65];
    pthread_mutex_t lock; /* guards what follows */
    unsigned refs;        /* held by the thread and the owner */
    bool over;
    err_code code;
    struct err err;
    struct io_tls_stream *stream;
    struct weights_shape shape;
};

static void dial_release(struct weights_dial *d) {
    pthread_mutex_lock(&d->lock);
    bool last = --d->refs == 0;
    pthread_mutex_unlock(&d->lock);
    if (!last) return;
    io_tls_close(d->stream);
    weights_shared_release(d->shared);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void *dial_thread(void *arg) {
    struct weights_dial *d = arg;
    struct io_tls_stream *s = NULL;
    struct weights_shape *shape = MEM_NEW(struct weights_shape);
    struct err e = {0};
    err_code code = weights_connect(d->shared, &d->to, d->node, d->id, &s, shape, &e);
    pthread_mutex_lock(&d->lock);
    d->over = true;
    d->code = code;
    d->err = e;
    d->stream = s;
    d->shape = *shape;
    pthread_mutex_unlock(&d->lock);
    free(shape);
    weights_shared_wake(d->shared);
    dial_release(d);
    return NULL;
}

struct weights_dial *weights_dial_start(struct weights_shared *s, const struct io_addr *to, uint64_t node, const char *id) {
    struct weights_dial *d = MEM_NEW(struct weights_dial);
    pthread_t thread;
    d->shared = s;
    d->to = *to;
    d->node = node;
    snprintf(d->id, sizeof(d->id), "%s", id);
    atomic_fetch_add(&s->refs, 1);
    pthread_mutex_init(&d->lock, NULL);
    d->refs = 2;
    int errnum = pthread_create(&thread, NULL, dial_thread, d);
    if (errnum == 0) {
        pthread_detach(thread);
    } else {
        d->refs = 1;
        d->over = true;
        d->code = err_set_errno(&d->err, ERR_IO, errnum, "cannot start a thread");
    }
    return d;
}

err_code weights_dial_result(struct weights_dial *d, struct io_tls_stream **ret, struct weights_shape *ret_shape, struct err *e) {
    pthread_mutex_lock(&d->lock);
    err_code code = d->over ? d->code : ERR_BUSY;
    if (code == ERR_OK) {
        *ret = d->stream;
        *ret_shape = d->shape;
        d->stream = NULL;
    } else if (code != ERR_BUSY) {
        *e = d->err;
    }
    pthread_mutex_unlock(&d->lock);
    return code;
}

void weights_dial_free(struct weights_dial *d) {
    if (d) dial_release(d);
}

/* ---- chunks ---- */

struct weights_chunk *weights_chunks_of(const struct model_slice *slice, size_t *ret_n) {
    size_t n = 0, most = 0;
    for (uint32_t i = 0; i < model_slice_n_ranges(slice); i++) most += (size_t)(model_slice_range(slice, i)->len / WEIGHTS_CHUNK) + 2;
    struct weights_chunk *list = mem_calloc(most + 1, sizeof(*list));
    for (uint32_t i = 0; i < model_slice_n_ranges(slice); i++) {
        const struct model_range *r = model_slice_range(slice, i);
        for (uint64_t c = r->offset / WEIGHTS_CHUNK; c * WEIGHTS_CHUNK < r->offset + r->len; c++)
            if (n == 0 || list[n - 1].part != r->part || list[n - 1].chunk != c) list[n++] = (struct weights_chunk){r->part, c};
    }
    *ret_n = n;
    return list;
}

uint32_t weights_chunk_bytes(const struct weights_shape *s, const struct weights_chunk *c) {
    uint64_t left = s->parts[c->part].size - c->chunk * WEIGHTS_CHUNK;
    return left < WEIGHTS_CHUNK ? (uint32_t)left : WEIGHTS_CHUNK;
}
