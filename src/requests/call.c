/* SPDX-License-Identifier: MIT
 * The states of a call: its steps in their order, the ways from one to the next, and its ends. See call_priv.h. */
#include "requests/call_account.h"
#include "requests/call_cache.h"
#include "requests/call_carry.h"
#include "requests/call_check.h"
#include "requests/call_cloud.h"
#include "requests/call_priv.h"
#include "requests/call_prompt.h"
#include "requests/call_queue.h"
#include "requests/call_read.h"
#include "requests/call_route.h"
#include "requests/call_trace.h"
#include "requests/capture.h"
#include "requests/recent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "gateway/answer.h"
#include "gateway/find.h"
#include "gateway/loads.h"
#include "model/adapter.h"
#include "os/os.h"

#define BIT(state) (1u << (state))

/* The states that may follow each state. Besides, every state may end. */
static const uint32_t followers[CALL_STATES] = {
    [CALL_READING] = BIT(CALL_RECALLING),
    [CALL_RECALLING] = BIT(CALL_ROUTING),
    [CALL_ROUTING] = BIT(CALL_LOOKING) | BIT(CALL_RUNNING), /* an upstream renders and queues by itself */
    [CALL_LOOKING] = BIT(CALL_WAITING) | BIT(CALL_FINISHING), /* the answer was kept */
    [CALL_WAITING] = BIT(CALL_LOOKING) /* the model is known only now */ | BIT(CALL_RENDERING) |
                     BIT(CALL_FINISHING) /* there is nothing to compute */ | BIT(CALL_ROUTING),
    [CALL_RENDERING] = BIT(CALL_QUEUING) | BIT(CALL_ROUTING),
    [CALL_QUEUING] = BIT(CALL_RUNNING) | BIT(CALL_ROUTING),
    [CALL_RUNNING] = BIT(CALL_FINISHING) | BIT(CALL_ROUTING),
    [CALL_FINISHING] = BIT(CALL_RENDERING) /* the answer is written once more */ | BIT(CALL_ROUTING),
};

static bool call_waits(const struct call *call) {
    return call->reading != NULL || call->recalling != NULL || call_cache_waits(call) || call->awaiting != NULL ||
           call->rendering != NULL || call->measuring != NULL;
}

static void call_set_state(struct call *call, enum call_state to) {
    static const char *const names[CALL_STATES] = {"reading",   "recalling", "routing", "looking",   "waiting",
                                                   "rendering", "queuing",   "running", "finishing", "ended"};
    assert(call->state != CALL_ENDED && (to == CALL_ENDED || (followers[call->state] & BIT(to)) != 0));
    assert(to == CALL_ENDED || !call_waits(call));
    log_debug("gateway", "%s: %s -> %s", call->answer.id, names[call->state], names[to]);
    call_trace_state(call);
    call->state = to;
}

/* ---- no work ---- */

static err_code none_start(struct call *call, struct err *e) {
    (void)call;
    (void)e;
    return ERR_OK;
}

static void none_free(struct call *call) { (void)call; }

/* The client asked for the prompt itself: nothing is computed. */
static const struct call_work call_work_none = {.start = none_start, .free = none_free};

struct log_request call_enter(const struct call *call) { return log_enter(&call->name); }

/* ---- the ends ---- */

/* Ends everything that the call waits for or computes. */
static void call_stop(struct call *call) {
    struct gateway *g = call->gateway;
    call->work->free(call);
    call_read_cancel(call);
    call_queue_leave(call);
    call_cache_free(call); /* what the next target answers is not kept under the key of this one */
    if (call->awaiting != NULL) g->backend.cancel(g->backend.self, call->awaiting);
    if (call->measuring != NULL) g->backend.cancel(g->backend.self, call->measuring);
    if (call->recalling != NULL) store_cancel(call->recalling);
    if (call->rendering != NULL) render_cancel(g->requests->render, call->rendering);
    call->awaiting = call->measuring = NULL;
    call->recalling = NULL;
    call->rendering = NULL;
    call->n_running = 0;
}

