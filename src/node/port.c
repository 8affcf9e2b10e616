/* SPDX-License-Identifier: MIT
 * See port.h. */
#include "node/port.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/address.h"
#include "io/crowd.h"
#include "io/sock.h"
#include "io/tls.h"
#include "io/watch.h"

enum { HELLO_MS = 5000, MAX_HELLO = 4096, RECORD_HEAD = 5 };
enum {
    STRANGERS,
    KNOWN,
    CROWDS
}; /* connections whose hello has not come, of strangers and of known addresses: each kind has places of its own */
enum { MAX_EACH = 64, MAX_CROWD = 256 };

/* A connection whose hello has not been read yet. */
struct guest {
    struct crowd_guest place; /* first: a place is its guest */
    struct port *owner;
    struct guest *next;
    int fd;
    bool known;
    size_t want; /* bytes that make another look worthwhile */
    struct sockaddr_storage peer;
    struct io_poll *poll;
    struct io_timer *timer;
};

struct port {
    struct io_loop *loop;
    struct io_listener *listener;
    struct port_callbacks cb;
    void *user;
    struct guest *guests;
    struct crowd crowds[CROWDS];
    struct log_limit refused, late, crowded;
};

/* Forgets the guest; its descriptor is closed unless it has been given away (-1). */
static void guest_free(struct guest *g) {
    struct port *p = g->owner;
    for (struct guest **at = &p->guests; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            break;
        }
    crowd_leave(&p->crowds[g->known ? KNOWN : STRANGERS], &g->place);
    io_poll_close(g->poll);
    io_timer_close(g->timer);
    if (g->fd >= 0) close(g->fd);
    free(g);
}

static void guest_late(void *user) {
    struct guest *g = user;
    char peer[64];
    io_address_format((struct sockaddr *)&g->peer, peer, sizeof(peer));
    log_warn_limited(&g->owner->late, "port", "%s did not say within %d s which service it wants: closed", peer, HELLO_MS / 1000);
    guest_free(g);
}

/* How many bytes must have come before another look at the hello is worthwhile, when n are there: its whole TLS record (RFC 8446
 * section 5.1: type, version, and in two bytes the length). */
static size_t hello_want(const uint8_t *hello, size_t n) {
    if (callback_is(hello, n)) return CALLBACK_SIZE;
    if (n < RECORD_HEAD) return RECORD_HEAD;
    size_t record = RECORD_HEAD + ((size_t)hello[3] << 8 | hello[4]);
    size_t want = record > n ? record : n + 1;
    return want < MAX_HELLO ? want : MAX_HELLO;
}

/* The name in the hello. ERR_BUSY: it is not whole yet, and the socket is readable again when more of it has come. */
static err_code guest_look(struct guest *g, char name[IO_TLS_NAME_MAX], struct err *e) {
    uint8_t hello[MAX_HELLO];
    size_t n = 0;
    err_code code = io_sock_peek(g->fd, hello, sizeof(hello), &n, e);
    if (code != ERR_OK) return code;
    if (n < g->want)
        return err_set(e, ERR_CLOSED,
                       "the hello ended before it was whole"); /* readable though nothing more has come: the other end has closed */
    code = io_tls_peek_name(hello, n, name, e);
    if (code == ERR_BUSY && n == sizeof(hello)) return err_set(e, ERR_PROTOCOL, "a ClientHello of more than %zu bytes", sizeof(hello));
    if (code == ERR_OK) return io_sock_want(g->fd, 1, e);
    if (code != ERR_BUSY) return code;
    g->want = hello_want(hello, n);
    err_code wants = io_sock_want(g->fd, g->want, e);
    return wants == ERR_OK ? ERR_BUSY : wants;
}

