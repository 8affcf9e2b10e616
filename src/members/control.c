/* SPDX-License-Identifier: MIT
 * See control.h. When two nodes dial each other at once, the link that the smaller id dialled stays. The other link may be up already at
 * one end, or at both. It ends without a callback, and nothing that was sent on it is lost: only the end that dialled the better link
 * closes the other one, once it has its WELCOME. Until then the other link is a spare, which is read and no longer sent on. */
#include "members/control.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/address.h"
#include "io/crowd.h"
#include "io/tls_pump.h"
#include "members/quota.h"
#include "wire/handshake.h"
#include "wire/reader.h"

enum {
    MAX_TARGETS = 256,
    BEAT_MS = 500,
    DIAL_TIMEOUT_MS = 5000,
    RETRY_MIN_MS = 250,
    RETRY_MAX_MS = 5000,
    HIGH_WATER = 8 << 20,
    MAX_QUEUED = 64 << 20,
    MAX_CROWD = 64, /* handshakes of links that came in, each of strangers and of known ones */
    MAX_EACH = 32,  /* of one address */
    MAX_BESIDE = 3, /* links with one node, by its addresses */
    MAX_ANSWERS = 1 << 20, /* bytes: a peer that leaves more unread gets no more of what is told again anyway */
    MAX_HELD = 256 << 20,  /* bytes of all links together: frames of which a part has come, and what waits to be sent */
    KEEP_FRAME = 1 << 20,  /* a larger buffer is given back after its frame */
};
#define SILENCE_US    2500000ull
#define LATE_US       1000000ull  /* a beat that comes so long after the one before it is late */
#define ALIVE_US      1500000ull  /* what was heard of within three beats lives */
#define COPY_US       2500000ull  /* a process that is started again has made its old link silent by then */
#define RIVAL_GONE_US 60000000ull
#define HANDSHAKE_US  10000000ull

enum link_state { LINK_HANDSHAKE, LINK_UP, LINK_STATE_COUNT };

struct control_link {
    struct crowd_guest place; /* first: a place is its link; of one that came in, until it is up */
    bool known;
    struct control *owner;
    struct control_link *next;
    struct target *target; /* the dialled address; NULL: came in */
    struct io_conn *conn;
    struct io_tls_pump *pump;
    struct buf plain, net; /* what came, was deciphered, and waits for its turn; what is to be sent */
    struct wire_reader reader;
    enum link_state state;
    struct control_peer peer;
    bool greeted; /* a client has sent its HELLO */
    bool spare;   /* there is a better link to that node, so this one is only read */
    struct quota quota;
    struct io_timer *rest; /* runs while it is not read */
    struct io_task turn;   /* waits for the next turn of the loop: frames were handled in this one */
    bool rests;
    size_t held;  /* bytes */
    bool leaving; /* a spare of which this end has closed its half */
    bool probe;   /* `caravan doctor` wants an answer and no link */
    uint32_t pad; /* bytes of padding that it wants in the answer */
    clock_us since, heard, up; /* up: since when it stands */
    uint32_t low_us;           /* the shortest round trip, which rises slowly until there is a shorter one */
    clock_us rival_since, rival_seen; /* another process with the peer's identity wants a link: first, and last; 0: none does */
    bool closing; /* it is to be freed once the present callback has returned */
    struct err why;
};

/* An address that is dialled for as long as the control lives. */
struct target {
    struct control *owner;
    char *host;
    uint16_t port;
    struct io_dial *dial;
    struct io_timer *timer;
    struct control_link *link;
    uint64_t retry_ms;
    uint64_t node;      /* who answered there last */
    bool shut;          /* that node was shut out: it is not dialled until control_dial says so again */
    bool old_key;       /* the last try failed for its key: this one uses the other key, if there is one */
    char said[400];     /* the last failure that was logged: each is logged once */
};

struct control {
    struct io_loop *loop;
    struct io_tls_ctx *tls;
    struct control_self self;
    struct control_callbacks cb;
    void *user;
    struct control_link *links;
    size_t n_links; /* those that are in no crowd */
    struct crowd strangers, known;
    struct log_limit refused, crowded, greedy;
    struct quota_pool pool;
    size_t held; /* of all links */
    struct target *targets[MAX_TARGETS];
    size_t n_targets;
    struct io_timer *beat;
    clock_us beaten; /* the last beat; 0: there was none */
};

static void link_end(struct control_link *l, const struct err *why);
static void target_dial(void *user);

/* ---- what a link may cost ---- */

