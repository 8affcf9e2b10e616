/* SPDX-License-Identifier: MIT
 * See callback.h. */
#include "peers/callback.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/sock.h"
#include "io/tls.h"
#include "wire/stage.h"

enum { MARK_SIZE = 8, WAIT_MS = 8000, DIAL_MS = 4000, MAX_WANTS = 256, MAX_DIALS = 64, MAX_DIALS_EACH = 16 };
static const uint8_t MARK[MARK_SIZE] = {'C', 'R', 'V', 'N', 'B', 'A', 'C', 'K'};

/* A connection that another node has been asked for. */
struct want {
    struct callback *owner;
    struct want *next;
    uint64_t token;
    int reply;
    struct io_timer *timer;
};

/* A connection that another node has asked for. */
struct called {
    struct callback *owner;
    struct called *next;
    uint64_t node, token;
    struct io_dial *dial;
};

struct callback {
    struct callback_parts parts;
    struct want *wants;
    struct called *called;
    size_t n_wants, n_called;
};

struct callback *callback_create(const struct callback_parts *parts) {
    struct callback *c = MEM_NEW(struct callback);
    c->parts = *parts;
    return c;
}

/* ---- asking ---- */

static void want_free(struct want *w) {
    struct callback *c = w->owner;
    struct want **at = &c->wants;
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    c->n_wants--;
    io_timer_close(w->timer);
    close(w->reply);
    free(w);
}

static void want_late(void *user) { want_free(user); }

/* Must the node make the connection, and can it? */
static bool callback_needed(const struct callback *c, uint64_t node) {
    const struct record *r = records_linked(c->parts.records, node);
    const struct record_peer *here = r ? record_peer_of(r, c->parts.self) : NULL;
    return reach_of(c->parts.reach, node) == RECORD_REACH_NO && r && r->calls && here && here->reach == RECORD_REACH_YES;
}

void callback_ask(struct callback *c, uint64_t node, int reply) {
    uint8_t payload[FIELD_SIZE(stage_call)];
    struct stage_call call;
    if (!callback_needed(c, node) || c->n_wants == MAX_WANTS) {
        close(reply);
        return;
    }
    io_tls_random((uint8_t *)&call.token, sizeof(call.token));
    field_put(stage_call_fields(), &call, payload);
    if (!control_send(c->parts.control, node, FRAME_CALL, 0, payload, sizeof(payload))) {
        close(reply);
        return;
    }
    struct want *w = MEM_NEW(struct want);
    *w = (struct want){.owner = c, .next = c->wants, .token = call.token, .reply = reply};
    w->timer = io_timer_open(c->parts.loop, want_late, w);
    io_timer_start(w->timer, WAIT_MS, 0);
    c->wants = w;
    c->n_wants++;
}

bool callback_is(const uint8_t *head, size_t n) { return n > 0 && memcmp(head, MARK, n < MARK_SIZE ? n : MARK_SIZE) == 0; }

void callback_came(struct callback *c, const uint8_t head[CALLBACK_SIZE], int fd) {
    uint64_t token = bytes_get_u64(head + MARK_SIZE);
    struct want *w = c->wants;
    struct err e = {0};
    size_t n;
    while (w && w->token != token) w = w->next;
    if (w && io_sock_send_fd(w->reply, "", 1, fd, &n, &e) != ERR_OK && e.code != ERR_CLOSED) log_warn("node", "%s", e.text);
    if (!w) log_debug("node", "a connection came that nobody waits for any longer");
    if (w) want_free(w);
    close(fd);
}

/* ---- being asked ---- */

static void called_free(struct called *d) {
    struct callback *c = d->owner;
    struct called **at = &c->called;
    while (*at != d) at = &(*at)->next;
    *at = d->next;
    c->n_called--;
    free(d);
}

static void called_dialled(void *user, err_code code, int fd, const struct err *e) {
    struct called *d = user;
    struct callback *c = d->owner;
    uint8_t head[CALLBACK_SIZE];
    memcpy(head, MARK, MARK_SIZE);
    bytes_put_u64(head + MARK_SIZE, d->token);
    called_free(d);
    if (code != ERR_OK) log_debug("node", "a node that cannot connect to this one has asked for a connection: %s", e->text);
    else if (send(fd, head, sizeof(head), MSG_NOSIGNAL) == (ssize_t)sizeof(head))  /* its buffer is empty, so it takes all */
        c->parts.adopt(c->parts.user, fd);
    else close(fd);
}

err_code callback_on_call(struct callback *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_call call;
    struct control_peer peer;
    size_t each = 0;
    if (field_decode(stage_call_fields(), payload, len, &call, e) != ERR_OK) return ERR_PROTOCOL;
    for (const struct called *d = c->called; d; d = d->next) each += d->node == from;
    if (c->n_called == MAX_DIALS || each == MAX_DIALS_EACH || !control_find(c->parts.control, from, &peer))
        return ERR_OK; /* it asks again */
    struct called *d = MEM_NEW(struct called);
    *d = (struct called){.owner = c, .next = c->called, .node = from, .token = call.token};
    c->called = d;
    c->n_called++;
    d->dial = io_dial_start(c->parts.loop, peer.host, peer.port, DIAL_MS, called_dialled, d);
    return ERR_OK;
}

void callback_free(struct callback *c) {
    if (!c) return;
    while (c->wants) want_free(c->wants);
    while (c->called) {
        io_dial_cancel(c->called->dial);
        called_free(c->called);
    }
    free(c);
}