static void call_free(struct call *call) {
    struct gateway *g = call->gateway;
    call_stop(call);
    call_carry_free(call);
    call_route_drop(&call->route);
    *call->slot = call->next;
    if (call->next != NULL) call->next->slot = call->slot;
    g->requests->n_calls--;
    buf_done(&call->answer.prefix);
    buf_done(&call->written);
    free(call->model);
    free(call->tmpl);
    toolcall_format_free(call->output.format);
    api_request_done(&call->request);
    free(call);
}

static void count_usage(struct call *call) {
    struct gateway_metrics *m = &call->gateway->metrics;
    const struct api_usage *u = &call->answer.usage;
    if (call_cache_hit(call)) return;
    metrics_count(m, METRIC_PROMPT_TOKENS, u->prompt_tokens);
    metrics_count(m, METRIC_CACHED_TOKENS, u->cached_tokens);
    metrics_count(m, METRIC_COMPLETION_TOKENS, u->completion_tokens);
    metrics_count(m, METRIC_DRAFT_TOKENS, u->draft_tokens);
    metrics_count(m, METRIC_DRAFT_ACCEPTED, u->draft_accepted);
    metrics_count(m, METRIC_MTP_TOKENS, u->mtp_tokens);
    metrics_count(m, METRIC_MTP_ACCEPTED, u->mtp_accepted);
}

/* Passes on how long the request's model is to stay loaded. */
static void keep_model(const struct call *call) {
    const struct backend *b = &call->gateway->backend;
    if (call->request.has_keep && call->model != NULL && b->keep != NULL)
        b->keep(b->self, call->model, call->request.keep_s, call->may_unload);
}

/* The three ways to end. */
enum call_end { CALL_ANSWERED, CALL_FAILED, CALL_LEFT };

static void call_end(struct call *call, enum call_end how) {
    static const enum gateway_metric counters[] = {
        [CALL_ANSWERED] = METRIC_FINISHED, [CALL_FAILED] = METRIC_FAILED, [CALL_LEFT] = METRIC_GONE};
    static const char *const words[] = {[CALL_ANSWERED] = "answered", [CALL_FAILED] = "failed", [CALL_LEFT] = "left by its client"};
    struct gateway *g = call->gateway;
    const struct api_usage *u = &call->answer.usage;
    call_set_state(call, CALL_ENDED);
    call_cloud_leave(call);
    call_trace_log(call, words[how]);
    metrics_count(&g->metrics, counters[how], 1);
    count_usage(call);
    call_account_settle(call, how != CALL_ANSWERED);
    recent_add(g->requests->recent, call, words[how]);
    capture_end(call->capture, call->why);
    if (how == CALL_ANSWERED) {
        metrics_observe(&g->metrics, METRIC_DURATION, io_loop_now(g->loop) - call->started);
        if (call->answer.n_choices > 0 || call->queue != NULL) metrics_observe(&g->metrics, METRIC_QUEUED, (clock_us)u->queued_us);
    }
    keep_model(call);
    call->work->free(call); /* its spans end before the call's */
    call->work = &call_work_none;
    call_trace_end(call, how == CALL_ANSWERED, words[how]);
    call_free(call);
}

static void stream_event(struct call *call, const struct api_event *ev);

static void on_gone(void *user) {
    struct log_request before = call_enter(user);
    call_end(user, CALL_LEFT);
    log_leave(&before);
}

static void call_advance(struct call *call);

void call_placed(struct call *call, const struct backend_call *part, bool again) {
    const struct backend *b = &call->gateway->backend;
    char place[160], served[sizeof(call->served)];
    if (b->place == NULL) return;
    b->place(b->self, part, place, sizeof(place));
    snprintf(served, sizeof(served), "%s; model=%.256s", place, call->model);
    if (strcmp(served, call->served) == 0 && !again) return;
    call->moved = call->moved || call->given; /* the client hears of it with the next token */
    memcpy(call->served, served, sizeof(served));
}

