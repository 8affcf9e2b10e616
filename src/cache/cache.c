/* SPDX-License-Identifier: MIT
 * The response cache's decisions. See cache.h. */
#include "cache/cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

/* GREATEST: a larger part of the memory than one in so many is not given to one answer. */
enum { BUCKETS = 1024, GREATEST = 8, OVERHEAD = 160 };

/* An answer, shared by the place that holds it, the tickets that get it, and orders. */
struct cache_bytes {
    unsigned users;
    int64_t created;
    size_t len;
    uint8_t data[];
};

enum place_state { PLACE_IDLE, PLACE_LOOKING, PLACE_COMPUTING };

/* All that is known of a key: the held answer, and the requests for it. Freed when there is neither. */
struct cache_place {
    struct cache_place *next; /* in its bucket */
    uint8_t key[CACHE_KEY_SIZE];
    enum place_state state;
    struct cache_ticket *leader; /* COMPUTING: the ticket that computes */
    struct list waiting;         /* tickets, in the order in which they came */
    unsigned n_tickets;          /* all that are in the cache for this key */
    struct cache_bytes *held;    /* NULL: none */
    struct list used;            /* held: in cache.used */
};

/* An action for the store. */
struct order {
    struct list link;
    enum cache_action_kind kind;
    uint8_t key[CACHE_KEY_SIZE];
    struct cache_bytes *bytes; /* KEEP */
};

struct cache {
    struct cache_limits limits;
    struct cache_place *buckets[BUCKETS];
    struct list used;          /* places that hold an answer; the one used last comes last */
    size_t held;               /* bytes of those answers */
    struct list orders, ready; /* ready: tickets for which an action has been decided */
    struct order *given;       /* what the last action points at: */
    struct cache_bytes *given_bytes;
    int64_t now;
};

/* ---- answers ---- */

static struct cache_bytes *bytes_create(const void *data, size_t len, int64_t created) {
    struct cache_bytes *b = mem_alloc(sizeof(*b) + len);
    *b = (struct cache_bytes){.users = 1, .created = created, .len = len};
    if (len > 0) memcpy(b->data, data, len);
    return b;
}

static struct cache_bytes *bytes_share(struct cache_bytes *b) {
    b->users++;
    return b;
}

static void bytes_release(struct cache_bytes *b) {
    if (b != NULL && --b->users == 0) free(b);
}

static size_t bytes_cost(const struct cache_bytes *b) { return b->len + OVERHEAD; }

/* Is the answer young enough for this ticket? */
static bool bytes_fit(const struct cache *c, const struct cache_bytes *b, const struct cache_ticket *t) {
    int64_t age = c->now - b->created;
    return age < c->limits.ttl_s && age <= t->wish.max_age;
}

/* ---- places ---- */

static struct cache_place **place_slot(struct cache *c, const uint8_t *key) {
    struct cache_place **slot = &c->buckets[bytes_get_u32(key) % BUCKETS];
    while (*slot != NULL && memcmp((*slot)->key, key, CACHE_KEY_SIZE) != 0) slot = &(*slot)->next;
    return slot;
}

static struct cache_place *place_of(struct cache *c, const uint8_t *key) {
    struct cache_place **slot = place_slot(c, key);
    if (*slot != NULL) return *slot;
    struct cache_place *p = MEM_NEW(struct cache_place);
    memcpy(p->key, key, CACHE_KEY_SIZE);
    list_init(&p->waiting);
    list_init(&p->used);
    *slot = p;
    return p;
}

static void place_free(struct cache *c, struct cache_place *p) {
    struct cache_place **slot = place_slot(c, p->key);
    assert(*slot == p && p->held == NULL && p->n_tickets == 0);
    *slot = p->next;
    free(p);
}

/* The place may be gone afterwards. */
static void place_settle(struct cache *c, struct cache_place *p) {
    if (p->state == PLACE_IDLE && p->held == NULL && p->n_tickets == 0) place_free(c, p);
}

static void place_drop(struct cache *c, struct cache_place *p) {
    if (p->held == NULL) return;
    c->held -= bytes_cost(p->held);
    bytes_release(p->held);
    p->held = NULL;
    list_remove(&p->used);
}

/* Holds the answer, if it is not too big, and lets go of those that were not used for longest. */
static void place_hold(struct cache *c, struct cache_place *p, struct cache_bytes *b) {
    place_drop(c, p);
    if (bytes_cost(b) > c->limits.memory / GREATEST) return;
    p->held = bytes_share(b);
    list_push_back(&c->used, &p->used);
    c->held += bytes_cost(b);
    while (c->held > c->limits.memory) {
        struct cache_place *oldest = LIST_FIRST(&c->used, struct cache_place, used);
        place_drop(c, oldest);
        place_settle(c, oldest);
    }
}

/* ---- what is decided ---- */

static void order_push(struct cache *c, enum cache_action_kind kind, const struct cache_place *p, struct cache_bytes *b) {
    struct order *o = MEM_NEW(struct order);
    o->kind = kind;
    memcpy(o->key, p->key, CACHE_KEY_SIZE);
    o->bytes = b != NULL ? bytes_share(b) : NULL;
    list_push_back(&c->orders, &o->link);
}

static void ticket_hits(struct cache *c, struct cache_ticket *t, struct cache_bytes *b) {
    t->bytes = bytes_share(b);
    list_remove(&t->link);
    list_push_back(&c->ready, &t->link);
}

static void ticket_computes(struct cache *c, struct cache_ticket *t) {
    list_remove(&t->link);
    list_push_back(&c->ready, &t->link);
}

