/* SPDX-License-Identifier: MIT
 * Expressions. From the loosest to the tightest: a if b else c; or; and; not; comparisons; + -; ~; * / // %; **; signs; then . [] () |
 * and is. */
#include <string.h>

#include "base/mem.h"
#include "jinja/object_priv.h"
#include "jinja/parse_priv.h"
#include "jinja/number_priv.h"

/* ---- tokens ---- */

bool jinja_parser_next(struct jinja_parser *p) {
    if (p->has_ahead) {
        p->now = p->ahead;
        p->has_ahead = false;
    } else if (!jinja_lexer_next(p->r, &p->lexer, &p->now)) {
        return false;
    }
    p->r->line = p->now.line;
    return true;
}

static bool look_ahead(struct jinja_parser *p) {
    if (!p->has_ahead && !jinja_lexer_next(p->r, &p->lexer, &p->ahead)) return false;
    p->has_ahead = true;
    p->r->line = p->now.line;
    return true;
}

bool jinja_parser_is(const struct jinja_parser *p, int sign) { return p->now.kind == JINJA_T_SIGN && p->now.sign == sign; }

static bool token_is_word(const struct jinja_token *t, const char *word) {
    return t->kind == JINJA_T_NAME && t->len == strlen(word) && memcmp(t->text, word, t->len) == 0;
}

bool jinja_parser_is_word(const struct jinja_parser *p, const char *word) { return token_is_word(&p->now, word); }

bool jinja_parser_skip(struct jinja_parser *p, int sign, bool *ret_was) {
    *ret_was = jinja_parser_is(p, sign);
    return !*ret_was || jinja_parser_next(p);
}

bool jinja_parser_skip_word(struct jinja_parser *p, const char *word, bool *ret_was) {
    *ret_was = jinja_parser_is_word(p, word);
    return !*ret_was || jinja_parser_next(p);
}

bool jinja_parser_unexpected(struct jinja_parser *p, const char *wanted) {
    const struct jinja_token *t = &p->now;
    switch (t->kind) {
    case JINJA_T_END: return jinja_fail(p->r, "expected %s, got the end of the template", wanted);
    case JINJA_T_PRINT_END:
    case JINJA_T_BLOCK_END: return jinja_fail(p->r, "expected %s, got the end of the tag", wanted);
    default: return jinja_fail(p->r, "expected %s, got '%.*s'", wanted, (int)(t->len < 60 ? t->len : 60), t->text);
    }
}

bool jinja_parser_expect(struct jinja_parser *p, int sign) {
    char name[4] = {'\'', (char)sign, '\'', '\0'};
    return jinja_parser_is(p, sign) ? jinja_parser_next(p) : jinja_parser_unexpected(p, name);
}

bool jinja_parser_expect_word(struct jinja_parser *p, const char *word) {
    return jinja_parser_is_word(p, word) ? jinja_parser_next(p) : jinja_parser_unexpected(p, word);
}

bool jinja_parser_expect_name(struct jinja_parser *p, struct jinja_token *ret) {
    if (p->now.kind != JINJA_T_NAME) return jinja_parser_unexpected(p, "a name");
    *ret = p->now;
    return jinja_parser_next(p);
}

/* ---- nodes ---- */

struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_kind kind) {
    struct jinja_node *n = jinja_alloc(p->r, sizeof(*n));
    if (n == NULL) return NULL;
    n->kind = (uint8_t)kind;
    n->line = p->r->line;
    return n;
}

bool jinja_parser_add(struct jinja_parser *p, struct jinja_nodes *to, struct jinja_node *n) {
    if (n == NULL) return false;
    if (to->n == to->cap) {
        uint32_t cap = to->cap == 0 ? 4 : to->cap * 2;
        struct jinja_node **list = jinja_alloc(p->r, cap * sizeof(*list));
        if (list == NULL) return false;
        if (to->n > 0) memcpy(list, to->list, to->n * sizeof(*list));
        to->list = list;
        to->cap = cap;
    }
    to->list[to->n++] = n;
    return true;
}

