/* SPDX-License-Identifier: MIT
 * A node carries out the orders of coordinators: it starts stages where it has the room, tells their coordinator how they fare, and ends
 * them in one order: first the requests, then the stage, then the word to the coordinator. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/node_fixture.h"

static const char *program;

static struct stage_report *hear_report(struct bench *b) {
    const struct bench_frame *f = bench_hear(b, FRAME_STATE);
    struct stage_report *r = MEM_NEW(struct stage_report);
    assert_int_equal(stage_report_decode(f->payload, f->len, r, NULL), ERR_OK);
    return r;
}

static void hear_failure(struct bench *b, err_code code, const char *why) {
    struct stage_report *r = hear_report(b);
    assert_true(r->failed);
    assert_int_equal(r->err.code, code);
    if (!strstr(r->err.text, why)) fail_msg("\"%s\" does not say \"%s\"", r->err.text, why);
    free(r);
}

static void hear_ready(struct bench *b, const char *instance) {
    struct stage_report *r = hear_report(b);
    assert_false(r->failed);
    assert_string_equal(r->instance, instance);
    assert_int_equal(r->state.phase, STAGE_READY);
    assert_int_equal(r->state.info.bytes_weights, BENCH_STAGE_BYTES);
    free(r);
}

struct asker {
    unsigned n_events;
    struct err err;
};

static void on_event(void *user, const struct request_event *ev) {
    struct asker *a = user;
    a->n_events++;
    a->err = ev->err;
}

/* A request that the head here does not answer. */
static void ask_quietly(struct bench *b, struct asker *a) {
    struct backend port = calls_backend(b->calls);
    struct backend_call *call;
    struct request r;
    request_init(&r);
    r.model = mem_strdup("m");
    r.text = mem_strdup("quiet");
    r.text_len = 5;
    assert_int_equal(port.submit(port.self, &r, on_event, a, &call, NULL), ERR_OK);
    request_done(&r);
}

/* ---- tests ---- */

static void a_stage_is_started_and_its_coordinator_hears_of_it(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    uint64_t news = b->news.count;
    struct stage_child *c = bench_head(b, "i", 1);
    hear_ready(b, "i");
    assert_true(b->news.count > news); /* and all others */
    const struct stage_order *o = stage_child_order(c);
    assert_int_equal(o->source_node, bench_other(b)); /* with what this node knows better than the coordinator */
    assert_string_equal(o->source_host, "127.0.0.1");
    assert_int_equal(o->source_port, io_listener_port(b->other.listener));
    assert_int_equal(o->self_node, bench_self(b));
    assert_int_equal(o->key[0], 7);
    assert_memory_equal(o->pass.node, b->own.identity.public_key, sizeof(o->pass.node));
    assert_int_equal(hold_bytes(c), BENCH_STAGE_BYTES);
    hold_linked(b->hold, bench_other(b)); /* its link was lost and stands again: the coordinator gets the report again */
    hear_ready(b, "i");
    bench_free(b);
}

/* What libllama says of a loaded stage leaves out its process, which was planned, too. */
static void a_loaded_stage_takes_what_was_planned(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct stage_order o = bench_stage_order("i", 1, BENCH_STAGE_BYTES + 50);
    hold_start(b->hold, bench_other(b), &o);
    struct stage_child *c = stages_find(b->stages, "i", 1, 0);
    assert_non_null(c);
    alarm(60);
    while (stage_child_state(c)->phase != STAGE_READY) bench_turn(b);
    alarm(0);
    assert_int_equal(hold_bytes(c), BENCH_STAGE_BYTES + 50);
    bench_free(b);
}

static void a_stage_without_room_is_refused(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    bench_head(b, "i", 1);
    hear_ready(b, "i");
    struct stage_order big = bench_stage_order("big", 1, BENCH_MEMORY - BENCH_STAGE_BYTES + 1);
    hold_start(b->hold, bench_other(b), &big);
    hear_failure(b, ERR_NO_ROOM, "big needs");
    assert_int_equal(stages_count(b->stages), 1);
    struct stage_order fits = bench_stage_order("fits", 1, BENCH_MEMORY - BENCH_STAGE_BYTES);
    hold_start(b->hold, bench_other(b), &fits);
    hear_ready(b, "fits");
    bench_free(b);
}

