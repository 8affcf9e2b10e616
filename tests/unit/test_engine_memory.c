/* SPDX-License-Identifier: MIT
 * model/estimate against what libllama really allocates, whole and in slices, with one and with several sequences. */
#include "support/engine_fixture.h"

#include <llama.h>

#include "engine/runtime.h"
#include "model/estimate.h"
#include "model/types.h"

/* Bytes of weights that libllama allocates for the slice when it leaves them as the file has them. Stages load with extra buffer types:
 * they lay weights out anew for the processor, and how much that takes depends on it (q8_0 with AMX 1.10 times the file's bytes, with AVX2
 * and AVX-512 as many). The estimate knows no processor, so it is compared with what is left without that. */
static uint64_t bytes_as_in_the_file(const struct fixture *f, uint32_t first, uint32_t end) {
    struct llama_model_params params = llama_model_default_params();
    struct model_slice *s = NULL;
    struct err e = {0};
    FILE *file = NULL;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    params.use_extra_bufts = false;
    fixture_ok(model_slice_create(f->gguf, f->layout, first, end, &s, &e));
    fixture_ok(model_slice_open(s, NULL, NULL, &file, &e));
    engine_runtime_clear();
    struct llama_model *model = llama_model_load_from_file_ptr(file, params);
    assert_non_null(model);
    uint64_t bytes = engine_runtime_tally().weights;
    llama_model_free(model);
    fclose(file);
    model_slice_free(s);
    return bytes;
}

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
    uint64_t plain = bytes_as_in_the_file(f, first, end);
    double weights = (double)m.weights / (double)plain, repacked = (double)e.info.bytes_weights / (double)plain,
           compute = (double)(m.compute - MODEL_ESTIMATE_FIXED) / (double)e.info.bytes_compute;
    print_message(
        "%u-%u, %u x %u: weights %.3f, compute, less what any slice is given, %.2f of what was allocated; this processor's layout "
        "takes %.3f of the weights\n",
        first, end - 1, n_ctx, n_seq, weights, compute, repacked);
    assert_int_equal(m.kv, e.info.bytes_kv);
    assert_true(weights > 0.99 && weights < 1.01);
    assert_true(repacked > 0.99);
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
