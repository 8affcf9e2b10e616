/* SPDX-License-Identifier: MIT
 * The stage child's whole life in real processes: this test is the node, forks children that run stage_loop_run with a fake engine, carries
 * their ring sockets, and checks their messages and their ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/stage_fixture.h"

static void answers_on(uint32_t n_stage) {
    struct node *n = node_start(n_stage, 0, NONE);
    node_run(n, all_ready);
    for (uint64_t id = 1; id <= 6; id++) submit(n, id, 5 * id, 30, NULL);
    node_run(n, all_answered);
    for (size_t i = 0; i < 6; i++) {
        check_answer(&n->seen[i], 5 * (i + 1), 30);
        assert_int_equal(n->seen[i].last.n_hop, n_stage);
        for (uint32_t h = 0; h < n_stage; h++) assert_true(n->seen[i].last.hops[h].frames >= 30);
    }
    drain(n);
    node_run(n, all_closed);
    assert_true(n->children[0].draining_seen);
    for (uint32_t i = 0; i < n_stage; i++) {
        assert_int_equal(child_status(n, i), 0);
        assert_int_equal(n->children[i].n_faults, 0);
        assert_true(n->children[i].team.single > 0 && n->children[i].team.several == n->children[i].team.single);
    }
    node_free(n);
}

/* ---- the tests ---- */

static void test_one_stage(void **state) {
    (void)state;
    answers_on(1);
}

static void test_three_stages(void **state) {
    (void)state;
    answers_on(3);
}

/* The head tokenises: the fake's tokens are the bytes. */
static void test_text(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    for (int bos = 0; bos < 2; bos++) {
        struct request r;
        request_init(&r);
        r.id = r.sampling.seed = (uint64_t)bos + 1;
        r.text = mem_strdup("Hi\x01");
        r.text_len = 3;
        r.add_bos = bos == 1;
        r.max_tokens = 4;
        r.ignore_eos = true;
        send_request(n, &r);
    }
    node_run(n, all_answered);
    static const int32_t tokens[4] = {1, 'H', 'i' % FAKE_N_VOCAB, 1};
    check_tokens(&n->seen[0], tokens + 1, 3, 4);
    check_tokens(&n->seen[1], tokens, 4, 4);
    node_free(n);
}

static void test_cancel(void **state) {
    (void)state;
    struct node *n = node_start(2, 1, EVAL_SLOW);
    node_run(n, all_ready);
    n->cancel_after = 1;
    submit(n, 1, 4, -1, NULL);
    node_run(n, all_answered);
    assert_true(n->seen[0].done);
    assert_int_equal(n->seen[0].last.finish, REQUEST_FINISH_CANCELLED);
    assert_true(n->seen[0].n < N_CTX - 4);
    submit(n, 2, 4, 10, NULL);
    node_run(n, all_answered);
    check_answer(&n->seen[1], 4, 10);
    node_free(n);
}

static void test_eval(void **state) {
    (void)state;
    struct node *n = node_start(3, 0, NONE);
    node_run(n, all_ready);
    submit(n, 1, 6, 20, NULL); /* the evaluation waits for it */
    struct request_eval_batch batches[3] = {{5, 2}, {1, 1}, {3, 0}};
    int32_t tokens[9];
    prompt_of(77, tokens, 9);
    struct request_eval ev = {.id = 77, .batches = batches, .n_batches = 3, .tokens = tokens, .n_tokens = 9};
    struct buf b;
    buf_init(&b, 1 << 20);
    request_eval_encode(&ev, &b);
    n->seen[n->n_seen++] = (struct seen){.id = 77};
    node_send(n, 0, FRAME_EVAL, b.data, b.len);
    buf_done(&b);
    submit(n, 2, 6, 20, NULL); /* and this one for the evaluation */
    node_run(n, all_answered);
    check_answer(&n->seen[0], 6, 20);
    check_answer(&n->seen[2], 6, 20);
    assert_true(n->seen[1].done);
    assert_int_equal(n->n_logits_frames, 3);
    assert_int_equal(n->n_rows, 3);
    struct fake_params p = {.end = N_LAYER, .n_layer = N_LAYER, .n_seq = 1, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = N_CTX};
    struct engine whole;
    fake_engine_open(&p, &whole);
    struct engine_token batch[9];
    for (int i = 0; i < 9; i++) batch[i] = (struct engine_token){.token = tokens[i], .pos = i, .flags = ENGINE_TOKEN_LOGITS};
    assert_int_equal(whole.ops->eval(whole.self, batch, 9, NULL, NULL, NULL), ERR_OK);
    for (uint32_t i = 0; i < 3; i++)  /* positions 3, 4, 5 */
        assert_memory_equal(n->rows[i], whole.ops->logits(whole.self, 3 + i), sizeof(n->rows[i]));
    whole.ops->close(whole.self);
    node_free(n);
}

