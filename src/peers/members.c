/* SPDX-License-Identifier: MIT
 * See members.h. */
#include "peers/members.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "members/interfaces.h"
#include "members/membership.h"

enum { LATE_TICKS = 10 }; /* the node with the smaller id dials; when it has not for so many ticks, the other one dials too */

struct members {
    struct members_parts parts;
    uint64_t self;
    struct membership *core;
    struct io_timer *timer;
    uint32_t ticks;
};

/* ---- records ---- */

static struct record *members_take(struct members *m, uint64_t id) {
    news_other(m->parts.news);
    return records_take(m->parts.records, id);
}

/* Puts the record (NULL: there is none) among those of linked nodes or of suspects, by whether the link stands now. */
static void members_put(struct members *m, struct record *r) {
    struct control_peer peer;
    news_other(m->parts.news);
    bool linked = r && control_find(m->parts.control, r->id, &peer);
    records_put(m->parts.records, r, linked, clock_now());
    m->parts.callbacks.changed(m->parts.user);
}

/* The node was started again, though it was never gone: what it held and coordinated before is no more. */
static void members_restarted(struct members *m, uint64_t id) {
    struct record *r = members_take(m, id);
    m->parts.callbacks.lost(m->parts.user, id, r, true);
    records_free_one(r);
}

/* ---- actions ---- */

static void members_send(struct members *m, const struct membership_action *a) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_MEMBERS));
    membership_write(m->core, a, &b);
    control_send(m->parts.control, a->to, FRAME_MEMBERS, 0, b.data, b.len);
    buf_done(&b);
}

static void members_pass_on(struct members *m, const struct membership_action *a) {
    const struct member *k = a->about == m->self ? membership_self(m->core) : membership_find(m->core, a->about);
    if (k && k->record) control_send(m->parts.control, a->to, FRAME_NODE, 0, k->record, k->record_len);
}

static void members_news(struct members *m, uint64_t id) {
    const struct member *k = membership_find(m->core, id);
    struct record_seal seal;
    struct record *r = MEM_NEW(struct record);
    struct err e = {0};
    bool good = k && k->record && record_open(k->record, k->record_len, &seal, &e) == ERR_OK;
    if (good && record_decode(seal.text, seal.text_len, r, &e) == ERR_OK && r->id == id) {
        const struct record *old = records_any(m->parts.records, id);
        r->incarnation = seal.incarnation;
        r->unlinked = old ? old->unlinked : 0;
        if (old && old->incarnation < r->incarnation) members_restarted(m, id);
        else records_free_one(members_take(m, id));
        members_put(m, r);
        m->parts.callbacks.heard(m->parts.user, r);
        m->parts.callbacks.update(m->parts.user);
        return;
    }
    log_warn("node", "a record was dropped: %s", e.text[0] ? e.text : "it is about another node");
    record_done(r);
    free(r);
}

static void members_turn(struct members *m, const struct membership_action *a) {
    if (a->is != MEMBER_GONE) return;
    struct record *r = members_take(m, a->about);
    log_info("node", "%s is gone: no node hears it", r ? r->name : "a node");
    m->parts.callbacks.lost(m->parts.user, a->about, r, false);
    records_free_one(r);
    news_own(m->parts.news);
}

static void members_act(struct members *m) {
    struct membership_action a;
    while (membership_next_action(m->core, &a)) {
        switch (a.kind) {
        case MEMBERSHIP_SEND: members_send(m, &a); break;
        case MEMBERSHIP_PASS_ON: members_pass_on(m, &a); break;
        case MEMBERSHIP_NEWS: members_news(m, a.about); break;
        case MEMBERSHIP_TURN: members_turn(m, &a); break;
        case MEMBERSHIP_SPEAK: news_own(m->parts.news); break;
        }
    }
}

/* ---- events ---- */

/* Tells the membership when each node was last heard, before it judges any. */
static void members_heard(struct members *m) {
    struct control_peer peer;
    const struct member *k;
    for (size_t i = 0; (k = membership_get(m->core, i)) != NULL; i++)
        if (k->linked && control_find(m->parts.control, k->id, &peer)) membership_heard(m->core, peer.id, peer.heard);
}

