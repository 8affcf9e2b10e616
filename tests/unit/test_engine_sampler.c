/* SPDX-License-Identifier: MIT
 * The sampler on logits made by hand, with the demo model's vocabulary: each parameter does what it says, and a choice is a
 * function of seed, position, logits and history alone. */
#include <math.h>

#include "engine/philox.h"
#include "engine/sampler_priv.h"
#include "support/sampler_fixture.h"

enum { N_DRAWS = 8000, MAX_HISTORY = 600 };

static int32_t history[MAX_HISTORY];

/* Tokens 300 + i get probability p[i]; the rest next to none. */
enum { FIRST = 300 };
static void set_probabilities(const double *p, size_t n) {
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = -60.0f;
    for (size_t i = 0; i < n; i++) logits[FIRST + i] = (float)log(p[i]);
}

/* Parameters with everything off: temperature 1, all tokens. */
static struct engine_sampling plain(void) {
    struct engine_sampling p;
    engine_sampling_init(&p);
    p.temperature = 1;
    p.top_k = 0;
    p.top_p = 1;
    p.min_p = 0;
    return p;
}

static struct engine_sampler *make(const struct engine_sampling *p) {
    struct engine_sampler *s = NULL;
    fixture_ok(engine_sampler_create(vocab, MAX_HISTORY, p, &s, &fixture_err));
    return s;
}

static struct engine_sample draw_full(struct engine_sampler *s, int32_t pos) {
    struct engine_sample out = {0};
    fixture_ok(engine_sampler_sample(s, scratch, logits, history, pos, &out, &fixture_err));
    return out;
}

static int32_t draw(struct engine_sampler *s, int32_t pos) { return draw_full(s, pos).token; }

static int32_t draw_once(const struct engine_sampling *p, int32_t pos) {
    struct engine_sampler *s = make(p);
    int32_t token = draw(s, pos);
    engine_sampler_free(s);
    return token;
}

/* How often each of the n tokens came in N_DRAWS draws, one for each of that many seeds. */
static void count_draws(struct engine_sampling *p, double *ret, size_t n) {
    memset(ret, 0, n * sizeof(*ret));
    for (int i = 0; i < N_DRAWS / 100; i++) {
        p->seed = (uint64_t)i;
        struct engine_sampler *s = make(p);
        for (int32_t pos = 0; pos < 100; pos++) {
            int32_t at = draw(s, pos) - FIRST;
            assert_true(at >= 0 && at < (int32_t)n);
            ret[at] += 1.0 / N_DRAWS;
        }
        engine_sampler_free(s);
    }
}

/* Within five standard deviations. */
static void assert_frequency(double got, double want) {
    double sigma = sqrt(want * (1 - want) / N_DRAWS);
    if (!(fabs(got - want) <= 5 * sigma + 1e-6)) fail_msg("frequency %.4f, expected %.4f +- %.4f", got, want, 5 * sigma);
}

static const double FIVE[] = {0.4, 0.3, 0.15, 0.1, 0.05};

static void greedy_takes_the_best(void **state) {
    (void)state;
    struct engine_sampling p = plain();
    p.temperature = 0;
    const double rising[] = {0.1, 0.2, 0.5, 0.2};
    set_probabilities(rising, 4);
    assert_int_equal(draw_once(&p, 0), FIRST + 2);
    logits[FIRST + 9] = logits[FIRST + 2]; /* a tie: the smaller token, on both paths */
    assert_int_equal(draw_once(&p, 0), FIRST + 2);
    p.presence_penalty = 0.001f;
    assert_int_equal(draw_once(&p, 0), FIRST + 2);
}

/* An answer doesn't end before it has min_tokens tokens, at whatever position it began, unless no other token is possible. */
static void an_answer_is_not_too_short(void **state) {
    (void)state;
    struct engine_sampling p = plain();
    int32_t end = 0;
    while (!engine_vocab_is_end(vocab, end)) end++;
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = -60.0f;
    logits[end] = 10;
    logits[FIRST] = 5;
    p.min_tokens = 3;
    for (int greedy = 0; greedy < 2; greedy++) {
        p.temperature = greedy ? 0.0f : 0.1f;
        struct engine_sampler *s = make(&p);
        for (int32_t pos = 7; pos < 12; pos++) assert_int_equal(draw(s, pos), pos < 10 ? FIRST : end);
        engine_sampler_free(s);
    }
    p.generated_from = 6; /* two of them are there already */
    assert_int_equal(draw_once(&p, 7), FIRST);
    assert_int_equal(draw_once(&p, 8), end);
    for (uint32_t i = 0; i < n_vocab; i++)
        if (i != (uint32_t)end) logits[i] = -INFINITY;
    assert_int_equal(draw_once(&p, 7), end);
}

