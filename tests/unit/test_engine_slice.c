/* SPDX-License-Identifier: MIT
 * Slices in libllama: cut anywhere, chained by hand in one process, they give the whole model's logits bit for bit. */
#include <math.h>

#include "engine/slice_priv.h"
#include "model/adapter.h"
#include "support/engine_fixture.h"

enum { CHUNK = 16, N_PROMPT = 40, N_DECODE = 24 };

static int32_t best(const float *logits, uint32_t n) {
    uint32_t at = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[at]) at = i;
    return (int32_t)at;
}

static void assert_same_logits(struct fixture_chain *a, struct fixture_chain *b, size_t n) {
    size_t bytes = fixture_tail(a)->info.n_vocab * sizeof(float);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(fixture_logits(a, i));
        assert_memory_equal(fixture_logits(a, i), fixture_logits(b, i), bytes);
    }
}

/* Prefill in chunks, then greedy decode, on both; every position's logits compared. */
static void walk_both(struct fixture_chain *whole, struct fixture_chain *split) {
    int32_t prompt[N_PROMPT], next = 0;
    struct engine_token t[CHUNK];
    fixture_tokens(prompt, N_PROMPT, 1);
    for (int32_t pos = 0; pos < N_PROMPT; pos += CHUNK) {
        size_t n = N_PROMPT - pos < CHUNK ? (size_t)(N_PROMPT - pos) : CHUNK;
        fixture_run(t, prompt + pos, n, 0, pos, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(whole, t, n, &fixture_err));
        fixture_ok(fixture_eval(split, t, n, &fixture_err));
        assert_same_logits(whole, split, n);
        next = best(fixture_logits(whole, n - 1), fixture_tail(whole)->info.n_vocab);
    }
    for (int32_t i = 0; i < N_DECODE; i++) {
        fixture_run(t, &next, 1, 0, N_PROMPT + i, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(whole, t, 1, &fixture_err));
        fixture_ok(fixture_eval(split, t, 1, &fixture_err));
        assert_same_logits(whole, split, 1);
        next = best(fixture_logits(whole, 0), fixture_tail(whole)->info.n_vocab);
    }
}

static void compare_split(const uint32_t *bounds, uint32_t n, const struct engine_load *load) {
    struct fixture_chain whole = fixture_whole(&model, load), split = fixture_chain(&model, bounds, n, load);
    walk_both(&whole, &split);
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
}

static void two_halves_are_the_whole(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, model.layout->n_layer / 2, model.layout->n_layer};
    struct engine_load load = fixture_load();
    compare_split(bounds, 2, &load);
}

static void uneven_slices_are_the_whole(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 1, model.layout->n_layer - 2, model.layout->n_layer - 1, model.layout->n_layer};
    struct engine_load load = fixture_load();
    compare_split(bounds, 4, &load);
}

static void every_layer_by_itself_is_the_whole(void **state) {
    (void)state;
    uint32_t bounds[FIXTURE_MAX_SLICES + 1];
    assert_uint_in_range(model.layout->n_layer, 2, FIXTURE_MAX_SLICES);
    for (uint32_t i = 0; i <= model.layout->n_layer; i++) bounds[i] = i;
    struct engine_load load = fixture_load();
    compare_split(bounds, model.layout->n_layer, &load);
}

static void small_ubatches_and_other_caches_are_the_whole(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 3, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.n_ubatch = 8;
    load.n_outputs = CHUNK; /* else the tail computes in parts, in another shape than the slices before it */
    load.n_seq = 1;
    snprintf(load.cache_type_k, sizeof(load.cache_type_k), "q8_0");
    snprintf(load.cache_type_v, sizeof(load.cache_type_v), "f32");
    compare_split(bounds, 2, &load);
    snprintf(load.flash_attn, sizeof(load.flash_attn), "off");
    snprintf(load.cache_type_k, sizeof(load.cache_type_k), "f16");
    compare_split(bounds, 2, &load);
}

