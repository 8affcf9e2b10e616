/* SPDX-License-Identifier: MIT
 * The models whose files this node has: the GGUFs of its models folder and of folders in it, and single files that were named. Headers
 * are read in a thread of its own, when the folder has changed, and every half minute; a file that isn't a model (yet) is left out until it
 * is one. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_CATALOG_H
#define CARAVAN_NODE_CATALOG_H

#include "io/loop.h"
#include "model/card.h"

enum { CATALOG_MAX = 256 }; /* further files are not looked at */

struct catalog_entry {
    char *path;
    uint64_t size;       /* of the file that was looked at, and when it was changed: another pair of these, another file */
    int64_t changed_ns;
    bool named;          /* not in the folder: stays until the end */
    struct model_card card;
};

struct catalog;
struct catalog_events {
    void *user;
    void (*changed)(void *user); /* there are others now */
    void (*found)(void *user, const struct model_gguf *g); /* a header has been read: in the thread that did; g is only lent */
    void (*gone)(void *user, const char *id); /* no file of this model is left */
};
/* folder: NULL or missing: none. Nothing is there before the first catalog_look or catalog_tick. */
struct catalog *catalog_create(struct io_loop *loop, const char *folder, const struct catalog_events *events);
void catalog_free(struct catalog *c); /* NULL is fine; waits for the thread */
/* A single file, whose header has been read. */
void catalog_add(struct catalog *c, const char *path, const struct model_card *card);
/* Looks, and waits for it. */
void catalog_look(struct catalog *c);
/* Now and then: looks whether the folder has changed. */
void catalog_tick(struct catalog *c);
/* NULL: there are not so many entries, or none has that name. The entry belongs to the catalog, which replaces its list in catalog_tick,
 * add, look and remove, and whenever its thread has finished: the caller copies what it keeps, and holds no entry over a return to the
 * loop. */
const struct catalog_entry *catalog_get(const struct catalog *c, size_t i);
const struct catalog_entry *catalog_find(const struct catalog *c, const char *name);
const struct catalog_entry *catalog_find_id(const struct catalog *c, const char *id);
size_t catalog_count(const struct catalog *c);
/* Deletes the files of a model of the folder. ERR_NOT_FOUND, ERR_INVALID (not in the folder), ERR_IO. */
err_code catalog_remove(struct catalog *c, const char *name, struct err *e);

#endif
