/* SPDX-License-Identifier: MIT
 * The blocking client: one socket, poll for time-outs and cancelling, llhttp for the response. */
#include "http/client.h"

#include <errno.h>
#include <fcntl.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/net.h"
#include "os/os.h"

enum { CLIENT_WAIT_MS = 100, CLIENT_READ_SIZE = 16 * 1024, CLIENT_MAX_LINE = 8 << 20, CLIENT_MAX_KEY = 1024 };

struct http_client {
    char host[STR_HOST_MAX], *prefix, *key;
    uint16_t port;
    int fd;               /* -1: not connected */
    int cancel[2];        /* a pipe: a byte in it cancels */
    llhttp_t parser;
    /* of the running request */
    const struct http_client_request *request;
    struct buf *body, line;
    bool got_bytes, complete, keep_alive, enough;
};

/* ---- response ---- */

static int client_line(struct http_client *c) {
    size_t len = c->line.len;
    const char *text = buf_cstr(&c->line);
    if (len > 0 && text[len - 1] == '\r') len--;
    bool more = c->request->on_line(c->request->user, text, len);
    buf_clear(&c->line);
    if (more) return 0;
    c->enough = true;
    return HPE_USER;
}

static int client_on_body(llhttp_t *p, const char *at, size_t len) {
    struct http_client *c = p->data;
    if (c->request->on_line == NULL || p->status_code / 100 != 2) {
        buf_append(c->body, at, len);
        return c->body->failed ? HPE_USER : 0;
    }
    while (len > 0) {
        const char *end = memchr(at, '\n', len);
        size_t part = end != NULL ? (size_t)(end - at) : len;
        buf_append(&c->line, at, part);
        if (c->line.failed) return HPE_USER;
        if (end == NULL) return 0;
        int rc = client_line(c);
        if (rc != 0) return rc;
        at = end + 1;
        len -= part + 1;
    }
    return 0;
}

static int client_on_complete(llhttp_t *p) {
    struct http_client *c = p->data;
    if (p->status_code / 100 == 1) return 0; /* 100 Continue: the real one follows */
    c->complete = true;
    c->keep_alive = llhttp_should_keep_alive(p);
    return HPE_PAUSED;
}

static const llhttp_settings_t *client_settings(void) {
    static const llhttp_settings_t settings = {.on_body = client_on_body, .on_message_complete = client_on_complete};
    return &settings;
}

/* ---- connection ---- */

err_code http_client_create(const char *url, const char *api_key, struct http_client **ret, struct err *e) {
    static const char scheme[] = "http://";
    if (strncasecmp(url, scheme, strlen(scheme)) != 0) return err_set(e, ERR_INVALID, "bad address \"%s\": expected http://HOST:PORT", url);
    if (api_key != NULL && (strlen(api_key) > CLIENT_MAX_KEY || strpbrk(api_key, "\r\n") != NULL))
        return err_set(e, ERR_INVALID, "bad API key: too long, or with a line break in it");
    const char *authority = url + strlen(scheme);
    char *where = mem_strndup(authority, strcspn(authority, "/"));
    char *prefix = mem_strdup(authority + strlen(where));
    struct http_client *c = MEM_NEW(struct http_client);
    c->fd = c->cancel[0] = c->cancel[1] = -1;
    err_code code = ERR_OK;
    if (!str_parse_address(where, "127.0.0.1", 80, c->host, &c->port))
        code = err_set(e, ERR_INVALID, "bad address \"%s\": expected http://HOST:PORT", url);
    free(where);
    if (code == ERR_OK && os_pipe(c->cancel, false) != 0) code = err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    if (code != ERR_OK) {
        free(prefix);
        http_client_free(c);
        return code;
    }
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') prefix[--len] = '\0';
    c->prefix = prefix;
    c->key = mem_strdup(api_key);
    buf_init(&c->line, CLIENT_MAX_LINE);
    *ret = c;
    return ERR_OK;
}