/* A chunk of one prompt beside single tokens of other sequences, as continuous batching has it. */
static size_t mixed_batch(struct engine_token *t, int step) {
    static const struct {
        uint16_t seq, n;
    } rows[2][4] = {{{2, 9}, {0, 5}, {3, 1}, {1, 4}}, {{0, 1}, {1, 1}, {2, 13}, {3, 1}}};
    static int32_t pos[4];
    size_t n = 0;
    if (step == 0) memset(pos, 0, sizeof(pos));
    for (int r = 0; r < 4; r++) {
        int32_t tokens[16];
        fixture_tokens(tokens, rows[step % 2][r].n, (uint32_t)(step * 4 + r));
        fixture_run(t + n, tokens, rows[step % 2][r].n, rows[step % 2][r].seq, pos[rows[step % 2][r].seq], 0);
        n += rows[step % 2][r].n;
        pos[rows[step % 2][r].seq] += rows[step % 2][r].n;
        t[n - 1].flags = ENGINE_TOKEN_LOGITS;
    }
    return n;
}

static void mixed_sequences(bool exact) {
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.exact = exact;
    struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, bounds, 2, &load);
    for (int step = 0; step < 6; step++) {
        struct engine_token t[64];
        size_t n = mixed_batch(t, step);
        fixture_ok(fixture_eval(&whole, t, n, &fixture_err));
        fixture_ok(fixture_eval(&split, t, n, &fixture_err));
        for (size_t i = 0; i < n; i++) {
            const float *a = fixture_logits(&whole, i), *b = fixture_logits(&split, i);
            assert_int_equal(a != NULL, t[i].flags != 0);
            if (a != NULL) assert_memory_equal(a, b, fixture_tail(&whole)->info.n_vocab * sizeof(*a));
        }
    }
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
}

static void mixed_sequences_are_the_whole(void **state) {
    (void)state;
    mixed_sequences(false);
}
static void mixed_sequences_are_the_whole_when_exact(void **state) {
    (void)state;
    mixed_sequences(true);
}

/* libllama aborts when a batch wants more logits than it was told. Each part gives what a batch of its own does. */
static void more_logits_than_there_is_room_for_come_in_parts(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain all = fixture_whole(&model, &load);
    load.n_seq = 2;
    load.n_outputs = 5;
    struct fixture_chain few = fixture_whole(&model, &load);
    int32_t tokens[CHUNK];
    struct engine_token t[CHUNK];
    fixture_tokens(tokens, CHUNK, 9);
    fixture_run(t, tokens, CHUNK, 0, 0, ENGINE_TOKEN_LOGITS);
    t[1].flags = 0;
    fixture_ok(fixture_eval(&few, t, CHUNK, &fixture_err));
    static const size_t parts[] = {6, 5, 5}; /* as many tokens as have five rows of logits */
    for (size_t p = 0, at = 0; p < ARRAY_LEN(parts); at += parts[p++]) {
        fixture_ok(fixture_eval(&all, t + at, parts[p], &fixture_err));
        for (size_t i = 0; i < parts[p]; i++) {
            const float *a = fixture_logits(&all, i), *b = fixture_logits(&few, at + i);
            assert_int_equal(a != NULL, at + i != 1);
            assert_int_equal(b != NULL, at + i != 1);
            if (a != NULL) assert_memory_equal(a, b, fixture_tail(&all)->info.n_vocab * sizeof(*a));
        }
    }
    fixture_chain_close(&all);
    fixture_chain_close(&few);
}

/* ---- sequence operations ---- */

