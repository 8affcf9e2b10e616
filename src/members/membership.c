/* SPDX-License-Identifier: MIT
 * See membership.h. */
#include "members/membership.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"

static const char *const MESSAGE_NAMES[] = {"tell", "ask", "want", "deny"};
#define MESSAGES_MEMBERS
#include "base/field_tables.h"
#undef MESSAGES_MEMBERS

enum { ASKED_AT_ONCE = 3 };
#define WANT_PAUSE_US 1000000ull           /* before the same record is asked for again */
#define HEARD_US      1500000ull /* a linked node that was silent for longer is not heard: three of its beats are missing */
#define DENY_US       10000000ull /* after a link was lost, each end knows after so long that it does not hear the other */
#define ABSENCE_US    5000000ull /* longer than this, and this process itself stood still: the silence says nothing of others */

struct entry {
    struct member seen; /* the public part; first */
    uint32_t beat;
    clock_us deadline; /* not linked: when its silence has lasted too long; gone: when it will be forgotten */
    clock_us wanted_at;
    clock_us heard, lost; /* when something last came over its link, and when that link was lost (0: there was none) */
    uint64_t *asked; /* owned: linked peers that were asked whether they hear it, and have not denied it; NULL: denials don't count */
    size_t n_asked;
    uint8_t *bytes; /* owned: seen.record */
};

struct membership {
    struct entry self;
    struct entry *members[MEMBERSHIP_MAX]; /* by rising id; without this node */
    uint64_t ids[MEMBERSHIP_MAX];          /* theirs; a search reads these alone */
    size_t hint;                           /* the place that was last looked up */
    size_t n, n_live;                      /* n_live: not gone, without this node */
    size_t bytes;                          /* of all records, its own too */
    uint64_t out[MEMBERSHIP_MAX_OUT];
    size_t n_out;
    uint32_t turn; /* whose turn it is to be told */
    clock_us now, next_round, ticked; /* now: the last time that was given */
    struct membership_action *actions; /* at_action..n_actions are to be taken */
    size_t n_actions, at_action, room;
};

const char *membership_state_name(enum member_state s) {
    static const char *const names[MEMBER_STATE_COUNT] = {"gone", "suspect", "up"};
    assert(s < MEMBER_STATE_COUNT);
    return names[s];
}

/* ---- actions ---- */

static struct membership_action *act(struct membership *m, enum membership_action_kind kind) {
    if (m->at_action == m->n_actions) m->at_action = m->n_actions = 0;
    if (m->n_actions == m->room) {
        m->room = m->room ? 2 * m->room : 16;
        m->actions = mem_realloc(m->actions, m->room, sizeof(*m->actions));
    }
    struct membership_action *a = &m->actions[m->n_actions++];
    a->kind = kind;
    a->n_ids = 0;
    return a;
}

static struct membership_action *act_send(struct membership *m, uint64_t to, enum membership_message message) {
    struct membership_action *a = act(m, MEMBERSHIP_SEND);
    a->to = to;
    a->message = message;
    return a;
}

static void act_pass_on(struct membership *m, uint64_t to, uint64_t about) {
    struct membership_action *a = act(m, MEMBERSHIP_PASS_ON);
    a->to = to;
    a->about = about;
}

bool membership_next_action(struct membership *m, struct membership_action *ret) {
    if (m->at_action == m->n_actions) return false;
    *ret = m->actions[m->at_action++];
    return true;
}

/* ---- the table ---- */

static size_t place_of(const struct membership *m, uint64_t id) {
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->ids[mid] < id) low = mid + 1;
        else high = mid;
    }
    return low;
}

static struct entry *find(const struct membership *m, uint64_t id) {
    size_t at = place_of(m, id);
    return at < m->n && m->ids[at] == id ? m->members[at] : NULL;
}

static bool is_out(const struct membership *m, uint64_t id) {
    for (size_t i = 0; i < m->n_out; i++)
        if (m->out[i] == id) return true;
    return false;
}

