/* SPDX-License-Identifier: MIT
 * See node_priv.h. What one part of a node tells another: connections that come in, control links and their frames, stage children, and
 * the events of the parts that know nothing of those above them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/node_priv.h"
#include "requests/requests.h"
#include "wire/stage.h"

/* ---- connections ---- */

static bool port_known(void *user, const struct sockaddr *peer) { return known_at(join_known(((struct node *)user)->join), peer); }

static void port_take(void *user, const char *name, int fd, const struct sockaddr *peer, bool known) {
    struct node *n = user;
    struct err e = {0};
    if (strcmp(name, CONTROL_NAME) == 0) {
        control_take(n->control, fd, peer, known);
    } else if (strcmp(name, WEIGHTS_NAME) == 0) {
        if (weights_server_take(n->weights, fd, known, &e) != ERR_OK) log_warn_limited(&n->turned_away, "weights", "%s", e.text);
    } else if (strncmp(name, "ring-", 5) == 0) {
        stages_take(n->stages, name, fd);
    } else {
        log_warn_limited(&n->turned_away, "port", "a connection asked for \"%s\", which is unknown here: closed", name);
        close(fd);
    }
}

static void port_came_back(void *user, const uint8_t head[CALLBACK_SIZE], int fd) {
    callback_came(((struct node *)user)->callback, head, fd);
}

const struct port_callbacks node_port_callbacks = {.known = port_known, .take = port_take, .came_back = port_came_back};

void node_adopt(void *user, int fd) { port_adopt(((struct node *)user)->port, fd); }

/* ---- control links ---- */

static err_code control_admit(void *user, const struct control_peer *peer, struct err *e) {
    return cluster_key_admit(join_key(((struct node *)user)->join), peer, e);
}

static void control_on_up(void *user, const struct control_peer *peer) {
    struct node *n = user;
    join_up(n->join, peer);
    sleepers_linked(n->sleepers, peer->id);
    log_info("node", "linked with %s (%s:%u)", peer->name, peer->host, peer->port);
    members_up(n->members, peer);
    balance_tell_anew(n->balance);
    news_own(&n->news);
}

static void control_on_down(void *user, const struct control_peer *peer, const struct err *why) {
    struct node *n = user;
    log_warn("node", "lost %s: %s", peer->name, why->text);
    members_down(n->members, peer, why);
    calls_node_lost(n->calls, peer->id, why);
    news_own(&n->news);
}

static void control_on_path_lost(void *user, const struct control_peer *peer, const char *host) {
    hold_path_lost(((struct node *)user)->hold, peer->id, host);
}

static err_code on_load(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_order order;
    err_code code = stage_order_decode(payload, len, &order, e);
    if (code == ERR_OK && !n->stopping) hold_start(n->hold, from, &order);
    return code;
}

static err_code on_unload(struct node *n, uint64_t from, uint64_t epoch, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_unload u;
    err_code code = stage_unload_decode(payload, len, &u, e);
    if (code == ERR_OK) hold_unload(n->hold, from, u.instance, epoch, u.how);
    return code;
}

static err_code on_report(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e) {
    struct stage_report *r = MEM_NEW(struct stage_report);
    err_code code = stage_report_decode(payload, len, r, e);
    if (code == ERR_OK) serve_report(n->serve, from, r);
    free(r);
    return code;
}

static bool node_is_busy(const struct node *n) { return calls_count(n->calls) > 0 || measure_runs(n->measure); }

