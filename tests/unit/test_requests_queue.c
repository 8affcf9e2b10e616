/* SPDX-License-Identifier: MIT
 * Calls that wait for a place at their model, with a scripted backend: their order, the bound, and what happens when one of them goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "requests/call_queue.h"
#include "support/call_fixture.h"

enum { CLIENTS = 8 };

struct clients {
    struct fixture *f;
    int fds[CLIENTS]; /* of requests that were sent earlier */
    size_t n;
};

/* Sends a request, and leaves the earlier ones open. */
static void ask_more(struct clients *c, const char *headers, const char *text) {
    char body[200];
    assert_true(c->n < CLIENTS);
    if (c->f->fd >= 0) c->fds[c->n++] = c->f->fd;
    c->f->fd = -1;
    c->f->headers = headers;
    snprintf(body, sizeof(body), "{\"prompt\":\"%s\",\"max_tokens\":5}", text);
    ask(c->f, &api_openai_completions, body);
}

/* The same for vectors of these texts. */
static void ask_texts(struct clients *c, const char *headers, const char *texts) {
    char body[200];
    assert_true(c->n < CLIENTS);
    if (c->f->fd >= 0) c->fds[c->n++] = c->f->fd;
    c->f->fd = -1;
    c->f->headers = headers;
    snprintf(body, sizeof(body), "{\"input\":%s}", texts);
    ask(c->f, &api_openai_embeddings, body);
}

static void send_vector(struct backend_call *c, uint64_t prefill_us) {
    static const uint8_t one[4] = {0, 0, 0x80, 0x3f};
    struct request_event ev = {.kind = REQUEST_VECTOR, .n_vector = 1, .vector = one};
    send_event(c, &ev);
    ev = (struct request_event){.kind = REQUEST_DONE, .prompt_tokens = 3, .prefill_us = prefill_us};
    send_event(c, &ev);
}

static size_t queued(struct fixture *f) {
    size_t n = 0;
    for (const struct call *call = f->g.requests->calls; call != NULL; call = call->next) n += call->state == CALL_QUEUING;
    return n;
}
static bool one_waits(struct fixture *f) { return queued(f) == 1; }
static bool two_wait(struct fixture *f) { return queued(f) == 2; }
static bool three_wait(struct fixture *f) { return queued(f) == 3; }
static bool is_refused(struct fixture *f) { return status_of(f) != 0; }

/* The prompt of the request that was submitted last, and that there are this many. */
static void expect_submitted(struct fixture *f, size_t n, const char *text) {
    assert_int_equal(f->n_calls, n);
    assert_string_equal(last_asked(f, ASKED_SUBMIT)->text, text);
}

static struct clients open_clients(uint32_t places, uint32_t bound) {
    struct clients c = {.f = fixture_open()};
    c.f->model.places = places;
    c.f->model.queue = bound;
    return c;
}

static void close_all(struct clients *c) {
    for (size_t i = 0; i < c->n; i++) close(c->fds[i]);
    fixture_close(c->f);
}

static bool done_waiting(struct fixture *f) { return f->g.requests->n_calls == 0; }
static size_t n_before;
static bool one_more_runs(struct fixture *f) { return f->n_calls > n_before; }

/* Ends what runs; the next one runs then. */
static void finish(struct fixture *f) {
    n_before = f->n_calls;
    send_done(last_asked(f, ASKED_SUBMIT));
    run_until(f, queued(f) > 0 ? one_more_runs : done_waiting);
}

static void priority_goes_first(void **state) {
    (void)state;
    struct clients c = open_clients(1, 8);
    struct fixture *f = c.f;
    ask_more(&c, NULL, "a");
    run_until(f, is_running);
    ask_more(&c, NULL, "b");
    run_until(f, one_waits);
    ask_more(&c, "x-caravan-priority: -5\r\n", "c");
    run_until(f, two_wait);
    ask_more(&c, "x-caravan-priority: 5\r\n", "d");
    run_until(f, three_wait);
    expect_submitted(f, 1, "a");
    finish(f);
    expect_submitted(f, 2, "d");
    finish(f);
    expect_submitted(f, 3, "b");
    finish(f);
    expect_submitted(f, 4, "c");
    finish(f);
    assert_int_equal(f->g.metrics.values[METRIC_FINISHED].count, 4);
    close_all(&c);
}

