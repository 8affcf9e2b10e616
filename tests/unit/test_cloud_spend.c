/* SPDX-License-Identifier: MIT
 * Caps: thousands of random runs of concurrent requests in which the caps hold at every moment; days and months; what a restart knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cloud/spend.h"
#include "store/spend.h"

enum { DAY = 86400, MONDAY = 1767225600 /* 2026-01-01 00:00 UTC */ };

struct ledger {
    int64_t first, days[800]; /* amounts since the first day */
};

static void on_change(void *user, const char *upstream, int64_t day, int64_t more) {
    struct ledger *l = user;
    assert_string_equal(upstream, "up");
    assert_true(day >= l->first && day - l->first < 800);
    l->days[day - l->first] += more;
    assert_true(l->days[day - l->first] >= 0);
}

static struct upstream capped(uint64_t day, uint64_t month) {
    static char model[] = "m";
    static struct upstream_price price = {.model = model, .input = 1000, .output = 1000, .cached = 500}; /* a token: one billionth */
    return (struct upstream){.name = "up", .prices = &price, .n_prices = 1, .day = day, .month = month};
}

static struct spend *open_spend(struct ledger *l, int64_t now) {
    struct spend *s = spend_create(on_change, l);
    *l = (struct ledger){.first = MONDAY / DAY};
    assert_int_equal(spend_load(s, "[]", 2, now, NULL), ERR_OK);
    return s;
}

static void reserved_then_settled(void **state) {
    (void)state;
    struct ledger l;
    struct spend *s = open_spend(&l, MONDAY);
    struct upstream u = capped(100, UPSTREAM_NO_CAP);
    struct spend_hold a, b;
    struct err e = {0};
    assert_int_equal(spend_reserve(s, &u, "m", 30, 30, MONDAY, &a, &e), ERR_OK);
    assert_int_equal(l.days[0], 60);
    assert_int_equal(spend_reserve(s, &u, "m", 30, 11, MONDAY, &b, &e), ERR_BUSY);
    assert_non_null(strstr(e.text, "\"up\""));
    assert_int_equal(l.days[0], 60);
    assert_true(spend_settle(s, &a, 30, 10, 4) == 29);
    assert_int_equal(l.days[0], 29);
    assert_true(spend_settle(s, &a, 30, 10, 4) == 0); /* once */
    assert_int_equal(spend_reserve(s, &u, "m", 60, 11, MONDAY, &b, &e), ERR_OK); /* exactly the rest */
    assert_int_equal(spend_reserve(s, &u, "m", 1, 0, MONDAY, &a, &e), ERR_BUSY);
    assert_true(spend_settle(s, &b, 500, 0, 0) == 500); /* the upstream counts more than was asked for: it is counted */
    assert_int_equal(l.days[0], 529);
    spend_free(s);
}

static void caps_need_their_facts(void **state) {
    (void)state;
    struct ledger l;
    struct spend *s = spend_create(on_change, &l), *ready = open_spend(&l, MONDAY);
    struct upstream u = capped(100, UPSTREAM_NO_CAP), free_one = capped(UPSTREAM_NO_CAP, UPSTREAM_NO_CAP);
    struct spend_hold hold = {0};
    assert_int_equal(spend_reserve(s, &u, "m", 1, 1, MONDAY, &hold, NULL), ERR_UNAVAILABLE); /* not loaded */
    assert_int_equal(spend_reserve(s, &free_one, "other", 1, UINT64_MAX, MONDAY, &hold, NULL), ERR_OK);
    assert_true(spend_settle(s, &hold, 1, 0, 1) == 0);
    assert_int_equal(spend_reserve(ready, &u, "other", 1, 1, MONDAY, &hold, NULL), ERR_INVALID);
    assert_int_equal(spend_reserve(ready, &u, "m", 1, UINT64_MAX, MONDAY, &hold, NULL), ERR_INVALID);
    assert_int_equal(spend_load(s, "[[\"up\",\"x\",1]]", 14, MONDAY, NULL), ERR_FORMAT);
    assert_int_equal(spend_load(s, "{}", 2, MONDAY, NULL), ERR_FORMAT);
    u.day = 0;
    assert_int_equal(spend_reserve(ready, &u, "m", 1, 0, MONDAY, &hold, NULL), ERR_LIMIT);
    spend_free(s);
    spend_free(ready);
}