static err_code control_on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload,
                                 struct err *e) {
    struct node *n = user;
    uint64_t from = peer->id;
    size_t len = h->payload_len;
    switch (h->type) {
    case FRAME_NODE: return members_on_record(n->members, payload, len, e);
    case FRAME_MEMBERS: return members_on_members(n->members, from, payload, len, e);
    case FRAME_LOAD: return on_load(n, from, payload, len, e);
    case FRAME_UNLOAD: return on_unload(n, from, h->epoch, payload, len, e);
    case FRAME_STATE: return on_report(n, from, payload, len, e);
    case FRAME_PROBE: return links_on_probe(n->links, from, payload, len, node_is_busy(n), e);
    case FRAME_PROBED: return links_on_probed(n->links, from, payload, len, e);
    case FRAME_KEY: return cluster_key_on_key(join_key(n->join), from, payload, len, e);
    case FRAME_CALL: return callback_on_call(n->callback, from, payload, len, e);
    case FRAME_FORGET: return known_on_forget(join_known(n->join), payload, len, e);
    case FRAME_ASK: return models_on_ask(n->models, from, payload, len, e);
    case FRAME_ANSWER: return models_on_answer(n->models, from, payload, len, e);
    case FRAME_PLAN: return plan_route_on_plan(n->plan_route, from, payload, len, e);
    case FRAME_PLANNED: return plan_asks_on_planned(n->plan_asks, from, payload, len, e);
    case FRAME_BUSY: return balance_on_busy(n->balance, from, payload, len, e);
    case FRAME_SUBMIT: return calls_on_submit(n->calls, from, payload, len, e);
    case FRAME_CANCEL: return calls_on_cancel(n->calls, from, payload, len, e);
    case FRAME_EVENT: return calls_on_event(n->calls, NULL, from, payload, len, e);
    case FRAME_TOKENIZE: return calls_on_tokenize(n->calls, from, payload, len, e);
    case FRAME_TOKENIZED: return calls_on_tokenized(n->calls, NULL, from, payload, len, e);
    default: return err_set(e, ERR_PROTOCOL, "unexpected %s", frame_type_name(h->type));
    }
}

static void control_on_copy(void *user, const struct control_peer *peer, const char *host) {
    struct node *n = user;
    if (!peer) {
        join_copied(n->join, host, "this one");
        return;
    }
    log_warn("node", "a second machine, at %s, runs as %s: one state folder is a copy of the other, and the second is refused", host,
             peer->name);
    news_own(&n->news);
}

const struct control_callbacks node_control_callbacks = {.admit = control_admit,
                                                         .on_up = control_on_up,
                                                         .on_down = control_on_down,
                                                         .on_copy = control_on_copy,
                                                         .on_path_lost = control_on_path_lost,
                                                         .on_frame = control_on_frame};

/* ---- stage children ---- */

static void stage_on_team(void *user) { news_own(&((struct node *)user)->news); }

static void stage_on_state(void *user, struct stage_child *c, const struct stage_state *s) {
    struct node *n = user;
    if (s->phase == STAGE_READY) holdings_held(n->holdings, stage_child_order(c));
    hold_on_state(n->hold, c, s);
}

static void stage_on_fault(void *user, struct stage_child *c, const struct stage_fault *f) {
    (void)user;
    log_warn("node", "stage %u: %s%s%s", stage_child_order(c)->stage, f->err.text, f->err.hint[0] ? "; hint: " : "", f->err.hint);
}

static void stage_on_frame(void *user, struct stage_child *c, const struct frame_header *h, const uint8_t *payload) {
    struct node *n = user;
    const struct stage_order *o = stage_child_order(c);
    struct err e = {0};
    if (h->type == FRAME_EVENT) {
        if (calls_count(n->calls) <= 1) learned_event(n->learned, o, payload, h->payload_len);
        if (calls_on_event(n->calls, c, 0, payload, h->payload_len, &e) != ERR_OK)
            log_error("node", "stage %u sent a bad event: %s", o->stage, e.text);
    } else if (h->type == FRAME_TOKENIZED && calls_on_tokenized(n->calls, c, 0, payload, h->payload_len, &e) != ERR_OK) {
        log_error("node", "stage %u sent bad tokens: %s", o->stage, e.text);
    }
}

static void stage_on_exit(void *user, struct stage_child *c, const struct err *why) {
    struct node *n = user;
    hold_on_exit(n->hold, c, why);
    if (why->code != ERR_OK) measure_doubt(n->measure);
}

static void stage_on_dial(void *user, uint64_t node, int reply) { callback_ask(((struct node *)user)->callback, node, reply); }