/* A key that was made with this; the header that carries its secret. */
static char *add_key(struct fixture *f, const char *wish, const char *more) {
    char secret[LEDGER_SECRET_SIZE];
    struct ledger_key key;
    struct err e = {0};
    yyjson_doc *doc = json_read(wish, strlen(wish));
    assert_int_equal(ledger_key_make(yyjson_doc_get_root(doc), clock_wall_s(), secret, &key, &e), ERR_OK);
    gateway_keys_add(&f->g.keys, &key);
    yyjson_doc_free(doc);
    return mem_printf("Authorization: Bearer %s\r\n%s", secret, more);
}

/* A key's clients may ask for less than its priority, and not for more. */
static void keys_have_their_priority(void **state) {
    (void)state;
    struct clients c = open_clients(1, 8);
    struct fixture *f = c.f;
    char *high = add_key(f, "{\"name\":\"high\",\"priority\":9}", "");
    char *low = add_key(f, "{\"name\":\"low\",\"priority\":-9}", "x-caravan-priority: 50\r\n");
    char *modest = add_key(f, "{\"name\":\"modest\",\"priority\":9}", "x-caravan-priority: 3\r\n");
    ask_more(&c, high, "a");
    run_until(f, is_running);
    ask_more(&c, low, "b");
    run_until(f, one_waits);
    ask_more(&c, modest, "c");
    run_until(f, two_wait);
    ask_more(&c, high, "d");
    run_until(f, three_wait);
    finish(f);
    expect_submitted(f, 2, "d");
    finish(f);
    expect_submitted(f, 3, "c");
    finish(f);
    expect_submitted(f, 4, "b");
    finish(f);
    close_all(&c);
    free(high);
    free(low);
    free(modest);
}

static void headers_are_checked(void **state) {
    (void)state;
    static const char *const wrong[] = {"x-caravan-priority: high\r\n", "x-caravan-priority: 101\r\n", "x-caravan-cloud: no\r\n",
                                        "x-caravan-on-absent: fail\r\n", "x-caravan-cache: never\r\n"};
    struct clients c = open_clients(1, 8);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char name[40];
        snprintf(name, sizeof(name), "%.*s: expected", (int)strcspn(wrong[i], ":"), wrong[i]);
        ask_more(&c, wrong[i], "a");
        run_until(c.f, is_refused);
        if (status_of(c.f) != 400 || strstr(buf_cstr(&c.f->in), name) == NULL) fail_msg("%s: %s", wrong[i], buf_cstr(&c.f->in));
    }
    close_all(&c);
}

static void a_full_queue_answers_429_with_a_time(void **state) {
    (void)state;
    struct clients c = open_clients(1, 1);
    struct fixture *f = c.f;
    struct request_event slow = {.kind = REQUEST_DONE,
                                 .finish = REQUEST_FINISH_STOP,
                                 .prompt_tokens = 3,
                                 .completion_tokens = 5,
                                 .prefill_us = 1000000,
                                 .decode_us = 49000000};
    ask_more(&c, NULL, "a"); /* shows the pace: fifty seconds */
    run_until(f, is_running);
    send_event(last_asked(f, ASKED_SUBMIT), &slow);
    run_until(f, done_waiting);
    ask_more(&c, NULL, "b");
    run_until(f, is_running);
    ask_more(&c, NULL, "c");
    run_until(f, one_waits);
    ask_more(&c, NULL, "d");
    run_until(f, is_refused);
    assert_int_equal(status_of(f), 429);
    const char *retry = strstr(buf_cstr(&f->in), "Retry-After: ");
    assert_non_null(retry);
    assert_int_in_range(strtol(retry + 13, NULL, 10), 40, 50);
    assert_non_null(strstr(buf_cstr(&f->in), "1 requests run and 1 wait already"));
    finish(f);
    expect_submitted(f, 3, "c");
    finish(f);
    close_all(&c);
}

/* A client that goes gives its turn, or its place, to the next one. */
static void clients_that_go_give_way(void **state) {
    (void)state;
    struct clients c = open_clients(1, 8);
    struct fixture *f = c.f;
    ask_more(&c, NULL, "a");
    run_until(f, is_running);
    ask_more(&c, NULL, "b");
    run_until(f, one_waits);
    ask_more(&c, NULL, "c");
    run_until(f, two_wait);
    close(c.fds[1]); /* b */
    c.fds[1] = dup(f->fd);
    run_until(f, one_waits);
    n_before = f->n_calls;
    close(c.fds[0]); /* a */
    c.fds[0] = dup(f->fd);
    run_until(f, one_more_runs);
    assert_string_equal(f->calls[1].text, "c");
    assert_true(f->calls[0].cancelled);
    finish(f);
    close_all(&c);
}

