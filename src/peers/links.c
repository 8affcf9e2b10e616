/* SPDX-License-Identifier: MIT
 * See links.h. */
#include "peers/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "members/interfaces.h"
#include "members/membership.h"
#include "plan/path.h"
#include "plan/probe.h"

enum { MAX_FILE = 1 << 20 };
#define SECOND_US  2000000u /* a link by a second network follows the first one within this time */
#define MEASURE_US 20000000u /* links that are not measured by then are used as they are; a fresh machine first measures itself */

struct links {
    struct links_parts parts;
    struct probe *probe;
    uint8_t *frame; /* a chunk on its way out */
    char *path;     /* NULL: nothing is measured or kept */
    bool several;   /* this machine is on several networks */
    struct control_path paths[CONTROL_MAX_LINKS]; /* the links that stand, as of the last tick */
    size_t n_paths;
    uint64_t unsettled[CONTROL_MAX_LINKS]; /* nodes with which there may be a better link than the one that is used */
    size_t n_unsettled;
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

/* Is this machine on more than one network? One inside the machine itself is none. */
static bool links_several(void) {
    struct interface_addr all[INTERFACES_MAX];
    size_t n = interfaces_list(NULL, 0, all, INTERFACES_MAX);
    unsigned first = 0;
    bool several = false;
    for (size_t i = 0; i < n; i++) {
        if (all[i].loopback || all[i].inner) continue;
        several = several || (first != 0 && all[i].index != first);
        first = all[i].index;
    }
    return several;
}

struct links *links_create(const struct links_parts *parts) {
    struct links *l = MEM_NEW(struct links);
    l->parts = *parts;
    l->probe = probe_create(parts->self);
    l->frame = mem_zalloc(PROBE_ASK_SIZE + PROBE_CHUNK);
    l->path = parts->state_dir ? mem_printf("%slinks.json", parts->state_dir) : NULL;
    l->several = links_several();
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

static struct plan_link links_way(const struct links *l, const struct control_path *p) {
    return (struct plan_link){.rtt_s = p->rtt_us / 1e6, .throughput = probe_throughput(l->probe, p->node, p->host)};
}

static void links_learnt(struct links *l, const struct probe_path *path) {
    struct control_peer peer;
    struct buf b;
    struct err e = {0};
    buf_init(&b, MAX_FILE);
    probe_write(l->probe, &b);
    if (l->path && file_write(l->path, b.data, b.len, &e) != ERR_OK) log_warn("node", "%s", e.text);
    buf_done(&b);
    if (control_find(l->parts.control, path->node, &peer))
        log_debug("node", "to %s at %s: %.0f Mbit/s", peer.name, path->host, probe_throughput(l->probe, path->node, path->host) * 8 / 1e6);
    news_own(l->parts.news);
}

static void links_send(struct links *l, const struct probe_action *a) {
    enum frame_type type = a->answer ? FRAME_PROBED : FRAME_PROBE;
    size_t len = a->payload_len + a->filler;
    memcpy(l->frame, a->payload, a->payload_len);
    for (uint32_t i = 0; i < a->count; i++) {
        bool sent = a->path.host[0] ? control_send_by(l->parts.control, a->path.node, a->path.host, type, l->frame, len)
                                    : control_send(l->parts.control, a->path.node, type, 0, l->frame, len);
        if (!sent) return;
    }
}

static void links_actions(struct links *l) {
    struct probe_action a;
    while (probe_next_action(l->probe, &a)) {
        if (a.kind == PROBE_SEND) links_send(l, &a);
        if (a.kind == PROBE_LEARNT) links_learnt(l, &a.path);
    }
}

/* The links with a node, of which the first is `paths`. Returns how many; *ret_used is the one that is used. */
static uint32_t links_ways(const struct links *l, const struct control_path *first, const struct control_path **ret, uint32_t *ret_used) {
    uint32_t n = 0;
    *ret_used = 0;
    for (const struct control_path *p = first; p < l->paths + l->n_paths; p++) {
        if (p->node != first->node) continue;
        if (p->used) *ret_used = n;
        ret[n++] = p;
    }
    return n;
}

/* Uses the best link with a node. Not while requests run: their frames would overtake each other. */
static void links_prefer(struct links *l, const struct control_path *const *paths, uint32_t n, uint32_t used) {
    struct plan_link ways[CONTROL_MAX_LINKS];
    struct control_peer peer;
    for (uint32_t i = 0; i < n; i++) ways[i] = links_way(l, paths[i]);
    uint32_t best = path_choose(ways, n, used);
    if (best == used || !control_find(l->parts.control, paths[best]->node, &peer)) return;
    log_info("node", "%s is linked by %s from now on: %.0f Mbit/s and %.1f ms there and back; by %s it is %.0f Mbit/s and %.1f ms",
             peer.name, paths[best]->host, ways[best].throughput * 8 / 1e6, ways[best].rtt_s * 1e3, paths[used]->host,
             ways[used].throughput * 8 / 1e6, ways[used].rtt_s * 1e3);
    control_prefer(l->parts.control, paths[best]->node, paths[best]->host);
    news_own(l->parts.news);
}

/* May there soon be a better link with the node? Then nothing should be planned with the one that is used. */
static bool links_may_improve(const struct links *l, const struct control_path *const *paths, uint32_t n, clock_us now) {
    clock_us last = 0;
    bool measured = true;
    for (uint32_t i = 0; i < n; i++) {
        measured = measured && links_way(l, paths[i]).throughput > 0;
        if (paths[i]->up > last) last = paths[i]->up;
    }
    return n == 1 ? l->several && now < last + SECOND_US : !measured && now < last + MEASURE_US;
}

static void links_look(struct links *l, bool busy) {
    const struct control_path *paths[CONTROL_MAX_LINKS];
    size_t was = l->n_unsettled;
    uint32_t used;
    l->n_paths = control_paths(l->parts.control, l->paths, CONTROL_MAX_LINKS);
    l->n_unsettled = 0;
    for (const struct control_path *p = l->paths; p < l->paths + l->n_paths; p++) {
        bool before = false;
        for (const struct control_path *q = l->paths; q < p && !before; q++) before = q->node == p->node;
        if (before) continue;
        uint32_t n = links_ways(l, p, paths, &used);
        if (n > 1 && !busy) links_prefer(l, paths, n, used);
        if (links_may_improve(l, paths, n, clock_now())) l->unsettled[l->n_unsettled++] = p->node;
    }
    if (was != l->n_unsettled) news_own(l->parts.news);
}

void links_linked(struct links *l) {
    if (l->path) links_look(l, true);
}

void links_tick(struct links *l, bool busy) {
    const struct records *r = l->parts.records;
    struct probe_path paths[CONTROL_MAX_LINKS];
    uint32_t count = 0;
    if (!l->path) return;
    links_look(l, busy);
    for (size_t i = 0; i < l->n_paths; i++) {
        const struct record *of = records_linked(r, l->paths[i].node);
        if (of == NULL || !of->probes) continue;
        paths[count].node = l->paths[i].node;
        memcpy(paths[count++].host, l->paths[i].host, sizeof(paths[0].host));
    }
    probe_tick(l->probe, clock_now(), clock_wall_s(), paths, count, busy);
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

static double links_rate(const struct links *l, uint64_t to) {
    struct control_peer peer;
    return control_find(l->parts.control, to, &peer) ? probe_throughput(l->probe, to, peer.host) : 0;
}

uint64_t links_throughput(const struct links *l, uint64_t to) { return (uint64_t)links_rate(l, to); }

enum record_reach links_reached(const struct links *l, uint64_t to) {
    for (size_t i = 0; i < l->n_unsettled; i++)
        if (l->unsettled[i] == to) return RECORD_REACH_UNKNOWN;
    return reach_of(l->parts.reach, to);
}

bool links_outgrown(const struct links *l, uint64_t to, const char *host) {
    const struct control_path *used = NULL, *other = NULL;
    for (const struct control_path *p = l->paths; p < l->paths + l->n_paths; p++) {
        if (p->node == to && p->used) used = p;
        if (p->node == to && strcmp(p->host, host) == 0) other = p;
    }
    if (!used || !other || used == other) return false;
    struct plan_link a = links_way(l, used), b = links_way(l, other);
    return path_better(&a, &b);
}

/* What is known on the side of `from` of its link to `to`; false: nothing. */
static bool links_said(const struct links *l, uint64_t from, uint64_t to, struct plan_link *ret) {
    struct control_peer peer;
    if (from == l->parts.self) {
        if (!control_find(l->parts.control, to, &peer)) return false;
        *ret = (struct plan_link){.rtt_s = peer.rtt_us / 1e6, .throughput = links_rate(l, to)};
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
    if (from == l->parts.self && control_find(l->parts.control, to, &peer)) return of[links_reached(l, to)];
    const struct record *r = from == l->parts.self ? NULL : records_linked(l->parts.records, from);
    const struct record_peer *p = r ? record_peer_of(r, to) : NULL;
    return p ? of[p->reach] : mesh ? PLAN_REACH_UNKNOWN : PLAN_REACHES;
}

/* Does `to` connect to `from` if it is asked to? */
static bool links_called(const struct links *l, uint64_t from, uint64_t to) {
    const struct record *r = to == l->parts.self ? NULL : records_linked(l->parts.records, to);
    bool calls = to == l->parts.self || (r && r->calls);
    return calls && links_reach(l, to, from) == PLAN_REACHES;
}

struct plan_link links_between(void *user, uint64_t from, uint64_t to) {
    const struct links *l = user;
    struct plan_link there = {0}, back = {0};
    links_said(l, from, to, &there);
    there.reach = links_reach(l, from, to);
    if (there.reach == PLAN_REACHES_NOT && links_called(l, from, to)) there.reach = PLAN_REACHES;
    if (there.rtt_s > 0 && there.throughput > 0) return there;
    links_said(l, to, from, &back); /* the opposite direction is better than a guess */
    if (there.rtt_s <= 0) there.rtt_s = back.rtt_s;
    if (there.throughput <= 0) there.throughput = back.throughput;
    return there;
}
