/* SPDX-License-Identifier: MIT
 * The work of a call whose target is an upstream. cloud/ sends it and reads the answer; here its events become those of the call: stop
 * strings are looked for, and nothing is shown to the client before there is something to show, so that a failure until then can still go
 * to another target. See call_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "base/mem.h"
#include "cloud/cloud.h"
#include "requests/call_account.h"
#include "requests/call_carry.h"
#include "requests/call_cloud.h"
#include "requests/call_route.h"
#include "requests/call_trace.h"

struct cloud_choice {
    struct text_filter filter;     /* stop strings */
    struct api_event begin;        /* not told yet */
    bool begun, finished;
};

struct call_cloud {
    struct call *call;
    struct cloud_call *running;    /* NULL: it has ended */
    struct call_attempt attempt;
    struct log_request name;       /* of what is asked there */
    char state[TRACE_STATE_SIZE];  /* the client's tracestate */
    struct cloud_choice *choices;  /* owned; NULL: vectors are asked for */
    struct buf said;               /* the text of the only choice, held back or not */
    size_t said_before;            /* bytes of it that another place has written */
    bool only_text;                /* it has called no tool */
};

static bool wants_vectors(const struct call *call) { return call->api->work == API_WORK_VECTORS; }

/* Billionths as the accounts of keys have them: in millionths, rounded up. */
static int64_t millionths(uint64_t cost) { return (int64_t)((cost + 999) / 1000); }

/* Adds what an upstream takes. `told`: the part of it that stands in the answer's usage. */
static void charge(struct call *call, const struct cloud_charge *c, const struct cloud_usage *told) {
    call->money += millionths(c->cost);
    call->charged.prompt_tokens += c->usage.prompt - told->prompt;
    call->charged.cached_tokens += c->usage.cached - told->cached;
    call->charged.completion_tokens += c->usage.completion - told->completion;
}

void call_cloud_leave(struct call *call) {
    struct call_cloud *w = call->cloud;
    if (w == NULL || w->running == NULL) return;
    struct cloud_call *running = w->running;
    w->running = NULL;
    struct cloud_charge c = cloud_cancel(running);
    call_trace_cloud_done(call, &w->attempt, NULL);
    charge(call, &c, &(struct cloud_usage){0});
}

static void cloud_free_work(struct call *call) {
    struct call_cloud *w = call->cloud;
    struct api_answer *a = &call->answer;
    if (w == NULL) return;
    call_cloud_leave(call);
    for (uint32_t i = 0; i < a->n_choices; i++) {
        text_filter_done(&w->choices[i].filter);
        api_choice_done(&a->choices[i]);
    }
    for (size_t i = 0; a->vectors != NULL && i < call->request.n_prompts; i++) free(a->vectors[i]);
    free(a->vectors);
    free(a->choices);
    free(w->choices);
    buf_done(&w->said);
    free(w);
    a->vectors = NULL;
    a->choices = NULL;
    a->n_choices = a->n_vector = 0;
    call->cloud = NULL;
}

/* ---- text ---- */

static void emit(struct call_cloud *w, const struct api_event *ev) {
    struct cloud_choice *c = &w->choices[ev->choice];
    if (!c->begun) {
        c->begun = true;
        call_emit(w->call, &c->begin);
    }
    call_emit(w->call, ev);
}

static void give_text(struct call_cloud *w, uint32_t choice, const struct buf *text) {
    if (text->len == 0) return;
    size_t given = w->choices[choice].filter.given;
    emit(w, &(struct api_event){
                .kind = API_TEXT, .choice = choice, .text = (const char *)text->data, .len = text->len, .start = given - text->len});
}

/* Gives text that was held back because it could have become a stop string. */
static bool give_rest(struct call_cloud *w, uint32_t choice) {
    struct buf *text = &w->call->gateway->requests->text;
    buf_clear(text);
    bool stopped = text_filter_finish(&w->choices[choice].filter, text);
    give_text(w, choice, text);
    return stopped;
}

