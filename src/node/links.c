/* SPDX-License-Identifier: MIT
 * The links between this node and the others, and between those: what was measured (plan/probe drives that), kept beside the profile,
 * and what the plan is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "plan/probe.h"
#include "node/calls.h"
#include "node/links.h"
#include "node/members.h"
#include "node/node_priv.h"

enum { MAX_FILE = 1 << 20 };

struct links {
    struct probe *probe;
    uint8_t *frame; /* a chunk on its way out */
    char *path;     /* NULL: nothing is measured or kept */
};

void links_open(struct node *n) {
    struct links *l = MEM_NEW(struct links);
    struct err e = {0};
    n->links = l;
    l->probe = probe_create(n->id);
    l->frame = mem_zalloc(PROBE_HEADER + PROBE_CHUNK);
    if (!n->config->state_dir) return;
    l->path = mem_printf("%slinks.json", n->config->state_dir);
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(l->path, "what was measured of links", &b, &e);
    if (code == ERR_OK) {
        code = probe_read(l->probe, clock_wall_s(), buf_cstr(&b), b.len, &e);
        err_prefix(&e, "\"%s\"", l->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("node", "%s; links are measured anew", e.text);
    buf_done(&b);
}

void links_close(struct node *n) {
    if (!n->links) return;
    probe_free(n->links->probe);
    free(n->links->frame);
    free(n->links->path);
    free(n->links);
    n->links = NULL;
}

static void links_learnt(struct node *n, uint64_t node) {
    struct control_peer peer;
    struct buf b;
    struct err e = {0};
    buf_init(&b, MAX_FILE);
    probe_write(n->links->probe, &b);
    if (n->links->path && file_write(n->links->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_done(&b);
    if (control_find(n->control, node, &peer))
        log_debug("node", "to %s: %.0f Mbit/s", peer.name, probe_throughput(n->links->probe, node) * 8 / 1e6);
    node_changed(n);
}

static void links_send(struct node *n, const struct probe_action *a) {
    memcpy(n->links->frame, a->payload, a->payload_len);
    for (uint32_t i = 0; i < a->count; i++)
        if (!control_send(n->control, a->node, a->answer ? FRAME_PROBED : FRAME_PROBE, 0, n->links->frame, a->payload_len + a->filler))
            return;
}

static void links_actions(struct node *n) {
    struct probe_action a;
    while (probe_next_action(n->links->probe, &a)) {
        if (a.kind == PROBE_SEND) links_send(n, &a);
        if (a.kind == PROBE_LEARNT) links_learnt(n, a.node);
    }
}

/* Requests, and the measuring of this machine, have it for themselves. */
static bool links_busy(const struct node *n) { return calls_count(n->calls) > 0 || n->measuring; }

void links_tick(struct node *n) {
    uint64_t peers[NODE_MAX_NODES];
    uint32_t count = 0;
    struct control_peer peer;
    if (!n->links->path) return;
    for (size_t i = 0; i < n->n_records; i++)
        if (n->records[i]->probes && control_find(n->control, n->records[i]->id, &peer)) peers[count++] = peer.id;
    probe_tick(n->links->probe, clock_now(), clock_wall_s(), peers, count, links_busy(n));
    links_actions(n);
}

err_code links_on_probe(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    err_code code = probe_on_probe(n->links->probe, clock_now(), from, payload, len, links_busy(n), e);
    links_actions(n);
    return code;
}

err_code links_on_probed(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    err_code code = probe_on_probed(n->links->probe, clock_now(), clock_wall_s(), from, payload, len, e);
    links_actions(n);
    return code;
}

uint64_t links_throughput(const struct node *n, uint64_t to) { return (uint64_t)probe_throughput(n->links->probe, to); }

/* What `from` says of its link to `to`; false: nothing. */
static bool links_said(const struct node *n, uint64_t from, uint64_t to, struct plan_link *ret) {
    struct control_peer peer;
    if (from == n->id) {
        if (!control_find(n->control, to, &peer)) return false;
        *ret = (struct plan_link){.rtt_s = peer.rtt_us / 1e6, .throughput = probe_throughput(n->links->probe, to)};
        return true;
    }
    const struct record *r = node_record(n, from);
    for (uint32_t i = 0; r && i < r->n_peers; i++)
        if (r->peers[i].id == to) {
            *ret = (struct plan_link){.rtt_s = r->peers[i].rtt_us / 1e6, .throughput = (double)r->peers[i].throughput};
            return true;
        }
    return false;
}

struct plan_link links_between(void *user, uint64_t from, uint64_t to) {
    const struct node *n = user;
    struct plan_link there = {0}, back = {0};
    links_said(n, from, to, &there);
    if (there.rtt_s > 0 && there.throughput > 0) return there;
    links_said(n, to, from, &back); /* the other way is better than a guess */
    if (there.rtt_s <= 0) there.rtt_s = back.rtt_s;
    if (there.throughput <= 0) there.throughput = back.throughput;
    return there;
}
