/* SPDX-License-Identifier: MIT
 * See measure.h. */
#include "engine/measure.h"

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "os/machine.h"

enum { ROW = 4096, TRIAL_ROW = 256, MATRICES = 20, COLUMNS = 256, LEAST_US = 250000, MOST_RUNS = 64 };

static const double LONG_PAYS = 1.1; /* steps of 512 tokens take eight times the memory of 64 */

struct bench {
    ggml_backend_t backend;
    struct ggml_context *ctx;
    ggml_backend_buffer_t buffer;
    struct ggml_cgraph *graph;
    double bytes, flops; /* of one run */
};

static void bench_done(struct bench *b) {
    if (b->buffer) ggml_backend_buffer_free(b->buffer);
    if (b->ctx) ggml_free(b->ctx);
    *b = (struct bench){.backend = b->backend};
}

/* n matrices of row x row weights, each times a block of `columns` vectors. */
static err_code bench_make(struct bench *b, int n, int row, int columns, struct err *e) {
    struct ggml_init_params params = {.mem_size = ggml_tensor_overhead() * (size_t)(3 * n + 8) + ggml_graph_overhead(), .no_alloc = true};
    b->ctx = ggml_init(params);
    if (!b->ctx) return err_set(e, ERR_MEMORY, "no memory to measure with");
    b->graph = ggml_new_graph(b->ctx);
    struct ggml_tensor *x = ggml_new_tensor_2d(b->ctx, GGML_TYPE_F32, row, columns);
    b->bytes = b->flops = 0;
    for (int i = 0; i < n; i++) {
        struct ggml_tensor *w = ggml_new_tensor_2d(b->ctx, GGML_TYPE_Q4_K, row, row);
        ggml_build_forward_expand(b->graph, ggml_mul_mat(b->ctx, w, x));
        b->bytes += (double)ggml_nbytes(w);
        b->flops += 2.0 * row * row * columns;
    }
    b->buffer = ggml_backend_alloc_ctx_tensors(b->ctx, b->backend);
    if (!b->buffer) return err_set(e, ERR_MEMORY, "no memory on the device to measure with");
    ggml_backend_buffer_clear(b->buffer, 0);
    return ERR_OK;
}

/* The best of several runs, in seconds. */
static err_code bench_run(struct bench *b, double *ret, struct err *e) {
    clock_us begin = clock_now(), best = UINT64_MAX;
    for (int i = 0; i < MOST_RUNS && (i < 3 || clock_now() - begin < LEAST_US); i++) {
        clock_us start = clock_now();
        if (ggml_backend_graph_compute(b->backend, b->graph) != GGML_STATUS_SUCCESS)
            return err_set(e, ERR_ENGINE, "the device failed to compute");
        clock_us took = clock_now() - start;
        if (i > 0 && took < best) best = took; /* the first run warms up */
    }
    *ret = (best > 0 ? (double)best : 1) / 1e6;
    return ERR_OK;
}

/* Operations per second with so many tokens at once. */
static err_code bench_flops(struct bench *b, int columns, double *ret, struct err *e) {
    double time = 0;
    err_code code = bench_make(b, 1, ROW, columns, e);
    if (code == ERR_OK) code = bench_run(b, &time, e);
    if (code == ERR_OK) *ret = b->flops / time;
    bench_done(b);
    return code;
}

struct engine_threads engine_threads_of(struct engine_threads wish) {
    uint32_t single = wish.single > 0 ? wish.single : machine_threads();
    return (struct engine_threads){.single = single, .several = wish.several > 0 ? wish.several : single};
}

static void set_threads(ggml_backend_t backend, ggml_backend_dev_t dev, uint32_t n) {
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(dev);
    void *found = reg ? ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads") : NULL;
    ggml_backend_set_n_threads_t set = (ggml_backend_set_n_threads_t)found;
    if (set) set(backend, (int)n);
}

static err_code bench_open(const char *device, ggml_backend_dev_t *ret, struct bench *b, struct err *e) {
    ggml_backend_dev_t dev = ggml_backend_dev_by_name(device);
    if (!dev) return err_set(e, ERR_NOT_FOUND, "there is no device \"%s\"", device);
    *b = (struct bench){.backend = ggml_backend_dev_init(dev, NULL)};
    if (!b->backend) return err_set(e, ERR_ENGINE, "device \"%s\" cannot be used", device);
    *ret = dev;
    return ERR_OK;
}

err_code engine_measure(const char *device, struct engine_threads threads, struct engine_speed *ret, struct err *e) {
    ggml_backend_dev_t dev;
    struct bench b;
    struct engine_speed speed = {0};
    double time = 0, few = 0, many = 0;
    err_code code = bench_open(device, &dev, &b, e);
    if (code != ERR_OK) return code;
    threads = engine_threads_of(threads);
    set_threads(b.backend, dev, threads.single);
    code = bench_make(&b, MATRICES, ROW, 1, e);
    if (code == ERR_OK) code = bench_run(&b, &time, e);
    if (code == ERR_OK) speed.bandwidth = b.bytes / time;
    bench_done(&b);
    set_threads(b.backend, dev, threads.several);
    if (code == ERR_OK) code = bench_flops(&b, COLUMNS, &speed.flops, e);
    if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        if (code == ERR_OK) code = bench_flops(&b, ENGINE_STEP, &few, e);
        if (code == ERR_OK) code = bench_flops(&b, ENGINE_STEP_LONG, &many, e);
        speed.step = many > LONG_PAYS * few ? ENGINE_STEP_LONG : ENGINE_STEP;
    }
    ggml_backend_free(b.backend);
    if (code == ERR_OK) *ret = speed;
    return code;
}

err_code engine_device_try(const char *device, struct err *e) {
    ggml_backend_dev_t dev;
    struct bench b;
    err_code code = bench_open(device, &dev, &b, e);
    if (code != ERR_OK) return code;
    code = bench_make(&b, 1, TRIAL_ROW, 1, e);
    if (code == ERR_OK && ggml_backend_graph_compute(b.backend, b.graph) != GGML_STATUS_SUCCESS)
        code = err_set(e, ERR_ENGINE, "device \"%s\" failed to compute", device);
    bench_done(&b);
    ggml_backend_free(b.backend);
    return code;
}
