/* SPDX-License-Identifier: MIT
 * `caravan doctor`: tries other machines. A HELLO with "probe" gets a WELCOME or the reason why not (docs/PROTOCOL.md), and makes no link.
 * Each address gets three connections: with an ordinary HELLO, with a large one, and with one that asks for a large answer. One thread for
 * each machine. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "doctor/checks.h"
#include "members/control.h"
#include "doctor/hello.h"
#include "io/tls_stream.h"
#include "wire/frame.h"

enum { ANSWER_MS = 4000, SEND_BUFFER = 256 << 10 };

struct look {
    const struct doctor_self *self;
    const struct sockaddr *addr;
    socklen_t addr_len;
    struct doctor_address *found;
};

/* ---- one HELLO and its answer ---- */

static err_code hello_send(const struct look *k, struct io_tls_stream *s, struct doctor_size size, struct err *e) {
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    size_t sent;
    struct buf b;
    io_tls_export(s, IDENTITY_LABEL, binding);
    buf_init(&b, FRAME_HEADER_SIZE + frame_max_payload(FRAME_HELLO));
    doctor_hello_encode(&k->self->identity, binding, size, &b);
    err_code code = io_tls_write(s, b.data, b.len, true, &sent, e); /* fits in the socket's buffer */
    if (code == ERR_OK) code = io_tls_flush(s, true, e);
    buf_done(&b);
    return code;
}

/* Reads until `in` has need bytes. */
static err_code receive(struct io_tls_stream *s, size_t need, clock_us deadline, struct buf *in, struct err *e) {
    while (in->len < need) {
        size_t n = 0;
        if (!buf_reserve(in, need - in->len)) return err_set(e, ERR_LIMIT, "its answer is too long");
        err_code code = io_tls_read(s, in->data + in->len, need - in->len, false, &n, e);
        if (code == ERR_OK) in->len += n;
        else if (code == ERR_BUSY) code = io_sock_wait(io_tls_fd(s), POLLIN, io_ms_left(deadline), e);
        if (code != ERR_OK) return code;
        if (clock_now() >= deadline) return err_set(e, ERR_TIMEOUT, "timed out");
    }
    return ERR_OK;
}

static err_code answer_read(struct look *k, struct io_tls_stream *s, struct err *e) {
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    size_t need = 0;
    struct buf in;
    clock_us deadline = clock_now() + ANSWER_MS * 1000ull;
    err_code code = ERR_BUSY;
    io_tls_export(s, IDENTITY_LABEL, binding);
    buf_init(&in, FRAME_HEADER_SIZE + frame_max_payload(FRAME_WELCOME));
    while (code == ERR_BUSY && in.len >= need) {
        code = doctor_answer_decode(in.data, in.len, binding, clock_wall_s(), k->found, &need, e);
        if (code != ERR_BUSY || in.len >= need) break; /* an answer, which may be a REFUSE that says BUSY */
        code = receive(s, need, deadline, &in, e);
        if (code == ERR_OK) code = ERR_BUSY;
    }
    buf_done(&in);
    return code;
}

/* ---- one address ---- */

static struct io_tls_stream *handshake(struct look *k, struct io_tls_ctx *ctx) {
    struct doctor_address *a = k->found;
    struct io_tls_stream *s = NULL;
    int fd = -1;
    clock_us start = clock_now();
    a->connect_errno = io_sock_try(k->addr, k->addr_len, DOCTOR_CONNECT_MS, &fd);
    if (a->connect_errno != 0) return NULL;
    uint32_t trip = (uint32_t)(clock_now() - start);
    if (a->trip_us == 0 || trip < a->trip_us) a->trip_us = trip > 0 ? trip : 1; /* the first one may have waited for ARP */
    a->asked = ctx != NULL;
    if (!ctx) {
        close(fd);
        return NULL;
    }
    io_sock_tune(fd, &(struct io_sock_options){.no_delay = true, .send_buffer = SEND_BUFFER}, NULL);
    a->handshake = (struct err){0};
    a->handshake.code = io_tls_connect(ctx, fd, CONTROL_NAME, ANSWER_MS, &s, &a->handshake);
    return s;
}

