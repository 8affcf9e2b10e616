/* SPDX-License-Identifier: MIT
 * What the keys have used up. Before a request runs, it claims the most that it can need; when it has ended, it settles what it took. So
 * requests that run at once are counted too. A request is admitted while something of each quota is left, so a quota is passed by at most
 * one request. A core: time is an argument, in seconds since 1970. A minute is the last sixty seconds, in steps of five; days and months
 * are those of the calendar, UTC. What was used today and in this month is restored after a start (account_restore). One thread. */
#ifndef CARAVAN_LEDGER_ACCOUNT_H
#define CARAVAN_LEDGER_ACCOUNT_H

#include "ledger/key.h"

struct account_book;

/* Amounts by unit; money in millionths. */
struct account_amount {
    int64_t requests, tokens, money;
};

/* What a request has claimed. Zeroed: nothing. */
struct account_claim {
    char key[LEDGER_ID_SIZE];      /* "": nothing is claimed */
    struct account_amount amount;
};

struct account_book *account_book_open(void);
void account_book_close(struct account_book *a); /* NULL is fine */
/* Claims for a request of this key. ERR_QUOTA: a quota is used up, or would be by the requests that run; e names it, and *ret_retry_s says
 * after how many seconds to try again. A request that costs no money doesn't meet the quota of money. The claim must be settled, also if
 * the request fails. */
err_code account_claim(struct account_book *a, int64_t now, const struct ledger_key *key, const struct account_amount *most,
                       struct account_claim *ret, int64_t *ret_retry_s, struct err *e);
/* The request has ended and took this much. Does nothing for a claim of nothing. */
void account_settle(struct account_book *a, int64_t now, struct account_claim *claim, const struct account_amount *took);
/* Adds what a key had used up before this process began: today, and in this month. */
void account_restore(struct account_book *a, int64_t now, const char *key, const struct account_amount *day,
                     const struct account_amount *month);
void account_forget(struct account_book *a, const char *key); /* the key is removed */
/* How much of a quota is used up now, claims not included. */
int64_t account_used(struct account_book *a, int64_t now, const char *key, enum ledger_quota quota);

#endif
