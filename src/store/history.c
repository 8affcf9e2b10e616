/* SPDX-License-Identifier: MIT
 * The table of samples. See history.h. */
#include "store/history.h"

#include "store/statement.h"

static const char subject[] = "samples for charts";

void store_history_put(struct store *s, int64_t step, int64_t time, const char *json) {
    const struct statement put = {
        .query = QUERY_SAMPLE_PUT, .what = subject, .texts = {json}, .n_texts = 1, .numbers = {step, time}, .n_numbers = 2};
    statement_post(s, &put, NULL, NULL);
}

void store_history_sweep(struct store *s, int64_t step, int64_t oldest) {
    const struct statement sweep = {.query = QUERY_SAMPLE_SWEEP, .what = subject, .numbers = {step, oldest}, .n_numbers = 2};
    statement_post(s, &sweep, NULL, NULL);
}

struct store_ask *store_history_list(struct store *s, int64_t step, int64_t after, store_fn fn, void *user) {
    const struct statement list = {.query = QUERY_SAMPLES, .what = subject, .numbers = {step, after}, .n_numbers = 2};
    return statement_post(s, &list, fn, user);
}
