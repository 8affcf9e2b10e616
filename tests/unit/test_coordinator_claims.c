/* SPDX-License-Identifier: MIT
 * Which node coordinates a model: this node's claim counts most, then the claims of linked nodes, then those of nodes whose link has just
 * been lost. Also the models whose coordinator is gone. */
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
#include "coordinator/copy.h"
#include "support/toy_model.h"

#define S 1000000ull
enum { SELF = 5, NODES = 4, WALL = 5000 };

/* This node is 5; 3 and 7 are linked, and 1 has lost its link. */
struct world {
    struct coordinator *c;
    struct record *self, *low, *high, *suspect;
    const struct record *seen[NODES];
    struct coordinator_view v;
    struct coordinator_model model;
    clock_us now;
};

static struct coordinator_queue no_queue(void *user, const char *model) {
    (void)user;
    (void)model;
    return (struct coordinator_queue){0};
}

static struct coordinator_work no_work(void *user, const char *instance) {
    (void)user, (void)instance;
    return (struct coordinator_work){0};
}

static struct record *record_of(uint64_t id) {
    struct record *r = MEM_NEW(struct record);
    r->id = id;
    snprintf(r->name, sizeof(r->name), "n%u", (unsigned)id);
    return r;
}

static void world_open(struct world *w) {
    log_set_level(LOG_ERROR);
    *w = (struct world){.c = coordinator_create(SELF, 1), .now = 1000 * S};
    w->seen[0] = w->self = record_of(SELF);
    w->seen[1] = w->high = record_of(7);
    w->seen[2] = w->low = record_of(3);
    w->seen[3] = w->suspect = record_of(1);
    w->self->memory = 1000;
    w->suspect->unlinked = w->now;
    w->v =
        (struct coordinator_view){.records = w->seen, .n_linked = 3, .n_records = NODES, .wall = WALL, .work = no_work, .queue = no_queue};
    w->model = (struct coordinator_model){.plan = &toy, .wish = {.placement = PLAN_MEMORY}, .arch = "toy", .path = "/toy.gguf"};
    snprintf(w->model.record.name, sizeof(w->model.record.name), "m");
    snprintf(w->model.record.facts.digest, sizeof(w->model.record.facts.digest), "d1");
    wish_set(&w->model.record.wish, WISH_REPLICAS, 1);
}

static void world_close(struct world *w) {
    coordinator_free(w->c);
    for (size_t i = 0; i < NODES; i++) free((void *)(uintptr_t)w->seen[i]);
}

static struct record_model *claims(struct record *r, const char *name) {
    struct record_model *m = &r->models[r->n_models++];
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->facts.digest, sizeof(m->facts.digest), "d1");
    return m;
}

static void has_file(struct record *r, const char *name) {
    r->cards = mem_realloc(r->cards, r->n_cards + 1, sizeof(*r->cards));
    memset(&r->cards[r->n_cards], 0, sizeof(*r->cards));
    snprintf(r->cards[r->n_cards].name, sizeof(r->cards[0].name), "%s", name);
    r->n_cards++;
}

static void lose_files(struct world *w) {
    for (size_t i = 0; i < NODES; i++) {
        struct record *r = (struct record *)(uintptr_t)w->seen[i];
        free(r->cards);
        r->cards = NULL;
        r->n_cards = 0;
    }
}

/* The id of the node that coordinates "m"; 0: none does. */
static uint64_t keeper(const struct world *w, bool *ret_linked) {
    struct coordinator_claim claim;
    if (!coordinator_claimed(w->c, w->now, &w->v, "m", &claim)) return 0;
    assert_string_equal(claim.model->name, "m");
    *ret_linked = claim.linked;
    return claim.node;
}

static void open_here(struct world *w) {
    struct err e = {0};
    if (coordinator_open(w->c, w->now, &w->v, &w->model, &e) != ERR_OK) fail_msg("%s", e.text);
}

/* The next action of that kind; those before it are passed over. False: there is none. */
static bool next(struct world *w, enum coordinator_action_kind kind, struct coordinator_action *ret) {
    while (coordinator_next_action(w->c, ret))
        if (ret->kind == kind) return true;
    return false;
}

/* ---- tests ---- */

static void the_best_claim_counts(void **state) {
    (void)state;
    struct world w;
    bool linked = false;
    world_open(&w);
    claims(w.low, "another");
    assert_int_equal(keeper(&w, &linked), 0);
    struct record_model *high = claims(w.high, "m");
    high->failed = true;
    assert_int_equal(keeper(&w, &linked), 7);
    assert_true(linked);
    struct record_model *low = claims(w.low, "m");
    assert_int_equal(keeper(&w, &linked), 3); /* it has not failed */
    high->failed = false;
    high->ready = true;
    assert_int_equal(keeper(&w, &linked), 7); /* it is ready */
    low->ready = true;
    assert_int_equal(keeper(&w, &linked), 7); /* of equals, the first that is known */
    open_here(&w);
    assert_int_equal(keeper(&w, &linked), SELF); /* though it is not ready */
    assert_true(linked);
    copy_set_state(w.c->copies[0], COPY_CLOSING, w.now); /* it is on its way out */
    assert_int_equal(keeper(&w, &linked), 7);
    world_close(&w);
}

