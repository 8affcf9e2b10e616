/* SPDX-License-Identifier: MIT
 * See offers.h. */
#include "coordinator/offers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "coordinator/used.h"

#define FRESH_US 5000000u /* a copy is left alone for so long after it has become ready */
#define REACH_US 25000000u /* nodes find out within this time whether they can connect to each other, and by which network */
#define PRESS_US 1000000u /* that a busy one is to leave is said so often */
#define AGAIN_US 5000000u /* another coordinator may take so long to unload a copy; then somebody is asked again */

#define GRACE_US 500000u  /* a model whose client may just be about to ask again: it is idle only after this time */
#define SPARE_US 30000000u /* no copy of a busy model takes the room of a model that was idle for less */
#define DRAIN_US 5000000u /* a copy that was asked to leave for others stays if they do not ask again within this time */

static const struct offers_who spare = {.spare = true, .idle_for = SPARE_US};

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
    return m && m->ready && v->work(v->user, instance).calls == 0 && v->queue(v->user, m->name).calls == 0;
}

bool offers_is_wanted(const struct copy *x, const struct coordinator_view *v) {
    const struct load_wish *w = &x->record.wish;
    return w->kept || w->pinned || v->queue(v->user, x->record.name).calls > 0;
}

static bool came_with_load(const struct record_model *m) { return m->replica > 0 && m->wish.replicas == 0; }

/* Is it such a copy, as far as that does not depend on requests? */
static bool who_is(const struct offers_who *who, const struct record_model *m) {
    if (who->name && strcmp(m->name, who->name) != 0) return false;
    if (who->spare && (m->wish.kept || m->wish.pinned)) return false;
    return m->ready && (!who->replicas || came_with_load(m));
}

static bool idle_for(const struct coordinator *c, const struct coordinator_view *v, const char *instance, clock_us least) {
    return offers_idle(c, v, instance) && c->now >= v->work(v->user, instance).used + least;
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

/* As counts_busy, but copies that came with the load leave too. */
static bool counts_firm(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    const struct record_model *m = instance_record(c, v, instance);
    return !offers_idle(c, v, instance) && !(m && m->ready && came_with_load(m));
}

/* Only what nobody has asked for by hand leaves, and only if it has been idle for a while. */
static bool counts_lasting(const struct coordinator *c, const struct coordinator_view *v, const char *instance) {
    const struct record_model *m = instance_record(c, v, instance);
    return !m || !who_is(&spare, m) || !idle_for(c, v, instance, spare.idle_for);
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

/* Adds the slices that this coordinator has ordered from the node and that the node's record does not show yet. */
static void offers_ordered(const struct coordinator *c, const struct coordinator_view *v, const struct copy *but, const struct record *r,
                           offers_counts_fn counts, struct used *used) {
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *x = c->copies[i];
        const struct plan *p = instance_plan(x->instance);
        if (x == but || x->state == COPY_CLOSING || (counts && !counts(c, v, x->record.instance))) continue;
        for (uint32_t k = 0; k < p->n_stage; k++) {
            const struct plan_node *node = instance_node(x->instance, k);
            struct engine_used on[ENGINE_MAX_USED];
            if (node->id != r->id || offers_shows(r, x->record.instance, instance_epoch(x->instance), k)) continue;
            used_add(used, p->stages[k].bytes, on, used_planned(x->model->plan, node, &p->stages[k], on));
        }
    }
}

/* Must it fetch its slice, and can it? It asks this node for the weights. And what did it hold before? */
static void offer_weights(const struct coordinator *c, const struct coordinator_model *m, const struct record *r, struct plan_node *p) {
    p->fetches = r->id != c->self;
    for (uint32_t i = 0; i < r->n_files; i++) {
        if (strcmp(r->files[i].model, m->id) != 0) continue;
        if (r->files[i].whole) p->fetches = false;
        p->room = UINT64_MAX; /* it has some of it, and how much is not known here */
    }
    for (uint32_t i = 0; i < r->n_held; i++) {
        if (strcmp(r->held[i].model, m->id) != 0) continue;
        p->had_first = r->held[i].first;
        p->had_end = r->held[i].end;
    }
    const struct plan_wish *w = &m->wish;
    p->cut_off = p->fetches && w->link && w->link(w->link_user, r->id, c->self).reach == PLAN_REACHES_NOT;
}

static struct plan_node offer_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m,
                                   const struct copy *x, const struct record *r, offers_counts_fn counts) {
    struct used used = {0};
    offers_ordered(c, v, x, r, counts, &used);
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const char *instance = r->stages[i].instance;
        bool own = x && strcmp(instance, x->record.instance) == 0;
        if (!own && (!counts || counts(c, v, instance))) used_add(&used, r->stages[i].bytes, r->stages[i].on, r->stages[i].n_on);
    }
    struct plan_node p = {.id = r->id, .room = r->room};
    used_offer(&used, r, &p);
    offer_weights(c, m, r, &p);
    snprintf(p.name, sizeof(p.name), "%s", r->name);
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
        if (r->drained || (i < v->n_linked && offers_taken(c, m, x, r->id))) continue;
        ret[count++] = offer_make(c, v, m, x, r, counts);
    }
    plan_tell_apart(ret, count, NULL);
    return count;
}