static void test_refused(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    submit(n, 1, N_CTX, 5, NULL);
    submit(n, 2, 0, 5, NULL);
    submit(n, 3, 4, 5, "root ::= \"a\""); /* which the fake engine doesn't know */
    n->seen[n->n_seen++] = (struct seen){.id = 4};
    static const char odd[] = "{\"id\": 4, \"tokens\": [1, \"two\"]}";
    node_send(n, 0, FRAME_SUBMIT, odd, sizeof(odd) - 1);
    submit(n, 5, 4, 5, NULL);
    node_run(n, all_answered);
    static const err_code want[4] = {ERR_LIMIT, ERR_INVALID, ERR_INVALID, ERR_INVALID};
    for (int i = 0; i < 4; i++) {
        assert_true(n->seen[i].failed);
        assert_int_equal(n->seen[i].last.err.code, want[i]);
    }
    assert_non_null(strstr(n->seen[0].last.err.text, "64"));
    check_answer(&n->seen[4], 4, 5);
    node_free(n);
}

static void test_engine_fault(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_FAILS_ONCE);
        node_run(n, all_ready);
        submit(n, 1, 5, 10, NULL);
        node_run(n, all_answered);
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_ENGINE);
        submit(n, 2, 5, 10, NULL);
        node_run(n, all_answered);
        check_answer(&n->seen[1], 5, 10);
        assert_int_equal(n->children[stage].n_faults, 1); /* its own node knows too */
        assert_false(n->children[stage].fault.fatal);
        node_free(n);
    }
}

static void test_stage_killed(void **state) {
    (void)state;
    struct node *n = node_start(3, 2, EVAL_SLOW);
    node_run(n, all_ready);
    submit(n, 1, 5, -1, NULL);
    submit(n, 2, 5, -1, NULL);
    node_run(n, third_token);
    kill(n->children[1].pid, SIGKILL);
    node_run(n, all_closed);
    assert_true(n->seen[0].failed && n->seen[1].failed);
    assert_int_equal(n->seen[0].last.err.code, ERR_UNAVAILABLE); /* it may go on in another ring */
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_CLOSED));
    assert_int_equal(child_status(n, 1), -SIGKILL);
    assert_int_equal(child_status(n, 2), err_exit_code(ERR_CLOSED));
    node_free(n);
}

static void test_load_fails(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, OPEN_FAILS);
    node_run(n, all_closed);
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(n->children[0].fault.err.code, ERR_NO_ROOM);
    assert_string_equal(n->children[0].fault.err.text, "cannot load layers 0-7: no room");
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_NO_ROOM));
    node_free(n);
}

static void refused_ring(struct node *n) {
    clock_us start = clock_now();
    node_run(n, one_closed);
    assert_true(clock_now() - start < CONNECT_MS * 1000 / 2); /* a wrong key is not retried for ever */
    assert_false(n->children[0].ready || n->children[1].ready);
    uint32_t first = n->children[0].closed ? 0 : 1; /* the other one may still wait for it to connect */
    assert_true(n->children[first].fault.fatal);
    assert_int_equal(n->children[first].fault.err.code, ERR_AUTH);
    assert_int_equal(child_status(n, first), err_exit_code(ERR_AUTH));
    node_free(n);
}

static void test_wrong_key(void **state) {
    (void)state;
    refused_ring(node_start(2, 1, WRONG_KEY));
}

static void test_wrong_node(void **state) {
    (void)state;
    refused_ring(node_start(2, 1, WRONG_NODE));
}

/* In the middle of a computation that would take ten minutes. */
static void test_node_gone(void **state) {
    (void)state;
    assert_int_equal(pipe(hang_pipe), 0);
    struct node *n = node_start(1, 0, EVAL_HANGS);
    node_run(n, all_ready);
    submit(n, 1, 5, 5, NULL);
    char byte;
    assert_int_equal(read(hang_pipe[0], &byte, 1), 1);
    wire_link_close(n->children[0].local);
    n->children[0].local = NULL;
    assert_int_equal(child_status(n, 0), 0);
    close(hang_pipe[0]);
    close(hang_pipe[1]);
    node_free(n);
}

