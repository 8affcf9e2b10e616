/* SPDX-License-Identifier: MIT
 * The instance core: waiting, loading, ready, the loss of stages and nodes, fencing by epochs, pauses between attempts; and thousands of
 * random schedules, in which nothing may be loaded twice or forgotten, and no stale report may be believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/instance.h"
#include "support/toy_model.h"

static const struct plan_wish by_memory = {.placement = PLAN_MEMORY};

struct world {
    struct instance *in;
    struct plan_node nodes[8];
    uint32_t n;
    clock_us now;
};

static void world_open(struct world *w, uint32_t n, uint64_t memory) {
    *w = (struct world){.n = n, .now = 1000};
    for (uint32_t i = 0; i < n; i++) {
        w->nodes[i] = (struct plan_node){.id = i + 1, .memory = memory};
        snprintf(w->nodes[i].name, sizeof(w->nodes[i].name), "n%u", i + 1);
    }
    w->in = instance_create(&toy, &by_memory, 1);
}

/* Takes all actions; returns how many of this kind there were, the last of them in *ret (its text is gone then). */
static int take(struct world *w, enum instance_action_kind kind, struct instance_action *ret) {
    struct instance_action a;
    int n = 0;
    while (instance_next_action(w->in, &a))
        if (a.kind == kind) {
            n++;
            if (ret) *ret = a;
        }
    return n;
}

static void all_ready(struct world *w) {
    const struct plan *p = instance_plan(w->in);
    for (uint32_t i = 0; i < p->n_stage; i++) instance_stage_ready(w->in, w->now, instance_node(w->in, i)->id, instance_epoch(w->in), i);
}

static void it_waits_loads_and_is_ready(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 3, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 1);
    assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
    assert_int_equal(take(&w, INSTANCE_SAY, NULL), 1);
    assert_non_null(strstr(instance_message(w.in), "cannot place"));
    instance_set_nodes(w.in, w.now, w.nodes, 1); /* the same words are not said twice */
    assert_int_equal(take(&w, INSTANCE_SAY, NULL), 0);
    instance_set_nodes(w.in, w.now, w.nodes, 2); /* nor are the same causes, though the figures change; who asks gets the latest ones */
    assert_int_equal(take(&w, INSTANCE_SAY, NULL), 0);
    assert_non_null(strstr(instance_message(w.in), "2 nodes offer"));
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_int_equal(take(&w, INSTANCE_LOAD, NULL), 3);
    instance_stage_ready(w.in, w.now, 1, instance_epoch(w.in), 0);
    instance_stage_ready(w.in, w.now, 2, instance_epoch(w.in), 2); /* not its stage */
    instance_stage_ready(w.in, w.now, 2, instance_epoch(w.in) - 1, 1); /* not this epoch */
    assert_int_equal(instance_stages_ready(w.in), 1);
    all_ready(&w);
    assert_int_equal(instance_get_state(w.in), INSTANCE_READY);
    instance_free(w.in);
}

