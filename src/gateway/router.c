/* SPDX-License-Identifier: MIT
 * See router.h. */
#include "gateway/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PLACES = 8192 /* remembered beginnings of prompts, a power of two */, BUSIER = 2 /* requests more are "clearly busier" */ };
#define PAUSE_MIN_US 500000u
#define PAUSE_MAX_US 30000000u

struct entry {
    char instance[ROUTER_MAX_NAME];
    uint32_t serial;  /* in `seen`; never 0 */
    uint32_t own, reported;
    clock_us used, not_before;
    uint32_t failures; /* in a row */
    uint64_t picked;   /* the number of the choice that last fell on it: of equals, the one with the smallest is taken */
};

struct router {
    struct entry *entries;
    size_t n;
    uint32_t serials;
    uint64_t picks;
    struct {
        uint64_t hash;
        uint32_t serial;
    } seen[PLACES]; /* by hash; a newer one replaces an older one */
};

void router_prefix_make(const void *prompt, size_t len, struct router_prefix *ret) {
    const uint8_t *p = prompt;
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) */
    ret->n = 0;
    for (size_t i = 0; i < len && ret->n < ROUTER_MAX_PREFIX; i++) {
        h = (h ^ p[i]) * 0x100000001B3u;
        if ((i + 1) % ROUTER_BLOCK == 0) ret->hash[ret->n++] = h;
    }
}

struct router *router_create(void) { return MEM_NEW(struct router); }

void router_free(struct router *r) {
    if (!r) return;
    free(r->entries);
    free(r);
}

static struct entry *router_entry(struct router *r, clock_us now, const char *instance) {
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->entries[i].instance, instance) == 0) return &r->entries[i];
    if (r->n % 16 == 0) r->entries = mem_realloc(r->entries, r->n + 16, sizeof(*r->entries));
    struct entry *e = &r->entries[r->n++];
    *e = (struct entry){.serial = ++r->serials, .used = now};
    snprintf(e->instance, sizeof(e->instance), "%s", instance);
    return e;
}

static uint32_t entry_load(const struct entry *e) { return e->own > e->reported ? e->own : e->reported; }

/* How many blocks of the prompt the instance has seen. */
static uint32_t router_seen(const struct router *r, const struct entry *e, const struct router_prefix *p) {
    for (uint32_t i = p->n; i > 0; i--) {
        size_t at = p->hash[i - 1] & (PLACES - 1);
        if (r->seen[at].hash == p->hash[i - 1] && r->seen[at].serial == e->serial) return i;
    }
    return 0;
}

struct judged {
    size_t at;
    uint32_t load, seen;
    clock_us not_before;
    uint64_t picked;
    bool here, rests;
};

/* Is a the better choice, leaving prefixes aside? */
static bool is_better(const struct judged *a, const struct judged *b) {
    if (a->rests != b->rests) return b->rests;
    if (a->rests && a->not_before != b->not_before) return a->not_before < b->not_before;
    if (a->load != b->load) return a->load < b->load;
    if (a->here != b->here) return a->here;
    return a->picked < b->picked;
}

err_code router_pick(struct router *r, clock_us now, const struct router_target *targets, size_t n, const struct router_prefix *prefix,
                     size_t *ret, struct err *e) {
    struct judged best = {0}, known = {0};
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct entry *t = router_entry(r, now, targets[i].instance);
        /* after a failure, one request at a time tries it */
        bool rests = t->failures > 0 && (now < t->not_before || t->own > 0);
        struct judged j = {.at = i,
                           .load = entry_load(t),
                           .seen = prefix ? router_seen(r, t, prefix) : 0,
                           .not_before = t->not_before,
                           .picked = t->picked,
                           .here = targets[i].here,
                           .rests = rests};
        if (j.load >= targets[i].capacity) continue;
        if (!any || is_better(&j, &best)) best = j;
        if (!rests && (j.seen > known.seen || (j.seen == known.seen && j.seen > 0 && j.load < known.load))) known = j;
        any = true;
    }
    if (!any) return err_set(e, ERR_BUSY, "every replica has as many requests as it may have");
    bool idle_here = best.here && best.load == 0 && !best.rests;
    *ret = !idle_here && known.seen > 0 && known.load <= best.load + BUSIER ? known.at : best.at;
    router_entry(r, now, targets[*ret].instance)->picked = ++r->picks;
    return ERR_OK;
}

void router_begin(struct router *r, clock_us now, const char *instance, const struct router_prefix *prefix) {
    struct entry *e = router_entry(r, now, instance);
    e->own++;
    e->used = now;
    for (uint32_t i = 0; prefix && i < prefix->n; i++) {
        size_t at = prefix->hash[i] & (PLACES - 1);
        r->seen[at].hash = prefix->hash[i];
        r->seen[at].serial = e->serial;
    }
}

void router_end(struct router *r, clock_us now, const char *instance, bool failed) {
    struct entry *e = router_entry(r, now, instance);
    if (e->own > 0) e->own--;
    e->used = now;
    if (!failed) {
        e->failures = 0;
        return;
    }
    clock_us pause = PAUSE_MIN_US << (e->failures < 6 ? e->failures : 6);
    e->not_before = now + (pause < PAUSE_MAX_US ? pause : PAUSE_MAX_US);
    e->failures++;
}

void router_report(struct router *r, clock_us now, const char *instance, uint32_t calls, clock_us used) {
    struct entry *e = router_entry(r, now, instance);
    if (used > e->used) e->used = used;
    e->reported = calls;
}

uint32_t router_load(struct router *r, clock_us now, const char *instance) { return entry_load(router_entry(r, now, instance)); }

clock_us router_used(struct router *r, clock_us now, const char *instance) { return router_entry(r, now, instance)->used; }

void router_sweep(struct router *r, bool (*keep)(void *user, const char *instance), void *user) {
    for (size_t i = r->n; i-- > 0;)
        if (r->entries[i].own == 0 && !keep(user, r->entries[i].instance)) r->entries[i] = r->entries[--r->n];
}
