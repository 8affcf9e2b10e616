/* SPDX-License-Identifier: MIT
 * The handshake of a ring link and each of its refusals, as both ends see them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/ring_ends.h"
#include "support/broken_bytes.h"

/* ---- refusals: both ends must know why ---- */

#define VERSION "9" /* WIRE_VERSION as text */
_Static_assert(WIRE_VERSION == 9, "VERSION is the old one");

static void test_refused_identities(void **state) {
    (void)state;
    struct wire_identity ids[9];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) ids[i] = identity;
    snprintf(ids[0].instance, sizeof(ids[0].instance), "demo-2");
    ids[1].epoch--;
    ids[2].epoch++;
    ids[3].epoch = 1;
    snprintf(ids[4].model, sizeof(ids[4].model), "fedcba9876543210");
    ids[5].n_stage = 4;
    ids[6].from = 2;
    ids[7].to = 2;
    ids[8].width = 128;
    static const struct {
        err_code code;
        const char *says;
    } want[] = {
        {ERR_PROTOCOL, "the link is of instance \"demo-2\", the stage of instance \"demo-1\""},
        {ERR_STALE, "the link is of epoch 7.0000abcc, older than epoch 7.0000abcd"},
        {ERR_STALE, "newer than epoch 7.0000abcd"},
        {ERR_STALE, "the link is of epoch 0.00000001, older than"},
        {ERR_PROTOCOL, "different models (fedcba9876543210 and 0123456789abcdef)"},
        {ERR_PROTOCOL, "a ring of 4 stages on one side, of 3 on the other"},
        {ERR_PROTOCOL, "from stage 2 to 1 came where one from stage 0 to 1 belongs"},
        {ERR_PROTOCOL, "from stage 0 to 2 came where one from stage 0 to 1 belongs"},
        {ERR_PROTOCOL, "hidden rows of 128 floats on one side, of 64 on the other"},
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int fds[2];
        tcp_pair(fds, 0);
        struct end c = end_of(false, good_ctx, fds[0]), s = end_of(true, good_ctx, fds[1]);
        c.id = ids[i];
        meet(&c, &s);
        assert_int_equal(s.code, want[i].code);
        assert_int_equal(c.code, want[i].code);
        if (strstr(s.e.text, want[i].says) == NULL) fail_msg("server of case %zu: \"%s\"", i, s.e.text);
        if (strstr(c.e.text, want[i].says) == NULL) fail_msg("client of case %zu: \"%s\"", i, c.e.text);
        assert_non_null(strstr(c.e.text, "the other side refused the link: "));
        assert_null(c.link);
        assert_null(s.link);
    }
}

static void test_refused_key(void **state) {
    (void)state;
    int fds[2];
    tcp_pair(fds, 0);
    struct end c = end_of(false, bad_ctx, fds[0]), s = end_of(true, good_ctx, fds[1]);
    meet(&c, &s);
    assert_int_equal(c.code, ERR_AUTH);
    assert_int_equal(s.code, ERR_AUTH);
    assert_string_equal(c.e.text, "the other side has a different cluster key");
    assert_string_equal(s.e.text, "the other side has a different cluster key");
}

/* A stage that has the cluster key, but cannot prove that it is on the node that was given this place. Either end may be the wrong one. */
static void test_refused_proofs(void **state) {
    (void)state;
    static const uint8_t stranger[IO_SIGN_SECRET_SIZE] = {9};
    static const char *const says[] = {
        "this link is for node", /* another node, with a good word of its own */
        "not its node's word",   /* the right node's public key, and another's word */
        "not its node's word",   /* the right node's word for an earlier epoch */
        "not its node's word",   /* for another instance */
        "not its node's word",   /* a good word that was overheard, without the key that it is for */
    };
    for (size_t i = 0; i < 2 * ARRAY_LEN(says); i++) {
        int fds[2];
        tcp_pair(fds, 0);
        struct end ends[2] = {end_of(false, good_ctx, fds[0]), end_of(true, good_ctx, fds[1])};
        struct end *wrong = &ends[i % 2];
        struct wire_pass *pass = &wrong->id.pass, right = *pass;
        const uint8_t *node = ring_nodes[i % 2];
        switch (i / 2) {
        case 0: wire_pass_make(stranger, identity.instance, identity.epoch, pass); break;
        case 1:
            wire_pass_make(stranger, identity.instance, identity.epoch, pass);
            memcpy(pass->node, right.node, sizeof(right.node));
            break;
        case 2: wire_pass_make(node, identity.instance, identity.epoch - 1, pass); break;
        case 3: wire_pass_make(node, "demo-2", identity.epoch, pass); break;
        case 4: pass->secret[0] ^= 1; break;
        }
        meet(&ends[0], &ends[1]);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(ends[k].code, ERR_AUTH);
            if (strstr(ends[k].e.text, says[i / 2]) == NULL) fail_msg("end %d of case %zu: \"%s\"", k, i, ends[k].e.text);
            assert_null(ends[k].link);
        }
    }
}