static void top_k_one_is_greedy(void **state) {
    (void)state;
    struct engine_sampling p = plain();
    p.temperature = 5;
    p.top_k = 1;
    set_probabilities(FIVE, 5);
    for (p.seed = 0; p.seed < 50; p.seed++) assert_int_equal(draw_once(&p, 3), FIRST);
}

static void draws_follow_the_distribution(void **state) {
    (void)state;
    double got[5];
    struct engine_sampling p = plain();
    set_probabilities(FIVE, 5);
    count_draws(&p, got, 5);
    for (int i = 0; i < 5; i++) assert_frequency(got[i], FIVE[i]);
}

static void temperature_bends_the_distribution(void **state) {
    (void)state;
    double got[5], sum = 0;
    struct engine_sampling p = plain();
    p.temperature = 0.5f;
    set_probabilities(FIVE, 5);
    count_draws(&p, got, 5);
    for (int i = 0; i < 5; i++) sum += FIVE[i] * FIVE[i];
    for (int i = 0; i < 5; i++) assert_frequency(got[i], FIVE[i] * FIVE[i] / sum);
}

static void filters_keep_what_they_should(void **state) {
    (void)state;
    double got[5];
    set_probabilities(FIVE, 5);
    struct engine_sampling p = plain();
    p.top_k = 3;
    count_draws(&p, got, 5);
    assert_frequency(got[2], 0.15 / 0.85);
    assert_true(got[3] + got[4] == 0);
    p = plain();
    p.top_p = 0.69f;
    count_draws(&p, got, 5);
    assert_frequency(got[1], 0.3 / 0.7);
    assert_true(got[2] + got[3] + got[4] == 0);
    p = plain();
    p.min_p = 0.3f; /* of 0.4: 0.12 */
    count_draws(&p, got, 5);
    assert_frequency(got[2], 0.15 / 0.85);
    assert_true(got[3] + got[4] == 0);
    p = plain();
    p.typical_p = 0.25f; /* entropy 1.39 nats: -log(0.3) = 1.20 is the nearest surprise */
    count_draws(&p, got, 5);
    assert_frequency(got[1], 1.0);
}

static void a_choice_depends_on_seed_and_position_alone(void **state) {
    (void)state;
    int32_t first[100];
    int other = 0;
    set_probabilities(FIVE, 5);
    struct engine_sampling p = plain();
    engine_sampling_init(&p); /* the defaults: several filters at work */
    p.xtc_probability = 0.5f;
    p.presence_penalty = 0.01f;
    p.seed = 99;
    struct engine_sampler *a = make(&p), *b = make(&p);
    for (int32_t pos = 0; pos < 100; pos++) first[pos] = draw(a, pos);
    for (int32_t pos = 99; pos >= 0; pos--) assert_int_equal(draw(b, pos), first[pos]);
    for (int32_t pos = 0; pos < 100; pos += 7) assert_int_equal(draw(b, pos), first[pos]);
    assert_int_equal(draw(a, 17), first[17]);
    engine_sampler_free(b);
    p.seed = 100;
    b = make(&p);
    for (int32_t pos = 0; pos < 100; pos++) other += draw(b, pos) != first[pos];
    assert_true(other > 20);
    engine_sampler_free(a);
    engine_sampler_free(b);
}

static void penalties_look_at_the_past(void **state) {
    (void)state;
    const double two[] = {0.55, 0.45};
    set_probabilities(two, 2);
    struct engine_sampling p = plain();
    p.temperature = 0;
    for (int i = 0; i < 10; i++) history[i] = i < 3 ? FIRST : 500 + i;
    assert_int_equal(draw_once(&p, 9), FIRST);
    p.presence_penalty = 0.3f;
    assert_int_equal(draw_once(&p, 9), FIRST + 1);
    p.repeat_last_n = 7; /* 3 to 9 tokens back: the token is outside the window */
    assert_int_equal(draw_once(&p, 9), FIRST);
    p.repeat_last_n = -1;
    assert_int_equal(draw_once(&p, 9), FIRST + 1);
    p.presence_penalty = 0;
    p.frequency_penalty = 0.08f; /* three times: 0.24 is more than log(0.55 / 0.45) = 0.2 */
    assert_int_equal(draw_once(&p, 9), FIRST + 1);
    assert_int_equal(draw_once(&p, 1), FIRST); /* two of them: 0.16 */
    p.frequency_penalty = 0;
    p.repeat_penalty = 2; /* log(0.55) * 2 < log(0.45) */
    assert_int_equal(draw_once(&p, 9), FIRST + 1);
}

