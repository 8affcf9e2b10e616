/* SPDX-License-Identifier: MIT
 * The work of a call whose answer is text. See choice.h. */
#include "requests/call_carry.h"
#include "requests/call_queue.h"
#include "requests/call_route.h"
#include "requests/call_trace.h"
#include "requests/choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/find.h"
#include "os/os.h"

/* ---- tokens for logprobs ---- */

static void free_tokens(struct api_token *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) free(tokens[i].block);
}

static void free_pending(struct choice *c) {
    free_tokens(c->pending, c->n_pending);
    free(c->pending);
    c->pending = NULL;
    c->n_pending = c->cap_pending = 0;
}

static void free_scored(struct choice *c) {
    free_tokens(c->scored, c->n_scored);
    free(c->scored);
    c->scored = NULL;
    c->n_scored = c->cap_scored = 0;
}

void choice_give(struct choice *c, const struct buf *text) {
    struct call *call = c->call;
    size_t n = 0;
    while (n < c->n_pending && c->pending[n].text_end <= c->filter.given) n++;
    /* The token that a stop string cuts through may be left for last, without text. */
    if (c->says) buf_append(&c->said, text->data, text->len);
    if (text->len == 0 && !(n > 0 && c->filter.stopped)) return;
    struct api_event ev = {.kind = API_TEXT,
                           .choice = c->index,
                           .text = text->len > 0 ? (const char *)text->data : "",
                           .len = text->len,
                           .start = c->filter.given - text->len,
                           .tokens = c->pending,
                           .n_tokens = n};
    call_emit(call, &ev);
    if (!call_collects(call)) free_tokens(c->pending, n);
    c->n_pending -= n;
    if (n > 0) memmove(c->pending, c->pending + n, c->n_pending * sizeof(*c->pending));
}

/* A token with its alternatives; one block holds them and all pieces. */
static struct api_token copy_token(const struct request_event *ev, size_t text_start, size_t text_end) {
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
                          .text_end = text_end,
                          .block = top};
    memcpy(at, ev->piece, ev->piece_len);
    at += ev->piece_len;
    for (uint32_t i = 0; i < ev->n_top; i++) {
        top[i] = (struct api_top){.piece = at, .len = ev->top[i].piece_len, .logprob = ev->top[i].logprob};
        memcpy(at, ev->top[i].piece, ev->top[i].piece_len);
        at += ev->top[i].piece_len;
    }
    return t;
}

static void append_token(struct api_token **tokens, size_t *n, size_t *cap, struct api_token t) {
    if (*n == *cap) {
        *cap = *cap == 0 ? 8 : 2 * *cap;
        *tokens = mem_realloc(*tokens, *cap, sizeof(**tokens));
    }
    (*tokens)[(*n)++] = t;
}

void choice_keep(struct choice *c, const struct request_event *ev, size_t text_start) {
    append_token(&c->pending, &c->n_pending, &c->cap_pending, copy_token(ev, text_start, text_filter_seen(&c->filter)));
}

void choice_cut(struct choice *c) {
    while (c->n_pending > 0 && c->pending[c->n_pending - 1].text_start >= c->filter.given) free(c->pending[--c->n_pending].block);
    for (size_t i = 0; i < c->n_pending; i++)
        if (c->pending[i].text_end > c->filter.given) c->pending[i].text_end = c->filter.given;
}

/* ---- text where all is content ---- */

