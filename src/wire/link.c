/* SPDX-License-Identifier: MIT
 * One link: a reader, a writer, and the other side's clock. The link itself handles PING, PONG, BEAT and REFUSE; its owner never sees
 * them. */
#include "wire/link.h"

#include <assert.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "wire/handshake.h"
#include "wire/peer_clock.h"
#include "wire/reader.h"
#include "wire/transport.h"
#include "wire/writer.h"

enum {
    MAX_QUEUED = 256 * 1024 * 1024, /* bytes that wait for a slow link; the scheduler's credits keep it far below */
    CLOCK_SAMPLES = 5,
    MAX_PARTS = 16,
    JOIN_MOST = 64 * 1024,          /* bytes of joined frames that make the link send them */
    REFUSE_LINGER_MS = 500,         /* time for a REFUSE to arrive before the socket closes */
};
struct wire_link {
    struct wire_transport wire;
    struct wire_reader reader;
    struct wire_writer writer;
    struct buf joined;       /* whole frames that wait for the next frame */
    struct peer_clock clock;
    unsigned pings;          /* answered */
    enum frame_link kind;
    uint64_t received;       /* bytes */
    atomic_uint_least64_t frames; /* sent */
    uint64_t epoch;          /* of every frame on a ring link */
    int came_fd;             /* a descriptor that came with the frame being read, or -1 */
    err_code rc;             /* the error that ended reading; every later read returns it */
    struct err err;
};

static struct wire_link *link_create(enum frame_link kind, struct io_tls_stream *tls, int fd) {
    struct wire_link *l = MEM_NEW(struct wire_link);
    l->wire = (struct wire_transport){.tls = tls, .fd = fd};
    l->kind = kind;
    l->came_fd = -1;
    wire_reader_init(&l->reader, kind);
    wire_writer_init(&l->writer, &l->wire, MAX_QUEUED);
    buf_init(&l->joined, 2 * JOIN_MOST + FRAME_HEADER_SIZE);
    return l;
}

struct wire_link *wire_link_local(int fd) { return link_create(FRAME_LINK_LOCAL, NULL, fd); }

void wire_link_close(struct wire_link *l) {
    if (l == NULL) return;
    wire_writer_done(&l->writer);
    wire_transport_close(&l->wire);
    wire_reader_done(&l->reader);
    if (l->came_fd >= 0) close(l->came_fd);
    buf_done(&l->joined);
    free(l);
}

int wire_link_fd(const struct wire_link *l) { return l->wire.tls != NULL ? io_tls_fd(l->wire.tls) : l->wire.fd; }

bool wire_link_pending(const struct wire_link *l) { return wire_transport_pending(&l->wire); }

uint64_t wire_link_received(const struct wire_link *l) { return l->received; }

struct wire_traffic wire_link_traffic(struct wire_link *l) {
    struct wire_traffic t = {0};
    if (l->wire.tls == NULL) return t;
    io_tls_carried(l->wire.tls, &t.sent, &t.received);
    t.frames = atomic_load_explicit(&l->frames, memory_order_relaxed);
    return t;
}

void wire_link_flush(struct wire_link *l, int timeout_ms) { wire_writer_flush(&l->writer, timeout_ms); }

/* ---- sending ---- */

/* Checks the frame of len bytes, and writes its header. */
static err_code put_head(struct wire_link *l, struct frame_header *h, size_t len, uint8_t head[FRAME_HEADER_SIZE], struct err *e) {
    if (l->kind == FRAME_LINK_RING) h->epoch = l->epoch;
    h->sent_us = clock_now();
    err_code code = frame_header_make(h, len, head, e);
    if (code == ERR_OK) atomic_fetch_add_explicit(&l->frames, 1, memory_order_relaxed);
    return code;
}

err_code wire_link_flush_joined(struct wire_link *l, struct err *e) {
    if (l->joined.len == 0) return ERR_OK;
    struct iovec iov = {.iov_base = l->joined.data, .iov_len = l->joined.len};
    err_code code = wire_writer_send(&l->writer, &iov, 1, -1, e);
    buf_clear(&l->joined);
    return code;
}

err_code wire_link_join(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    err_code code = l->joined.len + len > JOIN_MOST ? wire_link_flush_joined(l, e) : ERR_OK;
    if (code == ERR_OK && len > JOIN_MOST) {
        struct wire_part part = {payload, len};
        return wire_link_send(l, h, &part, 1, e);
    }
    if (code == ERR_OK) code = put_head(l, h, len, head, e);
    if (code != ERR_OK) return code;
    buf_append(&l->joined, head, sizeof(head));
    buf_append(&l->joined, payload, len);
    return ERR_OK;
}