uint32_t offers_drained(const struct coordinator_view *v, const struct copy *x, uint64_t ret[PLAN_MAX_STAGES]) {
    uint32_t n = 0;
    for (size_t i = 0; i < v->n_records && n < PLAN_MAX_STAGES; i++)
        if (v->records[i]->drained && copy_is_on(x, v->records[i]->id)) ret[n++] = v->records[i]->id;
    return n;
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
struct copy *offers_oldest(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const struct offers_who *who) {
    struct copy *oldest = NULL;
    clock_us oldest_used = 0;
    for (size_t i = 0; i < c->n_copies; i++) {
        struct copy *x = c->copies[i];
        if (x->model == who->but || !who_is(who, &x->record)) continue;
        if (x->state != COPY_WANTED || !idle_for(c, v, x->record.instance, who->idle_for)) continue;
        clock_us used = v->work(v->user, x->record.instance).used;
        if (used < x->ready && now < x->ready + FRESH_US) continue;
        if (oldest && used >= oldest_used) continue;
        oldest = x;
        oldest_used = used;
    }
    return oldest;
}

/* Does a come before b among those that give way? */
static bool drains_first(const struct copy *a, const struct copy *b) {
    bool with_load = came_with_load(&a->record);
    if (with_load != came_with_load(&b->record)) return with_load;
    return with_load ? a->record.replica > b->record.replica : a->ready < b->ready;
}

bool offers_drain(struct coordinator *c, clock_us now, const struct offers_who *who) {
    struct copy *first = NULL;
    for (size_t i = 0; i < c->n_copies; i++) {
        struct copy *x = c->copies[i];
        if (x->model == who->but || x->state != COPY_WANTED || !who_is(who, &x->record)) continue;
        if (!came_with_load(&x->record) && now < x->ready + c->tuning.swap_wait) continue;
        if (!first || drains_first(x, first)) first = x;
    }
    if (!first) return false;
    if (first->drain == DRAIN_NOT) copy_drain(c, first, DRAIN_ROOM, "another model needs the room");
    first->drain_until = now + DRAIN_US;
    return true;
}

static bool offers_any_leaves(const struct coordinator *c) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->state == COPY_ASKED || c->copies[i]->state == COPY_CLOSING) return true;
    return false;
}

/* Asks the coordinator of the copy that was used longest ago, of other models than x's, to unload it; if it was used before `before`.
 * False: there is none. */
static bool offers_ask_others(struct coordinator *c, struct copy *x, const struct coordinator_view *v, const struct offers_who *who,
                              enum coordinator_room room, clock_us before) {
    struct coordinator_action a = {.kind = COORDINATOR_ASK_ROOM, .room = room};
    if (x->room_asked != 0 && c->now < x->room_asked + (room == COORDINATOR_ROOM_IDLE ? AGAIN_US : PRESS_US)) return true;
    for (size_t i = 1; i < v->n_linked; i++)
        for (uint32_t k = 0; k < v->records[i]->n_models; k++) {
            const struct record_model *m = &v->records[i]->models[k];
            clock_us used = v->work(v->user, m->instance).used;
            if (strcmp(m->name, x->record.name) == 0 || !who_is(who, m) || used >= before) continue;
            if (room == COORDINATOR_ROOM_IDLE && !idle_for(c, v, m->instance, who->idle_for)) continue;
            before = used;
            a.node = v->records[i]->id;
            snprintf(a.model, sizeof(a.model), "%s", m->name);
        }
    if (a.node == 0) return false;
    x->room_asked = c->now;
    coordinator_act(c, &a);
    return true;
}

