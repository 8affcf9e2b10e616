/* SPDX-License-Identifier: MIT
 * Two ends of control links in one loop, over real sockets, that dial each other at once: each hears of the other once, and everything that
 * either sends arrives, whichever of the links it went by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "members/control.h"

enum { FRAMES = 40, ROUNDS = 24 };

struct end {
    struct world *world;
    struct identity identity;
    struct io_listener *listener;
    struct control *control;
    struct io_timer *start, *talk;
    uint64_t other;
    int ups, downs;
    uint32_t said, heard;
    bool got[FRAMES];
};

struct world {
    struct io_loop *loop;
    struct io_tls_ctx *tls;
    struct end ends[2];
};

static err_code admit(void *user, const struct control_peer *peer, struct err *e) {
    (void)user, (void)peer, (void)e;
    return ERR_OK;
}

/* While any frame is unsaid one goes with each millisecond, from the very moment of the link on. */
static void talk(void *user) {
    struct end *x = user;
    uint8_t number[4];
    if (x->said == FRAMES) return;
    bytes_put_u32(number, x->said);
    if (control_send(x->control, x->other, FRAME_NODE, 0, number, sizeof(number))) x->said++;
    io_timer_start(x->talk, 1, 0);
}

static void on_up(void *user, const struct control_peer *peer) {
    struct end *x = user;
    x->ups++;
    assert_int_equal(peer->id, x->other);
    talk(x);
}

static void check_over(struct world *w) {
    if (w->ends[0].heard == FRAMES && w->ends[1].heard == FRAMES) io_loop_stop(w->loop);
}

static void on_down(void *user, const struct control_peer *peer, const struct err *why) {
    struct end *x = user;
    (void)peer, (void)why;
    x->downs++;
    io_loop_stop(x->world->loop);
}

static err_code on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct end *x = user;
    (void)e;
    assert_int_equal(peer->id, x->other);
    assert_int_equal(h->payload_len, 4);
    uint32_t number = bytes_get_u32(payload);
    assert_true(number < FRAMES && !x->got[number]);
    x->got[number] = true;
    x->heard++;
    check_over(x->world);
    return ERR_OK;
}

static void came(void *user, int fd, const struct sockaddr *peer) {
    struct end *x = user;
    control_take(x->control, fd, peer, false);
}

static void start(void *user) {
    struct end *x = user;
    struct end *other = &x->world->ends[x == &x->world->ends[0]];
    control_dial(x->control, "127.0.0.1", io_listener_port(other->listener));
}

static void end_open(struct world *w, int i) {
    static const struct control_callbacks callbacks = {.admit = admit, .on_up = on_up, .on_down = on_down, .on_frame = on_frame};
    struct end *x = &w->ends[i];
    x->world = w;
    identity_make(&x->identity);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, came, x, &x->listener, NULL), ERR_OK);
    struct control_self self = {.identity = &x->identity, .name = i ? "b" : "a", .port = io_listener_port(x->listener)};
    x->control = control_create(w->loop, w->tls, &self, &callbacks, x);
    x->start = io_timer_open(w->loop, start, x);
    x->talk = io_timer_open(w->loop, talk, x);
}

static void end_close(struct end *x) {
    control_free(x->control);
    io_listener_close(x->listener);
    io_timer_close(x->start);
    io_timer_close(x->talk);
    identity_done(&x->identity);
}

static void timed_out(void *user) {
    (void)user;
    fail_msg("the two ends did not hear all of each other in time");
}

static void turned(void *user) { io_loop_stop(((struct world *)user)->loop); }

/* Connections to both ends that say nothing, n of them; closed by the caller. The loop turns meanwhile, so that no backlog fills. */
static void be_silent(struct world *w, int *fds, size_t n) {
    struct io_addr a = {.host = "127.0.0.1"};
    struct io_timer *turn = io_timer_open(w->loop, turned, w);
    for (size_t i = 0; i < n; i++) {
        a.port = io_listener_port(w->ends[i % 2].listener);
        assert_int_equal(io_sock_connect(&a, 5000, &fds[i], NULL), ERR_OK);
        if (i % 32 != 31 && i + 1 < n) continue;
        io_timer_start(turn, 1, 0);
        io_loop_run(w->loop);
    }
    io_timer_close(turn);
}

/* after: milliseconds by which the second end dials later. silent: connections that come before. */
static void meet(uint64_t after, bool first_is_smaller, size_t silent) {
    int *fds = mem_calloc(silent + 1, sizeof(*fds));
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    struct control_peer peers[4];
    struct world *w = MEM_NEW(struct world);
    w->loop = io_loop_create();
    w->tls = io_tls_ctx_create(key, NULL);
    struct io_timer *guard = io_timer_open(w->loop, timed_out, w);
    io_timer_start(guard, silent > 0 ? 8000 : 20000, 0); /* those that are silent would be gone after ten seconds */
    end_open(w, 0);
    end_open(w, 1);
    for (int i = 0; i < 2; i++) w->ends[i].other = w->ends[!i].identity.id;
    be_silent(w, fds, silent);
    int first = (w->ends[0].identity.id < w->ends[1].identity.id) == first_is_smaller ? 0 : 1;
    io_timer_start(w->ends[first].start, 1, 0);
    io_timer_start(w->ends[!first].start, 1 + after, 0);
    io_loop_run(w->loop);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(w->ends[i].ups, 1);
        assert_int_equal(w->ends[i].downs, 0);
        assert_int_equal(w->ends[i].heard, FRAMES);
        assert_int_equal(control_peers(w->ends[i].control, peers, 4), 1);
    }
    end_close(&w->ends[0]); /* the other is told once, whatever links there were */
    io_loop_run(w->loop);
    assert_int_equal(w->ends[1].downs, 1);
    assert_int_equal(control_peers(w->ends[1].control, peers, 4), 0);
    end_close(&w->ends[1]);
    for (size_t i = 0; i < silent; i++) close(fds[i]);
    free(fds);
    io_timer_close(guard);
    io_loop_free(w->loop);
    io_tls_ctx_free(w->tls);
    free(w);
}

