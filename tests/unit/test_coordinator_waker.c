/* SPDX-License-Identifier: MIT
 * When the coordinator has machines woken that are asleep: only where that gives a model room, only those that it needs, again if a packet
 * was lost, and not for ever (test_sim_wake has whole clusters). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "coordinator/coordinator.h"
#include "support/toy_model.h"

#define S 1000000ull

/* One node that is awake; the model takes 80 bytes. */
struct alone {
    struct coordinator *c;
    struct coordinator_model model;
    struct record *record;
    const struct record *seen[1];
    struct coordinator_view v;
    clock_us now;
    uint64_t woken; /* the node that the last event had woken; 0: none */
    uint32_t loads;
};

static struct coordinator_work no_work(void *user, const char *instance) {
    (void)user, (void)instance;
    return (struct coordinator_work){0};
}
static struct coordinator_queue no_queue(void *user, const char *model) {
    (void)user, (void)model;
    return (struct coordinator_queue){0};
}

static void update(struct alone *a, uint64_t us) {
    struct coordinator_action action;
    a->now += us;
    a->woken = a->loads = 0;
    coordinator_update(a->c, a->now, &a->v);
    while (coordinator_next_action(a->c, &action)) {
        if (action.kind == COORDINATOR_WAKE) a->woken = action.node;
        a->loads += action.kind == COORDINATOR_LOAD;
    }
}

static bool by_request; /* the model is loaded for requests alone, and none waits for it */

static void load(struct alone *a, uint64_t memory, const struct coordinator_sleeper *sleepers, size_t n) {
    struct err e = {0};
    log_set_level(LOG_ERROR);
    *a = (struct alone){.c = coordinator_create(1, 0xabc), .record = MEM_NEW(struct record), .now = 1000 * S};
    a->record->id = 1;
    a->record->memory = memory;
    a->seen[0] = a->record;
    a->model = (struct coordinator_model){.plan = &toy, .wish = {.placement = PLAN_MEMORY}, .arch = "toy", .path = "/toy"};
    snprintf(a->model.id, sizeof(a->model.id), "%012u", 0);
    snprintf(a->model.record.name, sizeof(a->model.record.name), "m");
    wish_set(&a->model.record.wish, WISH_REPLICAS, 1);
    wish_set(&a->model.record.wish, WISH_KEPT, !by_request);
    a->v = (struct coordinator_view){.records = a->seen, .n_linked = 1, .n_records = 1, .wall = 5000, .work = no_work, .queue = no_queue};
    a->v.sleepers = sleepers;
    a->v.n_sleepers = n;
    assert_int_equal(coordinator_open(a->c, a->now, &a->v, &a->model, &e), ERR_OK);
    update(a, 0);
}

static void done(struct alone *a) {
    coordinator_free(a->c);
    free(a->record);
}

static void the_machine_that_is_needed_is_woken(void **state) {
    (void)state;
    struct alone a;
    const struct coordinator_sleeper two[] = {{.id = 2, .name = "n2", .memory = 10}, {.id = 3, .name = "n3", .memory = 50}};
    load(&a, 60, two, 2);
    assert_int_equal(a.woken, 3); /* alone it is enough */
    assert_false(coordinator_get(a.c, 0)->failed);
    assert_string_equal(coordinator_get(a.c, 0)->message, "waits for machines that are being woken: n3");
    update(&a, 5 * S);
    assert_int_equal(a.woken, 0);
    update(&a, 10 * S);
    assert_int_equal(a.woken, 3); /* the packet may have been lost */
    done(&a);
}

static void no_machine_is_waited_for_without_requests(void **state) {
    (void)state;
    struct alone a;
    const struct coordinator_sleeper one = {.id = 3, .name = "n3", .memory = 50};
    by_request = true;
    load(&a, 60, &one, 1);
    assert_int_equal(a.woken, 3);
    update(&a, 2 * S);
    assert_int_equal(coordinator_count(a.c), 1); /* a request may be heard of later */
    update(&a, 2 * S);
    assert_int_equal(coordinator_count(a.c), 0);
    by_request = false;
    done(&a);
}

static void a_machine_that_does_not_come_is_given_up(void **state) {
    (void)state;
    struct alone a;
    const struct coordinator_sleeper one = {.id = 3, .name = "n3", .memory = 50};
    uint32_t rounds = 0;
    load(&a, 60, &one, 1);
    update(&a, 121 * S);
    assert_int_equal(a.woken, 0);
    assert_true(coordinator_get(a.c, 0)->failed); /* requests no longer wait */
    for (int i = 0; i < 10; i++) {
        update(&a, 600 * S);
        rounds += a.woken == 3;
    }
    assert_int_equal(rounds, 2); /* three in all */
    a.v.n_sleepers = 0; /* it has come, and goes to sleep again */
    update(&a, S);
    a.v.n_sleepers = 1;
    update(&a, S);
    assert_int_equal(a.woken, 3);
    done(&a);
}

static void nobody_is_woken_where_it_would_not_help(void **state) {
    (void)state;
    struct alone a;
    const struct coordinator_sleeper small = {.id = 2, .name = "n2", .memory = 10}, unknown = {.id = 2, .name = "n2"};
    load(&a, 60, &small, 1);
    assert_int_equal(a.woken, 0);
    assert_true(coordinator_get(a.c, 0)->failed);
    done(&a);
    load(&a, 60, &unknown, 1);
    assert_int_equal(a.woken, 0);
    done(&a);
    load(&a, 80, &small, 1); /* it fits without */
    assert_int_equal(a.woken, 0);
    assert_int_equal(a.loads, 1);
    done(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_machine_that_is_needed_is_woken),
        cmocka_unit_test(no_machine_is_waited_for_without_requests),
        cmocka_unit_test(a_machine_that_does_not_come_is_given_up),
        cmocka_unit_test(nobody_is_woken_where_it_would_not_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
