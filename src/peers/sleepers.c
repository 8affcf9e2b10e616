/* SPDX-License-Identifier: MIT
 * See sleepers.h. */
#include "peers/sleepers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/admin.h"
#include "gateway/answer.h"

#define WAKING_US 120000000u /* a machine takes so long to start, its node included */

struct sleepers {
    struct sleepers_parts parts;
    struct {
        uint64_t id;
        clock_us sent; /* 0: this place is free */
    } woken[ROSTER_MAX_PEERS]; /* the oldest makes room */
};

struct sleepers *sleepers_create(const struct sleepers_parts *parts) {
    struct sleepers *s = MEM_NEW(struct sleepers);
    s->parts = *parts;
    return s;
}

void sleepers_free(struct sleepers *s) { free(s); }

/* ---- who is asleep ---- */

static bool is_waking(const struct sleepers *s, uint64_t id) {
    for (size_t i = 0; i < ARRAY_LEN(s->woken); i++)
        if (s->woken[i].id == id && s->woken[i].sent != 0 && clock_now() < s->woken[i].sent + WAKING_US) return true;
    return false;
}

static void note_woken(struct sleepers *s, uint64_t id) {
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(s->woken); i++)
        if (s->woken[i].sent < s->woken[at].sent) at = i;
    for (size_t i = 0; i < ARRAY_LEN(s->woken); i++)
        if (s->woken[i].sent != 0 && s->woken[i].id == id) at = i;
    s->woken[at].id = id;
    s->woken[at].sent = clock_now();
}

void sleepers_linked(struct sleepers *s, uint64_t id) {
    for (size_t i = 0; i < ARRAY_LEN(s->woken); i++)
        if (s->woken[i].id == id) s->woken[i].sent = 0;
}

/* Another node of this machine: the machine is awake, whatever the node does. */
static bool is_here(const struct roster_peer *p, const struct roster_hardware *own, size_t n_own) {
    for (uint32_t i = 0; i < p->n_hardware; i++)
        for (size_t k = 0; k < n_own; k++)
            if (memcmp(&p->hardware[i], &own[k], sizeof(own[k])) == 0) return true;
    return false;
}

static bool is_asleep(const struct sleepers *s, const struct roster_peer *p) {
    struct control_peer linked;
    return p->id != 0 && p->n_hardware > 0 && !control_find(s->parts.control, p->id, &linked) && !records_any(s->parts.records, p->id) &&
           !known_is_out(s->parts.known, p->public_key);
}

static size_t find_asleep(const struct sleepers *s, struct roster_peer *ret, size_t max) {
    struct roster_hardware own[WAKE_MAX_ADDRESSES];
    size_t n = 0, n_own = wake_own(own, WAKE_MAX_ADDRESSES);
    const struct roster_peer *p;
    for (size_t i = 0; n < max && (p = known_get(s->parts.known, i)) != NULL; i++)
        if (is_asleep(s, p) && !is_here(p, own, n_own)) ret[n++] = *p;
    return n;
}

size_t sleepers_list(const struct sleepers *s, struct sleeper *ret, size_t max) {
    struct roster_peer asleep[ROSTER_MAX_PEERS];
    size_t n = find_asleep(s, asleep, max < ROSTER_MAX_PEERS ? max : ROSTER_MAX_PEERS);
    for (size_t i = 0; i < n; i++) {
        ret[i] =
            (struct sleeper){.id = asleep[i].id, .memory = asleep[i].memory, .seen = asleep[i].seen, .waking = is_waking(s, asleep[i].id)};
        memcpy(ret[i].name, asleep[i].name, sizeof(ret[i].name));
    }
    return n;
}

void sleepers_status(const struct sleepers *s, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    struct sleeper all[ROSTER_MAX_PEERS];
    size_t n = sleepers_list(s, all, ROSTER_MAX_PEERS);
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "asleep");
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        char id[20];
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)all[i].id);
        yyjson_mut_obj_add_strcpy(doc, o, "id", id);
        yyjson_mut_obj_add_strcpy(doc, o, "name", all[i].name);
        yyjson_mut_obj_add_str(doc, o, "state", all[i].waking ? "waking" : "asleep");
        yyjson_mut_obj_add_uint(doc, o, "memory", all[i].memory);
        yyjson_mut_obj_add_int(doc, o, "seen", all[i].seen);
    }
}

