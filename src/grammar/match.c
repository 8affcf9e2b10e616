/* SPDX-License-Identifier: MIT
 * Sets of ways through a grammar, and how they follow on each other. */
#include "grammar/match_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { TIDY_LEAST = 64 * 1024 };

static void *grown(void *list, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return list;
    *cap = *cap > 0 ? 2 * *cap : 16;
    return mem_realloc(list, *cap, size);
}

static uint64_t pair(uint32_t a, uint32_t b) { return (uint64_t)a << 32 | b; }

/* ---- stacks ---- */

static uint32_t label_of(struct match *m, uint32_t op, uint32_t count) {
    bool new;
    uint32_t *at = map_at(&m->label_map, pair(op, count), &new);
    if (!new) return *at;
    *at = (uint32_t)m->n_labels;
    m->labels = grown(m->labels, m->n_labels, &m->cap_labels, sizeof *m->labels);
    m->labels[m->n_labels++] = (struct match_label){op, count};
    return (uint32_t)m->n_labels - 1;
}

static uint32_t frame_of(struct match *m, uint32_t label, uint32_t parent) {
    bool new;
    uint32_t *at = map_at(&m->frame_map, pair(label, parent), &new);
    if (!new) return *at;
    *at = (uint32_t)m->n_frames;
    m->frames = grown(m->frames, m->n_frames, &m->cap_frames, sizeof *m->frames);
    m->frames[m->n_frames++] = (struct match_frame){label, parent};
    return (uint32_t)m->n_frames - 1;
}

static uint32_t push_frame(struct match *m, uint32_t op, uint32_t count, uint32_t parent) {
    return frame_of(m, label_of(m, op, count), parent);
}

/* ---- from places to the characters that they await ---- */

static void visit(struct match *m, uint32_t op, uint32_t frame) {
    bool new;
    map_at(&m->seen, pair(op, frame), &new);
    if (!new) return;
    m->todo = grown(m->todo, m->n_todo, &m->cap_todo, sizeof *m->todo);
    m->todo[m->n_todo].op = op;
    m->todo[m->n_todo++].frame = frame;
}

/* Begins another round of a loop. Of rounds that may be empty only the lowest count matters: it allows everything that a higher one
 * does. */
static void begin_round(struct match *m, uint32_t loop_op, uint32_t count, uint32_t below) {
    if (m->g->loops[m->g->ops[loop_op].a].may_be_empty) {
        bool new;
        uint32_t *lowest = map_at(&m->rounds, pair(loop_op, below), &new);
        if (!new && *lowest <= count) return;
        *lowest = count;
    }
    visit(m, loop_op + 1, push_frame(m, loop_op, count, below));
}

static void begin_loop(struct match *m, uint32_t op, uint32_t frame) {
    const struct program_op *o = &m->g->ops[op];
    if (m->g->loops[o->a].min == 0) visit(m, op + o->b, frame);
    begin_round(m, op, 0, frame);
}

/* Ends a round. */
static void go_round(struct match *m, uint32_t op, uint32_t frame) {
    const struct program_op *o = &m->g->ops[op];
    const struct program_loop *loop = &m->g->loops[o->a];
    uint32_t loop_op = op + o->b, below = m->frames[frame].parent, count = m->labels[m->frames[frame].label].count + 1;
    if (loop->max == PROGRAM_UNBOUNDED && count > loop->min) count = loop->min;
    if (count >= loop->min) visit(m, loop_op + m->g->ops[loop_op].b, below);
    if (count < loop->max) begin_round(m, loop_op, count, below);
}

static void leave_rule(struct match *m, uint32_t frame) {
    if (frame == 0) m->found_end = true;
    else visit(m, m->labels[m->frames[frame].label].op, m->frames[frame].parent);
}

static void find_way(struct match *m, uint32_t op, uint32_t frame) {
    const struct program_op *o = &m->g->ops[op];
    uint32_t class = m->g->n_classes;
    if (o->kind == PROGRAM_CHAR) class = program_class(m->g, o->a);
    m->found = grown(m->found, m->n_found, &m->cap_found, sizeof *m->found);
    m->found[m->n_found++] = (struct match_way){class, op, frame};
}

