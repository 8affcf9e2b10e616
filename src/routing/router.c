/* SPDX-License-Identifier: MIT
 * See router.h. */
#include "routing/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "routing/breaker.h"
#include "routing/pace.h"

enum {
    PLACES = 8192 /* remembered beginnings of prompts, a power of two */,
    ABOUT = 16, /* predictions that differ by less than a sixteenth are about equal */
};

/* Before any answer has shown a pace. */
static const struct pace nominal = {.prompt_tokens = 1, .prompt_us = 1000, .answer_tokens = 256, .answer_us = 256 * 20000, .answers = 1};

struct entry {
    char instance[ROUTER_MAX_NAME];
    uint32_t serial;  /* in `seen`; never 0 */
    uint32_t reported;
    clock_us used;
    clock_us work;    /* of the requests from here, as predicted */
    struct pace pace;
    struct breaker breaker; /* it also counts the requests from here */
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

void router_request_make(const void *prompt, size_t len, int32_t max_answer, struct router_request *ret) {
    const uint8_t *p = prompt;
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) */
    ret->n = 0;
    ret->session = 0;
    ret->tokens = len * ROUTER_BLOCK_TOKENS / ROUTER_BLOCK;
    ret->max_answer = max_answer;
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
    breaker_init(&e->breaker, 1);
    snprintf(e->instance, sizeof(e->instance), "%s", instance);
    return e;
}

static uint32_t entry_load(const struct entry *e) { return e->breaker.running > e->reported ? e->breaker.running : e->reported; }

/* ---- what an instance knows ---- */

static bool has_seen(const struct router *r, const struct entry *e, uint64_t hash) {
    size_t at = hash & (PLACES - 1);
    return r->seen[at].hash == hash && r->seen[at].serial == e->serial;
}

static void see(struct router *r, const struct entry *e, uint64_t hash) {
    size_t at = hash & (PLACES - 1);
    r->seen[at].hash = hash;
    r->seen[at].serial = e->serial;
}

/* How many tokens of the prompt the instance has computed before, at most all of them. */
static uint64_t tokens_seen(const struct router *r, const struct entry *e, const struct router_request *q) {
    for (uint32_t i = q->n; i > 0; i--)
        if (has_seen(r, e, q->hash[i - 1]))
            return (uint64_t)i * ROUTER_BLOCK_TOKENS < q->tokens ? (uint64_t)i * ROUTER_BLOCK_TOKENS : q->tokens;
    return 0;
}

/* ---- predictions ---- */

static void pace_add(struct pace *sum, const struct pace *p) {
    sum->prompt_tokens += p->prompt_tokens;
    sum->prompt_us += p->prompt_us;
    sum->answer_tokens += p->answer_tokens;
    sum->answer_us += p->answer_us;
    sum->answers += p->answers;
}

/* The pace of an instance that has shown none: that of the others. */
static struct pace usual_pace(struct router *r, clock_us now, const struct router_target *targets, size_t n) {
    struct pace sum = {0};
    for (size_t i = 0; i < n; i++) pace_add(&sum, &router_entry(r, now, targets[i].instance)->pace);
    return pace_known(&sum) ? sum : nominal;
}

/* The time of a usual request. */
static clock_us usual_cost(const struct pace *p) { return pace_request(p, (uint64_t)(p->prompt_tokens / p->answers), -1); }

struct judged {
    size_t at;
    bool rests, here;
    clock_us until;            /* rests: until then */
    clock_us answered;         /* when it will have answered, from now */
    uint64_t seen;             /* tokens; UINT64_MAX: the session */
    uint64_t picked;
};

