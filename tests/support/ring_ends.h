/* SPDX-License-Identifier: MIT
 * Two ends of a ring link for tests: over real sockets, each end in a thread; or one end real and the other written by hand (struct
 * raw), which sends any bytes that the test wants. Include after cmocka. */
#ifndef CARAVAN_TESTS_RING_ENDS_H
#define CARAVAN_TESTS_RING_ENDS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_stream.h"
#include "wire/handshake.h"
#include "wire/link.h"
#include "wire/reader.h"

enum { TIMEOUT_MS = 40000 };

static struct io_tls_ctx *good_ctx, *bad_ctx; /* made by ring_setup */

/* The nodes that the two ends are on: stage 0, which dials, and stage 1. */
static const uint8_t ring_nodes[2][IO_SIGN_SECRET_SIZE] = {{3}, {4}};

static const struct wire_identity identity = {
    .instance = "demo-1",
    .epoch = (UINT64_C(7) << 32) | 0xABCD,
    .model = "0123456789abcdef0123456789abcdef",
    .n_stage = 3,
    .from = 0,
    .to = 1,
    .width = 64,
    .node = "alpha",
};

/* buffer > 0: so small a send buffer. The receive buffers are then 64 KiB: smaller than a segment on loopback, TCP would crawl. */
static inline void tcp_pair(int fds[2], int buffer) {
    struct err e;
    struct io_addr a = {.host = "127.0.0.1"};
    int listener = -1;
    assert_int_equal(io_sock_listen(&a, 4, &listener, &e), ERR_OK);
    if (buffer > 0) assert_int_equal(io_sock_tune(listener, &(struct io_sock_options){.receive_buffer = 65536}, &e), ERR_OK);
    a.port = io_sock_port(listener);
    assert_int_equal(io_sock_connect(&a, TIMEOUT_MS, &fds[0], &e), ERR_OK);
    assert_int_equal(io_sock_accept(listener, TIMEOUT_MS, &fds[1], &e), ERR_OK);
    if (buffer > 0)
        for (int i = 0; i < 2; i++)
            assert_int_equal(io_sock_tune(fds[i], &(struct io_sock_options){.send_buffer = buffer, .receive_buffer = 65536}, &e), ERR_OK);
    close(listener);
}

/* One end of a handshake, runnable in a thread. */
struct end {
    bool server;
    struct io_tls_ctx *ctx;
    int fd, timeout_ms;
    struct wire_identity id;
    struct wire_link *link;
    err_code code;
    struct err e;
    pthread_t thread;
};

static inline void *end_main(void *arg) {
    struct end *s = arg;
    s->code = (s->server ? wire_link_accept : wire_link_connect)(s->ctx, s->fd, &s->id, s->timeout_ms, &s->link, &s->e);
    return NULL;
}

static inline struct end end_of(bool server, struct io_tls_ctx *ctx, int fd) {
    struct end s = {.server = server, .ctx = ctx, .fd = fd, .timeout_ms = TIMEOUT_MS, .id = identity};
    uint8_t other[IO_SIGN_PUBLIC_SIZE];
    io_sign_public(ring_nodes[!server], other);
    wire_pass_make(ring_nodes[server], identity.instance, identity.epoch, &s.id.pass);
    s.id.peer = io_sign_id(other);
    return s;
}

static inline void meet(struct end *client, struct end *server) {
    pthread_create(&server->thread, NULL, end_main, server);
    end_main(client);
    pthread_join(server->thread, NULL);
}

struct pair {
    struct wire_link *client, *server;
};

static inline struct pair pair_open(int buffer) {
    int fds[2];
    tcp_pair(fds, buffer);
    struct end c = end_of(false, good_ctx, fds[0]), s = end_of(true, good_ctx, fds[1]);
    meet(&c, &s);
    if (c.code != ERR_OK || s.code != ERR_OK) fail_msg("client: %s, server: %s", c.e.text, s.e.text);
    return (struct pair){c.link, s.link};
}

static inline void pair_close(struct pair *p) {
    wire_link_close(p->client);
    wire_link_close(p->server);
}

/* A peer written by hand: its TLS is right, its messages are up to the test. */
struct raw {
    struct end server;
    struct io_tls_stream *tls;
};

static inline void raw_open(struct raw *r) {
    int fds[2];
    struct err e;
    tcp_pair(fds, 0);
    r->server = end_of(true, good_ctx, fds[1]);
    pthread_create(&r->server.thread, NULL, end_main, &r->server);
    assert_int_equal(io_tls_connect(good_ctx, fds[0], "ring-demo-1-000000070000abcd-1.caravan", TIMEOUT_MS, &r->tls, &e), ERR_OK);
}

static inline void raw_send(struct raw *r, const void *data, size_t len) {
    size_t n;
    struct err e;
    assert_int_equal(io_tls_write(r->tls, data, len, true, &n, &e), ERR_OK);
}

