/* SPDX-License-Identifier: MIT
 * Filling a frame: first the operations on sequences, then one token of each decoding sequence of a group, then pieces of prompts. */
#include <assert.h>
#include <string.h>

#include "sched/policy.h"
#include "sched/sched_priv.h"

enum { REVIEW_FRAMES = 8, TRIAL_FRAMES = 2, EXACT_MOST = 3, GUESSES_SHARE = 4 };
/* Guesses of the model's own layers that are wanted with a request's first token, if they paid when they were weighed last. */
enum { FIRST_GUESSES = 4 };
/* A frame has at most so many tokens of prompts that are scored: the tail has a row of logits in memory for each. */
enum { SCORED_MOST = 64 };
/* A prompt that has waited this many times as long as its rest takes alone goes before all later prompts. */
static const float AGED = 4;

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- parts of a frame being filled ---- */

struct filling {
    struct sched_flight *flight;
    size_t n; /* tokens in s->tokens */
    float expected; /* tokens that they are expected to give */
    uint32_t scored; /* tokens of prompts that are scored */
};

static void put_token(struct sched *s, struct filling *f, uint32_t slot, int32_t token, uint32_t pos, uint8_t flags) {
    assert(f->n < s->config.n_batch && pos < s->config.n_ctx_seq);
    if (flags != 0) {
        f->flight->expect[f->flight->n_expect++] = (struct sched_expect){.slot = slot,
                                                                         .generation = s->slots[slot].generation,
                                                                         .index = (uint16_t)f->n,
                                                                         .flags = flags,
                                                                         .pos = (int32_t)pos,
                                                                         .token = token};
    }
    sched_slot_put(s, slot, token, pos);
    s->rows[f->n] = NULL;
    s->tokens[f->n++] = (struct engine_token){.token = token, .pos = (int32_t)pos, .seq = (uint16_t)slot, .flags = flags};
}

/* The token that was put last stands for a row. */
static void make_row(struct sched *s, const struct filling *f, const struct request_rows *rows, uint32_t pos) {
    const struct engine_rows *from = rows->rows;
    uint32_t i = pos - rows->at;
    struct engine_token *t = &s->tokens[f->n - 1];
    t->token = from->places[i];
    t->flags |= ENGINE_TOKEN_ROW | (from->together ? ENGINE_TOKEN_TOGETHER : 0);
    s->rows[f->n - 1] = from->values + (size_t)i * from->width;
    s->frame_rows = true;
}

static void put_part(struct sched *s, struct filling *f, uint32_t slot, uint32_t n_tokens) {
    f->flight->parts[f->flight->n_parts++] =
        (struct sched_part){.slot = slot, .generation = s->slots[slot].generation, .n_tokens = n_tokens};
}

/* ---- decode and prefill ---- */

static bool runs_alone(const struct sched *s) {
    return s->n_state[SCHED_PREFILL] + s->n_state[SCHED_FLIGHT] + s->n_state[SCHED_READY] == 1;
}

/* Guesses that may go with r's next token. n_later sequences still need a place in the frame, and a waiting prompt keeps most of it. */
static uint32_t guesses_most(const struct sched *s, const struct filling *f, const struct sched_req *r, uint32_t n_later) {
    const struct sched_config *c = &s->config;
    if (c->n_draft == 0 || (c->draft_alone && !runs_alone(s))) return 0;
    uint32_t room = c->exact ? SCHED_SPEC_EXACT + 1 : s->prefill.first != NULL ? c->n_batch / GUESSES_SHARE : c->n_batch;
    room = min_u32(room, c->n_batch);
    uint32_t taken = (uint32_t)f->n + 1 + n_later;
    uint32_t most = min_u32(c->n_draft, room > taken ? room - taken : 0);
    return min_u32(most, r->max_completion - r->n_completion - 1 - r->n_ahead); /* nothing is computed past the request's end */
}

static void put_guess(struct sched *s, struct filling *f, struct sched_req *r, int32_t token) {
    put_token(s, f, r->slot, token, r->n_sent + r->n_ahead++, ENGINE_TOKEN_SAMPLE | ENGINE_TOKEN_DRAFT);
    f->flight->guesses = true;
}

