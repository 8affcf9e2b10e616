/* SPDX-License-Identifier: MIT
 * Requests that run through a node: each is answered once, under the id that its asker knows, by the place that it was sent to; and when
 * that place is lost, its asker is told. Heads are real processes, the other node is at the other end of a real link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "members/ask.h"
#include "support/node_fixture.h"

static const char *program;

/* The sender of a request. */
struct asker {
    unsigned n_events, n_texts; /* events, and answers of other kinds, that have come */
    enum request_event_kind kind;
    struct err err;
    err_code code;
    size_t n_tokens;
    int32_t first_token;
};

static void on_event(void *user, const struct request_event *ev) {
    struct asker *a = user;
    a->n_events++;
    a->kind = ev->kind;
    a->err = ev->err;
}

static void on_text(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct asker *a = user;
    a->n_texts++;
    a->code = code;
    a->err = *e;
    a->n_tokens = text ? text->n : 0;
    a->first_token = text && text->n ? text->tokens[0] : -1;
}

static struct backend_call *submit(struct bench *b, const char *text, struct asker *a) {
    struct backend port = calls_backend(b->calls);
    struct backend_call *call = NULL;
    struct request r;
    struct err e = {0};
    request_init(&r);
    r.model = mem_strdup("m");
    r.text = mem_strdup(text);
    r.text_len = strlen(text);
    a->code = port.submit(port.self, &r, on_event, a, &call, &e);
    a->err = e;
    request_done(&r);
    return call;
}

static void cancel(struct bench *b, struct backend_call *call) {
    struct backend port = calls_backend(b->calls);
    port.cancel(port.self, call);
}

static uint64_t id_of(const struct bench_frame *f) {
    struct request r;
    request_init(&r);
    assert_int_equal(request_decode(f->payload, f->len, &r, NULL), ERR_OK);
    uint64_t id = r.id;
    request_done(&r);
    return id;
}

/* A DONE for this id comes from a node. */
static err_code done_from(struct bench *b, uint64_t node, uint64_t id) {
    const struct request_event ev = {.id = id, .kind = REQUEST_DONE, .finish = REQUEST_FINISH_STOP};
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 16);
    request_event_encode(&ev, &out);
    err_code code = calls_on_event(b->calls, NULL, node, out.data, out.len, &e);
    buf_done(&out);
    return code;
}

static void submit_from_other(struct bench *b, const char *instance, uint64_t id, const char *text) {
    struct request r;
    struct buf out;
    struct err e = {0};
    request_init(&r);
    r.id = id;
    r.model = mem_strdup(instance);
    r.text = mem_strdup(text);
    r.text_len = strlen(text);
    buf_init(&out, 1 << 16);
    request_encode(&r, &out);
    assert_int_equal(calls_on_submit(b->calls, bench_other(b), out.data, out.len, &e), ERR_OK);
    buf_done(&out);
    request_done(&r);
}

static struct request_event *hear_event(struct bench *b) {
    const struct bench_frame *f = bench_hear(b, FRAME_EVENT);
    struct request_event *ev = MEM_NEW(struct request_event);
    assert_int_equal(request_event_decode(f->payload, f->len, ev, NULL), ERR_OK);
    return ev;
}

/* ---- tests ---- */

static void an_answer_comes_once_and_from_its_place(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker first = {0}, second = {0};
    bench_other_serves(b, "far", bench_other(b), true);
    struct backend_call *call = submit(b, "one", &first);
    uint64_t id = id_of(bench_hear(b, FRAME_SUBMIT));
    cancel(b, call);
    struct request_cancel cancelled = {0};
    const struct bench_frame *f = bench_hear(b, FRAME_CANCEL);
    assert_int_equal(field_decode(request_cancel_fields(), f->payload, f->len, &cancelled, NULL), ERR_OK);
    assert_int_equal(cancelled.id, id);
    assert_int_equal(calls_count(b->calls), 0);
    submit(b, "two", &second);
    uint64_t next = id_of(bench_hear(b, FRAME_SUBMIT));
    assert_int_not_equal(next, id);                                    /* though it has the same place in the table */
    assert_int_equal(done_from(b, bench_other(b), id), ERR_OK);        /* too late */
    assert_int_equal(done_from(b, bench_other(b) + 1, next), ERR_OK);  /* not the node that was asked */
    assert_int_equal(second.n_events, 0);
    assert_int_equal(done_from(b, bench_other(b), next), ERR_OK);
    assert_int_equal(done_from(b, bench_other(b), next), ERR_OK);
    assert_int_equal(second.n_events, 1);
    assert_int_equal(second.kind, REQUEST_DONE);
    assert_int_equal(first.n_events, 0);
    assert_int_equal(calls_count(b->calls), 0);
    bench_free(b);
}

