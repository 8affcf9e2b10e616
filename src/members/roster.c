/* SPDX-License-Identifier: MIT
 * See roster.h. */
#include "members/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "members/identity.h"
#define MESSAGES_ROSTER
#include "base/field_tables.h"
#undef MESSAGES_ROSTER

enum { MAX_FILE = 1 << 20 };

/* ---- peers ---- */

bool roster_meet(struct roster *r, const struct roster_peer *p) {
    struct roster_peer *slot = NULL, *oldest = &r->peers[0];
    for (size_t i = 0; i < r->n_peers; i++) {
        struct roster_peer *q = &r->peers[i];
        bool same_place = q->port == p->port && strcmp(q->host, p->host) == 0;
        if (q->id == p->id ? p->id != 0 || same_place : (q->id == 0 || p->id == 0) && same_place) slot = q;
        if (q->seen < oldest->seen) oldest = q;
    }
    if (slot && p->id == 0) return false; /* an address that is known already */
    bool changed =
        !slot || slot->id != p->id || slot->port != p->port || strcmp(slot->host, p->host) != 0 || strcmp(slot->name, p->name) != 0;
    struct roster_peer was = {.since = p->seen};
    if (slot && slot->id == p->id) was = *slot;
    if (!slot) slot = r->n_peers < ROSTER_MAX_PEERS ? &r->peers[r->n_peers++] : oldest;
    *slot = *p;
    slot->since = was.since;
    roster_learn(r, p->id, was.memory, was.hardware, was.n_hardware);
    return changed;
}

bool roster_learn(struct roster *r, uint64_t id, uint64_t memory, const struct roster_hardware *hardware, uint32_t n_hardware) {
    for (size_t i = 0; i < r->n_peers; i++) {
        struct roster_peer *p = &r->peers[i];
        size_t size = n_hardware * sizeof(*hardware);
        if (p->id != id || id == 0) continue;
        if (p->memory == memory && p->n_hardware == n_hardware && memcmp(p->hardware, hardware, size) == 0) return false;
        p->memory = memory;
        p->n_hardware = n_hardware;
        memcpy(p->hardware, hardware, size);
        return true;
    }
    return false;
}

bool roster_forget(struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], struct roster_peer *ret_was) {
    for (size_t i = 0; i < r->n_peers; i++) {
        if (r->peers[i].id == 0 || memcmp(r->peers[i].public_key, public_key, IO_SIGN_PUBLIC_SIZE) != 0) continue;
        *ret_was = r->peers[i];
        r->peers[i] = r->peers[--r->n_peers];
        return true;
    }
    return false;
}

bool roster_knew(const struct roster *r, uint64_t id, int64_t time) {
    for (size_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id && id != 0) return r->peers[i].since <= time;
    return false;
}

bool roster_is_called(uint64_t id, const char *its_name, const char *name) {
    char hex[20];
    size_t len = strlen(name);
    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)id);
    return strcmp(its_name, name) == 0 || (len >= 4 && strncmp(hex, name, len) == 0);
}

const struct roster_peer *roster_find(const struct roster *r, const char *name, bool *ret_many) {
    const struct roster_peer *found = NULL;
    *ret_many = false;
    for (size_t i = 0; i < r->n_peers; i++) {
        if (r->peers[i].id == 0 || !roster_is_called(r->peers[i].id, r->peers[i].name, name)) continue;
        *ret_many = found != NULL;
        if (found) return NULL;
        found = &r->peers[i];
    }
    return found;
}

/* ---- who is shut out ---- */

static struct roster_removed *roster_about(const struct roster *r, const uint8_t *public_key) {
    for (size_t i = 0; i < r->n_removed; i++)
        if (memcmp(r->removed[i].public_key, public_key, IO_SIGN_PUBLIC_SIZE) == 0) return (struct roster_removed *)&r->removed[i];
    return NULL;
}

bool roster_is_out(const struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE]) {
    const struct roster_removed *w = roster_about(r, public_key);
    return w && w->out;
}

bool roster_hear(struct roster *r, const struct roster_removed *word, int64_t now) {
    struct roster_removed *known = roster_about(r, word->public_key);
    if (!clock_stamp_ok(word->time, known ? known->time : 0, now)) return false;
    if (known && (word->time < known->time || (word->time == known->time && word->out <= known->out))) return false;
    if (!known && r->n_removed < ROSTER_MAX_REMOVED) known = &r->removed[r->n_removed++];
    for (size_t i = 0; !known && i < r->n_removed; i++)
        if (!r->removed[i].out) known = &r->removed[i];
    if (!known) return false;
    *known = *word;
    return true;
}

struct roster_removed roster_word(const struct roster *r, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], const char *name, bool out,
                                  int64_t now) {
    struct roster_removed word = {.time = now, .out = out};
    const struct roster_removed *known = roster_about(r, public_key);
    if (known && known->time >= now) word.time = known->time + 1; /* a clock that is behind */
    memcpy(word.public_key, public_key, sizeof(word.public_key));
    snprintf(word.name, sizeof(word.name), "%s", name);
    return word;
}

/* ---- the file ---- */

