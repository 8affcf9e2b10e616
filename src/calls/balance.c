/* SPDX-License-Identifier: MIT
 * See balance.h. */
#include "calls/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "calls/demand.h"
#include "members/ask.h"
#include "routing/failure.h"

enum { MAX_TARGETS = 64 };

struct balance {
    struct balance_parts parts;
    struct router *router;
    struct demand *demand;
    struct traffic *traffic;
    uint64_t told; /* a hash of what the last BUSY said */
};

struct balance *balance_create(const struct balance_parts *parts) {
    struct balance *b = MEM_NEW(struct balance);
    b->parts = *parts;
    b->router = router_create();
    b->demand = demand_create();
    b->traffic = traffic_create();
    return b;
}

void balance_free(struct balance *b) {
    if (!b) return;
    router_free(b->router);
    demand_free(b->demand);
    traffic_free(b->traffic);
    free(b);
}

static bool balance_keep(void *user, const char *instance) { return instances_has(user, instance); }

static bool balance_hears(void *user, uint64_t node) {
    const struct instances *s = user;
    return node == s->self || records_linked(s->records, node) != NULL;
}

void balance_update(struct balance *b) {
    router_sweep(b->router, balance_keep, &b->parts.instances);
    demand_sweep(b->demand, balance_hears, &b->parts.instances);
    traffic_sweep(b->traffic, balance_hears, &b->parts.instances);
}

/* ---- the choice ---- */

/* The work of heads on this node is known exactly. */
static void balance_look_here(struct balance *b, const char *instance) {
    struct stage_child *child;
    uint64_t count;
    for (size_t i = 0; (child = stages_get(b->parts.stages, i)); i++)
        if (stage_child_order(child)->stage == 0 && strcmp(stage_child_order(child)->instance, instance) == 0)
            router_report(b->router, clock_now(), instance, (uint32_t)b->parts.here(b->parts.user, instance),
                          stage_child_asked(child, &count));
}

/* The instances of the model that can be asked. */
static size_t balance_targets(struct balance *b, const char *model, const struct record_model *found[MAX_TARGETS],
                              struct router_target targets[MAX_TARGETS]) {
    const struct instances *s = &b->parts.instances;
    const struct record_model *m;
    size_t count = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL && count < MAX_TARGETS; k++) {
            if (strcmp(m->name, model) != 0 || !instances_reaches(s, m)) continue;
            if (m->head == s->self) balance_look_here(b, m->instance);
            found[count] = m;
            targets[count++] = (struct router_target){.instance = m->instance,
                                                      .capacity = m->wish.parallel + b->parts.queue,
                                                      .here = m->head == s->self,
                                                      .places = m->wish.parallel};
        }
    return count;
}