static void a_node_out_of_reach_keeps_its_models_for_a_while(void **state) {
    (void)state;
    struct world w;
    bool linked = true;
    world_open(&w);
    claims(w.suspect, "m")->ready = true;
    assert_int_equal(keeper(&w, &linked), 1);
    assert_false(linked);
    w.now += 9 * S;
    assert_int_equal(keeper(&w, &linked), 1);
    w.now += 2 * S;
    assert_int_equal(keeper(&w, &linked), 0);
    w.now -= 2 * S;
    claims(w.low, "m")->failed = true; /* the claim of a linked node counts first, even if its model has failed */
    assert_int_equal(keeper(&w, &linked), 3);
    assert_true(linked);
    world_close(&w);
}

static void the_heir_is_the_smallest_that_has_the_file(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    has_file(w.suspect, "m");
    has_file(w.low, "another");
    assert_int_equal(coordinator_heir(&w.v, "m"), 0);
    has_file(w.high, "m");
    assert_int_equal(coordinator_heir(&w.v, "m"), 7);
    has_file(w.self, "m");
    assert_int_equal(coordinator_heir(&w.v, "m"), SELF);
    has_file(w.low, "m");
    assert_int_equal(coordinator_heir(&w.v, "m"), 3);
    lose_files(&w);
    world_close(&w);
}

static void the_node_to_ask_is_the_keeper_or_the_heir(void **state) {
    (void)state;
    struct world w;
    struct err e = {0};
    uint64_t node = 99;
    world_open(&w);
    assert_int_equal(coordinator_loader(w.c, w.now, &w.v, "m", &node, &e), ERR_OK);
    assert_int_equal(node, 0);
    has_file(w.low, "m");
    assert_int_equal(coordinator_loader(w.c, w.now, &w.v, "m", &node, &e), ERR_OK);
    assert_int_equal(node, 3);
    claims(w.high, "m");
    assert_int_equal(coordinator_loader(w.c, w.now, &w.v, "m", &node, &e), ERR_OK);
    assert_int_equal(node, 7);
    w.high->n_models = 0;
    claims(w.suspect, "m");
    assert_int_equal(coordinator_loader(w.c, w.now, &w.v, "m", &node, &e), ERR_UNAVAILABLE);
    assert_non_null(strstr(e.text, "n1"));
    lose_files(&w);
    w.suspect->n_models = 0;
    struct record *gone = record_of(9);
    claims(gone, "m")->wish = (struct load_wish){0};
    coordinator_node_lost(w.c, w.now, gone, false);
    assert_int_equal(coordinator_loader(w.c, w.now, &w.v, "m", &node, &e), ERR_UNAVAILABLE); /* its file is gone with it */
    assert_non_null(strstr(e.text, "n9"));
    free(gone);
    world_close(&w);
}

/* ---- models whose coordinator is gone ---- */

/* Node 9, which looked after "m" as somebody wished, is gone. */
static struct record_model *lost(struct world *w, struct record *gone, bool restarted) {
    struct record_model *m = claims(gone, "m");
    wish_set(&m->wish, WISH_KEPT, true);
    wish_set(&m->wish, WISH_CTX, 77);
    coordinator_node_lost(w->c, w->now, gone, restarted);
    return m;
}

static void a_lost_model_is_taken_over_or_its_heir_is_told(void **state) {
    (void)state;
    struct world w;
    struct coordinator_action a;
    struct record *gone = record_of(9);
    world_open(&w);
    has_file(w.self, "m");
    lost(&w, gone, false);
    claims_update(w.c, w.now, &w.v);
    assert_true(next(&w, COORDINATOR_TAKE, &a));
    assert_string_equal(a.orphan.name, "m");
    assert_true(a.orphan.wish.ctx == 77 && a.orphan.node == 9);
    assert_string_equal(a.orphan.node_name, "n9");
    has_file(w.low, "m");
    coordinator_node_lost(w.c, w.now, gone, false);
    claims_update(w.c, w.now, &w.v);
    assert_false(next(&w, COORDINATOR_TAKE, &a));
    w.now += 60 * S; /* the heir has had time to notice by itself */
    claims_update(w.c, w.now, &w.v);
    assert_true(next(&w, COORDINATOR_TELL, &a));
    assert_int_equal(a.node, 3);
    lose_files(&w);
    free(gone);
    world_close(&w);
}

