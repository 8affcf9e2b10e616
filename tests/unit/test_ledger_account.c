/* SPDX-License-Identifier: MIT
 * Quotas on a virtual clock: windows, claims of requests that run at once, what was used before the start; and the counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/calendar.h"
#include "ledger/account.h"
#include "ledger/usage.h"

enum { NOON = 20000 * 86400 + 43200 };

static struct ledger_key key_with(enum ledger_quota quota, int64_t limit) {
    struct ledger_key k = {.id = "0123456789abcdef", .name = "office"};
    k.quota[quota] = limit;
    return k;
}

static err_code take(struct account_book *a, int64_t now, const struct ledger_key *k, int64_t tokens, int64_t money, int64_t *ret_retry) {
    struct account_claim claim = {0};
    struct account_amount amount = {.requests = 1, .tokens = tokens, .money = money};
    err_code code = account_claim(a, now, k, &amount, &claim, ret_retry, NULL);
    if (code == ERR_OK) account_settle(a, now, &claim, &amount);
    return code;
}

static void a_minute_slides(void **state) {
    (void)state;
    struct account_book *a = account_book_open();
    struct ledger_key k = key_with(LEDGER_REQUESTS_MINUTE, 3);
    int64_t retry = 0;
    assert_int_equal(take(a, NOON, &k, 0, 0, &retry), ERR_OK);
    assert_int_equal(take(a, NOON + 30, &k, 0, 0, &retry), ERR_OK);
    assert_int_equal(take(a, NOON + 30, &k, 0, 0, &retry), ERR_OK);
    assert_int_equal(take(a, NOON + 40, &k, 0, 0, &retry), ERR_QUOTA);
    assert_int_equal(retry, 20); /* the first one leaves the minute */
    assert_int_equal(take(a, NOON + 59, &k, 0, 0, &retry), ERR_QUOTA);
    assert_int_equal(take(a, NOON + 60, &k, 0, 0, &retry), ERR_OK);
    assert_int_equal(take(a, NOON + 60, &k, 0, 0, &retry), ERR_QUOTA);
    assert_int_equal(take(a, NOON + 1000, &k, 0, 0, &retry), ERR_OK);
    assert_int_equal(account_used(a, NOON + 1000, k.id, LEDGER_REQUESTS_MINUTE), 1);
    account_book_close(a);
}

static void days_and_months_end(void **state) {
    (void)state;
    struct account_book *a = account_book_open();
    struct ledger_key k = key_with(LEDGER_TOKENS_DAY, 100);
    int64_t retry = 0;
    assert_int_equal(take(a, NOON, &k, 99, 0, &retry), ERR_OK);
    assert_int_equal(take(a, NOON, &k, 50, 0, &retry), ERR_OK); /* something was left: this one passes the quota */
    assert_int_equal(take(a, NOON, &k, 1, 0, &retry), ERR_QUOTA);
    assert_int_equal(retry, 43200);
    assert_int_equal(take(a, NOON + 43200, &k, 1, 0, &retry), ERR_OK);
    k = key_with(LEDGER_MONEY_MONTH, 5000000);
    assert_int_equal(take(a, NOON + 43200, &k, 0, 5000000, &retry), ERR_OK);
    assert_int_equal(take(a, NOON + 86400, &k, 0, 1, &retry), ERR_QUOTA);
    assert_int_equal(NOON + 86400 + retry, calendar_next_month(NOON));
    assert_int_equal(take(a, NOON + 86400, &k, 5, 0, &retry), ERR_OK); /* it costs nothing */
    assert_int_equal(take(a, calendar_next_month(NOON), &k, 0, 1, &retry), ERR_OK);
    account_book_close(a);
}

/* xorshift64 (G. Marsaglia, Xorshift RNGs, 2003) */
static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* However many requests run at once, the quota is passed by one of them at most. */
/* Money in whole units, as `caravan keys` takes it. */
static void refusals_say_the_amounts(void **state) {
    (void)state;
    struct account_book *a = account_book_open();
    struct ledger_key k = key_with(LEDGER_MONEY_MONTH, 12000300);
    struct account_claim claim = {0};
    const struct account_amount cheap = {.requests = 1, .money = 38}, dear = {.requests = 1, .money = 1000000000000};
    int64_t retry = 0;
    struct err e;
    assert_int_equal(take(a, NOON, &k, 0, cheap.money, &retry), ERR_OK);
    assert_int_equal(account_claim(a, NOON, &k, &dear, &claim, &retry, &e), ERR_OK);
    struct account_claim second = {0};
    assert_int_equal(account_claim(a, NOON, &k, &cheap, &second, &retry, &e), ERR_QUOTA);
    assert_string_equal(e.text,
                        "the key \"office\" may use 12.0003 of money a month; 0.000038 are used, and 1000000 more are claimed by requests "
                        "that run");
    account_settle(a, NOON, &claim, &dear);
    account_book_close(a);
}

