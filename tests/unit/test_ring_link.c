/* SPDX-License-Identifier: MIT
 * Ring links over real sockets with both ends alive: the handshake and each of its refusals as both ends see them, frames under slow
 * readers, half frames and dying peers, the writer thread, and descriptors on LOCAL. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/sock.h"
#include "ring/handshake.h"
#include "ring/link.h"
#include "ring/reader.h"
#include "ring/wire.h"
#include "ring/writer.h"

enum { TIMEOUT_MS = 20000 };

static struct io_tls_ctx *good_ctx, *bad_ctx;

static const struct ring_identity identity = {
    .instance = "demo-1", .epoch = (UINT64_C(7) << 32) | 0xABCD, .model = "0123456789abcdef0123456789abcdef", .n_stage = 3, .from = 0, .to = 1,
    .width = 64, .node = "alpha",
};

/* buffer > 0: so small a send buffer. The receive buffers are then 64 KiB: smaller than a segment on loopback, TCP would crawl. */
static void tcp_pair(int fds[2], int buffer) {
    struct err e;
    struct io_addr a = { .host = "127.0.0.1" };
    int listener = -1;
    assert_int_equal(io_sock_listen(&a, 4, &listener, &e), ERR_OK);
    if (buffer > 0) assert_int_equal(io_sock_tune(listener, &(struct io_sock_options){ .receive_buffer = 65536 }, &e), ERR_OK);
    a.port = io_sock_port(listener);
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fds[0], &e), ERR_OK);
    assert_int_equal(io_sock_accept(listener, TIMEOUT_MS, &fds[1], &e), ERR_OK);
    if (buffer > 0)
        for (int i = 0; i < 2; i++)
            assert_int_equal(io_sock_tune(fds[i], &(struct io_sock_options){ .send_buffer = buffer, .receive_buffer = 65536 }, &e), ERR_OK);
    close(listener);
}

/* One end of a handshake, runnable in a thread. */
struct end { bool server; struct io_tls_ctx *ctx; int fd, timeout_ms; struct ring_identity id; struct ring_link *link; err_code rc; struct err e; pthread_t thread; };

static void *end_main(void *arg) {
    struct end *s = arg;
    s->rc = (s->server ? ring_link_accept : ring_link_connect)(s->ctx, s->fd, &s->id, s->timeout_ms, &s->link, &s->e);
    return NULL;
}

static struct end end_of(bool server, struct io_tls_ctx *ctx, int fd) {
    return (struct end){ .server = server, .ctx = ctx, .fd = fd, .timeout_ms = TIMEOUT_MS, .id = identity };
}

static void meet(struct end *client, struct end *server) {
    pthread_create(&server->thread, NULL, end_main, server);
    end_main(client);
    pthread_join(server->thread, NULL);
}

struct pair { struct ring_link *client, *server; };

static struct pair pair_open(int buffer) {
    int fds[2];
    tcp_pair(fds, buffer);
    struct end c = end_of(false, good_ctx, fds[0]), s = end_of(true, good_ctx, fds[1]);
    meet(&c, &s);
    if (c.rc != ERR_OK || s.rc != ERR_OK) fail_msg("client: %s, server: %s", c.e.text, s.e.text);
    return (struct pair){ c.link, s.link };
}

static void pair_close(struct pair *p) {
    ring_link_close(p->client);
    ring_link_close(p->server);
}

/* ---- refusals: both ends must know why ------------------------------------------------------------------------------------------------ */

static void test_refused_identities(void **state) {
    (void)state;
    struct ring_identity ids[9];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) ids[i] = identity;
    strcpy(ids[0].instance, "demo-2");
    ids[1].epoch--;
    ids[2].epoch++;
    ids[3].epoch = 1;
    strcpy(ids[4].model, "fedcba9876543210");
    ids[5].n_stage = 4;
    ids[6].from = 2;
    ids[7].to = 2;
    ids[8].width = 128;
    static const struct { err_code rc; const char *says; } want[] = {
        { ERR_PROTOCOL, "the link is of instance \"demo-2\", the stage of instance \"demo-1\"" },
        { ERR_STALE, "the link is of epoch 7.0000abcc, older than epoch 7.0000abcd" },
        { ERR_STALE, "newer than epoch 7.0000abcd" },
        { ERR_STALE, "the link is of epoch 0.00000001, older than" },
        { ERR_PROTOCOL, "different models (fedcba9876543210 and 0123456789abcdef)" },
        { ERR_PROTOCOL, "a ring of 4 stages on one side, of 3 on the other" },
        { ERR_PROTOCOL, "from stage 2 to 1 came where one from stage 0 to 1 belongs" },
        { ERR_PROTOCOL, "from stage 0 to 2 came where one from stage 0 to 1 belongs" },
        { ERR_PROTOCOL, "hidden rows of 128 floats on one side, of 64 on the other" },
    };
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        int fds[2];
        tcp_pair(fds, 0);
        struct end c = end_of(false, good_ctx, fds[0]), s = end_of(true, good_ctx, fds[1]);
        c.id = ids[i];
        meet(&c, &s);
        assert_int_equal(s.rc, want[i].rc);
        assert_int_equal(c.rc, want[i].rc);
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
    assert_int_equal(c.rc, ERR_AUTH);
    assert_int_equal(s.rc, ERR_AUTH);
    assert_string_equal(c.e.text, "the other side has a different cluster key");
    assert_string_equal(s.e.text, "the other side has a different cluster key");
}

/* A peer made by hand: TLS is right, what it says is up to the test. */
struct raw { struct end server; struct io_tls_stream *tls; };

