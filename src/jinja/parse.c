/* SPDX-License-Identifier: MIT
 * Statements: the tags {% %}. */
#include <string.h>

#include "base/mem.h"
#include "jinja/parse_priv.h"

/* Parses up to one of the words; *ret_end: the word's index in `ends`. The current token is the word after "{%". */
static bool parse_until(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *ret, int *ret_end);

static bool expect_block_end(struct jinja_parser *p) {
    return p->now.kind == JINJA_T_BLOCK_END ? jinja_parser_next(p) : jinja_parser_unexpected(p, "the end of the tag");
}

/* Parses the statements of a tag up to one of the words, which is skipped. */
static bool parse_body(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *ret, int *ret_end) {
    bool colon;
    if (!jinja_parser_skip(p, ':', &colon) || !expect_block_end(p) || !jinja_enter(p->r)) return false;
    bool ok = parse_until(p, ends, ret, ret_end);
    jinja_leave(p->r);
    return ok && jinja_parser_next(p);
}

static bool parse_to(struct jinja_parser *p, const char *end, struct jinja_nodes *ret) {
    const char *const ends[] = {end, NULL};
    int which;
    return parse_body(p, ends, ret, &which);
}

/* As parse_body, for a body with variables of its own. */
static bool parse_frame(struct jinja_parser *p, const char *end, struct jinja_nodes *ret) {
    p->frames++;
    bool ok = parse_to(p, end, ret);
    p->frames--;
    return ok;
}

/* ---- for, if ---- */

static bool parse_for_body(struct jinja_parser *p, struct jinja_node *n) {
    static const char *const ends[] = {"endfor", "else", NULL};
    bool outer = p->names_loop, known = false;
    uint32_t loop = jinja_parser_symbol(p, "loop", 4);
    int which;
    if (loop == UINT32_MAX) return false;
    known = p->t->symbols[loop].assigned;
    p->names_loop = false;
    p->loops++;
    p->frames++;
    p->t->symbols[loop].assigned = true;
    bool ok = parse_body(p, ends, &n->loop.body, &which);
    p->frames--;
    p->t->symbols[loop].assigned = known;
    p->loops--;
    n->uses_loop = p->names_loop || n->recursive;
    p->names_loop |= outer;
    return ok && (which == 0 || parse_frame(p, "endfor", &n->loop.otherwise));
}

static struct jinja_node *parse_for(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_FOR);
    bool filtered;
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    if ((n->loop.target = jinja_parse_target(p, false, "in")) == NULL || !jinja_parser_expect_word(p, "in")) return NULL;
    if ((n->loop.in = jinja_parse_tuple(p, false, "recursive", false)) == NULL) return NULL;
    p->frames++;
    jinja_parser_assign(p, n->loop.target);
    bool ok = jinja_parser_skip_word(p, "if", &filtered) && (!filtered || (n->loop.test = jinja_parse_expression(p, true)) != NULL);
    p->frames--;
    if (!ok) return NULL;
    if (!jinja_parser_skip_word(p, "recursive", &n->recursive) || !parse_for_body(p, n)) return NULL;
    return n;
}

static struct jinja_node *parse_if(struct jinja_parser *p) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *n = jinja_parser_node(p, JINJA_IF);
    int which = 0;
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    while (which == 0) {
        uint32_t at = n->branch.tests.n;
        if (!jinja_parser_add(p, &n->branch.tests, jinja_parse_tuple(p, false, NULL, false))) return NULL;
        if ((at & (at - 1)) == 0) { /* the capacity was a power of 2, and is full */
            struct jinja_nodes *bodies = jinja_alloc(p->r, (at == 0 ? 1 : 2 * at) * sizeof(*bodies));
            if (bodies == NULL) return NULL;
            if (at > 0) memcpy(bodies, n->branch.bodies, at * sizeof(*bodies));
            n->branch.bodies = bodies;
        }
        p->branches++;
        bool ok = parse_body(p, ends, &n->branch.bodies[at], &which) && (which != 1 || parse_to(p, "endif", &n->branch.otherwise));
        p->branches--;
        if (!ok) return NULL;
    }
    return n;
}

