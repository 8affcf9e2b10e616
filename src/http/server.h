/* SPDX-License-Identifier: MIT
 * An HTTP/1.1 server (RFC 9112) on the loop, parsed by llhttp: keep-alive, pipelining (answered in order, one exchange of a connection at
 * a time), chunked both ways, Expect: 100-continue, HEAD, bounded headers, bodies, connections and output, timeouts. A body is delivered
 * whole, or in pieces if its handler says so. Each response has an x-request-id. A client that closes its side after its request gets its
 * answer all the same. Errors of the protocol are answered here with a JSON body {"error":{...}} as the OpenAI API has it. Knows no routes
 * and no keys.
 *
 * An exchange is one request and its response. It is the server's; the handler may keep the pointer until it has ended the response
 * (http_respond, http_stream_end) or until the gone callback. Loop thread only. */
#ifndef CARAVAN_HTTP_SERVER_H
#define CARAVAN_HTTP_SERVER_H

#include "base/buf.h"
#include "base/err.h"
#include "io/loop.h"

struct http_server;
struct http_exchange;

enum { HTTP_ID_SIZE = 129 };

struct http_header {
    const char *name, *value;
}; /* C strings: a NUL byte in a header is refused */

/* A place for what handlers find out about a request and need again, such as the hash of its key. Zero at first. */
struct http_note {
    bool known;
    uint8_t hash[32];
};

/* Owned by the exchange, valid as long as it is. */
struct http_request {
    const char *method;                   /* "GET" */
    const char *path;                     /* without the query, %-escapes decoded; never empty; valid UTF-8 */
    const char *query;                    /* raw text behind '?', or "" */
    const struct http_header *headers; /* in order, names as sent */
    size_t n_headers;
    const char *body;                     /* a NUL stands behind it; "" while headers are being judged */
    size_t body_len;
    bool from_loopback;                   /* the peer's address is a loopback one */
    char id[HTTP_ID_SIZE]; /* x-request-id: the client's, if it is fit for headers and logs, else one made here; the response has it */
    const char *behalf;                   /* a request from within (http/within.h): for whom it is; NULL: a client sent it */
    struct http_note *note;               /* NULL: the request belongs to no exchange */
};

struct http_server_options {
    const char *host; /* default "127.0.0.1" */
    uint16_t port; /* 0: the kernel chooses */
    size_t max_body; /* 413 beyond; default 16 MiB */
    size_t max_bodies; /* bytes of all bodies together; 503 beyond, for one that comes beside others; default four of max_body */
    size_t max_queued; /* bytes of a stream that a slow client leaves waiting, then it is cut off; default 4 MiB */
    uint32_t max_connections; /* accepting pauses at this; default: what the limit of descriptors leaves */
    uint32_t header_timeout_ms; /* from a request's first byte to its last; bodies may take as long as bytes keep coming; default 10 s */
    uint32_t idle_timeout_ms; /* a connection without a request; default 60 s */
    uint32_t stall_timeout_ms; /* a client that takes nothing of what waits for it; default 30 s */
    void *user;
    /* The headers are there, the body is not: return true to go on. To refuse, answer with http_respond, return false. May be NULL. */
    bool (*on_headers)(void *user, struct http_exchange *x);
    /* The whole request is there. Answer now, or keep x and answer later. */
    void (*on_request)(void *user, struct http_exchange *x);
};
void http_server_options_init(struct http_server_options *o); /* the defaults above */

err_code http_server_open(struct io_loop *loop, const struct http_server_options *options, struct http_server **ret, struct err *e);
uint16_t http_server_port(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
/* No new connections; idle ones are closed, busy ones after their response. on_done comes from the loop when none is left (at once if none
 * is). */
void http_server_drain(struct http_server *s, void (*on_done)(void *user), void *user);
/* Closes everything at once: gone callbacks are called for the exchanges that run. NULL is fine. */
void http_server_close(struct http_server *s);

const struct http_request *http_request(const struct http_exchange *x);
/* Takes the body out of the request, for work that may outlive the exchange: it is the caller's (buf_done), and the request has none any
 * more. It counts among the bodies until http_exchange_drop_body, or until the exchange ends. */
struct buf http_request_take_body(struct http_exchange *x);
/* For on_headers: the body is not collected, but goes to fn in pieces as it comes, on the loop, inside the parser: fn may keep or write
 * the bytes, and nothing else. More than max bytes are refused with 413. If the body doesn't come to its end, the gone callback comes. */
void http_request_take_pieces(struct http_exchange *x, uint64_t max, void (*fn)(void *user, const void *data, size_t len), void *user);
/* What was given as `user` to that; NULL: nobody takes pieces. */
void *http_request_taker(const struct http_exchange *x);
/* The first header of this name (any case), or NULL. */
const char *http_request_header(const struct http_request *r, const char *name);

/* Gives the memory of the body back: http_request()->body is "" from here on. */
void http_exchange_drop_body(struct http_exchange *x);

/* Called from the loop, once, when the client has gone before the response was complete, in whatever state: x is dead after it. */
void http_exchange_on_gone(struct http_exchange *x, void (*fn)(void *user), void *user);

/* A header of the response to come ("Retry-After", "3"); copied. Content-Length, Transfer-Encoding, Connection and Date are the
 * server's. */
void http_response_header(struct http_exchange *x, const char *name, const char *value);
/* The whole response, of any size; ends the exchange. content_type NULL: none (with an empty body). The next request of the connection is
 * read when the client has taken what waits. */
void http_respond(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len);

/* A response in pieces. Bytes written in one turn of the loop, however many, leave together as one chunk, in one system call. When more
 * than max_queued bytes of earlier turns wait, or the client has taken nothing for stall_timeout_ms, it is cut off and the gone callback
 * comes. */
void http_stream_start(struct http_exchange *x, int status, const char *content_type);
/* Bytes that mean nothing to the client (a literal): sent where a client has closed its side, to find out whether it still reads. */
void http_stream_probe(struct http_exchange *x, const char *bytes);
bool http_stream_started(const struct http_exchange *x);
void http_stream_write(struct http_exchange *x, const void *data, size_t len);
/* Calls fn from the loop, once, when the client has taken most of what was written: for streams that are longer than max_queued. Not
 * after the gone callback. */
void http_stream_when_taken(struct http_exchange *x, void (*fn)(void *user), void *user);
void http_stream_end(struct http_exchange *x); /* ends the exchange */
void http_stream_abort(struct http_exchange *x); /* cuts the connection, so that the client sees a broken stream; ends the exchange */

#endif