static void raw_open(struct raw *r) {
    int fds[2];
    struct err e;
    tcp_pair(fds, 0);
    r->server = end_of(true, good_ctx, fds[1]);
    pthread_create(&r->server.thread, NULL, end_main, &r->server);
    assert_int_equal(io_tls_connect(good_ctx, fds[0], "ring-demo-1-000000070000abcd-1.caravan", TIMEOUT_MS, &r->tls, &e), ERR_OK);
}

static void raw_send(struct raw *r, const void *data, size_t len) {
    size_t n;
    struct err e;
    assert_int_equal(io_tls_write(r->tls, data, len, true, &n, &e), ERR_OK);
}

static void raw_frame(struct raw *r, uint8_t type, const char *payload) {
    uint8_t head[FRAME_HEADER_SIZE];
    frame_header_put(head, &(struct frame_header){ .type = type, .epoch = identity.epoch, .payload_len = (uint32_t)strlen(payload) });
    raw_send(r, head, sizeof head);
    raw_send(r, payload, strlen(payload));
}

/* Reads until a REFUSE, and checks that it carries what the server's end returned. */
static void raw_expect_refuse(struct raw *r, err_code rc, const char *says) {
    struct ring_reader reader;
    struct err e;
    uint8_t buf[4096];
    err_code got;
    ring_reader_init(&reader, FRAME_LINK_RING);
    for (bool refused = false; !refused;) {
        size_t n = 0;
        got = io_tls_read(r->tls, buf, sizeof buf, true, &n, &e);
        if (got != ERR_OK) fail_msg("the server closed without a REFUSE: %s", e.text);
        const uint8_t *p = buf;
        while (!refused && n > 0 && ring_reader_feed(&reader, &p, &n, &e) == ERR_OK) refused = reader.header.type == FRAME_REFUSE;
    }
    got = ring_refuse_decode(reader.payload, reader.header.payload_len, &e);
    ring_reader_done(&reader);
    io_tls_close(r->tls);
    pthread_join(r->server.thread, NULL);
    assert_int_equal(r->server.rc, rc);
    assert_int_equal(got, rc);
    if (strstr(r->server.e.text, says) == NULL) fail_msg("the server says \"%s\", not \"%s\"", r->server.e.text, says);
    if (strstr(e.text, says) == NULL) fail_msg("the REFUSE says \"%s\", not \"%s\"", e.text, says);
}

#define HELLO_FIELDS "\"node\":\"raw\",\"instance\":\"demo-1\",\"epoch\":30064815053,\"model\":\"0123456789abcdef0123456789abcdef\",\"n_stage\":3"

