/* SPDX-License-Identifier: MIT
 * See record.h. */
#include "members/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/hash.h"

static const char *const RECORD_PHASES[STAGE_PHASE_COUNT] = {"loading", "connecting", "ready", "draining"};
static const char *const RECORD_REACHES[RECORD_REACH_COUNT] = {"unknown", "yes", "no"};
static const char *const RECORD_WAYS[RECORD_WAY_COUNT] = {"unknown", "inside", "wired", "wifi", "vpn"};
static const char *const RECORD_PULL_STATES[RECORD_PULL_STATE_COUNT] = {"listing", "fetching", "checking", "done", "failed"};
#define MESSAGES_RECORD
#include "base/field_tables.h"
#undef MESSAGES_RECORD

const char *record_reach_name(enum record_reach r) { return RECORD_REACHES[r]; }
const char *record_way_name(enum record_way w) { return RECORD_WAYS[w]; }
const char *record_pull_state_name(enum record_pull_state s) { return RECORD_PULL_STATES[s]; }

const struct record_peer *record_peer_of(const struct record *r, uint64_t id) {
    for (uint32_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id) return &r->peers[i];
    return NULL;
}

void record_done(struct record *r) { field_done(record_fields(), r); }

void record_encode(const struct record *r, struct buf *out) { field_encode(record_fields(), r, out); }

static size_t card_size(const struct model_card *c) {
    enum { FIELDS = 160 }; /* the fields' names, and numbers of any length */
    return FIELDS + json_size(c->name) + json_size(c->id) + json_size(c->arch) + json_size(c->quant);
}

void record_fit(struct record *r, size_t max) {
    enum { FIELD = 20 };
    struct record rest = *r; /* borrows everything */
    struct buf b;
    rest.n_cards = 0;
    for (uint32_t i = 0; i < r->n_models; i++) rest.models[i].chat_template = NULL;
    buf_init(&b, SIZE_MAX - 1);
    record_encode(&rest, &b);
    size_t used = b.len;
    buf_done(&b);
    for (uint32_t i = 0; i < r->n_models; i++) {
        char *template = r->models[i].chat_template;
        size_t need = template ? json_size(template) + FIELD : 0;
        if (used + need > max) {
            free(template);
            r->models[i].chat_template = NULL;
        } else {
            used += need;
        }
    }
    uint32_t n = 0;
    while (n < r->n_cards && used + card_size(&r->cards[n]) <= max) used += card_size(&r->cards[n++]);
    r->n_cards = n;
}

err_code record_decode(const uint8_t *data, size_t len, struct record *ret, struct err *e) {
    err_code code = field_decode(record_fields(), data, len, ret, e);
    for (uint32_t i = 0; code == ERR_OK && i < ret->n_files; i++)
        if (!model_id_ok(ret->files[i].model)) code = err_set_field(e, ERR_INVALID, "model", "not a model's id");
    if (code == ERR_OK) return ERR_OK;
    record_done(ret);
    err_prefix(e, "node record");
    return code;
}
