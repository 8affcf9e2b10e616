/* SPDX-License-Identifier: MIT
 * See join.h. */
#include "node/join_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "members/interfaces.h"
#include "members/invite.h"
#include "members/key.h"
#include "node/discovery.h"

struct join {
    struct join_config config;
    struct join_parts parts;  /* zero until join_connect */
    struct io_tls_ctx *tls;   /* NULL until the keys have been read */
    uint8_t link_key[IO_TLS_KEY_SIZE];
    struct identity identity;
    struct key_ring keys;
    struct roster roster;
    struct discovery *discovery; /* NULL: none */
    char own_key[KEY_TEXT_SIZE]; /* "": none */
    bool made_key;               /* this start made the cluster */
    bool unsaved;
    char copied[64]; /* where a machine with this node's identity was last seen */
};

static char *state_path(const struct join *j, const char *file) {
    return j->config.state_dir ? mem_printf("%s%s", j->config.state_dir, file) : NULL;
}

const struct identity *join_identity(const struct join *j) { return &j->identity; }
struct io_tls_ctx *join_tls(const struct join *j) { return j->tls; }
const uint8_t *join_link_key(const struct join *j) { return j->link_key; }
const char *join_state_dir(const struct join *j) { return j->identity.lock_fd >= 0 ? j->config.state_dir : NULL; }
const char *join_own_key(const struct join *j) { return j->own_key[0] ? j->own_key : NULL; }
uint32_t join_tag(const struct join *j) { return (uint32_t)j->identity.id ^ (uint32_t)j->identity.incarnation * 0x9e3779b9u; }

/* ---- the beginning ---- */

static err_code open_identity(struct join *j, struct err *e) {
    char *path = state_path(j, "identity");
    bool shared = false;
    err_code code = ERR_OK;
    if (path) code = identity_open(path, &j->identity, &shared, e);
    else identity_make(&j->identity);
    if (shared) log_warn("node", "another node runs with the state folder \"%s\": this one has a temporary identity", j->config.state_dir);
    if (shared) j->identity.incarnation = 0;
    free(path);
    return code;
}

/* Takes over the keys of the key ring. */
static void use_keys(struct join *j) {
    uint8_t old[IO_TLS_KEY_SIZE];
    bool has_old = j->keys.old_until > clock_wall_s();
    key_link(j->keys.key, j->link_key);
    if (has_old) key_link(j->keys.old, old);
    io_tls_ctx_set_keys(j->tls, j->link_key, has_old ? old : NULL);
}

static err_code open_keys(struct join *j, struct err *e) {
    err_code code = key_ring_open(j->config.key_file, &j->keys, &j->made_key, e);
    if (code != ERR_OK) return code;
    key_link(j->keys.key, j->link_key);
    j->tls = io_tls_ctx_create(j->link_key, e);
    if (!j->tls) return ERR_INTERNAL;
    use_keys(j);
    return ERR_OK;
}

/* Writes the command line's key to a file that only this user reads. A second node with the same state folder has none. */
static err_code make_own_key(struct join *j, struct err *e) {
    char *path = j->identity.lock_fd >= 0 ? state_path(j, JOIN_OWN_KEY) : NULL;
    uint8_t key[IO_TLS_KEY_SIZE];
    if (!path) return ERR_OK;
    io_tls_random(key, sizeof(key));
    key_to_text(key, j->own_key);
    err_code code = file_write(path, j->own_key, strlen(j->own_key), e);
    free(path);
    return code;
}

err_code join_open(const struct join_config *config, struct join **ret, struct err *e) {
    struct join *j = MEM_NEW(struct join);
    struct err unread = {0};
    j->config = *config;
    j->identity.lock_fd = -1;
    *ret = j;
    err_code code = open_identity(j, e);
    if (code == ERR_OK) code = open_keys(j, e);
    if (code == ERR_OK) code = make_own_key(j, e);
    char *path = state_path(j, "peers.json");
    if (path && roster_load(path, &j->roster, &unread) != ERR_OK) log_warn("node", "%s: not used; hint: %s", unread.text, unread.hint);
    free(path);
    return code;
}

void join_connect(struct join *j, const struct join_parts *parts) { j->parts = *parts; }

