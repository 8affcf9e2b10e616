/* SPDX-License-Identifier: MIT
 * The scheduler's requests: their arrival, waiting and end; and the queue of actions. slot.c gives them slots, frame.c fills frames,
 * tokens.c reads their answers. */
#include "sched/sched.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "routing/queue.h"
#include "sched/policy.h"
#include "sched/sched_priv.h"
#include "wire/frame.h"

/* ---- states ---- */

static const char *const STATE_NAMES[SCHED_STATE_COUNT] = {"queued", "prefill", "flight", "ready", "end"};

#define TO(state) (1u << SCHED_##state)
static const unsigned STATE_EDGES[SCHED_STATE_COUNT] = {
    [SCHED_QUEUED] = TO(PREFILL) | TO(END),
    [SCHED_PREFILL] = TO(FLIGHT) | TO(QUEUED) | TO(END),
    [SCHED_FLIGHT] = TO(READY) | TO(END),
    [SCHED_READY] = TO(FLIGHT) | TO(QUEUED) | TO(END),
    [SCHED_END] = 0,
};
#undef TO

static struct sched_list *state_list(struct sched *s, enum sched_state state) {
    switch (state) {
    case SCHED_QUEUED: return &s->queue;
    case SCHED_PREFILL: return &s->prefill;
    case SCHED_READY: return &s->ready;
    case SCHED_END: return &s->ended;
    default: return NULL; /* FLIGHT: its slot knows it */
    }
}

static void list_remove(struct sched_list *l, struct sched_req *r) {
    *(r->prev != NULL ? &r->prev->next : &l->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &l->last) = r->prev;
    r->prev = r->next = NULL;
}

static void list_append(struct sched_list *l, struct sched_req *r) {
    r->prev = l->last;
    *(l->last != NULL ? &l->last->next : &l->first) = r;
    l->last = r;
}

/* Does a come before b, which has come earlier? */
static bool goes_first(const struct sched_req *a, const struct sched_req *b) {
    int32_t x = a->request.priority, y = b->request.priority;
    return x > y || (x == y && a->number < b->number);
}

static void queue_insert(struct sched_list *l, struct sched_req *r) {
    struct sched_req *before = l->last;
    while (before != NULL && goes_first(r, before)) before = before->prev;
    r->prev = before;
    r->next = before != NULL ? before->next : l->first;
    *(before != NULL ? &before->next : &l->first) = r;
    *(r->next != NULL ? &r->next->prev : &l->last) = r;
}

void sched_set_state(struct sched *s, struct sched_req *r, enum sched_state to) {
    assert((STATE_EDGES[r->state] >> to & 1) != 0);
    if (to != SCHED_READY && r->state != SCHED_READY) /* each token goes there and back */
        log_debug("sched", "request %llu: %s -> %s", (unsigned long long)r->request.id, STATE_NAMES[r->state], STATE_NAMES[to]);
    struct sched_list *from_list = state_list(s, r->state), *to_list = state_list(s, to);
    if (from_list != NULL) list_remove(from_list, r);
    if (to == SCHED_QUEUED) queue_insert(to_list, r);
    else if (to_list != NULL) list_append(to_list, r);
    s->n_state[r->state]--;
    s->n_state[to]++;
    if (r->state == SCHED_FLIGHT && r->fresh) {
        r->fresh = false;
        s->n_fresh--;
    }
    if (r->state == SCHED_PREFILL && to == SCHED_FLIGHT) {
        r->fresh = true;
        s->n_fresh++;
    }
    r->state = to;
}

/* ---- life ---- */

