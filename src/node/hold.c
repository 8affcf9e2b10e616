/* SPDX-License-Identifier: MIT
 * The holder's side of a slice: carries out the LOAD and UNLOAD orders of coordinators (this node itself or another), and tells them how
 * their stages fare. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/calls.h"
#include "node/hold.h"
#include "node/learned.h"
#include "node/node_priv.h"
#include "os/machine.h"

enum { ROOM_STEP = 1 << 20 }; /* bytes; smaller changes need not be told */
#define TELL_US 1000000u /* how often others are told how far a stage has loaded */

static void hold_tell(struct node *n, uint64_t coordinator, const struct stage_report *r) {
    if (coordinator == n->id) {
        serve_report(n, n->id, r);
        return;
    }
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_STATE));
    stage_report_encode(r, &b);
    control_send(n->control, coordinator, FRAME_STATE, r->epoch, b.data, b.len);
    buf_done(&b);
}

/* origin: the stage whose trouble it is, where one has failed. */
static void hold_report(struct node *n, const struct stage_order *o, const struct stage_state *state, const struct err *failed,
                        uint32_t origin) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    memcpy(r->instance, o->instance, sizeof(r->instance));
    r->epoch = o->epoch;
    r->stage = o->stage;
    r->origin = origin;
    r->failed = failed != NULL;
    if (failed) r->err = *failed;
    if (state) r->state = *state;
    hold_tell(n, o->source_node, r);
    free(r);
}

/* Fills in addresses as this node sees them. */
static void hold_resolve(struct node *n, struct stage_order *o) {
    struct control_peer peer;
    if (o->next_node == n->id) {
        snprintf(o->next_host, sizeof(o->next_host), "127.0.0.1");
        o->next_port = port_number(n->port);
    } else if (control_find(n->control, o->next_node, &peer)) {
        snprintf(o->next_host, sizeof(o->next_host), "%s", peer.host);
        o->next_port = peer.port;
    }
    o->source_host[0] = '\0';
    if (o->source_node != n->id && control_find(n->control, o->source_node, &peer)) {
        snprintf(o->source_host, sizeof(o->source_host), "%s", peer.host);
        o->source_port = peer.port;
    }
    o->self_node = n->id;
    snprintf(o->cache, sizeof(o->cache), "%s", n->config->cache);
    o->cache_limit = n->config->cache_limit;
    weights_server_path(n->weights, o->model, o->path, sizeof(o->path));
    snprintf(o->load.backends, sizeof(o->load.backends), "%s", n->config->load.backends);
    memcpy(o->key, n->link_key, sizeof(o->key));
    wire_pass_make(join_identity(n->join)->secret, o->instance, o->epoch, &o->pass);
}

/* What is this node's own choice rather than the coordinator's: its devices and threads. */
static void hold_own_hardware(struct node *n, struct stage_order *o) {
    const struct engine_load *own = &n->config->load;
    const struct topology *t = &n->profile.topology;
    o->load.n_threads = own->n_threads;
    if (own->n_threads == 0 && t->fast_cores > 0 && t->fast_cores < t->cores) /* slow cores would keep the fast ones waiting */
        o->load.n_threads = t->fast_cores < machine_cores() ? t->fast_cores : machine_cores();
    o->load.n_threads_batch = own->n_threads_batch;
    o->load.n_gpu_layers = own->n_gpu_layers;
    snprintf(o->load.devices, sizeof(o->load.devices), "%s", own->devices);
    snprintf(o->load.split_mode, sizeof(o->load.split_mode), "%s", own->split_mode);
}

/* Two coordinators may have counted with the same memory: who comes second is told so, and plans again. */
static err_code hold_check_room(struct node *n, const struct stage_order *order, struct err *e) {
    uint64_t held = 0;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++)
        if (strcmp(stage_child_order(c)->instance, order->instance) != 0) held += hold_bytes(c);
    if (held == 0 || held + order->need <= n->memory) return ERR_OK;
    char need[STR_SHORT], room[STR_SHORT];
    return err_set(e, ERR_NO_ROOM, "%s needs %s here, where %s are left", order->instance, str_size(order->need, need),
                   str_size(n->memory > held ? n->memory - held : 0, room));
}

uint64_t hold_bytes(const struct stage_child *c) {
    const struct engine_info *info = &stage_child_state(c)->info;
    uint64_t took = info->bytes_weights + info->bytes_kv + info->bytes_compute;
    return took > 0 ? took : stage_child_order(c)->need;
}

/* A stage parks sequences that are kept for later requests. That may take what this node offers and its stages don't need, and no more:
 * each gets the same part of it. but: is not counted (NULL: none). coming: bytes for a stage that is about to be started. */
static void hold_share_room(struct node *n, const struct stage_child *but, uint64_t coming) {
    uint64_t used = coming, count = 0;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) {
        uint64_t planned = stage_child_order(c)->need, took = hold_bytes(c);
        if (c == but) continue;
        used += planned > took ? planned : took; /* what was planned counts the process itself too */
        count++;
    }
    uint64_t left = n->memory > used ? n->memory - used : 0;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++)
        if (c != but) stage_child_set_room(c, left / count / ROOM_STEP * ROOM_STEP);
}

/* lost: the epoch is over because its ring is; what its head was asked may go on, and the head knows best how it stands with that. */
static void hold_drop(struct node *n, const char *instance, uint64_t up_to_epoch, bool lost) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->epoch > up_to_epoch || strcmp(o->instance, instance) != 0) continue;
        if (lost) stage_child_fall(c);
        else stage_child_stop(c, false);
    }
}