static void requests_that_run_are_counted(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t state_of = seed;
        struct account_book *a = account_book_open();
        struct ledger_key k = key_with(LEDGER_TOKENS_DAY, 1000);
        struct account_claim claims[32] = {{.key = ""}};
        int64_t retry, largest = 0;
        for (size_t step = 0; step < 400; step++) {
            size_t i = random_next(&state_of) % 32;
            struct account_amount most = {.requests = 1, .tokens = 1 + (int64_t)(random_next(&state_of) % 300)};
            if (claims[i].key[0] == '\0') {
                if (account_claim(a, NOON, &k, &most, &claims[i], &retry, NULL) == ERR_OK && most.tokens > largest) largest = most.tokens;
                continue;
            }
            struct account_amount took = {.requests = 1,
                                          .tokens = (int64_t)(random_next(&state_of) % (uint64_t)(claims[i].amount.tokens + 1))};
            account_settle(a, NOON, &claims[i], &took);
            assert_true(account_used(a, NOON, k.id, LEDGER_TOKENS_DAY) < 1000 + largest);
        }
        account_book_close(a);
    }
}

static void claims_that_were_too_large_leave_room(void **state) {
    (void)state;
    struct account_book *a = account_book_open();
    struct ledger_key k = key_with(LEDGER_TOKENS_DAY, 100);
    struct account_amount most = {.requests = 1, .tokens = 100}, took = {.requests = 1, .tokens = 10};
    struct account_claim first = {0}, second = {0};
    int64_t retry = 0;
    assert_int_equal(account_claim(a, NOON, &k, &most, &first, &retry, NULL), ERR_OK);
    assert_int_equal(account_claim(a, NOON, &k, &most, &second, &retry, NULL), ERR_QUOTA);
    assert_int_equal(retry, 1);
    account_settle(a, NOON, &first, &took);
    assert_int_equal(account_claim(a, NOON, &k, &most, &second, &retry, NULL), ERR_OK);
    account_forget(a, k.id);
    account_settle(a, NOON, &second, &took); /* the key was removed meanwhile */
    assert_int_equal(account_used(a, NOON, k.id, LEDGER_TOKENS_DAY), 0);
    account_book_close(a);
}

static void what_was_used_before_counts(void **state) {
    (void)state;
    struct account_book *a = account_book_open();
    struct ledger_key k = key_with(LEDGER_REQUESTS_DAY, 10);
    struct account_amount day = {.requests = 10}, month = {.requests = 20, .money = 7};
    struct err e = {0};
    struct account_claim claim = {0};
    int64_t retry;
    account_restore(a, NOON, k.id, &day, &month);
    assert_int_equal(account_claim(a, NOON, &k, &(struct account_amount){.requests = 1}, &claim, &retry, &e), ERR_QUOTA);
    assert_non_null(strstr(e.text, "\"office\""));
    assert_non_null(strstr(e.text, "10 requests a day"));
    assert_int_equal(account_used(a, NOON, k.id, LEDGER_MONEY_MONTH), 7);
    assert_int_equal(take(a, NOON + 86400, &k, 0, 0, &retry), ERR_OK);
    account_book_close(a);
}

static void counts_are_added_up(void **state) {
    (void)state;
    struct usage u = {0};
    struct usage_row row, one = {.day = 5, .key = "k", .model = "m", .requests = 1, .completion_tokens = 7, .money = 3}, other = one;
    other.day = 6;
    for (int i = 0; i < 3; i++) assert_int_equal(usage_add(&u, &one, NULL), ERR_OK);
    assert_int_equal(usage_add(&u, &other, NULL), ERR_OK);
    assert_int_equal(u.n, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(usage_take(&u, &row));
        assert_int_equal(row.requests, row.day == 5 ? 3 : 1);
        assert_int_equal(row.completion_tokens, row.day == 5 ? 21 : 7);
        assert_int_equal(row.money, row.day == 5 ? 9 : 3);
    }
    assert_false(usage_take(&u, &row));
    for (int i = 0; i < USAGE_MAX_ROWS; i++) {
        one.day = i;
        assert_int_equal(usage_add(&u, &one, NULL), ERR_OK);
    }
    one.day = USAGE_MAX_ROWS;
    assert_int_equal(usage_add(&u, &one, NULL), ERR_LIMIT);
    usage_done(&u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_minute_slides),
        cmocka_unit_test(days_and_months_end),
        cmocka_unit_test(requests_that_run_are_counted),
        cmocka_unit_test(refusals_say_the_amounts),
        cmocka_unit_test(claims_that_were_too_large_leave_room),
        cmocka_unit_test(what_was_used_before_counts),
        cmocka_unit_test(counts_are_added_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