static inline void raw_frame(struct raw *r, uint8_t type, const char *payload) {
    uint8_t head[FRAME_HEADER_SIZE];
    frame_header_put(head, &(struct frame_header){.type = type, .epoch = identity.epoch, .payload_len = (uint32_t)strlen(payload)});
    raw_send(r, head, sizeof(head));
    raw_send(r, payload, strlen(payload));
}

/* Reads until a REFUSE, and checks that it has the error that the server's end returned. */
static inline void raw_expect_refuse(struct raw *r, err_code code, const char *says) {
    struct wire_reader reader;
    struct err e;
    uint8_t buf[4096];
    err_code got;
    wire_reader_init(&reader, FRAME_LINK_RING);
    for (bool refused = false; !refused;) {
        size_t n = 0;
        got = io_tls_read(r->tls, buf, sizeof(buf), true, &n, &e);
        if (got != ERR_OK) fail_msg("the server closed without a REFUSE: %s", e.text);
        const uint8_t *p = buf;
        while (!refused && n > 0 && wire_reader_feed(&reader, &p, &n, &e) == ERR_OK) refused = reader.header.type == FRAME_REFUSE;
    }
    got = wire_refuse_decode(reader.payload, reader.header.payload_len, &e);
    wire_reader_done(&reader);
    io_tls_close(r->tls);
    pthread_join(r->server.thread, NULL);
    assert_int_equal(r->server.code, code);
    assert_int_equal(got, code);
    if (strstr(r->server.e.text, says) == NULL) fail_msg("the server says \"%s\", not \"%s\"", r->server.e.text, says);
    if (strstr(e.text, says) == NULL) fail_msg("the REFUSE says \"%s\", not \"%s\"", e.text, says);
}

#define HELLO_FIELDS \
    "\"node\":\"raw\",\"instance\":\"demo-1\",\"epoch\":\"000000070000abcd\",\"model\":\"0123456789abcdef0123456789abcdef\",\"n_stage\":3"

/* A valid HELLO or WELCOME, if `binding` is the connection's exported value. */
static inline void raw_greet(struct raw *r, uint8_t type, const uint8_t binding[IO_TLS_EXPORT_SIZE]) {
    struct end good = end_of(type == FRAME_WELCOME, good_ctx, -1);
    struct wire_proof proof;
    struct buf json;
    wire_pass_prove(&good.id.pass, type == FRAME_HELLO, binding, &proof);
    buf_init(&json, frame_max_payload(type));
    (type == FRAME_HELLO ? wire_hello_encode : wire_welcome_encode)(&identity, &proof, &json);
    buf_append(&json, "", 1);
    raw_frame(r, type, (const char *)json.data);
    buf_done(&json);
}

/* A link over a raw peer that has finished the handshake properly. */
static inline void raw_finish(struct raw *r) {
    struct wire_reader reader;
    struct err e;
    int pings = 0, pongs = 0;
    wire_reader_init(&reader, FRAME_LINK_RING);
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    io_tls_export(r->tls, WIRE_PASS_LABEL, binding);
    raw_greet(r, FRAME_HELLO, binding);
    for (int i = 0; i < 5; i++) raw_frame(r, FRAME_PING, "");
    while (pings < 5 || pongs < 5) {
        uint8_t buf[1024], out[FRAME_HEADER_SIZE + 16] = {0};
        size_t n = 0;
        if (io_tls_read(r->tls, buf, sizeof(buf), true, &n, &e) != ERR_OK) fail_msg("%s", e.text);
        const uint8_t *at = buf;
        while (n > 0 && wire_reader_feed(&reader, &at, &n, &e) == ERR_OK) {
            if (reader.header.type == FRAME_REFUSE) fail_msg("%.*s", (int)reader.header.payload_len, (const char *)reader.payload);
            pongs += reader.header.type == FRAME_PONG;
            if (reader.header.type != FRAME_PING) continue;
            pings++;
            frame_header_put(out, &(struct frame_header){.type = FRAME_PONG, .epoch = identity.epoch, .sent_us = 1, .payload_len = 16});
            bytes_put_u64(out + FRAME_HEADER_SIZE, reader.header.sent_us);
            raw_send(r, out, sizeof(out));
        }
    }
    wire_reader_done(&reader);
    pthread_join(r->server.thread, NULL);
    if (r->server.code != ERR_OK) fail_msg("%s", r->server.e.text);
}

static inline int ring_setup(void **state) {
    (void)state;
    uint8_t good[IO_TLS_KEY_SIZE] = {1}, bad[IO_TLS_KEY_SIZE] = {2};
    io_tls_startup();
    good_ctx = io_tls_ctx_create(good, NULL);
    bad_ctx = io_tls_ctx_create(bad, NULL);
    return good_ctx == NULL || bad_ctx == NULL;
}

static inline int ring_teardown(void **state) {
    (void)state;
    io_tls_ctx_free(good_ctx);
    io_tls_ctx_free(bad_ctx);
    return 0;
}

#endif
