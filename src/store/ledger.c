/* SPDX-License-Identifier: MIT
 * The tables of keys and of usage. See ledger.h. SQLite makes the JSON of the answers. */
#include "store/ledger.h"

#include "store/statement.h"

static const char subject[] = "keys and usage";

struct store_ask *store_key_put(struct store *s, const char *id, const char *hash, const char *json, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_KEY_PUT, .what = subject, .texts = {id, hash, json}, .n_texts = 3}, fn,
                          user);
}

struct store_ask *store_key_drop(struct store *s, const char *id, store_fn fn, void *user) {
    const struct statement st = {.query = QUERY_KEY_DROP, .what = subject, .missing = "key", .texts = {id}, .n_texts = 1};
    return statement_post(s, &st, fn, user);
}

struct store_ask *store_keys(struct store *s, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = QUERY_KEYS, .what = subject}, fn, user);
}

void store_usage_add(struct store *s, const struct store_usage *u) {
    const struct statement st = {.query = QUERY_USAGE_ADD,
                                 .what = subject,
                                 .texts = {u->key, u->model},
                                 .n_texts = 2,
                                 .numbers = {u->day, u->requests, u->failed, u->prompt_tokens, u->cached_tokens, u->completion_tokens,
                                             u->money, u->quota_requests, u->quota_tokens},
                                 .n_numbers = 9};
    statement_post(s, &st, NULL, NULL);
}

static struct store_ask *ask_days(struct store *s, enum store_query query, int64_t first, int64_t last, store_fn fn, void *user) {
    return statement_post(s, &(struct statement){.query = query, .what = subject, .numbers = {first, last}, .n_numbers = 2}, fn, user);
}

struct store_ask *store_usage_list(struct store *s, int64_t first, int64_t last, store_fn fn, void *user) {
    return ask_days(s, QUERY_USAGE_LIST, first, last, fn, user);
}

struct store_ask *store_usage_sums(struct store *s, int64_t first, int64_t last, store_fn fn, void *user) {
    return ask_days(s, QUERY_USAGE_SUMS, first, last, fn, user);
}
