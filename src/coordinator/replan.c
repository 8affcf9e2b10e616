/* SPDX-License-Identifier: MIT
 * See replan.h. */
#include "coordinator/replan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/offers.h"

#define LOOK_US     10000000u /* so often */
#define STANDS_US   20000000u /* a better place counts when it has been one for so long: a new machine is measured first */
#define TOLD_US     10000000u /* it has been told for so long before it is used */
#define IDLE_US     10000000u /* the copy has had no request for so long */
#define PATIENCE_US 30000000u /* requests have so long to end before a copy leaves a machine that is to be emptied; then they wait for it */
#define DRAIN_LOOK_US 1000000u
#define FASTER        1.5 /* times as fast, for a copy that stays as divided as it is */

/* The plan that runs, with its nodes as indices into nodes; false: one of them offers nothing now. */
static bool running_plan(const struct copy *x, const struct plan_node *nodes, uint32_t n, struct plan *ret) {
    *ret = *instance_plan(x->instance);
    for (uint32_t k = 0; k < ret->n_stage; k++) {
        uint32_t i = 0;
        while (i < n && nodes[i].id != instance_node(x->instance, k)->id) i++;
        if (i == n) return false;
        ret->stages[k].node = i;
    }
    return ret->n_stage > 0;
}

static double token_time(const struct copy *x, const struct plan *p, const struct plan_node *nodes) {
    struct plan_figures f;
    plan_predict(p, x->model->plan, nodes, &x->model->wish, &f);
    return f.token_s;
}

static void say_better(const struct plan *could, const struct plan_node *nodes, double times, char *ret, size_t size) {
    struct buf b;
    buf_init(&b, size);
    buf_append_str(&b, could->n_stage == 1 ? "would run whole on " : "would run on ");
    if (could->n_stage > 3) buf_printf(&b, "%u machines", could->n_stage);
    for (uint32_t k = 0; could->n_stage <= 3 && k < could->n_stage; k++)
        buf_printf(&b, "%s%s", k == 0 ? "" : ", ", nodes[could->stages[k].node].name);
    if (times >= 1.1) buf_printf(&b, ", %.1f times as fast", times);
    snprintf(ret, size, "%s", buf_cstr(&b));
    buf_done(&b);
}

/* Would the copy fit better if it were planned now? Says how in words. */
static bool fits_better(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x, char *ret, size_t size) {
    struct plan_node *nodes = mem_calloc(v->n_records, sizeof(*nodes));
    struct plan *is = MEM_NEW(struct plan), *could = MEM_NEW(struct plan);
    uint32_t n = offers_make(c, v, x->model, x, NULL, nodes);
    bool better = running_plan(x, nodes, n, is) && plan_make(x->model->plan, nodes, n, &x->model->wish, could, NULL) == ERR_OK;
    if (better) {
        double times = token_time(x, is, nodes) / token_time(x, could, nodes);
        bool whole = is->n_stage > 1 && could->n_stage == 1 && (times >= 1 || x->model->wish.placement != PLAN_FAST);
        better = whole || (x->model->wish.placement == PLAN_FAST && times >= FASTER);
        say_better(could, nodes, times, ret, size);
    }
    free(nodes);
    free(is);
    free(could);
    return better;
}

/* Do two stages of the copy talk over a network that is no longer the best one between their nodes? A new epoch links them by the best. */
static bool runs_aside(const struct coordinator_view *v, const struct copy *x) {
    for (size_t i = 0; i < v->n_linked; i++)
        for (uint32_t k = 0; k < v->records[i]->n_stages; k++) {
            const struct record_stage *s = &v->records[i]->stages[k];
            if (s->aside && s->epoch == instance_epoch(x->instance) && strcmp(s->instance, x->record.instance) == 0) return true;
        }
    return false;
}

/* Would it be better to load the copy anew? Where the user has named the nodes, or each copy has nodes of its own, it stays on them. */
static bool is_better_anew(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x, char *ret, size_t size) {
    if (runs_aside(v, x)) {
        snprintf(ret, size, "would run over a better network between its machines");
        return true;
    }
    return x->record.wish.replicas == 1 && x->model->wish.placement != PLAN_LIST && fits_better(c, v, x, ret, size);
}

static void forget_better(struct coordinator *c, struct copy *x) {
    c->publish = c->publish || x->better_told;
    x->better[0] = '\0';
    x->better_told = false;
}

static void replan_look(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    char better[sizeof(x->better)] = "";
    x->replan_looked = now;
    if (!is_better_anew(c, v, x, better, sizeof(better))) {
        forget_better(c, x);
        return;
    }
    if (!x->better[0]) x->better_since = now;
    memcpy(x->better, better, sizeof(better));
}

