/* SPDX-License-Identifier: MIT
 * Models whose coordinator is gone: which node loads them again, when, and when they are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "members/orphans.h"

#define S 1000000ull

static struct orphan_view view; /* of every model */
static struct orphan_view look(void *user, const char *name) {
    (void)user;
    (void)name;
    return view;
}

static struct orphan lost(const char *name, clock_us now, bool kept) {
    struct orphan x = {.node = 9, .node_name = "nine", .since = now, .from = now};
    snprintf(x.name, sizeof(x.name), "%s", name);
    wish_set(&x.wish, WISH_KEPT, kept);
    wish_set(&x.wish, WISH_PINNED, true);
    wish_set(&x.wish, WISH_CTX, 2048);
    return x;
}

static enum orphan_act next(struct orphans *o, clock_us now, struct orphan_action *a) { return orphans_next(o, now, 1, look, NULL, a); }

static void the_heir_loads_it_as_it_was(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    struct orphan_action a;
    struct orphan x = lost("m", 100 * S, true);
    orphans_add(o, &x);
    view = (struct orphan_view){.heir = 1};
    assert_int_equal(next(o, 100 * S, &a), ORPHAN_LOAD);
    assert_string_equal(a.orphan.name, "m");
    assert_true(a.orphan.wish.ctx == 2048 && a.orphan.wish.kept && !wish_says(&a.orphan.wish, WISH_PINNED));
    assert_int_equal(next(o, 101 * S, &a), ORPHAN_NOTHING); /* it has been told */
    assert_int_equal(next(o, 106 * S, &a), ORPHAN_LOAD);    /* and did not load it */
    view.claimed = true;
    assert_int_equal(next(o, 107 * S, &a), ORPHAN_NOTHING);
    assert_null(orphans_find(o, "m"));
    free(o);
}

static void another_heir_is_told_when_it_has_not_noticed(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    struct orphan_action a;
    struct orphan x = lost("m", 100 * S, true), y = lost("n", 100 * S, true);
    orphans_add(o, &x);
    orphans_add(o, &y);
    view = (struct orphan_view){.heir = 4};
    assert_int_equal(next(o, 102 * S, &a), ORPHAN_NOTHING);
    assert_int_equal(next(o, 103 * S, &a), ORPHAN_TELL);
    assert_true(a.heir == 4 && strcmp(a.orphan.name, "m") == 0);
    assert_int_equal(next(o, 103 * S, &a), ORPHAN_TELL);
    assert_string_equal(a.orphan.name, "n");
    assert_int_equal(next(o, 103 * S, &a), ORPHAN_NOTHING);
    view.heir = 0; /* it is gone as well */
    assert_int_equal(next(o, 200 * S, &a), ORPHAN_NOTHING);
    view.heir = 1;
    assert_int_equal(next(o, 201 * S, &a), ORPHAN_LOAD);
    free(o);
}

/* A node that was started again may have the model on its command line. */
static void a_restarted_node_has_a_moment(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    struct orphan_action a;
    struct orphan x = lost("m", 100 * S, true);
    x.from = 102 * S;
    orphans_add(o, &x);
    view = (struct orphan_view){.heir = 1};
    assert_int_equal(next(o, 101 * S, &a), ORPHAN_NOTHING);
    assert_int_equal(next(o, 102 * S, &a), ORPHAN_LOAD);
    free(o);
}

static void what_a_request_loaded_waits_for_the_next_one(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    struct orphan_action a;
    struct orphan x = lost("m", 100 * S, false);
    orphans_add(o, &x);
    view = (struct orphan_view){.heir = 1};
    assert_int_equal(next(o, 100 * S, &a), ORPHAN_NOTHING);
    assert_int_equal(next(o, 600 * S, &a), ORPHAN_NOTHING);
    assert_int_equal(orphans_find(o, "m")->wish.ctx, 2048);
    next(o, 701 * S, &a);
    assert_null(orphans_find(o, "m"));
    free(o);
}

/* A node that was away comes back with a model that was unloaded meanwhile; a model that was asked for later stays. */
static void what_was_unloaded_does_not_come_back(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    struct orphan_action a;
    struct orphan x = lost("old", 100 * S, true), y = lost("new", 100 * S, true);
    wish_set(&x.wish, WISH_ASKED, 5000);
    wish_set(&y.wish, WISH_ASKED, 6001);
    orphans_add(o, &x);
    orphans_add(o, &y);
    view = (struct orphan_view){.heir = 1, .unloaded = 6000};
    assert_int_equal(next(o, 100 * S, &a), ORPHAN_LOAD);
    assert_string_equal(a.orphan.name, "new");
    assert_null(orphans_find(o, "old"));
    free(o);
}

static void the_file(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans), *back = MEM_NEW(struct orphans);
    struct unloads u = {0}, u_back = {0};
    struct err e = {0};
    struct buf b;
    struct orphan x = lost("m", 0, true), y = lost("n", 0, true);
    snprintf(x.path, sizeof(x.path), "/a \"b\"/m.gguf");
    orphans_add(o, &x);
    orphans_add(o, &y);
    for (uint32_t i = 1; i <= UNLOADS_MAX + 1; i++) {
        char name[8];
        snprintf(name, sizeof(name), "u%u", i);
        unloads_add(&u, name, i);
    }
    unloads_add(&u, "u9", 99);
    assert_int_equal(unloads_time(&u, "u1"), 0);
    assert_int_equal(unloads_time(&u, "u9"), 99);
    buf_init(&b, 1 << 20);
    orphans_write(o, &u, &b);
    assert_int_equal(orphans_read(buf_cstr(&b), b.len, back, &u_back, &e), ERR_OK);
    assert_true(back->n == 2 && wish_same(&back->list[0].wish, &o->list[0].wish));
    assert_string_equal(back->list[0].path, x.path);
    assert_string_equal(back->list[1].path, "");
    assert_memory_equal(&u_back, &u, sizeof(u));
    static const char *const bad[] = {"",
                                      "[1",
                                      "{\"models\":[{}]}",
                                      "{\"models\":[{\"name\":\"a\",\"wish\":{\"ctx\":-1}}]}",
                                      "{\"models\":[7]}",
                                      "{\"unloaded\":[{\"name\":\"a\",\"time\":-1}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (orphans_read(bad[i], strlen(bad[i]), back, &u_back, &e) == ERR_OK) fail_msg("%s", bad[i]);
    buf_done(&b);
    free(o);
    free(back);
}

static void the_list_is_bounded(void **state) {
    (void)state;
    struct orphans *o = MEM_NEW(struct orphans);
    for (int i = 0; i < ORPHANS_MAX + 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        struct orphan x = lost(name, 100 * S, true);
        orphans_add(o, &x);
        orphans_add(o, &x); /* once more changes nothing */
    }
    assert_int_equal(o->n, ORPHANS_MAX);
    assert_null(orphans_find(o, "m2"));
    assert_non_null(orphans_find(o, "m3"));
    orphans_drop(o, "m3");
    orphans_drop(o, "m3");
    assert_int_equal(o->n, ORPHANS_MAX - 1);
    free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_heir_loads_it_as_it_was),
                                       cmocka_unit_test(another_heir_is_told_when_it_has_not_noticed),
                                       cmocka_unit_test(a_restarted_node_has_a_moment),
                                       cmocka_unit_test(what_a_request_loaded_waits_for_the_next_one),
                                       cmocka_unit_test(what_was_unloaded_does_not_come_back),
                                       cmocka_unit_test(the_file),
                                       cmocka_unit_test(the_list_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