static void link_count(struct control_link *l, size_t held) {
    l->owner->held += held - l->held;
    l->held = held;
}

/* If all links together hold too much, the one that holds most ends. */
static void link_account(struct control_link *l) {
    struct control *c = l->owner;
    struct err why;
    if (!l->closing) link_count(l, io_conn_queued(l->conn) + l->reader.got + l->plain.len);
    if (c->held <= MAX_HELD) return;
    struct control_link *most = l;
    for (l = c->links; l; l = l->next)
        if (l->held > most->held) most = l;
    err_set(&why, ERR_LIMIT, "it sends more than it finishes, or reads less than it asks for: %zu MB were held for it", most->held >> 20);
    link_end(most, &why);
}

/* Nothing is read while the link rests, or while frames that have come wait for their turn. */
static void link_watch(struct control_link *l) { io_conn_hold(l->conn, l->rests || l->plain.len > 0); }

static void link_rested(void *user) {
    struct control_link *l = user;
    l->rests = false;
    l->heard = io_loop_now(l->owner->loop); /* it may have sent all the time */
    if (l->plain.len > 0) io_task_post(l->owner->loop, &l->turn);
    link_watch(l);
}

/* The link is not read for a while: its frames have taken more of the loop's time than it may have. */
static void link_rest(struct control_link *l, clock_us pause) {
    if (!l->rest) l->rest = io_timer_open(l->owner->loop, link_rested, l);
    log_warn_limited(&l->owner->greedy, "control", "%s sends more than its share: it is read less often", l->peer.name);
    l->rests = true;
    io_timer_start(l->rest, pause / 1000 + 1, 0);
}

/* Frames that say what will be said again, or what nobody needs who has not read so many before. */
static bool link_may_skip(const struct control_link *l, enum frame_type type) {
    bool again = type == FRAME_PING || type == FRAME_PONG || type == FRAME_PROBED || type == FRAME_NODE || type == FRAME_MEMBERS;
    return again && io_conn_queued(l->conn) > MAX_ANSWERS;
}

/* ---- sending ---- */

static void link_flush(struct control_link *l) {
    if (l->leaving) buf_clear(&l->net);
    if (l->net.len == 0) return;
    io_conn_write(l->conn, l->net.data, l->net.len);
    buf_clear(&l->net);
}

static bool link_send(struct control_link *l, enum frame_type type, uint64_t epoch, const void *payload, size_t len) {
    assert(len <= frame_max_payload((uint8_t)type));
    if (l->closing || l->leaving) return false;
    if (link_may_skip(l, type)) return true;
    uint8_t head[FRAME_HEADER_SIZE];
    struct frame_header h = {.type = (uint8_t)type, .epoch = epoch, .sent_us = clock_now()};
    struct err e = {0};
    err_code code = frame_header_make(&h, len, head, &e);
    if (code == ERR_OK) code = io_tls_pump_send(l->pump, head, sizeof(head), &l->net, &e);
    if (code == ERR_OK && len > 0) code = io_tls_pump_send(l->pump, payload, len, &l->net, &e);
    link_flush(l);
    if (code != ERR_OK) link_end(l, &e);
    else link_account(l);
    return code == ERR_OK;
}

/* HELLO or WELCOME: who we are, and the proof for this very connection. */
static void link_send_identity(struct control_link *l, enum frame_type type) {
    const struct control_self *self = &l->owner->self;
    struct wire_node hello;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    struct buf b;
    io_tls_pump_export(l->pump, IDENTITY_LABEL, binding);
    identity_greet(self->identity, l->target != NULL, binding, &hello);
    snprintf(hello.name, sizeof(hello.name), "%s", self->name);
    hello.port = self->port;
    if (l->probe) {
        hello.time = clock_wall_s();
        hello.pad = mem_alloc(l->pad + 1);
        memset(hello.pad, '.', l->pad);
        hello.pad[l->pad] = '\0';
    }
    buf_init(&b, frame_max_payload((uint8_t)type));
    field_encode(wire_node_fields(), &hello, &b);
    link_send(l, type, 0, b.data, b.len);
    buf_done(&b);
    field_done(wire_node_fields(), &hello);
}

/* Tells the other side why, then ends the link. */
static err_code link_refuse_for(struct control_link *l, const struct err *why) {
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_REFUSE));
    wire_refuse_encode(why, &b);
    link_send(l, FRAME_REFUSE, 0, b.data, b.len);
    buf_done(&b);
    link_end(l, why);
    return why->code;
}