static void test_refused_hellos(void **state) {
    (void)state;
    static const struct { uint8_t type; const char *payload, *says; } cases[] = {
        { FRAME_HELLO, "{\"version\":2}", "one side speaks version 2 of the protocol, the other version 1" },
        { FRAME_HELLO, "{\"version\":1," HELLO_FIELDS ",\"from\":0,\"to\":1}", "bad HELLO: field \"width\": expected a whole number" },
        { FRAME_HELLO, "{\"version\":1," HELLO_FIELDS ",\"from\":0,\"to\":-1,\"width\":64}", "bad HELLO: field \"to\"" },
        { FRAME_HELLO, "{\"version\":1," HELLO_FIELDS ",\"from\":0,\"to\":1,\"width\":262145}", "field \"width\": 262145 is over the limit" },
        { FRAME_HELLO, "{\"version\":1,\"node\":\"a\\nb\"}", "field \"node\": a control character" },
        { FRAME_HELLO, "{\"version\":1,\"node\":7}", "field \"node\": expected a string" },
        { FRAME_HELLO, "{}", "bad HELLO: field \"version\"" },
        { FRAME_HELLO, "[]", "bad HELLO: it is not a JSON object" },
        { FRAME_HELLO, "{", "bad HELLO: it is not JSON" },
        { FRAME_HELLO, "", "bad HELLO: it is not JSON" },
        { FRAME_WELCOME, "{\"version\":1}", "expected HELLO, got WELCOME" },
        { FRAME_TOKENS, "xyz", "expected HELLO, got TOKENS" },
        { FRAME_SUBMIT, "{}", "SUBMIT frame on a ring link" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        raw_open(&r);
        raw_frame(&r, cases[i].type, cases[i].payload);
        raw_expect_refuse(&r, ERR_PROTOCOL, cases[i].says);
    }
    char longer[300];
    snprintf(longer, sizeof longer, "{\"version\":1,\"node\":\"%0100d\"}", 0);
    struct raw r;
    raw_open(&r);
    raw_frame(&r, FRAME_HELLO, longer);
    raw_expect_refuse(&r, ERR_PROTOCOL, "field \"node\": 100 bytes, the limit is 63");
}

static void test_refused_headers(void **state) {
    (void)state;
    static const struct { size_t at; uint32_t value; int bytes; const char *says; } cases[] = {
        { 0, 0x47455420, 4, "not a Caravan frame" }, { 4, 9, 1, "frame of version 9" }, { 40, 65 * 1024 + 1, 4, "bytes of payload" },
        { 28, 0xFFFFFFFFu, 4, "operations" }, { 32, 20000, 4, "20000 tokens" }, { 36, 1u << 30, 4, "floats in a row" }, { 44, 500, 2, "500 trace entries" },
        { 46, 7, 2, "reserved bytes" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        uint8_t head[FRAME_HEADER_SIZE];
        raw_open(&r);
        frame_header_put(head, &(struct frame_header){ .type = FRAME_HELLO, .payload_len = 10 });
        for (int b = 0; b < cases[i].bytes; b++) head[cases[i].at + (size_t)b] = (uint8_t)(cases[i].value >> 8 * b);
        raw_send(&r, head, sizeof head);
        raw_expect_refuse(&r, ERR_PROTOCOL, cases[i].says);
    }
}

/* A HELLO that is cut off: by the end of the connection, or by silence. */
static void test_truncated_hello(void **state) {
    (void)state;
    uint8_t head[FRAME_HEADER_SIZE];
    frame_header_put(head, &(struct frame_header){ .type = FRAME_HELLO, .payload_len = 100 });
    static const size_t cuts[] = { 0, 1, 47, 48 };
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        struct raw r;
        raw_open(&r);
        raw_send(&r, head, cuts[i]);
        io_tls_close(r.tls);
        pthread_join(r.server.thread, NULL);
        assert_int_equal(r.server.rc, ERR_CLOSED);
        if (cuts[i] > 0) assert_non_null(strstr(r.server.e.text, "in the middle of a frame"));
        assert_null(r.server.link);
    }
    int fds[2];
    tcp_pair(fds, 0);
    struct raw r = { .server = end_of(true, good_ctx, fds[1]) };
    struct err e;
    r.server.timeout_ms = 150;
    pthread_create(&r.server.thread, NULL, end_main, &r.server);
    assert_int_equal(io_tls_connect(good_ctx, fds[0], "ring.caravan", TIMEOUT_MS, &r.tls, &e), ERR_OK);
    raw_send(&r, head, 48);
    raw_expect_refuse(&r, ERR_TIMEOUT, "did not finish the handshake in time");
}

/* A server that answers nonsense: the client refuses it, and says so. */
static void test_client_refuses(void **state) {
    (void)state;
    static const struct { uint8_t type; const char *payload; err_code rc; const char *says; } cases[] = {
        { FRAME_WELCOME, "{\"version\":3}", ERR_PROTOCOL, "version 3" },
        { FRAME_WELCOME, "{\"version\":1,\"node\":\"b\",\"epoch\":5}", ERR_STALE, "newer than epoch 0.00000005" },
        { FRAME_TOKENS, "", ERR_PROTOCOL, "expected WELCOME, got TOKENS" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fds[2];
        tcp_pair(fds, 0);
        struct raw r = { .server = end_of(false, good_ctx, fds[0]) }; /* here the end under test is the client */
        struct err e;
        pthread_create(&r.server.thread, NULL, end_main, &r.server);
        assert_int_equal(io_tls_accept(good_ctx, fds[1], TIMEOUT_MS, &r.tls, &e), ERR_OK);
        raw_frame(&r, cases[i].type, cases[i].payload);
        raw_expect_refuse(&r, cases[i].rc, cases[i].says);
    }
}

static void test_bad_instance_name(void **state) {
    (void)state;
    int fds[2];
    tcp_pair(fds, 0);
    struct end c = end_of(false, good_ctx, fds[0]);
    strcpy(c.id.instance, "no spaces");
    end_main(&c);
    assert_int_equal(c.rc, ERR_INVALID);
    char buf;
    assert_int_equal(io_sock_wait(fds[1], POLLIN, TIMEOUT_MS, NULL), ERR_OK);
    assert_int_equal(recv(fds[1], &buf, 1, 0), 0); /* it was closed */
    close(fds[1]);
    char name[IO_TLS_NAME_MAX];
    assert_int_equal(ring_link_name(&identity, name, NULL), ERR_OK);
    assert_string_equal(name, "ring-demo-1-000000070000abcd-1.caravan");
}

/* ---- frames ---------------------------------------------------------------------------------------------------------------------------- */

static void fill(uint8_t *data, size_t len, uint32_t seed) {
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)((seed + i) * 2654435761u >> 24);
}

static void send_tokens(struct ring_link *l, uint32_t number, const uint8_t *data, size_t len) {
    struct frame_header h = { .type = FRAME_TOKENS, .number = number };
    struct ring_part parts[3] = { { data, len / 3 }, { NULL, 0 }, { data + len / 3, len - len / 3 } };
    struct err e;
    if (ring_link_send(l, &h, parts, 3, &e) != ERR_OK) fail_msg("frame %u: %s", number, e.text);
}

static void expect_tokens(struct ring_link *l, uint32_t number, size_t len) {
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    if (ring_link_read(l, true, &h, &payload, NULL, &e) != ERR_OK) fail_msg("frame %u: %s", number, e.text);
    assert_int_equal(h.type, FRAME_TOKENS);
    assert_int_equal(h.number, number);
    assert_int_equal(h.payload_len, len);
    assert_true(h.epoch == identity.epoch);
    for (size_t i = 0; i < len; i++)
        if (payload[i] != (uint8_t)((number + i) * 2654435761u >> 24)) fail_msg("frame %u, byte %zu", number, i);
}

static void test_frames_both_ways(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    static uint8_t data[100000];
    static const size_t sizes[] = { 0, 1, 12, 16336, 16337, 32768, 99999 };
    struct frame_header h = { .number = 4711 };
    const uint8_t *payload;
    struct err e;
    for (uint32_t i = 0; i < 70; i++) {
        size_t len = sizes[i % ARRAY_LEN(sizes)];
        struct ring_link *from = i % 2 ? p.client : p.server, *to = i % 2 ? p.server : p.client;
        fill(data, len, i);
        send_tokens(from, i, data, len);
        expect_tokens(to, i, len);
        assert_int_equal(ring_link_read(to, false, &h, &payload, NULL, &e), ERR_BUSY);
        assert_int_equal(h.number, 4711); /* untouched */
        assert_false(ring_link_pending(to));
    }
    pair_close(&p);
}

/* Two frames in one segment: after the first, the second waits where poll cannot see it. */
static void test_pending(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    uint8_t data[64];
    for (uint32_t i = 0; i < 2; i++) {
        fill(data, sizeof data, i);
        send_tokens(p.client, i, data, sizeof data);
    }
    clock_us until = clock_now() + 5000000;
    int waiting = 0; /* both have arrived when the socket holds two records */
    uint8_t peeked[1024];
    size_t n = 0;
    struct err e;
    while (waiting < 2 && clock_now() < until)
        waiting = io_sock_peek(ring_link_fd(p.server), peeked, sizeof peeked, &n, &e) == ERR_OK && n >= 2 * (48 + 64 + 22) ? 2 : 0;
    assert_int_equal(waiting, 2);
    expect_tokens(p.server, 0, sizeof data);
    assert_true(ring_link_pending(p.server));
    struct pollfd fd = { ring_link_fd(p.server), POLLIN, 0 };
    assert_int_equal(poll(&fd, 1, 0), 0);
    expect_tokens(p.server, 1, sizeof data);
    assert_false(ring_link_pending(p.server));
    pair_close(&p);
}

static void test_limits_of_sending(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    struct frame_header h = { .type = FRAME_FAULT };
    static uint8_t data[4097];
    struct err e;
    assert_int_equal(ring_link_send(p.client, &h, &(struct ring_part){ data, sizeof data }, 1, &e), ERR_LIMIT);
    fill(data, 100, 1);
    send_tokens(p.client, 1, data, 100); /* the link is as good as before */
    expect_tokens(p.server, 1, 100);
    pair_close(&p);
}

static void test_clocks(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    clock_us now = clock_now();
    struct ring_link *ends[2] = { p.client, p.server };
    for (int i = 0; i < 2; i++) { /* one machine, one clock */
        assert_true(ring_link_rtt_us(ends[i]) < 1000000);
        uint32_t hop = ring_link_hop_us(ends[i], now - 5000, now);
        assert_true(hop >= 5000 - ring_link_rtt_us(ends[i]) && hop <= 5000 + ring_link_rtt_us(ends[i]));
        assert_int_equal(ring_link_hop_us(ends[i], now + 10000000, now), 0);
    }
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    assert_int_equal(ring_link_ping(p.client, &e), ERR_OK);
    assert_int_equal(io_sock_wait(ring_link_fd(p.server), POLLIN, TIMEOUT_MS, &e), ERR_OK);
    assert_int_equal(ring_link_read(p.server, false, &h, &payload, NULL, &e), ERR_BUSY); /* answered inside, not shown */
    assert_int_equal(io_sock_wait(ring_link_fd(p.client), POLLIN, TIMEOUT_MS, &e), ERR_OK);
    assert_int_equal(ring_link_read(p.client, false, &h, &payload, NULL, &e), ERR_BUSY);
    pair_close(&p);
}

/* The peer's clock is an hour ahead, and it takes its time: a raw server that answers PINGs by that clock, 40 ms after they came. */
static void test_clock_offset(void **state) {
    (void)state;
    enum { HOUR_US = 3600 * 1000000u };
    int fds[2];
    tcp_pair(fds, 0);
    struct end c = end_of(false, good_ctx, fds[0]);
    struct raw r = { .tls = NULL };
    struct err e;
    pthread_create(&c.thread, NULL, end_main, &c);
    assert_int_equal(io_tls_accept(good_ctx, fds[1], TIMEOUT_MS, &r.tls, &e), ERR_OK);
    struct ring_reader reader;
    ring_reader_init(&reader, FRAME_LINK_RING);
    int answered = 0, asked = 0;
    while (answered < 5 || asked < 5) {
        uint8_t buf[1024], out[FRAME_HEADER_SIZE + 16];
        size_t n = 0;
        assert_int_equal(io_tls_read(r.tls, buf, sizeof buf, true, &n, &e), ERR_OK);
        const uint8_t *at = buf;
        while (n > 0 && ring_reader_feed(&reader, &at, &n, &e) == ERR_OK) {
            if (reader.header.type == FRAME_HELLO) raw_frame(&r, FRAME_WELCOME, "{\"version\":1,\"node\":\"b\",\"epoch\":30064815053}");
            if (reader.header.type == FRAME_PONG) asked++;
            if (reader.header.type != FRAME_PING) continue;
            clock_us theirs = clock_now() + HOUR_US;
            struct timespec hold = { 0, 40000000 };
            nanosleep(&hold, NULL);
            bytes_put_u64(out + FRAME_HEADER_SIZE, reader.header.sent_us);
            bytes_put_u64(out + FRAME_HEADER_SIZE + 8, theirs);
            frame_header_put(out, &(struct frame_header){ .type = FRAME_PONG, .epoch = identity.epoch, .sent_us = clock_now() + HOUR_US, .payload_len = 16 });
            raw_send(&r, out, sizeof out);
            frame_header_put(out, &(struct frame_header){ .type = FRAME_PING, .epoch = identity.epoch, .sent_us = clock_now() + HOUR_US });
            raw_send(&r, out, FRAME_HEADER_SIZE);
            answered++;
        }
    }
    pthread_join(c.thread, NULL);
    assert_int_equal(c.rc, ERR_OK);
    clock_us now = clock_now();
    uint32_t hop = ring_link_hop_us(c.link, now + HOUR_US - 7000000, now); /* sent seven seconds ago, by that clock */
    assert_true(hop > 6000000 && hop < 8000000);
    assert_true(ring_link_rtt_us(c.link) < 40000); /* the time it was held there does not count */
    ring_reader_done(&reader);
    io_tls_close(r.tls);
    ring_link_close(c.link);
}

/* ---- slow readers, half frames --------------------------------------------------------------------------------------------------------- */

struct feed { struct ring_link *link; uint32_t count; size_t size; };

static void *feed_main(void *arg) {
    struct feed *f = arg;
    uint8_t *data = malloc(f->size);
    for (uint32_t i = 0; i < f->count; i++) {
        size_t len = f->size - i % 7;
        fill(data, len, i);
        send_tokens(f->link, i, data, len);
    }
    free(data);
    return NULL;
}

/* 64 MiB through sockets of a few KiB: nothing blocks the sender, the writer thread carries it, order and content hold. */
static void test_slow_reader(void **state) {
    (void)state;
    struct pair p = pair_open(4096);
    struct feed f = { p.client, 64, 1 << 20 };
    feed_main(&f); /* on this very thread: nobody reads yet, and it comes back */
    for (uint32_t i = 0; i < f.count; i++) expect_tokens(p.server, i, f.size - i % 7);
    ring_link_flush(p.client, TIMEOUT_MS);
    uint8_t data[100];
    fill(data, sizeof data, 99);
    send_tokens(p.client, 99, data, sizeof data); /* and directly again */
    expect_tokens(p.server, 99, sizeof data);
    pair_close(&p);
}

/* Both directions at once through narrow sockets, each link with a thread that only sends. */
static void test_both_ways_at_once(void **state) {
    (void)state;
    struct pair p = pair_open(8192);
    struct feed up = { p.client, 500, 20000 }, down = { p.server, 500, 30000 };
    pthread_t a, b;
    pthread_create(&a, NULL, feed_main, &up);
    pthread_create(&b, NULL, feed_main, &down);
    for (uint32_t i = 0; i < 500; i++) {
        expect_tokens(p.server, i, up.size - i % 7);
        expect_tokens(p.client, i, down.size - i % 7);
    }
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    pair_close(&p);
}

/* A link over a raw peer that has finished the handshake properly. */
static void raw_finish(struct raw *r) {
    struct ring_reader reader;
    struct err e;
    int pings = 0, pongs = 0;
    ring_reader_init(&reader, FRAME_LINK_RING);
    raw_frame(r, FRAME_HELLO, "{\"version\":1," HELLO_FIELDS ",\"from\":0,\"to\":1,\"width\":64}");
    for (int i = 0; i < 5; i++) raw_frame(r, FRAME_PING, "");
    while (pings < 5 || pongs < 5) {
        uint8_t buf[1024], out[FRAME_HEADER_SIZE + 16] = { 0 };
        size_t n = 0;
        if (io_tls_read(r->tls, buf, sizeof buf, true, &n, &e) != ERR_OK) fail_msg("%s", e.text);
        const uint8_t *at = buf;
        while (n > 0 && ring_reader_feed(&reader, &at, &n, &e) == ERR_OK) {
            if (reader.header.type == FRAME_REFUSE) fail_msg("%.*s", (int)reader.header.payload_len, (const char *)reader.payload);
            pongs += reader.header.type == FRAME_PONG;
            if (reader.header.type != FRAME_PING) continue;
            pings++;
            frame_header_put(out, &(struct frame_header){ .type = FRAME_PONG, .epoch = identity.epoch, .sent_us = 1, .payload_len = 16 });
            bytes_put_u64(out + FRAME_HEADER_SIZE, reader.header.sent_us);
            raw_send(r, out, sizeof out);
        }
    }
    ring_reader_done(&reader);
    pthread_join(r->server.thread, NULL);
    if (r->server.rc != ERR_OK) fail_msg("%s", r->server.e.text);
}

/* A frame that arrives in random crumbs: BUSY until the last, no spinning in between, then whole. */
static void test_half_frames(void **state) {
    (void)state;
    struct raw r;
    raw_open(&r);
    raw_finish(&r);
    struct ring_link *l = r.server.link;
    unsigned seed = 4;
    struct err e;
    for (uint32_t i = 0; i < 30; i++) {
        enum { LEN = 20000 };
        static uint8_t frame[FRAME_HEADER_SIZE + LEN];
        frame_header_put(frame, &(struct frame_header){ .type = FRAME_TOKENS, .number = i, .epoch = identity.epoch, .payload_len = LEN });
        fill(frame + FRAME_HEADER_SIZE, LEN, i);
        for (size_t at = 0; at < sizeof frame;) {
            size_t n = 1 + (size_t)rand_r(&seed) % (at < 60 ? 20 : 9000);
            if (n > sizeof frame - at) n = sizeof frame - at;
            raw_send(&r, frame + at, n);
            at += n;
            if (at == sizeof frame) break;
            struct frame_header h;
            const uint8_t *payload;
            assert_int_equal(io_sock_wait(ring_link_fd(l), POLLIN, TIMEOUT_MS, &e), ERR_OK);
            assert_int_equal(ring_link_read(l, false, &h, &payload, NULL, &e), ERR_BUSY);
            assert_false(ring_link_pending(l));
        }
        expect_tokens(l, i, LEN);
    }
    io_tls_close(r.tls);
    struct frame_header h;
    const uint8_t *payload;
    assert_int_equal(ring_link_read(l, true, &h, &payload, NULL, &e), ERR_CLOSED);
    assert_null(strstr(e.text, "middle"));
    assert_int_equal(ring_link_read(l, false, &h, &payload, NULL, &e), ERR_CLOSED); /* and it stays so */
    ring_link_close(l);
}

static void test_bad_frames_later(void **state) {
    (void)state;
    static const struct { uint8_t type; uint64_t epoch; size_t at; uint8_t value; err_code rc; const char *says; } cases[] = {
        { FRAME_TOKENS, 1, 0, 'C', ERR_STALE, "TOKENS frame of another epoch" }, { FRAME_HELLO, 0, 0, 'C', ERR_PROTOCOL, "HELLO frame after the handshake" },
        { FRAME_WELCOME, 0, 0, 'C', ERR_PROTOCOL, "WELCOME frame after the handshake" }, { FRAME_TOKENS, 0, 0, 'c', ERR_PROTOCOL, "not a Caravan frame" },
        { FRAME_TOKENS, 0, 31, 0xFF, ERR_PROTOCOL, "operations" }, { FRAME_PONG, 0, 0, 'C', ERR_PROTOCOL, "PONG frame of 0 bytes" },
        { FRAME_EVENT, 0, 0, 'C', ERR_PROTOCOL, "EVENT frame on a ring link" }, { FRAME_REFUSE, 0, 0, 'C', ERR_PROTOCOL, "a reason that cannot be read" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        uint8_t head[FRAME_HEADER_SIZE];
        struct frame_header h;
        const uint8_t *payload;
        struct err e;
        raw_open(&r);
        raw_finish(&r);
        frame_header_put(head, &(struct frame_header){ .type = cases[i].type, .epoch = cases[i].epoch ? cases[i].epoch : identity.epoch });
        head[cases[i].at] = cases[i].value;
        raw_send(&r, head, sizeof head);
        assert_int_equal(ring_link_read(r.server.link, true, &h, &payload, NULL, &e), cases[i].rc);
        if (strstr(e.text, cases[i].says) == NULL) fail_msg("case %zu: %s", i, e.text);
        assert_int_equal(ring_link_read(r.server.link, true, &h, &payload, NULL, &e), cases[i].rc); /* it does not read on behind it */
        io_tls_close(r.tls);
        ring_link_close(r.server.link);
    }
}

/* A REFUSE in the middle of work is the error that it carries. */
static void test_refuse_later(void **state) {
    (void)state;
    struct raw r;
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    raw_open(&r);
    raw_finish(&r);
    raw_frame(&r, FRAME_REFUSE, "{\"error\":\"NO_ROOM\",\"text\":\"the slice does not fit\",\"hint\":\"add memory\"}");
    assert_int_equal(ring_link_read(r.server.link, true, &h, &payload, NULL, &e), ERR_NO_ROOM);
    assert_string_equal(e.text, "the other side refused the link: the slice does not fit");
    assert_string_equal(e.hint, "add memory");
    io_tls_close(r.tls);
    ring_link_close(r.server.link);
}

/* ---- peers that die ---------------------------------------------------------------------------------------------------------------------- */

/* A process that opens a link, sends one frame and the beginning of another, and is killed. */
static void test_killed_peer(void **state) {
    (void)state;
    int fds[2];
    tcp_pair(fds, 8192);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[1]);
        struct end c = end_of(false, good_ctx, fds[0]);
        end_main(&c);
        if (c.rc != ERR_OK) _exit(3);
        struct feed f = { c.link, 1, 4 << 20 };
        feed_main(&f);
        ring_link_flush(c.link, TIMEOUT_MS);
        feed_main(&f); /* most of it is still with the writer thread */
        raise(SIGKILL);
    }
    close(fds[0]);
    struct end s = end_of(true, good_ctx, fds[1]);
    end_main(&s);
    assert_int_equal(s.rc, ERR_OK);
    expect_tokens(s.link, 0, 4 << 20);
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    clock_us before = clock_now();
    assert_int_equal(ring_link_read(s.link, true, &h, &payload, NULL, &e), ERR_CLOSED);
    assert_true(clock_now() - before < 2000000);
    assert_non_null(strstr(e.text, "the other side closed the connection")); /* "in the middle of a frame" if a whole record of it came */
    /* sending to the dead fails soon: the first may still go into the kernel's buffer */
    static uint8_t data[1000];
    err_code rc = ERR_OK;
    for (int i = 0; i < 1000 && rc == ERR_OK; i++) {
        h = (struct frame_header){ .type = FRAME_TOKENS };
        rc = ring_link_send(s.link, &h, &(struct ring_part){ data, sizeof data }, 1, &e);
    }
    assert_int_equal(rc, ERR_CLOSED);
    ring_link_close(s.link);
}