/* A computation that will never end: the stage itself notices it, reports it, and ends. */
static void test_stuck(void **state) {
    (void)state;
    beat_ms = 5;
    struct node *n = node_start(1, 0, EVAL_HANGS_LATER);
    node_run(n, all_ready);
    submit(n, 1, 5, 20, NULL);
    node_run(n, all_closed);
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(n->children[0].fault.err.code, ERR_CRASH);
    assert_non_null(strstr(n->children[0].fault.err.text, "no progress"));
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_CRASH));
    node_free(n);
    beat_ms = STAGE_BEAT_MS;
}

/* A process that stands still: the neighbouring stages get no more bytes from it, and end. */
static void test_silent(void **state) {
    (void)state;
    beat_ms = 100;
    struct node *n = node_start(3, 0, NONE);
    node_run(n, all_ready);
    kill(n->children[1].pid, SIGSTOP);
    n->children[1].closed = true; /* it isn't waited for */
    node_run(n, all_closed);
    for (uint32_t i = 0; i < 3; i += 2) { /* by itself, or because the other one says so */
        assert_true(n->children[i].fault.fatal);
        assert_int_equal(n->children[i].fault.err.code, ERR_TIMEOUT);
        assert_non_null(strstr(n->children[i].fault.err.text, "no sign of life"));
        assert_int_equal(child_status(n, i), err_exit_code(ERR_TIMEOUT));
    }
    node_free(n);
    beat_ms = STAGE_BEAT_MS;
}

/* A stage that crashes reports it with its last words, and every other stage of the ring ends with that reason. */
static void test_crash(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_ABORTS_LATER);
        node_run(n, all_ready);
        submit(n, 1, 5, 20, NULL);
        node_run(n, all_closed);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(n->children[i].fault.fatal);
            assert_int_equal(n->children[i].fault.err.code, ERR_CRASH);
            assert_non_null(strstr(n->children[i].fault.err.text, "signal 6"));
            assert_int_equal(child_status(n, i), i == stage ? -SIGABRT : err_exit_code(ERR_CRASH));
        }
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_CRASH); /* it was in flight */
        node_free(n);
    }
}

/* A request that was in flight at a crash is alone in flight. Two of them take turns, so the third frame is the second one of the first. */
static void test_suspect(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_ABORTS_LATER);
        node_run(n, all_ready);
        kill(n->children[0].pid, SIGSTOP); /* so that it finds both at once */
        submit_as(n, 1, 5, 20, NULL, true);
        submit(n, 2, 5, 20, NULL);
        kill(n->children[0].pid, SIGCONT);
        node_run(n, all_closed);
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_CRASH);
        assert_true(n->seen[1].failed == (stage != 0)); /* if the head itself has crashed, the node reports it */
        if (stage != 0) assert_int_equal(n->seen[1].last.err.code, ERR_UNAVAILABLE);
        node_free(n);
    }
}

/* Requests that have come while a stage was busy share a frame, but not so many that the first waits long for the last. */
static void test_requests_together(void **state) {
    (void)state;
    enum { N_REQUESTS = 6 };
    n_evals = mmap(NULL, sizeof(*n_evals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(n_evals, MAP_FAILED);
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    kill(n->children[0].pid, SIGSTOP);
    for (uint64_t id = 1; id <= N_REQUESTS; id++) submit(n, id, 2, 1, NULL);
    kill(n->children[0].pid, SIGCONT);
    node_run(n, all_answered);
    for (size_t i = 0; i < N_REQUESTS; i++) check_answer(&n->seen[i], 2, 1);
    assert_int_equal(*n_evals, 2); /* four, and the other two */
    drain(n);
    node_run(n, all_closed);
    node_free(n);
    munmap(n_evals, sizeof(*n_evals));
    n_evals = NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_stage),    cmocka_unit_test(test_three_stages),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_requests_together),
        cmocka_unit_test(test_cancel),       cmocka_unit_test(test_eval),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_engine_fault),
        cmocka_unit_test(test_stage_killed), cmocka_unit_test(test_load_fails),
        cmocka_unit_test(test_wrong_key),    cmocka_unit_test(test_wrong_node),
        cmocka_unit_test(test_node_gone),    cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_silent),       cmocka_unit_test(test_crash),
        cmocka_unit_test(test_suspect),
    };
    return cmocka_run_group_tests_name("pipeline_loop", tests, NULL, NULL);
}