/* A refused draft leaves no trace: the past is the tokens at the positions, not all tokens that were ever seen. */
static void the_past_can_be_taken_back(void **state) {
    (void)state;
    const double two[] = {0.55, 0.45};
    set_probabilities(two, 2);
    struct engine_sampling p = plain();
    p.temperature = 0;
    p.presence_penalty = 0.3f;
    struct engine_sampler *s = make(&p);
    for (int i = 0; i < 10; i++) history[i] = 500 + i;
    assert_int_equal(draw(s, 7), FIRST);
    history[8] = FIRST; /* a draft */
    assert_int_equal(draw(s, 8), FIRST + 1);
    history[8] = 508; /* refused: another token stands there now */
    assert_int_equal(draw(s, 7), FIRST);
    assert_int_equal(draw(s, 8), FIRST);
    engine_sampler_free(s);
}

static void dry_breaks_a_repeated_phrase(void **state) {
    (void)state;
    const double two[] = {0.7, 0.3};
    static const int32_t phrase[] = {FIRST + 40, FIRST + 41, FIRST + 42, FIRST + 43, FIRST};
    set_probabilities(two, 2);
    struct engine_sampling p = plain();
    p.temperature = 0;
    for (int i = 0; i < 14; i++) history[i] = phrase[i % 5]; /* the next would be FIRST, as it was twice after the other four */
    assert_int_equal(draw_once(&p, 13), FIRST);
    p.dry_multiplier = 1;
    assert_int_equal(draw_once(&p, 13), FIRST + 1);
    p.dry_allowed_length = 12;
    assert_int_equal(draw_once(&p, 13), FIRST);
    p.dry_allowed_length = 2;
    p.dry_penalty_last_n = 3;
    assert_int_equal(draw_once(&p, 13), FIRST);
}

static void xtc_removes_the_top_choices(void **state) {
    (void)state;
    double got[5];
    set_probabilities(FIVE, 5);
    struct engine_sampling p = plain();
    p.xtc_probability = 1;
    p.xtc_threshold = 0.12f; /* 0.4, 0.3 and 0.15 are above: the first two go */
    count_draws(&p, got, 5);
    assert_true(got[0] + got[1] == 0);
    assert_frequency(got[2], 0.15 / 0.3);
    p.xtc_probability = 0.25f; /* a quarter of the time */
    count_draws(&p, got, 5);
    assert_frequency(got[0], 0.75 * 0.4);
    p.xtc_probability = 1;
    p.xtc_threshold = 0.35f; /* only one is above: it stays */
    count_draws(&p, got, 5);
    assert_frequency(got[0], 0.4);
}

/* Over a flat and long distribution, mirostat brings the mean surprise to the target. */
static double mean_surprise(int version, float tau, double z) {
    struct engine_sampling p = plain();
    p.mirostat = version;
    p.mirostat_tau = tau;
    p.seed = 5;
    double mean = 0;
    struct engine_sampler *a = make(&p), *b = make(&p);
    for (int32_t pos = 0; pos < MAX_HISTORY; pos++) {
        int32_t token = draw(a, pos);
        assert_int_equal(draw(b, pos), token);
        if (pos >= 100) mean += -log2(exp((double)logits[token]) / z) / (MAX_HISTORY - 100);
    }
    engine_sampler_free(a);
    engine_sampler_free(b);
    return mean;
}

static void mirostat_finds_its_surprise(void **state) {
    (void)state;
    double z = 0;
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = -1.1f * logf((float)(i + 1)); /* Zipf */
    for (uint32_t i = 0; i < n_vocab; i++) z += exp((double)logits[i]);
    double natural = mean_surprise(0, 4.5f, z), best = log2(z);
    assert_true(natural > 6 && best < 3); /* its own surprise, and that of the best token alone */
    for (int version = 1; version <= 2; version++)
        for (float tau = 3.5f; tau < 5; tau += 1) {
            double got = mean_surprise(version, tau, z);
            if (fabs(got - (double)tau) > 0.4) fail_msg("mirostat %d, tau %.1f: mean surprise %.2f", version, (double)tau, got);
        }
}

