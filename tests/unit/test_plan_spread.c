/* SPDX-License-Identifier: MIT
 * A slice on the devices of one node: what goes to which GPU, what stays in RAM, what doesn't fit; and plans that count both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"

enum { LAYERS = 10 };

/* Layers of 10 bytes, an embedding of 7, an output head of 5; compute buffers of 2 in RAM and 3 on GPUs. */
static uint64_t layers_bytes(void *user, uint32_t first, uint32_t end) {
    (void)user;
    return 10 * (uint64_t)(end - first);
}
static void parts(void *user, uint32_t first, uint32_t end, struct plan_parts *ret) {
    (void)user;
    *ret = (struct plan_parts){.in = first == 0 ? 7 : 0, .out = end == LAYERS ? 5 : 0, .ram = 2, .gpu = 3};
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
    assert_int_equal(s.bytes[0], 7); /* and no buffer to compute with */
    assert_int_equal(s.layers[0], 0);
    n = node_of(6, 0, 108);
    assert_false(plan_spread_make(&model, &n, 0, LAYERS, &s));
    assert_true(plan_spread_make(&model, &n, 1, LAYERS, &s)); /* a later slice has none */
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
    assert_int_equal(s.work[2], 40 + 5);
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
    n.devices[0].memory = n.memory = 68;
    assert_true(plan_spread_make(&model, &n, 4, LAYERS, &s));
    assert_int_equal(s.bytes[0] + s.bytes[2], 60 + 5 + 3);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_embedding_stays_in_ram),
        cmocka_unit_test(the_last_layers_and_the_head_go_to_the_fastest),
        cmocka_unit_test(a_card_too_small_for_a_layer_is_not_used),
        cmocka_unit_test(a_gpu_that_shares_ram_takes_from_it),
        cmocka_unit_test(cards_without_ram_hold_all_or_nothing),
        cmocka_unit_test(a_plan_counts_both_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
