/* SPDX-License-Identifier: MIT
 * Ring links over real sockets with both ends alive: frames under slow readers, half frames and dying peers, the writer thread, clocks, and
 * descriptors on LOCAL. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/transport.h"
#include "wire/writer.h"
#include "support/ring_ends.h"

/* ---- frames ---- */

static void fill(uint8_t *data, size_t len, uint32_t seed) {
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)((seed + i) * 2654435761u >> 24);
}

static void send_tokens(struct wire_link *l, uint32_t number, const uint8_t *data, size_t len) {
    struct frame_header h = {.type = FRAME_TOKENS, .number = number};
    struct wire_part parts[3] = {{data, len / 3}, {NULL, 0}, {data + len / 3, len - len / 3}};
    struct err e;
    if (wire_link_send(l, &h, parts, 3, &e) != ERR_OK) fail_msg("frame %u: %s", number, e.text);
}

static void expect_tokens(struct wire_link *l, uint32_t number, size_t len) {
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    if (wire_link_read(l, true, &h, &payload, NULL, &e) != ERR_OK) fail_msg("frame %u: %s", number, e.text);
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
    static const size_t sizes[] = {0, 1, 12, 16336, 16337, 32768, 99999};
    struct frame_header h = {.number = 4711};
    const uint8_t *payload;
    struct err e;
    for (uint32_t i = 0; i < 70; i++) {
        size_t len = sizes[i % ARRAY_LEN(sizes)];
        struct wire_link *from = i % 2 ? p.client : p.server, *to = i % 2 ? p.server : p.client;
        fill(data, len, i);
        send_tokens(from, i, data, len);
        expect_tokens(to, i, len);
        assert_int_equal(wire_link_read(to, false, &h, &payload, NULL, &e), ERR_BUSY);
        assert_int_equal(h.number, 4711); /* untouched */
        assert_false(wire_link_pending(to));
    }
    pair_close(&p);
}

/* Two frames in one segment: after the first, the second waits where poll cannot see it. */
static void test_pending(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    uint8_t data[64];
    for (uint32_t i = 0; i < 2; i++) {
        fill(data, sizeof(data), i);
        send_tokens(p.client, i, data, sizeof(data));
    }
    clock_us until = clock_now() + TIMEOUT_MS * 1000ull;
    int waiting = 0; /* both have arrived when the socket holds two records */
    uint8_t peeked[1024];
    size_t n = 0;
    struct err e;
    while (waiting < 2 && clock_now() < until)
        waiting = io_sock_peek(wire_link_fd(p.server), peeked, sizeof(peeked), &n, &e) == ERR_OK && n >= 2 * (48 + 64 + 22) ? 2 : 0;
    assert_int_equal(waiting, 2);
    expect_tokens(p.server, 0, sizeof(data));
    assert_true(wire_link_pending(p.server));
    struct pollfd fd = {wire_link_fd(p.server), POLLIN, 0};
    assert_int_equal(poll(&fd, 1, 0), 0);
    expect_tokens(p.server, 1, sizeof(data));
    assert_false(wire_link_pending(p.server));
    pair_close(&p);
}

static void join_tokens(struct wire_link *l, uint32_t number, const uint8_t *data, size_t len) {
    struct frame_header h = {.type = FRAME_TOKENS, .number = number};
    struct err e;
    if (wire_link_join(l, &h, data, len, &e) != ERR_OK) fail_msg("frame %u: %s", number, e.text);
}

