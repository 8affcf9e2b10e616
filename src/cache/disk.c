/* SPDX-License-Identifier: MIT
 * The database as a store of answers. See disk.h. */
#include "cache/disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "store/cache.h"

struct disk {
    struct store *store;
    cache_found_fn fn;
    void *user;
    struct list lookups;
};

/* A question that the store has not answered yet. */
struct lookup {
    struct list link;
    struct disk *disk;
    struct store_ask *ask;
    uint8_t key[CACHE_KEY_SIZE];
};

static_assert((int)CACHE_KEY_SIZE == (int)STORE_CACHE_KEY, "the store's keys are as long as ours");

static void on_found(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct lookup *l = user;
    struct disk *d = l->disk;
    (void)e;
    list_remove(&l->link);
    d->fn(d->user, l->key, code == ERR_OK ? text : NULL, len);
    free(l);
}

static void disk_get(void *self, const uint8_t key[CACHE_KEY_SIZE]) {
    struct disk *d = self;
    struct lookup *l = MEM_NEW(struct lookup);
    l->disk = d;
    memcpy(l->key, key, CACHE_KEY_SIZE);
    list_push_back(&d->lookups, &l->link);
    l->ask = store_cache_get(d->store, key, clock_wall_s(), on_found, l);
}

static void disk_put(void *self, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len, int64_t now, int64_t expires) {
    store_cache_put(((struct disk *)self)->store, key, data, len, now, expires);
}

static void disk_close(void *self) {
    struct disk *d = self;
    while (!list_empty(&d->lookups)) {
        struct lookup *l = LIST_ENTRY(list_pop_front(&d->lookups), struct lookup, link);
        store_cancel(l->ask);
        free(l);
    }
    free(d);
}

struct cache_port cache_disk_open(struct store *store, cache_found_fn fn, void *user) {
    struct disk *d = MEM_NEW(struct disk);
    *d = (struct disk){.store = store, .fn = fn, .user = user};
    list_init(&d->lookups);
    return (struct cache_port){.self = d, .get = disk_get, .put = disk_put, .close = disk_close};
}
