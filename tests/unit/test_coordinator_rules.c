/* SPDX-License-Identifier: MIT
 * The coordinator's rules, one by one: its actions after a record, a report, a wish, or a time. */
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
#include "support/toy_model.h"

#define S 1000000ull
enum { TAG = 0xabc };

/* This node is 1, the others are 2 and 3. */
struct world {
    struct coordinator *c;
    struct coordinator_model models[3];
    struct record *records[3];
    const struct record *seen[3];
    struct coordinator_view v;
    struct coordinator_work work[3];
    struct coordinator_queue queue[3];
    clock_us now;
    struct coordinator_action actions[32]; /* of the last event */
    uint32_t n_actions;
};

static struct coordinator_work work_of(void *user, const char *instance) {
    const struct world *w = user;
    return w->work[instance[11] - '0']; /* the model's number ends its id */
}

static struct coordinator_queue queue_of(void *user, const char *model) {
    const struct world *w = user;
    return w->queue[model[1] - '0'];
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

/* memory: of each node; 0: there is no such node. */
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
                                     .queue = queue_of,
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

/* The nodes carry out the LOADs of the last event, and their records show it. */
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

/* A stage of the copy fails: how are the stages of its epoch unloaded? */
static enum stage_unload_how broken_by(struct world *w, uint32_t node, err_code code) {
    struct err e;
    const struct record_model *m = coordinator_get(w->c, 0);
    const struct instance *in = coordinator_find(w->c, m->instance, NULL);
    err_set(&e, code, "so");
    coordinator_stage_failed(w->c, w->now, node, m->instance, instance_epoch(in), 1, 1, &e);
    take(w);
    assert_true(count(w, COORDINATOR_UNLOAD) > 0);
    return first(w, COORDINATOR_UNLOAD)->how;
}

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

/* The head hears that a stage crashed, even if it does not hear the stage itself: each request in flight may be the cause. */
static void a_crash_is_told_to_the_head(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 60, 60, 0); /* one stage on each */
    load(&w, 0, true);
    obey(&w);
    assert_true(coordinator_get(w.c, 0)->ready);
    assert_int_equal(broken_by(&w, 2, ERR_CRASH), STAGE_UNLOAD_CRASHED);
    world_close(&w);
    world_open(&w, 60, 60, 0);
    load(&w, 0, true);
    obey(&w);
    assert_int_equal(broken_by(&w, 2, ERR_CLOSED), STAGE_UNLOAD_LOST);
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
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2); /* the remaining stages of the ring */
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
    w.queue[2].calls = 1;
    load(&w, 2, false);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0); /* both are busy */
    update(&w);
    assert_non_null(strstr(coordinator_get(w.c, 2)->message, "other models have the room")); /* it has not failed */
    w.work[0].calls = w.work[1].calls = 0;
    w.work[0].used = w.work[1].used = w.now;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0); /* their clients may be just about to ask again */
    w.work[0].used--;
    w.now += S;
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
    w.queue[1].calls = 1;
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
        w.now += never ? 25 * S : S;
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
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m1", COORDINATOR_ROOM_IDLE, &e), ERR_NOT_FOUND);
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", COORDINATOR_ROOM_IDLE, &e), ERR_BUSY); /* it has just been loaded */
    w.now += 10 * S;
    w.work[0].calls = 1;
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", COORDINATOR_ROOM_IDLE, &e), ERR_BUSY);
    w.work[0].calls = 0;
    take(&w);
    assert_int_equal(coordinator_give_room(w.c, w.now, &w.v, "m0", COORDINATOR_ROOM_IDLE, &e), ERR_OK);
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

/* The ring of a copy on nodes 2 and 3 that was asked to leave for another model, m1. */
static struct coordinator_action world_asks(struct world *w) {
    world_open(w, 5, 60, 60);
    load(w, 0, true);
    obey(w);
    assert_true(coordinator_get(w->c, 0)->ready && coordinator_get(w->c, 0)->head == 2);
    w->now += 10 * S;
    load(w, 1, true);
    assert_int_equal(count(w, COORDINATOR_UNLOAD), 1);
    assert_true(first(w, COORDINATOR_UNLOAD)->how == STAGE_UNLOAD_IF_IDLE && first(w, COORDINATOR_UNLOAD)->node == 2);
    return *first(w, COORDINATOR_UNLOAD);
}

/* Stage 1 of that ring ends: its node says so, and its record no longer shows it. */
static void stage_ends(struct world *w, const struct coordinator_action *asked, err_code code) {
    struct err e;
    err_set(&e, code, "so");
    coordinator_stage_failed(w->c, w->now, 3, asked->instance, asked->epoch, 1, 1, &e);
    take(w);
    assert_int_equal(w->n_actions, 0);
    drop_stages(w, 3);
    update(w);
}

static bool is_loaded_again(const struct world *w, const struct coordinator_action *asked) {
    for (uint32_t i = 0; i < w->n_actions; i++)
        if (w->actions[i].kind == COORDINATOR_LOAD && strcmp(w->actions[i].instance, asked->instance) == 0) return true;
    return false;
}

