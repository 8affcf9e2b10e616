/* SPDX-License-Identifier: MIT
 * The coordinator's rules, one by one: what it does for a record, a report, a wish or the time that passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "coordinator/coordinator.h"

#define S 1000000ull
enum { TAG = 0xabc };

static uint64_t need(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return (uint64_t)(end - first) * 10;
}
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}
static const struct plan_model toy = {.name = "toy", .n_layer = 8, .may = may, .need = need};

/* This node is 1, the others are 2 and 3. */
struct world {
    struct coordinator *c;
    struct coordinator_model models[3];
    struct record *records[3];
    const struct record *seen[3];
    struct coordinator_view v;
    struct coordinator_work work[3];
    clock_us now;
    struct coordinator_action actions[32]; /* of the last event */
    uint32_t n_actions;
};

static struct coordinator_work work_of(void *user, const char *instance) {
    const struct world *w = user;
    return w->work[instance[11] - '0']; /* the model's number ends its id */
}

static void take(struct world *w) {
    w->n_actions = 0;
    while (w->n_actions < 32 && coordinator_next_action(w->c, &w->actions[w->n_actions])) w->n_actions++;
}

static void update(struct world *w) {
    coordinator_update(w->c, w->now, &w->v);
    take(w);
}

static uint32_t count(const struct world *w, enum coordinator_action_kind kind) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_actions; i++) n += w->actions[i].kind == kind;
    return n;
}

static const struct coordinator_action *first(const struct world *w, enum coordinator_action_kind kind) {
    for (uint32_t i = 0; i < w->n_actions; i++)
        if (w->actions[i].kind == kind) return &w->actions[i];
    fail_msg("there is no such action");
    return NULL;
}

/* Nodes without memory are not there. */
static void world_open(struct world *w, uint64_t memory1, uint64_t memory2, uint64_t memory3) {
    const uint64_t memory[3] = {memory1, memory2, memory3};
    memset(w, 0, sizeof(*w));
    log_set_level(LOG_ERROR);
    w->now = 1000 * S;
    w->c = coordinator_create(1, TAG);
    for (uint32_t i = 0; i < 3; i++) {
        struct record *r = w->records[i] = MEM_NEW(struct record);
        r->id = i + 1;
        r->memory = memory[i];
        snprintf(r->name, sizeof(r->name), "n%u", i + 1);
        w->seen[i] = r;
    }
    for (uint32_t i = 0; i < 3; i++) {
        w->models[i] = (struct coordinator_model){.plan = &toy, .wish = {.placement = PLAN_MEMORY}, .arch = "toy", .path = "/toy"};
        snprintf(w->models[i].id, sizeof(w->models[i].id), "%012u", i);
        snprintf(w->models[i].record.name, sizeof(w->models[i].record.name), "m%u", i);
        wish_set(&w->models[i].record.wish, WISH_REPLICAS, 1);
    }
    w->v = (struct coordinator_view){.records = w->seen,
                                     .n_linked = memory3   ? 3
                                                 : memory2 ? 2
                                                           : 1,
                                     .wall = 5000,
                                     .work = work_of,
                                     .user = w};
    w->v.n_records = w->v.n_linked;
}

static void world_close(struct world *w) {
    coordinator_free(w->c);
    free(w->records[0]);
    free(w->records[1]);
    free(w->records[2]);
}

static void load(struct world *w, uint32_t m, bool kept) {
    struct err e;
    struct load_wish wish = {0};
    if (kept) wish_set(&wish, WISH_KEPT, true);
    if (kept) wish_set(&w->models[m].record.wish, WISH_KEPT, true);
    if (coordinator_load(w->c, w->now, &w->v, w->models[m].record.name, &wish))
        assert_int_equal(coordinator_open(w->c, w->now, &w->v, &w->models[m], &e), ERR_OK);
    update(w);
}