/* ---- set, with ---- */

static struct jinja_node *parse_set(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_SET);
    bool equals;
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    if ((n->set.target = jinja_parse_target(p, true, NULL)) == NULL || !jinja_parser_skip(p, '=', &equals)) return NULL;
    if (equals) {
        if ((n->set.value = jinja_parse_tuple(p, true, NULL, false)) == NULL) return NULL;
    } else {
        n->kind = JINJA_SET_BLOCK;
        if (jinja_parser_is(p, '|') && (n->set.value = jinja_parse_filters(p, NULL, false)) == NULL) return NULL;
        if (!parse_frame(p, "endset", &n->set.body)) return NULL;
    }
    jinja_parser_assign(p, n->set.target);
    return n;
}

static struct jinja_node *parse_with(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_WITH);
    if (n == NULL || !jinja_parser_next(p)) return NULL;
    while (p->now.kind != JINJA_T_BLOCK_END && !jinja_parser_is(p, ':')) {
        if (n->with.targets.n > 0 && !jinja_parser_expect(p, ',')) return NULL;
        p->in_target = true;
        struct jinja_node *target = jinja_parse_primary(p, false);
        p->in_target = false;
        if (target == NULL) return NULL;
        if (target->kind != JINJA_NAME && target->kind != JINJA_MAKE_TUPLE) return jinja_fail(p->r, "this cannot be assigned to"), NULL;
        if (!jinja_parser_add(p, &n->with.targets, target) || !jinja_parser_expect(p, '=')) return NULL;
        if (!jinja_parser_add(p, &n->with.values, jinja_parse_expression(p, true))) return NULL;
    }
    p->frames++;
    for (uint32_t i = 0; i < n->with.targets.n; i++) jinja_parser_assign(p, n->with.targets.list[i]);
    p->frames--;
    return parse_frame(p, "endwith", &n->with.body) ? n : NULL;
}

/* ---- macros ---- */

static bool add_param(struct jinja_parser *p, struct jinja_signature *s, const struct jinja_token *name, struct jinja_node *otherwise) {
    uint32_t number = jinja_parser_symbol(p, name->text, name->len), at = s->n;
    if (number == UINT32_MAX) return false;
    if ((at & (at - 1)) == 0) { /* the capacity was a power of 2, and is full */
        size_t room = at == 0 ? 1 : 2 * (size_t)at;
        uint32_t *params = jinja_alloc(p->r, room * sizeof(*params));
        struct jinja_node **defaults = params != NULL ? jinja_alloc(p->r, room * sizeof(struct jinja_node *)) : NULL;
        if (defaults == NULL) return false;
        if (at > 0) memcpy(params, s->params, at * sizeof(*params));
        if (at > 0) memcpy(defaults, s->defaults, at * sizeof(struct jinja_node *));
        s->params = params;
        s->defaults = defaults;
    }
    s->params[at] = number;
    s->defaults[at] = otherwise;
    s->n++;
    return true;
}

static bool parse_signature(struct jinja_parser *p, struct jinja_signature *s) {
    bool equals, optional = false;
    if (!jinja_parser_expect(p, '(')) return false;
    while (!jinja_parser_is(p, ')')) {
        struct jinja_token name;
        struct jinja_node *otherwise = NULL;
        if (s->n > 0 && !jinja_parser_expect(p, ',')) return false;
        if (!jinja_parser_expect_name(p, &name) || !jinja_parser_skip(p, '=', &equals)) return false;
        if (equals && (otherwise = jinja_parse_expression(p, true)) == NULL) return false;
        if (!equals && optional) return jinja_fail(p->r, "a parameter without a default follows one with a default");
        optional = equals;
        if (!add_param(p, s, &name, otherwise)) return false;
    }
    return jinja_parser_next(p);
}

