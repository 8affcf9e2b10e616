/* SPDX-License-Identifier: MIT
 * See known.h. */
#include "peers/known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/address.h"
#include "io/sock.h"

struct known {
    struct known_config config;
    struct known_parts parts; /* zero until known_connect */
    char *path;
    struct roster roster;
    int64_t key_made;
    bool unsaved;
};

/* ---- the file ---- */

struct known *known_open(const struct known_config *config) {
    struct known *k = MEM_NEW(struct known);
    struct err e = {0};
    k->config = *config;
    k->path = config->path ? mem_strdup(config->path) : NULL;
    if (k->path && roster_load(k->path, &k->roster, &e) != ERR_OK) log_warn("node", "%s: not used; hint: %s", e.text, e.hint);
    return k;
}

void known_connect(struct known *k, const struct known_parts *parts) { k->parts = *parts; }

static void known_write(struct known *k) {
    struct err e = {0};
    k->unsaved = false;
    if (k->path && k->config.writes && roster_save(k->path, &k->roster, &e) != ERR_OK) log_warn("node", "%s", e.text);
}

void known_save(struct known *k) {
    if (k->unsaved) known_write(k);
}

void known_free(struct known *k) {
    if (!k) return;
    free(k->path);
    free(k);
}

/* ---- what other parts hear ---- */

/* The parts that serve other nodes hear whether this one is shut out. */
static void tell_out(struct known *k, const struct roster_removed *w) {
    members_set_out(k->parts.members, io_sign_id(w->public_key), w->out);
    weights_server_set_out(k->parts.weights, w->public_key, w->out);
}

/* The weights server hears which nodes may still use the old key, while that is good. */
static void tell_met(struct known *k) {
    uint8_t met[ROSTER_MAX_PEERS][IO_SIGN_PUBLIC_SIZE];
    size_t n = 0;
    if (!k->parts.weights) return;
    for (size_t i = 0; i < k->roster.n_peers; i++) {
        const struct roster_peer *p = &k->roster.peers[i];
        if (roster_knew(&k->roster, p->id, k->key_made)) memcpy(met[n++], p->public_key, sizeof(met[0]));
    }
    weights_server_set_met(k->parts.weights, (const uint8_t (*)[IO_SIGN_PUBLIC_SIZE])met, n);
}

void known_start(struct known *k) {
    for (size_t i = 0; i < k->roster.n_removed; i++) tell_out(k, &k->roster.removed[i]);
    tell_met(k);
    for (size_t i = 0; i < k->roster.n_peers; i++) {
        const struct roster_peer *p = &k->roster.peers[i];
        if (!roster_is_out(&k->roster, p->public_key)) control_dial(k->parts.control, p->host, p->port);
    }
}

/* ---- nodes that were met ---- */

void known_met(struct known *k, const struct control_peer *peer) {
    struct roster_peer p = {.id = peer->id, .port = peer->port, .seen = clock_wall_s()};
    memcpy(p.public_key, peer->public_key, sizeof(p.public_key));
    memcpy(p.name, peer->name, sizeof(p.name));
    memcpy(p.host, peer->host, sizeof(p.host));
    if (!roster_meet(&k->roster, &p)) return;
    k->unsaved = true;
    tell_met(k);
}

void known_learn(struct known *k, const struct record *r) {
    if (roster_learn(&k->roster, r->id, r->memory, r->hardware, r->n_hardware)) k->unsaved = true;
}

const struct roster_peer *known_get(const struct known *k, size_t i) { return i < k->roster.n_peers ? &k->roster.peers[i] : NULL; }

bool known_at(const struct known *k, const struct sockaddr *peer) {
    char host[IO_HOST_MAX];
    io_address_host(peer, host, sizeof(host));
    for (size_t i = 0; i < k->roster.n_peers; i++)
        if (strcmp(k->roster.peers[i].host, host) == 0) return true;
    return false;
}

bool known_before(const struct known *k, uint64_t id, int64_t time) { return roster_knew(&k->roster, id, time); }

void known_key_made(struct known *k, int64_t time) {
    k->key_made = time;
    tell_met(k);
}

/* The public key of the node with this name, whether it is remembered or shut out. */
static err_code find_named(const struct known *k, const char *name, const uint8_t **ret_key, const char **ret_name, struct err *e) {
    bool many = false;
    const struct roster_peer *p = roster_find(&k->roster, name, &many);
    if (many) {
        err_set(e, ERR_INVALID, "several nodes are called \"%s\"", name);
        err_hint(e, "give the beginning of the node's id instead, as `caravan nodes` shows it");
        return ERR_INVALID;
    }
    *ret_key = p ? p->public_key : NULL;
    *ret_name = p ? p->name : NULL;
    for (size_t i = 0; i < k->roster.n_removed && !*ret_key; i++) {
        const struct roster_removed *w = &k->roster.removed[i];
        if (!roster_is_called(io_sign_id(w->public_key), w->name, name)) continue;
        *ret_key = w->public_key;
        *ret_name = w->name;
    }
    if (*ret_key) return ERR_OK;
    if (strcmp(name, k->config.name) == 0) return err_set(e, ERR_INVALID, "\"%s\" is this node itself: run this on another one", name);
    return err_set(e, ERR_NOT_FOUND, "no node called \"%s\" has been met", name);
}

