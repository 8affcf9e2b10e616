/* SPDX-License-Identifier: MIT
 * The one port of a node. Every connection that comes in says in its TLS ClientHello what it is for; the hello is peeked at, nothing of it
 * is consumed, and the raw socket goes to whoever shakes hands on it: the control links, the weights server, or a stage child. Connections
 * that say nothing within ten seconds, or something unknown, are closed. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_PORT_H
#define CARAVAN_NODE_PORT_H

#include "io/stream.h"

struct port;

/* name: the server name in the hello. The callee owns fd. */
typedef void (*port_take_fn)(void *user, const char *name, int fd, const struct sockaddr *peer);

err_code port_open(struct io_loop *loop, const char *host, uint16_t number, port_take_fn take, void *user, struct port **ret,
                   struct err *e);
uint16_t port_number(const struct port *p);
void port_close(struct port *p); /* NULL is fine */

#endif