/* The peer goes while the writer thread still has plenty: closing does not hang, sending reports it. */
static void test_peer_goes_while_queued(void **state) {
    (void)state;
    struct pair p = pair_open(4096);
    struct feed f = { p.client, 8, 1 << 20 };
    feed_main(&f);
    ring_link_close(p.server);
    clock_us before = clock_now();
    ring_link_flush(p.client, TIMEOUT_MS); /* ends as soon as the thread has seen it */
    assert_true(clock_now() - before < 10000000);
    struct frame_header h = { .type = FRAME_TOKENS };
    struct err e;
    assert_int_equal(ring_link_send(p.client, &h, NULL, 0, &e), ERR_CLOSED);
    ring_link_close(p.client);
    p = pair_open(4096);
    f.link = p.client;
    feed_main(&f);
    ring_link_close(p.client); /* nobody reads: what is queued is dropped */
    ring_link_close(p.server);
}

static void *shut_later(void *arg) {
    struct timespec t = { 0, 50000000 };
    nanosleep(&t, NULL);
    ring_link_shutdown(arg);
    return NULL;
}

static void test_shutdown_from_another_thread(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    pthread_t t;
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    pthread_create(&t, NULL, shut_later, p.client);
    assert_int_equal(ring_link_read(p.client, true, &h, &payload, NULL, &e), ERR_CLOSED);
    pthread_join(t, NULL);
    pair_close(&p);
}

