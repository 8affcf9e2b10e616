/* SPDX-License-Identifier: MIT
 * See offers.h. */
#include "coordinator/offers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FRESH_US 5000000u /* a copy is left alone for so long after it has become ready */
#define REACH_US 10000000u /* nodes find out within this time whether they can connect to each other */
#define AGAIN_US 5000000u /* another coordinator may take so long to unload a copy; then somebody is asked again */

/* ---- which stages take memory ---- */

/* The record of this instance, wherever it is coordinated; NULL: nobody coordinates it any more. */
static const struct record_model *instance_record(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    const struct copy *x = copy_find(c, instance);
    if (x) return x->state == COPY_CLOSING ? NULL : &x->record;
    for (size_t i = 1; i < v->n_linked; i++)
        for (uint32_t k = 0; k < v->records[i]->n_models; k++)
            if (strcmp(v->records[i]->models[k].instance, instance) == 0) return &v->records[i]->models[k];
    return NULL;
}

bool offers_idle(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    const struct record_model *m = instance_record(c, v, instance);
    return m && m->ready && v->work(v->user, instance).calls == 0;
}

static bool counts_busy(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    return !offers_idle(c, v, instance);
}

/* As counts_busy, but only this coordinator's idle copies leave. */
static bool counts_here(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    return !copy_find(c, instance) || !offers_idle(c, v, instance);
}

/* A stage of an instance that nobody coordinates any more is about to go. */
static bool counts_staying(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    return instance_record(c, v, instance) != NULL;
}

static bool counts_none(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    (void)c;
    (void)v;
    (void)instance;
    return false;
}

/* ---- offers ---- */

bool offers_shows(const struct record *r, const char *instance, uint64_t epoch, uint32_t stage) {
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (r->stages[i].epoch == epoch && r->stages[i].stage == stage && strcmp(r->stages[i].instance, instance) == 0) return true;
    return false;
}

/* Bytes of slices that this coordinator has ordered from the node and that the node's record does not show yet. */
static uint64_t offers_ordered(const struct coordinator *c, const struct coordinator_view *v, const struct copy *but,
                               const struct record *r, offers_counts_fn counts) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *x = c->copies[i];
        const struct plan *p = instance_plan(x->instance);
        if (x == but || x->state == COPY_CLOSING || (counts && !counts(c, v, x->record.instance))) continue;
        for (uint32_t k = 0; k < p->n_stage; k++)
            if (instance_node(x->instance, k)->id == r->id && !offers_shows(r, x->record.instance, instance_epoch(x->instance), k))
                bytes += p->stages[k].bytes;
    }
    return bytes;
}

/* Must it fetch its slice, and can it? It asks this node for the weights. */
static void offer_weights(const struct coordinator *c, const struct coordinator_model *m, const struct record *r, struct plan_node *p) {
    const struct record_peer *here = record_peer_of(r, c->self);
    p->fetches = r->id != c->self;
    for (uint32_t i = 0; i < r->n_files; i++) {
        if (strcmp(r->files[i].model, m->id) != 0) continue;
        if (r->files[i].whole) p->fetches = false;
        p->room = UINT64_MAX; /* it has some of it, and how much is not known here */
    }
    p->cut_off = p->fetches && here != NULL && here->reach == RECORD_REACH_NO;
}

static struct plan_node offer_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m,
                                   const struct copy *x, const struct record *r, offers_counts_fn counts) {
    uint64_t used = offers_ordered(c, v, x, r, counts);
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const char *instance = r->stages[i].instance;
        bool own = x && strcmp(instance, x->record.instance) == 0;
        if (!own && (!counts || counts(c, v, instance))) used += r->stages[i].bytes;
    }
    struct plan_node p = {.id = r->id, .memory = used < r->memory ? r->memory - used : 0, .room = r->room};
    offer_weights(c, m, r, &p);
    snprintf(p.name, sizeof(p.name), "%s", r->name);
    for (uint32_t i = 0; i < r->profile.n_devices && i < PLAN_MAX_DEVICES; i++) {
        const struct profile_device *d = &r->profile.devices[i];
        struct plan_device *out = &p.devices[p.n_devices++];
        *out =
            (struct plan_device){.gpu = d->gpu, .memory = d->gpu ? d->memory_free : p.memory, .bandwidth = d->bandwidth, .flops = d->flops};
        snprintf(out->name, sizeof(out->name), "%s", d->name);
    }
    if (v->correct) v->correct(v->user, m->arch, &p);
    return p;
}

static bool copy_is_on(const struct copy *x, uint64_t node) {
    for (uint32_t k = 0; k < instance_plan(x->instance)->n_stage; k++)
        if (instance_node(x->instance, k)->id == node) return true;
    return false;
}

/* Does another replica of the same model use this node? Each has nodes of its own. */
static bool offers_taken(const struct coordinator *c, const struct coordinator_model *m, const struct copy *x, uint64_t node) {
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *other = c->copies[i];
        if (other != x && other->state != COPY_CLOSING && other->model == m && copy_is_on(other, node)) return true;
    }
    return false;
}

