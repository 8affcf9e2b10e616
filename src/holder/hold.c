/* SPDX-License-Identifier: MIT
 * See hold.h. */
#include "holder/hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "members/interfaces.h"

enum { ROOM_STEP = 1 << 20 }; /* bytes; stages are not told of smaller changes */
#define TELL_US 1000000u /* other nodes are told so often how far a stage has loaded */

struct hold {
    struct hold_parts parts;
    clock_us told_progress; /* when others were last told how far a stage has loaded */
};

struct hold *hold_create(const struct hold_parts *parts) {
    struct hold *h = MEM_NEW(struct hold);
    h->parts = *parts;
    return h;
}

void hold_free(struct hold *h) { free(h); }

static void hold_tell(struct hold *h, uint64_t coordinator, const struct stage_report *r) {
    if (coordinator == h->parts.self) {
        h->parts.callbacks.report(h->parts.user, r);
        return;
    }
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_STATE));
    stage_report_encode(r, &b);
    control_send(h->parts.control, coordinator, FRAME_STATE, r->epoch, b.data, b.len);
    buf_done(&b);
}

/* failed: why the stage has ended, NULL: it has not; origin: the stage of the ring where the trouble began. */
static void hold_report(struct hold *h, const struct stage_order *o, const struct stage_state *state, const struct err *failed,
                        uint32_t origin) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    memcpy(r->instance, o->instance, sizeof(r->instance));
    r->epoch = o->epoch;
    r->stage = o->stage;
    r->origin = origin;
    r->failed = failed != NULL;
    if (failed) r->err = *failed;
    if (state) r->state = *state;
    hold_tell(h, o->source_node, r);
    free(r);
}

/* Fills in the addresses as this node sees them, and the paths and keys that are this node's. */
static void hold_resolve(struct hold *h, struct stage_order *o) {
    struct control_peer peer;
    char host[IO_HOST_MAX];
    if (o->next_node == h->parts.self) {
        snprintf(o->next_host, sizeof(o->next_host), "127.0.0.1");
        o->next_port = h->parts.port;
    } else if (control_find(h->parts.control, o->next_node, &peer)) {
        snprintf(o->next_host, sizeof(o->next_host), "%s", peer.host);
        o->next_port = peer.port;
    } else if (control_find(h->parts.control, o->source_node, &peer) && interfaces_beside(o->next_host, peer.host, host)) {
        memcpy(o->next_host, host, sizeof(o->next_host)); /* not linked with it yet: where the coordinator sees it */
    }
    o->source_host[0] = '\0';
    if (o->source_node != h->parts.self && control_find(h->parts.control, o->source_node, &peer)) {
        snprintf(o->source_host, sizeof(o->source_host), "%s", peer.host);
        o->source_port = peer.port;
    }
    o->self_node = h->parts.self;
    snprintf(o->cache, sizeof(o->cache), "%s", h->parts.cache);
    o->cache_limit = h->parts.cache_limit;
    snprintf(o->prefixes, sizeof(o->prefixes), "%s", h->parts.prefixes != NULL ? h->parts.prefixes : "");
    o->prefixes_limit = h->parts.prefixes_limit;
    weights_server_path(h->parts.weights, o->model, o->path, sizeof(o->path));
    snprintf(o->load.backends, sizeof(o->load.backends), "%s", h->parts.load->backends);
    snprintf(o->load.more_backends, sizeof(o->load.more_backends), "%s", h->parts.load->more_backends);
    memcpy(o->key, h->parts.link_key, sizeof(o->key));
    wire_pass_make(h->parts.identity->secret, o->instance, o->epoch, &o->pass);
}

/* Devices and threads are this node's own choice, not the coordinator's. */
static void hold_own_hardware(struct hold *h, struct stage_order *o) {
    const struct engine_load *own = h->parts.load;
    o->load.n_threads = own->n_threads;
    o->load.n_threads_batch = own->n_threads_batch;
    o->load.moe_cache_mib = own->moe_cache_mib;
    if (own->n_gpu_layers != ENGINE_GPU_AUTO) { /* else as the coordinator has planned with what this node offers */
        o->load.n_gpu_layers = own->n_gpu_layers;
        o->load.n_cpu_moe = own->n_cpu_moe;
        snprintf(o->load.devices, sizeof(o->load.devices), "%s", own->devices);
        o->load.tensor_split[0] = '\0';
        if (own->n_gpu_layers == 0) o->n_on = 0;
    }
    snprintf(o->load.split_mode, sizeof(o->load.split_mode), "%s", own->split_mode);
}

