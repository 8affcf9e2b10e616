/* SPDX-License-Identifier: MIT
 * Who may use the gateway, and for what: API keys, each with the things that it may do, and, where there are none, loopback only. Keys are
 * compared in constant time through their lengths' worth of bytes; they are never logged, nor quoted in errors. Loop thread. */
#ifndef CARAVAN_GATEWAY_KEYS_H
#define CARAVAN_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "http/server.h"

/* ERR_AUTH, with a hint, when `host` is not a loopback address and no keys are set: nobody opens a model to the network by accident. */
err_code gateway_check_bind(const char *host, size_t n_keys, struct err *e);

/* What a key may do: a set of these. routes.def says which one a route needs. */
enum {
    GATEWAY_MAY_ASK = 1,   /* ask models, list them, read the node's state: every key may */
    GATEWAY_MAY_ADMIN = 2, /* load, unload and delete models, shut nodes out, change the cluster's key: the word "admin" */
};

struct gateway_key {
    char *secret; /* owned */
    uint32_t may;
};
/* Reads "KEY" or "KEY admin", as a line of the key file has it; a word that begins with # begins a comment. A line without a key gives
 * secret NULL. ERR_INVALID names a word that is not known (and never the key). */
err_code gateway_key_parse(const char *text, size_t len, struct gateway_key *ret, struct err *e);
void gateway_key_done(struct gateway_key *key);

struct gateway_keys {
    struct gateway_key *keys; /* owned; those that were set, then the own one */
    size_t n;
    bool needed;   /* keys were set: requests must have one */
    char *origins; /* which web pages may ask besides local ones: "*", or origins with blanks between them; owned, NULL: none */
};
/* May pages of this origin ask: is it local, or one of `origins`? NULL never is. */
bool gateway_keys_allow_origin(const struct gateway_keys *k, const char *origin);
/* Copies the keys that were set. own: a key that may do everything and counts as none that was set; NULL: none. */
void gateway_keys_init(struct gateway_keys *k, const struct gateway_key *keys, size_t n, const char *own);
void gateway_keys_done(struct gateway_keys *k);
/* ERR_OK: the request may go on. may: what it needs, one of GATEWAY_MAY_*.
 * Where keys were set, "Authorization: Bearer KEY" must name one (x-api-key is taken too; ERR_AUTH), and that one must be good for it
 * (ERR_FORBIDDEN). Without keys, the Host and Origin headers must be loopback names or addresses, so that no web page that a browser has
 * open can reach the models (DNS rebinding); and GATEWAY_MAY_ADMIN is refused to every page but those that this very server has served. */
err_code gateway_keys_check(const struct gateway_keys *k, const struct http_request *r, uint32_t may, struct err *e);

enum { GATEWAY_OWNER_SIZE = 33 };
/* Whose a checked request is, for what is kept: half of its key's SHA-256 in hex, or "" without keys. */
void gateway_keys_owner(const struct gateway_keys *k, const struct http_request *r, char ret[GATEWAY_OWNER_SIZE]);

#endif
