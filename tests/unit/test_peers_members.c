/* SPDX-License-Identifier: MIT
 * Members: this node's record goes to its peers, sealed. Other nodes' records about themselves are kept, unless the node is shut out. The
 * parts above are told of a node that is gone, or was started again. Control links are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "peers/members.h"
#include "support/node_fixture.h"

static const char *program;

struct watch {
    struct bench *bench;
    struct members *members;
    struct identity third; /* of a node that is not linked */
    bool refuses;          /* the node that speaks is shut out */
    unsigned n_heard, n_updates, n_changes, n_linked, n_lost;
    uint64_t heard, lost;
    bool restarted;
    char lost_name[64]; /* its name in its last record; "": there was no record */
};

static void own_record(void *user, struct record *ret) { bench_own_record(((struct watch *)user)->bench, ret); }

static bool may_speak(void *user, const uint8_t *key) {
    (void)key;
    return !((struct watch *)user)->refuses;
}

static void heard(void *user, const struct record *r) {
    struct watch *w = user;
    assert_ptr_equal(records_any(&w->bench->records, r->id), r);
    w->n_heard++;
    w->heard = r->id;
}

static void update(void *user) { ((struct watch *)user)->n_updates++; }
static void changed(void *user) { ((struct watch *)user)->n_changes++; }

static void linked(void *user, const struct control_peer *peer) {
    (void)peer;
    ((struct watch *)user)->n_linked++;
}

static void lost(void *user, uint64_t id, const struct record *r, bool restarted) {
    struct watch *w = user;
    w->n_lost++;
    w->lost = id;
    w->restarted = restarted;
    snprintf(w->lost_name, sizeof(w->lost_name), "%s", r ? r->name : "");
    assert_null(records_any(&w->bench->records, id));
}

static void watch_open(struct watch *w) {
    *w = (struct watch){.bench = bench_make(program)};
    identity_make(&w->third);
    w->members = members_create(&(struct members_parts){.loop = w->bench->loop,
                                                        .identity = &w->bench->own.identity,
                                                        .control = w->bench->own.control,
                                                        .records = &w->bench->records,
                                                        .news = &w->bench->news,
                                                        .callbacks = {.own_record = own_record,
                                                                      .may_speak = may_speak,
                                                                      .heard = heard,
                                                                      .update = update,
                                                                      .changed = changed,
                                                                      .linked = linked,
                                                                      .lost = lost},
                                                        .user = w});
}

static void watch_close(struct watch *w) {
    members_free(w->members);
    identity_done(&w->third);
    bench_free(w->bench);
}

/* The other node is linked, in this incarnation. */
static void up(struct watch *w, uint64_t incarnation) {
    struct control_peer peer;
    assert_true(control_find(w->bench->own.control, bench_other(w->bench), &peer));
    peer.incarnation = incarnation;
    members_up(w->members, &peer);
}

/* A record comes that `who` has sealed. */
static err_code says(struct watch *w, const struct identity *who, uint64_t incarnation, uint64_t version, const struct record *r) {
    struct buf text, sealed;
    struct err e = {0};
    buf_init(&text, 1 << 20);
    buf_init(&sealed, 1 << 20);
    record_encode(r, &text);
    record_seal(who, incarnation, version, text.data, text.len, &sealed);
    err_code code = members_on_record(w->members, sealed.data, sealed.len, &e);
    buf_done(&text);
    buf_done(&sealed);
    return code;
}

static void says_name(struct watch *w, const struct identity *who, uint64_t incarnation, uint64_t version, const char *name) {
    struct record *r = MEM_NEW(struct record);
    r->id = who->id;
    snprintf(r->name, sizeof(r->name), "%s", name);
    assert_int_equal(says(w, who, incarnation, version, r), ERR_OK);
    free(r);
}

/* ---- tests ---- */