struct sched *sched_create(const struct sched_config *config) {
    assert(config->n_stage >= 1 && config->n_stage <= REQUEST_MAX_HOPS);
    assert(config->n_seq >= 1 && config->n_seq <= FRAME_MAX_SEQ && config->n_seq <= FRAME_MAX_OPS);
    assert(config->n_batch >= 1 && config->n_batch <= FRAME_MAX_TOKENS && config->n_ctx_seq >= 1);
    struct sched *s = MEM_NEW(struct sched);
    s->config = *config;
    struct sched_config *c = &s->config;
    if (c->n_ctx_seq > c->n_ctx) c->n_ctx_seq = c->n_ctx;
    if (c->n_credit == 0) c->n_credit = sched_policy_credit(c->n_stage);
    s->slots = mem_calloc(c->n_seq, sizeof(*s->slots));
    s->flights = mem_calloc(c->n_credit, sizeof(*s->flights));
    for (uint32_t i = 0; i < c->n_credit; i++) {
        s->flights[i].parts = mem_calloc(c->n_seq, sizeof(*s->flights[i].parts));
        s->flights[i].expect = mem_calloc(c->n_batch, sizeof(*s->flights[i].expect));
    }
    s->history = mem_calloc((size_t)c->n_seq * c->n_ctx_seq, sizeof(*s->history));
    for (uint32_t i = 0; i < c->n_seq; i++) {
        s->slots[i].tokens = s->history + (size_t)i * c->n_ctx_seq;
        s->slots[i].frame = UINT32_MAX;
        s->slots[i].last = (struct result_last){-1, -1};
    }
    s->ops = mem_calloc(FRAME_MAX_OPS, sizeof(*s->ops));
    s->tokens = mem_calloc(c->n_batch, sizeof(*s->tokens));
    s->rows = mem_calloc(c->n_batch, sizeof(*s->rows));
    s->results = mem_calloc(c->n_batch, sizeof(*s->results));
    s->answered = mem_calloc(c->n_batch, sizeof(*s->answered));
    sched_time_init(&s->time, c->n_stage);
    sched_marks_init(&s->marks);
    s->items_cap = 4 * (size_t)c->n_seq + 16;
    s->items = mem_calloc(s->items_cap, sizeof(*s->items));
    return s;
}

static void req_free(struct sched_req *r) {
    if (r == NULL) return;
    request_done(&r->request);
    sched_spec_done(&r->spec);
    free(r->joined);
    free(r->hops);
    free(r->why);
    free(r);
}

static void list_free(struct sched_list *l) {
    for (struct sched_req *r = l->first, *next; r != NULL; r = next) {
        next = r->next;
        req_free(r);
    }
}

void sched_free(struct sched *s) {
    if (s == NULL) return;
    for (uint32_t i = 0; i < s->config.n_seq; i++)
        if (s->slots[i].req != NULL && s->slots[i].req->state == SCHED_FLIGHT) req_free(s->slots[i].req);
    list_free(&s->queue);
    list_free(&s->prefill);
    list_free(&s->ready);
    list_free(&s->ended);
    for (size_t i = s->item_first; i < s->n_items; i++) free(s->items[i].why);
    for (uint32_t i = 0; i < s->config.n_credit; i++) {
        free(s->flights[i].parts);
        free(s->flights[i].expect);
    }
    request_eval_done(&s->eval);
    sched_marks_done(&s->marks);
    sched_stored_done(&s->store);
    free(s->delivered_why);
    free(s->broken);
    free(s->items);
    sched_turns_done(&s->turns);
    free(s->answered);
    free(s->results);
    free(s->tokens);
    free(s->rows);
    free(s->ops);
    free(s->flights);
    free(s->history);
    free(s->slots);
    free(s);
}

/* ---- actions waiting to be pulled ---- */

/* A new item at the end; valid until the next push. */
struct sched_item *sched_push(struct sched *s, enum sched_action_kind kind) {
    if (s->n_items == s->items_cap) {
        s->items_cap *= 2;
        s->items = mem_realloc(s->items, s->items_cap, sizeof(*s->items));
    }
    struct sched_item *it = &s->items[s->n_items++];
    memset(it, 0, sizeof(*it));
    it->kind = kind;
    return it;
}

void sched_push_event(struct sched *s, struct sched_req *r, enum request_event_kind kind) {
    struct sched_item *it = sched_push(s, SCHED_ACTION_EVENT);
    it->event = kind;
    it->req = r;
    it->id = r->request.id;
}

