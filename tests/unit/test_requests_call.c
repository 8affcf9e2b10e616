/* SPDX-License-Identifier: MIT
 * The states of a call, one by one, with a scripted backend: how each step goes on, its errors, a client that goes in each state, places
 * that are lost, and changes of state that are never allowed. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "support/call_fixture.h"

#define CHAT "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

/* A body that is longer than the loop reads itself; end: its last characters. */
static char *long_body(const char *end) {
    static const char begin[] = CHAT ",\"user\":\"";
    size_t len = sizeof(begin) - 1 + 2 * CALL_READ_AT_ONCE, size = len + strlen(end) + 1;
    char *body = mem_alloc(size);
    memset(body, 'x', size);
    memcpy(body, begin, sizeof(begin) - 1);
    snprintf(body + len, size - len, "%s", end);
    return body;
}

static void chat_runs(struct fixture *f) {
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_running);
}

/* ---- every step's way on ---- */

static void text_is_answered(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    chat_runs(f);
    send_token(last_asked(f, ASKED_SUBMIT), "Yes");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"content\":\"Yes\"");
    assert_int_equal(f->g.metrics.values[METRIC_FINISHED].count, 1);
    assert_int_equal(f->g.metrics.values[METRIC_PROMPT_TOKENS].count, 3);
    fixture_close(f);
}

static void long_body_is_read_apart(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    char *body = long_body("\"}");
    ask(f, &api_openai_chat, body);
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    free(body);
    fixture_close(f);
}

static void conversation_is_recalled(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    store_response_put(f->g.store, &(struct store_response){.owner = "",
                                                            .id = "resp_1",
                                                            .input = "[{\"type\":\"message\",\"role\":\"user\",\"content\":\"one\"}]",
                                                            .response = "{\"output\":[]}"});
    fixture_stored(f);
    ask(f, &api_openai_responses, "{\"input\":\"two\",\"previous_response_id\":\"resp_1\"}");
    run_until(f, is_recalling);
    store_deliver(f->g.store);
    run_until(f, is_running);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, "onetwo");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "completed");
    fixture_close(f);
}

/* The model is ready when the backend has said so, and is looked at once more then. */
static void model_is_waited_for(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_waiting);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    assert_int_equal(f->n_calls, 2); /* it has gone again */
    f->model.ready = true;
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    fixture_close(f);
}

static void vectors_are_answered(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    uint8_t bytes[8];
    ask(f, &api_openai_embeddings, "{\"input\":[\"a\",\"b\"]}");
    run_until(f, is_running);
    assert_int_equal(f->n_calls, 2);
    for (size_t i = 2; i-- > 0;) { /* the second one first */
        struct request_event ev = {.kind = REQUEST_VECTOR, .vector = bytes, .n_vector = 2};
        bytes_put_f32(bytes, (float)i);
        bytes_put_f32(bytes + 4, 1);
        send_event(&f->calls[i], &ev);
        send_done(&f->calls[i]);
    }
    expect_status(f, 200, "\"index\":1,\"embedding\":[1,1]");
    assert_int_equal(f->g.metrics.values[METRIC_PROMPT_TOKENS].count, 6);
    fixture_close(f);
}

static void tokens_are_answered(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    const int32_t tokens[] = {7, 8};
    const uint32_t ends[] = {1, 3};
    ask(f, &api_tokenize, "{\"content\":\"abc\",\"with_pieces\":true}");
    run_until(f, is_running);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.tokens = tokens, .n = 2});
    send_text(last_asked(f, ASKED_DETOKENIZE), ERR_OK, &(struct backend_text){.bytes = "abc", .ends = ends, .n = 2});
    expect_status(f, 200, "[{\"id\":7,\"piece\":\"a\"},{\"id\":8,\"piece\":\"bc\"}]");
    ask(f, &api_anthropic_count, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    run_until(f, is_running);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.tokens = tokens, .n = 2});
    expect_status(f, 200, "{\"input_tokens\":2");
    fixture_close(f);
}

/* Nothing is computed for a request that only asks for its model to be unloaded. */
static void nothing_to_compute(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.ready = false;
    ask(f, &api_ollama_chat, "{\"model\":\"m\",\"keep_alive\":0}");
    expect_status(f, 200, "\"done_reason\":\"unload\"");
    assert_int_equal(f->n_calls, 0);
    fixture_close(f);
}