static void a_node_that_was_started_again_may_come_back_with_its_models(void **state) {
    (void)state;
    struct world w;
    struct coordinator_action a;
    struct record *gone = record_of(9);
    world_open(&w);
    has_file(w.self, "m");
    lost(&w, gone, true);
    w.now += 1 * S;
    claims_update(w.c, w.now, &w.v);
    assert_false(next(&w, COORDINATOR_TAKE, &a));
    w.now += 2 * S;
    claims_update(w.c, w.now, &w.v);
    assert_true(next(&w, COORDINATOR_TAKE, &a));
    lose_files(&w);
    free(gone);
    world_close(&w);
}

static void only_what_somebody_still_wants_is_remembered(void **state) {
    (void)state;
    struct world w;
    struct record *gone = record_of(9);
    world_open(&w);
    claims(gone, "replica")->replica = 1;
    claims(gone, "failed for a request")->failed = true;
    struct record_model *m = claims(gone, "failed by hand");
    m->failed = true;
    wish_set(&m->wish, WISH_KEPT, true);
    claims(gone, "for a request");
    coordinator_node_lost(w.c, w.now, gone, false);
    const struct orphans *o = coordinator_orphans(w.c);
    assert_int_equal(o->n, 3);
    assert_non_null(orphans_find(o, "failed by hand"));
    assert_non_null(orphans_find(o, "failed for a request")); /* the next request has it loaded in the same way */
    assert_non_null(orphans_find(o, "for a request"));
    free(gone);
    world_close(&w);
}

/* The context of a model that is loaded here now, though the request says nothing about it; 0: nothing is known. */
static uint32_t wished_ctx(const struct world *w) {
    struct load_wish wish = {0};
    coordinator_wish(w->c, &w->v, "m", &wish);
    assert_false(wish_says(&wish, WISH_PINNED));
    return wish.ctx;
}

/* Whichever node loads a model next, and whatever became of the node that looked after it: the wish counts until somebody unloads it. */
static void a_wish_outlives_its_coordinator(void **state) {
    (void)state;
    struct world w;
    struct record *gone = record_of(9);
    struct err e = {0};
    world_open(&w);
    assert_int_equal(wished_ctx(&w), 0);
    struct record_model *m = claims(w.suspect, "m"); /* out of reach for longer than its claim counts, but others hear it */
    wish_set(&m->wish, WISH_CTX, 55);
    wish_set(&m->wish, WISH_PINNED, true);
    wish_set(&m->wish, WISH_ASKED, WALL);
    w.now += 60 * S;
    bool linked;
    assert_int_equal(keeper(&w, &linked), 0);
    assert_int_equal(wished_ctx(&w), 55);
    wish_set(&lost(&w, gone, false)->wish, WISH_ASKED, WALL);
    coordinator_node_lost(w.c, w.now, gone, false);
    assert_int_equal(wished_ctx(&w), 77);
    wish_set(&w.model.record.wish, WISH_CTX, 66);
    open_here(&w); /* a request has it loaded: the user's word counts more */
    assert_int_equal(wished_ctx(&w), 77);
    wish_set(&w.model.record.wish, WISH_KEPT, true);
    wish_set(&w.model.record.wish, WISH_ASKED, WALL);
    open_here(&w); /* its own copy, even if loading it fails */
    assert_int_equal(wished_ctx(&w), 66);
    struct load_wish told = {0}; /* another node remembers only what a request got */
    wish_set(&told, WISH_CTX, 1);
    wish_set(&told, WISH_ASKED, WALL);
    coordinator_wish(w.c, &w.v, "m", &told);
    assert_int_equal(told.ctx, 66);
    told = (struct load_wish){0}; /* a user asks anew */
    wish_set(&told, WISH_CTX, 1);
    coordinator_wish(w.c, &w.v, "m", &told);
    assert_int_equal(told.ctx, 1);
    w.v.wall = WALL + 1;
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m", &e), ERR_OK);
    assert_int_equal(wished_ctx(&w), 0);
    free(gone);
    world_close(&w);
}

static void a_node_that_starts_waits_for_others_before_it_loads_its_models(void **state) {
    (void)state;
    struct world w;
    struct coordinator_action a;
    struct orphans *before = MEM_NEW(struct orphans);
    struct unloads unloads = {0};
    struct orphan one = {.path = "/toy.gguf"};
    world_open(&w);
    snprintf(one.name, sizeof(one.name), "m");
    wish_set(&one.wish, WISH_KEPT, true);
    orphans_add(before, &one);
    unloads_add(&unloads, "old", 4000);
    coordinator_restore(w.c, w.now, "n5", before, &unloads);
    assert_int_equal(unloads_time(coordinator_unloads(w.c), "old"), 4000);
    has_file(w.self, "m");
    w.now += 4 * S;
    claims_update(w.c, w.now, &w.v);
    assert_false(next(&w, COORDINATOR_TAKE, &a));
    w.now += 2 * S;
    claims_update(w.c, w.now, &w.v);
    assert_true(next(&w, COORDINATOR_TAKE, &a));
    assert_int_equal(a.orphan.node, SELF);
    assert_string_equal(a.orphan.path, "/toy.gguf");
    claims(w.low, "m"); /* now another node looks after it */
    claims_update(w.c, w.now, &w.v);
    assert_int_equal(coordinator_orphans(w.c)->n, 0);
    lose_files(&w);
    free(before);
    world_close(&w);
}

