/* SPDX-License-Identifier: MIT
 * How far model/estimate is off: each GGUF is loaded whole and, where it may be cut, as two slices, and what libllama allocated is set
 * against the estimate.  memory_error [--ctx N] [--parallel N] FILE...: a line each; docs/PLANNER.md has the results. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/runtime.h"
#include "engine/slice.h"
#include "model/estimate.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "model/types.h"

struct shape {
    uint32_t n_ctx, n_seq;
};

static double ratio(uint64_t estimate, uint64_t real) { return real ? (double)estimate / (double)real : estimate ? 999 : 1; }

static void compare(const char *name, const struct model_gguf *g, const struct model_layout *l, uint32_t first, uint32_t end,
                    const struct shape *shape) {
    struct engine_load load;
    struct engine engine;
    struct model_slice *slice = NULL;
    struct err e = {0};
    engine_load_init(&load);
    load.n_ctx = shape->n_ctx;
    load.n_seq = shape->n_seq;
    load.n_threads = 1;
    snprintf(load.backends, sizeof(load.backends), "%s", CARAVAN_BACKENDS_DIR);
    struct model_load_shape s = {
        .n_ctx = shape->n_ctx, .n_seq = shape->n_seq, .n_ubatch = 512, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16};
    err_code code = model_slice_create(g, l, first, end, &slice, &e);
    if (code == ERR_OK) code = engine_slice_open(slice, NULL, NULL, &load, NULL, NULL, &engine, &e);
    if (code != ERR_OK) {
        printf("%-28s %3u-%-3u %s\n", name, first, end - 1, e.text);
    } else {
        struct model_estimate m = model_estimate_slice(l, first, end, &s);
        const struct engine_info *i = &engine.info;
        uint64_t real = i->bytes_weights + i->bytes_kv + i->bytes_compute;
        printf("%-28s %3u-%-3u %9.1f MB  weights %.3f  kv %.3f  compute %.2f  total %.3f\n", name, first, end - 1, (double)real / 1048576,
               ratio(m.weights, i->bytes_weights), ratio(m.kv, i->bytes_kv), ratio(m.compute, i->bytes_compute), ratio(m.total, real));
        engine.ops->close(engine.self);
    }
    fflush(stdout);
    model_slice_free(slice);
}

int main(int argc, char **argv) {
    struct shape shape = {.n_ctx = 4096, .n_seq = 4};
    struct err e = {0};
    if (engine_runtime_start(CARAVAN_BACKENDS_DIR, &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        struct model_gguf *g = NULL;
        struct model_layout *l = NULL;
        if (strcmp(argv[i], "--ctx") == 0 && i + 1 < argc) shape.n_ctx = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--parallel") == 0 && i + 1 < argc) shape.n_seq = (uint32_t)strtoul(argv[++i], NULL, 10);
        else if (model_gguf_open(argv[i], &g, &e) != ERR_OK || model_layout_create(g, &l, &e) != ERR_OK)
            printf("%s: %s\n", argv[i], e.text);
        else {
            const char *name = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];
            uint32_t half = l->n_layer / 2;
            compare(name, g, l, 0, l->n_layer, &shape);
            if (half && model_quirks_check(l, 0, half, NULL) == ERR_OK && model_quirks_check(l, half, l->n_layer, NULL) == ERR_OK) {
                compare(name, g, l, 0, half, &shape);
                compare(name, g, l, half, l->n_layer, &shape);
            }
        }
        model_layout_free(l);
        model_gguf_free(g);
    }
    return 0;
}