/* keep_alive 0 unloads what was loaded by hand only for a client that may do so: not for a web page without a key. */
static void keep_nothing(void **state) {
    (void)state;
    static const struct {
        bool kept, page, unloads;
    } rows[] = {{false, false, true}, {false, true, true}, {true, false, true}, {true, true, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture *f = fixture_open();
        f->model.kept = rows[i].kept;
        f->headers = rows[i].page ? "Origin: http://localhost:3000\r\n" : NULL;
        ask(f, &api_ollama_chat, "{\"model\":\"m\",\"keep_alive\":0}");
        expect_status(f, 200, rows[i].unloads ? "\"done_reason\":\"unload\"" : "\"done_reason\":\"load\"");
        assert_int_equal(f->keep_s, 0);
        assert_int_equal(f->may_unload, !rows[i].page);
        fixture_close(f);
    }
}

/* An answer that doesn't fit its schema is written once more, not twice. */
static void answer_is_written_again(void **state) {
    (void)state;
    static const char body[] = CHAT ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":"
                                    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}}}}";
    struct fixture *f = fixture_open();
    ask(f, &api_openai_chat, body);
    for (int i = 0; i < 2; i++) {
        run_until(f, is_running);
        send_token(last_asked(f, ASKED_SUBMIT), "{\"a\":[1,1]}");
        send_done(last_asked(f, ASKED_SUBMIT));
    }
    assert_int_equal(f->n_calls, 2);
    expect_status(f, 200, "x-caravan-schema: unchecked");
    assert_int_equal(f->g.metrics.values[METRIC_COMPLETION_TOKENS].count, 2); /* both count */
    fixture_close(f);
}

/* ---- errors, step by step ---- */

static void reading_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_chat, "{\"messages\":");
    expect_status(f, 400, "invalid_json");
    char *body = long_body("");
    ask(f, &api_openai_chat, body); /* the thread finds out */
    expect_status(f, 400, "invalid_json");
    io_works_close(f->g.requests->readers);
    f->g.requests->readers = io_works_open(f->loop, 0);
    ask(f, &api_openai_chat, body);
    expect_status(f, 429, "too many long requests");
    free(body);
    assert_int_equal(f->g.metrics.values[METRIC_FAILED].count, 3);
    fixture_close(f);
}

static void recalling_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_responses, "{\"input\":\"two\",\"previous_response_id\":\"resp_9\"}");
    run_until(f, is_recalling);
    store_deliver(f->g.store);
    expect_status(f, 400, "previous_response_id");
    fixture_close(f);
}

static void waiting_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_chat, "{\"model\":\"other\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    expect_status(f, 404, "model_not_found");
    f->model.ready = false;
    ask(f, &api_openai_chat, CHAT "}"); /* nothing can be done about it */
    expect_status(f, 503, "not ready");
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_waiting);
    send_text(last_asked(f, ASKED_AWAIT), ERR_NO_ROOM, NULL);
    expect_status(f, 507, "the test makes it fail");
    fixture_close(f);
}

static void rendering_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.chat_template = "{{ raise_exception('no, thanks') }}";
    ask(f, &api_openai_chat, CHAT "}");
    render_apart(f);
    expect_status(f, 400, "no, thanks");
    f->model.chat_template = NULL;
    ask(f, &api_openai_chat, CHAT "}");
    expect_status(f, 400, "no chat template");
    fixture_close(f);
}

static void running_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->refuse = ERR_BUSY;
    ask(f, &api_openai_completions, "{\"prompt\":\"a\"}");
    expect_status(f, 429, "the test refuses it");
    ask(f, &api_openai_completions, "{\"prompt\":\"a\"}");
    run_until(f, is_running);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    expect_status(f, 500, "the test makes it fail");
    ask(f, &api_openai_completions, "{\"prompt\":\"a\"}");
    run_until(f, is_running);
    struct request_event ev = {.kind = REQUEST_DONE, .finish = REQUEST_FINISH_CANCELLED};
    send_event(last_asked(f, ASKED_SUBMIT), &ev);
    expect_status(f, 503, "stopped this request");
    ask(f, &api_openai_embeddings, "{\"input\":\"a\"}");
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 500, "no vector came");
    ask(f, &api_tokenize, "{\"content\":\"abc\"}");
    run_until(f, is_running);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_UNAVAILABLE, NULL);
    expect_status(f, 503, "the test makes it fail");
    fixture_close(f);
}

