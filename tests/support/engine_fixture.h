/* SPDX-License-Identifier: MIT
 * A real model for the engine's tests: models/caravan-demo.gguf, whole or in slices, all in this process. Tests include this once. */
#ifndef CARAVAN_TESTS_ENGINE_FIXTURE_H
#define CARAVAN_TESTS_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/slice.h"
#include "model/layout.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "os/runtime.h"

enum { FIXTURE_MAX_SLICES = 16, FIXTURE_MAX_BATCH = 512 };

struct fixture {
    struct model_gguf *gguf;
    struct model_layout *layout;
};

/* A model in n slices, computed one after another. */
struct fixture_chain {
    struct engine part[FIXTURE_MAX_SLICES];
    uint32_t n;
    float *hidden[2];
};

/* The demo model's path, to be freed. */
static inline char *fixture_demo_path(void) {
    const char *source = getenv("CARAVAN_SOURCE");
    return mem_printf("%s/models/caravan-demo.gguf", source != NULL ? source : ".");
}

static inline void fixture_open_path(struct fixture *f, const char *path) {
    struct err e = {0};
    if (model_gguf_open(path, &f->gguf, &e) != ERR_OK || model_layout_create(f->gguf, &f->layout, &e) != ERR_OK)
        fail_msg("%s: %s", path, e.text);
}

static inline void fixture_open(struct fixture *f) {
    char *path = fixture_demo_path();
    fixture_open_path(f, path);
    free(path);
}

/* The file that one of our tools makes of the demo model; the caller removes it. option, value: given to the tool beside that, or NULL. */
static inline char *fixture_made_path(const char *tool, const char *option, const char *value) {
    const char *build = getenv("CARAVAN_BUILD");
    char *path = mem_strdup("/tmp/caravan-test-model.XXXXXX"), *demo = fixture_demo_path();
    char *program = mem_printf("%s/bin/%s", build != NULL ? build : "build/release", tool);
    int fd = mkstemp(path), status = -1;
    assert_true(fd >= 0);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "--model", demo, "--out", path, option, value, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(program);
    free(demo);
    return path;
}

/* The demo model with a layer for multi-token prediction. */
static inline char *fixture_mtp_path(void) {
    const char *source = getenv("CARAVAN_SOURCE");
    char *layer = mem_printf("%s/tests/data/demo-mtp.gguf", source != NULL ? source : ".");
    char *path = fixture_made_path("make-mtp", "--layer", layer);
    free(layer);
    return path;
}

/* The demo model with all weights as f32: batches of any shape give nearly the same numbers, on any processor. */
static inline char *fixture_f32_path(void) { return fixture_made_path("make-f32", NULL, NULL); }

static inline void fixture_close(struct fixture *f) {
    model_layout_free(f->layout);
    model_gguf_free(f->gguf);
}

/* The demo model of a group of tests that has fixture_setup and fixture_teardown. */
static struct fixture model;

static inline int fixture_setup(void **state) {
    (void)state;
    fixture_open(&model);
    return 0;
}

static inline int fixture_teardown(void **state) {
    (void)state;
    fixture_close(&model);
    return 0;
}

static inline struct engine_load fixture_load(void) {
    struct engine_load load;
    engine_load_init(&load);
    load.n_ctx = 256;
    load.n_seq = 4;
    load.n_batch = 64;
    load.n_threads = 1;
    snprintf(load.backends, sizeof(load.backends), "%s", os_backends_dir);
    return load;
}

static inline err_code fixture_try(const struct fixture *f, uint32_t first, uint32_t end, const struct engine_load *load,
                                   struct engine *ret, struct err *e) {
    struct model_slice *s = NULL;
    err_code code = model_slice_create(f->gguf, f->layout, first, end, &s, e);
    if (code == ERR_OK) code = engine_slice_open(s, NULL, NULL, load, NULL, NULL, ret, e);
    model_slice_free(s);
    return code;
}

static inline struct engine fixture_slice(const struct fixture *f, uint32_t first, uint32_t end, const struct engine_load *load) {
    struct engine ret;
    struct err e = {0};
    if (fixture_try(f, first, end, load, &ret, &e) != ERR_OK) fail_msg("layers %u-%u: %s", first, end, e.text);
    return ret;
}

