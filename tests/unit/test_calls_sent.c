/* SPDX-License-Identifier: MIT
 * Which pictures heads have been given: what an instance has is left out for that instance alone, and what came first is forgotten
 * first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "calls/sent.h"

static char bytes[] = "aGVsbG8=";

static void left_out_where_it_is_known(void **state) {
    (void)state;
    struct sent *s = MEM_NEW(struct sent);
    struct request_media media[2] = {{.mark = "[media:a]", .data = bytes}, {.mark = "[media:b]", .data = bytes}};
    struct request r = {.media = media, .n_media = 2};
    uint32_t n_known = 7;
    struct request_media *slim = sent_slim(s, "one", &r, &n_known);
    assert_true(n_known == 0 && slim[0].data == bytes && slim[1].data == bytes);
    free(slim);
    sent_add(s, "one", "[media:b]");
    sent_add(s, "one", "[media:b]");
    assert_int_equal(s->n, 1);
    slim = sent_slim(s, "one", &r, &n_known);
    assert_true(n_known == 1 && slim[0].data == bytes && slim[1].data[0] == '\0');
    assert_string_equal(slim[1].mark, "[media:b]");
    free(slim);
    slim = sent_slim(s, "two", &r, &n_known);
    assert_true(n_known == 0 && slim[1].data == bytes);
    free(slim);
    free(s);
}

static void the_oldest_is_forgotten(void **state) {
    (void)state;
    struct sent *s = MEM_NEW(struct sent);
    struct request_media media[2] = {{.mark = "[media:0]", .data = bytes}, {.mark = "[media:1]", .data = bytes}};
    struct request r = {.media = media, .n_media = 2};
    uint32_t n_known = 0;
    for (unsigned i = 0; i <= SENT_MOST; i++) {
        char mark[REQUEST_MARK_SIZE];
        snprintf(mark, sizeof(mark), "[media:%u]", i);
        sent_add(s, "one", mark);
    }
    struct request_media *slim = sent_slim(s, "one", &r, &n_known);
    assert_true(n_known == 1 && slim[0].data == bytes && slim[1].data[0] == '\0');
    free(slim);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(left_out_where_it_is_known), cmocka_unit_test(the_oldest_is_forgotten)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