/* Parses the body of a macro, whose parameters count as set. If the body uses "caller" and so on, the signature says so. */
static bool parse_macro_body(struct jinja_parser *p, struct jinja_node *n, const char *end) {
    struct jinja_signature *s = n->def.signature;
    bool caller = p->names_caller, args = p->names_args, kwargs = p->names_kwargs, loop = p->names_loop;
    uint32_t loops = p->loops;
    bool *known = s->n > 0 ? jinja_alloc(p->r, s->n) : NULL;
    if (s->n > 0 && known == NULL) return false;
    for (uint32_t i = 0; i < s->n; i++) {
        known[i] = p->t->symbols[s->params[i]].assigned;
        p->t->symbols[s->params[i]].assigned = true;
    }
    p->names_caller = p->names_args = p->names_kwargs = false;
    p->loops = 0;
    bool ok = parse_frame(p, end, &n->def.body);
    for (uint32_t i = 0; i < s->n; i++) p->t->symbols[s->params[i]].assigned = known[i];
    s->takes_caller = p->names_caller;
    s->takes_args = p->names_args;
    s->takes_kwargs = p->names_kwargs;
    p->names_caller |= caller;
    p->names_args |= args;
    p->names_kwargs |= kwargs;
    p->names_loop |= loop;
    p->loops = loops;
    return ok;
}

static struct jinja_node *new_def(struct jinja_parser *p, enum jinja_node_kind kind) {
    struct jinja_node *n = jinja_parser_node(p, kind);
    if (n == NULL || (n->def.signature = jinja_alloc(p->r, sizeof(*n->def.signature))) == NULL) return NULL;
    return n;
}

static struct jinja_node *parse_macro(struct jinja_parser *p) {
    struct jinja_node *n = new_def(p, JINJA_DEF);
    struct jinja_token name;
    if (n == NULL || !jinja_parser_next(p) || !jinja_parser_expect_name(p, &name)) return NULL;
    if ((n->def.name = jinja_parser_symbol(p, name.text, name.len)) == UINT32_MAX) return NULL;
    jinja_parser_assign_name(p, n->def.name);
    return parse_signature(p, n->def.signature) && parse_macro_body(p, n, "endmacro") ? n : NULL;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p) {
    struct jinja_node *n = new_def(p, JINJA_CALL_BLOCK);
    if (n == NULL || (n->def.name = jinja_parser_symbol(p, "caller", 6)) == UINT32_MAX || !jinja_parser_next(p)) return NULL;
    if (jinja_parser_is(p, '(') && !parse_signature(p, n->def.signature)) return NULL;
    if ((n->def.call = jinja_parse_expression(p, true)) == NULL) return NULL;
    if (n->def.call->kind != JINJA_CALL) return jinja_fail(p->r, "expected a call"), NULL;
    return parse_macro_body(p, n, "endcall") ? n : NULL;
}

/* ---- the others ---- */

/* {% generation %}: its content becomes a macro that is called once. */
static struct jinja_node *parse_generation(struct jinja_parser *p) {
    struct jinja_node *n = new_def(p, JINJA_SCOPE);
    return n != NULL && jinja_parser_next(p) && parse_macro_body(p, n, "endgeneration") ? n : NULL;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_FILTER_BLOCK);
    if (n == NULL || !jinja_parser_next(p) || (n->with.filter = jinja_parse_filters(p, NULL, true)) == NULL) return NULL;
    return parse_frame(p, "endfilter", &n->with.body) ? n : NULL;
}

/* No template extends this one, so it shows its blocks where they are. */
static struct jinja_node *parse_block(struct jinja_parser *p) {
    struct jinja_node *n = new_def(p, JINJA_SCOPE);
    struct jinja_token name, again;
    bool word;
    if (n == NULL || !jinja_parser_next(p) || !jinja_parser_expect_name(p, &name) || !jinja_parser_skip_word(p, "scoped", &word) ||
        !parse_macro_body(p, n, "endblock"))
        return NULL;
    if (p->now.kind == JINJA_T_NAME && !jinja_parser_expect_name(p, &again)) return NULL;
    return n;
}