/* The head's stage has ended, therefore the other one; and the news of the other one is faster. */
static void a_copy_that_leaves_is_not_loaded_again(void **state) {
    (void)state;
    struct world w;
    struct coordinator_action asked = world_asks(&w);
    stage_ends(&w, &asked, ERR_CLOSED);
    assert_int_equal(w.n_actions, 0);
    drop_stages(&w, 2); /* even the record of the head's node, which others have passed on */
    update(&w);
    assert_int_equal(w.n_actions, 0);
    answer(&w, &asked, ERR_CANCELLED);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 1);
    assert_string_equal(coordinator_get(w.c, 0)->name, "m1");
    assert_true(count(&w, COORDINATOR_LOAD) == 2 && !is_loaded_again(&w, &asked));
    world_close(&w);
}

static void a_copy_that_stays_has_lost_what_it_lost(void **state) {
    (void)state;
    const err_code ends[] = {ERR_CRASH, ERR_CLOSED};
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct coordinator_action asked = world_asks(&w);
        stage_ends(&w, &asked, ends[i]);
        answer(&w, &asked, ERR_BUSY); /* its requests go on elsewhere */
        assert_true(count(&w, COORDINATOR_UNLOAD) == 2 && !coordinator_get(w.c, 0)->ready);
        assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, i == 0 ? STAGE_UNLOAD_CRASHED : STAGE_UNLOAD_LOST);
        update(&w);
        assert_true(is_loaded_again(&w, &asked));
        world_close(&w);
    }
}

/* Nor is an answer waited for that cannot come, or does not. */
static void a_question_is_not_waited_for_without_end(void **state) {
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct world w;
        struct coordinator_action asked = world_asks(&w);
        stage_ends(&w, &asked, ERR_CLOSED);
        if (gone) { /* node 2 has no link to here: node 3's record is the only other one */
            w.seen[1] = w.records[2];
            w.v.n_linked = w.v.n_records = 2;
        } else {
            w.now += 6 * S;
        }
        update(&w);
        assert_false(coordinator_get(w.c, 0)->ready);
        assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_LOST);
        world_close(&w);
    }
}

/* A busy copy goes on, however late its head's node says that it is busy; and its requests end before its stages when it is unloaded. */
static void a_late_answer_breaks_no_ring(void **state) {
    (void)state;
    struct world w;
    struct err e;
    struct coordinator_action asked = world_asks(&w);
    w.work[0].calls = 1;
    w.now += 6 * S;
    update(&w);
    answer(&w, &asked, ERR_BUSY);
    assert_true(coordinator_get(w.c, 0)->ready && count(&w, COORDINATOR_UNLOAD) == 0);
    w.work[0].calls = 0;
    w.work[0].used = w.now;
    for (int i = 0; i < 20 && count(&w, COORDINATOR_UNLOAD) == 0; i++) {
        w.now += S;
        update(&w);
    }
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m0", &e), ERR_OK); /* by hand, meanwhile */
    take(&w);
    assert_true(count(&w, COORDINATOR_UNLOAD) == 1 && first(&w, COORDINATOR_UNLOAD)->how == STAGE_UNLOAD_FOR_GOOD);
    answer(&w, &asked, ERR_BUSY);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0);
    answer(&w, &asked, ERR_CANCELLED);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 2);
    world_close(&w);
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
    coordinator_keep(w.c, w.now, "m0", 3, false);
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

/* What was loaded by hand stays, whatever clients want, unless one of them may unload it. */
static void what_was_loaded_by_hand_leaves_for_those_who_may(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 100, 0, 0);
    load(&w, 0, true);
    obey(&w);
    w.work[0] = (struct coordinator_work){.calls = 1, .used = w.now};
    coordinator_keep(w.c, w.now, "m0", 0, false);
    coordinator_keep(w.c, w.now, "m0", 3, true);
    w.work[0].calls = 0;
    w.now += 60 * S;
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0);
    assert_true(coordinator_get(w.c, 0)->wish.kept);
    w.work[0].calls = 1;
    coordinator_keep(w.c, w.now, "m0", 0, true);
    update(&w);
    assert_int_equal(count(&w, COORDINATOR_UNLOAD), 0); /* another request runs */
    w.work[0].calls = 0;
    update(&w);
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    assert_false(coordinator_get(w.c, 0)->wish.kept);
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
    w.queue[1].calls = 1;
    load(&w, 1, false); /* takes the place of one of them, which does not come back to take it again */
    answer(&w, first(&w, COORDINATOR_UNLOAD), ERR_CANCELLED);
    assert_int_equal(coordinator_count(w.c), 2);
    update(&w);
    assert_int_equal(coordinator_count(w.c), 2);
    bool first_copy = false;
    for (size_t i = 0; i < 2; i++) first_copy |= strcmp(coordinator_get(w.c, i)->name, "m0") == 0 && coordinator_get(w.c, i)->replica == 0;
    assert_true(first_copy); /* either of the two may have left */
    world_close(&w);
}