/* Joined frames go together, with the next that is sent or when told to, and before it. */
static void test_joined(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    static uint8_t data[70000];
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    for (uint32_t i = 0; i < 3; i++) {
        fill(data, 100 * i, i);
        join_tokens(p.client, i, data, 100 * i);
    }
    assert_int_equal(wire_link_read(p.server, false, &h, &payload, NULL, &e), ERR_BUSY);
    fill(data, 500, 3);
    send_tokens(p.client, 3, data, 500);
    for (uint32_t i = 0; i < 3; i++) expect_tokens(p.server, i, 100 * i);
    expect_tokens(p.server, 3, 500);
    fill(data, 50, 4);
    join_tokens(p.client, 4, data, 50);
    assert_int_equal(wire_link_flush_joined(p.client, &e), ERR_OK);
    assert_int_equal(wire_link_flush_joined(p.client, &e), ERR_OK);
    expect_tokens(p.server, 4, 50);
    static const size_t sizes[] = {30000, 30000, 30000, 69000, 10}; /* more than may wait to be joined */
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        fill(data, sizes[i], 5 + i);
        join_tokens(p.client, 5 + i, data, sizes[i]);
    }
    assert_int_equal(wire_link_flush_joined(p.client, &e), ERR_OK);
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) expect_tokens(p.server, 5 + i, sizes[i]);
    h = (struct frame_header){.type = FRAME_FAULT};
    assert_int_equal(wire_link_join(p.client, &h, data, 4097, &e), ERR_LIMIT);
    pair_close(&p);
}

/* What one end has sent is what the other has received, and more than the frames: the bytes are counted as they are on the network. */
static void test_traffic(void **state) {
    (void)state;
    enum { FRAMES = 5, BYTES = 20000 };
    struct pair p = pair_open(0);
    static uint8_t data[BYTES];
    struct wire_traffic before = wire_link_traffic(p.client), there = wire_link_traffic(p.server);
    assert_true(before.sent > 0 && before.received > 0 && before.frames > 0); /* the handshake */
    for (uint32_t i = 0; i < FRAMES; i++) {
        fill(data, BYTES, i);
        send_tokens(p.client, i, data, BYTES);
        expect_tokens(p.server, i, BYTES);
    }
    struct wire_traffic after = wire_link_traffic(p.client);
    uint64_t sent = after.sent - before.sent, least = FRAMES * (BYTES + FRAME_HEADER_SIZE);
    assert_int_equal(after.frames - before.frames, FRAMES);
    assert_true(sent > least && sent < least + FRAMES * 100);
    assert_int_equal(wire_link_traffic(p.server).received - there.received, sent);
    pair_close(&p);
    int fds[2];
    assert_int_equal(io_sock_pair(fds, NULL), ERR_OK);
    struct wire_link *local = wire_link_local(fds[0]);
    send_tokens(local, 0, data, 0);
    assert_int_equal(wire_link_traffic(local).sent, 0);
    wire_link_close(local);
    close(fds[1]);
}

static void test_limits_of_sending(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    struct frame_header h = {.type = FRAME_FAULT};
    static uint8_t data[4097];
    struct err e;
    assert_int_equal(wire_link_send(p.client, &h, &(struct wire_part){data, sizeof(data)}, 1, &e), ERR_LIMIT);
    fill(data, 100, 1);
    send_tokens(p.client, 1, data, 100); /* the link is as good as before */
    expect_tokens(p.server, 1, 100);
    pair_close(&p);
}

static void test_clocks(void **state) {
    (void)state;
    clock_us begun = clock_now();
    struct pair p = pair_open(0);
    clock_us now = clock_now();
    struct wire_link *ends[2] = {p.client, p.server};
    for (int i = 0; i < 2; i++) { /* one machine, one clock */
        uint32_t rtt = wire_link_rtt_us(ends[i]), hop = wire_link_hop_us(ends[i], now - 5000, now);
        assert_true(rtt <= now - begun);
        assert_true(hop + rtt >= 5000 && hop <= 5000 + rtt);
        assert_int_equal(wire_link_hop_us(ends[i], now + 10000000, now), 0);
    }
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    /* a beat is answered with a PING, at most once a second; the owner sees neither */
    uint64_t before = wire_link_received(p.server);
    for (clock_us until = now + TIMEOUT_MS * 1000ull; wire_link_received(p.server) == before;) {
        assert_true(clock_now() < until);
        wire_link_beat(p.server);
        assert_int_equal(io_sock_wait(wire_link_fd(p.client), POLLIN, TIMEOUT_MS, &e), ERR_OK);
        assert_int_equal(wire_link_read(p.client, false, &h, &payload, NULL, &e), ERR_BUSY);
        if (io_sock_wait(wire_link_fd(p.server), POLLIN, 20, &e) != ERR_OK) continue;
        assert_int_equal(wire_link_read(p.server, false, &h, &payload, NULL, &e), ERR_BUSY);
    }
    assert_int_equal(wire_link_received(p.server) - before, FRAME_HEADER_SIZE); /* the PING */
    assert_int_equal(io_sock_wait(wire_link_fd(p.client), POLLIN, TIMEOUT_MS, &e), ERR_OK);
    assert_int_equal(wire_link_read(p.client, false, &h, &payload, NULL, &e), ERR_BUSY); /* the PONG */
    pair_close(&p);
}

