/* SPDX-License-Identifier: MIT
 * Ranges of a download: thousands of random runs with several connections, cuts and restarts; every byte comes once, none is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/spans.h"
#include "http/web.h"

enum { FILE_SIZE = 5000, CONNECTIONS = 7 };

static void one_run(unsigned seed) {
    struct spans s;
    struct err e;
    uint8_t came[FILE_SIZE] = {0};
    int slots[CONNECTIONS];
    uint64_t at[CONNECTIONS];
    memset(slots, -1, sizeof(slots));
    spans_init(&s, FILE_SIZE);
    for (int turn = 0; spans_missing(&s) > 0; turn++) {
        assert_true(turn < 100000);
        int c = rand_r(&seed) % CONNECTIONS;
        unsigned what = (unsigned)rand_r(&seed) % 100;
        if (slots[c] < 0) {
            slots[c] = spans_take(&s, 1 + (uint64_t)(rand_r(&seed) % 40));
            if (slots[c] >= 0) at[c] = s.list[slots[c]].at;
        } else if (what < 6) { /* the connection is cut */
            spans_give_back(&s, slots[c]);
            slots[c] = -1;
        } else if (what < 8) { /* the process ends, and continues from its saved state */
            char text[SPANS_TEXT_MAX];
            spans_write(&s, text);
            uint64_t missing = spans_missing(&s);
            assert_int_equal(spans_read(&s, text, FILE_SIZE, &e), ERR_OK);
            assert_int_equal(spans_missing(&s), missing);
            memset(slots, -1, sizeof(slots));
        } else {
            uint64_t len = 1 + (uint64_t)(rand_r(&seed) % 90), wanted = spans_advance(&s, slots[c], len);
            for (uint64_t i = 0; i < wanted; i++) came[at[c] + i]++;
            at[c] += wanted;
            if (s.list[slots[c]].at == s.list[slots[c]].end) {
                spans_give_back(&s, slots[c]);
                slots[c] = -1;
            }
        }
    }
    for (size_t i = 0; i < FILE_SIZE; i++)
        if (came[i] != 1) fail_msg("byte %zu came %d times (seed %u)", i, came[i], seed);
}

static void test_every_byte_once(void **state) {
    (void)state;
    for (unsigned seed = 1; seed <= 2000; seed++) one_run(seed);
}

static void test_halves(void **state) {
    (void)state;
    struct spans s;
    spans_init(&s, 1000);
    int a = spans_take(&s, 100), b = spans_take(&s, 100), c = spans_take(&s, 100);
    assert_int_equal(s.list[a].end - s.list[a].at, 250); /* the third halved the first again: the lowest of the longest */
    assert_int_equal(s.list[b].at, 500);
    assert_int_equal(s.list[c].at, 250);
    spans_init(&s, 199);
    assert_int_equal(spans_take(&s, 100), 0);
    assert_int_equal(spans_take(&s, 100), -1); /* too short to be shared */
    spans_init(&s, 0);
    assert_int_equal(spans_take(&s, 1), -1);
}

static void test_reading_refuses(void **state) {
    (void)state;
    static const char *const bad[] = {"5",   "5-",  "-5", "0-5,", "0-5;6-7", "5-5", "9-5", "0-5,4-8", "0-1001", "0-99999999999999999999999",
                                      "a-b", "0-5x"};
    struct spans s, before;
    struct err e;
    spans_init(&s, 77);
    before = s;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (spans_read(&s, bad[i], 1000, &e) != ERR_FORMAT) fail_msg("\"%s\" was accepted", bad[i]);
        assert_memory_equal(&s, &before, sizeof(s));
    }
    assert_int_equal(spans_read(&s, "", 1000, &e), ERR_OK);
    assert_int_equal(spans_missing(&s), 0);
    assert_int_equal(spans_read(&s, "0-5,5-8,900-1000", 1000, &e), ERR_OK);
    assert_int_equal(spans_missing(&s), 108);
}

static void test_retry(void **state) {
    (void)state;
    assert_int_equal(web_retry(1, 503, 0), 1);
    assert_int_equal(web_retry(3, 0, 0), 4);
    assert_int_equal(web_retry(1, 429, 17), 17);
    assert_int_equal(web_retry(1, 429, 4000), -1); /* an hour's wait needs the user's consent */
    assert_int_equal(web_retry(1, 404, 0), -1);
    assert_int_equal(web_retry(1, 401, 5), -1);
    assert_int_equal(web_retry(WEB_MAX_TRIES, 503, 0), -1);
}

static void test_link(void **state) {
    (void)state;
    char next[WEB_MAX_URL];
    assert_true(web_link_next("<https://x/a?b=1,2>; rel=\"prev\", <https://x/c>; rel=\"next\"", next));
    assert_string_equal(next, "https://x/c");
    assert_true(web_link_next("<https://x/c>; rel=next", next));
    assert_false(web_link_next("<https://x/c>; rel=\"last\"", next));
    assert_false(web_link_next("<https://x/c", next));
    assert_false(web_link_next("", next));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_once), cmocka_unit_test(test_halves), cmocka_unit_test(test_reading_refuses),
        cmocka_unit_test(test_retry),           cmocka_unit_test(test_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
