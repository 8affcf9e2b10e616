/* SPDX-License-Identifier: MIT
 * The serving side of weights.h: a thread for each link reads the model's files, or the cached parts of a model, with pread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "weights/exchange.h"
#include "members/roster.h"
#include "weights/server.h"
#include "weights/cache.h"
#include "weights/hashes.h"
#include "weights/weights_priv.h"
#include "wire/handshake.h"

enum { MAX_LINKS = 192, MAX_STRANGERS = 32 /* links from unknown addresses that are not proven yet */, HANDSHAKE_MS = 5000 };

/* A model whose files are all on this machine. */
struct weights_model {
    char id[65];
    struct weights_shape shape;
    char **paths; /* of the parts */
    struct weights_hashes *hashes;
    struct weights_source sources[WEIGHTS_MAX_SOURCES]; /* other nodes with the model or parts of it */
    size_t n_sources;
    unsigned refs; /* one for the table, and one for each link that serves it */
};

struct weights_link {
    struct weights_server *server;
    pthread_t thread;
    struct io_tls_stream *stream; /* set once the handshake is done; guarded by the server's lock */
    uint8_t node[IO_SIGN_PUBLIC_SIZE]; /* the fetching node; proven once `known` */
    int fd;
    bool used, ended, known, stranger;
};

struct weights_server {
    struct io_tls_ctx *tls;
    struct wire_pass pass; /* of this node */
    char *cache; /* folder, NULL: none */
    pthread_mutex_t lock; /* guards everything below */
    struct weights_model *models[WEIGHTS_MAX_MODELS];
    size_t n_models;
    struct weights_link links[MAX_LINKS];
    uint8_t out[ROSTER_MAX_REMOVED][IO_SIGN_PUBLIC_SIZE]; /* nodes that were removed from the cluster */
    size_t n_out;
    uint8_t met[ROSTER_MAX_PEERS][IO_SIGN_PUBLIC_SIZE]; /* nodes that may use the old key */
    size_t n_met;
    uint64_t sent;
    bool closing;
};

/* ---- what is served ---- */