/* Has one copy unloaded that is idle. Those of this coordinator alone suffice if `here`; else the one goes that was used longest ago. */
static void offers_evict(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v,
                         const struct offers_who *who, bool here) {
    struct copy *oldest = offers_oldest(c, now, v, who);
    clock_us before = oldest ? v->work(v->user, oldest->record.instance).used : UINT64_MAX;
    if (!here && offers_ask_others(c, x, v, who, COORDINATOR_ROOM_IDLE, before)) return;
    if (oldest) copy_ask(c, oldest, now, "others need the room");
}

/* For how long the model has waited for room: no longer than the requests that want it, some of which may have given up, unless a user
 * wants it. */
static clock_us waited_for_room(const struct copy *x, clock_us now, const struct coordinator_view *v) {
    const struct load_wish *w = &x->record.wish;
    clock_us waited = now - x->room_since, oldest = v->queue(v->user, x->record.name).oldest;
    return w->kept || w->pinned || oldest > waited ? waited : oldest;
}

/* No idle copies would leave enough room: others give way. */
static void offers_press(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    struct offers_who who = {.but = x->model, .replicas = offers_fit(c, v, x->model, x, counts_firm, NULL)};
    if (!who.replicas && waited_for_room(x, now, v) < c->tuning.swap_wait) return;
    enum coordinator_room room = who.replicas ? COORDINATOR_ROOM_FURTHER : COORDINATOR_ROOM_BUSY;
    if (!offers_drain(c, now, &who)) offers_ask_others(c, x, v, &who, room, UINT64_MAX);
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

static bool waits_for_room(const struct copy *x) {
    err_code trouble = instance_trouble(x->instance);
    return instance_get_state(x->instance) == INSTANCE_WAITING && (trouble == ERR_NO_ROOM || trouble == ERR_WHOLE_ONLY);
}

uint32_t offers_make_idle(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x, struct plan_node *ret) {
    return offers_make(c, v, x->model, x, counts_busy, ret);
}

bool offers_lack(const struct coordinator *c, const struct copy *x, clock_us now, const struct coordinator_view *v) {
    return waits_for_room(x) && !offers_unknown(x, now, v) && !offers_any_leaves(c) && !offers_fit(c, v, x->model, x, counts_busy, NULL);
}

void offers_make_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (!waits_for_room(x)) {
        x->room = ROOM_UNKNOWN;
        x->room_since = 0;
        x->others_have_room = false;
        x->yields = x->yields && instance_get_state(x->instance) == INSTANCE_WAITING;
        return;
    }
    bool fits = offers_fit(c, v, x->model, x, counts_busy, NULL), could = fits || offers_fit(c, v, x->model, x, counts_none, NULL);
    x->room = could || offers_unknown(x, now, v) ? ROOM_LATER : ROOM_NONE;
    if (x->room_since == 0) x->room_since = x->yields ? x->since : now; /* what it left to another model first counts as waiting */
    x->yields = false;
    x->others_have_room = could;
    if (!could || x->record.replica > 0 || offers_any_leaves(c)) return; /* nothing leaves for a replica, and one copy leaves at a time */
    if (!offers_is_wanted(x, v)) return; /* the clients that asked for it have given up */
    if (offers_fit(c, v, x->model, x, counts_staying, NULL)) return;
    if (!fits) {
        offers_press(c, x, now, v);
        return;
    }
    clock_us wait = c->tuning.swap_wait, grace = waited_for_room(x, now, v) >= wait ? 0 : GRACE_US < wait ? GRACE_US : wait;
    const struct offers_who who = {.but = x->model, .idle_for = grace};
    offers_evict(c, x, now, v, &who, offers_fit(c, v, x->model, x, counts_here, NULL));
}

void offers_make_spare_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    struct offers_who who = spare;
    uint32_t n_stage;
    who.but = x->model;
    if (offers_any_leaves(c) || !offers_fit(c, v, x->model, NULL, counts_lasting, &n_stage) || n_stage != 1) return;
    offers_evict(c, x, now, v, &who, false);
}