static void what_was_asked_for_by_hand_is_kept_for_the_next_start(void **state) {
    (void)state;
    struct world w;
    struct orphans *saved = MEM_NEW(struct orphans);
    struct record *gone = record_of(9);
    struct unloads unloads = {0};
    struct err e = {0};
    world_open(&w);
    open_here(&w);
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 0); /* a request asked for it */
    struct copy *x = w.c->copies[0];
    wish_set(&x->record.wish, WISH_KEPT, true);
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 1);
    assert_string_equal(saved->list[0].path, "/toy.gguf");
    saved->n = 0;
    wish_set(&x->record.wish, WISH_PINNED, true); /* the command line asks for it again */
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 0);
    wish_set(&x->record.wish, WISH_PINNED, false);
    x->record.replica = 1;
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 0);
    x->record.replica = 0;
    assert_int_equal(coordinator_unload(w.c, w.now, &w.v, "m", &e), ERR_OK);
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 0);
    lost(&w, gone, false); /* another node's model is not this one's */
    coordinator_saved(w.c, saved);
    assert_int_equal(saved->n, 0);
    struct orphans *own = MEM_NEW(struct orphans);
    orphans_add(own, &(struct orphan){.name = "mine", .node = 77});
    coordinator_restore(w.c, w.now, "n5", own, &unloads);
    coordinator_saved(w.c, saved); /* it has not been loaded again yet, and is not forgotten for that */
    assert_int_equal(saved->n, 1);
    assert_string_equal(saved->list[0].name, "mine");
    free(own);
    free(saved);
    free(gone);
    world_close(&w);
}

static void a_load_is_later_than_every_unload(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    assert_int_equal(claims_now(w.c, &w.v, "m"), WALL);
    unloads_add(&w.high->unloads, "m", WALL + 30); /* the clock of that node is ahead */
    unloads_add(&w.low->unloads, "another", WALL + 90);
    unloads_add(&w.suspect->unloads, "m", WALL + 90); /* that node cannot be asked */
    assert_int_equal(claims_now(w.c, &w.v, "m"), WALL + 30);
    world_close(&w);
}

/* ---- two coordinators of one model ---- */

static void one_of_two_coordinators_lets_go(void **state) {
    (void)state;
    struct world w;
    world_open(&w);
    open_here(&w);
    struct copy *x = w.c->copies[0];
    assert_false(claims_yields(w.c, &w.v, x));
    struct record_model *m = claims(w.low, "m");
    m->ready = true;
    assert_true(claims_yields(w.c, &w.v, x)); /* the other one is ready */
    snprintf(m->facts.digest, sizeof(m->facts.digest), "d2"); /* another model has the name */
    assert_false(claims_yields(w.c, &w.v, x));
    snprintf(m->facts.digest, sizeof(m->facts.digest), "d1");
    wish_set(&x->record.wish, WISH_PINNED, true);
    assert_false(claims_yields(w.c, &w.v, x)); /* it was asked for on this node's command line */
    wish_set(&x->record.wish, WISH_PINNED, false);
    w.low->n_models = 0;
    claims(w.suspect, "m")->ready = true; /* it may have let go already */
    assert_false(claims_yields(w.c, &w.v, x));
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_claim_counts),
        cmocka_unit_test(a_node_out_of_reach_keeps_its_models_for_a_while),
        cmocka_unit_test(the_heir_is_the_smallest_that_has_the_file),
        cmocka_unit_test(the_node_to_ask_is_the_keeper_or_the_heir),
        cmocka_unit_test(a_lost_model_is_taken_over_or_its_heir_is_told),
        cmocka_unit_test(a_node_that_was_started_again_may_come_back_with_its_models),
        cmocka_unit_test(only_what_somebody_still_wants_is_remembered),
        cmocka_unit_test(a_wish_outlives_its_coordinator),
        cmocka_unit_test(a_node_that_starts_waits_for_others_before_it_loads_its_models),
        cmocka_unit_test(what_was_asked_for_by_hand_is_kept_for_the_next_start),
        cmocka_unit_test(a_load_is_later_than_every_unload),
        cmocka_unit_test(one_of_two_coordinators_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
