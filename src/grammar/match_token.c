/* SPDX-License-Identifier: MIT
 * Characters from bytes, and tokens from characters. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/match_priv.h"

/* ---- bytes ---- */

static bool is_char(uint32_t c, unsigned len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return c >= least[len] && c <= PROGRAM_LAST_CHAR && (c < 0xD800 || c > 0xDFFF);
}

/* Invalid UTF-8 matches nothing. */
static void push_byte(struct match *m, struct match_state *s, uint8_t byte) {
    if (s->left == 0 && byte < 0x80) {
        s->set = match_step(m, s->set, m->g->ascii[byte]);
    } else if (s->left == 0) {
        unsigned len = byte >= 0xF8 ? 0 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 0;
        if (len == 0) s->set = MATCH_DEAD;
        s->len = (uint8_t)len;
        s->left = (uint8_t)(len > 0 ? len - 1 : 0);
        s->value = len > 0 ? byte & (0x7Fu >> len) : 0;
    } else if ((byte & 0xC0) != 0x80) {
        s->set = MATCH_DEAD;
    } else {
        s->value = s->value << 6 | (byte & 0x3F);
        if (--s->left > 0) return;
        s->set = is_char(s->value, s->len) ? match_step(m, s->set, program_class(m->g, s->value)) : MATCH_DEAD;
    }
}

/* Could the incomplete character become one that matches? */
static bool may_go_on(const struct match *m, const struct match_state *s) {
    if (s->set == MATCH_DEAD || s->left == 0) return s->set != MATCH_DEAD;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned bits = 6u * s->left;
    uint32_t first = s->value << bits, last = first | ((1u << bits) - 1);
    if (first < least[s->len]) first = least[s->len];
    const struct match_set *set = &m->sets[s->set];
    for (uint32_t i = set->first; i < set->first + set->n && first <= last; i++)
        if (program_takes(m->g, &m->g->ops[m->ways[i].op], first, last)) return true;
    return false;
}

/* ---- one token ---- */

static struct match_state behind(struct match *m, int32_t token, const char *text, size_t len) {
    struct match_state s = m->now;
    uint32_t other = token >= 0 && s.left == 0 ? match_step_token(m, s.set, (uint32_t)token) : MATCH_DEAD;
    if (len == 0) s.set = MATCH_DEAD;
    for (size_t i = 0; i < len && s.set != MATCH_DEAD; i++) push_byte(m, &s, (uint8_t)text[i]);
    if (!may_go_on(m, &s)) s = (struct match_state){.set = MATCH_DEAD};
    if (other == MATCH_DEAD) return s;
    return s.left > 0 ? s : (struct match_state){.set = match_union(m, s.set, other)};
}

bool match_allows(struct match *m, int32_t token, const char *text, size_t len) { return behind(m, token, text, len).set != MATCH_DEAD; }

bool match_accept(struct match *m, int32_t token, const char *text, size_t len) {
    match_tidy(m);
    m->steps = m->steps + MATCH_STEPS_TOKEN < MATCH_STEPS ? m->steps + MATCH_STEPS_TOKEN : MATCH_STEPS;
    struct match_state s = behind(m, token, text, len);
    if (s.set == MATCH_DEAD) return false;
    m->now = s;
    return true;
}

/* ---- a vocabulary ---- */

struct match_pieces {
    struct match_piece *list;
    size_t *common;        /* bytes that each text shares with the one before it */
    size_t n, n_tokens, longest;
    char *texts;
};

static int by_text(const void *a, const void *b) {
    const struct match_piece *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    if (order != 0) return order;
    return x->len != y->len ? (x->len > y->len) - (x->len < y->len) : (x->token > y->token) - (x->token < y->token);
}

struct match_pieces *match_pieces_create(const struct match_piece *list, size_t n, size_t n_tokens) {
    struct match_pieces *p = MEM_NEW(struct match_pieces);
    size_t bytes = 0;
    p->list = mem_calloc(n + 1, sizeof *p->list);
    p->common = mem_calloc(n + 1, sizeof *p->common);
    p->n = n;
    p->n_tokens = n_tokens;
    for (size_t i = 0; i < n; i++) bytes += list[i].len;
    char *at = p->texts = mem_alloc(bytes + 1);
    for (size_t i = 0; i < n; i++, at += list[i - 1].len) {
        memcpy(at, list[i].text, list[i].len);
        p->list[i] = (struct match_piece){.text = at, .len = list[i].len, .token = list[i].token};
        if (list[i].len > p->longest) p->longest = list[i].len;
    }
    qsort(p->list, n, sizeof *p->list, by_text);
    for (size_t i = 1; i < n; i++) {
        const struct match_piece *x = &p->list[i - 1], *y = &p->list[i];
        while (p->common[i] < x->len && p->common[i] < y->len && x->text[p->common[i]] == y->text[p->common[i]]) p->common[i]++;
    }
    return p;
}

void match_pieces_free(struct match_pieces *p) {
    if (p == NULL) return;
    free(p->list);
    free(p->common);
    free(p->texts);
    free(p);
}

/* Allows the tokens of the ways that await a token. */
static void allow_tokens(const struct match *m, size_t n_tokens, bool *allowed) {
    const struct match_set *s = &m->sets[m->now.set];
    if (!s->tokens || m->now.left > 0) return;
    for (uint32_t i = s->first; i < s->first + s->n; i++) {
        const struct program_op *o = &m->g->ops[m->ways[i].op];
        if (o->kind != PROGRAM_TOKEN) continue;
        if (!o->inverted && o->a < n_tokens) allowed[o->a] = true;
        for (size_t t = 0; o->inverted && t < n_tokens; t++) allowed[t] = allowed[t] || t != o->a;
    }
}

void match_filter(struct match *m, const struct match_pieces *p, bool *allowed) {
    struct match_state *states = mem_calloc(p->longest + 1, sizeof *states); /* after each prefix of the piece */
    size_t known = 0;                                                         /* number of known states */
    states[0] = m->now;
    memset(allowed, 0, p->n_tokens * sizeof *allowed);
    for (size_t i = 0; i < p->n; i++) {
        const struct match_piece *piece = &p->list[i];
        if (known > p->common[i]) known = p->common[i];
        while (known < piece->len && states[known].set != MATCH_DEAD) {
            states[known + 1] = states[known];
            push_byte(m, &states[known + 1], (uint8_t)piece->text[known]);
            known++;
        }
        allowed[piece->token] = known == piece->len && may_go_on(m, &states[known]);
    }
    allow_tokens(m, p->n_tokens, allowed);
    free(states);
}
