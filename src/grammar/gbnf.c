/* SPDX-License-Identifier: MIT */
#include "grammar/gbnf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { MAX_RULES = 4096 };

/* A rule's name where it first stands in the text. */
struct rule {
    const char *name;
    size_t len;
    bool defined;
};

struct gbnf {
    const char *text, *at;
    int depth;                 /* of open parentheses */
    struct rule *rules;
    size_t n_rules, cap;
    struct err *e;
};

static err_code parse_alternates(struct gbnf *g);

/* Error with line and column of a place in the text. */
static err_code fail_at(struct gbnf *g, const char *place, const char *what) {
    unsigned line = 1, column = 1;
    for (const char *p = g->text; p < place; p++) {
        column = *p == '\n' ? 1 : column + 1;
        line += *p == '\n';
    }
    return err_set(g->e, ERR_INVALID, "grammar: line %u, column %u: %s", line, column, what);
}

static err_code fail(struct gbnf *g, const char *what) { return fail_at(g, g->at, what); }

static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Blanks and comments; line ends only where a rule may go on in the next line. */
static void skip_space(struct gbnf *g, bool lines) {
    for (;;)
        if (*g->at == '#') g->at += strcspn(g->at, "\r\n");
        else if (*g->at == ' ' || *g->at == '\t' || (lines && (*g->at == '\r' || *g->at == '\n'))) g->at++;
        else return;
}

/* The rule with this name, a new one if need be; NULL when there are too many (the search is linear). */
static struct rule *rule_named(struct gbnf *g, const char *name, size_t len) {
    for (size_t i = 0; i < g->n_rules; i++)
        if (g->rules[i].len == len && memcmp(g->rules[i].name, name, len) == 0) return &g->rules[i];
    if (g->n_rules == MAX_RULES) return NULL;
    if (g->n_rules == g->cap) {
        g->cap = g->cap > 0 ? g->cap * 2 : 32;
        g->rules = mem_realloc(g->rules, g->cap, sizeof(*g->rules));
    }
    g->rules[g->n_rules] = (struct rule){.name = name, .len = len};
    return &g->rules[g->n_rules++];
}

static err_code too_many_rules(struct gbnf *g) { return err_set(g->e, ERR_LIMIT, "grammar: more than %d rules", MAX_RULES); }

static size_t name_length(const struct gbnf *g) {
    size_t len = 0;
    while (is_name(g->at[len])) len++;
    return len;
}

static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* One character of a literal or a class, escaped or not; at is on it. */
static err_code skip_char(struct gbnf *g) {
    if (*g->at != '\\') {
        g->at++;
        while (((unsigned char)*g->at & 0xC0) == 0x80) g->at++; /* the rest of its UTF-8 */
        return ERR_OK;
    }
    char c = g->at[1];
    int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
        if (c == '\0' || strchr("tnr\\\"[]", c) == NULL)
            return fail(g, "unknown escape (known: \\t \\n \\r \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH)");
        g->at += 2;
        return ERR_OK;
    }
    for (int i = 0; i < digits; i++)
        if (!is_hex(g->at[2 + i])) return fail(g, "too few hexadecimal digits in an escape");
    g->at += 2 + digits;
    return ERR_OK;
}

static err_code parse_literal(struct gbnf *g) {
    const char *start = g->at++;
    while (*g->at != '"') {
        if (*g->at == '\0') return fail_at(g, start, "this literal is not closed with \"");
        err_code code = skip_char(g);
        if (code != ERR_OK) return code;
    }
    g->at++;
    return ERR_OK;
}

static err_code parse_class(struct gbnf *g) {
    const char *start = g->at++;
    if (*g->at == '^') g->at++;
    if (*g->at == ']') return fail_at(g, start, "this character class is empty");
    while (*g->at != ']') {
        if (*g->at == '\0') return fail_at(g, start, "this character class is not closed with ]");
        err_code code = skip_char(g);
        if (code != ERR_OK) return code;
        if (g->at[0] == '-' && g->at[1] != ']') {
            g->at++;
            if (*g->at == '\0') return fail_at(g, start, "this character class is not closed with ]");
            if ((code = skip_char(g)) != ERR_OK) return code;
        }
    }
    g->at++;
    return ERR_OK;
}

/* <[1000]> or <word>: one token of the vocabulary. */
static err_code parse_token(struct gbnf *g) {
    const char *start = g->at;
    g->at += strcspn(g->at, ">\r\n");
    if (*g->at != '>') return fail_at(g, start, "this token is not closed with >");
    g->at++;
    return ERR_OK;
}

static err_code parse_group(struct gbnf *g) {
    const char *start = g->at++;
    if (++g->depth > ENGINE_MAX_GRAMMAR_DEPTH)
        return err_set(g->e, ERR_LIMIT, "grammar: parentheses deeper than %d", ENGINE_MAX_GRAMMAR_DEPTH);
    skip_space(g, true);
    err_code code = parse_alternates(g);
    if (code != ERR_OK) return code;
    if (*g->at != ')') return fail_at(g, start, "this group is not closed with )");
    g->at++;
    g->depth--;
    return ERR_OK;
}

