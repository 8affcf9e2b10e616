/* SPDX-License-Identifier: MIT
 * A member of a cluster that sends without end:  flood KEY-FILE HOST:PORT WHAT SECONDS INSTANCE.  It has the cluster's key and an identity
 * of its own, greets as every member does, and then sends frames as fast as they are taken, reading nothing.
 *   pings    each of them wants an answer
 *   wants    asks for the records of 32 nodes at a time
 *   records  its own record, sealed, of a later version each time
 *   calls    asks for a connection to its own port, where nobody listens
 *   texts    requests of 8 MB for the instance
 *   halves   on 56 links, each with an identity of its own, frames of 16 MB of which the last byte never comes
 * Status 0: it could send all the time, or was stopped. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/sock.h"
#include "io/tls_stream.h"
#include "members/control.h"
#include "members/key.h"
#include "members/membership.h"
#include "members/record.h"
#include "wire/request.h"
#include "wire/reader.h"
#include "wire/stage.h"

enum { HALVES = 56, HALF = 16 << 20, TEXT = 8 << 20, WAIT_MS = 10000 };

struct flooder {
    struct identity identity;
    struct io_tls_stream *stream;
};

static err_code send_frame(struct flooder *m, enum frame_type type, const void *payload, size_t len, size_t part, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    struct frame_header h = {.type = (uint8_t)type};
    size_t n;
    err_code code = frame_header_make(&h, len, head, e);
    if (code == ERR_OK) code = io_tls_write(m->stream, head, sizeof(head), true, &n, e);
    if (code == ERR_OK && part > 0) code = io_tls_write(m->stream, payload, part, true, &n, e);
    return code;
}

/* HELLO, and the WELCOME that answers it. */
static err_code greet(struct flooder *m, struct err *e) {
    struct wire_node hello;
    struct wire_reader in;
    struct buf b;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    io_tls_export(m->stream, IDENTITY_LABEL, binding);
    identity_greet(&m->identity, true, binding, &hello);
    snprintf(hello.name, sizeof(hello.name), "flood");
    hello.port = 9;
    buf_init(&b, frame_max_payload(FRAME_HELLO));
    field_encode(wire_node_fields(), &hello, &b);
    err_code code = send_frame(m, FRAME_HELLO, b.data, b.len, b.len, e);
    buf_done(&b);
    wire_reader_init(&in, FRAME_LINK_CONTROL);
    while (code == ERR_OK && !wire_reader_whole(&in)) {
        uint8_t *where;
        size_t room, n = 0;
        code = wire_reader_space(&in, &where, &room, e);
        if (code == ERR_OK) code = io_tls_read(m->stream, where, room, true, &n, e);
        if (code == ERR_OK) code = wire_reader_advance(&in, n, e);
    }
    if (code == ERR_OK && in.header.type != FRAME_WELCOME) code = err_set(e, ERR_PROTOCOL, "got %s", frame_type_name(in.header.type));
    wire_reader_done(&in);
    return code;
}

static err_code join(struct io_tls_ctx *tls, const struct io_addr *to, struct flooder *m, struct err *e) {
    int fd;
    identity_make(&m->identity);
    err_code code = io_sock_connect(to, WAIT_MS, &fd, e);
    if (code == ERR_OK) code = io_tls_connect(tls, fd, CONTROL_NAME, WAIT_MS, &m->stream, e);
    return code == ERR_OK ? greet(m, e) : code;
}

static err_code send_wants(struct flooder *m, struct err *e) {
    struct membership_talk wants = {.message = MEMBERSHIP_WANT, .n_ids = MEMBERSHIP_MAX_IDS};
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_MEMBERS));
    field_encode(membership_talk_fields(), &wants, &b);
    err_code code = send_frame(m, FRAME_MEMBERS, b.data, b.len, b.len, e);
    buf_done(&b);
    return code;
}