static void put_guesses(struct sched *s, struct filling *f, struct sched_req *r, uint32_t n_later) {
    struct sched_spec_load load = {.n_others = (uint32_t)f->n - 1 + n_later,
                                   .expected = f->expected + (float)n_later,
                                   .groups = s->n_flight_decode + 1,
                                   .most = guesses_most(s, f, r, n_later),
                                   .frames = s->config.draft_alone || s->config.draft_once || !runs_alone(s) ? 1 : s->config.n_credit,
                                   .most_own = s->config.n_guess,
                                   .own_us = s->own_us,
                                   .always = s->config.draft_always};
    float expected;
    uint32_t n = sched_spec_choose(&r->spec, &s->time, &s->config.drafter, r->slot, &load, &expected);
    for (uint32_t i = 0; i < n; i++) put_guess(s, f, r, r->spec.guesses[i]);
    for (size_t i = f->n - 1 - n; i < f->n; i++) s->tokens[i].n_guess = (uint8_t)r->spec.n_ask;
    f->expected += expected;
    f->flight->leads = r->spec.n_frames > 1;
    s->led = r->slot;
    s->led_generation = s->slots[r->slot].generation;
}

/* More guesses of a sequence that runs alone, after those that are under way. */
static void put_following(struct sched *s, struct filling *f) {
    struct sched_req *r = s->slots[s->led].req;
    if (r == NULL || s->slots[s->led].generation != s->led_generation || r->state != SCHED_FLIGHT || !runs_alone(s) ||
        s->eval_state != SCHED_EVAL_NONE) {
        return;
    }
    const int32_t *guesses;
    uint32_t most = guesses_most(s, f, r, 0), n = most > 0 ? sched_spec_follow(&r->spec, &s->time, s->n_flight, most, &guesses) : 0;
    for (uint32_t i = 0; i < n; i++) put_guess(s, f, r, guesses[i]);
    if (n > 0) {
        put_part(s, f, r->slot, n);
        f->flight->follows = true;
    }
}

/* The sequences that have waited longest go first: the ready list is in the order in which their tokens came back. */
static struct sched_req *next_ready(const struct sched *s) {
    struct sched_req *r = s->ready.first;
    while (r != NULL && r->alone > 0) r = r->next;
    return r;
}

static void put_decodes(struct sched *s, struct filling *f, uint32_t most) {
    most = min_u32(most, s->n_state[SCHED_READY]);
    for (struct sched_req *r; most > 0 && (r = next_ready(s)) != NULL;) {
        most--;
        put_token(s, f, r->slot, r->next_token, r->n_sent, ENGINE_TOKEN_SAMPLE);
        r->n_sent++;
        if (r->spec.text != NULL) put_guesses(s, f, r, most);
        put_part(s, f, r->slot, 1 + r->n_ahead);
        f->flight->decode = true;
        sched_set_state(s, r, SCHED_FLIGHT);
    }
}

/* How many of the request's known tokens go into a chunk. In exact mode every position always meets the same kernels, and replayed tokens
 * are computed as they were the first time; a step may then be larger than the policy's room. */
static uint32_t exact_size(const struct sched *s, const struct sched_req *r, uint32_t left, uint32_t room) {
    uint32_t start = 0, run_end = (uint32_t)r->request.n_tokens, end;
    if (r->n_sent < run_end) run_end = sched_rows_run(&r->request, r->n_sent, &start); /* rows are a part of their own, and so is text */
    uint32_t step = sched_exact_step(s, run_end - start, r->n_sent - start, &end);
    if (step == 1) return min_u32(min_u32(EXACT_MOST, room), r->n_sent < run_end ? min_u32(run_end - r->n_sent, left) : left);
    return min_u32(min_u32(start + end - r->n_sent, left), room > step ? room / step * step : step);
}

