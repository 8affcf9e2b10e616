/* SPDX-License-Identifier: MIT
 * Loading and unloading models by other nodes: questions are answered once, also when the node that was asked is lost, and other nodes'
 * questions are always answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "loading/models.h"
#include "support/node_fixture.h"

static const char *program;

struct place {
    struct bench *bench;
    struct names *names;
    struct models *models;
    unsigned n_done; /* answers that have come */
    err_code code;
    char text[256];
};

static void on_done(void *user, err_code code, const char *model, const struct err *e) {
    struct place *p = user;
    (void)model;
    p->n_done++;
    p->code = code;
    snprintf(p->text, sizeof(p->text), "%.255s", e->text);
}

static void place_open(struct place *p) {
    struct bench *b = bench_make(program);
    *p = (struct place){.bench = b};
    p->names = names_create(&(struct names_parts){
        .self = bench_self(b), .core = b->core, .records = &b->records, .catalog = b->catalog, .serve = b->serve, .news = &b->news});
    p->models = models_create(&(struct models_parts){.self = bench_self(b),
                                                     .node_name = "own",
                                                     .core = b->core,
                                                     .serve = b->serve,
                                                     .catalog = b->catalog,
                                                     .files = b->files,
                                                     .names = p->names,
                                                     .records = &b->records,
                                                     .control = b->own.control});
}

static void place_close(struct place *p) {
    models_free(p->models);
    names_free(p->names);
    bench_free(p->bench);
}

static struct ask hear_ask(struct place *p, const char *op, const char *model) {
    const struct bench_frame *f = bench_hear(p->bench, FRAME_ASK);
    struct ask a;
    assert_int_equal(ask_decode(f->payload, f->len, &a, NULL), ERR_OK);
    assert_string_equal(a.op, op);
    assert_string_equal(a.model, model);
    return a;
}

/* The other node answers to a question; from: the node that the answer claims to come from. */
static void answer(struct place *p, uint64_t from, uint64_t id, err_code code) {
    struct err why = {0}, e;
    struct buf b;
    if (code != ERR_OK) err_set(&why, code, "it has no room");
    buf_init(&b, 1 << 14);
    ask_answer_encode(id, &why, &b);
    assert_int_equal(models_on_answer(p->models, from, b.data, b.len, &e), ERR_OK);
    buf_done(&b);
}

/* The other node asks; returns the answer that it gets. */
static err_code asked(struct place *p, const char *op, const char *model) {
    struct ask a = {.id = 33};
    struct err e, why;
    struct buf b;
    uint64_t id = 0;
    snprintf(a.op, sizeof(a.op), "%s", op);
    snprintf(a.model, sizeof(a.model), "%s", model);
    buf_init(&b, 1 << 14);
    ask_encode(&a, &b);
    assert_int_equal(models_on_ask(p->models, bench_other(p->bench), b.data, b.len, &e), ERR_OK);
    buf_done(&b);
    const struct bench_frame *f = bench_hear(p->bench, FRAME_ANSWER);
    assert_int_equal(ask_answer_decode(f->payload, f->len, &id, &why, &e), ERR_OK);
    assert_int_equal(id, 33);
    return why.code;
}

/* ---- tests ---- */

static void the_coordinator_is_asked_and_its_answer_counts_once(void **state) {
    (void)state;
    struct place p;
    const struct load_wish wish = {0};
    place_open(&p);
    bench_other_serves(p.bench, "i", bench_other(p.bench), true);
    models_load(p.models, "m", &wish, on_done, &p);
    struct ask a = hear_ask(&p, "load", "m");
    answer(&p, bench_other(p.bench) + 1, a.id, ERR_OK); /* another node knows nothing of it */
    answer(&p, bench_other(p.bench), a.id + 1, ERR_OK); /* nor is this the question */
    assert_int_equal(p.n_done, 0);
    answer(&p, bench_other(p.bench), a.id, ERR_NO_ROOM);
    answer(&p, bench_other(p.bench), a.id, ERR_OK);
    assert_int_equal(p.n_done, 1);
    assert_int_equal(p.code, ERR_NO_ROOM);
    assert_string_equal(p.text, "it has no room");
    models_unload(p.models, "m", on_done, &p);
    a = hear_ask(&p, "unload", "m");
    assert_int_equal(p.n_done, 1); /* it is waited for */
    answer(&p, bench_other(p.bench), a.id, ERR_OK);
    assert_int_equal(p.n_done, 2);
    assert_int_equal(p.code, ERR_OK);
    place_close(&p);
}

static void a_question_to_a_lost_node_ends(void **state) {
    (void)state;
    struct place p;
    const struct load_wish wish = {0};
    place_open(&p);
    bench_other_serves(p.bench, "i", bench_other(p.bench), true);
    models_load(p.models, "m", &wish, on_done, &p);
    hear_ask(&p, "load", "m");
    models_asks_lost(p.models, records_linked(&p.bench->records, bench_other(p.bench)));
    assert_int_equal(p.n_done, 1);
    assert_int_equal(p.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(p.text, "other is gone"));
    struct err why;
    err_set(&why, ERR_CLOSED, "bye");
    control_shut(p.bench->own.control, bench_other(p.bench), &why);
    models_load(p.models, "m", &wish, on_done, &p); /* it cannot be asked any more */
    assert_int_equal(p.n_done, 2);
    assert_int_equal(p.code, ERR_UNAVAILABLE);
    place_close(&p);
}

static void every_question_is_answered(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    assert_int_equal(asked(&p, "load", "m"), ERR_NOT_FOUND);
    assert_int_equal(asked(&p, "unload", "m"), ERR_NOT_FOUND);
    assert_int_equal(asked(&p, "room", "m"), ERR_NOT_FOUND);
    assert_int_equal(asked(&p, "keep", "m"), ERR_OK);
    assert_int_equal(asked(&p, "dance", "m"), ERR_UNSUPPORTED);
    bench_other_serves(p.bench, "i", bench_other(p.bench), true);
    assert_int_equal(asked(&p, "load", "m"), ERR_UNAVAILABLE); /* that node has it itself */
    place_close(&p);
}

static void room_and_time_are_asked_of_the_coordinator(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    bench_other_serves(p.bench, "i", bench_other(p.bench), true);
    static const char *const words[] = {"room", "shrink", "drain"};
    for (int i = 0; i < 3; i++) {
        models_ask_room(p.models, bench_other(p.bench), "m", (enum coordinator_room)i);
        hear_ask(&p, words[i], "m");
        assert_int_equal(asked(&p, words[i], "none"), ERR_NOT_FOUND);
    }
    models_keep(p.models, "m", 60, true);
    struct ask a = hear_ask(&p, "keep", "m");
    assert_true(wish_says(&a.wish, WISH_KEEP_S) && a.wish.keep_s == 60);
    assert_true(wish_says(&a.wish, WISH_KEPT) && !a.wish.kept); /* its client may unload models */
    models_keep(p.models, "m", -1, false);
    a = hear_ask(&p, "keep", "m");
    assert_false(wish_says(&a.wish, WISH_KEEP_S) || wish_says(&a.wish, WISH_KEPT));
    models_remove_here(p.models, "m", on_done, &p); /* its file may be in use */
    assert_int_equal(p.n_done, 1);
    assert_int_equal(p.code, ERR_STALE);
    place_close(&p);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_coordinator_is_asked_and_its_answer_counts_once),
                                       cmocka_unit_test(a_question_to_a_lost_node_ends), cmocka_unit_test(every_question_is_answered),
                                       cmocka_unit_test(room_and_time_are_asked_of_the_coordinator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
