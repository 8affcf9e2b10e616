/* SPDX-License-Identifier: MIT
 * See record.h. 64-bit ids and epochs are written as 16 hexadecimal digits: JSON numbers are doubles to many readers. */
#include "members/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/hash.h"

void record_done(struct record *r) {
    for (uint32_t i = 0; i < r->n_models; i++) free(r->models[i].chat_template);
    free(r->cards);
    memset(r, 0, sizeof(*r));
}

uint64_t record_memory_for(const struct record *r, const char *instance) {
    uint64_t used = 0;
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (strcmp(r->stages[i].instance, instance) != 0) used += r->stages[i].bytes;
    return used < r->memory ? r->memory - used : 0;
}

/* ---- writing ---- */

static void facts_encode(const struct model_facts *f, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_obj_add_str(doc, o, "family", f->family);
    yyjson_mut_obj_add_str(doc, o, "quantization", f->quantization);
    yyjson_mut_obj_add_str(doc, o, "digest", f->digest);
    yyjson_mut_obj_add_str(doc, o, "fim_pre", f->fim_pre);
    yyjson_mut_obj_add_str(doc, o, "fim_suf", f->fim_suf);
    yyjson_mut_obj_add_str(doc, o, "fim_mid", f->fim_mid);
    yyjson_mut_obj_add_uint(doc, o, "n_params", f->n_params);
    yyjson_mut_obj_add_uint(doc, o, "bytes", f->bytes);
    yyjson_mut_obj_add_uint(doc, o, "n_embd", f->n_embd);
    yyjson_mut_obj_add_uint(doc, o, "n_layer", f->n_layer);
    yyjson_mut_obj_add_uint(doc, o, "n_ctx_train", f->n_ctx_train);
    yyjson_mut_obj_add_uint(doc, o, "pooling", f->pooling);
}

static void model_encode(const struct record_model *m, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_obj_add_str(doc, o, "name", m->name);
    yyjson_mut_obj_add_str(doc, o, "instance", m->instance);
    json_add_id(doc, o, "head", m->head);
    if (m->chat_template) yyjson_mut_obj_add_str(doc, o, "chat_template", m->chat_template);
    yyjson_mut_obj_add_str(doc, o, "bos", m->bos);
    yyjson_mut_obj_add_str(doc, o, "eos", m->eos);
    yyjson_mut_obj_add_uint(doc, o, "n_ctx", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, o, "n_vocab", m->n_vocab);
    yyjson_mut_obj_add_uint(doc, o, "n_stage", m->n_stage);
    yyjson_mut_obj_add_uint(doc, o, "n_layer", m->n_layer);
    yyjson_mut_obj_add_int(doc, o, "created", m->created);
    yyjson_mut_obj_add_bool(doc, o, "ready", m->ready);
    yyjson_mut_obj_add_str(doc, o, "wire", m->wire);
    yyjson_mut_obj_add_real(doc, o, "predicted_tps", m->predicted_tps);
    yyjson_mut_obj_add_str(doc, o, "message", m->message);
    facts_encode(&m->facts, doc, yyjson_mut_obj_add_obj(doc, o, "facts"));
    yyjson_mut_obj_add_bool(doc, o, "failed", m->failed);
    yyjson_mut_obj_add_uint(doc, o, "replica", m->replica);
    wish_write(&m->wish, doc, yyjson_mut_obj_add_obj(doc, o, "wish"));
}

static void card_encode(const struct model_card *c, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_obj_add_str(doc, o, "name", c->name);
    yyjson_mut_obj_add_str(doc, o, "id", c->id);
    yyjson_mut_obj_add_str(doc, o, "arch", c->arch);
    yyjson_mut_obj_add_str(doc, o, "quant", c->quant);
    yyjson_mut_obj_add_uint(doc, o, "bytes", c->bytes);
    yyjson_mut_obj_add_uint(doc, o, "params", c->params);
    yyjson_mut_obj_add_uint(doc, o, "n_layer", c->n_layer);
    yyjson_mut_obj_add_uint(doc, o, "n_ctx", c->n_ctx);
}

