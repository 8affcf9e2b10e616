/* SPDX-License-Identifier: MIT
 * The lines of `caravan doctor` for findings: golden/doctor.txt has the lines of every fault, golden/doctor_well.txt those of a sound
 * machine, as JSON too. How findings are made is tested with real machines, in tests/e2e/doctor.test.sh. CARAVAN_GOLDEN=write replaces the
 * golden files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "doctor/hello.h"
#include "wire/frame.h"
#include "support/golden.h"

#define GB (1ull << 30)

/* ---- cases: each changes one thing that is right ---- */

static struct doctor_here here_well(void) {
    struct doctor_here f = {
        .state = {.path = "/state", .free = 50 * GB},
        .cache = {.path = "/state/weights", .free = 50 * GB},
        .models = {.path = "/models", .free = 50 * GB},
        .key_path = "/state/cluster.key",
        .cluster = "0123456789abcdef",
        .node_runs = true,
        .listen = "0.0.0.0:7433",
        .memory_total = 32 * GB,
        .memory_available = 20 * GB,
        .memory_offered = 16 * GB,
        .memory_used = 4 * GB,
        .devices = "CPU (a processor)",
        .fd_limit = 4096,
        .huge_pages = "madvise",
        .node = {.host = "127.0.0.1", .port = 7433, .asked = true, .version = 1},
    };
    return f;
}
static void here_no_key(struct doctor_here *f) { err_set(&f->key, ERR_NOT_FOUND, "there is no key"); }
static void here_open_key(struct doctor_here *f) {
    err_set(&f->key, ERR_AUTH, "others may read \"/state/cluster.key\"");
    err_hint(&f->key, "chmod 600 /state/cluster.key");
}
static void here_no_node(struct doctor_here *f) {
    f->node_runs = false;
    f->memory_offered = f->memory_used = 0;
}
static void here_taken(struct doctor_here *f) {
    here_no_node(f);
    err_set(&f->port, ERR_NETWORK, "cannot listen on 0.0.0.0:7433: Address already in use");
}
static void here_shut(struct doctor_here *f) { f->node.connect_errno = ETIMEDOUT; }
static void here_stale(struct doctor_here *f) { err_set(&f->node.handshake, ERR_AUTH, "the other side has a different cluster key"); }
static void here_dumb(struct doctor_here *f) { err_set(&f->node.answer, ERR_TIMEOUT, "timed out"); }
static void here_api_shut(struct doctor_here *f) { err_set(&f->api, ERR_UNAVAILABLE, "no node answers at http://127.0.0.1:8080"); }
static void here_api_key(struct doctor_here *f) {
    err_set(&f->api, ERR_AUTH, "an API key is needed");
    err_hint(&f->api, "give one of the node's API keys with --api-key");
}
static void here_failed(struct doctor_here *f) {
    f->models_ready = 1;
    f->models_failed = 1;
    snprintf(f->failed, sizeof(f->failed), "big");
    snprintf(f->failed_why, sizeof(f->failed_why), "cannot place \"big\": needs 40.0 GB, 16.0 GB are offered");
}
static void here_failed_more(struct doctor_here *f) {
    here_failed(f);
    f->models_failed = 3;
}
static void here_poor(struct doctor_here *f) {
    f->state.write_errno = EACCES;
    f->models.free = GB;
    f->memory_available = 8 * GB;
    f->fd_limit = 256;
    snprintf(f->huge_pages, sizeof(f->huge_pages), "never");
    err_set(&f->devices_trouble, ERR_UNAVAILABLE, "no CPU backend in \"/backends\"");
}
static void here_tiny(struct doctor_here *f) {
    here_no_node(f);
    f->memory_available = 100 << 20;
    f->memory_offered = 64 << 20;
    f->huge_pages[0] = '\0';
}

