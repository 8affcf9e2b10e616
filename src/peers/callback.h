/* SPDX-License-Identifier: MIT
 * Connections to a node whose port this node cannot reach, because a firewall or an address translation lets nobody in there. If that node
 * can connect to this one, it is asked to (CALL, over the control link), and the connection that comes in is used as if it had been made
 * the other way round: this end greets first. So a ring and the fetch of weights need only one of the two directions. A connection that
 * was asked for begins with CALLBACK_SIZE bytes: a mark and a random token, which only the two nodes know; what follows proves itself as
 * on every other connection. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_CALLBACK_H
#define CARAVAN_PEERS_CALLBACK_H

#include "io/stream.h"
#include "members/control.h"
#include "peers/reach.h"
#include "peers/records.h"

enum { CALLBACK_SIZE = 16 };

/* What callback uses of the node; all of it outlives it. */
struct callback_parts {
    struct io_loop *loop;
    uint64_t self;
    struct control *control;
    const struct reach *reach;
    const struct records *records;
    /* A connection that another node has asked for: it is to be treated as one that came in at the port. The callee owns fd. */
    void (*adopt)(void *user, int fd);
    void *user;
};
struct callback; /* opaque */
struct callback *callback_create(const struct callback_parts *parts);
void callback_free(struct callback *c); /* NULL is fine */

/* Somebody on this machine wants a connection to that node. If the node has to make it, its descriptor is passed over the Unix socket
 * `reply` once it is there; if it doesn't come, or can be made from here, `reply` is closed without a word. Takes `reply`. */
void callback_ask(struct callback *c, uint64_t node, int reply);
/* The payload of a CALL from a node. ERR_PROTOCOL: it makes no sense. */
err_code callback_on_call(struct callback *c, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
/* Is this the beginning of a connection that was asked for? n bytes have come, which may be fewer than CALLBACK_SIZE. */
bool callback_is(const uint8_t *head, size_t n);
/* A connection with that beginning, which has been read, has come in. Takes fd. */
void callback_came(struct callback *c, const uint8_t head[CALLBACK_SIZE], int fd);

#endif