static void sequence_operations(bool exact) {
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.exact = exact;
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    int32_t tokens[32];
    fixture_tokens(tokens, 32, 3);
    float *first = fixture_logits_after(&c, tokens, 12, 0, 0);
    float *next = fixture_logits_after(&c, tokens + 12, 1, 0, 12);
    /* back to 12, the same token again */
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, 12, -1, 0};
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 0, 12), true);
    /* a prefix of 12 copied to an occupied sequence, then the same token there; another token gives something else */
    free(fixture_logits_after(&c, tokens + 5, 7, 3, 0));
    const struct engine_op copy = {ENGINE_OP_CP, 0, 3, 0, 12, 0};
    fixture_ok(fixture_apply(&c, &copy, 1, &fixture_err));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 3, 12), true);
    fixture_same(next, fixture_logits_after(&c, tokens + 13, 1, 3, 13), false);
    /* appending to the copy did not change the source */
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 0, 12), true);
    /* sequence 0 begins again */
    const struct engine_op anew[] = {{ENGINE_OP_RM, 0, 0, 0, -1, 0}, {ENGINE_OP_RM, 3, 0, 12, -1, 0}};
    fixture_ok(fixture_apply(&c, anew, 2, &fixture_err));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 3, 12), true);
    fixture_same(first, fixture_logits_after(&c, tokens, 12, 0, 0), true);
    const struct engine_op close[] = {{ENGINE_OP_CLOSE, 3, 0, 0, 0, 0}, {ENGINE_OP_CLOSE, 0, 0, 0, 0, 0}};
    fixture_ok(fixture_apply(&c, close, 2, &fixture_err));
    fixture_same(first, fixture_logits_after(&c, tokens, 12, 0, 0), true);
    free(first);
    free(next);
    fixture_chain_close(&c);
}

static void sequence_operations_work(void **state) {
    (void)state;
    sequence_operations(false);
}
static void sequence_operations_work_when_exact(void **state) {
    (void)state;
    sequence_operations(true);
}

/* ---- sampling ---- */

static struct engine_sample sample_after(struct fixture_chain *c, const int32_t *tokens, size_t n, uint16_t seq, int32_t pos) {
    struct engine_sample out = {0};
    struct engine *tail = fixture_tail(c);
    free(fixture_logits_after(c, tokens, n, seq, pos));
    fixture_ok(tail->ops->sample(tail->self, seq, n - 1, pos + (int32_t)n - 1, &out, &fixture_err));
    return out;
}

static void open_sampler(struct fixture_chain *c, uint32_t seq, float presence_penalty) {
    struct engine_sampling p;
    engine_sampling_init(&p);
    p.temperature = 0;
    p.presence_penalty = presence_penalty;
    p.repeat_last_n = -1;
    p.n_top_logprobs = 2;
    for (uint32_t i = 0; i < c->n; i++) fixture_ok(c->part[i].ops->seq_open(c->part[i].self, seq, &p, &fixture_err));
}

/* The sampler sees the tokens of its sequence: after eval, removal, copy, and in a sequence that is used again. */
static void samplers_see_their_sequence(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    int32_t prompt[12], best_token, second, one;
    fixture_tokens(prompt, 12, 11);
    open_sampler(&c, 0, 0);
    struct engine_sample plain = sample_after(&c, prompt, 12, 0, 0);
    best_token = plain.token;
    second = plain.top[1].token;
    assert_int_equal(plain.top[0].token, best_token);
    /* the same prompt with the best token put into it: penalised by the most there is, it comes last of all that was said */
    open_sampler(&c, 0, 2);
    const struct engine_op close = {ENGINE_OP_CLOSE, 0, 0, 0, 0, 0}, back = {ENGINE_OP_RM, 0, 0, 12, -1, 0},
                           copy = {ENGINE_OP_CP, 0, 1, 0, 13, 0};
    one = best_token;
    struct engine_sample a = sample_after(&c, &one, 1, 0, 12); /* the prompt, then the best token */
    open_sampler(&c, 1, 2);
    fixture_ok(fixture_apply(&c, &copy, 1, &fixture_err));
    assert_int_equal(sample_after(&c, &second, 1, 1, 13).token, sample_after(&c, &second, 1, 0, 13).token);
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    assert_int_equal(sample_after(&c, &one, 1, 0, 12).token, a.token);
    /* closed: no sampler, and a new one knows nothing of the past */
    fixture_ok(fixture_apply(&c, &close, 1, &fixture_err));
    free(fixture_logits_after(&c, prompt, 12, 0, 0));
    struct engine_sample out;
    assert_int_equal(fixture_tail(&c)->ops->sample(fixture_tail(&c)->self, 0, 11, 11, &out, NULL), ERR_INVALID);
    fixture_chain_close(&c);
}

