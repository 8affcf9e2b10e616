/* SPDX-License-Identifier: MIT
 * See links.h. */
#include "node/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "members/membership.h"
#include "plan/probe.h"

enum { MAX_FILE = 1 << 20 };

struct links {
    struct links_parts parts;
    struct probe *probe;
    uint8_t *frame; /* a chunk on its way out */
    char *path;     /* NULL: nothing is measured or kept */
};

static void links_read(struct links *l) {
    struct err e = {0};
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(l->path, "what was measured of links", &b, &e);
    if (code == ERR_OK) {
        code = probe_read(l->probe, clock_wall_s(), buf_cstr(&b), b.len, &e);
        err_prefix(&e, "\"%s\"", l->path);
    }
    if (code != ERR_OK && code != ERR_NOT_FOUND) log_warn("node", "%s; the links are measured again", e.text);
    buf_done(&b);
}

struct links *links_create(const struct links_parts *parts) {
    struct links *l = MEM_NEW(struct links);
    l->parts = *parts;
    l->probe = probe_create(parts->self);
    l->frame = mem_zalloc(PROBE_ASK_SIZE + PROBE_CHUNK);
    l->path = parts->state_dir ? mem_printf("%slinks.json", parts->state_dir) : NULL;
    if (l->path) links_read(l);
    return l;
}

void links_free(struct links *l) {
    if (!l) return;
    probe_free(l->probe);
    free(l->frame);
    free(l->path);
    free(l);
}

static void links_learnt(struct links *l, uint64_t node) {
    struct control_peer peer;
    struct buf b;
    struct err e = {0};
    buf_init(&b, MAX_FILE);
    probe_write(l->probe, &b);
    if (l->path && file_write(l->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_done(&b);
    if (control_find(l->parts.control, node, &peer))
        log_debug("node", "to %s: %.0f Mbit/s", peer.name, probe_throughput(l->probe, node) * 8 / 1e6);
    news_own(l->parts.news);
}

static void links_send(struct links *l, const struct probe_action *a) {
    memcpy(l->frame, a->payload, a->payload_len);
    for (uint32_t i = 0; i < a->count; i++)
        if (!control_send(l->parts.control, a->node, a->answer ? FRAME_PROBED : FRAME_PROBE, 0, l->frame, a->payload_len + a->filler))
            return;
}

static void links_actions(struct links *l) {
    struct probe_action a;
    while (probe_next_action(l->probe, &a)) {
        if (a.kind == PROBE_SEND) links_send(l, &a);
        if (a.kind == PROBE_LEARNT) links_learnt(l, a.node);
    }
}

void links_tick(struct links *l, bool busy) {
    const struct records *r = l->parts.records;
    uint64_t peers[RECORDS_MAX];
    uint32_t count = 0;
    struct control_peer peer;
    if (!l->path) return;
    for (size_t i = 0; i < r->n_linked; i++)
        if (r->linked[i]->probes && control_find(l->parts.control, r->linked[i]->id, &peer)) peers[count++] = peer.id;
    probe_tick(l->probe, clock_now(), clock_wall_s(), peers, count, busy);
    links_actions(l);
}

err_code links_on_probe(struct links *l, uint64_t from, const uint8_t *payload, size_t len, bool busy, struct err *e) {
    err_code code = probe_on_probe(l->probe, clock_now(), from, payload, len, busy, e);
    links_actions(l);
    return code;
}

err_code links_on_probed(struct links *l, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    err_code code = probe_on_probed(l->probe, clock_now(), clock_wall_s(), from, payload, len, e);
    links_actions(l);
    return code;
}

uint64_t links_throughput(const struct links *l, uint64_t to) { return (uint64_t)probe_throughput(l->probe, to); }

/* What is known on the side of `from` of its link to `to`; false: nothing. */
static bool links_said(const struct links *l, uint64_t from, uint64_t to, struct plan_link *ret) {
    struct control_peer peer;
    if (from == l->parts.self) {
        if (!control_find(l->parts.control, to, &peer)) return false;
        *ret = (struct plan_link){.rtt_s = peer.rtt_us / 1e6, .throughput = probe_throughput(l->probe, to)};
        return true;
    }
    const struct record *r = records_linked(l->parts.records, from);
    const struct record_peer *p = r ? record_peer_of(r, to) : NULL;
    if (p) *ret = (struct plan_link){.rtt_s = p->rtt_us / 1e6, .throughput = (double)p->throughput};
    return p != NULL;
}

/* In a cluster where each node is linked with all, those that are not cannot connect to each other, or have not tried yet. In a larger one
 * most pairs are never tried. */
static enum plan_reach links_reach(const struct links *l, uint64_t from, uint64_t to) {
    static const enum plan_reach of[RECORD_REACH_COUNT] = {
        [RECORD_REACH_UNKNOWN] = PLAN_REACH_UNKNOWN, [RECORD_REACH_YES] = PLAN_REACHES, [RECORD_REACH_NO] = PLAN_REACHES_NOT};
    bool mesh = l->parts.records->n_linked < MEMBERSHIP_MESH;
    struct control_peer peer;
    if (from == l->parts.self && control_find(l->parts.control, to, &peer)) return of[reach_of(l->parts.reach, to)];
    const struct record *r = from == l->parts.self ? NULL : records_linked(l->parts.records, from);
    const struct record_peer *p = r ? record_peer_of(r, to) : NULL;
    return p ? of[p->reach] : mesh ? PLAN_REACH_UNKNOWN : PLAN_REACHES;
}

struct plan_link links_between(void *user, uint64_t from, uint64_t to) {
    const struct links *l = user;
    struct plan_link there = {0}, back = {0};
    links_said(l, from, to, &there);
    there.reach = links_reach(l, from, to);
    if (there.rtt_s > 0 && there.throughput > 0) return there;
    links_said(l, to, from, &back); /* the opposite direction is better than a guess */
    if (there.rtt_s <= 0) there.rtt_s = back.rtt_s;
    if (there.throughput <= 0) there.throughput = back.throughput;
    return there;
}
