/* SPDX-License-Identifier: MIT
 * The server: listener, limits, time-outs, draining. */
#include "http/server.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/server_priv.h"
#include "os/os.h"

enum { RESERVED_FDS = 128 /* left for the node's links, files and children */, TICK_MAX_MS = 500, TICK_MIN_MS = 10 };

void http_server_options_init(struct http_server_options *o) {
    size_t fds = io_raise_fd_limit();
    *o = (struct http_server_options){
        .host = "127.0.0.1",
        .max_body = 16u << 20,
        .max_bodies = 64u << 20,
        .max_queued = 4u << 20,
        .max_connections = fds > 2 * RESERVED_FDS ? (uint32_t)(fds - RESERVED_FDS) : (uint32_t)(fds / 2),
        .header_timeout_ms = 10 * 1000,
        .idle_timeout_ms = 60 * 1000,
        .stall_timeout_ms = 30 * 1000,
    };
}

static void on_accept(void *user, int fd, const struct sockaddr *peer) {
    struct http_server *s = user;
    http_conn_open(s, fd, peer);
    if (s->n_conns >= s->o.max_connections) io_listener_pause(s->listener);
}

static void on_tick(void *user) {
    struct http_server *s = user;
    clock_us now = io_loop_now(s->loop);
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next; /* a tick destroys nothing at once */
        http_conn_tick(c, now);
    }
}

static void on_half_tick(void *user) {
    struct http_server *s = user;
    bool more = false;
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        more |= http_conn_half_tick(c);
    }
    if (!more) io_timer_stop(s->half_timer);
}

bool http_server_hold(struct http_server *s, size_t *mine, size_t want) {
    if (want <= *mine) return true;
    if (s->held > *mine && s->held - *mine + want > s->o.max_bodies) return false;
    s->held += want - *mine;
    *mine = want;
    return true;
}

void http_server_release(struct http_server *s, size_t *mine) {
    s->held -= *mine;
    *mine = 0;
}

static void tell_drained(void *user) {
    struct http_server *s = user;
    s->on_drained(s->drained_user);
}

static uint32_t tick_ms(const struct http_server_options *o) {
    uint32_t least = o->header_timeout_ms;
    if (o->idle_timeout_ms < least) least = o->idle_timeout_ms;
    if (o->stall_timeout_ms < least) least = o->stall_timeout_ms;
    uint32_t ms = least / 4;
    return ms > TICK_MAX_MS ? TICK_MAX_MS : ms < TICK_MIN_MS ? TICK_MIN_MS : ms;
}

err_code http_server_open(struct io_loop *loop, const struct http_server_options *options, struct http_server **ret, struct err *e) {
    struct http_server *s = MEM_NEW(struct http_server);
    s->loop = loop;
    s->o = *options;
    os_random(&s->id_base, sizeof(s->id_base));
    s->drained_task = (struct io_task){.fn = tell_drained, .user = s};
    err_code code = io_listener_open(loop, s->o.host, s->o.port, on_accept, s, &s->listener, e);
    if (code != ERR_OK) {
        free(s);
        return code;
    }
    s->tick = io_timer_open(loop, on_tick, s);
    s->half_timer = io_timer_open(loop, on_half_tick, s);
    uint32_t ms = tick_ms(&s->o);
    io_timer_start(s->tick, ms, ms);
    *ret = s;
    return ERR_OK;
}

uint16_t http_server_port(const struct http_server *s) { return s->listener == NULL ? 0 : io_listener_port(s->listener); }

size_t http_server_connections(const struct http_server *s) { return s->n_conns; }

void http_server_conn_gone(struct http_server *s) {
    if (s->listener != NULL && s->n_conns < s->o.max_connections) io_listener_resume(s->listener);
    if (s->draining && s->n_conns == 0 && s->on_drained != NULL) io_task_post(s->loop, &s->drained_task);
}

void http_server_drain(struct http_server *s, void (*on_done)(void *user), void *user) {
    io_listener_close(s->listener);
    s->listener = NULL;
    s->draining = true;
    s->on_drained = on_done;
    s->drained_user = user;
    for (struct http_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        c->keep_alive = false;
        if (c->state == CONN_IDLE) http_conn_kill(c);
    }
    if (s->n_conns == 0) io_task_post(s->loop, &s->drained_task);
}

void http_server_close(struct http_server *s) {
    if (s == NULL) return;
    io_listener_close(s->listener);
    s->listener = NULL;
    s->on_drained = NULL;
    while (s->conns != NULL) http_conn_destroy(s->conns);
    io_task_cancel(&s->drained_task);
    io_timer_close(s->tick);
    io_timer_close(s->half_timer);
    free(s);
}

const char *http_server_date(struct http_server *s) {
    int64_t now = clock_wall_s();
    if (now != s->date_s) {
        time_t t = (time_t)now;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now;
    }
    return s->date;
}
