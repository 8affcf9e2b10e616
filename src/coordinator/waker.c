/* SPDX-License-Identifier: MIT
 * See waker.h. A machine has two minutes to come. Then it gets a pause, and after three attempts it is left alone until its node has been
 * linked again: it may be without power, or not be set up for being woken. */
#include "coordinator/waker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/offers.h"

enum { ATTEMPTS = 3 };
#define AGAIN_US 15000000u  /* the packet is sent again, since a network may lose it */
#define COMES_US 120000000u /* a machine needs at most so long to start, its node included */
#define PAUSE_US 600000000u /* from one attempt to the next */

/* ---- what was tried ---- */

static struct coordinator_woken *woken_of(struct coordinator *c, uint64_t node) {
    for (uint32_t i = 0; i < c->n_woken; i++)
        if (c->woken[i].node == node) return &c->woken[i];
    return NULL;
}

static bool is_asleep(const struct coordinator_view *v, uint64_t node) {
    for (size_t i = 0; i < v->n_sleepers; i++)
        if (v->sleepers[i].id == node) return true;
    return false;
}

/* Forgets the attempts on machines that have come. */
static void forget_awake(struct coordinator *c, const struct coordinator_view *v) {
    for (uint32_t i = c->n_woken; i-- > 0;)
        if (!is_asleep(v, c->woken[i].node)) c->woken[i] = c->woken[--c->n_woken];
}

/* Is it on its way, or may it be woken? */
static bool may_come(const struct coordinator *c, clock_us now, uint64_t node) {
    for (uint32_t i = 0; i < c->n_woken; i++) {
        const struct coordinator_woken *w = &c->woken[i];
        if (w->node != node) continue;
        return now < w->since + COMES_US || (w->attempts < ATTEMPTS && now >= w->since + PAUSE_US);
    }
    return c->n_woken < COORDINATOR_MAX_SLEEPERS;
}

static void wake(struct coordinator *c, const struct copy *x, clock_us now, const struct coordinator_sleeper *s) {
    struct coordinator_woken *w = woken_of(c, s->id);
    if (w == NULL) {
        w = &c->woken[c->n_woken++];
        *w = (struct coordinator_woken){.node = s->id};
    }
    bool begins = w->attempts == 0 || now >= w->since + PAUSE_US;
    if (!begins && now < w->sent + AGAIN_US) return;
    if (begins) {
        w->since = now;
        w->attempts++;
        log_info("plan", "\"%s\" has no room on the machines that are awake: waking %s", x->record.name, s->name);
    }
    w->sent = now;
    coordinator_act(c, &(struct coordinator_action){.kind = COORDINATOR_WAKE, .node = s->id});
}

/* ---- which machines would help ---- */

/* The links of machines that are asleep are not known: they are taken for good ones. */
struct links {
    const struct coordinator_view *v;
    const struct plan_wish *wish;
};

static struct plan_link link_between(void *user, uint64_t from, uint64_t to) {
    const struct links *l = user;
    if (is_asleep(l->v, from) || is_asleep(l->v, to) || l->wish->link == NULL) return (struct plan_link){0};
    return l->wish->link(l->wish->link_user, from, to);
}

static int larger_first(const void *a, const void *b) {
    const struct plan_node *x = a, *y = b;
    return x->memory == y->memory ? (x->id < y->id ? -1 : 1) : x->memory > y->memory ? -1 : 1;
}

static uint32_t offers_of_sleepers(const struct coordinator *c, clock_us now, const struct coordinator_view *v, struct plan_node *ret) {
    uint32_t n = 0;
    for (size_t i = 0; i < v->n_sleepers; i++) {
        const struct coordinator_sleeper *s = &v->sleepers[i];
        if (s->memory == 0 || !may_come(c, now, s->id)) continue;
        ret[n] = (struct plan_node){.id = s->id, .memory = s->memory, .fetches = true, .room = UINT64_MAX};
        snprintf(ret[n++].name, sizeof(ret->name), "%s", s->name);
    }
    qsort(ret, n, sizeof(*ret), larger_first);
    return n;
}

/* The plan with the fewest of these machines. nodes: those that are awake, then the sleepers. False: even all of them are too few. */
static bool plan_with(const struct coordinator_view *v, const struct copy *x, const struct plan_node *nodes, uint32_t n_awake, uint32_t n,
                      struct plan *ret) {
    struct plan_wish wish = x->model->wish;
    struct links links = {.v = v, .wish = &x->model->wish};
    wish.link = link_between;
    wish.link_user = &links;
    for (uint32_t count = n_awake + 1; count <= n; count++)
        if (plan_make(x->model->plan, nodes, count, &wish, ret, NULL) == ERR_OK) return true;
    return false;
}

static const struct coordinator_sleeper *sleeper_of(const struct coordinator_view *v, uint64_t node) {
    for (size_t i = 0; i < v->n_sleepers; i++)
        if (v->sleepers[i].id == node) return &v->sleepers[i];
    return NULL;
}

/* Wakes the machines of the plan that are asleep, and says for which the copy waits. */
static void wake_all(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v, const struct plan *p,
                     const struct plan_node *nodes) {
    struct buf b;
    buf_init(&b, sizeof(x->waits));
    buf_append_str(&b, "waits for machines that are being woken: ");
    uint32_t n = 0;
    for (uint32_t k = 0; k < p->n_stage; k++) {
        const struct coordinator_sleeper *s = sleeper_of(v, nodes[p->stages[k].node].id);
        if (s == NULL) continue;
        wake(c, x, now, s);
        buf_printf(&b, "%s%s", n++ > 0 ? ", " : "", s->name);
    }
    snprintf(x->waits, sizeof(x->waits), "%s", buf_cstr(&b));
    buf_done(&b);
}

bool waker_update(struct coordinator *c, struct copy *x, clock_us now, const struct coordinator_view *v) {
    x->waits[0] = '\0';
    forget_awake(c, v);
    if (v->n_sleepers == 0 || x->record.replica > 0 || !offers_lack(c, x, now, v)) return false;
    struct plan_node *nodes = mem_calloc(v->n_records + v->n_sleepers, sizeof(*nodes));
    struct plan *p = MEM_NEW(struct plan);
    uint32_t n_awake = offers_make_idle(c, v, x, nodes);
    uint32_t n = n_awake + offers_of_sleepers(c, now, v, nodes + n_awake);
    bool helps = plan_with(v, x, nodes, n_awake, n, p);
    if (helps) wake_all(c, x, now, v, p, nodes);
    free(p);
    free(nodes);
    return helps;
}