/* One choice fails: the others are cancelled. */
static void one_of_several_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_completions, "{\"prompt\":\"a\",\"n\":3}");
    run_until(f, is_running);
    assert_int_equal(f->n_calls, 3);
    send_done(&f->calls[0]);
    send_failed(&f->calls[1], ERR_ENGINE);
    expect_status(f, 500, "the test makes it fail");
    assert_true(f->calls[2].cancelled);
    fixture_close(f);
}

/* ---- the client goes ---- */

static void expect_gone(struct fixture *f) {
    client_goes(f);
    assert_int_equal(f->g.metrics.values[METRIC_GONE].count, 1);
    assert_int_equal(f->g.metrics.values[METRIC_FINISHED].count + f->g.metrics.values[METRIC_FAILED].count, 0);
    fixture_close(f); /* looks that nothing is left */
}

static bool is_reading_apart(struct fixture *f) { return f->g.requests->calls != NULL && f->g.requests->calls->reading != NULL; }
static bool nobody_reads(struct fixture *f) { return io_works_count(f->g.requests->readers) == 0; }

/* An API whose bodies are not read before the test says so. */
static int slow_pipe[2];
static err_code slow_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    char byte;
    if (read(slow_pipe[0], &byte, 1) != 1) abort();
    return api_openai_chat.parse(root, r, e);
}

static struct fixture *slow_open(struct api *ret_api) {
    assert_int_equal(pipe(slow_pipe), 0);
    *ret_api = api_openai_chat;
    ret_api->parse = slow_parse;
    return fixture_open();
}

static void slow_goes_on(void) { assert_int_equal(write(slow_pipe[1], "", 1), 1); }

static void gone_while_reading(void **state) {
    (void)state;
    struct api slow;
    struct fixture *f = slow_open(&slow);
    char *body = long_body("\"}");
    ask(f, &slow, body);
    run_until(f, is_reading_apart);
    client_goes(f);
    slow_goes_on();
    run_until(f, nobody_reads); /* the body has been read, and the client has gone */
    free(body);
    expect_gone(f);
}

/* The schema of the answer is long, so a thread makes a grammar of it. */
static void gone_while_schema_is_read(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_append_str(&body, CHAT ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"properties\":{");
    for (unsigned i = 0; i < 500; i++) buf_printf(&body, "%s\"p%u\":{\"type\":\"string\"}", i > 0 ? "," : "", i);
    buf_append_str(&body, "}}}}}");
    ask(f, &api_openai_chat, buf_cstr(&body));
    run_until(f, is_reading_apart);
    client_goes(f);
    run_until(f, nobody_reads);
    assert_int_equal(f->n_calls, 0); /* nothing has been sent to a model */
    buf_done(&body);
    expect_gone(f);
}

/* So many tokens are written as JSON by a thread. */
static void gone_while_tokens_are_written(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    enum { N = 2 * CALL_WRITE_AT_ONCE };
    int32_t *tokens = mem_calloc(N, sizeof(*tokens));
    ask(f, &api_tokenize, "{\"content\":\"abc\"}");
    run_until(f, is_running);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.tokens = tokens, .n = N});
    assert_true(is_reading_apart(f));
    client_goes(f);
    run_until(f, nobody_reads);
    free(tokens);
    expect_gone(f);
}

static int stream_fd;
static struct buf streamed;
static bool has_streamed(struct fixture *f) {
    char bytes[4096];
    ssize_t n;
    (void)f;
    while ((n = recv(stream_fd, bytes, sizeof(bytes), 0)) > 0) buf_append(&streamed, bytes, (size_t)n);
    return strstr(buf_cstr(&streamed), "[DONE]") != NULL;
}