/* most: what the frame holds, whatever the room that the policy gives. */
static uint32_t chunk_size(const struct sched *s, const struct sched_req *r, uint32_t room, uint32_t most) {
    uint32_t left = r->n_input - r->n_sent;
    if (r->mark_at > r->n_sent) left = min_u32(left, r->mark_at - r->n_sent); /* the batch ends where a mark is to be made */
    uint32_t n = s->config.exact ? exact_size(s, r, left, room) : min_u32(left, room);
    return r->request.n_rows > 0 ? sched_rows_chunk(&r->request, r->n_sent, n, most) : n;
}

/* The room that a frame has for this request. */
static uint32_t room_for(const struct filling *f, const struct sched_req *r, uint32_t room) {
    return r->request.score ? min_u32(room, SCORED_MOST - f->scored) : room;
}

static uint64_t left_of(const struct sched_req *r) { return r->n_input - r->n_sent; }

static uint8_t first_guesses(const struct sched *s, const struct sched_req *r) {
    const struct sched_config *c = &s->config;
    if (c->n_draft == 0 || r->max_completion < 2 || (!s->lessons.kinds[SCHED_GUESS_MTP].on && !c->draft_always)) return 0;
    return (uint8_t)min_u32(min_u32(c->n_guess, c->n_draft), c->exact ? SCHED_SPEC_EXACT : FIRST_GUESSES);
}

static void put_chunk(struct sched *s, struct filling *f, struct sched_req *r, uint32_t n) {
    uint16_t last = r->request.embed ? ENGINE_TOKEN_POOL : r->max_completion > 0 ? ENGINE_TOKEN_SAMPLE : 0;
    put_part(s, f, r->slot, n);
    f->flight->scores |= r->request.score;
    f->scored += r->request.score ? n : 0;
    for (uint32_t i = 0; i < n; i++, r->n_sent++) {
        uint16_t score = r->request.score && r->n_sent < r->request.n_tokens ? ENGINE_TOKEN_SCORE : 0;
        put_token(s, f, r->slot, r->input[r->n_sent], r->n_sent, score | (r->n_sent + 1 < r->n_input ? 0 : last));
        const struct request_rows *rows = r->request.n_rows > 0 ? sched_rows_at(&r->request, r->n_sent) : NULL;
        if (rows != NULL) make_row(s, f, rows, r->n_sent);
    }
    if (r->n_sent < r->n_input) return;
    if (last == ENGINE_TOKEN_SAMPLE) s->tokens[f->n - 1].n_guess = first_guesses(s, r);
    sched_set_state(s, r, SCHED_FLIGHT);
}

/* Does the request go before all later ones, because it has waited so long? */
static bool aged(const struct sched_req *r, clock_us now, float token_us) {
    return (float)(now - r->submitted) > AGED * token_us * (float)left_of(r);
}

static bool goes_before(const struct sched_req *a, const struct sched_req *b, clock_us now, float token_us) {
    bool old = aged(a, now, token_us), other_old = aged(b, now, token_us);
    if (old || other_old) return old && (!other_old || a->submitted < b->submitted);
    return (now - a->submitted + 1) * left_of(b) > (now - b->submitted + 1) * left_of(a);
}

/* The request whose prompt is next: the one with the highest ratio of the time waited to the time that is left to compute. So short prompts
 * overtake long ones, and most requests wait little; but a long one that has waited too long goes first, even under overload. Prompts that
 * wait for another's prefix are left out. */
static struct sched_req *next_prompt(struct sched *s, clock_us now) {
    float token_us = sched_time_frame(&s->time, SCHED_TIME_PROMPT, s->config.n_batch, NULL) / (float)s->config.n_batch;
    struct sched_req *best = NULL;
    for (struct sched_req *r = s->prefill.first; r != NULL; r = r->next) {
        if (r->alone > 0 || (!r->rooted && !sched_slot_root(s, r))) continue;
        if (best == NULL || goes_before(r, best, now, token_us)) best = r;
    }
    return best;
}