static void members_time(void *user) {
    struct members *m = user;
    clock_us next, now = clock_now();
    members_heard(m);
    membership_tick(m->core, now, &next);
    members_act(m);
    io_timer_start(m->timer, next > now ? (next - now) / 1000 + 1 : 1, 0);
}

struct members *members_create(const struct members_parts *parts) {
    const struct identity *own = parts->identity;
    struct members *m = MEM_NEW(struct members);
    m->parts = *parts;
    m->self = own->id;
    m->core = membership_create(own->id, own->incarnation, (uint32_t)own->id ^ (uint32_t)clock_now());
    m->timer = io_timer_open(parts->loop, members_time, m);
    io_timer_start(m->timer, 0, 0);
    return m;
}

void members_free(struct members *m) {
    if (!m) return;
    io_timer_close(m->timer);
    membership_free(m->core);
    free(m);
}

void members_speak(struct members *m) {
    struct record *own = MEM_NEW(struct record);
    struct buf text, sealed;
    uint64_t incarnation, version;
    buf_init(&text, frame_max_payload(FRAME_NODE) - RECORD_SEAL_SIZE);
    buf_init(&sealed, frame_max_payload(FRAME_NODE));
    m->parts.callbacks.own_record(m->parts.user, own);
    record_fit(own, text.max);
    record_encode(own, &text);
    membership_stamp(m->core, &incarnation, &version);
    record_seal(m->parts.identity, incarnation, version, text.data, text.len, &sealed);
    if (!text.failed && !sealed.failed) membership_speak(m->core, clock_now(), sealed.data, sealed.len);
    else log_error("node", "this node's record is too long to be told");
    record_done(own);
    free(own);
    buf_done(&text);
    buf_done(&sealed);
    members_act(m);
}

void members_up(struct members *m, const struct control_peer *peer) {
    const struct member *k = membership_find(m->core, peer->id);
    if (k && k->state != MEMBER_GONE && k->incarnation < peer->incarnation) {
        members_restarted(m, peer->id);
        m->parts.callbacks.update(m->parts.user);
    }
    members_put(m, members_take(m, peer->id));
    membership_link_up(m->core, clock_now(), peer->id, peer->incarnation);
    m->parts.callbacks.linked(m->parts.user, peer);
    members_act(m);
}

void members_down(struct members *m, const struct control_peer *peer, const struct err *why) {
    members_put(m, members_take(m, peer->id));
    membership_link_down(m->core, clock_now(), peer->id, why->code != ERR_TIMEOUT);
    members_time(m);
}

void members_set_out(struct members *m, uint64_t id, bool out) {
    membership_set_out(m->core, id, out);
    members_act(m);
}

err_code members_on_record(struct members *m, const uint8_t *payload, size_t len, struct err *e) {
    struct record_seal seal;
    err_code code = record_open(payload, len, &seal, e);
    if (code != ERR_OK || !m->parts.callbacks.may_speak(m->parts.user, seal.key)) return code;
    membership_record(m->core, clock_now(), seal.id, seal.incarnation, seal.version, payload, len);
    members_act(m);
    return ERR_OK;
}

err_code members_on_members(struct members *m, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    members_heard(m);
    err_code code = membership_hear(m->core, clock_now(), from, payload, len, e);
    members_act(m);
    return code;
}

/* Dials a node at the address under which a node that is linked with it knows it. */
static void meet_by(struct members *m, const struct record *r, uint64_t id) {
    struct control_peer teller;
    char host[IO_HOST_MAX];
    if (!control_find(m->parts.control, r->id, &teller)) return;
    for (uint32_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id && interfaces_beside(r->peers[i].host, teller.host, host))
            control_dial(m->parts.control, host, r->peers[i].port);
}

void members_meet(struct members *m) {
    const struct records *r = m->parts.records;
    uint64_t wanted[RECORDS_MAX];
    size_t count = membership_wanted(m->core, wanted, RECORDS_MAX);
    bool late = ++m->ticks % LATE_TICKS == 0;
    for (size_t i = 0; i < count; i++) {
        if (m->self > wanted[i] && !late) continue;
        for (size_t k = 0; k < r->n_linked; k++) meet_by(m, r->linked[k], wanted[i]);
    }
}