static void a_head_here_answers(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0}, t = {0};
    bench_head(b, "near", 1);
    submit(b, "go", &a);
    assert_int_equal(calls_on_instance(b->calls, "near"), 1);
    assert_int_equal(balance_work(b->balance, "near").calls, 1);
    bench_until(b, &a.n_events, 1);
    assert_int_equal(a.kind, REQUEST_DONE);
    assert_int_equal(balance_work(b->balance, "near").calls, 0);
    assert_true(balance_work(b->balance, "near").used > 0);
    struct backend port = calls_backend(b->calls);
    struct backend_call *call;
    assert_int_equal(port.tokenize(port.self, "m", "abc", 3, true, false, on_text, &t, &call, NULL), ERR_OK);
    assert_int_equal(t.n_texts, 0); /* never from inside */
    bench_until(b, &t.n_texts, 1);
    assert_int_equal(t.n_tokens, 3);
    assert_int_equal(t.first_token, 'a');
    bench_free(b);
}

static void a_model_that_cannot_be_asked_says_why(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0};
    submit(b, "x", &a);
    assert_int_equal(a.code, ERR_NOT_FOUND);
    snprintf(bench_other_serves(b, "far", bench_other(b), false)->message, 64, "no node has room");
    submit(b, "x", &a);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(a.err.text, "no node has room"));
    bench_other_serves(b, "far", 999, true); /* its head is on a node without a link to here */
    submit(b, "x", &a);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(a.err.text, "cannot be reached"));
    bench_other_serves(b, "near", bench_self(b), true); /* it has just ended */
    submit(b, "x", &a);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    assert_int_equal(calls_count(b->calls), 0);
    bench_free(b);
}

static void a_queue_has_an_end(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0};
    bench_other_serves(b, "far", bench_other(b), true);
    for (int i = 0; i < 5; i++) submit(b, "x", &a); /* it answers one, and four may wait */
    assert_int_equal(a.code, ERR_OK);
    submit(b, "x", &a);
    assert_int_equal(a.code, ERR_BUSY);
    assert_int_equal(calls_count(b->calls), 5);
    bench_free(b);
}

static void a_head_that_is_lost_loses_its_requests(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker quiet = {0}, crash = {0}, elsewhere = {0};
    bench_head(b, "near", 1);
    submit_from_other(b, "near", 42, "quiet");
    submit(b, "quiet", &quiet);
    submit(b, "crash", &crash);
    bench_until(b, &crash.n_events, 1);
    assert_int_equal(crash.kind, REQUEST_FAILED);
    assert_int_equal(crash.err.code, ERR_UNAVAILABLE); /* so it may be sent elsewhere */
    assert_int_equal(quiet.n_events, 1);
    assert_int_equal(quiet.err.code, ERR_UNAVAILABLE);
    struct request_event *ev = hear_event(b); /* the other node's request too, under its own id */
    assert_int_equal(ev->id, 42);
    assert_int_equal(ev->kind, REQUEST_FAILED);
    assert_int_equal(ev->err.code, ERR_UNAVAILABLE);
    free(ev);
    assert_int_equal(calls_count(b->calls), 0);
    bench_other_serves(b, "far", bench_other(b), true);
    submit(b, "x", &elsewhere);
    assert_int_equal(elsewhere.code, ERR_OK);
    bench_free(b);
}