static void set_state(struct membership *m, struct entry *x, enum member_state to) {
    static const bool legal[MEMBER_STATE_COUNT][MEMBER_STATE_COUNT] = {
        [MEMBER_GONE] = {[MEMBER_SUSPECT] = true, [MEMBER_UP] = true},
        [MEMBER_SUSPECT] = {[MEMBER_UP] = true, [MEMBER_GONE] = true},
        [MEMBER_UP] = {[MEMBER_SUSPECT] = true, [MEMBER_GONE] = true},
    };
    enum member_state was = x->seen.state;
    if (was == to) return;
    assert(legal[was][to]);
    x->seen.state = to;
    m->n_live += was == MEMBER_GONE;
    m->n_live -= to == MEMBER_GONE;
    log_debug("membership", "%016llx: %s -> %s", (unsigned long long)x->seen.id, membership_state_name(was), membership_state_name(to));
    struct membership_action *a = act(m, MEMBERSHIP_TURN);
    a->about = x->seen.id;
    a->was = was;
    a->is = to;
}

static void drop_record(struct membership *m, struct entry *x) {
    m->bytes -= x->seen.record_len;
    free(x->bytes);
    x->bytes = NULL;
    x->seen.record = NULL;
    x->seen.record_len = 0;
}

static void set_record(struct membership *m, struct entry *x, uint64_t incarnation, uint64_t version, const void *record, size_t len) {
    drop_record(m, x);
    m->bytes += len;
    x->bytes = mem_alloc(len + 1);
    memcpy(x->bytes, record, len);
    x->seen.record = x->bytes;
    x->seen.record_len = len;
    x->seen.record_incarnation = incarnation;
    x->seen.version = version;
}

static void ask_no_more(struct entry *x) {
    free(x->asked);
    x->asked = NULL;
    x->n_asked = 0;
}

static void forget(struct membership *m, size_t at) {
    ask_no_more(m->members[at]);
    drop_record(m, m->members[at]);
    free(m->members[at]);
    size_t behind = --m->n - at;
    memmove(&m->members[at], &m->members[at + 1], behind * sizeof(m->members[0]));
    memmove(&m->ids[at], &m->ids[at + 1], behind * sizeof(m->ids[0]));
}

/* Makes room for one more: the gone node that would be forgotten first is removed. */
static bool make_room(struct membership *m) {
    size_t oldest = MEMBERSHIP_MAX;
    if (m->n < MEMBERSHIP_MAX) return true;
    for (size_t i = 0; i < m->n; i++)
        if (m->members[i]->seen.state == MEMBER_GONE &&
            (oldest == MEMBERSHIP_MAX || m->members[i]->deadline < m->members[oldest]->deadline))
            oldest = i;
    if (oldest == MEMBERSHIP_MAX) return false;
    forget(m, oldest);
    return true;
}

/* The node's entry, made where there is none; NULL: it is shut out, or there is no room. */
static struct entry *meet(struct membership *m, clock_us now, uint64_t id) {
    if (m->hint + 1 < m->n && m->ids[m->hint + 1] == id) return m->members[++m->hint]; /* peers tell in this order */
    struct entry *x = find(m, id);
    if (x) m->hint = place_of(m, id);
    if (x || is_out(m, id) || !make_room(m)) return x;
    size_t at = m->hint = place_of(m, id);
    size_t behind = m->n++ - at;
    memmove(&m->members[at + 1], &m->members[at], behind * sizeof(m->members[0]));
    memmove(&m->ids[at + 1], &m->ids[at], behind * sizeof(m->ids[0]));
    m->members[at] = x = MEM_NEW(struct entry);
    m->ids[at] = id;
    x->seen.id = id;
    x->deadline = now + MEMBERSHIP_TOMBSTONE_US;
    return x;
}

/* ---- time and silence ---- */

static bool is_mesh(const struct membership *m) { return m->n_live < MEMBERSHIP_MESH; }

/* How long news of a live node may take to reach this node. In a mesh nearly all nodes hear it themselves, and some of them tell in each
 * round. Otherwise it takes some rounds, and one more whenever the cluster doubles. */
static clock_us silence(const struct membership *m) {
    clock_us rounds = is_mesh(m) ? 3 : 4;
    for (size_t n = m->n_live; n > 0 && !is_mesh(m); n /= 2) rounds++;
    return rounds * MEMBERSHIP_ROUND_US;
}

static void give_up(struct membership *m, clock_us now, struct entry *x) {
    drop_record(m, x);
    ask_no_more(x);
    x->deadline = now + MEMBERSHIP_TOMBSTONE_US;
    set_state(m, x, MEMBER_GONE);
}

