/* SPDX-License-Identifier: MIT
 * See sizes.h. */
#include "loading/sizes.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json_file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/child.h"

enum { MAX_FILE = 1 << 20, MAX_LOAD = 1 << 14, MOST_MS = 120000 /* then the child is given up */ };

struct known {
    char *key;
    struct needs needs;
};
struct asker {
    struct asker *next;
    sizes_done_fn done;
    void *user;
};
/* A child that measures. */
struct job {
    struct job *next;
    struct sizes *sizes;
    char *key, *file;
    struct io_child *child;
    struct io_timer *killer;
    struct asker *askers;
};
struct sizes {
    struct sizes_parts parts;
    char *path;
    struct known known[SIZES_MAX]; /* the oldest first */
    uint32_t n;
    struct job *jobs;
    uint64_t count; /* of jobs, for their files' names */
};

/* ---- what is known ---- */

static void remember(struct sizes *s, const char *key, const struct needs *n) {
    if (s->n == SIZES_MAX) {
        free(s->known[0].key);
        memmove(&s->known[0], &s->known[1], (SIZES_MAX - 1) * sizeof(s->known[0]));
        s->n--;
    }
    s->known[s->n++] = (struct known){.key = mem_strdup(key), .needs = *n};
}

const struct needs *sizes_find(const struct sizes *s, const char *key) {
    for (uint32_t i = 0; i < s->n; i++)
        if (strcmp(s->known[i].key, key) == 0) return &s->known[i].needs;
    return NULL;
}

/* ---- keeping ---- */

static err_code read_known(struct sizes *s, const char *text, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    yyjson_val *v;
    size_t i, n;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "sizes")), i, n, v) {
        const char *key = NULL;
        struct needs needs;
        if (code == ERR_OK) code = json_get_str(v, "key", &key, e);
        if (code == ERR_OK && key != NULL && needs_get(v, &needs, e) == ERR_OK && s->n < SIZES_MAX) remember(s, key, &needs);
    }
    yyjson_doc_free(doc);
    return code;
}

static void sizes_read(struct sizes *s) {
    struct err e = {0};
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(s->path, "sizes of slices", &b, &e);
    if (code == ERR_OK) code = read_known(s, buf_cstr(&b), b.len, &e);
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("plan", "\"%s\": %s; slices are measured again", s->path, e.text);
    buf_done(&b);
}

static void sizes_save(const struct sizes *s) {
    struct err e = {0};
    struct buf b;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, yyjson_mut_doc_get_root(doc), "sizes");
    for (uint32_t i = 0; i < s->n; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, o, "key", s->known[i].key);
        needs_put(&s->known[i].needs, doc, o);
    }
    buf_init(&b, MAX_FILE);
    json_write(&b, doc);
    yyjson_mut_doc_free(doc);
    if (file_write(s->path, b.data, b.len, &e) != ERR_OK) log_warn("plan", "%s", e.text);
    buf_done(&b);
}

/* ---- children ---- */

/* Tells all who wait for it. */
static void job_tell(struct job *j, const char *key, const struct needs *n) {
    while (j->askers != NULL) {
        struct asker *a = j->askers;
        j->askers = a->next;
        a->done(a->user, key, n);
        free(a);
    }
}

static void job_free(struct job *j) {
    unlink(j->file);
    io_timer_close(j->killer);
    io_child_close(j->child);
    free(j->key);
    free(j->file);
    free(j);
}

static err_code read_answer(const char *path, struct needs *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_file_load(path, "sizes of slices", MAX_FILE, &doc, e);
    if (code == ERR_OK) code = needs_get(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return code;
}

static void job_unlink(struct job *j) {
    struct job **at = &j->sizes->jobs;
    while (*at != j) at = &(*at)->next;
    *at = j->next;
}

static void job_exited(void *user, int status, int signo) {
    struct job *j = user;
    struct sizes *s = j->sizes;
    struct needs n;
    struct err e = {0};
    bool known = status == 0 && read_answer(j->file, &n, &e) == ERR_OK;
    if (known) {
        remember(s, j->key, &n);
        sizes_save(s);
    } else {
        log_warn("plan", "libllama could not be asked what the model takes (%s): that is estimated",
                 signo != 0          ? strsignal(signo)
                 : e.text[0] != '\0' ? e.text
                                     : "see above");
    }
    job_unlink(j);
    job_tell(j, j->key, known ? &n : NULL);
    job_free(j);
}

static void job_late(void *user) { io_child_kill(((struct job *)user)->child, SIGKILL); }

static err_code job_start(struct job *j, const char *path, const struct engine_load *load, struct err *e) {
    struct buf b;
    buf_init(&b, MAX_LOAD);
    field_encode(engine_load_fields(), load, &b);
    const char *argv[] = {j->sizes->parts.program, "need", path, j->file, buf_cstr(&b), NULL};
    struct io_child_options options = {.argv = argv, .fd = -1, .ignores_ends = true};
    err_code code = io_child_start(j->sizes->parts.loop, &options, job_exited, j, &j->child, e);
    buf_done(&b);
    if (code == ERR_OK) io_timer_start(j->killer, MOST_MS, 0);
    return code;
}

static struct job *job_find(const struct sizes *s, const char *key) {
    struct job *j = s->jobs;
    while (j != NULL && strcmp(j->key, key) != 0) j = j->next;
    return j;
}

/* NULL: it cannot be started. */
static struct job *job_create(struct sizes *s, const char *key, const char *path, const struct engine_load *load) {
    struct err e = {0};
    struct job *j = MEM_NEW(struct job);
    j->sizes = s;
    j->key = mem_strdup(key);
    j->file = mem_printf("%s.%llu", s->path, (unsigned long long)++s->count);
    j->killer = io_timer_open(s->parts.loop, job_late, j);
    if (job_start(j, path, load, &e) != ERR_OK) {
        log_warn("plan", "%s", e.text);
        job_free(j);
        return NULL;
    }
    j->next = s->jobs;
    s->jobs = j;
    return j;
}

void sizes_ask(struct sizes *s, const char *key, const char *path, const struct engine_load *load, sizes_done_fn done, void *user) {
    const struct needs *known = sizes_find(s, key);
    struct job *j = known != NULL || s->path == NULL ? NULL : job_find(s, key);
    if (known == NULL && s->path != NULL && j == NULL) j = job_create(s, key, path, load);
    if (j == NULL) {
        done(user, key, known);
        return;
    }
    struct asker *a = MEM_NEW(struct asker);
    *a = (struct asker){.next = j->askers, .done = done, .user = user};
    j->askers = a;
}

/* ---- life ---- */

struct sizes *sizes_create(const struct sizes_parts *parts) {
    struct sizes *s = MEM_NEW(struct sizes);
    s->parts = *parts;
    s->path = parts->state_dir != NULL ? mem_printf("%ssizes.json", parts->state_dir) : NULL;
    if (s->path != NULL) sizes_read(s);
    return s;
}

void sizes_stop(struct sizes *s) {
    while (s != NULL && s->jobs != NULL) {
        struct job *j = s->jobs;
        s->jobs = j->next;
        io_child_kill(j->child, SIGKILL);
        job_tell(j, NULL, NULL);
        job_free(j);
    }
}

void sizes_free(struct sizes *s) {
    sizes_stop(s);
    if (s == NULL) return;
    for (uint32_t i = 0; i < s->n; i++) free(s->known[i].key);
    free(s->path);
    free(s);
}
