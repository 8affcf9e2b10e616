/* SPDX-License-Identifier: MIT
 * Tests: the words after "is". */
#include "jinja/builtin_priv.h"
#include "jinja/object_priv.h"
#include "jinja/show_priv.h"
#include "jinja/iter_priv.h"
#include "jinja/eval_priv.h"

#define JINJA_TEST(name) \
    bool jinja_test_##name(struct jinja_run *r, struct jinja_value self, const struct jinja_value *a, struct jinja_value *ret)

/* A test that only looks at the value. */
#define JINJA_TEST_IF(name, condition) \
    JINJA_TEST(name) { \
        (void)r, (void)a; \
        *ret = jinja_bool(condition); \
        return true; \
    }

JINJA_TEST_IF(defined, self.type != JINJA_UNDEFINED)
JINJA_TEST_IF(undefined, self.type == JINJA_UNDEFINED)
JINJA_TEST_IF(none, self.type == JINJA_NONE)
JINJA_TEST_IF(boolean, self.type == JINJA_BOOL)
JINJA_TEST_IF(is_false, self.type == JINJA_BOOL && !self.b)
JINJA_TEST_IF(is_true, self.type == JINJA_BOOL && self.b)
JINJA_TEST_IF(integer, self.type == JINJA_INT || self.type == JINJA_BIG)
JINJA_TEST_IF(float, self.type == JINJA_FLOAT)
JINJA_TEST_IF(number, jinja_is_number(self))
JINJA_TEST_IF(string, self.type == JINJA_STR)
JINJA_TEST_IF(mapping, self.type == JINJA_DICT)
JINJA_TEST_IF(sequence, self.type == JINJA_STR || jinja_is_list(self) || self.type == JINJA_DICT || self.type == JINJA_RANGE ||
                            self.type == JINJA_UNDEFINED)
JINJA_TEST_IF(iterable, jinja_iterable(self))
JINJA_TEST_IF(callable, self.type == JINJA_MACRO || self.type == JINJA_METHOD || self.type == JINJA_FUNCTION || self.type == JINJA_LOOP ||
                            self.type == JINJA_JOINER || self.type == JINJA_UNDEFINED)
JINJA_TEST_IF(escaped, self.type == JINJA_STR && self.s->safe)
JINJA_TEST_IF(sameas, jinja_same(self, a[0]))

/* Is there a row of this name? */
static bool is_name(struct jinja_run *r, struct jinja_value v, const struct jinja_builtin *(*find)(const struct jinja_str *name),
                    struct jinja_value *ret) {
    if (!jinja_hashable(v)) return jinja_fail(r, "unhashable type: '%s'", jinja_type_name(v));
    *ret = jinja_bool(v.type == JINJA_STR && find(v.s) != NULL);
    return true;
}

JINJA_TEST(filter) { return (void)a, is_name(r, self, jinja_filter_find, ret); }
JINJA_TEST(test) { return (void)a, is_name(r, self, jinja_test_find, ret); }

JINJA_TEST(lower) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_islower(r, jinja_of_str(s), a, ret);
}

JINJA_TEST(upper) {
    const struct jinja_str *s;
    return jinja_to_str(r, self, &s) && jinja_method_text_isupper(r, jinja_of_str(s), a, ret);
}

/* Is self % by equal to `rest`? */
static bool has_rest(struct jinja_run *r, struct jinja_value self, struct jinja_value by, int64_t rest, struct jinja_value *ret) {
    struct jinja_value v;
    bool yes;
    if (!jinja_binary(r, JINJA_MOD, self, by, &v) || !jinja_equal(r, v, jinja_int(rest), &yes)) return false;
    *ret = jinja_bool(yes);
    return true;
}

JINJA_TEST(odd) { return (void)a, has_rest(r, self, jinja_int(2), 1, ret); }
JINJA_TEST(even) { return (void)a, has_rest(r, self, jinja_int(2), 0, ret); }
JINJA_TEST(divisibleby) { return has_rest(r, self, a[0], 0, ret); }

JINJA_TEST(in) {
    bool yes;
    if (!jinja_contains(r, a[0], self, &yes)) return false;
    *ret = jinja_bool(yes);
    return true;
}

static bool equals(struct jinja_run *r, struct jinja_value a, struct jinja_value b, bool wanted, struct jinja_value *ret) {
    bool yes;
    if (!jinja_equal(r, a, b, &yes)) return false;
    *ret = jinja_bool(yes == wanted);
    return true;
}

JINJA_TEST(eq) { return equals(r, self, a[0], true, ret); }
JINJA_TEST(ne) { return equals(r, self, a[0], false, ret); }

/* Is the order from low to high? A NaN (2) has no order. */
static bool ordered(struct jinja_run *r, struct jinja_value a, struct jinja_value b, const char *op, bool less, bool same, bool more,
                    struct jinja_value *ret) {
    int order;
    if (!jinja_order(r, a, b, op, &order)) return false;
    *ret = jinja_bool(order != 2 && (order < 0 ? less : order == 0 ? same : more));
    return true;
}

JINJA_TEST(lt) { return ordered(r, self, a[0], "<", true, false, false, ret); }
JINJA_TEST(le) { return ordered(r, self, a[0], "<=", true, true, false, ret); }
JINJA_TEST(gt) { return ordered(r, self, a[0], ">", false, false, true, ret); }
JINJA_TEST(ge) { return ordered(r, self, a[0], ">=", false, true, true, ret); }