static uint64_t in_ram(uint64_t bytes, const struct engine_used *on, uint32_t n_on) {
    for (uint32_t i = 0; i < n_on; i++) bytes -= on[i].bytes < bytes ? on[i].bytes : bytes;
    return bytes;
}

/* What a stage takes of this machine's RAM; until it is loaded, as planned. */
static uint64_t hold_ram(const struct stage_child *c) {
    const struct engine_used *on;
    uint32_t n_on = hold_on(c, &on);
    return in_ram(hold_bytes(c), on, n_on);
}

/* Two coordinators may have planned with the same memory: the second one is told, and plans again. What is left is the most that the stage
 * may take. */
static err_code hold_check_room(struct hold *h, struct stage_order *order, struct err *e) {
    uint64_t held = 0;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++)
        if (strcmp(stage_child_order(c)->instance, order->instance) != 0) held += hold_ram(c);
    uint64_t ram = in_ram(order->need, order->on, order->n_on);
    order->room = h->parts.memory > held ? h->parts.memory - held : 0;
    if (held == 0 || ram <= order->room) return ERR_OK;
    char need[STR_SHORT], room[STR_SHORT];
    return err_set(e, ERR_NO_ROOM, "%s needs %s here, where %s are left", order->instance, str_size(ram, need),
                   str_size(order->room, room));
}

static uint64_t took(const struct stage_child *c) {
    const struct engine_info *info = &stage_child_state(c)->info;
    return info->bytes_weights + info->bytes_kv + info->bytes_compute;
}

/* libllama's word leaves out the process itself, which the plan counts. */
uint64_t hold_bytes(const struct stage_child *c) {
    uint64_t planned = stage_child_order(c)->need, taken = took(c);
    return planned > taken ? planned : taken;
}

uint32_t hold_on(const struct stage_child *c, const struct engine_used **ret) {
    bool loaded = took(c) > 0;
    *ret = loaded ? stage_child_state(c)->info.on : stage_child_order(c)->on;
    return loaded ? stage_child_state(c)->info.n_on : stage_child_order(c)->n_on;
}

/* Stages park sequences that are kept for later requests. They share equally the memory that this node offers and that is not planned for
 * slices. but: this child is not counted (NULL: all are). coming: bytes of a stage that is about to be started. */
static void hold_share_room(struct hold *h, const struct stage_child *but, uint64_t coming) {
    uint64_t used = coming, count = 0;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++) {
        if (c == but) continue;
        used += hold_ram(c);
        count++;
    }
    uint64_t left = h->parts.memory > used ? h->parts.memory - used : 0;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++)
        if (c != but) stage_child_set_room(c, left / count / ROOM_STEP * ROOM_STEP);
}

static bool hold_is_lost(enum stage_unload_how how) { return how == STAGE_UNLOAD_LOST || how == STAGE_UNLOAD_CRASHED; }

/* Ends the instance's stages up to this epoch. If their ring is broken, the head tells its requests, which may go on elsewhere. If it is
 * idle, the head tells the other stages, which then end in order, too. */
static void hold_drop(struct hold *h, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how, bool idle) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->epoch > up_to_epoch || strcmp(o->instance, instance) != 0) continue;
        if (hold_is_lost(how)) stage_child_fall(c, how == STAGE_UNLOAD_CRASHED);
        else stage_child_stop(c, h->parts.prefixes_limit > 0 /* it writes what it keeps */ || (idle && o->stage == 0 && o->n_stage > 1));
    }
}