static void finish(struct call_cloud *w, uint32_t choice, enum api_finish how) {
    struct cloud_choice *c = &w->choices[choice];
    struct api_choice_text *text = &w->call->answer.choices[choice];
    c->finished = true;
    text->finish = how;
    text->stop = c->filter.found;
    emit(w, &(struct api_event){.kind = API_FINISH, .choice = choice, .text = "", .start = c->filter.given, .finish = how});
}

/* A stop string was found that the upstream didn't look for. When no choice is left, the upstream needn't go on. */
static void stop(struct call_cloud *w, uint32_t choice) {
    struct call *call = w->call;
    finish(w, choice, API_FINISH_STOP);
    for (uint32_t i = 0; i < call->answer.n_choices; i++)
        if (!w->choices[i].finished) return;
    call_cloud_leave(call);
    call_part_done(call);
}

static void on_text(struct call_cloud *w, const struct api_event *ev) {
    struct buf *text = &w->call->gateway->requests->text;
    buf_append(&w->said, ev->text, ev->len);
    buf_clear(text);
    bool stopped = text_filter_push(&w->choices[ev->choice].filter, ev->text, ev->len, text);
    give_text(w, ev->choice, text);
    if (stopped) stop(w, ev->choice);
}

static void on_event(void *user, const struct api_event *ev) {
    struct call_cloud *w = user;
    struct cloud_choice *c = &w->choices[ev->choice];
    if (c->finished) return;
    if (ev->kind == API_CALL || (ev->kind == API_REASONING && ev->len > 0)) w->only_text = false;
    if (ev->kind == API_BEGIN) c->begin = *ev;
    else if (ev->kind == API_TEXT) on_text(w, ev);
    else if ((ev->kind == API_CALL || ev->kind == API_FINISH) && give_rest(w, ev->choice)) stop(w, ev->choice);
    else if (ev->kind == API_FINISH) finish(w, ev->choice, ev->finish);
    else emit(w, ev);
}

/* ---- vectors ---- */

static void on_vector(void *user, size_t index, const float *numbers, uint32_t n) {
    struct call_cloud *w = user;
    struct api_answer *a = &w->call->answer;
    a->n_vector = n;
    a->vectors[index] = mem_calloc(n, sizeof(float));
    memcpy(a->vectors[index], numbers, n * sizeof(float));
}

/* ---- an answer that goes on elsewhere ---- */

/* Gives the text so far back to the call. */
static void give_back(struct call_cloud *w) {
    enum { BYTES_PER_TOKEN = 4 }; /* about */
    uint64_t tokens = (w->said.len - w->said_before) / BYTES_PER_TOKEN;
    call_carry(w->call, &w->choices[0].filter, &w->call->answer.choices[0], &w->said, tokens);
}

/* Another place that has the model goes on with the text. */
static bool go_on(struct call_cloud *w, const struct cloud_result *result) {
    struct call *call = w->call;
    struct err why = *result->err;
    bool may = call_carry_may(call) && !w->choices[0].finished && w->only_text && w->said.len > 0;
    if (!may || !call_route_same(call, result->code, w->said.len == w->said_before)) return false;
    give_back(w);
    call_go_on(call, &why);
    return true;
}

/* ---- the end ---- */

static void on_end(void *user, const struct cloud_result *result) {
    struct call_cloud *w = user;
    struct call *call = w->call;
    struct api_usage *u = &call->answer.usage;
    w->running = NULL;
    struct cloud_usage told = result->code == ERR_OK ? result->usage : (struct cloud_usage){0};
    u->prompt_tokens = told.prompt;
    u->cached_tokens = told.cached;
    u->completion_tokens = told.completion;
    charge(call, &result->charge, &told);
    call_trace_cloud_done(call, &w->attempt, result);
    if (result->code == ERR_OK) {
        call_part_done(call);
    } else if (!go_on(w, result)) {
        struct err why = *result->err;
        if (result->retry_after_s > 0) err_retry(&why, result->retry_after_s);
        call_fail(call, result->code, &why);
    }
}

