/* SPDX-License-Identifier: MIT
 * Cached answers in the node's database (store/cache.h). See port.h. */
#ifndef CARAVAN_CACHE_DISK_H
#define CARAVAN_CACHE_DISK_H

#include "cache/port.h"
#include "store/store.h"

/* The store outlives the port, and is delivered by its owner. */
struct cache_port cache_disk_open(struct store *store, cache_found_fn fn, void *user);

#endif
