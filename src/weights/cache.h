/* SPDX-License-Identifier: MIT
 * Parts of models that were fetched from other nodes, on this machine's disk. In the cache folder each model has a folder named by its
 * id: "parts.json" (sizes of files and headers, written last, so that a folder with it is complete), and for each part N "N.gguf"
 * (sparse, at the original's offsets) and "N.have" (a byte for each chunk). Several processes of this node share them: the fetching
 * stages write, the node and later stages read. The maps are shared memory, and every process that uses the folder holds a shared lock
 * on "lock" (flock).
 *
 * Every chunk in the cache has been checked against its hash. Written data survives a killed process, but perhaps not a power cut. So
 * "boot" holds the id of the boot in which the maps were written; after another boot every chunk is unsure, and is checked again before
 * it is used. */
#ifndef CARAVAN_WEIGHTS_CACHE_H
#define CARAVAN_WEIGHTS_CACHE_H

#include "weights/msg.h"

enum weights_mark { WEIGHTS_NONE, WEIGHTS_HERE, WEIGHTS_WANTED, WEIGHTS_COMING, WEIGHTS_UNSURE };

struct weights_cache; /* one model's folder, open; any thread */

/* shape NULL: opens a model whose headers are all there, for reading (ERR_NOT_FOUND). Else opens it for a stage that fetches, and
 * creates the folder if it is missing. */
err_code weights_cache_open(const char *folder, const char *id, const struct weights_shape *shape, struct weights_cache **ret,
                            struct err *e);
void weights_cache_close(struct weights_cache *c); /* NULL is fine */
/* The headers are written: from now on the folder counts as complete. */
err_code weights_cache_complete(struct weights_cache *c, struct err *e);

const struct weights_shape *weights_cache_shape(const struct weights_cache *c);
enum weights_mark weights_cache_get(const struct weights_cache *c, uint32_t part, uint64_t chunk);
void weights_cache_set(struct weights_cache *c, uint32_t part, uint64_t chunk, enum weights_mark mark);
/* Marks every chunk as unsure until it has been checked. */
void weights_cache_doubt(struct weights_cache *c);
bool weights_cache_read(const struct weights_cache *c, uint32_t part, uint64_t offset, void *data, size_t len);
err_code weights_cache_write(struct weights_cache *c, uint32_t part, uint64_t offset, const void *data, size_t len, struct err *e);

/* Makes sure that `need` more bytes fit onto the folder's disk, and that the folder stays under `limit` (0: none), by removing unused
 * models, least recently used first. ERR_NO_ROOM says how much room there is. `keep` is not removed. */
err_code weights_cache_make_room(const char *folder, const char *keep, uint64_t need, uint64_t limit, struct err *e);

/* Bytes of weights that weights_cache_make_room could find room for, if no model in the folder were in use. UINT64_MAX: not known. */
uint64_t weights_cache_room(const char *folder, uint64_t limit);

/* A model in the cache folder. */
struct weights_cached {
    char id[65];
    uint64_t bytes; /* on the disk */
    int64_t used;   /* when it was opened last, seconds since 1970 */
};
size_t weights_cache_list(const char *folder, struct weights_cached *ret, size_t max);
/* Removes a model's folder. ERR_BUSY: it is in use. ERR_NOT_FOUND. */
err_code weights_cache_remove(const char *folder, const char *id, struct err *e);

#endif
