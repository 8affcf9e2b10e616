/* SPDX-License-Identifier: MIT
 * See node.h. The life of a node: made from the floor upwards, run, drained, taken down in the reverse order. */
#include "node/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "plan/profile.h"
#include "gateway/keys.h"
#include "node/calls.h"
#include "node/files.h"
#include "node/hold.h"
#include "node/holdings.h"
#include "node/learned.h"
#include "node/links.h"
#include "node/measure.h"
#include "node/members.h"
#include "node/models.h"
#include "node/names.h"
#include "node/saved.h"
#include "node/node_priv.h"

enum { TICK_MS = 500, DRAIN_MS = 10000, FIRST_LOOK_MS = 10000 };

/* ---- what nodes know of each other ---- */

static void node_own_stages(struct node *n, struct record *r) {
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
        learned_record(n, o, out);
    }
}

static void node_own_models(struct node *n, struct record *r) {
    const struct record_model *own;
    for (size_t i = 0; (own = coordinator_get(serve_core(n), i)) != NULL && r->n_models < RECORD_MAX_MODELS; i++) {
        struct record_model *m = &r->models[r->n_models++];
        *m = *own;
        learned_model(n, m);
        m->chat_template = mem_strdup(m->chat_template);
    }
    r->cards = mem_calloc(catalog_count(n->catalog), sizeof(*r->cards));
    const struct catalog_entry *file;
    for (size_t i = 0; (file = catalog_get(n->catalog, i)) != NULL && r->n_cards < RECORD_MAX_FILES; i++)
        r->cards[r->n_cards++] = file->card;
}

void node_own_record(struct node *n, struct record *ret) {
    ret->id = n->id;
    snprintf(ret->name, sizeof(ret->name), "%s", n->name);
    ret->memory = n->memory;
    measure_record(n, ret);
    ret->probes = true;
    if (n->gateway) snprintf(ret->api, sizeof(ret->api), "%.64s:%u", n->config->api.host, gateway_port(n->gateway));
    node_own_stages(n, ret);
    holdings_record(n, ret);
    node_own_models(n, ret);
    join_speak(n->join, ret);
    ret->unloads = *coordinator_unloads(serve_core(n));
    struct control_peer peers[RECORD_MAX_PEERS];
    ret->n_peers = (uint32_t)control_peers(n->control, peers, RECORD_MAX_PEERS);
    for (uint32_t i = 0; i < ret->n_peers; i++) {
        ret->peers[i].id = peers[i].id;
        ret->peers[i].port = peers[i].port;
        ret->peers[i].rtt_us = peers[i].rtt_us;
        ret->peers[i].throughput = links_throughput(n, peers[i].id);
        memcpy(ret->peers[i].host, peers[i].host, sizeof(ret->peers[i].host));
    }
}

void node_changed(struct node *n) {
    n->news++;
    io_task_post(n->loop, &n->changed);
}

static void node_tell_all(void *user) {
    struct node *n = user;
    if (n->stopping) return;
    members_speak(n);
    models_update(n);
}

/* One line for whoever started this node. */
static void node_say_ready(struct node *n) {
    char size[STR_SHORT];
    log_info("node", "%s offers %s; other machines join with: caravan up --peer %s:%u", n->name, str_size(n->memory, size), n->name,
             port_number(n->port));
    log_info("node", "API at http://%s:%u/v1", n->config->api.host, gateway_port(n->gateway));
    if (n->config->ready_fd < 0) return;
    dprintf(n->config->ready_fd, "{\"api\":%u,\"listen\":%u}\n", gateway_port(n->gateway), port_number(n->port));
    close(n->config->ready_fd);
}

/* What is in the models folder is known, as far as it can be: others are told. */
static void node_begin(struct node *n) {
    io_timer_close(n->first_look);
    n->first_look = NULL;
    if (n->stopping) return;
    for (size_t i = 0; i < n->config->n_peers; i++) control_dial(n->control, n->config->peers[i].host, n->config->peers[i].port);
    join_start(n->join);
    node_changed(n);
    node_say_ready(n);
}

static void node_looked(void *user) {
    struct node *n = user;
    if (n->first_look) node_begin(n);
}

