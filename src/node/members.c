/* SPDX-License-Identifier: MIT
 * members/membership in this node: what the control links say goes in, its actions are carried out, and the records of the others are kept
 * decoded: those of linked nodes in n->records, those of suspect ones, whom nothing can be asked, in n->suspects. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/hold.h"
#include "node/holdings.h"
#include "node/members.h"
#include "node/models.h"
#include "node/node_priv.h"

enum { LATE_TICKS = 10 }; /* after so many ticks without the link that the smaller id should dial, the greater one dials too */

/* ---- records ---- */

static struct record *list_take(struct record **list, size_t *n, uint64_t id) {
    for (size_t i = 0; i < *n; i++)
        if (list[i]->id == id) {
            struct record *r = list[i];
            list[i] = list[--*n];
            return r;
        }
    return NULL;
}

static struct record *members_take(struct node *n, uint64_t id) {
    n->news++;
    struct record *r = list_take(n->records, &n->n_records, id);
    return r ? r : list_take(n->suspects, &n->n_suspects, id);
}

static void members_drop(struct node *n, uint64_t id) {
    struct record *r = members_take(n, id);
    if (r) record_done(r);
    free(r);
}

/* Into the list where it belongs now. */
static void members_put(struct node *n, struct record *r) {
    struct control_peer peer;
    n->news++;
    bool linked = r && control_find(n->control, r->id, &peer);
    if (r) r->unlinked = linked ? 0 : r->unlinked ? r->unlinked : clock_now();
    if (linked && n->n_records < NODE_MAX_NODES) n->records[n->n_records++] = r;
    else if (r && n->n_suspects < NODE_MAX_NODES) n->suspects[n->n_suspects++] = r;
    else if (r) {
        record_done(r);
        free(r);
    }
    holdings_sources(n);
}

const struct record *node_record(const struct node *n, uint64_t id) {
    for (size_t i = 0; i < n->n_records; i++)
        if (n->records[i]->id == id) return n->records[i];
    return NULL;
}

static void members_lost(struct node *n, const struct record *r, bool restarted) {
    models_asks_lost(n, r);
    coordinator_node_lost(serve_core(n), clock_now(), r, restarted);
}

/* The node has been started anew: what it held and coordinated before is no more, though it was never gone. */
static void members_restarted(struct node *n, uint64_t id) {
    struct record *r = members_take(n, id);
    hold_node_lost(n, id);
    if (r) members_lost(n, r, true);
    if (r) record_done(r);
    free(r);
}

static const struct record *members_kept(const struct node *n, uint64_t id) {
    const struct record *r = node_record(n, id);
    for (size_t i = 0; i < n->n_suspects && !r; i++)
        if (n->suspects[i]->id == id) r = n->suspects[i];
    return r;
}

/* ---- actions ---- */

static void members_send(struct node *n, const struct membership_action *a) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_MEMBERS));
    membership_write(n->members, a, &b);
    control_send(n->control, a->to, FRAME_MEMBERS, 0, b.data, b.len);
    buf_done(&b);
}

static void members_pass_on(struct node *n, const struct membership_action *a) {
    const struct member *k = a->about == n->id ? membership_self(n->members) : membership_find(n->members, a->about);
    if (k && k->record) control_send(n->control, a->to, FRAME_NODE, 0, k->record, k->record_len);
}

static void members_news(struct node *n, uint64_t id) {
    const struct member *k = membership_find(n->members, id);
    struct record_seal seal;
    struct record *r = MEM_NEW(struct record);
    struct err e = {0};
    bool good = k && k->record && record_open(k->record, k->record_len, &seal, &e) == ERR_OK;
    if (good && record_decode(seal.text, seal.len, r, &e) == ERR_OK && r->id == id) {
        const struct record *old = members_kept(n, id);
        r->incarnation = seal.incarnation;
        r->unlinked = old ? old->unlinked : 0;
        if (old && old->incarnation < r->incarnation) members_restarted(n, id);
        else members_drop(n, id);
        members_put(n, r);
        join_hear(n->join, r);
        models_update(n);
        return;
    }
    log_warn("node", "a record was dropped: %s", e.text[0] ? e.text : "it is about another node");
    record_done(r);
    free(r);
}

static void members_turn(struct node *n, const struct membership_action *a) {
    if (a->is != MEMBER_GONE) return;
    struct record *r = members_take(n, a->about);
    log_info("node", "%s is gone: nobody hears it", r ? r->name : "a node");
    hold_node_lost(n, a->about);
    if (r) members_lost(n, r, false);
    if (r) record_done(r);
    free(r);
    node_changed(n);
}

