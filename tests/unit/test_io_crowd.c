/* SPDX-License-Identifier: MIT
 * Which guests of a crowd must go. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "io/crowd.h"

static struct sockaddr_storage address(const char *text) {
    struct sockaddr_storage a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) v6->sin6_family = AF_INET6;
    else fail_msg("%s", text);
    return a;
}

static struct crowd_guest *enter(struct crowd *c, struct crowd_guest *g, const char *from) {
    struct sockaddr_storage a = address(from);
    return crowd_enter(c, g, (struct sockaddr *)&a);
}

static void the_oldest_of_a_place_goes(void **state) {
    (void)state;
    struct crowd c;
    struct crowd_guest g[8], *goes;
    crowd_init(&c, 8, 3);
    for (int i = 0; i < 3; i++) assert_null(enter(&c, &g[i], "10.0.0.1"));
    assert_null(enter(&c, &g[3], "10.0.0.2"));
    goes = enter(&c, &g[4], "10.0.0.1");
    assert_ptr_equal(goes, &g[0]);
    crowd_leave(&c, &g[1]);
    assert_null(enter(&c, &g[5], "10.0.0.1"));
    goes = enter(&c, &g[6], "10.0.0.1");
    assert_ptr_equal(goes, &g[2]);
    crowd_leave(&c, goes); /* has left already */
    assert_int_equal(c.n, 4);
    for (int i = 3; i < 7; i++) crowd_leave(&c, &g[i]);
    assert_int_equal(c.n, 0);
    assert_null(c.places);
}

static void the_place_with_most_makes_room(void **state) {
    (void)state;
    struct crowd c;
    struct crowd_guest g[8];
    crowd_init(&c, 4, 4);
    assert_null(enter(&c, &g[0], "10.0.0.9")); /* the oldest of all, and alone */
    for (int i = 1; i < 4; i++) assert_null(enter(&c, &g[i], "10.0.0.1"));
    assert_ptr_equal(enter(&c, &g[4], "10.0.0.2"), &g[1]);
    assert_ptr_equal(enter(&c, &g[5], "10.0.0.3"), &g[2]);
    assert_ptr_equal(enter(&c, &g[6], "10.0.0.4"), &g[0]); /* all have one: the oldest place, and never the one that comes */
    for (int i = 0; i < 7; i++) crowd_leave(&c, &g[i]);
}

static void places_are_addresses_and_networks(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {{"10.0.0.1", "10.0.0.1", true},
                 {"10.0.0.1", "10.0.0.2", false},
                 {"10.0.0.1", "::ffff:10.0.0.1", true},
                 {"2001:db8::1", "2001:db8::ffff:2", true},
                 {"2001:db8::1", "2001:db8:0:1::1", false},
                 {"::", "0.0.0.0", false}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct crowd c;
        struct crowd_guest a, b;
        crowd_init(&c, 2, 1);
        assert_null(enter(&c, &a, pairs[i].a));
        assert_ptr_equal(enter(&c, &b, pairs[i].b), pairs[i].same ? &a : NULL);
        crowd_leave(&c, &a);
        crowd_leave(&c, &b);
    }
}

/* A flood from a few addresses does not push out a lone guest from another place. */
static void a_flood_does_not_drive_others_out(void **state) {
    (void)state;
    enum { FLOOD = 4096, MAX = 64 };
    static struct crowd_guest flood[FLOOD];
    struct crowd c;
    struct crowd_guest peer;
    crowd_init(&c, MAX, 16);
    assert_null(enter(&c, &peer, "192.168.1.7"));
    for (int i = 0; i < FLOOD; i++) {
        char from[32];
        snprintf(from, sizeof(from), "10.0.0.%d", i % 9);
        struct crowd_guest *goes = enter(&c, &flood[i], from);
        assert_true(goes != &peer && goes != &flood[i]);
        assert_true(c.n <= MAX);
    }
    assert_non_null(peer.place);
    crowd_leave(&c, &peer);
    for (int i = 0; i < FLOOD; i++) crowd_leave(&c, &flood[i]);
    assert_null(c.places);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_oldest_of_a_place_goes), cmocka_unit_test(the_place_with_most_makes_room),
                                       cmocka_unit_test(places_are_addresses_and_networks),
                                       cmocka_unit_test(a_flood_does_not_drive_others_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