static void node_look_late(void *user) {
    struct node *n = user;
    if (n->config->models_dir) log_warn("models", "the folder \"%s\" does not answer: its models come when it does", n->config->models_dir);
    node_begin(n);
}

static void node_look(void *user) { calls_update(user); }
static void node_files_changed(void *user) { node_changed(user); }

static void node_file_found(void *user, struct weights_model *m) { weights_server_add(((struct node *)user)->weights, m); }

static void node_file_gone(void *user, const char *id) { holdings_gone(user, id); }

/* ---- control links ---- */

static err_code node_admit(void *user, const struct control_peer *peer, struct err *e) {
    struct node *n = user;
    return join_admit(n->join, peer, e);
}

static void node_on_up(void *user, const struct control_peer *peer) {
    struct node *n = user;
    join_up(n->join, peer);
    log_info("node", "linked with %s (%s:%u)", peer->name, peer->host, peer->port);
    members_up(n, peer);
    calls_tell_anew(n);
    node_changed(n);
}

static void node_on_down(void *user, const struct control_peer *peer, const struct err *why) {
    struct node *n = user;
    log_warn("node", "lost %s: %s", peer->name, why->text);
    members_down(n, peer, why);
    calls_node_lost(n, peer->id, why);
    node_changed(n);
}

static err_code node_on_load(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_order order;
    err_code code = stage_order_decode(payload, len, &order, e);
    if (code == ERR_OK && !n->stopping) hold_start(n, from, &order);
    return code;
}

static err_code node_on_unload(struct node *n, uint64_t from, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct stage_unload u;
    err_code code = stage_unload_decode(payload, h->payload_len, &u, e);
    if (code != ERR_OK) return code;
    hold_unload(n, from, u.instance, h->epoch, (enum coordinator_unload)u.how);
    return ERR_OK;
}

static err_code node_on_report(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    err_code code = stage_report_decode(payload, len, r, e);
    if (code == ERR_OK) serve_report(n, from, r);
    free(r);
    return code;
}

static err_code node_on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload,
                              struct err *e) {
    struct node *n = user;
    switch (h->type) {
    case FRAME_NODE: return members_on_record(n, payload, h->payload_len, e);
    case FRAME_MEMBERS: return members_on_members(n, peer->id, payload, h->payload_len, e);
    case FRAME_LOAD: return node_on_load(n, peer->id, payload, h->payload_len, e);
    case FRAME_UNLOAD: return node_on_unload(n, peer->id, h, payload, e);
    case FRAME_STATE: return node_on_report(n, peer->id, payload, h->payload_len, e);
    case FRAME_PROBE: return links_on_probe(n, peer->id, payload, h->payload_len, e);
    case FRAME_PROBED: return links_on_probed(n, peer->id, payload, h->payload_len, e);
    case FRAME_KEY: return join_on_key(n->join, peer->id, payload, h->payload_len, e);
    case FRAME_FORGET: return join_on_forget(n->join, payload, h->payload_len, e);
    case FRAME_ASK: return models_on_ask(n, peer->id, payload, h->payload_len, e);
    case FRAME_ANSWER: return models_on_answer(n, peer->id, payload, h->payload_len, e);
    case FRAME_BUSY: return calls_on_busy(n, payload, h->payload_len, e);
    case FRAME_SUBMIT: return calls_on_submit(n, peer->id, payload, h->payload_len, e);
    case FRAME_EVENT: return calls_on_event(n, NULL, peer->id, payload, h->payload_len, e);
    case FRAME_TOKENIZE: return calls_on_tokenize(n, peer->id, payload, h->payload_len, e);
    case FRAME_TOKENIZED: return calls_on_tokenized(n, NULL, peer->id, payload, h->payload_len, e);
    case FRAME_CANCEL:
        if (h->payload_len != 8) return err_set(e, ERR_PROTOCOL, "CANCEL of %u bytes", h->payload_len);
        calls_on_cancel(n, peer->id, bytes_get_u64(payload));
        return ERR_OK;
    default: return err_set(e, ERR_PROTOCOL, "unexpected %s", frame_type_name(h->type));
    }
}

