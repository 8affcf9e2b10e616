/* SPDX-License-Identifier: MIT
 * A slice on the devices of one node: what goes to which GPU, what stays in RAM, what doesn't fit; and plans that count both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"

enum { LAYERS = 10 };

/* Layers of 10 bytes, an embedding of 7, an output head of 5; compute buffers of 2 in RAM and 3 on GPUs; a process of 1. */
static uint64_t layers_bytes(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return 10 * (uint64_t)(end - first);
}
static void parts(void *user, uint32_t first, uint32_t end, struct plan_parts *ret) {
    (void)user;
    *ret = (struct plan_parts){.in = first == 0 ? 7 : 0, .out = end == LAYERS ? 5 : 0, .ram = 2, .gpu = 3, .beside = 3, .process = 1};
}
static uint64_t need(void *user, uint32_t first, uint32_t end) {
    struct plan_parts p;
    parts(user, first, end, &p);
    return p.in + p.out + p.ram + layers_bytes(user, first, end);
}
static bool may(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return first < end;
}
static const struct plan_model model = {
    .name = "toy", .n_layer = LAYERS, .may = may, .need = need, .parts = parts, .layers_bytes = layers_bytes, .n_embd = 64};

/* RAM, and GPUs of which the first one is slower. */
static struct plan_node node_of(uint64_t ram, uint64_t slow, uint64_t fast) {
    struct plan_node n = {.id = 1, .name = "n", .memory = ram + slow + fast, .n_devices = 3};
    n.devices[0] = (struct plan_device){.name = "CPU", .memory = ram, .bandwidth = 10};
    n.devices[1] = (struct plan_device){.name = "Slow", .gpu = true, .memory = slow, .bandwidth = 100};
    n.devices[2] = (struct plan_device){.name = "Fast", .gpu = true, .memory = fast, .bandwidth = 200};
    return n;
}

