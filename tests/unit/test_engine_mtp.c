/* SPDX-License-Identifier: MIT
 * Guesses by a model's own layers for multi-token prediction: the split model makes those that the whole model makes, they come true as
 * often as its training says, and they never change what the model computes. The model is the demo with such a layer (tools/make-mtp.c). */
#include "engine/need.h"
#include "engine/slice_priv.h"
#include "model/estimate.h"
#include "support/engine_fixture.h"

enum { MOST = 4, STEPS = 60, N_LAYER = 8 };

static char *path;
static struct fixture plain; /* the same file, without its layer */

static int setup(void **state) {
    (void)state;
    path = fixture_mtp_path();
    fixture_open_path(&model, path);
    fixture_open_path(&plain, path);
    model_layout_keep_mtp(model.layout, 0);
    return 0;
}

static int teardown(void **state) {
    fixture_close(&plain);
    unlink(path);
    free(path);
    return fixture_teardown(state);
}

/* A chain of slices with one sequence of greedy text. */
struct text {
    struct fixture_chain chain;
    struct engine_token run[1 + MOST];
    int32_t next, pos; /* the next token, and its position */
    uint16_t seq;
};

static int32_t best(const float *logits, uint32_t n) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[at]) at = i;
    return (int32_t)at;
}

static int32_t sampled(struct text *x, size_t i) { return best(fixture_logits(&x->chain, i), fixture_tail(&x->chain)->info.n_vocab); }

static struct text text_open(const struct fixture *f, const uint32_t *bounds, uint32_t n, const struct engine_load *load) {
    return (struct text){.chain = fixture_chain(f, bounds, n, load)};
}

/* Reads a prompt. */
static void read_prompt(struct text *x, const char *prompt) {
    struct engine *head = &x->chain.part[0];
    struct engine_token t[FIXTURE_MAX_BATCH];
    int32_t *tokens;
    size_t n;
    fixture_ok(head->ops->tokenize(head->self, prompt, strlen(prompt), false, true, &tokens, &n, &fixture_err));
    fixture_run(t, tokens, n, x->seq, 0, 0);
    t[n - 1].flags = ENGINE_TOKEN_LOGITS;
    fixture_ok(fixture_eval(&x->chain, t, n, &fixture_err));
    x->next = sampled(x, n - 1);
    x->pos = (int32_t)n;
    free(tokens);
}

/* Computes the next token and n guesses after it, as many of which count as are right, and takes `most` new guesses. Returns how many were
 * right. */
static uint32_t step(struct text *x, const struct engine_guess *guesses, uint32_t n, uint32_t most, struct engine_guess *ret,
                     uint32_t *ret_n) {
    struct engine *tail = fixture_tail(&x->chain);
    uint32_t right = 0;
    for (uint32_t i = 0; i <= n; i++)
        x->run[i] = (struct engine_token){.token = i > 0 ? guesses[i - 1].token : x->next,
                                          .pos = x->pos + (int32_t)i,
                                          .seq = x->seq,
                                          .flags = ENGINE_TOKEN_LOGITS,
                                          .n_guess = (uint8_t)most};
    fixture_ok(fixture_eval(&x->chain, x->run, 1 + n, &fixture_err));
    while (right < n && sampled(x, right) == guesses[right].token) right++;
    x->next = sampled(x, right);
    *ret_n = most > 0 ? tail->ops->guess(tail->self, x->run, 0, 1 + right, x->next, most, ret) : 0;
    x->pos += 1 + (int32_t)right;
    if (right < n) {
        const struct engine_op op = {.kind = ENGINE_OP_RM, .seq = x->seq, .p0 = x->pos, .p1 = -1};
        fixture_ok(fixture_apply(&x->chain, &op, 1, &fixture_err));
    }
    return right;
}

static const char *const prompts[] = {"<|im_start|>user\nWhat is a caravan?<|im_end|>\n<|im_start|>assistant\n",
                                      "<|im_start|>user\nTell me a story about a llama.<|im_end|>\n<|im_start|>assistant\n"};

