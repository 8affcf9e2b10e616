/* SPDX-License-Identifier: MIT
 * Marks. Models with a sliding window or a recurrent state can't go back to an earlier position, so the stages keep copies of the state
 * after some positions of a prompt: marks. A request that begins like an earlier one goes back to the last mark that both share.
 *
 * A mark is worth most where later prompts part from this one: at the end of the system prompt, of each turn, of the whole prompt (an
 * answer that is asked for again, or comes back without its thoughts), and where another prompt parted before. Turns are seen by the
 * model's control tokens. Marks at growing distances serve texts without them.
 *
 * Here: where marks are made, which are there, and which is given up first. slot.c makes the operations. Sans-I/O; owner: the scheduler. */
#ifndef CARAVAN_SCHED_MARK_H
#define CARAVAN_SCHED_MARK_H

#include <stdbool.h>
#include <stdint.h>

enum { SCHED_MARKS_MOST = 64 };
static const uint32_t SCHED_MARK_NONE = UINT32_MAX;

/* ---- where ---- */

struct sched_mark_text {
    const int32_t *tokens;
    uint32_t n;           /* of these the last one is computed in any case */
    const uint8_t *turns; /* by token: 1 for a control token; NULL: not known */
    uint32_t every;       /* distance of marks where nothing else calls for one; it grows in long texts */
    uint32_t shared;      /* tokens that another text has, too; 0: not known */
};
/* The next position to mark, at or after `at`. last: the mark before that, 0: none. SCHED_MARK_NONE: there is none. A mark at `at` itself
 * costs no batch of its own. */
uint32_t sched_mark_next(const struct sched_mark_text *t, uint32_t at, uint32_t last);

/* ---- which are there ---- */

struct sched_mark {
    uint64_t key;        /* names it in the operations: sched_stored_key() of the tokens, changed by the variant */
    uint64_t variant;    /* of the request that made it (wire/request.h) */
    uint32_t n;          /* positions */
    int32_t *tokens;     /* [n], owned */
    uint32_t n_prompt;   /* as in struct sched_cut */
    uint32_t gain;       /* positions since the mark before it */
    uint32_t frame;      /* carries its operation */
    bool stored;         /* it is in the stages' stores, too */
    uint64_t used;       /* stamp of the last request that began like this */
};

struct sched_marks {
    struct sched_mark all[SCHED_MARKS_MOST];
    uint32_t n, most;    /* most: as many as the stages have had room for */
    uint32_t n_admitted; /* requests since one more was tried */
};

void sched_marks_init(struct sched_marks *m);
void sched_marks_done(struct sched_marks *m);
/* The mark of exactly these tokens in this variant, or NULL. Valid until the next change. */
struct sched_mark *sched_marks_find(struct sched_marks *m, uint64_t variant, const int32_t *tokens, uint32_t n);
/* Adds a mark; there must be room, and no mark of these tokens. They are copied. */
struct sched_mark *sched_marks_add(struct sched_marks *m, uint64_t variant, const int32_t *tokens, uint32_t n);
/* The mark to give up first: the least recently used one, and of one request's marks the one that saves least. NULL: there is none. */
const struct sched_mark *sched_marks_least(const struct sched_marks *m);
/* false: there is no such mark. */
bool sched_marks_drop(struct sched_marks *m, uint64_t key);
/* The stages had no room for one more. */
void sched_marks_full(struct sched_marks *m);
/* A request is admitted: from time to time one more is tried, since the stages' room changes. */
void sched_marks_try_more(struct sched_marks *m);

#endif