static err_code ask(struct look *k, struct io_tls_stream *s, struct doctor_size size, struct err *e) {
    err_code code = hello_send(k, s, size, e);
    if (code == ERR_OK) code = answer_read(k, s, e);
    io_tls_close(s);
    return code;
}

/* Whether a large frame passes, when a small one has. */
static enum doctor_passed ask_large(struct look *k, struct io_tls_ctx *ctx, struct doctor_size size) {
    struct doctor_address scratch = *k->found;
    struct look again = *k;
    struct err e = {0};
    again.found = &scratch;
    struct io_tls_stream *s = handshake(&again, ctx);
    if (scratch.connect_errno == 0 && scratch.trip_us < k->found->trip_us) k->found->trip_us = scratch.trip_us;
    if (!s) return DOCTOR_NOT_TRIED;
    err_code code = ask(&again, s, size, &e);
    return code == ERR_OK ? DOCTOR_PASSED : code == ERR_TIMEOUT ? DOCTOR_LOST : DOCTOR_NOT_TRIED;
}

static void look_address(struct look *k) {
    struct doctor_address *a = k->found;
    struct io_tls_ctx *ctx = k->self->ctx;
    struct io_tls_stream *s = handshake(k, ctx);
    if (!s && a->asked && a->handshake.code == ERR_AUTH && k->self->old_ctx) {
        struct err first = a->handshake;
        s = handshake(k, ctx = k->self->old_ctx);
        a->old_key = s != NULL;
        if (!s) a->handshake = first;
    }
    if (!s) return;
    a->answer.code = ask(k, s, (struct doctor_size){0}, &a->answer);
    a->self = a->answer.code == ERR_OK && a->id == k->self->identity.id;
    if (a->answer.code != ERR_OK || a->self) return;
    a->there = ask_large(k, ctx, (struct doctor_size){.there = DOCTOR_LARGE_THERE});
    a->back = ask_large(k, ctx, (struct doctor_size){.back = DOCTOR_LARGE_BACK});
}

/* ---- machines ---- */

struct job {
    const struct doctor_self *self;
    const struct io_addr *given;
    struct doctor_peer *peer;
    pthread_t thread;
    bool started;
};

static void *look_peer(void *user) {
    struct job *j = user;
    struct doctor_peer *p = j->peer;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST}, *all = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", j->given->port);
    int rc = getaddrinfo(j->given->host, port, &hints, &all);
    p->literal = rc == 0;
    hints.ai_flags = AI_NUMERICSERV;
    if (rc != 0) rc = getaddrinfo(j->given->host, port, &hints, &all);
    if (rc != 0) {
        err_set(&p->lookup, ERR_NETWORK, "cannot find the address of \"%s\": %s", j->given->host, gai_strerror(rc));
        return NULL;
    }
    for (const struct addrinfo *i = all; i && p->n_addresses < DOCTOR_MAX_ADDRESSES; i = i->ai_next) {
        struct doctor_address *a = &p->addresses[p->n_addresses++];
        struct look k = {.self = j->self, .addr = i->ai_addr, .addr_len = i->ai_addrlen, .found = a};
        a->port = j->given->port;
        getnameinfo(i->ai_addr, i->ai_addrlen, a->host, sizeof(a->host), NULL, 0, NI_NUMERICHOST);
        look_address(&k);
    }
    freeaddrinfo(all);
    return NULL;
}

void doctor_look_peers(const struct doctor_self *self, const struct io_addr *given, struct doctor_peer *peers, size_t n) {
    struct job *jobs = mem_calloc(n + 1, sizeof(*jobs));
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (struct job){.self = self, .given = &given[i], .peer = &peers[i]};
        jobs[i].started = pthread_create(&jobs[i].thread, NULL, look_peer, &jobs[i]) == 0;
        if (!jobs[i].started) look_peer(&jobs[i]);
    }
    for (size_t i = 0; i < n; i++)
        if (jobs[i].started) pthread_join(jobs[i].thread, NULL);
    free(jobs);
}
