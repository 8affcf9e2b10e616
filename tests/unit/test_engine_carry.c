/* SPDX-License-Identifier: MIT
 * RWKV models in slices: all layers of the newer ones read a value that layer 0 computes, which travels with the rows and enters by a layer
 * of zeros; the rows of the older ones enter behind a norm without a name. Random models; the logits are those of the whole model, bit for
 * bit, with several sequences, with small steps, and with an adapter that changes that value. What slices take is what was estimated. */
#include "model/adapter.h"
#include "model/estimate.h"
#include "model/quirks.h"
#include "model/types.h"
#include "support/engine_fixture.h"

enum { LAYERS = 8, CHUNK = 24, N_STEPS = 12, N_SEQ = 3, SLACK = 8 << 10 };

static char *temporary(void) {
    char *path = mem_strdup("/tmp/caravan-test-model.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

/* Runs one of our tools, which writes the file that it returns. The caller removes the file. */
static char *made_by(const char *tool, const char *option, const char *value, const char *more, const char *more_value) {
    const char *build = getenv("CARAVAN_BUILD");
    char *path = temporary(), *program = mem_printf("%s/bin/%s", build != NULL ? build : "build/release", tool);
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, option, value, more, more_value, "--out", path, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(program);
    return path;
}

static char *open_random(const char *preset, const char *type) {
    char *path = made_by("make-model", "--preset", preset, "--type", type);
    fixture_open_path(&model, path);
    assert_int_equal(model.layout->n_layer, LAYERS);
    return path;
}

static void close_random(char *path) {
    fixture_close(&model);
    unlink(path);
    free(path);
}

/* Computes on both, and compares. */
static void eval_both(struct fixture_chain *whole, struct fixture_chain *split, const struct engine_token *t, size_t n) {
    fixture_ok(fixture_eval(whole, t, n, &fixture_err));
    fixture_ok(fixture_eval(split, t, n, &fixture_err));
    for (size_t i = 0; i < n; i++) {
        const float *a = fixture_logits(whole, i), *b = fixture_logits(split, i);
        assert_memory_equal(a, b, model.layout->n_vocab * sizeof(float));
        for (uint32_t v = 0; v < model.layout->n_vocab; v++) assert_true(a[v] - a[v] == 0); /* neither infinite nor no number */
    }
}

/* A prompt alone, two prompts in one batch, then tokens of all sequences side by side. */
static void walk(struct fixture_chain *whole, struct fixture_chain *split) {
    int32_t tokens[N_SEQ * CHUNK];
    struct engine_token t[2 * CHUNK];
    fixture_tokens(tokens, N_SEQ * CHUNK, 3);
    fixture_run(t, tokens, CHUNK, 0, 0, ENGINE_TOKEN_LOGITS);
    eval_both(whole, split, t, CHUNK);
    fixture_run(t, tokens + CHUNK, CHUNK, 1, 0, ENGINE_TOKEN_LOGITS);
    fixture_run(t + CHUNK, tokens + 2 * CHUNK, CHUNK, 2, 0, ENGINE_TOKEN_LOGITS);
    eval_both(whole, split, t, 2 * CHUNK);
    for (int32_t step = 0; step < N_STEPS; step++) {
        for (uint16_t i = 0; i < N_SEQ; i++) { /* in changing order */
            uint16_t seq = (uint16_t)((2 * i + step) % N_SEQ);
            fixture_run(t + i, tokens + (step + 7 * seq) % CHUNK, 1, seq, CHUNK + step, ENGINE_TOKEN_LOGITS);
        }
        eval_both(whole, split, t, N_SEQ);
    }
}

static void add_adapter(struct fixture_chain *c, const uint32_t *bounds, const struct model_gguf *adapter) {
    for (uint32_t i = 0; i < c->n; i++) {
        struct model_slice *part = NULL;
        fixture_ok(model_adapter_slice(adapter, model.layout, bounds[i], bounds[i + 1], &part, &fixture_err));
        fixture_ok(engine_slice_add_adapter(&c->part[i], part, NULL, NULL, 1.0, &fixture_err));
        model_slice_free(part);
    }
}

/* n: slices, which begin and end at the bounds. */
static void compare(const uint32_t *bounds, uint32_t n, const char *adapter_path) {
    struct engine_load load = fixture_load();
    const uint32_t all[] = {0, LAYERS};
    load.n_ubatch = 16; /* a prompt is computed in two graphs */
    struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, bounds, n, &load);
    struct model_gguf *adapter = NULL;
    if (adapter_path != NULL) {
        fixture_ok(model_adapter_open(adapter_path, model.layout, &adapter, &fixture_err));
        add_adapter(&whole, all, adapter);
        add_adapter(&split, bounds, adapter);
    }
    walk(&whole, &split);
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
    model_gguf_free(adapter);
}

static const uint32_t halves[] = {0, 4, 8}, uneven[] = {0, 2, 6, 8}, single[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

static void try_model(const char *preset, const char *type, bool any_cut) {
    char *path = open_random(preset, type), *adapter = made_by("make-lora", "--model", path, "--size", "0.5");
    compare(halves, 2, NULL);
    compare(uneven, 3, NULL);
    if (any_cut) compare(single, LAYERS, NULL);
    compare(uneven, 3, adapter);
    if (any_cut) compare(single, LAYERS, adapter);
    unlink(adapter);
    free(adapter);
    close_random(path);
}

static void slices_are_the_whole(void **state) {
    (void)state;
    try_model("tiny-rwkv7", "f32", true);
    try_model("tiny-rwkv7", "q8_0", true);
    try_model("tiny-arwkv7", "q8_0", true);
    try_model("tiny-rwkv6", "q8_0", false);
    try_model("tiny-rwkv6qwen2", "q8_0", true);
}

/* The older ones halve their rows behind every second layer; libllama counts layers from the first of the slice. */
static void halved_rows_bind_the_cuts(void **state) {
    (void)state;
    struct err e = {0};
    char *path = open_random("tiny-rwkv6", "f32");
    assert_int_equal(model_quirks_check(model.layout, 2, 6, &e), ERR_OK);
    assert_int_equal(model_quirks_check(model.layout, 0, 3, &e), ERR_INVALID);
    close_random(path);
}

/* The adapter changes the value that travels: so both ways of computing it are seen. */
static void the_adapter_changes_the_first_layer(void **state) {
    (void)state;
    char *path = open_random("tiny-rwkv7", "f32"), *adapter = made_by("make-lora", "--model", path, "--size", "0.5");
    struct model_gguf *g = NULL;
    fixture_ok(model_adapter_open(adapter, model.layout, &g, &fixture_err));
    assert_non_null(model_gguf_find_tensor(g, "blk.0.time_mix_value.weight.lora_a"));
    model_gguf_free(g);
    unlink(adapter);
    free(adapter);
    close_random(path);
}

static void check_memory(uint32_t first, uint32_t end) {
    struct engine_load load = fixture_load();
    struct engine e = fixture_slice(&model, first, end, &load);
    struct model_load_shape shape = {.n_ctx = load.n_ctx,
                                     .n_seq = load.n_seq,
                                     .n_ubatch = engine_load_ubatch(&load),
                                     .type_k = MODEL_TYPE_F16,
                                     .type_v = MODEL_TYPE_F16};
    struct model_estimate m = model_estimate_slice(model.layout, first, end, &shape);
    print_message("%u-%u: weights %llu of %llu, state %llu of %llu\n", first, end, (unsigned long long)m.weights,
                  (unsigned long long)e.info.bytes_weights, (unsigned long long)m.kv, (unsigned long long)e.info.bytes_kv);
    assert_uint_in_range(m.kv + SLACK, e.info.bytes_kv, e.info.bytes_kv + 2 * SLACK); /* libllama says it in 0.01 MiB */
    double weights = (double)m.weights / (double)e.info.bytes_weights;
    assert_true(weights > 0.97 && weights < 1.03);
    e.ops->close(e.self);
}

static void the_layer_of_zeros_is_counted(void **state) {
    (void)state;
    char *path = open_random("tiny-rwkv7", "f16"); /* libllama lays these out as the file does */
    assert_int_equal(model_quirks_width(model.layout), 2 * model.layout->n_embd);
    check_memory(0, 3);
    check_memory(3, 4);
    check_memory(3, 8);
    close_random(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_the_whole),
        cmocka_unit_test(halved_rows_bind_the_cuts),
        cmocka_unit_test(the_adapter_changes_the_first_layer),
        cmocka_unit_test(the_layer_of_zeros_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
