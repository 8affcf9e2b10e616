/* SPDX-License-Identifier: MIT
 * Connections that another node is asked to make, over real links and sockets: when one is asked for, what it begins with, and to whom it
 * is given; what a hostile member gets from CALLs without end, of wrong sizes, and with tokens of its own choice: at most 16 connections
 * at a time, all to the address of its own link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/sock.h"
#include "peers/callback.h"
#include "wire/stage.h"

enum { MEMBERS = 5, EACH = 16, ALL = 64, WANTS = 256, MAX_CALLS = 512 };

/* The node under test, or a member. */
struct end {
    struct world *world;
    struct identity identity;
    struct io_listener *listener;
    struct control *control;
    struct io_listener *port; /* of a member: where it says that it listens */
    uint16_t number;
    bool up;
    unsigned n_came;          /* connections at the port */
    int came[MAX_CALLS];      /* owned */
    unsigned n_calls;         /* CALLs that it has heard */
    uint64_t calls[MAX_CALLS];
};
struct world {
    struct io_loop *loop;
    struct io_timer *turn;
    struct io_tls_ctx *tls;
    struct news news;
    struct records records;
    struct reach *reach;
    struct callback *callback;
    struct end node, members[MEMBERS];
    unsigned n_adopted;
    int adopted[MAX_CALLS]; /* owned */
};

static err_code admit(void *user, const struct control_peer *peer, struct err *e) {
    (void)user, (void)peer, (void)e;
    return ERR_OK;
}

static void on_up(void *user, const struct control_peer *peer) {
    (void)peer;
    ((struct end *)user)->up = true;
}

static void on_down(void *user, const struct control_peer *peer, const struct err *why) { (void)user, (void)peer, (void)why; }

static err_code on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct end *x = user;
    struct stage_call call;
    (void)peer;
    assert_int_equal(h->type, FRAME_CALL);
    assert_int_equal(field_decode(stage_call_fields(), payload, h->payload_len, &call, e), ERR_OK);
    assert_true(x->n_calls < MAX_CALLS);
    x->calls[x->n_calls++] = call.token;
    return ERR_OK;
}

static void came(void *user, int fd, const struct sockaddr *peer) { control_take(((struct end *)user)->control, fd, peer, false); }

static void came_to_port(void *user, int fd, const struct sockaddr *peer) {
    struct end *x = user;
    (void)peer;
    assert_true(x->n_came < MAX_CALLS);
    x->came[x->n_came++] = fd;
}

static void adopt(void *user, int fd) {
    struct world *w = user;
    assert_true(w->n_adopted < MAX_CALLS);
    w->adopted[w->n_adopted++] = fd;
}

static void end_open(struct world *w, struct end *x, const char *name) {
    static const struct control_callbacks callbacks = {.admit = admit, .on_up = on_up, .on_down = on_down, .on_frame = on_frame};
    x->world = w;
    identity_make(&x->identity);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, came, x, &x->listener, NULL), ERR_OK);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, came_to_port, x, &x->port, NULL), ERR_OK);
    x->number = io_listener_port(x->port);
    struct control_self self = {.identity = &x->identity, .name = name, .port = x->number};
    x->control = control_create(w->loop, w->tls, &self, &callbacks, x);
}

static void end_close(struct end *x) {
    control_free(x->control);
    io_listener_close(x->listener);
    io_listener_close(x->port);
    identity_done(&x->identity);
    for (unsigned i = 0; i < x->n_came; i++) close(x->came[i]);
}

static void turned(void *user) { io_loop_stop(((struct world *)user)->loop); }
static void nothing(void *user) { (void)user; }

static void turn(struct world *w) {
    io_timer_start(w->turn, 1, 0);
    io_loop_run(w->loop);
}

static void until(struct world *w, const unsigned *count, unsigned n) {
    alarm(60);
    while (*count < n) turn(w);
    alarm(0);
}

/* Lets everything happen that is on its way: on loopback that takes a turn or two. */
static void settle(struct world *w) {
    for (int i = 0; i < 20; i++) turn(w);
}

