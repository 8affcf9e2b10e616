/* SPDX-License-Identifier: MIT
 * The work of a call whose answer is text. See choice.h. */
#include "gateway/choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "os/os.h"

/* ---- tokens for logprobs ---- */

static void free_pending(struct choice *c) {
    for (size_t i = 0; i < c->n_pending; i++) free(c->pending[i].block);
    free(c->pending);
    c->pending = NULL;
    c->n_pending = c->cap_pending = 0;
}

void choice_give(struct choice *c, const struct buf *text) {
    struct call *call = c->call;
    size_t n = 0;
    while (n < c->n_pending && c->pending[n].text_end <= c->filter.given) n++;
    /* The token that a stop string cuts through may be left for last, without text. */
    if (text->len == 0 && !(n > 0 && c->filter.stopped)) return;
    struct api_event ev = {.kind = API_TEXT,
                           .choice = c->index,
                           .text = text->len > 0 ? (const char *)text->data : "",
                           .len = text->len,
                           .start = c->filter.given - text->len,
                           .tokens = c->pending,
                           .n_tokens = n};
    call_emit(call, &ev);
    for (size_t i = 0; i < n && !call_collects(call); i++) free(c->pending[i].block);
    c->n_pending -= n;
    if (n > 0) memmove(c->pending, c->pending + n, c->n_pending * sizeof(*c->pending));
}

/* One block holds a token's alternatives and all pieces. */
void choice_keep(struct choice *c, const struct request_event *ev, size_t text_start) {
    size_t bytes = ev->piece_len;
    for (uint32_t i = 0; i < ev->n_top; i++) bytes += ev->top[i].piece_len;
    struct api_top *top = mem_alloc(ev->n_top * sizeof(*top) + bytes + 1);
    char *at = (char *)(top + ev->n_top);
    struct api_token t = {.piece = at,
                          .len = ev->piece_len,
                          .logprob = ev->logprob,
                          .n_top = ev->n_top,
                          .top = top,
                          .text_start = text_start,
                          .text_end = text_filter_seen(&c->filter),
                          .block = top};
    memcpy(at, ev->piece, ev->piece_len);
    at += ev->piece_len;
    for (uint32_t i = 0; i < ev->n_top; i++) {
        top[i] = (struct api_top){.piece = at, .len = ev->top[i].piece_len, .logprob = ev->top[i].logprob};
        memcpy(at, ev->top[i].piece, ev->top[i].piece_len);
        at += ev->top[i].piece_len;
    }
    if (c->n_pending == c->cap_pending) {
        c->cap_pending = c->cap_pending == 0 ? 8 : 2 * c->cap_pending;
        c->pending = mem_realloc(c->pending, c->cap_pending, sizeof(*c->pending));
    }
    c->pending[c->n_pending++] = t;
}

void choice_cut(struct choice *c) {
    while (c->n_pending > 0 && c->pending[c->n_pending - 1].text_start >= c->filter.given) free(c->pending[--c->n_pending].block);
    for (size_t i = 0; i < c->n_pending; i++)
        if (c->pending[i].text_end > c->filter.given) c->pending[i].text_end = c->filter.given;
}

/* ---- text where all is content ---- */

