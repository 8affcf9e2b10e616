/* SPDX-License-Identifier: MIT
 * Which sequences go into the stages' stores. If the stores outlive the ring: all that the slots keep, with its marks, one sequence a
 * frame, when there is nothing else to do. In any case: a sequence that is given up, if it has much that is nowhere else. Of many
 * conversations with one beginning, one is enough for the next. A sequence that goes on in a longer one leaves the store when that one
 * comes. */
#include <string.h>

#include "sched/sched_priv.h"

/* Memory that was short may be free later. Each try in vain loses some sequences, so the next one comes after twice as many requests. */
enum { FULL_FOR = 512, FULL_MOST = 65536 };

/* Not sequences with other adapters than usual: their state is another. */
static bool waits(const struct sched *s, const struct sched_slot *sl) {
    return sl->kept && !sl->stored && sl->variant == 0 && sl->n >= s->config.store_least;
}

/* Without being given up. */
static bool is_saved(const struct sched *s) { return s->config.store_least > 0 && s->config.store_lasts; }

bool sched_store_pending(const struct sched *s) {
    bool any = false;
    for (uint32_t i = 0; i < s->config.n_seq && is_saved(s); i++) any |= waits(s, &s->slots[i]);
    return any && s->broken == NULL;
}

static void key_op(struct sched *s, enum engine_op_kind kind, uint32_t slot, uint32_t n, uint64_t key) {
    sched_slot_op(s, kind, slot, 0, n, -1);
    s->ops[s->n_ops - 1].key = key;
}

/* The last of these tokens tells most sequences apart. */
static bool begins_like(const int32_t *tokens, const struct sched_slot *sl, uint32_t n) {
    return n == 0 || (tokens[n - 1] == sl->tokens[n - 1] && memcmp(tokens, sl->tokens, n * sizeof(*tokens)) == 0);
}

static bool is_front(const int32_t *tokens, uint32_t n, const struct sched_slot *of) { return n <= of->n && begins_like(tokens, of, n); }

static void erase(struct sched *s, uint64_t key) {
    key_op(s, ENGINE_OP_ERASE, 0, 0, key);
    sched_stored_drop(&s->store, key);
}

/* Sequences that this one begins with. Their marks stay: they are this one's, too. */
static void erase_shorter(struct sched *s, const struct sched_slot *sl) {
    for (size_t i = s->store.n; i-- > 0 && sched_slot_ops_room(s);) {
        const struct sched_stored *x = &s->store.all[i];
        if (x->mark || !is_front(x->tokens, x->n, sl)) continue;
        erase(s, x->key);
    }
}

static void keep_marks(struct sched *s, const struct sched_slot *sl) {
    for (uint32_t i = 0; i < s->marks.n && s->config.store_lasts && sched_slot_ops_room(s); i++) {
        struct sched_mark *m = &s->marks.all[i];
        if (m->stored || m->variant != 0 || !is_front(m->tokens, m->n, sl)) continue;
        m->stored = true;
        key_op(s, ENGINE_OP_KEEP, 0, 0, m->key);
        sched_stored_put(
            &s->store, &(struct sched_stored){
                           .key = m->key, .n = m->n, .n_prompt = m->n_prompt, .mark = true, .frame = s->next_number, .tokens = m->tokens});
    }
}

/* given_up: its slot keeps nothing of it. */
static void save(struct sched *s, uint32_t slot, bool given_up) {
    struct sched_slot *sl = &s->slots[slot];
    uint64_t key = sched_stored_key(sl->tokens, sl->n);
    sl->stored = true;
    keep_marks(s, sl);
    const struct sched_stored *there = sched_stored_find(&s->store, key);
    if (there != NULL && !there->mark) return;
    erase_shorter(s, sl);
    if (s->store.n == SCHED_STORED_MOST && !s->config.store_lasts) erase(s, s->store.all[0].key);
    key_op(s, ENGINE_OP_SAVE, slot, sl->n, key);
    s->ops[s->n_ops - 1].p1 = given_up ? 0 : -1;
    sched_stored_put(
        &s->store, &(struct sched_stored){.key = key, .n = sl->n, .n_prompt = sl->n_prompt, .frame = s->next_number, .tokens = sl->tokens});
}

void sched_store_save(struct sched *s) {
    size_t before = s->n_ops;
    for (uint32_t i = 0; i < s->config.n_seq && s->n_ops == before && is_saved(s) && sched_slot_ops_room(s); i++)
        if (waits(s, &s->slots[i])) save(s, i, false);
}

bool sched_store_is_double(const struct sched *s, const struct sched_slot *sl) {
    if (s->config.store_least == 0 || sl->n < s->config.store_least) return false;
    uint32_t n = sl->n - s->config.store_least + 1;
    bool found = false;
    for (uint32_t i = 0; i < s->config.n_seq && !found; i++) {
        const struct sched_slot *o = &s->slots[i];
        found = o != sl && o->variant == sl->variant && sched_slot_front(s, o) >= n && begins_like(o->tokens, sl, n);
    }
    for (size_t i = 0; i < s->store.n && !found && sl->variant == 0; i++) {
        const struct sched_stored *x = &s->store.all[i];
        found = !x->mark && x->n >= n && begins_like(x->tokens, sl, n);
    }
    return found;
}

void sched_store_spare(struct sched *s, uint32_t slot, uint32_t n_left) {
    const struct sched_slot *sl = &s->slots[slot];
    if (s->config.store_least == 0 || !waits(s, sl) || !sched_slot_ops_room(s)) return;
    if (sl->n - n_left >= s->config.store_least && !sched_store_is_double(s, sl)) save(s, slot, n_left == 0);
}

bool sched_store_is_full(const struct sched *s) { return s->store_calm < s->store_wait; }

/* A try has gone well if nothing is lost for as long as it was waited for. */
void sched_store_admitted(struct sched *s) {
    if (s->store_wait > 0 && ++s->store_calm == 2 * s->store_wait) s->store_wait = s->store_calm = 0;
}

void sched_store_lose(struct sched *s, uint64_t key) {
    const struct sched_stored *x = sched_stored_find(&s->store, key);
    if (x == NULL) return;
    if (!x->mark && !s->config.store_lasts) {
        if (s->store_wait == 0) s->store_wait = FULL_FOR;
        else if (!sched_store_is_full(s) && s->store_wait < FULL_MOST) s->store_wait *= 2;
        s->store_calm = 0;
    }
    erase(s, key);
}

void sched_store_forget(struct sched *s, uint32_t frame) {
    for (size_t i = s->store.n; i-- > 0;)
        if ((int32_t)(s->store.all[i].frame - frame) >= 0) erase(s, s->store.all[i].key);
}

void sched_store_add(struct sched *s, const struct sched_stored *x) {
    struct sched_stored before = *x;
    before.frame = s->next_number - 1;
    sched_stored_put(&s->store, &before);
    if (!x->mark || s->marks.n == SCHED_MARKS_MOST || s->config.mark_every == 0) return;
    struct sched_mark *m = sched_marks_add(&s->marks, 0, x->tokens, x->n);
    m->n_prompt = x->n_prompt;
    m->stored = true;
    m->frame = s->next_number - 1;
}

const struct sched_stored *sched_store_find(const struct sched *s, uint64_t key) { return sched_stored_find(&s->store, key); }
