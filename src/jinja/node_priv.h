/* SPDX-License-Identifier: MIT
 * A parsed template: a tree of nodes in the template's own heap. The parser (lexer.c, parse.c, parse_expr.c) makes it; the evaluator
 * (eval.c, call.c, exec.c) walks it and doesn't change it. */
#ifndef CARAVAN_JINJA_NODE_PRIV_H
#define CARAVAN_JINJA_NODE_PRIV_H

#include "jinja/builtin_priv.h"
#include "jinja/run_priv.h"

/* The comment after each kind names the member of the union that it uses. */
enum jinja_node_kind {
    /* expressions */
    JINJA_CONST,      /* constant */
    JINJA_NAME,       /* name */
    JINJA_ATTR,       /* attr: of.name */
    JINJA_ITEM,       /* item: of[key] */
    JINJA_SLICE,      /* slice: the key of an ITEM */
    JINJA_CALL,       /* call */
    JINJA_FILTER,     /* apply */
    JINJA_TEST,       /* apply */
    JINJA_BINARY,     /* pair, and op */
    JINJA_NEGATE,     /* pair.a */
    JINJA_PLUS,       /* pair.a */
    JINJA_NOT,        /* pair.a */
    JINJA_AND,        /* pair */
    JINJA_OR,         /* pair */
    JINJA_COMPARE,    /* compare */
    JINJA_CONCAT,     /* list */
    JINJA_COND,       /* cond */
    JINJA_MAKE_LIST,  /* list */
    JINJA_MAKE_TUPLE, /* list */
    JINJA_MAKE_DICT,  /* list: key, value, key, value */
    JINJA_NS_ATTR,    /* ns: "ns.x" as a target */
    /* statements */
    JINJA_TEXT,         /* constant */
    JINJA_PRINT,        /* pair.a */
    JINJA_IF,           /* branch */
    JINJA_FOR,          /* loop */
    JINJA_SET,          /* set */
    JINJA_SET_BLOCK,    /* set: value is its filter, or NULL */
    JINJA_DEF,          /* def: a macro */
    JINJA_CALL_BLOCK,   /* def: its body, and the call */
    JINJA_FILTER_BLOCK, /* with: filter, body */
    JINJA_WITH,         /* with */
    JINJA_SCOPE,        /* def.body */
    JINJA_BREAK,
    JINJA_CONTINUE
};

enum jinja_compare { JINJA_EQ, JINJA_NE, JINJA_LT, JINJA_LE, JINJA_GT, JINJA_GE, JINJA_IN, JINJA_NOT_IN };

struct jinja_nodes {
    struct jinja_node **list;
    uint32_t n, cap;
};

/* (a, b, name=c, *d, **e) */
struct jinja_call_args {
    struct jinja_nodes list;
    const struct jinja_str **names;
    struct jinja_nodes values; /* one for each name */
    struct jinja_node *star, *star_star;
};

/* A name of the template: a variable, an attribute, or both. */
struct jinja_symbol {
    const struct jinja_str *text;
    bool read, attribute; /* as a variable that the template reads before it sets it; as an attribute or a constant text */
    bool assigned;        /* so far, during parsing */
    bool asked, stored;   /* so far, outside of loops and macros */
    bool hidden;          /* a given variable of this name is not seen: see jinja_parser_assign */
    const struct jinja_builtin *global;
    const struct jinja_builtin *methods[JINJA_TYPES]; /* of this name, by the type that has it */
};

struct jinja_signature {
    uint32_t *params;            /* numbers of symbols */
    struct jinja_node **defaults; /* one for each parameter; NULL: none */
    uint32_t n;
    bool takes_caller, takes_args, takes_kwargs; /* its body uses "caller", "varargs", "kwargs" */
};

struct jinja_node {
    uint8_t kind, op; /* op: enum jinja_op of BINARY */
    bool recursive;   /* FOR */
    bool uses_loop;   /* FOR: its body uses "loop" */
    uint32_t line;
    union {
        struct jinja_value constant;
        uint32_t name; /* number of the symbol */
        struct {
            struct jinja_node *of;
            uint32_t name;
        } attr;
        struct {
            uint32_t of, name;
        } ns;
        struct {
            struct jinja_node *of, *key;
        } item;
        struct {
            struct jinja_node *start, *stop, *step; /* each may be NULL */
        } slice;
        struct {
            struct jinja_node *of;
            struct jinja_call_args *args;
        } call;
        struct {
            struct jinja_node *of;           /* NULL: the text of a block */
            const struct jinja_builtin *row; /* NULL: there is no such filter or test */
            const struct jinja_str *name;
            struct jinja_call_args *args;
        } apply;
        struct {
            struct jinja_node *a, *b;
        } pair;
        struct {
            struct jinja_node *first;
            struct jinja_nodes rest;
            uint8_t *ops; /* enum jinja_compare, one for each operand after the first */
        } compare;
        struct {
            struct jinja_node *test, *yes, *no; /* no may be NULL */
        } cond;
        struct jinja_nodes list;
        struct {
            struct jinja_nodes tests, *bodies, otherwise; /* one body for each test */
        } branch;
        struct {
            struct jinja_node *target, *in, *test; /* test may be NULL */
            struct jinja_nodes body, otherwise;
        } loop;
        struct {
            struct jinja_node *target, *value;
            struct jinja_nodes body;
        } set;
        struct {
            uint32_t name; /* number of the symbol */
            struct jinja_signature *signature;
            struct jinja_nodes body;
            struct jinja_node *call;
        } def;
        struct {
            struct jinja_nodes targets, values, body;
            struct jinja_node *filter;
        } with;
    };
};

struct jinja_template {
    struct jinja_heap heap;
    struct jinja_symbol *symbols;
    uint32_t n_symbols, cap_symbols;
    uint32_t loop_name; /* the symbol "loop" */
    struct jinja_nodes body;
};

#endif