/* Says in headers of the response to come who answers, and what part the cache has. */
static void tell_place(struct call *call) {
    if (call->served[0] != '\0') http_response_header(call->x, "x-caravan-served-by", call->served);
    if (call->cache_says != NULL) http_response_header(call->x, "x-caravan-cache", call->cache_says);
}

/* May its stream have lines that mean nothing to clients? */
static bool has_comments(const struct call *call) { return strcmp(call->api->stream_type, "text/event-stream") == 0; }

/* The same after the headers have gone: in a comment, which clients of server-sent events leave out. Other streams have none. */
static void tell_place_late(struct call *call) {
    char line[sizeof(call->served) + 40];
    if (call->served[0] == '\0' || !has_comments(call)) return;
    snprintf(line, sizeof(line), ": x-caravan-served-by: %s\n\n", call->served);
    http_stream_write(call->x, line, strlen(line));
}

/* The call leaves the target that failed, and begins anew at the next one. */
static void call_leave_target(struct call *call, err_code code, const struct err *e) {
    log_info("gateway", "%s: \"%s\" gives way to its next target: %s", call->answer.id, call_route_model(call), e->text);
    count_usage(call);
    metrics_count(&call->gateway->metrics, METRIC_FALLBACKS, 1);
    call_stop(call);
    call_set_state(call, CALL_ROUTING);
    call_route_next(call, code);
    call_advance(call);
}

void call_go_on(struct call *call, const struct err *why) {
    log_info("gateway", "%s: it goes on with \"%s\" of %s: %s", call->answer.id, call_route_model(call),
             call_route_upstream(call) != NULL ? call_route_upstream(call)->name : "the cluster", why->text);
    metrics_count(&call->gateway->metrics, METRIC_FALLBACKS, 1);
    call_stop(call);
    call->moved = true;
    call_set_state(call, CALL_ROUTING);
    call_advance(call);
}

/* An answer that another place has begun, and that this one could not even go on with. */
static bool is_carried(const struct call *call) { return call->carried != NULL && call->state >= CALL_WAITING && call->state < CALL_ENDED; }

void call_fail(struct call *call, err_code code, const struct err *e) {
    if (is_carried(call) && call_route_same(call, code, true)) {
        call_go_on(call, e);
        return;
    }
    if (call_route_leaves(call, code)) {
        call_leave_target(call, code, e);
        return;
    }
    call->error = code;
    str_line(e->text, strlen(e->text), call->why, sizeof(call->why));
    call_trace_error(call, code, e);
    if (!http_stream_started(call->x)) {
        tell_place(call);
        gateway_answer_error(call->api, call->x, code, e);
    } else {
        struct api_event ev = {.kind = API_FAIL, .code = code, .err = e, .request = http_request(call->x)->id};
        stream_event(call, &ev);
        http_stream_end(call->x);
    }
    call_end(call, CALL_FAILED);
}

/* ---- events out ---- */

static void stream_begin(struct call *call) {
    if (http_stream_started(call->x)) return;
    http_response_header(call->x, "Cache-Control", "no-cache");
    http_response_header(call->x, "X-Accel-Buffering", "no"); /* nginx would hold the stream back */
    if (call->form.partial_format || call->form.partial_tools || call->request.unchecked)
        http_response_header(call->x, "x-caravan-schema", "unchecked");
    tell_place(call);
    http_stream_start(call->x, 200, call->api->stream_type);
    http_stream_probe(call->x, call->api->ping);
}