static struct world *world_open(int n) {
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    struct world *w = MEM_NEW(struct world);
    w->loop = io_loop_create();
    w->turn = io_timer_open(w->loop, turned, w);
    w->tls = io_tls_ctx_create(key, NULL);
    news_init(&w->news, w->loop, nothing, NULL);
    end_open(w, &w->node, "node");
    w->reach = reach_create(&(struct reach_parts){.loop = w->loop, .control = w->node.control, .news = &w->news});
    w->callback = callback_create(&(struct callback_parts){.loop = w->loop,
                                                           .self = w->node.identity.id,
                                                           .control = w->node.control,
                                                           .reach = w->reach,
                                                           .records = &w->records,
                                                           .adopt = adopt,
                                                           .user = w});
    for (int i = 0; i < n; i++) {
        struct end *m = &w->members[i];
        end_open(w, m, "member");
        control_dial(m->control, "127.0.0.1", io_listener_port(w->node.listener));
        alarm(60);
        struct control_peer peer;
        while (!m->up || !control_find(w->node.control, m->identity.id, &peer)) turn(w);
        alarm(0);
    }
    return w;
}

static void world_close(struct world *w) {
    callback_free(w->callback);
    reach_free(w->reach);
    records_done(&w->records);
    end_close(&w->node);
    for (int i = 0; i < MEMBERS; i++)
        if (w->members[i].control) end_close(&w->members[i]);
    for (unsigned i = 0; i < w->n_adopted; i++) close(w->adopted[i]);
    news_done(&w->news);
    io_timer_close(w->turn);
    io_loop_free(w->loop);
    io_tls_ctx_free(w->tls);
    free(w);
}

static void until_reach(struct world *w, const struct end *m, enum record_reach want) {
    alarm(60);
    while (reach_of(w->reach, m->identity.id) != want) {
        reach_tick(w->reach);
        turn(w);
    }
    alarm(0);
}

/* The node cannot connect to the member, which says that it can connect to the node and knows CALL. */
static struct record *shut_in(struct world *w, struct end *m) {
    struct record *r = MEM_NEW(struct record);
    io_listener_close(m->port);
    m->port = NULL;
    until_reach(w, m, RECORD_REACH_NO);
    r->id = m->identity.id;
    r->calls = true;
    r->n_peers = 1;
    r->peers[0] = (struct record_peer){.id = w->node.identity.id, .reach = RECORD_REACH_YES};
    records_put(&w->records, r, true, 1);
    return r;
}

/* Asks for a connection; returns the end at which it will be passed over. */
static int ask(struct world *w, uint64_t node) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    callback_ask(w->callback, node, ends[1]);
    return ends[0];
}

/* Has the end been closed, and nothing said before? */
static bool is_closed(int reply) {
    char c;
    return recv(reply, &c, 1, MSG_PEEK) == 0;
}

/* A connection comes that begins with this token. Returns the member's end of it. */
static int come_back(struct world *w, uint64_t token) {
    uint8_t head[CALLBACK_SIZE] = "CRVNBACK";
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    bytes_put_u64(head + 8, token);
    assert_true(callback_is(head, sizeof(head)));
    callback_came(w->callback, head, ends[1]);
    return ends[0];
}

/* ---- asking ---- */

static void the_connection_goes_to_whoever_asked_for_it(void **state) {
    (void)state;
    struct world *w = world_open(1);
    struct end *m = &w->members[0];
    char text[8];
    size_t n;
    int fd = -1;
    shut_in(w, m);
    int first = ask(w, m->identity.id), second = ask(w, m->identity.id);
    until(w, &m->n_calls, 2);
    assert_true(m->calls[0] != m->calls[1]);
    int back = come_back(w, m->calls[1]);
    assert_int_equal(io_sock_recv_fd(second, text, sizeof(text), &n, &fd, NULL), ERR_OK);
    assert_int_equal(send(back, "hello", 5, 0), 5);
    assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
    assert_memory_equal(text, "hello", 5);
    assert_true(is_closed(second)); /* that was all */
    assert_false(is_closed(first));
    int again = come_back(w, m->calls[1]); /* a token serves once */
    assert_true(is_closed(again));
    int guess = come_back(w, m->calls[0] + 1);
    assert_true(is_closed(guess));
    assert_false(is_closed(first)); /* and still waits for its own */
    int late = come_back(w, m->calls[0]);
    int given = -1;
    assert_int_equal(io_sock_recv_fd(first, text, sizeof(text), &n, &given, NULL), ERR_OK);
    const int all[] = {first, second, fd, back, again, guess, late, given};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) close(all[i]);
    world_close(w);
}

