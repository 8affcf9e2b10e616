/* SPDX-License-Identifier: MIT
 * See node_priv.h. What this node says of itself, to the other nodes and to the admin API. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_priv.h"
#include "node/status.h"

static void record_stages(const struct node *n, struct record *r) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)) && r->n_stages < RECORD_MAX_STAGES; i++) {
        const struct stage_order *o = stage_child_order(c);
        const struct stage_state *s = stage_child_state(c);
        struct record_stage *out = &r->stages[r->n_stages++];
        *out = (struct record_stage){.epoch = o->epoch,
                                     .stage = o->stage,
                                     .first = o->first,
                                     .end = o->end,
                                     .phase = s->phase,
                                     .progress = s->progress,
                                     .fetch = s->fetch,
                                     .bytes = hold_bytes(c)};
        memcpy(out->instance, o->instance, sizeof(out->instance));
        memcpy(out->device, s->info.device, sizeof(out->device));
        learned_record(n->learned, o, out);
    }
}

static void record_models(const struct node *n, struct record *r) {
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(n->core, i)) != NULL && r->n_models < RECORD_MAX_MODELS; i++) {
        struct record_model *m = &r->models[r->n_models++];
        *m = *own;
        learned_model(n->learned, m);
        m->chat_template = mem_strdup(m->chat_template);
    }
    r->cards = mem_calloc(catalog_count(n->catalog), sizeof(*r->cards));
    const struct catalog_entry *file;
    for (size_t i = 0; (file = catalog_get(n->catalog, i)) != NULL && r->n_cards < RECORD_MAX_FILES; i++)
        r->cards[r->n_cards++] = file->card;
}

static void record_peers(const struct node *n, struct record *r) {
    struct control_peer peers[RECORD_MAX_PEERS];
    r->n_peers = (uint32_t)control_peers(n->control, peers, RECORD_MAX_PEERS);
    for (uint32_t i = 0; i < r->n_peers; i++) {
        r->peers[i].id = peers[i].id;
        r->peers[i].port = peers[i].port;
        r->peers[i].rtt_us = peers[i].rtt_us;
        r->peers[i].throughput = links_throughput(n->links, peers[i].id);
        r->peers[i].reach = reach_of(n->reach, peers[i].id);
        memcpy(r->peers[i].host, peers[i].host, sizeof(r->peers[i].host));
        memcpy(r->peers[i].copy, peers[i].copy, sizeof(r->peers[i].copy));
    }
}

void node_own_record(void *user, struct record *ret) {
    const struct node *n = user;
    ret->id = n->id;
    snprintf(ret->name, sizeof(ret->name), "%s", n->name);
    ret->memory = n->memory;
    measure_record(n->measure, ret);
    ret->probes = true;
    if (n->gateway)
        snprintf(ret->api, sizeof(ret->api), strchr(n->config->api.host, ':') ? "[%.64s]:%u" : "%.64s:%u", n->config->api.host,
                 gateway_port(n->gateway));
    record_stages(n, ret);
    holdings_record(n->holdings, ret);
    record_models(n, ret);
    join_speak(n->join, ret);
    ret->unloads = *coordinator_unloads(n->core);
    record_peers(n, ret);
}

yyjson_mut_val *node_status(void *user, yyjson_mut_doc *doc) {
    const struct node *n = user;
    struct record own = {0};
    node_own_record(user, &own);
    const struct status s = {.own = &own,
                             .records = &n->records,
                             .control = n->control,
                             .requests = calls_count(n->calls),
                             .weights_sent = weights_server_sent(n->weights)};
    yyjson_mut_val *root = status_make(&s, doc);
    join_status(n->join, doc, root);
    record_done(&own);
    return root;
}