static err_code link_refuse(struct control_link *l, err_code code, const char *text) {
    struct err why = {.code = code};
    snprintf(why.text, sizeof(why.text), "%s", text);
    return link_refuse_for(l, &why);
}

/* ---- the end of a link ---- */

static void link_free(struct control_link *l) {
    struct control *c = l->owner;
    struct control_link **p = &c->links;
    while (*p != l) p = &(*p)->next;
    *p = l->next;
    if (l->place.place) crowd_leave(l->known ? &c->known : &c->strangers, &l->place);
    else c->n_links--;
    if (l->target) {
        l->target->link = NULL;
        io_timer_start(l->target->timer, l->target->retry_ms, 0);
        if (l->target->retry_ms < RETRY_MAX_MS) l->target->retry_ms *= 2;
    }
    link_count(l, 0);
    quota_done(&l->quota);
    io_timer_close(l->rest);
    io_task_cancel(&l->turn);
    io_conn_close(l->conn);
    io_tls_pump_free(l->pump);
    buf_done(&l->plain);
    wire_reader_done(&l->reader);
    buf_done(&l->net);
    free(l);
}

/* Logs a dialling failure once for as long as it stays the same. */
static void target_say(struct target *t, const struct err *why) {
    if (strcmp(t->said, why->text) == 0) return;
    snprintf(t->said, sizeof(t->said), "%s", why->text);
    log_warn("control", "peer %s:%u: %s; trying again%s%s", t->host, t->port, why->text, why->hint[0] ? "; hint: " : "", why->hint);
}

/* The link to send on; NULL: there is none. */
static struct control_link *control_link_to(const struct control *c, uint64_t node) {
    struct control_link *spare = NULL;
    for (struct control_link *l = c->links; l; l = l->next) {
        if (l->state != LINK_UP || l->closing || l->leaving || l->peer.id != node) continue;
        if (!l->spare) return l;
        spare = l;
    }
    return spare;
}

static bool link_is_by(const struct control_link *l, uint64_t node, const char *host) {
    return l->state == LINK_UP && !l->closing && !l->leaving && l->peer.id == node && strcmp(l->peer.host, host) == 0;
}

/* The link with the node at this address; of two, the one that frames are sent by. */
static struct control_link *control_link_by(const struct control *c, uint64_t node, const char *host) {
    struct control_link *used = control_link_to(c, node);
    if (used && link_is_by(used, node, host)) return used;
    for (struct control_link *l = c->links; l; l = l->next)
        if (link_is_by(l, node, host)) return l;
    return NULL;
}

/* The node is no longer linked: later frames on a link that this end has left are dropped. */
static void node_down(struct control *c, const struct control_peer *peer, const struct err *why) {
    for (struct control_link *l = c->links; l; l = l->next)
        if (l->leaving && l->peer.id == peer->id) l->closing = true;
    for (size_t i = 0; i < c->n_targets; i++) { /* its other addresses may lead there by another network: at once */
        struct target *t = c->targets[i];
        if (t->node == peer->id && !t->link && !t->dial) io_timer_start(t->timer, 0, 0);
    }
    c->cb.on_down(c->user, peer, why);
}

/* Marks the link as ended, once. The beat timer frees it, so that callers up the stack keep a valid pointer. */
static void link_end(struct control_link *l, const struct err *why) {
    if (l->closing) return;
    l->closing = true;
    link_count(l, 0);
    l->why = *why;
    if (l->state != LINK_UP && l->target && why->code == ERR_AUTH) l->target->old_key = !l->target->old_key;
    io_conn_shutdown(l->conn); /* frames that are queued, perhaps a REFUSE, are still sent */
    if (l->state != LINK_UP && l->target && why->code != ERR_BUSY) target_say(l->target, why);
    if (l->state != LINK_UP && !l->target && why->code != ERR_BUSY)
        log_warn_limited(&l->owner->refused, "control", "refused a link from %s: %s", l->peer.host, why->text);
    if (l->state != LINK_UP || l->leaving) return;
    struct control_link *other = control_link_to(l->owner, l->peer.id);
    if (!other) {
        node_down(l->owner, &l->peer, why);
        return;
    }
    if (!l->spare)
        log_info("control", "the link with %s by %s is lost (%s): it is linked by %s", l->peer.name, l->peer.host, why->text,
                 other->peer.host);
    bool silent = why->code == ERR_TIMEOUT && !control_link_by(l->owner, l->peer.id, l->peer.host);
    if (silent && l->owner->cb.on_path_lost) l->owner->cb.on_path_lost(l->owner->user, &l->peer, l->peer.host);
}

