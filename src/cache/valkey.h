/* SPDX-License-Identifier: MIT
 * Cached answers on a Valkey or Redis server, which several gateways share. The protocol is hiredis's (RESP 2), the connection is the
 * loop's: nothing blocks. When the server cannot be reached, is slow or talks nonsense, there is no answer, and the connection is made
 * again: after 0.25 s, then after twice as long each time, up to 30 s. Answers are bytes of cache/entry.h under "caravan:" and the key in
 * hex, which the server forgets by itself when they expire. See port.h. */
#ifndef CARAVAN_CACHE_VALKEY_H
#define CARAVAN_CACHE_VALKEY_H

#include "base/str.h"
#include "cache/port.h"
#include "io/loop.h"

enum { VALKEY_PORT = 6379, VALKEY_MAX_WORD = 256, VALKEY_MAX_DATABASE = 65535 };

struct cache_valkey_address {
    char host[STR_HOST_MAX];
    uint16_t port;
    uint32_t database;
    char user[VALKEY_MAX_WORD]; /* "": the server's default user */
    bool tls;
};
/* redis://[USER@]HOST[:PORT][/DATABASE], or valkey://; rediss:// and valkeys:// with TLS. ERR_INVALID, also where the URL has a password,
 * which others would see. The errors never quote what stands before the @. */
err_code cache_valkey_address(const char *url, struct cache_valkey_address *ret, struct err *e);

/* password: NULL or "": none. Both are copied. trust: for an address with TLS; it outlives the port. The connection is made from the
 * loop. */
struct io_tls_trust;
struct cache_port cache_valkey_open(struct io_loop *loop, const struct cache_valkey_address *address, const char *password,
                                    struct io_tls_trust *trust, cache_found_fn fn, void *user);

#endif