/* The nodes do what the LOADs of the last event say, and their records show it. */
static void obey(struct world *w) {
    uint32_t n = w->n_actions;
    struct coordinator_action done[32];
    memcpy(done, w->actions, sizeof(done));
    for (uint32_t i = 0; i < n; i++) {
        if (done[i].kind != COORDINATOR_LOAD) continue;
        struct record *r = w->records[done[i].node - 1];
        struct record_stage *s = &r->stages[r->n_stages++];
        const struct instance *in = coordinator_find(w->c, done[i].instance, NULL);
        *s = (struct record_stage){.epoch = done[i].epoch, .stage = done[i].stage, .bytes = instance_plan(in)->stages[done[i].stage].bytes};
        snprintf(s->instance, sizeof(s->instance), "%s", done[i].instance);
        coordinator_stage_ready(w->c, w->now, done[i].node, done[i].instance, done[i].epoch, done[i].stage);
    }
    update(w);
}

static void drop_stages(struct world *w, uint32_t node) { w->records[node - 1]->n_stages = 0; }

static void answer(struct world *w, const struct coordinator_action *a, err_code code) {
    struct err e;
    struct coordinator_action asked = *a;
    err_set(&e, code, "so");
    coordinator_stage_failed(w->c, w->now, asked.node, asked.instance, asked.epoch, 0, 0, &e);
    take(w);
}

static void nothing_happens_when_nothing_changes(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 64, 0, 0); /* too little: it waits for room */
    load(&w, 0, true);
    assert_true(coordinator_get(w.c, 0)->failed);
    for (int i = 0; i < 100; i++) {
        update(&w);
        assert_int_equal(w.n_actions, 0);
        w.now += S / 2;
    }
    world_close(&w);
}

static void what_a_record_does_not_show_is_ordered_again_or_lost(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 60, 60, 0); /* one stage on each */
    load(&w, 0, true);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2);
    w.now += 4 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 0);
    w.now += 2 * S;
    update(&w); /* the orders have been lost */
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2);
    obey(&w);
    assert_true(coordinator_get(w.c, 0)->ready);
    drop_stages(&w, 2);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2);
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_LOST);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2); /* at once, in another epoch */
    assert_true(first(&w, COORDINATOR_LOAD)->epoch > first(&w, COORDINATOR_UNLOAD)->epoch);
    world_close(&w);
}

/* A ring of two, and then a machine that could hold the whole. */
static void world_grows(struct world *w, const char *replan) {
    world_open(w, 60, 60, 0);
    wish_set_text(&w->models[0].record.wish, WISH_REPLAN, replan);
    load(w, 0, true);
    obey(w);
    assert_true(coordinator_get(w->c, 0)->ready);
    assert_int_equal(coordinator_get(w->c, 0)->n_stage, 2);
    w->now += 30 * S;
    w->work[0].used = w->now;
    w->records[2]->memory = 200;
    w->v.n_linked = w->v.n_records = 3;
    update(w);
}

/* Half an hour goes by; stops at the first order to unload. */
static bool is_asked_to_go(struct world *w) {
    for (int i = 0; i < 3600; i++) {
        w->now += S / 2;
        update(w);
        if (count(w, COORDINATOR_UNLOAD) > 0) return true;
    }
    return false;
}