static void split_tail_guesses_as_the_whole(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 3, N_LAYER}, all[] = {0, N_LAYER};
    struct engine_load load = fixture_load();
    struct text whole = text_open(&model, all, 1, &load), split = text_open(&model, bounds, 2, &load);
    struct engine_guess a[MOST], b[MOST];
    uint32_t n_a = 0, n_b = 0, n_all = 0;
    assert_int_equal(fixture_tail(&split.chain)->info.n_guess, ENGINE_MAX_GUESS);
    read_prompt(&whole, prompts[1]);
    read_prompt(&split, prompts[1]);
    for (int i = 0; i < STEPS / 2; i++) {
        uint32_t right = step(&whole, a, n_a, MOST, a, &n_a);
        assert_int_equal(step(&split, b, n_b, MOST, b, &n_b), right);
        assert_int_equal(n_a, n_b);
        assert_memory_equal(a, b, n_a * sizeof(*a));
        n_all += n_a;
    }
    assert_true(n_all > STEPS);
    fixture_chain_close(&whole.chain);
    fixture_chain_close(&split.chain);
}

/* The text is that of a model without the layer, and comes in fewer steps. */
static void guesses_come_true(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 5, N_LAYER};
    struct engine_load load = fixture_load();
    for (size_t p = 0; p < ARRAY_LEN(prompts); p++) {
        struct text with = text_open(&model, bounds, 2, &load), without = text_open(&plain, bounds, 2, &load);
        struct engine_guess g[MOST];
        int32_t text[2 * STEPS];
        uint32_t n = 0, sent = 0, right = 0, steps = 0;
        assert_int_equal(fixture_tail(&without.chain)->info.n_guess, 0);
        read_prompt(&with, prompts[p]);
        read_prompt(&without, prompts[p]);
        for (int32_t at = 0, start = with.pos; at < STEPS; steps++) {
            int32_t old = with.next, was = with.pos;
            uint32_t n_sent = n, ok;
            struct engine_guess old_g[MOST];
            memcpy(old_g, g, sizeof(g));
            ok = step(&with, g, n, MOST, g, &n);
            text[was - start] = old;
            for (uint32_t i = 0; i < ok; i++) text[was - start + 1 + (int32_t)i] = old_g[i].token;
            sent += n_sent;
            right += ok;
            at = with.pos - start;
        }
        for (int32_t i = 0; i < STEPS; i++) {
            uint32_t none;
            assert_int_equal(text[i], without.next);
            step(&without, NULL, 0, 0, NULL, &none);
        }
        print_message("%u steps for %d tokens, %u of %u guesses right\n", steps, STEPS, right, sent);
        assert_true(steps <= STEPS * 2 / 5); /* with the wrong rows it would be 26 and more */
        fixture_chain_close(&with.chain);
        fixture_chain_close(&without.chain);
    }
}

/* Positions that were taken back, copied, or computed while nobody asked for guesses: no failure, and as many guesses as before. */
static void guesses_go_on_after_operations(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 3, N_LAYER};
    struct engine_load load = fixture_load();
    struct text x = text_open(&model, bounds, 2, &load);
    struct engine_guess g[MOST];
    uint32_t n;
    read_prompt(&x, prompts[0]);
    step(&x, NULL, 0, MOST, g, &n);
    assert_int_equal(n, MOST);
    for (int i = 0; i < 5; i++) step(&x, NULL, 0, 0, NULL, &n);
    step(&x, NULL, 0, MOST, g, &n); /* behind a gap */
    assert_int_equal(n, MOST);
    const struct engine_op ops[] = {{.kind = ENGINE_OP_CP, .seq = 0, .dst = 2, .p0 = 0, .p1 = x.pos},
                                    {.kind = ENGINE_OP_RM, .seq = 0, .p0 = x.pos - 3, .p1 = -1}};
    fixture_ok(fixture_apply(&x.chain, ops, 2, &fixture_err));
    x.seq = 2;
    step(&x, NULL, 0, MOST, g, &n);
    assert_int_equal(n, MOST);
    x.seq = 0;
    x.pos -= 4;
    step(&x, NULL, 0, MOST, g, &n);
    assert_int_equal(n, MOST);
    const struct engine_op closed = {.kind = ENGINE_OP_CLOSE, .seq = 0};
    fixture_ok(fixture_apply(&x.chain, &closed, 1, &fixture_err));
    read_prompt(&x, prompts[1]);
    step(&x, NULL, 0, MOST, g, &n);
    assert_int_equal(n, MOST);
    fixture_chain_close(&x.chain);
}

