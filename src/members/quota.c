/* SPDX-License-Identifier: MIT
 * See quota.h. */
#include "members/quota.h"

#include <math.h>

#define SECOND_US 1e6
#define ALL       0.5 /* parts of the loop's time: of all links together, of one, and what makes a link heavy */
#define EACH      0.25
#define HEAVY     0.01

void quota_init(struct quota *q, struct quota_pool *pool) { *q = (struct quota){.pool = pool}; }

static void quota_set_heavy(struct quota *q, bool heavy) {
    if (heavy && !q->heavy) q->pool->n_heavy++;
    if (!heavy && q->heavy) q->pool->n_heavy--;
    q->heavy = heavy;
}

void quota_done(struct quota *q) { quota_set_heavy(q, false); }

static void quota_add(struct quota_use *u, clock_us now, clock_us took) {
    u->us = u->us * exp(-(double)(now - u->at) / SECOND_US) + (double)took;
    u->at = now;
}

/* The part of the loop's time that this link may take at present. */
static double quota_part(const struct quota *q) {
    const struct quota_pool *p = q->pool;
    double even = ALL / (p->n_heavy > 0 ? p->n_heavy : 1);
    return p->use.us > ALL * SECOND_US && even < EACH ? even : EACH;
}

clock_us quota_spend(struct quota *q, clock_us now, clock_us took) {
    quota_add(&q->use, now, took);
    quota_add(&q->pool->use, now, took);
    quota_set_heavy(q, q->use.us > HEAVY * SECOND_US);
    double part = quota_part(q), pause = (double)took / part - (double)took;
    if (q->use.us <= part * SECOND_US) return 0;
    return pause < QUOTA_PAUSE_US ? (clock_us)pause : QUOTA_PAUSE_US;
}

bool quota_has_turn(const struct quota *q) { return q->frames < QUOTA_TURN_FRAMES; }

void quota_frame(struct quota *q) {
    if (++q->frames > q->pool->most) q->pool->most = q->frames;
}

void quota_turn(struct quota *q) { q->frames = 0; }