/* The last prompt is cut where the room ends. */
static void put_prompts(struct sched *s, clock_us now, struct filling *f, uint32_t most) {
    uint32_t room = s->config.n_batch - (uint32_t)f->n;
    room = s->config.at_once && most > 0 ? room : min_u32(most, room);
    for (struct sched_req *r; room > 0 && (r = next_prompt(s, now)) != NULL;) {
        sched_mark_make(s, r);
        uint32_t fits = room_for(f, r, room), n = fits > 0 ? chunk_size(s, r, fits, s->config.n_batch - (uint32_t)f->n) : 0;
        bool cut = n < left_of(r); /* it gets no second place in this frame */
        if (n == 0) break;
        if (s->config.at_once && cut) break; /* a text that has to come at once gets the next frame for itself */
        put_chunk(s, f, r, n);
        room -= min_u32(room, n);
        if (s->config.exact || cut) break; /* exact: one prompt a frame, so that the batch has one shape */
    }
}

static uint32_t prompt_tokens(const struct sched *s) {
    uint32_t n = 0;
    for (const struct sched_req *r = s->prefill.first; r != NULL; r = r->next) n += r->n_input;
    return n;
}

/* Chooses the groups again when the number of sequences has changed, soon after a try, and from time to time, because times change. */
static void review_groups(struct sched *s, struct sched_load *load) {
    if (load->n_decoding != s->groups_decoding || s->n_frames - s->groups_frame >= s->groups_review) {
        load->groups = s->groups;
        s->groups = sched_policy_groups(load);
        uint32_t size = (load->n_decoding + s->groups - 1) / s->groups;
        s->groups_review = size == 0 || sched_time_seen(&s->time, SCHED_TIME_DECODE, size) ? REVIEW_FRAMES : TRIAL_FRAMES;
        s->groups_decoding = load->n_decoding;
        s->groups_frame = s->n_frames;
    }
    load->groups = s->groups;
}

static void put_work(struct sched *s, clock_us now, struct filling *f) {
    const struct sched_config *c = &s->config;
    struct sched_load load = {.n_stage = c->n_stage,
                              .n_batch = c->n_batch,
                              .n_credit = c->n_credit,
                              .latency_us = c->latency_us,
                              .exact = c->exact,
                              .n_decoding = s->n_state[SCHED_FLIGHT] + s->n_state[SCHED_READY] - s->n_fresh,
                              .n_prefilling = s->n_state[SCHED_PREFILL],
                              .prompt_tokens = prompt_tokens(s),
                              .decode_in_flight = s->n_flight_decode,
                              .in_flight = s->n_flight,
                              .prefill_last = s->prefill_last,
                              .time = &s->time};
    struct sched_share share;
    s->decoded = load.n_decoding > 0 ? s->decoded : now;
    load.waited_us = (uint32_t)(now - s->decoded < UINT32_MAX ? now - s->decoded : UINT32_MAX);
    review_groups(s, &load);
    sched_policy_share(&load, &share);
    if (!share.prefill_first) put_decodes(s, f, min_u32(share.decode_tokens, c->n_batch));
    size_t n_decode = f->n;
    if (!c->exact || n_decode == 0) put_prompts(s, now, f, share.prefill_tokens);
    if (f->n == 0) { /* prompts went first, and none had a token to send */
        put_decodes(s, f, min_u32(share.decode_tokens, c->n_batch));
        n_decode = f->n;
    }
    s->prefill_last = f->n > n_decode;
    if (f->n == 0) {
        put_following(s, f);
        n_decode = f->n;
    }
    s->decoded = n_decode > 0 ? now : s->decoded;
}

/* ---- requests that may have crashed a process ---- */

/* The suspect that was admitted first; there is one. It waits for no other prompt, so it always has something to send. */
static struct sched_req *first_alone(const struct sched *s) {
    struct sched_req *first = NULL;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        struct sched_req *r = s->slots[i].req;
        if (r != NULL && r->alone > 0 && (first == NULL || r->admitted < first->admitted)) first = r;
    }
    return first;
}