/* A stream goes on, to its end, while the long body of another request is being read. */
static void streams_while_reading(void **state) {
    (void)state;
    struct api slow;
    struct fixture *f = slow_open(&slow);
    char *body = long_body("\"}");
    buf_init(&streamed, 1 << 20);
    ask(f, &api_openai_chat, CHAT ",\"stream\":true}");
    run_until(f, is_running);
    stream_fd = f->fd;
    f->fd = -1;
    ask(f, &slow, body);
    run_until(f, is_reading_apart);
    for (int i = 0; i < 50; i++) send_token(&f->calls[0], "x");
    send_done(&f->calls[0]);
    run_until(f, has_streamed);
    assert_non_null(f->g.requests->calls->reading);
    slow_goes_on();
    run_until(f, is_running);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    close(stream_fd);
    buf_done(&streamed);
    free(body);
    fixture_close(f);
}

static void gone_while_recalling(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_responses, "{\"input\":\"two\",\"previous_response_id\":\"resp_9\"}");
    run_until(f, is_recalling);
    client_goes(f);
    store_deliver(f->g.store); /* there is an answer, and the client has gone */
    expect_gone(f);
}

static void gone_while_waiting(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.ready = false;
    f->model.loadable = true;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_waiting);
    client_goes(f);
    assert_true(f->calls[0].cancelled);
    expect_gone(f);
}

static void gone_while_rendering(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->model.chat_template = FIXTURE_SLOW_TEMPLATE;
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_rendering);
    client_goes(f);
    render_deliver(f->g.requests->render);
    expect_gone(f);
}

static void gone_while_running(void **state) {
    (void)state;
    static const struct {
        const struct api *api;
        const char *body;
        size_t n;
    } cases[] = {{&api_openai_completions, "{\"prompt\":\"a\",\"n\":2}", 2},
                 {&api_openai_embeddings, "{\"input\":[\"a\",\"b\",\"c\"]}", 3},
                 {&api_tokenize, "{\"content\":\"a\"}", 1},
                 {&api_detokenize, "{\"tokens\":[1]}", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f = fixture_open();
        ask(f, cases[i].api, cases[i].body);
        run_until(f, is_running);
        assert_int_equal(f->n_calls, cases[i].n);
        client_goes(f);
        for (size_t k = 0; k < cases[i].n; k++) assert_true(f->calls[k].cancelled);
        expect_gone(f);
    }
}

static void gone_while_replaying(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    chat_runs(f);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_UNAVAILABLE);
    run_until(f, has_asked_again);
    last_asked(f, ASKED_AWAIT);
    expect_gone(f);
}

/* ---- prompts that are measured ---- */

#define TURN "012345678901234567890123456789012345678901234567890123456789"
static const char too_long[] =
    "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"" TURN "\"},{\"role\":\"user\",\"content\":\"hi\"}]}";

static bool is_measuring(struct fixture *f) { return f->g.requests->calls != NULL && f->g.requests->calls->measuring != NULL; }

/* A prompt that may be too long for the model has been rendered, and its tokens are being counted. */
static struct fixture *measuring_open(const char *tmpl) {
    struct fixture *f = fixture_open();
    f->model.n_ctx = 64;
    f->model.chat_template = tmpl;
    ask(f, &api_ollama_chat, too_long);
    if (strcmp(tmpl, FIXTURE_SLOW_TEMPLATE) == 0) render_apart(f);
    run_until(f, is_measuring);
    assert_int_equal(f->g.requests->calls->state, CALL_RENDERING);
    return f;
}

static void prompt_is_shortened(void **state) {
    (void)state;
    static const char *const templates[] = {FIXTURE_TEMPLATE, FIXTURE_SLOW_TEMPLATE};
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = measuring_open(templates[i]);
        send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.n = 100});
        if (i > 0) render_apart(f);
        run_until(f, is_running);
        assert_string_equal(f->g.requests->calls->request.prompts[0].text, "hi");
        send_done(last_asked(f, ASKED_SUBMIT));
        expect_status(f, 200, "\"done\":true");
        fixture_close(f);
    }
}

/* The picture of a turn that is taken out is not sent, that of another one is. */
static void pictures_go_with_their_turns(void **state) {
    (void)state;
    static const char body[] = "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"" TURN
                               "\",\"images\":[\"b25l\"]},{\"role\":\"user\",\"content\":\"hi\",\"images\":[\"dHdv\"]}]}";
    struct fixture *f = fixture_open();
    f->model.n_ctx = 64;
    f->model.chat_template = FIXTURE_TEMPLATE;
    ask(f, &api_ollama_chat, body);
    run_until(f, is_measuring);
    assert_int_equal(f->g.requests->calls->request.n_media, 2);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.n = 100});
    run_until(f, is_running);
    assert_int_equal(f->g.requests->calls->request.n_media, 1);
    assert_string_equal(f->g.requests->calls->request.media[0].data, "dHdv");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"done\":true");
    fixture_close(f);
}

