/* SPDX-License-Identifier: MIT
 * The parser: one pass, which emits ops as it goes. */
#include "grammar/gbnf.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "grammar/program_priv.h"

struct gbnf {
    const char *text, *at;
    int depth;               /* of open parentheses */
    struct program *g;
    size_t cap_ops, cap_ranges, cap_loops, cap_rules;
    uint32_t *index;         /* rules by their names: 1 + rule, or 0; size_index is a power of 2 */
    size_t size_index;
    gbnf_token_fn token;
    void *user;
    struct err *e;
};

static err_code parse_alternates(struct gbnf *p);

/* Error with line and column of a place in the text. */
static err_code fail_at(struct gbnf *p, const char *place, const char *what) {
    unsigned line = 1, column = 1;
    for (const char *c = p->text; c < place; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return err_set(p->e, ERR_INVALID, "grammar: line %u, column %u: %s", line, column, what);
}

static err_code fail(struct gbnf *p, const char *what) { return fail_at(p, p->at, what); }

/* ---- emitting ---- */

static void *grown(void *list, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return list;
    *cap = *cap > 0 ? 2 * *cap : 64;
    return mem_realloc(list, *cap, size);
}

static void emit(struct gbnf *p, enum program_kind kind, bool inverted, uint32_t a, uint32_t b) {
    struct program *g = p->g;
    g->ops = grown(g->ops, g->n_ops, &p->cap_ops, sizeof *g->ops);
    g->ops[g->n_ops++] = (struct program_op){.kind = (uint8_t)kind, .inverted = inverted, .a = a, .b = b};
}

/* Inserts an op before those from `start` on. */
static void insert(struct gbnf *p, size_t start, enum program_kind kind, uint32_t a, uint32_t b) {
    struct program *g = p->g;
    emit(p, kind, false, 0, 0);
    memmove(g->ops + start + 1, g->ops + start, (g->n_ops - 1 - start) * sizeof *g->ops);
    g->ops[start] = (struct program_op){.kind = (uint8_t)kind, .a = a, .b = b};
}

static void add_range(struct gbnf *p, uint32_t first, uint32_t last) {
    struct program *g = p->g;
    if (last > PROGRAM_LAST_CHAR) last = PROGRAM_LAST_CHAR;
    g->ranges = grown(g->ranges, g->n_ranges, &p->cap_ranges, sizeof *g->ranges); /* so that it's not NULL where there is a class */
    if (first > last) return;                                                    /* [z-a] */
    g->ranges[g->n_ranges++] = (struct program_range){first, last};
}

/* Repeats the ops from `start` on, min to max times. */
static void repeat(struct gbnf *p, size_t start, uint32_t min, uint32_t max) {
    struct program *g = p->g;
    uint32_t len = (uint32_t)(g->n_ops - start);
    if (max == 0) {
        g->n_ops = start;
    } else if (min == 0 && max == 1) {
        insert(p, start, PROGRAM_SPLIT, len + 1, 0);
    } else if (min == 0 && max == PROGRAM_UNBOUNDED) {
        insert(p, start, PROGRAM_SPLIT, len + 2, 0);
        emit(p, PROGRAM_JUMP, false, 0 - (len + 1), 0);
    } else if (min == 1 && max == PROGRAM_UNBOUNDED) {
        emit(p, PROGRAM_SPLIT, false, 0 - len, 0);
    } else if (min != 1 || max != 1) {
        g->loops = grown(g->loops, g->n_loops, &p->cap_loops, sizeof *g->loops);
        g->loops[g->n_loops] = (struct program_loop){.min = min, .max = max};
        uint32_t loop = (uint32_t)g->n_loops++;
        insert(p, start, PROGRAM_LOOP, loop, len + 2);
        emit(p, PROGRAM_NEXT, false, loop, 0 - (len + 1));
    }
}

/* ---- words ---- */

static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Skips blanks and comments; line ends only if a rule may continue in the next line. */
static void skip_space(struct gbnf *p, bool lines) {
    for (;;)
        if (*p->at == '#') p->at += strcspn(p->at, "\r\n");
        else if (*p->at == ' ' || *p->at == '\t' || (lines && (*p->at == '\r' || *p->at == '\n'))) p->at++;
        else return;
}

static size_t name_length(const struct gbnf *p) {
    size_t len = 0;
    while (is_name(p->at[len])) len++;
    return len;
}

/* The place of this name in the index, or the free place for it. */
static uint32_t *index_slot(const struct gbnf *p, const char *name, size_t len) {
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) h = (h ^ (uint8_t)name[i]) * 0x100000001B3u;
    size_t at = (size_t)(h ^ h >> 32) & (p->size_index - 1);
    for (;; at = (at + 1) & (p->size_index - 1)) {
        const struct program_rule *r = p->index[at] > 0 ? &p->g->rules[p->index[at] - 1] : NULL;
        if (r == NULL || (r->len == len && memcmp(r->name, name, len) == 0)) return &p->index[at];
    }
}

