/* SPDX-License-Identifier: MIT
 * Marks of the slots' sequences: making them, going back to them, giving them up.
 *
 * The operation that goes back travels in a frame without tokens of that request, whose prompt waits for the frame's answer. If a stage has
 * lost the mark, its LOST comes before that answer, and the request takes over what it can without the mark. So all stages always hold the
 * same positions, and nothing is ever computed from a state that one of them does not have. */
#include <assert.h>
#include <string.h>

#include "sched/sched_priv.h"

static bool makes_marks(const struct sched *s, const struct sched_req *r) {
    return s->config.mark_every > 0 && s->config.prefix_cache && !r->request.score && r->alone == 0;
}

static bool begins(const struct sched_mark *m, const int32_t *tokens, uint32_t n) {
    return m->n <= n && memcmp(m->tokens, tokens, m->n * sizeof(*tokens)) == 0;
}

/* ---- which there are ---- */

void sched_mark_match(struct sched *s, struct sched_req *r, struct sched_mark_set *ret) {
    memset(ret, 0, sizeof(*ret));
    for (uint32_t i = 0; i < s->marks.n && makes_marks(s, r); i++) {
        struct sched_mark *m = &s->marks.all[i];
        const struct sched_cut cut = {m->tokens, m->n, m->n_prompt};
        ret->has[i] =
            m->variant == r->request.variant && begins(m, r->input, r->n_input - 1) && sched_slot_same_class(s, &cut, r, m->n) == m->n;
        if (ret->has[i]) m->used = r->stamp;
    }
}

const struct sched_mark *sched_mark_within(const struct sched *s, const struct sched_mark_set *set, const struct sched_req *r, uint32_t n,
                                           const struct sched_cut *of) {
    const struct sched_mark *best = NULL;
    for (uint32_t i = 0; i < s->marks.n; i++) {
        const struct sched_mark *m = &s->marks.all[i];
        if (set->has[i] && m->n <= n && (best == NULL || m->n > best->n)) best = m;
    }
    return best == NULL || of == NULL || sched_slot_same_class(s, of, r, best->n) == best->n ? best : NULL;
}

/* ---- going back ---- */

void sched_mark_return(struct sched *s, struct sched_req *r, const struct sched_mark *mark, uint64_t stored_key, uint32_t n) {
    r->mark_key = mark != NULL ? mark->key : 0;
    r->stored_key = stored_key;
    if (mark != NULL) {
        sched_slot_op(s, ENGINE_OP_BACK, r->slot, 0, n, -1);
        s->ops[s->n_ops - 1].key = r->mark_key;
        r->marked = n;
    }
    s->slots[r->slot].n = r->n_cached = n;
    r->returns = true;
    s->n_returning++;
}

static void no_longer(struct sched *s, struct sched_req *r) {
    r->returns = false;
    s->n_returning--;
}

void sched_mark_returned(struct sched *s, uint32_t frame) {
    for (uint32_t i = 0; i < s->config.n_seq && s->n_returning > 0; i++) {
        struct sched_req *r = s->slots[i].req;
        if (r == NULL || !r->returns || r->root_number != frame) continue;
        no_longer(s, r);
        sched_slot_rooted(s, r, r->n_cached);
    }
}

/* ---- giving up ---- */

static bool give_up(struct sched *s, uint64_t key) {
    if (!sched_marks_drop(&s->marks, key)) return false;
    sched_slot_op(s, ENGINE_OP_DROP, 0, 0, 0, -1);
    s->ops[s->n_ops - 1].key = key;
    return true;
}

void sched_lost(struct sched *s, clock_us now, uint64_t key) {
    bool full = give_up(s, key);
    (void)now;
    sched_store_lose(s, key);
    for (uint32_t i = 0; i < s->config.n_seq && s->n_returning > 0; i++) {
        struct sched_req *r = s->slots[i].req;
        if (r == NULL || !r->returns || (r->mark_key != key && r->stored_key != key)) continue;
        full = false;
        no_longer(s, r);
        r->marked = 0;
        sched_slot_elsewhere(s, r);
    }
    if (full) sched_marks_full(&s->marks); /* nobody was going back to it: there was no room to make it */
}

