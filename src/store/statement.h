/* SPDX-License-Identifier: MIT
 * Asks that run one statement of tables/queries.def, whose answer is the first column of its first row: for the files of the tables.
 * Threads as in store.h. */
#ifndef CARAVAN_STORE_STATEMENT_H
#define CARAVAN_STORE_STATEMENT_H

#include "store/store_priv.h"

enum { STATEMENT_MAX_TEXTS = 6, STATEMENT_MAX_NUMBERS = 9 };

/* The texts are the statement's first parameters, the numbers follow. All of it is copied. */
struct statement {
    enum store_query query;
    const char *what;     /* the subject, for errors: a literal */
    const char *missing;  /* what isn't there if the statement finds or changes nothing, a literal: "key"; NULL: that is no error */
    const char *texts[STATEMENT_MAX_TEXTS]; /* the first one names the missing thing */
    size_t n_texts;
    int64_t numbers[STATEMENT_MAX_NUMBERS];
    size_t n_numbers;
};

/* fn gets ERR_OK and the answer ("" without a row), ERR_NOT_FOUND or ERR_IO. fn NULL: there is no answer, and a failure is logged. */
struct store_ask *statement_post(struct store *s, const struct statement *st, store_fn fn, void *user);

#endif
