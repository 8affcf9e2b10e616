/* SPDX-License-Identifier: MIT
 * See port.h. */
#include "node/port.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "io/tls.h"

enum { HELLO_MS = 10000, MAX_GUESTS = 256, MAX_HELLO = 4096 };

/* A connection whose hello has not been read yet. */
struct guest {
    struct port *owner;
    struct guest *next;
    int fd;
    struct sockaddr_storage peer;
    struct io_poll *poll;
    struct io_timer *timer;
};

struct port {
    struct io_loop *loop;
    struct io_listener *listener;
    port_take_fn take;
    void *user;
    struct guest *guests;
    size_t n_guests;
};

/* Forgets the guest; its descriptor is closed unless it has been given away (-1). */
static void guest_free(struct guest *g) {
    struct port *p = g->owner;
    for (struct guest **at = &p->guests; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            p->n_guests--;
            break;
        }
    io_poll_close(g->poll);
    io_timer_close(g->timer);
    if (g->fd >= 0) close(g->fd);
    free(g);
}

static void guest_late(void *user) {
    struct guest *g = user;
    char peer[64];
    io_address_format((struct sockaddr *)&g->peer, peer, sizeof(peer));
    log_warn("port", "%s said nothing for %d s: closed", peer, HELLO_MS / 1000);
    guest_free(g);
}

static void guest_readable(void *user, int events, int error) {
    struct guest *g = user;
    (void)events;
    uint8_t hello[MAX_HELLO];
    size_t n = 0;
    struct err e = {0};
    char name[IO_TLS_NAME_MAX];
    err_code code = error ? err_set_errno(&e, ERR_NETWORK, error, "socket") : io_sock_peek(g->fd, hello, sizeof(hello), &n, &e);
    if (code == ERR_OK) code = io_tls_peek_name(hello, n, name, &e);
    if (code == ERR_BUSY && n < sizeof(hello)) return; /* the hello comes in pieces; the timer bounds it */
    if (code != ERR_OK) {
        char peer[64];
        io_address_format((struct sockaddr *)&g->peer, peer, sizeof(peer));
        if (code != ERR_CLOSED) log_warn("port", "refused a connection from %s: %s", peer, e.text);
        guest_free(g);
        return;
    }
    struct port *p = g->owner;
    int fd = g->fd;
    struct sockaddr_storage peer = g->peer;
    g->fd = -1;
    guest_free(g);
    p->take(p->user, name, fd, (struct sockaddr *)&peer);
}

static void port_accepted(void *user, int fd, const struct sockaddr *peer) {
    struct port *p = user;
    if (p->n_guests == MAX_GUESTS) {
        log_warn("port", "more than %d connections wait to be told apart: one was closed", MAX_GUESTS);
        close(fd);
        return;
    }
    struct guest *g = MEM_NEW(struct guest);
    g->owner = p;
    g->fd = fd;
    memcpy(&g->peer, peer, peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    g->next = p->guests;
    p->guests = g;
    p->n_guests++;
    g->poll = io_poll_open(p->loop, fd, guest_readable, g);
    if (!g->poll) { /* the socket is broken already */
        guest_free(g);
        return;
    }
    io_poll_set(g->poll, IO_READ);
    g->timer = io_timer_open(p->loop, guest_late, g);
    io_timer_start(g->timer, HELLO_MS, 0);
}

err_code port_open(struct io_loop *loop, const char *host, uint16_t number, port_take_fn take, void *user, struct port **ret,
                   struct err *e) {
    struct port *p = MEM_NEW(struct port);
    p->loop = loop;
    p->take = take;
    p->user = user;
    err_code code = io_listener_open(loop, host, number, port_accepted, p, &p->listener, e);
    if (code != ERR_OK) {
        free(p);
        return code;
    }
    *ret = p;
    return ERR_OK;
}

uint16_t port_number(const struct port *p) { return io_listener_port(p->listener); }

void port_close(struct port *p) {
    if (!p) return;
    io_listener_close(p->listener);
    while (p->guests) guest_free(p->guests);
    free(p);
}
