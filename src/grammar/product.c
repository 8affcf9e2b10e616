/* SPDX-License-Identifier: MIT
 * A state of the product is a set of ways in each part's grammar (match.h finds and numbers these sets). */
#include "grammar/product.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/charset.h"
#include "grammar/gbnf.h"
#include "grammar/map.h"
#include "grammar/match_priv.h"

enum { MAX_BORDERS = 1500, MAX_EDGES = 60000 };

struct part {
    struct program *program;
    struct match *match;
    bool negated;
};

/* A state: the sets of its parts begin at sets + state * n. The edges of a state are consecutive. */
struct edge {
    uint32_t first, last;      /* characters */
    uint32_t to;
};

struct product {
    struct part parts[REGEX_MAX_PARTS];
    size_t n;
    uint32_t *borders;         /* of all parts' classes, sorted */
    size_t n_borders;
    uint32_t *sets;            /* owned */
    size_t n_states;
    struct map known;          /* states by the hash of their sets */
    struct edge *edges;        /* owned */
    size_t n_edges, first_edge[PRODUCT_MAX_STATES + 1];
    uint64_t steps, max_steps;
    bool ends[PRODUCT_MAX_STATES], useful[PRODUCT_MAX_STATES];
};

/* ---- parts ---- */

static void close_part(struct part *p) {
    match_free(p->match);
    program_free(p->program);
}

static err_code open_part(const struct regex_part *part, const char *shared, struct part *ret) {
    struct buf text;
    buf_init(&text, GBNF_MAX_TEXT);
    buf_printf(&text, "root ::= ");
    buf_append_str(&text, part->text);
    buf_append_byte(&text, '\n');
    buf_append_str(&text, shared);
    *ret = (struct part){.negated = part->negated};
    err_code code = text.failed ? ERR_LIMIT : gbnf_compile(buf_cstr(&text), NULL, NULL, &ret->program, NULL);
    if (code == ERR_OK) code = match_create(ret->program, &ret->match, NULL);
    if (code != ERR_OK) close_part(ret);
    buf_done(&text);
    return code;
}

err_code product_fits(const struct regex_part *parts, size_t n, const char *shared, const char *text, size_t len, bool *ret) {
    *ret = true;
    for (size_t i = 0; i < n; i++) {
        struct part p;
        err_code code = open_part(&parts[i], shared, &p);
        if (code != ERR_OK) return code;
        bool fits = (len == 0 || match_accept(p.match, -1, text, len)) && match_may_end(p.match);
        code = match_failed(p.match, NULL);
        close_part(&p);
        if (code != ERR_OK) return code;
        *ret = *ret && fits != parts[i].negated;
    }
    return ERR_OK;
}

/* ---- states ---- */

static int by_value(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static err_code find_borders(struct product *p) {
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < p->n; i++) n += p->parts[i].program->n_classes;
    p->borders = mem_calloc(n + 1, sizeof(*p->borders));
    n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct program *g = p->parts[i].program;
        memcpy(p->borders + n, g->borders, g->n_classes * sizeof(*g->borders));
        n += g->n_classes;
    }
    qsort(p->borders, n, sizeof(*p->borders), by_value);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || p->borders[i] != p->borders[kept - 1]) p->borders[kept++] = p->borders[i];
    p->n_borders = kept;
    return kept <= MAX_BORDERS ? ERR_OK : ERR_LIMIT;
}

static bool state_ends(const struct product *p, const uint32_t *sets) {
    for (size_t i = 0; i < p->n; i++)
        if (p->parts[i].match->sets[sets[i]].ends == p->parts[i].negated) return false;
    return true;
}

/* The state with these sets; a new one if there is none. */
static err_code state_of(struct product *p, const uint32_t *sets, uint32_t *ret) {
    uint64_t key = 0;
    bool new;
    for (size_t i = 0; i < p->n; i++) key = (key ^ sets[i]) * 0x100000001B3u;
    uint32_t *at = map_at(&p->known, key, &new);
    while (!new && memcmp(p->sets + *at * p->n, sets, p->n * sizeof(*sets)) != 0) at = map_at(&p->known, ++key, &new);
    if (new) {
        if (p->n_states == PRODUCT_MAX_STATES) return ERR_LIMIT;
        *at = (uint32_t)p->n_states++;
        memcpy(p->sets + *at * p->n, sets, p->n * sizeof(*sets));
        p->ends[*at] = state_ends(p, sets);
    }
    *ret = *at;
    return ERR_OK;
}

static err_code add_edge(struct product *p, uint32_t state, uint32_t first, uint32_t last, uint32_t to) {
    struct edge *before = p->n_edges > p->first_edge[state] ? &p->edges[p->n_edges - 1] : NULL;
    if (before != NULL && before->to == to && before->last + 1 == first) {
        before->last = last;
        return ERR_OK;
    }
    if (p->n_edges == MAX_EDGES) return ERR_LIMIT;
    p->edges[p->n_edges++] = (struct edge){first, last, to};
    return ERR_OK;
}