/* For people: a join code is a secret, and what is not a terminal may be a log. */
static void print_code(struct join *j) {
    struct invite in = {0};
    char text[INVITE_TEXT_SIZE];
    if (!isatty(STDOUT_FILENO)) {
        log_info("node", "this machine has made a new cluster; `caravan invite` prints the line that makes another machine a member");
        return;
    }
    memcpy(in.key, j->keys.key, sizeof(in.key));
    in.n_addrs = interfaces_reach(j->config.listen_host, j->parts.port, in.addrs, INVITE_MAX_ADDRS);
    if (invite_encode(&in, text, NULL) != ERR_OK) return;
    printf("\nThis machine has made a new cluster. On each other machine:\n\n    caravan join %s\n    caravan up\n\n", text);
    printf("Whoever has this line is a member. `caravan invite` prints it again.\n\n");
    fflush(stdout);
}

/* Writes this node's addresses to a file, for the commands that talk to it. */
static void write_place(struct join *j, uint16_t api_port) {
    char *path = state_path(j, "node.json"), text[256];
    snprintf(text, sizeof(text), "{\"pid\":%d,\"host\":\"%.64s\",\"listen\":%u,\"api_host\":\"%.64s\",\"api\":%u}\n", (int)getpid(),
             j->config.listen_host, j->parts.port, j->config.api_host, api_port);
    struct err e = {0};
    if (path && file_write(path, text, strlen(text), &e) != ERR_OK) log_warn("node", "%s", e.text);
    free(path);
}

static void on_found(void *user, const struct discovery_line *found) {
    struct join *j = user;
    struct control_peer known;
    bool linked = control_find(j->parts.control, found->id, &known);
    if (linked && strcmp(known.host, found->host) != 0 && control_know(j->parts.control, found->id, found->host, found->port))
        log_info("node", "discovery: \"%s\" is also at %s port %u", found->name, found->host, found->port);
    if (found->id == j->identity.id || control_find(j->parts.control, found->id, &known)) return;
    log_info("node", "discovery: \"%s\" of this cluster is at %s port %u", found->name, found->host, found->port);
    control_dial(j->parts.control, found->host, found->port);
}

static void on_gone(void *user, const struct discovery_line *gone) {
    struct join *j = user;
    control_undial(j->parts.control, gone->host, gone->port);
}

static void start_discovery(struct join *j) {
    const struct join_config *c = &j->config;
    discovery_free(j->discovery);
    j->discovery = NULL;
    if (!c->discovery) return;
    struct discovery_line own = {.id = j->identity.id, .port = j->parts.port, .interfaces = c->interfaces, .n_interfaces = c->n_interfaces};
    snprintf(own.name, sizeof(own.name), "%s", c->name);
    key_cluster_hash(j->keys.key, own.cluster);
    j->discovery = discovery_start(c->loop, c->program, &own, on_found, on_gone, j);
}

/* The parts that serve other nodes hear whether this one is shut out. */
static void set_out(struct join *j, const struct roster_removed *w) {
    members_set_out(j->parts.members, io_sign_id(w->public_key), w->out);
    weights_server_set_out(j->parts.weights, w->public_key, w->out);
}

/* The weights server hears which nodes may still use the old key, while that is good. */
static void tell_met(struct join *j) {
    uint8_t met[ROSTER_MAX_PEERS][IO_SIGN_PUBLIC_SIZE];
    size_t n = 0;
    for (size_t i = 0; i < j->roster.n_peers; i++) {
        const struct roster_peer *p = &j->roster.peers[i];
        if (roster_knew(&j->roster, p->id, j->keys.made)) memcpy(met[n++], p->public_key, sizeof(met[0]));
    }
    weights_server_set_met(j->parts.weights, (const uint8_t (*)[IO_SIGN_PUBLIC_SIZE])met, n);
}

void join_start(struct join *j, uint16_t api_port) {
    for (size_t i = 0; i < j->roster.n_removed; i++) set_out(j, &j->roster.removed[i]);
    tell_met(j);
    for (size_t i = 0; i < j->roster.n_peers; i++) {
        const struct roster_peer *p = &j->roster.peers[i];
        if (!roster_is_out(&j->roster, p->public_key)) control_dial(j->parts.control, p->host, p->port);
    }
    if (join_state_dir(j)) write_place(j, api_port);
    start_discovery(j);
    if (j->made_key && j->config.state_dir) print_code(j);
}

static void send_all(struct join *j, enum frame_type type, const char *text, size_t len) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    size_t n = control_peers(j->parts.control, peers, CONTROL_MAX_LINKS);
    for (size_t i = 0; i < n; i++) control_send(j->parts.control, peers[i].id, type, 0, text, len);
    free(peers);
}

static void save(struct join *j) {
    char *path = state_path(j, "peers.json");
    struct err e = {0};
    j->unsaved = false;
    if (path && j->identity.lock_fd >= 0 && roster_save(path, &j->roster, &e) != ERR_OK) log_warn("node", "%s", e.text);
    free(path);
}