static bool plain_token(struct choice *c, const struct request_event *ev) {
    struct buf *text = &c->call->gateway->requests->text;
    size_t text_start = text_filter_seen(&c->filter), len = ev->control ? 0 : ev->piece_len; /* markup is not for readers */
    buf_clear(text);
    bool stopped = text_filter_push(&c->filter, ev->piece, len, text);
    if (c->call->request.logprobs && len > 0) choice_keep(c, ev, text_start);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

static bool plain_finish(struct choice *c) {
    struct buf *text = &c->call->gateway->requests->text;
    buf_clear(text);
    bool stopped = text_filter_finish(&c->filter, text);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

/* ---- the prompt, given back ---- */

/* A token of the prompt. Its text is the next piece of the prompt's. */
static void take_score(struct choice *c, const struct request_event *ev) {
    size_t start = c->n_scored > 0 ? c->scored[c->n_scored - 1].text_end : 0;
    struct api_token t = copy_token(ev, start, start + ev->piece_len);
    t.unknown = c->n_scored == 0;
    append_token(&c->scored, &c->n_scored, &c->cap_scored, t);
}

/* What the tokenizer puts before a text (a begin-of-text token, a blank) is none of it: the places of the tokens are those without it. */
static void shift_scored(struct choice *c, size_t len) {
    size_t n = c->n_scored, end = n > 0 ? c->scored[n - 1].text_end : 0, front = end > len ? end - len : 0;
    for (size_t i = 0; i < n; i++) {
        struct api_token *t = &c->scored[i];
        t->text_start = t->text_start > front ? t->text_start - front : 0;
        t->text_end = t->text_end > front ? t->text_end - front : 0;
    }
}

/* Gives the prompt, once, with echo: a text at once, tokens when all of them are here. */
static void give_prompt(struct choice *c) {
    const struct api_request *r = &c->call->request;
    const struct api_prompt *p = &r->prompts[c->index / r->n];
    if (!r->echo || c->prompt_given || (r->scores && c->n_scored < c->prompt_tokens)) return;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    if (p->text != NULL) shift_scored(c, p->len);
    for (size_t i = 0; p->text == NULL && i < c->n_scored; i++) buf_append(&text, c->scored[i].piece, c->scored[i].len);
    struct api_event ev = {.kind = API_PROMPT,
                           .choice = c->index,
                           .text = p->text != NULL ? p->text : buf_cstr(&text),
                           .len = p->text != NULL ? p->len : text.len,
                           .tokens = c->scored,
                           .n_tokens = r->logprobs ? c->n_scored : 0};
    call_emit(c->call, &ev);
    if (call_collects(c->call) && r->logprobs) c->n_scored = 0; /* the answer has them now */
    free_scored(c);
    buf_done(&text);
    c->prompt_given = true;
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
        .media = r->media,
        .n_media = r->n_media,
        .tokens = (int32_t *)(uintptr_t)p->tokens,
        .n_tokens = p->n_tokens,
        .generated = c->tokens,
        .n_generated = c->n_tokens,
        .max_tokens = r->max_tokens,
        .ignore_eos = r->ignore_eos,
        .score = r->scores && !c->prompt_given,
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
    give_prompt(c);
}

/* The token that ended the text has no text, and stands last among those with log probabilities. */
static void give_end(struct choice *c) {
    if (!c->prompt_given || c->n_scored == 0) return;
    c->scored[0].text_start = c->scored[0].text_end = c->filter.given;
    c->scored[0].unknown = false;
    struct api_event ev = {.kind = API_TEXT,
                           .choice = c->index,
                           .text = "",
                           .start = c->filter.given,
                           .tokens = c->scored,
                           .n_tokens = c->call->request.logprobs};
    call_emit(c->call, &ev);
    if (call_collects(c->call) && ev.n_tokens > 0) c->n_scored = 0; /* the answer has it now */
    free_scored(c);
}

/* The choice is complete. The call may be gone afterwards. */
static void choice_finish(struct choice *c, enum api_finish finish) {
    struct api_choice_text *text = &c->call->answer.choices[c->index];
    give_end(c);
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
    call_trace_over(c->call, &c->attempt, NULL);
    choice_finish(c, API_FINISH_STOP);
}

static void take_times(struct api_usage *u, const struct request_event *ev) {
    u->draft_tokens += ev->draft_tokens;
    u->draft_accepted += ev->draft_accepted;
    u->mtp_tokens += ev->mtp_tokens;
    u->mtp_accepted += ev->mtp_accepted;
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
    metrics_ring(&c->call->gateway->metrics, c->call->model, ev);
    metrics_observe(&c->call->gateway->metrics, METRIC_PREFILL, (clock_us)ev->prefill_us);
    metrics_observe(&c->call->gateway->metrics, METRIC_DECODE, (clock_us)ev->decode_us);
    call_queue_learn(c->call, ev);
    bool stopped = c->output != NULL ? choice_output_finish(c, ev->finish == REQUEST_FINISH_LENGTH) : plain_finish(c);
    if (c->output != NULL && c->call->begins_freely && (ev->finish != REQUEST_FINISH_LENGTH || output_unopened(c->output)))
        habits_learn(c->call->gateway->requests->habits, c->call->model, output_unopened(c->output));
    choice_finish(c, finish_of(c, ev, stopped));
}

static void choice_lost(struct choice *c, const struct err *why);

static void take_event(struct choice *c, const struct request_event *ev) {
    if (c->finished) return;
    if (ev->kind != REQUEST_FAILED) replay_runs(c->replay, ev->kind == REQUEST_TOKEN);
    if (request_event_is_last(ev)) call_trace_done(c->call, &c->attempt, ev);
    switch (ev->kind) {
    case REQUEST_STARTED:
        choice_count(c, ev);
        choice_begin(c);
        break;
    case REQUEST_TOKEN:
        call_trace_token(c->call, &c->attempt);
        choice_begin(c);
        on_token(c, ev);
        break;
    case REQUEST_SCORE:
        choice_count(c, ev);
        choice_begin(c);
        take_score(c, ev);
        give_prompt(c);
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

static void on_backend_event(void *user, const struct request_event *ev) {
    struct choice *c = user;
    struct log_request before = call_enter(c->call);
    take_event(c, ev);
    log_leave(&before);
}

/* ---- sending ---- */

static err_code choice_send(void *user, struct err *e) {
    struct choice *c = user;
    struct backend *b = &c->call->gateway->backend;
    struct request r;
    free_scored(c); /* those of a place that was lost come again */
    choice_journal(c, &r);
    r.alone = replay_is_suspect(c->replay);
    r.session = c->call->route.session;
    call_rank(c->call, &r);
    call_trace_sent(c->call, &c->attempt, &r);
    err_code code = b->submit(b->self, &r, on_backend_event, c, &c->running, e);
    if (code == ERR_OK) call_placed(c->call, c->running, c->replay != NULL);
    if (code == ERR_OK) call_trace_placed(c->call, &c->attempt, c->running);
    else call_trace_over(c->call, &c->attempt, e);
    return code;
}

/* No copy of the model is left, and an upstream that serves it goes on. The choice is gone then. */
static bool choice_leave(void *user, const struct err *why) {
    struct choice *c = user;
    struct call *call = c->call;
    const struct backend_model *model = NULL;
    struct err e = *why; /* its owner goes with the choice */
    if (!c->says || !c->only_text || c->finished || !call_carry_may(call)) return false;
    if (gateway_find_model(call->gateway, call->model, &model, NULL) == ERR_OK && model->ready) return false;
    struct api_usage used = call->answer.usage;
    if (!call_route_same(call, e.code, false)) return false;
    call->charged.prompt_tokens += used.prompt_tokens;
    call->charged.cached_tokens += used.cached_tokens;
    call->charged.completion_tokens += used.completion_tokens;
    buf_append(&c->said, c->filter.held.data, c->filter.held.len);
    call_carry(call, &c->filter, &call->answer.choices[c->index], &c->said, c->completion_tokens);
    call_go_on(call, &e);
    return true;
}

static void choice_give_up(void *user, err_code code, const struct err *e) { call_fail(((struct choice *)user)->call, code, e); }

/* The choice is sent again, with the tokens that the client has already; the client only sees a pause. */
static void choice_lost(struct choice *c, const struct err *why) {
    struct call *call = c->call;
    if (call_route_leaves(call, why->code)) {
        call_fail(call, why->code, why);
        return;
    }
    const struct replay_owner owner = {
        .model = call->model, .what = call->answer.id, .user = c, .send = choice_send, .leave = choice_leave, .fail = choice_give_up};
    replay_lost(&c->replay, call->gateway, &owner, why);
}

static uint64_t random_u64(void) {
    uint64_t n;
    os_random(&n, sizeof(n));
    return n;
}

/* A choice that began elsewhere has its filter and its text already. */
static void choice_carry(struct choice *c, struct api_choice_text *text) {
    struct call *call = c->call;
    c->begun = call_carry_on(call, &c->filter, text, &c->said);
    c->says = call->request.stream && call_route_has_same(call);
    c->only_text = true;
    if (c->begun) return;
    buf_init(&c->said, SIZE_MAX - 1); /* bounded by the context */
    text_filter_init(&c->filter, call->request.stops, call->request.n_stops);
    api_choice_init(text);
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
        choice_carry(c, &a->choices[i]);
        choice_output_open(c);
    }
}

static void choices_free(struct call *call) {
    struct backend *b = &call->gateway->backend;
    struct api_answer *a = &call->answer;
    for (uint32_t i = 0; i < a->n_choices; i++) {
        struct choice *c = &call->choices[i];
        if (c->running != NULL) b->cancel(b->self, c->running);
        call_trace_over(call, &c->attempt, NULL);
        replay_free(c->replay);
        text_filter_done(&c->filter);
        choice_output_close(c);
        free_pending(c);
        free_scored(c);
        free(c->tokens);
        buf_done(&c->said);
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
        if (code != ERR_OK && (!replay_may(call->gateway, code) || call_route_leaves(call, code))) return code;
        call->n_running++;
        if (code != ERR_OK) choice_lost(c, e); /* the model was ready a moment ago */
    }
    return ERR_OK;
}

const struct call_work call_work_text = {.start = choices_start, .free = choices_free};