static err_code send_frame(struct wire_link *l, struct frame_header *h, const struct wire_part *parts, size_t n_parts, int pass_fd,
                           struct err *e) {
    assert(n_parts <= MAX_PARTS);
    uint8_t head[FRAME_HEADER_SIZE];
    struct iovec iov[MAX_PARTS + 2];
    size_t n = 0, len = 0;
    if (l->joined.len > 0 && pass_fd < 0) iov[n++] = (struct iovec){.iov_base = l->joined.data, .iov_len = l->joined.len};
    iov[n++] = (struct iovec){.iov_base = head, .iov_len = sizeof(head)};
    for (size_t i = 0; i < n_parts; i++) {
        if (parts[i].len == 0) continue;
        iov[n].iov_base = (void *)(uintptr_t)parts[i].data;
        iov[n++].iov_len = parts[i].len;
        len += parts[i].len;
    }
    err_code code = put_head(l, h, len, head, e);
    if (code == ERR_OK && pass_fd >= 0) code = wire_link_flush_joined(l, e); /* joined frames must go before it */
    if (code == ERR_OK) code = wire_writer_send(&l->writer, iov, n, pass_fd, e);
    if (code == ERR_OK) buf_clear(&l->joined);
    return code;
}

err_code wire_link_send(struct wire_link *l, struct frame_header *h, const struct wire_part *parts, size_t n_parts, struct err *e) {
    return send_frame(l, h, parts, n_parts, -1, e);
}

err_code wire_link_send_fd(struct wire_link *l, struct frame_header *h, int fd, struct err *e) {
    assert(l->kind == FRAME_LINK_LOCAL);
    return send_frame(l, h, NULL, 0, fd, e);
}

static err_code send_apart(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, int fd, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    struct iovec iov[2] = {{.iov_base = head, .iov_len = sizeof(head)}, {.iov_base = (void *)(uintptr_t)payload, .iov_len = len}};
    err_code code = put_head(l, h, len, head, e);
    return code == ERR_OK ? wire_writer_send(&l->writer, iov, len > 0 ? 2 : 1, fd, e) : code;
}

err_code wire_link_send_apart(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, struct err *e) {
    return send_apart(l, h, payload, len, -1, e);
}

err_code wire_link_send_fd_apart(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, int fd, struct err *e) {
    assert(l->kind == FRAME_LINK_LOCAL);
    return send_apart(l, h, payload, len, fd, e);
}

size_t wire_link_waiting(struct wire_link *l) { return wire_writer_waiting(&l->writer); }

void wire_link_beat(struct wire_link *l) {
    struct frame_header h = {.type = FRAME_BEAT};
    if (wire_writer_idle(&l->writer)) wire_link_send_apart(l, &h, NULL, 0, NULL);
}

/* ---- clocks ---- */

static err_code ask_clock(struct wire_link *l, struct err *e) {
    struct frame_header h = {.type = FRAME_PING};
    err_code code = send_frame(l, &h, NULL, 0, -1, e);
    if (code == ERR_OK) peer_clock_asked(&l->clock, h.sent_us);
    return code;
}

/* A question or an answer about clocks is lost with a link that is gone. That is no error of reading: frames that came before the end,
 * such as the reason for it, are still to be read. */
static err_code sent_or_gone(err_code code) { return code == ERR_CLOSED ? ERR_OK : code; }

/* A beat from the other end: asks for its clock again, if it is time. */
static err_code take_beat(struct wire_link *l, struct err *e) {
    return l->kind == FRAME_LINK_RING && peer_clock_is_due(&l->clock, clock_now()) ? sent_or_gone(ask_clock(l, e)) : ERR_OK;
}

/* The header's sent_us is this end's clock at the time of the answer. */
static err_code answer_ping(struct wire_link *l, struct err *e) {
    uint8_t body[FIELD_SIZE(frame_pong)];
    field_put(frame_pong_fields(), &(struct frame_pong){.asked_us = l->reader.header.sent_us, .arrived_us = clock_now()}, body);
    struct frame_header h = {.type = FRAME_PONG};
    struct wire_part part = {body, sizeof(body)};
    l->pings++;
    return sent_or_gone(send_frame(l, &h, &part, 1, -1, e));
}

