/* SPDX-License-Identifier: MIT
 * See discovery.h. */
#include "peers/discovery.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/child.h"
#include "io/sock.h"
#include "io/stream.h"

enum { RETRY_MIN_MS = 1000, RETRY_MAX_MS = 60000, LIVED_LONG_US = 30000000 };

struct discovery {
    struct io_loop *loop;
    const char *program;
    struct discovery_line self;
    discovery_fn on_found, on_gone;
    void *user;
    struct io_child *child;
    struct io_conn *conn;
    struct io_timer *timer;
    struct buf in;
    clock_us started;
    uint64_t retry_ms;
    char said[240]; /* the last thing that was logged: once each */
    uint64_t other; /* a node of another cluster that was logged */
};

static void discovery_spawn(void *user);

static void discovery_say(struct discovery *d, const char *text) {
    if (strcmp(d->said, text) == 0) return;
    snprintf(d->said, sizeof(d->said), "%s", text);
    log_warn("node", "discovery: %s", text);
}

static void discovery_line(struct discovery *d, const char *text, size_t len) {
    struct discovery_line l;
    struct err e = {0};
    if (discovery_line_decode(text, len, &l, NULL, NULL, &e) != ERR_OK) {
        discovery_say(d, e.text);
    } else if (l.kind == DISCOVERY_SAY) {
        discovery_say(d, l.text);
    } else if (l.kind == DISCOVERY_SELF || l.id == d->self.id) {
        return;
    } else if (strcmp(l.cluster, d->self.cluster) != 0) {
        if (l.kind == DISCOVERY_FOUND && d->other != l.id)
            log_info("node", "discovery: \"%s\" at %s is of another cluster", l.name, l.host);
        d->other = l.id;
    } else {
        (l.kind == DISCOVERY_FOUND ? d->on_found : d->on_gone)(d->user, &l);
    }
}

static void discovery_read(void *user, const uint8_t *data, size_t len) {
    struct discovery *d = user;
    buf_append(&d->in, data, len);
    const uint8_t *end;
    while ((end = d->in.len ? memchr(d->in.data, '\n', d->in.len) : NULL) != NULL) {
        size_t n = (size_t)(end - d->in.data);
        discovery_line(d, (const char *)d->in.data, n);
        buf_consume(&d->in, n + 1);
    }
    if (!d->in.failed && d->in.len <= DISCOVERY_MAX_LINE) return;
    discovery_say(d, "the helper sent a line without end");
    io_child_kill(d->child, SIGKILL);
}

static void discovery_end(void *user, err_code code) {
    struct discovery *d = user;
    (void)code; /* its exit says more */
    io_conn_close(d->conn);
    d->conn = NULL;
    if (d->child) io_child_kill(d->child, SIGKILL);
}

static void discovery_exited(void *user, int status, int signo) {
    struct discovery *d = user;
    if (signo != SIGKILL && signo != 0) log_warn("node", "discovery: the helper was ended by signal %d; it is started again", signo);
    if (signo == 0 && status != 0) log_warn("node", "discovery: the helper ended with status %d; it is started again", status);
    io_child_close(d->child);
    io_conn_close(d->conn);
    d->child = NULL;
    d->conn = NULL;
    if (io_loop_now(d->loop) - d->started > LIVED_LONG_US) d->retry_ms = RETRY_MIN_MS;
    io_timer_start(d->timer, d->retry_ms, 0);
    if (d->retry_ms < RETRY_MAX_MS) d->retry_ms *= 2;
}

static const struct io_conn_callbacks discovery_callbacks = {.on_read = discovery_read, .on_end = discovery_end};

static void discovery_spawn(void *user) {
    struct discovery *d = user;
    const char *argv[] = {d->program, "discover", NULL};
    struct err e = {0};
    int fds[2];
    if (io_sock_pair(fds, &e) != ERR_OK) {
        discovery_say(d, e.text);
        io_timer_start(d->timer, RETRY_MAX_MS, 0);
        return;
    }
    struct io_child_options options = {.argv = argv, .fd = fds[1], .ignores_ends = true};
    d->started = io_loop_now(d->loop);
    err_code code = io_child_start(d->loop, &options, discovery_exited, d, &d->child, &e);
    close(fds[1]);
    if (code != ERR_OK) {
        close(fds[0]);
        discovery_say(d, e.text);
        io_timer_start(d->timer, RETRY_MAX_MS, 0);
        return;
    }
    struct buf line;
    buf_clear(&d->in);
    buf_init(&line, DISCOVERY_MAX_LINE);
    discovery_line_encode(&d->self, &line);
    d->conn = io_conn_open(d->loop, fds[0], DISCOVERY_MAX_LINE, 2 * DISCOVERY_MAX_LINE, &discovery_callbacks, d);
    io_conn_write(d->conn, line.data, line.len);
    buf_done(&line);
}

struct discovery *discovery_start(struct io_loop *loop, const char *program, const struct discovery_line *self, discovery_fn on_found,
                                  discovery_fn on_gone, void *user) {
    struct discovery *d = MEM_NEW(struct discovery);
    d->loop = loop;
    d->program = program;
    d->self = *self;
    d->self.kind = DISCOVERY_SELF;
    snprintf(d->self.software, sizeof(d->self.software), "%s", CARAVAN_VERSION);
    d->on_found = on_found;
    d->on_gone = on_gone;
    d->user = user;
    d->retry_ms = RETRY_MIN_MS;
    buf_init(&d->in, 4 * DISCOVERY_MAX_LINE + (1 << 17));
    d->timer = io_timer_open(loop, discovery_spawn, d);
    discovery_spawn(d);
    return d;
}

void discovery_free(struct discovery *d) {
    if (!d) return;
    if (d->child) io_child_kill(d->child, SIGKILL);
    io_child_close(d->child);
    io_conn_close(d->conn);
    io_timer_close(d->timer);
    buf_done(&d->in);
    free(d);
}
