/* SPDX-License-Identifier: MIT
 * Slots and cells: which request is admitted, which slot it gets, and which tokens it takes over from other sequences.
 *
 * The sequence of a finished request is kept until its slot or its cells are needed; the least recently used one goes first. A new request
 * takes over the tokens of the slot that shares most of its first tokens: the slot itself if little is lost by that, else a copy. A running
 * sequence may be copied, too, as far as its tokens have gone into frames; or the request waits for tokens that are being computed anyway.
 * Frames keep their order, so an operation decided now finds in every stage the tokens that were sent before. Only content decides: a
 * request can notice another request's sequence only if it begins with the same tokens.
 *
 * For every token, attention also scans the cells of kept sequences and skips them one by one. So kept sequences are parked: some when a
 * request comes, before it gets cells, so that its cells lie together and in order; and one with each frame of decode tokens.
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
    LOAD_SHARE = 4,    /* fewest further tokens worth loading, as a fraction of the fewest that are stored */
    FOLLOW_LEAST = 16, /* fewest further tokens worth waiting for */
    PARKED_AT_ONCE = 2048, /* cells; moving this many takes about ten milliseconds with a model of a billion weights */
};

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* ---- operations ---- */

void sched_slot_op(struct sched *s, enum engine_op_kind kind, uint32_t seq, uint32_t dst, uint32_t p0, int32_t p1) {
    assert(s->n_ops < FRAME_MAX_OPS);
    s->ops[s->n_ops++] = (struct engine_op){.kind = (uint8_t)kind, .seq = seq, .dst = dst, .p0 = (int32_t)p0, .p1 = p1};
}

bool sched_slot_ops_room(const struct sched *s) {
    size_t most = 4 + SCHED_MARKS_MOST + SCHED_STORED_MOST + 3 * (size_t)s->config.n_seq;
    return s->n_ops + most <= FRAME_MAX_OPS;
}

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
        sched_slot_op(s, ENGINE_OP_RM, slot, 0, n, -1);
        sl->n = n;
    }
}