static bool plain_token(struct choice *c, const struct request_event *ev) {
    struct buf *text = &c->call->gateway->text;
    size_t text_start = text_filter_seen(&c->filter), len = ev->control ? 0 : ev->piece_len; /* markup is not for readers */
    buf_clear(text);
    bool stopped = text_filter_push(&c->filter, ev->piece, len, text);
    if (c->call->request.logprobs && len > 0) choice_keep(c, ev, text_start);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

static bool plain_finish(struct choice *c) {
    struct buf *text = &c->call->gateway->text;
    buf_clear(text);
    bool stopped = text_filter_finish(&c->filter, text);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

/* ---- the journal ---- */

void choice_journal(const struct choice *c, struct request *ret) {
    const struct api_request *r = &c->call->request;
    const struct api_prompt *p = &r->prompts[c->index / r->n];
    *ret = (struct request){
        .model = c->call->model,
        .text = (char *)(uintptr_t)p->text,
        .text_len = p->len,
        .add_bos = !p->has_bos,
        .parse_special = !p->control_is_text,
        .tokens = (int32_t *)(uintptr_t)p->tokens,
        .n_tokens = p->n_tokens,
        .generated = c->tokens,
        .n_generated = c->n_tokens,
        .max_tokens = r->max_tokens,
        .ignore_eos = r->ignore_eos,
        .sampling = r->sampling,
    };
    ret->sampling.seed = c->seed;
}

static void journal_token(struct choice *c, int32_t token) {
    if (c->n_tokens == c->cap_tokens) {
        c->cap_tokens = c->cap_tokens == 0 ? 64 : 2 * c->cap_tokens;
        c->tokens = mem_realloc(c->tokens, c->cap_tokens, sizeof(*c->tokens));
    }
    c->tokens[c->n_tokens++] = token;
}

/* Raises a count of the choice, and the sum in which it counts (NULL: none). */
static void count_up(uint32_t *count, uint64_t *sum, uint32_t now) {
    if (now <= *count) return;
    if (sum != NULL) *sum += now - *count;
    *count = now;
}

static void choice_count(struct choice *c, const struct request_event *ev) {
    struct api_usage *u = &c->call->answer.usage;
    bool first = c->index % c->call->request.n == 0; /* a prompt counts once, however many choices it has */
    count_up(&c->prompt_tokens, first ? &u->prompt_tokens : NULL, ev->prompt_tokens);
    if (c->replay == NULL) count_up(&c->cached_tokens, first ? &u->cached_tokens : NULL, ev->cached_tokens); /* of the first place */
    count_up(&c->completion_tokens, &u->completion_tokens, ev->completion_tokens);
}

/* ---- events ---- */

static void choice_begin(struct choice *c) {
    if (c->begun) return;
    c->begun = true;
    struct api_event ev = {.kind = API_BEGIN, .choice = c->index, .prompt_tokens = c->prompt_tokens, .cached_tokens = c->cached_tokens};
    call_emit(c->call, &ev);
}

/* The choice is complete. The call may be gone afterwards. */
static void choice_finish(struct choice *c, enum api_finish finish) {
    struct api_choice_text *text = &c->call->answer.choices[c->index];
    c->finished = true;
    text->finish = finish;
    text->stop = c->filter.found;
    struct api_event ev = {.kind = API_FINISH, .choice = c->index, .text = "", .start = c->filter.given, .finish = finish};
    call_emit(c->call, &ev);
    call_part_done(c->call);
}

static enum api_finish finish_of(const struct choice *c, const struct request_event *ev, bool stopped) {
    if (stopped) return API_FINISH_STOP;
    if (ev->finish == REQUEST_FINISH_LENGTH || c->cut) return API_FINISH_LENGTH;
    return c->output != NULL && output_calls(c->output) > 0 ? API_FINISH_CALLS : API_FINISH_STOP;
}

static void on_token(struct choice *c, const struct request_event *ev) {
    struct backend *b = &c->call->gateway->backend;
    journal_token(c, ev->token);
    choice_count(c, ev);
    if (!(c->output != NULL ? choice_output_token(c, ev) : plain_token(c, ev))) return;
    struct backend_call *running = c->running;
    c->running = NULL;
    b->cancel(b->self, running);
    choice_finish(c, API_FINISH_STOP);
}

static void take_times(struct api_usage *u, const struct request_event *ev) {
    u->draft_tokens += ev->draft_tokens;
    u->draft_accepted += ev->draft_accepted;
    u->queued_us = ev->queued_us;
    u->prefill_us = ev->prefill_us;
    u->decode_us = ev->decode_us;
    u->n_hop = ev->n_hop < REQUEST_MAX_HOPS ? ev->n_hop : REQUEST_MAX_HOPS;
    memcpy(u->hops, ev->hops, u->n_hop * sizeof(*u->hops));
}

static void on_done(struct choice *c, const struct request_event *ev) {
    c->running = NULL;
    choice_count(c, ev);
    if (ev->finish == REQUEST_FINISH_CANCELLED) {
        struct err e = {0};
        call_fail(c->call, err_set(&e, ERR_CANCELLED, "the node stopped this request"), &e);
        return;
    }
    take_times(&c->call->answer.usage, ev);
    bool stopped = c->output != NULL ? choice_output_finish(c) : plain_finish(c);
    choice_finish(c, finish_of(c, ev, stopped));
}

static void choice_lost(struct choice *c, const struct err *why);

static void on_backend_event(void *user, const struct request_event *ev) {
    struct choice *c = user;
    if (c->finished) return;
    if (ev->kind != REQUEST_FAILED) replay_runs(c->replay, ev->kind == REQUEST_TOKEN);
    switch (ev->kind) {
    case REQUEST_STARTED:
        choice_count(c, ev);
        choice_begin(c);
        break;
    case REQUEST_TOKEN:
        choice_begin(c);
        on_token(c, ev);
        break;
    case REQUEST_VECTOR: /* only embeddings have them */ break;
    case REQUEST_DONE:
        choice_begin(c);
        on_done(c, ev);
        break;
    case REQUEST_FAILED:
        c->running = NULL;
        if (replay_may(c->call->gateway, ev->err.code)) choice_lost(c, &ev->err);
        else call_fail(c->call, ev->err.code, &ev->err);
        break;
    }
}

/* ---- sending ---- */

static err_code choice_send(void *user, struct err *e) {
    struct choice *c = user;
    struct backend *b = &c->call->gateway->backend;
    struct request r;
    choice_journal(c, &r);
    r.alone = replay_is_suspect(c->replay);
    return b->submit(b->self, &r, on_backend_event, c, &c->running, e);
}

static void choice_give_up(void *user, err_code code, const struct err *e) { call_fail(((struct choice *)user)->call, code, e); }

/* The choice is sent again, with the tokens that the client has already; the client only sees a pause. */
static void choice_lost(struct choice *c, const struct err *why) {
    const struct call *call = c->call;
    const struct replay_owner owner = {
        .model = call->model, .what = call->answer.id, .user = c, .send = choice_send, .fail = choice_give_up};
    replay_lost(&c->replay, call->gateway, &owner, why);
}

static uint64_t random_u64(void) {
    uint64_t n;
    os_random(&n, sizeof(n));
    return n;
}

static void choices_create(struct call *call) {
    const struct api_request *r = &call->request;
    struct api_answer *a = &call->answer;
    a->n_choices = (uint32_t)r->n_prompts * r->n;
    call->choices = mem_calloc(a->n_choices, sizeof(*call->choices));
    a->choices = mem_calloc(a->n_choices, sizeof(*a->choices));
    uint64_t seed = r->has_seed ? r->sampling.seed : random_u64();
    for (uint32_t i = 0; i < a->n_choices; i++) {
        struct choice *c = &call->choices[i];
        c->call = call;
        c->index = i;
        c->seed = seed + (i % r->n) * 0x9E3779B97F4A7C15u; /* the first choice has the client's own seed */
        text_filter_init(&c->filter, r->stops, r->n_stops);
        choice_output_open(c);
        api_choice_init(&a->choices[i]);
    }
}

static void choices_free(struct call *call) {
    struct backend *b = &call->gateway->backend;
    struct api_answer *a = &call->answer;
    for (uint32_t i = 0; i < a->n_choices; i++) {
        struct choice *c = &call->choices[i];
        if (c->running != NULL) b->cancel(b->self, c->running);
        replay_free(c->replay);
        text_filter_done(&c->filter);
        choice_output_close(c);
        free_pending(c);
        free(c->tokens);
        api_choice_done(&a->choices[i]);
    }
    free(a->choices);
    free(call->choices);
    a->choices = NULL;
    call->choices = NULL;
    a->n_choices = 0;
}

static err_code choices_start(struct call *call, struct err *e) {
    choices_free(call); /* of an answer that is written once more */
    choices_create(call);
    for (uint32_t i = 0; i < call->answer.n_choices; i++) {
        struct choice *c = &call->choices[i];
        err_code code = choice_send(c, e);
        if (code != ERR_OK && !replay_may(call->gateway, code)) return code;
        call->n_running++;
        if (code != ERR_OK) choice_lost(c, e); /* the model was ready a moment ago */
    }
    return ERR_OK;
}

const struct call_work call_work_text = {.start = choices_start, .free = choices_free};
