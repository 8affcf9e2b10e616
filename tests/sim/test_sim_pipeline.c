/* SPDX-License-Identifier: MIT
 * The pipeline under thousands of seeded schedules: 1 to 6 stages, every kind of request, cancels, faults, kills. Each request's tokens
 * must be exactly those of the reference, its events in order, and everything given back at the end.
 *   test_sim_pipeline --seed N     one schedule again, as a failure names it
 *   test_sim_pipeline --seeds N    so many of each kind */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "routing/queue.h"
#include "sched/mark.h"
#include "sched/policy.h"
#include "sim/sim_ring.h"

enum { MAX_REQUESTS = 40, MAX_CTX = 128, TIMER_CANCEL = 1000, TIMER_KILL = 2000, MAX_STEPS = 400000 };
enum scenario { PLAIN, FAULTS, KILL, GUESSES, SUSPECTS, MARKS, STORES };
static const char *const SCENARIO_NAMES[] = {"plain", "faults", "kill", "guesses", "suspects", "marks", "stores"};

static uint64_t only_seed, n_scored, n_alone, n_reused, n_computed, n_followed, n_own_accepted, n_lost, n_loaded;
static uint8_t turns[FAKE_N_VOCAB]; /* one token in sixteen begins or ends a turn */
static bool has_only_seed;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static uint64_t n_seeds = 300; /* each costs ten times as much */
#else
static uint64_t n_seeds = 3000;
#endif

struct asked {
    int32_t prompt[2 * MAX_CTX], expected[MAX_CTX], generated[MAX_CTX];
    size_t n_prompt, n_expected, n_generated;
    int32_t max_tokens, priority;
    uint64_t sampling_seed;
    float scores[2 * MAX_CTX];
    size_t n_scored;
    bool stop, ignore_eos, bad_grammar, alone, score, told_end;
    bool refused, started, ended, cancel_asked, cancelled, failed;
    uint32_t got, n_top;
    uint64_t frame_of_last;     /* number of the frame before which its last token came */
};

struct run {
    enum scenario scenario;
    uint64_t seed;
    struct sim_config config;
    struct sim *sim;
    struct asked *asked;        /* [MAX_REQUESTS] */
    uint32_t n;
    uint64_t n_frames;
    bool killed;
    uint32_t right_in_16;       /* the share of the small model's guesses that is right */
    bool alone;                 /* the frame before carried guesses that had to travel alone */
    uint64_t n_guessed, n_accepted;
};

