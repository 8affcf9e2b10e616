/* SPDX-License-Identifier: MIT
 * Slots and cells: who is admitted, which slot it gets, and what it takes over from what other sequences hold.
 *
 * The sequence of a finished request is kept until its slot or its cells are needed; the least recently used one goes first. A new request
 * takes the slot that shares most of its first tokens: the slot itself if little is lost by that, else a copy. It copies from a running
 * sequence, too, as far as that sequence's tokens have gone into frames, or waits for them, since they are being computed anyway. Frames
 * keep their order, so an operation decided now finds in every stage the tokens that were sent before. Only content decides: a request can
 * notice another's sequence only if it begins with the same tokens.
 *
 * For every token, attention also scans the cells of kept sequences and skips them one by one. So kept sequences are parked when another
 * request comes, before that gets cells of its own, so that its cells lie together and in order; and one at a time beside decode tokens.
 *
 * Comparing whole prefixes at each admission takes a few microseconds for a thousand tokens; a tree would have to follow every cut and
 * copy. */
#include <assert.h>
#include <string.h>

#include "sched/sched_priv.h"
#include "wire/frame.h"

static const uint32_t NOWHERE = UINT32_MAX;
enum {
    COPY_LEAST = 4,    /* fewest tokens worth copying: the operation takes each stage microseconds, less than computing one token */
    FOLLOW_LEAST = 16, /* fewest further tokens worth waiting for */
    PARKED_AT_ONCE = 2048, /* cells; moving this many takes about ten milliseconds with a model of a billion weights */
};

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- operations ---- */

static void add_op(struct sched *s, enum engine_op_kind kind, uint32_t seq, uint32_t dst, uint32_t p0, int32_t p1) {
    assert(s->n_ops < FRAME_MAX_OPS);
    s->ops[s->n_ops++] = (struct engine_op){.kind = (uint8_t)kind, .seq = seq, .dst = dst, .p0 = (int32_t)p0, .p1 = p1};
}

/* Is there room for the operations of one admission, beside closing and cutting every slot once? */
static bool ops_room(const struct sched *s) { return s->n_ops + 2 + 3 * (size_t)s->config.n_seq <= FRAME_MAX_OPS; }

void sched_slot_put(struct sched *s, uint32_t slot, int32_t token, uint32_t pos) {
    struct sched_slot *sl = &s->slots[slot];
    assert(pos == sl->n);
    if (sl->frame != s->next_number) {
        sl->frame = s->next_number;
        sl->n_front = sl->n;
    }
    sl->tokens[pos] = token;
    sl->n = pos + 1;
}

void sched_slot_cut(struct sched *s, uint32_t slot, uint32_t n) {
    struct sched_slot *sl = &s->slots[slot];
    if (sl->n > n) {
        add_op(s, ENGINE_OP_RM, slot, 0, n, -1);
        sl->n = n;
    }
}

/* A slot without an owner is closed. One with an owner is only emptied, since the sampler of that owner has been announced already. */
void sched_slot_close_dirty(struct sched *s) {
    for (uint32_t i = 0; i < s->config.n_seq && s->n_dirty > 0; i++) {
        if (s->slots[i].dirty) {
            s->slots[i].dirty = false;
            s->n_dirty--;
            add_op(s, ENGINE_OP_CLOSE, i, 0, 0, -1);
        }
    }
}

/* ---- giving up and keeping ---- */

static void set_dirty(struct sched *s, struct sched_slot *sl) {
    sl->n = 0;
    sl->dirty = true;
    s->n_dirty++;
}

static void unkeep(struct sched *s, struct sched_slot *sl) {
    s->kv_parked -= sl->parked ? sl->n : 0;
    sl->kept = sl->parked = false;
    s->n_kept--;
    s->kv_kept -= sl->n;
}

static void evict(struct sched *s, struct sched_slot *sl) {
    unkeep(s, sl);
    set_dirty(s, sl);
}

void sched_slot_forget(struct sched *s) {
    for (uint32_t i = 0; i < s->config.n_seq && s->n_kept > 0; i++)
        if (s->slots[i].kept) evict(s, &s->slots[i]);
}

void sched_slot_release(struct sched *s, uint32_t slot, bool keep) {
    struct sched_slot *sl = &s->slots[slot];
    sl->req = NULL;
    sl->generation++;
    s->n_owned--;
    if (!keep || !s->config.prefix_cache || sl->n == 0) {
        set_dirty(s, sl);
        return;
    }
    sl->kept = true;
    sl->used = ++s->stamp;
    s->n_kept++;
    s->kv_kept += sl->n;
}