static void stream_event(struct call *call, const struct api_event *ev) {
    struct buf *out = &call->gateway->requests->scratch;
    if ((!call->given || call->moved) && http_stream_started(call->x)) tell_place_late(call);
    call->moved = false;
    stream_begin(call);
    call->given = true;
    buf_clear(out);
    call->api->stream(&call->answer, ev, out);
    http_stream_write(call->x, out->data, out->len);
    capture_answer(call->gateway->requests->captures, call->capture, out->data, out->len);
    call->last_write = io_loop_now(call->gateway->loop);
}

bool call_collects(const struct call *call) { return !call->request.stream || call->api->keeps_items || call->request.has_custom; }

void call_emit(struct call *call, const struct api_event *ev) {
    if (ev->kind == API_TEXT && ev->len > 0) call_route_grows(call);
    if (!call->first_text && ev->kind == API_TEXT) {
        call->first_text = true;
        metrics_observe(&call->gateway->metrics, METRIC_FIRST_TEXT, io_loop_now(call->gateway->loop) - call->started);
    }
    if (!call_cache_hit(call)) call_cache_record(call, ev);
    if (call_collects(call)) api_choice_collect(&call->answer.choices[ev->choice], ev);
    if (call->request.stream) stream_event(call, ev);
}

bool call_cancel(struct gateway *g, const char *owner, const char *id) {
    struct call *call = g->requests->calls;
    struct err e = {0};
    while (call != NULL && (strcmp(call->answer.id, id) != 0 || strcmp(call->owner, owner) != 0)) call = call->next;
    if (call == NULL) return false;
    call_fail(call, err_set(&e, ERR_CANCELLED, "the request was cancelled by its client"), &e);
    return true;
}

/* How far the model is for which the call waits. */
static void tell_progress(struct call *call) {
    const struct backend_model *m = NULL;
    char line[300];
    if (call->awaiting == NULL || !has_comments(call) || gateway_find_model(call->gateway, call->model, &m, NULL) != ERR_OK) return;
    snprintf(line, sizeof(line), ": \"%.255s\" is loading: %u %%\n\n", m->id, m->progress);
    if (m->progress > 0) http_stream_write(call->x, line, strlen(line));
}

void requests_ping(struct gateway *g) {
    clock_us now = io_loop_now(g->loop);
    for (struct call *call = g->requests->calls; call != NULL; call = call->next) {
        if (!call->request.stream || now - call->last_write < (clock_us)g->ping_ms * 1000) continue;
        stream_begin(call);
        http_stream_write(call->x, call->api->ping, strlen(call->api->ping));
        tell_progress(call);
        call->last_write = now;
    }
}

/* ---- the way from step to step ---- */

/* A step does its work and says in *next which state comes next; where it leaves that alone, it waits for an answer. */
typedef err_code (*call_step)(struct call *call, enum call_state *next, struct err *e);
static const call_step steps[CALL_STATES];

/* Takes steps until one has to wait, or the call has ended. */
static void call_advance(struct call *call) {
    for (;;) {
        struct err e = {0};
        enum call_state next = call->state;
        err_code code = steps[call->state](call, &next, &e);
        if (code != ERR_OK) {
            call_fail(call, code, &e);
            return;
        }
        if (next == CALL_ENDED) {
            call_end(call, CALL_ANSWERED);
            return;
        }
        if (next == call->state) return;
        call_set_state(call, next);
    }
}

void call_resume(struct call *call, enum call_state next, err_code code, const struct err *e) {
    struct log_request before = call_enter(call);
    if (code != ERR_OK) {
        call_fail(call, code, e);
    } else {
        if (next != call->state) call_set_state(call, next);
        call_advance(call);
    }
    log_leave(&before);
}

/* ---- step 1: read ---- */

static void on_read(struct call *call, err_code code, const struct err *e) { call_resume(call, CALL_RECALLING, code, e); }

static err_code step_read(struct call *call, enum call_state *next, struct err *e) {
    err_code code = call_read_body(call, on_read, e);
    if (call->reading == NULL) *next = CALL_RECALLING;
    return code;
}

/* ---- step 2: recall ---- */