static void client_disconnect(struct http_client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

void http_client_free(struct http_client *c) {
    if (c == NULL) return;
    client_disconnect(c);
    if (c->cancel[0] >= 0) close(c->cancel[0]);
    if (c->cancel[1] >= 0) close(c->cancel[1]);
    free(c->prefix);
    free(c->key);
    buf_done(&c->line);
    free(c);
}

void http_client_cancel(struct http_client *c) {
    ssize_t n = write(c->cancel[1], "x", 1); /* a full pipe has cancelled already */
    (void)n;
}

/* Waits for the socket: ERR_OK, ERR_TIMEOUT, ERR_CANCELLED. */
static err_code client_wait(struct http_client *c, short events, int timeout_ms, struct err *e) {
    clock_us end = clock_now() + (clock_us)(timeout_ms > 0 ? timeout_ms : 0) * 1000;
    for (;;) {
        int left = -1;
        if (timeout_ms > 0) {
            clock_us now = clock_now();
            left = now >= end ? 0 : (int)((end - now + 999) / 1000);
        }
        struct pollfd fds[2] = {{.fd = c->fd, .events = events}, {.fd = c->cancel[0], .events = POLLIN}};
        bool tells = c->request->on_wait != NULL && (left < 0 || left > CLIENT_WAIT_MS);
        int n = poll(fds, 2, tells ? CLIENT_WAIT_MS : left);
        if (n < 0 && errno != EINTR) return err_set_errno(e, ERR_IO, errno, "cannot wait for \"%s\"", c->host);
        if (n > 0 && fds[1].revents != 0) return err_set(e, ERR_CANCELLED, "the request was cancelled");
        if (n > 0 && fds[0].revents != 0) return ERR_OK;
        if (n == 0 && tells) {
            if (!c->request->on_wait(c->request->user)) return err_set(e, ERR_CANCELLED, "the request was cancelled");
            continue;
        }
        if (n == 0 || left == 0) return err_set(e, ERR_TIMEOUT, "no answer from \"%s\" port %u for %d ms", c->host, c->port, timeout_ms);
    }
}

static err_code connect_one(struct http_client *c, const struct addrinfo *info, int timeout_ms, struct err *e) {
    c->fd = os_socket(info->ai_family, SOCK_STREAM);
    if (c->fd < 0) return err_set_errno(e, ERR_NETWORK, errno, "cannot make a socket");
    int on = 1, error = 0;
    socklen_t len = sizeof(error);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    err_code code = ERR_OK;
    if (connect(c->fd, info->ai_addr, info->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            code = client_wait(c, POLLOUT, timeout_ms, e);
            if (code == ERR_OK) getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        }
        if (code == ERR_OK && error != 0) code = err_set_errno(e, ERR_NETWORK, error, "cannot connect to \"%s\" port %u", c->host, c->port);
    }
    if (code != ERR_OK) client_disconnect(c);
    return code;
}

static err_code client_connect(struct http_client *c, int timeout_ms, struct err *e) {
    char service[8];
    snprintf(service, sizeof(service), "%u", c->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    int gai = getaddrinfo(c->host, service, &hints, &list);
    if (gai != 0) return err_set(e, ERR_NETWORK, "cannot find \"%s\": %s", c->host, gai_strerror(gai));
    err_code code = ERR_NETWORK;
    for (struct addrinfo *info = list; info != NULL && code == ERR_NETWORK; info = info->ai_next)
        code = connect_one(c, info, timeout_ms, e);
    freeaddrinfo(list);
    return code;
}

/* ---- a request ---- */

static err_code client_write(struct http_client *c, struct iovec *parts, size_t n, struct err *e) {
    while (n > 0) {
        struct msghdr msg = {.msg_iov = parts, .msg_iovlen = n};
        ssize_t sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) {
            err_code code = client_wait(c, POLLOUT, c->request->timeout_ms, e);
            if (code != ERR_OK) return code;
            continue;
        }
        if (sent < 0) return err_set_errno(e, ERR_CLOSED, errno, "the connection to \"%s\" broke", c->host);
        size_t left = (size_t)sent;
        for (; n > 0 && left >= parts->iov_len; n--) left -= (parts++)->iov_len;
        if (n > 0) {
            parts->iov_base = (char *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return ERR_OK;
}

static err_code client_write_request(struct http_client *c, struct err *e) {
    const struct http_client_request *r = c->request;
    struct buf head;
    buf_init(&head, 64 * 1024);
    bool v6 = strchr(c->host, ':') != NULL;
    buf_printf(&head, "%s %s%s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: caravan\r\nAccept: */*\r\n", r->method, c->prefix, r->path,
               v6 ? "[" : "", c->host, v6 ? "]" : "", c->port);
    if (c->key != NULL) buf_printf(&head, "Authorization: Bearer %s\r\n", c->key);
    if (r->body != NULL)
        buf_printf(&head, "Content-Type: %s\r\nContent-Length: %zu\r\n", r->type != NULL ? r->type : "application/json", r->body_len);
    buf_append_str(&head, "\r\n");
    err_code code;
    if (head.failed) {
        code = err_set(e, ERR_LIMIT, "the request's path is too long");
    } else {
        struct iovec parts[2] = {{head.data, head.len}, {(void *)(uintptr_t)r->body, r->body != NULL ? r->body_len : 0}};
        code = client_write(c, parts, parts[1].iov_len > 0 ? 2 : 1, e);
    }
    buf_done(&head);
    return code;
}

static err_code client_parse_error(struct http_client *c, llhttp_errno_t code, struct err *e) {
    if (c->enough) return ERR_OK;
    if (code == HPE_USER) return err_set(e, ERR_LIMIT, "the answer of \"%s\" is too large", c->host);
    return err_set(e, ERR_PROTOCOL, "malformed answer from \"%s\" port %u: %s", c->host, c->port, llhttp_get_error_reason(&c->parser));
}

static err_code client_read_response(struct http_client *c, struct err *e) {
    char data[CLIENT_READ_SIZE];
    while (!c->complete && !c->enough) {
        err_code rc = client_wait(c, POLLIN, c->request->timeout_ms, e);
        if (rc != ERR_OK) return rc;
        ssize_t n = recv(c->fd, data, sizeof(data), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n < 0) return err_set_errno(e, ERR_CLOSED, errno, "the connection to \"%s\" broke", c->host);
        llhttp_errno_t code;
        if (n == 0) {
            code = llhttp_finish(&c->parser); /* a body without a length ends here; anything else is cut off */
            if (!c->complete)
                return err_set(e, ERR_CLOSED, "\"%s\" port %u closed the connection before its answer was complete", c->host, c->port);
        } else {
            c->got_bytes = true;
            code = llhttp_execute(&c->parser, data, (size_t)n);
        }
        if (code != HPE_OK && !c->complete) return client_parse_error(c, code, e);
    }
    if (c->line.len > 0 && !c->enough) client_line(c); /* a last line without an end */
    return ERR_OK;
}

static err_code client_attempt(struct http_client *c, struct err *e) {
    c->got_bytes = c->complete = c->keep_alive = c->enough = false;
    buf_clear(&c->line);
    buf_clear(c->body);
    llhttp_init(&c->parser, HTTP_RESPONSE, client_settings());
    c->parser.data = c;
    if (c->fd < 0) {
        err_code code = client_connect(c, c->request->timeout_ms, e);
        if (code != ERR_OK) return code;
    }
    err_code code = client_write_request(c, e);
    if (code == ERR_OK || code == ERR_CLOSED) { /* a server that refuses a body often answers before it closes */
        err_code read_rc = client_read_response(c, e);
        if (code == ERR_OK || read_rc == ERR_OK) code = read_rc;
    }
    return code;
}

err_code http_client_send(struct http_client *c, const struct http_client_request *r, int *ret_status, struct buf *ret_body,
                          struct err *e) {
    char drained[16];
    while (read(c->cancel[0], drained, sizeof(drained)) > 0) {
    } /* drops the cancelling of an earlier request */
    c->request = r;
    c->body = ret_body;
    bool reused = c->fd >= 0;
    err_code code = client_attempt(c, e);
    if (code == ERR_CLOSED && reused && !c->got_bytes) { /* the server had closed the idle connection: try once on a new one */
        client_disconnect(c);
        code = client_attempt(c, e);
    }
    if (code == ERR_OK) *ret_status = llhttp_get_status_code(&c->parser);
    if (code != ERR_OK || c->enough || !c->keep_alive) client_disconnect(c);
    return code;
}

const char *http_sse_data(const char *line, size_t len, size_t *ret_len) {
    if (len < 5 || memcmp(line, "data:", 5) != 0) return NULL;
    size_t skip = len > 5 && line[5] == ' ' ? 6 : 5;
    *ret_len = len - skip;
    return line + skip;
}