static void the_embedding_stays_in_ram(void **state) {
    (void)state;
    struct plan_node n = node_of(9, 0, 108);
    struct plan_spread s;
    assert_true(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_used, 1);
    assert_int_equal(s.layers[2], LAYERS);
    assert_int_equal(s.bytes[2], 100 + 5 + 3);
    assert_int_equal(s.bytes[0], 7 + 1); /* the process, and no buffer to compute with */
    assert_int_equal(s.layers[0], 0);
    n = node_of(7, 0, 108);
    assert_false(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_true(plan_spread_make(&model, &n, 1, LAYERS, &s)); /* a later slice has none */
    assert_int_equal(s.bytes[0], 1);
    n = node_of(0, 0, 108);
    assert_false(plan_spread_make(&model, &n, 1, LAYERS, &s)); /* but a process */
}

static void the_last_layers_and_the_head_go_to_the_fastest(void **state) {
    (void)state;
    struct plan_node n = node_of(60, 25, 49);
    struct plan_spread s;
    assert_true(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_used, 2);
    assert_int_equal(s.used[0], 2);
    assert_int_equal(s.layers[2], 4); /* 49 - 3 - 5 */
    assert_int_equal(s.layers[1], 2); /* 25 - 3 */
    assert_int_equal(s.layers[0], 4);
    assert_int_equal(s.bytes[0], 40 + 7 + 3);
    assert_int_equal(s.bytes[1], 20 + 3);
    n = node_of(49, 25, 49);
    assert_false(plan_spread_make(&model, &n, 0, LAYERS, &s)); /* one byte of RAM is missing */
}

static void a_card_too_small_for_a_layer_is_not_used(void **state) {
    (void)state;
    struct plan_node n = node_of(200, 12, 17);
    struct plan_spread s;
    assert_true(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_used, 0);
    assert_int_equal(s.bytes[0], need(NULL, 0, LAYERS));
}

static void a_gpu_that_shares_ram_takes_from_it(void **state) {
    (void)state;
    struct plan_node n = node_of(80, 0, 80);
    struct plan_spread s;
    n.devices[2].shared = true;
    n.memory = 80;
    assert_false(plan_spread_make(&model, &n, 0, LAYERS, &s)); /* 112 bytes in 80, not in 160 */
    assert_true(plan_spread_make(&model, &n, 0, 6, &s));
    assert_int_equal(s.layers[2], 6);
    n.devices[0].memory = n.memory = 69;
    assert_true(plan_spread_make(&model, &n, 4, LAYERS, &s));
    assert_int_equal(s.bytes[0] + s.bytes[2], 60 + 5 + 3 + 1);
}

static void cards_without_ram_hold_all_or_nothing(void **state) {
    (void)state;
    struct plan_node n = node_of(0, 60, 60);
    struct plan_spread s;
    n.devices[0] = n.devices[2];
    n.n_devices = 2;
    assert_true(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_int_equal(s.layers[0] + s.layers[1], LAYERS);
    n.devices[1].memory = 40;
    assert_false(plan_spread_make(&model, &n, 0, LAYERS, &s));
}

static void a_plan_counts_both_and_says_so(void **state) {
    (void)state;
    struct plan_node n = node_of(60, 25, 49);
    struct plan_wish wish = {0};
    struct plan p;
    struct buf out;
    assert_int_equal(plan_make(&model, &n, 1, &wish, &p, NULL), ERR_OK);
    assert_int_equal(p.stages[0].bytes, 50 + 23 + 48);
    buf_init(&out, 4096);
    plan_explain(&p, &model, &n, &out);
    assert_non_null(
        strstr(buf_cstr(&out), "Fast: layers 6-9 and the output head, 48 B; Slow: layers 4-5, 23 B; RAM: layers 0-3, the embedding, 50 B"));
    buf_done(&out);
    n = node_of(49, 25, 49); /* 123 bytes are enough for the sum, and not for the RAM */
    assert_int_equal(plan_make(&model, &n, 1, &wish, &p, NULL), ERR_NO_ROOM);
}

/* ---- experts in RAM ---- */

/* Of the 10 bytes of a layer 8 are experts', of which a token reads a quarter; a GPU needs 4 more to compute beside them. */
static uint64_t experts_bytes(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return 8 * (uint64_t)(end - first);
}
static void mixture_parts(void *user, uint32_t first, uint32_t end, struct plan_parts *ret) {
    parts(user, first, end, ret);
    ret->apart = 4;
}
static struct plan_model mixture(struct plan_layer layers[LAYERS]) {
    struct plan_model m = model;
    for (uint32_t i = 0; i < LAYERS; i++) layers[i] = (struct plan_layer){.dense = 2, .expert = 8, .share = 0.25};
    m.layers = layers;
    m.parts = mixture_parts;
    m.experts_bytes = experts_bytes;
    m.head.dense = 5;
    return m;
}

/* Eight layers fit whole: 80 + 3 + 5. With experts in RAM all the rest is there: 10 x 10 - 4 x 8 + 3 + 5 + 4. */
static void experts_stay_in_ram_where_that_is_faster(void **state) {
    (void)state;
    struct plan_layer layers[LAYERS];
    struct plan_model m = mixture(layers);
    struct plan_node n = node_of(60, 0, 88);
    struct plan_spread s;
    for (uint32_t i = 0; i < LAYERS; i++) layers[i].launches = 1;
    n.devices[2].layer_s = 0.001;
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s)); /* the node keeps none apart */
    assert_int_equal(s.n_apart, 0);
    assert_int_equal(s.layers[2], 8);
    n.cpu_moe = PLAN_MOE_AUTO; /* whole layers: 2 x 4 bytes in RAM; experts: 3 x 2 */
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_apart, 3);
    assert_int_equal(s.layers[2], LAYERS);
    assert_int_equal(s.layers[0], 0);
    assert_int_equal(s.bytes[2], 100 - 24 + 3 + 5 + 4);
    assert_int_equal(s.bytes[0], 24 + 7 + 3);
    n.devices[2].layer_s = 1; /* stopping the card costs more than that brings */
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_apart, 0);
    n.devices[2].memory = 120; /* all fits */
    n.devices[2].layer_s = 0.001;
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_apart, 0);
}

