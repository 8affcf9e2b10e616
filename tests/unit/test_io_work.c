/* SPDX-License-Identifier: MIT
 * Work that blocks: the loop and other work go on, and closing doesn't wait for it. The jobs block on pipes that the test writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/work.h"

struct job {
    struct io_loop *loop;
    int in[2];      /* it runs until a byte comes here */
    int freed[2];   /* a byte goes here when it is freed */
    unsigned *done; /* counts */
};

static void job_run(void *user) {
    struct job *j = user;
    char byte;
    assert_int_equal(read(j->in[0], &byte, 1), 1);
}

static void job_done(void *user) {
    struct job *j = user;
    ++*j->done;
    io_loop_stop(j->loop);
}

static void job_free(void *user) {
    struct job *j = user;
    int freed = j->freed[1];
    close(j->in[0]);
    free(j);
    assert_int_equal(write(freed, "f", 1), 1);
}

static const struct io_work work = {.run = job_run, .done = job_done, .free = job_free};

static struct job *job_make(struct io_loop *loop, unsigned *done) {
    struct job *j = MEM_NEW(struct job);
    *j = (struct job){.loop = loop, .done = done};
    assert_true(pipe(j->in) == 0 && pipe(j->freed) == 0);
    return j;
}

/* Ends the job's run. */
static void release(int fd) {
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void await_free(int fd) {
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
}

static void the_loop_and_other_work_go_on(void **state) {
    (void)state;
    struct io_loop *loop = io_loop_create();
    struct io_works *w = io_works_open(loop, 2);
    struct err e = {0};
    unsigned done = 0;
    struct job *slow = job_make(loop, &done), *quick = job_make(loop, &done), *third = job_make(loop, &done);
    int slow_in = slow->in[1], quick_in = quick->in[1], slow_freed = slow->freed[0], quick_freed = quick->freed[0];
    assert_int_equal(io_works_start(w, &work, slow, &e), ERR_OK);
    assert_int_equal(io_works_start(w, &work, quick, &e), ERR_OK);
    assert_int_equal(io_works_count(w), 2);
    assert_int_equal(io_works_start(w, &work, third, &e), ERR_BUSY); /* and the job is still ours */
    release(quick_in);
    io_loop_run(loop);
    assert_int_equal(done, 1);
    await_free(quick_freed);
    assert_int_equal(io_works_count(w), 1);
    int third_in = third->in[1], third_freed = third->freed[0];
    assert_int_equal(io_works_start(w, &work, third, &e), ERR_OK);
    release(third_in);
    io_loop_run(loop);
    await_free(third_freed);
    release(slow_in);
    io_loop_run(loop);
    await_free(slow_freed);
    assert_int_equal(done, 3);
    io_works_close(w);
    io_loop_free(loop);
}

static void nobody_waits_for_it_at_the_end(void **state) {
    (void)state;
    struct io_loop *loop = io_loop_create();
    struct io_works *w = io_works_open(loop, 1);
    unsigned done = 0;
    struct job *j = job_make(loop, &done);
    int in = j->in[1], freed = j->freed[0];
    assert_int_equal(io_works_start(w, &work, j, NULL), ERR_OK);
    io_works_close(w);
    io_loop_free(loop);
    release(in); /* now it ends, and frees its job itself */
    await_free(freed);
    assert_int_equal(done, 0);
}

static void what_was_not_delivered_is_freed(void **state) {
    (void)state;
    struct io_loop *loop = io_loop_create();
    struct io_works *w = io_works_open(loop, 1);
    unsigned done = 0;
    struct job *j = job_make(loop, &done);
    int in = j->in[1], freed = j->freed[0];
    assert_int_equal(io_works_start(w, &work, j, NULL), ERR_OK);
    release(in);
    io_works_close(w); /* its thread may have ended, or not */
    await_free(freed);
    assert_int_equal(done, 0);
    io_loop_free(loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_loop_and_other_work_go_on), cmocka_unit_test(nobody_waits_for_it_at_the_end),
                                       cmocka_unit_test(what_was_not_delivered_is_freed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