/* The peer's clock is an hour ahead, and the peer is slow: a raw server that answers PINGs by that clock, 200 ms after they came. */
static void test_clock_offset(void **state) {
    (void)state;
    enum { HOUR_US = 3600 * 1000000u };
    int fds[2];
    tcp_pair(fds, 0);
    struct end c = end_of(false, good_ctx, fds[0]);
    struct raw r = {.tls = NULL};
    struct err e;
    pthread_create(&c.thread, NULL, end_main, &c);
    assert_int_equal(io_tls_accept(good_ctx, fds[1], TIMEOUT_MS, &r.tls, &e), ERR_OK);
    struct wire_reader reader;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    io_tls_export(r.tls, WIRE_PASS_LABEL, binding);
    wire_reader_init(&reader, FRAME_LINK_RING);
    int answered = 0, asked = 0;
    while (answered < 5 || asked < 5) {
        uint8_t buf[1024], out[FRAME_HEADER_SIZE + 16];
        size_t n = 0;
        assert_int_equal(io_tls_read(r.tls, buf, sizeof(buf), true, &n, &e), ERR_OK);
        const uint8_t *at = buf;
        while (n > 0 && wire_reader_feed(&reader, &at, &n, &e) == ERR_OK) {
            if (reader.header.type == FRAME_HELLO) raw_greet(&r, FRAME_WELCOME, binding);
            if (reader.header.type == FRAME_PONG) asked++;
            if (reader.header.type != FRAME_PING) continue;
            clock_us theirs = clock_now() + HOUR_US;
            struct timespec hold = {0, 200000000};
            nanosleep(&hold, NULL);
            bytes_put_u64(out + FRAME_HEADER_SIZE, reader.header.sent_us);
            bytes_put_u64(out + FRAME_HEADER_SIZE + 8, theirs);
            frame_header_put(out, &(struct frame_header){.type = FRAME_PONG,
                                                         .epoch = identity.epoch,
                                                         .sent_us = clock_now() + HOUR_US,
                                                         .payload_len = FIELD_SIZE(frame_pong)});
            raw_send(&r, out, sizeof(out));
            frame_header_put(out, &(struct frame_header){.type = FRAME_PING, .epoch = identity.epoch, .sent_us = clock_now() + HOUR_US});
            raw_send(&r, out, FRAME_HEADER_SIZE);
            answered++;
        }
    }
    pthread_join(c.thread, NULL);
    assert_int_equal(c.code, ERR_OK);
    clock_us now = clock_now();
    uint32_t hop = wire_link_hop_us(c.link, now + HOUR_US - 7000000, now); /* sent seven seconds ago, by that clock */
    assert_true(hop > 6000000 && hop < 8000000);
    assert_true(wire_link_rtt_us(c.link) < 200000); /* the time it was held there does not count */
    wire_reader_done(&reader);
    io_tls_close(r.tls);
    wire_link_close(c.link);
}

/* ---- slow readers, half frames ---- */

struct feed {
    struct wire_link *link;
    uint32_t count;
    size_t size;
};

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
    struct feed f = {p.client, 64, 1 << 20};
    feed_main(&f); /* on this thread: there is no reader yet, and it returns */
    for (uint32_t i = 0; i < f.count; i++) expect_tokens(p.server, i, f.size - i % 7);
    wire_link_flush(p.client, TIMEOUT_MS);
    uint8_t data[100];
    fill(data, sizeof(data), 99);
    send_tokens(p.client, 99, data, sizeof(data)); /* and directly again */
    expect_tokens(p.server, 99, sizeof(data));
    pair_close(&p);
}