/* Does a sequence begin with the mark's tokens? */
static bool is_held(const struct sched *s, const struct sched_mark *m) {
    for (uint32_t i = 0; i < s->config.n_seq; i++)
        if (s->slots[i].variant == m->variant && begins(m, s->slots[i].tokens, s->slots[i].n)) return true;
    for (size_t i = 0; i < s->store.n && m->variant == 0; i++)
        if (!s->store.all[i].mark && begins(m, s->store.all[i].tokens, s->store.all[i].n)) return true;
    return false;
}

void sched_mark_sweep(struct sched *s) {
    for (uint32_t i = s->marks.n; i-- > 0 && !s->config.mark_whole;)
        if (!is_held(s, &s->marks.all[i])) give_up(s, s->marks.all[i].key);
}

void sched_mark_forget(struct sched *s, uint32_t frame) {
    for (uint32_t i = s->marks.n; i-- > 0;)
        if ((int32_t)(s->marks.all[i].frame - frame) >= 0) give_up(s, s->marks.all[i].key);
}

/* ---- making ---- */

/* In exact mode only a border between two batches of the prompt can be marked, and never a place within a picture. largest: between two
 * batches of the largest class of their run. Behind the last one of these a longer prompt has other batches, so that border serves longer
 * prompts, too: an answer that has lost its thoughts, a next turn. */
static uint32_t align(const struct sched *s, const struct request *q, uint32_t at, bool largest) {
    uint32_t start, end;
    if (s->config.exact && at > 0 && at <= q->n_tokens) {
        uint32_t run = sched_rows_run(q, at - 1, &start) - start, n = at - start;
        uint32_t step = sched_exact_step(s, run, largest ? 0 : n - 1, &end);
        at = start + (n < end ? n : end) / step * step;
    }
    return sched_rows_shared(q, at);
}

void sched_mark_plan(struct sched *s, struct sched_req *r) {
    uint32_t n_prompt = (uint32_t)r->request.n_tokens;
    struct sched_mark_text t = {.tokens = r->input,
                                .n = n_prompt < r->n_input ? n_prompt + 1 : n_prompt,
                                .turns = s->config.turns,
                                .every = s->config.mark_every,
                                .shared = r->shared};
    r->mark_at = SCHED_MARK_NONE;
    for (uint32_t at = r->n_sent, next; makes_marks(s, r) && r->mark_at == SCHED_MARK_NONE; at = next + 1) {
        next = sched_mark_next(&t, at, r->marked);
        if (next == SCHED_MARK_NONE) return;
        uint32_t large = align(s, &r->request, next, true), small = align(s, &r->request, next, false);
        if (large >= r->n_sent && large > r->marked) r->mark_at = large;
        else if (small >= r->n_sent && small > r->marked) r->mark_at = small;
    }
}

static void make(struct sched *s, struct sched_req *r) {
    struct sched_mark *m = sched_marks_find(&s->marks, r->request.variant, r->input, r->n_sent);
    if (m != NULL) {
        m->used = r->stamp;
        return;
    }
    if (s->marks.most == 0) return;
    if (s->marks.n >= s->marks.most) give_up(s, sched_marks_least(&s->marks)->key);
    m = sched_marks_add(&s->marks, r->request.variant, r->input, r->n_sent);
    m->n_prompt = sched_slot_prompt(r, r->n_sent);
    m->gain = r->n_sent - r->marked;
    m->frame = s->next_number;
    m->used = r->stamp;
    sched_slot_op(s, ENGINE_OP_MARK, r->slot, 0, r->n_sent, -1);
    s->ops[s->n_ops - 1].key = m->key;
}

void sched_mark_make(struct sched *s, struct sched_req *r) {
    if (r->n_sent != r->mark_at) return;
    if (sched_slot_ops_room(s)) make(s, r);
    r->marked = r->n_sent;
    sched_mark_plan(s, r);
}
