/* SPDX-License-Identifier: MIT
 * The parser, for parse.c and parse_expr.c. It reads tokens from left to right, with one token of lookahead, into the heap of
 * the template; its run has the error, the line and the depth. */
#ifndef CARAVAN_JINJA_PARSE_PRIV_H
#define CARAVAN_JINJA_PARSE_PRIV_H

#include "jinja/lexer_priv.h"
#include "jinja/node_priv.h"

struct jinja_parser {
    struct jinja_run *r;
    struct jinja_template *t;
    struct jinja_lexer lexer;
    struct jinja_token now, ahead;
    bool has_ahead;
    struct jinja_dict *numbers;  /* symbol's name -> its number */
    uint32_t loops;              /* number of loops around, within the same macro */
    uint32_t frames, branches;   /* bodies around with variables of their own; ifs around */
    bool in_target;              /* names are being assigned to, not read */
    bool names_loop, names_caller, names_args, names_kwargs; /* the body used these names since they were last cleared */
};

/* ---- the current token (parse_expr.c) ---- */

bool jinja_parser_next(struct jinja_parser *p);
bool jinja_parser_is(const struct jinja_parser *p, int sign);
bool jinja_parser_is_word(const struct jinja_parser *p, const char *word);
/* Skips the token if it is the sign, or the word; *ret_was says whether it was. */
bool jinja_parser_skip(struct jinja_parser *p, int sign, bool *ret_was);
bool jinja_parser_skip_word(struct jinja_parser *p, const char *word, bool *ret_was);
bool jinja_parser_expect(struct jinja_parser *p, int sign);
bool jinja_parser_expect_word(struct jinja_parser *p, const char *word);
bool jinja_parser_expect_name(struct jinja_parser *p, struct jinja_token *ret);
bool jinja_parser_unexpected(struct jinja_parser *p, const char *wanted); /* sets the error; returns false */

/* ---- nodes: NULL on failure, with the error set ---- */

struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_kind kind);
bool jinja_parser_add(struct jinja_parser *p, struct jinja_nodes *to, struct jinja_node *n);
/* The number of a symbol; UINT32_MAX: no memory. */
uint32_t jinja_parser_symbol(struct jinja_parser *p, const char *text, size_t len);

/* cond: is "a if b else c" allowed? end: a word that ends a tuple without brackets; NULL: none. */
struct jinja_node *jinja_parse_expression(struct jinja_parser *p, bool cond);
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool cond, const char *end, bool brackets);
/* of: the filtered expression; NULL: a block's text. first: the first name has no bar before it. */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *of, bool first);
/* Names, tuples of names; with ns also ns.x. */
struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool ns, const char *end);
struct jinja_node *jinja_parse_primary(struct jinja_parser *p, bool ns);
/* Records that a target is set here. Jinja2 has this rule: if a template sets a variable outside of loops, macros and ifs, and doesn't
 * read it there before, then nothing in the template sees a given variable of that name, not even an earlier loop. */
void jinja_parser_assign(struct jinja_parser *p, const struct jinja_node *target);
void jinja_parser_assign_name(struct jinja_parser *p, uint32_t name);

bool jinja_parse_template(struct jinja_parser *p);

#endif