/* A number, *ret_n untouched where none stands. */
static err_code parse_count(struct gbnf *g, uint32_t *ret_n) {
    uint32_t n = 0;
    if (!is_digit(*g->at)) return ERR_OK;
    for (; is_digit(*g->at); g->at++) {
        n = n * 10 + (uint32_t)(*g->at - '0');
        if (n > ENGINE_MAX_GRAMMAR_REPEAT)
            return err_set(g->e, ERR_LIMIT, "grammar: something repeated more than %d times", ENGINE_MAX_GRAMMAR_REPEAT);
    }
    *ret_n = n;
    skip_space(g, true);
    return ERR_OK;
}

/* {m}, {m,} or {m,n}. (libllama never returns from one with n < m.) */
static err_code parse_braces(struct gbnf *g) {
    uint32_t least = UINT32_MAX, most = UINT32_MAX;
    g->at++;
    skip_space(g, true);
    err_code code = parse_count(g, &least);
    if (code != ERR_OK) return code;
    if (least == UINT32_MAX) return fail(g, "expected a number after {");
    if (*g->at == ',') {
        g->at++;
        skip_space(g, true);
        if ((code = parse_count(g, &most)) != ERR_OK) return code;
    }
    if (*g->at != '}') return fail(g, "expected }");
    if (most < least) return fail(g, "at most fewer than at least");
    g->at++;
    return ERR_OK;
}

/* One element; *ret_is false when none begins here. */
static err_code parse_element(struct gbnf *g, bool *ret_is) {
    *ret_is = true;
    size_t len = name_length(g);
    if (len > 0) {
        if (rule_named(g, g->at, len) == NULL) return too_many_rules(g);
        g->at += len;
        return ERR_OK;
    }
    switch (*g->at) {
    case '"': return parse_literal(g);
    case '[': return parse_class(g);
    case '(': return parse_group(g);
    case '<': return parse_token(g);
    case '!': g->at++; return *g->at == '<' ? parse_token(g) : fail(g, "expected <token> after !");
    case '.': g->at++; return ERR_OK;
    default: *ret_is = false; return ERR_OK;
    }
}

static err_code parse_sequence(struct gbnf *g) {
    bool lines = g->depth > 0, is, after = false;
    for (;;) {
        err_code code = ERR_OK;
        if (*g->at == '*' || *g->at == '+' || *g->at == '?' || *g->at == '{') {
            if (!after) return fail(g, "nothing stands before this repetition");
            if (*g->at == '{') code = parse_braces(g);
            else g->at++;
            is = true;
        } else {
            after = strncmp(g->at, "\"\"", 2) != 0; /* an empty literal is nothing to repeat */
            code = parse_element(g, &is);
        }
        if (code != ERR_OK || !is) return code;
        skip_space(g, lines);
    }
}

static err_code parse_alternates(struct gbnf *g) {
    for (;;) {
        err_code code = parse_sequence(g);
        if (code != ERR_OK || *g->at != '|') return code;
        g->at++;
        skip_space(g, true);
    }
}

static err_code parse_rule(struct gbnf *g) {
    size_t len = name_length(g);
    if (len == 0) return fail(g, "expected the name of a rule");
    struct rule *rule = rule_named(g, g->at, len);
    if (rule == NULL) return too_many_rules(g);
    rule->defined = true;
    g->at += len;
    skip_space(g, false);
    if (strncmp(g->at, "::=", 3) != 0) return fail(g, "expected ::=");
    g->at += 3;
    skip_space(g, true);
    err_code code = parse_alternates(g);
    if (code != ERR_OK) return code;
    if (*g->at != '\0' && *g->at != '\r' && *g->at != '\n') return fail(g, "expected an element or the end of the line");
    skip_space(g, true);
    return ERR_OK;
}

static err_code check_rules(struct gbnf *g) {
    bool root = false;
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct rule *r = &g->rules[i];
        if (!r->defined)
            return err_set(g->e, ERR_INVALID, "grammar: the rule \"%.*s\" is used but not defined", (int)(r->len < 60 ? r->len : 60),
                           r->name);
        root = root || (r->len == 4 && memcmp(r->name, "root", 4) == 0);
    }
    return root ? ERR_OK : err_set(g->e, ERR_INVALID, "grammar: there is no rule \"root\"");
}

err_code gbnf_check(const char *text, struct err *e) {
    struct gbnf g = {.text = text, .at = text, .e = e};
    if (strlen(text) > ENGINE_MAX_GRAMMAR) return err_set(e, ERR_LIMIT, "grammar: %zu bytes, at most %d", strlen(text), ENGINE_MAX_GRAMMAR);
    if (!str_utf8_valid(text, strlen(text))) return err_set(e, ERR_INVALID, "grammar: not valid UTF-8");
    err_code code = ERR_OK;
    skip_space(&g, true);
    while (code == ERR_OK && *g.at != '\0') code = parse_rule(&g);
    if (code == ERR_OK) code = check_rules(&g);
    free(g.rules);
    return code;
}
