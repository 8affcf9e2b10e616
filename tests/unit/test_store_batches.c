/* SPDX-License-Identifier: MIT
 * The store's files, batches and results: owners are kept apart, lists go on where they ended, a line keeps its first result, results
 * count among a file's bytes and go with it, pages come in the order of the lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/batches.h"
#include "store/files.h"

static void no_wake(void *user) { (void)user; }

struct world {
    struct store *store;
    bool answered;
    err_code code;
    struct buf text;
};

static int setup(void **state) {
    struct world *w = MEM_NEW(struct world);
    buf_init(&w->text, 1 << 24);
    *state = w;
    return store_open(&(struct store_options){.wake = no_wake}, &w->store, NULL) != ERR_OK;
}

static int teardown(void **state) {
    struct world *w = *state;
    store_close(w->store);
    buf_done(&w->text);
    free(w);
    return 0;
}

static void on_answer(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct world *w = user;
    (void)e;
    w->answered = true;
    w->code = code;
    buf_clear(&w->text);
    buf_append(&w->text, text, len);
}

/* The answer to the ask that was posted last. */
static const char *answer(struct world *w, err_code want) {
    w->answered = false;
    store_finish(w->store);
    assert_true(w->answered);
    assert_int_equal(w->code, want);
    return buf_cstr(&w->text);
}

static void put_file(struct world *w, const char *owner, const char *id, const char *purpose, int64_t expires) {
    const struct store_file f = {
        .id = id, .owner = owner, .purpose = purpose, .name = "n.jsonl", .batch = "", .bytes = 10, .created = 5, .expires = expires};
    store_file_put(w->store, &f, on_answer, w);
    answer(w, ERR_OK);
}

/* The ids of the list, without blanks. */
static void expect_list(struct world *w, const char *owner, struct store_file_range range, const char *want) {
    struct buf got;
    buf_init(&got, 1024);
    store_file_list(w->store, owner, &range, 100, on_answer, w);
    const char *text = answer(w, ERR_OK);
    yyjson_doc *doc = json_read(text, strlen(text));
    yyjson_val *item;
    size_t i, n;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, item) buf_append_str(&got, yyjson_get_str(yyjson_obj_get(item, "id")));
    assert_string_equal(buf_cstr(&got), want);
    yyjson_doc_free(doc);
    buf_done(&got);
}

