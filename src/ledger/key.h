/* SPDX-License-Identifier: MIT
 * A key of the gateway as a value: whom it is for, what it permits, how much may be used up with it. The secret itself is shown once, when
 * the key is made, and is not kept: only its SHA-256 is. (The secret has 192 random bits, so a plain hash can't be guessed.) Pure, any
 * thread. */
#ifndef CARAVAN_LEDGER_KEY_H
#define CARAVAN_LEDGER_KEY_H

#include "base/json.h"
#include "io/sign.h"

enum {
    LEDGER_ID_SIZE = 17,      /* 16 hexadecimal digits */
    LEDGER_NAME_SIZE = 64,
    LEDGER_SECRET_SIZE = 52,  /* "cv-" and 48 hexadecimal digits */
    LEDGER_START_SIZE = 10,   /* the first characters of the secret, by which its owner knows it again */
    LEDGER_MAX_MODELS = 64,
    LEDGER_MAX_PRIORITY = 100,
};

enum ledger_scope {
#define SCOPE(id, word, help) LEDGER_SCOPE_##id,
#include "../../tables/quotas.def"
#undef SCOPE
    LEDGER_SCOPES
};
#define LEDGER_MAY(scope) (1u << LEDGER_SCOPE_##scope)

enum ledger_quota {
#define QUOTA(id, field, option, unit, window, words) LEDGER_##id,
#include "../../tables/quotas.def"
#undef QUOTA
    LEDGER_QUOTAS
};

struct ledger_key {
    char id[LEDGER_ID_SIZE];
    char name[LEDGER_NAME_SIZE];
    char start[LEDGER_START_SIZE];
    uint8_t hash[IO_SHA256_SIZE];
    uint32_t may;                    /* LEDGER_MAY bits */
    char **models;                   /* owned; names, or their beginnings with a "*"; none: all models */
    size_t n_models;
    int64_t quota[LEDGER_QUOTAS];    /* 0: no limit; money in millionths */
    int64_t created, expires;        /* seconds since 1970; expires 0: never */
    int64_t priority;                /* of its requests in queues; higher ones go first */
};
void ledger_key_done(struct ledger_key *key);
void ledger_key_copy(const struct ledger_key *key, struct ledger_key *ret);

/* A new key with a new secret. wish: an object of the admin API: "name", "models", "priority", "days" until it expires, and the scopes and
 * quotas of tables/quotas.def. ERR_INVALID names the field. */
err_code ledger_key_make(yyjson_val *wish, int64_t now, char ret_secret[LEDGER_SECRET_SIZE], struct ledger_key *ret, struct err *e);
/* The key as it is kept and listed, without its hash; and the key from that text. ERR_INVALID: the text is damaged. */
yyjson_mut_val *ledger_key_json(yyjson_mut_doc *doc, const struct ledger_key *key);
err_code ledger_key_read(yyjson_val *json, const uint8_t hash[IO_SHA256_SIZE], struct ledger_key *ret, struct err *e);

void ledger_key_hash(const char *secret, uint8_t ret[IO_SHA256_SIZE]);
bool ledger_key_expired(const struct ledger_key *key, int64_t now);
/* May the key ask this model? */
bool ledger_key_allows(const struct ledger_key *key, const char *model);

#endif
