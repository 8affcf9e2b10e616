/* SPDX-License-Identifier: MIT
 * See saved.h. */
#include "loading/saved.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

enum { MAX_FILE = 1 << 20 };

struct saved {
    struct saved_parts parts;
    char *path;      /* NULL: nothing is kept */
    uint64_t news;   /* the count of news when the file was last written */
    struct buf text; /* the file's */
};

/* A file outside the models folder has been read: the catalog has it again. */
static void saved_known(void *user, struct serve_file *f, const struct err *e) {
    (void)user;
    if (!f) log_warn("node", "a model that was loaded before: %s", e->text);
}

static void saved_read(struct saved *s) {
    struct orphans *models = MEM_NEW(struct orphans);
    struct unloads unloads = {0};
    struct buf b;
    struct err e = {0};
    buf_init(&b, MAX_FILE);
    err_code code = file_read(s->path, "the models that were loaded", &b, &e);
    if (code == ERR_OK) {
        code = orphans_read(buf_cstr(&b), b.len, models, &unloads, &e);
        err_prefix(&e, "\"%s\"", s->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("node", "%s", e.text);
    coordinator_restore(s->parts.core, clock_now(), s->parts.node_name, models, &unloads);
    for (uint32_t i = 0; i < models->n; i++)
        if (models->list[i].path[0]) files_open(s->parts.files, models->list[i].path, saved_known, NULL);
    buf_done(&b);
    free(models);
}

struct saved *saved_open(const struct saved_parts *parts) {
    struct saved *s = MEM_NEW(struct saved);
    s->parts = *parts;
    buf_init(&s->text, MAX_FILE);
    s->path = parts->state_dir ? mem_printf("%smodels.json", parts->state_dir) : NULL;
    if (s->path) saved_read(s);
    return s;
}

void saved_close(struct saved *s) {
    if (!s) return;
    buf_done(&s->text);
    free(s->path);
    free(s);
}

void saved_update(struct saved *s) {
    struct buf b;
    struct err e = {0};
    if (!s->path || s->news == s->parts.news->count) return;
    struct orphans *models = MEM_NEW(struct orphans);
    buf_init(&b, MAX_FILE);
    coordinator_saved(s->parts.core, models);
    orphans_write(models, coordinator_unloads(s->parts.core), &b);
    bool same = b.len == s->text.len && (b.len == 0 || memcmp(b.data, s->text.data, b.len) == 0);
    if (!same && file_write(s->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_clear(&s->text);
    buf_append(&s->text, b.data, b.len);
    s->news = s->parts.news->count;
    buf_done(&b);
    free(models);
}