/* ---- waking them ---- */

static err_code wake_peer(struct sleepers *s, const struct roster_peer *p, struct err *e) {
    size_t networks = wake_send(p->hardware, p->n_hardware);
    if (networks == 0) {
        err_set(e, ERR_NETWORK, "the packet that wakes \"%s\" could not be sent: this machine has no network with broadcasts", p->name);
        return ERR_NETWORK;
    }
    log_info("node", "a magic packet for %s was sent on %zu network%s", p->name, networks, networks == 1 ? "" : "s");
    note_woken(s, p->id);
    return ERR_OK;
}

err_code sleepers_wake(struct sleepers *s, uint64_t id, struct err *e) {
    struct roster_peer asleep[ROSTER_MAX_PEERS];
    size_t n = find_asleep(s, asleep, ROSTER_MAX_PEERS);
    for (size_t i = 0; i < n; i++)
        if (asleep[i].id == id) return wake_peer(s, &asleep[i], e);
    return err_set(e, ERR_NOT_FOUND, "no machine with that node is asleep");
}

/* Why there is nothing to wake by this name. */
static err_code say_awake(const struct sleepers *s, const char *name, struct err *e) {
    const struct roster_peer *p;
    if (roster_is_called(s->parts.self, s->parts.name, name))
        return err_set(e, ERR_INVALID, "\"%s\" is this machine, which is awake", name);
    for (size_t i = 0; (p = known_get(s->parts.known, i)) != NULL; i++) {
        if (p->id == 0 || !roster_is_called(p->id, p->name, name)) continue;
        if (records_any(s->parts.records, p->id)) return err_set(e, ERR_INVALID, "\"%s\" is awake", p->name);
        if (known_is_out(s->parts.known, p->public_key)) return err_set(e, ERR_INVALID, "\"%s\" is shut out of the cluster", p->name);
        if (p->n_hardware > 0) return err_set(e, ERR_INVALID, "\"%s\" is a node of this machine, which is awake", p->name);
        err_set(e, ERR_UNAVAILABLE, "no hardware address of \"%s\" is known here", p->name);
        err_hint(e, "it tells them when it is linked with this node again");
        return ERR_UNAVAILABLE;
    }
    err_set(e, ERR_NOT_FOUND, "no node called \"%s\" has been met", name);
    err_hint(e, "`caravan nodes` shows which machines are asleep");
    return ERR_NOT_FOUND;
}

err_code sleepers_wake_named(struct sleepers *s, const char *name, size_t *ret, struct err *e) {
    struct roster_peer asleep[ROSTER_MAX_PEERS];
    size_t n = find_asleep(s, asleep, ROSTER_MAX_PEERS), count = 0, at = 0;
    bool all = strcmp(name, "all") == 0;
    err_code code = ERR_OK;
    for (size_t i = 0; i < n; i++) {
        if (!all && !roster_is_called(asleep[i].id, asleep[i].name, name)) continue;
        at = i;
        count++;
        if (all && code == ERR_OK) code = wake_peer(s, &asleep[i], e);
    }
    if (!all && count == 0) return say_awake(s, name, e);
    if (!all && count > 1) {
        err_set(e, ERR_INVALID, "several nodes that are asleep are called \"%s\"", name);
        err_hint(e, "give the beginning of the node's id instead, as `caravan nodes --json` shows it");
        return ERR_INVALID;
    }
    if (!all) code = wake_peer(s, &asleep[at], e);
    if (code == ERR_OK) *ret = count;
    return code;
}

static void on_wake(void *user, struct http_exchange *x, const char *rest) {
    (void)rest;
    struct err e = {0};
    yyjson_doc *body = NULL;
    const char *name = NULL;
    size_t n = 0;
    err_code code = admin_body(x, &body, &e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(body), "name", &name, &e);
    if (code == ERR_OK) code = sleepers_wake_named(user, name, &n, &e);
    yyjson_doc_free(body);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return;
    }
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_obj_add_uint(doc, yyjson_mut_doc_get_root(doc), "woken", n);
    gateway_respond_json(x, 200, doc);
    yyjson_mut_doc_free(doc);
}

void sleepers_route_add(struct sleepers *s, struct endpoint *ep) { endpoint_set_route(ep, ENDPOINT_ROUTE_NODES_WAKE, on_wake, s); }