/* A proof that was made for another connection is worth nothing on this one. */
static void test_refused_replay(void **state) {
    (void)state;
    struct raw r;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    raw_open(&r);
    io_tls_export(r.tls, WIRE_PASS_LABEL, binding);
    binding[0] ^= 1;
    raw_greet(&r, FRAME_HELLO, binding);
    raw_expect_refuse(&r, ERR_AUTH, "could not prove its identity");
}

static void test_refused_hellos(void **state) {
    (void)state;
    static const struct {
        uint8_t type;
        const char *payload, *says;
    } cases[] = {
        {FRAME_HELLO, "{\"version\":1}", "one side speaks version 1 of the protocol, the other version " VERSION},
        {FRAME_HELLO, "{\"version\":" VERSION "," HELLO_FIELDS ",\"from\":0,\"to\":1}", "bad HELLO: field \"width\": it is missing"},
        {FRAME_HELLO, "{\"version\":" VERSION "," HELLO_FIELDS ",\"from\":0,\"to\":-1,\"width\":64}", "bad HELLO: field \"to\""},
        {FRAME_HELLO, "{\"version\":" VERSION "," HELLO_FIELDS ",\"from\":0,\"to\":1,\"width\":262145}",
         "field \"width\": expected a whole number from 0 to 262144, got 262145"},
        {FRAME_HELLO, "{\"version\":" VERSION ",\"node\":\"a\\nb\"}", "field \"node\": a control character"},
        {FRAME_HELLO, "{\"version\":" VERSION ",\"node\":7}", "field \"node\": expected a string"},
        {FRAME_HELLO, "{}", "bad HELLO: field \"version\""},
        {FRAME_HELLO, "[]", "bad HELLO: it is not a JSON object"},
        {FRAME_HELLO, "{", "bad HELLO: it is not JSON"},
        {FRAME_HELLO, "", "bad HELLO: it is not JSON"},
        {FRAME_WELCOME, "{\"version\":1}", "expected HELLO, got WELCOME"},
        {FRAME_TOKENS, "xyz", "expected HELLO, got TOKENS"},
        {FRAME_SUBMIT, "{}", "SUBMIT frame on a ring link"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        raw_open(&r);
        raw_frame(&r, cases[i].type, cases[i].payload);
        raw_expect_refuse(&r, ERR_PROTOCOL, cases[i].says);
    }
    char longer[300];
    snprintf(longer, sizeof(longer), "{\"version\":" VERSION ",\"node\":\"%0100d\"}", 0);
    struct raw r;
    raw_open(&r);
    raw_frame(&r, FRAME_HELLO, longer);
    raw_expect_refuse(&r, ERR_PROTOCOL, "field \"node\": 100 bytes, the limit is 63");
}

static void test_refused_headers(void **state) {
    (void)state;
    static const struct broken_bytes cases[] = {
        {0, 0x47455420, 4, "not a Caravan frame"}, {4, 9, 1, "frame of version 9"}, {40, 65 * 1024 + 1, 4, "bytes of payload"},
        {28, 0xFFFFFFFFu, 4, "operations"},        {32, 20000, 4, "20000 tokens"},  {36, 1u << 30, 4, "floats in a row"},
        {44, 500, 2, "500 trace entries"},         {46, 7, 2, "reserved bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        uint8_t head[FRAME_HEADER_SIZE];
        raw_open(&r);
        frame_header_put(head, &(struct frame_header){.type = FRAME_HELLO, .payload_len = 10});
        broken_bytes_put(&cases[i], head);
        raw_send(&r, head, sizeof(head));
        raw_expect_refuse(&r, ERR_PROTOCOL, cases[i].says);
    }
}

/* A HELLO that is cut off: by the end of the connection, or by silence. */
static void test_truncated_hello(void **state) {
    (void)state;
    uint8_t head[FRAME_HEADER_SIZE];
    frame_header_put(head, &(struct frame_header){.type = FRAME_HELLO, .payload_len = 100});
    static const size_t cuts[] = {0, 1, 47, 48};
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct raw r;
        raw_open(&r);
        raw_send(&r, head, cuts[i]);
        io_tls_close(r.tls);
        pthread_join(r.server.thread, NULL);
        assert_int_equal(r.server.code, ERR_CLOSED);
        if (cuts[i] > 0) assert_non_null(strstr(r.server.e.text, "in the middle of a frame"));
        assert_null(r.server.link);
    }
    int fds[2];
    tcp_pair(fds, 0);
    struct raw r = {.server = end_of(true, good_ctx, fds[1])};
    struct err e;
    r.server.timeout_ms = 2000;
    pthread_create(&r.server.thread, NULL, end_main, &r.server);
    assert_int_equal(io_tls_connect(good_ctx, fds[0], "ring.caravan", TIMEOUT_MS, &r.tls, &e), ERR_OK);
    raw_send(&r, head, 48);
    raw_expect_refuse(&r, ERR_TIMEOUT, "did not finish the handshake in time");
}

/* A server that answers nonsense: the client refuses it, and says so. */
static void test_client_refuses(void **state) {
    (void)state;
    static const struct {
        uint8_t type;
        const char *payload;
        err_code code;
        const char *says;
    } cases[] = {
        {FRAME_WELCOME, "{\"version\":99}", ERR_PROTOCOL, "version 99"},
        {FRAME_WELCOME, "{\"version\":" VERSION ",\"node\":\"b\",\"epoch\":\"0000000000000005\"}", ERR_STALE, "epoch 0.00000005"},
        {FRAME_TOKENS, "", ERR_PROTOCOL, "expected WELCOME, got TOKENS"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fds[2];
        tcp_pair(fds, 0);
        struct raw r = {.server = end_of(false, good_ctx, fds[0])}; /* here the end under test is the client */
        struct err e;
        pthread_create(&r.server.thread, NULL, end_main, &r.server);
        assert_int_equal(io_tls_accept(good_ctx, fds[1], TIMEOUT_MS, &r.tls, &e), ERR_OK);
        raw_frame(&r, cases[i].type, cases[i].payload);
        raw_expect_refuse(&r, cases[i].code, cases[i].says);
    }
}

static void test_bad_instance_name(void **state) {
    (void)state;
    int fds[2];
    tcp_pair(fds, 0);
    struct end c = end_of(false, good_ctx, fds[0]);
    snprintf(c.id.instance, sizeof(c.id.instance), "no spaces");
    end_main(&c);
    assert_int_equal(c.code, ERR_INVALID);
    char buf;
    assert_int_equal(io_sock_wait(fds[1], POLLIN, TIMEOUT_MS, NULL), ERR_OK);
    assert_int_equal(recv(fds[1], &buf, 1, 0), 0); /* it was closed */
    close(fds[1]);
    char name[IO_TLS_NAME_MAX];
    assert_int_equal(wire_link_name(identity.instance, identity.epoch, identity.to, name, NULL), ERR_OK);
    assert_string_equal(name, "ring-demo-1-000000070000abcd-1.caravan");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_identities), cmocka_unit_test(test_refused_key),    cmocka_unit_test(test_refused_proofs),
        cmocka_unit_test(test_refused_replay),     cmocka_unit_test(test_refused_hellos), cmocka_unit_test(test_refused_headers),
        cmocka_unit_test(test_truncated_hello),    cmocka_unit_test(test_client_refuses), cmocka_unit_test(test_bad_instance_name),
    };
    return cmocka_run_group_tests(tests, ring_setup, ring_teardown);
}
