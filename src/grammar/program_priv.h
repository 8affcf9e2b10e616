/* SPDX-License-Identifier: MIT
 * The program of a grammar: gbnf.c emits it, program.c finishes it, match.c runs it. Rules follow one another; within a rule all jumps
 * are relative, so that a fragment can be wrapped after it was emitted.
 *
 *   a b      a b                      a?   SPLIT +len+1, a
 *   a | b    SPLIT b, a, JUMP end, b  a*   SPLIT +len+2, a, JUMP back
 *   a{m,n}   LOOP end, a, NEXT back   a+   a, SPLIT back
 *
 * LOOP and NEXT keep their count on the stack, where CALL keeps its return address. */
#ifndef CARAVAN_GRAMMAR_PROGRAM_PRIV_H
#define CARAVAN_GRAMMAR_PROGRAM_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "grammar/program.h"

enum program_kind {
    PROGRAM_CHAR,   /* code point a */
    PROGRAM_SET,    /* one of the b ranges from index a on, which are sorted and separate */
    PROGRAM_ANY,
    PROGRAM_TOKEN,  /* token a of the vocabulary or, inverted, any other token */
    PROGRAM_CALL,   /* rule a; program.c makes it the rule's first op */
    PROGRAM_TAIL,   /* as CALL, if only the rule's end follows */
    PROGRAM_SPLIT,  /* goes on with the next op, and at +a */
    PROGRAM_JUMP,   /* to +a */
    PROGRAM_LOOP,   /* loop a begins; it ends at +b */
    PROGRAM_NEXT,   /* ends a round of loop a; the loop began at +b */
    PROGRAM_RETURN, /* the end of rule a */
};

enum { PROGRAM_LAST_CHAR = 0x10FFFF, PROGRAM_UNBOUNDED = UINT32_MAX };

struct program_op {
    uint8_t kind;
    bool inverted;
    uint32_t a, b;
};

struct program_range {
    uint32_t first, last;
};
struct program_loop {
    uint32_t min, max;
    bool may_be_empty;     /* a round may be empty */
};
struct program_rule {
    const char *name;      /* in the text, while it is parsed */
    size_t len;
    uint32_t first;        /* op */
    bool defined;
};

struct program {
    struct program_op *ops;
    struct program_range *ranges;
    struct program_loop *loops;
    struct program_rule *rules;
    size_t n_ops, n_ranges, n_loops, n_rules;
    uint32_t root;         /* its first op */
    /* The code points, divided so that each op matches all of a class or none of it: class i goes from borders[i] to the next border. */
    uint32_t *borders;
    uint32_t n_classes;
    uint32_t ascii[128]; /* classes */
};

/* Resolves calls and makes classes from ranges. ERR_INVALID: an undefined rule, or left recursion. */
err_code program_finish(struct program *g, struct err *e);
/* Of a code point. */
uint32_t program_class(const struct program *g, uint32_t c);
/* May a character from first to last stand here? */
bool program_takes(const struct program *g, const struct program_op *op, uint32_t first, uint32_t last);

#endif
