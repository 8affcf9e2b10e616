/* SPDX-License-Identifier: MIT
 * Q4_K weights, repacked for the CPU: there the shape of a batch changes the last bits (docs/ARCHITECTURE.md, "Prefixes"). Slices must
 * still be the whole for the same batches, and with `exact` a sequence's results must not depend on who is computed beside it. The
 * model is the demo model, quantised here. */
#include <unistd.h>

#include <llama.h>

#include "engine/runtime.h"
#include "os/runtime.h"
#include "support/engine_fixture.h"

enum { PROMPT = 16, OTHERS = 11, N_STEPS = 20, LONG_PROMPT = 192, FAR = 320, LONG_WALK = 336 };

static char path[] = "/tmp/caravan-test-q4k-XXXXXX";

static void tokens_of(int32_t *t, int n, int salt) {
    for (int i = 0; i < n; i++) t[i] = (i * 131 + salt * 977) % 2000;
}

/* Computes the prompt and the decode steps of sequence `me`, with other sequences beside it (crowd) or alone. ret[N_STEPS][n_vocab]: its
 * logits. */
static void walk(struct fixture_chain *c, uint16_t me, bool crowd, float *ret) {
    struct engine_token t[64];
    int32_t mine[PROMPT], others[PROMPT];
    size_t n_vocab = fixture_tail(c)->info.n_vocab;
    tokens_of(mine, PROMPT, 1);
    tokens_of(others, PROMPT, 2);
    for (uint16_t seq = 0; seq < 4; seq++) { /* the prompts; mine in the same chunk in both cases, with others around it in the crowd */
        if (seq == me || !crowd) continue;
        fixture_run(t, others, OTHERS, seq, 0, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(c, t, OTHERS, &fixture_err));
    }
    fixture_run(t, mine, PROMPT, me, 0, ENGINE_TOKEN_LOGITS);
    fixture_ok(fixture_eval(c, t, PROMPT, &fixture_err));
    for (int32_t i = 0; i < N_STEPS; i++) {
        size_t n = 0, at = 0;
        for (uint16_t seq = 0; seq < 4; seq++) {
            if (seq != me && !crowd) continue;
            if (seq == me) at = n;
            const int32_t *token = seq == me ? &mine[i % PROMPT] : &others[(i + seq) % PROMPT];
            fixture_run(t + n++, token, 1, seq, (seq == me ? PROMPT : OTHERS) + i, ENGINE_TOKEN_LOGITS);
        }
        if (crowd && i % 4 == 3) { /* now and then a chunk of someone's prompt beside the single tokens */
            const struct engine_op op = {ENGINE_OP_RM, 3, 0, -1, -1, 0};
            fixture_ok(fixture_apply(c, &op, 1, &fixture_err));
            fixture_run(t + n - 1, others, (size_t)(OTHERS + i + 1 < PROMPT ? OTHERS + i + 1 : PROMPT), 3, 0, ENGINE_TOKEN_LOGITS);
            n += (size_t)(OTHERS + i + 1 < PROMPT ? OTHERS + i + 1 : PROMPT) - 1;
            fixture_ok(fixture_eval(c, t, n, &fixture_err));
            memcpy(ret + (size_t)i * n_vocab, fixture_logits(c, at), n_vocab * sizeof(*ret));
            fixture_ok(fixture_apply(c, &op, 1, &fixture_err));
            for (int32_t p = 0; p < OTHERS + i + 1; p += PROMPT) { /* and on from where it was */
                size_t left = (size_t)(OTHERS + i + 1 - p) < PROMPT ? (size_t)(OTHERS + i + 1 - p) : PROMPT;
                fixture_run(t, others, left, 3, p, 0);
                fixture_ok(fixture_eval(c, t, left, &fixture_err));
            }
            continue;
        }
        fixture_ok(fixture_eval(c, t, n, &fixture_err));
        memcpy(ret + (size_t)i * n_vocab, fixture_logits(c, at), n_vocab * sizeof(*ret));
    }
}