static struct judged judge(const struct router *r, clock_us now, const struct router_target *t, const struct entry *e,
                           const struct pace *usual, const struct router_request *q) {
    const struct pace *p = pace_known(&e->pace) ? &e->pace : usual;
    struct judged j = {.here = t->here, .rests = !breaker_allows(&e->breaker, now), .until = e->breaker.until, .picked = e->picked};
    uint32_t others = entry_load(e) - e->breaker.running; /* requests from elsewhere */
    bool session = q != NULL && q->session != 0 && has_seen(r, e, q->session);
    uint64_t cached = q != NULL ? session ? q->tokens : tokens_seen(r, e, q) : 0;
    j.seen = session ? UINT64_MAX : cached;
    j.answered = (e->work + others * usual_cost(p)) / (t->places > 0 ? t->places : 1);
    j.answered += q != NULL ? pace_request(p, q->tokens - cached, q->max_answer) : usual_cost(p);
    if (session) j.answered -= j.answered < usual_cost(p) ? j.answered : usual_cost(p);
    return j;
}

/* Is a the better choice? */
static bool is_better(const struct judged *a, const struct judged *b) {
    if (a->rests != b->rests) return b->rests;
    if (a->rests && a->until != b->until) return a->until < b->until;
    clock_us less = a->answered < b->answered ? a->answered : b->answered, more = a->answered < b->answered ? b->answered : a->answered;
    if (more - less > more / ABOUT) return a->answered < b->answered;
    if (a->here != b->here) return a->here;
    if (a->seen != b->seen) return a->seen > b->seen;
    return a->picked < b->picked;
}

err_code router_pick(struct router *r, clock_us now, const struct router_target *targets, size_t n, const struct router_request *request,
                     size_t *ret, struct err *e) {
    struct pace usual = usual_pace(r, now, targets, n);
    struct judged best = {0};
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct entry *t = router_entry(r, now, targets[i].instance);
        if (entry_load(t) >= targets[i].capacity) continue;
        struct judged j = judge(r, now, &targets[i], t, &usual, request);
        j.at = i;
        if (!any || is_better(&j, &best)) best = j;
        any = true;
    }
    if (!any) return err_set(e, ERR_BUSY, "every replica has as many requests as it may have");
    *ret = best.at;
    router_entry(r, now, targets[best.at].instance)->picked = ++r->picks;
    return ERR_OK;
}

/* ---- the life of a request ---- */

clock_us router_begin(struct router *r, clock_us now, const char *instance, const struct router_request *request) {
    struct entry *e = router_entry(r, now, instance);
    const struct pace *p = pace_known(&e->pace) ? &e->pace : &nominal;
    clock_us cost = request != NULL ? pace_request(p, request->tokens - tokens_seen(r, e, request), request->max_answer) : usual_cost(p);
    breaker_begin(&e->breaker);
    e->used = now;
    e->work += cost;
    for (uint32_t i = 0; request != NULL && i < request->n; i++) see(r, e, request->hash[i]);
    if (request != NULL && request->session != 0) see(r, e, request->session);
    return cost;
}

void router_end(struct router *r, clock_us now, const char *instance, clock_us predicted, bool failed) {
    struct entry *e = router_entry(r, now, instance);
    e->used = now;
    e->work -= predicted < e->work ? predicted : e->work;
    if (failed) breaker_failed(&e->breaker, now);
    else breaker_worked(&e->breaker);
}

void router_learn(struct router *r, clock_us now, const char *instance, uint64_t prompt_tokens, uint64_t prompt_us, uint64_t answer_tokens,
                  uint64_t answer_us) {
    if (answer_tokens > 0) pace_learn(&router_entry(r, now, instance)->pace, prompt_tokens, prompt_us, answer_tokens, answer_us);
}

void router_report(struct router *r, clock_us now, const char *instance, uint32_t calls, clock_us used) {
    struct entry *e = router_entry(r, now, instance);
    if (used > e->used) e->used = used;
    if (e->reported > 0 && now > e->used) e->used = now; /* it was busy until now */
    e->reported = calls;
}

uint32_t router_load(struct router *r, clock_us now, const char *instance) { return entry_load(router_entry(r, now, instance)); }

clock_us router_used(struct router *r, clock_us now, const char *instance) { return router_entry(r, now, instance)->used; }

void router_sweep(struct router *r, bool (*keep)(void *user, const char *instance), void *user) {
    for (size_t i = r->n; i-- > 0;)
        if (r->entries[i].breaker.running == 0 && !keep(user, r->entries[i].instance)) r->entries[i] = r->entries[--r->n];
}