static void members_act(struct node *n) {
    struct membership_action a;
    while (membership_next_action(n->members, &a)) {
        switch (a.kind) {
        case MEMBERSHIP_SEND: members_send(n, &a); break;
        case MEMBERSHIP_PASS_ON: members_pass_on(n, &a); break;
        case MEMBERSHIP_NEWS: members_news(n, a.about); break;
        case MEMBERSHIP_TURN: members_turn(n, &a); break;
        case MEMBERSHIP_SPEAK: node_changed(n); break;
        }
    }
}

/* ---- events ---- */

/* When each was last heard, before the membership says anything of it. */
static void members_heard(struct node *n) {
    struct control_peer peer;
    const struct member *k;
    for (size_t i = 0; (k = membership_get(n->members, i)) != NULL; i++)
        if (k->linked && control_find(n->control, k->id, &peer)) membership_heard(n->members, peer.id, peer.heard);
}

static void members_time(void *user) {
    struct node *n = user;
    clock_us next, now = clock_now();
    members_heard(n);
    membership_tick(n->members, now, &next);
    members_act(n);
    io_timer_start(n->members_timer, next > now ? (next - now) / 1000 + 1 : 1, 0);
}

void members_open(struct node *n) {
    const struct identity *own = join_identity(n->join);
    n->members = membership_create(n->id, own->incarnation, (uint32_t)n->id ^ (uint32_t)clock_now());
    n->members_timer = io_timer_open(n->loop, members_time, n);
    io_timer_start(n->members_timer, 0, 0);
}

void members_close(struct node *n) {
    io_timer_close(n->members_timer);
    while (n->n_records > 0) members_drop(n, n->records[0]->id);
    while (n->n_suspects > 0) members_drop(n, n->suspects[0]->id);
    membership_free(n->members);
}

void members_speak(struct node *n) {
    struct record *own = MEM_NEW(struct record);
    struct buf text, sealed;
    uint64_t incarnation, version;
    buf_init(&text, frame_max_payload(FRAME_NODE) - RECORD_SEAL_SIZE);
    buf_init(&sealed, frame_max_payload(FRAME_NODE));
    node_own_record(n, own);
    record_fit(own, text.max);
    record_encode(own, &text);
    membership_stamp(n->members, &incarnation, &version);
    record_seal(join_identity(n->join), incarnation, version, text.data, text.len, &sealed);
    if (!text.failed && !sealed.failed) membership_speak(n->members, clock_now(), sealed.data, sealed.len);
    else log_error("node", "this node's record is too long to be told");
    record_done(own);
    free(own);
    buf_done(&text);
    buf_done(&sealed);
    members_act(n);
}

void members_up(struct node *n, const struct control_peer *peer) {
    const struct member *k = membership_find(n->members, peer->id);
    if (k && k->state != MEMBER_GONE && k->incarnation < peer->incarnation) {
        members_restarted(n, peer->id);
        models_update(n);
    }
    members_put(n, members_take(n, peer->id));
    membership_link_up(n->members, clock_now(), peer->id, peer->incarnation);
    hold_linked(n, peer->id);
    members_act(n);
}

void members_down(struct node *n, const struct control_peer *peer, const struct err *why) {
    members_put(n, members_take(n, peer->id));
    membership_link_down(n->members, clock_now(), peer->id, why->code != ERR_TIMEOUT);
    members_time(n);
}

void members_set_out(struct node *n, uint64_t id, bool out) {
    membership_set_out(n->members, id, out);
    members_act(n);
}

err_code members_on_record(struct node *n, const uint8_t *payload, size_t len, struct err *e) {
    struct record_seal seal;
    err_code code = record_open(payload, len, &seal, e);
    if (code != ERR_OK || !join_may_speak(n->join, seal.key)) return code;
    membership_record(n->members, clock_now(), seal.id, seal.incarnation, seal.version, payload, len);
    members_act(n);
    return ERR_OK;
}

err_code members_on_members(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    members_heard(n);
    err_code code = membership_hear(n->members, clock_now(), from, payload, len, e);
    members_act(n);
    return code;
}

/* Where somebody who is linked with it sees that node, as a list of peers says. */
static void meet_by(struct node *n, const struct record *r, uint64_t id) {
    for (uint32_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id) control_dial(n->control, r->peers[i].host, r->peers[i].port);
}

void members_meet(struct node *n) {
    uint64_t wanted[NODE_MAX_NODES];
    size_t count = membership_wanted(n->members, wanted, NODE_MAX_NODES);
    bool late = ++n->ticks % LATE_TICKS == 0;
    for (size_t i = 0; i < count; i++) {
        if (n->id > wanted[i] && !late) continue;
        for (size_t k = 0; k < n->n_records; k++) meet_by(n, n->records[k], wanted[i]);
    }
}
