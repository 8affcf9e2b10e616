/* SPDX-License-Identifier: MIT
 * See join.h. */
#include "peers/join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "members/interfaces.h"
#include "members/invite.h"
#include "members/key.h"
#include "peers/discovery.h"

struct join {
    struct join_config config;
    struct join_parts parts; /* zero until join_connect */
    struct identity identity;
    struct known *known;
    struct cluster_key *key;
    struct discovery *discovery; /* NULL: none */
    char own_key[KEY_TEXT_SIZE]; /* "": none */
    char copied[64];             /* where a machine with this node's identity was last seen */
};

static char *state_path(const struct join *j, const char *file) {
    return j->config.state_dir ? mem_printf("%s%s", j->config.state_dir, file) : NULL;
}

const struct identity *join_identity(const struct join *j) { return &j->identity; }
struct cluster_key *join_key(const struct join *j) { return j->key; }
struct known *join_known(const struct join *j) { return j->known; }
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

static void open_known(struct join *j) {
    char *path = state_path(j, "peers.json");
    j->known = known_open(
        &(struct known_config){.name = j->config.name, .self = j->identity.public_key, .path = path, .writes = j->identity.lock_fd >= 0});
    free(path);
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
    j->config = *config;
    j->identity.lock_fd = -1;
    *ret = j;
    err_code code = open_identity(j, e);
    if (code != ERR_OK) return code;
    open_known(j);
    code = cluster_key_open(config->key_file, j->known, &j->key, e);
    return code == ERR_OK ? make_own_key(j, e) : code;
}

err_code join_invite(const struct join *j, char ret[INVITE_TEXT_SIZE], struct err *e) {
    struct invite in = {0};
    memcpy(in.key, cluster_key_get(j->key), sizeof(in.key));
    in.n_addrs = interfaces_reach(j->config.listen_host, j->parts.port, in.addrs, INVITE_MAX_ADDRS);
    return invite_encode(&in, ret, e);
}

/* For people: a join code is a secret, and what is not a terminal may be a log. */
static void print_code(struct join *j) {
    char text[INVITE_TEXT_SIZE];
    if (!isatty(STDOUT_FILENO)) {
        log_info("node", "this machine has made a new cluster; `caravan invite` prints the line that makes another machine a member");
        return;
    }
    if (join_invite(j, text, NULL) != ERR_OK) return;
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

/* The cluster's name there depends on its key. */
static void start_discovery(void *user) {
    struct join *j = user;
    const struct join_config *c = &j->config;
    discovery_free(j->discovery);
    j->discovery = NULL;
    if (!c->discovery) return;
    struct discovery_line own = {.id = j->identity.id, .port = j->parts.port, .interfaces = c->interfaces, .n_interfaces = c->n_interfaces};
    snprintf(own.name, sizeof(own.name), "%s", c->name);
    key_cluster_hash(cluster_key_get(j->key), own.cluster);
    j->discovery = discovery_start(c->loop, c->program, &own, on_found, on_gone, j);
}

void join_connect(struct join *j, const struct join_parts *p) {
    j->parts = *p;
    known_connect(j->known, &(struct known_parts){.control = p->control, .members = p->members, .weights = p->weights, .news = p->news});
    cluster_key_connect(j->key, &(struct cluster_key_parts){.control = p->control, .changed = start_discovery, .user = j});
}

void join_start(struct join *j, uint16_t api_port) {
    known_start(j->known);
    if (join_state_dir(j)) write_place(j, api_port);
    start_discovery(j);
    if (cluster_key_is_new(j->key) && j->config.state_dir) print_code(j);
}

/* ---- the end ---- */

static void remove_file(const struct join *j, const char *file) {
    char *path = state_path(j, file);
    if (path) unlink(path);
    free(path);
}

void join_stop(struct join *j) {
    if (!j) return;
    if (j->known) known_save(j->known);
    if (j->identity.lock_fd >= 0 && j->parts.control) remove_file(j, "node.json");
    if (j->identity.lock_fd >= 0) remove_file(j, JOIN_OWN_KEY);
    discovery_free(j->discovery);
    j->discovery = NULL;
}

void join_free(struct join *j) {
    if (!j) return;
    cluster_key_free(j->key);
    known_free(j->known);
    identity_done(&j->identity);
    free(j);
}

/* ---- events ---- */

void join_up(struct join *j, const struct control_peer *peer) {
    known_met(j->known, peer);
    cluster_key_greet(j->key, peer);
}

void join_copied(struct join *j, const char *host, const char *by) {
    if (strcmp(j->copied, host) == 0) return;
    snprintf(j->copied, sizeof(j->copied), "%s", host);
    log_error("node",
              "a second machine, at %s, runs with this node's identity (%s refuses it): one state folder is a copy of the other; hint: "
              "on the copy, stop the node, remove the file identity from %s, and start it",
              host, by, j->config.state_dir ? j->config.state_dir : "its state folder");
}

void join_hear(struct join *j, const struct record *r) {
    const struct record_peer *own = record_peer_of(r, j->identity.id);
    if (own && own->copy[0]) join_copied(j, own->copy, r->name);
    known_hear(j->known, r->removed, r->n_removed);
    known_learn(j->known, r);
}

void join_tick(struct join *j) {
    known_save(j->known);
    cluster_key_tick(j->key);
}

err_code join_remove(struct join *j, const char *name, int64_t grace_s, size_t *ret_told, struct err *e) {
    err_code code = known_set_out(j->known, name, true, e);
    if (code != ERR_OK) return code;
    return cluster_key_rotate(j->key, grace_s, ret_told, e); /* the node knows the present key, and could come under another name */
}
