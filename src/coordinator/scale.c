/* SPDX-License-Identifier: MIT
 * See scale.h. */
#include "coordinator/scale.h"

#include <stdio.h>

#include "coordinator/offers.h"

#define LOOK_US 1000000u /* a place is looked for so often */

/* What all copies of a model have to do. */
struct demand {
    uint32_t copies, places; /* of those that get requests */
    bool settled;            /* all copies are ready, and none is leaving */
    struct copy *newest, *leaving;
    uint32_t calls;          /* that run or wait, anywhere */
    clock_us wait;           /* of the next request, as predicted */
};

static void count_copy(struct demand *d, struct copy *x, const struct coordinator_view *v) {
    d->calls += v->work(v->user, x->record.instance).calls;
    if (x->state != COPY_WANTED || !x->record.ready) d->settled = false;
    if (x->record.leaves) {
        d->leaving = x;
    } else if (x->record.ready) {
        d->copies++;
        d->places += x->record.wish.parallel > 0 ? x->record.wish.parallel : 1;
        if (x->record.replica > 0 && (!d->newest || x->record.replica > d->newest->record.replica)) d->newest = x;
    }
}

static struct demand demand_of(const struct coordinator *c, const struct copy *first, const struct coordinator_view *v) {
    struct demand d = {.settled = true};
    for (size_t i = 0; i < c->n_copies; i++)
        if (c->copies[i]->model == first->model && c->copies[i]->state != COPY_CLOSING) count_copy(&d, c->copies[i], v);
    struct coordinator_queue q = v->queue(v->user, first->record.name);
    d.calls += q.calls;
    if (q.calls > 0 && d.places > 0) d.wait = q.work / d.places > q.oldest ? q.work / d.places : q.oldest;
    return d;
}

/* Would one copy less carry the load, with a quarter of its places free if it has four? */
static bool is_too_many(const struct demand *d) {
    uint32_t left = d->copies > 1 ? d->places / d->copies * (d->copies - 1) : 0;
    return d->newest && d->settled && d->calls <= left - left / 4;
}

static void follow(clock_us *since, clock_us now, bool holds) {
    if (!holds) *since = 0;
    else if (*since == 0) *since = now;
}

static bool held_for(clock_us since, clock_us now, clock_us time) { return since != 0 && now >= since + time; }

/* A place that is free, or the room of a model that can do without it. */
static bool scale_up(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, const struct demand *d) {
    uint32_t n_stage;
    bool whole = instance_plan(x->instance)->n_stage == 1, fits = whole && offers_fit(c, v, x->model, NULL, NULL, &n_stage) && n_stage == 1;
    snprintf(x->note, sizeof(x->note), "requests would wait %.1f s%s", (double)d->wait / 1e6,
             fits ? "" : ", and there is no room for a further copy");
    if (!fits && whole) offers_make_spare_room(c, x, now, v);
    if (fits) x->over = 0;
    return fits;
}

static void scale_down(struct coordinator *c, struct copy *x, const struct demand *d) {
    char why[sizeof(x->note)];
    snprintf(why, sizeof(why), "%u %s the load", d->copies - 1, d->copies == 2 ? "copy carries" : "copies carry");
    copy_drain(c, d->newest, DRAIN_SCALE, why);
    x->under = 0;
}

bool scale_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, bool may) {
    const struct coordinator_tuning *t = &c->tuning;
    struct demand d = demand_of(c, x, v);
    follow(&x->over, now, d.wait > t->up_wait);
    follow(&x->under, now, is_too_many(&d));
    if (x->over == 0) x->note[0] = '\0';
    if (d.leaving) {
        if (x->over != 0 && d.leaving->drain == DRAIN_SCALE && d.leaving->state == COPY_WANTED) copy_undrain(c, d.leaving);
        return false;
    }
    if (!d.settled || now < x->scale_looked + LOOK_US) return false;
    x->scale_looked = now;
    if (held_for(x->over, now, t->up_for)) return may && scale_up(c, x, now, v, &d);
    if (held_for(x->under, now, t->down_for)) scale_down(c, x, &d);
    return false;
}
