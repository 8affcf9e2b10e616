/* SPDX-License-Identifier: MIT
 * See files.h. */
#include "catalog/files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "io/work.h"

enum { MAX_OPENING = 16 };

struct asker {
    struct list link;
    files_opened_fn done;
    void *user;
};

/* A file that is being read. */
struct opening {
    struct list link;
    char *path;
    struct list askers;
};

struct files {
    struct files_parts parts;
    struct io_works *works;
    struct list opening;
    struct serve_file *known; /* all that were read and are kept */
};

/* ---- in a thread ---- */

struct file_job {
    struct files *files;     /* for the loop's thread, as the next one */
    struct opening *opening;
    char *path, *cache;
    struct serve_file *file; /* NULL: err says why */
    struct err err;
};

static void file_free(struct serve_file *f) {
    if (!f) return;
    weights_model_free(f->weights);
    model_layout_free(f->layout);
    model_gguf_free(f->gguf);
    free(f);
}

static err_code file_read_header(const char *given, const char *cache, struct serve_file **ret, struct err *e) {
    char path[PATH_MAX];
    if (!realpath(given, path) || strlen(path) >= sizeof((*ret)->path))
        return err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read model \"%.200s\"", given);
    struct serve_file *f = MEM_NEW(struct serve_file);
    err_code code = model_gguf_open(path, &f->gguf, e);
    if (code == ERR_OK) code = model_layout_create(f->gguf, &f->layout, e);
    if (code != ERR_OK) {
        file_free(f);
        return code;
    }
    snprintf(f->path, sizeof(f->path), "%s", path);
    model_card_make(f->gguf, &f->card);
    model_projector_find(path, f->layout->n_embd, &f->projector);
    model_sample(f->gguf, f->sample, NULL); /* without it the model runs, and its answers are not kept */
    f->weights = weights_model_create(f->gguf, cache);
    *ret = f;
    return ERR_OK;
}

static void job_run(void *user) {
    struct file_job *j = user;
    file_read_header(j->path, j->cache, &j->file, &j->err);
}

static void job_free(void *user) {
    struct file_job *j = user;
    file_free(j->file);
    free(j->path);
    free(j->cache);
    free(j);
}

/* ---- on the loop ---- */

/* Keeps a file that was read. If the same file is known already, that one is returned, and f is freed. */
static struct serve_file *files_keep(struct files *files, struct serve_file *f) {
    for (struct serve_file *known = files->known; known; known = known->next)
        if (strcmp(known->path, f->path) == 0 && strcmp(known->card.id, f->card.id) == 0) {
            known->projector = f->projector; /* which may have come since */
            file_free(f);
            return known;
        }
    weights_server_add(files->parts.weights, f->weights);
    f->weights = NULL;
    if (!catalog_find_id(files->parts.catalog, f->card.id)) catalog_add(files->parts.catalog, f->path, &f->card);
    f->next = files->known;
    files->known = f;
    return f;
}

static void opening_end(struct opening *o, struct serve_file *f, const struct err *why) {
    struct list *link;
    list_remove(&o->link);
    while ((link = list_pop_front(&o->askers)) != NULL) {
        struct asker *a = LIST_ENTRY(link, struct asker, link);
        a->done(a->user, f, why);
        free(a);
    }
    free(o->path);
    free(o);
}

static void job_done(void *user) {
    struct file_job *j = user;
    struct serve_file *f = j->file ? files_keep(j->files, j->file) : NULL;
    j->file = NULL;
    opening_end(j->opening, f, &j->err);
}

static struct opening *opening_find(const struct files *files, const char *path) {
    for (LIST_EACH(link, &files->opening))
        if (strcmp(LIST_ENTRY(link, struct opening, link)->path, path) == 0) return LIST_ENTRY(link, struct opening, link);
    return NULL;
}

static struct opening *opening_start(struct files *files, const char *path, struct err *e) {
    static const struct io_work work = {.run = job_run, .done = job_done, .free = job_free};
    struct opening *o = MEM_NEW(struct opening);
    struct file_job *j = MEM_NEW(struct file_job);
    o->path = mem_strdup(path);
    list_init(&o->askers);
    *j = (struct file_job){.files = files, .opening = o, .path = mem_strdup(path), .cache = mem_strdup(files->parts.cache)};
    if (io_works_start(files->works, &work, j, e) == ERR_OK) {
        list_push_back(&files->opening, &o->link);
        return o;
    }
    job_free(j);
    free(o->path);
    free(o);
    return NULL;
}

void files_open(struct files *files, const char *path, files_opened_fn done, void *user) {
    struct err e = {0};
    struct opening *o = opening_find(files, path);
    if (!o) o = opening_start(files, path, &e);
    if (!o) {
        done(user, NULL, &e);
        return;
    }
    struct asker *a = MEM_NEW(struct asker);
    *a = (struct asker){.done = done, .user = user};
    list_push_back(&o->askers, &a->link);
}

err_code files_open_now(struct files *files, const char *path, struct serve_file **ret, struct err *e) {
    struct serve_file *f;
    err_code code = file_read_header(path, files->parts.cache, &f, e);
    if (code == ERR_OK) *ret = files_keep(files, f);
    return code;
}

const struct serve_file *files_find_id(const struct files *files, const char *id) {
    const struct serve_file *f = files->known;
    while (f && strcmp(f->card.id, id) != 0) f = f->next;
    return f;
}

/* ---- life ---- */

struct files *files_create(const struct files_parts *parts) {
    struct files *files = MEM_NEW(struct files);
    files->parts = *parts;
    files->works = io_works_open(parts->loop, MAX_OPENING);
    list_init(&files->opening);
    return files;
}

void files_stop(struct files *files) {
    if (!files) return;
    struct err why;
    err_set(&why, ERR_UNAVAILABLE, "this node is shutting down");
    io_works_close(files->works);
    files->works = NULL;
    while (!list_empty(&files->opening)) opening_end(LIST_ENTRY(files->opening.next, struct opening, link), NULL, &why);
}

void files_free(struct files *files) {
    struct serve_file *f = files ? files->known : NULL;
    while (f) {
        struct serve_file *next = f->next;
        file_free(f);
        f = next;
    }
    free(files);
}
