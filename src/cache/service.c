/* SPDX-License-Identifier: MIT
 * The core's owner. See service.h. */
#include "cache/service.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct cache_service {
    struct cache *core;
    struct cache_limits limits;
    struct cache_port port;
    struct io_loop *loop;
    struct io_task task; /* actions are to be carried out */
    bool acting; /* actions are being carried out: what happens meanwhile adds to them */
};

static void act(void *user);

struct cache_service *cache_service_create(struct io_loop *loop, const struct cache_limits *limits) {
    struct cache_service *s = MEM_NEW(struct cache_service);
    s->limits = *limits;
    s->loop = loop;
    s->task = (struct io_task){.fn = act, .user = s};
    s->core = cache_create(limits);
    return s;
}

void cache_service_use(struct cache_service *s, const struct cache_port *port) { s->port = *port; }

void cache_service_free(struct cache_service *s) {
    if (s == NULL) return;
    io_task_cancel(&s->task);
    if (s->port.close != NULL) s->port.close(s->port.self);
    cache_free(s->core);
    free(s);
}

/* ---- actions ---- */

static void answer(const struct cache_action *a) {
    struct cache_request *r = LIST_ENTRY(a->ticket, struct cache_request, ticket);
    struct entry entry;
    if (a->kind == CACHE_COMPUTE) {
        r->fn(r->user, NULL, 0);
        return;
    }
    err_code code = entry_open(a->data, a->len, &entry, NULL);
    assert(code == ERR_OK); /* what came in has been checked */
    if (code == ERR_OK) r->fn(r->user, &entry, a->age_s);
}

static void act(void *user) {
    struct cache_service *s = user;
    struct cache_action a;
    if (s->acting) return;
    s->acting = true;
    while (cache_next(s->core, &a)) {
        switch (a.kind) {
        case CACHE_LOOK: s->port.get(s->port.self, a.key); break;
        case CACHE_KEEP: s->port.put(s->port.self, a.key, a.data, a.len, a.created, a.created + s->limits.ttl_s); break;
        case CACHE_HIT:
        case CACHE_COMPUTE: answer(&a); break;
        }
    }
    s->acting = false;
}

/* ---- events ---- */

void cache_service_ask(struct cache_service *s, const uint8_t key[CACHE_KEY_SIZE], const struct cache_wish *wish, struct cache_request *r,
                       cache_service_fn fn, void *user) {
    r->fn = fn;
    r->user = user;
    cache_ask(s->core, clock_wall_s(), key, wish, &r->ticket);
    act(s);
}

void cache_service_found(void *service, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len) {
    struct cache_service *s = service;
    struct entry entry = {0};
    struct err e = {0};
    if (data != NULL && entry_open(data, len, &entry, &e) != ERR_OK) {
        log_warn("cache", "an answer from the store is not used: %s", e.text);
        data = NULL;
    }
    cache_found(s->core, clock_wall_s(), key, data, len, entry.created);
    act(s);
}

void cache_service_done(struct cache_service *s, struct cache_request *r, const struct entry_writer *w, const struct api_usage *usage) {
    struct buf bytes;
    struct entry entry;
    int64_t now = clock_wall_s();
    buf_init(&bytes, ENTRY_MAX);
    bool keeps = entry_finish(w, now, usage, &bytes) == ERR_OK && entry_open(bytes.data, bytes.len, &entry, NULL) == ERR_OK;
    cache_done(s->core, now, &r->ticket, keeps ? bytes.data : NULL, bytes.len);
    buf_done(&bytes);
    io_task_post(s->loop, &s->task);
}

void cache_service_leave(struct cache_service *s, struct cache_request *r) {
    cache_leave(s->core, &r->ticket);
    io_task_post(s->loop, &s->task);
}

size_t cache_service_held(const struct cache_service *s) { return cache_held(s->core); }
