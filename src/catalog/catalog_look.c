/* SPDX-License-Identifier: MIT
 * The catalog's work in threads, which touches the file system and may therefore block. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "catalog/catalog_priv.h"
#include "model/adapter.h"
#include "model/projector.h"
#include "os/os.h"

enum { MAX_DEPTH = 3 /* folders in folders */, MAX_FOLDERS = 1024, SETTLED_S = 1 };

/* ---- lists ---- */

struct catalog_list *catalog_list_create(void) {
    struct catalog_list *l = MEM_NEW(struct catalog_list);
    atomic_init(&l->refs, 1);
    return l;
}

struct catalog_list *catalog_list_keep(struct catalog_list *l) {
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void catalog_list_release(struct catalog_list *l) {
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1) return;
    for (size_t i = 0; i < l->n; i++) free((char *)(uintptr_t)l->entries[i].path);
    for (size_t i = 0; i < l->n_bad; i++) {
        free(l->bad[i].path);
        free(l->bad[i].why);
    }
    for (size_t i = 0; i < l->n_folders; i++) free(l->folders[i].path);
    free(l->entries);
    free(l->bad);
    free(l->folders);
    free(l);
}

void catalog_list_push(struct catalog_list *l, const char *path, const struct catalog_entry *entry) {
    if (l->n % 16 == 0) l->entries = mem_realloc(l->entries, l->n + 16, sizeof(*l->entries));
    struct catalog_entry *to = &l->entries[l->n++];
    *to = *entry;
    to->path = mem_strdup(path);
}

/* A folder that has just been changed counts as changed again at the next look: its time moves in steps of milliseconds, so that a second
 * change may not show. */
static void list_push_folder(struct catalog_list *l, const char *path) {
    struct stat st;
    int64_t changed_ns = stat(path, &st) == 0 ? os_file_changed_ns(&st) : 0;
    int64_t age = clock_wall_s() - changed_ns / 1000000000;
    if (age >= 0 && age <= SETTLED_S) changed_ns = NOT_SETTLED;
    if (l->n_folders % 16 == 0) l->folders = mem_realloc(l->folders, l->n_folders + 16, sizeof(*l->folders));
    l->folders[l->n_folders++] = (struct catalog_folder){.path = mem_strdup(path), .changed_ns = changed_ns};
}

static void list_push_bad(struct catalog_list *l, const struct catalog_bad *from) {
    if (l->n_bad % 16 == 0) l->bad = mem_realloc(l->bad, l->n_bad + 16, sizeof(*l->bad));
    struct catalog_bad *b = &l->bad[l->n_bad++];
    *b = *from;
    b->path = mem_strdup(from->path);
    b->why = mem_strdup(from->why);
}

struct catalog_list *catalog_list_without(const struct catalog_list *l, const char *path) {
    struct catalog_list *copy = catalog_list_create();
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->entries[i].path, path) != 0) catalog_list_push(copy, l->entries[i].path, &l->entries[i]);
    for (size_t i = 0; i < l->n_bad; i++) list_push_bad(copy, &l->bad[i]);
    copy->n_fresh = l->n_fresh;
    copy->n_left_out = l->n_left_out;
    return copy;
}

/* ---- looking ---- */

static bool is_changed(const struct catalog_list *known) {
    struct stat st;
    for (size_t i = 0; i < known->n_folders; i++)
        if ((stat(known->folders[i].path, &st) == 0 ? os_file_changed_ns(&st) : 0) != known->folders[i].changed_ns) return true;
    return known->n_folders == 0;
}

/* Is this the file of a model? The first part of a split model stands for all of them. */
static bool look_is_model(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcasecmp(name + len - 5, ".gguf") == 0 && model_card_part(name) <= 1;
}

static const struct catalog_bad *look_known_bad(const struct catalog_list *known, const char *path, const struct stat *st) {
    for (size_t i = 0; i < known->n_bad; i++) {
        const struct catalog_bad *b = &known->bad[i];
        if (strcmp(b->path, path) == 0) return b->size == (uint64_t)st->st_size && b->changed_ns == os_file_changed_ns(st) ? b : NULL;
    }
    return NULL;
}

/* People are told once, and not of files that are being written. */
static void look_at_bad(struct catalog_search *s, const char *path, const struct stat *st, const char *why) {
    const struct catalog_bad *known = look_known_bad(s->known, path, st);
    const struct catalog_bad bad = {.path = (char *)(uintptr_t)path,
                                    .why = (char *)(uintptr_t)why,
                                    .size = (uint64_t)st->st_size,
                                    .changed_ns = os_file_changed_ns(st),
                                    .settled = known != NULL};
    list_push_bad(s->next, &bad);
    s->next->n_fresh += known == NULL;
    if (known && !known->settled) log_warn("models", "%s", why);
}