static void logit_bias_forces_and_forbids(void **state) {
    (void)state;
    set_probabilities(FIVE, 5);
    struct engine_logit_bias bias[] = {{FIRST, -100}, {FIRST + 4, 100}};
    struct engine_sampling p = plain();
    p.bias = bias;
    p.n_bias = 2;
    for (p.seed = 0; p.seed < 50; p.seed++) assert_int_equal(draw_once(&p, 0), FIRST + 4);
    p.n_bias = 1;
    for (p.seed = 0; p.seed < 200; p.seed++) assert_true(draw_once(&p, 0) != FIRST);
    p.temperature = 0;
    assert_int_equal(draw_once(&p, 0), FIRST + 1);
    bias[0].token = (int32_t)n_vocab;
    struct engine_sampler *s = NULL;
    struct err e = {0};
    assert_int_equal(engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "logit_bias"));
}

static void sums_of_any_length_are_right(void **state) {
    (void)state;
    float x[1037];
    for (uint32_t n = 1; n <= 1037; n += n < 40 ? 1 : 83) {
        double sum = 0;
        int32_t best = -1, want = 0;
        for (uint32_t i = 0; i < n; i++) {
            x[i] = -20.0f + 40.0f * (float)((i * 7919u + n) % 101) / 101.0f;
            sum += exp((double)x[i]);
            if (x[i] > x[want]) want = (int32_t)i;
        }
        double got = sampler_log_sum(x, n, &best);
        assert_true(fabs(got - log(sum)) < 1e-6);
        assert_int_equal(best, want);
    }
}

/* Drawing from raw logits gives the same token as softmax and draw over candidates, except where u is within rounding of a border. */
static void a_raw_draw_is_the_long_ones(void **state) {
    (void)state;
    llama_token_data *data = mem_calloc(n_vocab, sizeof(*data));
    uint32_t others = 0;
    for (uint32_t trial = 0; trial < 200; trial++) {
        float temperature = trial % 2 ? 1 : 0.3f + 0.01f * (float)trial;
        for (uint32_t i = 0; i < n_vocab; i++)
            logits[i] = i % 7 == trial % 7 ? -INFINITY : (float)(4 * engine_uniform(trial, (int32_t)i, SAMPLER_DRAW));
        int32_t best;
        sampler_log_sum(logits, n_vocab, &best);
        for (uint32_t i = 0; i < n_vocab; i++) data[i] = (llama_token_data){(llama_token)i, logits[i], 0};
        llama_token_data_array c = {data, n_vocab, -1, false};
        sampler_softmax(&c, temperature);
        for (int32_t k = -1; k < 20; k++) {
            double u = k < 0 ? 0 : k == 0 ? 1 - 1e-16 : engine_uniform(trial, k, SAMPLER_XTC);
            int32_t token = sampler_draw_raw(logits, n_vocab, best, temperature, u);
            assert_true(logits[token] > -INFINITY);
            if (token != data[sampler_draw(&c, u)].id) others++;
        }
    }
    assert_true(others <= 8); /* of 4200 */
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = i == 5 ? 1 : 0;
    assert_int_equal(sampler_draw_raw(logits, n_vocab, 5, 1e-37f, 0.5), 5);
    free(data);
}

static void logprobs_are_of_the_raw_distribution(void **state) {
    (void)state;
    struct engine_sampling p = plain();
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = 8.0f * (float)sin((double)i * 1.7) + (float)(i % 13);
    logits[7] = -INFINITY;
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) sum += exp((double)logits[i]);
    p.temperature = 0.3f;
    p.top_k = 3;
    p.n_top_logprobs = 20;
    struct engine_sampler *s = make(&p);
    struct engine_sample out = draw_full(s, 0);
    assert_float_equal(out.logprob, (float)((double)logits[out.token] - log(sum)), 1e-5f);
    assert_int_equal(out.n_top, 20);
    for (int i = 0; i < 20; i++) {
        assert_float_equal(out.top[i].logprob, (float)((double)logits[out.top[i].token] - log(sum)), 1e-5f);
        size_t better = 0;
        for (uint32_t k = 0; k < n_vocab; k++) better += logits[k] > logits[out.top[i].token];
        assert_true(better <= (size_t)i);
    }
    logits[9] = NAN;
    struct err e = {0};
    assert_int_equal(engine_sampler_sample(s, scratch, logits, history, 0, &out, &e), ERR_ENGINE);
    logits[9] = INFINITY;
    assert_int_equal(engine_sampler_sample(s, scratch, logits, history, 0, &out, &e), ERR_ENGINE);
    engine_sampler_free(s);
}