static void a_copy_moves_to_a_better_place_when_it_is_idle(void **state) {
    (void)state;
    struct world w;
    world_grows(&w, "auto");
    assert_null(strstr(coordinator_get(w.c, 0)->message, "would run")); /* the new machine has only just been measured */
    w.work[0].calls = 1;
    assert_false(is_asked_to_go(&w));
    assert_non_null(strstr(coordinator_get(w.c, 0)->message, "would run whole on n3"));
    w.work[0].calls = 0;
    assert_true(is_asked_to_go(&w));
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    answer(&w, first(&w, COORDINATOR_UNLOAD), ERR_BUSY); /* a request has come */
    assert_true(coordinator_get(w.c, 0)->ready);
    assert_true(is_asked_to_go(&w));
    struct coordinator_action asked = *first(&w, COORDINATOR_UNLOAD);
    answer(&w, &asked, ERR_CANCELLED);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2); /* what is left of the ring */
    drop_stages(&w, 1);
    drop_stages(&w, 2);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 1);
    assert_int_equal(first(&w, COORDINATOR_LOAD)->node, 3);
    obey(&w);
    assert_true(coordinator_get(w.c, 0)->ready);
    assert_int_equal(coordinator_get(w.c, 0)->n_stage, 1);
    assert_null(strstr(coordinator_get(w.c, 0)->message, "would run"));
    assert_false(is_asked_to_go(&w)); /* it is where it fits best */
    world_close(&w);
}

static void a_copy_that_shall_stay_says_where_it_would_fit_better(void **state) {
    (void)state;
    struct world w;
    world_grows(&w, "never");
    assert_false(is_asked_to_go(&w));
    assert_non_null(strstr(coordinator_get(w.c, 0)->message, "would run whole on n3"));
    world_close(&w);
}

static void the_least_recently_used_model_makes_room_if_it_is_idle(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 170, 0, 0); /* two of three fit */
    for (uint32_t m = 0; m < 2; m++) {
        load(&w, m, true);
        obey(&w);
        w.now += 10 * S;
        w.work[m].used = w.now;
    }
    w.work[0].calls = w.work[1].calls = 1;
    load(&w, 2, false);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0); /* both are busy */
    w.work[0].calls = w.work[1].calls = 0;
    update(&w);
    const struct coordinator_action *a = first(&w, COORDINATOR_UNLOAD);
    assert_true(a->how == STAGE_UNLOAD_IF_IDLE && a->instance[11] == '0' && count(&w, COORDINATOR_UNLOAD) == 1);
    answer(&w, a, ERR_BUSY);
    assert_int_equal(coordinator_count(w.c), 3);
    w.work[0].calls = 1;
    update(&w); /* then the other one */
    a = first(&w, COORDINATOR_UNLOAD);
    assert_true(a->how == STAGE_UNLOAD_IF_IDLE && a->instance[11] == '1');
    answer(&w, a, ERR_CANCELLED);
    assert_int_equal(coordinator_count(w.c), 2);
    world_close(&w);
}

static void nobody_leaves_where_it_would_not_help(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 100, 0, 0);
    load(&w, 0, true);
    obey(&w);
    w.now += 10 * S;
    struct record_stage *s = &w.records[0]->stages[w.records[0]->n_stages++]; /* another node's model, idle, takes the rest and more */
    *s = (struct record_stage){.bytes = 30};
    snprintf(s->instance, sizeof(s->instance), "000000000002-00000999-1");
    load(&w, 1, false);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0);
    world_close(&w);
}

static struct plan_link link_of(void *user, uint64_t from, uint64_t to) {
    (void)from, (void)to;
    return (struct plan_link){.reach = *(const enum plan_reach *)user};
}

/* Two nodes have just met: a model that needs both waits until they know whether they can connect, and does not fail meanwhile. */
static void a_model_waits_until_nodes_know_each_other(void **state) {
    (void)state;
    for (int never = 0; never < 2; never++) {
        struct world w;
        enum plan_reach reach = PLAN_REACH_UNKNOWN;
        world_open(&w, 60, 60, 0);
        w.models[0].wish.link = link_of;
        w.models[0].wish.link_user = &reach;
        load(&w, 0, true);
        assert_int_equal(count(&w, COORDINATOR_LOAD), 0);
        assert_false(coordinator_get(w.c, 0)->failed);
        w.now += 5 * S;
        update(&w);
        assert_false(coordinator_get(w.c, 0)->failed);
        if (!never) reach = PLAN_REACHES;
        w.now += never ? 10 * S : S;
        update(&w);
        assert_int_equal(count(&w, COORDINATOR_LOAD), never ? 0 : 2);
        assert_int_equal(coordinator_get(w.c, 0)->failed, never);
        world_close(&w);
    }
}