static err_code send_record(struct flooder *m, uint64_t version, struct err *e) {
    struct record r = {.id = m->identity.id, .name = "flood"};
    struct buf text, sealed;
    buf_init(&text, frame_max_payload(FRAME_NODE));
    buf_init(&sealed, frame_max_payload(FRAME_NODE));
    record_encode(&r, &text);
    record_seal(&m->identity, m->identity.incarnation, version, text.data, text.len, &sealed);
    err_code code = send_frame(m, FRAME_NODE, sealed.data, sealed.len, sealed.len, e);
    buf_done(&text);
    buf_done(&sealed);
    return code;
}

static err_code send_text(struct flooder *m, const char *instance, uint64_t count, struct err *e) {
    struct request r;
    struct buf b;
    request_init(&r);
    r.id = count;
    r.model = mem_strdup(instance);
    r.text = mem_alloc(TEXT);
    r.text_len = TEXT;
    memset(r.text, 'x', TEXT);
    buf_init(&b, frame_max_payload(FRAME_SUBMIT));
    request_encode(&r, &b);
    err_code code = send_frame(m, FRAME_SUBMIT, b.data, b.len, b.len, e);
    buf_done(&b);
    request_done(&r);
    return code;
}

static err_code send_call(struct flooder *m, uint64_t token, struct err *e) {
    uint8_t payload[FIELD_SIZE(stage_call)];
    field_put(stage_call_fields(), &(struct stage_call){.token = token}, payload);
    return send_frame(m, FRAME_CALL, payload, sizeof(payload), sizeof(payload), e);
}

static err_code send_one(struct flooder *m, const char *what, const char *instance, uint64_t count, struct err *e) {
    if (strcmp(what, "pings") == 0) return send_frame(m, FRAME_PING, NULL, 0, 0, e);
    if (strcmp(what, "wants") == 0) return send_wants(m, e);
    if (strcmp(what, "calls") == 0) return send_call(m, count, e);
    if (strcmp(what, "records") == 0) return send_record(m, count, e);
    return send_text(m, instance, count, e);
}

/* A request that is whole but for its end. */
static err_code fill_halves(struct io_tls_ctx *tls, const struct io_addr *to, struct flooder *members, const uint8_t *bytes,
                            struct err *e) {
    err_code code = ERR_OK;
    for (int i = 0; i < HALVES && code == ERR_OK; i++) {
        code = join(tls, to, &members[i], e);
        if (code == ERR_OK) send_frame(&members[i], FRAME_SUBMIT, bytes, HALF, HALF - 1, e); /* it may be stopped */
    }
    return code;
}

int main(int argc, char **argv) {
    static struct flooder members[HALVES];
    uint8_t key[IO_TLS_KEY_SIZE], link_key[IO_TLS_KEY_SIZE];
    struct err e = {0};
    bool made;
    struct io_addr to = {0};
    char *colon = argc == 6 ? strrchr(argv[2], ':') : NULL;
    if (!colon || (size_t)(colon - argv[2]) >= sizeof(to.host)) return 64;
    memcpy(to.host, argv[2], (size_t)(colon - argv[2]));
    to.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    clock_us end = clock_now() + strtoul(argv[4], NULL, 10) * 1000000;
    uint8_t *bytes = mem_zalloc(HALF);
    uint64_t count = 0;
    io_tls_startup();
    err_code code = key_open(argv[1], key, &made, &e);
    key_link(key, link_key);
    struct io_tls_ctx *tls = code == ERR_OK ? io_tls_ctx_create(link_key, &e) : NULL;
    if (!tls) code = ERR_INTERNAL;
    bool halves = strcmp(argv[3], "halves") == 0;
    if (code == ERR_OK) code = halves ? fill_halves(tls, &to, members, bytes, &e) : join(tls, &to, &members[0], &e);
    if (code != ERR_OK) {
        printf("%s: %s\n", err_name(code), e.text);
        return 1;
    }
    while (code == ERR_OK && clock_now() < end)
        if (halves) poll(NULL, 0, 100);
        else code = send_one(&members[0], argv[3], argv[5], ++count, &e);
    printf("%llu frames%s%s\n", (unsigned long long)count, code == ERR_OK ? "" : ", then: ", e.text);
    return 0;
}
