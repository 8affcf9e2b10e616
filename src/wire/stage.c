/* SPDX-License-Identifier: MIT
 * JSON of the messages between nodes and stages: the rules that the tables of fields cannot express. */
#include "wire/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "wire/bounds.h"
#include "wire/frame.h"

static const char *const DTYPE_NAMES[FRAME_DTYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};
static const char *const PHASE_NAMES[STAGE_PHASE_COUNT] = {"loading", "connecting", "ready", "draining"};
static const char *const UNLOAD_NAMES[STAGE_UNLOAD_COUNT] = {"lost", "if_idle", "crashed", "for_good"};
#define MESSAGES_STAGE
#include "base/field_tables.h"
#undef MESSAGES_STAGE

const char *stage_phase_name(enum stage_phase p) { return p < STAGE_PHASE_COUNT ? PHASE_NAMES[p] : "?"; }

/* ---- LOAD ---- */

void stage_order_init(struct stage_order *o) { field_init(stage_order_fields(), o); }

void stage_order_adapters(struct stage_order *o, const struct model_adapter *list, uint32_t n) {
    o->n_adapters = n;
    for (uint32_t i = 0; i < n; i++) {
        struct stage_adapter *to = &o->adapters[i];
        *to = (struct stage_adapter){.scale = list[i].scale};
        memcpy(to->path, list[i].path, sizeof(to->path));
        memcpy(to->id, list[i].id, sizeof(to->id));
    }
}

void stage_order_encode(const struct stage_order *o, struct buf *out) { field_encode(stage_order_fields(), o, out); }

err_code stage_order_decode(const uint8_t *data, size_t len, struct stage_order *ret, struct err *e) {
    struct stage_order o;
    err_code code = field_decode(stage_order_fields(), data, len, &o, e);
    if (code != ERR_OK) return code;
    if (o.stage >= o.n_stage || o.first >= o.end)
        return err_set(e, ERR_INVALID, "order: stage %u of %u with layers %u to %u", o.stage, o.n_stage, o.first, o.end);
    if (o.n_stage > 1 && (o.next_node == 0 || o.prev_node == 0))
        return err_set(e, ERR_INVALID, "order: stage %u of %u doesn't know the nodes beside it", o.stage, o.n_stage);
    *ret = o;
    return ERR_OK;
}

/* ---- STATE ---- */

void stage_state_encode(const struct stage_state *s, struct buf *out) { field_encode(stage_state_fields(), s, out); }

err_code stage_state_decode(const uint8_t *data, size_t len, struct stage_state *ret, struct err *e) {
    return field_decode(stage_state_fields(), data, len, ret, e);
}

void stage_report_encode(const struct stage_report *r, struct buf *out) { field_encode(stage_report_fields(), r, out); }

err_code stage_report_decode(const uint8_t *data, size_t len, struct stage_report *ret, struct err *e) {
    struct stage_report r;
    err_code code = field_decode(stage_report_fields(), data, len, &r, e);
    if (code == ERR_OK && r.failed && r.err.code == ERR_OK) code = err_set(e, ERR_INVALID, "a report of a failure without an error");
    if (code == ERR_OK) *ret = r;
    return code;
}

/* ---- FAULT ---- */

void stage_fault_encode(const struct stage_fault *f, struct buf *out) { field_encode(stage_fault_fields(), f, out); }

err_code stage_fault_decode(const uint8_t *data, size_t len, struct stage_fault *ret, struct err *e) {
    struct stage_fault f;
    err_code code = field_decode(stage_fault_fields(), data, len, &f, e);
    if (code == ERR_OK && f.err.code == ERR_OK) code = err_set(e, ERR_INVALID, "a fault without an error");
    if (code == ERR_OK) *ret = f;
    return code;
}

/* ---- LOST ---- */

void stage_lost_encode(const uint64_t *keys, size_t n, struct buf *out) {
    uint8_t *bytes = mem_calloc(n + 1, sizeof(*keys));
    for (size_t i = 0; i < n; i++) bytes_put_u64(bytes + 8 * i, keys[i]);
    field_encode(stage_lost_fields(), &(struct stage_lost){.n = (uint32_t)n, .keys = bytes}, out);
    free(bytes);
}

err_code stage_lost_decode(const uint8_t *data, size_t len, struct stage_lost *ret, struct err *e) {
    return field_decode(stage_lost_fields(), data, len, ret, e);
}

uint64_t stage_lost_key(const struct stage_lost *l, size_t i) { return bytes_get_u64(l->keys + 8 * i); }

/* ---- SEQ_OPEN, UNLOAD ---- */

void stage_open_encode(const struct stage_open *o, struct buf *out) { field_encode(stage_open_fields(), o, out); }

err_code stage_open_decode(const uint8_t *data, size_t len, struct stage_open *ret, struct err *e) {
    return field_decode(stage_open_fields(), data, len, ret, e);
}

void stage_unload_encode(const struct stage_unload *u, struct buf *out) { field_encode(stage_unload_fields(), u, out); }

err_code stage_unload_decode(const uint8_t *data, size_t len, struct stage_unload *ret, struct err *e) {
    return field_decode(stage_unload_fields(), data, len, ret, e);
}