void hold_start(struct hold *h, uint64_t from, struct stage_order *order) {
    order->source_node = from;
    hold_drop(h, order->instance, order->epoch - 1, STAGE_UNLOAD_LOST, false); /* the requests of earlier epochs may go on in this one */
    if (stages_find(h->parts.stages, order->instance, order->epoch, order->stage)) return;
    hold_resolve(h, order);
    hold_own_hardware(h, order);
    const struct catalog_entry *file = catalog_find_id(h->parts.catalog, order->model); /* the file may have other names on other nodes */
    if (file && strlen(file->path) < sizeof(order->path)) snprintf(order->path, sizeof(order->path), "%s", file->path);
    struct stage_child *child;
    struct err e = {0};
    if (hold_check_room(h, order, &e) != ERR_OK) {
        hold_report(h, order, NULL, &e, order->stage);
        return;
    }
    char name[MODEL_NAME_SIZE];
    model_card_name(order->path, name, sizeof(name));
    log_info("node", "loading layers %u-%u of \"%s\" (stage %u of %u)", order->first, order->end - 1, name, order->stage + 1,
             order->n_stage);
    hold_share_room(h, NULL, in_ram(order->need, order->on, order->n_on)); /* before the new stage takes its memory */
    if (stages_start(h->parts.stages, order, &child, &e) != ERR_OK) hold_report(h, order, NULL, &e, order->stage);
    hold_share_room(h, NULL, 0);
    news_own(h->parts.news); /* others may fetch the same weights from here */
}

void hold_linked(struct hold *h, uint64_t id) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++)
        if (stage_child_order(c)->source_node == id) hold_report(h, stage_child_order(c), stage_child_state(c), NULL, 0);
}

/* Answers to an UNLOAD of the head's slice: ERR_CANCELLED, its requests have ended; ERR_BUSY, it stays. */
static void hold_answer(struct hold *h, uint64_t from, const char *instance, uint64_t epoch, err_code code, const char *why) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    snprintf(r->instance, sizeof(r->instance), "%s", instance);
    r->epoch = epoch;
    r->failed = true;
    err_set(&r->err, code, "%s", why);
    hold_tell(h, from, r);
    free(r);
}

/* The order is the same for every way: first the requests are told, then the stages end, then the coordinator hears of it. */
void hold_unload(struct hold *h, uint64_t from, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how) {
    bool idle = !h->parts.callbacks.busy(h->parts.user, instance);
    if (how == STAGE_UNLOAD_IF_IDLE && !idle) {
        hold_answer(h, from, instance, up_to_epoch, ERR_BUSY, "it has work");
        return;
    }
    if (how == STAGE_UNLOAD_FOR_GOOD) { /* else the requests may go on elsewhere */
        struct err why;
        err_set(&why, ERR_CANCELLED, "the model was unloaded");
        h->parts.callbacks.fail(h->parts.user, instance, &why);
    }
    hold_drop(h, instance, up_to_epoch, how, idle);
    if (!hold_is_lost(how)) hold_answer(h, from, instance, up_to_epoch, ERR_CANCELLED, "its requests have ended");
}

void hold_node_lost(struct hold *h, uint64_t id) {
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->source_node != id) continue;
        log_info("node", "stage %u of %s is dropped: the node that ordered it is gone", o->stage, o->instance);
        stage_child_stop(c, false);
    }
}

void hold_path_lost(struct hold *h, uint64_t node, const char *host) {
    struct stage_child *c;
    struct err why;
    err_set(&why, ERR_CLOSED, "the network by which it reaches the next stage, at %s, is down", host);
    for (size_t i = 0; (c = stages_get(h->parts.stages, i)); i++) {
        const struct stage_order *o = stage_child_order(c);
        if (o->next_node == node && strcmp(o->next_host, host) == 0) hold_report(h, o, NULL, &why, o->stage);
    }
}

/* ---- what the children say ---- */

void hold_on_state(struct hold *h, struct stage_child *c, const struct stage_state *s) {
    hold_report(h, stage_child_order(c), s, NULL, 0);
    clock_us now = clock_now();
    bool tell = s->phase == STAGE_READY || now >= h->told_progress + TELL_US;
    if (s->phase == STAGE_READY) hold_share_room(h, NULL, 0); /* now the memory that it took is known */
    if (tell) h->told_progress = now;
    if (tell) news_own(h->parts.news);
}

void hold_on_exit(struct hold *h, struct stage_child *c, const struct err *why) {
    const struct stage_order *o = stage_child_order(c);
    if (why->code != ERR_OK) log_warn("node", "stage %u of %s is gone: %s", o->stage, o->instance, why->text);
    h->parts.callbacks.lost(h->parts.user, c, why);
    if (why->code != ERR_OK) hold_report(h, o, NULL, why, stage_child_origin(c));
    hold_share_room(h, c, 0);
    news_own(h->parts.news);
}
