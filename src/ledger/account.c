/* SPDX-License-Identifier: MIT
 * See account.h. */
#include "ledger/account.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"

enum unit { REQUESTS, TOKENS, MONEY, UNITS };
enum window { MINUTE, DAY, MONTH };
enum { STEP_S = 5, STEPS = 60 / STEP_S };

static const struct {
    enum unit unit;
    enum window window;
    const char *words;
} quotas[LEDGER_QUOTAS] = {
#define QUOTA(id, field, option, unit, window, words) {unit, window, words},
#include "../../tables/quotas.def"
#undef QUOTA
};

struct account {
    struct list link;
    char key[LEDGER_ID_SIZE];
    int64_t claimed[UNITS];
    /* The last minute in steps of five seconds: steps[i] belongs to the step number `number`. */
    struct {
        int64_t number, used[UNITS];
    } steps[STEPS];
    int64_t day, month;            /* numbers of the day and month of: */
    int64_t used_day[UNITS], used_month[UNITS];
};

struct account_book {
    struct list all;
};

struct account_book *account_book_open(void) {
    struct account_book *a = MEM_NEW(struct account_book);
    list_init(&a->all);
    return a;
}

void account_book_close(struct account_book *a) {
    if (a == NULL) return;
    while (!list_empty(&a->all)) free(LIST_ENTRY(list_pop_front(&a->all), struct account, link));
    free(a);
}

static struct account *find(struct account_book *a, const char *key) {
    for (LIST_EACH(link, &a->all)) {
        struct account *one = LIST_ENTRY(link, struct account, link);
        if (strcmp(one->key, key) == 0) return one;
    }
    return NULL;
}

static void turn_pages(struct account *one, int64_t now) {
    int64_t day = calendar_day(now), month = calendar_month(now);
    if (one->day != day) memset(one->used_day, 0, sizeof(one->used_day));
    if (one->month != month) memset(one->used_month, 0, sizeof(one->used_month));
    one->day = day;
    one->month = month;
}

static struct account *open_account(struct account_book *a, int64_t now, const char *key) {
    struct account *one = find(a, key);
    if (one == NULL) {
        one = MEM_NEW(struct account);
        *one = (struct account){0};
        memcpy(one->key, key, strnlen(key, LEDGER_ID_SIZE - 1));
        list_push_back(&a->all, &one->link);
    }
    turn_pages(one, now);
    return one;
}

/* ---- amounts and windows ---- */

static int64_t of_unit(const struct account_amount *amount, enum unit unit) {
    return unit == REQUESTS ? amount->requests : unit == TOKENS ? amount->tokens : amount->money;
}

static bool in_minute(int64_t number, int64_t now) { return number > now / STEP_S - STEPS && number <= now / STEP_S; }

static int64_t used_in(const struct account *one, int64_t now, enum window window, enum unit unit) {
    int64_t sum = 0;
    if (window != MINUTE) return window == DAY ? one->used_day[unit] : one->used_month[unit];
    for (size_t i = 0; i < STEPS; i++)
        if (in_minute(one->steps[i].number, now)) sum += one->steps[i].used[unit];
    return sum;
}

/* Seconds until a window has room again: until the oldest step of the minute that counts leaves it, or until the next day or month. */
static int64_t seconds_left(const struct account *one, int64_t now, enum window window, enum unit unit) {
    int64_t oldest = now / STEP_S;
    if (window == DAY) return calendar_next_day(now) - now;
    if (window == MONTH) return calendar_next_month(now) - now;
    for (size_t i = 0; i < STEPS; i++)
        if (in_minute(one->steps[i].number, now) && one->steps[i].used[unit] > 0 && one->steps[i].number < oldest)
            oldest = one->steps[i].number;
    return (oldest + STEPS) * STEP_S - now;
}

static void add(struct account *one, int64_t now, const struct account_amount *took) {
    int64_t number = now / STEP_S;
    size_t at = (size_t)(number % STEPS);
    if (one->steps[at].number != number) memset(&one->steps[at], 0, sizeof(one->steps[at]));
    one->steps[at].number = number;
    for (enum unit u = 0; u < UNITS; u++) {
        one->steps[at].used[u] += of_unit(took, u);
        one->used_day[u] += of_unit(took, u);
        one->used_month[u] += of_unit(took, u);
    }
}

/* ---- claims ---- */

/* In words for people: millionths of money as a fraction without zeros at its end. */
static void amount(enum unit unit, int64_t n, char ret[STR_SHORT]) {
    enum { MILLION = 1000000 };
    int len = snprintf(ret, STR_SHORT, "%" PRId64, unit == MONEY ? n / MILLION : n);
    if (unit != MONEY || n % MILLION == 0) return;
    len += snprintf(ret + len, STR_SHORT - (size_t)len, ".%06d", (int)(n % MILLION));
    while (ret[len - 1] == '0') ret[--len] = '\0';
}

err_code account_claim(struct account_book *a, int64_t now, const struct ledger_key *key, const struct account_amount *most,
                       struct account_claim *ret, int64_t *ret_retry_s, struct err *e) {
    struct account *one = open_account(a, now, key->id);
    for (size_t q = 0; q < LEDGER_QUOTAS; q++) {
        enum unit unit = quotas[q].unit;
        if (unit == MONEY && most->money == 0) continue; /* own machines cost nothing, and go on when the money is spent */
        int64_t used = used_in(one, now, quotas[q].window, unit);
        if (key->quota[q] == 0 || used + one->claimed[unit] < key->quota[q]) continue;
        /* Requests that run may take less than they have claimed, so there may be room soon. */
        *ret_retry_s = used < key->quota[q] ? 1 : seconds_left(one, now, quotas[q].window, unit);
        char most_of[STR_SHORT], now_used[STR_SHORT], claimed[STR_SHORT];
        amount(unit, key->quota[q], most_of);
        amount(unit, used, now_used);
        amount(unit, one->claimed[unit], claimed);
        return err_set(e, ERR_QUOTA, "the key \"%s\" may use %s %s; %s are used, and %s more are claimed by requests that run", key->name,
                       most_of, quotas[q].words, now_used, claimed);
    }
    memcpy(ret->key, key->id, sizeof(ret->key));
    ret->amount = *most;
    for (enum unit u = 0; u < UNITS; u++) one->claimed[u] += of_unit(most, u);
    return ERR_OK;
}

void account_settle(struct account_book *a, int64_t now, struct account_claim *claim, const struct account_amount *took) {
    struct account *one = claim->key[0] != '\0' ? find(a, claim->key) : NULL;
    if (one != NULL) {
        turn_pages(one, now);
        for (enum unit u = 0; u < UNITS; u++) one->claimed[u] -= of_unit(&claim->amount, u);
        add(one, now, took);
    }
    *claim = (struct account_claim){0};
}

void account_restore(struct account_book *a, int64_t now, const char *key, const struct account_amount *day,
                     const struct account_amount *month) {
    struct account *one = open_account(a, now, key);
    for (enum unit u = 0; u < UNITS; u++) {
        one->used_day[u] += of_unit(day, u);
        one->used_month[u] += of_unit(month, u);
    }
}

void account_forget(struct account_book *a, const char *key) {
    struct account *one = find(a, key);
    if (one == NULL) return;
    list_remove(&one->link);
    free(one);
}

int64_t account_used(struct account_book *a, int64_t now, const char *key, enum ledger_quota quota) {
    struct account *one = find(a, key);
    if (one == NULL) return 0;
    turn_pages(one, now);
    return used_in(one, now, quotas[quota].window, quotas[quota].unit);
}
