/* SPDX-License-Identifier: MIT
 * The store's cached answers: bytes come back until they expire, also after the file was closed; the size stays below its limit, and the
 * least recently used answer goes first. The clock is the test's. */
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
#include "store/cache.h"

enum { ROW = 256, SIZE = 1000 }; /* what the store counts for a row besides its data; the data of the test's answers */

struct world {
    struct store *store;
    sem_t woken;
    char path[128];
    bool answered;
    err_code code;
    size_t len;
    uint8_t first;
    int64_t now;
};

static void on_wake(void *user) { sem_post(&((struct world *)user)->woken); }

static void reopen(struct world *w, uint64_t size) {
    struct err e = {0};
    store_close(w->store);
    w->store = NULL;
    const struct store_options o = {.path = w->path, .cache_size = size, .wake = on_wake, .user = w};
    if (store_open(&o, &w->store, &e) != ERR_OK) fail_msg("%s", e.text);
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof(*w));
    sem_init(&w->woken, 0, 0);
    snprintf(w->path, sizeof(w->path), "/tmp/caravan-store-XXXXXX");
    int fd = mkstemp(w->path);
    if (fd < 0) return 1;
    close(fd);
    w->now = clock_wall_s(); /* the store's own sweep looks at the real clock */
    *state = w;
    return 0;
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

static void key_of(unsigned number, uint8_t key[STORE_CACHE_KEY]) {
    memset(key, 0, STORE_CACHE_KEY);
    memcpy(key, &number, sizeof(number));
}

/* An answer of `len` bytes, each of them the number. */
static void put(struct world *w, unsigned number, size_t len, int64_t ttl) {
    uint8_t key[STORE_CACHE_KEY], data[4 * SIZE];
    assert_true(len <= sizeof(data));
    key_of(number, key);
    memset(data, (int)number, sizeof(data));
    store_cache_put(w->store, key, data, len, w->now, w->now + ttl);
}

static void on_answer(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct world *w = user;
    (void)e;
    w->answered = true;
    w->code = code;
    w->len = len;
    w->first = (uint8_t)text[0];
}

/* Is the answer there, whole? */
static bool has(struct world *w, unsigned number, size_t len) {
    uint8_t key[STORE_CACHE_KEY];
    key_of(number, key);
    store_cache_get(w->store, key, w->now, on_answer, w);
    w->answered = false;
    while (!w->answered) {
        sem_wait(&w->woken);
        store_deliver(w->store);
    }
    assert_true(w->code == ERR_OK || w->code == ERR_NOT_FOUND);
    if (w->code == ERR_OK) assert_true(w->len == len && w->first == (uint8_t)number);
    return w->code == ERR_OK;
}

static void what_is_put_comes_back(void **state) {
    struct world *w = *state;
    reopen(w, 1 << 20);
    put(w, 1, SIZE, 100);
    assert_true(has(w, 1, SIZE));
    assert_false(has(w, 2, SIZE));
    put(w, 1, SIZE / 2, 100); /* the later one counts */
    assert_true(has(w, 1, SIZE / 2));
    reopen(w, 1 << 20);
    assert_true(has(w, 1, SIZE / 2));
}

static void the_expired_is_not_given(void **state) {
    struct world *w = *state;
    reopen(w, 1 << 20);
    put(w, 1, SIZE, 100);
    w->now += 99;
    assert_true(has(w, 1, SIZE));
    w->now += 1;
    assert_false(has(w, 1, SIZE));
}

static void the_least_used_goes_first(void **state) {
    struct world *w = *state;
    reopen(w, 3 * (SIZE + ROW)); /* room for three */
    for (unsigned i = 1; i <= 3; i++) {
        put(w, i, SIZE, 100000);
        w->now += 100;
    }
    assert_true(has(w, 1, SIZE)); /* now 2 is the one that has not been used for longest */
    w->now += 100;
    put(w, 4, SIZE, 100000);
    assert_false(has(w, 2, SIZE));
    assert_true(has(w, 1, SIZE) && has(w, 3, SIZE) && has(w, 4, SIZE));
}

/* A replaced answer gives its room back, and the size that the file has is known when it is opened again. */
static void the_size_is_kept(void **state) {
    struct world *w = *state;
    reopen(w, 3 * (SIZE + ROW));
    for (unsigned i = 0; i < 5; i++) put(w, 1, SIZE, 1000);
    put(w, 2, SIZE, 1000);
    put(w, 3, SIZE, 1000);
    assert_true(has(w, 1, SIZE) && has(w, 2, SIZE) && has(w, 3, SIZE));
    reopen(w, 3 * (SIZE + ROW));
    w->now += 1;
    put(w, 4, SIZE, 1000);
    assert_int_equal(has(w, 1, SIZE) + has(w, 2, SIZE) + has(w, 3, SIZE) + has(w, 4, SIZE), 3);
    assert_true(has(w, 4, SIZE));
    put(w, 5, 4 * SIZE, 1000); /* it could never fit, and drives nothing out */
    assert_false(has(w, 5, 4 * SIZE));
    assert_true(has(w, 4, SIZE));
}

/* The sweep at the first ask after opening removes what has expired, and what it took counts no more. */
static void the_expired_gives_its_room_back(void **state) {
    struct world *w = *state;
    reopen(w, 2 * (SIZE + ROW));
    w->now -= 1000;
    put(w, 1, SIZE, 10);
    put(w, 2, SIZE, 10);
    w->now += 1000;
    reopen(w, 2 * (SIZE + ROW));
    put(w, 3, SIZE, 1000);
    put(w, 4, SIZE, 1000);
    assert_true(has(w, 3, SIZE) && has(w, 4, SIZE));
}

static void nothing_is_kept_without_room(void **state) {
    struct world *w = *state;
    reopen(w, 0);
    put(w, 1, 1, 1000);
    assert_false(has(w, 1, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_put_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_expired_is_not_given, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_used_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_size_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(the_expired_gives_its_room_back, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_kept_without_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