static void what_this_node_says_reaches_its_peer(void **state) {
    (void)state;
    struct watch w;
    struct record_seal seal;
    struct record *r = MEM_NEW(struct record);
    watch_open(&w);
    up(&w, 1);
    assert_int_equal(w.n_linked, 1);
    members_speak(w.members);
    const struct bench_frame *f = bench_hear(w.bench, FRAME_NODE);
    assert_int_equal(record_open(f->payload, f->len, &seal, NULL), ERR_OK);
    assert_int_equal(seal.id, bench_self(w.bench));
    assert_memory_equal(seal.key, w.bench->own.identity.public_key, IO_SIGN_PUBLIC_SIZE);
    assert_int_equal(record_decode(seal.text, seal.text_len, r, NULL), ERR_OK);
    assert_string_equal(r->name, "own");
    uint64_t version = seal.version;
    members_speak(w.members);
    f = bench_hear(w.bench, FRAME_NODE);
    assert_int_equal(record_open(f->payload, f->len, &seal, NULL), ERR_OK);
    assert_true(seal.version > version); /* so the new one replaces the old one everywhere */
    record_done(r);
    free(r);
    watch_close(&w);
}

static void the_newest_record_of_a_node_is_kept(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w);
    struct bench *b = w.bench;
    const struct identity *other = &b->other.identity;
    up(&w, 1);
    uint64_t news = b->news.count;
    says_name(&w, other, 1, 5, "five");
    assert_int_equal(w.n_heard, 1);
    assert_int_equal(w.heard, bench_other(b));
    assert_int_equal(w.n_updates, 1);
    assert_true(b->news.count > news && w.n_changes > 0);
    assert_string_equal(records_linked(&b->records, bench_other(b))->name, "five");
    says_name(&w, other, 1, 4, "four"); /* it was on its way for longer */
    assert_int_equal(w.n_heard, 1);
    assert_string_equal(records_linked(&b->records, bench_other(b))->name, "five");
    says_name(&w, other, 1, 6, "six");
    assert_int_equal(w.n_heard, 2);
    assert_string_equal(records_linked(&b->records, bench_other(b))->name, "six");
    assert_int_equal(b->records.n_linked, 1);
    says_name(&w, &w.third, 1, 1, "third"); /* others pass it on: there is no link to that node */
    assert_int_equal(w.n_heard, 3);
    assert_null(records_linked(&b->records, w.third.id));
    assert_string_equal(records_any(&b->records, w.third.id)->name, "third");
    assert_int_equal(w.n_lost, 0);
    watch_close(&w);
}

static void nobody_speaks_for_another_node(void **state) {
    (void)state;
    struct watch w;
    struct err e = {0};
    struct record *r = MEM_NEW(struct record);
    watch_open(&w);
    up(&w, 1);
    r->id = w.third.id;
    snprintf(r->name, sizeof(r->name), "third");
    assert_int_equal(says(&w, &w.bench->other.identity, 1, 1, r), ERR_OK); /* the seal is good, so the link stays */
    assert_int_equal(w.n_heard, 0);
    assert_int_equal(w.bench->records.n_linked + w.bench->records.n_suspects, 0);
    assert_int_not_equal(members_on_record(w.members, (const uint8_t *)"{}", 2, &e), ERR_OK);
    assert_int_not_equal(members_on_members(w.members, bench_other(w.bench), (const uint8_t *)"{}", 2, &e), ERR_OK);
    w.refuses = true;
    says_name(&w, &w.bench->other.identity, 1, 2, "other");
    assert_int_equal(w.n_heard, 0);
    w.refuses = false;
    says_name(&w, &w.bench->other.identity, 1, 2, "other");
    assert_int_equal(w.n_heard, 1);
    free(r);
    watch_close(&w);
}

static void a_node_that_was_started_again_has_lost_all(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w);
    const struct identity *other = &w.bench->other.identity;
    up(&w, 1);
    says_name(&w, other, 1, 7, "first life");
    says_name(&w, other, 2, 1, "second life");
    assert_int_equal(w.n_lost, 1);
    assert_true(w.restarted && w.lost == other->id);
    assert_string_equal(w.lost_name, "first life");
    assert_string_equal(records_linked(&w.bench->records, other->id)->name, "second life");
    unsigned updates = w.n_updates;
    up(&w, 3); /* its link stands before its record is here */
    assert_int_equal(w.n_lost, 2);
    assert_true(w.restarted && w.n_updates == updates + 1);
    assert_string_equal(w.lost_name, "second life");
    assert_null(records_any(&w.bench->records, other->id));
    says_name(&w, other, 3, 1, "third life");
    assert_int_equal(w.n_lost, 2); /* the event comes once */
    watch_close(&w);
}