static void a_node_says_how_many(void **state) {
    (void)state;
    struct plan_layer layers[LAYERS];
    struct plan_model m = mixture(layers);
    struct plan_node n = node_of(100, 0, 200);
    struct plan_spread s;
    n.cpu_moe = 2;
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_apart, 2);
    assert_int_equal(s.bytes[0], 16 + 7 + 3);
    n.cpu_moe = PLAN_MOE_ALL;
    assert_true(plan_spread_make(&m, &n, 4, LAYERS, &s));
    assert_int_equal(s.n_apart, 6);
    assert_int_equal(s.bytes[2], 6 * 2 + 3 + 5 + 4);
    assert_int_equal(s.bytes[0], 6 * 8 + 3);
    n.cpu_moe = 100; /* more than the slice has */
    assert_true(plan_spread_make(&m, &n, 4, LAYERS, &s));
    assert_int_equal(s.n_apart, 6);
    n.devices[0].memory = 50; /* one byte too few */
    assert_false(plan_spread_make(&m, &n, 4, LAYERS, &s));
    n.cpu_moe = PLAN_MOE_AUTO;
    assert_true(plan_spread_make(&m, &n, 4, LAYERS, &s));
    assert_int_equal(s.n_apart, 0);
    assert_true(plan_spread_make(&model, &n, 4, LAYERS, &s)); /* not a mixture */
    assert_int_equal(s.n_apart, 0);
}

/* Two cards hold everything but experts; the card with the first layers keeps fewest of them. */
static void several_cards_without_experts(void **state) {
    (void)state;
    struct plan_layer layers[LAYERS];
    struct plan_model m = mixture(layers);
    struct plan_node n = node_of(200, 30, 40);
    struct plan_spread s;
    struct plan_wish wish = {0};
    struct plan p;
    struct buf out;
    n.cpu_moe = PLAN_MOE_AUTO;
    assert_true(plan_spread_make(&m, &n, 0, LAYERS, &s));
    assert_int_equal(s.n_used, 2);
    assert_int_equal(s.n_apart, 8); /* with 7, layer 7 has no place on the faster card, and layer 0 none on the other */
    assert_int_equal(s.layers[1] + s.layers[2], LAYERS);
    assert_int_equal(plan_make(&m, &n, 1, &wish, &p, NULL), ERR_OK);
    assert_int_equal(p.stages[0].bytes, s.bytes[0] + s.bytes[1] + s.bytes[2]);
    buf_init(&out, 4096);
    plan_explain(&p, &m, &n, &out);
    printf("%s", buf_cstr(&out));
    assert_non_null(strstr(buf_cstr(&out), "without the experts of"));
    assert_non_null(strstr(buf_cstr(&out), "RAM: the experts of layers 0-7, the embedding, 74 B"));
    buf_done(&out);
}

/* Per token a card reads 2 bytes of a layer, RAM 2 of its experts: 200 and 10 bytes a second. */
static void a_prediction_counts_experts_where_they_are(void **state) {
    (void)state;
    struct plan_layer layers[LAYERS];
    struct plan_model m = mixture(layers);
    struct plan_node n = node_of(100, 0, 200);
    struct plan p = {.n_stage = 1, .stages = {{.end = LAYERS}}};
    struct plan_wish wish = {0};
    struct plan_figures all, apart;
    n.devices[2].layer_s = n.devices[0].layer_s = 1e-9;
    plan_predict(&p, &m, &n, &wish, &all);
    n.cpu_moe = 5;
    plan_predict(&p, &m, &n, &wish, &apart);
    assert_true(fabs(all.token_s - (45.0 / 200)) < 0.001);
    assert_true(fabs(apart.token_s - (35.0 / 200 + 10.0 / 10)) < 0.001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_embedding_stays_in_ram),
        cmocka_unit_test(the_last_layers_and_the_head_go_to_the_fastest),
        cmocka_unit_test(a_card_too_small_for_a_layer_is_not_used),
        cmocka_unit_test(a_gpu_that_shares_ram_takes_from_it),
        cmocka_unit_test(cards_without_ram_hold_all_or_nothing),
        cmocka_unit_test(a_plan_counts_both_and_says_so),
        cmocka_unit_test(experts_stay_in_ram_where_that_is_faster),
        cmocka_unit_test(a_node_says_how_many),
        cmocka_unit_test(several_cards_without_experts),
        cmocka_unit_test(a_prediction_counts_experts_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
