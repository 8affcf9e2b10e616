/* SPDX-License-Identifier: MIT
 * The models whose files this node has: the GGUFs of its models folder and of folders in it, and single files that were named. The file
 * system is only touched in threads (io/work.h), so a folder on a file system that hangs stops nothing: its models stay as they were last
 * seen. The folder is looked through when it, or a folder in it, has changed, and every half minute. A file that is no model (yet) is left
 * out until it is one. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_CATALOG_H
#define CARAVAN_NODE_CATALOG_H

#include "weights/weights.h"
#include "io/loop.h"
#include "model/card.h"

enum { CATALOG_MAX = 1024 }; /* further files are not looked at */

struct catalog_entry {
    const char *path;
    uint64_t size;       /* of the file that was looked at, and when it was changed: another pair of these, another file */
    int64_t changed_ns;
    bool named;          /* not in the folder: stays until the end */
    struct model_card card; /* its name is this model's alone (catalog.c) */
};

/* A file of the folder that is called like a model and is none. */
struct catalog_bad {
    char *path, *why;
    uint64_t size;
    int64_t changed_ns;
    bool settled; /* it was so at the look before: it isn't being written */
};

struct catalog;
struct catalog_events {
    void *user;
    void (*looked)(void *user);  /* the folder has been looked through, for the first time or again */
    void (*changed)(void *user); /* there are others now */
    void (*found)(void *user, struct weights_model *m); /* a file of the folder can be served; the callee owns m */
    void (*gone)(void *user, const char *id); /* no file of this model is left */
    /* Is another model than this one called so, elsewhere in the cluster? NULL: none is. */
    bool (*taken)(void *user, const char *name, const char *id);
};
/* folder: NULL or missing: none. cache: where hashes of weights are kept, NULL: nowhere. Nothing is there before the first look. */
struct catalog *catalog_create(struct io_loop *loop, const char *folder, const char *cache, const struct catalog_events *events);
void catalog_free(struct catalog *c); /* NULL is fine */
/* A single file, whose header has been read. */
void catalog_add(struct catalog *c, const char *path, const struct model_card *card);
/* Now and then: looks whether the folder has changed, and through it if so. */
void catalog_tick(struct catalog *c);
/* Looks through the folder at the next chance, changed or not. */
void catalog_look(struct catalog *c);
/* NULL: there are not so many entries, or none has that name. The entry belongs to the catalog, which replaces its list whenever a look has
 * ended, and in catalog_add: the caller copies what it keeps, and holds no entry over a return to the loop. */
const struct catalog_entry *catalog_get(const struct catalog *c, size_t i);
const struct catalog_entry *catalog_find(const struct catalog *c, const char *name);
const struct catalog_entry *catalog_find_id(const struct catalog *c, const char *id);
size_t catalog_count(const struct catalog *c);
const struct catalog_entry *catalog_find_path(const struct catalog *c, const char *path);
/* What the model of this card in the file at `path` is called: as its entry, else by the file's name, with a tag if another model has
 * that. */
void catalog_name(const struct catalog *c, const char *path, const struct model_card *card, char ret[MODEL_NAME_SIZE]);
/* Which names are taken elsewhere may have changed. */
void catalog_review(struct catalog *c);
/* Files that are no models, until the list is replaced; NULL: there are not so many. ret_left_out: files that were too many. */
const struct catalog_bad *catalog_get_bad(const struct catalog *c, size_t i);
size_t catalog_left_out(const struct catalog *c);
/* Deletes the files of a model of the folder. done comes, with the model's name, when that has happened, or at once, and not after
 * catalog_free. ERR_NOT_FOUND, ERR_INVALID (not in the folder), ERR_IO, ERR_BUSY. */
typedef void (*catalog_done_fn)(void *user, err_code code, const char *name, const struct err *e);
void catalog_remove(struct catalog *c, const char *name, catalog_done_fn done, void *user);

#endif
