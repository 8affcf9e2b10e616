/* SPDX-License-Identifier: MIT
 * See status.h. */
#include "node/status.h"

#include <stdio.h>

void status_progress(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct record_stage *s) {
    yyjson_mut_obj_add_str(doc, o, "state", stage_phase_name(s->phase));
    yyjson_mut_obj_add_uint(doc, o, "progress", s->progress);
    if (s->fetch.all == 0) return;
    yyjson_mut_obj_add_uint(doc, o, "fetched", s->fetch.done);
    yyjson_mut_obj_add_uint(doc, o, "to_fetch", s->fetch.all);
    yyjson_mut_obj_add_uint(doc, o, "fetch_rate", s->fetch.rate);
    if (s->fetch.rate > 0) yyjson_mut_obj_add_uint(doc, o, "seconds_left", (s->fetch.all - s->fetch.done) / s->fetch.rate);
}

/* Of the stage's link to the next one. */
static void status_traffic(const struct status *s, uint64_t node, const struct record_stage *stage, yyjson_mut_doc *doc,
                           yyjson_mut_val *o) {
    const struct ask_link *l = traffic_find(s->traffic, node, stage->instance, stage->stage);
    if (l == NULL) return;
    yyjson_mut_obj_add_uint(doc, o, "sent_bytes", l->sent);
    yyjson_mut_obj_add_uint(doc, o, "received_bytes", l->received);
    yyjson_mut_obj_add_uint(doc, o, "sent_frames", l->frames);
}

static void status_stages(const struct status *all, const struct record *r, yyjson_mut_doc *doc, yyjson_mut_val *node) {
    yyjson_mut_val *stages = yyjson_mut_obj_add_arr(doc, node, "stages");
    for (uint32_t i = 0; i < r->n_stages; i++) {
        const struct record_stage *s = &r->stages[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, stages);
        yyjson_mut_obj_add_strcpy(doc, o, "instance", s->instance);
        yyjson_mut_obj_add_uint(doc, o, "epoch", s->epoch >> 32);
        yyjson_mut_obj_add_uint(doc, o, "stage", s->stage);
        yyjson_mut_obj_add_uint(doc, o, "first_layer", s->first);
        yyjson_mut_obj_add_uint(doc, o, "last_layer", s->end - 1);
        status_progress(doc, o, s);
        yyjson_mut_obj_add_uint(doc, o, "bytes", s->bytes);
        yyjson_mut_obj_add_uint(doc, o, "weights", s->weights);
        yyjson_mut_obj_add_uint(doc, o, "kv", s->kv);
        yyjson_mut_obj_add_uint(doc, o, "compute", s->compute);
        yyjson_mut_obj_add_strcpy(doc, o, "device", s->device);
        yyjson_mut_val *on = s->n_on > 0 ? yyjson_mut_obj_add_arr(doc, o, "on") : NULL;
        for (uint32_t k = 0; k < s->n_on; k++) {
            yyjson_mut_val *gpu = yyjson_mut_arr_add_obj(doc, on);
            yyjson_mut_obj_add_strcpy(doc, gpu, "device", s->on[k].device);
            yyjson_mut_obj_add_uint(doc, gpu, "bytes", s->on[k].bytes);
        }
        status_traffic(all, r->id, s, doc, o);
        if (s->threads > 0) yyjson_mut_obj_add_uint(doc, o, "threads", s->threads);
        if (s->threads > 0) yyjson_mut_obj_add_uint(doc, o, "threads_batch", s->threads_batch);
        if (s->n_cpu_moe > 0) yyjson_mut_obj_add_uint(doc, o, "cpu_moe", s->n_cpu_moe);
        if (s->measured) yyjson_mut_obj_add_real(doc, o, "tokens_per_second", s->tps);
    }
}

static void status_links(const struct record *r, yyjson_mut_doc *doc, yyjson_mut_val *node) {
    yyjson_mut_val *links = yyjson_mut_obj_add_arr(doc, node, "links");
    for (uint32_t i = 0; i < r->n_peers; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, links);
        char id[20];
        snprintf(id, sizeof(id), "%016llx", (unsigned long long)r->peers[i].id);
        yyjson_mut_obj_add_strcpy(doc, o, "id", id);
        yyjson_mut_obj_add_uint(doc, o, "rtt_us", r->peers[i].rtt_us);
        yyjson_mut_obj_add_uint(doc, o, "bytes_per_second", r->peers[i].throughput);
        yyjson_mut_obj_add_str(doc, o, "reach", record_reach_name(r->peers[i].reach));
        yyjson_mut_obj_add_str(doc, o, "way", record_way_name(r->peers[i].way));
        if (r->peers[i].copy[0]) yyjson_mut_obj_add_strcpy(doc, o, "copy", r->peers[i].copy);
    }
}

