/* SPDX-License-Identifier: MIT
 * Speculation on the real demo model, whole and in slices, with a small model that is the demo model too, or with the layer for
 * multi-token prediction that was trained for it: the scheduler, the stage cores
 * and libllama in one process. With --exact, all guesses give the same tokens, bit for bit; without it, the tokens differ only at counted
 * near-ties, and sampled tokens have the same distribution. */
#include "support/engine_fixture.h"

#include <math.h>

#include "base/clock.h"
#include "stage/draft.h"
#include "sched/sched.h"
#include "stage/stage.h"

enum { MAX_STAGES = 3, MAX_REQUESTS = 4, MAX_TOKENS = 64, N_CTX = 256, MAX_FLIGHT = 16 };

/* ---- a ring without links ---- */

struct tokens_frame {
    struct frame_header header;
    uint8_t *bytes;
    size_t len;
};

struct ring {
    struct tokens_frame back[MAX_FLIGHT]; /* answers on their way, oldest first */
    uint32_t n_back;
    struct engine engines[MAX_STAGES];
    struct stage *stages[MAX_STAGES];
    uint32_t n_stage;
    struct sched *sched;
    struct draft *draft;
};

struct answer {
    int32_t tokens[MAX_TOKENS];
    float logprobs[MAX_TOKENS], gaps[MAX_TOKENS]; /* gap: between the two best */
    uint32_t n, n_guessed, n_accepted, n_own;
    enum request_finish finish;
};

static char *mtp_path, *f32_path;
static uint32_t most_back; /* answers on their way at once */

static clock_us stage_clock(void *user) {
    (void)user;
    return clock_now();
}

struct wish {
    uint32_t n_stage, n_draft;
    bool exact, small_model;
    bool predicts, own; /* the model with such a layer; it guesses */
    bool f32;
};

static struct fixture predicting, predicting_plain; /* the demo model with that layer, and the same file without it */
static struct fixture even;                         /* the demo model with f32 weights */

static void ring_open(struct ring *r, const struct wish *w) {
    memset(r, 0, sizeof(*r));
    r->n_stage = w->n_stage;
    struct engine_load load = fixture_load();
    load.exact = w->exact;
    load.n_ctx = N_CTX;
    const struct fixture *f = w->own ? &predicting : w->predicts ? &predicting_plain : w->f32 ? &even : &model;
    for (uint32_t i = 0; i < w->n_stage; i++) {
        uint32_t n = f->layout->n_layer;
        r->engines[i] = fixture_slice(f, n * i / w->n_stage, n * (i + 1) / w->n_stage, &load);
        struct stage_config c = {.engine = &r->engines[i], .stage = i, .n_stage = w->n_stage, .epoch = 1, .clock = stage_clock};
        fixture_ok(stage_create(&c, &r->stages[i], &fixture_err));
    }
    const struct engine_info *info = &r->engines[0].info;
    struct sched_config c = {.n_stage = w->n_stage,
                             .n_seq = info->n_seq,
                             .n_ctx_seq = info->n_ctx_seq,
                             .n_ctx = info->n_ctx,
                             .n_batch = info->n_batch,
                             .n_vocab = info->n_vocab,
                             .n_queue = MAX_REQUESTS,
                             .exact = w->exact,
                             .n_draft = w->n_draft,
                             .n_guess = info->n_guess,
                             .draft_always = true};
    if (w->small_model) {
        load.exact = false;
        struct engine small = fixture_slice(&model, 0, model.layout->n_layer, &load);
        fixture_ok(draft_create(&r->engines[0], &small, stage_clock, NULL, &r->draft, &fixture_err));
        c.drafter = draft_drafter(r->draft);
    }
    r->sched = sched_create(&c);
}

static void ring_close(struct ring *r) {
    sched_free(r->sched);
    draft_free(r->draft);
    for (uint32_t i = 0; i < r->n_stage; i++) {
        stage_free(r->stages[i]);
        r->engines[i].ops->close(r->engines[i].self);
    }
}

