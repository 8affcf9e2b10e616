/* SPDX-License-Identifier: MIT
 * Changes in what a node knows. Every part of the node says here that something has changed; the others see it by the count, and the nodes
 * of the cluster are told once, from the loop, however many changes came together. Loop thread only; owned by the node. */
#ifndef CARAVAN_PEERS_NEWS_H
#define CARAVAN_PEERS_NEWS_H

#include <stdint.h>

#include "io/loop.h"

struct news {
    struct io_loop *loop;
    struct io_task tell;
    uint64_t count; /* grows with every change of this node's models and files, and of the other nodes' records */
};

/* tell: called from the loop after changes of this node. loop must outlive the news. */
void news_init(struct news *n, struct io_loop *loop, void (*tell)(void *user), void *user);
void news_done(struct news *n); /* nothing is told any more; zeroed is fine */
/* Something of this node has changed: the others are told. */
void news_own(struct news *n);
/* Something of another node has changed: it is only counted. */
void news_other(struct news *n);

#endif
