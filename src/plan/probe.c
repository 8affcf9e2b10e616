/* SPDX-License-Identifier: MIT
 * See probe.h. */
#include "plan/probe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"

static const char *const ASK_KINDS[] = {"question", "bytes"};
static const char *const ANSWER_KINDS[] = {"idle", "busy", "measured"};
#define MESSAGES_PROBE
#include "base/field_tables.h"
#undef MESSAGES_PROBE

enum { MAX_ACTIONS = PROBE_MAX_PATHS + 8, AGAIN_S = 6 * 3600, FORGET_S = 30 * 24 * 3600 };
#define SETTLE_US    1000000u /* a new link is left alone for this long */
#define PAUSE_US     250000u  /* between probes of one node */
#define BUSY_US      1000000u /* pause after a node was busy; twice as long each time */
#define BUSY_MOST_US 64000000u
#define ANSWER_US    2000000u  /* an unanswered question counts as a no */
#define ARRIVE_US    20000000u /* bytes that take longer are not waited for */
#define ENOUGH_US    15000u   /* a second half that took this long is a measurement */
#define OTHERS_US    1000000u  /* an incoming probe makes a node busy to others for this long */

struct link {
    struct probe_path path;
    bool here;
    clock_us since;    /* when the link came up */
    double throughput; /* bytes per second; 0: not measured */
    int64_t when;      /* wall clock of that measurement */
    /* an incoming probe of the other node */
    uint32_t id, total, got;
    clock_us half_at;
    uint32_t half_got;
};
enum state { WAITING, ASKING, SENDING };
struct probe {
    uint64_t self;
    struct link links[PROBE_MAX_PATHS];
    uint32_t n_links;
    enum state state;
    uint32_t id, open, total; /* of the present probe: its number, unanswered questions, bytes sent */
    struct probe_path target;
    clock_us since, not_before, others_until, pause;
    struct probe_action actions[MAX_ACTIONS];
    uint32_t n_actions, at_action;
};

struct probe *probe_create(uint64_t self) {
    struct probe *p = MEM_NEW(struct probe);
    p->self = self;
    p->id = (uint32_t)self;
    p->pause = BUSY_US;
    return p;
}

void probe_free(struct probe *p) { free(p); }

static bool is_path(const struct probe_path *p, uint64_t node, const char *host) { return p->node == node && strcmp(p->host, host) == 0; }

static struct link *probe_find(struct probe *p, const struct probe_path *path) {
    for (uint32_t i = 0; i < p->n_links; i++)
        if (is_path(&p->links[i].path, path->node, path->host)) return &p->links[i];
    return NULL;
}

static struct link *probe_link(struct probe *p, const struct probe_path *path) {
    struct link *l = probe_find(p, path);
    if (l) return l;
    if (p->n_links < PROBE_MAX_PATHS) l = &p->links[p->n_links++];
    for (uint32_t i = 0; i < p->n_links && !l; i++)
        if (!p->links[i].here) l = &p->links[i];
    if (l) *l = (struct link){.path = *path};
    return l;
}

/* The link that keeps count of a node's probes that come in: by which path they came does not matter. */
static struct link *probe_link_of(struct probe *p, uint64_t node) {
    for (uint32_t i = 0; i < p->n_links; i++)
        if (p->links[i].path.node == node) return &p->links[i];
    return probe_link(p, &(struct probe_path){.node = node});
}

double probe_throughput(const struct probe *p, uint64_t node, const char *host) {
    for (uint32_t i = 0; i < p->n_links; i++)
        if (is_path(&p->links[i].path, node, host)) return p->links[i].throughput;
    return 0;
}

/* ---- actions ---- */

bool probe_next_action(struct probe *p, struct probe_action *ret) {
    if (p->at_action == p->n_actions) {
        p->at_action = p->n_actions = 0;
        return false;
    }
    *ret = p->actions[p->at_action++];
    return true;
}

static struct probe_action *probe_act(struct probe *p, enum probe_action_kind kind, const struct probe_path *path) {
    if (p->n_actions == MAX_ACTIONS) return NULL; /* the caller is late; lost actions are asked again */
    struct probe_action *a = &p->actions[p->n_actions++];
    *a = (struct probe_action){.kind = kind, .path = *path, .count = 1};
    return a;
}

static void probe_send(struct probe *p, const struct probe_path *path, enum probe_ask_kind kind, uint32_t total) {
    struct probe_action *a = probe_act(p, PROBE_SEND, path);
    if (!a) return;
    a->payload_len = PROBE_ASK_SIZE;
    field_put(probe_ask_fields(), &(struct probe_ask){.id = p->id, .kind = kind, .total = total}, a->payload);
    if (kind == PROBE_BYTES) {
        a->count = (total + PROBE_CHUNK - 1) / PROBE_CHUNK;
        a->filler = (total + a->count - 1) / a->count;
    }
}

