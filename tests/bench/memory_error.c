/* SPDX-License-Identifier: MIT
 * What the plan says that a slice needs, compared with the memory that a process with it has (its proportional set size). Each load is in a
 * process of its own, which computes a batch, as a stage does.  memory_error [--ctx N] [--parallel N] [--cache-type TYPE] FILE...: whole
 * and, where the model may be cut, in halves; a line each: need over memory, and the pure estimate over memory. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/runtime.h"
#include "engine/slice.h"
#include "model/quirks.h"
#include "model/types.h"
#include "os/machine.h"
#include "os/pages.h"
#include "os/runtime.h"
#include "plan/model.h"

enum { BATCH = 64 };

struct bench {
    struct engine_load load;
    const struct model_gguf *gguf;
    const struct model_layout *layout;
    struct plan_source *estimate, *measured;
};

/* ---- one load, in a child ---- */

/* One step of all sequences together, or as many tokens as one step may have. */
static void compute(struct engine *en) {
    struct engine_token tokens[BATCH];
    struct err e = {0};
    size_t n = en->info.n_batch < BATCH ? en->info.n_batch : BATCH, rows = n * en->info.n_embd;
    float *in = en->info.first ? NULL : mem_calloc(rows, sizeof(*in)), *out = en->info.last ? NULL : mem_calloc(rows, sizeof(*out));
    for (size_t i = 0; i < n; i++) tokens[i] = (struct engine_token){.token = 1, .pos = (int32_t)i, .flags = ENGINE_TOKEN_LOGITS};
    for (size_t i = 0; i + 1 < n; i++) tokens[i].flags = 0;
    if (en->ops->eval(en->self, tokens, n, in, out, &e) != ERR_OK) fprintf(stderr, "memory_error: %s\n", e.text);
    free(in);
    free(out);
}

static uint64_t load_slice(const struct bench *b, uint32_t first, uint32_t end) {
    struct model_slice *slice = NULL;
    struct engine en;
    struct err e = {0};
    err_code code = model_slice_create(b->gguf, b->layout, first, end, &slice, &e);
    if (code == ERR_OK) code = engine_slice_open(slice, NULL, NULL, &b->load, NULL, NULL, &en, &e);
    if (code != ERR_OK) {
        fprintf(stderr, "memory_error: layers %u-%u: %s\n", first, end - 1, e.text);
        return 0;
    }
    pages_give_back();
    compute(&en);
    return machine_memory_own();
}

/* 0: it failed. */
static uint64_t memory_of(const struct bench *b, uint32_t first, uint32_t end) {
    int fds[2];
    uint64_t bytes = 0;
    if (pipe(fds) != 0) return 0;
    pid_t pid = fork();
    if (pid == 0) {
        bytes = load_slice(b, first, end);
        _exit(write(fds[1], &bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) ? 0 : 1);
    }
    close(fds[1]);
    if (read(fds[0], &bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes)) bytes = 0;
    close(fds[0]);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    return bytes;
}

/* ---- a model ---- */

static void compare(const struct bench *b, const char *name, uint32_t first, uint32_t end) {
    const struct plan_model *measured = plan_source_model(b->measured), *estimate = plan_source_model(b->estimate);
    uint64_t took = memory_of(b, first, end);
    if (took == 0) return;
    printf("%-28s %3u-%-3u ctx %u x %u %s %9.1f MB  need %.4f  estimate %.4f\n", name, first, end - 1, b->load.n_ctx, b->load.n_seq,
           b->load.cache_type_k, (double)took / 1048576, (double)measured->need(measured->user, first, end) / (double)took,
           (double)estimate->need(estimate->user, first, end) / (double)took);
    fflush(stdout);
}

static void model(struct bench *b, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    struct model_load_shape shape = {.n_ctx = b->load.n_ctx, .n_seq = b->load.n_seq, .n_ubatch = engine_load_ubatch(&b->load)};
    struct needs needs;
    uint32_t n = b->layout->n_layer, half = n / 2;
    model_type_parse(b->load.cache_type_k, &shape.type_k);
    model_type_parse(b->load.cache_type_v, &shape.type_v);
    b->estimate = plan_source_create(b->layout, &shape, name);
    b->measured = plan_source_create(b->layout, &shape, name);
    needs_measure(b->gguf, b->layout, &b->load, &needs);
    plan_source_measured(b->measured, &needs);
    compare(b, name, 0, n);
    if (half > 0 && model_quirks_check(b->layout, 0, half, NULL) == ERR_OK && model_quirks_check(b->layout, half, n, NULL) == ERR_OK) {
        compare(b, name, 0, half);
        compare(b, name, half, n);
    }
    plan_source_free(b->estimate);
    plan_source_free(b->measured);
}

static void open_model(struct bench *b, const char *path) {
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct err e = {0};
    if (model_gguf_open(path, &g, &e) == ERR_OK && model_layout_create(g, &l, &e) == ERR_OK) {
        b->gguf = g;
        b->layout = l;
        model(b, path);
    } else {
        fprintf(stderr, "memory_error: %s: %s\n", path, e.text);
    }
    model_layout_free(l);
    model_gguf_free(g);
}

int main(int argc, char **argv) {
    struct bench b = {0};
    engine_load_init(&b.load);
    b.load.n_ctx = 4096;
    b.load.n_seq = 4;
    b.load.n_threads = 1;
    snprintf(b.load.backends, sizeof(b.load.backends), "%s", os_backends_dir);
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--ctx") == 0 && more) b.load.n_ctx = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--parallel") == 0 && more) b.load.n_seq = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--cache-type") == 0 && more) {
            snprintf(b.load.cache_type_k, sizeof(b.load.cache_type_k), "%s", argv[++i]);
            snprintf(b.load.cache_type_v, sizeof(b.load.cache_type_v), "%s", argv[i]);
        } else {
            open_model(&b, argv[i]);
        }
    }
    return 0;
}
