/* SPDX-License-Identifier: MIT
 * An HTTP server on a thread of its own, for tests that talk to it with plain blocking sockets. Paths:
 *   /echo          the request as text: method, path, query, body          /stream/N   N chunks of "line K\n", one a millisecond
 *   /hang          never answers; counts the clients that have gone         /flood      writes for ever, without looking
 *   /abort         a chunk, then the connection is cut                      /refused    refused by its headers
 *   /big/N         N bytes in one piece                                     /burst      4 MiB of a stream in one turn of the loop
 *   /pieces        takes the body in pieces, up to 1 MB, and counts them    /patient/N  N times 64 KiB, each when the last is taken */
#ifndef CARAVAN_TESTS_HTTP_FIXTURE_H
#define CARAVAN_TESTS_HTTP_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/server.h"

struct http_fixture {
    struct io_loop *loop;
    struct http_server *server;
    struct io_wake *stop, *drain, *turn;
    pthread_t thread;
    uint16_t port;
    atomic_size_t piece_bytes;
    atomic_int gone, requests, drained, turns, connections;
    struct http_server_options options;
};

struct http_streamer {
    struct http_fixture *f;
    struct http_exchange *x;
    struct io_timer *timer;
    int left, at;
};

static void streamer_free(void *user) {
    struct http_streamer *s = user;
    io_timer_close(s->timer);
    free(s);
}

static void streamer_gone(void *user) {
    struct http_streamer *s = user;
    s->f->gone++;
    streamer_free(s);
}

static void streamer_step(void *user) {
    struct http_streamer *s = user;
    char line[32];
    if (s->left == 0) {
        http_stream_end(s->x);
        streamer_free(s);
        return;
    }
    if (s->left > 0) s->left--;
    for (int i = 0; i < (s->left < 0 ? 4096 : 2); i++) { /* several writes a turn leave as one chunk */
        snprintf(line, sizeof(line), i == 0 ? "line %d" : "\n", s->at);
        http_stream_write(s->x, line, strlen(line));
    }
    s->at++;
}

struct http_patient {
    struct http_fixture *f;
    struct http_exchange *x;
    int left;
};

static void patient_gone(void *user) {
    struct http_patient *p = user;
    p->f->gone++;
    free(p);
}

static void patient_step(void *user) {
    static const char data[64 * 1024];
    struct http_patient *p = user;
    if (p->left-- > 0) {
        http_stream_write(p->x, data, sizeof(data));
        http_stream_when_taken(p->x, patient_step, p);
        return;
    }
    http_stream_end(p->x);
    free(p);
}

static void fixture_patient(struct http_fixture *f, struct http_exchange *x, int n) {
    struct http_patient *p = MEM_NEW(struct http_patient);
    *p = (struct http_patient){.f = f, .x = x, .left = n};
    http_stream_start(x, 200, "text/plain");
    http_exchange_on_gone(x, patient_gone, p);
    patient_step(p);
}

static void fixture_piece(void *user, const void *data, size_t len) {
    struct http_fixture *f = user;
    (void)data;
    f->piece_bytes += len;
}

static void fixture_count_gone(void *user) { ((struct http_fixture *)user)->gone++; }

static void fixture_echo(struct http_exchange *x) {
    const struct http_request *r = http_request(x);
    struct buf out;
    buf_init(&out, 64 << 20);
    buf_printf(&out, "%s %s ?%s ", r->method, r->path, r->query);
    buf_append(&out, r->body, r->body_len);
    http_response_header(x, "X-Test", "yes");
    http_respond(x, 200, "text/plain", out.data, out.len);
    buf_done(&out);
}

static void fixture_stream(struct http_fixture *f, struct http_exchange *x, int n) {
    struct http_streamer *s = MEM_NEW(struct http_streamer);
    *s = (struct http_streamer){.f = f, .x = x, .left = n};
    s->timer = io_timer_open(f->loop, streamer_step, s);
    http_stream_start(x, 200, "text/plain");
    http_stream_probe(x, "\n");
    http_exchange_on_gone(x, streamer_gone, s);
    io_timer_start(s->timer, 1, 1);
}

static void fixture_burst(struct http_exchange *x) {
    static const char data[64 * 1024];
    http_stream_start(x, 200, "text/plain");
    for (int i = 0; i < 64; i++) http_stream_write(x, data, sizeof(data));
    http_stream_end(x);
}

