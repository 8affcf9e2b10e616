/* SPDX-License-Identifier: MIT
 * See coordinator.h. The rules stand in coordinator_update, in order. */
#include "coordinator/coordinator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "coordinator/copy.h"
#include "coordinator/offers.h"
#include "coordinator/replan.h"
#include "coordinator/scale.h"
#include "coordinator/state.h"
#include "coordinator/waker.h"

enum { COPIES_MAX = RECORD_MAX_MODELS };

#define ANSWER_US   5000000u  /* how long the coordinator waits for a head's node to answer to an UNLOAD */
#define RIVAL_US    3000000u  /* longer than news of a change takes to spread */
#define GIVEN_UP_US 60000000u /* the reason of a load that failed is shown for so long */
#define AGAIN_US    5000000u  /* a slice that its node's record does not show by then is ordered again: the order may have been lost */
#define TAKE_US     5000000u  /* a copy that is younger than that room leaves it to others for so long */
#define GIVE_US     30000000u /* another node that was given room has so long to load its model there */
#define WAIT_US     3000000u  /* requests that wait for a model in the gateways of other nodes are heard of within this time */
#define SWEEP_US    5000000u /* how often stray stages are looked for: an UNLOAD may have been lost with a link */

struct coordinator *coordinator_create(uint64_t self, uint32_t tag) {
    struct coordinator *c = MEM_NEW(struct coordinator);
    c->self = self;
    c->tag = tag;
    c->tuning = (struct coordinator_tuning){.up_wait = 5000000, .up_for = 15000000, .down_for = 120000000, .swap_wait = 10000000};
    return c;
}

void coordinator_tune(struct coordinator *c, const struct coordinator_tuning *t) { c->tuning = *t; }

void coordinator_free(struct coordinator *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n_copies; i++) copy_free(c->copies[i]);
    free(c->copies);
    free(c->actions);
    free(c);
}

/* ---- actions ---- */

/* A later event has made this order void. */
static bool action_is_stale(const struct coordinator *c, const struct coordinator_action *a) {
    if (a->kind != COORDINATOR_LOAD) return false;
    const struct copy *x = copy_find(c, a->instance);
    return !x || !copy_is_live(x) || a->epoch != instance_epoch(x->instance) || a->stage >= instance_plan(x->instance)->n_stage;
}

bool coordinator_next_action(struct coordinator *c, struct coordinator_action *ret) {
    while (c->at_action < c->n_actions) {
        *ret = c->actions[c->at_action++];
        if (!action_is_stale(c, ret)) return true;
    }
    if (!c->publish) return false;
    c->publish = false;
    *ret = (struct coordinator_action){.kind = COORDINATOR_PUBLISH};
    return true;
}

/* ---- what there is ---- */

/* The first copy of this name that is not closing. */
static struct copy *copy_named(const struct coordinator *c, const char *name) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->state != COPY_CLOSING && strcmp(c->copies[i]->record.name, name) == 0) return c->copies[i];
    return NULL;
}

const struct record_model *coordinator_get(const struct coordinator *c, size_t at) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->state != COPY_CLOSING && at-- == 0) return &c->copies[i]->record;
    return NULL;
}

size_t coordinator_count(const struct coordinator *c) {
    size_t count = 0;
    for (size_t i = 0; i < c->n_copies; i++) count += c->copies[i]->state != COPY_CLOSING;
    return count;
}

const struct instance *coordinator_find(const struct coordinator *c, const char *instance, const struct coordinator_model **ret_model) {
    const struct copy *x = copy_find(c, instance);
    if (x && ret_model) *ret_model = x->model;
    return x ? x->instance : NULL;
}

bool coordinator_uses(const struct coordinator *c, const struct coordinator_model *m) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->model == m) return true;
    return false;
}

const struct orphans *coordinator_orphans(const struct coordinator *c) { return &c->orphans; }
const struct unloads *coordinator_unloads(const struct coordinator *c) { return &c->unloads; }

