/* SPDX-License-Identifier: MIT
 * The loop, sockets and children, on real descriptors and processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/address.h"
#include "io/child.h"
#include "io/stream.h"

struct world {
    struct io_loop *loop;
    struct io_timer *guard;
    struct buf seen;
    int count;
    struct io_conn *conn, *other;
    struct io_listener *listener;
    struct io_child *child;
    int fd;
};

static void timed_out(void *user) {
    (void)user;
    fail_msg("the test took longer than a minute");
}

static int setup(void **state) {
    struct world *w = MEM_NEW(struct world);
    w->loop = io_loop_create();
    w->guard = io_timer_open(w->loop, timed_out, w);
    io_timer_start(w->guard, 60 * 1000, 0);
    buf_init(&w->seen, 64 << 20);
    w->fd = -1;
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    io_timer_close(w->guard);
    io_loop_free(w->loop);
    buf_done(&w->seen);
    free(w);
    return 0;
}

/* ---- timers and tasks ---- */

static void count_and_stop(void *user) {
    struct world *w = user;
    if (++w->count == 3) io_loop_stop(w->loop);
}

static void timer_repeats(void **state) {
    struct world *w = *state;
    struct io_timer *t = io_timer_open(w->loop, count_and_stop, w);
    io_timer_start(t, 1, 1);
    io_loop_run(w->loop);
    assert_int_equal(w->count, 3);
    io_timer_close(t);
}

struct letter {
    struct world *w;
    char c;
    struct io_task task, *post, *cancel;
};

static void write_letter(void *user) {
    struct letter *l = user;
    buf_append_byte(&l->w->seen, (uint8_t)l->c);
    if (l->post != NULL) io_task_post(l->w->loop, l->post);
    if (l->cancel != NULL) io_task_cancel(l->cancel);
    if (l->c == 'z') io_loop_stop(l->w->loop);
}

static void tasks_run_in_order_and_cancel(void **state) {
    struct world *w = *state;
    struct letter a = {.w = w, .c = 'a'}, b = {.w = w, .c = 'b'}, c = {.w = w, .c = 'c'}, d = {.w = w, .c = 'd'}, z = {.w = w, .c = 'z'};
    struct letter *all[] = {&a, &b, &c, &d, &z};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) all[i]->task = (struct io_task){.fn = write_letter, .user = all[i]};
    a.post = &z.task;   /* posted from a task: the next turn */
    b.cancel = &c.task; /* cancelled while it waits in the turn that runs */
    io_task_post(w->loop, &a.task);
    io_task_post(w->loop, &b.task);
    io_task_post(w->loop, &a.task); /* waits already: nothing */
    io_task_post(w->loop, &c.task);
    io_task_post(w->loop, &d.task);
    io_loop_run(w->loop);
    assert_string_equal(buf_cstr(&w->seen), "abdz");
    io_task_post(w->loop, &a.task);
    io_task_cancel(&a.task);
    io_task_post(w->loop, &d.task); /* the list's end was cancelled: it must still take new ones */
    io_task_post(w->loop, &z.task);
    a.post = NULL;
    io_loop_run(w->loop);
    assert_string_equal(buf_cstr(&w->seen), "abdzdz");
}

static double cpu_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* A loop that has nothing to do sleeps, though a task kept it awake that was cancelled before its turn. */
static void cancelled_task_lets_it_sleep(void **state) {
    struct world *w = *state;
    struct letter a = {.w = w, .c = 'a'};
    a.task = (struct io_task){.fn = write_letter, .user = &a};
    io_task_post(w->loop, &a.task);
    io_task_cancel(&a.task);
    struct io_timer *t = io_timer_open(w->loop, count_and_stop, w);
    w->count = 2;
    io_timer_start(t, 400, 0);
    double before = cpu_seconds();
    io_loop_run(w->loop);
    assert_true(cpu_seconds() - before < 0.1);
    io_timer_close(t);
}

/* ---- wake ---- */

static void *send_wakes(void *user) {
    for (int i = 0; i < 1000; i++) io_wake_send(user);
    return NULL;
}

static void on_wake(void *user) {
    struct world *w = user;
    w->count++;
    io_loop_stop(w->loop);
}