/* ---- the handshake ---- */

static err_code link_read_identity(struct control_link *l, const uint8_t *payload, size_t len, struct err *e) {
    struct wire_node hello;
    uint8_t binding[IO_TLS_EXPORT_SIZE];
    err_code code = wire_greeting_decode(wire_node_fields(), l->target ? "WELCOME" : "HELLO", payload, len, &hello, e);
    if (code != ERR_OK) return code;
    io_tls_pump_export(l->pump, IDENTITY_LABEL, binding);
    code = identity_check_greeting(&hello, l->target == NULL, binding, e);
    l->probe = !l->target && hello.probe;
    if (code == ERR_OK && hello.port == 0 && !l->probe) code = err_set_field(e, ERR_PROTOCOL, "port", "a node listens on a port");
    if (code == ERR_OK) {
        l->pad = hello.answer;
        l->peer.id = hello.node;
        l->peer.port = hello.port;
        l->peer.incarnation = hello.incarnation;
        l->peer.session = hello.session;
        l->peer.key_id = io_tls_pump_key_id(l->pump);
        memcpy(l->peer.name, hello.name, sizeof(l->peer.name));
        memcpy(l->peer.public_key, hello.key, sizeof(hello.key));
    }
    field_done(wire_node_fields(), &hello);
    return code;
}

static size_t links_to(const struct control *c, uint64_t node) {
    size_t n = 0;
    for (const struct control_link *l = c->links; l; l = l->next)
        n += l->state == LINK_UP && !l->closing && !l->leaving && l->peer.id == node;
    return n;
}

/* Of two links between the same nodes the one stays that the smaller id dialled. Is it this one? */
static bool link_wins(const struct control_link *l) {
    bool we_dialled = l->target != NULL;
    return (l->owner->self.identity->id < l->peer.id) == we_dialled;
}

/* There is a link to that node already. One by another address stands by until control_prefer says that it is the better one. Of two by
 * the same address one stays, in the other one's role. A spare that we dialled is up all the same: the other end has used it since its
 * WELCOME. */
static err_code link_beside(struct control_link *l) {
    struct control_link *same = control_link_by(l->owner, l->peer.id, l->peer.host);
    bool wins = link_wins(l), many = links_to(l->owner, l->peer.id) >= MAX_BESIDE;
    l->spare = true;
    if (same ? !wins && !l->target : many) return link_refuse(l, ERR_BUSY, "linked already");
    if (same && wins) {
        l->spare = same->spare;
        same->spare = true;
    }
    return ERR_OK;
}

/* Refuses a process that has the identity of a node which runs elsewhere. */
static err_code link_refuse_copy(struct control_link *l, const char *name, const char *host) {
    struct err why = {0};
    err_set(&why, ERR_UNAVAILABLE, "two machines run as one node: \"%s\" at %s has the same identity as \"%s\" at %s", name, host,
            l->peer.name, l->peer.host);
    err_hint(
        &why,
        "one state folder is a copy of the other: on the copy, stop the node, remove the file identity from that folder, and start it");
    return link_refuse_for(l, &why);
}

/* Is the newcomer a copy of a node that lives? A node that was started again leaves a link behind, too, but nothing more is heard on that.
 * So only a process that still comes after some seconds, while the first link lives, is one. */
static bool link_is_copy(struct control_link *l, struct control_link *old) {
    clock_us now = io_loop_now(l->owner->loop);
    if (old->peer.session == l->peer.session || now > old->heard + ALIVE_US) return false;
    old->rival_seen = now;
    if (old->rival_since == 0) old->rival_since = now;
    return true;
}

static err_code link_meet_copy(struct control_link *l, struct control_link *old) {
    struct control *c = l->owner;
    if (old->rival_seen < old->rival_since + COPY_US) return link_refuse(l, ERR_BUSY, "linked already");
    bool news = strcmp(old->peer.copy, l->peer.host) != 0;
    snprintf(old->peer.copy, sizeof(old->peer.copy), "%s", l->peer.host);
    if (news && c->cb.on_copy) c->cb.on_copy(c->user, &old->peer, l->peer.host);
    return link_refuse_copy(l, old->peer.name, old->peer.host);
}

