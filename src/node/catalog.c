/* SPDX-License-Identifier: MIT
 * See catalog.h. The thread gets the folder and what was known, and leaves a new list; the loop takes that over. */
#include "node/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { MAX_DEPTH = 3 };   /* folders in folders */
#define AGAIN_US 5000000u /* a folder with files that are no models yet is looked through again after this */
#define LOOK_US  30000000u /* so is any, since changes in the folders in it don't show */

struct list_of {
    struct catalog_entry *entries;
    size_t n, n_bad; /* n_bad: files that could not be read */
};

struct catalog {
    struct io_loop *loop;
    char *folder;
    struct catalog_events events;
    struct list_of now;
    int64_t folder_changed_ns; /* when the folder was last looked through; 0: never */
    clock_us looked;
    /* the thread: it reads `now`, which nobody changes meanwhile, and writes `next` */
    pthread_t thread;
    struct io_wake *done;
    struct list_of next;
    bool looking;
};

static int64_t stat_ns(const struct stat *st) { return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec; }

static void list_done(struct list_of *l) {
    for (size_t i = 0; i < l->n; i++) free(l->entries[i].path);
    free(l->entries);
    *l = (struct list_of){0};
}

static struct catalog_entry *list_push(struct list_of *l) {
    if (l->n % 16 == 0) l->entries = mem_realloc(l->entries, l->n + 16, sizeof(*l->entries));
    l->entries[l->n] = (struct catalog_entry){0};
    return &l->entries[l->n++];
}

static void list_copy(struct list_of *l, const struct catalog_entry *from) {
    struct catalog_entry *to = list_push(l);
    *to = *from;
    to->path = mem_strdup(from->path);
}

/* ---- in the thread ---- */

/* Is this a file to be looked at? Of a split model the first part stands for all. */
static bool look_is_model(const char *name) {
    size_t len = strlen(name);
    return len > 5 && strcasecmp(name + len - 5, ".gguf") == 0 && model_card_part(name) <= 1;
}

static void look_at(struct catalog *c, const char *path, const struct stat *st) {
    for (size_t i = 0; i < c->now.n; i++) {
        const struct catalog_entry *known = &c->now.entries[i];
        if (strcmp(known->path, path) != 0 || known->size != (uint64_t)st->st_size || known->changed_ns != stat_ns(st)) continue;
        if (!known->named) list_copy(&c->next, known);
        return;
    }
    struct model_gguf *g;
    struct err e = {0};
    if (model_gguf_open(path, &g, &e) != ERR_OK) {
        log_debug("models", "\"%s\" is left out: %s", path, e.text);
        c->next.n_bad++;
        return;
    }
    struct catalog_entry *entry = list_push(&c->next);
    *entry = (struct catalog_entry){.path = mem_strdup(path), .size = (uint64_t)st->st_size, .changed_ns = stat_ns(st)};
    model_card_make(g, &entry->card);
    c->events.found(c->events.user, g);
    model_gguf_free(g);
}

static int by_name(const void *a, const void *b) {
    const struct catalog_entry *x = a, *y = b;
    int order = strcmp(x->card.name, y->card.name);
    return order != 0 ? order : strcmp(x->path, y->path);
}

static void look_into(struct catalog *c, const char *folder, int depth) {
    DIR *d = opendir(folder);
    struct dirent *entry;
    while (d && c->next.n < CATALOG_MAX && (entry = readdir(d)) != NULL) {
        struct stat st;
        if (entry->d_name[0] == '.') continue;
        char *path = mem_printf("%s/%s", folder, entry->d_name);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && depth < MAX_DEPTH) look_into(c, path, depth + 1);
        else if (S_ISREG(st.st_mode) && look_is_model(entry->d_name)) look_at(c, path, &st);
        free(path);
    }
    if (d) closedir(d);
}

static void *look_through(void *user) {
    struct catalog *c = user;
    look_into(c, c->folder, 0);
    if (c->next.n > 1) qsort(c->next.entries, c->next.n, sizeof(*c->next.entries), by_name);
    io_wake_send(c->done);
    return NULL;
}

/* ---- on the loop ---- */

static bool list_same(const struct list_of *a, const struct list_of *b) {
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same; i++)
        same = strcmp(a->entries[i].path, b->entries[i].path) == 0 && strcmp(a->entries[i].card.id, b->entries[i].card.id) == 0;
    return same;
}

/* Takes over what may differ in lists that are the same. */
static void list_note(struct list_of *l, const struct list_of *from) {
    l->n_bad = from->n_bad;
    for (size_t i = 0; i < l->n; i++) {
        l->entries[i].size = from->entries[i].size;
        l->entries[i].changed_ns = from->entries[i].changed_ns;
    }
}