/* ---- somebody asks ---- */

static void close_named(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name) {
    struct copy *x;
    while ((x = copy_named(c, name)) != NULL) copy_close(c, x, now, v);
}

err_code coordinator_may_load(const struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                              struct err *e) {
    struct coordinator_claim claim;
    if (copy_named(c, name) || !coordinator_claimed(c, now, v, name, &claim) || claim.model->failed) return ERR_OK;
    return err_set(e, ERR_UNAVAILABLE, "node %s looks after model \"%s\"", claim.node_name, name);
}

/* By wish_met they are the files that the model was loaded with; the scales may be others. */
static void set_adapters(struct coordinator *c, const char *name, const char *adapters) {
    for (size_t i = 0; i < c->n_copies; i++)
        if (strcmp(c->copies[i]->record.name, name) == 0) wish_set_text(&c->copies[i]->record.wish, WISH_LORA, adapters);
    c->publish = true;
}

bool coordinator_load(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                      const struct load_wish *wish) {
    struct copy *x = copy_named(c, name);
    if (x && (x->state == COPY_GIVEN_UP || (x->record.failed && wish_met(wish, &x->record.wish, name, NULL) != ERR_OK))) {
        close_named(c, now, v, name);
        x = NULL;
    }
    if (x && wish->kept) { /* clients no longer decide how long it stays */
        wish_set(&x->record.wish, WISH_KEPT, true);
        wish_set(&x->record.wish, WISH_ASKED, claims_now(c, v, name));
        c->publish = true;
    }
    if (x && wish_says(wish, WISH_LORA)) set_adapters(c, name, wish->lora);
    return !x;
}

err_code coordinator_open(struct coordinator *c, clock_us now, const struct coordinator_view *v, const struct coordinator_model *m,
                          struct err *e) {
    if (coordinator_count(c) >= COPIES_MAX) {
        err_set(e, ERR_LIMIT, "this node coordinates %d models already", COPIES_MAX);
        err_hint(e, "unload one of them: caravan unload MODEL");
        return ERR_LIMIT;
    }
    copy_create(c, v, m, NULL, 0, claims_now(c, v, m->record.name))->since = now;
    return ERR_OK;
}

