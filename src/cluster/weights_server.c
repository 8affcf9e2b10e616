/* SPDX-License-Identifier: MIT
 * The serving side of weights.h: a thread for each link, reading the model's files with pread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/weights.h"
#include "cluster/weights_priv.h"
#include "ring/handshake.h"

enum { MAX_LINKS = 32, MAX_MODELS = 64, HANDSHAKE_MS = 10000 };

struct weights_link {
    struct weights_server *server;
    pthread_t thread;
    struct io_tls_stream *stream; /* set once the handshake is done; guarded by the server's lock */
    int fd;
    bool used, ended;
};

struct weights_server {
    struct io_tls_ctx *tls;
    pthread_mutex_t lock; /* guards everything below */
    const struct model_gguf *models[MAX_MODELS];
    size_t n_models;
    struct weights_link links[MAX_LINKS];
    bool closing;
};

struct weights_server *weights_server_create(struct io_tls_ctx *tls) {
    struct weights_server *s = MEM_NEW(struct weights_server);
    s->tls = tls;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void weights_server_add(struct weights_server *s, const struct model_gguf *g) {
    pthread_mutex_lock(&s->lock);
    if (s->n_models < MAX_MODELS) s->models[s->n_models++] = g;
    pthread_mutex_unlock(&s->lock);
}

static const struct model_gguf *weights_find(struct weights_server *s, const char *id) {
    const struct model_gguf *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_models && !found; i++)
        if (strcmp(model_gguf_id(s->models[i]), id) == 0) found = s->models[i];
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* {"parts": [{"size": file size, "header": header length}, ...]} */
static err_code weights_welcome(struct io_tls_stream *stream, const struct model_gguf *g, struct err *e) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *parts = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "parts", parts);
    for (uint32_t i = 0; i < model_gguf_n_parts(g); i++) {
        size_t len;
        model_gguf_header(g, i, &len);
        yyjson_mut_val *part = yyjson_mut_arr_add_obj(doc, parts);
        yyjson_mut_obj_add_uint(doc, part, "size", model_gguf_file_size(g, i));
        yyjson_mut_obj_add_uint(doc, part, "header", len);
    }
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_WELCOME));
    json_write(&b, doc);
    err_code code = weights_send(stream, FRAME_WELCOME, 0, b.data, b.len, e);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return code;
}

static void weights_refuse(struct io_tls_stream *stream, const struct err *why) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_REFUSE));
    ring_refuse_encode(why, &b);
    weights_send(stream, FRAME_REFUSE, 0, b.data, b.len, NULL);
    buf_done(&b);
}

static err_code weights_hello(struct weights_server *s, struct io_tls_stream *stream, struct buf *in, const struct model_gguf **ret,
                              struct err *e) {
    struct frame_header h;
    err_code code = weights_receive(stream, &h, in, e);
    if (code != ERR_OK) return code;
    if (h.type != FRAME_HELLO) return err_set(e, ERR_PROTOCOL, "expected HELLO, got %s", frame_type_name(h.type));
    yyjson_doc *doc;
    if ((code = json_parse((const char *)in->data, in->len, &doc, e)) != ERR_OK) return code;
    const char *id = NULL;
    code = json_need_str(yyjson_doc_get_root(doc), "model", &id, e);
    if (code == ERR_OK && !(*ret = weights_find(s, id))) code = err_set(e, ERR_NOT_FOUND, "this node does not have model %.16s", id);
    yyjson_doc_free(doc);
    return code;
}