static void on_chain_read(struct call *call, err_code code, const struct err *e) { call_resume(call, CALL_ROUTING, code, e); }

static void on_recalled(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct call *call = user;
    struct err e = *cause;
    call->recalling = NULL;
    if (code == ERR_NOT_FOUND)
        code = err_set_field(&e, ERR_INVALID, "previous_response_id", "there is no response \"%.80s\" here", call->request.previous);
    if (code == ERR_OK) code = call_read_chain(call, text, len, on_chain_read, &e);
    if (call->reading == NULL) call_resume(call, CALL_ROUTING, code, &e);
}

static err_code step_recall(struct call *call, enum call_state *next, struct err *e) {
    struct api_request *r = &call->request;
    if (r->previous != NULL) {
        call->recalling = store_response_chain(call->gateway->store, call->owner, r->previous, on_recalled, call);
        return ERR_OK;
    }
    *next = CALL_ROUTING;
    return call->api->resume != NULL ? call->api->resume(NULL, r, e) : ERR_OK;
}

/* ---- step 3: choose the target ---- */

static const struct call_work *work_of(enum api_work work);

/* An upstream that is the first target is chosen even where it may not be asked, so that the client learns of it. */
static err_code step_route(struct call *call, enum call_state *next, struct err *e) {
    if (!call->route.chosen) { /* else call_route_next has chosen, after a failure */
        err_code code = call_route_headers(call, e);
        if (code != ERR_OK) return code;
        if (call->route.alias != NULL) call_route_choose(call);
    }
    const struct upstream *u = call_route_upstream(call);
    call->work = u != NULL ? &call_work_cloud : work_of(call->api->work);
    *next = u != NULL ? CALL_RUNNING : CALL_LOOKING;
    if (u == NULL) return ERR_OK;
    call->answer.model = call->route.alias->name;
    call_cache_bypass(call);
    if (call_route_may_leave(&call->route)) return ERR_OK;
    return err_set(e, ERR_FORBIDDEN, "only the upstream \"%s\" could answer this, and this request may not leave the cluster", u->name);
}

/* ---- step 4: look for a kept answer: call_cache.c ---- */

/* ---- step 5: wait for the model ---- */

static void on_model(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct call *call = user;
    (void)text;
    call->awaiting = NULL;
    call_resume(call, CALL_WAITING, code, e); /* the model may have gone again: the step looks once more */
}

void call_set_model(struct call *call, const char *id) {
    if (call->model == NULL) call->model = mem_strdup(id);
    call->answer.model = call->route.alias != NULL ? call->route.alias->name : call->model;
}

void call_set_adapters(struct call *call, const struct backend_model *model) {
    struct engine_sampling *s = &call->request.sampling;
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    uint32_t n = 0;
    if (s->has_lora || model->lora == NULL || model_adapters_parse(model->lora, list, &n, NULL) != ERR_OK || n == 0) return;
    s->has_lora = true;
    s->n_lora = n;
    for (uint32_t i = 0; i < n; i++) s->lora[i] = (struct engine_lora){i, (float)list[i].scale};
}

/* Does the request only ask for the model to be unloaded? */
static bool only_unloads(const struct api_request *r) {
    return r->n_prompts == 0 && yyjson_mut_arr_size(r->chat) == 0 && r->has_keep && r->keep_s == 0;
}