err_code coordinator_unload(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name, struct err *e) {
    if (!copy_named(c, name) && !orphans_find(&c->orphans, name)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", name);
    close_named(c, now, v, name);
    orphans_drop(&c->orphans, name);
    unloads_add(&c->unloads, name, (uint32_t)v->wall); /* a node that is away must not bring it back */
    c->publish = true;
    return ERR_OK;
}

err_code coordinator_give_room(struct coordinator *c, clock_us now, const struct coordinator_view *v, const char *name,
                               enum coordinator_room room, struct err *e) {
    c->now = now;
    if (!copy_named(c, name)) return err_set(e, ERR_NOT_FOUND, "model \"%s\" is not loaded", name);
    struct copy *oldest = offers_oldest(c, now, v, &(struct offers_who){.name = name});
    const struct offers_who busy = {.name = name, .replicas = room == COORDINATOR_ROOM_FURTHER};
    if (!oldest && room != COORDINATOR_ROOM_IDLE && offers_drain(c, now, &busy)) return ERR_OK;
    if (!oldest) return err_set(e, ERR_BUSY, "model \"%s\" is in use", name);
    c->gives_until = now + GIVE_US;
    c->gave = now;
    for (size_t i = c->n_copies; i-- > 0;) { /* a copy of the same model that waits would take the room */
        struct copy *x = c->copies[i];
        if (x->model == oldest->model && x->state == COPY_WANTED && instance_get_state(x->instance) == INSTANCE_WAITING)
            copy_close(c, x, now, v);
    }
    copy_ask(c, oldest, now, "another node needs the room");
    return ERR_OK;
}

void coordinator_rename(struct coordinator *c, const char *from, const char *to) {
    for (size_t i = 0; i < c->n_copies; i++) {
        struct copy *x = c->copies[i];
        if (strcmp(x->record.name, from) != 0) continue;
        snprintf(x->record.name, sizeof(x->record.name), "%s", to);
        c->publish = true;
    }
}

void coordinator_keep(struct coordinator *c, clock_us now, const char *name, int32_t seconds, bool may_unload) {
    for (size_t i = 0; i < c->n_copies; i++) {
        struct copy *x = c->copies[i];
        struct load_wish *w = &x->record.wish;
        if (x->state == COPY_CLOSING || strcmp(x->record.name, name) != 0) continue;
        if (w->kept && !(may_unload && seconds == 0)) continue;
        if (w->kept) {
            wish_set(w, WISH_KEPT, false);
            wish_set(w, WISH_PINNED, false);
        }
        x->used = now;
        if (seconds < 0 ? !wish_says(w, WISH_KEEP_S) : wish_says(w, WISH_KEEP_S) && w->keep_s == (uint32_t)seconds) continue;
        if (seconds < 0) wish_unset(w, WISH_KEEP_S);
        else wish_set(w, WISH_KEEP_S, (uint32_t)seconds);
        c->publish = true;
    }
}

/* ---- stages report ---- */

void coordinator_stage_ready(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage) {
    struct copy *x = copy_find(c, instance);
    if (!x || !copy_is_live(x)) return;
    instance_stage_ready(x->instance, now, node, epoch, stage);
    copy_actions(c, x);
    copy_publish(c, x, now);
}

/* The head's node has answered to an UNLOAD. False: the report is no such answer. */
static bool copy_answered(struct coordinator *c, struct copy *x, clock_us now, err_code code) {
    if (code == ERR_BUSY) { /* an answer that comes late says nothing */
        if (x->state == COPY_ASKED) copy_stay(c, x, now);
        return true;
    }
    if (x->state == COPY_CLOSING) {
        copy_finish(c, x);
        return true;
    }
    if (x->state != COPY_ASKED) return false;
    if (code != ERR_CANCELLED) { /* the head's stage is lost, and the others for that reason */
        copy_set_state(x, COPY_WANTED, now);
        return false;
    }
    if (x->moves) {
        replan_go(c, x, now);
        return true;
    }
    log_info("node", "\"%s\" is unloaded: %s", x->record.name, x->leaves);
    if (x->drain == DRAIN_ROOM) c->gave = now;
    copy_set_state(x, COPY_CLOSING, now);
    copy_finish(c, x);
    return true;
}

void coordinator_stage_failed(struct coordinator *c, clock_us now, uint64_t node, const char *instance, uint64_t epoch, uint32_t stage,
                              uint32_t origin, const struct err *why) {
    const struct copy_loss loss = {.node = node, .stage = stage, .origin = origin, .why = *why};
    struct copy *x = copy_find(c, instance);
    if (!x || epoch != instance_epoch(x->instance)) return;
    bool head = stage == 0 && instance_plan(x->instance)->n_stage > 0 && instance_node(x->instance, 0)->id == node;
    if (head && copy_answered(c, x, now, why->code)) return;
    if (x->state == COPY_ASKED) x->loss = loss;
    else if (copy_is_live(x)) copy_lose(c, x, now, &loss);
}

/* ---- the rules ---- */

/* Unloads the stages of this record that no epoch wants. Only instances of this coordinator count: their names have its tag. */
static void sweep_record(struct coordinator *c, const struct record *r) {
    char tag[16];
    snprintf(tag, sizeof(tag), "-%08x-", c->tag);
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const struct record_stage *s = &r->stages[i];
        const struct copy *x = copy_find(c, s->instance);
        if (strlen(s->instance) < 12 || strncmp(s->instance + 12, tag, strlen(tag)) != 0) continue;
        if (x && (x->state == COPY_CLOSING || s->epoch == instance_epoch(x->instance))) continue;
        struct coordinator_action a = {.kind = COORDINATOR_UNLOAD, .node = r->id, .epoch = s->epoch};
        a.how = x ? STAGE_UNLOAD_LOST : STAGE_UNLOAD_FOR_GOOD;
        snprintf(a.instance, sizeof(a.instance), "%s", s->instance);
        coordinator_act(c, &a);
    }
}