/* A card that works; each case takes one thing away. */
static struct doctor_gpu *here_card(struct doctor_here *f) {
    struct doctor_gpu *g = &f->gpus[f->n_gpus++];
    *g = (struct doctor_gpu){.name = "AMD GPU 0000:03:00.0",
                             .kernel = "amdgpu",
                             .node = "/dev/dri/renderD128",
                             .group = "render",
                             .file = "/usr/share/vulkan/icd.d/radeon_icd.json",
                             .install = "install the driver's package"};
    f->gpu_backend = true;
    return g;
}
static void here_cards(struct doctor_here *f) {
    snprintf(here_card(f)->device, 200, "Vulkan0, AMD Radeon RX 6800 (RADV NAVI21), 15.9 GB free");
    struct doctor_gpu *g = here_card(f);
    snprintf(g->name, sizeof(g->name), "Broadcom GPU");
    snprintf(g->kernel, sizeof(g->kernel), "v3d");
}
static void here_card_bare(struct doctor_here *f) {
    struct doctor_gpu *g = here_card(f);
    g->kernel[0] = g->node[0] = '\0';
}
static void here_card_closed(struct doctor_here *f) { here_card(f)->node_errno = EACCES; }
static void here_card_outside(struct doctor_here *f) { here_card(f)->node_errno = ENOENT; }
static void here_card_nodeless(struct doctor_here *f) { here_card(f)->node[0] = '\0'; }
static void here_card_driverless(struct doctor_here *f) { here_card(f)->file[0] = '\0'; }
static void here_card_not_chosen(struct doctor_here *f) {
    struct doctor_gpu *g = here_card(f);
    g->file[0] = '\0';
    g->chosen = "VK_DRIVER_FILES";
}
static void here_card_of_nobody(struct doctor_here *f) {
    struct doctor_gpu *g = here_card(f);
    g->node_errno = EACCES;
    snprintf(g->group, sizeof(g->group), "993");
}
static void here_card_new(struct doctor_here *f) {
    err_set(&here_card(f)->load, ERR_UNAVAILABLE, "/lib/libc.so.6: version `GLIBC_2.99' not found (required by libvulkan_radeon.so)");
}
static void here_card_broken(struct doctor_here *f) {
    err_set(&here_card(f)->load, ERR_UNAVAILABLE, "libvulkan_radeon.so: cannot open shared object file: No such file or directory");
}
static void here_card_no_backend(struct doctor_here *f) {
    here_card(f);
    f->gpu_backend = false;
}
static void here_software(struct doctor_here *f) { snprintf(f->software, sizeof(f->software), "lvp_icd.json"); }
static void here_card_elsewhere(struct doctor_here *f) { f->gpu_listed = true; }
static void here_backend_lacks(struct doctor_here *f) {
    err_set(&f->backends_trouble, ERR_UNAVAILABLE, "the backend \"/b/libggml-cuda.so\" cannot be loaded: libcudart.so.13: no such file");
    err_hint(&f->backends_trouble, "`ldd /b/libggml-cuda.so` shows which libraries it lacks");
}
static void here_crashed(struct doctor_here *f) {
    f->devices[0] = '\0';
    err_set(&f->devices_trouble, ERR_ENGINE, "a driver of a GPU has crashed here (Segmentation fault)");
    err_hint(&f->devices_trouble, "update the drivers of the GPUs");
}

static struct doctor_interface interface_well(void) {
    return (struct doctor_interface){.name = "eth0",
                                     .host = "10.0.0.1",
                                     .there = true,
                                     .up = true,
                                     .multicast = true,
                                     .tried = true,
                                     .came_back = true,
                                     .answers = {"10.0.0.2", "10.0.0.3"},
                                     .n_answers = 2};
}
static void interface_alone(struct doctor_interface *f) { f->n_answers = 0; }
static void interface_missing(struct doctor_interface *f) {
    f->there = false;
    f->named = true;
}
static void interface_down(struct doctor_interface *f) {
    f->up = false;
    f->named = true;
}
static void interface_off(struct doctor_interface *f) { f->multicast = false; }
static void interface_named_off(struct doctor_interface *f) {
    f->multicast = false;
    f->named = true;
}
static void interface_v6(struct doctor_interface *f) { f->host[0] = '\0'; }
static void interface_taken(struct doctor_interface *f) { f->join_errno = EADDRINUSE; }
static void interface_barred(struct doctor_interface *f) { f->send_errno = EPERM; }
static void interface_deaf(struct doctor_interface *f) { f->came_back = false; }