/* A ring on nodes 1 and 2; node 3 has room, and node 2 is to be emptied. */
static void world_drains(struct world *w, uint64_t memory3) {
    world_open(w, 60, 60, 0);
    load(w, 0, true);
    obey(w);
    assert_true(coordinator_get(w->c, 0)->ready);
    w->now += 100 * S;
    w->records[2]->memory = memory3;
    w->v.n_linked = w->v.n_records = memory3 ? 3 : 2;
    w->records[1]->drained = true;
    update(w);
}

static void a_drained_machine_is_left_when_the_copy_is_idle(void **state) {
    (void)state;
    struct world w;
    world_drains(&w, 60);
    assert_true(coordinator_get(w.c, 0)->ready); /* it answers until it goes */
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_IF_IDLE);
    answer(&w, first(&w, COORDINATOR_UNLOAD), ERR_CANCELLED);
    drop_stages(&w, 1);
    drop_stages(&w, 2);
    update(&w);
    for (uint32_t i = 0; i < w.n_actions; i++) assert_false(w.actions[i].kind == COORDINATOR_LOAD && w.actions[i].node == 2);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2);
    obey(&w);
    assert_true(coordinator_get(w.c, 0)->ready);
    assert_false(is_asked_to_go(&w));
    world_close(&w);
}

static void a_drained_machine_is_left_by_a_busy_copy_after_a_while(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 60, 60, 0);
    load(&w, 0, true);
    obey(&w);
    w.work[0].calls = 1;
    w.now += 100 * S;
    w.records[2]->memory = 60;
    w.v.n_linked = w.v.n_records = 3;
    w.records[1]->drained = true;
    clock_us began = w.now;
    assert_true(is_asked_to_go(&w));
    assert_true(w.now - began >= 30 * S && w.now - began < 40 * S);
    assert_int_equal(first(&w, COORDINATOR_UNLOAD)->how, STAGE_UNLOAD_LOST); /* its requests go on elsewhere */
    drop_stages(&w, 1);
    drop_stages(&w, 2);
    update(&w);
    for (uint32_t i = 0; i < w.n_actions; i++) assert_false(w.actions[i].kind == COORDINATOR_LOAD && w.actions[i].node == 2);
    world_close(&w);
}

static void a_drained_machine_is_not_left_without_another_place(void **state) {
    (void)state;
    struct world w;
    world_drains(&w, 0);
    assert_false(is_asked_to_go(&w));
    assert_true(coordinator_get(w.c, 0)->ready);
    assert_non_null(strstr(coordinator_get(w.c, 0)->message, "the others have no room"));
    w.records[1]->drained = false;
    w.now += 2 * S;
    update(&w);
    assert_null(strstr(coordinator_get(w.c, 0)->message, "no room"));
    world_close(&w);
}

static void no_model_is_loaded_on_a_drained_machine(void **state) {
    (void)state;
    struct world w;
    world_open(&w, 60, 60, 60);
    w.records[1]->drained = true;
    load(&w, 0, true);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 2);
    for (uint32_t i = 0; i < w.n_actions; i++) assert_int_not_equal(w.actions[i].node, 2);
    world_close(&w);
    world_open(&w, 200, 0, 0);
    w.records[0]->drained = true;
    load(&w, 0, true);
    assert_int_equal(count(&w, COORDINATOR_LOAD), 0);
    assert_true(coordinator_get(w.c, 0)->failed);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drained_machine_is_left_when_the_copy_is_idle),
        cmocka_unit_test(a_drained_machine_is_left_by_a_busy_copy_after_a_while),
        cmocka_unit_test(a_drained_machine_is_not_left_without_another_place),
        cmocka_unit_test(no_model_is_loaded_on_a_drained_machine),
        cmocka_unit_test(nothing_happens_when_nothing_changes),
        cmocka_unit_test(a_crash_is_told_to_the_head),
        cmocka_unit_test(what_a_record_does_not_show_is_ordered_again_or_lost),
        cmocka_unit_test(the_least_recently_used_model_makes_room_if_it_is_idle),
        cmocka_unit_test(nobody_leaves_where_it_would_not_help),
        cmocka_unit_test(a_model_waits_until_nodes_know_each_other),
        cmocka_unit_test(an_idle_model_of_another_coordinator_makes_room),
        cmocka_unit_test(room_is_given_to_another_coordinator),
        cmocka_unit_test(the_head_goes_first),
        cmocka_unit_test(a_head_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(a_copy_that_leaves_is_not_loaded_again),
        cmocka_unit_test(a_copy_that_stays_has_lost_what_it_lost),
        cmocka_unit_test(a_question_is_not_waited_for_without_end),
        cmocka_unit_test(a_late_answer_breaks_no_ring),
        cmocka_unit_test(an_heir_takes_a_model_over_as_it_was),
        cmocka_unit_test(what_clients_keep_leaves_when_it_has_been_idle),
        cmocka_unit_test(what_was_loaded_by_hand_leaves_for_those_who_may),
        cmocka_unit_test(a_copy_moves_to_a_better_place_when_it_is_idle),
        cmocka_unit_test(a_copy_that_shall_stay_says_where_it_would_fit_better),
        cmocka_unit_test(replicas_keep_out_of_each_others_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