static void wake_from_another_thread(void **state) {
    struct world *w = *state;
    struct io_wake *wake = io_wake_open(w->loop, on_wake, w);
    pthread_t thread;
    pthread_create(&thread, NULL, send_wakes, wake);
    io_loop_run(w->loop);
    pthread_join(thread, NULL);
    assert_true(w->count >= 1 && w->count <= 1000);
    io_wake_close(wake);
}

/* ---- children ---- */

static void on_exit_status(void *user, int status, int signo) {
    struct world *w = user;
    buf_printf(&w->seen, "%d/%d ", status, signo);
    io_child_close(w->child);
    io_loop_stop(w->loop);
}

static struct io_child *start_shell(struct world *w, const char *script, int fd) {
    static const char *const env[] = {"CARAVAN_TEST_ADDED=more", "PATH=not this", NULL};
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct io_child_options o = {.argv = argv, .env = env, .fd = fd};
    struct err e = {0};
    struct io_child *c = NULL;
    assert_int_equal(io_child_start(w->loop, &o, on_exit_status, w, &c, &e), ERR_OK);
    return c;
}

static void child_exit_and_signal(void **state) {
    struct world *w = *state;
    w->child = start_shell(w, "exit 7", -1);
    io_loop_run(w->loop);
    w->child = start_shell(w, "exec sleep 30", -1);
    io_child_kill(w->child, SIGKILL);
    io_loop_run(w->loop);
    assert_string_equal(buf_cstr(&w->seen), "7/0 -1/9 ");
}

static void child_gets_what_the_environment_lacks(void **state) {
    struct world *w = *state;
    setenv("PATH", "/usr/bin:/bin", 0);
    w->child = start_shell(w, "test \"$CARAVAN_TEST_ADDED\" = more && test \"$PATH\" != 'not this' && exit 5", -1);
    io_loop_run(w->loop);
    assert_string_equal(buf_cstr(&w->seen), "5/0 ");
}

static void child_gets_descriptor_three(void **state) {
    struct world *w = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    w->child = start_shell(w, "read x <&3; echo \"got $x\" >&3; ls /proc/self/fd >&3", pair[1]);
    close(pair[1]);
    assert_int_equal(write(pair[0], "hello\n", 6), 6);
    io_loop_run(w->loop);
    char text[256] = "";
    ssize_t n = read(pair[0], text, sizeof(text) - 1);
    assert_true(n > 0);
    assert_non_null(strstr(text, "got hello\n"));
    assert_null(strstr(text, "\n5")); /* 0 1 2 3, and ls's own 4: nothing else was inherited */
    assert_string_equal(buf_cstr(&w->seen), "0/0 ");
    close(pair[0]);
}

/* A child gets no variable that this process has by accident or as a secret. */
static void child_gets_nothing_else(void **state) {
    struct world *w = *state;
    int pair[2], inherited = dup(STDERR_FILENO); /* as from a shell: it stays open over exec */
    assert_true(inherited > 2);
    assert_int_equal(fcntl(inherited, F_DUPFD, 20), 20);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    setenv("HF_TOKEN", "hf_secret", 1);
    setenv("CARAVAN_API_KEY_FILE", "secret", 1);
    setenv("GGML_VK_VISIBLE_DEVICES", "7", 1);
    setenv("HOMER", "no", 1); /* names are compared whole */
    w->child = start_shell(w, "env >&3; echo stdin:$(cat | wc -c) >&3; for i in /proc/$$/fd/*; do echo \"<${i##*/}>\" >&3; done", pair[1]);
    close(pair[1]);
    io_loop_run(w->loop);
    char text[8192] = "";
    assert_true(read(pair[0], text, sizeof(text) - 1) > 0);
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "HOMER"));
    assert_non_null(strstr(text, "GGML_VK_VISIBLE_DEVICES=7\n"));
    assert_non_null(strstr(text, "stdin:0\n"));
    assert_non_null(strstr(text, "<3>\n"));
    assert_null(strstr(text, "<20>"));
    char name[16];
    snprintf(name, sizeof(name), "<%d>", inherited);
    if (inherited != 3) assert_null(strstr(text, name));
    close(inherited);
    close(20);
    close(pair[0]);
}