/* The last frame before a close gets across even when the closing side has left something unread. */
static void test_last_words(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        struct pair p = pair_open(0);
        uint8_t data[500];
        fill(data, sizeof data, i);
        send_tokens(p.server, 1, data, sizeof data); /* never read */
        send_tokens(p.client, i, data, sizeof data);
        ring_link_close(p.client);
        expect_tokens(p.server, i, sizeof data);
        ring_link_close(p.server);
    }
}

/* ---- the writer's limit ------------------------------------------------------------------------------------------------------------------- */

struct writer_feed { struct ring_writer *w; size_t total; _Atomic size_t sent; };

static void *writer_feed_main(void *arg) {
    struct writer_feed *f = arg;
    uint8_t block[1000];
    while (f->sent < f->total) {
        struct err e;
        fill(block, sizeof block, (uint32_t)f->sent);
        struct iovec parts[2] = { { block, 333 }, { block + 333, sizeof block - 333 } };
        if (ring_writer_send(f->w, parts, 2, -1, &e) != ERR_OK) break;
        f->sent += sizeof block;
    }
    return NULL;
}

static void test_writer_blocks_at_its_limit(void **state) {
    (void)state;
    enum { LIMIT = 10000, TOTAL = 3000000 };
    int fds[2];
    struct err e;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    assert_int_equal(io_sock_tune(fds[0], &(struct io_sock_options){ .send_buffer = 4096 }, &e), ERR_OK);
    struct ring_wire wire = { .fd = fds[0] };
    struct ring_writer w;
    ring_writer_init(&w, &wire, LIMIT);
    struct writer_feed f = { .w = &w, .total = TOTAL };
    pthread_t t;
    pthread_create(&t, NULL, writer_feed_main, &f);
    size_t before, stuck = 0;
    do { /* until it stands still */
        before = f.sent;
        struct timespec pause_ms = { 0, 20000000 };
        nanosleep(&pause_ms, NULL);
        stuck = f.sent == before && before > 0 ? stuck + 1 : 0;
    } while (stuck < 3);
    assert_true(f.sent < TOTAL / 2); /* blocked, not queueing without end */
    assert_false(ring_writer_idle(&w));
    uint8_t *buf = malloc(TOTAL);
    for (size_t got = 0; got < TOTAL;) {
        assert_int_equal(io_sock_wait(fds[1], POLLIN, TIMEOUT_MS, &e), ERR_OK);
        ssize_t n = recv(fds[1], buf + got, TOTAL - got, MSG_DONTWAIT);
        assert_true(n > 0);
        got += (size_t)n;
    }
    for (size_t at = 0; at < TOTAL; at++)
        if (buf[at] != (uint8_t)((at / 1000 * 1000 + at % 1000) * 2654435761u >> 24)) fail_msg("byte %zu", at);
    free(buf);
    pthread_join(t, NULL);
    ring_writer_done(&w);
    ring_wire_close(&wire);
    close(fds[1]);
}

