/* SPDX-License-Identifier: MIT
 * The store's responses: they come back in order, also after the file was closed; chains; retention; files that the store did not make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/store.h"

struct world {
    struct store *store;
    sem_t woken;
    char path[128];
    bool answered;
    err_code code;
    char text[1024];
};

static void on_wake(void *user) { sem_post(&((struct world *)user)->woken); }

static err_code reopen(struct world *w, int64_t retention, struct err *e) {
    store_close(w->store);
    w->store = NULL;
    return store_open(&(struct store_options){.path = w->path, .retention_s = retention, .wake = on_wake, .user = w}, &w->store, e);
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    struct err e = {0};
    sem_init(&w->woken, 0, 0);
    snprintf(w->path, sizeof(w->path), "/tmp/caravan-store-XXXXXX");
    int fd = mkstemp(w->path);
    if (fd < 0) return 1;
    close(fd);
    *state = w;
    return reopen(w, 0, &e) != ERR_OK;
}

static int teardown(void **state) {
    struct world *w = *state;
    char side[160];
    store_close(w->store);
    unlink(w->path);
    snprintf(side, sizeof(side), "%s-wal", w->path);
    unlink(side);
    snprintf(side, sizeof(side), "%s-shm", w->path);
    unlink(side);
    sem_destroy(&w->woken);
    free(w);
    return 0;
}

static void on_answer(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct world *w = user;
    (void)e;
    w->answered = true;
    w->code = code;
    assert_true(len < sizeof(w->text));
    memcpy(w->text, text, len + 1);
}

static void await(struct world *w) {
    w->answered = false;
    while (!w->answered) {
        sem_wait(&w->woken);
        store_deliver(w->store);
    }
}

static void put(struct world *w, const char *id, const char *previous, int64_t created) {
    char input[64], response[64];
    snprintf(input, sizeof(input), "[\"%s in\"]", id);
    snprintf(response, sizeof(response), "{\"id\":\"%s\"}", id);
    store_response_put(
        w->store,
        &(struct store_response){.owner = "", .id = id, .previous = previous, .created = created, .input = input, .response = response});
}

static void what_is_put_comes_back(void **state) {
    struct world *w = *state;
    struct err e = {0};
    put(w, "a", NULL, 5);
    store_response_get(w->store, "", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_OK);
    assert_string_equal(w->text, "{\"id\":\"a\"}");
    assert_int_equal(reopen(w, 0, &e), ERR_OK);
    store_response_input(w->store, "", "a", on_answer, w);
    await(w);
    assert_string_equal(w->text, "[\"a in\"]");
    store_response_get(w->store, "", "b", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
    store_response_drop(w->store, "", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_OK);
    store_response_drop(w->store, "", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
}

static void chains_are_oldest_first(void **state) {
    struct world *w = *state;
    put(w, "a", NULL, 5);
    put(w, "b", "a", 6);
    put(w, "c", "b", 7);
    put(w, "x", "a", 7);
    store_response_chain(w->store, "", "c", on_answer, w);
    await(w);
    assert_string_equal(w->text, "[[[\"a in\"],{\"id\":\"a\"}],[[\"b in\"],{\"id\":\"b\"}],[[\"c in\"],{\"id\":\"c\"}]]");
    store_response_chain(w->store, "", "nix", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
}

static void nobody_sees_what_is_anothers(void **state) {
    struct world *w = *state;
    store_response_put(w->store, &(struct store_response){.owner = "x", .id = "a", .created = 5, .input = "[]", .response = "{}"});
    store_response_put(w->store,
                       &(struct store_response){.owner = "y", .id = "b", .previous = "a", .created = 6, .input = "[]", .response = "{}"});
    store_response_get(w->store, "y", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
    store_response_drop(w->store, "", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
    store_response_chain(w->store, "y", "b", on_answer, w);
    await(w);
    assert_string_equal(w->text, "[[[],{}]]"); /* nothing of the earlier conversation */
    store_response_get(w->store, "x", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_OK);
}

static void the_old_goes(void **state) {
    struct world *w = *state;
    struct err e = {0};
    put(w, "old", NULL, clock_wall_s() - 100);
    put(w, "new", NULL, clock_wall_s() - 10);
    assert_int_equal(reopen(w, 50, &e), ERR_OK);
    store_response_get(w->store, "", "old", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
    store_response_get(w->store, "", "new", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_OK);
}

static void cancelled_asks_stay_silent(void **state) {
    struct world *w = *state;
    put(w, "a", NULL, 5);
    struct store_ask *ask = store_response_drop(w->store, "", "a", on_answer, NULL); /* its answer would crash */
    store_cancel(ask);
    store_response_get(w->store, "", "a", on_answer, w);
    await(w);
    assert_int_equal(w->code, ERR_NOT_FOUND);
}

static void foreign_files_are_refused(void **state) {
    struct world *w = *state;
    struct err e = {0};
    store_close(w->store);
    w->store = NULL;
    FILE *f = fopen(w->path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) fputs("no database ", f);
    fclose(f);
    assert_int_equal(reopen(w, 0, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, w->path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(chains_are_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_sees_what_is_anothers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_old_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_asks_stay_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
