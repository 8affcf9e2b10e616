/* SPDX-License-Identifier: MIT
 * A node's identity and its proof, the key's rotation, and the list of nodes that a node remembers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "members/identity.h"
#include "members/key.h"
#include "members/roster.h"

static char folder[64];

static int folder_make(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/caravan-identity.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static void the_identity_lasts_and_starts_are_counted(void **state) {
    (void)state;
    char path[128];
    struct identity a, b, c;
    struct stat st;
    struct err e = {0};
    bool shared;
    snprintf(path, sizeof(path), "%s/identity", folder);
    assert_int_equal(identity_open(path, &a, &shared, &e), ERR_OK);
    assert_false(shared);
    assert_int_equal(a.incarnation, 1);
    assert_int_equal(a.id, io_sign_id(a.public_key));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(identity_open(path, &c, &shared, &e), ERR_OK); /* as long as a runs */
    assert_true(shared);
    assert_int_not_equal(c.id, a.id);
    uint64_t id = a.id;
    identity_done(&a);
    assert_int_equal(identity_open(path, &b, &shared, &e), ERR_OK);
    assert_int_equal(b.id, id);
    assert_int_equal(b.incarnation, 2);
    identity_done(&b);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(identity_open(path, &b, &shared, &e), ERR_AUTH);
    char *in_file = mem_printf("%s/identity", path);
    assert_int_equal(identity_open(in_file, &b, &shared, &e), ERR_IO); /* the state folder is a file */
    assert_non_null(strstr(e.hint, "--state-dir"));
    free(in_file);
    unlink(path);
}

static void a_proof_is_good_for_one_connection_one_key_and_one_side(void **state) {
    (void)state;
    struct identity a, b;
    uint8_t binding[IO_TLS_EXPORT_SIZE] = {1, 2, 3}, proof[IO_SIGN_SIZE];
    identity_make(&a);
    identity_make(&b);
    identity_sign(&a, true, binding, proof);
    assert_true(identity_check(a.public_key, true, binding, proof));
    assert_false(identity_check(a.public_key, false, binding, proof));
    assert_false(identity_check(b.public_key, true, binding, proof));
    binding[31] ^= 1;
    assert_false(identity_check(a.public_key, true, binding, proof));
    binding[31] ^= 1;
    proof[10] ^= 1;
    assert_false(identity_check(a.public_key, true, binding, proof));
}

static void of_two_rotations_the_later_holds_on_every_node(void **state) {
    (void)state;
    struct key_ring a = {.key = {1}}, b = {.key = {1}}, old = {.key = {1}};
    key_ring_rotate(&a, 1000, 60);
    assert_memory_equal(a.old, old.key, IO_TLS_KEY_SIZE);
    assert_int_equal(a.old_until, 1060);
    key_ring_rotate(&b, 1001, 60);
    assert_int_equal(key_ring_hear(&a, b.key, b.made, 1002, 60), 1);
    assert_memory_equal(a.key, b.key, IO_TLS_KEY_SIZE);
    assert_int_equal(key_ring_hear(&a, b.key, b.made, 1003, 60), 0);
    assert_int_equal(key_ring_hear(&a, old.key, 0, 1004, 60), -1);
    key_ring_rotate(&a, 500, 0); /* a slow clock */
    assert_int_equal(a.made, 1002);
    assert_int_equal(a.old_until, 0);
    assert_int_equal(key_ring_hear(&b, a.key, a.made, 1005, 0), 1);
}

static void the_newest_word_about_a_node_holds(void **state) {
    (void)state;
    struct roster *r = MEM_NEW(struct roster);
    uint8_t key[IO_SIGN_PUBLIC_SIZE] = {7};
    struct roster_removed out = roster_word(r, key, "n", true, 100);
    assert_true(roster_hear(r, &out, 1000));
    assert_false(roster_hear(r, &out, 1000));
    assert_true(roster_is_out(r, key));
    struct roster_removed in = roster_word(r, key, "n", false, 50);
    assert_int_equal(in.time, 101);
    assert_true(roster_hear(r, &in, 1000));
    assert_false(roster_is_out(r, key));
    assert_false(roster_hear(r, &out, 1000));
    for (int i = 0; i < ROSTER_MAX_REMOVED + 10; i++) { /* bounded */
        uint8_t other[IO_SIGN_PUBLIC_SIZE] = {8, (uint8_t)i};
        struct roster_removed w = roster_word(r, other, "o", true, 200);
        assert_int_equal(roster_hear(r, &w, 1000), i < ROSTER_MAX_REMOVED);
    }
    free(r);
}