/* The scores of n tokens that come in chunks, into ret. */
static void score_all(struct fixture_chain *c, const int32_t *tokens, size_t n, size_t chunk, struct engine_sample *ret) {
    struct engine *tail = fixture_tail(c);
    open_sampler(c, 2, 0);
    for (size_t at = 0; at < n; at += chunk) {
        struct engine_token t[FIXTURE_MAX_BATCH];
        size_t len = n - at < chunk ? n - at : chunk;
        fixture_run(t, tokens + at, len, 2, (int32_t)at, ENGINE_TOKEN_SCORE);
        fixture_ok(fixture_eval(c, t, len, &fixture_err));
        for (size_t i = 0; i < len; i++) fixture_ok(tail->ops->score(tail->self, 2, i, (int32_t)(at + i), &ret[at + i], &fixture_err));
    }
    const struct engine_op close = {ENGINE_OP_CLOSE, 2, 0, 0, 0, 0};
    fixture_ok(fixture_apply(c, &close, 1, &fixture_err));
}

/* The log softmax, in doubles, by the definition. */
static double log_likelihood(const float *row, uint32_t n_vocab, int32_t token) {
    double max = (double)row[0], sum = 0;
    for (uint32_t i = 1; i < n_vocab; i++) max = (double)row[i] > max ? (double)row[i] : max;
    for (uint32_t i = 0; i < n_vocab; i++) sum += exp((double)row[i] - max);
    return (double)row[token] - max - log(sum);
}

static void assert_same_scores(const struct engine_sample *a, const struct engine_sample *b, size_t n) {
    for (size_t i = 0; i < n; i++) assert_true(a[i].token == b[i].token && a[i].logprob == b[i].logprob);
}

/* Whole and in slices, in one batch and in chunks, a token's score is its log probability by the logits before it. The shape of a batch
 * changes the logits a little, on some processors by 0.1. */
static void given_tokens_are_scored(void **state) {
    (void)state;
    enum { N = 30 };
    const uint32_t bounds[] = {0, 3, 5, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.n_outputs = N;
    struct fixture_chain whole = fixture_whole(&model, &load), split = fixture_chain(&model, bounds, 3, &load);
    uint32_t n_vocab = whole.part[0].info.n_vocab;
    int32_t tokens[N];
    struct engine_sample scores[N], other[N], single[N];
    fixture_tokens(tokens, N, 29);
    score_all(&whole, tokens, N, N, scores);
    score_all(&whole, tokens, N, 1, single);
    assert_true(scores[0].token == tokens[0] && scores[0].logprob == 0 && scores[0].n_top == 0);
    float *row = fixture_logits_after(&whole, tokens, 1, 0, 0);
    for (size_t i = 1; i < N; i++) {
        assert_int_equal(scores[i].token, tokens[i]);
        assert_int_equal(scores[i].n_top, 2);
        double truth = log_likelihood(row, n_vocab, tokens[i]);
        assert_true(fabs((double)single[i].logprob - truth) < 0.001 && fabs((double)scores[i].logprob - truth) < 0.5);
        assert_true(scores[i].top[0].logprob >= scores[i].logprob);
        free(row);
        row = fixture_logits_after(&whole, tokens + i, 1, 0, (int32_t)i);
    }
    free(row);
    score_all(&split, tokens, N, N, other);
    assert_same_scores(other, scores, N);
    score_all(&whole, tokens, N, 7, scores);
    score_all(&split, tokens, N, 7, other);
    assert_same_scores(other, scores, N);
    struct engine *tail = fixture_tail(&whole);
    open_sampler(&whole, 3, 0); /* what was not noted is not guessed */
    free(fixture_logits_after(&whole, tokens, 2, 3, 0));
    assert_int_equal(tail->ops->score(tail->self, 3, 1, 1, &other[0], NULL), ERR_INVALID);
    fixture_chain_close(&whole);
    fixture_chain_close(&split);
}

/* History is by position: a penalised token is avoided while it stands there, and only then. */
static void history_follows_the_operations(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, 1, -1, 0}, copy = {ENGINE_OP_CP, 0, 1, 0, 2, 0};
    int32_t start = 5, other = 6;
    open_sampler(&c, 0, 0);
    int32_t want = sample_after(&c, &start, 1, 0, 0).token;
    open_sampler(&c, 0, 2);
    open_sampler(&c, 1, 2);
    /* position 1 holds the token that would come, which must not come again; then another token stands there */
    free(fixture_logits_after(&c, &want, 1, 0, 1));
    fixture_ok(fixture_apply(&c, &copy, 1, &fixture_err));
    const struct slice *s = fixture_tail(&c)->self;
    const int32_t *mine = s->history, *copied = s->history + s->info.n_ctx_seq;
    assert_true(mine[0] == start && mine[1] == want && mine[2] == -1);
    assert_true(copied[0] == start && copied[1] == want && copied[2] == -1);
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    assert_true(mine[0] == start && mine[1] == -1 && copied[1] == want);
    free(fixture_logits_after(&c, &other, 1, 0, 1));
    assert_true(mine[1] == other);
    int32_t tokens[60];
    fixture_tokens(tokens, 60, 4);
    free(fixture_logits_after(&c, tokens, 60, 2, 0));
    const struct engine_op close = {ENGINE_OP_CLOSE, 2, 0, 0, 0, 0};
    fixture_ok(fixture_apply(&c, &close, 1, &fixture_err));
    for (uint32_t i = 0; i < s->info.n_ctx_seq; i++) assert_int_equal(s->history[2 * s->info.n_ctx_seq + i], -1);
    fixture_chain_close(&c);
}

