/* SPDX-License-Identifier: MIT
 * The plan: golden plans, refusals in words, and the division against brute force over thousands of random fleets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan.h"

/* A model whose slices need the sum of their layers, `fixed` for being a slice at all, and `ends` for the embedding and the head each. */
struct toy {
    uint64_t layer[64], fixed, ends;
    uint32_t n, period;
};

static uint64_t toy_need(void *user, uint32_t first, uint32_t end) {
    const struct toy *t = user;
    uint64_t sum = t->fixed + (first == 0 ? t->ends : 0) + (end == t->n ? t->ends : 0);
    for (uint32_t i = first; i < end; i++) sum += t->layer[i];
    return sum;
}

static bool toy_may(void *user, uint32_t first, uint32_t end) {
    const struct toy *t = user;
    return first % t->period == 0 && (end % t->period == 0 || end == t->n);
}

static void toy_why_not(void *user, uint32_t first, uint32_t end, struct err *e) {
    const struct toy *t = user;
    err_set(e, ERR_INVALID, "no cut before layer %u", first % t->period == 0 ? end : first);
    err_hint(e, "%u is legal", t->period);
}

static struct plan_model toy_model(struct toy *t, uint32_t n, uint64_t layer) {
    *t = (struct toy){.n = n, .period = 1};
    for (uint32_t i = 0; i < n; i++) t->layer[i] = layer;
    return (struct plan_model){.name = "toy", .n_layer = n, .may = toy_may, .need = toy_need, .user = t};
}

static void make_nodes(struct plan_node *nodes, uint32_t n, const uint64_t *memory) {
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = (struct plan_node){.id = i + 1, .memory = memory[i]};
        snprintf(nodes[i].name, sizeof(nodes[i].name), "n%u", i);
    }
}

static void assert_slices(const struct plan *p, uint32_t n, const uint32_t (*want)[3]) {
    assert_int_equal(p->n_stage, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(p->stages[i].node, want[i][0]);
        assert_int_equal(p->stages[i].first, want[i][1]);
        assert_int_equal(p->stages[i].end, want[i][2]);
    }
}

static const struct plan_wish by_memory = {.placement = PLAN_MEMORY};

static void whole_where_it_fits(void **state) {
    (void)state;
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    struct plan_node nodes[3];
    struct plan p;
    make_nodes(nodes, 3, (uint64_t[]){50, 80, 500});
    assert_int_equal(plan_make(&m, nodes, 3, &by_memory, &p, NULL), ERR_OK);
    assert_slices(&p, 1, (uint32_t[][3]){{1, 0, 8}});
    struct buf b;
    buf_init(&b, 4096);
    plan_explain(&p, &m, nodes, &b);
    assert_non_null(strstr(buf_cstr(&b), "fits on n1"));
    assert_non_null(strstr(buf_cstr(&b), "whole"));
    buf_done(&b);
}

static void in_proportion_to_memory(void **state) {
    (void)state;
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    struct plan_node nodes[3];
    struct plan p;
    make_nodes(nodes, 3, (uint64_t[]){30, 40, 40});
    assert_int_equal(plan_make(&m, nodes, 3, &by_memory, &p, NULL), ERR_OK);
    assert_int_equal(p.stages[0].end - p.stages[0].first, 2);
    assert_int_equal(p.stages[1].end - p.stages[1].first, 3);
    assert_int_equal(p.stages[2].end - p.stages[2].first, 3);
    t.ends = 10; /* the embedding and the head count: the outer nodes get less */
    make_nodes(nodes, 3, (uint64_t[]){40, 40, 40});
    assert_int_equal(plan_make(&m, nodes, 3, &by_memory, &p, NULL), ERR_OK);
    for (int i = 0; i < 3; i++) assert_true(p.stages[i].bytes <= 40);
    struct buf b;
    buf_init(&b, 4096);
    plan_explain(&p, &m, nodes, &b);
    assert_non_null(strstr(buf_cstr(&b), "divided over 3 nodes"));
    assert_non_null(strstr(buf_cstr(&b), "n2"));
    buf_done(&b);
}

