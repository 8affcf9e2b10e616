/* SPDX-License-Identifier: MIT
 * Values of a template, with Python's meaning: text, numbers, lists, mappings, and objects that a template calls. A value has 16 bytes
 * and is copied freely. The memory that it points to belongs to the heap of the rendering (jinja/run_priv.h) or of the parsed template,
 * and is never freed alone. Text and tuples never change. Functions that return bool fail with the error set in the run; outputs are
 * then untouched. */
#ifndef CARAVAN_JINJA_VALUE_PRIV_H
#define CARAVAN_JINJA_VALUE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jinja_run;

enum jinja_type {
    JINJA_MISSING,    /* no value: an argument that was not given; templates never see it */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_BIG,        /* an integer beyond 64 bits: its decimal digits, with a sign if negative */
    JINJA_FLOAT,
    JINJA_STR,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW,       /* the result of .keys(), .values(), .items(); aux: enum jinja_view */
    JINJA_RANGE,
    JINJA_ITER,       /* can be iterated once: map(), select() and so on */
    JINJA_NAMESPACE,
    JINJA_MACRO,
    JINJA_METHOD,     /* "x.upper" without the call */
    JINJA_FUNCTION,   /* range, namespace, raise_exception */
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER,
    JINJA_TYPES
};

enum jinja_view { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS };

/* Why a value is undefined. */
enum jinja_undefined {
    JINJA_NO_VARIABLE, /* s: the name */
    JINJA_NO_ATTRIBUTE, /* s: the name, NULL: the key was not text; owner: the type that lacks it */
    JINJA_UNSAFE,      /* s: the name of a method that would change its object; owner: the object's type */
    JINJA_NO_REASON    /* the hint says everything */
};

struct jinja_value {
    uint8_t type, aux, owner;
    union {
        bool b;
        int64_t i;
        double f;
        const char *hint;
        const struct jinja_str *s;
        struct jinja_list *list;           /* LIST, TUPLE */
        struct jinja_dict *dict;           /* DICT, VIEW, NAMESPACE */
        const struct jinja_range *range;
        struct jinja_iter *iter;
        const struct jinja_macro *macro;
        const struct jinja_bound *method;
        const struct jinja_builtin *function;
        struct jinja_loop *loop;
        struct jinja_cycler *cycler;
        struct jinja_joiner *joiner;
    };
};

/* Memory that grows at its end. A text (or list) that ends at the used part's end can be extended in place, so the cost of building it
 * piece by piece is linear in its length, not quadratic. */
struct jinja_tail {
    size_t used, cap;
    char *data;
};

struct jinja_str {
    const char *data;        /* UTF-8, without a final NUL */
    size_t len;              /* bytes */
    size_t chars;            /* characters; SIZE_MAX: not counted yet */
    uint32_t hash;           /* 0: not computed yet */
    bool safe;               /* markup: text that is added to it is escaped for HTML */
    struct jinja_tail *tail; /* NULL: it cannot be extended */
};

struct jinja_list {
    struct jinja_value *items;
    size_t n;
    struct jinja_slab *slab; /* NULL: it cannot be extended in place */
};

struct jinja_slab {
    size_t used, cap;        /* items */
    struct jinja_value *items;
};

struct jinja_entry {
    struct jinja_value key, value;
    uint32_t hash;
};

/* A mapping, ordered by the arrival of its keys. */
struct jinja_dict {
    struct jinja_entry *entries;
    uint32_t n, cap;
    uint32_t *index;         /* entry number + 1 by hash, open addressing; NULL while small */
    uint32_t index_cap;      /* a power of 2 */
};

struct jinja_range {
    int64_t start, stop, step;
    size_t n;
};

/* ---- making values ---- */

static inline struct jinja_value jinja_none(void) { return (struct jinja_value){.type = JINJA_NONE}; }
static inline struct jinja_value jinja_bool(bool b) { return (struct jinja_value){.type = JINJA_BOOL, .b = b}; }
static inline struct jinja_value jinja_int(int64_t i) { return (struct jinja_value){.type = JINJA_INT, .i = i}; }
static inline struct jinja_value jinja_float(double f) { return (struct jinja_value){.type = JINJA_FLOAT, .f = f}; }
static inline struct jinja_value jinja_of_str(const struct jinja_str *s) { return (struct jinja_value){.type = JINJA_STR, .s = s}; }
static inline struct jinja_value jinja_undefined(const char *hint) {
    return (struct jinja_value){.type = JINJA_UNDEFINED, .aux = JINJA_NO_REASON, .hint = hint};
}
static inline struct jinja_value jinja_missing(void) { return (struct jinja_value){.type = JINJA_MISSING}; }

/* ---- kinds of values ---- */

static inline bool jinja_is_number(struct jinja_value v) {
    return v.type == JINJA_INT || v.type == JINJA_BOOL || v.type == JINJA_FLOAT || v.type == JINJA_BIG;
}
/* INT and BOOL count as int64_t. */
static inline bool jinja_is_int(struct jinja_value v) { return v.type == JINJA_INT || v.type == JINJA_BOOL; }
static inline int64_t jinja_int_of(struct jinja_value v) { return v.type == JINJA_BOOL ? (int64_t)v.b : v.i; }
static inline bool jinja_is_list(struct jinja_value v) { return v.type == JINJA_LIST || v.type == JINJA_TUPLE; }

#endif