static err_code step_wait(struct call *call, enum call_state *next, struct err *e) {
    struct backend *b = &call->gateway->backend;
    const struct backend_model *model = NULL;
    if (call->request.only_upstream != NULL) {
        *e = *call->request.only_upstream;
        return e->code;
    }
    const char *name = call->model != NULL ? call->model : call_route_model(call);
    struct err unknown = {0};
    err_code code = call_account_find(call, name, &model, &unknown);
    if (code == ERR_OK) name = model->id;
    if (*name != '\0' && call_account_may_ask(call, name, e) != ERR_OK) return e->code; /* nor is it told which models there are */
    if (code != ERR_OK) {
        *e = unknown;
        return code;
    }
    call_set_model(call, model->id);
    if (model->ready) {
        call_set_adapters(call, model);
        *next = call->looked ? CALL_RENDERING : CALL_LOOKING;
        return ERR_OK;
    }
    if (only_unloads(&call->request)) {
        *next = CALL_FINISHING;
        return ERR_OK;
    }
    if (model->loadable && call->route.on_absent == ROUTING_ABSENT_REFUSE &&
        loads_begin(call->gateway->loads, call->model, model->facts.bytes)) {
        uint32_t left = loads_left_s(call->gateway->loads, call->model);
        err_set(e, ERR_UNAVAILABLE, "the model \"%s\" is being loaded: ask again in a while", model->id);
        if (left > 0) err_retry(e, left);
        return ERR_UNAVAILABLE;
    }
    if (model->loadable && b->await != NULL) return b->await(b->self, call->model, on_model, call, &call->awaiting, e);
    return err_set(e, ERR_UNAVAILABLE, "the model \"%s\" is not ready: %s", model->id,
                   model->message != NULL && model->message[0] != '\0' ? model->message : "it is still loading");
}

/* ---- step 6: render ---- */

static err_code fit_prompt(struct call *call, size_t n_tokens, struct err *e);

static void on_measured(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct call *call = user;
    struct err e = {0};
    call->measuring = NULL;
    if (code == ERR_OK) code = fit_prompt(call, text->n, &e);
    else e = *cause;
    if (call_waits(call) && code == ERR_OK) return;
    call_resume(call, CALL_QUEUING, code, &e);
}

static void on_rendered(void *user, err_code code, const struct render_answer *answer, const struct err *cause) {
    struct call *call = user;
    struct err e = {0};
    call->rendering = NULL;
    if (code == ERR_OK) call_prompt_set(call, answer);
    else e = *cause;
    if (code == ERR_OK && call->request.truncates) code = fit_prompt(call, 0, &e);
    if (call_waits(call) && code == ERR_OK) return;
    call_resume(call, CALL_QUEUING, code, &e);
}

/* Removes the oldest turns of a chat whose prompt leaves no room for the answer, and renders it again. n_tokens: the prompt's size; 0: it
 * has not been counted, and is counted first if necessary. If the call waits for nothing afterwards, the prompt stays as it is. */
static err_code fit_prompt(struct call *call, size_t n_tokens, struct err *e) {
    enum { LONG_TOKEN = 16 }; /* bytes: few texts have longer tokens, so a text that is far too long needn't be counted */
    struct backend *b = &call->gateway->backend;
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(call->gateway, call->model, &model, e);
    for (bool done = true; code == ERR_OK && done; n_tokens = 0) {
        const struct api_prompt *p = &call->request.prompts[0];
        size_t room = call_prompt_room(call, model), least = n_tokens > 0 ? n_tokens : p->len / LONG_TOKEN;
        if (p->len < room || (n_tokens > 0 && n_tokens <= room)) return ERR_OK;
        if (least > room && call_prompt_shorten(call, (least - room) * (p->len / least))) {
            code = call_prompt_render(call, model, on_rendered, &done, e);
            continue;
        }
        if (n_tokens > 0 || least > room) return ERR_OK; /* the last turn alone is too long: the engine refuses it */
        return b->tokenize(b->self, call->model, p->text, p->len, !p->has_bos, true, on_measured, call, &call->measuring, e);
    }
    return code;
}

static err_code step_render(struct call *call, enum call_state *next, struct err *e) {
    const struct backend_model *model = NULL;
    bool done = true;
    err_code code = gateway_find_model(call->gateway, call->model, &model, e);
    if (code == ERR_OK && !call->asked_again) code = call_prompt_prepare(call, model, e);
    if (code == ERR_OK && yyjson_mut_arr_size(call->request.chat) > 0) {
        code = call_prompt_render(call, model, on_rendered, &done, e);
        if (code == ERR_OK && done && call->request.truncates) code = fit_prompt(call, 0, e);
    }
    if (code == ERR_OK && !call_waits(call)) *next = CALL_QUEUING;
    return code;
}