static void child_that_cannot_start(void **state) {
    struct world *w = *state;
    const char *argv[] = {"/no/such/program", NULL};
    struct io_child_options o = {.argv = argv, .fd = -1};
    struct err e = {0};
    struct io_child *c = NULL;
    assert_int_equal(io_child_start(w->loop, &o, on_exit_status, w, &c, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "/no/such/program"));
    assert_null(c);
}

/* A process in between starts a child through the loop and is killed: its child must die too. */
static void child_dies_with_its_parent(void **state) {
    struct world *w = *state;
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct io_loop *loop = io_loop_create();
        struct world inner = {.loop = loop};
        struct io_child *c = start_shell(&inner, "echo up >&3; exec sleep 30", out[1]);
        (void)c;
        for (;;) pause();
    }
    close(out[1]);
    char text[8] = "";
    assert_int_equal(read(out[0], text, 3), 3); /* it runs, and holds the pipe's other end */
    kill(middle, SIGKILL);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    struct pollfd end = {.fd = out[0], .events = POLLIN};
    assert_int_equal(poll(&end, 1, 60000), 1);
    assert_int_equal(read(out[0], text, sizeof(text)), 0); /* the end: all copies are closed */
    close(out[0]);
    (void)w;
}

/* ---- connections ---- */

static void append_read(void *user, const uint8_t *data, size_t len) {
    struct world *w = user;
    buf_append(&w->seen, data, len);
}

static void stop_at_end(void *user, err_code code) {
    struct world *w = user;
    w->count = (int)code;
    io_loop_stop(w->loop);
}

static void note_drain(void *user) {
    struct world *w = user;
    w->fd = 1;
}

static const struct io_conn_callbacks reader = {.on_read = append_read, .on_end = stop_at_end};
static const struct io_conn_callbacks writer = {.on_read = append_read, .on_end = stop_at_end, .on_drain = note_drain};

static void conn_moves_everything_and_ends(void **state) {
    struct world *w = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct io_conn *from = io_conn_open(w->loop, pair[0], 1000, 32 << 20, &writer, w),
                   *to = io_conn_open(w->loop, pair[1], 1000, 1000, &reader, w);
    size_t len = 16 << 20;
    uint8_t *data = mem_alloc(len);
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(i * 31 >> 8);
    assert_false(io_conn_write(from, data, len)); /* past the high-water mark */
    io_conn_shutdown(from);
    io_loop_run(w->loop); /* until `to` sees the end */
    assert_int_equal(w->count, ERR_CLOSED);
    assert_int_equal(w->seen.len, len);
    assert_memory_equal(w->seen.data, data, len);
    assert_int_equal(w->fd, 1); /* on_drain came */
    io_conn_close(from);
    io_conn_close(to);
    free(data);
}

static void conn_queue_is_bounded(void **state) {
    struct world *w = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct io_conn *c = io_conn_open(w->loop, pair[0], 1000, 1 << 20, &writer, w); /* pair[1] is never read */
    static uint8_t data[64 * 1024];
    for (int i = 0; i < 64 && io_conn_queued(c) < (1 << 20) - sizeof(data); i++) io_conn_write(c, data, sizeof(data));
    assert_int_equal(w->count, 0);
    io_conn_write(c, data, sizeof(data));
    io_conn_write(c, data, sizeof(data));
    assert_true(io_conn_queued(c) <= 1 << 20);
    io_loop_run(w->loop);
    assert_int_equal(w->count, ERR_LIMIT);
    io_conn_close(c);
    close(pair[1]);
}

static void close_inside_read(void *user, const uint8_t *data, size_t len) {
    struct world *w = user;
    (void)data;
    w->count += (int)len;
    io_conn_close(w->conn);
    w->conn = NULL;
    io_loop_stop(w->loop);
}

static void conn_closed_inside_its_callback(void **state) {
    struct world *w = *state;
    static const struct io_conn_callbacks closing = {.on_read = close_inside_read, .on_end = stop_at_end};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    w->conn = io_conn_open(w->loop, pair[0], 1000, 1000, &closing, w);
    assert_int_equal(write(pair[1], "bye", 3), 3);
    io_loop_run(w->loop);
    assert_int_equal(w->count, 3);
    close(pair[1]);
}