/* ---- the end of a request ---- */

static void end_common(struct sched *s, clock_us now, struct sched_req *r, bool keep) {
    if (r->state != SCHED_QUEUED) {
        sched_slot_release(s, r->slot, keep);
        s->kv_reserved -= r->kv;
        s->n_alone -= r->alone > 0;
    }
    r->ended = now;
    sched_set_state(s, r, SCHED_END);
}

void sched_end(struct sched *s, clock_us now, struct sched_req *r, enum request_finish finish) {
    end_common(s, now, r, true);
    r->finish = finish;
    sched_push_event(s, r, REQUEST_DONE);
}

static struct err *err_copy(const struct err *why) {
    struct err *copy = mem_alloc(sizeof(*copy));
    *copy = *why;
    return copy;
}

static void fail(struct sched *s, clock_us now, struct sched_req *r, const struct err *why, bool keep) {
    end_common(s, now, r, keep);
    r->why = err_copy(why);
    sched_push_event(s, r, REQUEST_FAILED);
}

void sched_fail(struct sched *s, clock_us now, struct sched_req *r, const struct err *why) { fail(s, now, r, why, true); }

void sched_fail_dirty(struct sched *s, clock_us now, struct sched_req *r, const struct err *why) { fail(s, now, r, why, false); }

void sched_eval_end(struct sched *s, bool cancelled, const struct err *why) {
    if (s->eval_state == SCHED_EVAL_RUNNING) sched_slot_release(s, 0, false);
    struct sched_item *it = sched_push(s, SCHED_ACTION_EVENT);
    it->event = why != NULL ? REQUEST_FAILED : REQUEST_DONE;
    it->id = s->eval.id;
    it->cancelled = cancelled;
    it->why = why != NULL ? err_copy(why) : NULL;
    request_eval_done(&s->eval);
    s->eval_state = SCHED_EVAL_NONE;
}

/* ---- inputs ---- */

static struct sched_req *find(struct sched *s, uint64_t id) {
    for (struct sched_req *r = s->queue.first; r != NULL; r = r->next)
        if (r->request.id == id) return r;
    for (uint32_t i = 0; i < s->config.n_seq; i++)
        if (s->slots[i].req != NULL && s->slots[i].req->request.id == id) return s->slots[i].req;
    return NULL;
}

static bool id_used(struct sched *s, uint64_t id) { return find(s, id) != NULL || (s->eval_state != SCHED_EVAL_NONE && s->eval.id == id); }

static err_code check_tokens(const struct sched *s, const int32_t *tokens, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (s->config.n_vocab != 0 && (uint32_t)tokens[i] >= s->config.n_vocab))
            return err_set(e, ERR_INVALID, "token %d is not in the vocabulary of %u", tokens[i], s->config.n_vocab);
    return ERR_OK;
}

static err_code check_open(const struct sched *s, struct err *e) {
    if (s->broken != NULL) {
        if (e != NULL) *e = *s->broken;
        return s->broken->code;
    }
    return s->draining ? err_set(e, ERR_UNAVAILABLE, "the model is being unloaded") : ERR_OK;
}

/* The most tokens that the request may generate: the number that it asks for, limited by the context. */
static uint32_t completion_limit(const struct sched *s, const struct request *r) {
    if (r->embed) return 0;
    uint32_t room = s->config.n_ctx_seq - (uint32_t)r->n_tokens;
    return r->max_tokens < 0 || (uint32_t)r->max_tokens > room ? room : (uint32_t)r->max_tokens;
}

static uint32_t cells_wanted(const struct sched *s, const struct request *r) { return (uint32_t)r->n_tokens + completion_limit(s, r); }

/* Requests that wait and take a place from this one: those in the background take none from others. */
static uint32_t waiting_beside(const struct sched *s, const struct request *r) {
    uint32_t n = 0;
    for (const struct sched_req *q = s->queue.first; q != NULL; q = q->next)
        n += q->request.priority > QUEUE_BACKGROUND || r->priority <= QUEUE_BACKGROUND;
    return n;
}