static err_code link_admit(struct control_link *l) {
    struct control *c = l->owner;
    struct err why = {0};
    if (l->peer.id == c->self.identity->id && l->peer.session != c->self.identity->session) {
        if (c->cb.on_copy) c->cb.on_copy(c->user, NULL, l->peer.host);
        return link_refuse_copy(l, c->self.name, "the other end");
    }
    if (l->peer.id == c->self.identity->id) {
        if (l->target) l->target->retry_ms = 60000; /* our own address: look again now and then */
        return link_refuse(l, ERR_BUSY, "a node does not link to itself");
    }
    if (c->cb.admit(c->user, &l->peer, &why) != ERR_OK) return link_refuse_for(l, &why);
    if (l->place.place && c->n_links >= CONTROL_MAX_LINKS) return link_refuse(l, ERR_BUSY, "this node has as many links as it can");
    struct control_link *old = control_link_to(c, l->peer.id);
    if (old && link_is_copy(l, old)) return link_meet_copy(l, old);
    while ((old = control_link_to(c, l->peer.id)) != NULL && l->peer.incarnation > old->peer.incarnation) {
        err_set(&why, ERR_CLOSED, "it was started again"); /* the end of the old link was not noticed */
        link_end(old, &why);
    }
    return old ? link_beside(l) : ERR_OK;
}

/* Both ends have this one, which we dialled, and know that it is the better one of those by the same address. */
static void leave_spares(struct control_link *better) {
    for (struct control_link *l = better->owner->links; l; l = l->next) {
        if (l == better || !link_is_by(l, better->peer.id, better->peer.host)) continue;
        l->leaving = true;
        io_conn_shutdown(l->conn); /* frames that are queued are still sent */
    }
}

static void link_set_up(struct control_link *l) {
    assert(l->state == LINK_HANDSHAKE);
    bool linked = control_link_to(l->owner, l->peer.id) != NULL;
    l->state = LINK_UP;
    l->up = io_loop_now(l->owner->loop);
    if (l->place.place) {
        crowd_leave(l->known ? &l->owner->known : &l->owner->strangers, &l->place);
        l->owner->n_links++;
    }
    if (l->target) {
        l->target->retry_ms = RETRY_MIN_MS;
        l->target->node = l->peer.id;
        l->target->said[0] = '\0';
        l->target->old_key = false;
    }
    if (l->target && link_wins(l)) leave_spares(l);
    if (!linked) l->owner->cb.on_up(l->owner->user, &l->peer);
}

/* A probe gets an answer, or the reason why there would be no link; then the connection ends. */
static err_code link_answer_probe(struct control_link *l) {
    struct err why = {0};
    if (l->peer.id != l->owner->self.identity->id && l->owner->cb.admit(l->owner->user, &l->peer, &why) != ERR_OK) {
        link_refuse_for(l, &why);
        return ERR_OK;
    }
    link_send_identity(l, FRAME_WELCOME);
    err_set(&why, ERR_BUSY, "a probe wants no link");
    link_end(l, &why);
    return ERR_OK;
}

static err_code link_handshake(struct control_link *l, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    bool server = l->target == NULL;
    if (h->type != (server ? FRAME_HELLO : FRAME_WELCOME))
        return err_set(e, ERR_PROTOCOL, "expected %s, got %s", server ? "HELLO" : "WELCOME", frame_type_name(h->type));
    err_code code = link_read_identity(l, payload, h->payload_len, e);
    if (code != ERR_OK) return code;
    if (l->probe) return link_answer_probe(l);
    if (link_admit(l) != ERR_OK) return ERR_OK; /* refused and ended already */
    if (server) link_send_identity(l, FRAME_WELCOME);
    if (!l->closing) link_set_up(l);
    return ERR_OK;
}

/* ---- receiving ---- */

/* A single round trip may be long for many reasons; the shortest one tells how far away the other end is. */
static void link_trip(struct control_link *l) {
    uint32_t risen = l->low_us + l->low_us / 32 + 1;
    l->low_us = l->low_us > 0 && risen < l->peer.rtt_us ? risen : l->peer.rtt_us;
}

static err_code link_frame(struct control_link *l, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    uint8_t bytes[FIELD_SIZE(frame_pong)];
    struct frame_pong pong = {.asked_us = h->sent_us, .arrived_us = clock_now()};
    switch (h->type) {
    case FRAME_REFUSE: /* whatever the reason is: there is nothing to answer */
        wire_refuse_decode(payload, h->payload_len, e);
        link_end(l, e);
        return ERR_OK;
    case FRAME_PING:
        field_put(frame_pong_fields(), &pong, bytes);
        link_send(l, FRAME_PONG, 0, bytes, sizeof(bytes));
        return ERR_OK;
    case FRAME_PONG:
        if (field_decode(frame_pong_fields(), payload, h->payload_len, &pong, e) != ERR_OK) return ERR_PROTOCOL;
        l->peer.rtt_us = (uint32_t)(clock_now() - pong.asked_us);
        link_trip(l);
        return ERR_OK;
    default:
        if (l->state == LINK_HANDSHAKE) return link_handshake(l, h, payload, e);
        if (h->type == FRAME_HELLO || h->type == FRAME_WELCOME) return err_set(e, ERR_PROTOCOL, "%s twice", frame_type_name(h->type));
        return l->owner->cb.on_frame(l->owner->user, &l->peer, h, payload, e);
    }
}