static void an_order_that_comes_twice_is_carried_out_once(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    bench_head(b, "i", 2);
    struct stage_order again = bench_stage_order("i", 2, BENCH_STAGE_BYTES);
    hold_start(b->hold, bench_other(b), &again);
    assert_int_equal(stages_count(b->stages), 1);
    assert_int_equal(b->n_exits, 0);
    struct stage_order next = bench_stage_order("i", 3, BENCH_MEMORY); /* a new epoch takes the room of the earlier one */
    hold_start(b->hold, bench_other(b), &next);
    bench_until(b, &b->n_exits, 1);
    assert_null(stages_find(b->stages, "i", 2, 0));
    assert_non_null(stages_find(b->stages, "i", 3, 0));
    bench_free(b);
}

static void a_busy_instance_is_not_unloaded_for_others(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0};
    bench_head(b, "i", 1);
    hear_ready(b, "i");
    ask_quietly(b, &a);
    hold_unload(b->hold, bench_other(b), "i", 1, STAGE_UNLOAD_IF_IDLE);
    hear_failure(b, ERR_BUSY, "work");
    assert_int_equal(stages_count(b->stages), 1);
    assert_int_equal(a.n_events, 0);
    hold_unload(b->hold, bench_other(b), "i", 1, STAGE_UNLOAD_FOR_GOOD);
    assert_int_equal(a.n_events, 1); /* before the stage has ended */
    assert_int_equal(a.err.code, ERR_CANCELLED);
    assert_int_equal(b->n_exits, 0);
    hear_failure(b, ERR_CANCELLED, "ended");
    bench_until(b, &b->n_exits, 1);
    assert_int_equal(b->exit_why.code, ERR_OK);
    assert_int_equal(a.n_events, 1);
    bench_free(b);
}

static void an_idle_instance_is_unloaded_for_others(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    bench_head(b, "i", 1);
    hear_ready(b, "i");
    hold_unload(b->hold, bench_other(b), "i", 1, STAGE_UNLOAD_IF_IDLE);
    hear_failure(b, ERR_CANCELLED, "ended");
    bench_until(b, &b->n_exits, 1);
    assert_int_equal(stages_count(b->stages), 0);
    bench_free(b);
}

/* The ring is broken: its requests may go on elsewhere, so they hear that their place is lost, and the coordinator needs no word. */
static void a_lost_epoch_ends_without_a_word(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0};
    bench_head(b, "i", 1);
    hear_ready(b, "i");
    ask_quietly(b, &a);
    hold_unload(b->hold, bench_other(b), "i", 1, STAGE_UNLOAD_LOST);
    bench_until(b, &b->n_exits, 1);
    assert_int_equal(a.n_events, 1);
    assert_int_equal(a.err.code, ERR_UNAVAILABLE);
    hold_unload(b->hold, bench_other(b), "none", 1, STAGE_UNLOAD_IF_IDLE); /* the next word is the answer to this */
    struct stage_report *r = hear_report(b);
    assert_string_equal(r->instance, "none");
    free(r);
    bench_free(b);
}

static void a_crash_is_reported(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct stage_child *c = bench_head(b, "i", 1);
    hear_ready(b, "i");
    kill(stage_child_pid(c), SIGKILL);
    bench_until(b, &b->n_exits, 1);
    hear_failure(b, ERR_ENGINE, "signal 9");
    bench_free(b);
}

static void stages_of_a_lost_coordinator_end(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    bench_head(b, "theirs", 1);
    struct stage_order own = bench_stage_order("own", 1, BENCH_STAGE_BYTES);
    hold_start(b->hold, bench_self(b), &own);
    hold_node_lost(b->hold, bench_other(b));
    bench_until(b, &b->n_exits, 1);
    assert_null(stages_find(b->stages, "theirs", 1, 0));
    assert_non_null(stages_find(b->stages, "own", 1, 0));
    bench_free(b);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stage_is_started_and_its_coordinator_hears_of_it),
        cmocka_unit_test(a_loaded_stage_takes_what_was_planned),
        cmocka_unit_test(a_stage_without_room_is_refused),
        cmocka_unit_test(an_order_that_comes_twice_is_carried_out_once),
        cmocka_unit_test(a_busy_instance_is_not_unloaded_for_others),
        cmocka_unit_test(an_idle_instance_is_unloaded_for_others),
        cmocka_unit_test(a_lost_epoch_ends_without_a_word),
        cmocka_unit_test(a_crash_is_reported),
        cmocka_unit_test(stages_of_a_lost_coordinator_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