/* Steps at which the two walks give the same bits. */
static int same_steps(bool exact, uint16_t me_alone, uint16_t me_in_crowd, uint32_t cut) {
    const uint32_t n = model.layout->n_layer, bounds[] = {0, cut, n};
    struct engine_load load = fixture_load();
    load.exact = exact;
    struct fixture_chain alone = fixture_whole(&model, &load);
    struct fixture_chain crowd = cut > 0 ? fixture_chain(&model, bounds, 2, &load) : fixture_whole(&model, &load);
    size_t n_vocab = fixture_tail(&alone)->info.n_vocab;
    float *a = mem_calloc(N_STEPS * n_vocab, sizeof(*a)), *b = mem_calloc(N_STEPS * n_vocab, sizeof(*b));
    int same = 0;
    walk(&alone, me_alone, false, a);
    walk(&crowd, me_in_crowd, true, b);
    for (size_t i = 0; i < N_STEPS; i++) same += memcmp(a + i * n_vocab, b + i * n_vocab, n_vocab * sizeof(*a)) == 0;
    free(a);
    free(b);
    fixture_chain_close(&alone);
    fixture_chain_close(&crowd);
    return same;
}

static void exact_ignores_neighbours(void **state) {
    (void)state;
    assert_int_equal(same_steps(true, 0, 0, 0), N_STEPS);
    assert_int_equal(same_steps(true, 0, 2, 0), N_STEPS);
    assert_int_equal(same_steps(true, 0, 1, 3), N_STEPS); /* in two slices too */
}

/* The reason for `exact`: without it, this machine's kernels make a difference (or this machine cannot show one). */
static void without_it_neighbours_show(void **state) {
    (void)state;
    int same = same_steps(false, 0, 2, 0);
    printf("without exact: %d of %d steps have the same bits alone and in a crowd\n", same, N_STEPS);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) assert_true(same < N_STEPS);
#endif
}

/* Split and whole, the same mixed batches. */
static void slices_are_the_whole(void **state) {
    (void)state;
    const uint32_t n = model.layout->n_layer, bounds[] = {0, 2, 5, n};
    for (int exact = 0; exact < 2; exact++) {
        struct engine_load load = fixture_load();
        load.exact = exact;
        struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, bounds, 3, &load);
        size_t size = N_STEPS * fixture_tail(&whole)->info.n_vocab;
        float *a = mem_calloc(size, sizeof(*a)), *b = mem_calloc(size, sizeof(*b));
        walk(&whole, 2, true, a);
        walk(&split, 2, true, b);
        assert_memory_equal(a, b, size * sizeof(*a));
        free(a);
        free(b);
        fixture_chain_close(&whole);
        fixture_chain_close(&split);
    }
}

/* Logits of the single tokens behind a long prompt, alone or beside another one. */
static float *walk_far(uint32_t threads, bool crowd) {
    struct engine_load load = fixture_load();
    struct engine_token t[64];
    int32_t tokens[LONG_WALK];
    load.exact = true;
    load.n_ctx = LONG_WALK;
    load.n_seq = 2;
    load.n_threads = threads;
    struct fixture_chain c = fixture_whole(&model, &load);
    size_t n_vocab = fixture_tail(&c)->info.n_vocab;
    float *ret = mem_calloc(LONG_WALK * n_vocab, sizeof(*ret));
    tokens_of(tokens, LONG_WALK, 4);
    for (uint16_t i = 0; i < 2 * FAR / 64; i++) {
        fixture_run(t, tokens + i / 2 * 64, 64, i % 2, i / 2 * 64, 0);
        fixture_ok(fixture_eval(&c, t, 64, &fixture_err));
    }
    for (int32_t at = FAR; at < LONG_WALK; at++) {
        fixture_run(t, tokens + at, 1, 0, at, ENGINE_TOKEN_LOGITS);
        fixture_run(t + 1, tokens + at, 1, 1, at, 0);
        fixture_ok(fixture_eval(&c, t, crowd ? 2 : 1, &fixture_err));
        memcpy(ret + (size_t)at * n_vocab, fixture_logits(&c, 0), n_vocab * sizeof(*ret));
    }
    fixture_chain_close(&c);
    return ret;
}