/* A refusal says when it makes sense to ask again: soon, if what runs is in the way, else when the day or month ends; or never. */
static void refusals_say_until_when(void **state) {
    (void)state;
    struct ledger l;
    int64_t noon = MONDAY + DAY / 2;
    struct spend *s = open_spend(&l, noon);
    struct upstream u = capped(100, 150);
    struct spend_hold a, b;
    struct err e = {0};
    assert_int_equal(spend_reserve(s, &u, "m", 101, 0, noon, &a, &e), ERR_LIMIT);
    assert_int_equal(e.retry_s, 0);
    assert_int_equal(spend_reserve(s, &u, "m", 90, 0, noon, &a, &e), ERR_OK);
    assert_int_equal(spend_reserve(s, &u, "m", 20, 0, noon, &b, &e), ERR_BUSY);
    assert_int_equal(e.retry_s, 0);
    spend_settle(s, &a, 90, 0, 0);
    assert_int_equal(spend_reserve(s, &u, "m", 20, 0, noon, &b, &e), ERR_BUSY);
    assert_int_equal(e.retry_s, DAY / 2);
    assert_int_equal(spend_reserve(s, &u, "m", 70, 0, noon, &b, &e), ERR_BUSY); /* it doesn't fit tomorrow either */
    assert_int_equal(e.retry_s, 31 * DAY - DAY / 2);
    spend_free(s);
}

/* A request counts on the day on which it began, wherever it ends. */
static void days_and_months_turn(void **state) {
    (void)state;
    struct ledger l;
    int64_t now = MONDAY + 31 * DAY - 1; /* the last second of January */
    struct spend *s = open_spend(&l, now);
    struct upstream u = capped(100, 150);
    struct spend_hold january, february;
    uint64_t day, month;
    assert_int_equal(spend_reserve(s, &u, "m", 100, 0, now, &january, NULL), ERR_OK);
    assert_int_equal(spend_reserve(s, &u, "m", 100, 0, now + 1, &february, NULL), ERR_OK);
    spend_totals(s, "up", now + 1, &day, &month);
    assert_true(day == 100 && month == 100);
    spend_settle(s, &january, 10, 0, 0);
    spend_settle(s, &february, 60, 0, 0);
    assert_int_equal(l.days[30], 10);
    assert_int_equal(l.days[31], 60);
    spend_totals(s, "up", now + 1, &day, &month);
    assert_true(day == 60 && month == 60);
    assert_int_equal(spend_reserve(s, &u, "m", 90, 0, now + 1 + DAY, &february, NULL), ERR_OK); /* the month's cap exactly */
    assert_int_equal(spend_reserve(s, &u, "m", 1, 0, now + 1 + DAY, &january, NULL), ERR_BUSY);
    assert_int_equal(spend_reserve(s, &u, "m", 1, 0, now, &january, NULL), ERR_BUSY); /* the clock was set back */
    spend_totals(s, "up", now, &day, &month);
    assert_true(day == 90 && month == 150);
    spend_totals(s, "up", now + 40 * (int64_t)DAY, &day, &month);
    assert_true(day == 0 && month == 0);
    spend_free(s);
}

static void first_days(void **state) {
    (void)state;
    assert_int_equal(spend_first_day(0), 0);
    assert_int_equal(spend_first_day(MONDAY), MONDAY / DAY);
    assert_int_equal(spend_first_day(MONDAY - 1), MONDAY / DAY - 31);
    assert_int_equal(spend_first_day(951782400) * DAY, 949363200);   /* 2000-02-29: 2000-02-01 */
    assert_int_equal(spend_first_day(1709251200) * DAY, 1709251200); /* 2024-03-01 */
}