struct weights_server *weights_server_create(struct io_tls_ctx *tls, const uint8_t node_secret[IO_SIGN_SECRET_SIZE], const char *cache) {
    struct weights_server *s = MEM_NEW(struct weights_server);
    s->tls = tls;
    wire_pass_make(node_secret, "", 0, &s->pass);
    s->cache = mem_strdup(cache);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

struct weights_model *weights_model_create(const struct model_gguf *g, const char *cache) {
    return weights_model_create_as(g, model_gguf_id(g), cache);
}

struct weights_model *weights_model_create_as(const struct model_gguf *g, const char *id, const char *cache) {
    struct weights_model *m = MEM_NEW(struct weights_model);
    snprintf(m->id, sizeof(m->id), "%s", id);
    m->shape.n_parts = model_gguf_n_parts(g);
    m->shape.whole = true;
    m->paths = mem_calloc(m->shape.n_parts, sizeof(*m->paths));
    for (uint32_t i = 0; i < m->shape.n_parts; i++) {
        size_t len;
        model_gguf_header(g, i, &len);
        m->shape.parts[i] = (struct weights_part_shape){.size = model_gguf_file_size(g, i), .header = len};
        m->paths[i] = realpath(model_gguf_path(g, i), NULL);
        if (!m->paths[i]) m->paths[i] = mem_strdup(model_gguf_path(g, i));
    }
    m->hashes = weights_hashes_create(cache, m->id, m->shape.n_parts);
    m->refs = 1;
    return m;
}

void weights_model_free(struct weights_model *m) {
    if (!m) return;
    weights_hashes_free(m->hashes);
    for (uint32_t i = 0; i < m->shape.n_parts; i++) free(m->paths[i]);
    free(m->paths);
    free(m);
}

/* With the lock held. */
static void model_release(struct weights_model *m) {
    if (m && --m->refs == 0) weights_model_free(m);
}

/* With the lock held. */
static struct weights_model *model_find(const struct weights_server *s, const char *id) {
    for (size_t i = 0; i < s->n_models; i++)
        if (strcmp(s->models[i]->id, id) == 0) return s->models[i];
    return NULL;
}

void weights_server_add(struct weights_server *s, struct weights_model *m) {
    pthread_mutex_lock(&s->lock);
    bool fits = s->n_models < WEIGHTS_MAX_MODELS && !model_find(s, m->id);
    if (fits) s->models[s->n_models++] = m;
    pthread_mutex_unlock(&s->lock);
    if (!fits) weights_model_free(m);
}

void weights_server_remove(struct weights_server *s, const char *id) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_models; i++) {
        if (strcmp(s->models[i]->id, id) != 0) continue;
        model_release(s->models[i]);
        s->models[i] = s->models[--s->n_models];
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

bool weights_server_path(struct weights_server *s, const char *id, char *ret, size_t size) {
    pthread_mutex_lock(&s->lock);
    const struct weights_model *m = model_find(s, id);
    bool fits = m && strlen(m->paths[0]) < size;
    if (fits) memcpy(ret, m->paths[0], strlen(m->paths[0]) + 1);
    pthread_mutex_unlock(&s->lock);
    return fits;
}

size_t weights_server_models(struct weights_server *s, char ret_ids[WEIGHTS_MAX_MODELS][65]) {
    pthread_mutex_lock(&s->lock);
    size_t n = s->n_models;
    for (size_t i = 0; i < n; i++) memcpy(ret_ids[i], s->models[i]->id, sizeof(ret_ids[i]));
    pthread_mutex_unlock(&s->lock);
    return n;
}

void weights_server_sources(struct weights_server *s, const char *id, const struct weights_source *list, size_t n) {
    pthread_mutex_lock(&s->lock);
    struct weights_model *m = model_find(s, id);
    if (m) {
        m->n_sources = n < WEIGHTS_MAX_SOURCES ? n : WEIGHTS_MAX_SOURCES;
        memcpy(m->sources, list, m->n_sources * sizeof(*list));
    }
    pthread_mutex_unlock(&s->lock);
}

uint64_t weights_server_sent(struct weights_server *s) {
    pthread_mutex_lock(&s->lock);
    uint64_t sent = s->sent;
    pthread_mutex_unlock(&s->lock);
    return sent;
}

/* ---- which nodes are served ---- */

/* With the lock held: the node's index in the list of removed nodes; n_out: it is not there. */
static size_t out_find(const struct weights_server *s, const uint8_t node[IO_SIGN_PUBLIC_SIZE]) {
    size_t i = 0;
    while (i < s->n_out && memcmp(s->out[i], node, IO_SIGN_PUBLIC_SIZE) != 0) i++;
    return i;
}

void weights_server_set_out(struct weights_server *s, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], bool out) {
    pthread_mutex_lock(&s->lock);
    size_t at = out_find(s, public_key);
    if (out && at == s->n_out && at < ROSTER_MAX_REMOVED) memcpy(s->out[s->n_out++], public_key, IO_SIGN_PUBLIC_SIZE);
    if (!out && at < s->n_out) memmove(s->out[at], s->out[--s->n_out], IO_SIGN_PUBLIC_SIZE);
    for (size_t i = 0; i < MAX_LINKS && out; i++) {
        struct weights_link *l = &s->links[i];
        if (l->used && l->stream && l->known && memcmp(l->node, public_key, sizeof(l->node)) == 0) io_tls_shutdown(l->stream);
    }
    pthread_mutex_unlock(&s->lock);
}