/* ---- grammar ---- */

/* Generates into history from `from` on; returns the text. */
static void generate(struct engine_sampler *s, int32_t from, int n, struct buf *out) {
    for (int i = 0; i < n; i++) {
        struct engine_sample t = draw_full(s, from - 1 + i);
        history[from + i] = t.token;
        if (t.end) return;
        engine_vocab_piece(vocab, t.token, out);
    }
}

static void wavy_logits(void) {
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = 3.0f * (float)sin((double)i * 0.7);
}

static void a_grammar_forces_digits(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    wavy_logits();
    struct engine_sampling p = plain();
    p.grammar = (char *)(uintptr_t)"root ::= [0-9]{6} # six digits";
    for (p.seed = 0; p.seed < 20; p.seed++) {
        struct engine_sampler *s = make(&p);
        buf_clear(&out);
        for (int i = 0; i < 5; i++) history[i] = FIRST; /* the prompt has no digits, and the grammar does not look at it */
        generate(s, 5, 40, &out);
        assert_int_equal(out.len, 6);
        assert_int_equal(strspn(buf_cstr(&out), "0123456789"), 6);
        engine_sampler_free(s);
    }
    buf_done(&out);
}

/* The allowed tokens come in proportion to their probabilities, although the best token is refused. */
static void a_grammar_keeps_the_proportions(void **state) {
    (void)state;
    static const double p_of[] = {0.3, 0.2, 0.1};
    int32_t digit[3];
    for (int i = 0; i < 3; i++) {
        int32_t *tokens = NULL;
        size_t n = 0;
        fixture_ok(engine_vocab_tokenize(vocab, &"012"[i], 1, false, false, &tokens, &n, &fixture_err));
        assert_int_equal(n, 1);
        digit[i] = tokens[0];
        free(tokens);
    }
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = -60.0f;
    logits[FIRST] = logf(0.4f);
    for (int i = 0; i < 3; i++) logits[digit[i]] = (float)log(p_of[i]);
    struct engine_sampling p = plain();
    double got[3] = {0};
    p.grammar = (char *)(uintptr_t)"root ::= [0-9]";
    for (p.seed = 0; p.seed < N_DRAWS; p.seed++) {
        int32_t token = draw_once(&p, 3);
        for (int i = 0; i < 3; i++) got[i] += (token == digit[i]) / (double)N_DRAWS;
    }
    for (int i = 0; i < 3; i++) assert_frequency(got[i], p_of[i] / 0.6);
}

/* Refused drafts and a replay elsewhere see the same grammar. */
static void a_grammar_can_be_taken_back_and_replayed(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    wavy_logits();
    struct engine_sampling p = plain();
    p.seed = 3;
    p.grammar = (char *)(uintptr_t)"root ::= \"{\" word (\",\" word){5} \"}\"\nword ::= [a-z]+";
    struct engine_sampler *s = make(&p);
    generate(s, 5, 200, &out);
    int32_t first[30];
    memcpy(first, history + 5, sizeof(first));
    for (int32_t i = 20; i >= 0; i -= 5) assert_int_equal(draw(s, 4 + i), first[i]);
    p.generated_from = 5;
    struct engine_sampler *replay = make(&p);
    for (int32_t i = 8; i < 20; i++) assert_int_equal(draw(replay, 4 + i), first[i]);
    history[6] = FIRST - 1; /* a token that the grammar never allowed */
    struct engine_sampler *wrong = make(&p);
    struct engine_sample t;
    struct err e = {0};
    for (history[6] = 0; engine_sampler_sample(wrong, scratch, logits, history, 8, &t, &e) == ERR_OK; history[6]++) {
        engine_sampler_free(wrong); /* some tokens do fit; look for one that does not */
        wrong = make(&p);
    }
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "breaks the grammar"));
    engine_sampler_free(wrong);
    engine_sampler_free(replay);
    engine_sampler_free(s);
    buf_done(&out);
}

static void a_grammar_and_a_bias_may_leave_nothing(void **state) {
    (void)state;
    for (uint32_t i = 0; i < n_vocab; i++) logits[i] = i == FIRST ? 0.0f : -INFINITY;
    struct engine_sampling p = plain();
    p.grammar = (char *)(uintptr_t)"root ::= \"\\x01\\x02\"";
    struct engine_sampler *s = make(&p);
    struct engine_sample t;
    struct err e = {0};
    assert_int_equal(engine_sampler_sample(s, scratch, logits, history, 3, &t, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "no token"));
    engine_sampler_free(s);
}