static void bad_samplings_are_refused(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    struct engine *e = &c.part[0];
    struct engine_sampling p;
    struct engine_sample out;
    int32_t tokens[4];
    fixture_tokens(tokens, 4, 2);
    engine_sampling_init(&p);
    open_sampler(&c, 0, 0);
    free(fixture_logits_after(&c, tokens, 4, 0, 0));
    assert_int_equal(e->ops->sample(e->self, 0, 0, 0, &out, NULL), ERR_INVALID); /* no flags, no logits */
    assert_int_equal(e->ops->sample(e->self, 0, 3, 256, &out, NULL), ERR_INVALID);
    assert_int_equal(e->ops->sample(e->self, 1, 3, 3, &out, NULL), ERR_INVALID);
    assert_int_equal(e->ops->sample(e->self, 9, 3, 3, &out, NULL), ERR_INVALID);
    assert_int_equal(e->ops->seq_open(e->self, 4, &p, NULL), ERR_INVALID);
    assert_int_equal(e->ops->sample(e->self, 0, 3, 3, &out, NULL), ERR_OK);
    assert_null(e->ops->logits(e->self, 0));
    assert_null(e->ops->logits(e->self, 1 << 20));
    fixture_chain_close(&c);
}

/* ---- refusals ---- */

static void expect_refusal(struct fixture_chain *c, struct engine_token t, size_t n, err_code want, const char *words) {
    struct engine_token batch[FIXTURE_MAX_BATCH] = {{0}};
    struct err e = {0};
    for (size_t i = 0; i < n; i++)
        batch[i] = (struct engine_token){.token = t.token, .pos = t.pos + (int32_t)i, .seq = t.seq, .flags = t.flags};
    assert_int_equal(fixture_eval(c, batch, n, &e), want);
    assert_non_null(strstr(e.text, words));
}

static void bad_batches_are_refused(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    int32_t tokens[8], n_vocab = (int32_t)model.layout->n_vocab;
    fixture_tokens(tokens, 8, 5);
    float *want = fixture_logits_after(&c, tokens, 8, 0, 0);
    expect_refusal(&c, (struct engine_token){n_vocab, 8, 0, 1, 0}, 1, ERR_INVALID, "token");
    expect_refusal(&c, (struct engine_token){-1, 8, 0, 1, 0}, 1, ERR_INVALID, "token");
    expect_refusal(&c, (struct engine_token){1, 8, 4, 1, 0}, 1, ERR_INVALID, "sequence 4");
    expect_refusal(&c, (struct engine_token){1, -1, 0, 1, 0}, 1, ERR_INVALID, "position");
    expect_refusal(&c, (struct engine_token){1, 250, 0, 1, 0}, 7, ERR_NO_ROOM, "context of 256");
    expect_refusal(&c, (struct engine_token){1, 8, 0, 1, 0}, 65, ERR_LIMIT, "at most 64");
    expect_refusal(&c, (struct engine_token){1, 20, 0, 1, 0}, 1, ERR_ENGINE, "libllama"); /* a hole in the sequence */
    const struct engine_op ops[] = {{ENGINE_OP_RM, 9, 0, 0, -1, 0}, {ENGINE_OP_CP, 0, 9, 0, -1, 0}, {77, 0, 0, 0, -1, 0}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) assert_int_equal(fixture_apply(&c, &ops[i], 1, NULL), ERR_INVALID);
    /* nothing of this was computed */
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, -1, -1, 0};
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    fixture_same(want, fixture_logits_after(&c, tokens, 8, 0, 0), true);
    free(want);
    fixture_chain_close(&c);
}

