/* SPDX-License-Identifier: MIT
 * The inside of the catalog: catalog.c keeps the lists on the loop, catalog_look.c makes them in threads. */
#ifndef CARAVAN_CATALOG_CATALOG_PRIV_H
#define CARAVAN_CATALOG_CATALOG_PRIV_H

#include <stdatomic.h>

#include "catalog/catalog.h"

enum { NOT_SETTLED = -1 };
struct catalog_folder {
    char *path;
    int64_t changed_ns; /* when it was last changed; 0: it cannot be read; NOT_SETTLED: just before the look */
};

/* The result of a look. A list that others use is never changed, only replaced. */
struct catalog_list {
    atomic_uint refs;
    struct catalog_entry *entries; /* by the files' names, those in fewer folders first, then by path; paths are owned */
    size_t n;
    struct catalog_bad *bad; /* owned */
    size_t n_bad, n_fresh;   /* n_fresh: of the bad ones, those that are not settled */
    size_t n_left_out;       /* files behind the first CATALOG_MAX */
    struct catalog_folder *folders;
    size_t n_folders;
};
struct catalog_list *catalog_list_create(void);
struct catalog_list *catalog_list_keep(struct catalog_list *l); /* one more reference */
void catalog_list_release(struct catalog_list *l);              /* any thread; NULL is fine */
/* A copy of the entry, but with this path. */
void catalog_list_push(struct catalog_list *l, const char *path, const struct catalog_entry *entry);

/* A copy without the entries of this path. */
struct catalog_list *catalog_list_without(const struct catalog_list *l, const char *path);

/* One look through the folder: the job of a thread. */
struct catalog_search {
    struct catalog *catalog;    /* for the loop's thread */
    char *folder, *cache;
    struct catalog_list *known; /* from the look before */
    bool all;                   /* also if no folder has changed */
    struct catalog_list *next;  /* what is there now; NULL: no folder has changed */
    struct weights_model **found; /* owned; of the files that were not known */
    size_t n_found;
};
void catalog_search_run(void *search);
void catalog_search_free(void *search);

/* Deletes all parts of the model at path, the first part last, so that the rest is still found after an interrupted removal. */
err_code catalog_remove_files(const char *path, struct err *e);

#endif