/* Node 2 coordinates m1, which is idle and takes the room that m0 needs. */
static void an_idle_model_of_another_coordinator_makes_room(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 60, 60, 0);
    struct record *r = w.records[1];
    struct record_model *m = &r->models[r->n_models++];
    struct record_stage *s = &r->stages[r->n_stages++];
    *m = (struct record_model){.head = 2, .ready = true, .n_stage = 1};
    *s = (struct record_stage){.bytes = 50, .epoch = 1};
    snprintf(m->name, sizeof(m->name), "m1");
    snprintf(m->instance, sizeof(m->instance), "000000000001-00000999-1");
    snprintf(s->instance, sizeof(s->instance), "000000000001-00000999-1");
    w.work[1].calls = 1;
    load(&w, 0, true);
    assert_int_equal(count(&w, COORDINATOR_ASK_ROOM), 0); /* it has work */
    w.work[1].calls = 0;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_ASK_ROOM), 1);
    assert_int_equal(first(&w, COORDINATOR_ASK_ROOM)->node, 2);
    assert_string_equal(first(&w, COORDINATOR_ASK_ROOM)->model, "m1");
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_ASK_ROOM), 0); /* that node is given time to answer */
    w.now += 6 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_ASK_ROOM), 1);
    r->n_models = r->n_stages = 0; /* it has left */
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2);
    world_close(&w);
}

static void room_is_given_to_another_coordinator(void **state) {
    (void)state;
    struct world w;
    struct err e;
    world_open(&w, 100, 0, 0);
    wish_set(&w.models[0].record.wish, WISH_REPLICAS, 2); /* the second copy waits for room */
    load(&w, 0, true);
    obey(&w);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 2);
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m1", &e), ERR_NOT_FOUND);
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", &e), ERR_BUSY); /* it has just been loaded */
    w.now += 10 * S;
    w.work[0].calls = 1;
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", &e), ERR_BUSY);
    w.work[0].calls = 0;
    take(&w);
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", &e), ERR_OK);
    take(&w);
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    answer(&w, first(&w, COORDINATOR_UNLOAD), ERR_CANCELLED);
    drop_stages(&w, 1);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 0); /* the copy that waited does not take the room itself */
    assert_int_equal(count(&w, COORDINATOR_LOAD), 0);
    world_close(&w);
}

static void the_head_goes_first(void **state) {
    (void)state;
    struct world w;
    struct err e;
    world_open(&w, 5, 60, 60); /* the slices are on the other two */
    load(&w, 0, true);
    obey(&w);
    assert_true(coordinator_get(w.c, 0)->ready && coordinator_get(w.c, 0)->head == 2);
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m0", &e), ERR_OK);
    take(&w);
    assert_int_equal(coordinator_count(w.c), 0); /* the file is no longer asked for */
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 1);
    const struct coordinator_action head = *first(&w, COORDINATOR_UNLOAD);
    assert_true(head.node == 2 && head.how == STAGE_UNLOAD_FOR_GOOD);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0); /* the requests end meanwhile */
    answer(&w, &head, ERR_CANCELLED);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2);
    assert_false(coordinator_uses(w.c, &w.models[0]));
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m0", &e), ERR_NOT_FOUND);
    w.now += 10 * S;
    update(&w); /* the records still show the slices: the orders may have been lost */
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2);
    world_close(&w);
}

static void a_head_that_does_not_answer_is_not_waited_for(void **state) {
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct world w;
        struct err e;
        world_open(&w, 5, 60, 60);
        load(&w, 0, true);
        obey(&w);
        assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m0", &e), ERR_OK);
        take(&w);
        if (gone) w.v.n_linked = w.v.n_records = 1;
        else w.now += 6 * S;
        update(&w);
        assert_int_equal(count(&w, COORDINATOR_UNLOAD), gone ? 2 : 4); /* where they are reached, the stray stages are noticed as well */
        assert_false(coordinator_uses(w.c, &w.models[0]));
        world_close(&w);
    }
}