/* Passes on the frames of stage i. The tail's answers are kept, so that frames follow one another. */
static void carry(struct ring *r, uint32_t i, const struct stage_out *out) {
    for (size_t k = 0; k < out->n; k++) {
        const struct stage_out_frame *f = &out->frames[k];
        uint8_t *bytes = mem_alloc(f->header.payload_len + 1);
        size_t at = 0;
        for (size_t p = 0; p < f->n_parts; p++) {
            memcpy(bytes + at, f->parts[p].data, f->parts[p].len);
            at += f->parts[p].len;
        }
        if (f->header.type == FRAME_FAULT) fail_msg("stage %u: %.*s", i, (int)at, (const char *)bytes);
        if (f->header.type == FRAME_TOKENS) {
            assert_true(r->n_back < MAX_FLIGHT);
            r->back[r->n_back++] = (struct tokens_frame){f->header, bytes, at};
            most_back = r->n_back > most_back ? r->n_back : most_back;
            continue;
        } else {
            struct stage_out next;
            struct frame_header h = f->header;
            fixture_ok(stage_receive(r->stages[i + 1], &h, bytes, 0, 0, &next, &fixture_err));
            carry(r, i + 1, &next);
        }
        free(bytes);
    }
}

/* The oldest answer arrives. Its bytes stay until its results have been pulled. */
static bool deliver(struct ring *r, uint8_t **bytes) {
    free(*bytes);
    *bytes = NULL;
    if (r->n_back == 0) return false;
    struct tokens_frame f = r->back[0];
    memmove(r->back, r->back + 1, --r->n_back * sizeof(*r->back));
    *bytes = f.bytes;
    fixture_ok(sched_tokens(r->sched, clock_now(), f.header.number, f.header.n_tokens, f.header.n_trace, f.bytes, f.len, 0, &fixture_err));
    return true;
}

static void see(struct answer *answers, const struct request_event *ev) {
    struct answer *a = &answers[ev->id - 1];
    if (ev->kind == REQUEST_FAILED) fail_msg("request %d: %s", (int)ev->id, ev->err.text);
    if (ev->kind == REQUEST_TOKEN) {
        a->gaps[a->n] = ev->n_top == 2 ? ev->top[0].logprob - ev->top[1].logprob : 0;
        a->logprobs[a->n] = ev->logprob;
        a->tokens[a->n++] = ev->token;
    } else if (ev->kind == REQUEST_DONE) {
        a->finish = ev->finish;
        a->n_guessed = ev->draft_tokens;
        a->n_accepted = ev->draft_accepted;
        a->n_own = ev->mtp_accepted;
    }
}

static void ring_run(struct ring *r, struct answer *answers) {
    struct sched_action a;
    uint8_t *bytes = NULL;
    do {
        while (sched_next(r->sched, clock_now(), &a)) {
            struct stage_out out = {0};
            if (a.kind == SCHED_ACTION_EVENT) see(answers, a.event);
            if (a.kind == SCHED_ACTION_OPEN) {
                const struct stage_open open = {.seq = a.seq, .generation = a.generation, .sampling = a.request->sampling};
                stage_begin_open(r->stages[0], &open, &out);
            }
            if (a.kind == SCHED_ACTION_FRAME) stage_begin(r->stages[0], a.number, a.ops, a.n_ops, a.tokens, a.rows, a.n_tokens, &out);
            carry(r, 0, &out);
        }
    } while (deliver(r, &bytes));
}

/* ---- requests ---- */

static void ask(struct ring *r, uint64_t id, const char *question, int32_t max_tokens, const char *sampling, uint64_t seed) {
    struct request q;
    request_init(&q);
    q.id = id;
    char *text = mem_printf("<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n", question);
    fixture_ok(r->engines[0].ops->tokenize(r->engines[0].self, text, strlen(text), false, true, &q.tokens, &q.n_tokens, &fixture_err));
    free(text);
    q.max_tokens = max_tokens;
    yyjson_doc *doc = yyjson_read(sampling, strlen(sampling), 0);
    fixture_ok(engine_sampling_from_json(&q.sampling, yyjson_doc_get_root(doc), &fixture_err));
    yyjson_doc_free(doc);
    q.sampling.seed = seed;
    q.sampling.n_top_logprobs = 2;
    fixture_ok(sched_submit(r->sched, clock_now(), &q, &fixture_err));
    request_done(&q);
}