/* Where the characters of one interval lead. If a required part can no longer match, the way ends. If a forbidden part can no longer
 * match, it stays at the dead set and forbids nothing more. */
static err_code follow(struct product *p, uint32_t state, size_t interval) {
    uint32_t sets[REGEX_MAX_PARTS], c = p->borders[interval], to = 0;
    if ((p->steps += p->n) > p->max_steps) return ERR_LIMIT;
    uint32_t last = interval + 1 < p->n_borders ? p->borders[interval + 1] - 1 : PROGRAM_LAST_CHAR;
    for (size_t i = 0; i < p->n; i++) {
        struct part *part = &p->parts[i];
        sets[i] = match_step(part->match, p->sets[state * p->n + i], program_class(part->program, c));
        if (match_failed(part->match, NULL) != ERR_OK) return ERR_LIMIT;
        if (sets[i] == MATCH_DEAD && !part->negated) return ERR_OK;
    }
    err_code code = state_of(p, sets, &to);
    return code == ERR_OK ? add_edge(p, state, c, last, to) : code;
}

static err_code find_states(struct product *p) {
    uint32_t sets[REGEX_MAX_PARTS], first = 0;
    for (size_t i = 0; i < p->n; i++) sets[i] = p->parts[i].match->start;
    err_code code = state_of(p, sets, &first);
    for (uint32_t state = 0; state < p->n_states && code == ERR_OK; state++) {
        p->first_edge[state] = p->n_edges;
        for (size_t i = 0; i < p->n_borders && code == ERR_OK; i++) code = follow(p, state, i);
        p->first_edge[state + 1] = p->n_edges;
    }
    return code;
}

/* A state is useful if a text from it can end. */
static void find_useful(struct product *p) {
    for (size_t i = 0; i < p->n_states; i++) p->useful[i] = p->ends[i];
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = p->n_states; i-- > 0;)
            for (size_t k = p->first_edge[i]; k < p->first_edge[i + 1] && !p->useful[i]; k++)
                if (p->useful[p->edges[k].to]) p->useful[i] = changed = true;
    }
}

/* ---- text ---- */

/* All characters that lead from one state to another are written as one class. */
static void write_state(const struct product *p, size_t state, unsigned number, struct buf *out) {
    size_t first = p->first_edge[state], end = p->first_edge[state + 1];
    bool any = p->ends[state];
    buf_printf(out, "p%u-%zu ::= %s", number, state, any ? "\"\"" : "");
    for (size_t k = first; k < end; k++) {
        bool told = false;
        for (size_t i = first; i < k; i++) told = told || p->edges[i].to == p->edges[k].to;
        if (told || !p->useful[p->edges[k].to]) continue;
        buf_append_str(out, any ? " | [" : "[");
        for (size_t i = k; i < end; i++)
            if (p->edges[i].to == p->edges[k].to) charset_write_range(out, p->edges[i].first, p->edges[i].last);
        buf_printf(out, "] p%u-%u", number, p->edges[k].to);
        any = true;
    }
    buf_append_byte(out, '\n');
}

static void product_free(struct product *p) {
    for (size_t i = 0; i < p->n; i++) close_part(&p->parts[i]);
    map_done(&p->known);
    free(p->borders);
    free(p->sets);
    free(p->edges);
    free(p);
}

err_code product_write(const struct regex_part *parts, size_t n, const char *shared, unsigned number, uint64_t *steps, struct buf *rules,
                       bool *ret_any) {
    struct product *p = MEM_NEW(struct product);
    p->max_steps = *steps < PRODUCT_MAX_STEPS ? *steps : PRODUCT_MAX_STEPS;
    struct buf text;
    err_code code = ERR_OK;
    buf_init(&text, PRODUCT_MAX_TEXT);
    for (size_t i = 0; i < n && code == ERR_OK; i++)
        if ((code = open_part(&parts[i], shared, &p->parts[i])) == ERR_OK) p->n++;
    p->sets = mem_calloc((size_t)PRODUCT_MAX_STATES * n, sizeof(*p->sets));
    p->edges = mem_calloc(MAX_EDGES, sizeof(*p->edges));
    if (code == ERR_OK) code = find_borders(p);
    if (code == ERR_OK) code = find_states(p);
    if (code == ERR_OK) {
        find_useful(p);
        *ret_any = p->useful[0];
        for (size_t i = 0; i < p->n_states && *ret_any; i++)
            if (p->useful[i]) write_state(p, i, number, &text);
        if (text.failed) code = ERR_LIMIT;
        else buf_append(rules, text.data, text.len);
    }
    *steps -= p->steps < *steps ? p->steps : *steps;
    buf_done(&text);
    product_free(p);
    return code;
}