/* Both directions at once through narrow sockets, each link with a thread that only sends. */
static void test_both_ways_at_once(void **state) {
    (void)state;
    struct pair p = pair_open(8192);
    struct feed up = {p.client, 500, 20000}, down = {p.server, 500, 30000};
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

/* A frame that arrives in random crumbs: BUSY until the last, no spinning in between, then whole. */
static void test_half_frames(void **state) {
    (void)state;
    struct raw r;
    raw_open(&r);
    raw_finish(&r);
    struct wire_link *l = r.server.link;
    unsigned seed = 4;
    struct err e;
    for (uint32_t i = 0; i < 30; i++) {
        enum { LEN = 20000 };
        static uint8_t frame[FRAME_HEADER_SIZE + LEN];
        frame_header_put(frame, &(struct frame_header){.type = FRAME_TOKENS, .number = i, .epoch = identity.epoch, .payload_len = LEN});
        fill(frame + FRAME_HEADER_SIZE, LEN, i);
        for (size_t at = 0; at < sizeof(frame);) {
            size_t n = 1 + (size_t)rand_r(&seed) % (at < 60 ? 20 : 9000);
            if (n > sizeof(frame) - at) n = sizeof(frame) - at;
            raw_send(&r, frame + at, n);
            at += n;
            if (at == sizeof(frame)) break;
            struct frame_header h;
            const uint8_t *payload;
            assert_int_equal(io_sock_wait(wire_link_fd(l), POLLIN, TIMEOUT_MS, &e), ERR_OK);
            assert_int_equal(wire_link_read(l, false, &h, &payload, NULL, &e), ERR_BUSY);
            assert_false(wire_link_pending(l));
        }
        expect_tokens(l, i, LEN);
    }
    io_tls_close(r.tls);
    struct frame_header h;
    const uint8_t *payload;
    assert_int_equal(wire_link_read(l, true, &h, &payload, NULL, &e), ERR_CLOSED);
    assert_null(strstr(e.text, "middle"));
    assert_int_equal(wire_link_read(l, false, &h, &payload, NULL, &e), ERR_CLOSED); /* and it stays so */
    wire_link_close(l);
}

static void test_bad_frames_later(void **state) {
    (void)state;
    static const struct {
        uint8_t type;
        uint64_t epoch;
        size_t at;
        uint8_t value;
        err_code code;
        const char *says;
    } cases[] = {
        {FRAME_TOKENS, 1, 0, 'C', ERR_STALE, "TOKENS frame of another epoch"},
        {FRAME_HELLO, 0, 0, 'C', ERR_PROTOCOL, "HELLO frame after the handshake"},
        {FRAME_WELCOME, 0, 0, 'C', ERR_PROTOCOL, "WELCOME frame after the handshake"},
        {FRAME_TOKENS, 0, 0, 'c', ERR_PROTOCOL, "not a Caravan frame"},
        {FRAME_TOKENS, 0, 31, 0xFF, ERR_PROTOCOL, "operations"},
        {FRAME_PONG, 0, 0, 'C', ERR_PROTOCOL, "frame_pong: cut short"},
        {FRAME_EVENT, 0, 0, 'C', ERR_PROTOCOL, "EVENT frame on a ring link"},
        {FRAME_REFUSE, 0, 0, 'C', ERR_PROTOCOL, "a reason that cannot be read"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw r;
        uint8_t head[FRAME_HEADER_SIZE];
        struct frame_header h;
        const uint8_t *payload;
        struct err e;
        raw_open(&r);
        raw_finish(&r);
        frame_header_put(head, &(struct frame_header){.type = cases[i].type, .epoch = cases[i].epoch ? cases[i].epoch : identity.epoch});
        head[cases[i].at] = cases[i].value;
        raw_send(&r, head, sizeof(head));
        assert_int_equal(wire_link_read(r.server.link, true, &h, &payload, NULL, &e), cases[i].code);
        if (strstr(e.text, cases[i].says) == NULL) fail_msg("case %zu: %s", i, e.text);
        assert_int_equal(wire_link_read(r.server.link, true, &h, &payload, NULL, &e), cases[i].code); /* it reads no further */
        io_tls_close(r.tls);
        wire_link_close(r.server.link);
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
    assert_int_equal(wire_link_read(r.server.link, true, &h, &payload, NULL, &e), ERR_NO_ROOM);
    assert_string_equal(e.text, "the other side refused the link: the slice does not fit");
    assert_string_equal(e.hint, "add memory");
    io_tls_close(r.tls);
    wire_link_close(r.server.link);
}

/* ---- peers that die ---- */

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
        if (c.code != ERR_OK) _exit(3);
        struct feed f = {c.link, 1, 4 << 20};
        feed_main(&f);
        wire_link_flush(c.link, TIMEOUT_MS);
        feed_main(&f); /* most of it is still with the writer thread */
        raise(SIGKILL);
    }
    close(fds[0]);
    struct end s = end_of(true, good_ctx, fds[1]);
    end_main(&s);
    assert_int_equal(s.code, ERR_OK);
    expect_tokens(s.link, 0, 4 << 20);
    struct frame_header h;
    const uint8_t *payload;
    struct err e;
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    clock_us before = clock_now();
    assert_int_equal(wire_link_read(s.link, true, &h, &payload, NULL, &e), ERR_CLOSED);
    assert_true(clock_now() - before < TIMEOUT_MS * 1000ull / 2);
    assert_non_null(strstr(e.text, "the other side closed the connection")); /* "in the middle of a frame" if a whole record of it came */
    /* sending to the dead fails soon: the first may still go into the kernel's buffer */
    static uint8_t data[1000];
    err_code code = ERR_OK;
    for (int i = 0; i < 1000 && code == ERR_OK; i++) {
        h = (struct frame_header){.type = FRAME_TOKENS};
        code = wire_link_send(s.link, &h, &(struct wire_part){data, sizeof(data)}, 1, &e);
    }
    assert_int_equal(code, ERR_CLOSED);
    wire_link_close(s.link);
}

/* The peer goes while the writer thread still has plenty: closing does not hang, sending reports it. */
static void test_peer_goes_while_queued(void **state) {
    (void)state;
    struct pair p = pair_open(4096);
    struct feed f = {p.client, 8, 1 << 20};
    feed_main(&f);
    wire_link_close(p.server);
    clock_us before = clock_now();
    wire_link_flush(p.client, TIMEOUT_MS); /* ends as soon as the thread has seen it */
    assert_true(clock_now() - before < TIMEOUT_MS * 1000ull / 2);
    struct err e;
    err_code code = ERR_OK;
    for (int i = 0; i < 1000 && code == ERR_OK; i++) { /* the first may still go into the kernel's buffer */
        struct frame_header h = {.type = FRAME_TOKENS};
        code = wire_link_send(p.client, &h, NULL, 0, &e);
    }
    assert_int_equal(code, ERR_CLOSED);
    wire_link_close(p.client);
    p = pair_open(4096);
    f.link = p.client;
    feed_main(&f);
    wire_link_close(p.client); /* no reader: queued bytes are dropped */
    wire_link_close(p.server);
}

/* The last frame before a close gets across even when the closing side has left something unread. */
static void test_last_words(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        struct pair p = pair_open(0);
        uint8_t data[500];
        fill(data, sizeof(data), i);
        send_tokens(p.server, 1, data, sizeof(data)); /* never read */
        send_tokens(p.client, i, data, sizeof(data));
        wire_link_close(p.client);
        expect_tokens(p.server, i, sizeof(data));
        wire_link_close(p.server);
    }
}