/* Closed at once, and nobody is asked. */
static void assert_not_asked(struct world *w, uint64_t node) {
    int reply = ask(w, node);
    assert_true(is_closed(reply));
    close(reply);
}

static void nobody_is_asked_in_vain(void **state) {
    (void)state;
    struct world *w = world_open(2);
    struct end *m = &w->members[0], *open = &w->members[1];
    assert_not_asked(w, 12345);                /* no such node */
    assert_not_asked(w, open->identity.id);    /* it has not been tried whether this node can connect to it */
    struct record *r = shut_in(w, m), *of_open = MEM_NEW(struct record);
    *of_open = (struct record){.id = open->identity.id, .calls = true, .n_peers = 1, .peers = {r->peers[0]}};
    records_put(&w->records, of_open, true, 1);
    until_reach(w, open, RECORD_REACH_YES);
    assert_not_asked(w, open->identity.id); /* this node can connect to it */
    r->calls = false;
    assert_not_asked(w, m->identity.id);
    r->calls = true;
    r->peers[0].reach = RECORD_REACH_NO; /* it cannot connect here either */
    assert_not_asked(w, m->identity.id);
    r->peers[0].reach = RECORD_REACH_UNKNOWN;
    assert_not_asked(w, m->identity.id);
    settle(w);
    assert_int_equal(m->n_calls, 0);
    assert_int_equal(open->n_calls, 0);
    r->peers[0].reach = RECORD_REACH_YES;
    int reply = ask(w, m->identity.id);
    until(w, &m->n_calls, 1);
    assert_false(is_closed(reply));
    close(reply);
    world_close(w);
}

static void so_many_wait_and_no_more(void **state) {
    (void)state;
    struct world *w = world_open(1);
    struct end *m = &w->members[0];
    int replies[WANTS];
    shut_in(w, m);
    for (int i = 0; i < WANTS; i++) {
        replies[i] = ask(w, m->identity.id);
        assert_false(is_closed(replies[i]));
    }
    assert_not_asked(w, m->identity.id);
    until(w, &m->n_calls, WANTS);
    close(come_back(w, m->calls[7])); /* one place is free again */
    int more = ask(w, m->identity.id);
    assert_false(is_closed(more));
    callback_free(w->callback); /* none of them waits for ever */
    w->callback = NULL;
    assert_true(is_closed(more));
    for (int i = 0; i < WANTS; i++) assert_true(i == 7 || is_closed(replies[i]));
    for (int i = 0; i < WANTS; i++) close(replies[i]);
    close(more);
    world_close(w);
}

/* ---- being asked ---- */

static err_code call(struct world *w, uint64_t from, uint64_t token, size_t len) {
    uint8_t payload[64] = {0};
    struct err e = {0};
    bytes_put_u64(payload, token);
    err_code code = callback_on_call(w->callback, from, payload, len, &e);
    assert_true(code == ERR_OK || e.text[0] != '\0');
    return code;
}

static void the_connection_begins_with_the_token(void **state) {
    (void)state;
    struct world *w = world_open(1);
    struct end *m = &w->members[0];
    uint8_t head[CALLBACK_SIZE + 8];
    assert_int_equal(call(w, m->identity.id, 0x1122334455667788, 8), ERR_OK);
    until(w, &w->n_adopted, 1);
    until(w, &m->n_came, 1);
    assert_int_equal(recv(m->came[0], head, sizeof(head), 0), CALLBACK_SIZE);
    assert_memory_equal(head, "CRVNBACK", 8);
    assert_int_equal(bytes_get_u64(head + 8), 0x1122334455667788);
    assert_int_equal(send(m->came[0], "x", 1, 0), 1); /* and is the one that was adopted */
    settle(w);
    assert_int_equal(recv(w->adopted[0], head, sizeof(head), 0), 1);
    world_close(w);
}