/* A quick template is rendered where the request is read; only a slow one keeps the thread busy. */
static void quick_templates_need_no_thread(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    chat_runs(f);
    assert_int_equal(f->rendered, 0);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    f->model.chat_template = FIXTURE_SLOW_TEMPLATE;
    ask(f, &api_openai_chat, CHAT "}");
    render_apart(f);
    run_until(f, is_running);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, "hi");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "chat.completion");
    fixture_close(f);
}

static void prompt_fits(void **state) {
    (void)state;
    struct fixture *f = measuring_open(FIXTURE_TEMPLATE);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_OK, &(struct backend_text){.n = 20});
    run_until(f, is_running);
    assert_string_equal(f->g.requests->calls->request.prompts[0].text, TURN "hi");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"done\":true");
    fixture_close(f);
}

static void measuring_fails(void **state) {
    (void)state;
    struct fixture *f = measuring_open(FIXTURE_TEMPLATE);
    send_text(last_asked(f, ASKED_TOKENIZE), ERR_UNAVAILABLE, NULL);
    expect_status(f, 503, "the test makes it fail");
    fixture_close(f);
}

static void gone_while_measuring(void **state) {
    (void)state;
    struct fixture *f = measuring_open(FIXTURE_TEMPLATE);
    client_goes(f);
    assert_true(f->calls[0].cancelled);
    expect_gone(f);
}

/* ---- places that are lost ---- */

static bool has_awaited(struct fixture *f) { return f->n_calls > 0 && f->calls[f->n_calls - 1].kind == ASKED_AWAIT; }

/* A choice continues after its tokens; an embedding is sent again. */
static void lost_while_running(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    chat_runs(f);
    send_token(last_asked(f, ASKED_SUBMIT), "a");
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_UNAVAILABLE);
    run_until(f, has_awaited);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    assert_int_equal(last_asked(f, ASKED_SUBMIT)->n_generated, 1);
    send_token(last_asked(f, ASKED_SUBMIT), "b");
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"content\":\"ab\"");
    ask(f, &api_openai_embeddings, "{\"input\":\"a\"}");
    run_until(f, is_running);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_UNAVAILABLE);
    run_until(f, has_awaited);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    const uint8_t vector[4] = {0};
    struct request_event ev = {.kind = REQUEST_VECTOR, .vector = vector, .n_vector = 1};
    send_event(last_asked(f, ASKED_SUBMIT), &ev);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "\"embedding\":[0]");
    fixture_close(f);
}

/* The place was there when the model was looked up, and is gone when the request is sent. */
static void lost_when_sent(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->refuse = ERR_UNAVAILABLE;
    ask(f, &api_openai_completions, "{\"prompt\":\"a\"}");
    run_until(f, has_awaited);
    assert_int_equal(f->g.requests->calls->state, CALL_RUNNING);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    send_done(last_asked(f, ASKED_SUBMIT));
    expect_status(f, 200, "text_completion");
    fixture_close(f);
}

/* The time for another place is over. */
static void lost_for_good(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    f->g.replay_us = 1;
    chat_runs(f);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_UNAVAILABLE);
    expect_status(f, 503, "model_unavailable");
    f->g.replay_us = 0; /* nothing is sent again */
    chat_runs(f);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_UNAVAILABLE);
    expect_status(f, 503, "the test makes it fail");
    fixture_close(f);
}

/* A request that was in flight at a crash is computed alone; at the second one it ends. */
static void crashes_twice(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    chat_runs(f);
    assert_false(last_asked(f, ASKED_SUBMIT)->alone);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_CRASH);
    run_until(f, has_awaited);
    send_text(last_asked(f, ASKED_AWAIT), ERR_OK, NULL);
    assert_true(last_asked(f, ASKED_SUBMIT)->alone);
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_CRASH);
    expect_status(f, 400, "crashed twice");
    fixture_close(f);
}

