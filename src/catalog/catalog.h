/* SPDX-License-Identifier: MIT
 * The models whose files this node has: the GGUFs of its models folder and of folders in it, and single files that were named. The file
 * system is only touched in threads (io/work.h), so a folder on a file system that hangs stops nothing: its models stay as they were last
 * seen. The folder is looked through when it, or a folder in it, has changed, and every half minute. A file that is no model, or not yet,
 * is left out until it is one. Loop thread only; owned by the node. */
#ifndef CARAVAN_CATALOG_CATALOG_H
#define CARAVAN_CATALOG_CATALOG_H

#include "io/loop.h"
#include "model/card.h"
#include "weights/server.h"

enum { CATALOG_MAX = 1024 }; /* further files are not looked at */

struct catalog_entry {
    const char *path;
    uint64_t size;       /* of the file; with another size or time of change it counts as another file */
    int64_t changed_ns;
    bool named;          /* given by its path, outside the folder; it stays until the end */
    struct model_card card; /* its name is unique in the cluster (catalog.c) */
};

/* A file of the folder that has a model's name and is no model. */
struct catalog_bad {
    char *path, *why;
    uint64_t size;
    int64_t changed_ns;
    bool settled; /* it was the same at the look before, so it is not being written */
};

struct catalog;
struct catalog_events {
    void *user;
    void (*looked)(void *user);  /* the folder has been looked through, for the first time or again */
    void (*changed)(void *user); /* the list of models has changed */
    void (*found)(void *user, struct weights_model *m); /* a file of the folder can be served; the callee owns m */
    void (*gone)(void *user, const char *id); /* no file of this model is left */
    /* Does another model than this one have the name elsewhere in the cluster? NULL: none does. */
    bool (*taken)(void *user, const char *name, const char *id);
};
/* folder: NULL or missing: none. cache: where hashes of weights are kept, NULL: nowhere. Nothing is there before the first look. */
struct catalog *catalog_create(struct io_loop *loop, const char *folder, const char *cache, const struct catalog_events *events);
void catalog_free(struct catalog *c); /* NULL is fine */
/* A single file, whose header has been read. */
void catalog_add(struct catalog *c, const char *path, const struct model_card *card);
/* To be called now and then: looks through the folder if it has changed. */
void catalog_tick(struct catalog *c);
/* Looks through the folder at the next chance, changed or not. */
void catalog_look(struct catalog *c);
/* NULL: there is no such entry. The entry belongs to the catalog, which replaces its list whenever a look has
 * ended, and in catalog_add: the caller copies what it keeps, and holds no entry over a return to the loop. */
const struct catalog_entry *catalog_get(const struct catalog *c, size_t i);
const struct catalog_entry *catalog_find(const struct catalog *c, const char *name);
const struct catalog_entry *catalog_find_id(const struct catalog *c, const char *id);
size_t catalog_count(const struct catalog *c);
const struct catalog_entry *catalog_find_path(const struct catalog *c, const char *path);
/* The name of the model of this card in the file at `path`: that of its entry, else the file's name, with a tag if another model has
 * that. */
void catalog_name(const struct catalog *c, const char *path, const struct model_card *card, char ret[MODEL_NAME_SIZE]);
/* The names that are taken elsewhere may have changed. */
void catalog_review(struct catalog *c);
/* The i-th file that is no model, valid until the list is replaced; NULL: there are not so many. catalog_left_out: how many files were not
 * looked at, since there were too many. */
const struct catalog_bad *catalog_get_bad(const struct catalog *c, size_t i);
size_t catalog_left_out(const struct catalog *c);
/* Deletes the files of a model of the folder. done comes, with the model's name, when that has happened, or at once, and not after
 * catalog_free. ERR_NOT_FOUND, ERR_INVALID (not in the folder), ERR_IO, ERR_BUSY. */
typedef void (*catalog_done_fn)(void *user, err_code code, const char *name, const struct err *e);
void catalog_remove(struct catalog *c, const char *name, catalog_done_fn done, void *user);

#endif
