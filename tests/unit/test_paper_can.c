/* SPDX-License-Identifier: MIT
 * What a fleet can run: the order, the floor, the format of each model, copies, contexts, and a fleet that is too small for all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "paper/can.h"
#include "paper/fleet.h"
#include "paper/shapes.h"

enum { MOST = 128 };

struct run {
    struct fleet *fleet;
    struct can_wish wish;
    struct can_row *rows;
    size_t n;
    uint64_t least;
};

static struct run run_on(const char *spec, double floor, uint32_t n_ctx) {
    struct run r = {.fleet = MEM_NEW(struct fleet), .rows = mem_calloc(MOST, sizeof(struct can_row))};
    struct err e = {0};
    assert_int_equal(fleet_parse(spec, r.fleet, &e), ERR_OK);
    r.wish = (struct can_wish){.load = {.n_ctx = n_ctx, .n_ubatch = 512, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16},
                               .floor_tps = floor};
    r.wish.plan = (struct plan_wish){.streams = 1, .link = fleet_link, .link_user = r.fleet};
    r.n = can_run(r.fleet->nodes, r.fleet->n, &r.wish, r.rows, MOST, &r.least);
    return r;
}

static void run_done(struct run *r) {
    free(r->rows);
    free(r->fleet);
}

static const struct can_row *find(const struct run *r, const char *model) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->rows[i].model, model) == 0) return &r->rows[i];
    return NULL;
}

static void quick_ones_stand_first_and_large_ones_before_small_ones(void **state) {
    (void)state;
    struct run r = run_on("mac-mini-m4-16", 10, 0);
    size_t slow = 0;
    assert_true(r.n > 10);
    for (size_t i = 0; i < r.n; i++) {
        const struct can_row *a = &r.rows[i];
        assert_true(a->quick == (a->tps >= 10));
        assert_true(a->bytes <= r.fleet->nodes[0].memory && a->plan.n_stage == 1 && a->copies == 1);
        if (!a->quick) slow++;
        if (i == 0) continue;
        assert_true(r.rows[i - 1].quick || !a->quick);
        if (r.rows[i - 1].quick == a->quick) assert_true(r.rows[i - 1].parameters >= a->parameters);
    }
    assert_true(slow > 0 && slow < r.n);
    run_done(&r);
}

static void the_format_is_the_largest_that_is_quick_enough(void **state) {
    (void)state;
    struct run low = run_on("mac-mini-m4-16", 1, 0), high = run_on("mac-mini-m4-16", 15.5, 0), none = run_on("mac-mini-m4-16", 1000, 0);
    assert_string_equal(find(&low, "llama-8b")->format, "q8_0");
    assert_string_equal(find(&high, "llama-8b")->format, "q6_k"); /* 15.8 tokens/s; q8_0: 15.3 */
    assert_string_equal(find(&none, "llama-8b")->format, "q3_k_m"); /* none is: the quickest */
    assert_false(find(&none, "llama-8b")->quick);
    run_done(&low);
    run_done(&high);
    run_done(&none);
}

static void a_model_with_a_format_of_its_own_has_no_other(void **state) {
    (void)state;
    struct run r = run_on("rtx4090-24", 1, 0);
    const struct can_row *row = find(&r, "gpt-oss-20b");
    assert_string_equal(row->format, "mxfp4");
    assert_true(row->parameters > 20e9 && row->parameters < 22e9 && row->active > 3e9 && row->active < 5e9);
    assert_true(find(&r, "llama-8b")->active == find(&r, "llama-8b")->parameters);
    run_done(&r);
}

static void several_machines_carry_copies_of_what_fits_on_one_and_rings_of_what_does_not(void **state) {
    (void)state;
    struct run one = run_on("rtx3090-24,10gbe", 5, 0), four = run_on("4xrtx3090-24,10gbe", 5, 0);
    assert_null(find(&one, "llama-70b"));
    assert_true(find(&four, "llama-70b")->plan.n_stage > 1);
    const struct can_row *a = find(&one, "llama-8b"), *b = find(&four, "llama-8b");
    assert_int_equal(b->copies, 4);
    assert_true(b->tps_all > 3.9 * a->tps_all && b->tps_all < 4.1 * a->tps_all);
    run_done(&one);
    run_done(&four);
}

static void a_context_is_what_was_asked_for_or_what_the_model_knows(void **state) {
    (void)state;
    struct run r = run_on("rtx4090-24", 1, 32768);
    assert_int_equal(find(&r, "qwen3-4b")->n_ctx, 32768);
    assert_int_equal(find(&r, "tinyllama-1.1b")->n_ctx, 2048);
    run_done(&r);
}

static void where_nothing_fits_the_least_need_is_told(void **state) {
    (void)state;
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e = {0};
    struct can_row *rows = mem_calloc(MOST, sizeof(*rows));
    uint64_t least = 0;
    assert_int_equal(fleet_parse("pi4-2", f, &e), ERR_OK);
    f->nodes[0].memory = f->nodes[0].devices[0].memory = 100 << 20;
    struct can_wish w = {.load = {.n_ubatch = 64, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16}, .plan = {.streams = 1}};
    assert_int_equal(can_run(f->nodes, f->n, &w, rows, MOST, &least), 0);
    assert_true(least > 100 << 20 && least < 1u << 30);
    free(rows);
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_ones_stand_first_and_large_ones_before_small_ones),
        cmocka_unit_test(the_format_is_the_largest_that_is_quick_enough),
        cmocka_unit_test(a_model_with_a_format_of_its_own_has_no_other),
        cmocka_unit_test(several_machines_carry_copies_of_what_fits_on_one_and_rings_of_what_does_not),
        cmocka_unit_test(a_context_is_what_was_asked_for_or_what_the_model_knows),
        cmocka_unit_test(where_nothing_fits_the_least_need_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