/* Nodes that are alike: the model goes where it was, while that is about as fast and divides it no further. */
static void a_model_stays_where_it_was(void **state) {
    (void)state;
    static const struct plan_wish fast = {.placement = PLAN_FAST};
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    struct plan_node nodes[4];
    struct plan p;
    make_nodes(nodes, 4, (uint64_t[]){60, 60, 60, 60});
    assert_int_equal(plan_make(&m, nodes, 4, &fast, &p, NULL), ERR_OK);
    assert_int_equal(p.n_stage, 2);
    assert_int_equal(p.stages[0].node, 0); /* the node that was asked */
    assert_false(p.stays);
    nodes[3].had_end = 3;
    nodes[1].had_first = 3;
    nodes[1].had_end = 8;
    assert_int_equal(plan_make(&m, nodes, 4, &fast, &p, NULL), ERR_OK);
    assert_slices(&p, 2, (uint32_t[][3]){{3, 0, 3}, {1, 3, 8}});
    assert_true(p.stays && p.stages[1].bytes == 50);
    struct buf b;
    buf_init(&b, 4096);
    plan_explain(&p, &m, nodes, &b);
    assert_non_null(strstr(buf_cstr(&b), "They had these layers before."));
    buf_done(&b);
    nodes[0].had_end = 8; /* from another time, when it was larger; and a part that leads nowhere */
    nodes[2].had_end = 4;
    assert_int_equal(plan_make(&m, nodes, 4, &fast, &p, NULL), ERR_OK);
    assert_slices(&p, 2, (uint32_t[][3]){{3, 0, 3}, {1, 3, 8}});
    nodes[0].had_end = nodes[2].had_end = 0;
    const struct {
        const char *what;
        uint32_t node, first, end;
        uint64_t memory;
        double bandwidth;
    } others[] = {{"a part is missing", 1, 4, 8, 60, 0},
                  {"a part is too large now", 1, 3, 8, 40, 0},
                  {"a machine is much slower than the others", 1, 3, 8, 60, 200},
                  {"layers beyond the model's", 1, 3, 9, 60, 0},
                  {"it fits on one machine now", 0, 0, 0, 100, 2000}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct plan_node changed[4];
        memcpy(changed, nodes, sizeof(changed));
        struct plan_node *x = &changed[others[i].node];
        x->had_first = others[i].first;
        x->had_end = others[i].end;
        x->memory = others[i].memory;
        for (uint32_t k = 0; k < 4 && others[i].bandwidth > 0; k++) {
            changed[k].n_devices = 1;
            changed[k].devices[0] = (struct plan_device){.name = "RAM", .memory = changed[k].memory, .bandwidth = 2000};
        }
        if (others[i].bandwidth > 0) x->devices[0].bandwidth = others[i].bandwidth;
        assert_int_equal(plan_make(&m, changed, 4, &fast, &p, NULL), ERR_OK);
        if (p.stays) fail_msg("it stays although %s", others[i].what);
    }
    struct plan_node two[] = {nodes[1], nodes[3]};
    assert_int_equal(plan_make(&m, two, 2, &by_memory, &p, NULL), ERR_OK); /* the division is asked for */
    assert_false(p.stays);
}

static void a_node_that_is_too_small_is_left_out(void **state) {
    (void)state;
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    t.fixed = 5;
    struct plan_node nodes[3];
    struct plan p;
    make_nodes(nodes, 3, (uint64_t[]){60, 4, 60});
    assert_int_equal(plan_make(&m, nodes, 3, &by_memory, &p, NULL), ERR_OK);
    assert_slices(&p, 2, (uint32_t[][3]){{0, 0, 4}, {2, 4, 8}});
}

static void lists_and_their_refusals(void **state) {
    (void)state;
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    struct plan_node nodes[3];
    struct plan p;
    struct plan_wish w;
    struct err e;
    make_nodes(nodes, 3, (uint64_t[]){100, 100, 30});
    assert_int_equal(plan_wish_parse("3,1,4", &w, &e), ERR_OK);
    assert_int_equal(plan_make(&m, nodes, 3, &w, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "node \"n2\" cannot hold layers 4-7"));
    assert_int_equal(plan_wish_parse("4,2,2", &w, &e), ERR_OK);
    assert_int_equal(plan_make(&m, nodes, 3, &w, &p, &e), ERR_OK);
    assert_slices(&p, 3, (uint32_t[][3]){{0, 0, 4}, {1, 4, 6}, {2, 6, 8}});
    assert_int_equal(plan_make(&m, nodes, 2, &w, &p, &e), ERR_NO_ROOM);
    assert_string_equal(e.text, "placement names 3 nodes, 2 are here");
    assert_int_equal(plan_make(&m, nodes, 1, &w, &p, &e), ERR_NO_ROOM);
    assert_string_equal(e.text, "placement names 3 nodes, 1 is here");
    assert_int_equal(plan_wish_parse("4,5", &w, &e), ERR_OK);
    for (uint32_t n = 1; n <= 3; n++) { /* no further node would help, so that isn't said first */
        assert_int_equal(plan_make(&m, nodes, n, &w, &p, &e), ERR_INVALID);
        assert_non_null(strstr(e.text, "9 layers"));
    }
    t.period = 4;
    assert_int_equal(plan_wish_parse("2,6", &w, &e), ERR_OK);
    assert_int_equal(plan_make(&m, nodes, 3, &w, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "layers 0-1"));
    assert_int_equal(plan_make(&m, nodes, 1, &w, &p, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "layers 0-1"));
    m.why_not = toy_why_not;
    assert_int_equal(plan_make(&m, nodes, 3, &w, &p, &e), ERR_INVALID);
    assert_string_equal(e.text, "cannot place model \"toy\": no cut before layer 2; 4 is legal");
    for (const char *const *bad = (const char *const[]){"", "3,", ",3", "0", "3,-1", "fast?", "3;4", "99999999999", NULL}; *bad; bad++) {
        assert_int_equal(plan_wish_parse(*bad, &w, &e), ERR_INVALID);
        assert_non_null(strstr(e.hint, "3,1,4"));
    }
}

