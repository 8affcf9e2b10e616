/* SPDX-License-Identifier: MIT
 * See queue.h. A flow is what one key has waiting and running at one priority. While others wait, it outlives its entries, because of what
 * the key owes. */
#include "routing/queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_CHARGE = 1 << 20 }; /* tokens of one entry */

struct queue_flow {
    struct queue_flow *next;   /* in the order of their turns */
    int32_t priority;
    char key[QUEUE_MAX_KEY];
    struct queue_entry *first, **end; /* that wait */
    uint32_t n_running;
    int64_t deficit;           /* tokens that it may use in this turn; negative: it has used more than it was charged with */
    clock_us work;             /* of all its entries that wait */
};

struct queue {
    uint32_t places, bound;
    uint32_t n_waiting, taken;
    uint32_t taken_background; /* of those */
    uint32_t n_background;     /* of those that wait */
    struct queue_flow *flows;
    struct queue_entry *running;
};

struct queue *queue_create(void) {
    struct queue *q = MEM_NEW(struct queue);
    q->places = 1;
    return q;
}

void queue_free(struct queue *q) {
    if (q == NULL) return;
    assert(q->flows == NULL && q->running == NULL);
    free(q);
}

void queue_set_room(struct queue *q, uint32_t places, uint32_t bound) {
    q->places = places;
    q->bound = bound;
}

uint32_t queue_waiting(const struct queue *q) { return q->n_waiting; }
uint32_t queue_running(const struct queue *q) { return q->taken; }

/* ---- flows ---- */

static bool is_flow_of(const struct queue_flow *f, const struct queue_entry *entry) {
    return f->priority == entry->priority && strncmp(f->key, entry->key, sizeof(f->key) - 1) == 0;
}

/* What it takes if its parts are computed one at a time. */
static clock_us work_of(const struct queue_entry *entry) { return entry->cost * entry->places; }

/* The flow of such an entry; a new one has its turn last. */
static struct queue_flow *flow_of(struct queue *q, const struct queue_entry *entry) {
    struct queue_flow **at = &q->flows;
    for (; *at != NULL; at = &(*at)->next)
        if (is_flow_of(*at, entry)) return *at;
    struct queue_flow *f = *at = MEM_NEW(struct queue_flow);
    f->priority = entry->priority;
    f->end = &f->first;
    snprintf(f->key, sizeof(f->key), "%s", entry->key);
    return f;
}

static void remove_from(struct queue_entry **list, struct queue_entry *entry) {
    while (*list != entry) list = &(*list)->next;
    *list = entry->next;
    entry->next = NULL;
}

static void flow_remove(struct queue *q, struct queue_entry *entry) {
    struct queue_flow *f = entry->flow;
    remove_from(&f->first, entry);
    f->end = &f->first;
    while (*f->end != NULL) f->end = &(*f->end)->next;
    f->work -= work_of(entry);
    q->n_waiting--;
    q->n_background -= entry->priority == QUEUE_BACKGROUND;
}

/* Frees the flows that have neither entries nor anything to settle with those that wait. */
static void flows_sweep(struct queue *q) {
    for (struct queue_flow **at = &q->flows; *at != NULL;) {
        struct queue_flow *f = *at;
        if (q->n_waiting == 0) f->deficit = 0;
        if (f->first != NULL || f->n_running > 0 || f->deficit != 0) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        free(f);
    }
}

/* Of the highest priority, the flow with waiting entries whose turn comes first. There is one. */
static struct queue_flow **first_flow(struct queue *q) {
    struct queue_flow **best = NULL;
    for (struct queue_flow **at = &q->flows; *at != NULL; at = &(*at)->next)
        if ((*at)->first != NULL && (best == NULL || (*at)->priority > (*best)->priority)) best = at;
    return best;
}

static void turn_last(struct queue_flow **at) {
    struct queue_flow *f = *at, **end = at;
    *at = f->next;
    while (*end != NULL) end = &(*end)->next;
    *end = f;
    f->next = NULL;
}

/* Gives turns until a flow may use the tokens of its first entry. */
static struct queue_entry *next_by_turns(struct queue *q) {
    for (;;) {
        struct queue_flow **at = first_flow(q), *f = *at;
        if ((int64_t)f->first->tokens <= f->deficit) {
            f->deficit -= (int64_t)f->first->tokens;
            return f->first;
        }
        f->deficit += QUEUE_QUANTUM;
        turn_last(at);
    }
}

/* ---- the way of an entry ---- */

/* When the first of the entries that run ends, as predicted. */
static clock_us next_end(const struct queue *q, clock_us now) {
    clock_us least = 0;
    for (const struct queue_entry *r = q->running; r != NULL; r = r->next) {
        if (r->cost == 0) continue;
        clock_us ran = now - r->since, left = ran < r->cost ? r->cost - ran : 1;
        if (least == 0 || left < least) least = left;
    }
    return least;
}

