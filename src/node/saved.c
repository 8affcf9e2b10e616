/* SPDX-License-Identifier: MIT
 * The models that somebody asked this node for, and those that were unloaded, kept in the state folder from one start to the next. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/files.h"
#include "node/saved.h"
#include "node/node_priv.h"

enum { MAX_FILE = 1 << 20 };

struct saved {
    char *path;      /* NULL: nothing lasts here */
    uint64_t news;   /* n->news when it was last written */
    struct buf text; /* the file's */
};

/* A file that lies outside the models folder is known again. */
static void saved_known(void *user, struct serve_file *f, const struct err *e) {
    (void)user;
    if (!f) log_warn("node", "a model that was loaded before: %s", e->text);
}

static void saved_read(struct node *n) {
    struct orphans *models = MEM_NEW(struct orphans);
    struct unloads unloads = {0};
    struct buf b;
    struct err e = {0};
    buf_init(&b, MAX_FILE);
    err_code code = file_read(n->saved->path, "the models that were loaded", &b, &e);
    if (code == ERR_OK) {
        code = orphans_read(buf_cstr(&b), b.len, models, &unloads, &e);
        err_prefix(&e, "\"%s\"", n->saved->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("node", "%s", e.text);
    coordinator_restore(serve_core(n), clock_now(), n->name, models, &unloads);
    for (uint32_t i = 0; i < models->n; i++)
        if (models->list[i].path[0]) files_open(n, models->list[i].path, saved_known, NULL);
    buf_done(&b);
    free(models);
}

void saved_open(struct node *n) {
    n->saved = MEM_NEW(struct saved);
    buf_init(&n->saved->text, MAX_FILE);
    if (!n->config->state_dir || join_identity(n->join)->lock_fd < 0) return;
    n->saved->path = mem_printf("%smodels.json", n->config->state_dir);
    saved_read(n);
}

void saved_close(struct node *n) {
    if (!n->saved) return;
    buf_done(&n->saved->text);
    free(n->saved->path);
    free(n->saved);
    n->saved = NULL;
}

void saved_update(struct node *n) {
    struct saved *s = n->saved;
    struct buf b;
    struct err e = {0};
    if (!s->path || s->news == n->news) return;
    struct orphans *models = MEM_NEW(struct orphans);
    buf_init(&b, MAX_FILE);
    coordinator_saved(serve_core(n), models);
    orphans_write(models, coordinator_unloads(serve_core(n)), &b);
    bool same = b.len == s->text.len && (b.len == 0 || memcmp(b.data, s->text.data, b.len) == 0);
    if (!same && file_write(s->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_clear(&s->text);
    buf_append(&s->text, b.data, b.len);
    s->news = n->news;
    buf_done(&b);
    free(models);
}