static struct doctor_peer peer_well(void) {
    struct doctor_peer p = {.given = "beta:7433", .at = "beta:7433", .n_addresses = 1, .linked = DOCTOR_LINKED};
    p.addresses[0] = (struct doctor_address){.host = "10.0.0.2",
                                             .port = 7433,
                                             .trip_us = 340,
                                             .asked = true,
                                             .version = 1,
                                             .id = 7,
                                             .name = "beta",
                                             .software = "1.0",
                                             .timed = true,
                                             .there = DOCTOR_PASSED,
                                             .back = DOCTOR_PASSED,
                                             .near = true,
                                             .found = true};
    return p;
}
static void unreached(struct doctor_peer *p, int error) {
    p->literal = true;
    snprintf(p->given, sizeof(p->given), "10.0.0.2:7433");
    p->addresses[0] = (struct doctor_address){.host = "10.0.0.2", .port = 7433, .connect_errno = error};
    p->linked = DOCTOR_LINK_UNKNOWN;
}
static void peer_unknown(struct doctor_peer *p) {
    p->n_addresses = 0;
    err_set(&p->lookup, ERR_NETWORK, "cannot find the address of \"beta\": Name or service not known");
}
static void peer_refused(struct doctor_peer *p) { unreached(p, ECONNREFUSED); }
static void peer_filtered(struct doctor_peer *p) { unreached(p, ETIMEDOUT); }
static void peer_away(struct doctor_peer *p) { unreached(p, EHOSTUNREACH); }
static void peer_no_route(struct doctor_peer *p) { unreached(p, ENETUNREACH); }
static void peer_barred(struct doctor_peer *p) { unreached(p, EACCES); }
static void peer_odd(struct doctor_peer *p) { unreached(p, EMFILE); }
static void peer_own_routes(struct doctor_peer *p) { unreached(p, EINVAL); }
static void peer_which_link(struct doctor_peer *p) {
    unreached(p, EINVAL);
    snprintf(p->addresses[0].host, sizeof(p->addresses[0].host), "fe80::1");
}
static void peer_unasked(struct doctor_peer *p) {
    unreached(p, 0);
    p->addresses[0].trip_us = 100;
}
static void peer_far(struct doctor_peer *p) { p->addresses[0].trip_us = 80000; }
static void peer_other_key(struct doctor_peer *p) {
    err_set(&p->addresses[0].handshake, ERR_AUTH, "the other side has a different cluster key");
}
static void peer_old_key(struct doctor_peer *p) { p->addresses[0].old_key = true; }
static void peer_no_node(struct doctor_peer *p) { err_set(&p->addresses[0].handshake, ERR_CLOSED, "the other side closed the connection"); }
static void peer_mute(struct doctor_peer *p) { err_set(&p->addresses[0].handshake, ERR_TIMEOUT, "timed out"); }
static void peer_itself(struct doctor_peer *p) {
    for (size_t i = 0; i < p->n_addresses; i++) p->addresses[i].self = true;
}
static void peer_itself_remembered(struct doctor_peer *p) {
    peer_itself(p);
    p->remembered = true;
}
static void peer_hangs(struct doctor_peer *p) { err_set(&p->addresses[0].answer, ERR_TIMEOUT, "timed out"); }
static void peer_version(struct doctor_peer *p) {
    p->addresses[0].version = 9;
    err_set(&p->addresses[0].answer, ERR_PROTOCOL, "frame of version 9: this end speaks version 1");
}
static void peer_removed(struct doctor_peer *p) {
    err_set(&p->addresses[0].answer, ERR_AUTH, "the other side refused the link: node \"alpha\" was shut out of the cluster");
    err_hint(&p->addresses[0].answer, "on a member: caravan nodes allow alpha");
}
static void peer_ahead(struct doctor_peer *p) { p->addresses[0].ahead_s = 3700; }
static void peer_behind(struct doctor_peer *p) { p->addresses[0].ahead_s = -90; }
static void peer_near_clock(struct doctor_peer *p) { p->addresses[0].ahead_s = -4; }
static void peer_mtu(struct doctor_peer *p) { p->addresses[0].there = DOCTOR_LOST; }
static void peer_mtu_back(struct doctor_peer *p) { p->addresses[0].back = DOCTOR_LOST; }
static void peer_mtu_both(struct doctor_peer *p) { p->addresses[0].there = p->addresses[0].back = DOCTOR_LOST; }
static void peer_hidden(struct doctor_peer *p) {
    p->addresses[0].found = false;
    p->linked = DOCTOR_NOT_LINKED;
}
static void peer_spare(struct doctor_peer *p) {
    p->n_addresses = 2;
    p->addresses[1] = (struct doctor_address){.host = "fd00::2", .port = 7433, .connect_errno = ENETUNREACH};
}

