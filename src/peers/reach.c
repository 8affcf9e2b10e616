/* SPDX-License-Identifier: MIT
 * See reach.h. */
#include "peers/reach.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/stream.h"

enum { DIAL_MS = 4000, MAX_DIALS = 16 };
#define GOOD_US  120000000u /* when a connection that stood is tried again */
#define DOUBT_US 2000000u   /* when one that had stood is tried again after a failure, before it counts */
#define BAD_US   20000000u  /* when one that failed is */

struct reach_peer {
    struct reach *owner;
    struct control_peer at; /* as it was when it was last tried */
    enum record_reach state;
    bool doubted;
    clock_us again;
    struct io_dial *dial; /* NULL: none runs */
};

struct reach {
    struct reach_parts parts;
    struct reach_peer *peers[CONTROL_MAX_LINKS]; /* owned */
    size_t n, n_dials;
};

struct reach *reach_create(const struct reach_parts *parts) {
    struct reach *r = MEM_NEW(struct reach);
    r->parts = *parts;
    return r;
}

static void reach_peer_free(struct reach_peer *p) {
    if (p->dial) p->owner->n_dials--;
    io_dial_cancel(p->dial);
    free(p);
}

void reach_free(struct reach *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) reach_peer_free(r->peers[i]);
    free(r);
}

static struct reach_peer *reach_find(const struct reach *r, uint64_t node) {
    for (size_t i = 0; i < r->n; i++)
        if (r->peers[i]->at.id == node) return r->peers[i];
    return NULL;
}

static void reach_dialled(void *user, err_code code, int fd, const struct err *e) {
    struct reach_peer *p = user;
    clock_us now = clock_now();
    p->dial = NULL;
    p->owner->n_dials--;
    if (code == ERR_OK) close(fd);
    bool doubt = code != ERR_OK && p->state == RECORD_REACH_YES && !p->doubted;
    p->doubted = doubt;
    p->again = now + (code == ERR_OK ? GOOD_US : doubt ? DOUBT_US : BAD_US);
    enum record_reach state = code == ERR_OK || doubt ? RECORD_REACH_YES : RECORD_REACH_NO;
    if (state == p->state) return;
    if (state == RECORD_REACH_NO)
        log_warn("node",
                 "%s is linked with this node, but this node cannot connect to it (%s): it is asked to make connections from its side; "
                 "hint: `caravan doctor` here says why",
                 p->at.name, e->text);
    else if (p->state == RECORD_REACH_NO) log_info("node", "this node can connect to %s now", p->at.name);
    p->state = state;
    news_own(p->owner->parts.news);
}

static void reach_try(struct reach *r, const struct control_peer *peer) {
    struct reach_peer *p = reach_find(r, peer->id);
    if (!p && r->n == CONTROL_MAX_LINKS) return;
    if (!p) {
        p = r->peers[r->n++] = MEM_NEW(struct reach_peer);
        p->owner = r;
        p->at = *peer;
    }
    bool moved = p->at.port != peer->port || strcmp(p->at.host, peer->host) != 0;
    if (p->dial || (!moved && clock_now() < p->again) || r->n_dials == MAX_DIALS) return;
    if (moved) p->state = RECORD_REACH_UNKNOWN;
    p->at = *peer;
    r->n_dials++;
    p->dial = io_dial_start(r->parts.loop, peer->host, peer->port, DIAL_MS, reach_dialled, p);
}

void reach_tick(struct reach *r) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers)), peer;
    size_t n = control_peers(r->parts.control, peers, CONTROL_MAX_LINKS);
    for (size_t i = 0; i < r->n;) {
        if (control_find(r->parts.control, r->peers[i]->at.id, &peer)) {
            i++;
            continue;
        }
        reach_peer_free(r->peers[i]);
        r->peers[i] = r->peers[--r->n];
    }
    for (size_t i = 0; i < n; i++) reach_try(r, &peers[i]);
    free(peers);
}

enum record_reach reach_of(const struct reach *r, uint64_t node) {
    const struct reach_peer *p = reach_find(r, node);
    return p ? p->state : RECORD_REACH_UNKNOWN;
}