/* Handles the frames that have come, at most as many as the link may have in one turn of the loop. The others wait for the next turn. */
static err_code link_frames(struct control_link *l, struct err *e) {
    const uint8_t *data = l->plain.data;
    size_t len = l->plain.len;
    err_code code = ERR_OK;
    if (len > 0) io_task_post(l->owner->loop, &l->turn);
    while (code == ERR_OK && !l->closing && quota_has_turn(&l->quota)) {
        code = wire_reader_feed(&l->reader, &data, &len, e);
        if (code == ERR_OK) quota_frame(&l->quota);
        if (code == ERR_OK) code = link_frame(l, &l->reader.header, l->reader.payload, e);
    }
    wire_reader_slim(&l->reader, KEEP_FRAME);
    buf_consume(&l->plain, l->plain.len - len);
    return code == ERR_BUSY ? ERR_OK : code;
}

/* Ends a link with whose frames something was wrong, after telling the other side if it was to blame. */
static void link_fail(struct control_link *l, err_code code, const struct err *e) {
    if (code == ERR_OK || l->closing) return;
    if (code == ERR_PROTOCOL || code == ERR_INVALID || code == ERR_FORMAT) link_refuse(l, code, e->text);
    else link_end(l, e);
}

static void link_read(struct control_link *l, const uint8_t *data, size_t len) {
    struct err e = {0};
    l->heard = io_loop_now(l->owner->loop);
    err_code code = io_tls_pump_receive(l->pump, data, len, &l->plain, &l->net, &e);
    link_flush(l);
    if (code != ERR_OK) link_end(l, &e); /* not only the link but TLS has failed: no REFUSE gets through */
    if (code == ERR_OK && l->target && !l->greeted && io_tls_pump_ready(l->pump)) {
        l->greeted = true; /* only now is there a connection for the proof to belong to */
        link_send_identity(l, FRAME_HELLO);
    }
    if (code == ERR_OK) link_fail(l, link_frames(l, &e), &e);
}

/* The link has been worked for since `began`. */
static void link_pay(struct control_link *l, clock_us began) {
    link_account(l);
    clock_us pause = quota_spend(&l->quota, clock_now(), clock_cpu() - began);
    if (l->closing) return;
    if (pause > 0) link_rest(l, pause);
    link_watch(l);
}

static void link_on_read(void *user, const uint8_t *data, size_t len) {
    struct control_link *l = user;
    if (l->closing) return;
    clock_us began = clock_cpu();
    link_read(l, data, len);
    link_pay(l, began);
}

/* The next turn of the loop: the other links have had theirs. */
static void link_next_turn(void *user) {
    struct control_link *l = user;
    struct err e = {0};
    quota_turn(&l->quota);
    if (l->closing || l->rests || l->plain.len == 0) return;
    clock_us began = clock_cpu();
    l->heard = io_loop_now(l->owner->loop); /* more may have come, and was not read */
    link_fail(l, link_frames(l, &e), &e);
    link_pay(l, began);
}

static void link_on_end(void *user, err_code code) {
    struct control_link *l = user;
    struct err e = {0};
    while (l->plain.len > 0 && !l->closing) { /* what came before the end counts; it is one read at most */
        quota_turn(&l->quota);
        link_fail(l, link_frames(l, &e), &e);
    }
    err_set(&e, code, l->state == LINK_UP ? "the connection was closed" : "the connection was closed before the handshake was done");
    if (l->state != LINK_UP) err_hint(&e, "is it a Caravan node, and does it have the same cluster key?");
    link_end(l, &e);
}

static const struct io_conn_callbacks link_callbacks = {.on_read = link_on_read, .on_end = link_on_end};