const struct stage_child_callbacks node_stages_callbacks = {.on_dial = stage_on_dial,
                                                            .on_state = stage_on_state,
                                                            .on_team = stage_on_team,
                                                            .on_fault = stage_on_fault,
                                                            .on_frame = stage_on_frame,
                                                            .on_exit = stage_on_exit};

/* ---- the models folder ---- */

static void catalog_looked(void *user) { node_looked(user); }
static void catalog_changed(void *user) { news_own(&((struct node *)user)->news); }
static void catalog_found(void *user, struct weights_model *m) { weights_server_add(((struct node *)user)->weights, m); }

static void catalog_gone(void *user, const char *id) {
    struct node *n = user;
    if (!files_find_id(n->files, id)) weights_server_remove(n->weights, id); /* else its header is kept, and its file stays open */
}

static bool catalog_taken(void *user, const char *name, const char *id) { return names_taken(((struct node *)user)->names, name, id); }

const struct catalog_events node_catalog_events = {
    .looked = catalog_looked, .changed = catalog_changed, .found = catalog_found, .gone = catalog_gone, .taken = catalog_taken};

static void pulls_changed(void *user) { news_own(&((struct node *)user)->news); }
static void pulls_came(void *user) { catalog_look(((struct node *)user)->catalog); }

const struct pulls_events node_pulls_events = {.changed = pulls_changed, .came = pulls_came};

/* ---- the other nodes ---- */

static bool member_may_speak(void *user, const uint8_t *public_key) {
    return !known_is_out(join_known(((struct node *)user)->join), public_key);
}
static void member_heard(void *user, const struct record *r) { join_hear(((struct node *)user)->join, r); }
static void member_update(void *user) { node_update(user); }
static void member_changed(void *user) { holdings_sources(((struct node *)user)->holdings); }

static void member_linked(void *user, const struct control_peer *peer) {
    struct node *n = user;
    hold_linked(n->hold, peer->id);
    links_linked(n->links);
    reach_tick(n->reach);
}

static void member_lost(void *user, uint64_t id, const struct record *r, bool restarted) {
    struct node *n = user;
    hold_node_lost(n->hold, id);
    if (!r) return;
    models_asks_lost(n->models, r);
    plan_asks_lost(n->plan_asks, r);
    coordinator_node_lost(n->core, clock_now(), r, restarted);
}

const struct members_callbacks node_members_callbacks = {.own_record = node_own_record,
                                                         .may_speak = member_may_speak,
                                                         .heard = member_heard,
                                                         .update = member_update,
                                                         .changed = member_changed,
                                                         .linked = member_linked,
                                                         .lost = member_lost};

/* ---- the coordinator's actions ---- */

static struct coordinator_work serve_work(void *user, const char *instance) {
    return balance_work(((struct node *)user)->balance, instance);
}

static struct coordinator_queue serve_queue(void *user, const char *model) { return balance_queue(((struct node *)user)->balance, model); }

static void serve_load(void *user, struct stage_order *order) {
    struct node *n = user;
    hold_start(n->hold, n->id, order);
}

static void serve_unload(void *user, const char *instance, uint64_t up_to_epoch, enum stage_unload_how how) {
    struct node *n = user;
    hold_unload(n->hold, n->id, instance, up_to_epoch, how);
}

static void serve_take(void *user, const struct orphan *o) { models_take(((struct node *)user)->models, o); }
static void serve_tell_heir(void *user, uint64_t heir, const struct orphan *o) { models_tell_heir(((struct node *)user)->models, heir, o); }

static void serve_ask_room(void *user, uint64_t node, const char *model, enum coordinator_room room) {
    models_ask_room(((struct node *)user)->models, node, model, room);
}

static size_t serve_sleepers(void *user, struct coordinator_sleeper *ret, size_t max) {
    const struct node *n = user;
    struct sleeper all[COORDINATOR_MAX_SLEEPERS];
    size_t count = n->config->wake ? sleepers_list(n->sleepers, all, max < COORDINATOR_MAX_SLEEPERS ? max : COORDINATOR_MAX_SLEEPERS) : 0;
    for (size_t i = 0; i < count; i++) {
        ret[i] = (struct coordinator_sleeper){.id = all[i].id, .memory = all[i].memory};
        memcpy(ret[i].name, all[i].name, sizeof(ret[i].name));
    }
    return count;
}

