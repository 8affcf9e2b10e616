/* SPDX-License-Identifier: MIT
 * Who may use the gateway: API keys, and, where there are none, loopback only. Keys are compared in constant time through their lengths'
 * worth of bytes; they are never logged. Loop thread. */
#ifndef CARAVAN_GATEWAY_API_KEYS_H
#define CARAVAN_GATEWAY_API_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/http_server.h"

/* ERR_AUTH, with a hint, when `host` is not a loopback address and no keys are set: nobody opens a model to the network by accident. */
err_code gateway_check_bind(const char *host, size_t n_keys, struct err *e);

struct gateway_keys {
    char **keys; /* owned copies */
    size_t n;
    char *origins; /* which web pages may ask besides local ones: "*", or origins with blanks between them; owned, NULL: none */
};
/* Is this origin one of `origins`? NULL never is. */
bool gateway_keys_allow_origin(const struct gateway_keys *k, const char *origin);
void gateway_keys_init(struct gateway_keys *k, const char *const *keys, size_t n);
void gateway_keys_done(struct gateway_keys *k);
/* ERR_OK: the request may go on. With keys: "Authorization: Bearer KEY" must name one (x-api-key is taken too). Without keys: the Host and
 * Origin headers must be loopback names or addresses, so that no web page a browser has open can reach the models (DNS rebinding). */
err_code gateway_keys_check(const struct gateway_keys *k, const struct io_http_request *r, struct err *e);

enum { GATEWAY_OWNER_SIZE = 33 };
/* Whose a checked request is, for what is kept: half of its key's SHA-256 in hex, or "" without keys. */
void gateway_keys_owner(const struct gateway_keys *k, const struct io_http_request *r, char ret[GATEWAY_OWNER_SIZE]);

#endif
