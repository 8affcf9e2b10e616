/* SPDX-License-Identifier: MIT
 * JSON of the messages between a node and its stage children. Numbers of one kind stand in one list for both directions. */
#include "wire/stage_msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "wire/bounds.h"
#include "wire/frame.h"

static const char *const DTYPE_NAMES[FRAME_DTYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};
static const char *const PHASE_NAMES[STAGE_PHASE_COUNT] = {"loading", "connecting", "ready", "draining"};

/* ---- helpers ---- */

struct writing {
    yyjson_mut_doc *doc;
    yyjson_mut_val *obj;
};

static struct writing write_begin(void) {
    struct writing w = {.doc = yyjson_mut_doc_new(NULL)};
    w.obj = yyjson_mut_obj(w.doc);
    yyjson_mut_doc_set_root(w.doc, w.obj);
    return w;
}

static void write_end(struct writing *w, struct buf *out) {
    json_write(out, w->doc);
    yyjson_mut_doc_free(w->doc);
}

static err_code read_begin(const uint8_t *data, size_t len, const char *what, yyjson_doc **ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code == ERR_OK && !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        code = err_set(e, ERR_FORMAT, "%s: expected a JSON object", what);
    }
    if (code == ERR_OK) *ret = doc;
    return code;
}

/* The index of the word at `key` in names, or ERR_INVALID. */
static err_code get_word(yyjson_val *obj, const char *key, const char *const *names, size_t n, size_t *ret, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, key, &text, e);
    if (code != ERR_OK || text == NULL) return code;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = i;
            return ERR_OK;
        }
    }
    return err_set(e, ERR_INVALID, "field \"%s\": unknown word \"%.40s\"", key, text);
}

/* ---- LOAD ---- */

#define ORDER_TEXTS(X) X(instance) X(model) X(path) X(next_host) X(source_host) X(cache) X(draft)
#define ORDER_NODES(X) X(next_node) X(prev_node) X(self_node) X(source_node)
#define ORDER_BYTES(X) X(key, key) X(pass_node, pass.node) X(pass_secret, pass.secret) X(pass_word, pass.word)
#define ORDER_PORTS(X) X(next_port) X(source_port)
#define ORDER_NUMBERS(X) \
    X(first, 1 << 20) \
    X(end, 1 << 20) \
    X(stage, 63) \
    X(n_stage, 64) \
    X(n_queue, 1 << 20) \
    X(n_credit, 256) \
    X(prefix_cache, 1) \
    X(latency_ms, 3600000) \
    X(n_draft, STAGE_MAX_DRAFT) X(draft_always, 1) X(spin_us, 1000000) X(connect_timeout_ms, 3600000) X(beat_ms, 60000)

void stage_order_init(struct stage_order *o) {
    memset(o, 0, sizeof(*o));
    engine_load_init(&o->load);
    o->n_stage = 1;
    o->spin_us = STAGE_SPIN_US;
    o->connect_timeout_ms = 60000;
    o->beat_ms = STAGE_BEAT_MS;
    o->n_queue = 256;
    o->prefix_cache = 1;
    o->latency_ms = 200;
}

void stage_order_name(const struct stage_order *o, uint32_t stage, char *ret, size_t size) {
    snprintf(ret, size, "ring-%s-%016" PRIx64 "-%u.caravan", o->instance, o->epoch, stage);
}

static err_code get_hex(yyjson_val *obj, const char *key, uint8_t *ret, size_t size, struct err *e) {
    const char *hex = NULL;
    err_code code = json_get_str(obj, key, &hex, e);
    if (code == ERR_OK && hex != NULL && !str_unhex(hex, ret, size))
        code = err_set(e, ERR_INVALID, "field \"%s\": expected %zu hexadecimal digits", key, 2 * size);
    return code;
}

static err_code get_port(yyjson_val *obj, const char *key, uint16_t *ret, struct err *e) {
    uint32_t port = *ret;
    err_code code = json_get_u32(obj, key, UINT16_MAX, &port, e);
    *ret = (uint16_t)port;
    return code;
}