/* An error in the middle of a stream stands in the stream. */
static void stream_fails(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    ask(f, &api_openai_chat, CHAT ",\"stream\":true}");
    run_until(f, is_running);
    send_token(last_asked(f, ASKED_SUBMIT), "a");
    send_failed(last_asked(f, ASKED_SUBMIT), ERR_ENGINE);
    expect_status(f, 200, "the test makes it fail");
    fixture_close(f);
}

/* The newest that ended stands first, with what it took; of the older ones, as many as there is room for. */
static void recent_are_kept(void **state) {
    (void)state;
    struct fixture *f = fixture_open();
    for (int i = 0; i < 205; i++) {
        ask(f, &api_openai_chat, "{\"messages\":");
        expect_status(f, 400, "invalid_json");
    }
    ask(f, &api_openai_chat, CHAT "}");
    run_until(f, is_running);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *list = recent_value(&f->g, doc), *first = yyjson_mut_arr_get_first(yyjson_mut_obj_get(list, "running"));
    assert_int_equal(yyjson_mut_arr_size(yyjson_mut_obj_get(list, "running")), 1);
    assert_string_equal(yyjson_mut_get_str(yyjson_mut_obj_get(first, "state")), "running");
    assert_string_equal(yyjson_mut_get_str(yyjson_mut_obj_get(first, "model")), "m");
    assert_int_equal(yyjson_mut_arr_size(yyjson_mut_obj_get(list, "ended")), 200);
    send_token(last_asked(f, ASKED_SUBMIT), "hi");
    send_done(last_asked(f, ASKED_SUBMIT));
    list = recent_value(&f->g, doc);
    first = yyjson_mut_arr_get_first(yyjson_mut_obj_get(list, "ended"));
    assert_int_equal(yyjson_mut_arr_size(yyjson_mut_obj_get(list, "running")), 0);
    assert_string_equal(yyjson_mut_get_str(yyjson_mut_obj_get(first, "state")), "answered");
    assert_int_equal(yyjson_mut_get_uint(yyjson_mut_obj_get(first, "completion_tokens")), 1);
    yyjson_mut_doc_free(doc);
    fixture_close(f);
}

/* ---- what must not be ---- */

static void impossible_transition(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct gateway g = {0};
        struct requests requests = {0};
        g.requests = &requests;
        struct call call = {.gateway = &g, .state = CALL_READING, .n_running = 1};
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        call_part_done(&call); /* a part is complete before anything runs */
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_answered),
        cmocka_unit_test(long_body_is_read_apart),
        cmocka_unit_test(conversation_is_recalled),
        cmocka_unit_test(model_is_waited_for),
        cmocka_unit_test(vectors_are_answered),
        cmocka_unit_test(tokens_are_answered),
        cmocka_unit_test(nothing_to_compute),
        cmocka_unit_test(keep_nothing),
        cmocka_unit_test(answer_is_written_again),
        cmocka_unit_test(reading_fails),
        cmocka_unit_test(recalling_fails),
        cmocka_unit_test(waiting_fails),
        cmocka_unit_test(rendering_fails),
        cmocka_unit_test(running_fails),
        cmocka_unit_test(one_of_several_fails),
        cmocka_unit_test(gone_while_reading),
        cmocka_unit_test(gone_while_schema_is_read),
        cmocka_unit_test(gone_while_tokens_are_written),
        cmocka_unit_test(streams_while_reading),
        cmocka_unit_test(gone_while_recalling),
        cmocka_unit_test(gone_while_waiting),
        cmocka_unit_test(gone_while_rendering),
        cmocka_unit_test(gone_while_running),
        cmocka_unit_test(gone_while_replaying),
        cmocka_unit_test(prompt_is_shortened),
        cmocka_unit_test(pictures_go_with_their_turns),
        cmocka_unit_test(quick_templates_need_no_thread),
        cmocka_unit_test(prompt_fits),
        cmocka_unit_test(measuring_fails),
        cmocka_unit_test(gone_while_measuring),
        cmocka_unit_test(lost_while_running),
        cmocka_unit_test(lost_when_sent),
        cmocka_unit_test(lost_for_good),
        cmocka_unit_test(crashes_twice),
        cmocka_unit_test(stream_fails),
        cmocka_unit_test(recent_are_kept),
        cmocka_unit_test(impossible_transition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