/* A text that is longer than what the layer's own KV cache holds. */
static void long_texts_keep_their_guesses(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, N_LAYER};
    struct engine_load load = fixture_load();
    load.n_ctx = 4096;
    struct text x = text_open(&model, bounds, 1, &load);
    struct engine_guess g[MOST];
    uint32_t n = 0;
    read_prompt(&x, prompts[1]);
    for (int i = 0; i < 1200; i++) {
        step(&x, NULL, 0, 1, g, &n);
        x.next = x.next == 0 ? 1 : x.next;
    }
    assert_true(x.pos > 1200);
    assert_true(n <= 1);
    const struct slice *s = x.chain.part[0].self;
    assert_true(llama_memory_seq_pos_max(s->mtp.mem, 0) - llama_memory_seq_pos_min(s->mtp.mem, 0) < 1100);
    fixture_chain_close(&x.chain);
}

/* What the plan counts is about what libllama takes. */
static void memory_is_known(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct engine_need with, without;
    struct model_slice *a, *b;
    fixture_ok(model_slice_create(model.gguf, model.layout, 4, N_LAYER, &a, &fixture_err));
    fixture_ok(model_slice_create(plain.gguf, plain.layout, 4, N_LAYER, &b, &fixture_err));
    fixture_ok(engine_need_ask(a, NULL, NULL, &load, &with, &fixture_err));
    fixture_ok(engine_need_ask(b, NULL, NULL, &load, &without, &fixture_err));
    struct model_load_shape shape = {.n_ctx = load.n_ctx, .n_seq = load.n_seq, .n_ubatch = 64, .type_k = 1, .type_v = 1};
    struct model_estimate none = model_estimate_slice(model.layout, 4, N_LAYER, &shape);
    shape.mtp = true;
    struct model_estimate all = model_estimate_slice(model.layout, 4, N_LAYER, &shape);
    struct engine tail = fixture_slice(&model, 4, N_LAYER, &load);
    print_message("weights +%llu, estimated +%llu; KV +%llu, estimated +%llu; compute +%llu, estimated +%llu\n",
                  (unsigned long long)(with.weights - without.weights), (unsigned long long)(all.weights - none.weights),
                  (unsigned long long)(with.kv - without.kv), (unsigned long long)(all.kv - none.kv),
                  (unsigned long long)(with.compute - without.compute), (unsigned long long)(all.compute - none.compute));
    assert_true(with.weights > without.weights && with.kv > without.kv);
    assert_int_equal(tail.info.bytes_kv, with.kv);
    assert_int_equal(all.kv - none.kv, with.kv - without.kv);
    uint64_t more = with.weights - without.weights, estimated = all.weights - none.weights;
    assert_true(more < estimated + estimated / 4 && estimated < more + more / 4);
    assert_true(with.compute - without.compute <= all.compute - none.compute);
    tail.ops->close(tail.self);
    model_slice_free(a);
    model_slice_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(split_tail_guesses_as_the_whole), cmocka_unit_test(guesses_come_true),
                                       cmocka_unit_test(guesses_go_on_after_operations), cmocka_unit_test(long_texts_keep_their_guesses),
                                       cmocka_unit_test(memory_is_known)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