/* ---- step 7: wait for a place: call_queue.c ---- */

/* ---- step 8: run ---- */

static void on_formed(struct call *call, err_code code, const struct err *e) {
    call->formed = true;
    call_resume(call, CALL_RUNNING, code, e);
}

static err_code step_run(struct call *call, enum call_state *next, struct err *e) {
    if (call_route_upstream(call) != NULL) return call->work->start(call, e);
    if (call->request.n_prompts == 0 && !call->api->may_be_empty)
        return err_set(e, ERR_INVALID, "the request has nothing to answer: no prompt and no message");
    err_code code = ERR_OK;
    if (!call->formed) {
        call_prompt_output(call);
        code = call_read_form(call, on_formed, e);
        if (code != ERR_OK || call->reading != NULL) return code;
        call->formed = true;
    }
    const struct backend_model *model = NULL;
    code = gateway_find_model(call->gateway, call->model, &model, e);
    if (code == ERR_OK) code = call_account_admit(call, model->n_ctx, 0, e);
    if (code == ERR_OK) code = call->work->start(call, e);
    if (code == ERR_OK && call->n_running == 0) *next = CALL_FINISHING;
    return code;
}

void call_part_done(struct call *call) {
    if (--call->n_running == 0) call_resume(call, CALL_FINISHING, ERR_OK, NULL);
}

/* ---- step 9: finish ---- */

/* May the model be told what is wrong with its answer, and write another one? Once, and only in place of the one answer. */
static bool may_ask_again(struct call *call) {
    const struct backend_model *model = NULL;
    if (call->asked_again || call->answer.n_choices != 1 || call->request.chat == NULL || call->tmpl == NULL || call->request.continues)
        return false;
    return gateway_find_model(call->gateway, call->model, &model, NULL) == ERR_OK && model->ready;
}

/* Keeps the response as the client got it in one piece, or could have got it. */
static void store_answer(struct call *call) {
    const struct api_request *r = &call->request;
    if (!r->store || r->input == NULL) return;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    call->api->whole(&call->answer, &text);
    store_response_put(call->gateway->store, &(struct store_response){.owner = call->owner,
                                                                      .id = call->answer.id,
                                                                      .previous = r->previous,
                                                                      .input = r->input,
                                                                      .created = call->answer.created,
                                                                      .response = buf_cstr(&text)});
    buf_done(&text);
}

static void send_answer(struct call *call) {
    if (call->request.stream) {
        struct api_event ev = {.kind = API_END};
        stream_event(call, &ev);
        http_stream_end(call->x);
        return;
    }
    tell_place(call);
    struct buf out = call->written;
    call->written = (struct buf){0};
    if (out.len == 0) {
        buf_init(&out, SIZE_MAX - 1);
        call->api->whole(&call->answer, &out);
    }
    capture_answer(call->gateway->requests->captures, call->capture, out.data, out.len);
    gateway_respond(call->x, 200, call->api->whole_type, &out);
}

/* The client wants its model unloaded after this request (keep_alive 0). A model that was loaded by hand is unloaded only for a client that
 * may unload models. */
static void decide_unload(struct call *call) {
    const struct backend_model *model;
    if (!call->request.has_keep || call->request.keep_s != 0) return;
    call->answer.unloads = call->may_unload || gateway_find_model(call->gateway, call->model, &model, NULL) != ERR_OK || !model->kept;
    if (!call->answer.unloads)
        log_info("gateway", "%s: keep_alive 0 leaves \"%s\" loaded: it was loaded by hand, and this client may not unload models",
                 call->answer.id, call->model);
}

