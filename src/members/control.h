/* SPDX-License-Identifier: MIT
 * Control links: a TLS connection between each pair of nodes, on the loop. Peers that were named are dialled, and dialled again for ever
 * with back-off; sockets that came in are taken; both ends say who they are (HELLO, WELCOME) and beat every 500 ms; a link that is silent
 * for 2.5 s is down. Two nodes on two networks have a link by each: one is used (control_prefer), the others stand by. A peer that sends
 * without end is slowed down (members/quota.h), and what is held for all peers together is bounded. Each end proves its identity
 * (members/identity.h) before anything else that it says is believed. It does not know what
 * the frames mean: node/ handles them. Loop thread only; owned by the node. */
#ifndef CARAVAN_MEMBERS_CONTROL_H
#define CARAVAN_MEMBERS_CONTROL_H

#include "members/identity.h"
#include "io/stream.h"
#include "wire/frame.h"

#define CONTROL_NAME "control.caravan"
enum { CONTROL_MAX_LINKS = 256 };

/* A node at the other end of a link. */
struct control_peer {
    uint64_t id;
    char name[64];
    char host[64];      /* the address that its link came from, or that we dialled */
    uint16_t port;      /* where it listens */
    uint32_t rtt_us;    /* last measured; 0: not yet */
    clock_us heard;     /* when something last came from it; control_find only */
    uint8_t public_key[IO_SIGN_PUBLIC_SIZE]; /* proven */
    uint64_t incarnation, session;
    char copy[64];      /* where another process runs with this node's identity; "": none is known */
    uint64_t key_id;    /* of the cluster key that the link was made with (io_tls_key_id) */
};

/* One of the links with a node. */
struct control_path {
    uint64_t node;
    char host[64];   /* the node's address there */
    uint32_t rtt_us; /* the shortest of the last round trips; 0: none yet */
    clock_us up;     /* since when it stands */
    bool used;       /* frames are sent by it */
};

struct control_callbacks {
    /* May this node, whose identity is proven, have a link? It is told the error. */
    err_code (*admit)(void *user, const struct control_peer *peer, struct err *e);
    void (*on_up)(void *user, const struct control_peer *peer);
    /* Another process at peer->copy runs with the identity of this peer, or (peer NULL) of this node at `host`. NULL: not asked for. */
    void (*on_copy)(void *user, const struct control_peer *peer, const char *host);
    void (*on_down)(void *user, const struct control_peer *peer, const struct err *why);
    /* A link with the peer was silent and has ended, and another one stands: the network where the peer has this address is down. May be
     * NULL. */
    void (*on_path_lost)(void *user, const struct control_peer *peer, const char *host);
    /* A frame other than HELLO, WELCOME, REFUSE, PING and PONG. The payload is valid during the call. A handler that cannot make sense of
     * it returns an error; the link is then closed with that reason. */
    err_code (*on_frame)(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload, struct err *e);
};

struct control;
struct control_self {
    const struct identity *identity; /* both outlive the control */
    const char *name;
    uint16_t port;
};
struct control *control_create(struct io_loop *loop, struct io_tls_ctx *tls, const struct control_self *self,
                               const struct control_callbacks *cb, void *user);
void control_free(struct control *c); /* NULL is fine; no callback comes from it */

/* Dials host:port now and whenever there is no link to it. The same address twice is dialled once. */
void control_dial(struct control *c, const char *host, uint16_t port);
/* The same for another address of a node, for a second link beside the one that stands. False: the address was known. */
bool control_know(struct control *c, uint64_t node, const char *host, uint16_t port);
/* No longer dials host:port; a link that stands stays. */
void control_undial(struct control *c, const char *host, uint16_t port);
/* Ends the link to a node, telling it why, and no longer dials it. */
void control_shut(struct control *c, uint64_t node, const struct err *why);
/* Takes an accepted raw socket whose ClientHello named CONTROL_NAME. Until the peer has shown that it has the cluster's key, it is one of a
 * crowd (io/crowd.h). known: it comes from an address where a node has been met; such peers have a crowd of their own, whose places
 * strangers cannot take. */
void control_take(struct control *c, int fd, const struct sockaddr *peer, bool known);
/* Sends a frame; false when there is no link to that node, or its queue is full (the link then ends). */
bool control_send(struct control *c, uint64_t node, enum frame_type type, uint64_t epoch, const void *payload, size_t len);
/* The same by a certain one of the links with that node. */
bool control_send_by(struct control *c, uint64_t node, const char *host, enum frame_type type, const void *payload, size_t len);
/* All links that are up, one for each address of a node. Returns how many were written. */
size_t control_paths(const struct control *c, struct control_path *ret, size_t max);
/* From now on frames to that node go by its link to this address. Frames that follow may overtake those on their way. */
void control_prefer(struct control *c, uint64_t node, const char *host);
/* The peers whose links are up. Returns how many were written. */
size_t control_peers(const struct control *c, struct control_peer *ret, size_t max);
bool control_find(const struct control *c, uint64_t node, struct control_peer *ret);
/* The most frames of one link that one turn of the loop has handled so far. */
unsigned control_turn_most(const struct control *c);

#endif
