/* SPDX-License-Identifier: MIT
 * The nodes that a node knows, and what follows from what it hears of them: whom it dials, whom it shuts out, whom it forgets, and what it
 * tells the others. Control links are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "peers/known.h"
#include "support/node_fixture.h"

static const char *program;

struct place {
    struct bench *bench;
    char folder[64], path[96];
    struct members *members;
    struct known *known;
};

static void own_record(void *user, struct record *ret) { bench_own_record(user, ret); }
static void nothing_lost(void *user, uint64_t id, const struct record *r, bool restarted) {
    (void)user, (void)id, (void)r, (void)restarted;
}

static void known_again(struct place *p, bool writes) {
    struct bench *b = p->bench;
    known_free(p->known);
    p->known = known_open(&(struct known_config){.name = "own", .self = b->own.identity.public_key, .path = p->path, .writes = writes});
    known_connect(p->known,
                  &(struct known_parts){.control = b->own.control, .members = p->members, .weights = b->weights, .news = &b->news});
}

static void place_open(struct place *p) {
    struct bench *b = bench_make(program);
    *p = (struct place){.bench = b, .folder = "/tmp/caravan-known.XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/peers.json", p->folder);
    p->members = members_create(&(struct members_parts){.loop = b->loop,
                                                        .identity = &b->own.identity,
                                                        .control = b->own.control,
                                                        .records = &b->records,
                                                        .news = &b->news,
                                                        .callbacks = {.own_record = own_record, .lost = nothing_lost},
                                                        .user = b});
    known_again(p, true);
}

static void place_close(struct place *p) {
    known_free(p->known);
    members_free(p->members);
    bench_free(p->bench);
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0);
}

/* A node of this name with an identity of its own, which listens at this port. */
static struct control_peer meet(struct place *p, const char *name, uint16_t port) {
    struct identity id;
    struct control_peer peer = {.port = port};
    identity_make(&id);
    peer.id = id.id;
    memcpy(peer.public_key, id.public_key, sizeof(peer.public_key));
    snprintf(peer.name, sizeof(peer.name), "%s", name);
    snprintf(peer.host, sizeof(peer.host), "127.0.0.1");
    identity_done(&id);
    known_met(p->known, &peer);
    return peer;
}

/* The other node, which is linked. */
static struct control_peer meet_other(struct place *p) {
    struct control_peer peer;
    assert_true(control_find(p->bench->own.control, bench_other(p->bench), &peer));
    known_met(p->known, &peer);
    return peer;
}

static bool knows(const struct place *p, const struct control_peer *peer) { return known_before(p->known, peer->id, INT64_MAX); }

static struct roster_removed word_of(const struct control_peer *peer, bool out, int64_t time) {
    struct roster_removed w = {.out = out, .time = time};
    memcpy(w.public_key, peer->public_key, sizeof(w.public_key));
    snprintf(w.name, sizeof(w.name), "%s", peer->name);
    return w;
}

/* ---- what is kept ---- */

static void the_file_is_this_nodes(void **state) {
    (void)state;
    struct place p;
    place_open(&p);
    struct control_peer a = meet(&p, "a", 1);
    known_save(p.known);
    known_again(&p, false); /* another node with the same folder runs: it owns the file */
    assert_true(knows(&p, &a));
    struct control_peer b = meet(&p, "b", 2);
    known_save(p.known);
    known_again(&p, true);
    assert_true(knows(&p, &a));
    assert_false(knows(&p, &b));
    assert_int_equal(file_write(p.path, "[", 1, NULL), ERR_OK);
    known_again(&p, true); /* the node starts all the same */
    assert_false(knows(&p, &a));
    meet(&p, "a", 1);
    assert_int_equal(unlink(p.path), 0);
    known_save(p.known);
    assert_int_equal(access(p.path, F_OK), 0);
    assert_int_equal(unlink(p.path), 0);
    known_save(p.known); /* nothing has changed */
    assert_int_not_equal(access(p.path, F_OK), 0);
    assert_int_equal(file_write(p.path, "", 0, NULL), ERR_OK);
    place_close(&p);
}

static void on_dialled(void *user, int fd, const struct sockaddr *peer) {
    (void)peer;
    close(fd);
    ++*(unsigned *)user;
}

static void nodes_that_were_met_are_dialled_unless_they_are_out(void **state) {
    (void)state;
    struct place p;
    unsigned met = 0, out = 0;
    struct io_listener *met_at, *out_at;
    place_open(&p);
    assert_int_equal(io_listener_open(p.bench->loop, "127.0.0.1", 0, on_dialled, &met, &met_at, NULL), ERR_OK);
    assert_int_equal(io_listener_open(p.bench->loop, "127.0.0.1", 0, on_dialled, &out, &out_at, NULL), ERR_OK);
    meet(&p, "friend", io_listener_port(met_at));
    struct control_peer foe = meet(&p, "foe", io_listener_port(out_at));
    struct roster_removed word = word_of(&foe, true, clock_wall_s());
    known_hear(p.known, &word, 1);
    known_save(p.known);
    known_again(&p, true); /* the next start */
    known_start(p.known);
    bench_until(p.bench, &met, 1);
    for (int i = 0; i < 20; i++) bench_turn(p.bench);
    assert_int_equal(out, 0);
    word = word_of(&foe, false, clock_wall_s() + 1);
    known_hear(p.known, &word, 1); /* it is let in again */
    bench_until(p.bench, &out, 1);
    io_listener_close(met_at);
    io_listener_close(out_at);
    place_close(&p);
}

