/* SPDX-License-Identifier: MIT
 * The options of the response cache, for `caravan up`. */
#ifndef CARAVAN_SERVE_CACHE_H
#define CARAVAN_SERVE_CACHE_H

#include "cache/valkey.h"
#include "endpoint/server.h"
#include "options/option.h"

struct serve_cache {
    struct endpoint_cache_options options; /* points into the rest */
    struct cache_valkey_address server;
    char *password; /* owned; NULL: none */
};

/* Reads the options and the file of the password, or $CARAVAN_CACHE_PASSWORD. Errors never quote a password. */
err_code serve_cache_read(const struct options *o, struct serve_cache *ret, struct err *e);
void serve_cache_done(struct serve_cache *c);

#endif