static struct jinja_node *parse_print(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_PRINT);
    struct jinja_node *all = jinja_parser_node(p, JINJA_CONCAT);
    if (n == NULL || all == NULL || !jinja_parser_next(p)) return NULL;
    while (p->now.kind != JINJA_T_BLOCK_END) {
        if (all->list.n > 0 && !jinja_parser_expect(p, ',')) return NULL;
        if (!jinja_parser_add(p, &all->list, jinja_parse_expression(p, true))) return NULL;
    }
    n->pair.a = all;
    return n;
}

static struct jinja_node *parse_jump(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, jinja_parser_is_word(p, "break") ? JINJA_BREAK : JINJA_CONTINUE);
    if (p->loops == 0) return jinja_fail(p->r, "'%.*s' outside of a loop", (int)p->now.len, p->now.text), NULL;
    return n != NULL && jinja_parser_next(p) ? n : NULL;
}

static struct jinja_node *parse_statement(struct jinja_parser *p) {
    static const struct {
        const char *word;
        struct jinja_node *(*parse)(struct jinja_parser *p);
    } rows[] = {{"if", parse_if},
                {"set", parse_set},
                {"for", parse_for},
                {"macro", parse_macro},
                {"break", parse_jump},
                {"continue", parse_jump},
                {"generation", parse_generation},
                {"call", parse_call_block},
                {"filter", parse_filter_block},
                {"with", parse_with},
                {"block", parse_block},
                {"print", parse_print}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (jinja_parser_is_word(p, rows[i].word)) return rows[i].parse(p);
    if (p->now.kind != JINJA_T_NAME) return jinja_parser_unexpected(p, "the name of a tag"), NULL;
    return jinja_fail(p->r, "the tag '%.*s' is unknown or misplaced", (int)(p->now.len < 60 ? p->now.len : 60), p->now.text), NULL;
}

static struct jinja_node *parse_data(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_TEXT);
    if (n != NULL) n->constant = p->now.value;
    return n != NULL && jinja_parser_next(p) ? n : NULL;
}

static struct jinja_node *parse_output(struct jinja_parser *p) {
    struct jinja_node *n = jinja_parser_node(p, JINJA_PRINT);
    if (n == NULL || !jinja_parser_next(p) || (n->pair.a = jinja_parse_tuple(p, true, NULL, false)) == NULL) return NULL;
    if (p->now.kind != JINJA_T_PRINT_END) return jinja_parser_unexpected(p, "'}}'"), NULL;
    return jinja_parser_next(p) ? n : NULL;
}

static bool parse_until(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *ret, int *ret_end) {
    for (;;) {
        switch (p->now.kind) {
        case JINJA_T_DATA:
            if (!jinja_parser_add(p, ret, parse_data(p))) return false;
            continue;
        case JINJA_T_PRINT_BEGIN:
            if (!jinja_parser_add(p, ret, parse_output(p))) return false;
            continue;
        case JINJA_T_BLOCK_BEGIN:
            if (!jinja_parser_next(p)) return false;
            break;
        default: *ret_end = -1; return ends[0] == NULL || jinja_fail(p->r, "the template ends before {%% %s %%}", ends[0]);
        }
        for (int i = 0; ends[i] != NULL; i++) {
            if (!jinja_parser_is_word(p, ends[i])) continue;
            *ret_end = i;
            return true;
        }
        if (!jinja_parser_add(p, ret, parse_statement(p)) || !expect_block_end(p)) return false;
    }
}

bool jinja_parse_template(struct jinja_parser *p) {
    static const char *const never[] = {NULL};
    int which;
    return jinja_parser_next(p) && parse_until(p, never, &p->t->body, &which);
}
