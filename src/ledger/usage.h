/* SPDX-License-Identifier: MIT
 * Counts of what was used, by day, key and model, on their way into the state file. They are collected here, so that the file gets one
 * row where many requests have ended. One thread. */
#ifndef CARAVAN_LEDGER_USAGE_H
#define CARAVAN_LEDGER_USAGE_H

#include "ledger/key.h"

enum { USAGE_MODEL_SIZE = 256, USAGE_MAX_ROWS = 4096 };

struct usage_row {
    int64_t day;                     /* base/calendar.h */
    char key[LEDGER_ID_SIZE]; /* its id; of a key that `caravan keys` has not made, the beginning of its owner (gateway/keys.h); "": none */
    char model[USAGE_MODEL_SIZE];
    int64_t requests, failed; /* failed: those of them that got an error or were left by their client */
    int64_t prompt_tokens, cached_tokens, completion_tokens;
    int64_t money; /* for servers outside of the cluster, in millionths */
    int64_t quota_requests, quota_tokens; /* what counts against the key's quotas: not what was refused */
};

struct usage {
    struct usage_row *rows; /* owned */
    size_t n, cap;
};
void usage_done(struct usage *u);
/* Adds to the row of the same day, key and model. ERR_LIMIT: too many rows wait to be taken. */
err_code usage_add(struct usage *u, const struct usage_row *more, struct err *e);
/* Takes a row out; false: there is none. */
bool usage_take(struct usage *u, struct usage_row *ret);

#endif
