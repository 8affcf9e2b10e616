/* SPDX-License-Identifier: MIT
 * What the cache asks of a store: bytes under a key, until a time. disk.h is the node's own database, valkey.h a server that several
 * gateways share. A store may lose what it was given, and it may fail: then it has no answer, and nobody waits for it. Loop thread. */
#ifndef CARAVAN_CACHE_PORT_H
#define CARAVAN_CACHE_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "cache/key.h"

/* The answer to get; data NULL: there is none. Once for each get, perhaps within it; not after close. */
typedef void (*cache_found_fn)(void *user, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len);

struct cache_port {
    void *self;
    void (*get)(void *self, const uint8_t key[CACHE_KEY_SIZE]);
    /* Copies the bytes. now, expires: seconds since 1970. */
    void (*put)(void *self, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len, int64_t now, int64_t expires);
    void (*close)(void *self);
};

#endif