/* A batch that fails in its second part leaves nothing of the first. */
static void a_failed_batch_leaves_nothing(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    load.exact = true; /* one part for each of the two runs */
    struct fixture_chain c = fixture_whole(&model, &load);
    struct engine_token t[8];
    int32_t tokens[12];
    fixture_tokens(tokens, 12, 6);
    free(fixture_logits_after(&c, tokens, 8, 0, 0));
    float *want = fixture_logits_after(&c, tokens + 8, 4, 0, 8);
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, 8, -1, 0};
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    fixture_run(t, tokens + 8, 4, 0, 8, 0);
    fixture_run(t + 4, tokens, 4, 1, 0, 0);
    t[7].pos = 100; /* a hole */
    assert_int_equal(fixture_eval(&c, t, 8, NULL), ERR_ENGINE);
    fixture_same(want, fixture_logits_after(&c, tokens + 8, 4, 0, 8), true);
    free(fixture_logits_after(&c, tokens, 4, 1, 0));
    free(want);
    fixture_chain_close(&c);
}

static void the_context_can_be_filled(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    int32_t tokens[64];
    fixture_tokens(tokens, 64, 9);
    for (uint16_t seq = 0; seq < 4; seq++)
        for (int32_t pos = 0; pos < 256; pos += 64) free(fixture_logits_after(&c, tokens, 64, seq, pos));
    fixture_chain_close(&c);
}

static bool read_nothing(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    (void)user, (void)part, (void)offset, (void)buf, (void)len;
    return false;
}

static bool stop_at_once(void *user, float fraction) {
    ++*(int *)user;
    return fraction < 0.0f;
}

static bool count_calls(void *user, float fraction) {
    assert_true(fraction >= 0.0f && fraction <= 1.0f);
    ++*(int *)user;
    return true;
}

static void loading_fails_cleanly(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct model_slice *s = NULL;
    struct engine ret;
    struct err e = {0};
    int calls = 0;
    fixture_ok(model_slice_create(model.gguf, model.layout, 0, 4, &s, &fixture_err));
    assert_int_equal(engine_slice_open(s, read_nothing, NULL, &load, NULL, NULL, &ret, &e), ERR_ENGINE);
    assert_non_null(strstr(e.text, "layers 0-3"));
    assert_int_equal(engine_slice_open(s, NULL, NULL, &load, stop_at_once, &calls, &ret, &e), ERR_CANCELLED);
    assert_true(calls > 0);
    calls = 0;
    fixture_ok(engine_slice_open(s, NULL, NULL, &load, count_calls, &calls, &ret, &fixture_err));
    assert_true(calls > 1);
    ret.ops->close(ret.self);
    model_slice_free(s);
}

static void bad_load_parameters_are_refused(void **state) {
    (void)state;
    struct engine ret;
    struct err e = {0};
    struct engine_load load = fixture_load();
    load.n_gpu_layers = -1;
    snprintf(load.devices, sizeof(load.devices), "NoSuch0");
    assert_int_equal(fixture_try(&model, 0, 2, &load, &ret, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "NoSuch0"));
    load = fixture_load();
    load.n_seq = 0;
    assert_int_equal(fixture_try(&model, 0, 2, &load, &ret, &e), ERR_INVALID);
    load = fixture_load();
    snprintf(load.cache_type_v, sizeof(load.cache_type_v), "q8_0");
    snprintf(load.flash_attn, sizeof(load.flash_attn), "off");
    assert_int_equal(fixture_try(&model, 0, 2, &load, &ret, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "flash attention"));
}