static void on_written(struct call *call, err_code code, const struct err *e) { call_resume(call, CALL_FINISHING, code, e); }

static err_code step_finish(struct call *call, enum call_state *next, struct err *e) {
    bool fits = true;
    err_code code = call_read_tokens(call, on_written, e);
    if (code != ERR_OK || call->reading != NULL) return code;
    code = call->request.stream ? ERR_OK : call_check(call, &fits, e);
    if (!fits && may_ask_again(call)) {
        log_debug("gateway", "%s: the answer is written once more: %s", call->answer.id, e->text);
        call->asked_again = true;
        call_prompt_complain(call, e);
        *next = CALL_RENDERING;
        return ERR_OK;
    }
    if (code != ERR_OK) return code;
    if (!fits || (!call->request.stream && call->request.unchecked)) http_response_header(call->x, "x-caravan-schema", "unchecked");
    call->answer.completed = clock_wall_s();
    call->answer.usage.queued_us += call->waited;
    call->answer.usage.total_us = io_loop_now(call->gateway->loop) - call->started;
    call_cache_keep(call, fits);
    decide_unload(call);
    store_answer(call);
    send_answer(call);
    *next = CALL_ENDED;
    return ERR_OK;
}

static const call_step steps[CALL_STATES] = {
    [CALL_READING] = step_read,       [CALL_RECALLING] = step_recall, [CALL_ROUTING] = step_route,
    [CALL_LOOKING] = call_cache_look, [CALL_WAITING] = step_wait,     [CALL_RENDERING] = step_render,
    [CALL_QUEUING] = call_queue_step, [CALL_RUNNING] = step_run,      [CALL_FINISHING] = step_finish,
};

/* ---- start ---- */

static const struct call_work *work_of(enum api_work work) {
    static const struct call_work *const works[] = {[API_WORK_TEXT] = &call_work_text,
                                                    [API_WORK_COUNT] = &call_work_tokens,
                                                    [API_WORK_PROMPT] = &call_work_none,
                                                    [API_WORK_VECTORS] = &call_work_vectors,
                                                    [API_WORK_TOKENS] = &call_work_tokens};
    return works[work];
}

static void answer_init(struct call *call) {
    struct api_answer *a = &call->answer;
    uint64_t random;
    os_random(&random, sizeof(random));
    a->request = &call->request;
    a->model = "";
    a->fingerprint = call->gateway->fingerprint;
    a->created = clock_wall_s();
    snprintf(a->id, sizeof(a->id), "%s%016llx%08llx", call->api->id_prefix, (unsigned long long)random,
             (unsigned long long)++call->gateway->requests->id_state);
    buf_init(&a->prefix, 4096);
}

void call_start(struct gateway *g, struct http_exchange *x, const struct api *api) {
    struct call *call = mem_alloc(sizeof(*call));
    clock_us now = io_loop_now(g->loop);
    *call = (struct call){.gateway = g,
                          .next = g->requests->calls,
                          .slot = &g->requests->calls,
                          .api = api,
                          .work = work_of(api->work),
                          .x = x,
                          .started = now,
                          .last_write = now};
    if (call->next != NULL) call->next->slot = &call->next;
    g->requests->calls = call;
    g->requests->n_calls++;
    metrics_count(&g->metrics, METRIC_REQUESTS, 1);
    api_request_init(&call->request);
    answer_init(call);
    call_trace_begin(call);
    call->capture = capture_begin(g->requests->captures, call->name.id, http_request(x), gateway_keys_given(http_request(x)));
    gateway_keys_owner(&g->keys, http_request(x), call->owner);
    call->may_unload = gateway_keys_check(&g->keys, http_request(x), GATEWAY_MAY_ADMIN, NULL) == ERR_OK;
    call_account_open(call);
    call_route_begin(call);
    http_exchange_on_gone(x, on_gone, call);
    struct log_request before = call_enter(call);
    call_advance(call);
    log_leave(&before);
}