uint32_t jinja_parser_symbol(struct jinja_parser *p, const char *text, size_t len) {
    struct jinja_template *t = p->t;
    struct jinja_value name;
    const struct jinja_value *known;
    if (!jinja_str_refer(p->r, text, len, &name) || !jinja_dict_find(p->r, p->numbers, name, &known)) return UINT32_MAX;
    if (known != NULL) return (uint32_t)known->i;
    if (t->n_symbols == t->cap_symbols) {
        uint32_t cap = t->cap_symbols == 0 ? 32 : t->cap_symbols * 2;
        struct jinja_symbol *bigger = jinja_alloc(p->r, cap * sizeof(*bigger));
        if (bigger == NULL) return UINT32_MAX;
        if (t->n_symbols > 0) memcpy(bigger, t->symbols, t->n_symbols * sizeof(*bigger));
        t->symbols = bigger;
        t->cap_symbols = cap;
    }
    if (!jinja_dict_set(p->r, p->numbers, name, jinja_int(t->n_symbols))) return UINT32_MAX;
    struct jinja_symbol *s = &t->symbols[t->n_symbols];
    *s = (struct jinja_symbol){.text = name.s, .global = jinja_global_find(name.s)};
    jinja_methods_find(name.s, s->methods);
    return t->n_symbols++;
}

/* The symbol of a name that is used as an attribute. */
static uint32_t attribute(struct jinja_parser *p, const char *text, size_t len) {
    uint32_t number = jinja_parser_symbol(p, text, len);
    if (number != UINT32_MAX) p->t->symbols[number].attribute = true;
    return number;
}

void jinja_parser_assign_name(struct jinja_parser *p, uint32_t name) {
    struct jinja_symbol *s = &p->t->symbols[name];
    if (p->frames > 0 || p->branches == 0) s->assigned = true;
    if (p->frames > 0) return;
    if (p->branches > 0) s->asked = true;
    else if (!s->asked && !s->stored) s->hidden = true;
    s->stored = true;
}

void jinja_parser_assign(struct jinja_parser *p, const struct jinja_node *target) {
    if (target->kind == JINJA_NAME) jinja_parser_assign_name(p, target->name);
    for (uint32_t i = 0; target->kind == JINJA_MAKE_TUPLE && i < target->list.n; i++) jinja_parser_assign(p, target->list.list[i]);
}

static struct jinja_node *make_const(struct jinja_parser *p, struct jinja_value v) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_CONST);
    if (n != NULL) n->constant = v;
    return n;
}

static struct jinja_node *make_pair(struct jinja_parser *p, enum jinja_node_kind kind, struct jinja_node *a, struct jinja_node *b) {
    struct jinja_node *n = a != NULL ? jinja_parser_node(p, kind) : NULL;
    if (n == NULL) return NULL;
    n->pair.a = a;
    n->pair.b = b;
    return n;
}

/* ---- the beginning of an expression ---- */

static struct jinja_node *make_name(struct jinja_parser *p, const struct jinja_token *t) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_NAME);
    if (n == NULL || (n->name = jinja_parser_symbol(p, t->text, t->len)) == UINT32_MAX) return NULL;
    struct jinja_symbol *s = &p->t->symbols[n->name];
    if (p->in_target) return n;
    if (!s->assigned) s->read = true;
    if (p->frames == 0) s->asked = true;
    p->names_loop |= token_is_word(t, "loop");
    p->names_caller |= token_is_word(t, "caller");
    p->names_args |= token_is_word(t, "varargs");
    p->names_kwargs |= token_is_word(t, "kwargs");
    return n;
}

static struct jinja_node *parse_ns_attr(struct jinja_parser *p, const struct jinja_token *name) {
    struct jinja_token attr;
    struct jinja_node *n = jinja_parser_node(p, JINJA_NS_ATTR);
    if (n == NULL || !jinja_parser_next(p) || !jinja_parser_expect_name(p, &attr)) return NULL;
    n->ns.of = jinja_parser_symbol(p, name->text, name->len);
    n->ns.name = jinja_parser_symbol(p, attr.text, attr.len);
    return n->ns.of != UINT32_MAX && n->ns.name != UINT32_MAX ? n : NULL;
}

static struct jinja_node *parse_name(struct jinja_parser *p, bool ns) {
    struct jinja_token t = p->now;
    if (!jinja_parser_next(p)) return NULL;
    if (token_is_word(&t, "true") || token_is_word(&t, "True")) return make_const(p, jinja_bool(true));
    if (token_is_word(&t, "false") || token_is_word(&t, "False")) return make_const(p, jinja_bool(false));
    if (token_is_word(&t, "none") || token_is_word(&t, "None")) return make_const(p, jinja_none());
    if (ns && jinja_parser_is(p, '.')) return parse_ns_attr(p, &t);
    return make_name(p, &t);
}