/* However long the text, whoever is beside it, and however many threads compute. */
static void exact_far_into_the_text(void **state) {
    (void)state;
    float *one = walk_far(1, false);
    for (int i = 0; i < 2; i++) {
        float *other = walk_far(2, i == 1);
        assert_memory_equal(one, other, LONG_WALK * (size_t)model.layout->n_vocab * sizeof(*one));
        free(other);
    }
    free(one);
}

/* Logits of every token of a prompt that is computed in pieces of `piece` tokens, the last one smaller. */
static float *in_pieces(size_t n, size_t piece) {
    struct engine_load load = fixture_load();
    load.exact = true;
    load.n_batch = LONG_PROMPT;
    struct fixture_chain c = fixture_whole(&model, &load);
    size_t n_vocab = fixture_tail(&c)->info.n_vocab;
    float *ret = mem_calloc(n * n_vocab, sizeof(*ret));
    int32_t tokens[LONG_PROMPT];
    static struct engine_token t[LONG_PROMPT];
    tokens_of(tokens, LONG_PROMPT, 3);
    for (size_t at = 0; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        fixture_run(t, tokens + at, len, 0, (int32_t)at, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(&c, t, len, &fixture_err));
        for (size_t i = 0; i < len; i++) memcpy(ret + (at + i) * n_vocab, fixture_logits(&c, i), n_vocab * sizeof(*ret));
    }
    fixture_chain_close(&c);
    return ret;
}

static bool same_pieces(size_t n, size_t a, size_t b) {
    size_t size = n * (size_t)model.layout->n_vocab * sizeof(float);
    float *one = in_pieces(n, a), *other = in_pieces(n, b);
    bool same = memcmp(one, other, size) == 0;
    free(one);
    free(other);
    return same;
}

/* The scheduler relies on this (sched_exact_step): pieces of multiples of 64 are computed alike, and so are those of multiples of 8 under
 * 64, and those of 1 to 3. */
static void pieces_of_a_class_agree(void **state) {
    (void)state;
    assert_true(same_pieces(192, 192, 64));
    assert_true(same_pieces(192, 128, 64));
    assert_true(same_pieces(56, 56, 8));
    assert_true(same_pieces(56, 32, 16));
    assert_true(same_pieces(12, 3, 1));
    printf("pieces of 64 and of 32 %s, of 8 and of 4 %s, of 4 and of 2 %s\n", same_pieces(64, 64, 32) ? "agree" : "differ",
           same_pieces(8, 8, 4) ? "agree" : "differ", same_pieces(4, 4, 2) ? "agree" : "differ");
}

static int setup(void **state) {
    (void)state;
    struct err e = {0};
    int fd = mkstemp(path);
    if (fd < 0 || engine_runtime_start(os_backends_dir, &e) != ERR_OK) return -1;
    close(fd);
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = LLAMA_FTYPE_MOSTLY_Q4_K_S;
    params.allow_requantize = true;
    params.nthread = 1;
    char *demo = fixture_demo_path();
    bool ok = llama_model_quantize(demo, path, &params) == 0;
    free(demo);
    if (ok) fixture_open_path(&model, path);
    return ok ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    unlink(path);
    fixture_close(&model);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_ignores_neighbours), cmocka_unit_test(without_it_neighbours_show), cmocka_unit_test(exact_far_into_the_text),
        cmocka_unit_test(slices_are_the_whole),     cmocka_unit_test(pieces_of_a_class_agree),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