void hold_start(struct node *n, uint64_t from, struct stage_order *order) {
    order->source_node = from;
    hold_drop(n, order->instance, order->epoch - 1, true); /* its requests may go on in this epoch */
    if (stages_find(n->stages, order->instance, order->epoch, order->stage)) return;
    hold_resolve(n, order);
    hold_own_hardware(n, order);
    const struct catalog_entry *file = catalog_find_id(n->catalog, order->model); /* wherever it is called what */
    if (file && strlen(file->path) < sizeof(order->path)) snprintf(order->path, sizeof(order->path), "%s", file->path);
    struct stage_child *child;
    struct err e = {0};
    if (hold_check_room(n, order, &e) != ERR_OK) {
        hold_report(n, order, NULL, &e, order->stage);
        return;
    }
    log_info("node", "loading layers %u-%u of %.12s (stage %u of %u)", order->first, order->end - 1, order->model, order->stage + 1,
             order->n_stage);
    hold_share_room(n, NULL, order->need); /* before it takes its memory */
    if (stages_start(n->stages, order, &child, &e) != ERR_OK) hold_report(n, order, NULL, &e, order->stage);
    hold_share_room(n, NULL, 0);
    node_changed(n); /* others may fetch from here what it fetches */
}

static void hold_end_calls(struct node *n, const char *instance) {
    struct stage_child *c;
    struct err why;
    err_set(&why, ERR_CANCELLED, "the model was unloaded");
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++)
        if (strcmp(stage_child_order(c)->instance, instance) == 0) calls_fail(n, c, &why);
}

void hold_linked(struct node *n, uint64_t id) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++)
        if (stage_child_order(c)->source_node == id) hold_report(n, stage_child_order(c), stage_child_state(c), NULL, 0);
}

/* The head's slice is on its way out, or is not: so the coordinator hears it. */
static void hold_answer(struct node *n, uint64_t from, const char *instance, uint64_t epoch, err_code code, const char *why) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    snprintf(r->instance, sizeof(r->instance), "%s", instance);
    r->epoch = epoch;
    r->failed = true;
    err_set(&r->err, code, "%s", why);
    hold_tell(n, from, r);
    free(r);
}

/* One order for all ways: what the requests are told comes first, then the stage ends, then the coordinator hears of it. */
void hold_unload(struct node *n, uint64_t from, const char *instance, uint64_t up_to_epoch, enum coordinator_unload how) {
    if (how == COORDINATOR_IF_IDLE && calls_on_instance(n->calls, instance) > 0) {
        hold_answer(n, from, instance, up_to_epoch, ERR_BUSY, "it has work");
        return;
    }
    if (how == COORDINATOR_FOR_GOOD) hold_end_calls(n, instance); /* those of an epoch that is lost may go on elsewhere */
    hold_drop(n, instance, up_to_epoch, how == COORDINATOR_LOST);
    if (how != COORDINATOR_LOST) hold_answer(n, from, instance, up_to_epoch, ERR_CANCELLED, "its requests have ended");
}

void hold_node_lost(struct node *n, uint64_t id) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->source_node != id) continue;
        log_info("node", "stage %u of %s is dropped: the node that ordered it is gone", o->stage, o->instance);
        stage_child_stop(c, false);
    }
}

/* ---- what the children say ---- */

static void hold_on_state(void *user, struct stage_child *c, const struct stage_state *s) {
    struct node *n = user;
    hold_report(n, stage_child_order(c), s, NULL, 0);
    clock_us now = clock_now();
    bool tell = s->phase == STAGE_READY || now >= n->told_progress + TELL_US;
    if (s->phase == STAGE_READY) hold_share_room(n, NULL, 0); /* now it is known what it took */
    if (tell) n->told_progress = now;
    if (tell) node_changed(n);
}

static void hold_on_fault(void *user, struct stage_child *c, const struct stage_fault *f) {
    (void)user;
    log_warn("node", "stage %u: %s%s%s", stage_child_order(c)->stage, f->err.text, f->err.hint[0] ? "; hint: " : "", f->err.hint);
}

static void hold_on_frame(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload) {
    struct err e = {0};
    if (h->type == FRAME_EVENT) learned_event(user, c, payload, h->payload_len);
    if (h->type == FRAME_EVENT && calls_on_event(user, c, 0, payload, h->payload_len, &e) != ERR_OK)
        log_error("node", "stage %u sent a bad event: %s", stage_child_order(c)->stage, e.text);
    if (h->type == FRAME_TOKENIZED && calls_on_tokenized(user, c, 0, payload, h->payload_len, &e) != ERR_OK)
        log_error("node", "stage %u sent bad tokens: %s", stage_child_order(c)->stage, e.text);
}

static void hold_on_exit(void *user, struct stage_child *c, const struct err *why) {
    struct node *n = user;
    const struct stage_order *o = stage_child_order(c);
    if (why->code != ERR_OK) log_warn("node", "stage %u of %s is gone: %s", o->stage, o->instance, why->text);
    calls_child_lost(n, c, why);
    if (why->code != ERR_OK) hold_report(n, o, NULL, why, stage_child_origin(c));
    hold_share_room(n, c, 0);
    node_changed(n);
}

const struct stages_callbacks hold_callbacks = {
    .on_state = hold_on_state, .on_fault = hold_on_fault, .on_frame = hold_on_frame, .on_exit = hold_on_exit};