/* ---- listener and dial ---- */

static void on_accept(void *user, int fd, const struct sockaddr *peer) {
    struct world *w = user;
    assert_true(io_address_is_loopback(peer));
    if (w->other == NULL) w->other = io_conn_open(w->loop, fd, 1000, 1000, &reader, w);
    else close(fd);
    w->count++;
}

static void on_dialled(void *user, err_code code, int fd, const struct err *e) {
    struct world *w = user;
    buf_printf(&w->seen, "%s ", e != NULL ? e->text : "connected");
    if (code == ERR_OK) {
        assert_int_equal(write(fd, "!", 1), 1);
        close(fd);
    } else {
        io_loop_stop(w->loop);
    }
}

static void dial_reaches_a_listener(void **state) {
    struct world *w = *state;
    struct err e = {0};
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, on_accept, w, &w->listener, &e), ERR_OK);
    uint16_t port = io_listener_port(w->listener);
    assert_true(port > 0);
    io_dial_start(w->loop, "localhost", port, 5000, on_dialled, w);
    io_loop_run(w->loop); /* until the accepted side has read "!" and the end */
    assert_string_equal(buf_cstr(&w->seen), "connected !");
    io_conn_close(w->other);
    io_listener_close(w->listener);
    buf_clear(&w->seen);
    io_dial_start(w->loop, "127.0.0.1", port, 5000, on_dialled, w); /* the listener is closed */
    io_loop_run(w->loop);
    assert_non_null(strstr(buf_cstr(&w->seen), "Connection refused"));
    buf_clear(&w->seen);
    io_dial_start(w->loop, "no-such-host.invalid", port, 5000, on_dialled, w);
    io_loop_run(w->loop);
    assert_non_null(strstr(buf_cstr(&w->seen), "no-such-host.invalid"));
}

static void assert_in_file(int fd, const char *what, size_t times) {
    char text[64 * 1024] = "";
    size_t n = 0;
    assert_true(pread(fd, text, sizeof(text) - 1, 0) >= 0);
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) n++;
    assert_int_equal(n, times);
}

static void stop_loop(void *user) { io_loop_stop(((struct world *)user)->loop); }

/* At the limit of descriptors the listener must wait, not spin, and go on when descriptors are there again. */
static void listener_survives_no_descriptors(void **state) {
    struct world *w = *state;
    struct err e = {0};
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, on_accept, w, &w->listener, &e), ERR_OK);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(io_listener_port(w->listener)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    int held[4096], log = memfd_create("log", MFD_CLOEXEC), old_log = dup(STDERR_FILENO);
    size_t n = 0;
    struct rlimit old, low;
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 256;
    setrlimit(RLIMIT_NOFILE, &low);
    while (n < ARRAY_LEN(held) && (held[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) n++;
    struct io_timer *t = io_timer_open(w->loop, stop_loop, w);
    io_timer_start(t, 300, 0);
    dup2(log, STDERR_FILENO);
    io_loop_run(w->loop);
    dup2(old_log, STDERR_FILENO);
    assert_int_equal(w->count, 0);
    assert_in_file(log, "Too many open files", 1); /* tried once in these 300 ms */
    close(log);
    close(old_log);
    while (n > 0) close(held[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    io_timer_start(t, 1200, 0);
    io_loop_run(w->loop);
    assert_int_equal(w->count, 1);
    io_timer_close(t);
    io_conn_close(w->other);
    io_listener_close(w->listener);
    close(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timer_repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_run_in_order_and_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(cancelled_task_lets_it_sleep, setup, teardown),
        cmocka_unit_test_setup_teardown(wake_from_another_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(child_exit_and_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(child_gets_what_the_environment_lacks, setup, teardown),
        cmocka_unit_test_setup_teardown(child_gets_descriptor_three, setup, teardown),
        cmocka_unit_test_setup_teardown(child_gets_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(child_that_cannot_start, setup, teardown),
        cmocka_unit_test_setup_teardown(child_dies_with_its_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(conn_moves_everything_and_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(conn_queue_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(conn_closed_inside_its_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(dial_reaches_a_listener, setup, teardown),
        cmocka_unit_test_setup_teardown(listener_survives_no_descriptors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
