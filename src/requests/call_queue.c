/* SPDX-License-Identifier: MIT
 * Calls that wait for a place at their model: a queue for each model (routing/queue.h), with the pace that its answers have shown
 * (routing/pace.h). A call holds its places until it ends. See call_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "gateway/find.h"
#include "requests/call_queue.h"
#include "requests/call_route.h"

struct model_queue {
    struct model_queue *next;
    char *model;
    struct queue *queue;
    struct pace pace;
};

static struct model_queue *queue_of(struct gateway *g, const char *model) {
    for (struct model_queue *q = g->requests->queues; q != NULL; q = q->next)
        if (strcmp(q->model, model) == 0) return q;
    struct model_queue *q = MEM_NEW(struct model_queue);
    *q = (struct model_queue){.next = g->requests->queues, .model = mem_strdup(model), .queue = queue_create()};
    g->requests->queues = q;
    return q;
}

void call_queue_free_all(struct gateway *g) {
    io_task_cancel(&g->requests->queue_task);
    while (g->requests->queues != NULL) {
        struct model_queue *q = g->requests->queues;
        g->requests->queues = q->next;
        queue_free(q->queue);
        free(q->model);
        free(q);
    }
}

/* A model that isn't ready has any number of places: its calls don't wait here, but for their replay (replay.h). */
static void set_room(struct gateway *g, struct model_queue *q) {
    const struct backend_model *m = NULL;
    bool known = gateway_find_model(g, q->model, &m, NULL) == ERR_OK && m->ready && m->places > 0;
    queue_set_room(q->queue, known ? m->places : UINT32_MAX, known ? m->queue : UINT32_MAX);
}

/* Lets the calls run whose turn it is. Each may end at once, and with it others. */
static void on_turns(void *user) {
    struct gateway *g = user;
    for (struct model_queue *q = g->requests->queues; q != NULL; q = q->next) {
        struct queue_entry *entry;
        set_room(g, q);
        while ((entry = queue_next(q->queue, io_loop_now(g->loop))) != NULL) {
            struct call *call = entry->user;
            call->waited = io_loop_now(g->loop) - call->waiting_since;
            call_resume(call, CALL_RUNNING, ERR_OK, NULL);
        }
    }
}

void requests_look(struct gateway *g) {
    g->requests->queue_task.fn = on_turns;
    g->requests->queue_task.user = g;
    if (g->requests->queues != NULL) io_task_post(g->loop, &g->requests->queue_task);
}

/* ---- what a call takes ---- */

static uint64_t tokens_of(const struct api_prompt *p) {
    enum { BYTES_A_TOKEN = 4 };
    return p->tokens != NULL ? p->n_tokens : p->len / BYTES_A_TOKEN + 1;
}

static bool wants_vectors(const struct call *call) { return call->work == &call_work_vectors; }

/* Each answer takes a place; of texts that become vectors only some are sent at once. */
static uint32_t places_of(const struct call *call) {
    size_t n = call->request.n_prompts;
    if (!wants_vectors(call)) return (uint32_t)n * call->request.n;
    return n < CALL_VECTORS_AT_ONCE ? (uint32_t)n : CALL_VECTORS_AT_ONCE;
}

static void make_entry(struct call *call, const struct pace *pace) {
    const struct api_request *r = &call->request;
    struct queue_entry *t = &call->turn;
    int32_t max_answer = wants_vectors(call) ? 0 : r->max_tokens;
    *t = (struct queue_entry){.priority = call->route.priority, .key = call->owner, .places = places_of(call), .user = call};
    size_t at_once = wants_vectors(call) ? t->places : r->n_prompts;
    for (size_t i = 0; i < r->n_prompts; i++) {
        uint64_t prompt = tokens_of(&r->prompts[i]) + (r->query != NULL ? tokens_of(r->query) : 0);
        t->tokens += prompt + r->n * pace_answer(pace, max_answer);
        t->cost += pace_request(pace, prompt, max_answer) / at_once;
    }
}

err_code call_queue_step(struct call *call, enum call_state *next, struct err *e) {
    struct gateway *g = call->gateway;
    clock_us now = io_loop_now(g->loop), retry = 0;
    bool computes = call->work == &call_work_text || wants_vectors(call);
    if (call->turn.state == QUEUE_RUNS || !computes || call->request.n_prompts == 0) {
        *next = CALL_RUNNING; /* it has its places, or needs none */
        return ERR_OK;
    }
    struct model_queue *q = call->queue = queue_of(g, call->model);
    set_room(g, q);
    make_entry(call, &q->pace);
    call->answer.usage.expected_us = queue_wait(q->queue, now, &call->turn);
    if (call_route_is_slow(call, call->answer.usage.expected_us)) {
        *next = CALL_ROUTING;
        return ERR_OK;
    }
    bool first = queue_waiting(q->queue) == 0;
    if (queue_enter(q->queue, now, &call->turn, &retry, e) != ERR_OK) {
        err_prefix(e, "the model \"%.80s\"", call->model);
        if (retry > 0) err_retry(e, (int64_t)((retry + 999999) / 1000000));
        return ERR_BUSY;
    }
    call->waiting_since = now;
    call->waited = 0;
    if (first && queue_next(q->queue, now) != NULL) *next = CALL_RUNNING; /* nobody else waits: it is this one */
    else requests_look(g); /* those that wait may be in the background */
    return ERR_OK;
}

void call_rank(const struct call *call, struct request *r) {
    r->priority = call->route.priority;
    r->key = call->owner[0] != '\0' ? str_hash(call->owner) : 0;
}

/* What the call has used in truth. While no tokens are counted, its prompt is being computed, and the prediction stands. */
static void charge_truth(struct call *call) {
    const struct api_usage *u = &call->answer.usage;
    if (call->turn.state != QUEUE_RUNS || u->prompt_tokens == 0) return;
    uint64_t cached = u->cached_tokens < u->prompt_tokens ? u->cached_tokens : u->prompt_tokens;
    queue_charge(call->queue->queue, &call->turn, u->prompt_tokens - cached + u->completion_tokens);
}

void call_queue_leave(struct call *call) {
    if (call->queue == NULL || call->turn.state == QUEUE_OUT) return;
    charge_truth(call);
    queue_leave(call->queue->queue, &call->turn);
    requests_look(call->gateway);
}

void call_queue_learn(struct call *call, const struct request_event *ev) {
    if (call->queue == NULL || (ev->completion_tokens == 0 && !wants_vectors(call))) return;
    uint32_t cached = ev->cached_tokens < ev->prompt_tokens ? ev->cached_tokens : ev->prompt_tokens;
    pace_learn(&call->queue->pace, ev->prompt_tokens - cached, ev->prefill_us, ev->completion_tokens, ev->decode_us);
}

bool requests_get_queue(const struct gateway *g, size_t i, struct requests_queue *ret) {
    clock_us now = io_loop_now(g->loop);
    for (const struct model_queue *q = g->requests->queues; q != NULL; q = q->next) {
        uint32_t calls = queue_waiting(q->queue);
        if (calls == 0 || i-- > 0) continue;
        *ret =
            (struct requests_queue){.model = q->model, .calls = calls, .work = queue_work(q->queue, now), .since = queue_oldest(q->queue)};
        return true;
    }
    return false;
}

uint64_t requests_queued(const struct gateway *g) {
    uint64_t waiting = 0;
    for (const struct model_queue *q = g->requests->queues; q != NULL; q = q->next) waiting += queue_waiting(q->queue);
    return waiting;
}