static void remove_file(const struct join *j, const char *file) {
    char *path = state_path(j, file);
    if (path) unlink(path);
    free(path);
}

void join_stop(struct join *j) {
    if (!j) return;
    if (j->unsaved) save(j);
    if (j->identity.lock_fd >= 0 && j->parts.control) remove_file(j, "node.json");
    if (j->identity.lock_fd >= 0) remove_file(j, JOIN_OWN_KEY);
    discovery_free(j->discovery);
    j->discovery = NULL;
}

void join_free(struct join *j) {
    if (!j) return;
    io_tls_ctx_free(j->tls);
    identity_done(&j->identity);
    free(j);
}

/* ---- links ---- */

err_code join_admit(struct join *j, const struct control_peer *peer, struct err *e) {
    if (roster_is_out(&j->roster, peer->public_key)) {
        err_set(e, ERR_AUTH, "node \"%s\" was shut out of the cluster", peer->name);
        err_hint(e, "on a member: caravan nodes allow %s", peer->name);
        return ERR_AUTH;
    }
    if (peer->key_id != io_tls_ctx_key_id(j->tls) && !roster_knew(&j->roster, peer->id, j->keys.made)) {
        err_set(e, ERR_AUTH, "the cluster's key was changed, and the old one only serves nodes that were members before");
        err_hint(e, "caravan invite on a member; then here: caravan leave, and caravan join CODE");
        return ERR_AUTH;
    }
    return ERR_OK;
}

bool join_knows(const struct join *j, const struct sockaddr *peer) {
    char host[IO_HOST_MAX];
    io_address_host(peer, host, sizeof(host));
    for (size_t i = 0; i < j->roster.n_peers; i++)
        if (strcmp(j->roster.peers[i].host, host) == 0) return true;
    return false;
}

bool join_may_speak(const struct join *j, const uint8_t *public_key) { return !roster_is_out(&j->roster, public_key); }

/* The words about nodes that are shut out go with the key, so that nobody passes it on to such a node unknowingly. */
static void send_key(struct join *j, uint64_t to) {
    int64_t grace = j->keys.old_until ? j->keys.old_until - clock_wall_s() : 0;
    struct key_word *w = MEM_NEW(struct key_word);
    struct buf b;
    w->made = j->keys.made;
    w->grace = grace > 0 ? grace : 0;
    memcpy(w->key, j->keys.key, sizeof(w->key));
    memcpy(w->removed, j->roster.removed, sizeof(w->removed));
    w->n_removed = (uint32_t)j->roster.n_removed;
    buf_init(&b, frame_max_payload(FRAME_KEY));
    key_word_encode(w, &b);
    control_send(j->parts.control, to, FRAME_KEY, 0, b.data, b.len);
    buf_done(&b);
    free(w);
}

/* May this peer have the newest key? Yes if its link was made with it, or if it was a member before the rotation. */
static bool may_have_key(const struct join *j, const struct control_peer *peer) {
    return peer->key_id == io_tls_ctx_key_id(j->tls) || roster_knew(&j->roster, peer->id, j->keys.made);
}

void join_copied(struct join *j, const char *host, const char *by) {
    if (strcmp(j->copied, host) == 0) return;
    snprintf(j->copied, sizeof(j->copied), "%s", host);
    log_error("node",
              "a second machine, at %s, runs with this node's identity (%s refuses it): one state folder is a copy of the other; hint: "
              "on the copy, stop the node, remove the file identity from %s, and start it",
              host, by, j->config.state_dir ? j->config.state_dir : "its state folder");
}

void join_up(struct join *j, const struct control_peer *peer) {
    struct roster_peer p = {.id = peer->id, .port = peer->port, .seen = clock_wall_s()};
    memcpy(p.public_key, peer->public_key, sizeof(p.public_key));
    memcpy(p.name, peer->name, sizeof(p.name));
    memcpy(p.host, peer->host, sizeof(p.host));
    if (roster_meet(&j->roster, &p)) {
        j->unsaved = true;
        tell_met(j);
    }
    if (peer->key_id != io_tls_ctx_key_id(j->tls)) send_key(j, peer->id);
}

/* ---- who is shut out ---- */

void join_speak(const struct join *j, struct record *own) {
    memcpy(own->removed, j->roster.removed, sizeof(own->removed));
    own->n_removed = j->roster.n_removed;
}