/* The last frame also gets across when the other side is gone and frames came before it that are to be answered. */
static void test_last_words_after_questions(void **state) {
    (void)state;
    struct pair p = pair_open(0);
    struct frame_header ping = {.type = FRAME_PING}, tokens;
    uint8_t data[500];
    struct err e;
    err_code code = ERR_OK;
    fill(data, sizeof(data), 7);
    assert_int_equal(wire_link_send(p.client, &ping, NULL, 0, &e), ERR_OK);
    wire_link_beat(p.client);
    send_tokens(p.client, 7, data, sizeof(data));
    wire_link_close(p.client);
    for (int i = 0; i < 1000 && code == ERR_OK; i++) { /* the first may still go into the kernel's buffer */
        tokens = (struct frame_header){.type = FRAME_TOKENS};
        code = wire_link_send(p.server, &tokens, NULL, 0, &e);
    }
    assert_int_equal(code, ERR_CLOSED);
    expect_tokens(p.server, 7, sizeof(data));
    wire_link_close(p.server);
}

/* ---- the writer's limit ---- */

struct writer_feed {
    struct wire_writer *w;
    size_t total;
    _Atomic size_t sent;
};

static void *writer_feed_main(void *arg) {
    struct writer_feed *f = arg;
    uint8_t block[1000];
    while (f->sent < f->total) {
        struct err e;
        fill(block, sizeof(block), (uint32_t)f->sent);
        struct iovec parts[2] = {{block, 333}, {block + 333, sizeof(block) - 333}};
        if (wire_writer_send(f->w, parts, 2, -1, &e) != ERR_OK) break;
        f->sent += sizeof(block);
    }
    return NULL;
}