static void a_node_that_is_lost_answers_and_asks_no_more(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker far = {0};
    struct err why;
    bench_other_serves(b, "far", bench_other(b), true);
    submit(b, "x", &far);
    bench_head(b, "near", 1);
    submit_from_other(b, "near", 42, "quiet");
    assert_int_equal(calls_count(b->calls), 2);
    err_set(&why, ERR_CLOSED, "the cable was cut");
    calls_node_lost(b->calls, bench_other(b), &why);
    assert_int_equal(far.n_events, 1);
    assert_int_equal(far.err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(far.err.text, "the cable was cut"));
    assert_int_equal(calls_count(b->calls), 0);
    bench_until(b, &b->n_exits, 1); /* the head has got CANCEL; this fixture's head then ends */
    assert_non_null(strstr(b->exit_why.text, "status 7"));
    bench_free(b);
}

static void another_nodes_request_is_answered_under_its_id(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    bench_head(b, "near", 1);
    submit_from_other(b, "near", 77, "go");
    struct request_event *ev = hear_event(b);
    assert_int_equal(ev->id, 77);
    assert_int_equal(ev->kind, REQUEST_DONE);
    free(ev);
    submit_from_other(b, "gone", 78, "go");
    ev = hear_event(b);
    assert_int_equal(ev->id, 78);
    assert_int_equal(ev->kind, REQUEST_FAILED);
    assert_int_equal(ev->err.code, ERR_UNAVAILABLE);
    free(ev);
    struct tokenize_ask ask = {.id = 79, .text = "hello", .text_len = 5, .name = "near", .name_len = 4};
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 16);
    tokenize_ask_encode(&ask, &out);
    assert_int_equal(calls_on_tokenize(b->calls, bench_other(b), out.data, out.len, &e), ERR_OK);
    buf_done(&out);
    const struct bench_frame *f = bench_hear(b, FRAME_TOKENIZED);
    uint64_t id;
    int32_t *tokens;
    size_t n;
    assert_int_equal(tokenize_answer_peek(f->payload, f->len, &id, &e), ERR_OK);
    assert_int_equal(tokenize_tokens_decode(f->payload, f->len, &tokens, &n, &e), ERR_OK);
    assert_true(id == 79 && n == 5 && tokens[0] == 'h');
    free(tokens);
    uint8_t bad[4] = {0};
    assert_int_equal(calls_on_cancel(b->calls, bench_other(b), bad, sizeof(bad), &e), ERR_PROTOCOL);
    assert_int_equal(calls_on_event(b->calls, NULL, bench_other(b), bad, sizeof(bad), &e), ERR_PROTOCOL);
    bench_free(b);
}

static struct backend_call *await(struct bench *b, struct asker *a) {
    struct backend port = calls_backend(b->calls);
    struct backend_call *call = NULL;
    struct err e = {0};
    a->code = port.await(port.self, "m", on_text, a, &call, &e);
    return call;
}