static const struct {
    const char *question, *sampling;
} CASES[] = {
    {"Count to 50", "{\"temperature\":0}"},
    {"Tell me a story.", "{\"temperature\":0}"},
    {"Tell me a story about a fox.", "{\"temperature\":0.9,\"top_k\":40}"},
    {"Tell me a story.", "{\"temperature\":1.2,\"repeat_penalty\":1.1,\"presence_penalty\":0.5,\"top_p\":0.9}"},
    {"Tell me a story.", "{\"temperature\":1,\"dry_multiplier\":0.8,\"min_p\":0.05,\"xtc_probability\":0.3}"},
    {"Count to 50", "{\"temperature\":1,\"mirostat\":2}"},
    {"What is 47 + 38?", "{\"temperature\":0.7,\"grammar\":\"root ::= ([0-9]+ \\\", \\\"){8} [0-9]\"}"},
    {"Why do llamas walk in a line?", "{\"temperature\":0.8,\"logit_bias\":{\"11\":-5}}"},
};
enum { N_CASES = sizeof(CASES) / sizeof(CASES[0]) };

/* All cases, `together` at a time. */
static void answer_all(const struct wish *w, uint32_t together, struct answer *ret) {
    struct ring r;
    ring_open(&r, w);
    most_back = 0;
    for (uint32_t i = 0; i < N_CASES; i += together) {
        for (uint32_t k = 0; k < together; k++) ask(&r, i + k + 1, CASES[i + k].question, MAX_TOKENS, CASES[i + k].sampling, 1234 + i + k);
        ring_run(&r, ret);
    }
    assert_true(sched_idle(r.sched));
    ring_close(&r);
}

static void totals(const struct answer *a, uint32_t *ret_guessed, uint32_t *ret_accepted) {
    *ret_guessed = *ret_accepted = 0;
    for (uint32_t i = 0; i < N_CASES; i++) {
        *ret_guessed += a[i].n_guessed;
        *ret_accepted += a[i].n_accepted;
    }
}

static void exact_is_identical(void **state) {
    (void)state;
    static struct answer plain[N_CASES], guessed[N_CASES];
    static const struct {
        struct wish wish;
        uint32_t together;
    } runs[] = {
        {{.n_stage = 1, .n_draft = 2, .exact = true, .small_model = true}, 1},
        {{.n_stage = 3, .n_draft = 2, .exact = true, .small_model = true}, 4},
        {{.n_stage = 2, .n_draft = 2, .exact = true}, 2},
        {{.n_stage = 3, .n_draft = 2, .exact = true}, 1},
    };
    const struct wish without = {.n_stage = 1, .exact = true};
    answer_all(&without, 1, plain);
    for (size_t k = 0; k < sizeof(runs) / sizeof(runs[0]); k++) {
        uint32_t n_guessed, n_accepted;
        memset(guessed, 0, sizeof(guessed));
        answer_all(&runs[k].wish, runs[k].together, guessed);
        totals(guessed, &n_guessed, &n_accepted);
        printf("exact, %u stages, %u at once: %u guesses, %u accepted; %u frames under way\n", runs[k].wish.n_stage, runs[k].together,
               n_guessed, n_accepted, most_back);
        assert_true(most_back > 2 || runs[k].wish.small_model || runs[k].together > 1); /* guesses follow a sequence that runs alone */
        assert_true(n_accepted > 0 && n_accepted < n_guessed);
        for (uint32_t i = 0; i < N_CASES; i++) {
            assert_int_equal(guessed[i].n, plain[i].n);
            assert_int_equal(guessed[i].finish, plain[i].finish);
            assert_memory_equal(guessed[i].tokens, plain[i].tokens, plain[i].n * sizeof(int32_t));
            assert_memory_equal(guessed[i].logprobs, plain[i].logprobs, plain[i].n * sizeof(float)); /* the same bits */
        }
    }
}