/* Would the request get a slot without waiting, or as soon as those in the background give way? */
static bool has_room(const struct sched *s, const struct request *r) {
    const struct sched_req *first = s->queue.first;
    uint32_t slots = s->n_owned, cells = s->kv_reserved;
    for (uint32_t i = 0; i < s->config.n_seq && r->priority > QUEUE_BACKGROUND; i++) {
        const struct sched_req *q = s->slots[i].req;
        if (q == NULL || q->request.priority > QUEUE_BACKGROUND) continue;
        slots--;
        cells -= q->kv;
    }
    return slots < s->config.n_seq && (first == NULL || first->request.priority < r->priority) && s->eval_state == SCHED_EVAL_NONE &&
           cells_wanted(s, r) <= s->config.n_ctx - cells;
}

static err_code check_request(struct sched *s, const struct request *r, struct err *e) {
    err_code code = check_open(s, e);
    if (code != ERR_OK) return code;
    const struct sched_config *c = &s->config;
    if (r->tokens == NULL || r->n_tokens == 0) return err_set(e, ERR_INVALID, "the prompt is empty");
    if (r->embed != c->embeds) {
        err_set(e, ERR_UNSUPPORTED, "%s",
                r->embed ? "the model writes text: it gives no embeddings" : "the model gives embeddings: it writes no text");
        if (r->embed) err_hint(e, "load an embedding model, or this one once more with --pooling last");
        return ERR_UNSUPPORTED;
    }
    uint32_t most = c->at_once && c->n_batch < c->n_ctx_seq ? c->n_batch : c->n_ctx_seq;
    if (r->embed && r->n_tokens > most)
        return err_set(e, ERR_LIMIT, "the text has %zu tokens, the model takes %u at most", r->n_tokens, most);
    if (!r->embed && (r->n_tokens + (r->max_tokens != 0) > c->n_ctx_seq || r->n_generated > c->n_ctx_seq - r->n_tokens)) {
        err_set(e, ERR_LIMIT, "the prompt has %zu tokens: the context of %u has no room for an answer", r->n_tokens + r->n_generated,
                c->n_ctx_seq);
        err_hint(e, "shorten the prompt, or load the model with a larger context (--ctx)");
        return ERR_LIMIT;
    }
    if ((code = sched_rows_check(r, c->n_vocab, c->n_batch, e)) != ERR_OK ||
        (code = check_tokens(s, r->generated, r->n_generated, e)) != ERR_OK) {
        return code;
    }
    if (id_used(s, r->id)) return err_set(e, ERR_INVALID, "request %llu is running already", (unsigned long long)r->id);
    uint32_t beside = waiting_beside(s, r);
    if (beside >= c->n_queue && !has_room(s, r)) return err_set(e, ERR_BUSY, "%u requests are waiting already", beside);
    return ERR_OK;
}

static void join_input(struct sched_req *r) {
    const struct request *q = &r->request;
    free(r->joined);
    r->joined = NULL;
    r->n_input = (uint32_t)(q->n_tokens + q->n_generated);
    r->input = q->tokens;
    if (q->n_generated > 0) {
        r->input = r->joined = mem_calloc(r->n_input, sizeof(*r->joined));
        memcpy(r->joined, q->tokens, q->n_tokens * sizeof(*r->joined));
        memcpy(r->joined + q->n_tokens, q->generated, q->n_generated * sizeof(*r->joined));
    }
}

/* ---- giving way ---- */

/* Can it stop now? Not while a token of it is in flight. Texts that become vectors, and scores, would have to begin anew. */
static bool can_stop(const struct sched_req *r) {
    const struct request *q = &r->request;
    bool between = r->state == SCHED_READY || (r->state == SCHED_PREFILL && !r->returns);
    return q->priority <= QUEUE_BACKGROUND && !q->embed && !q->score && r->alone == 0 && between;
}

