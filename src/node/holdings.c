/* SPDX-License-Identifier: MIT
 * Which models have their weights on this machine: the files of the models folder (node/catalog), what was fetched before (the cache), and
 * what stages are fetching now. Others are told, so that they fetch from here; and those who fetch from here are told who else has it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "weights/cache.h"
#include "model/hash.h"
#include "node/node_priv.h"

enum { MAX_CACHED = 128 };
#define LOOK_US 30000000u

struct holdings {
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
    clock_us looked;
};

void holdings_gone(struct node *n, const char *id) {
    for (const struct serve_file *f = n->files; f; f = f->next)
        if (strcmp(f->card.id, id) == 0) return; /* it is being served from there, and stays open */
    weights_server_remove(n->weights, id);
}

void holdings_look(struct node *n) {
    if (!n->holdings) n->holdings = MEM_NEW(struct holdings);
    struct holdings *h = n->holdings;
    clock_us now = clock_now();
    if (h->looked && now < h->looked + LOOK_US) return;
    h->looked = now;
    h->n_cached = weights_cache_list(n->config->cache, h->cached, MAX_CACHED);
}

void holdings_free(struct node *n) {
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