/* A connection came in on the one port. */
static void node_take(void *user, const char *name, int fd, const struct sockaddr *peer, bool known) {
    struct node *n = user;
    struct err e = {0};
    if (strcmp(name, CONTROL_NAME) == 0) {
        control_take(n->control, fd, peer, known);
    } else if (strcmp(name, WEIGHTS_NAME) == 0) {
        if (weights_server_take(n->weights, fd, known, &e) != ERR_OK) log_warn_limited(&n->turned_away, "weights", "%s", e.text);
    } else if (strncmp(name, "ring-", 5) == 0) {
        stages_take(n->stages, name, fd);
    } else {
        log_warn_limited(&n->turned_away, "port", "a connection asked for \"%s\", which is nothing here: closed", name);
        close(fd);
    }
}

static bool node_knows(void *user, const struct sockaddr *peer) { return join_knows(((struct node *)user)->join, peer); }

/* ---- the end ---- */

static void node_tick(void *user) {
    struct node *n = user;
    if (n->stopping && stages_count(n->stages) == 0) io_loop_stop(n->loop);
    holdings_look(n);
    catalog_tick(n->catalog);
    names_review(n);
    calls_tell_busy(n);
    models_update(n);
    join_tick(n->join);
    members_meet(n);
    links_tick(n);
    measure_tick(n);
}

static void node_drained(void *user) {
    struct node *n = user;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) stage_child_stop(c, true);
    node_tick(n);
}

static void node_stop_now(void *user) {
    struct node *n = user;
    io_loop_stop(n->loop);
}

static void node_on_signal(void *user, int signo) {
    struct node *n = user;
    if (n->stopping) {
        io_loop_stop(n->loop);
        return;
    }
    n->stopping = true;
    log_info("node", "%s: finishing what runs (at most %d s; again to end at once)", strsignal(signo), DRAIN_MS / 1000);
    io_timer_start(n->stop_timer, DRAIN_MS, 0);
    io_timer_start(n->tick, 20, 20);
    gateway_drain(n->gateway, node_drained, n);
}

static void node_done(struct node *n) {
    measure_stop(n);
    join_free(n->join);
    gateway_free(n->gateway);
    files_stop(n);
    stages_free(n->stages);
    control_free(n->control);
    port_close(n->port);
    catalog_free(n->catalog);
    weights_server_free(n->weights);
    holdings_free(n);
    saved_close(n);
    serve_free(n);
    files_free(n);
    models_free(n->models);
    calls_free(n->calls);
    links_close(n);
    learned_close(n);
    if (n->members) members_close(n);
    io_task_cancel(&n->changed);
    io_task_cancel(&n->look);
    io_timer_close(n->tick);
    io_timer_close(n->stop_timer);
    io_timer_close(n->first_look);
    for (size_t i = 0; i < ARRAY_LEN(n->signals); i++) io_signal_close(n->signals[i]);
    io_tls_ctx_free(n->tls);
    io_loop_free(n->loop);
    free(n);
}

/* ---- the beginning ---- */

static err_code node_open_links(struct node *n, struct err *e) {
    static const struct control_callbacks callbacks = {
        .admit = node_admit, .on_up = node_on_up, .on_down = node_on_down, .on_frame = node_on_frame};
    const struct node_config *c = n->config;
    static const struct port_callbacks port_callbacks = {.known = node_knows, .take = node_take};
    err_code code = port_open(n->loop, c->listen.host[0] ? c->listen.host : "0.0.0.0", c->listen.port, &port_callbacks, n, &n->port, e);
    if (code != ERR_OK) {
        err_hint(e, "is another node running here? --listen ADDR:PORT takes another port");
        return code;
    }
    struct control_self self = {.identity = join_identity(n->join), .name = n->name, .port = port_number(n->port)};
    n->control = control_create(n->loop, n->tls, &self, &callbacks, n);
    members_open(n);
    n->stages = stages_create(n->loop, c->program, &hold_callbacks, n);
    n->weights = weights_server_create(n->tls, join_identity(n->join)->secret, c->cache);
    holdings_create(n);
    holdings_look(n);
    files_create(n);
    n->calls = calls_create(n);
    const struct catalog_events events = {.user = n,
                                          .looked = node_looked,
                                          .changed = node_files_changed,
                                          .found = node_file_found,
                                          .gone = node_file_gone,
                                          .taken = names_taken};
    n->catalog = catalog_create(n->loop, c->models_dir, c->cache, &events);
    n->models = models_create(n);
    return ERR_OK;
}