static void stage_encode(const struct record_stage *s, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_obj_add_str(doc, o, "instance", s->instance);
    json_add_id(doc, o, "epoch", s->epoch);
    yyjson_mut_obj_add_uint(doc, o, "stage", s->stage);
    yyjson_mut_obj_add_uint(doc, o, "first", s->first);
    yyjson_mut_obj_add_uint(doc, o, "end", s->end);
    yyjson_mut_obj_add_uint(doc, o, "phase", s->phase);
    yyjson_mut_obj_add_uint(doc, o, "progress", s->progress);
    yyjson_mut_obj_add_uint(doc, o, "fetched", s->fetch.done);
    yyjson_mut_obj_add_uint(doc, o, "to_fetch", s->fetch.all);
    yyjson_mut_obj_add_uint(doc, o, "fetch_rate", s->fetch.rate);
    yyjson_mut_obj_add_uint(doc, o, "bytes", s->bytes);
    yyjson_mut_obj_add_str(doc, o, "device", s->device);
    if (s->measured == 0) return;
    yyjson_mut_obj_add_uint(doc, o, "measured", s->measured);
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second", s->tps);
    yyjson_mut_val *pace = yyjson_mut_obj_add_arr(doc, o, "pace");
    for (uint32_t i = 0; i < s->n_pace; i++) yyjson_mut_arr_add_real(doc, pace, s->pace[i]);
}

void record_encode(const struct record *r, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    json_add_id(doc, root, "id", r->id);
    yyjson_mut_obj_add_str(doc, root, "name", r->name);
    yyjson_mut_obj_add_uint(doc, root, "memory", r->memory);
    yyjson_mut_obj_add_str(doc, root, "api", r->api);
    yyjson_mut_obj_add_bool(doc, root, "probes", r->probes);
    profile_put(&r->profile, doc, root);
    yyjson_mut_val *models = yyjson_mut_obj_add_arr(doc, root, "models");
    for (uint32_t i = 0; i < r->n_models; i++) model_encode(&r->models[i], doc, yyjson_mut_arr_add_obj(doc, models));
    yyjson_mut_val *stages = yyjson_mut_obj_add_arr(doc, root, "stages");
    for (uint32_t i = 0; i < r->n_stages; i++) stage_encode(&r->stages[i], doc, yyjson_mut_arr_add_obj(doc, stages));
    yyjson_mut_val *files = yyjson_mut_obj_add_arr(doc, root, "files");
    for (uint32_t i = 0; i < r->n_files; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, files);
        yyjson_mut_obj_add_str(doc, o, "model", r->files[i].model);
        yyjson_mut_obj_add_bool(doc, o, "whole", r->files[i].whole);
    }
    yyjson_mut_val *cards = yyjson_mut_obj_add_arr(doc, root, "cards");
    for (uint32_t i = 0; i < r->n_cards; i++) card_encode(&r->cards[i], doc, yyjson_mut_arr_add_obj(doc, cards));
    yyjson_mut_val *peers = yyjson_mut_obj_add_arr(doc, root, "peers");
    for (uint32_t i = 0; i < r->n_peers; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, peers);
        json_add_id(doc, o, "id", r->peers[i].id);
        yyjson_mut_obj_add_str(doc, o, "host", r->peers[i].host);
        yyjson_mut_obj_add_uint(doc, o, "port", r->peers[i].port);
        yyjson_mut_obj_add_uint(doc, o, "rtt_us", r->peers[i].rtt_us);
        yyjson_mut_obj_add_uint(doc, o, "bytes_per_second", r->peers[i].throughput);
    }
    roster_words_encode(r->removed, r->n_removed, doc, root, "removed");
    unloads_encode(&r->unloads, doc, root);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

/* ---- reading ---- */

