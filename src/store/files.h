/* SPDX-License-Identifier: MIT
 * The store's table of files (/v1/files): what is known of each. The bytes of an uploaded file stand on the disk, where its owner keeps
 * them; those of a batch's results are the rows of store/batches.h. A file that is dropped takes those rows with it. Times are seconds
 * since 1970. Threads as in store.h. */
#ifndef CARAVAN_STORE_FILES_H
#define CARAVAN_STORE_FILES_H

#include <stdbool.h>

#include "store/store.h"

struct store_file {
    const char *id, *owner, *purpose, *name;
    const char *batch;   /* its lines are results of this batch; "": it was uploaded */
    bool failed;         /* with batch: the lines that failed */
    int64_t bytes;       /* those of a batch's results are counted as they come */
    int64_t created, expires; /* expires 0: never */
};
struct store_ask *store_file_put(struct store *s, const struct store_file *file, store_fn fn, void *user);
/* A JSON object with the fields of struct store_file. ERR_NOT_FOUND: it isn't there, isn't this owner's, or has expired. */
struct store_ask *store_file_get(struct store *s, const char *owner, const char *id, int64_t now, store_fn fn, void *user);
/* A JSON array of such objects, in the order of their making (ascending), or the newest first. purpose, after (an id): "" for all. */
struct store_file_range {
    const char *purpose, *after;
    bool ascending;
    int64_t limit;
};
struct store_ask *store_file_list(struct store *s, const char *owner, const struct store_file_range *range, int64_t now, store_fn fn,
                                  void *user);
struct store_ask *store_file_drop(struct store *s, const char *owner, const char *id, store_fn fn, void *user);

/* The bytes of all files together, as a number in decimal digits. */
struct store_ask *store_files_size(struct store *s, store_fn fn, void *user);
/* Files whose time is over: a JSON array of [id, owner]. */
struct store_ask *store_files_expired(struct store *s, int64_t now, store_fn fn, void *user);
/* The ids of all uploaded files: a JSON array. */
struct store_ask *store_files_uploaded(struct store *s, store_fn fn, void *user);

#endif