static void probe_reply(struct probe *p, uint64_t node, const struct probe_answer *answer) {
    struct probe_action *a = probe_act(p, PROBE_SEND, &(struct probe_path){.node = node});
    if (!a) return;
    a->answer = true;
    a->payload_len = PROBE_ANSWER_SIZE;
    field_put(probe_answer_fields(), answer, a->payload);
}

/* ---- measuring ---- */

static void probe_set_state(struct probe *p, enum state to, clock_us now) {
    static const bool legal[3][3] = {
        [WAITING] = {[ASKING] = true}, [ASKING] = {[SENDING] = true, [WAITING] = true}, [SENDING] = {[SENDING] = true, [WAITING] = true}};
    assert(legal[p->state][to]);
    p->state = to;
    p->since = now;
}

/* Two nodes that disturb each other must not try again at the same moment: the pause differs by node and by try. */
static void probe_wait(struct probe *p, clock_us now, clock_us pause) {
    probe_set_state(p, WAITING, now);
    uint64_t h = (p->self + p->id) * 0x9e3779b97f4a7c15u;
    p->not_before = now + pause + pause * (h >> 56) / 256;
}

static void probe_postpone(struct probe *p, clock_us now) {
    probe_wait(p, now, p->pause);
    if (p->pause < BUSY_MOST_US) p->pause *= 2;
}

static void probe_bytes(struct probe *p, clock_us now, uint32_t total) {
    probe_set_state(p, SENDING, now);
    p->id++;
    p->total = total;
    probe_send(p, &p->target, PROBE_BYTES, total);
}

/* The link with the oldest figure, if that is old enough. */
static struct link *probe_due(struct probe *p, clock_us now, int64_t wall_s) {
    struct link *best = NULL;
    for (uint32_t i = 0; i < p->n_links; i++) {
        struct link *l = &p->links[i];
        bool old = l->throughput <= 0 || l->when + AGAIN_S < wall_s || l->when > wall_s;
        if (l->here && old && now >= l->since + SETTLE_US && (!best || l->when < best->when)) best = l;
    }
    return best;
}

static void probe_here(struct probe *p, clock_us now, const struct probe_path *paths, uint32_t n) {
    for (uint32_t i = 0; i < p->n_links; i++) {
        bool here = false;
        for (uint32_t k = 0; k < n && !here; k++) here = is_path(&p->links[i].path, paths[k].node, paths[k].host);
        if (!here) p->links[i].here = false;
    }
    for (uint32_t k = 0; k < n; k++) {
        struct link *l = probe_link(p, &paths[k]);
        if (!l || l->here) continue;
        l->here = true;
        l->since = now;
        l->total = 0;
    }
}

/* Asks every linked node once, by whichever of its paths. */
static void probe_ask_all(struct probe *p, const struct probe_path *paths, uint32_t n) {
    p->open = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool asked = false;
        for (uint32_t k = 0; k < i && !asked; k++) asked = paths[k].node == paths[i].node;
        if (asked) continue;
        probe_send(p, &(struct probe_path){.node = paths[i].node}, PROBE_QUESTION, 0);
        p->open++;
    }
}

void probe_tick(struct probe *p, clock_us now, int64_t wall_s, const struct probe_path *paths, uint32_t n, bool busy) {
    probe_here(p, now, paths, n);
    struct link *target = probe_find(p, &p->target);
    bool gone = !target || !target->here;
    if (p->state == ASKING && (gone || busy || now >= p->since + ANSWER_US)) probe_postpone(p, now);
    if (p->state == SENDING && (gone || now >= p->since + ARRIVE_US)) probe_postpone(p, now);
    if (p->state != WAITING || busy || now < p->not_before || now < p->others_until) return;
    target = probe_due(p, now, wall_s);
    if (!target) return;
    probe_set_state(p, ASKING, now);
    p->id++;
    p->target = target->path;
    probe_ask_all(p, paths, n);
}

/* Bytes of another node's probe. When all have come, the node is told how long the second half took. */
static void probe_arrived(struct probe *p, struct link *l, clock_us now, uint32_t id, uint32_t total, uint32_t filler) {
    if (l->id != id || l->total != total) {
        l->id = id;
        l->total = total;
        l->got = 0;
        l->half_got = 0;
    }
    if (l->got >= total) return; /* more than it announced */
    l->got += filler;
    if (!l->half_got && l->got >= total / 2) {
        l->half_got = l->got;
        l->half_at = now;
    }
    if (l->got < total) return;
    clock_us took = now - l->half_at;
    struct probe_answer measured = {.id = id, .kind = PROBE_MEASURED, .bytes = l->got - l->half_got};
    measured.us = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
    probe_reply(p, l->path.node, &measured);
}