static void two_that_dial_at_once_hear_of_each_other_once(void **state) {
    (void)state;
    for (uint64_t i = 0; i < ROUNDS; i++) meet(i % 6, i % 12 < 6, 0);
}

/* As many links as each address may have, and from the addresses of the two nodes themselves. */
static void silent_ones_keep_nobody_out(void **state) {
    (void)state;
    meet(3, true, (size_t)2 * CONTROL_MAX_LINKS + 8);
}

static void stand_still(void *user) {
    (void)user;
    poll(NULL, 0, 3500); /* longer than a link may be silent */
}

/* The loop does nothing for a while: what came meanwhile is read before a link is called silent. */
static void a_process_that_stood_still_loses_no_link(void **state) {
    (void)state;
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    struct world *w = MEM_NEW(struct world);
    w->loop = io_loop_create();
    w->tls = io_tls_ctx_create(key, NULL);
    for (int i = 0; i < 2; i++) end_open(w, i);
    for (int i = 0; i < 2; i++) w->ends[i].other = w->ends[!i].identity.id;
    io_timer_start(w->ends[0].start, 1, 0);
    io_loop_run(w->loop); /* until they have heard all of each other */
    struct io_timer *still = io_timer_open(w->loop, stand_still, w), *end = io_timer_open(w->loop, turned, w);
    io_timer_start(still, 600, 0); /* after a beat */
    io_timer_start(end, 6000, 0);
    io_loop_run(w->loop);
    for (int i = 0; i < 2; i++) assert_int_equal(w->ends[i].downs, 0);
    io_timer_close(still);
    io_timer_close(end);
    end_close(&w->ends[0]);
    end_close(&w->ends[1]);
    io_loop_free(w->loop);
    io_tls_ctx_free(w->tls);
    free(w);
}

/* ---- what is logged of a try that failed ---- */

static int tries, taken[2];

/* Another program than a node, that answers in plain text. */
static void answer_plainly(void *user, int fd, const struct sockaddr *peer) {
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    struct end *x = user;
    (void)peer;
    assert_int_equal(write(fd, answer, sizeof(answer) - 1), sizeof(answer) - 1);
    taken[tries] = fd; /* open until the end: the close would overtake the answer */
    if (++tries == 2) io_loop_stop(x->world->loop);
}

static void answer_as_node(void *user, int fd, const struct sockaddr *peer) {
    struct end *x = user;
    came(user, fd, peer);
    if (++tries == 2) io_loop_stop(x->world->loop);
}

/* The log of an end that dials one who answers so, up to its second try: then the first is over. The caller frees it. */
static char *log_of_dialling(void (*answer)(void *user, int fd, const struct sockaddr *peer)) {
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    struct world *w = MEM_NEW(struct world);
    struct io_listener *listener;
    char path[] = "/tmp/caravan-test-control.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && log_to_file(path));
    tries = 0;
    w->loop = io_loop_create();
    w->tls = io_tls_ctx_create(key, NULL);
    struct io_timer *guard = io_timer_open(w->loop, timed_out, w);
    io_timer_start(guard, 20000, 0);
    end_open(w, 0);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, answer, &w->ends[0], &listener, NULL), ERR_OK);
    control_dial(w->ends[0].control, "127.0.0.1", io_listener_port(listener));
    io_loop_run(w->loop);
    end_close(&w->ends[0]);
    io_listener_close(listener);
    io_timer_close(guard);
    io_loop_free(w->loop);
    io_tls_ctx_free(w->tls);
    free(w);
    assert_true(log_to_file("/dev/null"));
    char *text = mem_calloc(1, 65536);
    assert_true(read(fd, text, 65535) >= 0);
    close(fd);
    unlink(path);
    return text;
}

static void another_program_is_told_from_a_node(void **state) {
    (void)state;
    char *log = log_of_dialling(answer_plainly);
    for (int i = 0; i < 2; i++) close(taken[i]);
    assert_non_null(strstr(log, "the TLS handshake failed: wrong version number; trying again; hint: is the other side a Caravan node?"));
    free(log);
}

/* "Busy" is how a node refuses a link that is not needed, here one with itself: that is no failure. */
static void a_link_that_is_not_needed_is_no_warning(void **state) {
    (void)state;
    char *log = log_of_dialling(answer_as_node);
    assert_null(strstr(log, "warn"));
    free(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_dial_at_once_hear_of_each_other_once), cmocka_unit_test(silent_ones_keep_nobody_out),
        cmocka_unit_test(a_process_that_stood_still_loses_no_link), cmocka_unit_test(another_program_is_told_from_a_node),
        cmocka_unit_test(a_link_that_is_not_needed_is_no_warning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
