/* SPDX-License-Identifier: MIT
 * The filters, tests, methods and functions that templates can call. Each is a row: its name, its parameters, its code in C. */
#ifndef CARAVAN_JINJA_BUILTIN_PRIV_H
#define CARAVAN_JINJA_BUILTIN_PRIV_H

#include "jinja/compare_priv.h"
#include "jinja/run_priv.h"

enum { JINJA_MAX_PARAMS = 6 };

/* Arguments as they were written; the values of *x and **x are among them already. */
struct jinja_args {
    const struct jinja_value *list;
    size_t n;
    const struct jinja_str *const *names;
    const struct jinja_value *values;
    size_t n_named;
};

/* self: the value before the "|", "is" or "."; nothing for functions. a: one for each parameter, MISSING if it was not given. */
typedef bool (*jinja_fixed_fn)(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret);
typedef bool (*jinja_any_fn)(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret);

struct jinja_builtin {
    const char *name;
    uint8_t type;        /* methods: the type that has it; 0: not a method */
    uint8_t need;        /* how many parameters must be given */
    const char *params;  /* their names, separated by blanks; NULL: `any` takes all arguments */
    jinja_fixed_fn fn;
    jinja_any_fn any;    /* both NULL: a method that would change its object, which the sandbox refuses */
};

/* The code of each row of tables/jinja.def. */
#define JINJA_FIXED(fn) bool fn(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret);
#define JINJA_ANY(fn)   bool fn(struct jinja_run *r, struct jinja_value self, const struct jinja_args *args, struct jinja_value *ret);
#define FILTER(name, text, need, params)       JINJA_FIXED(jinja_filter_##name)
#define ANY_FILTER(name, text)                 JINJA_ANY(jinja_filter_##name)
#define TEST(name, text, need, params)         JINJA_FIXED(jinja_test_##name)
#define METHOD(type, name, text, need, params) JINJA_FIXED(jinja_method_##name)
#define ANY_METHOD(type, name, text)           JINJA_ANY(jinja_method_##name)
#define GLOBAL(name, text, need, params)       JINJA_FIXED(jinja_global_##name)
#define ANY_GLOBAL(name, text)                 JINJA_ANY(jinja_global_##name)
#include "../../tables/jinja.def"
#undef JINJA_FIXED
#undef JINJA_ANY

/* By name; NULL: none. */
const struct jinja_builtin *jinja_filter_find(const struct jinja_str *name);
const struct jinja_builtin *jinja_test_find(const struct jinja_str *name);
const struct jinja_builtin *jinja_global_find(const struct jinja_str *name);
/* The methods of this name of all types, each at its type's index in ret. */
void jinja_methods_find(const struct jinja_str *name, const struct jinja_builtin *ret[JINJA_TYPES]);

/* Sorts the arguments into the row's order and runs it. */
bool jinja_apply(struct jinja_run *r, const struct jinja_builtin *row, struct jinja_value self, const struct jinja_args *args,
                 struct jinja_value *ret);
/* As jinja_apply, for a test: true or false. */
bool jinja_apply_test(struct jinja_run *r, const struct jinja_builtin *row, struct jinja_value self, const struct jinja_args *args,
                      bool *ret);

/* ---- helpers for the rows' code ---- */

/* An argument as a number; *ret is untouched if it was not given. */
bool jinja_arg_int(struct jinja_run *r, struct jinja_value v, const char *name, int64_t *ret);
bool jinja_arg_str(struct jinja_run *r, struct jinja_value v, const char *name, const struct jinja_str **ret);
static inline bool jinja_given(struct jinja_value v) { return v.type != JINJA_MISSING && v.type != JINJA_NONE; }
static inline bool jinja_flag(struct jinja_value v) { return v.type != JINJA_MISSING && jinja_truth(v); }

/* Sorts in place, stable, by the values of the attributes (separated by commas; NULL: by the values themselves); `fold` ignores case. */
struct jinja_sort_key {
    struct jinja_value attribute;
    bool fold, several; /* several: a comma divides attributes */
    int item;           /* not -1: sorts by this item of each value (a tuple) */
};
bool jinja_sort(struct jinja_run *r, struct jinja_list *l, bool reverse, const struct jinja_sort_key *key);
bool jinja_lower_key(struct jinja_run *r, struct jinja_value v, struct jinja_value *ret); /* ignore_case */

/* Parses JSON; fails if the text is not JSON. */
bool jinja_from_json(struct jinja_run *r, const struct jinja_str *text, struct jinja_value *ret);
bool jinja_from_yyjson(struct jinja_run *r, yyjson_mut_val *v, struct jinja_value *ret);

#endif
