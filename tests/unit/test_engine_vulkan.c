/* SPDX-License-Identifier: MIT
 * Slices on the GPU path: ggml's Vulkan backend, with a software driver where there is no GPU. `make test-vulkan` runs it; without
 * CARAVAN_TEST_BACKENDS (a folder of backends with Vulkan's among them) it is skipped. A driver may fuse operations of layers between
 * which slices are cut, so results are close, not identical: every best token the same. CPU and GPU round differently in every layer (the
 * CPU's kernels round activations to 8 bits); that is the measure of what a cut may change. */
#include <math.h>

#include "engine/runtime.h"
#include "support/engine_fixture.h"

enum { N_PROMPT = 32, N_DECODE = 8 };
static const float CLOSE = 1e-2f;

static struct engine_device gpu;
static float between_kinds; /* the largest difference of logits between the whole model on the CPU and on the GPU */

struct difference {
    float largest;
    int rows, agree;
};

static int32_t best(const float *logits, uint32_t n) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[at]) at = i;
    return (int32_t)at;
}

static void compare_row(struct difference *d, const float *a, const float *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        assert_true(isfinite(b[i]));
        d->largest = fmaxf(d->largest, fabsf(a[i] - b[i]));
    }
    d->rows++;
    d->agree += best(a, n) == best(b, n);
}

/* A prompt in two chunks, then tokens that the reference chooses; both compute the same batches. */
static struct difference walk(struct fixture_chain *reference, struct fixture_chain *other) {
    struct difference d = {0};
    uint32_t n_vocab = fixture_tail(reference)->info.n_vocab;
    struct engine_token t[N_PROMPT / 2];
    int32_t tokens[N_PROMPT / 2], next = 0;
    for (int32_t pos = 0; pos < N_PROMPT + N_DECODE; pos += pos < N_PROMPT ? N_PROMPT / 2 : 1) {
        size_t n = pos < N_PROMPT ? N_PROMPT / 2 : 1;
        for (size_t i = 0; i < n; i++) tokens[i] = n == 1 ? next : (pos + (int32_t)i) * 37 % (int32_t)n_vocab;
        fixture_run(t, tokens, n, 0, pos, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(reference, t, n, &fixture_err));
        fixture_ok(fixture_eval(other, t, n, &fixture_err));
        for (size_t i = 0; i < n; i++) compare_row(&d, fixture_logits(reference, i), fixture_logits(other, i), n_vocab);
        next = best(fixture_logits(reference, n - 1), n_vocab);
    }
    return d;
}

static struct engine_load load_on(bool on_gpu) {
    struct engine_load load = fixture_load();
    snprintf(load.backends, sizeof(load.backends), "%s", getenv("CARAVAN_TEST_BACKENDS"));
    load.n_gpu_layers = on_gpu ? -1 : 0;
    if (on_gpu) snprintf(load.devices, sizeof(load.devices), "%s", gpu.name);
    return load;
}

static struct difference report(const char *what, struct fixture_chain *reference, struct fixture_chain *other) {
    struct difference d = walk(reference, other);
    printf("%-48s %s: largest difference %.2g, best token the same in %d of %d\n", what,
           d.largest == 0                           ? "identical"
           : d.largest < CLOSE && d.agree == d.rows ? "close"
                                                    : "differs",
           (double)d.largest, d.agree, d.rows);
    return d;
}

static void slices_on_the_gpu_are_close(void **state) {
    (void)state;
    const uint32_t n = model.layout->n_layer, three[] = {0, n / 4, n / 2, n};
    struct engine_load load = load_on(true);
    struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, three, 3, &load);
    assert_non_null(strstr(whole.part[0].info.device, gpu.name));
    struct difference d = report("whole on GPU, and in 3 slices", &whole, &split);
    assert_true(between_kinds > 0 && d.largest < between_kinds / 2);
    assert_int_equal(d.agree, d.rows);
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
}