void weights_server_set_met(struct weights_server *s, const uint8_t (*public_keys)[IO_SIGN_PUBLIC_SIZE], size_t n) {
    pthread_mutex_lock(&s->lock);
    s->n_met = n < ROSTER_MAX_PEERS ? n : ROSTER_MAX_PEERS;
    memcpy(s->met, public_keys, s->n_met * sizeof(s->met[0]));
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held: may this node be served on a link with this key? */
static err_code node_may(const struct weights_server *s, const uint8_t node[IO_SIGN_PUBLIC_SIZE], uint64_t key_id, struct err *e) {
    bool met = key_id == io_tls_ctx_key_id(s->tls);
    for (size_t i = 0; i < s->n_met && !met; i++) met = memcmp(s->met[i], node, IO_SIGN_PUBLIC_SIZE) == 0;
    if (out_find(s, node) < s->n_out) return err_set(e, ERR_AUTH, "this node was shut out of the cluster");
    if (!met) return err_set(e, ERR_AUTH, "the cluster's key was changed, and the old one only serves nodes that were members before");
    return ERR_OK;
}

static err_code weights_admit(struct weights_link *l, const struct weights_hello *h, const uint8_t binding[IO_TLS_EXPORT_SIZE],
                              struct err *e) {
    struct weights_server *s = l->server;
    err_code code = wire_proof_check(&h->proof, 0, h->instance, h->epoch, true, binding, e);
    if (code != ERR_OK) return code;
    pthread_mutex_lock(&s->lock);
    code = node_may(s, h->proof.node, io_tls_stream_key_id(l->stream), e);
    memcpy(l->node, h->proof.node, sizeof(l->node));
    l->known = true;
    pthread_mutex_unlock(&s->lock);
    return code;
}

/* ---- one link ---- */

/* What a link serves: a model whose files are on this machine, or the cached parts of one. */
struct serving {
    struct weights_server *server;
    struct weights_link *link;
    struct io_tls_stream *stream;
    struct weights_model *model; /* or: */
    struct weights_cache *cache;
    const struct weights_shape *shape;
    int fds[MODEL_MAX_PARTS]; /* of the model's files, opened at first use */
    struct wire_reader in;
    struct buf out;
};

static void serving_done(struct serving *v) {
    for (size_t i = 0; i < ARRAY_LEN(v->fds); i++)
        if (v->fds[i] >= 0) close(v->fds[i]);
    pthread_mutex_lock(&v->server->lock);
    model_release(v->model);
    pthread_mutex_unlock(&v->server->lock);
    weights_cache_close(v->cache);
    wire_reader_done(&v->in);
    buf_done(&v->out);
}

static err_code serving_find(struct serving *v, const char *id, struct err *e) {
    pthread_mutex_lock(&v->server->lock);
    v->model = model_find(v->server, id);
    if (v->model) v->model->refs++;
    pthread_mutex_unlock(&v->server->lock);
    if (v->model) {
        v->shape = &v->model->shape;
        return ERR_OK;
    }
    if (!v->server->cache || weights_cache_open(v->server->cache, id, NULL, &v->cache, NULL) != ERR_OK)
        return err_set(e, ERR_NOT_FOUND, "this node does not have model %.16s", id);
    v->shape = weights_cache_shape(v->cache);
    return ERR_OK;
}

static void weights_refuse(struct io_tls_stream *stream, const struct err *why) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_REFUSE));
    wire_refuse_encode(why, &b);
    weights_send(stream, FRAME_REFUSE, 0, b.data, b.len, NULL);
    buf_done(&b);
}

static err_code serving_hello(struct serving *v, struct err *e) {
    const struct frame_header *h = &v->in.header;
    err_code code = weights_receive(v->stream, &v->in, true, e);
    if (code != ERR_OK) return code;
    if (h->type != FRAME_HELLO) return err_set(e, ERR_PROTOCOL, "expected HELLO, got %s", frame_type_name(h->type));
    struct weights_hello hello;
    struct wire_proof proof;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    io_tls_export(v->stream, WIRE_PASS_LABEL, binding);
    code = weights_hello_decode(v->in.payload, h->payload_len, &hello, e);
    if (code == ERR_OK) code = weights_admit(v->link, &hello, binding, e);
    if (code == ERR_OK) code = serving_find(v, hello.model, e);
    if (code != ERR_OK) return code;
    wire_pass_prove(&v->server->pass, false, binding, &proof);
    weights_welcome_encode(v->shape, &proof, &v->out);
    return weights_send(v->stream, FRAME_WELCOME, 0, v->out.data, v->out.len, e);
}

static err_code serving_open(struct serving *v, uint32_t part, struct err *e) {
    if (v->cache || v->fds[part] >= 0) return ERR_OK;
    return file_open(v->model->paths[part], "model", &v->fds[part], e);
}