static struct control_link *control_link_open(struct control *c, int fd, struct target *t) {
    struct control_link *l = MEM_NEW(struct control_link);
    l->owner = c;
    l->target = t;
    l->since = l->heard = io_loop_now(c->loop);
    quota_init(&l->quota, &c->pool);
    l->turn = (struct io_task){.fn = link_next_turn, .user = l};
    buf_init(&l->plain, MAX_QUEUED);
    wire_reader_init(&l->reader, FRAME_LINK_CONTROL);
    buf_init(&l->net, MAX_QUEUED);
    l->pump = io_tls_pump_create(c->tls, t == NULL, CONTROL_NAME);
    l->conn = io_conn_open(c->loop, fd, HIGH_WATER, MAX_QUEUED, &link_callbacks, l);
    l->next = c->links;
    c->links = l;
    return l;
}

void control_take(struct control *c, int fd, const struct sockaddr *peer, bool known) {
    struct control_link *l = control_link_open(c, fd, NULL);
    l->known = known;
    struct crowd_guest *goes = crowd_enter(known ? &c->known : &c->strangers, &l->place, peer);
    if (goes) {
        struct control_link *oldest = (struct control_link *)goes;
        log_warn_limited(&c->crowded, "control", "too many handshakes: the oldest, with %s, was ended", oldest->peer.host);
        c->n_links++; /* it has left the crowd already */
        link_free(oldest);
    }
    io_address_host(peer, l->peer.host, sizeof(l->peer.host));
}

/* ---- dialling ---- */

static void target_dialled(void *user, err_code code, int fd, const struct err *e) {
    struct target *t = user;
    t->dial = NULL;
    if (code != ERR_OK) {
        target_say(t, e);
        io_timer_start(t->timer, t->retry_ms, 0);
        if (t->retry_ms < RETRY_MAX_MS) t->retry_ms *= 2;
        return;
    }
    t->link = control_link_open(t->owner, fd, t);
    t->owner->n_links++;
    snprintf(t->link->peer.host, sizeof(t->link->peer.host), "%s", t->host);
    struct err none = {0};
    if (t->old_key) io_tls_pump_use_old_key(t->link->pump);
    io_tls_pump_send(t->link->pump, NULL, 0, &t->link->net, &none); /* begins the handshake; its failure shows at the first read */
    link_flush(t->link);
}

/* A node that is linked has further links by its other addresses, so that the best one can be used, and so that the loss of one network is
 * not that of the node. Whichever end knows another address dials it; that both do so at once does no harm. */
static bool target_wants_link(const struct target *t) {
    return links_to(t->owner, t->node) < MAX_BESIDE && control_link_by(t->owner, t->node, t->host) == NULL;
}

static void target_dial(void *user) {
    struct target *t = user;
    if (t->dial || t->link || t->shut) return;
    if (t->node && control_link_to(t->owner, t->node) && !target_wants_link(t)) {
        io_timer_start(t->timer, RETRY_MAX_MS, 0);
        return;
    }
    t->dial = io_dial_start(t->owner->loop, t->host, t->port, DIAL_TIMEOUT_MS, target_dialled, t);
}

void control_dial(struct control *c, const char *host, uint16_t port) {
    for (size_t i = 0; i < c->n_targets; i++) {
        struct target *known = c->targets[i];
        if (known->port != port || strcmp(known->host, host) != 0) continue;
        if (known->shut) io_timer_start(known->timer, 0, 0);
        known->shut = false;
        return;
    }
    if (c->n_targets == MAX_TARGETS) {
        log_warn("control", "too many peers (%d): %s:%u is not dialled", MAX_TARGETS, host, port);
        return;
    }
    struct target *t = MEM_NEW(struct target);
    t->owner = c;
    t->host = mem_strdup(host);
    t->port = port;
    t->retry_ms = RETRY_MIN_MS;
    t->timer = io_timer_open(c->loop, target_dial, t);
    c->targets[c->n_targets++] = t;
    io_timer_start(t->timer, 0, 0);
}

bool control_know(struct control *c, uint64_t node, const char *host, uint16_t port) {
    size_t n = c->n_targets;
    control_dial(c, host, port);
    if (c->n_targets > n) c->targets[n]->node = node;
    return c->n_targets > n;
}

static void target_free(struct target *t) {
    io_dial_cancel(t->dial);
    io_timer_close(t->timer);
    free(t->host);
    free(t);
}

void control_undial(struct control *c, const char *host, uint16_t port) {
    for (size_t i = 0; i < c->n_targets; i++) {
        struct target *t = c->targets[i];
        if (t->port != port || strcmp(t->host, host) != 0 || t->link) continue;
        target_free(t);
        c->targets[i] = c->targets[--c->n_targets];
        return;
    }
}