/* 'one' "two" is one text. */
static struct jinja_node *parse_strings(struct jinja_parser *p) {
    struct jinja_value text = p->now.value;
    if (!jinja_parser_next(p)) return NULL;
    while (p->now.kind == JINJA_T_STRING)
        if (!jinja_str_concat(p->r, text.s, p->now.value.s, &text) || !jinja_parser_next(p)) return NULL;
    return attribute(p, text.s->data, text.s->len) != UINT32_MAX ? make_const(p, text) : NULL;
}

static struct jinja_node *parse_list(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_MAKE_LIST);
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    while (!jinja_parser_is(p, ']')) {
        if (n->list.n > 0 && !jinja_parser_expect(p, ',')) return NULL;
        if (jinja_parser_is(p, ']')) break;
        if (!jinja_parser_add(p, &n->list, jinja_parse_expression(p, true))) return NULL;
    }
    return jinja_parser_next(p) ? n : NULL;
}

static struct jinja_node *parse_dict(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_MAKE_DICT);
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    while (!jinja_parser_is(p, '}')) {
        if (n->list.n > 0 && !jinja_parser_expect(p, ',')) return NULL;
        if (jinja_parser_is(p, '}')) break;
        if (!jinja_parser_add(p, &n->list, jinja_parse_expression(p, true)) || !jinja_parser_expect(p, ':') ||
            !jinja_parser_add(p, &n->list, jinja_parse_expression(p, true)))
            return NULL;
    }
    return jinja_parser_next(p) ? n : NULL;
}

struct jinja_node *jinja_parse_primary(struct jinja_parser *p, bool ns) {
    struct jinja_value number = p->now.value;
    switch (p->now.kind) {
    case JINJA_T_NAME: return parse_name(p, ns);
    case JINJA_T_STRING: return parse_strings(p);
    case JINJA_T_NUMBER: return jinja_parser_next(p) ? make_const(p, number) : NULL;
    default: break;
    }
    if (jinja_parser_is(p, '[')) return parse_list(p);
    if (jinja_parser_is(p, '{')) return parse_dict(p);
    if (!jinja_parser_is(p, '(')) return jinja_parser_unexpected(p, "an expression"), NULL;
    if (!jinja_parser_next(p)) return NULL;
    struct jinja_node *n = jinja_parse_tuple(p, true, NULL, true);
    return n != NULL && jinja_parser_expect(p, ')') ? n : NULL;
}

static bool tuple_ends(const struct jinja_parser *p, const char *end) {
    return p->now.kind == JINJA_T_PRINT_END || p->now.kind == JINJA_T_BLOCK_END || jinja_parser_is(p, ')') ||
           (end != NULL && jinja_parser_is_word(p, end));
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool cond, const char *end, bool brackets) {
    struct jinja_nodes items = {0};
    bool comma = false;
    while (!tuple_ends(p, end)) {
        if (!jinja_parser_add(p, &items, jinja_parse_expression(p, cond))) return NULL;
        if (!jinja_parser_is(p, ',')) break;
        comma = true;
        if (!jinja_parser_next(p)) return NULL;
    }
    if (!comma && items.n > 0) return items.list[0];
    if (!comma && !brackets) return jinja_parser_unexpected(p, "an expression"), NULL;
    struct jinja_node *n = jinja_parser_node(p, JINJA_MAKE_TUPLE);
    if (n != NULL) n->list = items;
    return n;
}

/* Parses the parts of a target up to its end; *ret_comma: there was a comma. */
static bool parse_target_parts(struct jinja_parser *p, bool ns, const char *end, struct jinja_nodes *ret, bool *ret_comma) {
    *ret_comma = false;
    while (!tuple_ends(p, end)) {
        struct jinja_node *n = jinja_parse_primary(p, ns);
        if (n == NULL) return false;
        if (n->kind != JINJA_NAME && n->kind != JINJA_NS_ATTR && n->kind != JINJA_MAKE_TUPLE)
            return jinja_fail(p->r, "this cannot be assigned to");
        if (!jinja_parser_add(p, ret, n)) return false;
        if (!jinja_parser_is(p, ',')) break;
        *ret_comma = true;
        if (!jinja_parser_next(p)) return false;
    }
    return ret->n > 0 || jinja_parser_unexpected(p, "a name");
}

struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool ns, const char *end) {
    struct jinja_nodes items = {0};
    bool comma;
    p->in_target = true;
    bool ok = parse_target_parts(p, ns, end, &items, &comma);
    p->in_target = false;
    if (!ok) return NULL;
    if (!comma) return items.list[0];
    struct jinja_node *n = jinja_parser_node(p, JINJA_MAKE_TUPLE);
    if (n != NULL) n->list = items;
    return n;
}

/* ---- what may follow it ---- */

/* One of a:b:c; NULL with *ret_ok: it is omitted. */
static struct jinja_node *slice_part(struct jinja_parser *p, bool *ret_ok) {
    *ret_ok = true;
    if (jinja_parser_is(p, ':') || jinja_parser_is(p, ']') || jinja_parser_is(p, ',')) return NULL;
    struct jinja_node *n = jinja_parse_expression(p, true);
    *ret_ok = n != NULL;
    return n;
}

static struct jinja_node *parse_key(struct jinja_parser *p) {
    struct jinja_node *parts[3] = {0};
    int n = 0;
    bool ok = true, colon;
    for (;;) {
        parts[n] = slice_part(p, &ok);
        if (!ok) return NULL;
        if (n == 0 && !jinja_parser_is(p, ':')) return parts[0] != NULL ? parts[0] : (jinja_parser_unexpected(p, "an expression"), NULL);
        if (n == 2) break;
        if (!jinja_parser_skip(p, ':', &colon)) return NULL;
        if (!colon) break;
        n++;
    }
    struct jinja_node *slice = jinja_parser_node(p, JINJA_SLICE);
    if (slice == NULL) return NULL;
    slice->slice.start = parts[0];
    slice->slice.stop = parts[1];
    slice->slice.step = parts[2];
    return slice;
}

static struct jinja_node *make_item(struct jinja_parser *p, struct jinja_node *of, struct jinja_node *key) {
    struct jinja_node *n = key != NULL ? jinja_parser_node(p, JINJA_ITEM) : NULL;
    if (n == NULL) return NULL;
    n->item.of = of;
    n->item.key = key;
    return n;
}

static struct jinja_node *parse_brackets(struct jinja_parser *p, struct jinja_node *of) {
    struct jinja_nodes keys = {0};
    if (!jinja_parser_next(p)) return NULL;
    while (!jinja_parser_is(p, ']')) {
        if (keys.n > 0 && !jinja_parser_expect(p, ',')) return NULL;
        if (!jinja_parser_add(p, &keys, parse_key(p))) return NULL;
    }
    if (!jinja_parser_next(p)) return NULL;
    if (keys.n == 1) return make_item(p, of, keys.list[0]);
    struct jinja_node *tuple = jinja_parser_node(p, JINJA_MAKE_TUPLE);
    if (tuple != NULL) tuple->list = keys;
    return make_item(p, of, tuple);
}

static struct jinja_node *parse_dot(struct jinja_parser *p, struct jinja_node *of) {
    if (!jinja_parser_next(p)) return NULL;
    struct jinja_token t = p->now;
    if (t.kind == JINJA_T_NUMBER && t.whole) return jinja_parser_next(p) ? make_item(p, of, make_const(p, t.value)) : NULL;
    struct jinja_node *n = jinja_parser_node(p, JINJA_ATTR);
    if (n == NULL || !jinja_parser_expect_name(p, &t)) return NULL;
    n->attr.of = of;
    n->attr.name = attribute(p, t.text, t.len);
    return n->attr.name != UINT32_MAX ? n : NULL;
}