static struct sched_slot *oldest_kept(const struct sched *s, bool parked) {
    struct sched_slot *oldest = NULL;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        struct sched_slot *sl = &s->slots[i];
        if (sl->kept && (parked || !sl->parked) && (oldest == NULL || sl->used < oldest->used)) oldest = sl;
    }
    return oldest;
}

void sched_slot_park(struct sched *s, uint32_t n) {
    if (s->config.exact || !s->config.can_remove) return;
    for (uint32_t done = 0; done < n && s->kv_kept > s->kv_parked && ops_room(s);) {
        struct sched_slot *sl = oldest_kept(s, false); /* there is one: kept slots hold these cells */
        sl->parked = true;
        done += sl->n;
        s->kv_parked += sl->n;
        add_op(s, ENGINE_OP_PARK, (uint32_t)(sl - s->slots), 0, 0, -1);
    }
}

/* Empties the slot. It is not closed, since the new owner's sampler has been announced, or will be. */
static void wipe(struct sched *s, uint32_t slot) {
    struct sched_slot *sl = &s->slots[slot];
    if (sl->kept) evict(s, sl);
    if (sl->dirty) {
        sl->dirty = false;
        s->n_dirty--;
        add_op(s, ENGINE_OP_RM, slot, 0, 0, -1);
    }
}

void sched_slot_take_eval(struct sched *s) {
    sched_slot_forget(s);
    wipe(s, 0);
    s->n_owned++;
}

/* ---- what two sequences share ---- */

uint32_t sched_exact_step(const struct sched *s, uint32_t n_prompt, uint32_t pos, uint32_t *ret_end) {
    static const uint32_t STEPS[] = {64, 8, 4};
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        *ret_end = n_prompt / STEPS[i] * STEPS[i];
        if (pos < *ret_end && STEPS[i] <= s->config.n_batch) return STEPS[i];
    }
    *ret_end = UINT32_MAX;
    return 1;
}

/* In exact mode, of the first n tokens only those count that this request would compute in batches of the same class, in whole steps. */
static uint32_t same_class(const struct sched *s, const struct sched_slot *from, const struct sched_req *r, uint32_t n) {
    uint32_t at = 0;
    while (at < n) {
        uint32_t end, end_from, step = sched_exact_step(s, (uint32_t)r->request.n_tokens, at, &end);
        if (sched_exact_step(s, from->n_prompt, at, &end_from) != step) break;
        end = min_u32(end, end_from);
        if (end >= n) return n / step * step;
        at = end;
    }
    return at;
}

/* How many tokens of `r` the first n tokens of a sequence have, and may give: all but the last token at most, which has to be computed.
 * If stages can't take back the end of a sequence: all n or none. */
static uint32_t shared(const struct sched *s, const struct sched_slot *from, const int32_t *tokens, uint32_t n, const struct sched_req *r) {
    uint32_t most = min_u32(n, r->n_input - 1), i = 0;
    while (i < most && tokens[i] == r->input[i]) i++;
    if (s->config.exact) i = same_class(s, from, r, i);
    return s->config.can_remove || i == n ? i : 0;
}

/* Positions that the slot holds when the next frame begins. */
static uint32_t held(const struct sched *s, const struct sched_slot *sl) { return sl->frame == s->next_number ? sl->n_front : sl->n; }

struct source {
    uint32_t slot, n;
};

/* The slot that can give most now. A parked one is left out: taking from it would make a second copy. */
static struct source best_source(const struct sched *s, const struct sched_req *r) {
    struct source best = {.slot = NOWHERE};
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        const struct sched_slot *sl = &s->slots[i];
        uint32_t n = sl->req != r ? held(s, sl) : 0;
        if (n < best.n || n == 0) continue;
        n = shared(s, sl, sl->tokens, n, r);
        if (n > best.n || (n > 0 && n == best.n && s->slots[best.slot].parked && !sl->parked)) best = (struct source){.slot = i, .n = n};
    }
    return best;
}

/* The slot that will be able to give most when its owner's prompt is all sent. */
static struct source best_leader(const struct sched *s, const struct sched_req *r) {
    struct source best = {.slot = NOWHERE};
    for (const struct sched_req *q = s->prefill.first; q != NULL && s->config.can_remove; q = q->next) {
        if (q != r && q->rooted && q->n_input > best.n) {
            uint32_t n = shared(s, &s->slots[q->slot], q->input, q->n_input, r);
            best = n > best.n ? (struct source){.slot = q->slot, .n = n} : best;
        }
    }
    return best;
}

/* ---- taking over ---- */

static void rooted(struct sched *s, struct sched_req *r, uint32_t n) {
    r->rooted = true;
    r->follows = false;
    r->n_sent = r->n_cached = n;
    r->root_number = s->next_number;
    s->slots[r->slot].n = n;
    s->n_reused += n;
    sched_push_event(s, r, REQUEST_STARTED);
}