/* Are all of these bytes here? The headers of a cached model always are. */
static bool serving_has(const struct serving *v, uint32_t part, uint64_t offset, uint64_t len) {
    if (!v->cache || offset + len <= v->shape->parts[part].header) return true;
    for (uint64_t c = offset / WEIGHTS_CHUNK; c * WEIGHTS_CHUNK < offset + len; c++)
        if (weights_cache_get(v->cache, part, c) != WEIGHTS_HERE) return false;
    return true;
}

static err_code serving_read(struct serving *v, uint32_t part, uint64_t offset, uint8_t *to, size_t len, struct err *e) {
    if (v->cache) return weights_cache_read(v->cache, part, offset, to, len) ? ERR_OK : err_set(e, ERR_IO, "cannot read cached weights");
    ssize_t n = pread(v->fds[part], to, len, (off_t)offset);
    if (n == (ssize_t)len) return ERR_OK;
    return err_set_errno(e, ERR_IO, n < 0 ? errno : ENODATA, "cannot read \"%s\"", v->model->paths[part]);
}

static err_code answer_want(struct serving *v, uint32_t part, struct err *e) {
    enum { HEAD = FIELD_SIZE(weights_range) };
    struct weights_want want;
    if (field_decode(weights_want_fields(), v->in.payload, v->in.header.payload_len, &want, e) != ERR_OK) return ERR_PROTOCOL;
    struct weights_range range = {.offset = want.offset};
    uint64_t len = want.len, size = v->shape->parts[part].size;
    if (want.offset > size || len > size - want.offset) return err_set(e, ERR_PROTOCOL, "WANT past the end of the file");
    if (!serving_has(v, part, want.offset, len)) {
        field_put(weights_range_fields(), &range, v->out.data);
        return weights_send(v->stream, FRAME_RANGE, part, v->out.data, HEAD, e);
    }
    err_code code = serving_open(v, part, e);
    while (len > 0 && code == ERR_OK) {
        size_t n = len < WEIGHTS_PIECE ? (size_t)len : WEIGHTS_PIECE;
        field_put(weights_range_fields(), &range, v->out.data);
        code = serving_read(v, part, range.offset, v->out.data + HEAD, n, e);
        if (code == ERR_OK) code = weights_send(v->stream, FRAME_RANGE, part, v->out.data, HEAD + n, e);
        range.offset += n;
        len -= n;
        pthread_mutex_lock(&v->server->lock);
        v->server->sent += n;
        pthread_mutex_unlock(&v->server->lock);
    }
    return code;
}

static err_code answer_have(struct serving *v, uint32_t part, struct err *e) {
    static const uint8_t as[] = {[WEIGHTS_NONE] = EXCHANGE_NOTHING,
                                 [WEIGHTS_HERE] = EXCHANGE_HAS,
                                 [WEIGHTS_WANTED] = EXCHANGE_WANTS,
                                 [WEIGHTS_COMING] = EXCHANGE_COMES,
                                 [WEIGHTS_UNSURE] = EXCHANGE_NOTHING};
    uint64_t n = weights_n_chunks(v->shape->parts[part].size);
    uint8_t *bits = malloc(n);
    if (!bits) return err_set(e, ERR_MEMORY, "no memory for what is here of %llu chunks", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        enum weights_mark mark = v->cache ? weights_cache_get(v->cache, part, i) : WEIGHTS_HERE;
        bits[i] = mark < ARRAY_LEN(as) ? as[mark] : EXCHANGE_NOTHING;
    }
    buf_clear(&v->out);
    weights_have_encode(bits, n, &v->out);
    free(bits);
    return weights_send(v->stream, FRAME_HAVE, part, v->out.data, v->out.len, e);
}

static err_code answer_hashes(struct serving *v, uint32_t part, struct err *e) {
    struct weights_run run;
    if (v->cache) return err_set(e, ERR_PROTOCOL, "only a node with the whole file answers HASHES");
    err_code code = weights_run_decode(v->in.payload, v->in.header.payload_len, weights_n_chunks(v->shape->parts[part].size), &run, e);
    if (code == ERR_OK) code = serving_open(v, part, e);
    if (code != ERR_OK) return code;
    buf_clear(&v->out);
    field_encode(weights_hashed_fields(), &(struct weights_hashed){.first = run.first}, &v->out);
    code = weights_hashes_get(v->model->hashes, part, v->fds[part], &run, &v->out, e);
    return code == ERR_OK ? weights_send(v->stream, FRAME_HASHES, part, v->out.data, v->out.len, e) : code;
}