static err_code take_pong(struct wire_link *l, struct err *e) {
    const struct frame_header *h = &l->reader.header;
    struct frame_pong pong;
    if (field_decode(frame_pong_fields(), l->reader.payload, h->payload_len, &pong, e) != ERR_OK) return ERR_PROTOCOL;
    peer_clock_answered(&l->clock, pong.asked_us, pong.arrived_us, h->sent_us, clock_now());
    return ERR_OK;
}

uint32_t wire_link_hop_us(const struct wire_link *l, uint64_t sent_us, clock_us now) { return peer_clock_hop_us(&l->clock, sent_us, now); }

clock_us wire_link_rtt_us(const struct wire_link *l) { return l->clock.rtt_us; }

/* ---- reading ---- */

/* Receives until a frame is whole. ERR_BUSY: not yet. */
static err_code receive(struct wire_link *l, bool wait, struct err *e) {
    while (!wire_reader_whole(&l->reader)) {
        uint8_t *where;
        size_t room, n = 0;
        int fd = -1;
        err_code code = wire_reader_space(&l->reader, &where, &room, e);
        if (code == ERR_OK) code = wire_transport_read(&l->wire, where, room, wait, &n, &fd, e);
        if (code == ERR_CLOSED && !wire_reader_empty(&l->reader))
            return err_set(e, ERR_CLOSED, "the other side closed the connection in the middle of a frame");
        if (code != ERR_OK) return code;
        if (fd >= 0 && l->came_fd >= 0) {
            close(fd);
            return err_set(e, ERR_PROTOCOL, "more than one descriptor came with a frame");
        }
        if (fd >= 0) l->came_fd = fd;
        l->received += n;
        code = wire_reader_advance(&l->reader, n, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* Handles a frame that is the link's own business; *ret_mine says whether it is one. */
static err_code handle_own(struct wire_link *l, bool *ret_mine, struct err *e) {
    const struct frame_header *h = &l->reader.header;
    *ret_mine = true;
    switch (h->type) {
    case FRAME_PING: return answer_ping(l, e);
    case FRAME_PONG: return take_pong(l, e);
    case FRAME_BEAT: return take_beat(l, e);
    case FRAME_REFUSE: return wire_refuse_decode(l->reader.payload, h->payload_len, e);
    default: *ret_mine = false; return ERR_OK;
    }
}

static err_code check_frame(struct wire_link *l, struct err *e) {
    const struct frame_header *h = &l->reader.header;
    const char *name = frame_type_name(h->type);
    bool carries = h->type == FRAME_SOCKET || h->type == FRAME_DIAL;
    if (l->came_fd >= 0 && !carries) return err_set(e, ERR_PROTOCOL, "%s frame with a descriptor, which only SOCKET and DIAL have", name);
    if (l->came_fd < 0 && carries) return err_set(e, ERR_PROTOCOL, "%s frame without a descriptor", frame_type_name(h->type));
    if (l->kind != FRAME_LINK_RING || h->type == FRAME_HELLO || h->type == FRAME_REFUSE || h->epoch == l->epoch) return ERR_OK;
    return err_set(e, ERR_STALE, "%s frame of another epoch than its link's", name);
}

/* Reads the next frame for the owner. */
static err_code read_frame(struct wire_link *l, bool wait, struct err *e) {
    for (;;) {
        if (wire_reader_whole(&l->reader)) wire_reader_next(&l->reader);
        bool mine = false;
        err_code code = receive(l, wait, e);
        if (code == ERR_OK) code = check_frame(l, e);
        if (code == ERR_OK) code = handle_own(l, &mine, e);
        if (code != ERR_OK || !mine) return code;
    }
}

err_code wire_link_read(struct wire_link *l, bool wait, struct frame_header *ret_header, const uint8_t **ret_payload, int *ret_fd,
                        struct err *e) {
    err_code code = l->rc != ERR_OK ? l->rc : read_frame(l, wait, &l->err);
    if (code == ERR_OK && l->kind == FRAME_LINK_RING && (l->reader.header.type == FRAME_HELLO || l->reader.header.type == FRAME_WELCOME))
        code = err_set(&l->err, ERR_PROTOCOL, "%s frame after the handshake", frame_type_name(l->reader.header.type));
    if (code == ERR_BUSY) return code;
    if (code != ERR_OK) {
        l->rc = code;
        if (e != NULL) *e = l->err;
        return code;
    }
    if (ret_fd != NULL) *ret_fd = l->came_fd;
    else if (l->came_fd >= 0) close(l->came_fd);
    l->came_fd = -1;
    *ret_header = l->reader.header;
    *ret_payload = l->reader.payload;
    return ERR_OK;
}

/* ---- handshake ---- */

err_code wire_link_name(const char *instance, uint64_t epoch, uint32_t stage, char ret[IO_TLS_NAME_MAX], struct err *e) {
    for (const char *s = instance; *s != '\0'; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == '-' || *s == '.'))
            return err_set(e, ERR_INVALID, "instance name \"%s\": only a-z, 0-9, \"-\" and \".\" may stand in it", instance);
    snprintf(ret, IO_TLS_NAME_MAX, "ring-%s-%016llx-%u.caravan", instance, (unsigned long long)epoch, stage);
    return ERR_OK;
}

static err_code send_json(struct wire_link *l, enum frame_type type, struct buf *json, struct err *e) {
    struct frame_header h = {.type = (uint8_t)type};
    struct wire_part part = {json->data, json->len};
    return send_frame(l, &h, &part, 1, -1, e);
}

/* Reads the next frame of the handshake; waits until the deadline at most. */
static err_code read_until(struct wire_link *l, clock_us deadline, struct err *e) {
    for (;;) {
        err_code code = read_frame(l, false, e);
        if (code != ERR_BUSY) return code;
        code = io_sock_wait(wire_link_fd(l), POLLIN, io_ms_left(deadline), e);
        if (code == ERR_TIMEOUT) return err_set(e, ERR_TIMEOUT, "the other side did not finish the handshake in time");
        if (code != ERR_OK) return code;
    }
}

/* Both sides measure at once: each sends a PING after the other's PONG, and stays until it has both asked and answered enough. */
static err_code measure_clock(struct wire_link *l, clock_us deadline, struct err *e) {
    struct peer_clock *c = &l->clock;
    while (c->answers < CLOCK_SAMPLES || l->pings < CLOCK_SAMPLES) {
        err_code code = c->answers < CLOCK_SAMPLES && c->asked_at == 0 ? ask_clock(l, e) : ERR_OK;
        unsigned before = c->answers + l->pings;
        while (code == ERR_OK && c->answers + l->pings == before) {
            bool mine = false;
            if (wire_reader_whole(&l->reader)) wire_reader_next(&l->reader);
            code = receive(l, false, e);
            if (code == ERR_OK) code = check_frame(l, e);
            if (code == ERR_OK) code = handle_own(l, &mine, e);
            if (code == ERR_OK && !mine)
                return err_set(e, ERR_PROTOCOL, "%s frame before the handshake was over", frame_type_name(l->reader.header.type));
            if (code == ERR_BUSY) code = io_sock_wait(wire_link_fd(l), POLLIN, io_ms_left(deadline), e);
            if (code == ERR_TIMEOUT) err_set(e, ERR_TIMEOUT, "the other side did not finish the handshake in time");
        }
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* This end's proof for this connection; dialled: which end this is. */
static struct wire_proof prove(const struct wire_link *l, const struct wire_identity *id, bool dialled) {
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    struct wire_proof proof;
    io_tls_export(l->wire.tls, WIRE_PASS_LABEL, binding);
    wire_pass_prove(&id->pass, dialled, binding, &proof);
    return proof;
}

static err_code check_proof(const struct wire_link *l, const struct wire_identity *id, const struct wire_proof *proof, bool dialled,
                            struct err *e) {
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    io_tls_export(l->wire.tls, WIRE_PASS_LABEL, binding);
    return wire_proof_check(proof, id->peer, id->instance, id->epoch, dialled, binding, e);
}

static err_code greet(struct wire_link *l, const struct wire_identity *id, clock_us deadline, struct err *e) {
    struct buf json;
    buf_init(&json, frame_max_payload(FRAME_HELLO));
    struct wire_proof proof = prove(l, id, true);
    wire_hello_encode(id, &proof, &json);
    err_code code = send_json(l, FRAME_HELLO, &json, e);
    buf_done(&json);
    if (code == ERR_OK) code = read_until(l, deadline, e);
    if (code != ERR_OK) return code;
    const struct frame_header *h = &l->reader.header;
    if (h->type != FRAME_WELCOME) return err_set(e, ERR_PROTOCOL, "expected WELCOME, got %s", frame_type_name(h->type));
    code = wire_welcome_decode(l->reader.payload, h->payload_len, id, &proof, e);
    return code == ERR_OK ? check_proof(l, id, &proof, false, e) : code;
}

static err_code answer(struct wire_link *l, const struct wire_identity *id, clock_us deadline, struct err *e) {
    err_code code = read_until(l, deadline, e);
    if (code != ERR_OK) return code;
    const struct frame_header *h = &l->reader.header;
    if (h->type != FRAME_HELLO) return err_set(e, ERR_PROTOCOL, "expected HELLO, got %s", frame_type_name(h->type));
    struct wire_identity theirs;
    struct wire_proof proof;
    code = wire_hello_decode(l->reader.payload, h->payload_len, &theirs, &proof, e);
    if (code == ERR_OK) code = wire_hello_check(id, &theirs, e);
    if (code == ERR_OK) code = check_proof(l, id, &proof, true, e);
    if (code != ERR_OK) return code;
    struct buf json;
    buf_init(&json, frame_max_payload(FRAME_WELCOME));
    proof = prove(l, id, false);
    wire_welcome_encode(id, &proof, &json);
    code = send_json(l, FRAME_WELCOME, &json, e);
    buf_done(&json);
    return code;
}

/* Ends the link. Tells the other side the reason, unless the other side refused or has gone. */
static void refuse(struct wire_link *l, err_code code, const struct err *why) {
    if (code != ERR_CLOSED && l->reader.header.type != FRAME_REFUSE) {
        struct buf json;
        buf_init(&json, frame_max_payload(FRAME_REFUSE));
        wire_refuse_encode(why, &json);
        send_json(l, FRAME_REFUSE, &json, NULL);
        buf_done(&json);
        wire_writer_flush(&l->writer, REFUSE_LINGER_MS);
    }
    wire_writer_done(&l->writer);
    io_tls_finish(l->wire.tls, REFUSE_LINGER_MS);
    l->wire.tls = NULL;
    wire_reader_done(&l->reader);
    buf_done(&l->joined);
    free(l);
}

typedef err_code (*greet_fn)(struct wire_link *l, const struct wire_identity *id, clock_us deadline, struct err *e);

/* Does the handshake over an open TLS stream, and takes over the stream. */
static err_code open_link(struct io_tls_stream *tls, const struct wire_identity *id, greet_fn step, clock_us deadline,
                          struct wire_link **ret, struct err *e) {
    struct wire_link *l = link_create(FRAME_LINK_RING, tls, -1);
    struct err why = {.code = ERR_OK};
    l->epoch = id->epoch;
    err_code code = step(l, id, deadline, &why);
    if (code == ERR_OK) code = measure_clock(l, deadline, &why);
    if (code != ERR_OK) {
        refuse(l, code, &why);
        if (e != NULL) *e = why;
        return code;
    }
    log_debug("ring", "link %u -> %u open: %s, round trip %llu us, clocks %lld us apart", id->from, id->to, io_tls_suite(tls),
              (unsigned long long)l->clock.rtt_us, (long long)l->clock.offset_us);
    *ret = l;
    return ERR_OK;
}

err_code wire_link_connect(struct io_tls_ctx *tls, int fd, const struct wire_identity *id, int timeout_ms, struct wire_link **ret,
                           struct err *e) {
    clock_us deadline = clock_now() + (clock_us)timeout_ms * 1000;
    char name[IO_TLS_NAME_MAX];
    struct io_tls_stream *stream = NULL;
    err_code code = wire_link_name(id->instance, id->epoch, id->to, name, e);
    if (code != ERR_OK) {
        close(fd);
        return code;
    }
    code = io_tls_connect(tls, fd, name, timeout_ms, &stream, e);
    return code == ERR_OK ? open_link(stream, id, greet, deadline, ret, e) : code;
}

err_code wire_link_accept(struct io_tls_ctx *tls, int fd, const struct wire_identity *id, int timeout_ms, struct wire_link **ret,
                          struct err *e) {
    clock_us deadline = clock_now() + (clock_us)timeout_ms * 1000;
    struct io_tls_stream *stream = NULL;
    err_code code = io_tls_accept(tls, fd, timeout_ms, &stream, e);
    return code == ERR_OK ? open_link(stream, id, answer, deadline, ret, e) : code;
}
