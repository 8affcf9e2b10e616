/* SPDX-License-Identifier: MIT
 * The magic packet, byte by byte; this machine's own hardware addresses; what a roster remembers of a machine for when it is asleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "members/interfaces.h"
#include "members/roster.h"
#include "os/net.h"

static const struct roster_hardware two[] = {{{0x02, 0x00, 0xa0, 0xb1, 0xc2, 0xd3}}, {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}}};

static void packet_is_sixteen_times_the_address(void **state) {
    (void)state;
    uint8_t packet[WAKE_PACKET_SIZE];
    wake_packet(two[0].address, packet);
    assert_int_equal(WAKE_PACKET_SIZE, 102);
    for (int i = 0; i < 6; i++) assert_int_equal(packet[i], 0xff);
    for (int i = 0; i < 16; i++) assert_memory_equal(packet + 6 + 6 * i, two[0].address, 6);
}

static void own_addresses_are_those_of_networks_outside(void **state) {
    (void)state;
    static const uint8_t none[WAKE_ADDRESS_SIZE];
    struct roster_hardware own[WAKE_MAX_ADDRESSES];
    struct os_hardware all[INTERFACES_MAX];
    size_t n = wake_own(own, WAKE_MAX_ADDRESSES), n_all = os_hardware(all, INTERFACES_MAX), outer = 0;
    for (size_t i = 0; i < n_all; i++) {
        assert_true(interfaces_has(all[i].name));
        assert_string_not_equal(all[i].name, "lo");
        outer += !interfaces_is_inner(all[i].name);
    }
    assert_int_equal(n, outer < WAKE_MAX_ADDRESSES ? outer : WAKE_MAX_ADDRESSES);
    for (size_t i = 0; i < n; i++) assert_memory_not_equal(own[i].address, none, sizeof(none));
}

static struct roster_peer peer_make(uint8_t key, const char *host) {
    struct roster_peer p = {.port = 7433, .seen = 100, .name = "box"};
    memset(p.public_key, key, sizeof(p.public_key));
    p.id = io_sign_id(p.public_key);
    snprintf(p.host, sizeof(p.host), "%s", host);
    return p;
}

static void roster_remembers_how_a_machine_is_woken(void **state) {
    (void)state;
    struct roster *r = MEM_NEW(struct roster), *back = MEM_NEW(struct roster);
    struct roster_peer p = peer_make(1, "10.0.0.1"), moved = peer_make(1, "10.0.0.2"), other = peer_make(2, "10.0.0.3");
    struct err e = {0};
    char path[] = "/tmp/caravan-wake.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    assert_false(roster_learn(r, p.id, 5, two, 2)); /* it has not been met */
    assert_true(roster_meet(r, &p) && roster_meet(r, &other));
    assert_true(roster_learn(r, p.id, 1ull << 40, two, 2));
    assert_false(roster_learn(r, p.id, 1ull << 40, two, 2)); /* no news */
    assert_true(roster_meet(r, &moved)); /* met at another address: it is still the same machine */
    assert_int_equal(roster_save(path, r, &e), ERR_OK);
    assert_int_equal(roster_load(path, back, &e), ERR_OK);
    assert_int_equal(back->n_peers, 2);
    assert_string_equal(back->peers[0].host, "10.0.0.2");
    assert_int_equal(back->peers[0].memory, 1ull << 40);
    assert_int_equal(back->peers[0].n_hardware, 2);
    assert_memory_equal(back->peers[0].hardware, two, sizeof(two));
    assert_int_equal(back->peers[1].n_hardware, 0);
    unlink(path);
    free(r);
    free(back);
}

static void a_file_with_bad_addresses_is_refused(void **state) {
    (void)state;
    struct roster *r = MEM_NEW(struct roster);
    struct err e = {0};
    char path[] = "/tmp/caravan-wake.XXXXXX";
    int fd = mkstemp(path);
    static const char bad[] = "{\"peers\":[{\"host\":\"h\",\"port\":1,\"hardware\":[{\"address\":\"02:00\"}]}]}";
    assert_true(fd >= 0 && close(fd) == 0);
    assert_int_equal(file_write(path, bad, sizeof(bad) - 1, &e), ERR_OK);
    assert_int_not_equal(roster_load(path, r, &e), ERR_OK);
    assert_int_equal(r->n_peers, 0);
    unlink(path);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_is_sixteen_times_the_address),
        cmocka_unit_test(own_addresses_are_those_of_networks_outside),
        cmocka_unit_test(roster_remembers_how_a_machine_is_woken),
        cmocka_unit_test(a_file_with_bad_addresses_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
