/* SPDX-License-Identifier: MIT
 * See cluster_key.h. */
#include "peers/cluster_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "members/key.h"

struct cluster_key {
    struct cluster_key_parts parts; /* zero until cluster_key_connect */
    struct known *known;
    char *path;
    struct io_tls_ctx *tls; /* NULL until the key has been read */
    struct key_ring ring;
    uint8_t link[IO_TLS_KEY_SIZE];
    bool made; /* by this start */
};

/* Takes over the keys of the key ring. */
static void use_ring(struct cluster_key *k) {
    uint8_t old[IO_TLS_KEY_SIZE];
    bool has_old = k->ring.old_until > clock_wall_s();
    key_link(k->ring.key, k->link);
    if (has_old) key_link(k->ring.old, old);
    io_tls_ctx_set_keys(k->tls, k->link, has_old ? old : NULL);
}

err_code cluster_key_open(const char *path, struct known *known, struct cluster_key **ret, struct err *e) {
    struct cluster_key *k = MEM_NEW(struct cluster_key);
    k->known = known;
    k->path = mem_strdup(path);
    *ret = k;
    err_code code = key_ring_open(path, &k->ring, &k->made, e);
    if (code != ERR_OK) return code;
    key_link(k->ring.key, k->link);
    k->tls = io_tls_ctx_create(k->link, e);
    if (!k->tls) return ERR_INTERNAL;
    use_ring(k);
    known_key_made(known, k->ring.made);
    return ERR_OK;
}

void cluster_key_connect(struct cluster_key *k, const struct cluster_key_parts *parts) { k->parts = *parts; }

void cluster_key_free(struct cluster_key *k) {
    if (!k) return;
    io_tls_ctx_free(k->tls);
    free(k->path);
    free(k);
}

bool cluster_key_is_new(const struct cluster_key *k) { return k->made; }
const uint8_t *cluster_key_get(const struct cluster_key *k) { return k->ring.key; }
struct io_tls_ctx *cluster_key_tls(const struct cluster_key *k) { return k->tls; }
const uint8_t *cluster_key_link(const struct cluster_key *k) { return k->link; }

/* ---- links ---- */

/* Was the link made with the newest key? */
static bool has_newest(const struct cluster_key *k, const struct control_peer *peer) { return peer->key_id == io_tls_ctx_key_id(k->tls); }

/* A peer may have the newest key if it has that already, or if it was a member before the rotation. */
static bool may_have_newest(const struct cluster_key *k, const struct control_peer *peer) {
    return has_newest(k, peer) || known_before(k->known, peer->id, k->ring.made);
}

err_code cluster_key_admit(const struct cluster_key *k, const struct control_peer *peer, struct err *e) {
    if (known_is_out(k->known, peer->public_key)) {
        err_set(e, ERR_AUTH, "node \"%s\" was shut out of the cluster", peer->name);
        err_hint(e, "on a member: caravan nodes allow %s", peer->name);
        return ERR_AUTH;
    }
    if (!may_have_newest(k, peer)) {
        err_set(e, ERR_AUTH, "the cluster's key was changed, and the old one only serves nodes that were members before");
        err_hint(e, "caravan invite on a member; then here: caravan leave, and caravan join CODE");
        return ERR_AUTH;
    }
    return ERR_OK;
}

/* The words about nodes that are shut out go with the key, so that nobody passes it on to such a node unknowingly. */
static void send_key(const struct cluster_key *k, uint64_t to) {
    int64_t grace = k->ring.old_until ? k->ring.old_until - clock_wall_s() : 0;
    struct key_word *w = MEM_NEW(struct key_word);
    struct buf b;
    w->made = k->ring.made;
    w->grace = grace > 0 ? grace : 0;
    memcpy(w->key, k->ring.key, sizeof(w->key));
    w->n_removed = (uint32_t)known_words(k->known, w->removed);
    buf_init(&b, frame_max_payload(FRAME_KEY));
    key_word_encode(w, &b);
    control_send(k->parts.control, to, FRAME_KEY, 0, b.data, b.len);
    buf_done(&b);
    free(w);
}

void cluster_key_greet(const struct cluster_key *k, const struct control_peer *peer) {
    if (!has_newest(k, peer)) send_key(k, peer->id);
}

/* ---- rotation ---- */

/* The key ring has changed: saves it, uses it, and sends the new key to others. */
static err_code ring_changed(struct cluster_key *k, struct err *e) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    err_code code = key_ring_save(k->path, &k->ring, e);
    use_ring(k);
    known_key_made(k->known, k->ring.made);
    size_t n = control_peers(k->parts.control, peers, CONTROL_MAX_LINKS);
    for (size_t i = 0; i < n; i++)
        if (may_have_newest(k, &peers[i])) send_key(k, peers[i].id);
    free(peers);
    k->parts.changed(k->parts.user);
    return code;
}

err_code cluster_key_rotate(struct cluster_key *k, int64_t grace_s, size_t *ret_told, struct err *e) {
    struct control_peer *peers = mem_calloc(CONTROL_MAX_LINKS, sizeof(*peers));
    *ret_told = control_peers(k->parts.control, peers, CONTROL_MAX_LINKS);
    free(peers);
    key_ring_rotate(&k->ring, clock_wall_s(), grace_s);
    log_info("node", "the cluster key was changed; the old one is good for %lld s more", (long long)grace_s);
    return ring_changed(k, e);
}

static void take_key(struct cluster_key *k, uint64_t from, const struct key_word *w) {
    int news = key_ring_hear(&k->ring, w->key, w->made, clock_wall_s(), w->grace);
    if (news < 0) send_key(k, from); /* the other node's key is the older one */
    if (news <= 0) return;
    struct err unsaved = {0};
    log_info("node", "the cluster key was changed by another node; the old one is good for %lld s more", (long long)w->grace);
    if (ring_changed(k, &unsaved) != ERR_OK) log_error("node", "%s", unsaved.text);
}

err_code cluster_key_on_key(struct cluster_key *k, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct key_word *w = MEM_NEW(struct key_word);
    err_code code = key_word_decode(payload, len, w, e);
    if (code == ERR_OK && !clock_stamp_ok(w->made, k->ring.made, clock_wall_s()))
        code = err_set(e, ERR_INVALID, "a cluster key from the far future: it could never be changed again");
    if (code == ERR_OK) {
        known_hear(k->known, w->removed, w->n_removed);
        take_key(k, from, w);
    }
    free(w);
    return code;
}

void cluster_key_tick(struct cluster_key *k) {
    struct err e = {0};
    if (k->ring.old_until == 0 || k->ring.old_until > clock_wall_s()) return;
    k->ring.old_until = 0;
    if (key_ring_save(k->path, &k->ring, &e) != ERR_OK) log_error("node", "%s", e.text);
    use_ring(k);
    log_info("node", "the old cluster key is no longer accepted");
}