static void bad_grammars_are_explained(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "no rule \"root\""},
        {"start ::= \"a\"", "no rule \"root\""},
        {"root ::= \"a\" thing", "\"thing\" is used but not defined"},
        {"root ::= \"a", "line 1, column 10: this literal is not closed"},
        {"root ::= \"a\"\nb ::= [a-z", "line 2, column 7: this character class is not closed"},
        {"root ::= (\"a\" | \"b\"", "line 1, column 10: this group is not closed"},
        {"root = \"a\"", "line 1, column 6: expected ::="},
        {"root ::= \"\\q\"", "unknown escape"},
        {"root ::= \"\\x1\"", "hexadecimal"},
        {"root ::= * \"a\"", "nothing stands before this repetition"},
        {"root ::= \"a\"{x}", "expected a number after {"},
        {"root ::= \"a\"{3", "expected }"},
        {"root ::= \"\"*", "nothing stands before this repetition"},
        {"root ::= \"a\" []+", "line 1, column 14: this character class is empty"},
        {"root ::= \"a\"{3,2}", "at most fewer than at least"},
        {"root ::= \"a\"{9999999999}", "repeated more than"},
        {"root ::= \"a\" ; \"b\"", "line 1, column 14: expected an element"},
        {"root ::= !x", "expected <token> after !"},
        {"root ::= <[12\nb", "token is not closed"},
        {"root ::= \"\xF7\"", "UTF-8"},
        {"root ::= root \"a\"", "left recursion"},
        {"root ::= (((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((\"a\")", "deeper than 64"},
    };
    struct engine_sampling p = plain();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine_sampler *s = NULL;
        struct err e = {0};
        p.grammar = (char *)(uintptr_t)rows[i].text;
        err_code code = engine_sampler_create(vocab, MAX_HISTORY, &p, &s, &e);
        if ((code != ERR_INVALID && code != ERR_LIMIT) || strstr(e.text, rows[i].words) == NULL)
            fail_msg("grammar <%s>: got %s \"%s\", expected \"%s\"", rows[i].text, err_name(code), e.text, rows[i].words);
    }
}

static void good_grammars_pass(void **state) {
    (void)state;
    static const char *const rows[] = {
        "root ::= \"yes\" | \"no\"",
        "# a comment\nroot ::= ws item (\",\" ws item)* ws\n\nitem ::= [a-zA-Z_\\]0-9-]+ | \"\\\"\" [^\"\\\\]* \"\\\"\"\nws ::= [ \\t\\n]?",
        "root ::= (\n  \"a\" |\n  \"b\" # or\n){2,3}\n",
        "root ::= a{2,} .\r\na ::= \"\\u00e9\" | [\\x41-\\x5A]\r\n",
    };
    struct engine_sampling p = plain();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        p.grammar = (char *)(uintptr_t)rows[i];
        engine_sampler_free(make(&p));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_best),
        cmocka_unit_test(an_answer_is_not_too_short),
        cmocka_unit_test(top_k_one_is_greedy),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(temperature_bends_the_distribution),
        cmocka_unit_test(filters_keep_what_they_should),
        cmocka_unit_test(a_choice_depends_on_seed_and_position_alone),
        cmocka_unit_test(penalties_look_at_the_past),
        cmocka_unit_test(the_past_can_be_taken_back),
        cmocka_unit_test(dry_breaks_a_repeated_phrase),
        cmocka_unit_test(xtc_removes_the_top_choices),
        cmocka_unit_test(mirostat_finds_its_surprise),
        cmocka_unit_test(logit_bias_forces_and_forbids),
        cmocka_unit_test(sums_of_any_length_are_right),
        cmocka_unit_test(a_raw_draw_is_the_long_ones),
        cmocka_unit_test(logprobs_are_of_the_raw_distribution),
        cmocka_unit_test(a_grammar_forces_digits),
        cmocka_unit_test(a_grammar_keeps_the_proportions),
        cmocka_unit_test(a_grammar_can_be_taken_back_and_replayed),
        cmocka_unit_test(a_grammar_and_a_bias_may_leave_nothing),
        cmocka_unit_test(bad_grammars_are_explained),
        cmocka_unit_test(good_grammars_pass),
    };
    return cmocka_run_group_tests(tests, sampler_setup, sampler_teardown);
}