static void rule_sweep(struct coordinator *c, clock_us now, const struct coordinator_view *v) {
    if (now < c->swept + SWEEP_US) return;
    c->swept = now;
    for (size_t i = 0; i < v->n_linked; i++) sweep_record(c, v->records[i]);
}

/* Compares the record of a stage's node with the orders. Reports and orders may be lost with a link; records are sent again. */
static void watch_stage(struct coordinator *c, struct copy *x, uint32_t k, clock_us now, const struct record *r) {
    uint64_t epoch = instance_epoch(x->instance);
    struct err e;
    if (r == NULL) {
        x->ordered[k] = now;
    } else if (offers_shows(r, x->record.instance, epoch, k)) {
        x->seen[k] = true;
    } else if (x->seen[k]) {
        err_set(&e, ERR_UNAVAILABLE, "its node does not hold it any more");
        instance_stage_failed(x->instance, now, r->id, epoch, k, k, &e);
    } else if (now >= x->ordered[k] + AGAIN_US) {
        struct coordinator_action a = {.kind = COORDINATOR_LOAD, .node = r->id, .epoch = epoch, .stage = k};
        snprintf(a.instance, sizeof(a.instance), "%s", x->record.instance);
        coordinator_act(c, &a);
        x->ordered[k] = now;
    }
}

static void rule_watch(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    for (uint32_t k = 0; k < instance_plan(x->instance)->n_stage; k++) /* no stages are left once one has failed */
        watch_stage(c, x, k, now, coordinator_linked(v, instance_node(x->instance, k)->id));
}

/* The slices of a new epoch have just been ordered. */
static void watch_begin(struct copy *x, clock_us now) {
    x->watched = instance_epoch(x->instance);
    for (uint32_t k = 0; k < PLAN_MAX_STAGES; k++) {
        x->seen[k] = false;
        x->ordered[k] = now;
    }
}

/* Does the first copy of a model wait for room that others may leave, here or on a node that was given room? Then no replica takes it. */
static bool first_waits(const struct coordinator *c, clock_us now) {
    if (now < c->gives_until) return true;
    for (size_t i = 0; i < c->n_copies; i++)
        if (copy_is_live(c->copies[i]) && c->copies[i]->record.replica == 0 && c->copies[i]->room == ROOM_LATER) return true;
    return false;
}

/* A copy whose head's node does not answer stays. False: it is not known yet whether the copy stays. */
static bool rule_answer(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (x->state != COPY_ASKED) return true;
    if (now <= x->since + ANSWER_US && coordinator_reaches(v, instance_node(x->instance, 0)->id)) return false;
    copy_stay(c, x, now);
    return true;
}

/* A copy runs where the nodes' offers allow it; when they no longer do, it is planned again. */
static void rule_plan(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (!rule_answer(c, x, now, v)) return;
    bool waits = instance_get_state(x->instance) == INSTANCE_WAITING;
    if (waits && x->record.replica > 0 && first_waits(c, now)) return;
    if (waits && c->gave != 0 && x->since >= c->gave && now < c->gave + TAKE_US) {
        x->yields = true;
        return;
    }
    struct plan_node *nodes = mem_calloc(v->n_records, sizeof(*nodes));
    uint32_t count = offers_make(c, v, x->model, x, NULL, nodes);
    uint64_t leaving[PLAN_MAX_STAGES];
    clock_us next;
    rule_watch(c, x, now, v);
    instance_set_leaving(x->instance, leaving, offers_drained(v, x, leaving));
    instance_set_nodes(x->instance, now, nodes, count);
    instance_tick(x->instance, now, &next);
    free(nodes);
    if (x->watched != instance_epoch(x->instance)) watch_begin(x, now);
    copy_actions(c, x);
}

