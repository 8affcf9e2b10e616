/* SPDX-License-Identifier: MIT
 * Which copy of a model answers the next request, how much work each copy has as its node tells it, and when a model leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "calls/balance.h"
#include "members/ask.h"
#include "support/node_fixture.h"

static const char *program;

/* Two copies of "m" are on the other node; each answers one request, and four may wait. */
static struct record *two_copies(struct bench *b) {
    bench_other_serves(b, "one", bench_other(b), true);
    struct record *r = b->records.linked[0];
    r->models[1] = r->models[0];
    snprintf(r->models[1].instance, sizeof(r->models[1].instance), "two");
    r->n_models = 2;
    return r;
}

static clock_us predicted; /* of the last request that was sent */

/* The copy that the next request goes to; "": none, and *e says why. The request stays there. */
static const char *next(struct bench *b, struct err *e) {
    const struct record_model *m = NULL;
    if (balance_pick(b->balance, "m", NULL, &m, e) != ERR_OK) return "";
    predicted = balance_begin(b->balance, m->instance, NULL);
    return m->instance;
}

/* The other node tells how many requests a copy has, and for how long it has had none. */
static void tells(struct bench *b, const char *instance, uint32_t calls, uint64_t idle_ms) {
    struct ask_work w = {.n_instances = 1, .instances = {{.calls = calls, .idle_ms = idle_ms}}};
    struct buf out;
    struct err e = {0};
    snprintf(w.instances[0].instance, sizeof(w.instances[0].instance), "%s", instance);
    buf_init(&out, 1 << 16);
    ask_work_encode(&w, &out);
    if (balance_on_busy(b->balance, bench_other(b), out.data, out.len, &e) != ERR_OK) fail_msg("%s", e.text);
    buf_done(&out);
}

/* ---- tests ---- */

static void requests_are_shared(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct err e = {0};
    two_copies(b);
    char first[64];
    snprintf(first, sizeof(first), "%s", next(b, &e));
    assert_string_not_equal(next(b, &e), first);
    assert_int_equal(balance_work(b->balance, "one").calls, 1);
    assert_int_equal(balance_work(b->balance, "two").calls, 1);
    balance_end(b->balance, "two", predicted, ERR_OK);
    assert_int_equal(balance_work(b->balance, "two").calls, 0);
    assert_string_equal(next(b, &e), "two");
    for (int i = 0; i < 8; i++) assert_true(next(b, &e)[0]);
    assert_string_equal(next(b, &e), ""); /* each has its five */
    assert_int_equal(e.code, ERR_BUSY);
    bench_free(b);
}

static void what_a_head_tells_counts(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct err e = {0};
    two_copies(b);
    tells(b, "one", 3, 0);
    tells(b, "nobody's", 3, 0);
    assert_int_equal(balance_work(b->balance, "one").calls, 3);
    assert_int_equal(balance_work(b->balance, "nobody's").calls, 0);
    assert_string_equal(next(b, &e), "two");
    assert_string_equal(next(b, &e), "two");
    tells(b, "one", 5, 0);
    tells(b, "two", 5, 0);
    assert_string_equal(next(b, &e), "");
    assert_int_equal(e.code, ERR_BUSY);
    assert_int_not_equal(balance_on_busy(b->balance, bench_other(b), (const uint8_t *)"x", 1, &e), ERR_OK);
    bench_free(b);
}

static void a_copy_that_failed_is_avoided(void **state) {
    (void)state;
    static const err_code its_own[] = {ERR_ENGINE,   ERR_NETWORK,     ERR_CLOSED, ERR_TIMEOUT,
                                       ERR_INTERNAL, ERR_UNAVAILABLE, ERR_CRASH,  ERR_PROTOCOL};
    for (size_t i = 0; i < ARRAY_LEN(its_own); i++) {
        struct bench *b = bench_make(program);
        struct err e = {0};
        two_copies(b);
        for (int k = 0; k < 7; k++) { /* so often that it is avoided for half a minute */
            predicted = balance_begin(b->balance, "one", NULL);
            balance_end(b->balance, "one", predicted, its_own[i]);
        }
        balance_begin(b->balance, "two", NULL); /* so "one" has less to do */
        assert_string_equal(next(b, &e), "two");
        bench_free(b);
    }
    struct bench *b = bench_make(program);
    struct err e = {0};
    two_copies(b);
    for (int k = 0; k < 7; k++) {
        predicted = balance_begin(b->balance, "one", NULL);
        balance_end(b->balance, "one", predicted, ERR_INVALID); /* the requests were wrong, not the copy */
    }
    balance_begin(b->balance, "two", NULL);
    assert_string_equal(next(b, &e), "one");
    bench_free(b);
}