/* Greedy and sampled answers of the model with a layer that guesses: the same bits with and without. */
static void own_guesses_are_identical(void **state) {
    (void)state;
    static struct answer plain[N_CASES], guessed[N_CASES];
    const struct wish without = {.n_stage = 2, .exact = true, .predicts = true};
    answer_all(&without, 1, plain);
    for (uint32_t together = 1; together <= 4; together += 3) {
        const struct wish with = {.n_stage = together == 1 ? 2 : 3, .n_draft = 2, .exact = true, .own = true};
        uint32_t n_own = 0, n_guessed, n_accepted;
        memset(guessed, 0, sizeof(guessed));
        answer_all(&with, together, guessed);
        totals(guessed, &n_guessed, &n_accepted);
        for (uint32_t i = 0; i < N_CASES; i++) {
            n_own += guessed[i].n_own;
            assert_int_equal(guessed[i].n, plain[i].n);
            assert_int_equal(guessed[i].finish, plain[i].finish);
            assert_memory_equal(guessed[i].tokens, plain[i].tokens, plain[i].n * sizeof(int32_t));
            assert_memory_equal(guessed[i].logprobs, plain[i].logprobs, plain[i].n * sizeof(float));
        }
        printf("own layers, %u at once: %u guesses, %u accepted, %u of them own\n", together, n_guessed, n_accepted, n_own);
        assert_true(n_own > 40 && n_accepted < n_guessed);
    }
}

/* Greedy, as many guesses as there may be: where the answers part, the two best were nearly as good. */
static void inexact_parts_at_near_ties(void **state) {
    (void)state;
    static struct answer plain[N_CASES], guessed[N_CASES];
    const struct wish without = {.n_stage = 2, .f32 = true}, with = {.n_stage = 2, .n_draft = 8, .small_model = true, .f32 = true};
    const float NEAR = 0.01f;
    uint32_t n_parted = 0, n_tokens = 0;
    answer_all(&without, 2, plain);
    answer_all(&with, 2, guessed);
    for (uint32_t i = 0; i < 2; i++) { /* the greedy ones */
        uint32_t at = 0, n = plain[i].n < guessed[i].n ? plain[i].n : guessed[i].n;
        while (at < n && plain[i].tokens[at] == guessed[i].tokens[at]) at++;
        n_tokens += at;
        if (at == n && plain[i].n == guessed[i].n) continue;
        n_parted++;
        assert_true(at < n && plain[i].gaps[at] < NEAR);
    }
    uint32_t n_guessed, n_accepted;
    totals(guessed, &n_guessed, &n_accepted);
    printf("not exact: %u of 2 greedy answers part at a near-tie, %u tokens the same; %u guesses, %u accepted\n", n_parted, n_tokens,
           n_guessed, n_accepted);
    assert_true(n_accepted > 0 && n_accepted < n_guessed && n_tokens > 20);
}

/* ---- the distribution ---- */

enum { N_SAMPLES = 400, WATCHED = 3 /* tokens of each answer that are counted: all but the first two are drawn after guesses */ };

/* Histograms of the last tokens of N_SAMPLES short answers, each with a seed of its own. */
static void sample_many(const struct wish *w, uint64_t first_seed, uint32_t *counts, uint32_t *ret_guessed) {
    static struct answer answers[N_SAMPLES];
    struct ring r;
    memset(answers, 0, sizeof(answers));
    ring_open(&r, w);
    size_t n_vocab = r.engines[0].info.n_vocab;
    *ret_guessed = 0;
    for (uint32_t i = 0; i < N_SAMPLES; i += MAX_REQUESTS) {
        for (uint32_t k = 0; k < MAX_REQUESTS; k++)
            ask(&r, i + k + 1, "Tell me a story.", 2 + WATCHED, "{\"temperature\":1.3,\"top_k\":0,\"top_p\":1,\"min_p\":0}",
                first_seed + i + k);
        ring_run(&r, answers);
    }
    for (uint32_t i = 0; i < N_SAMPLES; i++) {
        *ret_guessed += answers[i].n_guessed;
        for (uint32_t t = 0; t < WATCHED && 2 + t < answers[i].n; t++) counts[t * n_vocab + (size_t)answers[i].tokens[2 + t]]++;
    }
    ring_close(&r);
}

