/* SPDX-License-Identifier: MIT
 * The keys that are made by `caravan keys`, what they may use up, and the counts of what was used, in this gateway: loaded from the state
 * file at the start, and written to it. Embedded in struct gateway. Loop thread. */
#ifndef CARAVAN_GATEWAY_ACCOUNTING_H
#define CARAVAN_GATEWAY_ACCOUNTING_H

#include "io/loop.h"
#include "ledger/account.h"
#include "ledger/usage.h"

struct gateway;

struct gateway_accounting {
    struct account_book *book;
    struct usage usage;      /* counts that are not in the state file yet */
    struct io_timer *timer;  /* runs while there are some */
    bool armed;
};

/* Loads the keys and what they have used up. Blocks; for the start. ERR_IO, ERR_FORMAT: a key can't be read, so none would be safe. */
err_code gateway_accounting_open(struct gateway *g, struct err *e);
/* Writes the counts to the state file. For the end; NULL members are fine. */
void gateway_accounting_close(struct gateway *g);
/* Adds to the counts. */
void gateway_accounting_count(struct gateway *g, const struct usage_row *row);
/* Writes the counts to the state file now. */
void gateway_accounting_flush(struct gateway *g);

#endif