/* Follows all visited places until each awaits a character or a token. */
static void follow_all(struct match *m) {
    while (m->n_todo > 0 && !m->failed) {
        uint32_t op = m->todo[--m->n_todo].op, frame = m->todo[m->n_todo].frame;
        const struct program_op *o = &m->g->ops[op];
        m->failed = --m->steps < 0;
        switch ((enum program_kind)o->kind) {
        case PROGRAM_CHAR:
        case PROGRAM_SET:
        case PROGRAM_ANY:
        case PROGRAM_TOKEN: find_way(m, op, frame); break;
        case PROGRAM_CALL: visit(m, o->a, push_frame(m, op + 1, 0, frame)); break;
        case PROGRAM_TAIL: visit(m, o->a, frame); break;
        case PROGRAM_SPLIT:
            visit(m, op + 1, frame);
            visit(m, op + o->a, frame);
            break;
        case PROGRAM_JUMP: visit(m, op + o->a, frame); break;
        case PROGRAM_LOOP: begin_loop(m, op, frame); break;
        case PROGRAM_NEXT: go_round(m, op, frame); break;
        case PROGRAM_RETURN: leave_rule(m, frame); break;
        }
    }
    m->n_todo = 0;
}

/* ---- sets ---- */

static int by_place(const void *a, const void *b) {
    const struct match_way *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    if (x->op != y->op) return x->op < y->op ? -1 : 1;
    return (x->frame > y->frame) - (x->frame < y->frame);
}

static bool is_set(const struct match *m, const struct match_set *s, bool ends) {
    return s->ends == ends && s->n == m->n_found && (s->n == 0 || memcmp(m->ways + s->first, m->found, s->n * sizeof *m->found) == 0);
}

/* Makes a set of the places that were found. */
static uint32_t keep_found(struct match *m) {
    uint64_t key = m->found_end ? 0x9E3779B97F4A7C15u : 0;
    bool new;
    if (m->n_found > 1) qsort(m->found, m->n_found, sizeof *m->found, by_place);
    for (size_t i = 0; i < m->n_found; i++) key = (key ^ pair(m->found[i].op, m->found[i].frame)) * 0x100000001B3u;
    uint32_t *at = map_at(&m->set_map, key, &new);
    while (!new && !is_set(m, &m->sets[*at], m->found_end)) at = map_at(&m->set_map, ++key, &new);
    if (!new) return *at;
    struct match_set s = {.first = (uint32_t)m->n_ways, .n = (uint32_t)m->n_found, .ends = m->found_end};
    *at = (uint32_t)m->n_sets;
    for (size_t i = 0; i < m->n_found; i++) {
        m->ways = grown(m->ways, m->n_ways, &m->cap_ways, sizeof *m->ways);
        m->ways[m->n_ways++] = m->found[i];
        s.tokens = s.tokens || m->g->ops[m->found[i].op].kind == PROGRAM_TOKEN;
    }
    m->sets = grown(m->sets, m->n_sets, &m->cap_sets, sizeof *m->sets);
    m->sets[m->n_sets++] = s;
    return (uint32_t)m->n_sets - 1;
}

static void begin_set(struct match *m) {
    map_clear(&m->seen);
    map_clear(&m->rounds);
    m->n_todo = m->n_found = 0;
    m->found_end = false;
}

static uint32_t end_set(struct match *m) {
    follow_all(m);
    return m->failed ? MATCH_DEAD : keep_found(m);
}

/* The first way of the set whose class is at least this one. */
static uint32_t first_of(const struct match *m, const struct match_set *s, uint32_t class) {
    uint32_t low = s->first, high = s->first + s->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->ways[middle].class < class) low = middle + 1;
        else high = middle;
    }
    return low;
}

uint32_t match_step(struct match *m, uint32_t set, uint32_t class) {
    bool new;
    if (set == MATCH_DEAD || m->failed) return MATCH_DEAD;
    uint32_t *edge = map_at(&m->edges, pair(set, class), &new);
    if (!new && *edge > 0) return *edge - 1;
    struct match_set s = m->sets[set];
    uint32_t c = m->g->borders[class], end = s.first + s.n;
    begin_set(m);
    for (uint32_t i = first_of(m, &s, class); i < end && m->ways[i].class == class; i++) visit(m, m->ways[i].op + 1, m->ways[i].frame);
    for (uint32_t i = first_of(m, &s, m->g->n_classes); i < end; i++) {
        m->steps--;
        if (program_takes(m->g, &m->g->ops[m->ways[i].op], c, c)) visit(m, m->ways[i].op + 1, m->ways[i].frame);
    }
    uint32_t to = end_set(m);
    if (!m->failed) *map_at(&m->edges, pair(set, class), &new) = to + 1;
    return to;
}