/* Answers one WANT: the bytes in frames of one chunk each. fds[part] is opened at first use. */
static err_code weights_answer(struct io_tls_stream *stream, const struct model_gguf *g, int *fds, const struct frame_header *h,
                               const struct buf *in, uint8_t *chunk, struct err *e) {
    if (h->type != FRAME_WANT || in->len != 16 || h->number >= model_gguf_n_parts(g)) return err_set(e, ERR_PROTOCOL, "malformed WANT");
    uint64_t offset = bytes_get_u64(in->data), len = bytes_get_u64(in->data + 8), size = model_gguf_file_size(g, h->number);
    if (offset > size || len > size - offset) return err_set(e, ERR_PROTOCOL, "WANT past the end of the file");
    if (fds[h->number] < 0) fds[h->number] = open(model_gguf_path(g, h->number), O_RDONLY | O_CLOEXEC);
    if (fds[h->number] < 0) return err_set_errno(e, ERR_IO, errno, "cannot read \"%s\"", model_gguf_path(g, h->number));
    while (len > 0) {
        size_t n = len < WEIGHTS_CHUNK ? (size_t)len : WEIGHTS_CHUNK;
        ssize_t got = pread(fds[h->number], chunk + 8, n, (off_t)offset);
        if (got <= 0) return err_set_errno(e, ERR_IO, got < 0 ? errno : ENODATA, "cannot read \"%s\"", model_gguf_path(g, h->number));
        bytes_put_u64(chunk, offset);
        err_code code = weights_send(stream, FRAME_RANGE, h->number, chunk, 8 + (size_t)got, e);
        if (code != ERR_OK) return code;
        offset += (uint64_t)got;
        len -= (uint64_t)got;
    }
    return ERR_OK;
}

static err_code weights_serve(struct weights_server *s, struct io_tls_stream *stream, struct err *e) {
    int fds[MODEL_MAX_PARTS];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) fds[i] = -1;
    struct buf in;
    buf_init(&in, frame_max_payload(FRAME_HELLO));
    uint8_t *chunk = mem_alloc(8 + WEIGHTS_CHUNK);
    const struct model_gguf *g = NULL;
    err_code code = weights_hello(s, stream, &in, &g, e);
    if (code == ERR_OK) code = weights_welcome(stream, g, e);
    while (code == ERR_OK) {
        struct frame_header h;
        code = weights_receive(stream, &h, &in, e);
        if (code == ERR_OK) code = weights_answer(stream, g, fds, &h, &in, chunk, e);
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0) close(fds[i]);
    free(chunk);
    buf_done(&in);
    return code;
}

static void *weights_thread(void *arg) {
    struct weights_link *l = arg;
    struct weights_server *s = l->server;
    struct err e = {0};
    struct io_tls_stream *stream = NULL;
    err_code code = io_tls_accept(s->tls, l->fd, HANDSHAKE_MS, &stream, &e);
    if (code == ERR_OK) {
        pthread_mutex_lock(&s->lock);
        l->stream = stream;
        bool closing = s->closing;
        pthread_mutex_unlock(&s->lock);
        code = closing ? ERR_CLOSED : weights_serve(s, stream, &e);
        if (code != ERR_CLOSED) weights_refuse(stream, &e);
    }
    if (code != ERR_CLOSED) log_warn("weights", "link ended: %s", e.text);
    pthread_mutex_lock(&s->lock);
    l->stream = NULL;
    l->ended = true;
    pthread_mutex_unlock(&s->lock);
    io_tls_close(stream);
    return NULL;
}

/* Joins threads that have ended. Called with the lock held; they no longer take it. */
static void weights_reap(struct weights_server *s) {
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct weights_link *l = &s->links[i];
        if (!l->used || !l->ended) continue;
        pthread_join(l->thread, NULL);
        l->used = false;
    }
}

err_code weights_server_take(struct weights_server *s, int fd, struct err *e) {
    pthread_mutex_lock(&s->lock);
    weights_reap(s);
    struct weights_link *l = NULL;
    for (size_t i = 0; i < MAX_LINKS && !l; i++)
        if (!s->links[i].used) l = &s->links[i];
    err_code code = l ? ERR_OK : err_set(e, ERR_BUSY, "%d weights links are open already", MAX_LINKS);
    if (l) {
        *l = (struct weights_link){.server = s, .fd = fd, .used = true};
        int errnum = pthread_create(&l->thread, NULL, weights_thread, l);
        if (errnum != 0) {
            l->used = false;
            code = err_set_errno(e, ERR_IO, errnum, "cannot start a thread");
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (code != ERR_OK) close(fd);
    return code;
}

void weights_server_free(struct weights_server *s) {
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    for (size_t i = 0; i < MAX_LINKS; i++)
        if (s->links[i].used && s->links[i].stream) io_tls_shutdown(s->links[i].stream);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < MAX_LINKS; i++)
        if (s->links[i].used) pthread_join(s->links[i].thread, NULL);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
