/* SPDX-License-Identifier: MIT
 * Which models have their weights on this machine: the files of the models folder (node/catalog), what was fetched before (the cache), and
 * what stages are fetching now. Others are told, so that they fetch from here; and those who fetch from here are told who else has it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "weights/cache.h"
#include "io/work.h"
#include "model/hash.h"
#include "node/files.h"
#include "node/holdings.h"
#include "node/node_priv.h"

enum { MAX_CACHED = 128 };
#define LOOK_US 30000000u

struct holdings {
    struct io_works *works;
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
    clock_us looked; /* 0: never */
};

void holdings_gone(struct node *n, const char *id) {
    if (!files_find_id(n, id)) weights_server_remove(n->weights, id); /* else it is being served from there, and stays open */
}

/* ---- the cache ---- */

/* The job of a thread. */
struct cache_look {
    struct node *node; /* for the loop's thread */
    char *cache;
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
};

static void cache_look_run(void *job) {
    struct cache_look *l = job;
    l->n_cached = weights_cache_list(l->cache, l->cached, MAX_CACHED);
}

static void cache_look_done(void *job) {
    const struct cache_look *l = job;
    struct holdings *h = l->node->holdings;
    bool changed = h->n_cached != l->n_cached;
    for (size_t i = 0; i < l->n_cached && !changed; i++) changed = strcmp(h->cached[i].id, l->cached[i].id) != 0;
    memcpy(h->cached, l->cached, sizeof(h->cached));
    h->n_cached = l->n_cached;
    if (changed) node_changed(l->node);
}

static void cache_look_free(void *job) {
    free(((struct cache_look *)job)->cache);
    free(job);
}

void holdings_create(struct node *n) {
    n->holdings = MEM_NEW(struct holdings);
    n->holdings->works = io_works_open(n->loop, 1);
}

void holdings_look(struct node *n) {
    static const struct io_work work = {.run = cache_look_run, .done = cache_look_done, .free = cache_look_free};
    struct holdings *h = n->holdings;
    clock_us now = clock_now();
    if ((h->looked && now < h->looked + LOOK_US) || io_works_count(h->works) > 0) return;
    struct cache_look *l = MEM_NEW(struct cache_look);
    l->node = n;
    l->cache = mem_strdup(n->config->cache);
    h->looked = now;
    if (io_works_start(h->works, &work, l, NULL) != ERR_OK) cache_look_free(l);
}

void holdings_free(struct node *n) {
    if (!n->holdings) return;
    io_works_close(n->holdings->works);
    free(n->holdings);
    n->holdings = NULL;
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

void holdings_record(struct node *n, struct record *r) {
    char (*ids)[65] = mem_calloc(WEIGHTS_MAX_MODELS, sizeof(*ids));
    struct stage_child *c;
    size_t count = weights_server_models(n->weights, ids);
    for (size_t i = 0; i < count; i++) record_add(r, ids[i], true);
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) record_add(r, stage_child_order(c)->model, false);
    for (size_t i = 0; i < n->holdings->n_cached; i++) record_add(r, n->holdings->cached[i].id, false);
    free(ids);
}

static const struct record_file *file_of(const struct record *r, const char *model) {
    for (uint32_t i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].model, model) == 0) return &r->files[i];
    return NULL;
}

void holdings_sources(struct node *n) {
    char (*ids)[65] = mem_calloc(WEIGHTS_MAX_MODELS, sizeof(*ids));
    size_t count = weights_server_models(n->weights, ids);
    for (size_t i = 0; i < count; i++) {
        struct weights_source list[WEIGHTS_MAX_SOURCES];
        size_t n_list = 0;
        for (size_t k = 0; k < n->n_records && n_list < WEIGHTS_MAX_SOURCES; k++) {
            const struct record_file *f = file_of(n->records[k], ids[i]);
            struct control_peer peer;
            if (!f || !control_find(n->control, n->records[k]->id, &peer)) continue;
            struct weights_source *s = &list[n_list++];
            *s = (struct weights_source){.node = peer.id, .port = peer.port, .whole = f->whole};
            memcpy(s->host, peer.host, sizeof(s->host));
        }
        weights_server_sources(n->weights, ids[i], list, n_list);
    }
    free(ids);
}
