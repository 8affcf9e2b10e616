/* SPDX-License-Identifier: MIT
 * A call by the routes file, with a scripted backend: which failure goes on to the next target, when it is too late for that, and what the
 * request is there. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/call_fixture.h"

#define CHAT "{\"model\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static struct fixture *two_targets(void) {
    struct fixture *f = fixture_open();
    f->second = f->model;
    f->second.id = "n";
    f->second.chat_template = "second:{% for m in messages %}{{ m.content }}{% endfor %}";
    fixture_routes(f, "{\"models\":{\"x\":{\"targets\":[{\"model\":\"m\"},{\"model\":\"n\"}]},"
                      "\"s\":{\"targets\":[{\"model\":\"m\"}],\"system\":\"Be brief.\",\"on_absent\":\"refuse\"}}}");
    return f;
}

static bool runs_on_second(struct fixture *f) { return is_running(f) && strcmp(f->calls[f->n_calls - 1].model, "n") == 0; }

static bool is_awaited(struct fixture *f) { return f->calls[f->n_calls - 1].kind == ASKED_AWAIT; }

static void chat_runs_on_first(struct fixture *f, const char *body) {
    ask(f, &api_openai_chat, body);
    run_until(f, is_running);
    assert_string_equal(last_asked(f, ASKED_SUBMIT)->model, "m");
}

static void expect_second(struct fixture *f) {
    run_until(f, runs_on_second);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, "second:hi");
    send_token(last_asked(f, ASKED_SUBMIT), "Yes");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"content\":\"Yes\"");
    assert_non_null(strstr(buf_cstr(&f->in), "\"model\":\"x\""));
    assert_non_null(strstr(buf_cstr(&f->in), "x-caravan-served-by: here/n-1; model=n\r\n"));
    assert_int_equal(f->g.metrics.values[METRIC_FALLBACKS].count, 1);
    assert_int_equal(f->g.metrics.values[METRIC_FAILED].count, 0);
}

/* Whatever was computed: the client of a whole answer has not seen any of it. A lost place isn't waited for. */
static void failures_go_on_to_the_next(void **state) {
    (void)state;
    static const err_code codes[] = {ERR_ENGINE, ERR_UNAVAILABLE, ERR_CRASH, ERR_BUSY, ERR_TIMEOUT, ERR_NO_MODEL};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct fixture *f = two_targets();
        chat_runs_on_first(f, CHAT "}");
        if (i == 0) send_token(last_asked(f, ASKED_SUBMIT), "No");
        send_failed(last_asked(f, ASKED_SUBMIT), codes[i]);
        expect_second(f);
        fixture_close(f);
    }
}

static void a_refused_submit_goes_on(void **state) {
    (void)state;
    static const err_code codes[] = {ERR_BUSY, ERR_UNAVAILABLE};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        struct fixture *f = two_targets();
        f->refuse = codes[i];
        ask(f, &api_openai_chat, CHAT "}");
        expect_second(f);
        fixture_close(f);
    }
}

static void a_clients_fault_goes_nowhere(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    chat_runs_on_first(f, CHAT "}");
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_INVALID);
    expect_status(f, 400, "the test makes it fail");
    assert_non_null(strstr(buf_cstr(&f->in), "x-caravan-served-by: here/m-1; model=m\r\n"));
    fixture_close(f);
}

static void the_last_target_has_the_last_word(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    chat_runs_on_first(f, CHAT "}");
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    run_until(f, runs_on_second);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    expect_status(f, 500, "the test makes it fail");
    fixture_close(f);
}

/* A stream that has begun stays where it is: a failure ends it, and a lost place is waited for. */
static void after_the_first_byte_it_stays(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    chat_runs_on_first(f, CHAT ",\"stream\":true}");
    send_token(last_asked(f, ASKED_SUBMIT), "No");
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    expect_status(f, 200, "the test makes it fail");
    chat_runs_on_first(f, CHAT ",\"stream\":true}");
    send_token(last_asked(f, ASKED_SUBMIT), "Ye");
    struct backend_call *lost = last_asked(f, ASKED_SUBMIT);
    send_failed(lost, ERR_UNAVAILABLE);
    run_until(f, is_awaited);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->n_generated, 1);
    assert_string_equal(last_asked(f, ASKED_SUBMIT)->model, "m");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "[DONE]");
    fixture_close(f);
}

/* A job that waits until the semaphore lets it go. */
static void wait_run(void *job) {
    while (sem_wait(job) != 0) {
    }
}
static void wait_done(void *job) { (void)job; }
static bool all_read(struct fixture *f) { return io_works_count(f->g.requests->readers) == 0; }

/* A schema that is too long to be read at once, while all threads that read such are busy: the next target is asked with the whole request,
 * and what its failure says is the truth. */