static void test_writer_blocks_at_its_limit(void **state) {
    (void)state;
    enum { LIMIT = 10000, TOTAL = 3000000 };
    int fds[2];
    struct err e;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    assert_int_equal(io_sock_tune(fds[0], &(struct io_sock_options){.send_buffer = 4096}, &e), ERR_OK);
    struct wire_transport wire = {.fd = fds[0]};
    struct wire_writer w;
    wire_writer_init(&w, &wire, LIMIT);
    struct writer_feed f = {.w = &w, .total = TOTAL};
    pthread_t t;
    pthread_create(&t, NULL, writer_feed_main, &f);
    size_t before, stuck = 0;
    do { /* until it stands still */
        before = f.sent;
        struct timespec pause_ms = {0, 20000000};
        nanosleep(&pause_ms, NULL);
        stuck = f.sent == before && before > 0 ? stuck + 1 : 0;
    } while (stuck < 25);
    assert_true(f.sent < TOTAL / 2); /* blocked, not queueing without end */
    assert_false(wire_writer_idle(&w));
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
    wire_writer_done(&w);
    wire_transport_close(&wire);
    close(fds[1]);
}

/* ---- LOCAL ---- */

static void test_local(void **state) {
    (void)state;
    int fds[2];
    struct err e;
    struct frame_header h = {.type = FRAME_LOAD, .epoch = 99};
    const uint8_t *payload;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    struct wire_link *a = wire_link_local(fds[0]), *b = wire_link_local(fds[1]);
    assert_int_equal(wire_link_read(b, false, &h, &payload, NULL, &e), ERR_BUSY);
    assert_int_equal(wire_link_send(a, &h, &(struct wire_part){"{\"x\":1}", 7}, 1, &e), ERR_OK);
    assert_int_equal(wire_link_read(b, true, &h, &payload, NULL, &e), ERR_OK);
    assert_true(h.type == FRAME_LOAD && h.epoch == 99 && h.payload_len == 7); /* its epochs are the owner's business */
    assert_memory_equal(payload, "{\"x\":1}", 7);
    h = (struct frame_header){.type = FRAME_COMPUTE};
    assert_int_equal(wire_link_send(a, &h, NULL, 0, &e), ERR_OK);
    assert_int_equal(wire_link_read(b, true, &h, &payload, NULL, &e), ERR_PROTOCOL);
    assert_non_null(strstr(e.text, "COMPUTE frame on a local link"));
    wire_link_close(a);
    wire_link_close(b);
}

