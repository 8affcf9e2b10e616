/* SPDX-License-Identifier: MIT
 * The rows of tables/jinja.def by their names. */
#include "jinja/builtin_priv.h"

#include <string.h>

#include "base/mem.h"
#include "jinja/object_priv.h"

#define JINJA_ROW(text, type, need, params, fn) {text, type, need, params, fn, NULL},
#define JINJA_ROW_ANY(text, type, any)          {text, type, 0, NULL, NULL, any},

static const struct jinja_builtin filters[] = {
#define FILTER(name, text, need, params) JINJA_ROW(text, 0, need, params, jinja_filter_##name)
#define ANY_FILTER(name, text)           JINJA_ROW_ANY(text, 0, jinja_filter_##name)
#include "../../tables/jinja.def"
};
static const struct jinja_builtin tests[] = {
#define TEST(name, text, need, params) JINJA_ROW(text, 0, need, params, jinja_test_##name)
#include "../../tables/jinja.def"
};
static const struct jinja_builtin methods[] = {
#define METHOD(type, name, text, need, params) JINJA_ROW(text, JINJA_##type, need, params, jinja_method_##name)
#define ANY_METHOD(type, name, text)           JINJA_ROW_ANY(text, JINJA_##type, jinja_method_##name)
#define UNSAFE(type, text)                     JINJA_ROW_ANY(text, JINJA_##type, NULL)
#include "../../tables/jinja.def"
};
static const struct jinja_builtin globals[] = {
#define GLOBAL(name, text, need, params) JINJA_ROW(text, 0, need, params, jinja_global_##name)
#define ANY_GLOBAL(name, text)           JINJA_ROW_ANY(text, 0, jinja_global_##name)
#include "../../tables/jinja.def"
};

static bool row_is(const struct jinja_builtin *row, const struct jinja_str *name) {
    return name->len > 0 && row->name[0] == name->data[0] && jinja_str_is(name, row->name, strlen(row->name));
}

static const struct jinja_builtin *find(const struct jinja_builtin *rows, size_t n, const struct jinja_str *name) {
    for (size_t i = 0; i < n; i++)
        if (row_is(&rows[i], name)) return &rows[i];
    return NULL;
}

const struct jinja_builtin *jinja_filter_find(const struct jinja_str *name) { return find(filters, ARRAY_LEN(filters), name); }
const struct jinja_builtin *jinja_test_find(const struct jinja_str *name) { return find(tests, ARRAY_LEN(tests), name); }
const struct jinja_builtin *jinja_global_find(const struct jinja_str *name) { return find(globals, ARRAY_LEN(globals), name); }

void jinja_methods_find(const struct jinja_str *name, const struct jinja_builtin *ret[JINJA_TYPES]) {
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (row_is(&methods[i], name)) ret[methods[i].type] = &methods[i];
}
