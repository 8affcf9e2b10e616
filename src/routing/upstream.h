/* SPDX-License-Identifier: MIT
 * An upstream: a server outside of the cluster that answers requests for us, with its address, the place of its key, its prices and the
 * most that may be spent there. A value; it is read from the routes file and then never changes. Money is counted in billionths of the
 * owner's currency, whichever that is. Prices in the file are per million tokens, so a token costs price / 1,000,000.
 *
 * This module reads no file and opens no connection: cloud/ does that. Pure, any thread. */
#ifndef CARAVAN_ROUTING_UPSTREAM_H
#define CARAVAN_ROUTING_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

enum {
    UPSTREAM_MAX_NAME = 64,
    UPSTREAM_MAX_URL = 1024,
    UPSTREAM_MAX_MODEL = 512,
    UPSTREAM_MAX_PRICES = 256,
    UPSTREAM_MAX_TOKENS = 100 * 1000 * 1000, /* more tokens of one request are not counted */
    UPSTREAM_MAX_TIMEOUT_S = 3600,
    UPSTREAM_MAX_ANSWER = 1000 * 1000,       /* tokens of "max_tokens" */
};
#define UPSTREAM_MAX_PRICE 10000.0         /* per million tokens */
#define UPSTREAM_MAX_SPEND 1e9             /* a day or a month */
#define UPSTREAM_NO_CAP    UINT64_MAX

enum upstream_api { UPSTREAM_OPENAI, UPSTREAM_ANTHROPIC, UPSTREAM_APIS };

/* What the tokens of a model cost, in millionths of the currency per million tokens. */
struct upstream_price {
    char *model;             /* "*": all models without a row of their own; owned */
    uint64_t input, output;
    uint64_t cached;         /* a prompt token that the upstream had in its cache; as input if the file has no such price */
};

struct upstream {
    char name[UPSTREAM_MAX_NAME + 1];
    char *url;               /* "https://host/v1", without a slash at its end; owned, as all texts here */
    enum upstream_api api;
    char *key_file, *key_env; /* where its key stands; both NULL: it needs none */
    char *ca_file;           /* certificates that are trusted instead of the system's; NULL: the system's */
    uint32_t timeout_s;      /* the longest silence, also before the first byte */
    uint32_t connect_s;      /* the longest time for a connection */
    int32_t max_tokens;      /* the limit of an answer where the client set none and one is needed: for Anthropic, or for a cap */
    char *max_tokens_field;  /* the upstream's name for that limit; NULL: its API's name */
    struct upstream_price *prices; /* owned */
    size_t n_prices;
    uint64_t day, month;     /* the most that is spent in one, in billionths; UPSTREAM_NO_CAP: no limit */
};

/* Reads an upstream from its object in the routes file. ERR_INVALID, ERR_LIMIT: the error has the field, or none if it is about the name or
 * the whole object. A field that doesn't exist is an error. *ret is untouched then. */
err_code upstream_parse(const char *name, yyjson_val *v, struct upstream *ret, struct err *e);
void upstream_done(struct upstream *u); /* a zeroed one is fine */
void upstream_copy(const struct upstream *u, struct upstream *ret);

const char *upstream_api_name(enum upstream_api api); /* "openai" */
bool upstream_has_cap(const struct upstream *u);
/* The price of a model; NULL: none is known. */
const struct upstream_price *upstream_price_of(const struct upstream *u, const char *model);
/* ERR_INVALID: the upstream has a cap, but no price for this model, so the cap can't be kept. For the check of a target's "model". */
err_code upstream_check_model(const struct upstream *u, const char *model, struct err *e);
/* What a request costs, in billionths, rounded up. cached: those of the prompt's tokens that the upstream had in its cache. */
uint64_t upstream_cost(const struct upstream_price *p, uint64_t prompt, uint64_t cached, uint64_t completion);

#endif