/* Why no instance of the model can be asked. */
static err_code balance_none(struct balance *b, const char *model, struct err *e) {
    struct coordinator_claim claim;
    if (!serve_claimed(b->parts.serve, model, &claim)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", model);
    const struct record_model *m = claim.model;
    if (m->leaves) return err_set(e, ERR_UNAVAILABLE, "model \"%s\" makes room for another one, and is loaded again after it", m->name);
    if (m->ready) return err_set(e, ERR_UNAVAILABLE, "the node that answers for model \"%s\" cannot be reached", m->name);
    return err_set(e, ERR_UNAVAILABLE, "model \"%s\" is not ready: %s", m->name, m->message[0] ? m->message : "it is being loaded");
}

err_code balance_pick(struct balance *b, const char *model, const struct router_request *request, const struct record_model **ret,
                      struct err *e) {
    const struct record_model *found[MAX_TARGETS];
    struct router_target targets[MAX_TARGETS];
    size_t at = 0, count = balance_targets(b, model, found, targets);
    if (count == 0) return balance_none(b, model, e);
    err_code code = router_pick(b->router, clock_now(), targets, count, request, &at, e);
    if (code == ERR_OK) *ret = found[at];
    return code;
}

clock_us balance_begin(struct balance *b, const char *instance, const struct router_request *request) {
    return router_begin(b->router, clock_now(), instance, request);
}

/* A failure that lies in the request says nothing about the instance. */
void balance_end(struct balance *b, const char *instance, clock_us predicted, err_code code) {
    router_end(b->router, clock_now(), instance, predicted, failure_of_error(code)->counts);
}

void balance_learn(struct balance *b, const char *instance, const struct request_event *ev) {
    uint32_t cached = ev->cached_tokens < ev->prompt_tokens ? ev->cached_tokens : ev->prompt_tokens;
    router_learn(b->router, clock_now(), instance, ev->prompt_tokens - cached, ev->prefill_us, ev->completion_tokens, ev->decode_us);
}

/* ---- how much work there is, and how long a model stays ---- */

struct coordinator_work balance_work(struct balance *b, const char *instance) {
    clock_us now = clock_now();
    balance_look_here(b, instance);
    return (struct coordinator_work){.calls = router_load(b->router, now, instance), .used = router_used(b->router, now, instance)};
}

struct coordinator_queue balance_queue(struct balance *b, const char *model) { return demand_of(b->demand, clock_now(), model); }

/* Of several copies the one counts that stays longest. */
int64_t balance_expires(struct balance *b, const char *model) {
    const struct instances *s = &b->parts.instances;
    const struct record_model *m;
    int64_t latest = 0;
    for (size_t i = 0; i < instances_nodes(s); i++)
        for (size_t k = 0; (m = instances_get(s, i, k)) != NULL; k++) {
            if (strcmp(m->name, model) != 0 || !m->ready) continue;
            if (!wish_says(&m->wish, WISH_KEEP_S) || m->wish.kept) return INT64_MAX;
            struct coordinator_work w = balance_work(b, m->instance);
            clock_us now = clock_now(), used = w.calls > 0 ? now : w.used;
            int64_t left = (int64_t)m->wish.keep_s - (int64_t)((now - used) / 1000000u);
            if (left < 0) left = 0;
            if (clock_wall_s() + left > latest) latest = clock_wall_s() + left;
        }
    return latest > 0 ? latest : INT64_MAX;
}

/* ---- what heads say of their work ---- */

/* The work of the heads on this node. Returns a hash of it. */
static uint64_t balance_heads(struct balance *b, struct ask_work *w) {
    struct stage_child *child;
    clock_us now = clock_now();
    uint64_t hash = 0;
    for (size_t i = 0; (child = stages_get(b->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(child);
        if (o->stage != 0 || w->n_instances == ARRAY_LEN(w->instances)) continue;
        uint64_t total, calls = b->parts.here(b->parts.user, o->instance);
        clock_us asked = stage_child_asked(child, &total);
        struct ask_busy *one = &w->instances[w->n_instances++];
        *one = (struct ask_busy){.calls = (uint32_t)calls, .idle_ms = asked ? (now - asked) / 1000 : UINT64_MAX};
        snprintf(one->instance, sizeof(one->instance), "%s", o->instance);
        hash = hash * 1000003u + o->epoch + total * 31 + calls;
    }
    return hash;
}

/* What waits in this node's gateway. Its coordinator hears it too. Returns a hash of it, but for small changes of predictions. */
static uint64_t balance_waiting(struct balance *b, struct ask_work *w) {
    enum { STEP_MS = 500 };
    uint64_t hash = 0;
    w->n_queues = (uint32_t)b->parts.waiting(b->parts.user, w->queues, &hash);
    for (size_t i = 0; i < w->n_queues; i++) {
        const struct ask_queue *q = &w->queues[i];
        hash = (hash * 1000003u + str_hash(q->model)) * 1000003u + q->calls * 31u + q->work_ms / STEP_MS;
    }
    demand_hear(b->demand, clock_now(), b->parts.instances.self, w->queues, w->n_queues);
    return hash;
}

/* What this node's ring links have carried. Returns a hash of it. */
static uint64_t balance_links(struct balance *b, struct ask_work *w) {
    struct stage_child *child;
    uint64_t hash = 0;
    for (size_t i = 0; (child = stages_get(b->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(child);
        const struct stage_traffic *t = stage_child_traffic(child);
        if (o->n_stage < 2 || w->n_links == ARRAY_LEN(w->links)) continue;
        struct ask_link *one = &w->links[w->n_links++];
        *one = (struct ask_link){.stage = o->stage, .sent = t->sent, .received = t->received, .frames = t->frames};
        snprintf(one->instance, sizeof(one->instance), "%s", o->instance);
        hash = hash * 1000003u + t->sent;
    }
    traffic_hear(b->traffic, b->parts.instances.self, w->links, w->n_links);
    return hash;
}

const struct traffic *balance_traffic(const struct balance *b) { return b->traffic; }

void balance_tell(struct balance *b) {
    const struct records *r = b->parts.instances.records;
    struct ask_work *w = MEM_NEW(struct ask_work);
    uint64_t hash = balance_heads(b, w);
    hash = hash * 1000003u + balance_waiting(b, w);
    hash = hash * 1000003u + balance_links(b, w);
    struct buf frame;
    buf_init(&frame, frame_max_payload(FRAME_BUSY));
    if (hash != b->told) ask_work_encode(w, &frame);
    for (size_t i = 0; i < r->n_linked && hash != b->told && !frame.failed; i++)
        control_send(b->parts.control, r->linked[i]->id, FRAME_BUSY, 0, frame.data, frame.len);
    b->told = hash;
    buf_done(&frame);
    free(w);
}

void balance_tell_anew(struct balance *b) { b->told = 0; }

err_code balance_on_busy(struct balance *b, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct ask_work *w = MEM_NEW(struct ask_work);
    clock_us now = clock_now();
    err_code code = ask_work_decode(payload, len, w, e);
    for (size_t i = 0; code == ERR_OK && i < w->n_instances; i++) {
        const struct ask_busy *one = &w->instances[i];
        if (instances_has(&b->parts.instances, one->instance))
            router_report(b->router, now, one->instance, one->calls, one->idle_ms < now / 1000 ? now - one->idle_ms * 1000 : 0);
    }
    if (code == ERR_OK && from != b->parts.instances.self) {
        demand_hear(b->demand, now, from, w->queues, w->n_queues);
        traffic_hear(b->traffic, from, w->links, w->n_links);
    }
    free(w);
    return code;
}
