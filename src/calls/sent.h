/* SPDX-License-Identifier: MIT
 * Which pictures and sounds the heads on other nodes have been given, so that the next turn of a conversation need not carry their bytes
 * again. It is a guess: a head gives things up, or was started anew. Then it says so, and gets the bytes after all. Loop thread. */
#ifndef CARAVAN_CALLS_SENT_H
#define CARAVAN_CALLS_SENT_H

#include "wire/request.h"

enum { SENT_MOST = 1024 }; /* what came first is forgotten first */

struct sent {
    uint64_t known[SENT_MOST];
    uint32_t n, next;
};

/* The request's files, without the bytes of those that the instance has, and how many those are; the caller frees the array, whose texts
 * are borrowed. */
struct request_media *sent_slim(const struct sent *s, const char *instance, const struct request *r, uint32_t *ret_known);
/* The instance has taken these. */
void sent_add(struct sent *s, const char *instance, const char *mark);

#endif
