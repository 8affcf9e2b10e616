/* SPDX-License-Identifier: MIT
 * Filling a frame: first the operations on sequences, then one token of each decoding sequence of a group, then pieces of prompts. */
#include <assert.h>
#include <string.h>

#include "sched/policy.h"
#include "sched/sched_priv.h"

enum { REVIEW_FRAMES = 8, TRIAL_FRAMES = 2, EXACT_MOST = 3, GUESSES_SHARE = 4 };
/* How many times as long as it takes alone a prompt may wait because of prompts that came later. */
static const float AGED = 4;

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- parts of a frame being filled ---- */

struct filling {
    struct sched_flight *flight;
    size_t n; /* tokens in s->tokens */
    float expected; /* tokens that they are expected to give */
};

static void put_token(struct sched *s, struct filling *f, uint32_t slot, int32_t token, uint32_t pos, uint16_t flags) {
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
    s->tokens[f->n++] = (struct engine_token){.token = token, .pos = (int32_t)pos, .seq = (uint16_t)slot, .flags = flags};
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
                                   .frames = s->config.draft_alone || !runs_alone(s) ? 1 : s->config.n_credit,
                                   .always = s->config.draft_always};
    float expected;
    uint32_t n = sched_spec_choose(&r->spec, &s->time, &s->config.drafter, r->slot, &load, &expected);
    for (uint32_t i = 0; i < n; i++) put_guess(s, f, r, r->spec.guesses[i]);
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
static uint32_t chunk_size(const struct sched *s, const struct sched_req *r, uint32_t room) {
    uint32_t left = r->n_input - r->n_sent;
    if (!s->config.exact) return min_u32(left, room);
    uint32_t end, step = sched_exact_step(s, (uint32_t)r->request.n_tokens, r->n_sent, &end);
    if (step == 1) {
        bool prompt = r->n_sent < r->request.n_tokens;
        return min_u32(min_u32(EXACT_MOST, room), prompt ? (uint32_t)r->request.n_tokens - r->n_sent : left);
    }
    return min_u32(end - r->n_sent, room > step ? room / step * step : step);
}

static uint64_t left_of(const struct sched_req *r) { return r->n_input - r->n_sent; }

static void put_chunk(struct sched *s, struct filling *f, struct sched_req *r, uint32_t n) {
    uint16_t last = r->request.embed ? ENGINE_TOKEN_POOL : ENGINE_TOKEN_SAMPLE;
    put_part(s, f, r->slot, n);
    for (uint32_t i = 0; i < n; i++, r->n_sent++)
        put_token(s, f, r->slot, r->input[r->n_sent], r->n_sent, r->n_sent + 1 < r->n_input ? 0 : last);
    if (r->n_sent == r->n_input) sched_set_state(s, r, SCHED_FLIGHT);
}

/* Has the request waited so long, compared with the time that the rest of its prompt takes alone, that it goes before all later ones? */
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
        uint32_t n = chunk_size(s, r, room);
        if (s->config.at_once && n < left_of(r)) break; /* a text that has to come at once gets the next frame for itself */
        put_chunk(s, f, r, n);
        room -= n;
        if (s->config.exact) break; /* one shape of batch, one prompt */
    }
}

static uint32_t prompt_tokens(const struct sched *s) {
    uint32_t n = 0;
    for (const struct sched_req *r = s->prefill.first; r != NULL; r = r->next) n += r->n_input;
    return n;
}

/* The groups are chosen again when the number of sequences has changed, from time to time, since times change, and soon after a try. */
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
        put_chunk(s, f, r, chunk_size(s, r, s->config.n_batch));
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

bool sched_frame_build(struct sched *s, clock_us now, struct sched_action *ret) {
    if (s->n_flight > 0 && s->n_alone > 0) return false;
    if (s->n_flight == s->config.n_credit || (s->config.draft_alone && s->n_flight_guesses > 0)) return false;
    struct sched_flight *flight = &s->flights[(s->flight_first + s->n_flight) % s->config.n_credit];
    flight->decode = flight->guesses = flight->leads = flight->follows = flight->faulted = false;
    flight->n_parts = flight->n_expect = 0;
    struct filling f = {.flight = flight};
    if (s->eval_state == SCHED_EVAL_RUNNING || (s->eval_state == SCHED_EVAL_WAITING && eval_start(s))) put_eval(s, &f);
    else if (s->n_alone > 0) put_in_turn(s, now, &f);
    else put_work(s, now, &f);
    if (f.n == 0 && (s->n_flight > 0 || s->n_dirty + s->n_ops == 0)) return false;
    sched_slot_close_dirty(s);
    if (flight->decode) sched_slot_park(s, 1);
    flight->number = s->next_number++;
    s->n_flight++;
    flight->n_tokens = (uint32_t)f.n;
    s->n_flight_decode += flight->decode;
    s->n_flight_guesses += flight->guesses;
    s->n_frames++;
    s->n_tokens += f.n;
    *ret = (struct sched_action){
        .kind = SCHED_ACTION_FRAME, .number = flight->number, .ops = s->ops, .n_ops = s->n_ops, .tokens = s->tokens, .n_tokens = f.n};
    s->n_ops = 0;
    return true;
}