static void serve_wake(void *user, uint64_t node) {
    struct err e = {0};
    if (sleepers_wake(((struct node *)user)->sleepers, node, &e) != ERR_OK) log_warn("node", "%s", e.text);
}

const struct serve_callbacks node_serve_callbacks = {.own_record = node_own_record,
                                                     .work = serve_work,
                                                     .queue = serve_queue,
                                                     .load = serve_load,
                                                     .unload = serve_unload,
                                                     .take = serve_take,
                                                     .tell_heir = serve_tell_heir,
                                                     .ask_room = serve_ask_room,
                                                     .sleepers = serve_sleepers,
                                                     .wake = serve_wake};

/* ---- requests for models ---- */

static void call_load(void *user, const char *model, calls_loaded_fn done, void *done_user) {
    const struct load_wish wish = {0};
    models_load(((struct node *)user)->models, model, &wish, done, done_user);
}

static void call_keep(void *user, const char *model, int32_t seconds, bool may_unload) {
    models_keep(((struct node *)user)->models, model, seconds, may_unload);
}

size_t node_waiting(void *user, struct ask_queue *ret, uint64_t *ret_oldest) {
    const struct node *n = user;
    struct requests_queue q;
    clock_us now = io_loop_now(n->loop);
    size_t count = 0;
    *ret_oldest = 0;
    while (n->endpoint != NULL && count < RECORD_MAX_MODELS && endpoint_get_queue(n->endpoint, count, &q)) {
        struct ask_queue *one = &ret[count++];
        *one = (struct ask_queue){.calls = q.calls, .work_ms = q.work / 1000, .oldest_ms = (now - q.since) / 1000};
        snprintf(one->model, sizeof(one->model), "%s", q.model);
        *ret_oldest = *ret_oldest * 1000003u + q.since;
    }
    return calls_waiting(n->calls, ret, count, RECORD_MAX_MODELS, ret_oldest);
}

size_t node_calls_here(void *user, const char *instance) { return calls_on_instance(((struct node *)user)->calls, instance); }

static yyjson_mut_val *call_listing(void *user, yyjson_mut_doc *doc) {
    return models_routes_list(&((struct node *)user)->models_routes, doc);
}

static void call_count(void *user, struct backend_counts *ret) {
    const struct node *n = user;
    struct stage_child *c;
    *ret = (struct backend_counts){.offered = n->memory, .sent = stages_sent(n->stages)};
    for (size_t i = 0; (c = stages_get(n->stages, i)) != NULL; i++) {
        ret->held += hold_bytes(c);
        ret->threads += stage_child_team(c)->single;
    }
    for (size_t i = 0; i < n->records.n_linked; i++) {
        const struct record *r = n->records.linked[i];
        ret->offered += r->memory;
        for (uint32_t k = 0; k < r->n_stages; k++) ret->held += r->stages[k].bytes;
    }
}

const struct calls_callbacks node_calls_callbacks = {
    .load = call_load, .keep = call_keep, .status = node_status, .listing = call_listing, .count = call_count};

/* ---- the stages that are held here ---- */

static void hold_report(void *user, const struct stage_report *r) {
    struct node *n = user;
    serve_report(n->serve, n->id, r);
}

static bool hold_busy(void *user, const char *instance) { return calls_on_instance(((struct node *)user)->calls, instance) > 0; }

static void hold_fail(void *user, const char *instance, const struct err *why) { calls_fail(((struct node *)user)->calls, instance, why); }

static void hold_lost(void *user, struct stage_child *c, const struct err *why) { calls_child_lost(((struct node *)user)->calls, c, why); }

const struct hold_callbacks node_hold_callbacks = {.report = hold_report, .busy = hold_busy, .fail = hold_fail, .lost = hold_lost};