/* It goes on later after all tokens so far, as if it had been sent again with these. */
static void stop(struct sched *s, struct sched_req *r) {
    struct request *q = &r->request;
    const int32_t *sent = s->slots[r->slot].tokens + q->n_tokens;
    log_debug("sched", "request %llu gives way: nobody waits for it", (unsigned long long)q->id);
    if (r->state == SCHED_READY) {
        q->generated = mem_realloc(q->generated, r->n_completion, sizeof(*q->generated));
        for (; q->n_generated + 1 < r->n_completion; q->n_generated++) q->generated[q->n_generated] = sent[q->n_generated];
        q->generated[q->n_generated++] = r->next_token;
        join_input(r);
    }
    sched_slot_release(s, r->slot, true);
    s->kv_reserved -= r->kv;
    r->n_sent = r->n_cached = r->marked = r->shared = 0;
    r->rooted = r->follows = false;
    r->mark_at = SCHED_MARK_NONE;
    r->mark_key = r->stored_key = 0;
    sched_set_state(s, r, SCHED_QUEUED);
}

/* The one that came last stops first. */
static struct sched_req *next_to_stop(const struct sched *s) {
    struct sched_req *last = NULL;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        struct sched_req *r = s->slots[i].req;
        if (r != NULL && can_stop(r) && (last == NULL || r->number > last->number)) last = r;
    }
    return last;
}

void sched_yield_to(struct sched *s, const struct sched_req *r) {
    uint32_t slots = s->config.n_seq - s->n_owned, cells = s->config.n_ctx - s->kv_reserved;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        const struct sched_req *q = s->slots[i].req;
        if (q == NULL || !can_stop(q)) continue;
        slots++;
        cells += q->kv;
    }
    if (r->request.priority <= QUEUE_BACKGROUND || slots == 0 || cells < r->kv) return;
    while (s->n_owned == s->config.n_seq || s->config.n_ctx - s->kv_reserved < r->kv) stop(s, next_to_stop(s));
}

err_code sched_submit(struct sched *s, clock_us now, struct request *request, struct err *e) {
    if (s->broken == NULL) sched_slot_admit(s, now);
    err_code code = check_request(s, request, e);
    if (code != ERR_OK) return code;
    struct sched_req *r = MEM_NEW(struct sched_req);
    r->request = *request;
    memset(request, 0, sizeof(*request));
    request_init(request);
    const struct request *q = &r->request;
    join_input(r);
    r->n_completion = (uint32_t)q->n_generated;
    r->max_completion = completion_limit(s, q);
    r->kv = cells_wanted(s, q);
    r->submitted = now;
    r->alone = q->alone ? REQUEST_ALONE_TOKENS : 0;
    r->hops = mem_calloc(s->config.n_stage, sizeof(*r->hops));
    for (uint32_t i = 0; i < s->config.n_stage; i++) r->hops[i].stage = i;
    r->mark_at = SCHED_MARK_NONE;
    if (s->queue.first == NULL) sched_turns_clear(&s->turns);
    r->number = sched_turns_take(&s->turns, q->key, r->kv);
    r->state = SCHED_QUEUED;
    s->n_state[SCHED_QUEUED]++;
    queue_insert(&s->queue, r);
    if (!q->embed && q->n_generated > 0 && r->n_completion >= r->max_completion) { /* nothing is left to generate */
        sched_push_event(s, r, REQUEST_STARTED);
        sched_end(s, now, r, REQUEST_FINISH_LENGTH);
    }
    sched_slot_admit(s, now);
    return ERR_OK;
}

void sched_cancel(struct sched *s, clock_us now, uint64_t id) {
    struct sched_req *r = find(s, id);
    if (r != NULL) sched_end(s, now, r, REQUEST_FINISH_CANCELLED);
    else if (s->eval_state != SCHED_EVAL_NONE && s->eval.id == id) sched_eval_end(s, true, NULL);
}