#define CHECK(run, cond, ...) \
    do { \
        if (!(cond)) { \
            print_error("%s, seed %llu: ", SCENARIO_NAMES[(run)->scenario], (unsigned long long)(run)->seed); \
            print_error(__VA_ARGS__); \
            print_error("\nagain with: test_sim_pipeline --seed %llu\n", (unsigned long long)(run)->seed); \
            fail_msg("%s", #cond); \
        } \
    } while (0)

/* ---- what the submitter and the ring see ---- */

static void see_token(struct run *r, uint32_t i, const struct request_event *ev) {
    struct asked *q = &r->asked[i];
    size_t k = q->n_generated + q->got;
    CHECK(r, k < q->n_expected, "request %u: a token too many", i);
    CHECK(r, ev->token == q->expected[k], "request %u: token %zu is %d, not %d", i, k, ev->token, q->expected[k]);
    CHECK(r, ev->completion_tokens == k + 1 && ev->n_top == q->n_top, "request %u: counts", i);
    q->got++;
    if (q->got > 1 && q->priority > QUEUE_BACKGROUND) { /* no decoding request waits for long */
        uint64_t gap = r->n_frames - q->frame_of_last;
        uint64_t share = 4u * (r->config.n_seq + r->config.n_stage), most = (r->config.mark_every > 0 ? 2 * share : share) + 8;
        CHECK(r, gap <= most, "request %u: %llu frames between two tokens", i, (unsigned long long)gap);
    }
    q->frame_of_last = r->n_frames;
}

/* No request waits that came earlier and has the same priority, or a higher one. */
static void see_turn(struct run *r, uint32_t i) {
    for (uint32_t k = 0; k < i; k++) {
        const struct asked *q = &r->asked[k];
        bool waits = !q->started && !q->ended && !q->cancel_asked;
        CHECK(r, !waits || q->priority < r->asked[i].priority, "request %u started before %u: not its turn", i, k);
    }
}

static void see_score(struct run *r, uint32_t i, const struct request_event *ev) {
    struct asked *q = &r->asked[i];
    size_t k = q->n_scored;
    if (q->score && q->stop && k == q->n_prompt && q->n_generated + q->got == q->n_expected) { /* the token that ends it */
        CHECK(r, ev->token == FAKE_EOG && ev->n_top == q->n_top && !q->told_end, "request %u: the end's score", i);
        q->told_end = true;
        return;
    }
    q->n_scored++;
    CHECK(r, q->score && q->started && q->got == 0 && k < q->n_prompt, "request %u: a score that nobody asked for", i);
    CHECK(r, ev->token == q->prompt[k] && ev->logprob == q->scores[k] && ev->n_top == (k > 0 ? q->n_top : 0), "request %u: score %zu", i,
          k);
    n_scored++;
}

static void see_done(struct run *r, uint32_t i, const struct request_event *ev) {
    struct asked *q = &r->asked[i];
    size_t k = q->n_generated + q->got;
    CHECK(r, !q->score || ev->cached_tokens == 0, "request %u: %u tokens taken over, and not scored", i, ev->cached_tokens);
    CHECK(r, ev->completion_tokens == k && ev->prompt_tokens == q->n_prompt, "request %u: final counts", i);
    CHECK(r, ev->cached_tokens <= (r->config.prefix_cache ? q->n_prompt : 0), "request %u: %u tokens taken over", i, ev->cached_tokens);
    if (ev->finish == REQUEST_FINISH_CANCELLED) {
        CHECK(r, q->cancel_asked, "request %u: cancelled by nobody", i);
        q->cancelled = true;
        return;
    }
    bool nothing = q->n_generated > 0 && q->n_generated == q->n_expected && !q->stop;
    CHECK(r, nothing || q->told_end == (q->score && q->stop), "request %u: the end is not scored", i);
    CHECK(r, nothing || q->n_scored == (q->score ? q->n_prompt : 0), "request %u: %zu of %zu scores", i, q->n_scored, q->n_prompt);
    CHECK(r, k == q->n_expected, "request %u: ended with %zu of %zu tokens", i, k, q->n_expected);
    CHECK(r, ev->finish == (q->stop ? REQUEST_FINISH_STOP : REQUEST_FINISH_LENGTH), "request %u: finish %d", i, ev->finish);
    CHECK(r, ev->n_hop == r->config.n_stage, "request %u: %u hops", i, ev->n_hop);
    CHECK(r, ev->draft_accepted <= ev->draft_tokens && ev->draft_accepted <= q->got, "request %u: %u of %u guesses accepted", i,
          ev->draft_accepted, ev->draft_tokens);
    r->n_guessed += ev->draft_tokens;
    r->n_accepted += ev->draft_accepted;
    CHECK(r, ev->mtp_accepted <= ev->mtp_tokens && ev->mtp_tokens <= ev->draft_tokens && ev->mtp_accepted <= ev->draft_accepted,
          "request %u: %u of %u own guesses accepted", i, ev->mtp_accepted, ev->mtp_tokens);
    CHECK(r, ev->mtp_tokens == 0 || r->config.n_guess > 0, "request %u: own guesses of a model that makes none", i);
    CHECK(r, ev->small_accepted <= ev->small_tokens && ev->small_tokens + ev->mtp_tokens <= ev->draft_tokens,
          "request %u: %u of %u guesses of a small model accepted", i, ev->small_accepted, ev->small_tokens);
    n_own_accepted += ev->mtp_accepted;
    uint32_t trips = q->got - ev->draft_accepted;
    for (uint32_t h = 0; h < ev->n_hop && q->got > 0; h++) {
        CHECK(r, ev->hops[h].frames >= trips && ev->hops[h].compute_us >= (uint64_t)trips * r->config.batch_us,
              "request %u: times of stage %u", i, h);
    }
}

static void on_event(void *user, clock_us now, const struct request_event *ev) {
    struct run *r = user;
    (void)now;
    uint32_t i = (uint32_t)ev->id - 1;
    CHECK(r, i < r->n && !r->asked[i].ended, "event %d of request %u after its end", ev->kind, i);
    struct asked *q = &r->asked[i];
    switch (ev->kind) {
    case REQUEST_STARTED:
        CHECK(r, !q->started && ev->prompt_tokens == q->n_prompt, "request %u: started twice", i);
        if (!r->config.prefix_cache && (q->n_expected > q->n_generated || q->stop))
            see_turn(r, i); /* else one may wait for another's prefix */
        q->started = true;
        break;
    case REQUEST_TOKEN:
        CHECK(r, q->started, "request %u: a token before its start", i);
        CHECK(r, !q->score || q->n_scored == q->n_prompt, "request %u: a token before its prompt was scored", i);
        see_token(r, i, ev);
        break;
    case REQUEST_SCORE: see_score(r, i, ev); break;
    case REQUEST_VECTOR: CHECK(r, false, "request %u: a vector that nobody asked for", i); break;
    case REQUEST_DONE:
        see_done(r, i, ev);
        q->ended = true;
        break;
    case REQUEST_FAILED:
        CHECK(r, r->killed || sim_errors_injected(r->sim) > 0 || q->sampling_seed == FAKE_BAD_SEED || q->bad_grammar,
              "request %u failed: %s", i, ev->err.text);
        q->failed = q->ended = true;
        break;
    }
}

/* Counts the guesses of a frame, and checks that each chain of them follows a token, or, at the front of the frame, guesses that are under
 * way. */
static uint32_t see_guesses(struct run *r, const struct sched_action *f) {
    uint32_t n = 0, chain = 0;
    for (size_t i = 0; i < f->n_tokens; i++) {
        chain = (f->tokens[i].flags & ENGINE_TOKEN_DRAFT) != 0 ? chain + 1 : 0;
        n += chain > 0;
        CHECK(r, chain <= r->config.n_draft, "%u guesses in a row", chain);
        if (chain > 0 && i == 0) {
            struct sched_counts counts;
            sched_count(sim_sched(r->sim), &counts);
            CHECK(r, counts.in_flight > 1 && counts.running == 1 && !r->config.draft_alone && !r->config.draft_once,
                  "a guess that follows nothing");
            n_followed++;
            continue;
        }
        CHECK(r, chain == 0 || (f->tokens[i].seq == f->tokens[i - 1].seq && f->tokens[i].pos == f->tokens[i - 1].pos + 1),
              "a guess that follows nothing");
    }
    return n;
}

/* Nothing is in flight beside a request that may have crashed a process, until it has given some tokens. */
static void see_suspects(struct run *r) {
    uint64_t ids[FRAME_MAX_SEQ];
    size_t n = sched_in_flight(sim_sched(r->sim), ids);
    for (size_t i = 0; i < n; i++) {
        const struct asked *q = &r->asked[ids[i] - 1];
        bool watched = q->alone && q->got < REQUEST_ALONE_TOKENS;
        CHECK(r, !watched || n == 1, "request %u is not alone in flight", (unsigned)ids[i] - 1);
        n_alone += watched;
    }
}

static void on_frame(void *user, clock_us now, const struct sched_action *f) {
    struct run *r = user;
    see_suspects(r);
    (void)now;
    struct sched_counts n;
    sched_count(sim_sched(r->sim), &n);
    uint32_t credit = r->config.n_credit != 0 ? r->config.n_credit : sched_policy_credit(r->config.n_stage);
    CHECK(r, n.in_flight <= credit, "%u frames in flight, %u credits", n.in_flight, credit);
    CHECK(r, f->n_tokens <= r->config.n_batch && f->n_ops <= 4 * r->config.n_seq + 3 * SCHED_MARKS_MOST + SCHED_STORED_MOST,
          "a frame of %zu tokens, %zu operations", f->n_tokens, f->n_ops);
    CHECK(r, f->n_tokens > 0 || f->n_ops > 0, "an empty frame");
    for (size_t i = 0; i < f->n_ops; i++) n_loaded += f->ops[i].kind == ENGINE_OP_LOAD;
    CHECK(r, n.kv_reserved + n.kv_kept <= r->config.n_ctx, "%u cells reserved and %u kept of %u", n.kv_reserved, n.kv_kept,
          r->config.n_ctx);
    if (r->config.exact)
        CHECK(r, f->n_tokens <= 4 || f->n_tokens % (f->n_tokens > 56 ? 64 : 8) == 0, "exact mode: a batch of %zu", f->n_tokens);
    CHECK(r, !r->alone || n.in_flight == 1, "a frame beside guesses that travel alone");
    r->alone = see_guesses(r, f) > 0 && r->config.draft_alone;
    r->n_frames++;
}

static void on_logits(void *user, clock_us now, const struct sched_action *a) {
    struct run *r = user;
    (void)now;
    (void)a;
    CHECK(r, false, "logits nobody asked for");
}

/* ---- what they ask ---- */

/* Often a prompt begins like an earlier one, or is that and its whole answer and more (the next turn of a chat). */
static size_t begin_like_another(struct run *r, struct asked *q) {
    size_t i = (size_t)(q - r->asked), n;
    if (i == 0 || sim_between(r->sim, 0, 2) == 0) return 0;
    const struct asked *like = &r->asked[sim_between(r->sim, 0, (uint32_t)i - 1)];
    bool turn = sim_between(r->sim, 0, 1) == 0 && like->n_prompt + like->n_expected < r->config.n_ctx_seq;
    if (turn) {
        n = like->n_prompt + like->n_expected;
        memcpy(q->prompt, like->prompt, like->n_prompt * sizeof(*q->prompt));
        memcpy(q->prompt + like->n_prompt, like->expected, like->n_expected * sizeof(*q->prompt));
        q->n_prompt = n + sim_between(r->sim, 1, r->config.n_ctx_seq - (uint32_t)n);
        return n;
    }
    n = sim_between(r->sim, 0, (uint32_t)(like->n_prompt < q->n_prompt ? like->n_prompt : q->n_prompt));
    memcpy(q->prompt, like->prompt, n * sizeof(*q->prompt));
    return n;
}

static void make_request(struct run *r, struct asked *q) {
    struct sim *s = r->sim;
    uint32_t ctx = r->config.n_ctx_seq;
    bool too_long = sim_between(s, 0, 30) == 0;
    q->n_prompt = too_long ? sim_between(s, ctx, ctx + 20) : sim_between(s, 1, sim_between(s, 0, 3) > 0 ? ctx / 3 : ctx - 1);
    size_t n = begin_like_another(r, q);
    for (size_t i = n; i < q->n_prompt; i++) q->prompt[i] = (int32_t)sim_between(s, 0, FAKE_N_VOCAB - 1);
    q->max_tokens = sim_between(s, 0, 4) == 0 ? -1 : (int32_t)sim_between(s, 0, ctx);
    q->ignore_eos = sim_between(s, 0, 2) == 0;
    q->alone = r->scenario == SUSPECTS && sim_between(s, 0, 2) == 0;
    q->sampling_seed = sim_between(s, 0, 40) == 0 ? FAKE_BAD_SEED : sim_random(s);
    q->bad_grammar = sim_between(s, 0, 40) == 0;
    q->n_top = sim_between(s, 0, 3) == 0 ? sim_between(s, 1, ENGINE_MAX_TOP_LOGPROBS) : 0;
    q->score = sim_between(s, 0, 3) == 0;
    q->priority = sim_between(s, 0, 2) == 0 ? (int32_t)sim_between(s, 0, 4) - 2 : 0;
    if (sim_between(s, 0, 3) == 0) q->priority = QUEUE_BACKGROUND; /* it gives way to the others */
    if (q->n_prompt > ctx) return;
    size_t room = ctx - q->n_prompt, max = q->max_tokens < 0 || (size_t)q->max_tokens > room ? room : (size_t)q->max_tokens;
    struct fake_params p = {.n_layer = r->config.n_layer,
                            .n_ctx_seq = ctx,
                            .n_ctx = ctx,
                            .n_batch = r->config.n_batch,
                            .loop = r->config.loop,
                            .shapes = r->config.exact};
    q->n_expected = fake_reference(&p, q->prompt, q->n_prompt, q->sampling_seed, q->ignore_eos, max, q->expected, &q->stop);
    fake_reference_scores(&p, q->prompt, q->n_prompt, q->scores);
    if (sim_between(s, 0, 4) == 0 && q->n_expected > 0) { /* a replay */
        q->n_generated = sim_between(s, 1, (uint32_t)q->n_expected);
        memcpy(q->generated, q->expected, q->n_generated * sizeof(*q->generated));
    }
}

static int32_t *copy_tokens(const int32_t *tokens, size_t n) {
    int32_t *copy = mem_calloc(n > 0 ? n : 1, sizeof(*copy));
    memcpy(copy, tokens, n * sizeof(*copy));
    return copy;
}

static void submit(struct run *r, uint32_t i) {
    struct asked *q = &r->asked[i];
    struct request req;
    request_init(&req);
    req.id = i + 1;
    req.tokens = copy_tokens(q->prompt, q->n_prompt);
    req.n_tokens = q->n_prompt;
    req.generated = q->n_generated > 0 ? copy_tokens(q->generated, q->n_generated) : NULL;
    req.n_generated = q->n_generated;
    req.max_tokens = q->max_tokens;
    req.ignore_eos = q->ignore_eos;
    req.alone = q->alone;
    req.score = q->score;
    req.priority = q->priority;
    req.sampling.seed = q->sampling_seed;
    req.sampling.n_top_logprobs = q->n_top;
    req.sampling.grammar = q->bad_grammar ? mem_strdup("root ::= \"a\"") : NULL;
    struct sched_counts n;
    sched_count(sim_sched(r->sim), &n);
    struct err e = {0};
    err_code code = sched_submit(sim_sched(r->sim), sim_now(r->sim), &req, &e);
    if (code != ERR_OK) {
        q->refused = q->ended = true;
        CHECK(r, r->killed || (code == ERR_LIMIT) == (q->n_prompt + (q->max_tokens != 0) > r->config.n_ctx_seq), "request %u: %s", i,
              e.text);
        CHECK(r, r->killed || code == ERR_LIMIT || (code == ERR_BUSY && n.queued >= r->config.n_queue), "request %u: %s", i, e.text);
    } else {
        CHECK(r, req.tokens == NULL, "the request was not taken over");
    }
    request_done(&req);
}

static void on_timer(void *user, clock_us now, uint64_t what) {
    struct run *r = user;
    (void)now;
    if (what >= TIMER_KILL) {
        r->killed = true;
        sim_kill(r->sim, (uint32_t)(what - TIMER_KILL));
    } else if (what >= TIMER_CANCEL) {
        struct asked *q = &r->asked[what - TIMER_CANCEL];
        q->cancel_asked = true;
        sched_cancel(sim_sched(r->sim), now, what - TIMER_CANCEL + 1);
    } else {
        submit(r, (uint32_t)what);
    }
}

/* ---- a small model that knows the answers, and is wrong as often as it is told to be ---- */

/* The request that these tokens are the beginning of. */
static const struct asked *who_says(const struct run *r, const int32_t *tokens, uint32_t n) {
    for (uint32_t i = 0; i < r->n; i++) {
        const struct asked *q = &r->asked[i];
        if (q->started && !q->ended && n >= q->n_prompt && n - q->n_prompt <= q->n_expected &&
            memcmp(tokens, q->prompt, q->n_prompt * sizeof(*tokens)) == 0 &&
            memcmp(tokens + q->n_prompt, q->expected, (n - q->n_prompt) * sizeof(*tokens)) == 0) {
            return q;
        }
    }
    return NULL;
}

static uint32_t small_model(void *user, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret) {
    struct run *r = user;
    (void)seq;
    const struct asked *q = who_says(r, tokens, n);
    CHECK(r, q != NULL, "the small model is asked about a text that is no request's");
    for (uint32_t i = 0; i < most; i++) {
        size_t at = n - q->n_prompt + i;
        int32_t right = at < q->n_expected ? q->expected[at] : FAKE_EOG; /* where it ends, if it does, and past there */
        bool lie = sim_between(r->sim, 1, 16) > r->right_in_16;
        ret[i] = lie ? (right + 1) % FAKE_N_VOCAB : right;
    }
    return sim_between(r->sim, 0, 7) == 0 ? most / 2 : most;
}

static uint32_t small_model_cost(void *user) {
    const struct run *r = user;
    return r->config.token_us / 4;
}

/* Every other schedule has guesses from the sequence's own text alone. */
static void draw_guesses(struct run *r, struct sim *dice, struct sim_config *c) {
    static const uint32_t RIGHT[] = {0, 8, 15, 16};
    c->n_draft = sim_between(dice, 1, SCHED_SPEC_MOST);
    c->keeps_state = false;
    c->draft_always = sim_between(dice, 0, 1) == 0;
    c->draft_alone = sim_between(dice, 0, 3) == 0;
    c->draft_once = sim_between(dice, 0, 3) == 0;
    c->loop = sim_between(dice, 0, 1) * sim_between(dice, 1, 20);
    c->n_guess = sim_between(dice, 0, 1) * sim_between(dice, 1, ENGINE_MAX_GUESS);
    r->right_in_16 = RIGHT[sim_between(dice, 0, 3)];
    if (c->n_guess == 0 && (c->loop == 0 || sim_between(dice, 0, 2) == 0))
        c->drafter = (struct sched_drafter){.guess = small_model, .cost_us = small_model_cost, .user = r};
}

/* Engines that can't go back, but keep copies of states. */
static void draw_marks(struct run *r, struct sim *dice, struct sim_config *c) {
    if (r->scenario < MARKS && sim_between(dice, 0, 1) == 0) return;
    c->keeps_state = true;
    c->n_draft = 0;
    c->mark_every = sim_between(dice, 1, 64);
    c->mark_whole = sim_between(dice, 0, 1) == 0;
    c->turns = sim_between(dice, 0, 1) == 0 ? turns : NULL;
    c->lose_one_in = sim_between(dice, 0, 2) == 0 ? sim_between(dice, 2, 40) : 0;
    for (int32_t i = 0; i < FAKE_N_VOCAB; i++) turns[i] = i % 16 == 5;
}

/* Stages with stores, and few slots, so that requests find there what the slots no longer have. */
static void draw_store(struct run *r, struct sim *dice, struct sim_config *c) {
    if (sim_between(dice, 0, 1) == 0) draw_marks(r, dice, c);
    c->n_seq = sim_between(dice, 1, 3);
    c->n_ctx = sim_between(dice, c->n_ctx_seq, c->n_seq * c->n_ctx_seq);
    c->prefix_cache = true;
    c->store_least = sim_between(dice, 1, 20);
    c->store_lasts = sim_between(dice, 0, 1) == 0;
    c->room = sim_between(dice, 0, 1) * sim_between(dice, 1, 5);
    c->fail_one_in = sim_between(dice, 0, 2) == 0 ? sim_between(dice, 20, 200) : 0;
    c->lose_one_in = sim_between(dice, 0, 2) == 0 ? sim_between(dice, 2, 40) : 0;
}

/* ---- one schedule ---- */

static void draw_config(struct run *r, uint64_t seed) {
    struct sim_config c = {.seed = seed};
    struct sim_callbacks none = {0};
    struct sim_config tiny = {.seed = seed, .n_stage = 1, .n_layer = 1, .n_seq = 1, .n_ctx_seq = 8, .n_ctx = 8, .n_batch = 1};
    struct sim *dice = sim_create(&tiny, &none, NULL);
    c.n_stage = r->scenario == KILL ? sim_between(dice, 2, SIM_MAX_STAGE) : sim_between(dice, 1, SIM_MAX_STAGE);
    c.n_layer = sim_between(dice, c.n_stage, SIM_MAX_LAYER);
    c.n_seq = sim_between(dice, 1, 8);
    c.n_ctx_seq = sim_between(dice, 16, MAX_CTX);
    c.n_ctx = sim_between(dice, 0, 1) == 0 ? c.n_seq * c.n_ctx_seq : sim_between(dice, c.n_ctx_seq, c.n_seq * c.n_ctx_seq);
    c.n_batch = sim_between(dice, 0, 3) == 0 ? sim_between(dice, 64, 128) : sim_between(dice, 4, 48);
    c.n_queue = sim_between(dice, 0, 12);
    c.n_credit = sim_between(dice, 0, 2) == 0 ? sim_between(dice, 1, c.n_stage + 2) : 0;
    c.exact = sim_between(dice, 0, 3) == 0;
    c.latency_us = sim_between(dice, 0, 1) * sim_between(dice, 0, 20000);
    c.prefix_cache = sim_between(dice, 0, 3) > 0;
    c.keeps_state = sim_between(dice, 0, 3) == 0;
    c.dtype = (uint8_t)sim_between(dice, 0, FRAME_DTYPE_COUNT - 1);
    c.delay_us = sim_between(dice, 0, 2) == 0 ? 0 : sim_between(dice, 0, 5000);
    c.jitter_us = sim_between(dice, 0, 1000);
    c.bytes_per_us = sim_between(dice, 0, 2) == 0 ? 0 : sim_between(dice, 1, 100);
    c.batch_us = sim_between(dice, 1, 500);
    c.token_us = sim_between(dice, 0, 50);
    c.fail_one_in = r->scenario == FAULTS ? sim_between(dice, 20, 200) : 0;
    if (r->scenario == GUESSES || (r->scenario != PLAIN && sim_between(dice, 0, 1) == 0)) draw_guesses(r, dice, &c);
    if (c.keeps_state || r->scenario == MARKS) draw_marks(r, dice, &c);
    if (r->scenario == STORES) draw_store(r, dice, &c);
    sim_free(dice);
    r->config = c;
}

static void schedule(struct run *r) {
    r->n = sim_between(r->sim, 1, MAX_REQUESTS);
    clock_us spread = sim_between(r->sim, 1, 4) == 1 ? 10 : sim_between(r->sim, 1000, 2000000), at = sim_now(r->sim);
    for (uint32_t i = 0; i < r->n; i++) {
        make_request(r, &r->asked[i]);
        at += sim_random(r->sim) % (spread / r->n + 1);
        sim_timer(r->sim, at, i);
        if (sim_between(r->sim, 0, 3) == 0) sim_timer(r->sim, at + sim_random(r->sim) % 300000, TIMER_CANCEL + i);
    }
    if (r->scenario == KILL) {
        sim_timer(r->sim, sim_now(r->sim) + sim_random(r->sim) % (spread + 200000),
                  TIMER_KILL + sim_between(r->sim, 1, r->config.n_stage - 1));
    }
}

static void check_end(struct run *r) {
    CHECK(r, r->killed || sim_broken(r->sim)[0] == '\0', "a stage closed its link: %s", sim_broken(r->sim));
    for (uint32_t i = 0; i < r->n; i++) {
        const struct asked *q = &r->asked[i];
        CHECK(r, q->ended, "request %u never ended", i);
        CHECK(r, !q->failed || r->scenario != PLAIN || q->bad_grammar || q->sampling_seed == FAKE_BAD_SEED, "request %u failed", i);
    }
    struct sched_counts n;
    sched_count(sim_sched(r->sim), &n);
    CHECK(r, sched_idle(sim_sched(r->sim)), "not idle at the end: %u queued, %u running, %u in flight", n.queued, n.running, n.in_flight);
    CHECK(r, n.slots_free == r->config.n_seq && n.kv_reserved == 0, "%u slots free of %u, %u cells reserved", n.slots_free, r->config.n_seq,
          n.kv_reserved);
    CHECK(r, r->config.prefix_cache || n.slots_kept + n.reused == 0, "%u sequences kept", n.slots_kept);
    uint32_t held = 0;
    for (uint32_t seq = 0; seq < r->config.n_seq && !r->killed; seq++) {
        held += sched_slot_held(sim_sched(r->sim), seq);
        for (uint32_t st = 0; st < r->config.n_stage; st++) {
            CHECK(r, fake_engine_len(sim_engine(r->sim, st), seq) == sched_slot_held(sim_sched(r->sim), seq),
                  "stage %u holds %u of sequence %u", st, fake_engine_len(sim_engine(r->sim, st), seq), seq);
        }
    }
    for (uint32_t st = 0; st < r->config.n_stage && !r->killed; st++) {
        size_t marks = fake_engine_marks(sim_engine(r->sim, st)), first = fake_engine_marks(sim_engine(r->sim, 0));
        CHECK(r, marks <= SCHED_MARKS_MOST, "stage %u has %zu marks", st, marks);
        CHECK(r, marks == first || sim_marks_lost(r->sim) + sim_errors_injected(r->sim) > 0, "stage %u has %zu marks, the head %zu", st,
              marks, first);
    }
    n_lost += sim_marks_lost(r->sim);
    CHECK(r, r->killed || held == n.kv_kept, "%u cells are held, %u kept", held, n.kv_kept);
    n_reused += n.reused;
    n_computed += n.tokens;
}

static uint32_t run_seed(enum scenario scenario, uint64_t seed, uint64_t *n_guessed, uint64_t *n_accepted) {
    struct run r = {.scenario = scenario, .seed = seed};
    r.asked = mem_calloc(MAX_REQUESTS, sizeof(*r.asked));
    draw_config(&r, seed);
    struct sim_callbacks cb = {.on_event = on_event, .on_frame = on_frame, .on_logits = on_logits, .on_timer = on_timer};
    r.sim = sim_create(&r.config, &cb, &r);
    schedule(&r);
    bool ended = sim_run(r.sim, MAX_STEPS);
    CHECK(&r, ended, "still running after %d steps", MAX_STEPS);
    check_end(&r);
    uint32_t most = sim_most_in_flight(r.sim);
    *n_guessed += r.n_guessed;
    *n_accepted += r.n_accepted;
    sim_free(r.sim);
    free(r.asked);
    return most;
}

static void run_scenario(enum scenario scenario) {
    uint32_t most = 0;
    uint64_t n_guessed = 0, n_accepted = 0;
    if (has_only_seed) {
        run_seed(scenario, only_seed, &n_guessed, &n_accepted);
        return;
    }
    for (uint64_t seed = 1; seed <= n_seeds; seed++) {
        uint32_t n = run_seed(scenario, seed, &n_guessed, &n_accepted);
        most = n > most ? n : most;
    }
    assert_true(most >= SIM_MAX_STAGE); /* the ring was full at times */
    assert_true(scenario == STORES || (n_guessed > 0) == (scenario != PLAIN && scenario != MARKS));
    if (scenario == GUESSES) {
        print_message("%llu guesses, %llu accepted; %llu frames of guesses alone\n", (unsigned long long)n_guessed,
                      (unsigned long long)n_accepted, (unsigned long long)n_followed);
        assert_true(n_followed > n_seeds && n_own_accepted > n_seeds);
        assert_true(n_accepted > n_guessed / 8 && n_accepted < n_guessed * 7 / 8); /* both happen all the time */
    }
    print_message("%s: %llu tokens computed, %llu taken over from other sequences\n", SCENARIO_NAMES[scenario],
                  (unsigned long long)n_computed, (unsigned long long)n_reused);
    assert_true(n_reused > n_computed / 50 && n_scored > n_computed / 50);
    n_computed = n_reused = n_scored = 0;
}

static void test_plain(void **state) {
    (void)state;
    run_scenario(PLAIN);
}

static void test_faults(void **state) {
    (void)state;
    run_scenario(FAULTS);
}

static void test_kill(void **state) {
    (void)state;
    run_scenario(KILL);
}

/* Speculation changes the times of tokens, never the tokens: with guesses that are always, never and mostly right, from the text and from a
 * small model, in every kind of ring, with cancels, ends and limits in the middle of accepted guesses. */
static void test_guesses(void **state) {
    (void)state;
    run_scenario(GUESSES);
}

/* Requests that must be alone get the same tokens, too. */
static void test_suspects(void **state) {
    (void)state;
    n_alone = 0;
    run_scenario(SUSPECTS);
    assert_true(has_only_seed || n_alone > n_seeds);
}

/* Going back to copies of states changes no token, whichever copies the stages lose. */
static void test_marks(void **state) {
    (void)state;
    n_lost = 0;
    run_scenario(MARKS);
    assert_true(has_only_seed || n_lost > n_seeds / 4);
}

/* What comes from stores changes no token, either, whatever the stages lose of it. */
static void test_stores(void **state) {
    (void)state;
    n_lost = n_loaded = 0;
    run_scenario(STORES);
    print_message("%llu sequences loaded, %llu losses\n", (unsigned long long)n_loaded, (unsigned long long)n_lost);
    assert_true(has_only_seed || (n_lost > n_seeds / 20 && n_loaded > n_seeds / 20));
}

/* ---- that stages work at the same time ---- */

static void ignore_event(void *user, clock_us now, const struct request_event *ev) {
    (void)now;
    if (ev->kind == REQUEST_DONE) ++*(uint32_t *)user;
}

static void ignore_frame(void *user, clock_us now, const struct sched_action *f) {
    (void)user;
    (void)now;
    (void)f;
}

/* Virtual microseconds that n_req requests take, all submitted at once, on layers split over n_stage stages of equal cost. */
static clock_us time_of(uint32_t n_stage, uint32_t n_req, uint32_t n_prompt, int32_t n_out, uint32_t batch_us, uint32_t token_us) {
    struct sim_config c = {.seed = 1,
                           .n_stage = n_stage,
                           .n_layer = n_stage,
                           .n_seq = n_req,
                           .n_ctx_seq = 1100,
                           .n_ctx = 1100 * n_req,
                           .n_batch = 64,
                           .n_queue = 64,
                           .batch_us = batch_us / n_stage,
                           .token_us = token_us / n_stage};
    struct sim_callbacks cb = {.on_event = ignore_event, .on_frame = ignore_frame};
    uint32_t done = 0;
    struct sim *s = sim_create(&c, &cb, &done);
    for (uint32_t i = 0; i < n_req; i++) {
        struct request r;
        request_init(&r);
        r.id = i + 1;
        r.n_tokens = n_prompt;
        r.tokens = mem_calloc(n_prompt, sizeof(*r.tokens));
        r.tokens[0] = (int32_t)i;
        r.max_tokens = n_out;
        r.ignore_eos = true;
        assert_int_equal(sched_submit(sim_sched(s), sim_now(s), &r, NULL), ERR_OK);
        request_done(&r);
    }
    clock_us start = sim_now(s);
    assert_true(sim_run(s, 1000000));
    assert_int_equal(done, n_req);
    clock_us took = sim_now(s) - start;
    sim_free(s);
    return took;
}

static void test_decode_overlaps(void **state) {
    (void)state;
    clock_us one = time_of(1, 1, 4, 200, 1000, 3000), four_one = time_of(4, 1, 4, 200, 1000, 3000);
    clock_us four = time_of(4, 4, 4, 200, 1000, 3000);
    print_message("decode of 200 tokens: 1 stage %llu us; 4 stages: 1 stream %llu us, 4 streams %llu us\n", (unsigned long long)one,
                  (unsigned long long)four_one, (unsigned long long)four);
    assert_true(four_one < one * 11 / 10);  /* splitting costs a stream nothing but the hops */
    assert_true(four < four_one * 11 / 10); /* four streams in the time of one, although a token beside another isn't free */
}

static void test_prefill_overlaps(void **state) {
    (void)state;
    clock_us one = time_of(1, 1, 1024, 1, 4000, 40), four = time_of(4, 1, 1024, 1, 4000, 40);
    print_message("prefill of 1024 tokens: 1 stage %llu us, 4 stages %llu us\n", (unsigned long long)one, (unsigned long long)four);
    assert_true(four * 3 < one);
}

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0) {
            only_seed = strtoull(argv[i + 1], NULL, 10);
            has_only_seed = true;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            n_seeds = strtoull(argv[i + 1], NULL, 10);
        }
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_faults),          cmocka_unit_test(test_kill),
        cmocka_unit_test(test_guesses), cmocka_unit_test(test_suspects),        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_stores),  cmocka_unit_test(test_decode_overlaps), cmocka_unit_test(test_prefill_overlaps),
    };
    return cmocka_run_group_tests_name("sim_pipeline", tests, NULL, NULL);
}