err_code probe_on_probe(struct probe *p, clock_us now, uint64_t from, const uint8_t *payload, size_t len, bool busy, struct err *e) {
    struct probe_ask ask;
    if (field_decode(probe_ask_fields(), payload, len, &ask, e) != ERR_OK) return ERR_PROTOCOL;
    if (ask.kind == PROBE_QUESTION) {
        /* of two nodes that would measure at once, the one with the smaller id goes first */
        bool own = p->state == SENDING || (p->state == ASKING && p->self < from);
        bool no = busy || own || now < p->others_until;
        probe_reply(p, from, &(struct probe_answer){.id = ask.id, .kind = no ? PROBE_BUSY : PROBE_IDLE});
        return ERR_OK;
    }
    if (ask.filler_len == 0 || ask.filler_len > ask.total || ask.filler_len > PROBE_CHUNK)
        return err_set(e, ERR_PROTOCOL, "PROBE of %zu in %u bytes", ask.filler_len, ask.total);
    p->others_until = now + OTHERS_US;
    struct link *l = probe_link_of(p, from);
    if (l) probe_arrived(p, l, now, ask.id, ask.total, (uint32_t)ask.filler_len);
    return ERR_OK;
}

static void probe_measured(struct probe *p, clock_us now, int64_t wall_s, uint32_t bytes, uint32_t us) {
    struct link *l = probe_find(p, &p->target);
    if (us < ENOUGH_US && p->total < PROBE_MOST) {
        probe_bytes(p, now, p->total * 4 < PROBE_MOST ? p->total * 4 : PROBE_MOST);
        return;
    }
    if (l) {
        l->throughput = (double)bytes * 1e6 / (us ? us : 1);
        l->when = wall_s;
        probe_act(p, PROBE_LEARNT, &l->path);
    }
    p->pause = BUSY_US;
    probe_wait(p, now, PAUSE_US);
}

err_code probe_on_probed(struct probe *p, clock_us now, int64_t wall_s, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct probe_answer a;
    if (field_decode(probe_answer_fields(), payload, len, &a, e) != ERR_OK) return ERR_PROTOCOL;
    if (a.id != p->id) return ERR_OK; /* an answer to an earlier probe */
    if (a.kind == PROBE_MEASURED) {
        if (p->state != SENDING || from != p->target.node) return ERR_OK;
        if (a.bytes > p->total) return err_set(e, ERR_PROTOCOL, "PROBED says %u of %u bytes", a.bytes, p->total);
        probe_measured(p, now, wall_s, a.bytes, a.us);
        return ERR_OK;
    }
    if (p->state != ASKING) return ERR_OK;
    if (a.kind == PROBE_BUSY) probe_postpone(p, now);
    else if (p->open > 0 && --p->open == 0) probe_bytes(p, now, PROBE_LEAST);
    return ERR_OK;
}

/* ---- keeping ---- */

void probe_write(const struct probe *p, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *links = yyjson_mut_obj_add_arr(doc, root, "links");
    for (uint32_t i = 0; i < p->n_links; i++) {
        char id[20];
        if (p->links[i].throughput <= 0) continue;
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, links);
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)p->links[i].path.node);
        yyjson_mut_obj_add_strcpy(doc, o, "id", id);
        yyjson_mut_obj_add_str(doc, o, "host", p->links[i].path.host);
        yyjson_mut_obj_add_real(doc, o, "bytes_per_second", p->links[i].throughput);
        yyjson_mut_obj_add_int(doc, o, "when", p->links[i].when);
    }
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

static err_code link_get(struct probe *p, yyjson_val *o, int64_t wall_s, struct err *e) {
    struct probe_path path = {0};
    int64_t when = 0;
    double rate = 0;
    err_code code = json_need_id(o, "id", &path.node, e);
    if (code == ERR_OK) code = json_get_line(o, "host", path.host, sizeof(path.host), e);
    if (code == ERR_OK) code = json_get_double(o, "bytes_per_second", 0, 1e15, &rate, e);
    if (code == ERR_OK) code = json_need_i64(o, "when", 0, INT64_C(1) << 50, &when, e);
    if (code != ERR_OK || when + FORGET_S < wall_s) return code;
    struct link *l = probe_link(p, &path);
    if (l) l->throughput = rate, l->when = when;
    return ERR_OK;
}

err_code probe_read(struct probe *p, int64_t wall_s, const char *text, size_t len, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *links = yyjson_obj_get(yyjson_doc_get_root(doc), "links"), *o;
    size_t i, max;
    if (!yyjson_is_arr(links)) code = err_set_field(e, ERR_INVALID, "links", "expected an array");
    if (code == ERR_OK && yyjson_arr_size(links) > PROBE_MAX_PATHS)
        code = err_set_field(e, ERR_LIMIT, "links", "more than %d", PROBE_MAX_PATHS);
    yyjson_arr_foreach(links, i, max, o) if (code == ERR_OK) code = link_get(p, o, wall_s, e);
    yyjson_doc_free(doc);
    return code;
}