/* ---- who is forgotten ---- */

static err_code hears_forget(struct place *p, const uint8_t *key, struct err *e) {
    char hex[2 * IO_SIGN_PUBLIC_SIZE + 1], text[sizeof(hex) + 16];
    str_hex(key, IO_SIGN_PUBLIC_SIZE, hex);
    int len = snprintf(text, sizeof(text), "{\"key\":\"%s\"}", hex);
    return known_on_forget(p->known, (const uint8_t *)text, (size_t)len, e);
}

static void all_nodes_forget_a_node_that_is_gone(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    place_open(&p);
    struct control_peer gone = meet(&p, "gone", 1), other = meet_other(&p);
    assert_int_equal(known_forget(p.known, "other", &e), ERR_BUSY); /* it is linked */
    assert_int_equal(known_forget(p.known, "gone", &e), ERR_OK);
    assert_false(knows(&p, &gone));
    const struct bench_frame *f = bench_hear(p.bench, FRAME_FORGET);
    known_met(p.known, &gone); /* this node now stands for the one that hears it */
    assert_int_equal(known_on_forget(p.known, f->payload, f->len, &e), ERR_OK);
    assert_false(knows(&p, &gone));
    assert_int_equal(hears_forget(&p, other.public_key, &e), ERR_OK);
    assert_true(knows(&p, &other)); /* it is not gone */
    assert_int_equal(hears_forget(&p, p.bench->own.identity.public_key, &e), ERR_OK);
    assert_int_not_equal(known_on_forget(p.known, (const uint8_t *)"{\"key\":\"00\"}", 12, &e), ERR_OK);
    assert_int_not_equal(known_on_forget(p.known, (const uint8_t *)"{}", 2, &e), ERR_OK);
    place_close(&p);
}

/* ---- who is shut out ---- */

static void a_linked_node_that_is_shut_out_loses_its_link(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    place_open(&p);
    struct control_peer other = meet_other(&p), linked;
    uint64_t news = p.bench->news.count;
    assert_int_equal(known_set_out(p.known, "other", true, &e), ERR_OK);
    assert_true(known_is_out(p.known, other.public_key));
    assert_int_equal(p.bench->news.count, news + 1);
    alarm(60);
    while (control_find(p.bench->own.control, other.id, &linked)) bench_turn(p.bench);
    alarm(0);
    known_again(&p, true); /* it was written at once */
    assert_true(known_is_out(p.known, other.public_key));
    place_close(&p);
}

static void the_newest_word_holds(void **state) {
    (void)state;
    struct place p;
    struct roster_removed words[ROSTER_MAX_REMOVED];
    place_open(&p);
    struct control_peer foe = meet(&p, "foe", 1);
    int64_t now = clock_wall_s();
    const struct roster_removed two[] = {word_of(&foe, true, now), word_of(&foe, false, now + 2)};
    uint64_t news = p.bench->news.count;
    known_hear(p.known, two, 2);
    assert_false(known_is_out(p.known, foe.public_key));
    assert_int_equal(p.bench->news.count, news + 1); /* told once */
    known_hear(p.known, two, 1);                     /* an older one, from a node that knows no better */
    assert_false(known_is_out(p.known, foe.public_key));
    assert_int_equal(p.bench->news.count, news + 1);
    assert_int_equal(known_words(p.known, words), 1);
    assert_true(!words[0].out && words[0].time == now + 2);
    place_close(&p);
}

static void no_more_are_shut_out_than_all_can_remember(void **state) {
    (void)state;
    struct place p;
    struct err e = {0};
    place_open(&p);
    for (int i = 0; i < ROSTER_MAX_REMOVED; i++) {
        struct control_peer peer = meet(&p, "foe", (uint16_t)(i + 1));
        struct roster_removed word = word_of(&peer, true, clock_wall_s());
        known_hear(p.known, &word, 1);
    }
    meet(&p, "last", 999);
    assert_int_equal(known_set_out(p.known, "last", true, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "key rotate"));
    assert_int_equal(known_set_out(p.known, "nobody", true, &e), ERR_NOT_FOUND);
    place_close(&p);
}

static void a_node_hears_that_it_is_shut_out_itself(void **state) {
    (void)state;
    struct place p;
    struct control_peer own = {.name = "own"}, linked;
    place_open(&p);
    memcpy(own.public_key, p.bench->own.identity.public_key, sizeof(own.public_key));
    struct roster_removed word = word_of(&own, true, clock_wall_s());
    known_hear(p.known, &word, 1);
    assert_true(known_is_out(p.known, own.public_key)); /* so it tells the others, as it would of any node */
    assert_true(control_find(p.bench->own.control, bench_other(p.bench), &linked));
    place_close(&p);
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_this_nodes),
        cmocka_unit_test(nodes_that_were_met_are_dialled_unless_they_are_out),
        cmocka_unit_test(all_nodes_forget_a_node_that_is_gone),
        cmocka_unit_test(a_linked_node_that_is_shut_out_loses_its_link),
        cmocka_unit_test(the_newest_word_holds),
        cmocka_unit_test(no_more_are_shut_out_than_all_can_remember),
        cmocka_unit_test(a_node_hears_that_it_is_shut_out_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
