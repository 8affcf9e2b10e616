/* SPDX-License-Identifier: MIT
 * The last passes, when all rules are there: calls find their rules, loops whose rounds may be empty are marked, left-recursive rules
 * are refused (a match would never reach a character), and the code points are divided into classes. */
#include "grammar/program_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NOBODY = UINT32_MAX };

/* A routine is a rule or the body of a loop: it is entered, and left at its end. Routine i is rule i, or loop i - n_rules. */
struct analysis {
    struct program *g;
    size_t n_routines;
    uint32_t *owner;       /* of an op: the innermost routine that contains it */
    bool *reached;         /* the op can be reached from its routine's beginning without a character */
    bool *may_be_empty;    /* the routine */
    uint32_t *waiting;     /* by routine: ops that enter it and wait until it is known whether it may be empty; a list through `next` */
    uint32_t *next;        /* by op */
    uint32_t *todo;        /* ops that were reached and not followed yet */
    size_t n_todo;
};

static uint32_t loop_routine(const struct analysis *a, uint32_t loop) { return (uint32_t)a->g->n_rules + loop; }

static void reach(struct analysis *a, uint32_t op) {
    if (a->reached[op]) return;
    a->reached[op] = true;
    a->todo[a->n_todo++] = op;
}

/* The op after an op that enters a routine. */
static uint32_t behind(const struct analysis *a, uint32_t op) {
    const struct program_op *o = &a->g->ops[op];
    return o->kind == PROGRAM_LOOP ? op + o->b : op + 1;
}

static void enter(struct analysis *a, uint32_t op, uint32_t routine) {
    const struct program_op *o = &a->g->ops[op];
    bool skips = o->kind == PROGRAM_LOOP && a->g->loops[o->a].min == 0;
    if (a->may_be_empty[routine] || skips) {
        reach(a, behind(a, op));
    } else {
        a->next[op] = a->waiting[routine];
        a->waiting[routine] = op;
    }
}

static void leave(struct analysis *a, uint32_t routine) {
    if (a->may_be_empty[routine]) return;
    a->may_be_empty[routine] = true;
    for (uint32_t op = a->waiting[routine]; op != NOBODY; op = a->next[op]) reach(a, behind(a, op));
    a->waiting[routine] = NOBODY;
}

static void follow(struct analysis *a, uint32_t op) {
    const struct program_op *o = &a->g->ops[op];
    switch ((enum program_kind)o->kind) {
    case PROGRAM_CHAR:
    case PROGRAM_SET:
    case PROGRAM_ANY:
    case PROGRAM_TOKEN: break;
    case PROGRAM_CALL:
    case PROGRAM_TAIL: enter(a, op, o->a); break;
    case PROGRAM_SPLIT:
        reach(a, op + 1);
        reach(a, op + o->a);
        break;
    case PROGRAM_JUMP: reach(a, op + o->a); break;
    case PROGRAM_LOOP: enter(a, op, loop_routine(a, o->a)); break;
    case PROGRAM_NEXT: leave(a, loop_routine(a, o->a)); break;
    case PROGRAM_RETURN: leave(a, o->a); break;
    }
}

static void find_owners(struct analysis *a) {
    struct program *g = a->g;
    uint32_t *outer = mem_calloc(g->n_loops + 1, sizeof *outer), owner = NOBODY;
    for (size_t i = 0; i < g->n_rules; i++) /* a rule that was defined twice: its first definition has no owner */
        if (g->rules[i].defined) a->owner[g->rules[i].first] = (uint32_t)i;
    for (size_t op = 0; op < g->n_ops; op++) {
        const struct program_op *o = &g->ops[op];
        if (op == 0 || g->ops[op - 1].kind == PROGRAM_RETURN) owner = a->owner[op];
        a->owner[op] = owner;
        if (o->kind == PROGRAM_LOOP) {
            outer[o->a] = owner;
            owner = loop_routine(a, o->a);
        } else if (o->kind == PROGRAM_NEXT) {
            owner = outer[o->a];
        }
    }
    free(outer);
}

/* ---- left recursion: a circle of routines, each of which enters the next before any character ---- */

static uint32_t entered(const struct analysis *a, size_t op) {
    const struct program_op *o = &a->g->ops[op];
    if (!a->reached[op] || a->owner[op] == NOBODY) return NOBODY;
    return o->kind == PROGRAM_CALL ? o->a : o->kind == PROGRAM_LOOP ? loop_routine(a, o->a) : NOBODY;
}

/* Removes routines that no other enters, again and again: any rest is in a circle or reached from one. */
static err_code refuse_circles(struct analysis *a, struct err *e) {
    const struct program *g = a->g;
    uint32_t *entries = mem_calloc(a->n_routines, sizeof *entries), *first = mem_calloc(a->n_routines, sizeof *first), left;
    for (size_t i = 0; i < a->n_routines; i++) first[i] = NOBODY;
    for (size_t op = g->n_ops; op-- > 0;) {
        uint32_t to = entered(a, op);
        if (to == NOBODY) continue;
        entries[to]++;
        a->next[op] = first[a->owner[op]];
        first[a->owner[op]] = (uint32_t)op;
    }
    a->n_todo = 0;
    left = (uint32_t)a->n_routines;
    for (uint32_t i = 0; i < a->n_routines; i++)
        if (entries[i] == 0) a->todo[a->n_todo++] = i;
    while (a->n_todo > 0) {
        left--;
        for (uint32_t op = first[a->todo[--a->n_todo]]; op != NOBODY; op = a->next[op])
            if (--entries[entered(a, op)] == 0) a->todo[a->n_todo++] = entered(a, op);
    }
    err_code code = ERR_OK;
    for (size_t i = 0; i < g->n_rules && left > 0 && code == ERR_OK; i++)
        if (entries[i] > 0) {
            const struct program_rule *r = &g->rules[i];
            code = err_set(e, ERR_INVALID, "grammar: the rule \"%.*s\" can begin with itself (left recursion), or with one that does",
                           (int)(r->len < 60 ? r->len : 60), r->name);
        }
    free(entries);
    free(first);
    return code;
}

