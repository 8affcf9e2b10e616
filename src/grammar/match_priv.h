/* SPDX-License-Identifier: MIT
 * A match from inside. match.c follows ways by one class of characters, match_token.c characters and tokens by these. */
#ifndef CARAVAN_GRAMMAR_MATCH_PRIV_H
#define CARAVAN_GRAMMAR_MATCH_PRIV_H

#include "grammar/map.h"
#include "grammar/match.h"
#include "grammar/program_priv.h"

/* A stack is its uppermost frame. Frames are kept once: two stacks are equal when their numbers are. 0: the empty stack. */
struct match_frame {
    uint32_t label, parent;
};

/* What a frame says: where to go on, or which loop is in its how-manieth round. Kept once, too. */
struct match_label {
    uint32_t op, count;
};

/* A place where a character or token is awaited. */
struct match_way {
    uint32_t class;        /* the only one that is taken; or n_classes */
    uint32_t op, frame;
};

/* All places at one time, in order. Kept once: equal sets have equal numbers. */
struct match_set {
    uint32_t first, n;     /* ways */
    bool ends;             /* the text may end here */
    bool tokens;           /* one of them awaits a token */
};

enum { MATCH_DEAD = 0 };   /* the set without ways that is no end */

/* Behind any text: the set, and a character that has been begun. */
struct match_state {
    uint32_t set, value;
    uint8_t left, len;     /* bytes that are missing; of all its bytes */
};

struct match {
    const struct program *g;
    struct match_state now;
    uint32_t start;        /* set */
    struct match_frame *frames;
    struct match_label *labels;
    struct match_set *sets;
    struct match_way *ways;
    size_t n_frames, cap_frames, n_labels, cap_labels, n_sets, cap_sets, n_ways, cap_ways;
    struct map frame_map, label_map, set_map;
    struct map edges;      /* (set, class) to 1 + set */
    size_t tidy_at;        /* so many frames, ways and edges are too many */
    /* while a set is being made */
    struct map seen;       /* (op, frame) */
    struct map rounds;     /* (loop's op, frame below) to 1 + the lowest count */
    struct {
        uint32_t op, frame;
    } *todo;
    size_t n_todo, cap_todo;
    struct match_way *found;
    size_t n_found, cap_found;
    bool found_end;
    int64_t steps;         /* left */
    bool failed;
};

/* The set behind a character of the class. */
uint32_t match_step(struct match *m, uint32_t set, uint32_t class);
/* The set behind a token, as far as ways await tokens. */
uint32_t match_step_token(struct match *m, uint32_t set, uint32_t token);
/* Both sets' ways. */
uint32_t match_union(struct match *m, uint32_t a, uint32_t b);
/* Forgets all that the present set doesn't need, if it has become much. */
void match_tidy(struct match *m);

#endif
