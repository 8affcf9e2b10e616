/* SPDX-License-Identifier: MIT
 * Long texts in the head of a real stage process with a fake engine. While a text is turned into tokens, other requests get their tokens;
 * it can be cancelled; a text that can't fit is refused at its beginning; after a crash, its request is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/stage_fixture.h"

enum { LONG_CTX = 8192, LONG_TEXT = TOKENIZER_SHORT + 1000 };

static void submit_text(struct node *n, uint64_t id, size_t len, int32_t max_tokens) {
    struct request r;
    request_init(&r);
    r.id = r.sampling.seed = id;
    r.text = mem_alloc(len + 1);
    memset(r.text, 'a', len);
    r.text_len = len;
    r.add_bos = false;
    r.max_tokens = max_tokens;
    r.ignore_eos = true;
    send_request(n, &r);
}

static void text_begins(void) {
    char byte;
    assert_int_equal(read(hang_pipe[0], &byte, 1), 1);
}

static void text_goes_on(void) { assert_int_equal(write(text_pipe[1], "", 1), 1); }

static struct node *texts_start(enum trouble trouble) {
    n_ctx = LONG_CTX;
    assert_int_equal(pipe(hang_pipe), 0);
    assert_int_equal(pipe(text_pipe), 0);
    struct node *n = node_start(1, 0, trouble);
    node_run(n, all_ready);
    return n;
}

static void texts_end(struct node *n) {
    node_free(n);
    for (int i = 0; i < 2; i++) {
        close(hang_pipe[i]);
        close(text_pipe[i]);
        hang_pipe[i] = text_pipe[i] = -1;
    }
    n_ctx = N_CTX;
}

static bool second_answered(const struct node *n) { return n->seen[1].done; }

/* A request gets all its tokens while the text of another one is turned into tokens. */
static void test_long_text(void **state) {
    (void)state;
    struct fake_params p = {.n_layer = N_LAYER, .n_ctx_seq = LONG_CTX, .n_ctx = LONG_CTX, .n_batch = 1};
    struct node *n = texts_start(TEXT_WAITS);
    submit_text(n, 1, LONG_TEXT, 5);
    text_begins();
    submit(n, 2, 4, 30, NULL);
    node_run(n, second_answered);
    check_answer(&n->seen[1], 4, 30);
    assert_false(n->seen[0].started);
    text_goes_on();
    node_run(n, all_answered);
    int32_t *prompt = mem_calloc(LONG_TEXT, sizeof(*prompt)), expected[5];
    bool stop;
    for (size_t i = 0; i < LONG_TEXT; i++) prompt[i] = 'a' % FAKE_N_VOCAB;
    assert_int_equal(n->seen[0].n, 5);
    assert_int_equal(fake_reference(&p, prompt, LONG_TEXT, 1, true, 5, expected, &stop), 5);
    assert_memory_equal(n->seen[0].tokens, expected, sizeof(expected));
    free(prompt);
    drain(n);
    node_run(n, all_closed);
    assert_int_equal(child_status(n, 0), 0);
    texts_end(n);
}

/* A request ends at once when it is cancelled, also one whose text is not turned into tokens yet. */
static void test_long_text_cancelled(void **state) {
    (void)state;
    struct node *n = texts_start(TEXT_WAITS);
    for (uint64_t id = 1; id <= 2; id++) submit_text(n, id, LONG_TEXT, 5);
    text_begins();
    for (uint64_t id = 1; id <= 2; id++) {
        uint8_t bytes[8];
        bytes_put_u64(bytes, id);
        node_send(n, 0, FRAME_CANCEL, bytes, sizeof(bytes));
    }
    node_run(n, all_answered);
    for (int i = 0; i < 2; i++) assert_int_equal(n->seen[i].last.finish, REQUEST_FINISH_CANCELLED);
    drain(n);
    text_goes_on(); /* the second text is not looked at */
    node_run(n, all_closed);
    assert_int_equal(child_status(n, 0), 0);
    texts_end(n);
}

/* A text that can't fit is refused when its beginning has been looked at. */
static void test_text_too_long(void **state) {
    (void)state;
    enum { TOO_LONG = 40 * LONG_CTX };
    longest_text = mmap(NULL, sizeof(*longest_text), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(longest_text != MAP_FAILED);
    struct node *n = texts_start(NONE);
    submit_text(n, 1, TOO_LONG, 5);
    node_run(n, all_answered);
    assert_true(n->seen[0].failed);
    assert_int_equal(n->seen[0].last.err.code, ERR_LIMIT);
    assert_true(*longest_text < TOO_LONG / 2);
    munmap(longest_text, sizeof(*longest_text));
    longest_text = NULL;
    texts_end(n);
}

/* A crash in the thread names the request whose text it was. */
static void test_long_text_crashes(void **state) {
    (void)state;
    struct node *n = texts_start(TEXT_ABORTS);
    submit_text(n, 1, LONG_TEXT, 5);
    node_run(n, all_answered);
    assert_int_equal(n->seen[0].last.err.code, ERR_CRASH);
    node_run(n, all_closed);
    texts_end(n);
}

static void waits_in_thread(void *user, size_t len) {
    char byte;
    (void)user;
    (void)len;
    if (read(text_pipe[0], &byte, 1) != 1) abort();
}

/* The texts that wait are bounded together; one alone may be of any length. */
static void test_waiting_texts_bounded(void **state) {
    (void)state;
    struct fake_params p = {
        .end = N_LAYER, .n_layer = N_LAYER, .n_seq = 1, .n_ctx_seq = 64, .n_ctx = 64, .n_batch = 1, .on_tokenize = waits_in_thread};
    struct stage_watch *watch = NULL;
    struct tokenizer *t = NULL;
    struct tokenizer_job job;
    struct engine engine;
    struct request r;
    int fds[2];
    assert_int_equal(pipe(text_pipe), 0);
    assert_int_equal(io_sock_pair(fds, NULL), ERR_OK);
    struct wire_link *local = wire_link_local(fds[0]);
    fake_engine_open(&p, &engine);
    assert_int_equal(stage_watch_start(local, &watch, NULL), ERR_OK);
    assert_int_equal(tokenizer_create(&engine, NULL, watch, UINT32_MAX / 2, 1000, &t, NULL), ERR_OK);
    request_init(&r);
    r.text = mem_zalloc(1500);
    r.text_len = 1500;
    assert_true(tokenizer_has_room(t, &r));
    tokenizer_push(t, &r, true);
    r.text_len = 1;
    assert_false(tokenizer_has_room(t, &r));
    text_goes_on();
    assert_int_equal(poll(&(struct pollfd){.fd = tokenizer_fd(t), .events = POLLIN}, 1, WAIT_MS), 1);
    assert_true(tokenizer_pop(t, &job));
    assert_int_equal(job.request.n_tokens, 1500 + 1); /* and the begin-of-text token */
    assert_true(tokenizer_has_room(t, &r));
    request_done(&job.request);
    tokenizer_free(t);
    stage_watch_stop(watch);
    wire_link_close(local);
    engine.ops->close(engine.self);
    close(fds[1]);
    for (int i = 0; i < 2; i++) {
        close(text_pipe[i]);
        text_pipe[i] = -1;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_text),         cmocka_unit_test(test_long_text_cancelled),   cmocka_unit_test(test_text_too_long),
        cmocka_unit_test(test_long_text_crashes), cmocka_unit_test(test_waiting_texts_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