/* ---- facts about the slice, and text ---- */

static void info_tells_what_was_loaded(void **state) {
    (void)state;
    const uint32_t n = model.layout->n_layer;
    struct engine_load load = fixture_load();
    struct engine head = fixture_slice(&model, 0, 3, &load), mid = fixture_slice(&model, 3, 5, &load);
    struct engine tail = fixture_slice(&model, 5, n, &load);
    assert_true(head.info.first && !head.info.last && !mid.info.first && !mid.info.last && !tail.info.first && tail.info.last);
    assert_int_equal(head.info.n_vocab, model.layout->n_vocab);
    assert_int_equal(tail.info.n_vocab, model.layout->n_vocab);
    assert_int_equal(mid.info.n_vocab, 0);
    assert_int_equal(mid.info.n_embd, model.layout->n_embd);
    assert_int_equal(head.info.n_ctx_seq, 256);
    assert_int_equal(head.info.n_ctx, 1024);
    assert_int_equal(head.info.n_batch, 64);
    assert_true(head.info.can_remove);
    assert_true(strncmp(head.info.device, "CPU", 3) == 0);
    /* two layers' K and V in f16, told to 0.01 MiB */
    const struct model_layer *layer = &model.layout->layers[3];
    uint64_t kv = UINT64_C(2) * 1024 * 2 * (layer->n_k + layer->n_v), weights = layer[0].bytes + layer[1].bytes;
    assert_uint_in_range(mid.info.bytes_kv, kv - 11000, kv + 11000);
    assert_uint_in_range(mid.info.bytes_weights, weights - 22000, weights + weights / 4 + 22000);
    assert_true(mid.info.bytes_compute > 0);
    head.ops->close(head.self);
    mid.ops->close(mid.self);
    tail.ops->close(tail.self);
}

static void text_goes_to_tokens_and_back(void **state) {
    (void)state;
    static const char text[] = "The caravan carries water, 3 llamas and \xC3\xA9tudes.\n";
    struct engine_load load = fixture_load();
    struct engine head = fixture_slice(&model, 0, 2, &load), mid = fixture_slice(&model, 2, 4, &load);
    int32_t *tokens = NULL;
    size_t n = 0;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1024);
    fixture_ok(head.ops->tokenize(head.self, text, sizeof(text) - 1, false, false, &tokens, &n, &fixture_err));
    assert_uint_in_range(n, 5, sizeof(text) - 1);
    for (size_t i = 0; i < n; i++) assert_false(head.ops->piece(head.self, tokens[i], &out));
    assert_string_equal(buf_cstr(&out), text);
    free(tokens);
    /* a control token is one token where it is asked for, text otherwise, and says that it is one */
    static const char turn[] = "<|im_start|>";
    fixture_ok(head.ops->tokenize(head.self, turn, sizeof(turn) - 1, false, true, &tokens, &n, &fixture_err));
    assert_int_equal(n, 1);
    buf_clear(&out);
    assert_true(head.ops->piece(head.self, tokens[0], &out));
    assert_string_equal(buf_cstr(&out), turn);
    buf_clear(&out);
    assert_false(head.ops->piece(head.self, -1, &out));
    assert_false(head.ops->piece(head.self, 1 << 30, &out));
    assert_int_equal(out.len, 0);
    free(tokens);
    fixture_ok(head.ops->tokenize(head.self, turn, sizeof(turn) - 1, false, false, &tokens, &n, &fixture_err));
    assert_true(n > 1);
    free(tokens);
    /* bytes that are not UTF-8 cause no crash */
    fixture_ok(head.ops->tokenize(head.self, "a\xFF\xC3(\0z", 6, false, false, &tokens, &n, &fixture_err));
    free(tokens);
    assert_int_equal(mid.ops->tokenize(mid.self, "a", 1, false, false, &tokens, &n, &e), ERR_UNSUPPORTED);
    buf_done(&out);
    head.ops->close(head.self);
    mid.ops->close(mid.self);
}

