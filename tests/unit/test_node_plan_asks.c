/* SPDX-License-Identifier: MIT
 * Plans of models whose files other nodes have: who is asked, and that each question gets one answer, also when the node that was asked is
 * lost or answers nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/plan_asks.h"
#include "support/node_fixture.h"

static const char *program;

struct place {
    struct bench *bench;
    struct plan_asks *asks;
    unsigned n_done; /* answers that have come */
    err_code code;   /* of the last one */
    char text[256];
};

static void on_done(void *user, const char *text, const struct err *e) {
    struct place *p = user;
    p->n_done++;
    p->code = e->code;
    snprintf(p->text, sizeof(p->text), "%.255s", text ? text : e->text);
}

static void place_open(struct place *p, bool plans) {
    *p = (struct place){.bench = bench_make(program)};
    p->asks = plan_asks_create(&(struct plan_asks_parts){.control = p->bench->own.control, .records = &p->bench->records});
    bench_other_serves(p->bench, "i", bench_other(p->bench), true);
    struct record *r = records_take(&p->bench->records, bench_other(p->bench));
    r->plans = plans;
    r->cards = mem_calloc(1, sizeof(*r->cards));
    r->n_cards = 1;
    snprintf(r->cards[0].name, sizeof(r->cards[0].name), "far");
    records_put(&p->bench->records, r, true, 0);
}

static void place_close(struct place *p) {
    plan_asks_free(p->asks);
    bench_free(p->bench);
}

/* Sends a question and returns its id. */
static uint64_t question(struct place *p) {
    struct ask_plan heard;
    struct err e;
    assert_int_equal(plan_asks_send(p->asks, "far", "{\"model\":\"far\"}", on_done, p, &e), ERR_OK);
    const struct bench_frame *f = bench_hear(p->bench, FRAME_PLAN);
    assert_int_equal(ask_plan_decode(f->payload, f->len, &heard, &e), ERR_OK);
    assert_string_equal(heard.text, "{\"model\":\"far\"}");
    uint64_t id = heard.id;
    ask_plan_done(&heard);
    return id;
}

static void answer(struct place *p, uint64_t from, uint64_t id, const char *text, err_code code) {
    struct ask_planned planned = {.id = id, .text = (char *)text};
    struct err e;
    struct buf b;
    if (code != ERR_OK) err_set(&planned.err, code, "it is not here any more");
    buf_init(&b, 1 << 20);
    ask_planned_encode(&planned, &b);
    assert_int_equal(plan_asks_on_planned(p->asks, from, b.data, b.len, &e), ERR_OK);
    buf_done(&b);
}

static void a_node_with_the_file_is_asked(void **state) {
    (void)state;
    for (int plans = 0; plans < 2; plans++) { /* an older build doesn't know the question */
        struct place p;
        place_open(&p, plans);
        assert_true(plan_asks_any(p.asks, "far") == (plans != 0));
        assert_false(plan_asks_any(p.asks, "farther"));
        place_close(&p);
    }
}

static void an_answer_counts_once(void **state) {
    (void)state;
    struct place p;
    place_open(&p, true);
    uint64_t id = question(&p), other = bench_other(p.bench);
    answer(&p, other + 1, id, "{}", ERR_OK); /* another node knows nothing of it */
    answer(&p, other, id + 1, "{}", ERR_OK); /* nor is this the question */
    assert_int_equal(p.n_done, 0);
    answer(&p, other, id, "{\"fits\":true}", ERR_OK);
    answer(&p, other, id, "{}", ERR_OK);
    assert_int_equal(p.n_done, 1);
    assert_int_equal(p.code, ERR_OK);
    assert_string_equal(p.text, "{\"fits\":true}");
    answer(&p, other, question(&p), NULL, ERR_NOT_FOUND);
    assert_int_equal(p.code, ERR_NOT_FOUND);
    answer(&p, other, question(&p), NULL, ERR_OK);
    assert_int_equal(p.n_done, 3);
    assert_int_equal(p.code, ERR_PROTOCOL);
    place_close(&p);
}

static void a_question_to_a_lost_node_ends(void **state) {
    (void)state;
    struct place p;
    place_open(&p, true);
    struct record stranger = {.id = 77}, lost = {.id = bench_other(p.bench), .name = "far-node"};
    question(&p);
    plan_asks_lost(p.asks, &stranger);
    assert_int_equal(p.n_done, 0);
    question(&p);
    plan_asks_lost(p.asks, &lost);
    assert_int_equal(p.n_done, 2);
    assert_int_equal(p.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(p.text, "far-node"));
    question(&p);
    place_close(&p); /* the node ends */
    assert_int_equal(p.n_done, 3);
}

/* Of the nodes that have the file, one that can be reached is asked. When none is left, the question ends. */
static void a_node_that_can_be_reached_is_asked(void **state) {
    (void)state;
    struct place p;
    place_open(&p, true);
    struct record *other = records_take(&p.bench->records, bench_other(p.bench)), *far = MEM_NEW(struct record);
    far->id = 0x1234;
    far->plans = true;
    far->cards = mem_calloc(1, sizeof(*far->cards));
    far->n_cards = 1;
    snprintf(far->cards[0].name, sizeof(far->cards[0].name), "far");
    records_put(&p.bench->records, far, true, 0); /* it seems to be linked, and is not */
    records_put(&p.bench->records, other, true, 0);
    uint64_t id = question(&p);
    struct record lost = {.id = bench_other(p.bench), .name = "other"};
    plan_asks_lost(p.asks, &lost);
    assert_int_equal(p.n_done, 1);
    assert_int_equal(p.code, ERR_UNAVAILABLE);
    answer(&p, bench_other(p.bench), id, "{}", ERR_OK);
    assert_int_equal(p.n_done, 1);
    place_close(&p);
}

/* A client that gives up leaves its place to others. */
static void a_forgotten_question_is_over(void **state) {
    (void)state;
    struct place p;
    place_open(&p, true);
    uint64_t id = question(&p);
    assert_false(plan_asks_forget(p.asks, &id));
    assert_true(plan_asks_forget(p.asks, &p));
    assert_false(plan_asks_forget(p.asks, &p));
    answer(&p, bench_other(p.bench), id, "{}", ERR_OK);
    place_close(&p);
    assert_int_equal(p.n_done, 0);
}

static void questions_have_limits(void **state) {
    (void)state;
    struct place p;
    struct err e;
    place_open(&p, true);
    char *text = mem_calloc(1, ASK_MAX_PLAN + 2);
    memset(text, 'x', ASK_MAX_PLAN + 1);
    assert_int_equal(plan_asks_send(p.asks, "far", text, on_done, &p, &e), ERR_INVALID);
    assert_int_equal(plan_asks_send(p.asks, "farther", "{}", on_done, &p, &e), ERR_UNAVAILABLE); /* nobody has it */
    unsigned n = 0;
    while (n < 1000 && plan_asks_send(p.asks, "far", "{}", on_done, &p, &e) == ERR_OK) n++;
    assert_int_equal(n, 32);
    assert_int_equal(e.code, ERR_BUSY);
    free(text);
    place_close(&p);
    assert_int_equal(p.n_done, 32);
}

int main(int argc, char **argv) {
    if (argc > 1) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_with_the_file_is_asked),  cmocka_unit_test(an_answer_counts_once),
        cmocka_unit_test(a_question_to_a_lost_node_ends), cmocka_unit_test(a_node_that_can_be_reached_is_asked),
        cmocka_unit_test(a_forgotten_question_is_over),   cmocka_unit_test(questions_have_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
