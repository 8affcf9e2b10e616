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
                                     .aside = o->next_node != n->id && links_outgrown(n->links, o->next_node, o->next_host),
                                     .bytes = hold_bytes(c),
                                     .threads = stage_child_team(c)->single,
                                     .threads_batch = stage_child_team(c)->several,
                                     .weights = s->info.bytes_weights,
                                     .kv = s->info.bytes_kv,
                                     .compute = s->info.bytes_compute};
        memcpy(out->instance, o->instance, sizeof(out->instance));
        memcpy(out->device, s->info.device, sizeof(out->device));
        const struct engine_used *on;
        out->n_on = hold_on(c, &on);
        memcpy(out->on, on, out->n_on * sizeof(*on));
        out->n_cpu_moe = s->info.n_cpu_moe;
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
        r->peers[i].reach = links_reached(n->links, peers[i].id);
        r->peers[i].way = ways_to(n->ways, peers[i].host);
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
    ret->probes = ret->calls = ret->plans = true;
    ret->drained = drain_is_on(n->drain);
    if (n->endpoint)
        snprintf(ret->api, sizeof(ret->api), strchr(n->config->api.host, ':') ? "[%.64s]:%u" : "%.64s:%u", n->config->api.host,
                 endpoint_port(n->endpoint));
    record_stages(n, ret);
    holdings_record(n->holdings, ret);
    pulls_record(n->pulls, ret);
    record_models(n, ret);
    ret->n_hardware = (uint32_t)wake_own(ret->hardware, WAKE_MAX_ADDRESSES);
    ret->n_removed = known_words(join_known(n->join), ret->removed);
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
                             .traffic = balance_traffic(n->balance),
                             .requests = calls_count(n->calls),
                             .weights_sent = weights_server_sent(n->weights)};
    yyjson_mut_val *root = status_make(&s, doc);
    known_status(join_known(n->join), doc, root);
    sleepers_status(n->sleepers, doc, root);
    calls_status(n->calls, doc, root);
    struct load_wish wish;
    struct engine_load load = n->config->load;
    serve_own_wish(n->serve, &wish);
    load.n_ubatch = profile_ubatch(&own.profile, &load);
    wish_set(&wish, WISH_UBATCH, engine_load_ubatch(&load)); /* what 0 stands for here */
    wish_write(&wish, doc, yyjson_mut_obj_add_obj(doc, root, "defaults"));
    if (n->config->models_dir) yyjson_mut_obj_add_str(doc, root, "models_dir", n->config->models_dir);
    record_done(&own);
    return root;
}
