/* SPDX-License-Identifier: MIT
 * See architectures.h. */
#include "loading/architectures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/runtime.h"
#include "loading/helper.h"
#include "model/quirks.h"

enum { MAX_FILE = 1 << 20, MOST_MS = 600000 /* then the child is given up: it has to read several layers */ };

struct asker {
    struct asker *next;
    const struct model_layout *layout;
    architectures_done_fn done;
    void *user;
};
/* A child that probes. */
struct job {
    struct job *next;
    struct architectures *all;
    char arch[MODEL_MAX_ARCH], kinds[MODEL_KINDS_SIZE];
    struct helper *helper;
    struct asker *askers;
};
struct architectures {
    struct architectures_parts parts;
    char *path;
    char *kept[MODEL_MAX_TAUGHT]; /* rows as text */
    uint32_t n;
    struct job *jobs;
    uint64_t count; /* of jobs, for their files' names */
};

/* ---- keeping ---- */

/* Teaches the row. false: it is wrong, or there are too many. */
static bool take(struct architectures *r, const char *row, struct err *e) {
    if (r->n == MODEL_MAX_TAUGHT || model_quirks_teach(row, e) != ERR_OK) return false;
    r->kept[r->n++] = mem_strdup(row);
    return true;
}

/* Has the table a row for it by now? That one counts. */
static bool is_listed(const char *row) {
    char arch[MODEL_MAX_ARCH];
    snprintf(arch, sizeof(arch), "%.*s", (int)strcspn(row, " "), row);
    return model_quirks_listed(arch);
}

static err_code read_text(struct architectures *r, const char *text, size_t len, struct err *e) {
    yyjson_doc *doc = NULL;
    yyjson_val *v;
    size_t i, n;
    const char *engine = NULL;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    code = json_get_str(root, "engine", &engine, e);
    bool same = engine != NULL && strcmp(engine, engine_runtime_version()) == 0; /* another one may compute otherwise */
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "rows")), i, n, v) {
        struct err wrong = {0};
        const char *row = yyjson_get_str(v);
        if (same && row != NULL && !is_listed(row) && !take(r, row, &wrong)) log_warn("plan", "\"%s\": %s", r->path, wrong.text);
    }
    yyjson_doc_free(doc);
    return code;
}

static void read_kept(struct architectures *r) {
    struct err e = {0};
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(r->path, "rows of architectures", &b, &e);
    if (code == ERR_OK) code = read_text(r, buf_cstr(&b), b.len, &e);
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("plan", "\"%s\": %s; architectures are probed again", r->path, e.text);
    buf_done(&b);
}

static void save(const struct architectures *r) {
    struct err e = {0};
    struct buf b;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "engine", engine_runtime_version());
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "rows");
    for (uint32_t i = 0; i < r->n; i++) yyjson_mut_arr_add_str(doc, list, r->kept[i]);
    buf_init(&b, MAX_FILE);
    json_write(&b, doc);
    yyjson_mut_doc_free(doc);
    if (file_write(r->path, b.data, b.len, &e) != ERR_OK) log_warn("plan", "%s", e.text);
    buf_done(&b);
}

/* ---- children ---- */

/* Tells all who wait for it, and frees it. */
static void job_end(struct job *j, bool ends) {
    struct job **at = &j->all->jobs;
    while (*at != j) at = &(*at)->next;
    *at = j->next;
    while (j->askers != NULL) {
        struct asker *a = j->askers;
        j->askers = a->next;
        a->done(a->user, a->layout, ends);
        free(a);
    }
    free(j);
}

static void job_answered(void *user, yyjson_val *answer, const struct err *why) {
    struct job *j = user;
    struct architectures *r = j->all;
    struct err e = *why;
    const char *row = NULL;
    if (answer != NULL && json_get_str(answer, "row", &row, &e) == ERR_OK && row != NULL && take(r, row, &e)) {
        log_info("plan", "architecture \"%s\" was probed: %s", j->arch, row);
        save(r);
    } else {
        log_warn("plan", "architecture \"%s\" could not be probed (%s), so its model runs whole", j->arch, e.text);
    }
    job_end(j, false);
}

static struct job *job_find(const struct architectures *r, const struct model_layout *l) {
    struct job *j = r->jobs;
    while (j != NULL && (strcmp(j->arch, l->arch) != 0 || strcmp(j->kinds, l->kinds) != 0)) j = j->next;
    return j;
}

/* NULL: it cannot be started. */
static struct job *job_create(struct architectures *r, const struct model_layout *l, const char *path) {
    struct err e = {0};
    struct job *j = MEM_NEW(struct job);
    char *file = mem_printf("%s.%llu", r->path, (unsigned long long)++r->count);
    const char *argv[] = {r->parts.program, "probe", path, file, NULL};
    j->all = r;
    memcpy(j->arch, l->arch, sizeof(j->arch));
    memcpy(j->kinds, l->kinds, sizeof(j->kinds));
    err_code code = helper_start(r->parts.loop, argv, file, MOST_MS, job_answered, j, &j->helper, &e);
    free(file);
    if (code != ERR_OK) {
        log_warn("plan", "%s", e.text);
        free(j);
        return NULL;
    }
    log_info("plan", "architecture \"%s\" is not in the table: probing how its model can be split", l->arch);
    j->next = r->jobs;
    r->jobs = j;
    return j;
}

void architectures_ask(struct architectures *r, const struct model_layout *l, const char *path, architectures_done_fn done, void *user) {
    bool probes = r != NULL && r->path != NULL && !model_quirks_known(l);
    struct job *j = probes ? job_find(r, l) : NULL;
    if (probes && j == NULL) j = job_create(r, l, path);
    if (j == NULL) {
        done(user, l, false);
        return;
    }
    struct asker *a = MEM_NEW(struct asker);
    *a = (struct asker){.next = j->askers, .layout = l, .done = done, .user = user};
    j->askers = a;
}

/* ---- life ---- */

struct architectures *architectures_create(const struct architectures_parts *parts) {
    struct architectures *r = MEM_NEW(struct architectures);
    r->parts = *parts;
    r->path = parts->state_dir != NULL ? mem_printf("%sarchitectures.json", parts->state_dir) : NULL;
    if (r->path != NULL) read_kept(r);
    return r;
}

void architectures_stop(struct architectures *r) {
    while (r != NULL && r->jobs != NULL) {
        helper_stop(r->jobs->helper);
        job_end(r->jobs, true);
    }
}

void architectures_free(struct architectures *r) {
    architectures_stop(r);
    if (r == NULL) return;
    for (uint32_t i = 0; i < r->n; i++) free(r->kept[i]);
    free(r->path);
    free(r);
}
