/* SPDX-License-Identifier: MIT
 * model/estimate against what libllama really allocates, whole and in slices, with one and with several sequences. */
#include "support/engine_fixture.h"

#include "engine/runtime.h"
#include "model/estimate.h"
#include "model/types.h"

static void check(const struct fixture *f, uint32_t first, uint32_t end, uint32_t n_ctx, uint32_t n_seq, bool exact) {
    struct engine_load load = fixture_load();
    load.n_ctx = n_ctx;
    load.n_seq = n_seq;
    load.n_batch = 512;
    load.exact = exact;
    struct engine e = fixture_slice(f, first, end, &load);
    struct model_load_shape shape = {.n_ctx = n_ctx,
                                     .n_seq = n_seq,
                                     .n_ubatch = engine_load_ubatch(&load),
                                     .type_k = MODEL_TYPE_F16,
                                     .type_v = MODEL_TYPE_F16,
                                     .streams = exact};
    struct model_estimate m = model_estimate_slice(f->layout, first, end, &shape);
    double weights = (double)m.weights / (double)e.info.bytes_weights,
           compute = (double)(m.compute - MODEL_ESTIMATE_FIXED) / (double)e.info.bytes_compute;
    print_message("%u-%u, %u x %u: weights %.3f, compute, less what any slice is given, %.2f of what was allocated\n", first, end - 1,
                  n_ctx, n_seq, weights, compute);
    assert_int_equal(m.kv, e.info.bytes_kv);
    assert_true(weights > 0.99 && weights < 1.01);
    assert_true(compute > 0.5 && compute < 2);
    assert_true(m.compute > e.info.bytes_compute);
    e.ops->close(e.self);
}

static void estimates_are_what_is_allocated(void **state) {
    (void)state;
    struct fixture f;
    fixture_open(&f);
    check(&f, 0, 8, 1024, 1, false);
    check(&f, 0, 8, 8192, 2, false);
    check(&f, 0, 4, 8192, 2, false);
    check(&f, 4, 8, 8192, 2, false);
    check(&f, 2, 5, 1024, 4, true);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(estimates_are_what_is_allocated)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
