/* SPDX-License-Identifier: MIT
 * See catalog.h. The loop's side: keeps the current list, and tells of changes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "catalog/catalog_priv.h"
#include "io/work.h"

enum { MAX_WORKS = 8 };
#define AGAIN_US 5000000u /* a folder with files that are no models yet is looked through again after so long */
#define LOOK_US  30000000u /* any folder is, since changes in files don't show in their folder */

struct catalog {
    struct io_works *works;
    char *folder, *cache;
    struct catalog_events events;
    struct catalog_list *seen, *named; /* of the folder; files that were named */
    struct catalog_entry *view;        /* of both; the paths are the lists' */
    size_t n_view;
    clock_us looked; /* when the look that `seen` is from began */
    bool looking;
    bool again;      /* the folder is to be looked through, changed or not */
    bool overtaken;  /* a file was deleted while a look ran: the result of that look doesn't count */
};

static bool list_has(const struct catalog_list *l, const char *id) {
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->entries[i].card.id, id) == 0) return true;
    return false;
}

/* ---- names ---- */

/* Does another model have the name, among the first n of the view or elsewhere in the cluster? */
static bool name_is_taken(const struct catalog *c, size_t n, const char *name, const char *id) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(c->view[i].card.name, name) == 0 && strcmp(c->view[i].card.id, id) != 0) return true;
    return c->events.taken && c->events.taken(c->events.user, name, id);
}

/* A name stands for one model. Names of files do not: "a/x.gguf" and "b/x.gguf" may be two models. The first one is called "x" then, and
 * the other one gets a tag. Copies of one file keep their names. */
static void view_add(struct catalog *c, const struct catalog_entry *from) {
    struct catalog_entry *to = &c->view[c->n_view];
    *to = *from;
    if (name_is_taken(c, c->n_view, from->card.name, from->card.id))
        model_card_tag(from->card.name, from->card.id, to->card.name, sizeof(to->card.name));
    c->n_view++;
}

/* Makes the view again; true: it has changed. */
static bool view_make(struct catalog *c) {
    struct catalog_entry *old = c->view;
    size_t n_old = c->n_view;
    c->view = mem_calloc(c->seen->n + c->named->n, sizeof(*c->view));
    c->n_view = 0;
    for (size_t i = 0; i < c->seen->n; i++) view_add(c, &c->seen->entries[i]);
    for (size_t i = 0; i < c->named->n; i++)
        if (!list_has(c->seen, c->named->entries[i].card.id)) view_add(c, &c->named->entries[i]);
    bool same = c->n_view == n_old;
    for (size_t i = 0; i < n_old && same; i++)
        same = strcmp(old[i].card.name, c->view[i].card.name) == 0 && strcmp(old[i].card.id, c->view[i].card.id) == 0;
    free(old);
    return !same;
}

void catalog_review(struct catalog *c) {
    if (view_make(c)) c->events.changed(c->events.user);
}

void catalog_name(const struct catalog *c, const char *path, const struct model_card *card, char ret[MODEL_NAME_SIZE]) {
    const struct catalog_entry *entry = catalog_find_path(c, path);
    if (entry && strcmp(entry->card.id, card->id) == 0) snprintf(ret, MODEL_NAME_SIZE, "%s", entry->card.name);
    else if (name_is_taken(c, c->n_view, card->name, card->id)) model_card_tag(card->name, card->id, ret, MODEL_NAME_SIZE);
    else snprintf(ret, MODEL_NAME_SIZE, "%s", card->name);
}

/* ---- the folder ---- */

/* Takes over another list. */
static void catalog_replace(struct catalog *c, struct catalog_list *next) {
    struct catalog_list *old = c->seen;
    c->seen = next;
    bool changed = view_make(c);
    for (size_t i = 0; i < old->n; i++)
        if (!catalog_find_id(c, old->entries[i].card.id)) c->events.gone(c->events.user, old->entries[i].card.id);
    catalog_list_release(old);
    if (changed) c->events.changed(c->events.user);
}

static void search_done(void *job) {
    struct catalog_search *s = job;
    struct catalog *c = s->catalog;
    c->looking = false;
    if (c->overtaken || !s->next) {
        c->again = c->again || c->overtaken;
        c->overtaken = false;
        return;
    }
    for (size_t i = 0; i < s->n_found; i++) c->events.found(c->events.user, s->found[i]);
    s->n_found = 0;
    catalog_replace(c, catalog_list_keep(s->next));
    c->events.looked(c->events.user);
}

struct catalog *catalog_create(struct io_loop *loop, const char *folder, const char *cache, const struct catalog_events *events) {
    struct catalog *c = MEM_NEW(struct catalog);
    *c = (struct catalog){.folder = mem_strdup(folder), .cache = mem_strdup(cache), .events = *events, .again = true};
    c->works = io_works_open(loop, MAX_WORKS);
    c->seen = catalog_list_create();
    c->named = catalog_list_create();
    return c;
}