static void what_does_not_fit(void **state) {
    (void)state;
    struct toy t;
    struct plan_model m = toy_model(&t, 8, 10);
    struct plan_node nodes[2];
    struct plan p;
    struct err e;
    make_nodes(nodes, 2, (uint64_t[]){30, 40});
    assert_int_equal(plan_make(&m, nodes, 2, &by_memory, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "needs 80 B whole"));
    assert_non_null(strstr(e.text, "2 nodes offer 70 B"));
    assert_non_null(strstr(e.hint, "--memory"));
    m.whole_reason = "its layers share state";
    make_nodes(nodes, 2, (uint64_t[]){70, 70});
    assert_int_equal(plan_make(&m, nodes, 2, &by_memory, &p, &e), ERR_WHOLE_ONLY);
    assert_non_null(strstr(e.text, "share state"));
    assert_int_equal(plan_make(&m, nodes, 0, &by_memory, &p, &e), ERR_NO_ROOM);
}

/* The least possible largest fill, by trying every division over these nodes in order, each holding something. -1: none. */
static double brute(const struct plan_model *m, const struct plan_node *nodes, uint32_t n_nodes, uint32_t from) {
    if (n_nodes == 0) return from == m->n_layer ? 0 : -1;
    double best = -1;
    for (uint32_t end = from + 1; end <= m->n_layer; end++) {
        if (!m->may(m->user, from, end)) continue;
        double fill = (double)m->need(m->user, from, end) / (double)nodes[0].memory;
        double rest = fill > 1 ? -1 : brute(m, nodes + 1, n_nodes - 1, end);
        if (rest < 0) continue;
        if (rest > fill) fill = rest;
        if (best < 0 || fill < best) best = fill;
    }
    return best;
}

static void the_division_is_the_best_there_is(void **state) {
    (void)state;
    unsigned seed = 1;
    int divided = 0;
    for (int round = 0; round < 3000; round++) {
        struct toy t;
        uint32_t n = 2 + (uint32_t)rand_r(&seed) % 9, n_nodes = 1 + (uint32_t)rand_r(&seed) % 4;
        struct plan_model m = toy_model(&t, n, 1);
        t.period = 1 + (uint32_t)rand_r(&seed) % 2;
        t.fixed = (uint64_t)rand_r(&seed) % 3;
        t.ends = (uint64_t)rand_r(&seed) % 8;
        for (uint32_t i = 0; i < n; i++) t.layer[i] = 1 + (uint64_t)rand_r(&seed) % 10;
        struct plan_node nodes[4];
        uint64_t memory[4];
        for (int i = 0; i < 4; i++) memory[i] = 1 + (uint64_t)rand_r(&seed) % 60;
        make_nodes(nodes, n_nodes, memory);
        struct plan p;
        uint64_t whole = toy_need(&t, 0, n);
        bool fits = false;
        for (uint32_t i = 0; i < n_nodes; i++) fits = fits || nodes[i].memory >= whole;
        double best = brute(&m, nodes, n_nodes, 0);
        err_code code = plan_make(&m, nodes, n_nodes, &by_memory, &p, NULL);
        if (fits) {
            assert_int_equal(p.n_stage, 1);
        } else if (best >= 0) { /* all nodes can take part, so they do, at the least possible fill */
            assert_int_equal(code, ERR_OK);
            assert_int_equal(p.n_stage, n_nodes);
            double worst = 0;
            uint32_t at = 0;
            for (uint32_t i = 0; i < p.n_stage; i++) {
                assert_int_equal(p.stages[i].first, at);
                at = p.stages[i].end;
                double fill = (double)p.stages[i].bytes / (double)nodes[p.stages[i].node].memory;
                if (fill > worst) worst = fill;
            }
            assert_int_equal(at, n);
            assert_true(worst <= best + 1e-12);
            divided++;
        } else if (code == ERR_OK) {
            assert_true(p.n_stage < n_nodes);
            for (uint32_t i = 0; i < p.n_stage; i++) assert_true(p.stages[i].bytes <= nodes[p.stages[i].node].memory);
        }
    }
    assert_true(divided > 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_where_it_fits),
        cmocka_unit_test(in_proportion_to_memory),
        cmocka_unit_test(a_model_stays_where_it_was),
        cmocka_unit_test(a_node_that_is_too_small_is_left_out),
        cmocka_unit_test(lists_and_their_refusals),
        cmocka_unit_test(what_does_not_fit),
        cmocka_unit_test(the_division_is_the_best_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