void stage_order_encode(const struct stage_order *o, struct buf *out) {
    struct writing w = write_begin();
#define X(field) yyjson_mut_obj_add_str(w.doc, w.obj, #field, o->field);
    ORDER_TEXTS(X)
#undef X
#define X(field, max) yyjson_mut_obj_add_uint(w.doc, w.obj, #field, o->field);
    ORDER_NUMBERS(X)
#undef X
#define X(name, field) \
    char name[2 * sizeof(o->field) + 1]; \
    str_hex(o->field, sizeof(o->field), name);
    ORDER_BYTES(X)
#undef X
    yyjson_mut_obj_add_uint(w.doc, w.obj, "epoch", o->epoch);
    yyjson_mut_obj_add_uint(w.doc, w.obj, "cache_limit", o->cache_limit);
    yyjson_mut_obj_add_uint(w.doc, w.obj, "need", o->need);
#define X(name, field) yyjson_mut_obj_add_str(w.doc, w.obj, #name, name);
    ORDER_BYTES(X)
#undef X
#define X(field) yyjson_mut_obj_add_uint(w.doc, w.obj, #field, o->field);
    ORDER_PORTS(X)
#undef X
#define X(field) json_add_id(w.doc, w.obj, #field, o->field);
    ORDER_NODES(X)
#undef X
    yyjson_mut_obj_add_str(w.doc, w.obj, "dtype", DTYPE_NAMES[o->dtype]);
    yyjson_mut_obj_add_val(w.doc, w.obj, "load", engine_load_to_json(&o->load, w.doc));
    write_end(&w, out);
}