static err_code forget_here(struct known *k, const uint8_t *key, struct err *e) {
    struct control_peer linked;
    struct roster_peer was;
    if (control_find(k->parts.control, io_sign_id(key), &linked)) {
        err_set(e, ERR_BUSY, "\"%s\" is linked: only a node that is gone can be forgotten", linked.name);
        err_hint(e, "caravan nodes remove %s shuts it out", linked.name);
        return ERR_BUSY;
    }
    if (!roster_forget(&k->roster, key, &was)) return err_set(e, ERR_NOT_FOUND, "it is not remembered here");
    control_undial(k->parts.control, was.host, was.port);
    known_write(k);
    tell_met(k);
    return ERR_OK;
}

static void tell_all_to_forget(struct known *k, const uint8_t *key) {
    char hex[2 * IO_SIGN_PUBLIC_SIZE + 1], text[sizeof(hex) + 16];
    str_hex(key, IO_SIGN_PUBLIC_SIZE, hex);
    int len = snprintf(text, sizeof(text), "{\"key\":\"%s\"}", hex);
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    size_t n = control_peers(k->parts.control, peers, CONTROL_MAX_LINKS);
    for (size_t i = 0; i < n; i++) control_send(k->parts.control, peers[i].id, FRAME_FORGET, 0, text, (size_t)len);
    free(peers);
}

err_code known_forget(struct known *k, const char *name, struct err *e) {
    const uint8_t *found;
    const char *full;
    uint8_t key[IO_SIGN_PUBLIC_SIZE];
    err_code code = find_named(k, name, &found, &full, e);
    if (code != ERR_OK) return code;
    memcpy(key, found, sizeof(key)); /* the place in the roster goes */
    code = forget_here(k, key, e);
    if (code == ERR_NOT_FOUND) err_set(e, code, "no node called \"%s\" is remembered", name);
    if (code == ERR_OK) tell_all_to_forget(k, key);
    return code;
}

err_code known_on_forget(struct known *k, const uint8_t *payload, size_t len, struct err *e) {
    yyjson_doc *doc;
    const char *hex = NULL;
    uint8_t key[IO_SIGN_PUBLIC_SIZE];
    err_code code = json_parse((const char *)payload, len, &doc, e);
    if (code != ERR_OK) return code;
    code = json_need_str(yyjson_doc_get_root(doc), "key", &hex, e);
    if (code == ERR_OK && !str_unhex(hex, key, sizeof(key))) code = err_set_field(e, ERR_INVALID, "key", "expected 64 hexadecimal digits");
    yyjson_doc_free(doc);
    if (code == ERR_OK && memcmp(key, k->config.self, sizeof(key)) != 0)
        forget_here(k, key, NULL); /* a node that is linked is not forgotten */
    return code;
}

/* ---- nodes that are shut out ---- */

bool known_is_out(const struct known *k, const uint8_t *public_key) { return roster_is_out(&k->roster, public_key); }

/* It may be dialled again. */
static void dial_again(struct known *k, const uint8_t *public_key) {
    for (size_t i = 0; i < k->roster.n_peers; i++) {
        const struct roster_peer *p = &k->roster.peers[i];
        if (memcmp(p->public_key, public_key, sizeof(p->public_key)) == 0) control_dial(k->parts.control, p->host, p->port);
    }
}

static void shut_out(struct known *k, const struct roster_removed *w) {
    struct err why = {0};
    log_info("node", "\"%s\" is shut out of the cluster", w->name);
    err_set(&why, ERR_AUTH, "node \"%s\" was shut out of the cluster", w->name);
    err_hint(&why, "on a member: caravan nodes allow %s", w->name);
    control_shut(k->parts.control, io_sign_id(w->public_key), &why);
}

/* Takes one word in; true: it was news. */
static bool take_word(struct known *k, const struct roster_removed *w) {
    bool self = memcmp(w->public_key, k->config.self, sizeof(w->public_key)) == 0;
    if (!roster_hear(&k->roster, w, clock_wall_s())) return false;
    k->unsaved = true;
    if (!self) tell_out(k, w);
    if (self && w->out)
        log_error("node", "this node was shut out of the cluster; hint: on a member: caravan nodes allow %s", k->config.name);
    if (!w->out) dial_again(k, w->public_key);
    else if (!self) shut_out(k, w);
    return true;
}

err_code known_set_out(struct known *k, const char *name, bool out, struct err *e) {
    const uint8_t *key;
    const char *full;
    err_code code = find_named(k, name, &key, &full, e);
    if (code != ERR_OK) return code;
    struct roster_removed word = roster_word(&k->roster, key, full, out, clock_wall_s());
    if (!take_word(k, &word))
        return err_set(e, ERR_LIMIT, "%d nodes are shut out already: change the key instead (caravan key rotate)", ROSTER_MAX_REMOVED);
    known_write(k);
    news_own(k->parts.news);
    return ERR_OK;
}

size_t known_words(const struct known *k, struct roster_removed ret[ROSTER_MAX_REMOVED]) {
    memcpy(ret, k->roster.removed, sizeof(k->roster.removed));
    return k->roster.n_removed;
}

void known_hear(struct known *k, const struct roster_removed *words, size_t n) {
    bool news = false;
    for (size_t i = 0; i < n; i++) news = take_word(k, &words[i]) || news;
    if (news) news_own(k->parts.news);
}

void known_status(const struct known *k, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "removed");
    for (size_t i = 0; i < k->roster.n_removed; i++) {
        const struct roster_removed *w = &k->roster.removed[i];
        if (!w->out) continue;
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        json_add_id(doc, o, "id", io_sign_id(w->public_key));
        yyjson_mut_obj_add_strcpy(doc, o, "name", w->name);
        yyjson_mut_obj_add_int(doc, o, "time", w->time);
    }
}