static bool add_named(struct jinja_parser *p, struct jinja_call_args *a) {
    struct jinja_token name = p->now;
    if (!jinja_parser_next(p) || !jinja_parser_next(p)) return false;
    uint32_t number = jinja_parser_symbol(p, name.text, name.len), n = a->values.n;
    if (number == UINT32_MAX || !jinja_parser_add(p, &a->values, jinja_parse_expression(p, true))) return false;
    if ((n & (n - 1)) == 0) { /* the capacity was a power of 2, and is full */
        const struct jinja_str **names = jinja_alloc(p->r, (n == 0 ? 1 : 2 * n) * sizeof(*names));
        if (names == NULL) return false;
        if (n > 0) memcpy(names, a->names, n * sizeof(*names));
        a->names = names;
    }
    a->names[n] = p->t->symbols[number].text;
    return true;
}

static bool add_argument(struct jinja_parser *p, struct jinja_call_args *a) {
    bool star = jinja_parser_is(p, '*'), star_star = jinja_parser_is(p, JINJA_S_POW);
    if ((star && (a->star != NULL || a->star_star != NULL)) || a->star_star != NULL)
        return jinja_fail(p->r, "invalid syntax for a call's arguments");
    if (star) return jinja_parser_next(p) && (a->star = jinja_parse_expression(p, true)) != NULL;
    if (star_star) return jinja_parser_next(p) && (a->star_star = jinja_parse_expression(p, true)) != NULL;
    if (p->now.kind == JINJA_T_NAME) {
        if (!look_ahead(p)) return false;
        if (p->ahead.kind == JINJA_T_SIGN && p->ahead.sign == '=') return add_named(p, a);
    }
    if (a->star != NULL || a->values.n > 0) return jinja_fail(p->r, "invalid syntax for a call's arguments");
    return jinja_parser_add(p, &a->list, jinja_parse_expression(p, true));
}

static struct jinja_call_args *parse_args(struct jinja_parser *p) {
    struct jinja_call_args *a = jinja_alloc(p->r, sizeof(*a));
    if (a == NULL || !jinja_parser_next(p)) return NULL;
    for (bool first = true; !jinja_parser_is(p, ')'); first = false) {
        if (!first && !jinja_parser_expect(p, ',')) return NULL;
        if (!first && jinja_parser_is(p, ')')) break;
        if (!add_argument(p, a)) return NULL;
    }
    return jinja_parser_next(p) ? a : NULL;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *of) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_CALL);
    if (n == NULL || (n->call.args = parse_args(p)) == NULL) return NULL;
    n->call.of = of;
    return n;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *n) {
    while (n != NULL)
        if (jinja_parser_is(p, '.')) n = parse_dot(p, n);
        else if (jinja_parser_is(p, '[')) n = parse_brackets(p, n);
        else if (jinja_parser_is(p, '(')) n = parse_call(p, n);
        else break;
    return n;
}

/* The name of a filter or test; "a.b" is one name. */
static bool parse_row_name(struct jinja_parser *p, const struct jinja_str **ret) {
    struct jinja_token t;
    struct jinja_value name, dot;
    if (!jinja_parser_expect_name(p, &t) || !jinja_str_refer(p->r, t.text, t.len, &name)) return false;
    while (jinja_parser_is(p, '.')) {
        if (!jinja_parser_next(p) || !jinja_parser_expect_name(p, &t) || !jinja_str_copy(p->r, ".", 1, &dot)) return false;
        if (!jinja_str_concat(p->r, name.s, dot.s, &name) || !jinja_str_refer(p->r, t.text, t.len, &dot)) return false;
        if (!jinja_str_concat(p->r, name.s, dot.s, &name)) return false;
    }
    *ret = name.s;
    return true;
}

static struct jinja_call_args *no_args(struct jinja_parser *p) { return jinja_alloc(p->r, sizeof(struct jinja_call_args)); }

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *of, bool first) {
    while (first || jinja_parser_is(p, '|')) {
        if (!first && !jinja_parser_next(p)) return NULL;
        struct jinja_node *n = jinja_parser_node(p, JINJA_FILTER);
        if (n == NULL || !parse_row_name(p, &n->apply.name)) return NULL;
        n->apply.of = of;
        n->apply.row = jinja_filter_find(n->apply.name);
        n->apply.args = jinja_parser_is(p, '(') ? parse_args(p) : no_args(p);
        if (n->apply.args == NULL) return NULL;
        of = n;
        first = false;
    }
    return of;
}

