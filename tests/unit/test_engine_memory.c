/* SPDX-License-Identifier: MIT
 * model/estimate, and what libllama says before it allocates (engine/need), compared with its real allocations, whole and in slices, with
 * one and with several sequences. */
#include "support/engine_fixture.h"

#include <llama.h>

#include "engine/need.h"
#include "engine/runtime.h"
#include "model/estimate.h"
#include "model/types.h"

/* Bytes of weights that libllama allocates for the slice when it leaves them as the file has them. Stages load with extra buffer types:
 * they lay the weights out for the processor, and the size of that layout depends on the processor (q8_0: with AMX 1.10 times the file's
 * bytes, with AVX2 and AVX-512 as many). The estimate knows no processor, so it is compared with the allocation without these types. */
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
    struct llama_model *loaded = llama_model_load_from_file_ptr(file, params);
    assert_non_null(loaded);
    uint64_t bytes = engine_runtime_tally().weights;
    llama_model_free(loaded);
    fclose(file);
    model_slice_free(s);
    return bytes;
}

/* What libllama says before it allocates anything is what it allocates: to a page for each buffer, and to its log's 0.01 MiB. */
static void check_need(const struct fixture *f, const struct engine_load *load, const struct engine_info *took, uint32_t first,
                       uint32_t end) {
    enum { SLACK = 64 * 1024 };
    struct model_slice *s = NULL;
    struct engine_need need;
    struct err e = {0};
    fixture_ok(model_slice_create(f->gguf, f->layout, first, end, &s, &e));
    fixture_ok(engine_need_ask(s, NULL, NULL, load, &need, &e));
    model_slice_free(s);
    assert_uint_in_range(need.weights + SLACK, took->bytes_weights, took->bytes_weights + 2 * SLACK);
    assert_uint_in_range(need.kv + SLACK, took->bytes_kv, took->bytes_kv + 2 * SLACK);
    assert_uint_in_range(need.compute + SLACK, took->bytes_compute, took->bytes_compute + 2 * SLACK);
    assert_true(need.process > 1 << 20);
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
    uint64_t process = MODEL_ESTIMATE_FIXED + model_estimate_ends(first == 0, end == f->layout->n_layer);
    double weights = (double)m.weights / (double)plain, repacked = (double)e.info.bytes_weights / (double)plain,
           compute = (double)(m.compute - process) / (double)e.info.bytes_compute;
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
    check_need(f, &load, &e.info, first, end);
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

/* Nothing is allocated of a KV cache of 1 GiB. */
static void asking_costs_nothing(void **state) {
    (void)state;
    struct fixture f;
    struct engine_load load = fixture_load();
    struct model_slice *s = NULL;
    struct engine_need need;
    struct err e = {0};
    load.n_ctx = 1 << 16;
    load.n_seq = 4;
    fixture_open(&f);
    fixture_ok(model_slice_create(f.gguf, f.layout, 0, f.layout->n_layer, &s, &e));
    fixture_ok(engine_need_ask(s, NULL, NULL, &load, &need, &e));
    assert_int_equal(need.kv, UINT64_C(1) << 30);
    assert_true(need.process < UINT64_C(1) << 28);
    snprintf(load.cache_type_k, sizeof(load.cache_type_k), "q9");
    assert_int_equal(engine_need_ask(s, NULL, NULL, &load, &need, &e), ERR_INVALID);
    model_slice_free(s);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(estimates_are_what_is_allocated), cmocka_unit_test(asking_costs_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