static void rule_room(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (!waker_update(c, x, now, v)) {
        offers_make_room(c, x, now, v);
        return;
    }
    x->room = ROOM_LATER;
    if (x->room_since == 0) x->room_since = now;
}

/* When the first copy has left, the oldest of the others becomes the first. */
static void rule_promote(struct coordinator *c, struct copy *x) {
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *other = c->copies[i];
        if (other->model == x->model && copy_is_live(other) && other->record.replica < x->record.replica) return;
    }
    if (x->record.replica == 0) return;
    x->record.replica = 0;
    x->record.chat_template = x->model->record.chat_template;
    c->publish = true;
}

static struct copy *add_replica(struct coordinator *c, const struct coordinator_view *v, const struct copy *first) {
    uint32_t number = 0; /* above all others: the newest has the highest */
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->model == first->model && c->copies[i]->record.replica >= number) number = c->copies[i]->record.replica + 1;
    return copy_create(c, v, first->model, first, number, claims_now(c, v, first->record.name));
}

/* As many copies as were asked for, or as the load needs. */
static void rule_replicate(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    uint32_t count = 0;
    for (size_t i = 0; i < c->n_copies; i++) count += c->copies[i]->model == x->model && c->copies[i]->state != COPY_CLOSING;
    if (x->record.replica != 0 || x->rival != 0) return;
    bool may = !first_waits(c, now) && coordinator_count(c) < COPIES_MAX;
    if (x->record.wish.replicas > 0) {
        if (may && count < x->record.wish.replicas) add_replica(c, v, x);
    } else if (scale_update(c, x, now, v, may)) {
        struct copy *more = add_replica(c, v, x);
        snprintf(more->note, sizeof(more->note), "%s", x->note);
        x->note[0] = '\0';
        log_info("plan", "\"%s\" gets a further copy (%s): %s", x->record.name, more->record.instance, more->note);
    }
}

/* With as many replicas as the load needs, one that no longer fits leaves. */
static bool copy_is_surplus(const struct copy *x) {
    return x->record.replica > 0 && x->record.wish.replicas == 0 && instance_get_state(x->instance) == INSTANCE_WAITING &&
           instance_trouble(x->instance) != ERR_OK;
}

/* Two nodes may both have loaded the model while they did not see each other; coordinator/rival says which of them keeps it. */
static bool copy_is_double(const struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (!claims_yields(c, v, x)) x->rival = 0;
    else if (x->rival == 0) x->rival = now;
    return x->rival != 0 && now > x->rival + RIVAL_US;
}

/* Has it been idle for as long as its clients wanted it kept? */
static bool copy_is_over(const struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (!wish_says(&x->record.wish, WISH_KEEP_S) || x->record.wish.kept) return false;
    bool idle = offers_idle(c, v, x->record.instance);
    clock_us used = idle ? v->work(v->user, x->record.instance).used : now;
    if (used > x->used) x->used = used;
    return idle && now >= x->used + (clock_us)x->record.wish.keep_s * 1000000u;
}

/* Was it asked for by requests alone, and have they all ended before its load could begin? A model that was loaded before comes again. */
static bool copy_is_forgotten(struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (offers_is_wanted(x, v)) x->waited = now; /* what a user loaded is always wanted */
    if (x->record.replica > 0 || x->ready != 0 || instance_get_state(x->instance) != INSTANCE_WAITING) return false;
    return now > x->since + WAIT_US && now > x->waited + WAIT_US;
}

