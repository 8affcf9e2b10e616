/* SPDX-License-Identifier: MIT
 * The bodies that a gateway keeps for its owner: nothing unless wanted, bounded, no keys, whole characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/gateway.h"
#include "requests/capture.h"
#include "requests/requests_priv.h"

static struct requests requests;
static struct gateway gateway = {.requests = &requests};

static struct capture *begin(const char *id, const char *body, size_t len, const char *secret) {
    struct http_request r = {.body = body, .body_len = len};
    return capture_begin(requests.captures, id, &r, secret);
}

/* What is kept under the id, as JSON; the caller frees it. NULL: nothing. */
static char *kept(const char *id) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *v = capture_value(&gateway, id, doc);
    char *text = v != NULL ? yyjson_mut_val_write(v, 0, NULL) : NULL;
    assert_int_equal(v != NULL, capture_has(requests.captures, id));
    assert_true(v == NULL || text != NULL);
    yyjson_mut_doc_free(doc);
    return text;
}

static void expect(const char *id, const char *json) {
    char *text = kept(id);
    if (text == NULL || strcmp(text, json) != 0) fail_msg("%s: %s instead of %s", id, text ? text : "nothing", json);
    free(text);
}

static void nothing_unless_it_is_wanted(void **state) {
    (void)state;
    requests.captures = capture_create(0);
    assert_null(requests.captures);
    assert_null(begin("a", "{}", 2, NULL));
    capture_answer(requests.captures, NULL, "x", 1);
    capture_end(NULL, "");
    assert_null(kept("a"));
    capture_free(NULL);
}

static void bodies_while_it_runs_and_afterwards(void **state) {
    (void)state;
    requests.captures = capture_create(1000);
    struct capture *c = begin("a", "{\"key\":\"sk-secret-1\",\"twice\":\"sk-secret-1\"}", 43, "sk-secret-1");
    capture_answer(requests.captures, c, "one ", 4);
    expect("a", "{\"id\":\"a\",\"request\":{\"text\":\"{\\\"key\\\":\\\"***********\\\",\\\"twice\\\":\\\"***********\\\"}\",\"bytes\":43,"
                "\"cut\":false},"
                "\"answer\":{\"text\":\"one \",\"bytes\":4,\"cut\":false},\"error\":\"\",\"ended\":false}");
    capture_answer(requests.captures, c, "two \xc3", 5); /* the rest of the character never comes */
    capture_end(c, "it broke");
    expect("a", "{\"id\":\"a\",\"request\":{\"text\":\"{\\\"key\\\":\\\"***********\\\",\\\"twice\\\":\\\"***********\\\"}\",\"bytes\":43,"
                "\"cut\":false},"
                "\"answer\":{\"text\":\"one two \",\"bytes\":9,\"cut\":true},\"error\":\"it broke\",\"ended\":true}");
    capture_end(begin("b", "\xff\xfe no text", 10, "no"), "");
    expect("b", "{\"id\":\"b\",\"request\":{\"text\":\"\",\"bytes\":10,\"cut\":true},"
                "\"answer\":{\"text\":\"\",\"bytes\":0,\"cut\":false},\"error\":\"\",\"ended\":true}");
    assert_null(kept("c"));
    capture_free(requests.captures);
}

static void the_oldest_go(void **state) {
    (void)state;
    char id[16];
    requests.captures = capture_create(100);
    struct capture *runs = begin("runs", "0123456789", 10, NULL);
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "%d", i);
        capture_end(begin(id, "0123456789", 10, NULL), "");
    }
    for (int i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "%d", i);
        assert_int_equal(capture_has(requests.captures, id), i >= 21);
    }
    assert_true(capture_has(requests.captures, "runs"));
    char answer[80];
    memset(answer, 'x', sizeof(answer));
    capture_answer(requests.captures, runs, answer, sizeof(answer)); /* of the others one may stay */
    assert_true(!capture_has(requests.captures, "28") && capture_has(requests.captures, "29"));
    assert_null(begin("large", answer, sizeof(answer), NULL)); /* what runs keeps its room */
    capture_answer(requests.captures, runs, answer, sizeof(answer));
    capture_answer(requests.captures, runs, "end", 3);
    char *text = kept("runs");
    assert_non_null(strstr(text, "\"bytes\":163,\"cut\":true"));
    assert_null(strstr(text, "xend"));
    free(text);
    capture_free(requests.captures);
}

static void long_bodies_are_cut_and_there_are_not_too_many(void **state) {
    (void)state;
    size_t len = 300 * 1024;
    char *body = mem_alloc(len), id[16];
    memset(body, 'x', len);
    requests.captures = capture_create(64 << 20);
    capture_end(begin("long", body, len, NULL), "");
    char *text = kept("long");
    assert_non_null(strstr(text, "\"bytes\":307200,\"cut\":true"));
    assert_true(strlen(text) > 256 * 1024 && strlen(text) < 257 * 1024);
    free(text);
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "%d", i);
        capture_end(begin(id, "{}", 2, NULL), "");
    }
    assert_true(!capture_has(requests.captures, "long") && capture_has(requests.captures, "0"));
    free(body);
    capture_free(requests.captures);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_unless_it_is_wanted), cmocka_unit_test(bodies_while_it_runs_and_afterwards),
                                       cmocka_unit_test(the_oldest_go), cmocka_unit_test(long_bodies_are_cut_and_there_are_not_too_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