static err_code read_order(yyjson_val *obj, struct stage_order *o, struct err *e) {
    err_code code;
#define X(field) \
    if ((code = json_get_text(obj, #field, o->field, sizeof(o->field), e)) != ERR_OK) return code;
    ORDER_TEXTS(X)
#undef X
#define X(field, max) \
    if ((code = json_get_u32(obj, #field, max, &o->field, e)) != ERR_OK) return code;
    ORDER_NUMBERS(X)
#undef X
    size_t dtype = o->dtype;
    if ((code = json_get_u64(obj, "epoch", &o->epoch, e)) != ERR_OK || (code = json_get_u64(obj, "need", &o->need, e)) != ERR_OK ||
        (code = json_get_u64(obj, "cache_limit", &o->cache_limit, e)) != ERR_OK ||
        (code = get_word(obj, "dtype", DTYPE_NAMES, FRAME_DTYPE_COUNT, &dtype, e)) != ERR_OK) {
        return code;
    }
#define X(name, field) \
    if ((code = get_hex(obj, #name, o->field, sizeof(o->field), e)) != ERR_OK) return code;
    ORDER_BYTES(X)
#undef X
#define X(field) \
    if ((code = get_port(obj, #field, &o->field, e)) != ERR_OK) return code;
    ORDER_PORTS(X)
#undef X
#define X(field) \
    if ((code = json_get_id(obj, #field, &o->field, e)) != ERR_OK) return code;
    ORDER_NODES(X)
#undef X
    o->dtype = (uint8_t)dtype;
    yyjson_val *load = yyjson_obj_get(obj, "load");
    if (load != NULL && (code = engine_load_from_json(&o->load, load, e)) != ERR_OK) return code;
    if (o->beat_ms == 0) return err_set(e, ERR_INVALID, "field \"beat_ms\": 0");
    if (o->n_stage == 0 || o->stage >= o->n_stage || o->first >= o->end)
        return err_set(e, ERR_INVALID, "order: stage %u of %u with layers %u to %u", o->stage, o->n_stage, o->first, o->end);
    if (o->n_stage > 1 && (o->next_node == 0 || o->prev_node == 0))
        return err_set(e, ERR_INVALID, "order: stage %u of %u doesn't know the nodes beside it", o->stage, o->n_stage);
    return ERR_OK;
}

err_code stage_order_decode(const uint8_t *data, size_t len, struct stage_order *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = read_begin(data, len, "order", &doc, e);
    if (code != ERR_OK) return code;
    struct stage_order o;
    stage_order_init(&o);
    code = read_order(yyjson_doc_get_root(doc), &o, e);
    if (code == ERR_OK) *ret = o;
    yyjson_doc_free(doc);
    return code;
}

/* ---- STATE ---- */

#define INFO_NUMBERS(X) X(n_embd) X(n_vocab) X(n_ctx_seq) X(n_ctx) X(n_seq) X(n_batch)
#define INFO_BYTES(X)   X(bytes_weights) X(bytes_kv) X(bytes_compute)
#define INFO_FLAGS(X)   X(first) X(last) X(can_remove)

const char *stage_phase_name(enum stage_phase p) { return p < STAGE_PHASE_COUNT ? PHASE_NAMES[p] : "?"; }

void stage_state_encode(const struct stage_state *s, struct buf *out) {
    struct writing w = write_begin();
    yyjson_mut_obj_add_str(w.doc, w.obj, "state", stage_phase_name(s->phase));
    yyjson_mut_obj_add_uint(w.doc, w.obj, "progress", s->progress);
    if (s->fetch.all > 0) {
        yyjson_mut_obj_add_uint(w.doc, w.obj, "fetched", s->fetch.done);
        yyjson_mut_obj_add_uint(w.doc, w.obj, "to_fetch", s->fetch.all);
        yyjson_mut_obj_add_uint(w.doc, w.obj, "fetch_rate", s->fetch.rate);
    }
    if (s->phase != STAGE_LOADING) {
#define X(field) yyjson_mut_obj_add_uint(w.doc, w.obj, #field, s->info.field);
        INFO_NUMBERS(X)
        INFO_BYTES(X)
#undef X
#define X(field) yyjson_mut_obj_add_bool(w.doc, w.obj, #field, s->info.field);
        INFO_FLAGS(X)
#undef X
        yyjson_mut_obj_add_str(w.doc, w.obj, "device", s->info.device);
    }
    write_end(&w, out);
}

static err_code read_state(yyjson_val *obj, struct stage_state *s, struct err *e) {
    size_t phase = STAGE_PHASE_COUNT;
    err_code code;
    if ((code = get_word(obj, "state", PHASE_NAMES, STAGE_PHASE_COUNT, &phase, e)) != ERR_OK ||
        (code = json_get_u32(obj, "progress", 100, &s->progress, e)) != ERR_OK ||
        (code = json_get_u64(obj, "fetched", &s->fetch.done, e)) != ERR_OK ||
        (code = json_get_u64(obj, "to_fetch", &s->fetch.all, e)) != ERR_OK ||
        (code = json_get_u64(obj, "fetch_rate", &s->fetch.rate, e)) != ERR_OK ||
        (code = json_get_text(obj, "device", s->info.device, sizeof(s->info.device), e)) != ERR_OK) {
        return code;
    }
    if (phase == STAGE_PHASE_COUNT) return err_set(e, ERR_INVALID, "field \"state\" is missing");
    s->phase = (enum stage_phase)phase;
#define X(field) \
    if ((code = json_get_u32(obj, #field, UINT32_MAX, &s->info.field, e)) != ERR_OK) return code;
    INFO_NUMBERS(X)
#undef X
#define X(field) \
    if ((code = json_get_u64(obj, #field, &s->info.field, e)) != ERR_OK) return code;
    INFO_BYTES(X)
#undef X
#define X(field) \
    if ((code = json_get_bool(obj, #field, &s->info.field, e)) != ERR_OK) return code;
    INFO_FLAGS(X)
#undef X
    return ERR_OK;
}

err_code stage_state_decode(const uint8_t *data, size_t len, struct stage_state *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = read_begin(data, len, "state", &doc, e);
    if (code != ERR_OK) return code;
    struct stage_state s = {0};
    code = read_state(yyjson_doc_get_root(doc), &s, e);
    if (code == ERR_OK) *ret = s;
    yyjson_doc_free(doc);
    return code;
}

/* ---- FAULT ---- */

static void fault_write(const struct stage_fault *f, const char *text, const char *hint, struct buf *out) {
    struct writing w = write_begin();
    yyjson_mut_obj_add_str(w.doc, w.obj, "error", err_name(f->err.code));
    yyjson_mut_obj_add_str(w.doc, w.obj, "text", text);
    yyjson_mut_obj_add_str(w.doc, w.obj, "hint", hint);
    yyjson_mut_obj_add_uint(w.doc, w.obj, "stage", f->stage);
    yyjson_mut_obj_add_int(w.doc, w.obj, "frame", f->frame);
    yyjson_mut_obj_add_int(w.doc, w.obj, "seq", f->seq);
    yyjson_mut_obj_add_int(w.doc, w.obj, "generation", f->generation);
    yyjson_mut_obj_add_bool(w.doc, w.obj, "fatal", f->fatal);
    write_end(&w, out);
}

void stage_fault_encode(const struct stage_fault *f, struct buf *out) {
    size_t before = out->len;
    fault_write(f, f->err.text, f->err.hint, out);
    if (out->failed) { /* not UTF-8, or out's maximum: at least say what kind it is */
        out->len = before;
        out->failed = false;
        fault_write(f, err_text(f->err.code), "", out);
    }
}

static err_code read_fault(yyjson_val *obj, struct stage_fault *f, struct err *e) {
    char name[32] = "";
    err_code code;
    if ((code = json_get_text(obj, "error", name, sizeof(name), e)) != ERR_OK ||
        (code = json_get_text(obj, "text", f->err.text, sizeof(f->err.text), e)) != ERR_OK ||
        (code = json_get_text(obj, "hint", f->err.hint, sizeof(f->err.hint), e)) != ERR_OK ||
        (code = json_get_u32(obj, "stage", 255, &f->stage, e)) != ERR_OK ||
        (code = json_get_i64(obj, "frame", -1, UINT32_MAX, &f->frame, e)) != ERR_OK ||
        (code = json_get_i64(obj, "seq", -1, FRAME_MAX_SEQ, &f->seq, e)) != ERR_OK ||
        (code = json_get_i64(obj, "generation", -1, UINT32_MAX, &f->generation, e)) != ERR_OK ||
        (code = json_get_bool(obj, "fatal", &f->fatal, e)) != ERR_OK) {
        return code;
    }
    f->err.code = err_from_name(name);
    return name[0] != '\0' && f->err.code != ERR_OK ? ERR_OK : err_set(e, ERR_INVALID, "field \"error\": a fault without an error");
}

err_code stage_fault_decode(const uint8_t *data, size_t len, struct stage_fault *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = read_begin(data, len, "fault", &doc, e);
    if (code != ERR_OK) return code;
    struct stage_fault f = {.frame = -1, .seq = -1, .generation = -1};
    code = read_fault(yyjson_doc_get_root(doc), &f, e);
    if (code == ERR_OK) *ret = f;
    yyjson_doc_free(doc);
    return code;
}

/* ---- SEQ_OPEN ---- */

void stage_open_encode(uint32_t seq, uint32_t generation, const struct engine_sampling *sampling, struct buf *out) {
    struct writing w = write_begin();
    yyjson_mut_obj_add_uint(w.doc, w.obj, "seq", seq);
    yyjson_mut_obj_add_uint(w.doc, w.obj, "generation", generation);
    yyjson_mut_obj_add_val(w.doc, w.obj, "sampling", engine_sampling_to_json(sampling, w.doc));
    write_end(&w, out);
}

err_code stage_open_decode(const uint8_t *data, size_t len, uint32_t *ret_seq, uint32_t *ret_generation,
                           struct engine_sampling *ret_sampling, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = read_begin(data, len, "sequence", &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *obj = yyjson_doc_get_root(doc);
    int64_t seq = 0, generation = 0;
    struct engine_sampling sampling;
    engine_sampling_init(&sampling);
    if ((code = json_need_i64(obj, "seq", 0, FRAME_MAX_SEQ - 1, &seq, e)) == ERR_OK &&
        (code = json_need_i64(obj, "generation", 0, UINT32_MAX, &generation, e)) == ERR_OK) {
        yyjson_val *params = yyjson_obj_get(obj, "sampling");
        code = params != NULL ? engine_sampling_from_json(&sampling, params, e) : err_set(e, ERR_INVALID, "field \"sampling\" is missing");
    }
    yyjson_doc_free(doc);
    if (code != ERR_OK) {
        engine_sampling_done(&sampling);
        return code;
    }
    *ret_seq = (uint32_t)seq;
    *ret_generation = (uint32_t)generation;
    *ret_sampling = sampling;
    return ERR_OK;
}