/* Entries that take room from this one: those in the background take none from others. */
static uint32_t waiting_beside(const struct queue *q, const struct queue_entry *entry) {
    return entry->priority == QUEUE_BACKGROUND ? q->n_waiting : q->n_waiting - q->n_background;
}

/* Places that are taken, for this entry. */
static uint32_t taken_for(const struct queue *q, int32_t priority) {
    return priority == QUEUE_BACKGROUND ? q->taken : q->taken - q->taken_background;
}

err_code queue_enter(struct queue *q, clock_us now, struct queue_entry *entry, clock_us *ret_retry, struct err *e) {
    assert(entry->state == QUEUE_OUT && entry->places > 0);
    uint32_t beside = waiting_beside(q, entry);
    uint32_t taken = taken_for(q, entry->priority);
    bool waits = taken >= q->places || beside > 0;
    if (waits && beside >= q->bound) {
        if (ret_retry != NULL) *ret_retry = next_end(q, now);
        return err_set(e, ERR_BUSY, "%u requests run and %u wait already, as many as may", taken, beside);
    }
    if (entry->tokens > MAX_CHARGE) entry->tokens = MAX_CHARGE;
    struct queue_flow *f = entry->flow = flow_of(q, entry);
    entry->state = QUEUE_WAITS;
    entry->since = now;
    entry->next = NULL;
    *f->end = entry;
    f->end = &entry->next;
    f->work += work_of(entry);
    q->n_waiting++;
    q->n_background += entry->priority == QUEUE_BACKGROUND;
    return ERR_OK;
}

struct queue_entry *queue_next(struct queue *q, clock_us now) {
    if (q->n_waiting == 0 || taken_for(q, (*first_flow(q))->priority) >= q->places) return NULL;
    struct queue_entry *entry = next_by_turns(q);
    flow_remove(q, entry);
    entry->flow->n_running++;
    entry->state = QUEUE_RUNS;
    entry->since = now;
    entry->next = q->running;
    q->running = entry;
    q->taken += entry->places;
    if (entry->priority == QUEUE_BACKGROUND) q->taken_background += entry->places;
    flows_sweep(q);
    return entry;
}

void queue_charge(struct queue *q, struct queue_entry *entry, uint64_t tokens) {
    assert(entry->state == QUEUE_RUNS);
    if (q->n_waiting > 0) entry->flow->deficit += (int64_t)entry->tokens - (int64_t)(tokens < MAX_CHARGE ? tokens : MAX_CHARGE);
}

void queue_leave(struct queue *q, struct queue_entry *entry) {
    if (entry->state == QUEUE_OUT) return;
    if (entry->state == QUEUE_WAITS) {
        flow_remove(q, entry);
    } else {
        entry->flow->n_running--;
        remove_from(&q->running, entry);
        q->taken -= entry->places;
        if (entry->priority == QUEUE_BACKGROUND) q->taken_background -= entry->places;
    }
    entry->flow = NULL;
    entry->state = QUEUE_OUT;
    flows_sweep(q);
}

/* ---- the prediction ---- */

/* Of the entries that run, those that this priority waits for. */
static clock_us work_left(const struct queue *q, clock_us now, int32_t priority) {
    clock_us left = 0;
    for (const struct queue_entry *r = q->running; r != NULL; r = r->next) {
        clock_us ran = now - r->since;
        if (ran < r->cost && (r->priority > QUEUE_BACKGROUND || priority == QUEUE_BACKGROUND)) left += (r->cost - ran) * r->places;
    }
    return left;
}

clock_us queue_work(const struct queue *q, clock_us now) {
    clock_us work = work_left(q, now, QUEUE_BACKGROUND);
    for (const struct queue_flow *f = q->flows; f != NULL; f = f->next) work += f->work;
    return work;
}

clock_us queue_oldest(const struct queue *q) {
    clock_us oldest = UINT64_MAX;
    for (const struct queue_flow *f = q->flows; f != NULL; f = f->next) /* the first of each flow came before its others */
        if (f->first != NULL && f->first->since < oldest) oldest = f->first->since;
    return oldest;
}

clock_us queue_wait(const struct queue *q, clock_us now, const struct queue_entry *entry) {
    clock_us before = work_left(q, now, entry->priority), own = work_of(entry);
    if (taken_for(q, entry->priority) < q->places && waiting_beside(q, entry) == 0) return 0;
    for (const struct queue_flow *f = q->flows; f != NULL; f = f->next)
        if (is_flow_of(f, entry)) own += f->work;
    for (const struct queue_flow *f = q->flows; f != NULL; f = f->next) {
        if (f->priority < entry->priority) continue;
        bool shares = f->priority == entry->priority && !is_flow_of(f, entry); /* the two take turns */
        before += shares && f->work > own ? own : f->work;
    }
    return before / (q->places > 0 ? q->places : 1);
}