static void copies_that_are_gone_are_forgotten(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    two_copies(b);
    tells(b, "one", 3, 0);
    tells(b, "two", 3, 0);
    balance_update(b->balance);
    assert_int_equal(balance_work(b->balance, "one").calls, 3);
    b->records.linked[0]->n_models = 1;
    balance_update(b->balance);
    assert_int_equal(balance_work(b->balance, "one").calls, 3);
    assert_int_equal(balance_work(b->balance, "two").calls, 0);
    bench_free(b);
}

static bool soon(int64_t when, int64_t seconds) {
    int64_t left = when - clock_wall_s();
    return left > seconds - 60 && left <= seconds;
}

static void a_model_leaves_when_its_last_copy_does(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct record *r = two_copies(b);
    assert_true(balance_expires(b->balance, "another") == INT64_MAX);
    assert_true(balance_expires(b->balance, "m") == INT64_MAX); /* nobody said how long it stays */
    for (int i = 0; i < 2; i++) wish_set(&r->models[i].wish, WISH_KEEP_S, 100 + 200 * (uint32_t)i);
    tells(b, "one", 0, 1000);
    tells(b, "two", 0, 1000);
    assert_true(soon(balance_expires(b->balance, "m"), 300));
    r->models[1].ready = false;
    assert_true(soon(balance_expires(b->balance, "m"), 100));
    tells(b, "one", 1, 0); /* it has work, so its time has not begun */
    assert_true(soon(balance_expires(b->balance, "m"), 100));
    wish_set(&r->models[0].wish, WISH_KEPT, true); /* it was loaded by hand */
    assert_true(balance_expires(b->balance, "m") == INT64_MAX);
    bench_free(b);
}

/* What waits here and elsewhere adds up, and the oldest request grows older; a node that is no longer linked doesn't count. */
static void what_waits_in_all_gateways_counts(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    static const struct ask_work w = {
        .n_queues = 2, .queues = {{.model = "m", .calls = 2, .work_ms = 700, .oldest_ms = 5000}, {.model = "other", .calls = 9}}};
    struct buf out;
    struct err e = {0};
    two_copies(b);
    buf_init(&out, 1 << 16);
    ask_work_encode(&w, &out);
    b->waiting = (struct ask_queue){.model = "m", .calls = 3, .work_ms = 300, .oldest_ms = 1000};
    assert_int_equal(balance_on_busy(b->balance, bench_other(b), out.data, out.len, &e), ERR_OK);
    balance_tell(b->balance);
    struct coordinator_queue q = balance_queue(b->balance, "m");
    assert_true(q.calls == 5 && q.work == 1000000 && q.oldest >= 5000000);
    clock_us before = clock_now();
    while (clock_now() < before + 2000) bench_turn(b);
    assert_true(balance_queue(b->balance, "m").oldest >= q.oldest + 2000);
    assert_int_equal(balance_queue(b->balance, "other").calls, 9);
    assert_int_equal(balance_queue(b->balance, "none").calls, 0);
    b->waiting.calls = 0;
    balance_tell(b->balance);
    assert_int_equal(balance_queue(b->balance, "m").calls, 2);
    b->records.n_linked = 0;
    balance_update(b->balance);
    assert_int_equal(balance_queue(b->balance, "m").calls, 0);
    b->records.n_linked = 1;
    buf_done(&out);
    bench_free(b);
}

/* A copy that is leaving gets no further requests. */
static void a_copy_that_leaves_is_not_asked(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct err e = {0};
    struct record *r = two_copies(b);
    r->models[0].leaves = true;
    for (int i = 0; i < 5; i++) assert_string_equal(next(b, &e), "two");
    assert_string_equal(next(b, &e), "");
    r->models[1].leaves = true;
    assert_string_equal(next(b, &e), "");
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    bench_free(b);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_shared),
        cmocka_unit_test(what_a_head_tells_counts),
        cmocka_unit_test(a_copy_that_failed_is_avoided),
        cmocka_unit_test(copies_that_are_gone_are_forgotten),
        cmocka_unit_test(what_waits_in_all_gateways_counts),
        cmocka_unit_test(a_copy_that_leaves_is_not_asked),
        cmocka_unit_test(a_model_leaves_when_its_last_copy_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