/* ---- LOCAL --------------------------------------------------------------------------------------------------------------------------------- */

static void test_local(void **state) {
    (void)state;
    int fds[2];
    struct err e;
    struct frame_header h = { .type = FRAME_LOAD, .epoch = 99 };
    const uint8_t *payload;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    struct ring_link *a = ring_link_local(fds[0]), *b = ring_link_local(fds[1]);
    assert_int_equal(ring_link_read(b, false, &h, &payload, NULL, &e), ERR_BUSY);
    assert_int_equal(ring_link_send(a, &h, &(struct ring_part){ "{\"x\":1}", 7 }, 1, &e), ERR_OK);
    assert_int_equal(ring_link_read(b, true, &h, &payload, NULL, &e), ERR_OK);
    assert_true(h.type == FRAME_LOAD && h.epoch == 99 && h.payload_len == 7); /* its epochs are the owner's business */
    assert_memory_equal(payload, "{\"x\":1}", 7);
    h = (struct frame_header){ .type = FRAME_COMPUTE };
    assert_int_equal(ring_link_send(a, &h, NULL, 0, &e), ERR_OK);
    assert_int_equal(ring_link_read(b, true, &h, &payload, NULL, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "COMPUTE frame on a local link"));
    ring_link_close(a);
    ring_link_close(b);
}