/* Takes one word in; true: it was news. */
static bool take_word(struct join *j, const struct roster_removed *w) {
    bool self = memcmp(w->public_key, j->identity.public_key, sizeof(w->public_key)) == 0;
    if (!roster_hear(&j->roster, w, clock_wall_s())) return false;
    j->unsaved = true;
    if (!self) set_out(j, w);
    if (self && w->out)
        log_error("node", "this node was shut out of the cluster; hint: on a member: caravan nodes allow %s", j->config.name);
    for (size_t i = 0; !w->out && i < j->roster.n_peers; i++) { /* it may be dialled again */
        const struct roster_peer *p = &j->roster.peers[i];
        if (memcmp(p->public_key, w->public_key, sizeof(p->public_key)) == 0) control_dial(j->parts.control, p->host, p->port);
    }
    if (self || !w->out) return true;
    struct err why = {0};
    log_info("node", "\"%s\" is shut out of the cluster", w->name);
    err_set(&why, ERR_AUTH, "node \"%s\" was shut out of the cluster", w->name);
    err_hint(&why, "on a member: caravan nodes allow %s", w->name);
    control_shut(j->parts.control, io_sign_id(w->public_key), &why);
    return true;
}

void join_hear(struct join *j, const struct record *r) {
    const struct record_peer *own = record_peer_of(r, j->identity.id);
    if (own && own->copy[0]) join_copied(j, own->copy, r->name);
    bool news = false;
    for (size_t i = 0; i < r->n_removed; i++) news = take_word(j, &r->removed[i]) || news;
    if (news) news_own(j->parts.news);
}

/* The public key of the node with this name, whether it is remembered or shut out. */
static err_code find_named(const struct join *j, const char *name, const uint8_t **ret_key, const char **ret_name, struct err *e) {
    bool many = false;
    const struct roster_peer *p = roster_find(&j->roster, name, &many);
    if (many) {
        err_set(e, ERR_INVALID, "several nodes are called \"%s\"", name);
        err_hint(e, "give the beginning of the node's id instead, as `caravan nodes` shows it");
        return ERR_INVALID;
    }
    *ret_key = p ? p->public_key : NULL;
    *ret_name = p ? p->name : NULL;
    for (size_t i = 0; i < j->roster.n_removed && !*ret_key; i++) {
        const struct roster_removed *w = &j->roster.removed[i];
        if (!roster_is_called(io_sign_id(w->public_key), w->name, name)) continue;
        *ret_key = w->public_key;
        *ret_name = w->name;
    }
    if (*ret_key) return ERR_OK;
    if (strcmp(name, j->config.name) == 0) return err_set(e, ERR_INVALID, "\"%s\" is this node itself: run this on another one", name);
    return err_set(e, ERR_NOT_FOUND, "no node called \"%s\" has been met", name);
}

static err_code set_named(struct join *j, const char *name, bool out, struct err *e) {
    const uint8_t *key;
    const char *full;
    err_code code = find_named(j, name, &key, &full, e);
    if (code != ERR_OK) return code;
    struct roster_removed word = roster_word(&j->roster, key, full, out, clock_wall_s());
    if (!take_word(j, &word))
        return err_set(e, ERR_LIMIT, "%d nodes are shut out already: change the key instead (caravan key rotate)", ROSTER_MAX_REMOVED);
    save(j);
    news_own(j->parts.news);
    return ERR_OK;
}

err_code join_allow(struct join *j, const char *name, struct err *e) { return set_named(j, name, false, e); }

err_code join_remove(struct join *j, const char *name, int64_t grace_s, size_t *ret_told, struct err *e) {
    err_code code = set_named(j, name, true, e);
    return code == ERR_OK ? join_rotate(j, grace_s, ret_told, e) : code; /* it knows the present key, and could come under another name */
}

void join_status(const struct join *j, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "removed");
    for (size_t i = 0; i < j->roster.n_removed; i++) {
        const struct roster_removed *w = &j->roster.removed[i];
        char id[20];
        if (!w->out) continue;
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)io_sign_id(w->public_key));
        yyjson_mut_obj_add_strcpy(doc, o, "id", id);
        yyjson_mut_obj_add_strcpy(doc, o, "name", w->name);
        yyjson_mut_obj_add_int(doc, o, "time", w->time);
    }
}

/* ---- who is forgotten ---- */

static err_code forget(struct join *j, const uint8_t *key, struct err *e) {
    struct control_peer linked;
    struct roster_peer was;
    if (control_find(j->parts.control, io_sign_id(key), &linked)) {
        err_set(e, ERR_BUSY, "\"%s\" is linked: only a node that is gone can be forgotten", linked.name);
        err_hint(e, "caravan nodes remove %s shuts it out", linked.name);
        return ERR_BUSY;
    }
    if (!roster_forget(&j->roster, key, &was)) return err_set(e, ERR_NOT_FOUND, "it is not remembered here");
    control_undial(j->parts.control, was.host, was.port);
    save(j);
    tell_met(j);
    return ERR_OK;
}