static void wrong_sizes_and_strangers_get_nothing(void **state) {
    (void)state;
    struct world *w = world_open(1);
    struct end *m = &w->members[0];
    for (size_t len = 0; len <= 64; len++)
        if (len != 8) assert_int_equal(call(w, m->identity.id, 1, len), ERR_PROTOCOL);
    assert_int_equal(call(w, m->identity.id + 1, 1, 8), ERR_OK); /* its link has just ended */
    assert_int_equal(call(w, w->node.identity.id, 1, 8), ERR_OK);
    settle(w);
    assert_int_equal(m->n_came + w->node.n_came + w->n_adopted, 0);
    world_close(w);
}

/* However often it asks, and whatever the tokens are. */
static void a_flood_of_calls_is_bounded(void **state) {
    (void)state;
    struct world *w = world_open(MEMBERS);
    struct end *m = &w->members[0];
    for (uint64_t i = 0; i < 1000; i++) assert_int_equal(call(w, m->identity.id, i % 3 ? UINT64_MAX - i : 0, 8), ERR_OK);
    until(w, &m->n_came, EACH);
    settle(w);
    assert_int_equal(m->n_came, EACH);
    assert_int_equal(w->n_adopted, EACH);
    for (int k = 0; k < MEMBERS; k++) /* all members together */
        for (uint64_t i = 0; i < 100; i++) call(w, w->members[k].identity.id, i, 8);
    until(w, &w->n_adopted, EACH + ALL);
    settle(w);
    assert_int_equal(w->n_adopted, EACH + ALL);
    assert_int_equal(w->members[MEMBERS - 1].n_came, 0); /* it asks again */
    assert_int_equal(w->node.n_came, 0);
    call(w, w->members[MEMBERS - 1].identity.id, 1, 8);
    until(w, &w->members[MEMBERS - 1].n_came, 1);
    world_close(w);
}

/* A member that names a port where nobody listens costs a try, and hinders nobody. */
static void a_port_of_nobody_is_tried_and_given_up(void **state) {
    (void)state;
    struct world *w = world_open(2);
    struct end *m = &w->members[0], *other = &w->members[1];
    io_listener_close(m->port);
    m->port = NULL;
    for (int round = 0; round < 4; round++) {
        for (uint64_t i = 0; i < EACH; i++) call(w, m->identity.id, i, 8);
        settle(w);
    }
    assert_int_equal(w->n_adopted, 0);
    for (uint64_t i = 0; i < EACH; i++) call(w, m->identity.id, i, 8);
    call(w, other->identity.id, 1, 8);
    until(w, &w->n_adopted, 1);
    for (uint64_t i = 0; i < EACH; i++) call(w, m->identity.id, i, 8); /* these are under way at the end */
    world_close(w);
}

static void the_mark_is_known_by_any_beginning(void **state) {
    (void)state;
    assert_false(callback_is((const uint8_t *)"", 0));
    for (size_t n = 1; n <= 8; n++) assert_true(callback_is((const uint8_t *)"CRVNBACK", n));
    assert_false(callback_is((const uint8_t *)"CRVNBACX", 8));
    assert_false(callback_is((const uint8_t *)"\x16\x03\x01", 3)); /* a ClientHello */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_connection_goes_to_whoever_asked_for_it),
                                       cmocka_unit_test(nobody_is_asked_in_vain),
                                       cmocka_unit_test(so_many_wait_and_no_more),
                                       cmocka_unit_test(the_connection_begins_with_the_token),
                                       cmocka_unit_test(wrong_sizes_and_strangers_get_nothing),
                                       cmocka_unit_test(a_flood_of_calls_is_bounded),
                                       cmocka_unit_test(a_port_of_nobody_is_tried_and_given_up),
                                       cmocka_unit_test(the_mark_is_known_by_any_beginning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