static void an_heir_takes_a_model_over_as_it_was(void **state) {
    (void)state;
    struct world w;
    struct model_card card = {.name = "m0"};
    world_open(&w, 200, 200, 0);
    struct record *lost = w.records[1];
    lost->n_models = 1;
    snprintf(lost->models[0].name, sizeof(lost->models[0].name), "m0");
    wish_set(&lost->models[0].wish, WISH_KEPT, true);
    wish_set(&lost->models[0].wish, WISH_CTX, 77);
    w.records[0]->cards = &card;
    w.records[0]->n_cards = 1;
    struct err e;
    assert_int_equal(coordinator_may_load(w.c, w.now, &w.v, "m0", &e), ERR_UNAVAILABLE); /* the other node has it */
    w.v.n_linked = w.v.n_records = 1;
    coordinator_node_lost(w.c, w.now, lost, false);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_TAKE), 1);
    assert_int_equal(first(&w, COORDINATOR_TAKE)->orphan.wish.ctx, 77);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_TAKE), 0); /* not again at once */
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m0", &e), ERR_OK);
    w.now += 60 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_TAKE), 0); /* the model is no longer wanted */
    world_close(&w);
}

static void what_clients_keep_leaves_when_it_has_been_idle(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 100, 0, 0);
    load(&w, 0, false);
    obey(&w);
    coordinator_keep(w.c, w.now, "m0", 3);
    take(&w);
    w.work[0] = (struct coordinator_work){.calls = 1, .used = w.now};
    w.now += 60 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0);
    w.work[0].calls = 0;
    w.now += 2 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0);
    w.now += 2 * S;
    update(&w);
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    world_close(&w);
}

static void replicas_keep_out_of_each_others_way(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 100, 100, 0);
    wish_set(&w.models[0].record.wish, WISH_REPLICAS, 2);
    load(&w, 0, true);
    obey(&w);
    obey(&w);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 2);
    assert_true(coordinator_get(w.c, 0)->ready && coordinator_get(w.c, 1)->ready);
    w.now += 10 * S;
    load(&w, 1, false); /* takes the place of one of them, which does not come back to take it again */
    answer(&w, first(&w, COORDINATOR_UNLOAD), ERR_CANCELLED);
    assert_int_equal(coordinator_count(w.c), 2);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 2);
    bool first_copy = false;
    for (size_t i = 0; i < 2; i++) first_copy |= strcmp(coordinator_get(w.c, i)->name, "m0") == 0 && coordinator_get(w.c, i)->replica == 0;
    assert_true(first_copy); /* whichever it was that left */
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_when_nothing_changes),
        cmocka_unit_test(what_a_record_does_not_show_is_ordered_again_or_lost),
        cmocka_unit_test(the_least_recently_used_model_makes_room_if_it_is_idle),
        cmocka_unit_test(nobody_leaves_where_it_would_not_help),
        cmocka_unit_test(a_model_waits_until_nodes_know_each_other),
        cmocka_unit_test(an_idle_model_of_another_coordinator_makes_room),
        cmocka_unit_test(room_is_given_to_another_coordinator),
        cmocka_unit_test(the_head_goes_first),
        cmocka_unit_test(a_head_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(an_heir_takes_a_model_over_as_it_was),
        cmocka_unit_test(what_clients_keep_leaves_when_it_has_been_idle),
        cmocka_unit_test(a_copy_moves_to_a_better_place_when_it_is_idle),
        cmocka_unit_test(a_copy_that_shall_stay_says_where_it_would_fit_better),
        cmocka_unit_test(replicas_keep_out_of_each_others_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
