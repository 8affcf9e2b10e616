/* SPDX-License-Identifier: MIT
 * The states of a call: its steps in their order, the ways from one to the next, and its ends. See call_priv.h. */
#include "gateway/call_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "os/os.h"

#define BIT(state) (1u << (state))

/* The states that may follow each state. Besides, every state may end. */
static const uint32_t followers[CALL_STATES] = {
    [CALL_READING] = BIT(CALL_RECALLING),
    [CALL_RECALLING] = BIT(CALL_WAITING),
    [CALL_WAITING] = BIT(CALL_RENDERING) | BIT(CALL_FINISHING), /* there is nothing to compute */
    [CALL_RENDERING] = BIT(CALL_RUNNING),
    [CALL_RUNNING] = BIT(CALL_FINISHING),
    [CALL_FINISHING] = BIT(CALL_RENDERING), /* the answer is written once more */
};

static bool call_waits(const struct call *call) {
    return call->reading != NULL || call->recalling != NULL || call->awaiting != NULL || call->rendering != NULL || call->measuring != NULL;
}

static void call_set_state(struct call *call, enum call_state to) {
    static const char *const names[CALL_STATES] = {"reading", "recalling", "waiting", "rendering", "running", "finishing", "ended"};
    assert(call->state != CALL_ENDED && (to == CALL_ENDED || (followers[call->state] & BIT(to)) != 0));
    assert(to == CALL_ENDED || !call_waits(call));
    log_debug("gateway", "%s: %s -> %s", call->answer.id, names[call->state], names[to]);
    call->state = to;
}

/* ---- the ends ---- */

static void call_free(struct call *call) {
    struct gateway *g = call->gateway;
    call->work->free(call);
    call_read_cancel(call);
    if (call->awaiting != NULL) g->backend.cancel(g->backend.self, call->awaiting);
    if (call->measuring != NULL) g->backend.cancel(g->backend.self, call->measuring);
    if (call->recalling != NULL) store_cancel(call->recalling);
    if (call->rendering != NULL) render_cancel(g->render, call->rendering);
    *call->slot = call->next;
    if (call->next != NULL) call->next->slot = call->slot;
    g->n_calls--;
    buf_done(&call->answer.prefix);
    free(call->model);
    free(call->tmpl);
    toolcall_format_free(call->output.format);
    api_request_done(&call->request);
    free(call);
}

static void count_usage(struct call *call) {
    struct gateway_metrics *m = &call->gateway->metrics;
    const struct api_usage *u = &call->answer.usage;
    metrics_count(m, METRIC_PROMPT_TOKENS, u->prompt_tokens);
    metrics_count(m, METRIC_CACHED_TOKENS, u->cached_tokens);
    metrics_count(m, METRIC_COMPLETION_TOKENS, u->completion_tokens);
    metrics_count(m, METRIC_DRAFT_TOKENS, u->draft_tokens);
    metrics_count(m, METRIC_DRAFT_ACCEPTED, u->draft_accepted);
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
    log_debug("gateway", "%s: %s, %llu prompt and %llu completion tokens", call->answer.id, words[how],
              (unsigned long long)u->prompt_tokens, (unsigned long long)u->completion_tokens);
    metrics_count(&g->metrics, counters[how], 1);
    count_usage(call);
    if (how == CALL_ANSWERED) {
        metrics_observe(&g->metrics, METRIC_DURATION, io_loop_now(g->loop) - call->started);
        if (call->answer.n_choices > 0) metrics_observe(&g->metrics, METRIC_QUEUED, (clock_us)u->queued_us);
    }
    if (call->request.has_keep) gateway_keep_model(g, call->model, call->request.keep_s);
    call_free(call);
}

static void stream_event(struct call *call, const struct api_event *ev);

static void on_gone(void *user) { call_end(user, CALL_LEFT); }

