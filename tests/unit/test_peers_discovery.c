/* SPDX-License-Identifier: MIT
 * The node's side of discovery. The helper is a child process, here this program again: it reads packets from anybody, so its lines are
 * believed only as far as they are of this cluster, its death is no harm, and it does not outlive the node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "peers/discovery.h"

static const char *program;

enum { LINK = 3, SELF_ID = 5 };

/* ---- the helper, `<program> discover` ---- */

/* Both processes know this file by the node's process id. */
static void file_of(pid_t node, char ret[64]) { snprintf(ret, 64, "/tmp/caravan-discovery.%d", (int)node); }

static void put(const void *data, size_t len) {
    if (write(LINK, data, len) != (ssize_t)len) _exit(9);
}

static void put_line(enum discovery_kind kind, uint64_t id, const char *cluster) {
    struct discovery_line l = {.kind = kind, .id = id, .port = 4711, .text = "hello"};
    struct buf b;
    snprintf(l.name, sizeof(l.name), "n%u", (unsigned)id);
    snprintf(l.host, sizeof(l.host), "10.0.0.%u", (unsigned)id);
    snprintf(l.cluster, sizeof(l.cluster), "%s", cluster);
    buf_init(&b, DISCOVERY_MAX_LINE);
    discovery_line_encode(&l, &b);
    put(b.data, b.len / 2); /* lines come in pieces */
    put(b.data + b.len / 2, b.len - b.len / 2);
    buf_done(&b);
}

static void everything(const char *cluster) {
    put_line(DISCOVERY_FOUND, 7, cluster);
    put_line(DISCOVERY_FOUND, 8, "fedcba9876543210");
    put_line(DISCOVERY_GONE, 8, "fedcba9876543210");
    put_line(DISCOVERY_FOUND, SELF_ID, cluster);
    put_line(DISCOVERY_SAY, 0, "");
    put("no JSON\n\n{}\n", 12);
    put_line(DISCOVERY_GONE, 7, cluster);
    put_line(DISCOVERY_FOUND, 9, cluster);
}

static void without_end(void) {
    static char line[3 * DISCOVERY_MAX_LINE];
    memset(line, 'x', sizeof(line));
    put(line, sizeof(line));
}

static int helper(void) {
    char text[DISCOVERY_MAX_LINE], names[DISCOVERY_MAX_INTERFACES][16], path[64];
    struct discovery_line self;
    size_t n_names;
    file_of(getppid(), path);
    ssize_t n = read(LINK, text, sizeof(text));
    if (n <= 0 || discovery_line_decode(text, (size_t)n - 1, &self, names, &n_names, NULL) != ERR_OK) return 9;
    if (self.kind != DISCOVERY_SELF || self.id != SELF_ID || self.port != 4000 || n_names != 1) return 9;
    bool again = access(path, F_OK) == 0;
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    flock(fd, LOCK_EX);
    if (strcmp(self.name, "fails") == 0 && !again) return 3;
    if (strcmp(self.name, "endless") == 0 && !again) without_end();
    else everything(self.cluster);
    for (;;) pause();
}

/* ---- the node ---- */

struct watch {
    struct io_loop *loop;
    struct io_timer *turn;
    struct discovery *discovery;
    unsigned n_found, n_gone;
    uint64_t found[8], gone[8];
};

static void turned(void *user) { io_loop_stop(((struct watch *)user)->loop); }

static void on_found(void *user, const struct discovery_line *l) {
    struct watch *w = user;
    assert_true(w->n_found < 8 && l->port == 4711);
    w->found[w->n_found++] = l->id;
}

static void on_gone(void *user, const struct discovery_line *l) {
    struct watch *w = user;
    assert_true(w->n_gone < 8);
    w->gone[w->n_gone++] = l->id;
}

static void watch_open(struct watch *w, const char *name) {
    static const char *const interfaces[] = {"lo"};
    struct discovery_line self = {.id = SELF_ID, .port = 4000, .cluster = "0123456789abcdef", .interfaces = interfaces, .n_interfaces = 1};
    snprintf(self.name, sizeof(self.name), "%s", name);
    *w = (struct watch){.loop = io_loop_create()};
    w->turn = io_timer_open(w->loop, turned, w);
    w->discovery = discovery_start(w->loop, program, &self, on_found, on_gone, w);
}

static void watch_close(struct watch *w) {
    char path[64];
    discovery_free(w->discovery);
    io_timer_close(w->turn);
    io_loop_free(w->loop);
    file_of(getpid(), path);
    unlink(path);
}

/* Waits for the last line that the helper sends. */
static void watch_all(struct watch *w) {
    alarm(60);
    while (w->n_found == 0 || w->found[w->n_found - 1] != 9) {
        io_timer_start(w->turn, 1, 0);
        io_loop_run(w->loop);
    }
    alarm(0);
    assert_true(w->n_found == 2 && w->found[0] == 7);
    assert_true(w->n_gone == 1 && w->gone[0] == 7);
}

/* ---- tests ---- */

static void nodes_of_this_cluster_are_passed_on(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w, "works");
    watch_all(&w);
    watch_close(&w);
}

static void a_helper_that_ends_is_started_again(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w, "fails");
    watch_all(&w);
    watch_close(&w);
}

static void a_line_without_end_ends_the_helper(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w, "endless");
    watch_all(&w);
    watch_close(&w);
}

static void no_helper_outlives_the_node(void **state) {
    (void)state;
    struct watch w;
    char path[64];
    watch_open(&w, "works");
    watch_all(&w); /* so the helper holds its file's lock */
    discovery_free(w.discovery);
    w.discovery = NULL;
    file_of(getpid(), path);
    int fd = open(path, O_RDWR);
    alarm(60);
    assert_int_equal(flock(fd, LOCK_EX), 0); /* waits until it has ended */
    alarm(0);
    close(fd);
    watch_close(&w);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "discover") == 0) return helper();
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_of_this_cluster_are_passed_on),
        cmocka_unit_test(a_helper_that_ends_is_started_again),
        cmocka_unit_test(a_line_without_end_ends_the_helper),
        cmocka_unit_test(no_helper_outlives_the_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