err_code sched_eval(struct sched *s, clock_us now, struct request_eval *ev, struct err *e) {
    err_code code = check_open(s, e);
    if (code != ERR_OK || (code = check_tokens(s, ev->tokens, ev->n_tokens, e)) != ERR_OK) return code;
    const struct sched_config *c = &s->config;
    if (s->eval_state != SCHED_EVAL_NONE) return err_set(e, ERR_BUSY, "another evaluation is running");
    if (id_used(s, ev->id)) return err_set(e, ERR_INVALID, "request %llu is running already", (unsigned long long)ev->id);
    if (ev->n_batches == 0 || ev->n_tokens > c->n_ctx_seq)
        return err_set(e, ERR_LIMIT, "the evaluation has %u tokens, the context holds %u", ev->n_tokens, c->n_ctx_seq);
    for (size_t i = 0; i < ev->n_batches; i++) {
        const struct request_eval_batch *b = &ev->batches[i];
        uint64_t bytes =
            (uint64_t)b->n_logits * (FIELD_SIZE(result) + (uint64_t)c->n_vocab * 4) + (uint64_t)c->n_stage * FIELD_SIZE(wire_trace);
        if (b->n_tokens > c->n_batch || bytes > frame_max_payload(FRAME_TOKENS)) {
            return err_set(e, ERR_LIMIT, "batch %zu of the evaluation: %u tokens, %llu bytes of logits; at most %u tokens, %u bytes", i,
                           b->n_tokens, (unsigned long long)bytes, c->n_batch, frame_max_payload(FRAME_TOKENS));
        }
    }
    s->eval = *ev;
    request_eval_init(ev);
    s->eval_state = SCHED_EVAL_WAITING;
    s->eval_sent = s->eval_answered = s->eval_pos = 0;
    s->eval_submitted = now;
    return ERR_OK;
}

void sched_fault_seq(struct sched *s, clock_us now, uint32_t seq, uint32_t generation, const struct err *why) {
    if (seq < s->config.n_seq && s->slots[seq].req != NULL && s->slots[seq].generation == generation)
        sched_fail(s, now, s->slots[seq].req, why);
}

void sched_fail_all(struct sched *s, clock_us now, const struct err *why) {
    for (uint32_t i = 0; i < s->config.n_seq; i++)
        if (s->slots[i].req != NULL) sched_fail_dirty(s, now, s->slots[i].req, why);
    while (s->queue.first != NULL) sched_fail(s, now, s->queue.first, why);
    if (s->eval_state != SCHED_EVAL_NONE) sched_eval_end(s, false, why);
    if (s->broken == NULL) s->broken = err_copy(why);
    s->n_flight = s->n_flight_decode = s->n_flight_guesses = 0;
}

void sched_drain(struct sched *s) { s->draining = true; }

/* ---- actions ---- */

static void fill_done(const struct sched *s, const struct sched_req *r, struct request_event *ev) {
    ev->finish = r->finish;
    ev->draft_tokens = r->spec.n_sent;
    ev->draft_accepted = r->spec.n_accepted;
    ev->mtp_tokens = r->spec.n_own_sent;
    ev->mtp_accepted = r->spec.n_own_accepted;
    ev->small_tokens = r->spec.n_small_sent;
    ev->small_accepted = r->spec.n_small_accepted;
    ev->n_hop = s->config.n_stage;
    memcpy(ev->hops, r->hops, s->config.n_stage * sizeof(*r->hops));
    clock_us admitted = r->admitted != 0 ? r->admitted : r->ended;
    clock_us first = r->first_token != 0 ? r->first_token : r->ended;
    ev->queued_us = admitted - r->submitted;
    ev->prefill_us = first - admitted;
    ev->decode_us = r->ended - first;
}

static void fill_token(const struct sched_item *it, struct request_event *ev) {
    ev->token = it->sample.token;
    ev->logprob = it->sample.logprob;
    ev->completion_tokens = it->completion;
    ev->n_top = it->sample.n_top;
    for (size_t i = 0; i < ev->n_top; i++) {
        ev->top[i].token = it->sample.top[i].token;
        ev->top[i].logprob = it->sample.top[i].logprob;
        ev->top[i].piece_len = 0;
    }
}