void control_shut(struct control *c, uint64_t node, const struct err *why) {
    struct control_link *l;
    for (size_t i = 0; i < c->n_targets; i++) c->targets[i]->shut |= c->targets[i]->node == node;
    while ((l = control_link_to(c, node)) != NULL) link_refuse_for(l, why); /* a spare too */
}

/* ---- the whole ---- */

/* Every beat: links that have ended are freed, silent ones end, the others get a PING. */
static void control_beat(void *user) {
    struct control *c = user;
    clock_us now = io_loop_now(c->loop);
    bool late = c->beaten != 0 && now > c->beaten + LATE_US; /* this process stood still: what came meanwhile is not read yet */
    c->beaten = now;
    struct control_link *next;
    for (struct control_link *l = c->links; l; l = next) {
        next = l->next;
        if (l->closing) {
            link_free(l);
            continue;
        }
        bool up = l->state == LINK_UP;
        if (l->rival_since && now > l->rival_seen + RIVAL_GONE_US) {
            l->rival_since = 0;
            l->peer.copy[0] = '\0';
        }
        if (up && !l->rests && !late && now > l->heard + SILENCE_US) {
            struct err e = {0};
            err_set(&e, ERR_TIMEOUT, "nothing was heard for %.1f s", (double)(now - l->heard) / 1e6);
            link_end(l, &e);
        } else if (!up && now > l->since + HANDSHAKE_US) { /* even if it has sent something */
            struct err e = {0};
            err_set(&e, ERR_TIMEOUT, "the handshake was not done after %.1f s", (double)(now - l->since) / 1e6);
            link_end(l, &e);
        } else if (up) { /* a spare too: it is used again if the better link ends */
            link_send(l, FRAME_PING, 0, NULL, 0);
        }
    }
}

struct control *control_create(struct io_loop *loop, struct io_tls_ctx *tls, const struct control_self *self,
                               const struct control_callbacks *cb, void *user) {
    struct control *c = MEM_NEW(struct control);
    c->loop = loop;
    c->tls = tls;
    c->self = *self;
    c->cb = *cb;
    c->user = user;
    crowd_init(&c->strangers, MAX_CROWD, MAX_EACH);
    crowd_init(&c->known, MAX_CROWD, MAX_EACH);
    c->beat = io_timer_open(loop, control_beat, c);
    io_timer_start(c->beat, BEAT_MS, BEAT_MS);
    return c;
}

void control_free(struct control *c) {
    if (!c) return;
    while (c->links) link_free(c->links);
    for (size_t i = 0; i < c->n_targets; i++) target_free(c->targets[i]);
    io_timer_close(c->beat);
    free(c);
}

bool control_send(struct control *c, uint64_t node, enum frame_type type, uint64_t epoch, const void *payload, size_t len) {
    struct control_link *l = control_link_to(c, node);
    return l && link_send(l, type, epoch, payload, len);
}

bool control_send_by(struct control *c, uint64_t node, const char *host, enum frame_type type, const void *payload, size_t len) {
    struct control_link *l = control_link_by(c, node, host);
    return l && link_send(l, type, 0, payload, len);
}

size_t control_paths(const struct control *c, struct control_path *ret, size_t max) {
    size_t n = 0;
    for (struct control_link *l = c->links; l && n < max; l = l->next) {
        if (l->state != LINK_UP || l->closing || l->leaving || control_link_by(c, l->peer.id, l->peer.host) != l) continue;
        struct control_path *p = &ret[n++];
        *p = (struct control_path){.node = l->peer.id, .rtt_us = l->low_us, .up = l->up, .used = control_link_to(c, l->peer.id) == l};
        memcpy(p->host, l->peer.host, sizeof(p->host));
    }
    return n;
}

void control_prefer(struct control *c, uint64_t node, const char *host) {
    struct control_link *better = control_link_by(c, node, host);
    for (struct control_link *l = c->links; l && better; l = l->next)
        if (l->state == LINK_UP && l->peer.id == node) l->spare = l != better;
}

size_t control_peers(const struct control *c, struct control_peer *ret, size_t max) {
    size_t n = 0;
    for (struct control_link *l = c->links; l && n < max; l = l->next)
        if (control_link_to(c, l->peer.id) == l) ret[n++] = l->peer;
    return n;
}

bool control_find(const struct control *c, uint64_t node, struct control_peer *ret) {
    struct control_link *l = control_link_to(c, node);
    if (l) *ret = l->peer;
    if (l) ret->heard = l->heard;
    return l != NULL;
}

unsigned control_turn_most(const struct control *c) { return c->pool.most; }