/* Half on the CPU, half on the GPU: no further from the CPU's result than the GPU's own is. */
static void one_slice_on_each_is_between(void **state) {
    (void)state;
    const uint32_t n = model.layout->n_layer;
    struct engine_load cpu = load_on(false), load = load_on(true);
    struct fixture_chain whole = fixture_whole(&model, &cpu), other = fixture_whole(&model, &load);
    struct difference kinds = report("whole on CPU, and on GPU", &whole, &other);
    between_kinds = kinds.largest;
    other.part[0].ops->close(other.part[0].self);
    other.part[0] = fixture_slice(&model, 0, n / 2, &cpu);
    other.part[1] = fixture_slice(&model, n / 2, n, &load);
    other.n = 2;
    assert_true(strncmp(other.part[0].info.device, "CPU", 3) == 0);
    assert_non_null(strstr(other.part[1].info.device, gpu.name));
    const struct engine_op close[] = {{ENGINE_OP_CLOSE, 0, 0, 0, 0, 0}};
    fixture_ok(fixture_apply(&whole, close, 1, &fixture_err));
    struct difference mixed = report("whole on CPU, and first half CPU, second half GPU", &whole, &other);
    assert_true(mixed.largest < 2 * kinds.largest + CLOSE);
    assert_true(mixed.agree * 20 >= mixed.rows * 19);
    fixture_chain_close(&whole);
    fixture_chain_close(&other);
}

/* A token after a prefix that was computed there, and after a copy of that prefix. */
static void sequence_operations_work_there(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = load_on(true);
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    const size_t bytes = model.layout->n_vocab * sizeof(float);
    int32_t tokens[12];
    struct engine_token t[12];
    for (int i = 0; i < 12; i++) tokens[i] = 300 + i * 7;
    fixture_run(t, tokens, 11, 0, 0, 0);
    fixture_ok(fixture_eval(&c, t, 11, &fixture_err));
    fixture_run(t, tokens + 11, 1, 0, 11, ENGINE_TOKEN_LOGITS);
    fixture_ok(fixture_eval(&c, t, 1, &fixture_err));
    float *want = mem_alloc(bytes);
    memcpy(want, fixture_logits(&c, 0), bytes);
    const struct engine_op ops[] = {{ENGINE_OP_RM, 0, 0, 11, -1, 0}, {ENGINE_OP_CP, 0, 1, 0, 11, 0}};
    fixture_ok(fixture_apply(&c, ops, 2, &fixture_err));
    for (uint16_t seq = 0; seq < 2; seq++) {
        fixture_run(t, tokens + 11, 1, seq, 11, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(&c, t, 1, &fixture_err));
        struct difference d = {0};
        compare_row(&d, want, fixture_logits(&c, 0), model.layout->n_vocab);
        assert_true(d.largest < CLOSE && d.agree == 1);
    }
    free(want);
    fixture_chain_close(&c);
}

static bool find_gpu(void) {
    struct engine_device d[16];
    struct err e = {0};
    if (engine_runtime_start(getenv("CARAVAN_TEST_BACKENDS"), &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.text);
        return false;
    }
    for (size_t i = 0, count = engine_devices(d, ARRAY_LEN(d)); i < count; i++) {
        if (strcmp(d[i].type, "cpu") == 0) continue;
        fprintf(stderr, "%s is there, and nobody has asked for GPUs\n", d[i].name);
        return false;
    }
    engine_runtime_gpus(getenv("CARAVAN_TEST_BACKENDS"), "", NULL);
    size_t n = engine_devices(d, ARRAY_LEN(d));
    for (size_t i = 0; i < n && i < ARRAY_LEN(d); i++) {
        if (strcmp(d[i].type, "gpu") != 0 && strcmp(d[i].type, "igpu") != 0 && strncmp(d[i].name, "Vulkan", 6) != 0) continue;
        gpu = d[i];
        return true;
    }
    return false;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slice_on_each_is_between), /* the first: it measures */
        cmocka_unit_test(slices_on_the_gpu_are_close),
        cmocka_unit_test(sequence_operations_work_there),
    };
    if (getenv("CARAVAN_TEST_BACKENDS") == NULL) {
        printf("skipped: no GPU path asked for (make test-vulkan)\n");
        return 77;
    }
    if (!find_gpu()) {
        fprintf(stderr, "no GPU device in \"%s\"\n", getenv("CARAVAN_TEST_BACKENDS"));
        return 1;
    }
    printf("device %s: %s, %.1f GiB\n", gpu.name, gpu.description, (double)gpu.memory_total / 1073741824.0);
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
