/* SPDX-License-Identifier: MIT
 * Requests from within: a handler sees them as it sees those of clients, and answers at once, later, as a stream, or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/within.h"

struct seen {
    int answers, status, gone;
    char body[64], header[16];
    bool has_header;
};

static void on_answer(void *user, const struct http_within_answer *a) {
    struct seen *s = user;
    s->answers++;
    s->status = a->status;
    assert_true(a->body_len < sizeof(s->body));
    memcpy(s->body, a->body, a->body_len);
    s->body[a->body_len] = '\0';
    s->has_header = http_within_header(a, "retry-after", s->header, sizeof(s->header));
}

static void on_gone(void *user) { ((struct seen *)user)->gone++; }

static struct http_exchange *open_one(struct seen *s) {
    static const struct http_header headers[] = {{"X-One", "1"}};
    char body[] = "the body";
    struct http_exchange *x = http_within_open(
        &(struct http_within_request){
            .id = "r-1", .path = "/v1/x", .headers = headers, .n_headers = 1, .body = body, .body_len = 8, .behalf = "me"},
        on_answer, s);
    memset(body, 0, sizeof(body)); /* it was copied */
    return x;
}

static void a_handler_sees_a_request(void **state) {
    (void)state;
    struct seen s = {0};
    struct http_exchange *x = open_one(&s);
    const struct http_request *r = http_request(x);
    assert_string_equal(r->method, "POST");
    assert_string_equal(r->path, "/v1/x");
    assert_string_equal(r->behalf, "me");
    assert_string_equal(r->id, "r-1");
    assert_string_equal(r->body, "the body");
    assert_string_equal(http_request_header(r, "x-one"), "1");
    struct buf body = http_request_take_body(x);
    assert_int_equal(body.len, 8);
    buf_done(&body);
    http_exchange_drop_body(x);
    http_response_header(x, "X-Other", "o");
    http_response_header(x, "Retry-After", "17");
    http_respond(x, 503, "text/plain", "no", 2);
    assert_int_equal(s.answers, 1);
    assert_int_equal(s.status, 503);
    assert_string_equal(s.body, "no");
    assert_true(s.has_header);
    assert_string_equal(s.header, "17");
}

static void a_stream_is_collected(void **state) {
    (void)state;
    struct seen s = {0};
    struct http_exchange *x = open_one(&s);
    assert_false(http_stream_started(x));
    http_stream_start(x, 200, "text/event-stream");
    assert_true(http_stream_started(x));
    http_stream_write(x, "a", 1);
    http_stream_write(x, "b", 1);
    assert_int_equal(s.answers, 0);
    http_stream_end(x);
    assert_int_equal(s.status, 200);
    assert_string_equal(s.body, "ab");
    assert_false(s.has_header);
    x = open_one(&s);
    http_stream_start(x, 200, "text/event-stream");
    http_stream_abort(x);
    assert_int_equal(s.status, 502);
    assert_int_equal(s.answers, 2);
}

static void a_cancelled_request_is_gone(void **state) {
    (void)state;
    struct seen s = {0};
    struct http_exchange *x = open_one(&s);
    http_exchange_on_gone(x, on_gone, &s);
    http_within_cancel(x);
    assert_int_equal(s.gone, 1);
    assert_int_equal(s.answers, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_sees_a_request),
        cmocka_unit_test(a_stream_is_collected),
        cmocka_unit_test(a_cancelled_request_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
