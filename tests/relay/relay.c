/* SPDX-License-Identifier: MIT
 * The relay's sockets and its thread. */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "relay/relay_line.h"

enum { MAX_PAIRS = 64, CHUNK = 16384, CONNECT_MS = 5000, BACKLOG = 16, SLOT_STOP = 0, SLOT_LISTEN = 1, SLOT_PAIRS = 2 };

/* A connection: what fd[i] sends goes through line[i] to fd[1 - i]. */
struct pair {
    int fd[2];
    struct relay_line line[2];
    bool ended[2];   /* fd[i] sends no more */
    bool told[2];    /* and the other side knows */
    bool blocked[2]; /* the socket that line[i] leads to is full */
    bool broken;
};

struct relay {
    struct relay_config config;
    int listener, stop[2];
    pthread_t thread;
    struct pair *pairs[MAX_PAIRS];
    size_t n;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- one connection ---- */

static void pair_free(struct pair *p) {
    for (int i = 0; i < 2; i++) {
        close(p->fd[i]);
        relay_line_done(&p->line[i]);
    }
    free(p);
}

static void read_side(struct pair *p, int i) {
    for (;;) {
        size_t room;
        uint8_t *to = relay_line_space(&p->line[i], &room);
        if (room == 0 || p->ended[i]) return;
        ssize_t n = recv(p->fd[i], to, room < CHUNK ? room : CHUNK, MSG_DONTWAIT);
        if (n > 0) {
            relay_line_put(&p->line[i], now_ns(), (size_t)n);
        } else if (n == 0) {
            p->ended[i] = true;
        } else if (errno != EINTR) {
            p->broken = p->broken || errno != EAGAIN;
            return;
        }
    }
}

static void write_side(struct pair *p, int i) {
    size_t n;
    const uint8_t *from;
    p->blocked[i] = false;
    while ((from = relay_line_arrived(&p->line[i], now_ns(), &n)), n > 0) {
        ssize_t sent = send(p->fd[1 - i], from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            relay_line_take(&p->line[i], (size_t)sent);
        } else if (errno != EINTR) {
            p->blocked[i] = errno == EAGAIN;
            p->broken = p->broken || errno != EAGAIN;
            return;
        }
    }
    if (p->ended[i] && !p->told[i] && relay_line_empty(&p->line[i])) {
        shutdown(p->fd[1 - i], SHUT_WR);
        p->told[i] = true;
    }
}

static bool pair_over(const struct pair *p) { return p->broken || (p->told[0] && p->told[1]); }

static void accept_pair(struct relay *r) {
    const struct io_sock_options options = {.no_delay = true};
    int in, out;
    if (io_sock_accept(r->listener, 0, &in, NULL) != ERR_OK) return;
    if (r->n == MAX_PAIRS || io_sock_connect(&r->config.to, CONNECT_MS, &out, NULL) != ERR_OK) {
        close(in); /* like a network: the other end is gone */
        return;
    }
    struct pair *p = MEM_NEW(struct pair);
    p->fd[0] = in;
    p->fd[1] = out;
    for (int i = 0; i < 2; i++) {
        io_sock_tune(p->fd[i], &options, NULL);
        relay_line_init(&p->line[i], r->config.delay_us * 1000, r->config.bits_per_s);
    }
    r->pairs[r->n++] = p;
}

/* ---- the thread ---- */

/* Until when the thread may sleep; fills in what it waits for. */
static uint64_t plan(const struct relay *r, struct pollfd *fds) {
    uint64_t next = RELAY_LINE_NEVER;
    fds[SLOT_STOP] = (struct pollfd){.fd = r->stop[0], .events = POLLIN};
    fds[SLOT_LISTEN] = (struct pollfd){.fd = r->listener, .events = POLLIN};
    for (size_t k = 0; k < r->n; k++) {
        struct pair *p = r->pairs[k];
        for (int i = 0; i < 2; i++) {
            size_t room;
            relay_line_space(&p->line[i], &room);
            bool reads = room > 0 && !p->ended[i];
            short events = (short)((reads ? POLLIN : 0) | (p->blocked[1 - i] ? POLLOUT : 0));
            fds[SLOT_PAIRS + 2 * k + (size_t)i] = (struct pollfd){.fd = events != 0 ? p->fd[i] : -1, .events = events};
            uint64_t due = p->blocked[i] ? RELAY_LINE_NEVER : relay_line_next(&p->line[i]);
            next = due < next ? due : next;
        }
    }
    return next;
}

static void sleep_until(struct pollfd *fds, size_t n, uint64_t next) {
    uint64_t now = now_ns(), left = next > now ? next - now : 0;
    struct timespec t = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
    if (ppoll(fds, n, next == RELAY_LINE_NEVER ? NULL : &t, NULL) < 0) fds[SLOT_STOP].revents = fds[SLOT_LISTEN].revents = 0; /* a signal */
}

static void *relay_main(void *arg) {
    struct relay *r = arg;
    struct pollfd fds[SLOT_PAIRS + 2 * MAX_PAIRS];
    prctl(PR_SET_TIMERSLACK, 1UL); /* the kernel would add 50 us to every sleep */
    for (;;) {
        uint64_t next = plan(r, fds);
        sleep_until(fds, SLOT_PAIRS + 2 * r->n, next);
        if (fds[SLOT_STOP].revents != 0) return NULL;
        for (size_t k = r->n; k-- > 0;) {
            struct pair *p = r->pairs[k];
            for (int i = 0; i < 2; i++) {
                read_side(p, i);
                write_side(p, i);
            }
            if (pair_over(p)) {
                pair_free(p);
                r->pairs[k] = r->pairs[--r->n];
            }
        }
        if (fds[SLOT_LISTEN].revents != 0) accept_pair(r);
    }
}

/* ---- start and stop ---- */

err_code relay_start(const struct relay_config *c, struct relay **ret, uint16_t *ret_port, struct err *e) {
    struct io_addr at = {.host = "127.0.0.1", .port = c->listen_port};
    struct relay *r = MEM_NEW(struct relay);
    r->config = *c;
    err_code code = io_sock_listen(&at, BACKLOG, &r->listener, e);
    if (code != ERR_OK) {
        free(r);
        return code;
    }
    if (pipe2(r->stop, O_CLOEXEC) != 0) {
        close(r->listener);
        free(r);
        return err_set(e, ERR_IO, "cannot make a pipe");
    }
    if (pthread_create(&r->thread, NULL, relay_main, r) != 0) {
        close(r->listener);
        close(r->stop[0]);
        close(r->stop[1]);
        free(r);
        return err_set(e, ERR_IO, "cannot start a thread");
    }
    *ret = r;
    *ret_port = io_sock_port(r->listener);
    return ERR_OK;
}

void relay_stop(struct relay *r) {
    if (r == NULL) return;
    close(r->stop[1]);
    pthread_join(r->thread, NULL);
    close(r->stop[0]);
    close(r->listener);
    for (size_t k = 0; k < r->n; k++) pair_free(r->pairs[k]);
    free(r);
}
