/* SPDX-License-Identifier: MIT
 * The store's samples for charts: each step has rows of its own, in the order of their times; a list begins with the row before the
 * time that was asked for; a time has one row; old ones go, and the others outlive the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/history.h"

static void no_wake(void *user) { (void)user; }

static char listed[512];

static void on_list(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    (void)user, (void)e;
    assert_int_equal(code, ERR_OK);
    assert_true(len < sizeof(listed));
    memcpy(listed, text, len);
    listed[len] = '\0';
}

static const char *list(struct store *s, int64_t step, int64_t after) {
    listed[0] = '\0';
    store_history_list(s, step, after, on_list, NULL);
    store_finish(s);
    return listed;
}

static struct store *open_store(const char *path) {
    struct store *s;
    assert_int_equal(store_open(&(struct store_options){.path = path, .wake = no_wake}, &s, NULL), ERR_OK);
    return s;
}

static void test_rows(void **state) {
    (void)state;
    struct store *s = open_store(NULL);
    assert_string_equal(list(s, 5, 0), "[]");
    store_history_put(s, 5, 20, "[20,2]");
    store_history_put(s, 5, 10, "[10,1]");
    store_history_put(s, 300, 300, "[300,null]");
    store_history_put(s, 5, 30, "[30,3]");
    assert_string_equal(list(s, 5, 0), "[[10,1],[20,2],[30,3]]");
    assert_string_equal(list(s, 300, 0), "[[300,null]]");
    assert_string_equal(list(s, 5, 25), "[[20,2],[30,3]]");
    assert_string_equal(list(s, 5, 20), "[[20,2],[30,3]]");
    assert_string_equal(list(s, 5, 99), "[[30,3]]");
    store_history_put(s, 5, 30, "[30,4]");
    assert_string_equal(list(s, 5, 25), "[[20,2],[30,4]]");
    store_history_sweep(s, 5, 20);
    assert_string_equal(list(s, 5, 0), "[[20,2],[30,4]]");
    assert_string_equal(list(s, 300, 0), "[[300,null]]");
    store_close(s);
}

static void test_they_last(void **state) {
    (void)state;
    char dir[] = "/tmp/caravan-history.XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *path = mem_printf("%s/state.db", dir);
    struct store *s = open_store(path);
    store_history_put(s, 5, 10, "[10,1]");
    store_close(s);
    s = open_store(path);
    assert_string_equal(list(s, 5, 0), "[[10,1]]");
    store_close(s);
    unlink(path);
    rmdir(dir);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_they_last)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
