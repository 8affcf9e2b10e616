/* SPDX-License-Identifier: MIT
 * The work of a call for embeddings and ranks: a vector for each of its texts. The texts are requests to the backend, some at a time. See
 * call_priv.h. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "requests/call_priv.h"
#include "requests/call_queue.h"
#include "requests/call_route.h"
#include "requests/call_trace.h"
#include "requests/replay.h"

struct text_slot {                /* a text that has been sent */
    struct call *call;
    bool used;
    size_t index;                 /* of the text */
    struct backend_call *running; /* NULL: the slot is unused, or its text has lost its place */
    struct replay *replay;        /* NULL: its text has never lost its place */
    struct call_attempt attempt;
};

struct call_vectors {
    size_t n_sent, n_done;        /* texts */
    struct text_slot slots[CALL_VECTORS_AT_ONCE];
};

static void vectors_free(struct call *call) {
    struct backend *b = &call->gateway->backend;
    struct call_vectors *v = call->vectors;
    if (v == NULL) return;
    for (size_t i = 0; i < CALL_VECTORS_AT_ONCE; i++) {
        if (v->slots[i].running != NULL) b->cancel(b->self, v->slots[i].running);
        call_trace_over(call, &v->slots[i].attempt, NULL);
        replay_free(v->slots[i].replay);
    }
    for (size_t i = 0; i < call->request.n_prompts; i++) free(call->answer.vectors[i]);
    free(call->answer.vectors);
    free(v);
    call->answer.vectors = NULL;
    call->answer.n_vector = 0;
    call->vectors = NULL;
}

static void on_event(void *user, const struct request_event *ev);

/* ---- sending ---- */

static err_code text_send(void *user, struct err *e) {
    struct text_slot *s = user;
    struct call *call = s->call;
    struct backend *b = &call->gateway->backend;
    const struct api_prompt *text = &call->request.prompts[s->index], *query = call->request.query;
    const struct api_prompt *first = query != NULL ? query : text;
    struct request r = {
        .embed = true,
        .add_bos = true,
        .max_tokens = -1,
        .alone = replay_is_suspect(s->replay),
        .model = call->model,
        .text = (char *)(uintptr_t)first->text,
        .text_len = first->len,
        .second = query != NULL ? (char *)(uintptr_t)text->text : NULL,
        .second_len = query != NULL ? text->len : 0,
        .tokens = (int32_t *)(uintptr_t)text->tokens,
        .n_tokens = text->n_tokens,
        .sampling = call->request.sampling,
    };
    call_rank(call, &r);
    call_trace_sent(call, &s->attempt, &r);
    err_code code = b->submit(b->self, &r, on_event, s, &s->running, e);
    if (code == ERR_OK) call_placed(call, s->running, false);
    if (code == ERR_OK) call_trace_placed(call, &s->attempt, s->running);
    else call_trace_over(call, &s->attempt, e);
    return code;
}

static void text_give_up(void *user, err_code code, const struct err *e) { call_fail(((struct text_slot *)user)->call, code, e); }

static void text_lost(struct text_slot *s, const struct err *why) {
    const struct call *call = s->call;
    const struct replay_owner owner = {.model = call->model, .what = call->answer.id, .user = s, .send = text_send, .fail = text_give_up};
    replay_lost(&s->replay, call->gateway, &owner, why);
}

/* Sends as many texts as may be sent. A full queue is no error while texts of this call are running: the next one goes when one has
 * ended. */
static err_code texts_send(struct call *call, struct err *e) {
    struct call_vectors *v = call->vectors;
    size_t n = call->request.n_prompts;
    for (size_t i = 0; i < CALL_VECTORS_AT_ONCE && v->n_sent < n; i++) {
        struct text_slot *s = &v->slots[i];
        if (s->used) continue;
        s->index = v->n_sent;
        err_code code = text_send(s, e);
        bool lost = code != ERR_OK && replay_may(call->gateway, code) && !call_route_leaves(call, code);
        if (code == ERR_BUSY && v->n_sent > v->n_done) return ERR_OK;
        if (code != ERR_OK && !lost) return code;
        s->used = true;
        v->n_sent++;
        if (lost) text_lost(s, e); /* the model was ready a moment ago */
    }
    return ERR_OK;
}

static err_code vectors_start(struct call *call, struct err *e) {
    struct call_vectors *v = call->vectors = MEM_NEW(struct call_vectors);
    for (size_t i = 0; i < CALL_VECTORS_AT_ONCE; i++) v->slots[i].call = call;
    call->answer.vectors = mem_calloc(call->request.n_prompts, sizeof(*call->answer.vectors));
    call->n_running = (uint32_t)call->request.n_prompts;
    return texts_send(call, e);
}

/* ---- answers ---- */

static void take_vector(struct api_answer *a, size_t index, const struct request_event *ev) {
    if (a->vectors[index] != NULL || (a->n_vector != 0 && a->n_vector != ev->n_vector))
        return; /* the stage contradicts itself: the text is found to have no vector at its end */
    a->n_vector = ev->n_vector;
    a->vectors[index] = mem_calloc(ev->n_vector, sizeof(float));
    for (uint32_t i = 0; i < ev->n_vector; i++) a->vectors[index][i] = bytes_get_f32(ev->vector + (size_t)4 * i);
}

static void text_done(struct text_slot *s, const struct request_event *ev) {
    struct call *call = s->call;
    struct err e = {0};
    err_code code = ERR_OK;
    if (call->answer.vectors[s->index] == NULL) code = err_set(&e, ERR_ENGINE, "no vector came for text %zu", s->index);
    call->answer.usage.prompt_tokens += ev->prompt_tokens;
    call_queue_learn(call, ev);
    replay_free(s->replay);
    s->replay = NULL;
    s->used = false;
    call->vectors->n_done++;
    if (code == ERR_OK) code = texts_send(call, &e);
    if (code != ERR_OK) call_fail(call, code, &e);
    else call_part_done(call);
}

static void take_event(struct text_slot *s, const struct request_event *ev) {
    struct call *call = s->call;
    if (ev->kind != REQUEST_FAILED) replay_runs(s->replay, ev->kind == REQUEST_VECTOR);
    if (ev->kind == REQUEST_VECTOR) take_vector(&call->answer, s->index, ev);
    if (ev->kind != REQUEST_DONE && ev->kind != REQUEST_FAILED) return;
    s->running = NULL;
    call_trace_done(call, &s->attempt, ev);
    if (ev->kind == REQUEST_DONE) text_done(s, ev);
    else if (replay_may(call->gateway, ev->err.code) && !call_route_leaves(call, ev->err.code)) text_lost(s, &ev->err);
    else call_fail(call, ev->err.code, &ev->err);
}

static void on_event(void *user, const struct request_event *ev) {
    struct text_slot *s = user;
    struct log_request before = call_enter(s->call);
    take_event(s, ev);
    log_leave(&before);
}

const struct call_work call_work_vectors = {.start = vectors_start, .free = vectors_free};
