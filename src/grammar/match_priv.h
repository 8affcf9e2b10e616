/* SPDX-License-Identifier: MIT
 * The inside of a match. match.c follows ways by classes of characters; match_token.c makes characters and tokens of classes. */
#ifndef CARAVAN_GRAMMAR_MATCH_PRIV_H
#define CARAVAN_GRAMMAR_MATCH_PRIV_H

#include "grammar/map.h"
#include "grammar/match.h"
#include "grammar/program_priv.h"

/* A stack is its uppermost frame. Frames are unique: two stacks are equal if their numbers are. 0: the empty stack. */
struct match_frame {
    uint32_t label, parent;
};

/* The label of a frame: where to go on, or which loop is in which round. Labels are unique, too. */
struct match_label {
    uint32_t op, count;
};

/* A place where a character or token is awaited. */
struct match_way {
    uint32_t class;        /* the only class that is accepted; or n_classes */
    uint32_t op, frame;
};

/* All ways at one time, in order. Sets are unique: equal sets have equal numbers. */
struct match_set {
    uint32_t first, n;     /* ways */
    bool ends;             /* the text may end here */
    bool tokens;           /* one of them awaits a token */
};

enum { MATCH_DEAD = 0 };   /* the set without ways that is not an end */

/* The state after a text: the set, and a character that is incomplete. */
struct match_state {
    uint32_t set, value;
    uint8_t left, len;     /* missing bytes; length of the character */
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
    size_t tidy_at;        /* when there are more frames, ways and edges, match_tidy removes some */
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

/* The set after a character of the class. */
uint32_t match_step(struct match *m, uint32_t set, uint32_t class);
/* The set after a token, from the ways that await tokens. */
uint32_t match_step_token(struct match *m, uint32_t set, uint32_t token);
/* The ways of both sets. */
uint32_t match_union(struct match *m, uint32_t a, uint32_t b);
/* Frees everything that the present set doesn't need, once it is much. */
void match_tidy(struct match *m);

#endif