static void status_pulls(const struct record *r, yyjson_mut_doc *doc, yyjson_mut_val *node) {
    yyjson_mut_val *pulls = yyjson_mut_obj_add_arr(doc, node, "pulls");
    for (uint32_t i = 0; i < r->n_pulls; i++) {
        const struct record_pull *p = &r->pulls[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, pulls);
        yyjson_mut_obj_add_strcpy(doc, o, "source", p->source);
        yyjson_mut_obj_add_strcpy(doc, o, "model", p->model);
        yyjson_mut_obj_add_str(doc, o, "state", record_pull_state_name(p->state));
        yyjson_mut_obj_add_uint(doc, o, "done", p->fetch.done);
        yyjson_mut_obj_add_uint(doc, o, "all", p->fetch.all);
        yyjson_mut_obj_add_uint(doc, o, "rate", p->fetch.rate);
        yyjson_mut_obj_add_strcpy(doc, o, "message", p->message);
        yyjson_mut_obj_add_strcpy(doc, o, "hint", p->hint);
    }
}

static void status_node(const struct status *s, const struct record *r, const char *state, yyjson_mut_doc *doc, yyjson_mut_val *nodes) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, nodes);
    char id[20];
    struct control_peer peer;
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)r->id);
    yyjson_mut_obj_add_strcpy(doc, o, "id", id);
    yyjson_mut_obj_add_strcpy(doc, o, "name", r->name);
    yyjson_mut_obj_add_bool(doc, o, "self", r->id == s->own->id);
    yyjson_mut_obj_add_str(doc, o, "state", state);
    yyjson_mut_obj_add_strcpy(doc, o, "api", r->api);
    yyjson_mut_obj_add_bool(doc, o, "drained", r->drained);
    yyjson_mut_obj_add_uint(doc, o, "memory", r->memory);
    if (control_find(s->control, r->id, &peer)) {
        yyjson_mut_obj_add_strcpy(doc, o, "host", peer.host);
        yyjson_mut_obj_add_uint(doc, o, "port", peer.port);
        yyjson_mut_obj_add_uint(doc, o, "rtt_us", peer.rtt_us);
    }
    yyjson_mut_obj_add_int(doc, o, "cpu_moe", r->cpu_moe);
    profile_put(&r->profile, doc, o);
    status_links(r, doc, o);
    status_stages(s, r, doc, o);
    status_pulls(r, doc, o);
}

const char *status_model(const struct record_model *m) {
    return m->ready ? "ready" : m->failed ? "failed" : m->n_stage > 0 ? "loading" : "waiting";
}

static void status_models(const struct record *r, yyjson_mut_doc *doc, yyjson_mut_val *models) {
    for (uint32_t i = 0; i < r->n_models; i++) {
        const struct record_model *m = &r->models[i];
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, models);
        yyjson_mut_obj_add_strcpy(doc, o, "name", m->name);
        yyjson_mut_obj_add_strcpy(doc, o, "instance", m->instance);
        yyjson_mut_obj_add_strcpy(doc, o, "coordinator", r->name);
        yyjson_mut_obj_add_bool(doc, o, "ready", m->ready);
        yyjson_mut_obj_add_str(doc, o, "state", status_model(m));
        yyjson_mut_obj_add_strcpy(doc, o, "wire_type", m->wire);
        yyjson_mut_obj_add_real(doc, o, "predicted_tokens_per_second", m->predicted_tps);
        yyjson_mut_obj_add_uint(doc, o, "stages", m->n_stage);
        yyjson_mut_obj_add_uint(doc, o, "layers", m->n_layer);
        yyjson_mut_obj_add_uint(doc, o, "n_ctx", m->n_ctx);
        yyjson_mut_obj_add_uint(doc, o, "n_embd", m->facts.n_embd);
        yyjson_mut_obj_add_strcpy(doc, o, "message", m->message);
    }
}

yyjson_mut_val *status_make(const struct status *s, yyjson_mut_doc *doc) {
    const struct records *others = s->records;
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_str(doc, root, "version", CARAVAN_VERSION);
    yyjson_mut_obj_add_uint(doc, root, "requests", s->requests);
    yyjson_mut_obj_add_uint(doc, root, "weights_sent", s->weights_sent);
    yyjson_mut_obj_add_uint(doc, root, "turn_frames", control_turn_most(s->control));
    yyjson_mut_val *nodes = yyjson_mut_obj_add_arr(doc, root, "nodes");
    yyjson_mut_val *models = yyjson_mut_obj_add_arr(doc, root, "models");
    status_node(s, s->own, "here", doc, nodes);
    status_models(s->own, doc, models);
    for (size_t i = 0; i < others->n_linked; i++) {
        status_node(s, others->linked[i], "linked", doc, nodes);
        status_models(others->linked[i], doc, models);
    }
    for (size_t i = 0; i < others->n_suspects; i++) status_node(s, others->suspects[i], "suspect", doc, nodes);
    return root;
}