static const struct {
    const char *name;
    void (*here)(struct doctor_here *f);
    void (*interface)(struct doctor_interface *f);
    void (*peer)(struct doctor_peer *p);
} cases[] = {
    {.name = "here_no_key", .here = here_no_key},
    {.name = "here_open_key", .here = here_open_key},
    {.name = "here_no_node", .here = here_no_node},
    {.name = "here_taken", .here = here_taken},
    {.name = "here_shut", .here = here_shut},
    {.name = "here_stale", .here = here_stale},
    {.name = "here_dumb", .here = here_dumb},
    {.name = "here_api_shut", .here = here_api_shut},
    {.name = "here_api_key", .here = here_api_key},
    {.name = "here_failed", .here = here_failed},
    {.name = "here_failed_more", .here = here_failed_more},
    {.name = "here_poor", .here = here_poor},
    {.name = "here_tiny", .here = here_tiny},
    {.name = "here_cards", .here = here_cards},
    {.name = "here_card_bare", .here = here_card_bare},
    {.name = "here_card_closed", .here = here_card_closed},
    {.name = "here_card_outside", .here = here_card_outside},
    {.name = "here_card_nodeless", .here = here_card_nodeless},
    {.name = "here_card_of_nobody", .here = here_card_of_nobody},
    {.name = "here_card_driverless", .here = here_card_driverless},
    {.name = "here_card_not_chosen", .here = here_card_not_chosen},
    {.name = "here_card_new", .here = here_card_new},
    {.name = "here_card_broken", .here = here_card_broken},
    {.name = "here_card_no_backend", .here = here_card_no_backend},
    {.name = "here_card_elsewhere", .here = here_card_elsewhere},
    {.name = "here_software", .here = here_software},
    {.name = "here_backend_lacks", .here = here_backend_lacks},
    {.name = "here_crashed", .here = here_crashed},
    {.name = "interface_alone", .interface = interface_alone},
    {.name = "interface_missing", .interface = interface_missing},
    {.name = "interface_down", .interface = interface_down},
    {.name = "interface_off", .interface = interface_off},
    {.name = "interface_named_off", .interface = interface_named_off},
    {.name = "interface_v6", .interface = interface_v6},
    {.name = "interface_taken", .interface = interface_taken},
    {.name = "interface_barred", .interface = interface_barred},
    {.name = "interface_deaf", .interface = interface_deaf},
    {.name = "peer_unknown", .peer = peer_unknown},
    {.name = "peer_refused", .peer = peer_refused},
    {.name = "peer_filtered", .peer = peer_filtered},
    {.name = "peer_away", .peer = peer_away},
    {.name = "peer_no_route", .peer = peer_no_route},
    {.name = "peer_barred", .peer = peer_barred},
    {.name = "peer_odd", .peer = peer_odd},
    {.name = "peer_own_routes", .peer = peer_own_routes},
    {.name = "peer_which_link", .peer = peer_which_link},
    {.name = "peer_unasked", .peer = peer_unasked},
    {.name = "peer_far", .peer = peer_far},
    {.name = "peer_other_key", .peer = peer_other_key},
    {.name = "peer_old_key", .peer = peer_old_key},
    {.name = "peer_no_node", .peer = peer_no_node},
    {.name = "peer_mute", .peer = peer_mute},
    {.name = "peer_hangs", .peer = peer_hangs},
    {.name = "peer_version", .peer = peer_version},
    {.name = "peer_removed", .peer = peer_removed},
    {.name = "peer_ahead", .peer = peer_ahead},
    {.name = "peer_behind", .peer = peer_behind},
    {.name = "peer_near_clock", .peer = peer_near_clock},
    {.name = "peer_mtu", .peer = peer_mtu},
    {.name = "peer_mtu_back", .peer = peer_mtu_back},
    {.name = "peer_mtu_both", .peer = peer_mtu_both},
    {.name = "peer_hidden", .peer = peer_hidden},
    {.name = "peer_spare", .peer = peer_spare},
    {.name = "peer_itself", .peer = peer_itself},
    {.name = "peer_itself_remembered", .peer = peer_itself_remembered},
};

static struct doctor_report judge(size_t i) {
    struct doctor_report r = {0};
    struct doctor_here here = here_well();
    struct doctor_interface interface = interface_well();
    struct doctor_peer *peer = MEM_NEW(struct doctor_peer);
    *peer = peer_well();
    if (cases[i].here) cases[i].here(&here);
    if (cases[i].interface) cases[i].interface(&interface);
    if (cases[i].peer) cases[i].peer(peer);
    if (cases[i].here) doctor_judge_here(&here, &r);
    if (cases[i].interface) doctor_judge_interface(&interface, &r);
    if (cases[i].peer) doctor_judge_peer(peer, &r);
    free(peer);
    return r;
}