static err_code hardware_decode(yyjson_val *o, struct roster_peer *p, struct err *e) {
    yyjson_val *list = yyjson_obj_get(o, "hardware"), *v;
    yyjson_arr_iter it;
    err_code code = ERR_OK;
    if (yyjson_arr_size(list) > WAKE_MAX_ADDRESSES)
        return err_set_field(e, ERR_LIMIT, "hardware", "more than %d entries", WAKE_MAX_ADDRESSES);
    if (!yyjson_is_arr(list)) return ERR_OK;
    for (yyjson_arr_iter_init(list, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = field_read(roster_hardware_fields(), v, &p->hardware[p->n_hardware++], e);
    return code;
}

static err_code peer_decode(yyjson_val *o, struct roster_peer *p, struct err *e) {
    const char *key = "";
    int64_t port = 0, memory = 0;
    err_code code = json_get_str(o, "key", &key, e);
    if (code == ERR_OK && key[0] && !str_unhex(key, p->public_key, sizeof(p->public_key)))
        code = err_set_field(e, ERR_INVALID, "key", "expected 64 hexadecimal digits");
    if (code == ERR_OK) code = json_get_line(o, "name", p->name, sizeof(p->name), e);
    if (code == ERR_OK) code = json_get_line(o, "host", p->host, sizeof(p->host), e);
    if (code == ERR_OK) code = json_need_i64(o, "port", 1, 65535, &port, e);
    if (code == ERR_OK) code = json_get_i64(o, "seen", 0, INT64_C(1) << 50, &p->seen, e);
    if (code == ERR_OK) code = json_get_i64(o, "since", 0, INT64_C(1) << 50, &p->since, e);
    if (code == ERR_OK) code = json_get_i64(o, "memory", 0, INT64_MAX, &memory, e);
    if (code == ERR_OK) code = hardware_decode(o, p, e);
    if (code == ERR_OK && !p->host[0]) code = err_set_field(e, ERR_INVALID, "host", "it is empty");
    p->id = key[0] ? io_sign_id(p->public_key) : 0;
    p->port = (uint16_t)port;
    p->memory = (uint64_t)memory;
    return code;
}

static err_code words_decode(yyjson_val *root, struct roster *ret, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "removed"), *v;
    yyjson_arr_iter it;
    err_code code = ERR_OK;
    if (!list) return ERR_OK;
    if (!yyjson_is_arr(list)) return err_set_field(e, ERR_INVALID, "removed", "expected an array");
    if (yyjson_arr_size(list) > ROSTER_MAX_REMOVED)
        return err_set_field(e, ERR_LIMIT, "removed", "more than %d entries", ROSTER_MAX_REMOVED);
    for (yyjson_arr_iter_init(list, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = field_read(roster_removed_fields(), v, &ret->removed[ret->n_removed++], e);
    return code;
}

static err_code roster_parse(const char *text, size_t len, struct roster *ret, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse(text, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc), *peers = yyjson_obj_get(root, "peers"), *v;
    yyjson_arr_iter it;
    code = words_decode(root, ret, e);
    if (code == ERR_OK && yyjson_arr_size(peers) > ROSTER_MAX_PEERS) code = err_set(e, ERR_LIMIT, "more than %d peers", ROSTER_MAX_PEERS);
    if (yyjson_is_arr(peers))
        for (yyjson_arr_iter_init(peers, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
            code = peer_decode(v, &ret->peers[ret->n_peers++], e);
    yyjson_doc_free(doc);
    return code;
}

err_code roster_load(const char *path, struct roster *ret, struct err *e) {
    memset(ret, 0, sizeof(*ret));
    struct buf b;
    buf_init(&b, MAX_FILE);
    err_code code = file_read(path, "the list of peers", &b, e);
    if (code != ERR_OK) {
        buf_done(&b);
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    }
    struct roster *r = MEM_NEW(struct roster);
    code = roster_parse(buf_cstr(&b), b.len, r, e);
    if (code == ERR_OK) *ret = *r;
    free(r);
    buf_done(&b);
    if (code != ERR_OK) {
        err_prefix(e, "the list of peers \"%s\"", path);
        err_hint(e, "remove the file; peers are then found by --peer or discovery");
    }
    return code;
}

static void peer_encode(const struct roster_peer *p, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    char key[2 * IO_SIGN_PUBLIC_SIZE + 1] = "";
    if (p->id) str_hex(p->public_key, IO_SIGN_PUBLIC_SIZE, key);
    yyjson_mut_obj_add_strcpy(doc, o, "key", key);
    yyjson_mut_obj_add_strcpy(doc, o, "name", p->name);
    yyjson_mut_obj_add_strcpy(doc, o, "host", p->host);
    yyjson_mut_obj_add_uint(doc, o, "port", p->port);
    yyjson_mut_obj_add_int(doc, o, "seen", p->seen);
    yyjson_mut_obj_add_int(doc, o, "since", p->since);
    yyjson_mut_obj_add_uint(doc, o, "memory", p->memory);
    yyjson_mut_val *hardware = yyjson_mut_obj_add_arr(doc, o, "hardware");
    for (uint32_t i = 0; i < p->n_hardware; i++)
        yyjson_mut_arr_append(hardware, field_write(roster_hardware_fields(), &p->hardware[i], doc));
}

err_code roster_save(const char *path, const struct roster *r, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_val *peers = yyjson_mut_obj_add_arr(doc, root, "peers");
    for (size_t i = 0; i < r->n_peers; i++) peer_encode(&r->peers[i], doc, yyjson_mut_arr_add_obj(doc, peers));
    yyjson_mut_val *removed = yyjson_mut_obj_add_arr(doc, root, "removed");
    for (size_t i = 0; i < r->n_removed; i++) yyjson_mut_arr_append(removed, field_write(roster_removed_fields(), &r->removed[i], doc));
    struct buf b;
    buf_init(&b, MAX_FILE);
    json_write(&b, doc);
    buf_append_byte(&b, '\n');
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "the list of peers is too long") : file_make_folders(path, e);
    if (code == ERR_OK) code = file_write(path, b.data, b.len, e);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return code;
}