static void copy(struct sched *s, struct sched_req *r, const struct source *from) {
    if (from->n < COPY_LEAST) {
        rooted(s, r, 0);
        return;
    }
    add_op(s, ENGINE_OP_CP, from->slot, r->slot, 0, (int32_t)from->n);
    memcpy(s->slots[r->slot].tokens, r->input, from->n * sizeof(*r->input));
    rooted(s, r, from->n);
}

/* Waits for the prefix that another request is computing, if that gives enough more than the kept ones do. */
static bool follow(struct sched *s, struct sched_req *r, const struct source *now) {
    struct source later = best_leader(s, r);
    r->follows = later.n >= now->n + FOLLOW_LEAST;
    if (r->follows) {
        r->leader = later.slot;
        r->leader_n = later.n;
        r->leader_generation = s->slots[later.slot].generation;
    }
    return r->follows;
}

bool sched_slot_root(struct sched *s, struct sched_req *r) {
    const struct sched_slot *leader = &s->slots[r->leader];
    struct source from = {.slot = r->leader, .n = r->leader_n};
    if (leader->generation != r->leader_generation) { /* it has ended: its kept sequence counts like any other */
        from = best_source(s, r);
        if (follow(s, r, &from)) return false;
    } else if (held(s, leader) < r->leader_n) {
        return false;
    }
    copy(s, r, &from);
    return true;
}

/* ---- admission ---- */

/* The slot to give up: an empty one, else the least recently used one other than `spare`, else `spare`. */
static uint32_t find_home(const struct sched *s, uint32_t spare) {
    uint32_t home = spare;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        const struct sched_slot *sl = &s->slots[i];
        if (sl->req == NULL && !sl->kept) return i;
        if (sl->kept && i != spare && (home == spare || sl->used < s->slots[home].used)) home = i;
    }
    return home;
}

/* Gives up kept slots, least recently used first, until the cells suffice for those that are reserved. */
static void make_room(struct sched *s) {
    while (s->kv_reserved + (uint64_t)s->kv_kept > s->config.n_ctx)
        evict(s, oldest_kept(s, true)); /* there is one: the reserved cells fit without kept slots */
}

/* A kept sequence becomes this request's if the request uses all of it, or if there is no empty slot and little of it would be lost. */
static bool goes_on(const struct sched *s, const struct source *from, uint32_t home) {
    if (from->slot == NOWHERE || !s->slots[from->slot].kept) return false;
    uint32_t n = s->slots[from->slot].n;
    return from->n == n || home == from->slot || (s->slots[home].kept && from->n >= n / 2);
}

static void own(struct sched *s, clock_us now, struct sched_req *r, uint32_t slot) {
    struct sched_slot *sl = &s->slots[slot];
    sl->req = r;
    sl->n_prompt = (uint32_t)r->request.n_tokens;
    s->n_owned++;
    r->slot = slot;
    r->admitted = now;
    s->kv_reserved += r->kv;
    s->n_alone += r->alone > 0;
    sched_set_state(s, r, SCHED_PREFILL);
    struct sched_item *it = sched_push(s, SCHED_ACTION_OPEN);
    it->req = r;
    it->id = r->request.id;
    it->seq = slot;
    it->generation = sl->generation;
}

static void place(struct sched *s, clock_us now, struct sched_req *r) {
    struct source from = {.slot = NOWHERE};
    if (s->config.prefix_cache) {
        from = best_source(s, r);
        if (r->alone == 0 && follow(s, r, &from)) from = (struct source){.slot = NOWHERE};
    }
    uint32_t home = find_home(s, from.slot);
    if (goes_on(s, &from, home)) {
        unkeep(s, &s->slots[from.slot]);
        sched_slot_cut(s, from.slot, from.n);
        own(s, now, r, from.slot);
        rooted(s, r, from.n);
    } else {
        wipe(s, home);
        own(s, now, r, home);
        if (!r->follows) copy(s, r, &from);
    }
    make_room(s); /* the source of the copy may be given up: its operation comes after the copy */
    sched_slot_park(s, PARKED_AT_ONCE);
}

/* In order of arrival, so that no request waits for ever. An EVAL waits for an empty ring, and later requests wait for the EVAL. */
void sched_slot_admit(struct sched *s, clock_us now) {
    for (struct sched_req *r; (r = s->queue.first) != NULL && s->eval_state == SCHED_EVAL_NONE;) {
        if (s->n_owned == s->config.n_seq || r->kv > s->config.n_ctx - s->kv_reserved || !ops_room(s)) return;
        place(s, now, r);
    }
}
