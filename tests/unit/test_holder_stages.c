/* SPDX-License-Identifier: MIT
 * The stage children of a node, as real processes: this program is both, the node and, when it is started as `<program> stage TITLE`, a
 * child that does what its title says. How a child ends is told to the node's owner: orderly is what the node asked for, nothing else. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "holder/stages.h"
#include "wire/link.h"

enum { LOCAL_FD = 3, BEAT_MS = 50, BEAT_SLOW_MS = 5000 };

/* ---- the child ---- */

static void child_say(struct wire_link *local, enum stage_phase phase) {
    struct stage_state state = {.phase = phase};
    struct frame_header h = {.type = FRAME_STATE};
    struct buf b;
    buf_init(&b, 1 << 16);
    stage_state_encode(&state, &b);
    struct wire_part part = {.data = b.data, .len = b.len};
    if (wire_link_send(local, &h, &part, 1, NULL) != ERR_OK) _exit(9);
    buf_done(&b);
}

static void child_forever(void) {
    for (;;) poll(NULL, 0, -1);
}

static int child_main(const char *title) {
    struct wire_link *local = wire_link_local(LOCAL_FD);
    struct frame_header h;
    const uint8_t *payload;
    bool drains = strncmp(title, "drains", 6) == 0;
    if (strncmp(title, "quits", 5) == 0) return 0;
    child_say(local, strncmp(title, "drained", 7) == 0 ? STAGE_DRAINING : STAGE_READY);
    if (strncmp(title, "drained", 7) == 0) return 0;
    if (strncmp(title, "stands", 6) == 0) raise(SIGSTOP);
    if (strncmp(title, "closes", 6) == 0) {
        wire_link_close(local);
        child_forever();
    }
    while (wire_link_read(local, true, &h, &payload, NULL, NULL) == ERR_OK)
        if (h.type == FRAME_DRAIN && drains) return 0;
    return 0;
}

/* ---- the node ---- */

struct fixture {
    struct io_loop *loop;
    struct stages *stages;
    struct stage_child *child;
    void (*when_ready)(struct fixture *f); /* NULL: nothing */
    unsigned n_exits;
    struct err why;
};

static void on_state(void *user, struct stage_child *c, const struct stage_state *s) {
    struct fixture *f = user;
    (void)c;
    if (s->phase == STAGE_READY && f->when_ready) f->when_ready(f);
}

static void on_fault(void *user, struct stage_child *c, const struct stage_fault *fault) {
    (void)user;
    (void)c;
    (void)fault;
}

static void on_frame(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload) {
    (void)user;
    (void)c;
    (void)h;
    (void)payload;
}

static void on_exit_of(void *user, struct stage_child *c, const struct err *why) {
    struct fixture *f = user;
    assert_ptr_equal(c, f->child);
    f->n_exits++;
    f->why = *why;
    io_loop_stop(f->loop);
}

static const char *program;

/* Runs a child until it has ended. */
static void run_child(struct fixture *f, const char *what, void (*when_ready)(struct fixture *f)) {
    static const struct stage_child_callbacks callbacks = {
        .on_state = on_state, .on_fault = on_fault, .on_frame = on_frame, .on_exit = on_exit_of};
    struct stage_order order;
    struct err e = {0};
    *f = (struct fixture){.loop = io_loop_create(), .when_ready = when_ready};
    f->stages = stages_create(f->loop, program, &callbacks, f);
    stage_order_init(&order);
    snprintf(order.instance, sizeof(order.instance), "%s", what);
    order.epoch = 1;
    order.end = 1;
    order.beat_ms = strcmp(what, "stands") == 0 ? BEAT_MS : BEAT_SLOW_MS; /* the others may be slow to start */
    if (stages_start(f->stages, &order, &f->child, &e) != ERR_OK) fail_msg("%s", e.text);
    io_loop_run(f->loop);
    assert_int_equal(f->n_exits, 1);
    assert_int_equal(stages_count(f->stages), 0);
    stages_free(f->stages);
    io_loop_free(f->loop);
}

static void kill_hard(struct fixture *f) { kill(stage_child_pid(f->child), SIGKILL); }
static void kill_abort(struct fixture *f) { kill(stage_child_pid(f->child), SIGABRT); }
static void stop_now(struct fixture *f) { stage_child_stop(f->child, false); }
static void stop_in_order(struct fixture *f) { stage_child_stop(f->child, true); }

/* ---- tests ---- */

static void a_signal_is_no_orderly_end(void **state) {
    struct fixture f;
    (void)state;
    run_child(&f, "sleeps", kill_hard); /* the signal that the kernel sends when memory runs out */
    assert_int_equal(f.why.code, ERR_ENGINE);
    assert_non_null(strstr(f.why.text, "signal 9"));
    run_child(&f, "sleeps", kill_abort); /* as a failed assertion; sanitizers make an exit of a SIGSEGV */
    assert_int_equal(f.why.code, ERR_ENGINE);
    assert_non_null(strstr(f.why.text, "signal 6"));
}

static void an_end_that_nobody_asked_for_is_none(void **state) {
    struct fixture f;
    (void)state;
    run_child(&f, "quits", NULL);
    assert_int_equal(f.why.code, ERR_ENGINE);
    assert_non_null(strstr(f.why.text, "status 0"));
    run_child(&f, "closes", NULL); /* it lives, but nothing can be asked of it: it is ended */
    assert_int_equal(f.why.code, ERR_ENGINE);
}

/* Nothing comes of it any more, not even its end: it is ended, and that is no orderly end. */
static void a_process_that_stands_still_is_given_up(void **state) {
    struct fixture f;
    (void)state;
    run_child(&f, "stands", NULL);
    assert_int_equal(f.why.code, ERR_TIMEOUT);
    assert_non_null(strstr(f.why.text, "no sign of life"));
}

static void what_was_asked_for_is_orderly(void **state) {
    struct fixture f;
    (void)state;
    run_child(&f, "sleeps", stop_now);
    assert_int_equal(f.why.code, ERR_OK);
    run_child(&f, "drains", stop_in_order);
    assert_int_equal(f.why.code, ERR_OK);
    run_child(&f, "drained", NULL); /* the head of its ring was told to, and has said so round the ring */
    assert_int_equal(f.why.code, ERR_OK);
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "stage") == 0) _exit(child_main(argv[2])); /* its link ends with it, which no leak checker may mind */
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_no_orderly_end),
        cmocka_unit_test(an_end_that_nobody_asked_for_is_none),
        cmocka_unit_test(a_process_that_stands_still_is_given_up),
        cmocka_unit_test(what_was_asked_for_is_orderly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