static err_code answer_sources(struct serving *v, uint32_t part, struct err *e) {
    struct weights_source list[WEIGHTS_MAX_SOURCES];
    size_t n = 0;
    pthread_mutex_lock(&v->server->lock);
    if (v->model) {
        n = v->model->n_sources;
        memcpy(list, v->model->sources, n * sizeof(*list));
    }
    pthread_mutex_unlock(&v->server->lock);
    buf_clear(&v->out);
    weights_sources_encode(list, n, &v->out);
    return weights_send(v->stream, FRAME_SOURCES, part, v->out.data, v->out.len, e);
}

static const struct {
    enum frame_type type;
    err_code (*answer)(struct serving *v, uint32_t part, struct err *e);
} ANSWERS[] = {{FRAME_WANT, answer_want}, {FRAME_HAVE, answer_have}, {FRAME_HASHES, answer_hashes}, {FRAME_SOURCES, answer_sources}};

static err_code serving_answer(struct serving *v, struct err *e) {
    const struct frame_header *h = &v->in.header;
    err_code code = weights_receive(v->stream, &v->in, true, e);
    if (code != ERR_OK) return code;
    if (h->number >= v->shape->n_parts) return err_set(e, ERR_PROTOCOL, "%s of part %u", frame_type_name(h->type), h->number);
    if (!buf_reserve(&v->out, FIELD_SIZE(weights_range) + WEIGHTS_PIECE)) return err_set(e, ERR_MEMORY, "no memory for a piece of weights");
    for (size_t i = 0; i < ARRAY_LEN(ANSWERS); i++)
        if (ANSWERS[i].type == h->type) return ANSWERS[i].answer(v, h->number, e);
    return err_set(e, ERR_PROTOCOL, "unexpected %s", frame_type_name(h->type));
}

static err_code weights_serve(struct weights_link *l, struct io_tls_stream *stream, struct err *e) {
    struct serving *v = MEM_NEW(struct serving);
    v->server = l->server;
    v->link = l;
    v->stream = stream;
    for (size_t i = 0; i < ARRAY_LEN(v->fds); i++) v->fds[i] = -1;
    wire_reader_init(&v->in, FRAME_LINK_WEIGHTS);
    buf_init(&v->out, frame_max_payload(FRAME_HAVE));
    err_code code = serving_hello(v, e);
    while (code == ERR_OK) {
        buf_clear(&v->out);
        code = serving_answer(v, e);
    }
    serving_done(v);
    free(v);
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
        code = closing ? ERR_CLOSED : weights_serve(l, stream, &e);
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

/* Joins threads that have ended. Called with the lock held, which these threads no longer take. */
static void weights_reap(struct weights_server *s) {
    for (size_t i = 0; i < MAX_LINKS; i++) {
        struct weights_link *l = &s->links[i];
        if (!l->used || !l->ended) continue;
        pthread_join(l->thread, NULL);
        l->used = false;
    }
}

/* A free slot, with the lock held. NULL: none is free, or there are too many links from unknown addresses. */
static struct weights_link *weights_place(struct weights_server *s, bool stranger) {
    struct weights_link *l = NULL;
    size_t strangers = 0;
    for (size_t i = 0; i < MAX_LINKS; i++) {
        if (!s->links[i].used && !l) l = &s->links[i];
        strangers += s->links[i].used && s->links[i].stranger && !s->links[i].known;
    }
    return stranger && strangers >= MAX_STRANGERS ? NULL : l;
}

err_code weights_server_take(struct weights_server *s, int fd, bool met, struct err *e) {
    pthread_mutex_lock(&s->lock);
    weights_reap(s);
    struct weights_link *l = weights_place(s, !met);
    err_code code = l ? ERR_OK : err_set(e, ERR_BUSY, "too many weights links are open: one was refused");
    if (l) {
        *l = (struct weights_link){.server = s, .fd = fd, .used = true, .stranger = !met};
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
    for (size_t i = 0; i < s->n_models; i++) model_release(s->models[i]);
    pthread_mutex_destroy(&s->lock);
    free(s->cache);
    free(s);
}