static void put_alone(struct sched *s, struct filling *f) {
    struct sched_req *r = first_alone(s);
    if (r->state == SCHED_PREFILL) {
        put_chunk(s, f, r, chunk_size(s, r, room_for(f, r, s->config.n_batch), s->config.n_batch));
        return;
    }
    put_token(s, f, r->slot, r->next_token, r->n_sent, ENGINE_TOKEN_SAMPLE);
    r->n_sent++;
    put_part(s, f, r->slot, 1);
    f->flight->decode = true;
    sched_set_state(s, r, SCHED_FLIGHT);
}

/* While there is a suspect, only one frame is in flight: its own and one of the others in turn. If the process crashes again, the reason is
 * certain. */
static void put_in_turn(struct sched *s, clock_us now, struct filling *f) {
    if (s->alone_last) put_work(s, now, f);
    s->alone_last = f->n == 0;
    if (s->alone_last) put_alone(s, f);
}

/* ---- evaluations ---- */

static bool eval_start(struct sched *s) {
    if (s->n_flight > 0 || s->n_state[SCHED_PREFILL] + s->n_state[SCHED_FLIGHT] + s->n_state[SCHED_READY] > 0) return false;
    sched_slot_take_eval(s);
    s->eval_state = SCHED_EVAL_RUNNING;
    return true;
}

static void put_eval(struct sched *s, struct filling *f) {
    if (s->eval_sent == s->eval.n_batches) return;
    const struct request_eval_batch *b = &s->eval.batches[s->eval_sent];
    put_part(s, f, 0, b->n_tokens);
    for (uint32_t i = 0; i < b->n_tokens; i++, s->eval_pos++)
        put_token(s, f, 0, s->eval.tokens[s->eval_pos], s->eval_pos, b->n_tokens - i <= b->n_logits ? ENGINE_TOKEN_LOGITS : 0);
    f->flight->batch = s->eval_sent++;
}

/* ---- the frame ---- */

static bool is_working(const struct sched *s) {
    return s->n_state[SCHED_QUEUED] + s->n_state[SCHED_PREFILL] + s->n_state[SCHED_FLIGHT] + s->n_state[SCHED_READY] > 0 ||
           s->eval_state != SCHED_EVAL_NONE;
}

bool sched_frame_build(struct sched *s, clock_us now, struct sched_action *ret) {
    if (s->n_flight > 0 && s->n_alone > 0) return false;
    if (s->n_flight == s->config.n_credit || (s->config.draft_alone && s->n_flight_guesses > 0)) return false;
    struct sched_flight *flight = &s->flights[(s->flight_first + s->n_flight) % s->config.n_credit];
    flight->decode = flight->guesses = flight->leads = flight->follows = flight->scores = flight->faulted = false;
    flight->n_parts = flight->n_expect = 0;
    struct filling f = {.flight = flight};
    s->frame_rows = false;
    if (s->eval_state == SCHED_EVAL_RUNNING || (s->eval_state == SCHED_EVAL_WAITING && eval_start(s))) put_eval(s, &f);
    else if (s->n_alone > 0) put_in_turn(s, now, &f);
    else put_work(s, now, &f);
    if (f.n == 0 && s->n_flight == 0 && !is_working(s)) sched_store_save(s);
    bool can_wait = s->n_flight > 0 && (s->n_returning == 0 || s->n_ops == 0);
    if (f.n == 0 && (can_wait || s->n_dirty + s->n_ops == 0)) return false;
    sched_slot_close_dirty(s);
    if (flight->decode) sched_slot_park(s, 1);
    flight->number = s->next_number++;
    s->n_flight++;
    flight->n_tokens = (uint32_t)f.n;
    s->n_flight_decode += flight->decode;
    s->n_flight_guesses += flight->guesses;
    s->n_frames++;
    s->n_tokens += f.n;
    *ret = (struct sched_action){.kind = SCHED_ACTION_FRAME,
                                 .number = flight->number,
                                 .ops = s->ops,
                                 .n_ops = s->n_ops,
                                 .tokens = s->tokens,
                                 .n_tokens = f.n,
                                 .rows = s->frame_rows ? s->rows : NULL};
    s->n_ops = 0;
    return true;
}