static err_code analyse(struct program *g, struct err *e) {
    struct analysis a = {.g = g, .n_routines = g->n_rules + g->n_loops};
    size_t most = g->n_ops > a.n_routines ? g->n_ops : a.n_routines;
    a.owner = mem_calloc(g->n_ops, sizeof *a.owner);
    a.reached = mem_calloc(g->n_ops, sizeof *a.reached);
    a.next = mem_calloc(g->n_ops, sizeof *a.next);
    a.may_be_empty = mem_calloc(a.n_routines, sizeof *a.may_be_empty);
    a.waiting = mem_calloc(a.n_routines, sizeof *a.waiting);
    a.todo = mem_calloc(most, sizeof *a.todo);
    for (size_t i = 0; i < g->n_ops; i++) a.owner[i] = NOBODY;
    for (size_t i = 0; i < a.n_routines; i++) a.waiting[i] = NOBODY;
    find_owners(&a);
    for (size_t i = 0; i < g->n_rules; i++) reach(&a, g->rules[i].first);
    for (uint32_t op = 0; op < g->n_ops; op++)
        if (g->ops[op].kind == PROGRAM_LOOP) reach(&a, op + 1);
    while (a.n_todo > 0) follow(&a, a.todo[--a.n_todo]);
    for (size_t i = 0; i < g->n_loops; i++)
        if (a.may_be_empty[loop_routine(&a, (uint32_t)i)]) {
            g->loops[i].may_be_empty = true;
            g->loops[i].min = 0; /* empty rounds fill up the count */
        }
    err_code code = refuse_circles(&a, e);
    free(a.owner);
    free(a.reached);
    free(a.next);
    free(a.may_be_empty);
    free(a.waiting);
    free(a.todo);
    return code;
}

/* ---- calls ---- */

static void link_calls(struct program *g) {
    for (size_t op = 0; op < g->n_ops; op++) {
        struct program_op *o = &g->ops[op];
        if (o->kind != PROGRAM_CALL) continue;
        size_t to = op + 1;
        while (g->ops[to].kind == PROGRAM_JUMP && g->ops[to].a < INT32_MAX) to += g->ops[to].a; /* forward jumps only: a loop jumps back */
        if (g->ops[to].kind == PROGRAM_RETURN) o->kind = PROGRAM_TAIL;
        o->a = g->rules[o->a].first;
    }
}

/* ---- classes ---- */

static int by_value(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void add_border(struct program *g, uint32_t c) {
    if (c > PROGRAM_LAST_CHAR || (c < ARRAY_LEN(g->ascii) && g->ascii[c]++ > 0)) return;
    g->borders[g->n_classes++] = c;
}

static void make_classes(struct program *g) {
    size_t n = 1;
    for (size_t i = 0; i < g->n_ops; i++) n += g->ops[i].kind == PROGRAM_CHAR;
    g->borders = mem_calloc(2 * (n + g->n_ranges), sizeof *g->borders);
    add_border(g, 0);
    for (size_t i = 0; i < g->n_ops; i++) {
        if (g->ops[i].kind != PROGRAM_CHAR) continue;
        add_border(g, g->ops[i].a);
        add_border(g, g->ops[i].a + 1);
    }
    for (size_t i = 0; i < g->n_ranges; i++) {
        add_border(g, g->ranges[i].first);
        add_border(g, g->ranges[i].last + 1);
    }
    qsort(g->borders, g->n_classes, sizeof *g->borders, by_value);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < g->n_classes; i++)
        if (g->borders[i] != g->borders[kept - 1]) g->borders[kept++] = g->borders[i];
    g->n_classes = kept;
    for (uint32_t c = 0, class = 0; c < ARRAY_LEN(g->ascii); c++) {
        while (class + 1 < g->n_classes && g->borders[class + 1] <= c) class++;
        g->ascii[c] = class;
    }
}

uint32_t program_class(const struct program *g, uint32_t c) {
    if (c < ARRAY_LEN(g->ascii)) return g->ascii[c];
    uint32_t low = 0, high = g->n_classes - 1; /* the last border that is at most c */
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;
        if (g->borders[middle] <= c) low = middle;
        else high = middle - 1;
    }
    return low;
}

bool program_takes(const struct program *g, const struct program_op *op, uint32_t first, uint32_t last) {
    if (op->kind == PROGRAM_CHAR) return first <= op->a && op->a <= last;
    if (op->kind == PROGRAM_ANY) return true;
    if (op->kind != PROGRAM_SET) return false;
    const struct program_range *r = g->ranges + op->a;
    uint32_t low = 0, high = op->b; /* the first range that does not end before `first` */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (r[middle].last < first) low = middle + 1;
        else high = middle;
    }
    return low < op->b && r[low].first <= last;
}

err_code program_finish(struct program *g, struct err *e) {
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct program_rule *r = &g->rules[i];
        if (!r->defined)
            return err_set(e, ERR_INVALID, "grammar: the rule \"%.*s\" is used but not defined", (int)(r->len < 60 ? r->len : 60), r->name);
    }
    err_code code = analyse(g, e);
    if (code != ERR_OK) return code;
    link_calls(g);
    make_classes(g);
    return ERR_OK;
}

void program_free(struct program *g) {
    if (g == NULL) return;
    free(g->ops);
    free(g->ranges);
    free(g->loops);
    free(g->rules);
    free(g->borders);
    free(g);
}