/* Descriptors pass in order, directly and behind a full queue; the sender may close its own at once; none leaks. */
static void test_local_descriptors(void **state) {
    (void)state;
    enum { COUNT = 8 };
    int fds[2], pipes[COUNT][2];
    struct err e;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    assert_int_equal(io_sock_tune(fds[0], &(struct io_sock_options){ .send_buffer = 4096 }, &e), ERR_OK);
    struct ring_link *a = ring_link_local(fds[0]), *b = ring_link_local(fds[1]);
    static uint8_t big[300000];
    fill(big, sizeof big, 3);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct frame_header h = { .type = FRAME_SOCKET, .number = i };
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
        assert_int_equal(ring_link_send_fd(a, &h, pipes[i][1], &e), ERR_OK);
        close(pipes[i][1]);
        h = (struct frame_header){ .type = FRAME_SUBMIT, .number = i };
        assert_int_equal(ring_link_send(a, &h, &(struct ring_part){ big, sizeof big }, 1, &e), ERR_OK);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct frame_header h;
        const uint8_t *payload;
        int came = -1;
        char c = (char)('a' + i), got = 0;
        if (ring_link_read(b, true, &h, &payload, &came, &e) != ERR_OK) fail_msg("%s", e.text);
        assert_true(h.type == FRAME_SOCKET && h.number == i);
        assert_true(came >= 0);
        assert_int_equal(write(came, &c, 1), 1);
        close(came);
        assert_int_equal(read(pipes[i][0], &got, 1), 1); /* it is that pipe */
        assert_int_equal(got, c);
        assert_int_equal(read(pipes[i][0], &got, 1), 0); /* and no copy is left */
        close(pipes[i][0]);
        came = -7;
        assert_int_equal(ring_link_read(b, true, &h, &payload, &came, &e), ERR_OK);
        assert_true(h.type == FRAME_SUBMIT && h.number == i && came == -1);
        assert_memory_equal(payload, big, sizeof big);
    }
    int pipe_fds[2]; /* whoever does not ask for it does not get it, and does not leak it */
    struct frame_header h = { .type = FRAME_SOCKET };
    const uint8_t *payload;
    char got;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(ring_link_send_fd(a, &h, pipe_fds[1], &e), ERR_OK);
    close(pipe_fds[1]);
    assert_int_equal(ring_link_read(b, true, &h, &payload, NULL, &e), ERR_OK);
    assert_int_equal(read(pipe_fds[0], &got, 1), 0);
    close(pipe_fds[0]);
    ring_link_close(a);
    ring_link_close(b);
}