static void files_belong_to_owners_and_expire(void **state) {
    struct world *w = *state;
    put_file(w, "x", "a", "batch", 0);
    put_file(w, "x", "b", "batch", 99);
    put_file(w, "y", "c", "batch", 0);
    put_file(w, "x", "d", "other", 101);
    put_file(w, "x", "e", "batch", 0);
    expect_list(w, "x", (struct store_file_range){"", "", false, 10}, "eda");
    expect_list(w, "x", (struct store_file_range){"", "", true, 10}, "ade");
    expect_list(w, "x", (struct store_file_range){"batch", "", false, 10}, "ea");
    expect_list(w, "x", (struct store_file_range){"", "e", false, 1}, "d");
    expect_list(w, "x", (struct store_file_range){"", "a", true, 1}, "d");
    expect_list(w, "z", (struct store_file_range){"", "", false, 10}, "");
    store_file_get(w->store, "y", "a", 50, on_answer, w);
    answer(w, ERR_NOT_FOUND);
    store_file_get(w->store, "x", "b", 50, on_answer, w);
    assert_non_null(strstr(answer(w, ERR_OK), "\"expires\":99"));
    store_file_get(w->store, "x", "b", 99, on_answer, w);
    answer(w, ERR_NOT_FOUND);
    store_files_expired(w->store, 100, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[[\"b\",\"x\"]]");
    store_files_size(w->store, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "50");
    store_file_drop(w->store, "y", "a", on_answer, w);
    answer(w, ERR_NOT_FOUND);
    store_file_drop(w->store, "x", "a", on_answer, w);
    answer(w, ERR_OK);
    store_files_uploaded(w->store, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[\"b\",\"c\",\"d\",\"e\"]");
}

static void put_batch(struct world *w, const char *owner, const char *id, const char *json, bool live) {
    store_batch_put(w->store, owner, id, json, live, 5, on_answer, w);
    answer(w, ERR_OK);
}

static void batches_are_listed_newest_first(void **state) {
    struct world *w = *state;
    put_batch(w, "x", "a", "{\"id\":\"a\"}", true);
    put_batch(w, "x", "b", "{\"id\":\"b\"}", true);
    put_batch(w, "y", "c", "{\"id\":\"c\"}", true);
    put_batch(w, "x", "a", "{\"id\":\"a\",\"n\":2}", false); /* it stays where it was */
    store_batch_list(w->store, "x", "", 10, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[{\"id\":\"b\"},{\"id\":\"a\",\"n\":2}]");
    store_batch_list(w->store, "x", "b", 10, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[{\"id\":\"a\",\"n\":2}]");
    store_batches_live(w->store, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[{\"owner\":\"x\",\"data\":{\"id\":\"b\"}},{\"owner\":\"y\",\"data\":{\"id\":\"c\"}}]");
    store_batch_get(w->store, "y", "a", on_answer, w);
    answer(w, ERR_NOT_FOUND);
    store_batch_sweep(w->store, 6);
    store_batch_get(w->store, "x", "a", on_answer, w);
    answer(w, ERR_NOT_FOUND);
    store_batch_get(w->store, "x", "b", on_answer, w);
    answer(w, ERR_OK);
}

static void put_results(struct world *w, const char *json) {
    store_results_put(w->store, "b", json, on_answer, w);
    answer(w, ERR_OK);
}

static void a_line_keeps_its_first_result(void **state) {
    struct world *w = *state;
    for (int failed = 0; failed < 2; failed++) {
        const struct store_file f = {.id = failed ? "err" : "out",
                                     .owner = "x",
                                     .purpose = "batch_output",
                                     .name = "n",
                                     .batch = "b",
                                     .failed = failed,
                                     .created = 5};
        store_file_put(w->store, &f, on_answer, w);
        answer(w, ERR_OK);
    }
    put_results(w, "[[2,0,\"{\\\"two\\\":1}\"]]");
    put_results(w, "[[0,0,\"zero\"],[1,1,\"b\\u00e4d\"],[2,1,\"again\"]]");
    store_results_done(w->store, "b", on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[[0,0],[2,0],[1,1]]");
    store_results_page(w->store, "b", false, -1, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "2\nzero\n{\"two\":1}\n");
    store_results_page(w->store, "b", false, 0, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "2\n{\"two\":1}\n");
    store_results_page(w->store, "b", false, 2, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "");
    store_results_page(w->store, "b", true, -1, on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "1\nb\xC3\xA4"
                                           "d\n");
    store_file_get(w->store, "x", "out", 6, on_answer, w);
    assert_non_null(strstr(answer(w, ERR_OK), "\"bytes\":15,"));
    store_file_get(w->store, "x", "err", 6, on_answer, w);
    assert_non_null(strstr(answer(w, ERR_OK), "\"bytes\":5,"));
    store_file_drop(w->store, "x", "out", on_answer, w);
    answer(w, ERR_OK);
    store_results_done(w->store, "b", on_answer, w);
    assert_string_equal(answer(w, ERR_OK), "[[1,1]]");
}

static void pages_end_where_they_are_full(void **state) {
    struct world *w = *state;
    enum { LINES = 10, SIZE = 100000 };
    char *row = mem_alloc(SIZE + 64);
    for (int i = 0; i < LINES; i++) {
        int n = snprintf(row, 32, "[[%d,0,\"", i);
        memset(row + n, 'x', SIZE);
        snprintf(row + n + SIZE, 8, "\"]]");
        put_results(w, row);
    }
    free(row);
    int64_t after = -1;
    size_t bytes = 0;
    for (int pages = 0;; pages++) {
        store_results_page(w->store, "b", false, after, on_answer, w);
        const char *text = answer(w, ERR_OK), *end = strchr(text, '\n');
        if (end == NULL) break;
        assert_true(w->text.len < STORE_RESULTS_PAGE + SIZE + 64 && pages < LINES);
        after = strtoll(text, NULL, 10);
        bytes += strlen(end + 1);
    }
    assert_int_equal(after, LINES - 1);
    assert_int_equal(bytes, LINES * (SIZE + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_belong_to_owners_and_expire, setup, teardown),
        cmocka_unit_test_setup_teardown(batches_are_listed_newest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_keeps_its_first_result, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_end_where_they_are_full, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
