/* SPDX-License-Identifier: MIT
 * What the slots keep goes into the stages' stores when there is nothing else to do, one sequence a frame, with its marks. A sequence that
 * goes on in a longer one leaves the store when that one comes. */
#include <string.h>

#include "sched/sched_priv.h"

/* Not sequences with pictures: the stores keep no positions of rows. */
static bool waits(const struct sched *s, const struct sched_slot *sl) {
    return sl->kept && !sl->stored && !sl->rows && sl->n >= s->config.store_least;
}

bool sched_store_pending(const struct sched *s) {
    bool any = false;
    for (uint32_t i = 0; i < s->config.n_seq && s->config.store_least > 0; i++) any |= waits(s, &s->slots[i]);
    return any && s->broken == NULL;
}

static void key_op(struct sched *s, enum engine_op_kind kind, uint32_t slot, uint32_t n, uint64_t key) {
    sched_slot_op(s, kind, slot, 0, n, -1);
    s->ops[s->n_ops - 1].key = key;
}

static bool is_front(const int32_t *tokens, uint32_t n, const struct sched_slot *of) {
    return n <= of->n && memcmp(tokens, of->tokens, n * sizeof(*tokens)) == 0;
}

/* Sequences that this one begins with. Their marks stay: they are this one's, too. */
static void erase_shorter(struct sched *s, const struct sched_slot *sl) {
    for (size_t i = s->store.n; i-- > 0;) {
        const struct sched_stored *x = &s->store.all[i];
        if (x->mark || !is_front(x->tokens, x->n, sl)) continue;
        key_op(s, ENGINE_OP_ERASE, 0, 0, x->key);
        sched_stored_drop(&s->store, x->key);
    }
}

static void keep_marks(struct sched *s, const struct sched_slot *sl) {
    for (uint32_t i = 0; i < s->marks.n && sched_slot_ops_room(s); i++) {
        struct sched_mark *m = &s->marks.all[i];
        if (m->stored || !is_front(m->tokens, m->n, sl)) continue;
        m->stored = true;
        key_op(s, ENGINE_OP_KEEP, 0, 0, m->key);
        sched_stored_put(&s->store,
                         &(struct sched_stored){.key = m->key, .n = m->n, .n_prompt = m->n_prompt, .mark = true, .tokens = m->tokens});
    }
}

static void save(struct sched *s, uint32_t slot) {
    struct sched_slot *sl = &s->slots[slot];
    uint64_t key = sched_stored_key(sl->tokens, sl->n);
    sl->stored = true;
    keep_marks(s, sl);
    const struct sched_stored *there = sched_stored_find(&s->store, key);
    if (there != NULL && !there->mark) return;
    erase_shorter(s, sl);
    key_op(s, ENGINE_OP_SAVE, slot, sl->n, key);
    sched_stored_put(&s->store, &(struct sched_stored){.key = key, .n = sl->n, .n_prompt = sl->n_prompt, .tokens = sl->tokens});
}

void sched_store_save(struct sched *s) {
    size_t before = s->n_ops;
    for (uint32_t i = 0; i < s->config.n_seq && s->n_ops == before && s->config.store_least > 0 && sched_slot_ops_room(s); i++)
        if (waits(s, &s->slots[i])) save(s, i);
}

void sched_store_add(struct sched *s, const struct sched_stored *x) {
    sched_stored_put(&s->store, x);
    if (!x->mark || s->marks.n == SCHED_MARKS_MOST || s->config.mark_every == 0) return;
    struct sched_mark *m = sched_marks_add(&s->marks, x->tokens, x->n);
    m->n_prompt = x->n_prompt;
    m->stored = true;
    m->frame = s->next_number - 1;
}

const struct sched_stored *sched_store_find(const struct sched *s, uint64_t key) { return sched_stored_find(&s->store, key); }
