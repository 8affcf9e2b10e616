/* SPDX-License-Identifier: MIT
 * Who may use the gateway: API keys, each with its permissions. Without keys, only programs on this machine may. The time of a
 * comparison tells nothing of a secret: keys that `caravan keys` made are compared by their hashes, the others in constant time. Secrets
 * are never logged or quoted in errors. Loop thread. */
#ifndef CARAVAN_GATEWAY_KEYS_H
#define CARAVAN_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "http/server.h"
#include "ledger/key.h"

/* ERR_AUTH if `host` is not a loopback address and no keys are set, so that nobody opens a model to the network by accident. */
err_code gateway_check_bind(const char *host, size_t n_keys, struct err *e);

/* Permissions; a key has a set of them. routes.def says which one a route needs. */
enum {
    GATEWAY_MAY_ASK = 1,   /* ask models, list them, read the node's state: every key may */
    GATEWAY_MAY_ADMIN = 2, /* load, unload and delete models, change routes and keys, shut nodes out, change the cluster's key */
};

struct gateway_key {
    char *secret; /* owned */
    uint32_t may;
};
/* Reads a line of a key file: "KEY" or "KEY admin". A word that begins with # begins a comment. A line without a key gives secret NULL.
 * ERR_INVALID names an unknown word, and never the key. */
err_code gateway_key_parse(const char *text, size_t len, struct gateway_key *ret, struct err *e);
void gateway_key_done(struct gateway_key *key);

struct gateway_keys {
    struct gateway_key *keys; /* owned; the keys that were set, then the command line's own key */
    size_t n;
    struct ledger_key *made; /* owned; those that `caravan keys` made */
    size_t n_made;
    const char *own; /* the command line's key, among `keys`; NULL: it has none */
    bool needed;   /* there are keys, or there were some since the start: requests must have one */
    char *origins; /* web pages that may use the API besides local ones: "*", or origins separated by blanks; owned, NULL: none */
};
/* May pages of this origin use the API: is it local, or one of `origins`? NULL: no. */
bool gateway_keys_allow_origin(const struct gateway_keys *k, const char *origin);
/* Copies the keys. own: a key that may do everything, but does not count as a key that somebody has set; NULL: none. */
void gateway_keys_init(struct gateway_keys *k, const struct gateway_key *keys, size_t n, const char *own);
void gateway_keys_done(struct gateway_keys *k);
/* Adds a key, which is taken over. Removes the one with this id; false: there is none. */
void gateway_keys_add(struct gateway_keys *k, const struct ledger_key *key);
bool gateway_keys_remove(struct gateway_keys *k, const char *id);
/* The key of a checked request, if `caravan keys` made it; else NULL. Valid until keys are added or removed. */
const struct ledger_key *gateway_keys_made_of(const struct gateway_keys *k, const struct http_request *r);
/* The key that came with a request; NULL: none. */
const char *gateway_keys_given(const struct http_request *r);
/* May the request go on? may: the permission that it needs, one of GATEWAY_MAY_*.
 * If keys were set, "Authorization: Bearer KEY" or "x-api-key: KEY" must name one (else ERR_AUTH), and that key must have the permission
 * (else ERR_FORBIDDEN). Without keys, the headers Host and Origin must name loopback, so that no web page in a browser can reach the models
 * (DNS rebinding), and GATEWAY_MAY_ADMIN is refused to all pages that this server has not served itself. A request from within may ask as
 * long as the key for which it is made may. */
err_code gateway_keys_check(const struct gateway_keys *k, const struct http_request *r, uint32_t may, struct err *e);

enum { GATEWAY_OWNER_SIZE = 33 };
/* The owner of what a checked request stores: half of the SHA-256 of its key in hex; "": the machine's user, who needs no key. Of a request
 * from within, the one for whom it is made. */
void gateway_keys_owner(const struct gateway_keys *k, const struct http_request *r, char ret[GATEWAY_OWNER_SIZE]);

#endif
