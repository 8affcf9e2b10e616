/* SPDX-License-Identifier: MIT
 * Bytes of a client to the HTTP server. The first byte says in what pieces they arrive. Every response must be one that a client can read:
 * it begins with "HTTP/1.1 ". */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/server_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct io_loop *loop;
static struct http_server *server;

struct client {
    int fd;
    const uint8_t *data;
    size_t left, piece;
    int idle;
    struct io_task task;
    uint8_t first[9];
    size_t n_first;
};

static void on_request(void *user, struct http_exchange *x) {
    (void)user;
    const struct http_request *r = http_request(x);
    if (r->path[0] == '\0' || strlen(r->body) > r->body_len) abort();
    if (strcmp(r->path, "/s") == 0) {
        http_stream_start(x, 200, "text/plain");
        http_stream_write(x, r->body, r->body_len);
        http_stream_end(x);
    } else if (strcmp(r->path, "/a") == 0) {
        http_stream_start(x, 200, "text/plain");
        http_stream_abort(x);
    } else if (strcmp(r->path, "/h") != 0) { /* /h hangs until the client goes */
        http_respond(x, 200, "text/plain", r->body, r->body_len);
    }
}

static bool on_headers(void *user, struct http_exchange *x) {
    (void)user;
    if (http_request_header(http_request(x), "x-refuse") == NULL) return true;
    http_respond(x, 401, NULL, NULL, 0);
    return false;
}

static void turn(void *user) {
    struct client *c = user;
    uint8_t back[4096];
    ssize_t n;
    while ((n = recv(c->fd, back, sizeof(back), MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < n && c->n_first < sizeof(c->first); i++) c->first[c->n_first++] = back[i];
    if (c->left > 0) {
        n = send(c->fd, c->data, c->left < c->piece ? c->left : c->piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            c->data += n;
            c->left -= (size_t)n;
        } else {
            c->idle++;
        }
    } else {
        c->idle++;
    }
    if (c->idle == 6) shutdown(c->fd, SHUT_WR);
    if (c->idle < 10) io_task_post(loop, &c->task);
    else io_loop_stop(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    if (loop == NULL) {
        struct http_server_options o;
        http_server_options_init(&o);
        o.port = 0;
        o.max_body = 4096;
        o.on_request = on_request;
        o.on_headers = on_headers;
        loop = io_loop_create();
        if (loop == NULL || http_server_open(loop, &o, &server, NULL) != ERR_OK) abort();
    }
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) abort();
    struct sockaddr peer = {.sa_family = AF_UNIX};
    http_conn_open(server, pair[0], &peer);
    struct client c = {.fd = pair[1], .data = data + 1, .left = size - 1, .piece = 1 + (size_t)data[0] * 16};
    c.task = (struct io_task){.fn = turn, .user = &c};
    io_task_post(loop, &c.task);
    io_loop_run(loop);
    if (memcmp(c.first, "HTTP/1.1 ", c.n_first) != 0) abort();
    close(pair[1]);
    while (server->conns != NULL) http_conn_destroy(server->conns);
    return 0;
}