static err_code facts_decode(yyjson_val *o, struct model_facts *f, struct err *e) {
    err_code code = json_get_line(o, "family", f->family, sizeof(f->family), e);
    if (code == ERR_OK) code = json_get_line(o, "quantization", f->quantization, sizeof(f->quantization), e);
    if (code == ERR_OK) code = json_get_line(o, "digest", f->digest, sizeof(f->digest), e);
    if (code == ERR_OK) code = json_get_text(o, "fim_pre", f->fim_pre, sizeof(f->fim_pre), e);
    if (code == ERR_OK) code = json_get_text(o, "fim_suf", f->fim_suf, sizeof(f->fim_suf), e);
    if (code == ERR_OK) code = json_get_text(o, "fim_mid", f->fim_mid, sizeof(f->fim_mid), e);
    if (code == ERR_OK) code = json_get_u64(o, "n_params", &f->n_params, e);
    if (code == ERR_OK) code = json_get_u64(o, "bytes", &f->bytes, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_embd", INT32_MAX, &f->n_embd, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_layer", INT32_MAX, &f->n_layer, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_ctx_train", INT32_MAX, &f->n_ctx_train, e);
    return code == ERR_OK ? json_get_u32(o, "pooling", MODEL_POOLING_COUNT - 1, &f->pooling, e) : code;
}

static err_code model_decode(yyjson_val *o, struct record_model *m, struct err *e) {
    const char *template = NULL;
    err_code code = json_get_line(o, "name", m->name, sizeof(m->name), e);
    if (code == ERR_OK) code = json_get_line(o, "instance", m->instance, sizeof(m->instance), e);
    if (code == ERR_OK) code = json_need_id(o, "head", &m->head, e);
    if (code == ERR_OK) code = json_get_text(o, "bos", m->bos, sizeof(m->bos), e);
    if (code == ERR_OK) code = json_get_text(o, "eos", m->eos, sizeof(m->eos), e);
    if (code == ERR_OK) code = json_get_u32(o, "n_ctx", INT32_MAX, &m->n_ctx, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_vocab", INT32_MAX, &m->n_vocab, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_stage", RECORD_MAX_STAGES, &m->n_stage, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_layer", INT32_MAX, &m->n_layer, e);
    if (code == ERR_OK) code = json_get_i64(o, "created", 0, INT64_MAX, &m->created, e);
    if (code == ERR_OK) code = json_get_bool(o, "ready", &m->ready, e);
    if (code == ERR_OK) code = json_get_line(o, "wire", m->wire, sizeof(m->wire), e);
    if (code == ERR_OK) code = json_get_double(o, "predicted_tps", 0, 1e9, &m->predicted_tps, e);
    if (code == ERR_OK) code = json_get_text(o, "message", m->message, sizeof(m->message), e);
    if (code == ERR_OK) code = facts_decode(yyjson_obj_get(o, "facts"), &m->facts, e);
    if (code == ERR_OK) code = json_get_bool(o, "failed", &m->failed, e);
    if (code == ERR_OK) code = json_get_u32(o, "replica", RECORD_MAX_MODELS, &m->replica, e);
    if (code == ERR_OK) code = wish_read(yyjson_obj_get(o, "wish"), &m->wish, e);
    if (code == ERR_OK) code = json_get_str(o, "chat_template", &template, e);
    if (code == ERR_OK && template && strlen(template) > RECORD_MAX_TEMPLATE)
        code = err_set(e, ERR_LIMIT, "field \"chat_template\": too long");
    if (code == ERR_OK) m->chat_template = mem_strdup(template);
    return code;
}

static err_code pace_decode(yyjson_val *o, struct record_stage *s, struct err *e) {
    yyjson_val *pace = yyjson_obj_get(o, "pace"), *v;
    size_t i, max;
    err_code code = json_get_u32(o, "measured", INT32_MAX, &s->measured, e);
    if (code == ERR_OK) code = json_get_double(o, "tokens_per_second", 0, 1e9, &s->tps, e);
    if (code == ERR_OK && yyjson_arr_size(pace) > RECORD_MAX_STAGES) code = err_set(e, ERR_LIMIT, "field \"pace\": too long");
    yyjson_arr_foreach(pace, i, max, v) if (code == ERR_OK) s->pace[s->n_pace++] = yyjson_get_num(v);
    return code;
}

static err_code stage_decode(yyjson_val *o, struct record_stage *s, struct err *e) {
    uint32_t phase = 0;
    err_code code = json_get_line(o, "instance", s->instance, sizeof(s->instance), e);
    if (code == ERR_OK) code = json_need_id(o, "epoch", &s->epoch, e);
    if (code == ERR_OK) code = json_get_u32(o, "stage", RECORD_MAX_STAGES, &s->stage, e);
    if (code == ERR_OK) code = json_get_u32(o, "first", INT32_MAX, &s->first, e);
    if (code == ERR_OK) code = json_get_u32(o, "end", INT32_MAX, &s->end, e);
    if (code == ERR_OK) code = json_get_u32(o, "phase", STAGE_PHASE_COUNT - 1, &phase, e);
    if (code == ERR_OK) code = json_get_u32(o, "progress", 100, &s->progress, e);
    if (code == ERR_OK) code = json_get_u64(o, "fetched", &s->fetch.done, e);
    if (code == ERR_OK) code = json_get_u64(o, "to_fetch", &s->fetch.all, e);
    if (code == ERR_OK) code = json_get_u64(o, "fetch_rate", &s->fetch.rate, e);
    if (code == ERR_OK) code = json_get_u64(o, "bytes", &s->bytes, e);
    if (code == ERR_OK) code = json_get_text(o, "device", s->device, sizeof(s->device), e);
    if (code == ERR_OK) code = pace_decode(o, s, e);
    s->phase = (enum stage_phase)phase;
    return code;
}

static err_code file_decode(yyjson_val *o, struct record_file *f, struct err *e) {
    err_code code = json_get_line(o, "model", f->model, sizeof(f->model), e);
    if (code == ERR_OK && !model_id_ok(f->model)) code = err_set(e, ERR_INVALID, "field \"model\": not a model's id");
    return code == ERR_OK ? json_get_bool(o, "whole", &f->whole, e) : code;
}

static err_code card_decode(yyjson_val *o, struct model_card *c, struct err *e) {
    err_code code = json_get_line(o, "name", c->name, sizeof(c->name), e);
    if (code == ERR_OK) code = json_get_line(o, "id", c->id, sizeof(c->id), e);
    if (code == ERR_OK) code = json_get_line(o, "arch", c->arch, sizeof(c->arch), e);
    if (code == ERR_OK) code = json_get_line(o, "quant", c->quant, sizeof(c->quant), e);
    if (code == ERR_OK) code = json_get_u64(o, "bytes", &c->bytes, e);
    if (code == ERR_OK) code = json_get_u64(o, "params", &c->params, e);
    if (code == ERR_OK) code = json_get_u32(o, "n_layer", INT32_MAX, &c->n_layer, e);
    return code == ERR_OK ? json_get_u32(o, "n_ctx", INT32_MAX, &c->n_ctx, e) : code;
}

static err_code peer_decode(yyjson_val *o, struct record_peer *p, struct err *e) {
    uint32_t port = 0;
    err_code code = json_need_id(o, "id", &p->id, e);
    if (code == ERR_OK) code = json_get_line(o, "host", p->host, sizeof(p->host), e);
    if (code == ERR_OK) code = json_get_u32(o, "port", 65535, &port, e);
    if (code == ERR_OK) code = json_get_u32(o, "rtt_us", INT32_MAX, &p->rtt_us, e);
    if (code == ERR_OK) code = json_get_u64(o, "bytes_per_second", &p->throughput, e);
    p->port = (uint16_t)port;
    return code;
}

/* An array of objects with at most max elements; an absent one is empty. */
static err_code get_array(yyjson_val *root, const char *key, size_t max, yyjson_val **ret, struct err *e) {
    *ret = yyjson_obj_get(root, key);
    if (*ret && !yyjson_is_arr(*ret)) return err_set(e, ERR_INVALID, "field \"%s\": expected an array", key);
    if (yyjson_arr_size(*ret) > max) return err_set(e, ERR_LIMIT, "field \"%s\": more than %zu entries", key, max);
    return ERR_OK;
}

static err_code record_arrays(yyjson_val *root, struct record *r, struct err *e) {
    yyjson_val *models, *stages, *files, *cards, *peers, *v;
    yyjson_arr_iter it;
    err_code code = get_array(root, "models", RECORD_MAX_MODELS, &models, e);
    if (code == ERR_OK) code = get_array(root, "stages", RECORD_MAX_STAGES, &stages, e);
    if (code == ERR_OK) code = get_array(root, "files", RECORD_MAX_FILES, &files, e);
    if (code == ERR_OK) code = get_array(root, "cards", RECORD_MAX_FILES, &cards, e);
    if (code == ERR_OK) code = get_array(root, "peers", RECORD_MAX_PEERS, &peers, e);
    if (code != ERR_OK) return code;
    for (yyjson_arr_iter_init(models, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = model_decode(v, &r->models[r->n_models++], e);
    for (yyjson_arr_iter_init(stages, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = stage_decode(v, &r->stages[r->n_stages++], e);
    r->cards = mem_calloc(yyjson_arr_size(cards), sizeof(*r->cards));
    for (yyjson_arr_iter_init(cards, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = card_decode(v, &r->cards[r->n_cards++], e);
    for (yyjson_arr_iter_init(files, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = file_decode(v, &r->files[r->n_files++], e);
    for (yyjson_arr_iter_init(peers, &it); code == ERR_OK && (v = yyjson_arr_iter_next(&it));)
        code = peer_decode(v, &r->peers[r->n_peers++], e);
    return code;
}

err_code record_decode(const uint8_t *data, size_t len, struct record *ret, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    code = json_need_id(root, "id", &ret->id, e);
    if (code == ERR_OK) code = json_get_line(root, "name", ret->name, sizeof(ret->name), e);
    if (code == ERR_OK) code = json_get_u64(root, "memory", &ret->memory, e);
    if (code == ERR_OK) code = json_get_line(root, "api", ret->api, sizeof(ret->api), e);
    if (code == ERR_OK) code = json_get_bool(root, "probes", &ret->probes, e);
    if (code == ERR_OK) code = profile_get(root, &ret->profile, e);
    if (code == ERR_OK) code = record_arrays(root, ret, e);
    if (code == ERR_OK) code = roster_words_decode(root, "removed", ret->removed, &ret->n_removed, e);
    if (code == ERR_OK) code = unloads_decode(root, &ret->unloads, e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) {
        record_done(ret);
        err_prefix(e, "node record");
    }
    return code;
}

/* ---- stage reports ---- */

void stage_report_encode(const struct stage_report *r, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "instance", r->instance);
    json_add_id(doc, root, "epoch", r->epoch);
    yyjson_mut_obj_add_uint(doc, root, "stage", r->stage);
    struct buf state;
    buf_init(&state, 65536);
    if (r->failed) {
        yyjson_mut_obj_add_uint(doc, root, "origin", r->origin);
        yyjson_mut_obj_add_str(doc, root, "error", err_name(r->err.code));
        yyjson_mut_obj_add_str(doc, root, "text", r->err.text);
        yyjson_mut_obj_add_str(doc, root, "hint", r->err.hint);
    } else {
        stage_state_encode(&r->state, &state);
        yyjson_mut_obj_add_val(doc, root, "state", yyjson_mut_rawn(doc, (const char *)state.data, state.len));
    }
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
    buf_done(&state);
}

static err_code report_error(yyjson_val *root, const char *name, struct stage_report *ret, struct err *e) {
    ret->failed = true;
    ret->err.code = err_from_name(name);
    if (ret->err.code == ERR_OK) ret->err.code = ERR_INTERNAL;
    err_code code = json_get_text(root, "text", ret->err.text, sizeof(ret->err.text), e);
    return code == ERR_OK ? json_get_text(root, "hint", ret->err.hint, sizeof(ret->err.hint), e) : code;
}

static err_code report_state(yyjson_val *root, struct stage_report *ret, struct err *e) {
    size_t n = 0;
    char *text = yyjson_val_write(yyjson_obj_get(root, "state"), 0, &n);
    if (!text) return err_set(e, ERR_INVALID, "field \"state\": expected an object");
    err_code code = stage_state_decode((const uint8_t *)text, n, &ret->state, e);
    free(text);
    return code;
}

err_code stage_report_decode(const uint8_t *data, size_t len, struct stage_report *ret, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    memset(ret, 0, sizeof(*ret));
    const char *error = NULL;
    code = json_get_line(root, "instance", ret->instance, sizeof(ret->instance), e);
    if (code == ERR_OK) code = json_need_id(root, "epoch", &ret->epoch, e);
    if (code == ERR_OK) code = json_get_u32(root, "stage", RECORD_MAX_STAGES, &ret->stage, e);
    ret->origin = ret->stage;
    if (code == ERR_OK) code = json_get_u32(root, "origin", RECORD_MAX_STAGES, &ret->origin, e);
    if (code == ERR_OK) code = json_get_str(root, "error", &error, e);
    if (code == ERR_OK) code = error ? report_error(root, error, ret, e) : report_state(root, ret, e);
    yyjson_doc_free(doc);
    return code;
}