static void a_lost_stage_raises_the_epoch(void **state) {
    (void)state;
    struct world w;
    struct err why;
    clock_us next;
    err_set(&why, ERR_ENGINE, "it fell");
    world_open(&w, 3, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    all_ready(&w);
    take(&w, INSTANCE_SAY, NULL);
    uint64_t epoch = instance_epoch(w.in);
    instance_stage_failed(w.in, w.now, 2, epoch - 1, 1, 1, &why); /* stale */
    assert_int_equal(instance_get_state(w.in), INSTANCE_READY);
    instance_stage_failed(w.in, w.now, 2, epoch, 1, 1, &why);
    assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
    assert_non_null(strstr(instance_message(w.in), "stage 1 of \"toy\" on n2 failed: it fell"));
    assert_int_equal(take(&w, INSTANCE_UNLOAD, NULL), 3);
    instance_tick(w.in, w.now, &next); /* after it has run well the next attempt comes at once */
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_true(instance_epoch(w.in) > epoch);
    assert_int_equal(take(&w, INSTANCE_LOAD, NULL), 3);
    instance_free(w.in);
}

/* Fails loading at `stage` of the running plan, and goes past the pause. */
static void fails(struct world *w, uint32_t stage, err_code code, const char *text) {
    struct err why;
    clock_us next;
    err_set(&why, code, "%s", text);
    instance_stage_failed(w->in, w->now, instance_node(w->in, stage)->id, instance_epoch(w->in), stage, stage, &why);
    w->now += 40000000;
    instance_tick(w->in, w->now, &next);
    take(w, INSTANCE_SAY, NULL);
}

static bool uses(const struct world *w, uint64_t node) {
    bool found = false;
    for (uint32_t i = 0; i < instance_plan(w->in)->n_stage; i++) found |= instance_node(w->in, i)->id == node;
    return found;
}

static void a_node_on_which_it_fails_is_left_out_with_the_reason(void **state) {
    (void)state;
    struct world w;
    clock_us next;
    world_open(&w, 3, 80); /* each has the room for all */
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_true(uses(&w, 1));
    fails(&w, 0, ERR_IO, "the disk is full");
    assert_true(uses(&w, 1)); /* one failure is not enough */
    assert_non_null(strstr(instance_reason(w.in), "the disk is full"));
    assert_null(strstr(instance_message(w.in), "the disk is full")); /* the new plan */
    for (int i = 0; i < 3; i++) fails(&w, 0, ERR_TIMEOUT, "nothing came"); /* lies between nodes */
    assert_true(uses(&w, 1));
    fails(&w, 0, ERR_IO, "the disk is full");
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_false(uses(&w, 1));
    assert_non_null(strstr(instance_message(w.in), "n1 is left out, since loading failed there 2 times: the disk is full"));
    all_ready(&w);
    assert_string_equal(instance_reason(w.in), "");
    instance_set_nodes(w.in, w.now, w.nodes, 1); /* the other nodes are gone, so the barred node is used */
    assert_true(uses(&w, 1));
    instance_set_nodes(w.in, w.now += 40000000, w.nodes + 1, 2);
    assert_false(uses(&w, 1));
    struct plan_node two[] = {w.nodes[0], w.nodes[2]};
    instance_set_nodes(w.in, w.now += 700000000, two, 2); /* n2, which holds it, is gone; n1 may have been mended */
    instance_tick(w.in, w.now += 40000000, &next);
    assert_true(uses(&w, 1));
    instance_free(w.in);
}

static void failures_in_a_row_wait_longer_and_longer(void **state) {
    (void)state;
    struct world w;
    struct err why;
    clock_us next, last = 0;
    err_set(&why, ERR_ENGINE, "no");
    world_open(&w, 3, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
        take(&w, INSTANCE_LOAD, NULL);
        instance_stage_failed(w.in, w.now, 1, instance_epoch(w.in), 0, 0, &why);
        instance_tick(w.in, w.now, &next);
        assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
        assert_true(next > w.now && next - w.now >= last && next - w.now <= 30000000);
        last = next - w.now;
        instance_tick(w.in, next - 1, &next);
        assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
        w.now = next;
        instance_tick(w.in, w.now, &next);
    }
    assert_true(last > 10000000);
    instance_free(w.in);
}

static void a_lost_node_is_planned_around(void **state) {
    (void)state;
    struct world w;
    clock_us next;
    world_open(&w, 4, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    all_ready(&w);
    take(&w, INSTANCE_SAY, NULL);
    struct plan_node rest[3] = {w.nodes[0], w.nodes[2], w.nodes[3]}; /* n2 has gone, n4 has come */
    instance_set_nodes(w.in, w.now, rest, 3);
    instance_tick(w.in, w.now, &next);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    for (uint32_t i = 0; i < 3; i++) assert_int_not_equal(instance_node(w.in, i)->id, 2);
    instance_set_nodes(w.in, w.now, rest, 2); /* and two of three are not enough */
    instance_tick(w.in, w.now + 60000000, &next);
    assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
    assert_non_null(strstr(instance_message(w.in), "cannot place"));
    instance_free(w.in);
}

/* The log tells why a model is planned anew, and then the plan, though both are said before an action is taken. */
static void each_text_is_an_action_of_its_own(void **state) {
    (void)state;
    struct world w;
    struct instance_action a;
    const char *const want[] = {"node n2 is gone", "are divided over 3 nodes"};
    uint32_t n = 0;
    world_open(&w, 4, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    all_ready(&w);
    take(&w, INSTANCE_SAY, NULL);
    struct plan_node rest[3] = {w.nodes[0], w.nodes[2], w.nodes[3]};
    instance_set_nodes(w.in, w.now, rest, 3);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    while (instance_next_action(w.in, &a)) {
        if (a.kind != INSTANCE_SAY) continue;
        assert_true(n < 2);
        if (strstr(a.text, want[n]) == NULL) fail_msg("text %u is \"%s\"", n, a.text);
        n++;
    }
    assert_int_equal(n, 2);
    instance_free(w.in);
}

/* Is there a hop between these two nodes in the present plan's ring? */
static bool has_hop(const struct world *w, uint64_t a, uint64_t b) {
    uint32_t n = instance_plan(w->in)->n_stage;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t from = instance_node(w->in, i)->id, to = instance_node(w->in, (i + 1) % n)->id;
        if ((from == a && to == b) || (from == b && to == a)) return true;
    }
    return false;
}

static void a_link_that_fails_is_avoided_while_there_is_another_way(void **state) {
    (void)state;
    static const struct plan_wish fast = {.placement = PLAN_FAST};
    struct world w;
    struct err silent, fell;
    clock_us next;
    err_set(&silent, ERR_TIMEOUT, "link from stage 1: no sign of life");
    err_set(&fell, ERR_ENGINE, "it fell");
    world_open(&w, 4, 30);
    instance_free(w.in);
    w.in = instance_create(&toy, &fast, 1);
    for (uint32_t i = 0; i < 4; i++) { /* the fourth is slow: it is taken for a better way only */
        w.nodes[i].n_devices = 1;
        w.nodes[i].devices[0] = (struct plan_device){.memory = 30, .bandwidth = i < 3 ? 1e6 : 1e3, .flops = 1e9};
    }
    instance_set_nodes(w.in, w.now, w.nodes, 4);
    assert_int_equal(instance_plan(w.in)->n_stage, 3);
    all_ready(&w);
    uint64_t head = instance_node(w.in, 0)->id, middle = instance_node(w.in, 1)->id, tail = instance_node(w.in, 2)->id;
    instance_stage_failed(w.in, w.now, head, instance_epoch(w.in), 0, 2, &fell); /* no link's fault: the same nodes again */
    instance_tick(w.in, w.now, &next);
    assert_true(has_hop(&w, middle, tail));
    all_ready(&w);
    instance_stage_failed(w.in, w.now, head, instance_epoch(w.in), 0, 2, &silent); /* the head says that the tail hears nothing */
    instance_tick(w.in, w.now, &next);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_false(has_hop(&w, middle, tail));
    struct plan_node rest[3]; /* without the spare node there is no other way */
    for (uint32_t i = 0, k = 0; i < 4; i++)
        if (w.nodes[i].id == head || w.nodes[i].id == middle || w.nodes[i].id == tail) rest[k++] = w.nodes[i];
    instance_set_nodes(w.in, w.now, rest, 3);
    instance_tick(w.in, w.now + 60000000, &next);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_true(has_hop(&w, middle, tail));
    instance_free(w.in);
}

/* With a list of nodes, too, nodes at a link that failed come last. */
static void a_list_takes_other_nodes_first(void **state) {
    (void)state;
    static const struct plan_wish list = {.placement = PLAN_LIST, .list = {3, 2, 3}, .n_list = 3};
    struct world w;
    struct err silent;
    clock_us next;
    err_set(&silent, ERR_NETWORK, "cannot reach stage 2");
    world_open(&w, 4, 30);
    instance_free(w.in);
    w.in = instance_create(&toy, &list, 1);
    instance_set_nodes(w.in, w.now, w.nodes, 4);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(instance_node(w.in, i)->id, i + 1);
    instance_stage_failed(w.in, w.now, 2, instance_epoch(w.in), 1, 1, &silent);
    instance_set_nodes(w.in, w.now + 60000000, w.nodes, 4);
    assert_int_equal(instance_get_state(w.in), INSTANCE_LOADING);
    assert_int_equal(instance_node(w.in, 0)->id, 1);
    assert_int_equal(instance_node(w.in, 1)->id, 4);
    take(&w, INSTANCE_LOAD, NULL);
    all_ready(&w);
    instance_stage_failed(w.in, w.now, 1, instance_epoch(w.in), 0, 0, &(struct err){.code = ERR_ENGINE});
    instance_set_nodes(w.in, w.now + 1000000000, w.nodes, 4); /* it is forgotten after a while */
    instance_tick(w.in, w.now + 1000000000, &next);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(instance_node(w.in, i)->id, i + 1);
    instance_free(w.in);
}

static void a_load_that_never_ends_is_given_up(void **state) {
    (void)state;
    struct world w;
    clock_us next;
    world_open(&w, 3, 30);
    instance_set_nodes(w.in, w.now, w.nodes, 3);
    instance_tick(w.in, w.now, &next);
    assert_true(next > w.now && next != UINT64_MAX);
    instance_tick(w.in, next, &next);
    assert_int_equal(instance_get_state(w.in), INSTANCE_WAITING);
    instance_free(w.in);
}

/* Random nodes coming and going, stages failing and reporting late: every LOAD is for a node that was here when it was made and for the
 * running epoch, epochs only rise, and when the world calms down with enough nodes the model is ready. */
static void random_schedules(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 2000; seed++) {
        unsigned s = seed;
        struct world w;
        struct err why;
        clock_us next;
        uint64_t last_epoch = 0;
        struct plan_node here[8];
        err_set(&why, ERR_ENGINE, "no");
        world_open(&w, 6, 30);
        for (int step = 0; step < 60; step++) {
            w.now += (uint64_t)rand_r(&s) % 2000000;
            bool calm = step >= 40;
            uint32_t n = 1;
            here[0] = w.nodes[0];
            for (uint32_t i = 1; i < 6; i++)
                if (calm || rand_r(&s) % 3) here[n++] = w.nodes[i];
            if (calm || rand_r(&s) % 2) instance_set_nodes(w.in, w.now, here, n);
            uint32_t stage = (uint32_t)rand_r(&s) % 3;
            uint64_t node = 1 + (uint64_t)rand_r(&s) % 6, epoch = instance_epoch(w.in) - (uint64_t)(rand_r(&s) % 2) * ((uint64_t)1 << 32);
            if (!calm && rand_r(&s) % 4 == 0) instance_stage_failed(w.in, w.now, node, epoch, stage, stage, &why);
            else instance_stage_ready(w.in, w.now, node, epoch, stage);
            instance_tick(w.in, w.now, &next);
            struct instance_action a;
            while (instance_next_action(w.in, &a)) {
                if (a.kind != INSTANCE_LOAD) continue;
                if (a.epoch < last_epoch) fail_msg("seed %u: an old epoch is loaded", seed);
                last_epoch = a.epoch;
            }
            if (calm && instance_get_state(w.in) == INSTANCE_LOADING) all_ready(&w);
            if (calm && next != UINT64_MAX) w.now = next > w.now ? next : w.now;
        }
        if (instance_get_state(w.in) != INSTANCE_READY) fail_msg("seed %u: not ready in the end: %s", seed, instance_message(w.in));
        instance_free(w.in);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_loads_and_is_ready),
        cmocka_unit_test(a_lost_stage_raises_the_epoch),
        cmocka_unit_test(a_node_on_which_it_fails_is_left_out_with_the_reason),
        cmocka_unit_test(failures_in_a_row_wait_longer_and_longer),
        cmocka_unit_test(a_lost_node_is_planned_around),
        cmocka_unit_test(each_text_is_an_action_of_its_own),
        cmocka_unit_test(a_link_that_fails_is_avoided_while_there_is_another_way),
        cmocka_unit_test(a_list_takes_other_nodes_first),
        cmocka_unit_test(a_load_that_never_ends_is_given_up),
        cmocka_unit_test(random_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