/* Somebody hears this node. `itself`: by a beat that is newer than the last. */
static void vouched(struct membership *m, clock_us now, struct entry *x, bool itself) {
    if (x->seen.linked || (x->seen.state == MEMBER_GONE && !itself)) return;
    x->deadline = now + silence(m);
    if (x->seen.state == MEMBER_GONE) set_state(m, x, MEMBER_SUSPECT);
    if (itself && !is_mesh(m)) set_state(m, x, MEMBER_UP);
}

static void check_deadlines(struct membership *m, clock_us now) {
    for (size_t i = m->n; i-- > 0;) {
        struct entry *x = m->members[i];
        if (x->seen.linked || now < x->deadline) continue;
        if (x->seen.state == MEMBER_GONE) {
            forget(m, i);
        } else if (x->seen.state == MEMBER_SUSPECT) {
            give_up(m, now, x);
        } else {
            x->deadline = now + silence(m);
            set_state(m, x, MEMBER_SUSPECT);
        }
    }
}

/* The next linked peer in turn, of those that come after `turn` places; NULL: none is linked. */
static struct entry *next_linked(struct membership *m) {
    for (size_t i = 0; i < m->n; i++) {
        m->turn = (m->turn + 1) % (uint32_t)m->n;
        if (m->members[m->turn]->seen.linked) return m->members[m->turn];
    }
    return NULL;
}

static void round_begin(struct membership *m) {
    m->self.beat++;
    const struct entry *first = NULL;
    for (int i = 0; i < MEMBERSHIP_FANOUT; i++) {
        const struct entry *x = next_linked(m);
        if (!x || x == first) return;
        if (!first) first = x;
        act_send(m, x->seen.id, MEMBERSHIP_TELL);
    }
}

void membership_tick(struct membership *m, clock_us now, clock_us *ret_next) {
    if (m->ticked && now > m->ticked + ABSENCE_US)
        for (size_t i = 0; i < m->n; i++) m->members[i]->deadline += now - m->ticked;
    m->ticked = m->now = now;
    check_deadlines(m, now);
    if (now >= m->next_round) {
        m->next_round = now + MEMBERSHIP_ROUND_US;
        round_begin(m);
    }
    *ret_next = m->next_round;
    for (size_t i = 0; i < m->n; i++)
        if (!m->members[i]->seen.linked && m->members[i]->deadline < *ret_next) *ret_next = m->members[i]->deadline;
}

/* ---- links ---- */

void membership_link_up(struct membership *m, clock_us now, uint64_t id, uint64_t incarnation) {
    struct entry *x = meet(m, now, id);
    if (!x) return;
    ask_no_more(x);
    m->now = now;
    x->seen.linked = true;
    x->heard = now;
    x->lost = 0;
    if (incarnation > x->seen.incarnation) {
        x->seen.incarnation = incarnation;
        x->beat = 0;
    }
    set_state(m, x, MEMBER_UP);
    act_send(m, id, MEMBERSHIP_TELL);
    if (m->self.seen.record) act_pass_on(m, id, m->self.seen.id);
}

void membership_heard(struct membership *m, uint64_t id, clock_us when) {
    struct entry *x = find(m, id);
    if (x && x->seen.linked && when > x->heard) x->heard = when;
}

static bool hears(const struct membership *m, const struct entry *x) { return x->seen.linked && m->now <= x->heard + HEARD_US; }

static void act_ask(struct membership *m, uint64_t to, uint64_t about) {
    struct membership_action *a = act_send(m, to, MEMBERSHIP_ASK);
    a->ids[a->n_ids++] = about;
}

/* Asks linked nodes whether they hear the suspect. In a mesh all are asked, since each should have a link to it, and the node is gone as
 * soon as all have denied. In a larger cluster a few are asked. False: no node is linked. */