/* A restart reads what the store has kept; reservations that nobody settled still count. */
static void restart_knows(void **state) {
    (void)state;
    struct ledger l;
    struct spend *s = open_spend(&l, MONDAY + DAY);
    struct upstream u = capped(100, 150);
    struct spend_hold hold;
    char rows[200];
    snprintf(rows, sizeof(rows), "[[\"up\",%d,70],[\"up\",%d,40],[\"other\",%d,9]]", MONDAY / DAY, MONDAY / DAY + 1, MONDAY / DAY);
    assert_int_equal(spend_load(s, rows, strlen(rows), MONDAY + DAY, NULL), ERR_OK);
    assert_int_equal(spend_reserve(s, &u, "m", 41, 0, MONDAY + DAY, &hold, NULL), ERR_BUSY); /* of the month */
    assert_int_equal(spend_reserve(s, &u, "m", 40, 0, MONDAY + DAY, &hold, NULL), ERR_OK);
    spend_free(s);
}

static void one_run(unsigned seed) {
    enum { AT_ONCE = 32 };
    struct ledger l;
    struct spend *s = open_spend(&l, MONDAY);
    uint64_t day_cap = 50 + (unsigned)rand_r(&seed) % 500, month_cap = 500 + (unsigned)rand_r(&seed) % 5000;
    struct upstream u = capped(day_cap, month_cap);
    struct spend_hold holds[AT_ONCE] = {0};
    uint64_t most[AT_ONCE] = {0};
    int64_t now = MONDAY;
    for (int turn = 0; turn < 400; turn++) {
        int i = rand_r(&seed) % AT_ONCE;
        now += rand_r(&seed) % (DAY / 4);
        if (holds[i].priced) {
            spend_settle(s, &holds[i], (unsigned)rand_r(&seed) % (most[i] + 1), 0, 0);
        } else {
            most[i] = (unsigned)rand_r(&seed) % 200;
            spend_reserve(s, &u, "m", most[i], 0, now, &holds[i], NULL);
        }
        uint64_t day, month;
        int64_t first = spend_first_day(now), today = now / DAY, sum = 0;
        for (int64_t d = first; d <= today; d++) sum += l.days[d - l.first];
        spend_totals(s, "up", now, &day, &month);
        if (day > day_cap || month > month_cap || (int64_t)day != l.days[today - l.first] || (int64_t)month != sum)
            fail_msg("turn %d: %llu of %llu, %llu of %llu, the ledger says %lld and %lld", turn, (unsigned long long)day,
                     (unsigned long long)day_cap, (unsigned long long)month, (unsigned long long)month_cap,
                     (long long)l.days[today - l.first], (long long)sum);
    }
    spend_free(s);
}

static void caps_hold_at_every_moment(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 2000; seed++) one_run(seed);
}

/* ---- the rows in the state file ---- */

static void on_wake(void *user) { (void)user; }

static void on_rows(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    (void)e;
    assert_int_equal(code, ERR_OK);
    buf_append(user, text, len);
}

static void rows_last(void **state) {
    (void)state;
    char folder[] = "/tmp/caravan-test-spend-XXXXXX", path[100];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/state.db", folder);
    for (int start = 0; start < 2; start++) {
        struct store *s = NULL;
        struct buf rows;
        buf_init(&rows, 1000);
        assert_int_equal(store_open(&(struct store_options){.path = path, .wake = on_wake}, &s, NULL), ERR_OK);
        store_spend_add(s, "up", 5, 100);
        store_spend_add(s, "up", 5, -30);
        store_spend_add(s, "up", 4, 7);
        store_spend_read(s, 5, on_rows, &rows);
        for (int i = 0; i < 3000 && rows.len == 0; i++) {
            store_deliver(s);
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        }
        assert_string_equal(buf_cstr(&rows), start == 0 ? "[[\"up\",5,70]]" : "[[\"up\",5,140]]");
        store_close(s);
        buf_done(&rows);
    }
    unlink(path); /* the last one to close it has removed SQLite's other files */
    assert_int_equal(rmdir(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserved_then_settled),
        cmocka_unit_test(caps_need_their_facts),
        cmocka_unit_test(refusals_say_until_when),
        cmocka_unit_test(days_and_months_turn),
        cmocka_unit_test(first_days),
        cmocka_unit_test(restart_knows),
        cmocka_unit_test(caps_hold_at_every_moment),
        cmocka_unit_test(rows_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