static void test_local_descriptor_rules(void **state) {
    (void)state;
    for (int with = 0; with < 2; with++) {
        int fds[2], pipe_fds[2];
        size_t n;
        char got;
        struct err e;
        struct frame_header h;
        const uint8_t *payload;
        uint8_t head[FRAME_HEADER_SIZE];
        assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        struct ring_link *b = ring_link_local(fds[1]);
        frame_header_put(head, &(struct frame_header){ .type = with ? FRAME_DRAIN : FRAME_SOCKET });
        if (with) assert_int_equal(io_sock_send_fd(fds[0], head, sizeof head, pipe_fds[1], &n, &e), ERR_OK);
        else assert_int_equal(send(fds[0], head, sizeof head, 0), (long)sizeof head);
        close(pipe_fds[1]);
        assert_int_equal(ring_link_read(b, true, &h, &payload, NULL, &e), ERR_PROTOCOL);
        assert_string_equal(e.text, with ? "DRAIN frame with a descriptor, which only SOCKET has" : "SOCKET frame without a descriptor");
        ring_link_close(b);
        assert_int_equal(read(pipe_fds[0], &got, 1), 0);
        close(pipe_fds[0]);
        close(fds[0]);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static _Atomic long allocations;
void *__libc_malloc(size_t size);
void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size) {
    allocations += size > 64;
    return __libc_malloc(size);
}
void *realloc(void *p, size_t size) {
    allocations += size > 64;
    return __libc_realloc(p, size);
}

/* In the steady state a frame costs no allocation on either side, but for the four of 40 bytes that OpenSSL makes for each record. */
static void test_no_allocation_per_frame(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    static uint8_t data[32768];
    for (uint32_t i = 0; i < 1010; i++) {
        if (i == 10) allocations = 0;
        fill(data, sizeof data, i);
        send_tokens(p.client, i, data, sizeof data);
        expect_tokens(p.server, i, sizeof data);
    }
    long counted = allocations;
    pair_close(&p);
    if (counted > 10) fail_msg("%ld allocations in 1000 frames", counted);
}
#else
static void test_no_allocation_per_frame(void **state) {
    (void)state;
    skip(); /* the sanitizer has its own allocator */
}
#endif

static int setup(void **state) {
    (void)state;
    uint8_t good[IO_TLS_KEY_SIZE] = { 1 }, bad[IO_TLS_KEY_SIZE] = { 2 };
    io_tls_startup();
    good_ctx = io_tls_ctx_create(good, NULL);
    bad_ctx = io_tls_ctx_create(bad, NULL);
    return good_ctx == NULL || bad_ctx == NULL;
}

static int teardown(void **state) {
    (void)state;
    io_tls_ctx_free(good_ctx);
    io_tls_ctx_free(bad_ctx);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_identities), cmocka_unit_test(test_refused_key), cmocka_unit_test(test_refused_hellos),
        cmocka_unit_test(test_refused_headers), cmocka_unit_test(test_truncated_hello), cmocka_unit_test(test_client_refuses),
        cmocka_unit_test(test_bad_instance_name), cmocka_unit_test(test_frames_both_ways), cmocka_unit_test(test_pending),
        cmocka_unit_test(test_limits_of_sending), cmocka_unit_test(test_clocks), cmocka_unit_test(test_clock_offset),
        cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_both_ways_at_once), cmocka_unit_test(test_half_frames),
        cmocka_unit_test(test_bad_frames_later), cmocka_unit_test(test_refuse_later), cmocka_unit_test(test_killed_peer),
        cmocka_unit_test(test_peer_goes_while_queued), cmocka_unit_test(test_shutdown_from_another_thread), cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_writer_blocks_at_its_limit), cmocka_unit_test(test_local), cmocka_unit_test(test_local_descriptors),
        cmocka_unit_test(test_local_descriptor_rules), cmocka_unit_test(test_no_allocation_per_frame),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