static void look_at_new(struct catalog_search *s, const char *path, const struct stat *st) {
    struct model_gguf *g;
    struct err e = {0};
    if (model_gguf_open(path, &g, &e) != ERR_OK) {
        look_at_bad(s, path, st, e.text);
        return;
    }
    if (model_projector_is(g) || model_adapter_is(g)) { /* it belongs to a model, and is none */
        model_gguf_free(g);
        return;
    }
    struct catalog_entry entry = {.size = (uint64_t)st->st_size, .changed_ns = os_file_changed_ns(st)};
    model_card_make(g, &entry.card);
    catalog_list_push(s->next, path, &entry);
    s->found = mem_realloc(s->found, s->n_found + 1, sizeof(struct weights_model *));
    s->found[s->n_found++] = weights_model_create(g, s->cache);
    model_gguf_free(g);
}

static void look_at(struct catalog_search *s, const char *path, const struct stat *st) {
    for (size_t i = 0; i < s->known->n; i++) {
        const struct catalog_entry *k = &s->known->entries[i];
        if (strcmp(k->path, path) != 0 || k->size != (uint64_t)st->st_size || k->changed_ns != os_file_changed_ns(st)) continue;
        catalog_list_push(s->next, path, k);
        return;
    }
    look_at_new(s, path, st);
}

static void look_into(struct catalog_search *s, const char *folder, int depth) {
    struct stat st;
    list_push_folder(s->next, folder); /* before its files, so that a file that comes meanwhile is not missed */
    DIR *d = opendir(folder);
    struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        char *path = mem_printf("%s/%s", folder, entry->d_name);
        bool model = look_is_model(entry->d_name), there = stat(path, &st) == 0;
        if (there && S_ISDIR(st.st_mode)) {
            if (depth < MAX_DEPTH && s->next->n_folders < MAX_FOLDERS) look_into(s, path, depth + 1);
        } else if (there && model && s->next->n + s->next->n_bad < CATALOG_MAX) {
            look_at(s, path, &st);
        } else {
            s->next->n_left_out += there && model;
        }
        free(path);
    }
    if (d) closedir(d);
}

static size_t folders_of(const char *path) {
    size_t n = 0;
    for (; *path; path++) n += *path == '/';
    return n;
}

/* Of two files with one name the one in fewer folders comes first: it has the name (catalog.c). */
static int by_name(const void *a, const void *b) {
    const struct catalog_entry *x = a, *y = b;
    int order = strcmp(x->card.name, y->card.name);
    size_t n = folders_of(x->path), m = folders_of(y->path);
    if (order == 0) order = n < m ? -1 : n > m;
    return order != 0 ? order : strcmp(x->path, y->path);
}

void catalog_search_run(void *search) {
    struct catalog_search *s = search;
    if (!s->all && !is_changed(s->known)) return;
    s->next = catalog_list_create();
    look_into(s, s->folder, 0);
    if (s->next->n > 1) qsort(s->next->entries, s->next->n, sizeof(*s->next->entries), by_name);
    if (s->next->n_left_out > s->known->n_left_out)
        log_warn("models", "\"%s\" holds more than %d models: %zu are left out", s->folder, CATALOG_MAX, s->next->n_left_out);
}

void catalog_search_free(void *search) {
    struct catalog_search *s = search;
    catalog_list_release(s->known);
    catalog_list_release(s->next);
    for (size_t i = 0; i < s->n_found; i++) weights_model_free(s->found[i]);
    free(s->found);
    free(s->folder);
    free(s->cache);
    free(s);
}

/* ---- removing ---- */

err_code catalog_remove_files(const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = ERR_OK;
    if (model_gguf_open(path, &g, NULL) == ERR_OK)
        for (uint32_t i = model_gguf_n_parts(g); i-- > 1 && code == ERR_OK;)
            if (unlink(model_gguf_path(g, i)) != 0 && errno != ENOENT)
                code = err_set_errno(e, ERR_IO, errno, "cannot delete \"%s\"", model_gguf_path(g, i));
    model_gguf_free(g);
    if (code == ERR_OK && unlink(path) != 0 && errno != ENOENT) code = err_set_errno(e, ERR_IO, errno, "cannot delete \"%s\"", path);
    return code;
}
