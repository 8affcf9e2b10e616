/* SPDX-License-Identifier: MIT
 * Plans with nodes that cannot connect to each other, or whose disks cannot take the weights: in no plan are two stages on nodes that are
 * cut from each other, and no node fetches more than its disk can take. */
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

enum { LAYERS = 8, LAYER = 10, MAX = 6 };

struct net {
    enum plan_reach reach[MAX][MAX];
};

static struct plan_link net_link(void *user, uint64_t from, uint64_t to) {
    const struct net *net = user;
    return (struct plan_link){.rtt_s = 0.001, .throughput = 1e8, .reach = net->reach[from - 1][to - 1]};
}

static uint64_t need(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return (uint64_t)(end - first) * LAYER + 2;
}
static uint64_t weights(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return (uint64_t)(end - first) * LAYER;
}
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}

static const struct plan_model model = {.name = "toy", .n_layer = LAYERS, .may = may, .need = need, .weights = weights};

static void make_nodes(struct plan_node *nodes, uint32_t n, const uint64_t *memory) {
    for (uint32_t i = 0; i < n; i++) {
        nodes[i] = (struct plan_node){.id = i + 1, .memory = memory[i]};
        snprintf(nodes[i].name, sizeof(nodes[i].name), "n%u", i);
    }
}

static void shut(struct net *net, uint32_t n, uint32_t node) {
    for (uint32_t i = 0; i < n; i++) net->reach[i][node] = PLAN_REACHES_NOT;
}

static bool uses(const struct plan *p, uint32_t node) {
    for (uint32_t i = 0; i < p->n_stage; i++)
        if (p->stages[i].node == node) return true;
    return false;
}

static void a_shut_node_is_in_no_ring(void **state) {
    (void)state;
    for (int placement = PLAN_FAST; placement <= PLAN_LIST; placement++) {
        struct net net = {0};
        struct plan_node nodes[3];
        struct plan p;
        struct plan_wish w = {
            .placement = (enum plan_placement)placement, .list = {4, 4}, .n_list = 2, .link = net_link, .link_user = &net};
        make_nodes(nodes, 3, (uint64_t[]){50, 70, 50}); /* the one that offers most would be the first choice */
        shut(&net, 3, 1);
        assert_int_equal(plan_make(&model, nodes, 3, &w, &p, NULL), ERR_OK);
        assert_int_equal(p.n_stage, 2);
        assert_false(uses(&p, 1));
    }
}

/* The node that was asked is no better: others make the ring, and may fetch from it if they can connect to it. */
static void the_node_that_was_asked_may_be_shut(void **state) {
    (void)state;
    struct net net = {0};
    struct plan_node nodes[3];
    struct plan p;
    struct plan_wish w = {.link = net_link, .link_user = &net};
    make_nodes(nodes, 3, (uint64_t[]){50, 50, 50});
    shut(&net, 3, 0);
    assert_int_equal(plan_make(&model, nodes, 3, &w, &p, NULL), ERR_OK);
    assert_false(uses(&p, 0));
    struct err e = {0};
    nodes[1].fetches = nodes[1].cut_off = true;
    nodes[1].room = UINT64_MAX;
    assert_int_equal(plan_make(&model, nodes, 3, &w, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "n0 can be in no ring with n1, since n1 cannot connect to n0"));
    assert_non_null(strstr(e.text, "n1 cannot connect to n0, where it would fetch the weights"));
    assert_non_null(strstr(e.text, "`caravan doctor` on n1"));
}

static void a_shut_node_may_hold_the_whole(void **state) {
    (void)state;
    struct net net = {0};
    struct plan_node nodes[2];
    struct plan p;
    struct plan_wish w = {.link = net_link, .link_user = &net};
    make_nodes(nodes, 2, (uint64_t[]){50, 50});
    shut(&net, 2, 1);
    struct err e = {0};
    assert_int_equal(plan_make(&model, nodes, 2, &w, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "n1 can be in no ring with n0, since n0 cannot connect to n1"));
    nodes[1].memory = 100;
    assert_int_equal(plan_make(&model, nodes, 2, &w, &p, NULL), ERR_OK);
    assert_int_equal(p.n_stage, 1);
    assert_int_equal(p.stages[0].node, 1);
}