/* Is there one argument of a test without brackets, as in x is divisibleby 3? */
static bool test_argument_follows(const struct jinja_parser *p) {
    if (p->now.kind == JINJA_T_NAME)
        return !jinja_parser_is_word(p, "else") && !jinja_parser_is_word(p, "or") && !jinja_parser_is_word(p, "and");
    return p->now.kind == JINJA_T_STRING || p->now.kind == JINJA_T_NUMBER || jinja_parser_is(p, '[') || jinja_parser_is(p, '{');
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *of) {
    bool negated;
    if (!jinja_parser_next(p) || !jinja_parser_skip_word(p, "not", &negated)) return NULL;
    struct jinja_node *n = jinja_parser_node(p, JINJA_TEST);
    if (n == NULL || !parse_row_name(p, &n->apply.name)) return NULL;
    n->apply.of = of;
    n->apply.row = jinja_test_find(n->apply.name);
    bool brackets = jinja_parser_is(p, '(');
    n->apply.args = brackets ? parse_args(p) : no_args(p);
    if (n->apply.args == NULL) return NULL;
    if (!brackets && test_argument_follows(p)) {
        if (jinja_parser_is_word(p, "is")) return jinja_fail(p->r, "tests cannot be chained with \"is\""), NULL;
        if (!jinja_parser_add(p, &n->apply.args->list, parse_postfix(p, jinja_parse_primary(p, false)))) return NULL;
    }
    return negated ? make_pair(p, JINJA_NOT, n, NULL) : n;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool filters) {
    struct jinja_node *n;
    bool minus = jinja_parser_is(p, '-');
    if (minus || jinja_parser_is(p, '+')) {
        if (!jinja_parser_next(p) || !jinja_enter(p->r)) return NULL;
        n = make_pair(p, minus ? JINJA_NEGATE : JINJA_PLUS, parse_unary(p, false), NULL);
        jinja_leave(p->r);
    } else {
        n = jinja_parse_primary(p, false);
    }
    n = parse_postfix(p, n);
    while (n != NULL && filters)
        if (jinja_parser_is(p, '|')) n = jinja_parse_filters(p, n, false);
        else if (jinja_parser_is_word(p, "is")) n = parse_test(p, n);
        else if (jinja_parser_is(p, '(')) n = parse_call(p, n);
        else break;
    return n;
}

/* ---- operators ---- */

static struct jinja_node *make_binary(struct jinja_parser *p, enum jinja_op op, struct jinja_node *a, struct jinja_node *b) {
    struct jinja_node *n = b != NULL ? make_pair(p, JINJA_BINARY, a, b) : NULL;
    if (n != NULL) n->op = (uint8_t)op;
    return n;
}

static struct jinja_node *parse_power(struct jinja_parser *p) {
    struct jinja_node *n = parse_unary(p, true);
    while (n != NULL && jinja_parser_is(p, JINJA_S_POW))
        n = jinja_parser_next(p) ? make_binary(p, JINJA_POW, n, parse_unary(p, true)) : NULL;
    return n;
}

static struct jinja_node *parse_product(struct jinja_parser *p) {
    struct jinja_node *n = parse_power(p);
    while (n != NULL && p->now.kind == JINJA_T_SIGN) {
        enum jinja_op op = p->now.sign == '*'   ? JINJA_MUL
                           : p->now.sign == '/' ? JINJA_DIV
                           : p->now.sign == '%' ? JINJA_MOD
                                                : JINJA_FLOORDIV;
        if (op == JINJA_FLOORDIV && p->now.sign != JINJA_S_FLOORDIV) break;
        n = jinja_parser_next(p) ? make_binary(p, op, n, parse_power(p)) : NULL;
    }
    return n;
}

static struct jinja_node *parse_concat(struct jinja_parser *p) {
    struct jinja_node *first = parse_product(p);
    if (first == NULL || !jinja_parser_is(p, '~')) return first;
    struct jinja_node *n = jinja_parser_node(p, JINJA_CONCAT);
    if (n == NULL || !jinja_parser_add(p, &n->list, first)) return NULL;
    while (jinja_parser_is(p, '~'))
        if (!jinja_parser_next(p) || !jinja_parser_add(p, &n->list, parse_product(p))) return NULL;
    return n;
}

