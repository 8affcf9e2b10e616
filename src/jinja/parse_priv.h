/* SPDX-License-Identifier: MIT
 * What lexer.c, parse.c and parse_expr.c share. The parser reads tokens from left to right, with one token of lookahead, into the heap of
 * the template; its run carries the error, the line and the depth. */
#ifndef CARAVAN_JINJA_PARSE_PRIV_H
#define CARAVAN_JINJA_PARSE_PRIV_H

#include "jinja/node_priv.h"

enum jinja_token_kind {
    JINJA_T_END,
    JINJA_T_DATA,
    JINJA_T_PRINT_BEGIN,
    JINJA_T_PRINT_END,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_NAME,
    JINJA_T_STRING,
    JINJA_T_NUMBER,
    JINJA_T_SIGN
};

/* Signs of two characters; those of one are themselves. */
enum { JINJA_S_POW = 256, JINJA_S_FLOORDIV, JINJA_S_EQ, JINJA_S_NE, JINJA_S_LE, JINJA_S_GE };

struct jinja_token {
    uint8_t kind;
    bool whole;               /* a number without a point: x.0 is allowed */
    uint16_t sign;
    uint32_t line;
    const char *text;         /* in the lexer's source */
    size_t len;
    struct jinja_value value; /* DATA, STRING, NUMBER */
};

enum { JINJA_MAX_BRACKETS = 256 };

struct jinja_lexer {
    const char *text;         /* lines end with \n alone, and the last one without */
    size_t len, at;
    uint32_t line;
    uint8_t inside;           /* JINJA_T_PRINT_BEGIN, JINJA_T_BLOCK_BEGIN: in such a tag; else 0 */
    uint8_t waiting;          /* a tag that begins behind the data that was given */
    char brackets[JINJA_MAX_BRACKETS];
    uint32_t n_brackets;
};

struct jinja_parser {
    struct jinja_run *r;
    struct jinja_template *t;
    struct jinja_lexer lexer;
    struct jinja_token now, ahead;
    bool has_ahead;
    struct jinja_dict *numbers;  /* symbol's name -> its number */
    uint32_t loops;              /* loops around, within the same macro */
    uint32_t frames, branches;   /* bodies around that have variables of their own; ifs around */
    bool in_target;              /* names are assigned to, not read */
    bool names_loop, names_caller, names_args, names_kwargs; /* since they were last cleared */
};

bool jinja_lexer_start(struct jinja_run *r, struct jinja_lexer *l, const char *text, size_t len);
bool jinja_lexer_next(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret);

/* ---- the token at hand (parse_expr.c) ---- */

bool jinja_parser_next(struct jinja_parser *p);
bool jinja_parser_is(const struct jinja_parser *p, int sign);
bool jinja_parser_is_word(const struct jinja_parser *p, const char *word);
/* Goes on if it is the sign, or the word; *ret_was says so. */
bool jinja_parser_skip(struct jinja_parser *p, int sign, bool *ret_was);
bool jinja_parser_skip_word(struct jinja_parser *p, const char *word, bool *ret_was);
bool jinja_parser_expect(struct jinja_parser *p, int sign);
bool jinja_parser_expect_word(struct jinja_parser *p, const char *word);
bool jinja_parser_expect_name(struct jinja_parser *p, struct jinja_token *ret);
bool jinja_parser_unexpected(struct jinja_parser *p, const char *wanted); /* false, and the error */

/* ---- nodes: NULL, and the error, where it fails ---- */

struct jinja_node *jinja_parser_node(struct jinja_parser *p, enum jinja_node_kind kind);
bool jinja_parser_add(struct jinja_parser *p, struct jinja_nodes *to, struct jinja_node *n);
/* The number of a symbol; UINT32_MAX: no memory. */
uint32_t jinja_parser_symbol(struct jinja_parser *p, const char *text, size_t len);

/* cond: whether "a if b else c" is allowed. end: a word that ends a tuple without brackets, NULL: none. */
struct jinja_node *jinja_parse_expression(struct jinja_parser *p, bool cond);
struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool cond, const char *end, bool brackets);
/* of: what is filtered, NULL: a block's text. first: the name stands here without a bar. */
struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *of, bool first);
/* Names, tuples of names; with ns also ns.x. */
struct jinja_node *jinja_parse_target(struct jinja_parser *p, bool ns, const char *end);
struct jinja_node *jinja_parse_primary(struct jinja_parser *p, bool ns);
/* A target is set here. Jinja2 has this rule: if a template sets a variable outside of loops, macros and ifs, and doesn't read it
 * there before, then nothing in it sees a variable of that name that it was given, not even a loop that comes before. */
void jinja_parser_assign(struct jinja_parser *p, const struct jinja_node *target);
void jinja_parser_assign_name(struct jinja_parser *p, uint32_t name);

bool jinja_parse_template(struct jinja_parser *p);

#endif