/* What a new machine says about itself is believed once it has been measured for a while. */
static bool better_stands(struct coordinator *c, struct copy *x, clock_us now, bool may) {
    if (!x->better[0] || now < x->better_since + STANDS_US) return false;
    if (!x->better_told) {
        log_info("plan", "\"%s\" %s; %s", x->record.name, x->better,
                 may ? "it is loaded anew there when it is idle" : "it stays, as --replan never says");
        x->better_told = c->publish = true;
    }
    return true;
}

/* ---- machines that are to be emptied ---- */

static void say_note(struct coordinator *c, struct copy *x, const char *text) {
    if (strcmp(x->note, text) == 0) return;
    snprintf(x->note, sizeof(x->note), "%s", text);
    if (text[0]) log_info("plan", "\"%s\": %s", x->record.name, text);
    c->publish = true;
}

/* Is there another copy of the model that answers, and stands on no such machine? */
static bool others_answer(const struct coordinator *c, const struct coordinator_view *v, const struct copy *x) {
    uint64_t ids[PLAN_MAX_STAGES];
    for (size_t i = 0; i < c->n_copies; i++) {
        const struct copy *other = c->copies[i];
        if (other != x && other->model == x->model && other->record.ready && copy_is_live(other) && offers_drained(v, other, ids) == 0)
            return true;
    }
    return false;
}

/* Loads it anew, with the requests that it has: they go on where they were once it is ready again. */
static void go_busy(struct coordinator *c, struct copy *x, clock_us now) {
    log_info("plan", "\"%s\" is loaded anew: its machine is to be emptied, and its requests do not end", x->record.name);
    x->broken = STAGE_UNLOAD_LOST;
    x->drained = 0;
    instance_replan(x->instance, now);
    copy_actions(c, x);
    copy_publish(c, x, now);
}

static void go_drained(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    bool busy = v->work(v->user, x->record.instance).calls > 0;
    say_note(c, x, "moves away from a machine that is to be emptied");
    if (busy && now >= x->drained + PATIENCE_US) {
        go_busy(c, x, now);
    } else if (!busy) {
        snprintf(x->better, sizeof(x->better), "leaves a machine that is to be emptied");
        copy_ask(c, x, now, "a machine is to be emptied");
        x->moves = true;
    }
}

/* A copy leaves a machine that is to be emptied as soon as there is room for it elsewhere, or as another copy does its work. true: it is on
 * one. */
static bool leave_drained(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    uint64_t ids[PLAN_MAX_STAGES];
    if (offers_drained(v, x, ids) == 0) {
        if (x->drained != 0) say_note(c, x, "");
        x->drained = 0;
        return false;
    }
    if (x->drained == 0) x->drained = now;
    else if (now < x->replan_looked + DRAIN_LOOK_US) return true;
    x->replan_looked = now;
    if (offers_fit(c, v, x->model, x, NULL, NULL)) go_drained(c, x, now, v);
    else if (others_answer(c, v, x)) copy_drain(c, x, DRAIN_SCALE, "its machine is to be emptied");
    else say_note(c, x, "stays on a machine that is to be emptied: the others have no room for it");
    return true;
}

void replan_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    bool ready = x->state == COPY_WANTED && instance_get_state(x->instance) == INSTANCE_READY;
    bool may = strcmp(x->record.wish.replan, "never") != 0;
    if (!ready || x->rival != 0) {
        if (x->state == COPY_WANTED) forget_better(c, x);
        return;
    }
    x->moves = false;
    if (x->drain != DRAIN_NOT || leave_drained(c, x, now, v)) return;
    if (now >= x->replan_looked + LOOK_US) replan_look(c, x, now, v);
    if (!better_stands(c, x, now, may) || !may || now < x->ready + STANDS_US || now < x->better_since + STANDS_US + TOLD_US) return;
    struct coordinator_work work = v->work(v->user, x->record.instance);
    if (work.calls > 0 || now < work.used + IDLE_US) return;
    copy_ask(c, x, now, "it fits better elsewhere");
    x->moves = true;
}

void replan_go(struct coordinator *c, struct copy *x, clock_us now) {
    log_info("plan", "\"%s\" is loaded anew: it %s", x->record.name, x->better);
    x->moves = false;
    forget_better(c, x);
    copy_set_state(x, COPY_WANTED, now);
    instance_replan(x->instance, now);
    copy_actions(c, x);
    copy_publish(c, x, now);
}