static void each_finding_has_its_lines(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct doctor_report r = judge(i);
        buf_printf(&out, "==== %s\n", cases[i].name);
        doctor_print(&r, i % 2 ? 80 : 0, &out);
        for (size_t k = 0; k < r.n; k++) /* every fault comes with a hint */
            if (r.lines[k].verdict != DOCTOR_OK && !r.lines[k].hint[0] && strcmp(cases[i].name, "peer_odd") != 0 &&
                strcmp(cases[i].name, "here_api_shut") != 0)
                fail_msg("%s: no hint for %s", cases[i].name, r.lines[k].check);
        doctor_report_done(&r);
    }
    compare_golden("doctor.txt", &out);
    buf_done(&out);
}

static void what_is_well_is_well(void **state) {
    (void)state;
    struct doctor_report r = {0};
    struct doctor_here here = here_well();
    struct doctor_interface interface = interface_well();
    struct doctor_peer *peer = MEM_NEW(struct doctor_peer);
    struct buf out;
    *peer = peer_well();
    doctor_judge_here(&here, &r);
    doctor_judge_interface(&interface, &r);
    doctor_judge_peer(peer, &r);
    assert_int_equal(r.counts[DOCTOR_OK], r.n);
    buf_init(&out, 1 << 20);
    doctor_print(&r, 0, &out);
    buf_append_str(&out, "\n");
    doctor_print_json(&r, &out);
    buf_append_str(&out, "\n");
    compare_golden("doctor_well.txt", &out);
    buf_done(&out);
    doctor_report_done(&r);
    free(peer);
}

/* A WELCOME of a node whose clock is 1000000, for a connection whose binding is all zeros. */
static void put_welcome(struct buf *out) {
    struct identity id;
    struct wire_node w;
    uint8_t binding[IO_TLS_EXPORT_SIZE] = {0}, head[FRAME_HEADER_SIZE];
    struct buf text;
    identity_make(&id);
    identity_greet(&id, false, binding, &w);
    snprintf(w.name, sizeof(w.name), "beta");
    w.time = 1000000;
    buf_init(&text, 1024);
    field_encode(wire_node_fields(), &w, &text);
    frame_header_put(head, &(struct frame_header){.type = FRAME_WELCOME, .payload_len = (uint32_t)text.len});
    buf_append(out, head, sizeof(head));
    buf_append(out, text.data, text.len);
    buf_done(&text);
}

static void an_answer_is_read_when_it_is_whole(void **state) {
    (void)state;
    uint8_t binding[IO_TLS_EXPORT_SIZE] = {0};
    struct doctor_address a = {0};
    struct err e = {0};
    struct buf b;
    size_t need;
    buf_init(&b, 4096);
    put_welcome(&b);
    for (size_t len = 0; len < b.len; len++) {
        assert_int_equal(doctor_answer_decode(b.data, len, binding, 1000090, &a, &need, &e), ERR_BUSY);
        assert_int_equal(need, len < FRAME_HEADER_SIZE ? FRAME_HEADER_SIZE : b.len);
    }
    assert_int_equal(doctor_answer_decode(b.data, b.len, binding, 1000090, &a, &need, &e), ERR_OK);
    assert_string_equal(a.name, "beta");
    assert_true(a.timed && a.ahead_s == -90 && a.version == FRAME_VERSION && a.id != 0);
    binding[3] ^= 1; /* taken from another connection */
    a.id = 0;
    assert_int_equal(doctor_answer_decode(b.data, b.len, binding, 1000090, &a, &need, &e), ERR_AUTH);
    assert_int_equal(a.id, 0);
    b.data[4] = 9; /* a later version */
    assert_int_equal(doctor_answer_decode(b.data, b.len, binding, 1000090, &a, &need, &e), ERR_PROTOCOL);
    assert_int_equal(a.version, 9);
    buf_done(&b);
}

static void large_frames_are_within_the_limits(void **state) {
    (void)state;
    uint8_t binding[IO_TLS_EXPORT_SIZE] = {0};
    struct identity id;
    struct buf b;
    identity_make(&id);
    buf_init(&b, FRAME_HEADER_SIZE + frame_max_payload(FRAME_HELLO));
    doctor_hello_encode(&id, binding, (struct doctor_size){.there = DOCTOR_LARGE_THERE, .back = DOCTOR_LARGE_BACK}, &b);
    assert_false(b.failed);
    assert_true(b.len > DOCTOR_LARGE_THERE);
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_finding_has_its_lines),
        cmocka_unit_test(what_is_well_is_well),
        cmocka_unit_test(an_answer_is_read_when_it_is_whole),
        cmocka_unit_test(large_frames_are_within_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