/* A slot without an owner is closed. One with an owner is only emptied, since the sampler of that owner has been announced already. */
void sched_slot_close_dirty(struct sched *s) {
    for (uint32_t i = 0; i < s->config.n_seq && s->n_dirty > 0; i++) {
        if (s->slots[i].dirty) {
            s->slots[i].dirty = false;
            s->n_dirty--;
            sched_slot_op(s, ENGINE_OP_CLOSE, i, 0, 0, -1);
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
    if (sl->req != NULL && sl->req->returns) {
        sl->req->returns = keep = false; /* a stage may have emptied the sequence */
        s->n_returning--;
    }
    if (sl->req != NULL) sl->n_prompt = sched_slot_prompt(sl->req, sl->n);
    sl->req = NULL;
    sl->generation++;
    s->n_owned--;
    if (!keep || !s->config.prefix_cache || sl->n == 0) {
        set_dirty(s, sl);
        return;
    }
    sl->kept = true;
    sl->stored = false;
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
    for (uint32_t done = 0; done < n && s->kv_kept > s->kv_parked && sched_slot_ops_room(s);) {
        struct sched_slot *sl = oldest_kept(s, false); /* there is one: kept slots hold these cells */
        done += sl->n;
        if (sched_store_is_full(s) && sched_store_is_double(s, sl)) {
            evict(s, sl);
            continue;
        }
        sl->parked = true;
        s->kv_parked += sl->n;
        sched_slot_op(s, ENGINE_OP_PARK, (uint32_t)(sl - s->slots), 0, 0, -1);
    }
}

/* Empties the slot. It is not closed, since the new owner's sampler has been announced, or will be. */
static void wipe(struct sched *s, uint32_t slot) {
    struct sched_slot *sl = &s->slots[slot];
    if (sl->kept) {
        sched_store_spare(s, slot, 0);
        evict(s, sl);
    }
    if (sl->dirty) {
        sl->dirty = false;
        s->n_dirty--;
        sched_slot_op(s, ENGINE_OP_RM, slot, 0, 0, -1);
    }
}

void sched_slot_take_eval(struct sched *s) {
    sched_slot_forget(s);
    wipe(s, 0);
    sched_slot_op(s, ENGINE_OP_CLOSE, 0, 0, 0, -1); /* its last owner's adapters go, too */
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

uint32_t sched_slot_prompt(const struct sched_req *r, uint32_t n) {
    uint32_t start;
    return n > 0 && n < r->request.n_tokens ? sched_rows_run(&r->request, n - 1, &start) : (uint32_t)r->request.n_tokens;
}

/* The end of the run that begins at start, within the first n tokens. */
static uint32_t run_end(const int32_t *tokens, uint32_t start, uint32_t n) {
    uint32_t end = start;
    while (end < n && (tokens[end] < 0) == (tokens[start] < 0)) end++;
    return end;
}

/* How many tokens of the prompt are in that run. */
static uint32_t run_length(const struct sched_cut *c, uint32_t start) {
    uint32_t end = run_end(c->tokens, start, c->n);
    end = end == c->n ? c->n_prompt : min_u32(end, c->n_prompt);
    return end > start ? end - start : 0;
}

/* Of the first n tokens of runs of a and of b tokens, those that are computed in batches of the same class. */
static uint32_t same_in_run(const struct sched *s, uint32_t a, uint32_t b, uint32_t n) {
    for (uint32_t at = 0; at < n;) {
        uint32_t end_a, end_b, step = sched_exact_step(s, a, at, &end_a);
        if (sched_exact_step(s, b, at, &end_b) != step) return at;
        uint32_t end = min_u32(end_a, end_b);
        if (end >= n) return n / step * step;
        at = end;
    }
    return n;
}

uint32_t sched_slot_same_class(const struct sched *s, const struct sched_cut *of, const struct sched_req *r, uint32_t n) {
    const struct sched_cut own = {r->input, r->n_input, (uint32_t)r->request.n_tokens};
    for (uint32_t start = 0, end; start < n && s->config.exact; start = end) {
        end = run_end(own.tokens, start, n);
        uint32_t same = same_in_run(s, run_length(of, start), run_length(&own, start), end - start);
        if (end == n || same < end - start) return sched_rows_shared(&r->request, start + same);
    }
    return n;
}

/* How many tokens of `r` the first n tokens of a sequence have: all but the last token at most, which has to be computed. */
static uint32_t common(const int32_t *tokens, uint32_t n, const struct sched_req *r) {
    uint32_t most = min_u32(n, r->n_input - 1), i = 0;
    while (i < most && tokens[i] == r->input[i]) i++;
    return sched_rows_shared(&r->request, i);
}

uint32_t sched_slot_front(const struct sched *s, const struct sched_slot *sl) {
    if (sl->req != NULL && sl->req->returns) return 0;
    return sl->frame == s->next_number ? sl->n_front : sl->n;
}

/* The owner's prompt goes on behind the tokens that the slot has so far. */
static struct sched_cut cut_of(const struct sched_slot *sl) {
    const struct sched_req *q = sl->req;
    if (q != NULL && sl->n < q->n_input) return (struct sched_cut){q->input, q->n_input, sl->n_prompt};
    return (struct sched_cut){sl->tokens, sl->n, sl->n_prompt};
}

struct source {
    uint32_t slot, n;
    const struct sched_mark *mark;     /* NULL: n tokens are there as they are */
    uint64_t stored_key;               /* slot is NOWHERE: the stages load it; 0: they need not */
    uint32_t stored_n;                 /* of so many positions */
};

/* What a slot with n tokens can give: if the stages can take back the end of a sequence, all that it shares with the request; else all of
 * its tokens, or those up to a mark. */
static struct source source_of(const struct sched *s, uint32_t slot, uint32_t n, struct sched_req *r, const struct sched_mark_set *marks) {
    const struct sched_slot *sl = &s->slots[slot];
    if (sl->variant != r->request.variant) return (struct source){.slot = NOWHERE};
    const struct sched_cut cut = cut_of(sl);
    uint32_t same = common(sl->tokens, n, r), usable = sched_slot_same_class(s, &cut, r, same);
    if (same > r->shared) r->shared = same;
    if (s->config.can_remove || usable == n) return (struct source){.slot = slot, .n = usable};
    const struct sched_mark *mark = sched_mark_within(s, marks, r, usable, &cut);
    return mark != NULL ? (struct source){.slot = slot, .n = mark->n, .mark = mark} : (struct source){.slot = NOWHERE};
}

static bool is_better(const struct sched *s, const struct source *a, const struct source *than) {
    if (a->n != than->n) return a->n > than->n;
    return a->n > 0 && than->slot != NOWHERE && s->slots[than->slot].parked && !s->slots[a->slot].parked;
}

/* Loading takes about as long as computing a few dozen tokens, and needs cells for all that is stored. */
static bool pays(const struct sched *s, const struct sched_req *r, const struct sched_stored *x, uint32_t n, uint32_t best) {
    bool fits = x->n <= r->kv || s->kv_reserved + (uint64_t)s->kv_kept + x->n <= s->config.n_ctx;
    return n > best + s->config.store_least / LOAD_SHARE && fits && x->n <= s->config.n_ctx_seq;
}

static void look_in_store(const struct sched *s, const struct sched_req *r, const struct sched_mark_set *marks, struct source *best) {
    for (size_t i = 0; i < s->store.n && r->alone == 0 && r->request.variant == 0; i++) {
        const struct sched_stored *x = &s->store.all[i];
        if (x->mark || x->n < best->n) continue;
        const struct sched_cut cut = {x->tokens, x->n, x->n_prompt};
        uint32_t n = sched_slot_same_class(s, &cut, r, common(x->tokens, x->n, r));
        bool as_it_is = s->config.can_remove || n == x->n;
        const struct sched_mark *mark = as_it_is ? NULL : sched_mark_within(s, marks, r, n, &cut);
        if (!as_it_is) n = mark != NULL ? mark->n : 0;
        if (pays(s, r, x, n, best->n))
            *best = (struct source){.slot = NOWHERE, .n = n, .mark = mark, .stored_key = x->key, .stored_n = x->n};
    }
}

/* The slot that can give most now. A parked one is left out if another one gives as much: taking from it would make a second copy. */
static struct source best_source(struct sched *s, struct sched_req *r) {
    struct source best = {.slot = NOWHERE};
    struct sched_mark_set marks;
    sched_mark_match(s, r, &marks);
    const struct sched_mark *alone = s->config.mark_whole ? sched_mark_within(s, &marks, r, r->n_input - 1, NULL) : NULL;
    if (alone != NULL) best = (struct source){.slot = NOWHERE, .n = alone->n, .mark = alone};
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        uint32_t n = s->slots[i].req != r ? sched_slot_front(s, &s->slots[i]) : 0;
        if (n < best.n || n == 0) continue;
        struct source from = source_of(s, i, n, r, &marks);
        if (is_better(s, &from, &best)) best = from;
    }
    look_in_store(s, r, &marks, &best);
    return best;
}

/* The slot that will be able to give most when its owner's prompt is all sent. */
static struct source best_leader(const struct sched *s, const struct sched_req *r) {
    struct source best = {.slot = NOWHERE};
    for (const struct sched_req *q = s->prefill.first; q != NULL && s->config.can_remove; q = q->next) {
        if (q != r && q->rooted && q->n_input > best.n && q->request.variant == r->request.variant) {
            const struct sched_cut cut = {q->input, q->n_input, (uint32_t)q->request.n_tokens};
            uint32_t n = sched_slot_same_class(s, &cut, r, common(q->input, q->n_input, r));
            best = n > best.n ? (struct source){.slot = q->slot, .n = n} : best;
        }
    }
    return best;
}

/* ---- taking over ---- */

void sched_slot_rooted(struct sched *s, struct sched_req *r, uint32_t n) {
    r->rooted = true;
    r->follows = false;
    r->n_sent = r->n_cached = n;
    s->slots[r->slot].n = n;
    s->n_reused += n;
    sched_mark_plan(s, r);
    if (r->begun) return;
    r->begun = true;
    r->n_cached_first = n;
    sched_push_event(s, r, REQUEST_STARTED);
}

/* The tokens are there, with the next frame's operations; or the stages still have to say so. */
static void takes(struct sched *s, struct sched_req *r, const struct source *from) {
    r->root_number = s->next_number;
    if (from->mark != NULL || from->stored_key != 0) sched_mark_return(s, r, from->mark, from->stored_key, from->n);
    else sched_slot_rooted(s, r, from->n);
}

static void copy(struct sched *s, struct sched_req *r, const struct source *from) {
    if (from->n < COPY_LEAST) {
        takes(s, r, &(struct source){.slot = NOWHERE});
        return;
    }
    if (from->slot != NOWHERE) sched_slot_op(s, ENGINE_OP_CP, from->slot, r->slot, 0, from->mark != NULL ? -1 : (int32_t)from->n);
    if (from->stored_key != 0) {
        sched_slot_op(s, ENGINE_OP_LOAD, r->slot, 0, from->stored_n, -1);
        s->ops[s->n_ops - 1].key = from->stored_key;
        sched_stored_touch(&s->store, from->stored_key);
        if (from->mark == NULL && from->n < from->stored_n) sched_slot_op(s, ENGINE_OP_RM, r->slot, 0, from->n, -1);
    }
    memcpy(s->slots[r->slot].tokens, r->input, from->n * sizeof(*r->input));
    takes(s, r, from);
}

void sched_slot_elsewhere(struct sched *s, struct sched_req *r) {
    s->slots[r->slot].n = 0;
    r->n_cached = 0;
    sched_slot_op(s, ENGINE_OP_RM, r->slot, 0, 0, -1);
    struct source from = best_source(s, r);
    copy(s, r, &from);
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
    if (r->returns) return false;
    if (leader->generation != r->leader_generation) { /* it has ended: its kept sequence counts like any other */
        from = best_source(s, r);
        if (follow(s, r, &from)) return false;
    } else if (sched_slot_front(s, leader) < r->leader_n) {
        return false;
    }
    copy(s, r, &from);
    return true;
}

/* ---- admission ---- */

/* The slot to give up: an empty one, else the least recently used one other than `spare`, else `spare`. If there is no room to store what
 * it has, better one whose sequence is elsewhere, too. */
static uint32_t find_home(const struct sched *s, uint32_t spare) {
    uint32_t home = spare;
    bool home_is_double = false;
    for (uint32_t i = 0; i < s->config.n_seq; i++) {
        const struct sched_slot *sl = &s->slots[i];
        if (sl->req == NULL && !sl->kept) return i;
        if (!sl->kept || i == spare) continue;
        bool is_double = sched_store_is_full(s) && sched_store_is_double(s, sl);
        if (home != spare && (home_is_double != is_double ? home_is_double : s->slots[home].used < sl->used)) continue;
        home = i;
        home_is_double = is_double;
    }
    return home;
}

/* Gives up kept slots, least recently used first, until the cells suffice for those that are reserved. */
static void make_room(struct sched *s) {
    while (s->kv_reserved + (uint64_t)s->kv_kept > s->config.n_ctx) {
        struct sched_slot *sl = oldest_kept(s, true); /* there is one: the reserved cells fit without kept slots */
        sched_store_spare(s, (uint32_t)(sl - s->slots), 0);
        evict(s, sl);
    }
}

/* What is loaded needs its cells before the kept slots that give theirs up are closed. What was saved to make room may have been all that
 * the store could give. */
static void prepare_load(struct sched *s, struct source *from) {
    if (from->stored_key == 0) return;
    make_room(s);
    sched_slot_close_dirty(s);
    if (sched_stored_find(&s->store, from->stored_key) == NULL) *from = (struct source){.slot = NOWHERE};
}

/* A kept sequence becomes this request's if the request uses all of it, or if there is no empty slot and little of it would be lost. */
static bool goes_on(const struct sched *s, const struct source *from, uint32_t home) {
    if (from->slot == NOWHERE || !s->slots[from->slot].kept) return false;
    uint32_t n = s->slots[from->slot].n;
    return from->n == n || home == from->slot || (s->slots[home].kept && from->n >= n / 2);
}

/* The stages hear of the new owner before the next frame. So operations that go with that frame may empty the slot, but not close it. */
static void unclose(struct sched *s, uint32_t slot) {
    for (size_t i = 0; i < s->n_ops; i++)
        if (s->ops[i].kind == ENGINE_OP_CLOSE && s->ops[i].seq == slot) s->ops[i].kind = ENGINE_OP_RM;
}

static void own(struct sched *s, clock_us now, struct sched_req *r, uint32_t slot) {
    struct sched_slot *sl = &s->slots[slot];
    unclose(s, slot);
    sl->req = r;
    sl->n_prompt = (uint32_t)r->request.n_tokens;
    sl->variant = r->request.variant;
    s->n_owned++;
    r->slot = slot;
    if (r->admitted == 0) r->admitted = now;
    s->kv_reserved += r->kv;
    sched_turns_begin(&s->turns, r->number);
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
    r->stamp = ++s->stamp;
    sched_marks_try_more(&s->marks);
    sched_store_admitted(s);
    if (s->config.prefix_cache && !r->request.score) { /* what is taken over has no logits */
        from = best_source(s, r);
        if (r->alone == 0 && follow(s, r, &from)) from = (struct source){.slot = NOWHERE};
    }
    uint32_t home = find_home(s, from.slot);
    if (goes_on(s, &from, home)) {
        sched_store_spare(s, from.slot, from.n);
        unkeep(s, &s->slots[from.slot]);
        if (from.mark == NULL) sched_slot_cut(s, from.slot, from.n);
        own(s, now, r, from.slot);
        takes(s, r, &from);
    } else {
        wipe(s, home);
        own(s, now, r, home);
        prepare_load(s, &from);
        if (!r->follows) copy(s, r, &from);
    }
    make_room(s); /* the source of the copy may be given up: its operation comes after the copy */
    sched_mark_sweep(s);
    sched_slot_park(s, PARKED_AT_ONCE);
}

static bool fits(const struct sched *s, const struct sched_req *r) {
    return s->n_owned < s->config.n_seq && r->kv <= s->config.n_ctx - s->kv_reserved;
}

/* In the order of the queue: a small request passes no large one, so among those of a priority none waits for ever. An EVAL waits for an
 * empty ring, and later requests wait for the EVAL. */
void sched_slot_admit(struct sched *s, clock_us now) {
    for (struct sched_req *r; (r = s->queue.first) != NULL && s->eval_state == SCHED_EVAL_NONE;) {
        if (!sched_slot_ops_room(s)) return;
        if (!fits(s, r)) sched_yield_to(s, r);
        if (!fits(s, r)) return;
        place(s, now, r);
    }
}