/* Descriptors pass in order, directly and after a full queue; the sender may close its own at once; none leaks. */
static void test_local_descriptors(void **state) {
    (void)state;
    enum { COUNT = 8 };
    int fds[2], pipes[COUNT][2];
    struct err e;
    assert_int_equal(io_sock_pair(fds, &e), ERR_OK);
    assert_int_equal(io_sock_tune(fds[0], &(struct io_sock_options){.send_buffer = 4096}, &e), ERR_OK);
    struct wire_link *a = wire_link_local(fds[0]), *b = wire_link_local(fds[1]);
    static uint8_t big[300000];
    fill(big, sizeof(big), 3);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct frame_header h = {.type = FRAME_SOCKET, .number = i};
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
        assert_int_equal(wire_link_send_fd(a, &h, pipes[i][1], &e), ERR_OK);
        close(pipes[i][1]);
        h = (struct frame_header){.type = FRAME_SUBMIT, .number = i};
        assert_int_equal(wire_link_send(a, &h, &(struct wire_part){big, sizeof(big)}, 1, &e), ERR_OK);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct frame_header h;
        const uint8_t *payload;
        int came = -1;
        char c = (char)('a' + i), got = 0;
        if (wire_link_read(b, true, &h, &payload, &came, &e) != ERR_OK) fail_msg("%s", e.text);
        assert_true(h.type == FRAME_SOCKET && h.number == i);
        assert_true(came >= 0);
        assert_int_equal(write(came, &c, 1), 1);
        close(came);
        assert_int_equal(read(pipes[i][0], &got, 1), 1); /* it is that pipe */
        assert_int_equal(got, c);
        assert_int_equal(read(pipes[i][0], &got, 1), 0); /* and no copy is left */
        close(pipes[i][0]);
        came = -7;
        assert_int_equal(wire_link_read(b, true, &h, &payload, &came, &e), ERR_OK);
        assert_true(h.type == FRAME_SUBMIT && h.number == i && came == -1);
        assert_memory_equal(payload, big, sizeof(big));
    }
    int pipe_fds[2]; /* a caller that doesn't ask for the descriptor doesn't get it, and it doesn't leak */
    struct frame_header h = {.type = FRAME_SOCKET};
    const uint8_t *payload;
    char got;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(wire_link_send_fd(a, &h, pipe_fds[1], &e), ERR_OK);
    close(pipe_fds[1]);
    assert_int_equal(wire_link_read(b, true, &h, &payload, NULL, &e), ERR_OK);
    assert_int_equal(read(pipe_fds[0], &got, 1), 0);
    close(pipe_fds[0]);
    wire_link_close(a);
    wire_link_close(b);
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
        struct wire_link *b = wire_link_local(fds[1]);
        frame_header_put(head, &(struct frame_header){.type = with ? FRAME_DRAIN : FRAME_SOCKET});
        if (with) assert_int_equal(io_sock_send_fd(fds[0], head, sizeof(head), pipe_fds[1], &n, &e), ERR_OK);
        else assert_int_equal(send(fds[0], head, sizeof(head), 0), (long)sizeof(head));
        close(pipe_fds[1]);
        assert_int_equal(wire_link_read(b, true, &h, &payload, NULL, &e), ERR_PROTOCOL);
        assert_string_equal(e.text,
                            with ? "DRAIN frame with a descriptor, which only SOCKET and DIAL have" : "SOCKET frame without a descriptor");
        wire_link_close(b);
        assert_int_equal(read(pipe_fds[0], &got, 1), 0);
        close(pipe_fds[0]);
        close(fds[0]);
    }
}

/* ---- memory ---- */

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
        fill(data, sizeof(data), i);
        send_tokens(p.client, i, data, sizeof(data));
        expect_tokens(p.server, i, sizeof(data));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_both_ways),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_traffic),
        cmocka_unit_test(test_limits_of_sending),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_clock_offset),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_both_ways_at_once),
        cmocka_unit_test(test_half_frames),
        cmocka_unit_test(test_bad_frames_later),
        cmocka_unit_test(test_refuse_later),
        cmocka_unit_test(test_killed_peer),
        cmocka_unit_test(test_peer_goes_while_queued),
        cmocka_unit_test(test_last_words_after_questions),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_writer_blocks_at_its_limit),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_local_descriptors),
        cmocka_unit_test(test_local_descriptor_rules),
        cmocka_unit_test(test_no_allocation_per_frame),
    };
    return cmocka_run_group_tests(tests, ring_setup, ring_teardown);
}