static err_code node_open_gateway(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    struct gateway_options o;
    gateway_options_init(&o);
    o.host = c->api.host;
    o.port = c->api.port;
    o.keys = c->api_keys;
    o.n_keys = c->n_api_keys;
    o.own_key = join_own_key(n->join);
    o.state_path = c->state;
    o.retention_s = c->retention_s;
    o.replay_s = c->replay_s;
    o.cors_origin = c->cors_origin;
    struct backend backend = calls_backend(n);
    err_code code = gateway_create(n->loop, &o, &backend, &n->gateway, e);
    if (code != ERR_OK && code != ERR_AUTH) err_hint(e, "is another server running here? --api ADDR:PORT takes another port");
    return code;
}

static void node_open_clockwork(struct node *n) {
    static const int signals[] = {SIGTERM, SIGINT};
    n->tick = io_timer_open(n->loop, node_tick, n);
    io_timer_start(n->tick, TICK_MS, TICK_MS);
    n->stop_timer = io_timer_open(n->loop, node_stop_now, n);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) n->signals[i] = io_signal_open(n->loop, signals[i], node_on_signal, n);
}

/* Else the model would be loaded again and again, in vain. */
static err_code node_check_draft(const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_gguf_open(path, &g, e);
    if (code != ERR_OK) err_prefix(e, "--draft");
    model_gguf_free(g);
    return code;
}

/* The model of the command line. */
static err_code node_serve_named(struct node *n, struct err *e) {
    struct load_wish wish;
    struct serve_file *file;
    serve_own_wish(n, &wish);
    wish_set(&wish, WISH_REPLICAS, n->config->replicas);
    wish_set(&wish, WISH_KEPT, true);
    wish_set(&wish, WISH_PINNED, true);
    err_code code = files_open_now(n, n->config->model, &file, e);
    if (code == ERR_OK && n->config->draft[0]) code = node_check_draft(n->config->draft, e);
    if (code != ERR_OK) return code;
    char model[MODEL_NAME_SIZE];
    catalog_name(n->catalog, file->path, &file->card, model);
    return serve_open(n, file, model, &wish, e);
}

static err_code node_open(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    n->changed = (struct io_task){.fn = node_tell_all, .user = n};
    n->look = (struct io_task){.fn = node_look, .user = n};
    err_code code = gateway_check_bind(c->api.host, c->n_api_keys, e);
    if (code == ERR_OK) code = join_open(n, &n->join, e);
    if (code == ERR_OK) links_open(n);
    if (code == ERR_OK) learned_open(n);
    if (code == ERR_OK) serve_create(n, join_tag(n->join));
    if (code == ERR_OK) code = node_open_links(n, e);
    if (code == ERR_OK) saved_open(n);
    if (code == ERR_OK && c->model) code = node_serve_named(n, e);
    if (code == ERR_OK) code = node_open_gateway(n, e);
    if (code != ERR_OK) return code;
    node_open_clockwork(n);
    measure_start(n);
    models_routes_add(n);
    n->first_look = io_timer_open(n->loop, node_look_late, n);
    io_timer_start(n->first_look, c->models_dir ? FIRST_LOOK_MS : 0, 0);
    catalog_look(n->catalog);
    return ERR_OK;
}

err_code node_run(const struct node_config *config, struct err *e) {
    struct node *n = MEM_NEW(struct node);
    n->config = config;
    n->changed = (struct io_task){.fn = node_tell_all, .user = n}; /* every part may post them from its beginning */
    n->look = (struct io_task){.fn = node_look, .user = n};
    char host[sizeof(n->name)] = "";
    if (gethostname(host, sizeof(host) - 1) != 0 || !host[0]) snprintf(host, sizeof(host), "node-%d", (int)getpid());
    const char *name = config->name && config->name[0] ? config->name : host;
    str_line(name, strlen(name), n->name, sizeof(n->name));
    n->memory = config->memory ? config->memory : profile_memory_offer();
    io_raise_fd_limit();
    n->loop = io_loop_create();
    err_code code = n->loop ? node_open(n, e) : err_set(e, ERR_IO, "no descriptors are left for the event loop");
    if (code == ERR_OK) io_loop_run(n->loop);
    node_done(n);
    return code;
}