/* Chi-square of two histograms (Press et al., Numerical Recipes, section 14.3), rare tokens in one bin; *ret_bins. */
static double chi_square(const uint32_t *a, const uint32_t *b, size_t n, uint32_t *ret_bins) {
    enum { LEAST = 10 };
    double sum = 0, na = 0, nb = 0, rare_a = 0, rare_b = 0;
    for (size_t i = 0; i < n; i++) {
        na += a[i];
        nb += b[i];
    }
    double ra = sqrt(nb / na), rb = sqrt(na / nb);
    *ret_bins = 0;
    for (size_t i = 0; i <= n; i++) {
        bool rare = i < n && a[i] + b[i] < LEAST;
        double x = i < n ? a[i] : rare_a, y = i < n ? b[i] : rare_b;
        if (rare) {
            rare_a += x;
            rare_b += y;
        } else if (x + y > 0) {
            double d = ra * x - rb * y;
            sum += d * d / (x + y);
            ++*ret_bins;
        }
    }
    return sum;
}

/* The seeds on the two sides differ, so the distributions are compared, and not only equal numbers. */
static void the_distribution_is_the_same(void **state) {
    (void)state;
    const struct wish without = {.n_stage = 1}, with = {.n_stage = 1, .n_draft = 4, .small_model = true};
    size_t n_vocab = 2048;
    uint32_t *a = mem_calloc(WATCHED * n_vocab, sizeof(*a)), *b = mem_calloc(WATCHED * n_vocab, sizeof(*b)), n_guessed, none;
    sample_many(&without, 1, a, &none);
    sample_many(&with, 100001, b, &n_guessed);
    assert_int_equal(none, 0);
    assert_true(n_guessed > N_SAMPLES);
    for (uint32_t t = 0; t < WATCHED; t++) {
        uint32_t bins;
        double chi = chi_square(a + t * n_vocab, b + t * n_vocab, n_vocab, &bins), freedom = bins - 1;
        /* Wilson and Hilferty 1931: a chi-square's cube root is about normal. 3.5 deviations: once in 4,000 */
        double z = (cbrt(chi / freedom) - (1 - 2 / (9 * freedom))) / sqrt(2 / (9 * freedom));
        printf("token %u: chi-square %.1f over %u bins, %.2f deviations\n", 3 + t, chi, bins, z);
        assert_true(bins > 5 && z < 3.5);
    }
    free(a);
    free(b);
}

/* ---- two vocabularies ---- */

static const struct engine *asked; /* the engine whose pieces other_piece falsifies */

static bool other_piece(void *self, int32_t token, struct buf *out) {
    if (token != 1000) return asked->ops->piece(self, token, out);
    buf_append_str(out, "other");
    return false;
}

static void another_vocabulary_is_refused(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct engine big = fixture_slice(&model, 0, 2, &load), small = fixture_slice(&model, 0, model.layout->n_layer, &load), seen = small;
    struct engine_ops ops = *small.ops;
    struct draft *d = NULL;
    struct err e = {0};
    ops.piece = other_piece;
    asked = &small;
    seen.ops = &ops;
    assert_int_equal(draft_create(&big, &seen, stage_clock, NULL, &d, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "token 1000 is \"other\""));
    assert_true(e.hint[0] != '\0');
    seen = small;
    seen.info.n_vocab = 1024;
    assert_int_equal(draft_create(&big, &seen, stage_clock, NULL, &d, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "has 1024 tokens, the model 2048"));
    seen = small;
    seen.info.can_remove = false;
    assert_int_equal(draft_create(&big, &seen, stage_clock, NULL, &d, &e), ERR_UNSUPPORTED);
    assert_null(d);
    small.ops->close(small.self);
    big.ops->close(big.self);
}

static int setup(void **state) {
    char *path = fixture_mtp_path();
    fixture_open_path(&predicting, path);
    fixture_open_path(&predicting_plain, path);
    model_layout_keep_mtp(predicting.layout, 0);
    mtp_path = path;
    f32_path = fixture_f32_path();
    fixture_open_path(&even, f32_path);
    return fixture_setup(state);
}

static int teardown(void **state) {
    fixture_close(&predicting);
    fixture_close(&predicting_plain);
    fixture_close(&even);
    unlink(mtp_path);
    free(mtp_path);
    unlink(f32_path);
    free(f32_path);
    return fixture_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_is_identical),
        cmocka_unit_test(own_guesses_are_identical),
        cmocka_unit_test(inexact_parts_at_near_ties),
        cmocka_unit_test(the_distribution_is_the_same),
        cmocka_unit_test(another_vocabulary_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