/* ---- adapters ---- */

enum { N_SCALED = 4 };

/* The whole model with an adapter, of which each sequence has another part. */
static struct fixture_chain with_adapter(const char *path) {
    static const float scales[N_SCALED] = {0, 0, 0.5f, 1};
    struct engine_load load = fixture_load();
    struct model_gguf *adapter = NULL;
    struct model_slice *part = NULL;
    load.exact = true;
    struct fixture_chain c = fixture_whole(&model, &load);
    struct engine *e = fixture_tail(&c);
    fixture_ok(model_adapter_open(path, model.layout, &adapter, &fixture_err));
    fixture_ok(model_adapter_slice(adapter, model.layout, 0, model.layout->n_layer, &part, &fixture_err));
    fixture_ok(engine_slice_add_adapter(e, part, NULL, NULL, 0.25, &fixture_err));
    for (uint32_t seq = 0; seq < N_SCALED; seq++) {
        struct engine_sampling p;
        engine_sampling_init(&p);
        p.has_lora = seq > 0; /* the first one's is as usual, the second one has none of it */
        p.n_lora = seq > 1;
        p.lora[0] = (struct engine_lora){.id = 0, .scale = scales[seq]};
        fixture_ok(e->ops->seq_open(e->self, seq, &p, &fixture_err));
        engine_sampling_done(&p);
    }
    model_slice_free(part);
    model_gguf_free(adapter);
    return c;
}

static void sequences_with_other_adapters_share_batches(void **state) {
    (void)state;
    char *path = fixture_made_path("make-lora", "--size", "0.5");
    struct fixture_chain alone = with_adapter(path), beside = with_adapter(path);
    size_t bytes = model.layout->n_vocab * sizeof(float);
    int32_t tokens[CHUNK];
    fixture_tokens(tokens, CHUNK, 5);
    for (int32_t pos = 0; pos < CHUNK; pos++) { /* the same tokens, so that nothing but the adapter differs */
        struct engine_token t[N_SCALED];
        for (uint16_t seq = 0; seq < N_SCALED; seq++) fixture_run(t + seq, tokens + pos, 1, seq, pos, ENGINE_TOKEN_LOGITS);
        fixture_ok(fixture_eval(&beside, t, N_SCALED, &fixture_err));
        for (uint16_t seq = 0; seq < N_SCALED; seq++) {
            float *logits = fixture_logits_after(&alone, tokens + pos, 1, seq, pos);
            for (uint16_t i = 0; i < N_SCALED; i++) assert_int_equal(memcmp(logits, fixture_logits(&beside, i), bytes) == 0, i == seq);
            free(logits);
        }
    }
    fixture_chain_close(&alone);
    fixture_chain_close(&beside);
    unlink(path);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_halves_are_the_whole),
        cmocka_unit_test(uneven_slices_are_the_whole),
        cmocka_unit_test(every_layer_by_itself_is_the_whole),
        cmocka_unit_test(small_ubatches_and_other_caches_are_the_whole),
        cmocka_unit_test(more_logits_than_there_is_room_for_come_in_parts),
        cmocka_unit_test(mixed_sequences_are_the_whole),
        cmocka_unit_test(mixed_sequences_are_the_whole_when_exact),
        cmocka_unit_test(sequence_operations_work),
        cmocka_unit_test(sequence_operations_work_when_exact),
        cmocka_unit_test(samplers_see_their_sequence),
        cmocka_unit_test(given_tokens_are_scored),
        cmocka_unit_test(history_follows_the_operations),
        cmocka_unit_test(bad_samplings_are_refused),
        cmocka_unit_test(bad_batches_are_refused),
        cmocka_unit_test(a_failed_batch_leaves_nothing),
        cmocka_unit_test(the_context_can_be_filled),
        cmocka_unit_test(loading_fails_cleanly),
        cmocka_unit_test(bad_load_parameters_are_refused),
        cmocka_unit_test(info_tells_what_was_loaded),
        cmocka_unit_test(text_goes_to_tokens_and_back),
        cmocka_unit_test(sequences_with_other_adapters_share_batches),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