static bool ask_about(struct membership *m, struct entry *x) {
    ask_no_more(x);
    if (is_mesh(m)) x->asked = mem_calloc(m->n, sizeof(*x->asked));
    for (size_t i = 0; i < m->n && is_mesh(m); i++) {
        if (!m->members[i]->seen.linked) continue;
        x->asked[x->n_asked++] = m->members[i]->seen.id;
        act_ask(m, m->members[i]->seen.id, x->seen.id);
    }
    if (is_mesh(m)) return x->n_asked > 0;
    const struct entry *asked[ASKED_AT_ONCE] = {0};
    for (int i = 0; i < ASKED_AT_ONCE; i++) {
        asked[i] = next_linked(m);
        if (!asked[i] || (i > 0 && asked[i] == asked[0])) break;
        act_ask(m, asked[i]->seen.id, x->seen.id);
    }
    return asked[0] != NULL;
}

void membership_link_down(struct membership *m, clock_us now, uint64_t id, bool closed) {
    struct entry *x = find(m, id);
    if (!x || !x->seen.linked) return;
    m->now = x->lost = now;
    x->seen.linked = false;
    x->deadline = now + (closed ? MEMBERSHIP_CLOSED_US : is_mesh(m) ? MEMBERSHIP_PROBE_US : silence(m));
    set_state(m, x, MEMBER_SUSPECT);
    if (!ask_about(m, x)) give_up(m, now, x);
}

void membership_set_out(struct membership *m, uint64_t id, bool out) {
    size_t i = 0;
    while (i < m->n_out && m->out[i] != id) i++;
    if (out && i == m->n_out && m->n_out < MEMBERSHIP_MAX_OUT) m->out[m->n_out++] = id;
    if (!out && i < m->n_out) m->out[i] = m->out[--m->n_out];
    struct entry *x = out ? find(m, id) : NULL;
    if (!x) return;
    set_state(m, x, MEMBER_GONE);
    forget(m, place_of(m, id));
}

/* The places of the sorted ring of live nodes, this one's being 0, at which there should be a link: 1, 2, 4 ... in both directions. */
static bool is_finger(size_t place, size_t n) {
    size_t back = n - place;
    return (place & (place - 1)) == 0 || (back & (back - 1)) == 0;
}

size_t membership_wanted(const struct membership *m, uint64_t *ret, size_t max) {
    size_t n = 0, place = 0, start = place_of(m, m->self.seen.id);
    for (size_t i = 0; i < m->n && n < max; i++) {
        const struct entry *x = m->members[(start + i) % m->n];
        if (x->seen.state == MEMBER_GONE) continue;
        place++;
        if (!x->seen.linked && (is_mesh(m) || is_finger(place, m->n_live + 1))) ret[n++] = x->seen.id;
    }
    return n;
}

/* ---- records ---- */

/* Is the stamp (incarnation, version) later than that of the known record? The same stamp counts if the record itself is no longer here. */
static bool is_news(const struct entry *x, uint64_t incarnation, uint64_t version) {
    const struct member *k = &x->seen;
    if (incarnation != k->record_incarnation) return incarnation > k->record_incarnation;
    return k->record ? version > k->version : version >= k->version;
}

void membership_stamp(const struct membership *m, uint64_t *ret_incarnation, uint64_t *ret_version) {
    *ret_incarnation = m->self.seen.incarnation;
    *ret_version = m->self.seen.record_incarnation == m->self.seen.incarnation ? m->self.seen.version + 1 : 1;
}

void membership_speak(struct membership *m, clock_us now, const void *record, size_t len) {
    uint64_t incarnation, version;
    (void)now;
    membership_stamp(m, &incarnation, &version);
    set_record(m, &m->self, incarnation, version, record, len);
    for (size_t i = 0; i < m->n; i++)
        if (m->members[i]->seen.linked) act_pass_on(m, m->members[i]->seen.id, m->self.seen.id);
}

/* Is there room for a new record of this node? Identities cost nothing, so a member could tell of any number of nodes. For a linked node
 * the largest records of nodes that are not linked are dropped. */
static bool make_record_room(struct membership *m, const struct entry *x, size_t len) {
    while (m->bytes - m->self.seen.record_len - x->seen.record_len + len > MEMBERSHIP_BYTES) {
        struct entry *largest = NULL;
        for (size_t i = 0; x->seen.linked && i < m->n; i++) {
            struct entry *other = m->members[i];
            if (other != x && !other->seen.linked && (!largest || other->seen.record_len > largest->seen.record_len)) largest = other;
        }
        if (!largest || largest->seen.record_len == 0) return false;
        drop_record(m, largest);
    }
    return true;
}