/* A copy that is ready goes only if its head's node says that it is idle: requests may be on their way to it. */
static void copy_leave(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, const char *why) {
    if (instance_get_state(x->instance) == INSTANCE_READY) {
        if (v->work(v->user, x->record.instance).calls == 0) copy_ask(c, x, now, why);
        return;
    }
    log_info("node", "\"%s\" is %s: %s", x->record.name, x->ready != 0 ? "unloaded" : "not loaded", why);
    copy_close(c, x, now, v);
}

/* x may be gone afterwards. */
static void rule_review(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (x->state != COPY_WANTED) return;
    if (x->drain == DRAIN_ROOM && (now > x->drain_until || !x->record.ready)) copy_undrain(c, x);
    if (copy_is_surplus(x) || (x->drain == DRAIN_SCALE && !x->record.ready)) copy_close(c, x, now, v);
    else if (x->drain != DRAIN_NOT) copy_leave(c, x, now, v, x->note);
    else if (copy_is_double(c, x, now, v)) copy_leave(c, x, now, v, "another node has it too");
    else if (copy_is_over(c, x, now, v)) copy_ask(c, x, now, "it was idle for as long as its clients wanted it kept");
    else if (copy_is_forgotten(x, now, v)) copy_leave(c, x, now, v, "no request waits for it any more");
    else if (x->record.failed && !x->record.wish.kept) copy_set_state(x, COPY_GIVEN_UP, now);
}

/* x may be gone afterwards. */
static void rule_end(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    if (x->state == COPY_GIVEN_UP && now > x->since + GIVEN_UP_US) copy_close(c, x, now, v);
    else if (x->state == COPY_CLOSING && (now > x->since + ANSWER_US || !coordinator_reaches(v, instance_node(x->instance, 0)->id)))
        copy_finish(c, x);
}

/* From the last to the first, since a rule may remove its copy and append others. */
#define EACH_COPY(c, x, i) \
    for (size_t i = (c)->n_copies; i-- > 0;) \
        if (i < (c)->n_copies && ((x) = (c)->copies[i]) != NULL)

void coordinator_update(struct coordinator *c, clock_us now, const struct coordinator_view *v) {
    struct copy *x;
    c->now = now;
    /* 1. A model whose coordinator is gone is loaded by its heir. */
    claims_update(c, now, v);
    /* 2. Every copy that is wanted is planned, loaded, and planned again when a node is lost. First copies come before replicas, and of
     * these the ones that have been there for longer: free room is for the copy that waits, not for the one that has just left it. */
    EACH_COPY(c, x, i)
    if (copy_is_live(x)) rule_promote(c, x);
    for (size_t i = 0; i < c->n_copies; i++) /* planning neither removes nor appends any */
        if (copy_is_live(c->copies[i]) && c->copies[i]->record.replica == 0) rule_plan(c, c->copies[i], now, v);
    EACH_COPY(c, x, i)
    if (copy_is_live(x) && x->record.replica > 0) rule_plan(c, x, now, v);
    /* 3. A first copy without room gets the room of the model that has been idle for longest, or waits for machines that are woken. */
    EACH_COPY(c, x, i)
    if (copy_is_live(x)) rule_room(c, x, now, v);
    EACH_COPY(c, x, i) replan_update(c, x, now, v);
    EACH_COPY(c, x, i)
    if (x->state != COPY_CLOSING) copy_publish(c, x, now);
    /* 4. Replicas are added until there are as many as were asked for; or they come and go with the load. */
    EACH_COPY(c, x, i)
    if (copy_is_live(x)) rule_replicate(c, x, now, v);
    /* 5. Copies that are not needed leave: a replica without room, a double, a copy that has been idle for too long, one that cannot be
     * loaded, one whose clients have given up before it was. */
    EACH_COPY(c, x, i) rule_review(c, x, now, v);
    /* 6. A copy that is leaving is not waited for without end. */
    EACH_COPY(c, x, i) rule_end(c, x, now, v);
    /* 7. Stages that nobody wants any more are unloaded. */
    rule_sweep(c, now, v);
}