uint32_t offers_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                     offers_counts_fn counts, struct plan_node *ret) {
    uint32_t count = 0;
    for (size_t i = 0; i < v->n_records; i++) {
        const struct record *r = v->records[i];
        if (i >= v->n_linked && !(x && copy_is_on(x, r->id))) continue; /* a lost link is not yet a lost node: its stages go on */
        if (i < v->n_linked && offers_taken(c, m, x, r->id)) continue;
        ret[count++] = offer_make(c, v, m, x, r, counts);
    }
    plan_tell_apart(ret, count, NULL);
    return count;
}

bool offers_fit(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, const struct copy *x,
                offers_counts_fn counts, uint32_t *ret_stages) {
    struct plan_node *nodes = mem_calloc(v->n_records, sizeof(*nodes));
    struct plan *p = MEM_NEW(struct plan);
    uint32_t count = offers_make(c, v, m, x, counts, nodes);
    bool fits = count > 0 && plan_make(m->plan, nodes, count, &m->wish, p, NULL) == ERR_OK;
    if (ret_stages) *ret_stages = p->n_stage;
    free(p);
    free(nodes);
    return fits;
}

/* ---- making room ---- */

/* A copy that has just been loaded waits for its first request, so that two models which are asked for in turn do not evict each other
 * unused. */
struct copy *offers_oldest(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                           const struct coordinator_model *but) {
    struct copy *oldest = NULL;
    clock_us oldest_used = 0;
    for (size_t i = 0; i < c->n_copies; i++) {
        struct copy *x = c->copies[i];
        if (x->model == but || (name && strcmp(x->record.name, name) != 0)) continue;
        if (x->state != COPY_WANTED || !offers_idle(c, v, x->record.instance)) continue;
        clock_us used = v->work(v->user, x->record.instance).used;
        if (used < x->ready && now < x->ready + FRESH_US) continue;
        if (oldest && used >= oldest_used) continue;
        oldest = x;
        oldest_used = used;
    }
    return oldest;
}

static bool offers_any_leaves(const struct coordinator *c) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->state == COPY_ASKED || c->copies[i]->state == COPY_CLOSING) return true;
    return false;
}

/* This coordinator's idle copies do not leave enough room. Unless the oldest of them, `own` (NULL: none), has been idle for longer, the
 * coordinator of the copy that has been idle for longest is asked to unload it. */
static void offers_ask_others(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, struct copy *own) {
    struct coordinator_action a = {.kind = COORDINATOR_ASK_ROOM};
    clock_us oldest = own ? v->work(v->user, own->record.instance).used : UINT64_MAX;
    if (x->room_asked != 0 && now < x->room_asked + AGAIN_US) return;
    for (size_t i = 1; i < v->n_linked; i++)
        for (uint32_t k = 0; k < v->records[i]->n_models; k++) {
            const struct record_model *m = &v->records[i]->models[k];
            struct coordinator_work w = v->work(v->user, m->instance);
            if (strcmp(m->name, x->record.name) == 0 || !m->ready || w.calls > 0 || w.used >= oldest) continue;
            oldest = w.used;
            a.node = v->records[i]->id;
            snprintf(a.model, sizeof(a.model), "%s", m->name);
        }
    if (a.node == 0 && own) copy_ask(c, own, now, "others need the room");
    if (a.node == 0) return;
    x->room_asked = now;
    coordinator_act(c, &a);
}

/* Is it not known yet whether some linked nodes can connect to each other? A plan does without such a pair until it is. Not waited for
 * without end: a node may be unable to find out. */
static bool offers_unknown(const struct copy *x, clock_us now, const struct coordinator_view *v) {
    const struct plan_wish *w = &x->model->wish;
    bool unknown = false;
    for (size_t i = 0; w->link && now < x->since + REACH_US && i < v->n_linked; i++)
        for (size_t k = 0; k < v->n_linked && !unknown; k++)
            unknown = i != k && w->link(w->link_user, v->records[i]->id, v->records[k]->id).reach == PLAN_REACH_UNKNOWN;
    return unknown;
}

void offers_make_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    err_code trouble = instance_trouble(x->instance);
    if (instance_get_state(x->instance) != INSTANCE_WAITING || (trouble != ERR_NO_ROOM && trouble != ERR_WHOLE_ONLY)) {
        x->room = ROOM_UNKNOWN;
        return;
    }
    bool fits = offers_fit(c, v, x->model, x, counts_busy, NULL);
    bool later = fits || offers_fit(c, v, x->model, x, counts_none, NULL) || offers_unknown(x, now, v);
    x->room = later ? ROOM_LATER : ROOM_NONE;
    if (!fits || x->record.replica > 0 || offers_any_leaves(c)) return; /* nothing leaves for a replica, and one copy leaves at a time */
    if (offers_fit(c, v, x->model, x, counts_staying, NULL)) return;
    struct copy *oldest = offers_oldest(c, now, v, NULL, x->model);
    if (!offers_fit(c, v, x->model, x, counts_here, NULL)) offers_ask_others(c, x, now, v, oldest);
    else if (oldest) copy_ask(c, oldest, now, "others need the room");
}
