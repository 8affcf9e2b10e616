/* SPDX-License-Identifier: MIT
 * See holdings.h. */
#include "holder/holdings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "holder/held.h"
#include "io/work.h"
#include "model/hash.h"
#include "weights/cache.h"

enum { MAX_CACHED = 128 };
#define LOOK_US     30000000u
#define ROOM_STEP   ((uint64_t)1 << 20)   /* others are told of the disk's room in such steps, */
#define ROOM_LITTLE ((uint64_t)256 << 30) /* and at once when it is less than this */

struct holdings {
    struct holdings_parts parts;
    struct io_works *works;
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
    uint64_t room;
    clock_us looked; /* 0: never */
    struct held *held;
};

/* ---- the cache ---- */

/* The job of a thread. */
struct cache_look {
    struct holdings *holdings; /* for the loop's thread */
    char *cache;
    uint64_t limit, room;
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
};

static void cache_look_run(void *job) {
    struct cache_look *l = job;
    l->n_cached = weights_cache_list(l->cache, l->cached, MAX_CACHED);
    l->room = weights_cache_room(l->cache, l->limit) / ROOM_STEP * ROOM_STEP;
}

static void cache_look_done(void *job) {
    const struct cache_look *l = job;
    struct holdings *h = l->holdings;
    bool changed = h->n_cached != l->n_cached || (h->room != l->room && (h->room < ROOM_LITTLE || l->room < ROOM_LITTLE));
    h->room = l->room;
    for (size_t i = 0; i < l->n_cached && !changed; i++) changed = strcmp(h->cached[i].id, l->cached[i].id) != 0;
    memcpy(h->cached, l->cached, sizeof(h->cached));
    h->n_cached = l->n_cached;
    if (changed) news_own(h->parts.news);
}

static void cache_look_free(void *job) {
    free(((struct cache_look *)job)->cache);
    free(job);
}

struct holdings *holdings_create(const struct holdings_parts *parts) {
    struct holdings *h = MEM_NEW(struct holdings);
    h->parts = *parts;
    h->works = io_works_open(parts->loop, 1);
    h->room = UINT64_MAX;
    h->held = held_open(parts->state_dir);
    return h;
}

void holdings_look(struct holdings *h) {
    static const struct io_work work = {.run = cache_look_run, .done = cache_look_done, .free = cache_look_free};
    clock_us now = clock_now();
    if ((h->looked && now < h->looked + LOOK_US) || io_works_count(h->works) > 0) return;
    struct cache_look *l = MEM_NEW(struct cache_look);
    l->holdings = h;
    l->cache = mem_strdup(h->parts.cache);
    l->limit = h->parts.cache_limit;
    h->looked = now;
    if (io_works_start(h->works, &work, l, NULL) != ERR_OK) cache_look_free(l);
}

void holdings_free(struct holdings *h) {
    if (!h) return;
    io_works_close(h->works);
    held_close(h->held);
    free(h);
}

/* ---- what others are told ---- */

static void record_add(struct record *r, const char *model, bool whole) {
    for (uint32_t i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].model, model) == 0) return;
    if (r->n_files == RECORD_MAX_FILES || !model_id_ok(model)) return;
    struct record_file *f = &r->files[r->n_files++];
    memcpy(f->model, model, sizeof(f->model));
    f->whole = whole;
}

void holdings_held(struct holdings *h, const struct stage_order *order) {
    if (held_set(h->held, order->model, order->first, order->end)) news_own(h->parts.news);
}

void holdings_record(const struct holdings *h, struct record *r) {
    r->room = h->room;
    char (*ids)[65] = mem_calloc(WEIGHTS_MAX_MODELS, sizeof(*ids));
    struct stage_child *c;
    size_t count = weights_server_models(h->parts.weights, ids);
    for (size_t i = 0; i < count; i++) record_add(r, ids[i], true);
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++) record_add(r, stage_child_order(c)->model, false);
    for (size_t i = 0; i < h->n_cached; i++) record_add(r, h->cached[i].id, false);
    r->n_held = held_newest(h->held, r->held, RECORD_MAX_HELD);
    free(ids);
}

static const struct record_file *file_of(const struct record *r, const char *model) {
    for (uint32_t i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].model, model) == 0) return &r->files[i];
    return NULL;
}

void holdings_sources(const struct holdings *h) {
    char (*ids)[65] = mem_calloc(WEIGHTS_MAX_MODELS, sizeof(*ids));
    size_t count = weights_server_models(h->parts.weights, ids);
    for (size_t i = 0; i < count; i++) {
        struct weights_source list[WEIGHTS_MAX_SOURCES];
        size_t n_list = 0;
        for (size_t k = 0; k < h->parts.records->n_linked && n_list < WEIGHTS_MAX_SOURCES; k++) {
            const struct record_file *f = file_of(h->parts.records->linked[k], ids[i]);
            struct control_peer peer;
            if (!f || !control_find(h->parts.control, h->parts.records->linked[k]->id, &peer)) continue;
            struct weights_source *s = &list[n_list++];
            *s = (struct weights_source){.node = peer.id, .port = peer.port, .whole = f->whole};
            memcpy(s->host, peer.host, sizeof(s->host));
        }
        weights_server_sources(h->parts.weights, ids[i], list, n_list);
    }
    free(ids);
}