static void a_request_that_is_not_read_stays_whole(void **state) {
    (void)state;
    static const struct io_work work = {.run = wait_run, .done = wait_done, .free = wait_done};
    enum { READERS = 4 }; /* as the fixture has */
    struct fixture *f = two_targets();
    struct err e;
    struct buf body;
    sem_t busy;
    sem_init(&busy, 0, 0);
    for (int i = 0; i < READERS; i++) assert_int_equal(io_works_start(f->g.requests->readers, &work, &busy, &e), ERR_OK);
    buf_init(&body, 1 << 20);
    buf_append_str(&body, CHAT ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"enum\":[0");
    for (int i = 1; i < 2000; i++) buf_printf(&body, ",%d", i);
    buf_append_str(&body, "]}}}}");
    ask(f, &api_openai_chat, buf_cstr(&body));
    expect_status(f, 429, "too many long requests are being read");
    for (int i = 0; i < READERS; i++) sem_post(&busy);
    run_until(f, all_read);
    fixture_close(f);
    sem_destroy(&busy);
    buf_done(&body);
}

/* The second target gets the grammar of the schema once, as the first one did. */
static void the_request_is_as_it_was(void **state) {
    (void)state;
    static const char body[] = CHAT ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":"
                                    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}";
    struct fixture *f = two_targets();
    chat_runs_on_first(f, body);
    char *grammar = mem_strdup(last_asked(f, ASKED_SUBMIT)->grammar);
    assert_non_null(grammar);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    run_until(f, runs_on_second);
    assert_string_equal(last_asked(f, ASKED_SUBMIT)->grammar, grammar);
    send_token(last_asked(f, ASKED_SUBMIT), "{}");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "{}");
    free(grammar);
    fixture_close(f);
}

static void the_one_that_is_ready_comes_first(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    f->model.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, runs_on_second);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    f->second.ready = false;
    ask(f, &api_openai_chat, CHAT "}"); /* none is: the first one is loaded */
    run_until(f, is_waiting);
    f->model.ready = true;
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    run_until(f, is_running);
    assert_string_equal(last_asked(f, ASKED_SUBMIT)->model, "m");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    fixture_close(f);
}

static void text_goes_before_the_chat(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    ask(f, &api_openai_chat, "{\"model\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    run_until(f, is_running);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, "Be brief.hi");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    ask(f, &api_openai_chat,
        "{\"model\":\"s\",\"messages\":[{\"role\":\"system\",\"content\":\"In French.\"},{\"role\":\"user\",\"content\":\"hi\"}]}");
    run_until(f, is_running);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, "Be brief.\n\nIn French.hi");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    fixture_close(f);
}

/* The headers went with a sign of life, before anybody knew who would answer; so did the chance to say it there. */
static void a_late_stream_says_it_in_a_line(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    f->model.ready = f->second.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT ",\"stream\":true}");
    run_until(f, is_waiting);
    f->g.ping_ms = 0;
    f->model.progress = 43;
    requests_ping(&f->g);
    f->g.ping_ms = 1000000;
    f->model.ready = true;
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    run_until(f, is_running);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE); /* the second one can't be asked: the client hears of the failure */
    expect_status(f, 200, ": x-caravan-served-by: here/m-1; model=m\n\n");
    assert_non_null(strstr(buf_cstr(&f->in), ": ping\n\n: \"m\" is loading: 43 %\n\n"));
    assert_null(strstr(buf_cstr(&f->in), "x-caravan-served-by: here/m-1; model=m\r\n"));
    fixture_close(f);
}

static void absent_models_are_refused_and_loaded(void **state) {
    (void)state;
    struct fixture *f = two_targets();
    f->model.ready = false;
    f->model.loadable = true;
    f->model.facts.bytes = 2000000000;
    for (int i = 0; i < 2; i++) {
        ask(f, &api_openai_chat, "{\"model\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
        expect_status(f, 503, "is being loaded");
        long retry = strtol(strstr(buf_cstr(&f->in), "Retry-After: ") + 13, NULL, 10);
        assert_int_in_range(retry, 11, 12); /* two seconds and two gigabytes from a disk */
        assert_int_equal(f->n_calls, 1); /* loaded once, not for each request */
    }
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    fixture_close(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_go_on_to_the_next),
        cmocka_unit_test(a_refused_submit_goes_on),
        cmocka_unit_test(a_clients_fault_goes_nowhere),
        cmocka_unit_test(the_last_target_has_the_last_word),
        cmocka_unit_test(after_the_first_byte_it_stays),
        cmocka_unit_test(a_request_that_is_not_read_stays_whole),
        cmocka_unit_test(the_request_is_as_it_was),
        cmocka_unit_test(the_one_that_is_ready_comes_first),
        cmocka_unit_test(text_goes_before_the_chat),
        cmocka_unit_test(a_late_stream_says_it_in_a_line),
        cmocka_unit_test(absent_models_are_refused_and_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