void membership_record(struct membership *m, clock_us now, uint64_t id, uint64_t incarnation, uint64_t version, const void *record,
                       size_t len) {
    if (id == m->self.seen.id || incarnation > MEMBERSHIP_STAMP_MAX || version == 0 || version > MEMBERSHIP_STAMP_MAX) return;
    struct entry *x = meet(m, now, id);
    if (!x) return;
    if (incarnation > x->seen.incarnation) {
        x->seen.incarnation = incarnation;
        x->beat = 0;
        vouched(m, now, x, true);
    }
    if (x->seen.state == MEMBER_GONE || !is_news(x, incarnation, version) || !make_record_room(m, x, len)) return;
    set_record(m, x, incarnation, version, record, len);
    act(m, MEMBERSHIP_NEWS)->about = id;
}

/* ---- what peers say ---- */

/* Others know a later stamp of this node than its own: its state folder was restored from a copy. Its next stamp goes beyond theirs. */
static void outdo(struct membership *m, const struct membership_told *t) {
    const struct member *s = &m->self.seen;
    uint64_t version = s->record_incarnation == s->incarnation ? s->version : 0;
    bool ahead = t->incarnation > s->incarnation || (t->incarnation == s->incarnation && (t->version > version || t->beat > m->self.beat));
    if (!ahead || t->incarnation >= MEMBERSHIP_STAMP_MAX) return;
    m->self.seen.incarnation = t->incarnation + 1;
    m->self.beat = 0;
    act(m, MEMBERSHIP_SPEAK);
}

static void hear_told(struct membership *m, clock_us now, const struct membership_told *t, struct membership_action *want) {
    if (t->id == m->self.seen.id) {
        outdo(m, t);
        return;
    }
    struct entry *x = meet(m, now, t->id);
    if (!x) return;
    bool newer = t->incarnation > x->seen.incarnation || (t->incarnation == x->seen.incarnation && t->beat > x->beat);
    if (newer) {
        x->seen.incarnation = t->incarnation;
        x->beat = t->beat;
    }
    if (newer || t->heard) vouched(m, now, x, newer);
    if (t->version == 0 || x->seen.state == MEMBER_GONE || want->n_ids == MEMBERSHIP_MAX_IDS || now < x->wanted_at ||
        !is_news(x, t->incarnation, t->version))
        return;
    x->wanted_at = now + WANT_PAUSE_US;
    want->ids[want->n_ids++] = t->id;
}

static err_code hear_tell(struct membership *m, clock_us now, uint64_t from, const struct membership_talk *t, struct err *e) {
    uint64_t last = 0;
    if (t->n_ids > 0) return err_set(e, ERR_PROTOCOL, "MEMBERS: a tell that asks about %u nodes", t->n_ids);
    for (uint32_t i = 0; i < t->n_told; last = t->told[i++].id)
        if (t->told[i].id <= last) return err_set(e, ERR_PROTOCOL, "MEMBERS: entry %u is not in the order of ids", i);
    struct membership_action want = {.kind = MEMBERSHIP_SEND, .to = from, .message = MEMBERSHIP_WANT};
    for (uint32_t i = 0; i < t->n_told; i++) hear_told(m, now, &t->told[i], &want);
    if (want.n_ids > 0) *act(m, MEMBERSHIP_SEND) = want;
    return ERR_OK;
}

/* Only a node that had a link to the suspect can say that it is silent. */
static bool denies(const struct membership *m, const struct entry *x) {
    return !hears(m, x) && (x->seen.linked || (x->lost != 0 && m->now < x->lost + DENY_US));
}

static void hear_denial(struct membership *m, clock_us now, uint64_t from, uint64_t id) {
    struct entry *x = find(m, id);
    for (size_t i = 0; x && i < x->n_asked; i++) {
        if (x->asked[i] != from) continue;
        x->asked[i] = x->asked[--x->n_asked];
        if (x->n_asked == 0 && x->seen.state == MEMBER_SUSPECT) give_up(m, now, x);
        return;
    }
}

