/* SPDX-License-Identifier: MIT
 * Embeddings: a text's vector is the same from a whole model and from slices, in one batch and in several, alone and beside others, and it
 * is libllama's own. */
#include <llama.h>
#include <math.h>

#include "support/engine_fixture.h"

enum { N_TEXT = 45 };

static void make_text(int32_t *t, size_t n, uint32_t salt) {
    for (size_t i = 0; i < n; i++) t[i] = (int32_t)((((uint32_t)i * 2654435761u + salt * 40503u) >> 7) % (model.layout->n_vocab / 2));
}

static struct engine_load load_with(const char *pooling) {
    struct engine_load load = fixture_load();
    snprintf(load.pooling, sizeof(load.pooling), "%s", pooling);
    return load;
}

/* The text's vector, computed in batches of `step`; ret has room for it. */
static void embed(struct fixture_chain *c, uint32_t seq, const int32_t *text, size_t n, size_t step, float *ret) {
    struct engine_token t[FIXTURE_MAX_BATCH];
    const struct engine *tail = fixture_tail(c);
    for (size_t at = 0; at < n; at += step) {
        size_t len = n - at < step ? n - at : step;
        fixture_run(t, text + at, len, seq, (int32_t)at, 0);
        if (at + len == n) t[len - 1].flags = ENGINE_TOKEN_POOL;
        fixture_ok(fixture_eval(c, t, len, &fixture_err));
        if (at + len == n) memcpy(ret, tail->ops->vector(tail->self, len - 1), tail->info.n_vector * sizeof(*ret));
    }
    const struct engine_op close = {.kind = ENGINE_OP_CLOSE, .seq = seq, .p1 = -1};
    fixture_ok(fixture_apply(c, &close, 1, &fixture_err));
}

static double length(const float *v, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    return sqrt(sum);
}

static double distance(const float *a, const float *b, uint32_t n) {
    double most = 0;
    for (uint32_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* libllama's own, of the whole text in one batch, made to have length 1. */
static void embed_by_libllama(enum llama_pooling_type type, int32_t *text, int32_t n, float *ret, uint32_t width) {
    char *path = fixture_demo_path();
    struct llama_model_params mp = llama_model_default_params();
    struct llama_context_params cp = llama_context_default_params();
    cp.n_ctx = 256;
    cp.n_batch = cp.n_ubatch = 64;
    cp.n_threads = cp.n_threads_batch = 1;
    cp.embeddings = true;
    cp.pooling_type = type;
    struct llama_model *m = llama_model_load_from_file(path, mp);
    struct llama_context *ctx = llama_init_from_model(m, cp);
    assert_int_equal(llama_decode(ctx, llama_batch_get_one(text, n)), 0);
    memcpy(ret, llama_get_embeddings_seq(ctx, 0), width * sizeof(*ret));
    double scale = 1.0 / length(ret, width);
    for (uint32_t i = 0; i < width; i++) ret[i] = (float)(ret[i] * scale);
    llama_free(ctx);
    llama_model_free(m);
    free(path);
}

static void same_everywhere(const char *pooling, enum llama_pooling_type type) {
    const uint32_t bounds[] = {0, 1, model.layout->n_layer - 2, model.layout->n_layer};
    struct engine_load load = load_with(pooling);
    struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, bounds, 3, &load);
    uint32_t width = fixture_tail(&whole)->info.n_vector;
    assert_int_equal(width, model.layout->n_embd);
    assert_int_equal(whole.part[0].info.pooling, type);
    assert_int_equal(split.part[0].info.pooling, type); /* the head knows */
    float *v = mem_calloc((size_t)width * 5, sizeof(*v));
    int32_t text[N_TEXT];
    make_text(text, N_TEXT, 7);
    embed(&whole, 0, text, N_TEXT, 64, v);
    embed(&split, 2, text, N_TEXT, 64, v + width);
    assert_memory_equal(v, v + width, width * sizeof(*v));
    embed(&split, 1, text, N_TEXT, 16, v + 2 * width); /* several batches: other kernels for the last one */
    assert_true(distance(v, v + 2 * width, width) < 1e-3);
    assert_true(fabs(length(v, width) - 1) < 1e-5);
    embed_by_libllama(type, text, N_TEXT, v + 3 * width, width);
    assert_true(distance(v, v + 3 * width, width) < 1e-3);
    make_text(text, N_TEXT, 8);
    embed(&whole, 0, text, N_TEXT, 64, v + 4 * width); /* nothing of the text before is left in the sequence */
    assert_true(distance(v, v + 4 * width, width) > 1e-2);
    make_text(text, N_TEXT, 7);
    embed(&whole, 0, text, N_TEXT, 64, v + 4 * width);
    assert_memory_equal(v, v + 4 * width, width * sizeof(*v));
    free(v);
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
}

static void last(void **state) {
    (void)state;
    same_everywhere("last", LLAMA_POOLING_TYPE_LAST);
}

static void mean(void **state) {
    (void)state;
    same_everywhere("mean", LLAMA_POOLING_TYPE_MEAN);
}

static void first(void **state) {
    (void)state;
    same_everywhere("cls", LLAMA_POOLING_TYPE_CLS);
}

/* Two texts whose pieces share batches. */
static void side_by_side(void **state) {
    (void)state;
    struct engine_load load = load_with("mean");
    struct fixture_chain c = fixture_whole(&model, &load);
    const struct engine *tail = fixture_tail(&c);
    uint32_t width = tail->info.n_vector;
    float *v = mem_calloc((size_t)width * 2, sizeof(*v));
    int32_t a[20], b[20];
    struct engine_token t[40];
    make_text(a, 20, 1);
    make_text(b, 20, 2);
    embed(&c, 0, a, 20, 64, v);
    embed(&c, 0, b, 20, 64, v + width);
    fixture_run(t, a, 20, 0, 0, 0);
    fixture_run(t + 20, b, 20, 3, 0, 0);
    t[19].flags = t[39].flags = ENGINE_TOKEN_POOL;
    fixture_ok(fixture_eval(&c, t, 40, &fixture_err));
    assert_true(distance(v, tail->ops->vector(tail->self, 19), width) < 1e-3);
    assert_true(distance(v + width, tail->ops->vector(tail->self, 39), width) < 1e-3);
    assert_null(tail->ops->vector(tail->self, 5));
    free(v);
    fixture_chain_close(&c);
}

/* The model's metadata names no pooling, so it generates text. */
static void only_where_asked_for(void **state) {
    (void)state;
    struct engine_load load = load_with("auto");
    struct fixture_chain c = fixture_whole(&model, &load);
    assert_int_equal(fixture_tail(&c)->info.pooling, ENGINE_POOL_NONE);
    fixture_chain_close(&c);
}

static int open_model(void **state) {
    (void)state;
    fixture_open(&model);
    return 0;
}

static int close_model(void **state) {
    (void)state;
    fixture_close(&model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(last), cmocka_unit_test(mean), cmocka_unit_test(first),
                                       cmocka_unit_test(side_by_side), cmocka_unit_test(only_where_asked_for)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