static void fill_event(struct sched *s, struct sched_item *it) {
    struct request_event *ev = &s->event;
    request_event_init(ev, it->id, it->event);
    ev->finish = it->cancelled ? REQUEST_FINISH_CANCELLED : REQUEST_FINISH_STOP;
    const struct sched_req *r = it->req;
    if (r != NULL) {
        ev->prompt_tokens = (uint32_t)r->request.n_tokens;
        ev->completion_tokens = r->n_completion;
        ev->cached_tokens = r->n_cached_first < ev->prompt_tokens ? r->n_cached_first : ev->prompt_tokens;
    }
    const struct err *why = r != NULL ? r->why : it->why;
    ev->vector = it->vector;
    ev->n_vector = it->n_vector;
    if (ev->kind == REQUEST_TOKEN || ev->kind == REQUEST_SCORE) fill_token(it, ev);
    else if (ev->kind == REQUEST_DONE && r != NULL) fill_done(s, r, ev);
    else if (ev->kind == REQUEST_FAILED) ev->err = *why;
    if (ev->kind == REQUEST_DONE || ev->kind == REQUEST_FAILED) {
        s->delivered = it->req;
        s->delivered_why = it->why;
    }
}

static void fill_action(struct sched *s, struct sched_item *it, struct sched_action *ret) {
    *ret = (struct sched_action){.kind = it->kind};
    switch (it->kind) {
    case SCHED_ACTION_OPEN:
        ret->id = it->id;
        ret->seq = it->seq;
        ret->generation = it->generation;
        ret->request = &it->req->request;
        break;
    case SCHED_ACTION_EVENT:
        fill_event(s, it);
        ret->event = &s->event;
        ret->request = it->req != NULL ? &it->req->request : NULL;
        break;
    case SCHED_ACTION_LOGITS:
        ret->id = it->id;
        ret->batch = it->batch;
        ret->results = s->results;
        ret->n_results = s->n_results;
        break;
    default: break;
    }
}

static void free_delivered(struct sched *s) {
    if (s->delivered != NULL) {
        list_remove(&s->ended, s->delivered);
        s->n_state[SCHED_END]--;
        req_free(s->delivered);
        s->delivered = NULL;
    }
    free(s->delivered_why);
    s->delivered_why = NULL;
}

bool sched_next(struct sched *s, clock_us now, struct sched_action *ret) {
    free_delivered(s);
    if (s->item_first == s->n_items) {
        s->item_first = s->n_items = 0;
        if (s->broken == NULL) sched_slot_admit(s, now);
    }
    if (s->item_first < s->n_items) {
        fill_action(s, &s->items[s->item_first++], ret);
        return true;
    }
    return s->broken == NULL && sched_frame_build(s, now, ret);
}

/* ---- counts ---- */

void sched_count(const struct sched *s, struct sched_counts *ret) {
    *ret = (struct sched_counts){.queued = s->n_state[SCHED_QUEUED],
                                 .in_flight = s->n_flight,
                                 .slots_free = s->config.n_seq - s->n_owned,
                                 .slots_kept = s->n_kept,
                                 .kv_reserved = s->kv_reserved,
                                 .kv_kept = s->kv_kept,
                                 .frames = s->n_frames,
                                 .tokens = s->n_tokens,
                                 .reused = s->n_reused};
    ret->running = s->n_state[SCHED_PREFILL] + s->n_state[SCHED_FLIGHT] + s->n_state[SCHED_READY];
}

bool sched_idle(const struct sched *s) {
    bool clean = s->n_owned == 0 && s->n_dirty == 0 && s->n_ops == 0;
    return (clean || s->broken != NULL) && s->n_state[SCHED_QUEUED] == 0 && s->n_flight == 0 && s->eval_state == SCHED_EVAL_NONE &&
           s->item_first == s->n_items && !sched_store_pending(s);
}

uint32_t sched_slot_held(const struct sched *s, uint32_t slot) { return s->slots[slot].n; }