static err_code hear_ids(struct membership *m, clock_us now, uint64_t from, const struct membership_talk *t, struct err *e) {
    if (t->n_ids == 0 || t->n_told > 0)
        return err_set(e, ERR_PROTOCOL, "MEMBERS: a question about %u nodes that tells of %u", t->n_ids, t->n_told);
    struct membership_action answer = {.kind = MEMBERSHIP_SEND, .to = from, .message = MEMBERSHIP_TELL};
    struct membership_action denial = {.kind = MEMBERSHIP_SEND, .to = from, .message = MEMBERSHIP_DENY};
    bool ask = t->message == MEMBERSHIP_ASK;
    for (uint32_t i = 0; i < t->n_ids; i++) {
        uint64_t id = t->ids[i].id;
        const struct entry *x = id == m->self.seen.id ? &m->self : find(m, id);
        if (t->message == MEMBERSHIP_DENY) hear_denial(m, now, from, id);
        if (t->message == MEMBERSHIP_WANT && x && x->seen.record) act_pass_on(m, from, id);
        if (ask && x && hears(m, x)) answer.ids[answer.n_ids++] = id;
        if (ask && t->deny && x && denies(m, x)) denial.ids[denial.n_ids++] = id;
    }
    if (answer.n_ids > 0) *act(m, MEMBERSHIP_SEND) = answer;
    if (denial.n_ids > 0) *act(m, MEMBERSHIP_SEND) = denial;
    return ERR_OK;
}

err_code membership_hear(struct membership *m, clock_us now, uint64_t from, const uint8_t *data, size_t len, struct err *e) {
    struct membership_talk t;
    if (field_decode(membership_talk_fields(), data, len, &t, e) != ERR_OK) return ERR_PROTOCOL;
    m->now = now;
    err_code code = t.message == MEMBERSHIP_TELL ? hear_tell(m, now, from, &t, e) : hear_ids(m, now, from, &t, e);
    field_done(membership_talk_fields(), &t);
    return code;
}

/* ---- writing ---- */

static void put_told(const struct membership *m, const struct entry *x, struct membership_talk *t) {
    const struct member *k = &x->seen;
    /* the record is no longer here, and its node is linked and has told an older one: it has to hear of the later stamp */
    bool known = (k->record || k->linked) && k->record_incarnation == k->incarnation;
    t->told[t->n_told++] = (struct membership_told){
        .id = k->id, .incarnation = k->incarnation, .version = known ? k->version : 0, .beat = x->beat, .heard = hears(m, x)};
}

/* All that is known of live nodes, this node among them, sorted by id. */
static void put_all(const struct membership *m, struct membership_talk *t) {
    size_t own = place_of(m, m->self.seen.id);
    for (size_t i = 0; i <= m->n; i++) {
        if (i == own) put_told(m, &m->self, t);
        if (i < m->n && m->members[i]->seen.state != MEMBER_GONE) put_told(m, m->members[i], t);
    }
}

void membership_write(const struct membership *m, const struct membership_action *a, struct buf *out) {
    struct membership_talk t = {.message = a->message, .deny = a->message == MEMBERSHIP_ASK};
    bool tell = a->message == MEMBERSHIP_TELL;
    const struct entry *x;
    if (tell) t.told = mem_calloc(m->n + 1, sizeof(*t.told));
    if (tell && a->n_ids == 0) put_all(m, &t);
    for (uint32_t i = 0; i < a->n_ids; i++)
        if (!tell) t.ids[t.n_ids++].id = a->ids[i];
        else if ((x = find(m, a->ids[i])) != NULL) put_told(m, x, &t);
    field_encode(membership_talk_fields(), &t, out);
    free(t.told);
}

/* ---- the whole ---- */

struct membership *membership_create(uint64_t self, uint64_t incarnation, uint32_t seed) {
    struct membership *m = MEM_NEW(struct membership);
    m->self.seen = (struct member){.id = self, .incarnation = incarnation, .state = MEMBER_UP};
    m->turn = seed % MEMBERSHIP_MAX;
    return m;
}

void membership_free(struct membership *m) {
    if (!m) return;
    while (m->n > 0) forget(m, m->n - 1);
    drop_record(m, &m->self);
    free(m->actions);
    free(m);
}

const struct member *membership_get(const struct membership *m, size_t at) { return at < m->n ? &m->members[at]->seen : NULL; }

const struct member *membership_self(const struct membership *m) { return &m->self.seen; }

const struct member *membership_find(const struct membership *m, uint64_t id) {
    const struct entry *x = find(m, id);
    return x ? &x->seen : NULL;
}