/* Cut at bounds[0] = 0 < ... < bounds[n] = n_layer. */
static inline struct fixture_chain fixture_chain(const struct fixture *f, const uint32_t *bounds, uint32_t n,
                                                 const struct engine_load *load) {
    struct fixture_chain c = {.n = n};
    for (uint32_t i = 0; i < n; i++) c.part[i] = fixture_slice(f, bounds[i], bounds[i + 1], load);
    for (int i = 0; i < 2; i++) c.hidden[i] = mem_calloc((size_t)FIXTURE_MAX_BATCH * model_quirks_width(f->layout), sizeof(float));
    return c;
}

static inline struct fixture_chain fixture_whole(const struct fixture *f, const struct engine_load *load) {
    const uint32_t bounds[] = {0, f->layout->n_layer};
    return fixture_chain(f, bounds, 1, load);
}

static inline void fixture_chain_close(struct fixture_chain *c) {
    for (uint32_t i = 0; i < c->n; i++) c->part[i].ops->close(c->part[i].self);
    free(c->hidden[0]);
    free(c->hidden[1]);
}

static inline err_code fixture_eval(struct fixture_chain *c, const struct engine_token *t, size_t n, struct err *e) {
    for (uint32_t i = 0; i < c->n; i++) {
        const float *in = i > 0 ? c->hidden[i % 2] : NULL;
        float *out = i + 1 < c->n ? c->hidden[(i + 1) % 2] : NULL;
        err_code code = c->part[i].ops->eval(c->part[i].self, t, n, in, out, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static inline err_code fixture_apply(struct fixture_chain *c, const struct engine_op *ops, size_t n, struct err *e) {
    for (uint32_t i = 0; i < c->n; i++) {
        err_code code = c->part[i].ops->apply(c->part[i].self, ops, n, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static inline struct engine *fixture_tail(struct fixture_chain *c) { return &c->part[c->n - 1]; }

static inline const float *fixture_logits(struct fixture_chain *c, size_t i) {
    struct engine *tail = fixture_tail(c);
    return tail->ops->logits(tail->self, i);
}

/* n tokens of one sequence from position pos on, all with flags. */
static inline void fixture_run(struct engine_token *t, const int32_t *tokens, size_t n, uint16_t seq, int32_t pos, uint8_t flags) {
    for (size_t i = 0; i < n; i++) t[i] = (struct engine_token){.token = tokens[i], .pos = pos + (int32_t)i, .seq = seq, .flags = flags};
}

#define fixture_ok(call) \
    do { \
        struct err fixture_err = {0}; \
        err_code fixture_rc = (call); \
        if (fixture_rc != ERR_OK) fail_msg("%s: %s", #call, fixture_err.text); \
    } while (0)

/* Tokens that depend on i and salt alone. */
static inline void fixture_tokens(int32_t *t, size_t n, uint32_t salt) {
    uint32_t range = model.layout->n_vocab / 2;
    for (size_t i = 0; i < n; i++) t[i] = (int32_t)((((uint32_t)i * 2654435761u + salt * 40503u) >> 7) % range);
}

/* Evaluates and gives a copy of the last token's logits. */
static inline float *fixture_logits_after(struct fixture_chain *c, const int32_t *tokens, size_t n, uint16_t seq, int32_t pos) {
    struct engine_token t[64];
    fixture_run(t, tokens, n, seq, pos, 0);
    t[n - 1].flags = ENGINE_TOKEN_LOGITS;
    fixture_ok(fixture_eval(c, t, n, &fixture_err));
    size_t bytes = fixture_tail(c)->info.n_vocab * sizeof(float);
    float *copy = mem_alloc(bytes);
    memcpy(copy, fixture_logits(c, n - 1), bytes);
    return copy;
}

/* Compares, and frees b. */
static inline void fixture_same(float *a, float *b, bool same) {
    size_t bytes = model.layout->n_vocab * sizeof(float);
    assert_int_equal(memcmp(a, b, bytes) == 0, same);
    free(b);
}

#endif