/* The queue is looked through not only when a call ends. A model that is gone keeps nobody in its queue. */
static void places_come_and_go(void **state) {
    (void)state;
    struct clients c = open_clients(1, 8);
    struct fixture *f = c.f;
    ask_more(&c, NULL, "a");
    run_until(f, is_running);
    ask_more(&c, NULL, "b");
    run_until(f, one_waits);
    n_before = f->n_calls;
    f->model.places = 2;
    requests_look(&f->g);
    run_until(f, one_more_runs);
    ask_more(&c, NULL, "c");
    run_until(f, one_waits);
    n_before = f->n_calls;
    f->model.ready = false;
    requests_look(&f->g);
    run_until(f, one_more_runs);
    for (size_t i = 0; i < 3; i++) send_done(&f->calls[i]);
    run_until(f, done_waiting);
    close_all(&c);
}

/* Requests of other nodes meet these at the head: it is told whose they are, and how urgent. */
static void the_head_is_told_the_rank(void **state) {
    (void)state;
    struct clients c = open_clients(4, 8);
    struct fixture *f = c.f;
    char *key = add_key(f, "{\"name\":\"one\",\"priority\":9}", "x-caravan-priority: 3\r\n");
    ask_more(&c, "x-caravan-priority: -5\r\n", "a");
    run_until(f, is_running);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->priority, -5);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->key, 0);
    n_before = f->n_calls;
    ask_more(&c, key, "b");
    run_until(f, one_more_runs);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->priority, 3);
    uint64_t whose = last_asked(f, ASKED_SUBMIT)->key;
    assert_int_not_equal(whose, 0);
    n_before = f->n_calls;
    ask_texts(&c, key, "[\"c\"]");
    run_until(f, one_more_runs);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->priority, 3);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->key, whose);
    for (size_t i = 0; i < 2; i++) send_done(&f->calls[i]);
    send_vector(&f->calls[2], 100);
    run_until(f, done_waiting);
    close_all(&c);
    free(key);
}

/* Texts that become vectors take places, wait for them, and show the pace; so the node can tell how much work waits. */
static void vectors_wait_for_places_too(void **state) {
    (void)state;
    struct clients c = open_clients(2, 8);
    struct fixture *f = c.f;
    struct requests_queue q;
    ask_texts(&c, NULL, "[\"a\"]"); /* shows the pace: a second for a token */
    run_until(f, is_running);
    send_vector(last_asked(f, ASKED_SUBMIT), 3000000);
    run_until(f, done_waiting);
    ask_texts(&c, NULL, "[\"b\",\"c\",\"d\"]");
    run_until(f, is_running);
    assert_false(requests_get_queue(&f->g, 0, &q));
    ask_texts(&c, NULL, "[\"12345678\",\"12345678\"]");
    run_until(f, one_waits);
    assert_true(requests_get_queue(&f->g, 0, &q));
    assert_int_equal(q.calls, 1);
    assert_uint_in_range(q.work, 6000000,
                         9000000); /* three tokens of each that waits, and what is left of those that run: at most one of each */
    assert_int_equal(f->n_calls, 4);
    for (size_t i = 1; i < 4; i++) send_vector(&f->calls[i], 3000000);
    n_before = 4;
    run_until(f, one_more_runs);
    assert_int_equal(f->n_calls, 6);
    for (size_t i = 4; i < 6; i++) send_vector(&f->calls[i], 3000000);
    run_until(f, done_waiting);
    assert_int_equal(f->g.metrics.values[METRIC_FINISHED].count, 3);
    close_all(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_goes_first),       cmocka_unit_test(keys_have_their_priority),
        cmocka_unit_test(headers_are_checked),       cmocka_unit_test(a_full_queue_answers_429_with_a_time),
        cmocka_unit_test(clients_that_go_give_way),  cmocka_unit_test(places_come_and_go),
        cmocka_unit_test(the_head_is_told_the_rank), cmocka_unit_test(vectors_wait_for_places_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