/* A word, or a key, from the far future could never be taken back. One from a clock that is some years ahead can. */
static void stamps_from_the_far_future_are_not_believed(void **state) {
    (void)state;
    static const int64_t now = 1800000000, year = 365 * 86400, most = INT64_C(1) << 50;
    struct roster *r = MEM_NEW(struct roster);
    struct roster_removed w = {.public_key = {1}, .out = true, .time = most};
    assert_false(roster_hear(r, &w, now));
    assert_false(roster_hear(r, &w, 0)); /* a clock without a battery */
    w.time = now + 11 * year;
    assert_false(roster_hear(r, &w, now));
    w.time = now + 9 * year;
    assert_true(roster_hear(r, &w, now));
    struct roster_removed in = roster_word(r, w.public_key, "n", false, now);
    assert_true(roster_hear(r, &in, now));
    w.time = now;
    assert_false(roster_hear(r, &w, 0));
    assert_true(clock_stamp_ok(now, 0, 0) && clock_stamp_ok(0, 0, now));
    assert_true(clock_stamp_ok(most + 1, most, now)); /* if such a word was believed before, the next one replaces it */
    free(r);
}

static void nodes_are_found_by_name_and_id(void **state) {
    (void)state;
    struct roster *r = MEM_NEW(struct roster);
    struct roster_peer was;
    bool many;
    char id[2][20];
    for (uint8_t i = 0; i < 3; i++) {
        struct roster_peer p = {.public_key = {i}, .host = "h", .port = (uint16_t)(1 + i)};
        p.id = io_sign_id(p.public_key);
        snprintf(p.name, sizeof(p.name), "%s", i < 2 ? "vm" : "other");
        if (i < 2) snprintf(id[i], sizeof(id[i]), "%016llx", (unsigned long long)p.id);
        roster_meet(r, &p);
    }
    assert_non_null(roster_find(r, "other", &many));
    assert_null(roster_find(r, "vm", &many));
    assert_true(many);
    assert_null(roster_find(r, "none", &many));
    assert_false(many);
    for (int i = 0; i < 2; i++) {
        const struct roster_peer *p = roster_find(r, id[i], &many);
        assert_ptr_equal(p, &r->peers[i]);
        id[i][8] = '\0'; /* as `caravan nodes` shows it */
        assert_ptr_equal(roster_find(r, id[i], &many), p);
        id[i][3] = '\0'; /* too few to mean one */
        assert_null(roster_find(r, id[i], &many));
    }
    uint8_t key[IO_SIGN_PUBLIC_SIZE] = {0};
    assert_true(roster_forget(r, key, &was));
    assert_string_equal(was.name, "vm");
    assert_false(roster_forget(r, key, &was));
    assert_non_null(roster_find(r, "vm", &many)); /* the other one */
    free(r);
}

static void peers_are_remembered(void **state) {
    (void)state;
    struct roster *r = MEM_NEW(struct roster), *back = MEM_NEW(struct roster);
    struct err e = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/peers.json", folder);
    struct roster_peer from_code = {.host = "10.0.0.2", .port = 7433}, met = {.name = "beta", .host = "10.0.0.2", .port = 7433, .seen = 5};
    met.public_key[0] = 9;
    met.id = io_sign_id(met.public_key);
    assert_true(roster_meet(r, &from_code));
    assert_true(roster_meet(r, &met)); /* takes the address's place */
    assert_int_equal(r->n_peers, 1);
    met.seen = 6;
    assert_false(roster_meet(r, &met));
    assert_int_equal(roster_save(path, r, &e), ERR_OK);
    assert_int_equal(roster_load(path, back, &e), ERR_OK);
    assert_int_equal(back->n_peers, 1);
    assert_int_equal(back->peers[0].id, met.id);
    assert_true(roster_knew(back, met.id, 5)); /* since it was first seen */
    assert_false(roster_knew(back, met.id, 4));
    assert_false(roster_knew(back, 0, 100));
    for (int i = 0; i < 2 * ROSTER_MAX_PEERS; i++) {
        struct roster_peer p = {.id = 100 + (uint64_t)i, .host = "h", .port = 1, .seen = 10 + i};
        roster_meet(r, &p);
    }
    assert_int_equal(r->n_peers, ROSTER_MAX_PEERS);
    unlink(path);
    free(r);
    free(back);
}

static int folder_remove(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/identity.lock", folder);
    unlink(path);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_identity_lasts_and_starts_are_counted),
        cmocka_unit_test(a_proof_is_good_for_one_connection_one_key_and_one_side),
        cmocka_unit_test(of_two_rotations_the_later_holds_on_every_node),
        cmocka_unit_test(the_newest_word_about_a_node_holds),
        cmocka_unit_test(stamps_from_the_far_future_are_not_believed),
        cmocka_unit_test(nodes_are_found_by_name_and_id),
        cmocka_unit_test(peers_are_remembered),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