static void a_lost_link_makes_a_suspect_and_then_it_is_gone(void **state) {
    (void)state;
    struct watch w;
    struct control_peer peer;
    struct err why;
    watch_open(&w);
    struct bench *b = w.bench;
    up(&w, 1);
    const struct control_peer third = {.id = w.third.id, .incarnation = 1};
    members_up(w.members, &third); /* a node that can be asked whether it hears the other one, and that does not answer */
    says_name(&w, &b->other.identity, 1, 1, "other");
    unsigned changes = w.n_changes;
    assert_true(control_find(b->own.control, bench_other(b), &peer));
    err_set(&why, ERR_CLOSED, "the other end closed the link");
    control_shut(b->own.control, bench_other(b), &why);
    members_down(w.members, &peer, &why);
    assert_null(records_linked(&b->records, bench_other(b)));
    assert_non_null(records_any(&b->records, bench_other(b))); /* its work goes on */
    assert_true(w.n_changes > changes);
    assert_int_equal(w.n_lost, 0);
    uint64_t news = b->news.count;
    bench_until(b, &w.n_lost, 1);
    assert_false(w.restarted);
    assert_int_equal(w.lost, bench_other(b));
    assert_string_equal(w.lost_name, "other");
    assert_null(records_any(&b->records, bench_other(b)));
    assert_true(b->news.count > news + 1); /* counted, and told to the cluster */
    watch_close(&w);
}

static void a_node_that_is_shut_out_is_gone(void **state) {
    (void)state;
    struct watch w;
    watch_open(&w);
    up(&w, 1);
    says_name(&w, &w.third, 1, 1, "third");
    members_set_out(w.members, w.third.id, true);
    assert_true(w.n_lost == 1 && w.lost == w.third.id && !w.restarted);
    says_name(&w, &w.third, 1, 2, "third");
    assert_int_equal(w.n_heard, 1);
    members_set_out(w.members, w.third.id, false);
    says_name(&w, &w.third, 1, 3, "third");
    assert_int_equal(w.n_heard, 2);
    watch_close(&w);
}

static void on_dialled(void *user, int fd, const struct sockaddr *peer) {
    (void)peer;
    close(fd);
    ++*(unsigned *)user;
}

/* A third node, which listens; the other one, which is linked, knows where. below: its id is smaller than this node's. */
static struct io_listener *third_listens(struct watch *w, bool below, unsigned *dialled) {
    struct io_listener *l;
    struct record *r = MEM_NEW(struct record);
    while (w->third.id == bench_other(w->bench) || (w->third.id < bench_self(w->bench)) != below) identity_make(&w->third);
    assert_int_equal(io_listener_open(w->bench->loop, "127.0.0.1", 0, on_dialled, dialled, &l, NULL), ERR_OK);
    up(w, 1);
    says_name(w, &w->third, 1, 1, "third");
    r->id = bench_other(w->bench);
    r->n_peers = 1;
    r->peers[0].id = w->third.id;
    r->peers[0].port = io_listener_port(l);
    snprintf(r->peers[0].host, sizeof(r->peers[0].host), "127.0.0.1");
    assert_int_equal(says(w, &w->bench->other.identity, 1, 1, r), ERR_OK);
    free(r);
    return l;
}

static void the_smaller_id_dials_and_the_greater_one_only_late(void **state) {
    (void)state;
    for (int below = 0; below < 2; below++) {
        struct watch w;
        unsigned dialled = 0;
        watch_open(&w);
        struct io_listener *l = third_listens(&w, below, &dialled);
        for (int i = 0; below && i < 9; i++) members_meet(w.members);
        for (int i = 0; i < 20; i++) bench_turn(w.bench);
        assert_int_equal(dialled, 0);
        members_meet(w.members);
        bench_until(w.bench, &dialled, 1);
        io_listener_close(l);
        watch_close(&w);
    }
}

int main(int argc, char **argv) {
    program = argv[0];
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_this_node_says_reaches_its_peer),
        cmocka_unit_test(the_newest_record_of_a_node_is_kept),
        cmocka_unit_test(nobody_speaks_for_another_node),
        cmocka_unit_test(a_node_that_was_started_again_has_lost_all),
        cmocka_unit_test(a_lost_link_makes_a_suspect_and_then_it_is_gone),
        cmocka_unit_test(a_node_that_is_shut_out_is_gone),
        cmocka_unit_test(the_smaller_id_dials_and_the_greater_one_only_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