err_code join_forget(struct join *j, const char *name, struct err *e) {
    const uint8_t *found;
    const char *full;
    uint8_t key[IO_SIGN_PUBLIC_SIZE];
    err_code code = find_named(j, name, &found, &full, e);
    if (code != ERR_OK) return code;
    memcpy(key, found, sizeof(key)); /* the place in the roster goes */
    code = forget(j, key, e);
    if (code == ERR_NOT_FOUND) err_set(e, code, "no node called \"%s\" is remembered", name);
    if (code != ERR_OK) return code;
    char hex[2 * IO_SIGN_PUBLIC_SIZE + 1], text[sizeof(hex) + 16];
    str_hex(key, sizeof(key), hex);
    int len = snprintf(text, sizeof(text), "{\"key\":\"%s\"}", hex);
    send_all(j, FRAME_FORGET, text, (size_t)len);
    return ERR_OK;
}

err_code join_on_forget(struct join *j, const uint8_t *payload, size_t len, struct err *e) {
    yyjson_doc *doc;
    const char *hex = NULL;
    uint8_t key[IO_SIGN_PUBLIC_SIZE];
    err_code code = json_parse((const char *)payload, len, &doc, e);
    if (code != ERR_OK) return code;
    code = json_need_str(yyjson_doc_get_root(doc), "key", &hex, e);
    if (code == ERR_OK && !str_unhex(hex, key, sizeof(key)))
        code = err_set(e, ERR_INVALID, "field \"key\": expected 64 hexadecimal digits");
    yyjson_doc_free(doc);
    if (code == ERR_OK && memcmp(key, j->identity.public_key, sizeof(key)) != 0)
        forget(j, key, NULL); /* a node that is linked is not forgotten */
    return code;
}

/* ---- the key's rotation ---- */

/* The key ring has changed: saves it, uses it, and sends the new key to others. */
static err_code keys_changed(struct join *j, struct err *e) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    err_code code = key_ring_save(j->config.key_file, &j->keys, e);
    use_keys(j);
    tell_met(j);
    size_t n = control_peers(j->parts.control, peers, CONTROL_MAX_LINKS);
    for (size_t i = 0; i < n; i++)
        if (may_have_key(j, &peers[i])) send_key(j, peers[i].id);
    free(peers);
    start_discovery(j);
    return code;
}

err_code join_rotate(struct join *j, int64_t grace_s, size_t *ret_told, struct err *e) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    *ret_told = control_peers(j->parts.control, peers, CONTROL_MAX_LINKS);
    free(peers);
    key_ring_rotate(&j->keys, clock_wall_s(), grace_s);
    log_info("node", "the cluster key was changed; the old one is good for %lld s more", (long long)grace_s);
    return keys_changed(j, e);
}

static void take_key(struct join *j, uint64_t from, const struct key_word *k) {
    int news = key_ring_hear(&j->keys, k->key, k->made, clock_wall_s(), k->grace);
    if (news < 0) send_key(j, from); /* the other node's key is the older one */
    if (news <= 0) return;
    struct err unsaved = {0};
    log_info("node", "the cluster key was changed by another node; the old one is good for %lld s more", (long long)k->grace);
    if (keys_changed(j, &unsaved) != ERR_OK) log_error("node", "%s", unsaved.text);
}

err_code join_on_key(struct join *j, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct key_word *k = MEM_NEW(struct key_word);
    bool news = false;
    err_code code = key_word_decode(payload, len, k, e);
    if (code == ERR_OK && !clock_stamp_ok(k->made, j->keys.made, clock_wall_s()))
        code = err_set(e, ERR_INVALID, "a cluster key from the far future: it could never be changed again");
    for (size_t i = 0; i < k->n_removed && code == ERR_OK; i++) news = take_word(j, &k->removed[i]) || news;
    if (code == ERR_OK) take_key(j, from, k);
    if (news) news_own(j->parts.news);
    free(k);
    return code;
}

void join_tick(struct join *j) {
    if (j->unsaved) save(j);
    if (j->keys.old_until == 0 || j->keys.old_until > clock_wall_s()) return;
    j->keys.old_until = 0;
    struct err e = {0};
    if (key_ring_save(j->config.key_file, &j->keys, &e) != ERR_OK) log_error("node", "%s", e.text);
    use_keys(j);
    log_info("node", "the old cluster key is no longer accepted");
}