/* ---- the beginning ---- */

/* Asked before anything is sent: may the call's key use up this much? */
static err_code admit(void *user, uint64_t tokens, uint64_t cost, struct err *e) {
    struct call_cloud *w = user;
    return call_account_admit_most(w->call, tokens < INT64_MAX ? (int64_t)tokens : INT64_MAX, millionths(cost), e);
}

static void make_room(struct call_cloud *w) {
    struct call *call = w->call;
    const struct api_request *r = &call->request;
    struct api_answer *a = &call->answer;
    if (wants_vectors(call)) {
        a->vectors = mem_calloc(r->n_prompts, sizeof(*a->vectors));
        return;
    }
    a->n_choices = (r->n_prompts > 0 ? (uint32_t)r->n_prompts : 1) * r->n;
    a->choices = mem_calloc(a->n_choices, sizeof(*a->choices));
    w->choices = mem_calloc(a->n_choices, sizeof(*w->choices));
    w->choices[0].begun = call_carry_on(call, &w->choices[0].filter, &a->choices[0], &w->said);
    w->said_before = w->said.len;
    for (uint32_t i = w->choices[0].begun; i < a->n_choices; i++) {
        api_choice_init(&a->choices[i]);
        text_filter_init(&w->choices[i].filter, r->stops, r->n_stops);
        w->choices[i].begin = (struct api_event){.kind = API_BEGIN, .choice = i};
    }
}

static err_code cloud_start_work(struct call *call, struct err *e) {
    const struct upstream *u = call_route_upstream(call);
    struct gateway *g = call->gateway;
    struct call_cloud *w = call->cloud = MEM_NEW(struct call_cloud);
    w->call = call;
    w->only_text = true;
    buf_init(&w->said, CLOUD_MAX_ANSWER);
    if (g->cloud == NULL) return err_set(e, ERR_UNAVAILABLE, "upstream \"%s\": the routes have changed just now", u->name);
    err_code code = call_account_may_ask(call, call->route.alias->name, e);
    if (code != ERR_OK) return code;
    make_room(w);
    call_trace_cloud(call, &w->attempt, u, call_route_model(call), &w->name);
    trace_context_state(http_request_header(http_request(call->x), "tracestate"), w->state);
    const struct cloud_options options = {.api = call->api,
                                          .request = &call->request,
                                          .upstream = u,
                                          .model = call_route_model(call),
                                          .system = call->route.alias->system,
                                          .beta = http_request_header(http_request(call->x), "anthropic-beta"),
                                          .name = &w->name,
                                          .tracestate = w->state,
                                          .admit = admit,
                                          .on_event = on_event,
                                          .on_vector = on_vector,
                                          .on_end = on_end,
                                          .user = w};
    snprintf(call->served, sizeof(call->served), "%s; model=%.256s", u->name, options.model);
    call->n_running = 1;
    free(call->model);
    call->model = mem_printf("%s/%s", u->name, options.model); /* under which it is counted */
    code = cloud_start(g->cloud, &options, &w->running, e);
    if (code == ERR_LIMIT) /* it can never fit this upstream's cap: another target may answer, but asking again is of no use */
        code = e->code = call_route_leaves(call, ERR_BUSY) || w->said_before > 0 ? ERR_BUSY : ERR_QUOTA;
    if (code != ERR_OK) call_trace_over(call, &w->attempt, e);
    if (code != ERR_OK && w->said_before > 0) give_back(w); /* another place may go on with it: call_fail */
    uint32_t rest = code != ERR_OK ? cloud_rest_s(g->cloud, u->name) : 0;
    if (rest > 0) err_retry(e, rest);
    return code;
}

const struct call_work call_work_cloud = {.start = cloud_start_work, .free = cloud_free_work};