void call_fail(struct call *call, err_code code, const struct err *e) {
    if (!http_stream_started(call->x)) {
        gateway_answer_error(call->api, call->x, code, e);
    } else {
        struct api_event ev = {.kind = API_FAIL, .code = code, .err = e};
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
    if (call->partial_format || call->partial_tools) http_response_header(call->x, "x-caravan-schema", "unchecked");
    http_stream_start(call->x, 200, call->api->stream_type);
    http_stream_probe(call->x, call->api->ping);
}

static void stream_event(struct call *call, const struct api_event *ev) {
    struct buf *out = &call->gateway->scratch;
    stream_begin(call);
    buf_clear(out);
    call->api->stream(&call->answer, ev, out);
    http_stream_write(call->x, out->data, out->len);
    call->last_write = io_loop_now(call->gateway->loop);
}

bool call_collects(const struct call *call) { return !call->request.stream || call->api->keeps_items; }

void call_emit(struct call *call, const struct api_event *ev) {
    if (!call->first_text && ev->kind == API_TEXT) {
        call->first_text = true;
        metrics_observe(&call->gateway->metrics, METRIC_FIRST_TEXT, io_loop_now(call->gateway->loop) - call->started);
    }
    if (call_collects(call)) api_choice_collect(&call->answer.choices[ev->choice], ev);
    if (call->request.stream) stream_event(call, ev);
}

bool call_cancel(struct gateway *g, const char *owner, const char *id) {
    struct call *call = g->calls;
    struct err e = {0};
    while (call != NULL && (strcmp(call->answer.id, id) != 0 || strcmp(call->owner, owner) != 0)) call = call->next;
    if (call == NULL) return false;
    call_fail(call, err_set(&e, ERR_CANCELLED, "the request was cancelled by its client"), &e);
    return true;
}

void call_ping_all(struct gateway *g) {
    clock_us now = io_loop_now(g->loop);
    for (struct call *call = g->calls; call != NULL; call = call->next) {
        if (!call->request.stream || now - call->last_write < (clock_us)g->ping_ms * 1000) continue;
        stream_begin(call);
        http_stream_write(call->x, call->api->ping, strlen(call->api->ping));
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

/* What the call waited for has come: it goes on in `next`, or fails. */
static void call_resume(struct call *call, enum call_state next, err_code code, const struct err *e) {
    if (code != ERR_OK) {
        call_fail(call, code, e);
        return;
    }
    if (next != call->state) call_set_state(call, next);
    call_advance(call);
}

/* ---- step 1: read ---- */

static void on_read(struct call *call, err_code code, const struct err *e) { call_resume(call, CALL_RECALLING, code, e); }

static err_code step_read(struct call *call, enum call_state *next, struct err *e) {
    err_code code = call_read_body(call, on_read, e);
    if (call->reading == NULL) *next = CALL_RECALLING;
    return code;
}

/* ---- step 2: recall ---- */

static void on_chain_read(struct call *call, err_code code, const struct err *e) { call_resume(call, CALL_WAITING, code, e); }

static void on_recalled(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct call *call = user;
    struct err e = *cause;
    call->recalling = NULL;
    if (code == ERR_NOT_FOUND)
        code = err_set(&e, ERR_INVALID, "field \"previous_response_id\": there is no response \"%.80s\" here", call->request.previous);
    if (code == ERR_OK) code = call_read_chain(call, text, len, on_chain_read, &e);
    if (call->reading == NULL) call_resume(call, CALL_WAITING, code, &e);
}

static err_code step_recall(struct call *call, enum call_state *next, struct err *e) {
    struct api_request *r = &call->request;
    if (r->previous != NULL) {
        call->recalling = store_response_chain(call->gateway->store, call->owner, r->previous, on_recalled, call);
        return ERR_OK;
    }
    *next = CALL_WAITING;
    return call->api->resume != NULL ? call->api->resume(NULL, r, e) : ERR_OK;
}

/* ---- step 3: wait for the model ---- */

static void on_model(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct call *call = user;
    (void)text;
    call->awaiting = NULL;
    call_resume(call, CALL_WAITING, code, e); /* the model may have gone again: the step looks once more */
}

/* Does the request only ask for the model to be unloaded? */
static bool only_unloads(const struct api_request *r) {
    return r->n_prompts == 0 && yyjson_mut_arr_size(r->chat) == 0 && r->has_keep && r->keep_s == 0;
}

static err_code step_wait(struct call *call, enum call_state *next, struct err *e) {
    struct backend *b = &call->gateway->backend;
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(call->gateway, call->model != NULL ? call->model : call->request.model, &model, e);
    if (code != ERR_OK) return code;
    if (call->model == NULL) call->model = mem_strdup(model->id);
    call->answer.model = call->model;
    if (model->ready) {
        *next = CALL_RENDERING;
        return ERR_OK;
    }
    if (only_unloads(&call->request)) {
        *next = CALL_FINISHING;
        return ERR_OK;
    }
    if (model->loadable && b->await != NULL) return b->await(b->self, call->model, on_model, call, &call->awaiting, e);
    return err_set(e, ERR_UNAVAILABLE, "the model \"%s\" is not ready: %s", model->id,
                   model->message != NULL && model->message[0] != '\0' ? model->message : "it is still loading");
}

/* ---- step 4: render ---- */

static err_code fit_prompt(struct call *call, size_t n_tokens, struct err *e);

static void on_measured(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct call *call = user;
    struct err e = {0};
    call->measuring = NULL;
    if (code == ERR_OK) code = fit_prompt(call, text->n, &e);
    else e = *cause;
    if (call_waits(call) && code == ERR_OK) return;
    call_resume(call, CALL_RUNNING, code, &e);
}

static void on_rendered(void *user, err_code code, const struct render_answer *answer, const struct err *cause) {
    struct call *call = user;
    struct err e = {0};
    call->rendering = NULL;
    if (code == ERR_OK) call_prompt_set(call, answer);
    else e = *cause;
    if (code == ERR_OK && call->request.truncates) code = fit_prompt(call, 0, &e);
    if (call_waits(call) && code == ERR_OK) return;
    call_resume(call, CALL_RUNNING, code, &e);
}

/* Removes the oldest turns of a chat whose prompt leaves no room for the answer, and renders it again. n_tokens: the prompt's size; 0: it
 * has not been counted, and is counted first if necessary. If the call waits for nothing afterwards, the prompt stays as it is. */
static err_code fit_prompt(struct call *call, size_t n_tokens, struct err *e) {
    enum { LONG_TOKEN = 16 }; /* bytes: few texts have longer tokens, so a text that is far too long needn't be counted */
    struct backend *b = &call->gateway->backend;
    const struct api_prompt *p = &call->request.prompts[0];
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(call->gateway, call->model, &model, e);
    if (code != ERR_OK) return code;
    size_t room = call_prompt_room(call, model), least = n_tokens > 0 ? n_tokens : p->len / LONG_TOKEN;
    if (p->len < room || (n_tokens > 0 && n_tokens <= room)) return ERR_OK;
    if (least > room && call_prompt_shorten(call, (least - room) * (p->len / least)))
        return call_prompt_render(call, model, on_rendered, e);
    if (n_tokens > 0 || least > room) return ERR_OK; /* the last turn alone is too long: the engine refuses it */
    return b->tokenize(b->self, call->model, p->text, p->len, !p->has_bos, true, on_measured, call, &call->measuring, e);
}

static err_code step_render(struct call *call, enum call_state *next, struct err *e) {
    const struct backend_model *model = NULL;
    err_code code = gateway_find_model(call->gateway, call->model, &model, e);
    if (code == ERR_OK && !call->asked_again) code = call_prompt_prepare(call, model, e);
    if (code != ERR_OK) return code;
    if (yyjson_mut_arr_size(call->request.chat) > 0) return call_prompt_render(call, model, on_rendered, e);
    *next = CALL_RUNNING;
    return ERR_OK;
}

/* ---- step 5: run ---- */

static err_code step_run(struct call *call, enum call_state *next, struct err *e) {
    if (call->request.n_prompts == 0 && !call->api->may_be_empty)
        return err_set(e, ERR_INVALID, "the request has nothing to answer: no prompt and no message");
    err_code code = call->asked_again ? ERR_OK : call_prompt_output(call, e);
    if (code == ERR_OK) code = call->work->start(call, e);
    if (code == ERR_OK && call->n_running == 0) *next = CALL_FINISHING;
    return code;
}

void call_part_done(struct call *call) {
    if (--call->n_running == 0) call_resume(call, CALL_FINISHING, ERR_OK, NULL);
}

/* ---- step 6: finish ---- */

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
    struct buf out;
    buf_init(&out, SIZE_MAX - 1);
    call->api->whole(&call->answer, &out);
    gateway_respond(call->x, 200, call->api->whole_type, &out);
}

static err_code step_finish(struct call *call, enum call_state *next, struct err *e) {
    bool fits = true;
    err_code code = call->request.stream ? ERR_OK : call_check(call, &fits, e);
    if (!fits && may_ask_again(call)) {
        log_debug("gateway", "%s: the answer is written once more: %s", call->answer.id, e->text);
        call->asked_again = true;
        call_prompt_complain(call, e);
        *next = CALL_RENDERING;
        return ERR_OK;
    }
    if (code != ERR_OK) return code;
    if (!fits) http_response_header(call->x, "x-caravan-schema", "unchecked");
    call->answer.completed = clock_wall_s();
    call->answer.usage.total_us = io_loop_now(call->gateway->loop) - call->started;
    store_answer(call);
    send_answer(call);
    *next = CALL_ENDED;
    return ERR_OK;
}

static const call_step steps[CALL_STATES] = {
    [CALL_READING] = step_read,     [CALL_RECALLING] = step_recall, [CALL_WAITING] = step_wait,
    [CALL_RENDERING] = step_render, [CALL_RUNNING] = step_run,      [CALL_FINISHING] = step_finish,
};

/* ---- start ---- */

static err_code none_start(struct call *call, struct err *e) {
    (void)call;
    (void)e;
    return ERR_OK;
}

static void none_free(struct call *call) { (void)call; }

/* The client asked for the prompt itself: nothing is computed. */
static const struct call_work call_work_none = {.start = none_start, .free = none_free};

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
             (unsigned long long)++call->gateway->id_state);
    buf_init(&a->prefix, 4096);
}

void call_start(struct gateway *g, struct http_exchange *x, const struct api *api) {
    struct call *call = MEM_NEW(struct call);
    clock_us now = io_loop_now(g->loop);
    *call = (struct call){.gateway = g,
                          .next = g->calls,
                          .slot = &g->calls,
                          .api = api,
                          .work = work_of(api->work),
                          .x = x,
                          .started = now,
                          .last_write = now};
    if (call->next != NULL) call->next->slot = &call->next;
    g->calls = call;
    g->n_calls++;
    metrics_count(&g->metrics, METRIC_REQUESTS, 1);
    api_request_init(&call->request);
    answer_init(call);
    gateway_keys_owner(&g->keys, http_request(x), call->owner);
    http_exchange_on_gone(x, on_gone, call);
    call_advance(call);
}
