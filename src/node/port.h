/* SPDX-License-Identifier: MIT
 * The one port of a node. Every connection that comes in says in its TLS ClientHello what it is for; the hello is peeked at and not
 * consumed, and the raw socket goes to the part that makes the handshake: the control links, the weights server, or a stage child.
 * Connections that say nothing within five seconds, or something unknown, are closed; so are the oldest of them when too many wait
 * (io/crowd.h). Strangers cannot take the places of nodes that are known. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_PORT_H
#define CARAVAN_NODE_PORT_H

#include "io/stream.h"
#include "peers/callback.h"

struct port;

struct port_callbacks {
    /* Has a node of the cluster been met at this address? NULL: none has been. */
    bool (*known)(void *user, const struct sockaddr *peer);
    /* name: the server name in the hello. known: the answer of `known` when the connection came. The callee owns fd. */
    void (*take)(void *user, const char *name, int fd, const struct sockaddr *peer, bool known);
    /* A connection that this node has asked another one for, without its first bytes `head`. The callee owns fd. NULL: none is asked
     * for. */
    void (*came_back)(void *user, const uint8_t head[CALLBACK_SIZE], int fd);
};

err_code port_open(struct io_loop *loop, const char *host, uint16_t number, const struct port_callbacks *cb, void *user, struct port **ret,
                   struct err *e);
/* Takes a connection that this node has made, and on which the other end greets, as one that came in. */
void port_adopt(struct port *p, int fd);
uint16_t port_number(const struct port *p);
size_t port_guests(const struct port *p); /* connections whose hello has not come yet */
void port_close(struct port *p); /* NULL is fine */

#endif
