/* SPDX-License-Identifier: MIT
 * Where marks are made, and which one is given up first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sched/mark.h"

enum { EVERY = 256, CONTROL = 1, WORD = 0, LONG = 20000 };
static const uint8_t TURNS[] = {0, 1};

/* All marks of a text of n tokens, with control tokens at these positions. Returns how many. */
static size_t marks_of(uint32_t n, const uint32_t *controls, size_t n_controls, uint32_t shared, uint32_t *ret, size_t most) {
    int32_t *tokens = mem_calloc(n, sizeof(*tokens));
    for (size_t i = 0; i < n_controls; i++) tokens[controls[i]] = CONTROL;
    struct sched_mark_text t = {.tokens = tokens, .n = n, .turns = TURNS, .every = EVERY, .shared = shared};
    uint32_t at = 0, last = 0;
    size_t count = 0;
    while ((at = sched_mark_next(&t, at, last)) != SCHED_MARK_NONE) {
        assert_true(at > last && at < n && count < most);
        ret[count++] = last = at;
    }
    free(tokens);
    return count;
}

static void test_mark_turns(void **state) {
    (void)state;
    static const uint32_t controls[] = {0, 100, 102, 180, 182};
    uint32_t at[16];
    assert_int_equal(marks_of(185, controls, 5, 0, at, 16), 2);
    assert_int_equal(at[0], 101); /* behind the first control token of the group: whatever role comes next */
    assert_int_equal(at[1], 181);
}

static void test_mark_end(void **state) {
    (void)state;
    uint32_t at[16];
    assert_int_equal(marks_of(200, NULL, 0, 0, at, 16), 1);
    assert_int_equal(at[0], 196); /* not the last token, which is computed in any case */
    assert_int_equal(marks_of(20, NULL, 0, 0, at, 16), 0); /* not worth it */
    static const uint32_t controls[] = {190};
    assert_int_equal(marks_of(200, controls, 1, 0, at, 16), 1);
    assert_int_equal(at[0], 191); /* near enough to the end */
}

/* Without turns the distance grows, so that a long text has few marks, and no place is far behind one. */
static void test_mark_distance(void **state) {
    (void)state;
    uint32_t at[SCHED_MARKS_MOST];
    size_t n = marks_of(LONG, NULL, 0, 0, at, SCHED_MARKS_MOST);
    assert_int_equal(at[0], EVERY);
    for (size_t i = 1; i < n; i++) {
        uint32_t far = at[i - 1] / 10 > EVERY ? at[i - 1] / 10 : EVERY;
        assert_true(at[i] - at[i - 1] <= far);
    }
    assert_true(n > 16 && n < 40);
    assert_true(LONG - at[n - 1] <= LONG / 16 + 4);
}

static void test_mark_shared(void **state) {
    (void)state;
    uint32_t at[16];
    assert_int_equal(marks_of(240, NULL, 0, 120, at, 16), 2);
    assert_int_equal(at[0], 120); /* where another text parted from this one */
    assert_int_equal(at[1], 236);
    assert_int_equal(marks_of(240, NULL, 0, 240, at, 16), 1); /* it is the same */
}

/* A place that is almost reached is marked at once: that costs no batch. */
static void test_mark_here(void **state) {
    (void)state;
    int32_t tokens[300] = {[204] = CONTROL};
    struct sched_mark_text t = {.tokens = tokens, .n = 300, .turns = TURNS, .every = EVERY};
    assert_int_equal(sched_mark_next(&t, 200, 0), 200);
    assert_int_equal(sched_mark_next(&t, 150, 0), 205);
    assert_int_equal(sched_mark_next(&t, 200, 190), 296); /* too near to the last one */
}

static void test_mark_least(void **state) {
    (void)state;
    static const int32_t tokens[] = {1, 2, 3, 4, 5, 6};
    static const uint32_t gains[] = {30, 10, 20}, used[] = {2, 2, 1};
    struct sched_marks m;
    sched_marks_init(&m);
    assert_null(sched_marks_least(&m));
    for (uint32_t i = 0; i < 3; i++) {
        struct sched_mark *mark = sched_marks_add(&m, 0, tokens, i + 2);
        mark->gain = gains[i];
        mark->used = used[i];
    }
    uint64_t first = m.all[0].key, second = m.all[1].key, third = m.all[2].key;
    assert_ptr_equal(sched_marks_find(&m, 0, tokens, 3), &m.all[1]);
    assert_null(sched_marks_find(&m, 0, tokens, 5));
    assert_null(sched_marks_find(&m, 0, tokens + 1, 3));
    assert_null(sched_marks_find(&m, 9, tokens, 3));
    assert_int_equal(sched_marks_least(&m)->key, third); /* used least recently */
    assert_true(sched_marks_drop(&m, third) && !sched_marks_drop(&m, third));
    assert_int_equal(sched_marks_least(&m)->key, second); /* it saves least */
    assert_true(sched_marks_drop(&m, second));
    assert_int_equal(sched_marks_least(&m)->key, first);
    sched_marks_full(&m);
    assert_int_equal(m.most, 1);
    for (int i = 0; i < 16; i++) sched_marks_try_more(&m);
    assert_int_equal(m.most, 2);
    sched_marks_done(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mark_turns),  cmocka_unit_test(test_mark_end),  cmocka_unit_test(test_mark_distance),
        cmocka_unit_test(test_mark_shared), cmocka_unit_test(test_mark_here), cmocka_unit_test(test_mark_least),
    };
    return cmocka_run_group_tests_name("sched_mark", tests, NULL, NULL);
}
