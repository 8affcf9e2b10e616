/* SPDX-License-Identifier: MIT
 * What the files of the HTTP server share: server.c (listener, time-outs), server_conn.c (a connection and its parser),
 * server_response.c (what goes out). */
#ifndef CARAVAN_HTTP_SERVER_PRIV_H
#define CARAVAN_HTTP_SERVER_PRIV_H

#include <llhttp.h>

#include "base/arena.h"
#include "base/buf.h"
#include "http/server.h"
#include "io/stream.h"

enum {
    HTTP_MAX_HEAD = 32 * 1024,        /* bytes of request line and headers */
    HTTP_MAX_HEADERS = 128,
    HTTP_MAX_RESPONSE_HEADERS = 8 * 1024,
    HTTP_HIGH_WATER = 256 * 1024,
    HTTP_HALF_MS = 50,                /* how often clients that have closed their side are looked at */
    HTTP_PROBE_MS = 1000,             /* how often they get bytes that mean nothing */
    HTTP_LINGER_MS = 2000,            /* after a refusal: how long the rest of the request is read and thrown away */
};

/* IDLE: between requests. HEAD: request line and headers come in. BODY: the body comes in. BUSY: the handler has the exchange.
 * CLOSING: the last response is going out, input is thrown away. DEAD: about to be destroyed by its task. */
enum http_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_BUSY, CONN_CLOSING, CONN_DEAD, CONN_STATE_COUNT };

enum http_pause { HTTP_PAUSE_NONE, HTTP_PAUSE_HEADERS, HTTP_PAUSE_MESSAGE }; /* why the parser was stopped */

struct http_exchange {
    struct http_conn *conn;           /* NULL: a request from within (within.c) */
    struct http_within *within;       /* then: its owner's part; else NULL */
    struct arena *arena;              /* path, headers */
    struct buf head, body;            /* raw request line and headers while they come in; the body */
    size_t url_len;                   /* of head */
    struct {
        size_t name, name_len, value, value_len;
    } marks[HTTP_MAX_HEADERS]; /* offsets into head */
    size_t n_marks;
    struct http_request request;
    struct http_note note;
    uint64_t number;
    size_t held;                      /* bytes that are counted for the body */
    void (*piece_fn)(void *user, const void *data, size_t len); /* takes the body; NULL: it is collected */
    void *piece_user;
    uint64_t piece_max, piece_len;    /* bytes that may come, and have come */
    void (*taken_fn)(void *user);     /* http_stream_when_taken; NULL: nobody waits */
    void *taken_user;
    const char *probe;                /* http_stream_probe; NULL: none */
    bool refused;                     /* answered before its body was there */
    /* response */
    struct buf extra;                 /* header lines set by the handler */
    struct buf out;                   /* bytes of the stream that wait for the end of this turn */
    bool started, chunked, head_only, ended;
    void (*gone_fn)(void *user);
    void *gone_user;
};

struct http_conn {
    struct http_server *server;
    struct http_conn *next, **slot;
    struct io_conn *io;
    llhttp_t parser;
    enum http_state state;
    enum http_pause pause;
    const char *refusal;              /* why a parser callback stopped, with refusal_status */
    int refusal_status;
    struct http_exchange *exchange;
    struct buf behind;                /* bytes of pipelined requests */
    size_t held;                      /* bytes that are counted for them */
    bool half;                        /* the client has closed its side */
    clock_us probed;                  /* when bytes that mean nothing were sent to it last */
    size_t raw_bytes;                 /* of the present request, framing included */
    bool keep_alive, from_loopback;
    bool reset;                       /* cut hard at the end: the client must not take what it has for the whole */
    clock_us since;                   /* of the state, or of the last bytes in BODY */
    struct io_task task;              /* the next pipelined request, or the end */
    struct io_task flush_task;
};

struct http_server {
    struct io_loop *loop;
    struct http_server_options o;
    struct io_listener *listener;
    struct io_timer *tick;
    struct http_conn *conns;
    size_t n_conns;
    size_t held;                      /* bytes of bodies, and of pipelined requests */
    struct io_timer *half_timer;      /* runs while a connection is half-closed */
    bool draining;
    struct io_task drained_task;
    void (*on_drained)(void *user);
    void *drained_user;
    uint64_t id_base, n_exchanges;    /* of these two the x-request-ids are made */
    int64_t date_s;                   /* of the date text */
    char date[40];
};

/* server.c */
void http_server_conn_gone(struct http_server *s); /* one connection fewer: accepting may go on, draining may be done */
const char *http_server_date(struct http_server *s);

/* Counts `want` bytes in *mine, if there is room for them; something is always allowed alone. */
bool http_server_hold(struct http_server *s, size_t *mine, size_t want);
void http_server_release(struct http_server *s, size_t *mine);

/* within.c: what server_response.c does for an exchange without a connection. */
void http_within_respond(struct http_exchange *x, int status, const void *body, size_t len);
void http_within_start(struct http_exchange *x, int status);

/* server_conn.c */
void http_exchange_init(struct http_exchange *x, struct http_conn *c, size_t max_body);
void http_exchange_done(struct http_exchange *x);
void http_conn_open(struct http_server *s, int fd, const struct sockaddr *peer);
void http_conn_set_state(struct http_conn *c, enum http_state state);
void http_conn_tick(struct http_conn *c, clock_us now); /* time-outs; may mark it DEAD */
bool http_conn_half_tick(struct http_conn *c);          /* false: it is not half-closed, or its end has come */
void http_conn_kill(struct http_conn *c);               /* destroys it from the loop, as soon as no caller stands on it */
void http_conn_destroy(struct http_conn *c);
void http_exchange_finished(struct http_exchange *x); /* the response is out: the next request, or the end */

/* server_response.c */
void http_response_flush(void *conn);
void http_response_taken(struct http_conn *c); /* most of what was written is on its way: who waits for that goes on */
void http_response_error(struct http_exchange *x, int status, const char *message);

#endif