static void a_request_waits_for_its_model(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0}, gone = {0}, failed = {0};
    struct err e = {0};
    struct ask_queue waits[2] = {{.model = "other", .calls = 3}};
    uint64_t oldest = 0;
    await(b, &a);
    struct backend_call *second = await(b, &gone);
    assert_int_equal(calls_waiting(b->calls, waits, 1, 1, &oldest), 1); /* there is no place for a further model */
    assert_int_equal(calls_waiting(b->calls, waits, 1, 2, &oldest), 2);
    assert_true(waits[0].calls == 3 && waits[1].calls == 2 && strcmp(waits[1].model, "m") == 0);
    cancel(b, second);
    waits[0] = (struct ask_queue){.model = "m", .calls = 1};
    assert_int_equal(calls_waiting(b->calls, waits, 1, 2, &oldest), 1);
    assert_int_equal(waits[0].calls, 2); /* that one, and the one before */
    assert_int_equal(a.n_texts, 0);
    assert_int_equal(b->n_loads, 0); /* never from inside */
    bench_until(b, &b->n_loads, 1);
    assert_string_equal(b->asked, "m");
    calls_update(b->calls);
    assert_int_equal(b->n_loads, 1); /* one question is enough */
    b->loaded(b->loaded_user, ERR_OK, "m", &e);
    bench_other_serves(b, "far", bench_other(b), false);
    calls_update(b->calls);
    assert_int_equal(a.n_texts, 0);
    bench_other_serves(b, "far", bench_other(b), true);
    calls_update(b->calls);
    assert_int_equal(a.n_texts, 1);
    assert_int_equal(a.code, ERR_OK);
    records_free_one(records_take(&b->records, bench_other(b)));
    await(b, &failed);
    bench_until(b, &b->n_loads, 2);
    err_set(&e, ERR_NOT_FOUND, "there is no such model");
    b->loaded(b->loaded_user, ERR_NOT_FOUND, "m", &e);
    assert_int_equal(failed.n_texts, 1);
    assert_int_equal(failed.code, ERR_NOT_FOUND);
    assert_int_equal(gone.n_texts, 0);
    assert_int_equal(calls_count(b->calls), 0);
    bench_free(b);
}

static void not_all_may_wait(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct asker a = {0};
    unsigned n = 0;
    for (await(b, &a); a.code == ERR_OK; await(b, &a)) n++;
    assert_int_equal(n, 512);
    assert_int_equal(a.code, ERR_UNAVAILABLE);
    calls_stop(b->calls);
    calls_update(b->calls);
    assert_int_equal(a.n_texts, 512); /* a node that ends lets them go */
    assert_non_null(strstr(a.err.text, "shutting down"));
    bench_free(b);
}

static void work_is_told_when_it_has_changed(void **state) {
    (void)state;
    struct bench *b = bench_make(program);
    struct ask_work w;
    bench_head(b, "near", 1);
    submit_from_other(b, "near", 1, "quiet");
    balance_tell(b->balance);
    const struct bench_frame *f = bench_hear(b, FRAME_BUSY);
    assert_int_equal(ask_work_decode(f->payload, f->len, &w, NULL), ERR_OK);
    assert_true(w.n_instances == 1 && w.instances[0].calls == 1 && strcmp(w.instances[0].instance, "near") == 0);
    balance_tell(b->balance); /* nothing has changed */
    balance_tell_anew(b->balance); /* but a node has come */
    balance_tell(b->balance);
    submit_from_other(b, "near", 2, "quiet");
    balance_tell(b->balance);
    bench_hear(b, FRAME_BUSY);
    f = bench_hear(b, FRAME_BUSY);
    assert_int_equal(ask_work_decode(f->payload, f->len, &w, NULL), ERR_OK);
    assert_int_equal(w.instances[0].calls, 2);
    for (int i = 0; i < 2; i++) { /* as many requests wait, for another model */
        b->waiting = (struct ask_queue){.calls = 1};
        snprintf(b->waiting.model, sizeof(b->waiting.model), i == 0 ? "one" : "two");
        balance_tell(b->balance);
        f = bench_hear(b, FRAME_BUSY);
        assert_int_equal(ask_work_decode(f->payload, f->len, &w, NULL), ERR_OK);
        assert_true(w.n_queues == 1 && strcmp(w.queues[0].model, b->waiting.model) == 0);
    }
    bench_free(b);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) return bench_stage();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_comes_once_and_from_its_place),
        cmocka_unit_test(a_head_here_answers),
        cmocka_unit_test(a_model_that_cannot_be_asked_says_why),
        cmocka_unit_test(a_queue_has_an_end),
        cmocka_unit_test(a_head_that_is_lost_loses_its_requests),
        cmocka_unit_test(a_node_that_is_lost_answers_and_asks_no_more),
        cmocka_unit_test(another_nodes_request_is_answered_under_its_id),
        cmocka_unit_test(a_request_waits_for_its_model),
        cmocka_unit_test(not_all_may_wait),
        cmocka_unit_test(work_is_told_when_it_has_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