/* Gives the answer to the waiting tickets for which it is young enough. */
static void place_give(struct cache *c, struct cache_place *p, struct cache_bytes *b) {
    for (LIST_EACH_SAFE(link, &p->waiting)) {
        struct cache_ticket *t = LIST_ENTRY(link, struct cache_ticket, link);
        if (bytes_fit(c, b, t)) ticket_hits(c, t, b);
    }
}

/* The first of those that still wait computes. The place may be gone afterwards. */
static void place_lead(struct cache *c, struct cache_place *p) {
    p->leader = LIST_FIRST(&p->waiting, struct cache_ticket, link);
    p->state = p->leader != NULL ? PLACE_COMPUTING : PLACE_IDLE;
    if (p->leader != NULL) ticket_computes(c, p->leader);
    else place_settle(c, p);
}

/* ---- events ---- */

void cache_ask(struct cache *c, int64_t now, const uint8_t key[CACHE_KEY_SIZE], const struct cache_wish *wish, struct cache_ticket *t) {
    struct cache_place *p = place_of(c, key);
    assert(t->place == NULL);
    c->now = now;
    *t = (struct cache_ticket){.place = p, .wish = *wish, .alone = !wish->look};
    list_init(&t->link);
    p->n_tickets++;
    if (t->alone) {
        ticket_computes(c, t);
        return;
    }
    if (p->held != NULL && bytes_fit(c, p->held, t)) {
        list_remove(&p->used);
        list_push_back(&c->used, &p->used);
        ticket_hits(c, t, p->held);
        return;
    }
    list_push_back(&p->waiting, &t->link);
    if (p->state != PLACE_IDLE) return;
    p->state = PLACE_LOOKING;
    order_push(c, CACHE_LOOK, p, NULL);
}

void cache_found(struct cache *c, int64_t now, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len, int64_t created) {
    struct cache_place *p = *place_slot(c, key);
    c->now = now;
    if (p == NULL || p->state != PLACE_LOOKING) return;
    if (data != NULL && now - created < c->limits.ttl_s) {
        struct cache_bytes *b = bytes_create(data, len, created < now ? created : now); /* the store's clock may be ahead */
        place_hold(c, p, b);
        place_give(c, p, b);
        bytes_release(b);
    }
    place_lead(c, p);
}

void cache_done(struct cache *c, int64_t now, struct cache_ticket *t, const void *data, size_t len) {
    struct cache_place *p = t->place;
    assert(p != NULL && (t->alone || p->leader == t));
    c->now = now;
    if (data != NULL) {
        struct cache_bytes *b = bytes_create(data, len, now);
        order_push(c, CACHE_KEEP, p, b);
        place_hold(c, p, b);
        if (!t->alone) place_give(c, p, b);
        bytes_release(b);
    }
    cache_leave(c, t);
}

void cache_leave(struct cache *c, struct cache_ticket *t) {
    struct cache_place *p = t->place;
    if (p == NULL) return;
    list_remove(&t->link);
    bytes_release(t->bytes);
    t->bytes = NULL;
    t->place = NULL;
    p->n_tickets--;
    if (p->leader == t) place_lead(c, p);
    else place_settle(c, p);
}

/* ---- actions ---- */

static void release_given(struct cache *c) {
    free(c->given);
    bytes_release(c->given_bytes);
    c->given = NULL;
    c->given_bytes = NULL;
}

static void give_order(struct cache *c, struct cache_action *ret) {
    c->given = LIST_ENTRY(list_pop_front(&c->orders), struct order, link);
    c->given_bytes = c->given->bytes;
    *ret = (struct cache_action){.kind = c->given->kind, .key = c->given->key};
}

static void give_ticket(struct cache *c, struct cache_action *ret) {
    struct cache_ticket *t = LIST_ENTRY(list_pop_front(&c->ready), struct cache_ticket, link);
    *ret = (struct cache_action){.kind = t->bytes != NULL ? CACHE_HIT : CACHE_COMPUTE, .ticket = t};
    if (t->bytes == NULL) return;
    c->given_bytes = bytes_share(t->bytes);
    cache_leave(c, t);
}

bool cache_next(struct cache *c, struct cache_action *ret) {
    release_given(c);
    if (!list_empty(&c->orders)) give_order(c, ret);
    else if (!list_empty(&c->ready)) give_ticket(c, ret);
    else return false;
    const struct cache_bytes *b = c->given_bytes;
    if (b == NULL) return true;
    ret->data = b->data;
    ret->len = b->len;
    ret->created = b->created;
    ret->age_s = c->now > b->created ? c->now - b->created : 0;
    return true;
}

size_t cache_held(const struct cache *c) { return c->held; }

/* ---- life ---- */

struct cache *cache_create(const struct cache_limits *limits) {
    struct cache *c = MEM_NEW(struct cache);
    c->limits = *limits;
    list_init(&c->used);
    list_init(&c->orders);
    list_init(&c->ready);
    return c;
}

void cache_free(struct cache *c) {
    struct cache_action action;
    if (c == NULL) return;
    while (!list_empty(&c->used)) {
        struct cache_place *p = LIST_FIRST(&c->used, struct cache_place, used);
        place_drop(c, p);
        place_settle(c, p);
    }
    assert(list_empty(&c->ready));
    while (cache_next(c, &action)) {
    }
    for (size_t i = 0; i < BUCKETS; i++) /* places that still look into the store */
        while (c->buckets[i] != NULL) {
            c->buckets[i]->state = PLACE_IDLE;
            place_free(c, c->buckets[i]);
        }
    release_given(c);
    free(c);
}