static void what_is_not_known_yet_is_waited_for(void **state) {
    (void)state;
    struct net net = {0};
    struct plan_node nodes[2];
    struct plan p;
    struct err e = {0};
    struct plan_wish w = {.link = net_link, .link_user = &net};
    make_nodes(nodes, 2, (uint64_t[]){50, 50});
    net.reach[1][0] = PLAN_REACH_UNKNOWN;
    assert_int_equal(plan_make(&model, nodes, 2, &w, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "n1 waits until it is known"));
    assert_null(strstr(e.text, "doctor"));
}

static void weights_fit_onto_the_disk(void **state) {
    (void)state;
    for (int placement = PLAN_FAST; placement < PLAN_LIST; placement++) {
        struct plan_node nodes[2];
        struct plan p;
        struct err e = {0};
        struct plan_wish w = {.placement = (enum plan_placement)placement};
        make_nodes(nodes, 2, (uint64_t[]){70, 70});
        nodes[1].fetches = true;
        nodes[1].room = 3 * LAYER - 1;
        assert_int_equal(plan_make(&model, nodes, 2, &w, &p, NULL), ERR_OK);
        for (uint32_t i = 0; i < p.n_stage; i++)
            if (p.stages[i].node == 1) assert_int_equal(p.stages[i].end - p.stages[i].first, 2);
        nodes[1].room = LAYER;
        assert_int_equal(plan_make(&model, nodes, 2, &w, &p, &e), ERR_NO_ROOM);
        assert_non_null(strstr(e.text, "n1 has no weights of this model, and room for 10 B of them on its disk"));
        nodes[1].fetches = false; /* it has them */
        assert_int_equal(plan_make(&model, nodes, 2, &w, &p, NULL), ERR_OK);
    }
    struct plan_node nodes[2];
    struct plan p;
    struct err e = {0};
    struct plan_wish list = {.placement = PLAN_LIST, .list = {4, 4}, .n_list = 2};
    make_nodes(nodes, 2, (uint64_t[]){70, 70});
    nodes[1].fetches = true;
    nodes[1].room = LAYER;
    assert_int_equal(plan_make(&model, nodes, 2, &list, &p, &e), ERR_NO_ROOM);
    assert_non_null(strstr(e.text, "node \"n1\" cannot fetch layers 4-7"));
}

/* Random networks: with every placement, the plan never has two stages on nodes that are cut from each other. */
static void no_ring_crosses_a_cut(void **state) {
    (void)state;
    unsigned seed = 20260;
    for (int round = 0; round < 2000; round++) {
        struct net net = {0};
        struct plan_node nodes[MAX];
        struct plan p;
        uint64_t memory[MAX];
        uint32_t n = 2 + (uint32_t)rand_r(&seed) % (MAX - 1);
        for (uint32_t i = 0; i < n; i++) memory[i] = 12 + (uint64_t)rand_r(&seed) % 90;
        for (uint32_t i = 0; i < n; i++)
            for (uint32_t k = 0; k < n; k++)
                if (i != k && rand_r(&seed) % 4 == 0) net.reach[i][k] = rand_r(&seed) % 2 ? PLAN_REACHES_NOT : PLAN_REACH_UNKNOWN;
        make_nodes(nodes, n, memory);
        struct plan_wish w = {.placement = (enum plan_placement)(rand_r(&seed) % PLAN_LIST), .link = net_link, .link_user = &net};
        if (plan_make(&model, nodes, n, &w, &p, NULL) != ERR_OK) continue;
        for (uint32_t i = 0; i < p.n_stage; i++)
            for (uint32_t k = 0; k < p.n_stage; k++)
                if (i != k) assert_int_equal(net.reach[p.stages[i].node][p.stages[k].node], PLAN_REACHES);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shut_node_is_in_no_ring),      cmocka_unit_test(the_node_that_was_asked_may_be_shut),
        cmocka_unit_test(a_shut_node_may_hold_the_whole), cmocka_unit_test(what_is_not_known_yet_is_waited_for),
        cmocka_unit_test(weights_fit_onto_the_disk),      cmocka_unit_test(no_ring_crosses_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
