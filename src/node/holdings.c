/* SPDX-License-Identifier: MIT
 * Which models have their weights on this machine: the files of the models folder, what was fetched before (the cache), and what stages are
 * fetching now. Others are told, so that they fetch from here; and those who fetch from here are told who else has it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "cluster/weights_cache.h"
#include "node/node_priv.h"

enum { MAX_FILES = 256, MAX_DEPTH = 3, MAX_CACHED = 128 };
#define LOOK_US 30000000u

/* A file that has been looked at; looked at again only when it has changed. */
struct seen {
    char *path;
    int64_t size, changed;
    char id[65]; /* "" : no model */
    bool there;
};

struct holdings {
    struct seen files[MAX_FILES];
    size_t n;
    struct weights_cached cached[MAX_CACHED];
    size_t n_cached;
    clock_us looked;
};

static void seen_forget(struct node *n, struct holdings *h, size_t i) {
    struct seen gone = h->files[i];
    h->files[i] = h->files[--h->n];
    bool elsewhere = false;
    for (size_t k = 0; k < h->n; k++) elsewhere = elsewhere || strcmp(h->files[k].id, gone.id) == 0;
    bool serving = false;
    for (const struct serve_file *f = n->files; f && !serving; f = f->next) serving = strcmp(f->card.id, gone.id) == 0;
    if (gone.id[0] && !elsewhere && !serving) weights_server_remove(n->weights, gone.id);
    free(gone.path);
}

/* The header is read; of a split model that of the first part stands for all. */
static void seen_read(struct node *n, struct seen *s) {
    struct model_gguf *g;
    struct err e = {0};
    const char *part = strstr(s->path, "-of-");
    if (part && part - s->path > 6 && strncmp(part - 6, "-00001", 6) != 0) return;
    if (model_gguf_open(s->path, &g, &e) != ERR_OK) {
        log_debug("weights", "\"%s\" is no model: %s", s->path, e.text);
        return;
    }
    memcpy(s->id, model_gguf_id(g), sizeof(s->id));
    weights_server_add(n->weights, g);
    model_gguf_free(g);
}

static void holdings_file(struct node *n, const char *path, const struct stat *st) {
    struct holdings *h = n->holdings;
    for (size_t i = 0; i < h->n; i++) {
        struct seen *s = &h->files[i];
        if (strcmp(s->path, path) != 0) continue;
        s->there = s->size == st->st_size && s->changed == st->st_mtime;
        if (s->there) return;
        seen_forget(n, h, i);
        break;
    }
    if (h->n == MAX_FILES) return;
    struct seen *s = &h->files[h->n++];
    *s = (struct seen){.path = mem_strdup(path), .size = st->st_size, .changed = st->st_mtime, .there = true};
    seen_read(n, s);
}

static void holdings_folder(struct node *n, const char *folder, int depth) {
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *d; (d = readdir(dir));) {
        struct stat st;
        size_t len = strlen(d->d_name);
        if (d->d_name[0] == '.') continue;
        char *path = mem_printf("%s/%s", folder, d->d_name);
        if (stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) holdings_folder(n, path, depth + 1);
            else if (S_ISREG(st.st_mode) && len > 5 && strcasecmp(d->d_name + len - 5, ".gguf") == 0) holdings_file(n, path, &st);
        }
        free(path);
    }
    closedir(dir);
}

void holdings_look(struct node *n) {
    if (!n->holdings) n->holdings = MEM_NEW(struct holdings);
    struct holdings *h = n->holdings;
    clock_us now = clock_now();
    if (h->looked && now < h->looked + LOOK_US) return;
    h->looked = now;
    h->n_cached = weights_cache_list(n->config->cache, h->cached, MAX_CACHED);
    if (!n->config->models_dir) return;
    for (size_t i = 0; i < h->n; i++) h->files[i].there = false;
    holdings_folder(n, n->config->models_dir, 0);
    for (size_t i = h->n; i-- > 0;)
        if (!h->files[i].there) seen_forget(n, h, i);
}

void holdings_free(struct node *n) {
    if (!n->holdings) return;
    for (size_t i = 0; i < n->holdings->n; i++) free(n->holdings->files[i].path);
    free(n->holdings);
    n->holdings = NULL;
}

/* ---- what others are told ---------------------------------------------------------------------------------------------------- */

static void record_add(struct record *r, const char *model, bool whole) {
    for (uint32_t i = 0; i < r->n_files; i++)
        if (strcmp(r->files[i].model, model) == 0) return;
    if (r->n_files == RECORD_MAX_FILES || !weights_id_ok(model)) return;
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
