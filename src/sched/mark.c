/* SPDX-License-Identifier: MIT */
#include "sched/mark.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched/stored.h"

enum { TRY_AFTER = 16 /* requests */ };
/* Distances, as fractions of `every`. */
enum {
    LEAST_SHARE = 8,  /* marks are not closer together than this: one batch computes as many tokens in little more time than one */
    NEAR_SHARE = 32,  /* control tokens so close together belong to one turn; and so little is not worth a batch of its own */
    TAIL_SHARE = 64,  /* the mark at the end of a prompt is so far before its last token */
    AHEAD_SHARE = 4,  /* a mark for the distance alone waits for a better place that is so close */
    GROWTH = 10,      /* distances grow to this share of the text before them */
    END_SHARE = 16    /* the end is marked if so large a share of the text would be lost else */
};

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t share(uint32_t every, uint32_t of) { return max_u32(every / of, 1); }

static bool is_turn(const struct sched_mark_text *t, uint32_t i) {
    return t->turns != NULL && t->tokens[i] >= 0 && t->turns[t->tokens[i]] != 0;
}

/* Behind the first control token of a group of them that begins at or after `at`. So the mark serves whatever comes next: a turn of another
 * role, an answer with or without thoughts. */
static uint32_t next_turn(const struct sched_mark_text *t, uint32_t at, uint32_t least) {
    uint32_t near = share(t->every, NEAR_SHARE), apart = near;
    for (uint32_t i = at > near ? at - near : 0; i + 1 < t->n && t->turns != NULL; i++) {
        bool turn = is_turn(t, i);
        if (turn && apart >= near && i >= at && i + 1 >= least) return i + 1;
        apart = turn ? 0 : apart + 1;
    }
    return SCHED_MARK_NONE;
}

/* Near the end of the text, if the last mark is far from it. */
static uint32_t end_of(const struct sched_mark_text *t, uint32_t at, uint32_t last) {
    uint32_t tail = share(t->every, TAIL_SHARE), end = t->n > tail ? t->n - tail : 0;
    uint32_t loses = max_u32(share(t->every, LEAST_SHARE), t->n / END_SHARE);
    return end >= at && end >= last + loses ? end : SCHED_MARK_NONE;
}

uint32_t sched_mark_next(const struct sched_mark_text *t, uint32_t at, uint32_t last) {
    uint32_t least = last + share(t->every, LEAST_SHARE);
    uint32_t next = next_turn(t, at, least);
    if (t->shared >= max_u32(at, least) && t->shared < t->n) next = min_u32(next, t->shared);
    uint32_t far = max_u32(at, last + max_u32(t->every, last / GROWTH));
    if (far < t->n && (next == SCHED_MARK_NONE || next > far + share(t->every, AHEAD_SHARE))) next = min_u32(next, far);
    if (next == SCHED_MARK_NONE || next >= t->n) next = end_of(t, at, last);
    bool here = next != SCHED_MARK_NONE && at >= least && next - at <= share(t->every, NEAR_SHARE);
    return here ? at : next;
}

/* ---- which are there ---- */

void sched_marks_init(struct sched_marks *m) { *m = (struct sched_marks){.most = SCHED_MARKS_MOST}; }

void sched_marks_done(struct sched_marks *m) {
    for (uint32_t i = 0; i < m->n; i++) free(m->all[i].tokens);
    m->n = 0;
}

struct sched_mark *sched_marks_find(struct sched_marks *m, uint64_t variant, const int32_t *tokens, uint32_t n) {
    for (uint32_t i = 0; i < m->n; i++)
        if (m->all[i].n == n && m->all[i].variant == variant && memcmp(m->all[i].tokens, tokens, n * sizeof(*tokens)) == 0)
            return &m->all[i];
    return NULL;
}

struct sched_mark *sched_marks_add(struct sched_marks *m, uint64_t variant, const int32_t *tokens, uint32_t n) {
    assert(m->n < SCHED_MARKS_MOST);
    struct sched_mark *mark = &m->all[m->n++];
    *mark = (struct sched_mark){
        .key = sched_stored_key(tokens, n) ^ variant, .variant = variant, .n = n, .tokens = mem_calloc(n, sizeof(*tokens))};
    memcpy(mark->tokens, tokens, n * sizeof(*tokens));
    return mark;
}

static bool is_less(const struct sched_mark *a, const struct sched_mark *b) {
    return a->used != b->used ? a->used < b->used : a->gain < b->gain;
}

const struct sched_mark *sched_marks_least(const struct sched_marks *m) {
    const struct sched_mark *least = NULL;
    for (uint32_t i = 0; i < m->n; i++)
        if (least == NULL || is_less(&m->all[i], least)) least = &m->all[i];
    return least;
}

bool sched_marks_drop(struct sched_marks *m, uint64_t key) {
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->all[i].key != key) continue;
        free(m->all[i].tokens);
        m->all[i] = m->all[--m->n];
        return true;
    }
    return false;
}

void sched_marks_full(struct sched_marks *m) {
    m->most = m->n;
    m->n_admitted = 0;
}

void sched_marks_try_more(struct sched_marks *m) {
    if (++m->n_admitted % TRY_AFTER == 0 && m->most < SCHED_MARKS_MOST) m->most++;
}