static struct jinja_node *parse_sum(struct jinja_parser *p) {
    struct jinja_node *n = parse_concat(p);
    while (n != NULL && (jinja_parser_is(p, '+') || jinja_parser_is(p, '-'))) {
        enum jinja_op op = jinja_parser_is(p, '+') ? JINJA_ADD : JINJA_SUB;
        n = jinja_parser_next(p) ? make_binary(p, op, n, parse_concat(p)) : NULL;
    }
    return n;
}

/* Takes the comparison at the current token; -1: there is none. */
static bool take_comparison(struct jinja_parser *p, int *ret) {
    static const struct {
        int sign;
        enum jinja_compare op;
    } rows[] = {{JINJA_S_EQ, JINJA_EQ}, {JINJA_S_NE, JINJA_NE}, {'<', JINJA_LT},
                {JINJA_S_LE, JINJA_LE}, {'>', JINJA_GT},        {JINJA_S_GE, JINJA_GE}};
    *ret = -1;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jinja_parser_is(p, rows[i].sign)) *ret = (int)rows[i].op;
    if (jinja_parser_is_word(p, "in")) *ret = JINJA_IN;
    if (jinja_parser_is_word(p, "not")) {
        if (!look_ahead(p)) return false;
        if (token_is_word(&p->ahead, "in")) {
            *ret = JINJA_NOT_IN;
            if (!jinja_parser_next(p)) return false;
        }
    }
    return *ret < 0 || jinja_parser_next(p);
}

static struct jinja_node *parse_compare(struct jinja_parser *p) {
    struct jinja_node *first = parse_sum(p), *n = NULL;
    int op;
    while (first != NULL) {
        if (!take_comparison(p, &op)) return NULL;
        if (op < 0) break;
        if (n == NULL && (n = jinja_parser_node(p, JINJA_COMPARE)) == NULL) return NULL;
        n->compare.first = first;
        uint32_t at = n->compare.rest.n;
        if (!jinja_parser_add(p, &n->compare.rest, parse_sum(p))) return NULL;
        if ((at & (at - 1)) == 0) { /* the capacity was a power of 2, and is full */
            uint8_t *ops = jinja_alloc(p->r, at == 0 ? 1 : 2 * at);
            if (ops == NULL) return NULL;
            if (at > 0) memcpy(ops, n->compare.ops, at);
            n->compare.ops = ops;
        }
        n->compare.ops[at] = (uint8_t)op;
    }
    return n != NULL ? n : first;
}

static struct jinja_node *parse_not(struct jinja_parser *p) {
    if (!jinja_parser_is_word(p, "not")) return parse_compare(p);
    if (!jinja_parser_next(p) || !jinja_enter(p->r)) return NULL;
    struct jinja_node *n = make_pair(p, JINJA_NOT, parse_not(p), NULL);
    jinja_leave(p->r);
    return n;
}

static struct jinja_node *parse_and(struct jinja_parser *p) {
    struct jinja_node *n = parse_not(p), *b;
    while (n != NULL && jinja_parser_is_word(p, "and")) {
        if (!jinja_parser_next(p) || (b = parse_not(p)) == NULL) return NULL;
        n = make_pair(p, JINJA_AND, n, b);
    }
    return n;
}

static struct jinja_node *parse_or(struct jinja_parser *p) {
    struct jinja_node *n = parse_and(p), *b;
    while (n != NULL && jinja_parser_is_word(p, "or")) {
        if (!jinja_parser_next(p) || (b = parse_and(p)) == NULL) return NULL;
        n = make_pair(p, JINJA_OR, n, b);
    }
    return n;
}

static struct jinja_node *parse_cond(struct jinja_parser *p) {
    struct jinja_node *n = parse_or(p);
    bool otherwise;
    while (n != NULL && jinja_parser_is_word(p, "if")) {
        struct jinja_node *cond = jinja_parser_node(p, JINJA_COND);
        if (cond == NULL || !jinja_parser_next(p)) return NULL;
        cond->cond.yes = n;
        if ((cond->cond.test = parse_or(p)) == NULL || !jinja_parser_skip_word(p, "else", &otherwise)) return NULL;
        if (otherwise && (cond->cond.no = jinja_parse_expression(p, true)) == NULL) return NULL;
        n = cond;
    }
    return n;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p, bool cond) {
    if (!jinja_enter(p->r)) return NULL;
    struct jinja_node *n = cond ? parse_cond(p) : parse_or(p);
    jinja_leave(p->r);
    return n;
}