static void fixture_big(struct http_exchange *x, size_t len) {
    char *data = mem_calloc(len, 1);
    memset(data, 'b', len);
    http_respond(x, 200, "text/plain", data, len);
    free(data);
}

static void fixture_on_request(void *user, struct http_exchange *x) {
    struct http_fixture *f = user;
    const struct http_request *r = http_request(x);
    assert_false(r->note->known); /* each request of a connection has its own */
    r->note->known = true;
    f->requests++;
    if (strncmp(r->path, "/stream/", 8) == 0) {
        fixture_stream(f, x, (int)strtol(r->path + 8, NULL, 10));
    } else if (strcmp(r->path, "/flood") == 0) {
        fixture_stream(f, x, -1);
    } else if (strcmp(r->path, "/hang") == 0) {
        http_exchange_on_gone(x, fixture_count_gone, f);
    } else if (strcmp(r->path, "/burst") == 0) {
        fixture_burst(x);
    } else if (strncmp(r->path, "/big/", 5) == 0) {
        fixture_big(x, strtoul(r->path + 5, NULL, 10));
    } else if (strncmp(r->path, "/patient/", 9) == 0) {
        fixture_patient(f, x, (int)strtol(r->path + 9, NULL, 10));
    } else if (strcmp(r->path, "/abort") == 0) {
        http_stream_start(x, 200, "text/plain");
        http_stream_write(x, "half", 4);
        http_stream_abort(x);
    } else {
        fixture_echo(x);
    }
}

static bool fixture_on_headers(void *user, struct http_exchange *x) {
    if (strcmp(http_request(x)->path, "/pieces") == 0) {
        http_request_take_pieces(x, 1000000, fixture_piece, user);
        http_exchange_on_gone(x, fixture_count_gone, user);
    }
    if (strcmp(http_request(x)->path, "/refused") != 0) return true;
    http_respond(x, 401, "text/plain", "no\n", 3);
    return false;
}

static void fixture_on_stop(void *user) { io_loop_stop(((struct http_fixture *)user)->loop); }
static void fixture_on_drained(void *user) { ((struct http_fixture *)user)->drained = 1; }

static void fixture_on_drain(void *user) {
    struct http_fixture *f = user;
    http_server_drain(f->server, fixture_on_drained, f);
}

static void fixture_on_turn(void *user) {
    struct http_fixture *f = user;
    f->connections = (int)http_server_connections(f->server);
    f->turns++;
}

static void *fixture_run(void *user) {
    struct http_fixture *f = user;
    io_loop_run(f->loop);
    http_server_close(f->server);
    io_wake_close(f->stop);
    io_wake_close(f->drain);
    io_wake_close(f->turn);
    io_loop_free(f->loop);
    return NULL;
}

/* Set f->options first: http_server_options_init, then the test's own values. */
static void fixture_start(struct http_fixture *f) {
    struct err e = {0};
    f->loop = io_loop_create();
    f->options.port = 0;
    f->options.user = f;
    f->options.on_headers = fixture_on_headers;
    f->options.on_request = fixture_on_request;
    if (http_server_open(f->loop, &f->options, &f->server, &e) != ERR_OK) abort();
    f->port = http_server_port(f->server);
    f->stop = io_wake_open(f->loop, fixture_on_stop, f);
    f->drain = io_wake_open(f->loop, fixture_on_drain, f);
    f->turn = io_wake_open(f->loop, fixture_on_turn, f);
    pthread_create(&f->thread, NULL, fixture_run, f);
}

/* Waits until the counter has that value, at most a minute; returns the counter. */
static int fixture_wait(atomic_int *what, int value) {
    for (int i = 0; i < 60 * 1000 && *what != value; i++) poll(NULL, 0, 1);
    return *what;
}

/* Waits for one turn of the server's loop: everything sent before has been read. Returns the number of its connections. */
static int fixture_turn(struct http_fixture *f) {
    for (int i = 0; i < 2; i++) {
        int next = f->turns + 1;
        io_wake_send(f->turn);
        fixture_wait(&f->turns, next);
    }
    return f->connections;
}

static void fixture_stop(struct http_fixture *f) {
    io_wake_send(f->stop);
    pthread_join(f->thread, NULL);
}

#endif