static bool list_has(const struct list_of *l, const char *id) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->entries[i].card.id, id) == 0) return true;
    return false;
}

static void catalog_looked(void *user) {
    struct catalog *c = user;
    if (!c->looking) return;
    pthread_join(c->thread, NULL);
    c->looking = false;
    for (size_t i = 0; i < c->now.n; i++)
        if (c->now.entries[i].named) list_copy(&c->next, &c->now.entries[i]);
    struct list_of next = c->next;
    c->next = (struct list_of){0};
    if (list_same(&c->now, &next)) { /* then the list that others read stays where it is */
        list_note(&c->now, &next);
        list_done(&next);
        return;
    }
    struct list_of old = c->now;
    c->now = next;
    for (size_t i = 0; i < old.n; i++)
        if (!list_has(&c->now, old.entries[i].card.id)) c->events.gone(c->events.user, old.entries[i].card.id);
    list_done(&old);
    c->events.changed(c->events.user);
}

struct catalog *catalog_create(struct io_loop *loop, const char *folder, const struct catalog_events *events) {
    struct catalog *c = MEM_NEW(struct catalog);
    *c = (struct catalog){.loop = loop, .folder = mem_strdup(folder), .events = *events};
    c->done = io_wake_open(loop, catalog_looked, c);
    return c;
}

void catalog_free(struct catalog *c) {
    if (!c) return;
    if (c->looking) pthread_join(c->thread, NULL);
    io_wake_close(c->done);
    list_done(&c->now);
    list_done(&c->next);
    free(c->folder);
    free(c);
}

void catalog_add(struct catalog *c, const char *path, const struct model_card *card) {
    if (c->looking) catalog_looked(c); /* the thread reads the list */
    struct catalog_entry *e = list_push(&c->now);
    *e = (struct catalog_entry){.path = mem_strdup(path), .named = true, .card = *card};
    c->events.changed(c->events.user);
}

void catalog_tick(struct catalog *c) {
    struct stat st;
    clock_us now = clock_now();
    if (c->looking || !c->folder) return;
    int64_t changed = stat(c->folder, &st) == 0 ? stat_ns(&st) : 1;
    if (changed == c->folder_changed_ns && now < c->looked + (c->now.n_bad > 0 ? AGAIN_US : LOOK_US)) return;
    c->folder_changed_ns = changed;
    c->looked = now;
    c->looking = pthread_create(&c->thread, NULL, look_through, c) == 0;
}

void catalog_look(struct catalog *c) {
    catalog_tick(c);
    catalog_looked(c);
}

const struct catalog_entry *catalog_get(const struct catalog *c, size_t i) { return i < c->now.n ? &c->now.entries[i] : NULL; }
size_t catalog_count(const struct catalog *c) { return c->now.n; }

const struct catalog_entry *catalog_find(const struct catalog *c, const char *name) {
    for (size_t i = 0; i < c->now.n; i++)
        if (strcmp(c->now.entries[i].card.name, name) == 0) return &c->now.entries[i];
    return NULL;
}

const struct catalog_entry *catalog_find_id(const struct catalog *c, const char *id) {
    for (size_t i = 0; i < c->now.n; i++)
        if (strcmp(c->now.entries[i].card.id, id) == 0) return &c->now.entries[i];
    return NULL;
}

/* All parts of the model at path, the first one last: what is left of an interrupted removal is still found. */
static err_code remove_files(const char *path, struct err *e) {
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

err_code catalog_remove(struct catalog *c, const char *name, struct err *e) {
    if (c->looking) catalog_looked(c);
    const struct catalog_entry *entry = catalog_find(c, name);
    if (!entry) return err_set(e, ERR_NOT_FOUND, "there is no file of a model \"%s\" on this node", name);
    if (entry->named) {
        err_set(e, ERR_INVALID, "\"%s\" is not in this node's models folder", entry->path);
        err_hint(e, "delete the file itself, if you mean it");
        return ERR_INVALID;
    }
    err_code code = remove_files(entry->path, e);
    if (code != ERR_OK) return code;
    size_t at = (size_t)(entry - c->now.entries);
    struct catalog_entry old = *entry;
    memmove(&c->now.entries[at], &c->now.entries[at + 1], (--c->now.n - at) * sizeof(*c->now.entries));
    if (!list_has(&c->now, old.card.id)) c->events.gone(c->events.user, old.card.id);
    free(old.path);
    c->events.changed(c->events.user);
    return ERR_OK;
}