/* Is it a connection that was asked for? Then it has been given away, or waits for the rest of its first bytes. */
static bool guest_came_back(struct guest *g) {
    uint8_t head[CALLBACK_SIZE];
    size_t n = 0;
    struct err e = {0};
    struct port *p = g->owner;
    if (!p->cb.came_back || io_sock_peek(g->fd, head, sizeof(head), &n, &e) != ERR_OK || !callback_is(head, n)) return false;
    g->want = CALLBACK_SIZE;
    if (n < CALLBACK_SIZE) return io_sock_want(g->fd, CALLBACK_SIZE, &e) == ERR_OK;
    if (recv(g->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) || io_sock_want(g->fd, 1, &e) != ERR_OK) return false;
    int fd = g->fd;
    g->fd = -1;
    guest_free(g);
    p->cb.came_back(p->user, head, fd);
    return true;
}

static void guest_readable(void *user, int events, int error) {
    struct guest *g = user;
    struct port *p = g->owner;
    (void)events;
    struct err e = {0};
    char name[IO_TLS_NAME_MAX], peer_text[64];
    if (error == 0 && guest_came_back(g)) return;
    err_code code = error ? err_set_errno(&e, ERR_NETWORK, error, "socket") : guest_look(g, name, &e);
    if (code == ERR_BUSY) return; /* the timer bounds it */
    if (code != ERR_OK) {
        io_address_format((struct sockaddr *)&g->peer, peer_text, sizeof(peer_text));
        if (code != ERR_CLOSED) log_warn_limited(&p->refused, "port", "refused a connection from %s: %s", peer_text, e.text);
        guest_free(g);
        return;
    }
    int fd = g->fd;
    bool known = g->known;
    struct sockaddr_storage peer = g->peer;
    g->fd = -1;
    guest_free(g);
    p->cb.take(p->user, name, fd, (struct sockaddr *)&peer, known);
}

static void port_accepted(void *user, int fd, const struct sockaddr *peer) {
    struct port *p = user;
    struct guest *g = MEM_NEW(struct guest);
    g->owner = p;
    g->fd = fd;
    g->known = p->cb.known && p->cb.known(p->user, peer);
    memcpy(&g->peer, peer, peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    g->next = p->guests;
    p->guests = g;
    struct crowd_guest *goes = crowd_enter(&p->crowds[g->known ? KNOWN : STRANGERS], &g->place, peer);
    if (goes) {
        log_warn_limited(&p->crowded, "port", "too many connections that say nothing: the oldest was closed");
        guest_free((struct guest *)goes);
    }
    g->poll = io_poll_open(p->loop, fd, guest_readable, g);
    if (!g->poll) { /* the socket is broken already */
        guest_free(g);
        return;
    }
    io_poll_set(g->poll, IO_READ);
    g->timer = io_timer_open(p->loop, guest_late, g);
    io_timer_start(g->timer, HELLO_MS, 0);
}

void port_adopt(struct port *p, int fd) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0) port_accepted(p, fd, (struct sockaddr *)&peer);
    else close(fd);
}

err_code port_open(struct io_loop *loop, const char *host, uint16_t number, const struct port_callbacks *cb, void *user, struct port **ret,
                   struct err *e) {
    struct port *p = MEM_NEW(struct port);
    p->loop = loop;
    p->cb = *cb;
    p->user = user;
    for (size_t i = 0; i < CROWDS; i++) crowd_init(&p->crowds[i], MAX_CROWD, MAX_EACH);
    err_code code = io_listener_open(loop, host, number, port_accepted, p, &p->listener, e);
    if (code != ERR_OK) {
        free(p);
        return code;
    }
    if (strcmp(host, "::") == 0 && !io_listener_has_v6(p->listener))
        log_info("port", "this machine has no IPv6: other nodes reach it by IPv4 alone");
    *ret = p;
    return ERR_OK;
}

uint16_t port_number(const struct port *p) { return io_listener_port(p->listener); }

size_t port_guests(const struct port *p) { return p->crowds[STRANGERS].n + p->crowds[KNOWN].n; }

void port_close(struct port *p) {
    if (!p) return;
    io_listener_close(p->listener);
    while (p->guests) guest_free(p->guests);
    free(p);
}