static void index_grow(struct gbnf *p) {
    free(p->index);
    p->size_index = p->size_index > 0 ? 2 * p->size_index : 64;
    p->index = mem_calloc(p->size_index, sizeof *p->index);
    for (size_t i = 0; i < p->g->n_rules; i++) *index_slot(p, p->g->rules[i].name, p->g->rules[i].len) = (uint32_t)i + 1;
}

/* The rule with this name; a new one if there is none. */
static uint32_t rule_named(struct gbnf *p, const char *name, size_t len) {
    struct program *g = p->g;
    if (2 * g->n_rules >= p->size_index) index_grow(p);
    uint32_t *slot = index_slot(p, name, len);
    if (*slot > 0) return *slot - 1;
    g->rules = grown(g->rules, g->n_rules, &p->cap_rules, sizeof *g->rules);
    g->rules[g->n_rules] = (struct program_rule){.name = name, .len = len};
    *slot = (uint32_t)++g->n_rules;
    return *slot - 1;
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t utf8_next(const char **at) {
    const uint8_t *c = (const uint8_t *)*at;
    unsigned more = *c >= 0xF0 ? 3 : *c >= 0xE0 ? 2 : *c >= 0xC0 ? 1 : 0;
    uint32_t value = more > 0 ? *c & (0x3Fu >> more) : *c;
    for (c++; more > 0; more--, c++) value = value << 6 | (*c & 0x3F);
    *at = (const char *)c;
    return value;
}

/* One character of a literal or a class, escaped or not, at the current place. */
static err_code parse_char(struct gbnf *p, uint32_t *ret) {
    static const char letters[] = "tnr\\\"[]", meaning[] = "\t\n\r\\\"[]";
    if (*p->at != '\\') {
        *ret = utf8_next(&p->at);
        return ERR_OK;
    }
    char c = p->at[1];
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const char *letter = c != '\0' ? strchr(letters, c) : NULL;
    if (digits == 0 && letter == NULL) return fail(p, "unknown escape (known: \\t \\n \\r \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH)");
    uint32_t value = digits == 0 ? (uint8_t)meaning[letter - letters] : 0;
    for (int i = 0; i < digits; i++) {
        int digit = hex_digit(p->at[2 + i]);
        if (digit < 0) return fail(p, "too few hexadecimal digits in an escape");
        value = value << 4 | (uint32_t)digit;
    }
    if (value > PROGRAM_LAST_CHAR) return fail(p, "there is no such character");
    p->at += 2 + digits;
    *ret = value;
    return ERR_OK;
}

/* ---- elements ---- */

static err_code parse_literal(struct gbnf *p) {
    const char *start = p->at++;
    while (*p->at != '"') {
        uint32_t c = 0;
        if (*p->at == '\0') return fail_at(p, start, "this literal is not closed with \"");
        err_code code = parse_char(p, &c);
        if (code != ERR_OK) return code;
        emit(p, PROGRAM_CHAR, false, c, 0);
    }
    p->at++;
    return ERR_OK;
}

static int by_first(const void *a, const void *b) {
    const struct program_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* Sorts and joins the ranges from `from` on; inverted: replaces them by the ranges between them. */
static void tidy_ranges(struct gbnf *p, size_t from, bool inverted) {
    struct program *g = p->g;
    struct program_range *r = g->ranges + from;
    size_t n = 0, kept = 0;
    uint32_t next = 0;
    if (g->n_ranges > from) qsort(r, g->n_ranges - from, sizeof *r, by_first);
    for (size_t i = 0; i < g->n_ranges - from; i++)
        if (n == 0 || r[i].first > r[n - 1].last + 1) r[n++] = r[i];
        else if (r[i].last > r[n - 1].last) r[n - 1].last = r[i].last;
    g->n_ranges = from + n;
    if (!inverted) return;
    for (size_t i = 0; i < n; i++) {
        struct program_range old = r[i];
        if (old.first > next) r[kept++] = (struct program_range){next, old.first - 1};
        next = old.last + 1;
    }
    g->n_ranges = from + kept;
    add_range(p, next, PROGRAM_LAST_CHAR);
}

static err_code parse_class(struct gbnf *p) {
    static const char not_closed[] = "this character class is not closed with ]";
    const char *start = p->at++;
    bool inverted = *p->at == '^';
    uint32_t from = (uint32_t)p->g->n_ranges;
    if (inverted) p->at++;
    if (*p->at == ']') return fail_at(p, start, "this character class is empty");
    while (*p->at != ']') {
        uint32_t first = 0, last;
        if (*p->at == '\0') return fail_at(p, start, not_closed);
        err_code code = parse_char(p, &first);
        last = first;
        if (code == ERR_OK && p->at[0] == '-' && p->at[1] != ']') {
            p->at++;
            if (*p->at == '\0') return fail_at(p, start, not_closed);
            code = parse_char(p, &last);
        }
        if (code != ERR_OK) return code;
        add_range(p, first, last);
    }
    p->at++;
    tidy_ranges(p, from, inverted);
    emit(p, PROGRAM_SET, false, from, (uint32_t)p->g->n_ranges - from);
    return ERR_OK;
}

/* <[1000]> or <word>: one token of the vocabulary. */
static err_code parse_token(struct gbnf *p, bool inverted) {
    const char *start = p->at;
    size_t len = strcspn(start, ">\r\n");
    uint64_t id = 0;
    if (start[len] != '>') return fail_at(p, start, "this token is not closed with >");
    p->at += ++len;
    if (start[1] == '[') {
        const char *digits = start + 2;
        if (!str_take_u64(&digits, &id) || id > INT32_MAX || digits[0] != ']' || digits + 2 != p->at)
            return fail_at(p, start, "expected a token's number: <[1000]>");
    } else if (p->token != NULL) {
        int32_t found = p->token(p->user, start, len);
        if (found < 0) return fail_at(p, start, "the model's vocabulary has no such token");
        id = (uint64_t)found;
    }
    emit(p, PROGRAM_TOKEN, inverted, (uint32_t)id, 0);
    return ERR_OK;
}

static err_code parse_group(struct gbnf *p) {
    const char *start = p->at++;
    if (++p->depth > GBNF_MAX_DEPTH) return err_set(p->e, ERR_LIMIT, "grammar: parentheses deeper than %d", GBNF_MAX_DEPTH);
    skip_space(p, true);
    err_code code = parse_alternates(p);
    if (code != ERR_OK) return code;
    if (*p->at != ')') return fail_at(p, start, "this group is not closed with )");
    p->at++;
    p->depth--;
    return ERR_OK;
}

/* One element; *ret_is false when none begins here. */
static err_code parse_element(struct gbnf *p, bool *ret_is) {
    *ret_is = true;
    size_t len = name_length(p);
    if (len > 0) {
        emit(p, PROGRAM_CALL, false, rule_named(p, p->at, len), 0);
        p->at += len;
        return ERR_OK;
    }
    switch (*p->at) {
    case '"': return parse_literal(p);
    case '[': return parse_class(p);
    case '(': return parse_group(p);
    case '<': return parse_token(p, false);
    case '!': p->at++; return *p->at == '<' ? parse_token(p, true) : fail(p, "expected <token> after !");
    case '.':
        p->at++;
        emit(p, PROGRAM_ANY, false, 0, 0);
        return ERR_OK;
    default: *ret_is = false; return ERR_OK;
    }
}

/* ---- repetition ---- */

/* A number; *ret_n is untouched if there is none. */
static err_code parse_count(struct gbnf *p, uint32_t *ret_n) {
    uint64_t n = 0;
    if (!is_digit(*p->at)) return ERR_OK;
    for (; is_digit(*p->at); p->at++) {
        n = n * 10 + (uint64_t)(*p->at - '0');
        if (n > GBNF_MAX_REPEAT) return err_set(p->e, ERR_LIMIT, "grammar: something repeated more than %d times", GBNF_MAX_REPEAT);
    }
    *ret_n = (uint32_t)n;
    skip_space(p, true);
    return ERR_OK;
}

/* {m}, {m,} or {m,n} */
static err_code parse_braces(struct gbnf *p, uint32_t *ret_min, uint32_t *ret_max) {
    uint32_t least = PROGRAM_UNBOUNDED, most = PROGRAM_UNBOUNDED;
    p->at++;
    skip_space(p, true);
    err_code code = parse_count(p, &least);
    if (code != ERR_OK) return code;
    if (least == PROGRAM_UNBOUNDED) return fail(p, "expected a number after {");
    if (*p->at == ',') {
        p->at++;
        skip_space(p, true);
        if ((code = parse_count(p, &most)) != ERR_OK) return code;
    } else {
        most = least;
    }
    if (*p->at != '}') return fail(p, "expected }");
    if (most < least) return fail(p, "at most fewer than at least");
    p->at++;
    *ret_min = least;
    *ret_max = most;
    return ERR_OK;
}

/* After an element: reads its repetition and applies it. */
static err_code parse_repetition(struct gbnf *p, size_t start) {
    uint32_t min = *p->at == '+' ? 1 : 0, max = *p->at == '?' ? 1 : PROGRAM_UNBOUNDED;
    err_code code = ERR_OK;
    if (*p->at == '{') code = parse_braces(p, &min, &max);
    else p->at++;
    if (code == ERR_OK) repeat(p, start, min, max);
    return code;
}

/* ---- rules ---- */

static err_code parse_sequence(struct gbnf *p) {
    bool lines = p->depth > 0, is, after = false;
    size_t start = p->g->n_ops;
    for (;;) {
        err_code code;
        if (*p->at == '*' || *p->at == '+' || *p->at == '?' || *p->at == '{') {
            if (!after) return fail(p, "nothing stands before this repetition");
            code = parse_repetition(p, start);
            is = true;
        } else {
            after = strncmp(p->at, "\"\"", 2) != 0; /* an empty literal can't be repeated */
            start = p->g->n_ops;
            code = parse_element(p, &is);
        }
        if (code != ERR_OK || !is) return code;
        skip_space(p, lines);
    }
}

/* The jumps to the end form a list until the end is known: each holds the distance to the one before it. */
static err_code parse_alternates(struct gbnf *p) {
    struct program *g = p->g;
    size_t last = 0; /* jump; 0: none yet (a jump is never the first op) */
    for (;;) {
        size_t start = g->n_ops;
        err_code code = parse_sequence(p);
        if (code != ERR_OK) return code;
        if (*p->at != '|') break;
        insert(p, start, PROGRAM_SPLIT, (uint32_t)(g->n_ops - start) + 2, 0);
        emit(p, PROGRAM_JUMP, false, last > 0 ? (uint32_t)(g->n_ops - last) : 0, 0);
        last = g->n_ops - 1;
        p->at++;
        skip_space(p, true);
    }
    while (last > 0) {
        uint32_t back = g->ops[last].a;
        g->ops[last].a = (uint32_t)(g->n_ops - last);
        last = back > 0 ? last - back : 0;
    }
    return ERR_OK;
}

static err_code parse_rule(struct gbnf *p) {
    size_t len = name_length(p);
    if (len == 0) return fail(p, "expected the name of a rule");
    uint32_t rule = rule_named(p, p->at, len);
    p->g->rules[rule].defined = true; /* of two rules with one name the second counts */
    p->g->rules[rule].first = (uint32_t)p->g->n_ops;
    p->at += len;
    skip_space(p, false);
    if (strncmp(p->at, "::=", 3) != 0) return fail(p, "expected ::=");
    p->at += 3;
    skip_space(p, true);
    err_code code = parse_alternates(p);
    if (code != ERR_OK) return code;
    if (*p->at != '\0' && *p->at != '\r' && *p->at != '\n') return fail(p, "expected an element or the end of the line");
    emit(p, PROGRAM_RETURN, false, rule, 0);
    skip_space(p, true);
    return ERR_OK;
}

err_code gbnf_compile(const char *text, gbnf_token_fn token, void *user, struct program **ret, struct err *e) {
    size_t len = strlen(text);
    if (len > GBNF_MAX_TEXT) return err_set(e, ERR_LIMIT, "grammar: %zu bytes, at most %d", len, GBNF_MAX_TEXT);
    if (!str_utf8_valid(text, len)) return err_set(e, ERR_INVALID, "grammar: not valid UTF-8");
    struct gbnf p = {.text = text, .at = text, .g = MEM_NEW(struct program), .token = token, .user = user, .e = e};
    err_code code = ERR_OK;
    skip_space(&p, true);
    while (code == ERR_OK && *p.at != '\0') code = parse_rule(&p);
    if (code == ERR_OK) {
        uint32_t root = rule_named(&p, "root", 4);
        if (!p.g->rules[root].defined) code = err_set(e, ERR_INVALID, "grammar: there is no rule \"root\"");
        p.g->root = p.g->rules[root].first;
    }
    if (code == ERR_OK) code = program_finish(p.g, e);
    free(p.index);
    if (code == ERR_OK) *ret = p.g;
    else program_free(p.g);
    return code;
}

err_code gbnf_check(const char *text, struct err *e) {
    struct program *g = NULL;
    err_code code = gbnf_compile(text, NULL, NULL, &g, e);
    program_free(g);
    return code;
}