void catalog_free(struct catalog *c) {
    if (!c) return;
    io_works_close(c->works);
    free(c->view);
    catalog_list_release(c->seen);
    catalog_list_release(c->named);
    free(c->folder);
    free(c->cache);
    free(c);
}

void catalog_add(struct catalog *c, const char *path, const struct model_card *card) {
    const struct catalog_entry entry = {.named = true, .card = *card};
    catalog_list_push(c->named, path, &entry);
    catalog_review(c);
}

void catalog_tick(struct catalog *c) {
    static const struct io_work work = {.run = catalog_search_run, .done = search_done, .free = catalog_search_free};
    if (c->looking || !c->folder) return;
    clock_us now = clock_now();
    struct catalog_search *s = MEM_NEW(struct catalog_search);
    *s = (struct catalog_search){.catalog = c,
                                 .folder = mem_strdup(c->folder),
                                 .cache = mem_strdup(c->cache),
                                 .known = catalog_list_keep(c->seen),
                                 .all = c->again || now >= c->looked + (c->seen->n_fresh > 0 ? AGAIN_US : LOOK_US)};
    c->looking = io_works_start(c->works, &work, s, NULL) == ERR_OK;
    if (!c->looking) {
        catalog_search_free(s);
        return;
    }
    if (s->all) c->looked = now;
    c->again = false;
}

void catalog_look(struct catalog *c) {
    c->again = true;
    catalog_tick(c);
}

const struct catalog_entry *catalog_get(const struct catalog *c, size_t i) { return i < c->n_view ? &c->view[i] : NULL; }
size_t catalog_count(const struct catalog *c) { return c->n_view; }

const struct catalog_entry *catalog_find(const struct catalog *c, const char *name) {
    for (size_t i = 0; i < c->n_view; i++)
        if (strcmp(c->view[i].card.name, name) == 0) return &c->view[i];
    return NULL;
}

const struct catalog_entry *catalog_find_id(const struct catalog *c, const char *id) {
    for (size_t i = 0; i < c->n_view; i++)
        if (strcmp(c->view[i].card.id, id) == 0) return &c->view[i];
    return NULL;
}

const struct catalog_entry *catalog_find_path(const struct catalog *c, const char *path) {
    for (size_t i = 0; i < c->n_view; i++)
        if (strcmp(c->view[i].path, path) == 0) return &c->view[i];
    return NULL;
}

const struct catalog_bad *catalog_get_bad(const struct catalog *c, size_t i) { return i < c->seen->n_bad ? &c->seen->bad[i] : NULL; }
size_t catalog_left_out(const struct catalog *c) { return c->seen->n_left_out; }

/* ---- removing ---- */

struct removal {
    struct catalog *catalog; /* for the loop's thread, as the next two */
    catalog_done_fn done;
    void *user;
    char *path, name[MODEL_NAME_SIZE];
    err_code code;
    struct err err;
};

static void removal_run(void *job) {
    struct removal *r = job;
    r->code = catalog_remove_files(r->path, &r->err);
}

static void removal_free(void *job) {
    free(((struct removal *)job)->path);
    free(job);
}

static void removal_done(void *job) {
    struct removal *r = job;
    struct catalog *c = r->catalog;
    if (r->code == ERR_OK) {
        c->overtaken = c->looking;
        catalog_replace(c, catalog_list_without(c->seen, r->path));
        catalog_look(c);
    }
    r->done(r->user, r->code, r->name, &r->err);
}

void catalog_remove(struct catalog *c, const char *name, catalog_done_fn done, void *user) {
    static const struct io_work work = {.run = removal_run, .done = removal_done, .free = removal_free};
    const struct catalog_entry *entry = catalog_find(c, name);
    struct err e = {0};
    err_code code = ERR_OK;
    if (!entry) {
        code = err_set(&e, ERR_NOT_FOUND, "there is no file of a model \"%s\" on this node", name);
    } else if (entry->named) {
        code = err_set(&e, ERR_INVALID, "\"%s\" is not in this node's models folder", entry->path);
        err_hint(&e, "delete the file yourself if you no longer want it");
    } else {
        struct removal *r = MEM_NEW(struct removal);
        *r = (struct removal){.catalog = c, .done = done, .user = user, .path = mem_strdup(entry->path)};
        snprintf(r->name, sizeof(r->name), "%s", name);
        code = io_works_start(c->works, &work, r, &e);
        if (code != ERR_OK) removal_free(r);
    }
    if (code != ERR_OK) done(user, code, name, &e);
}