uint32_t match_step_token(struct match *m, uint32_t set, uint32_t token) {
    struct match_set s = m->sets[set];
    if (!s.tokens || m->failed) return MATCH_DEAD;
    begin_set(m);
    for (uint32_t i = first_of(m, &s, m->g->n_classes); i < s.first + s.n; i++) {
        const struct program_op *o = &m->g->ops[m->ways[i].op];
        if (o->kind == PROGRAM_TOKEN && (o->a == token) != o->inverted) visit(m, m->ways[i].op + 1, m->ways[i].frame);
    }
    return end_set(m);
}

uint32_t match_union(struct match *m, uint32_t a, uint32_t b) {
    if (a == MATCH_DEAD || b == MATCH_DEAD || m->failed) return a != MATCH_DEAD ? a : b;
    const struct match_set sets[2] = {m->sets[a], m->sets[b]};
    begin_set(m);
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = sets[k].first; i < sets[k].first + sets[k].n; i++) visit(m, m->ways[i].op, m->ways[i].frame);
    m->found_end = sets[0].ends || sets[1].ends;
    return end_set(m);
}

/* ---- life ---- */

static void forget(struct match *m) {
    struct map *maps[] = {&m->frame_map, &m->label_map, &m->set_map, &m->edges, &m->seen, &m->rounds};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) map_done(maps[i]);
    void *lists[] = {m->frames, m->labels, m->sets, m->ways, m->todo, m->found};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) free(lists[i]);
}

/* The first frame is the empty stack, the first set the dead one, the second the grammar's beginning. */
static void begin(struct match *m, int64_t steps) {
    m->steps = steps;
    m->tidy_at = TIDY_LEAST;
    push_frame(m, UINT32_MAX, 0, 0);
    begin_set(m);
    keep_found(m);
    begin_set(m);
    visit(m, m->g->root, 0);
    m->start = end_set(m);
    m->now = (struct match_state){.set = m->start};
}

err_code match_failed(const struct match *m, struct err *e) {
    if (!m->failed) return ERR_OK;
    err_set(e, ERR_LIMIT, "grammar: there are too many ways to go on at once: a token needs more than %d steps", MATCH_STEPS);
    err_hint(e, "optional and repeated parts that can stand for the same text multiply: write them apart");
    return ERR_LIMIT;
}

err_code match_create(const struct program *g, struct match **ret, struct err *e) {
    struct match *m = MEM_NEW(struct match);
    m->g = g;
    begin(m, MATCH_STEPS);
    err_code code = match_failed(m, e);
    if (code == ERR_OK) *ret = m;
    else match_free(m);
    return code;
}

void match_free(struct match *m) {
    if (m == NULL) return;
    forget(m);
    free(m);
}

void match_reset(struct match *m) {
    m->now = (struct match_state){.set = m->start};
    m->steps = MATCH_STEPS;
    m->failed = false;
}

bool match_may_end(const struct match *m) { return m->now.left == 0 && m->sets[m->now.set].ends; }

/* Copies the frames of a set, and all below them, into another match; returns their new numbers by the old ones. */
static uint32_t *carry_frames(const struct match *from, struct match *to, uint32_t set) {
    uint32_t *ret = mem_calloc(from->n_frames, sizeof *ret);
    const struct match_set *s = &from->sets[set];
    for (uint32_t i = s->first; i < s->first + s->n; i++) ret[from->ways[i].frame] = 1;
    for (size_t i = from->n_frames; i-- > 1;) /* a frame is always newer than the one below it */
        if (ret[i] > 0) ret[from->frames[i].parent] = 1;
    ret[0] = 0;
    for (size_t i = 1; i < from->n_frames; i++) {
        const struct match_label *l = &from->labels[from->frames[i].label];
        if (ret[i] > 0) ret[i] = push_frame(to, l->op, l->count, ret[from->frames[i].parent]);
    }
    return ret;
}

void match_tidy(struct match *m) {
    if (m->n_frames + m->n_ways + m->edges.n < m->tidy_at) return;
    struct match old = *m;
    *m = (struct match){.g = old.g};
    begin(m, MATCH_STEPS); /* with the steps of a new match */
    uint32_t *frames = carry_frames(&old, m, old.now.set);
    const struct match_set *s = &old.sets[old.now.set];
    begin_set(m);
    for (uint32_t i = s->first; i < s->first + s->n; i++) find_way(m, old.ways[i].op, frames[old.ways[i].frame]);
    m->found_end = s->ends;
    m->now = old.now;
    m->now.set = keep_found(m);
    m->steps = old.steps;
    if (2 * (m->n_frames + m->n_ways) > m->tidy_at) m->tidy_at = 2 * (m->n_frames + m->n_ways);
    free(frames);
    forget(&old);
}
