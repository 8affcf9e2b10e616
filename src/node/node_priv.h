/* SPDX-License-Identifier: MIT
 * The inside of a node, shared by the files of this folder: one struct that owns every part. Loop thread only. */
#ifndef CARAVAN_NODE_NODE_PRIV_H
#define CARAVAN_NODE_NODE_PRIV_H

#include "base/list.h"
#include "members/ask.h"
#include "members/control.h"
#include "members/membership.h"
#include "plan/model.h"
#include "members/record.h"
#include "weights/weights.h"
#include "gateway/server.h"
#include "model/card.h"
#include "model/estimate.h"
#include "node/catalog.h"
#include "node/join.h"
#include "node/node.h"
#include "node/port.h"
#include "node/serve.h"
#include "node/stage_child.h"

enum { NODE_MAX_NODES = CONTROL_MAX_LINKS };

/* A model's header, read when it was first loaded and kept until the node ends (node/files.c). */
struct serve_file {
    struct serve_file *next;
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct model_card card;
    struct weights_model *weights; /* until the weights server has it; then NULL */
    char path[1024]; /* absolute */
};

struct files; /* the models' headers (node/files.c) */
struct calls; /* requests that run through this node (node/calls.c) */

struct node {
    const struct node_config *config;
    struct io_loop *loop;
    uint64_t id;
    char name[64];
    struct join *join;
    uint8_t link_key[IO_TLS_KEY_SIZE];
    uint64_t memory;
    struct io_tls_ctx *tls;
    struct port *port;
    struct control *control;
    struct stages *stages;
    struct weights_server *weights;
    struct holdings *holdings;   /* models whose weights are here (node/holdings.c) */
    struct gateway *gateway;
    struct calls *calls;
    struct profile profile;      /* of this machine, as measured; no devices until then */
    struct io_child *measuring;  /* NULL: no longer */
    uint32_t n_measured;         /* how often that was begun, and when last */
    clock_us measured_at;
    struct links *links;         /* throughput to the others */
    struct learned *learned;     /* by which plans are corrected */
    struct membership *members;
    struct io_timer *members_timer;
    uint32_t ticks;
    struct catalog *catalog;
    struct files *files;
    struct serve *serve;         /* the coordinator core (node/serve.h) */
    struct saved *saved;         /* what lasts from one start to the next (node/saved.c) */
    struct models *models;
    struct record *records[NODE_MAX_NODES]; /* of linked nodes, owned */
    size_t n_records;
    struct record *suspects[NODE_MAX_NODES]; /* of nodes that are not gone, but not linked */
    size_t n_suspects;
    struct io_timer *tick;
    clock_us told_progress;
    uint64_t news;           /* grows whenever models, files or nodes may have changed */
    struct io_task look;     /* posted when requests that wait have to look again */
    struct io_task changed;  /* posted when our record has to be sent anew */
    struct io_signal *signals[2];
    bool stopping;
    struct io_timer *stop_timer;
    struct io_timer *first_look; /* NULL: the models folder has been looked through, or isn't waited for any longer */
};

/* ---- node.c ---- */
/* What this node would say of itself now; *ret is zero before, record_done after. */
void node_own_record(struct node *n, struct record *ret);
/* The nodes have to be told something new about this one. */
void node_changed(struct node *n);

/* ---- members.c: who is in the cluster ---- */
void members_open(struct node *n);
void members_close(struct node *n);
void members_speak(struct node *n); /* this node's record has changed */
void members_up(struct node *n, const struct control_peer *peer);
void members_down(struct node *n, const struct control_peer *peer, const struct err *why);
void members_set_out(struct node *n, uint64_t id, bool out);
void members_meet(struct node *n); /* now and then: dials those that there should be links with */
err_code members_on_record(struct node *n, const uint8_t *payload, size_t len, struct err *e);
err_code members_on_members(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
const struct record *node_record(const struct node *n, uint64_t id); /* of a linked node */

/* ---- measure.c: this machine's profile ---- */
void measure_start(struct node *n);
void measure_tick(struct node *n); /* once more, in a quiet moment, where other work disturbed it */
void measure_stop(struct node *n);
/* What others are told of it. */
void measure_record(const struct node *n, struct record *r);

/* ---- links.c: round trips and throughput between nodes ---- */
void links_open(struct node *n);
void links_close(struct node *n);
void links_tick(struct node *n);
err_code links_on_probe(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code links_on_probed(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
uint64_t links_throughput(const struct node *n, uint64_t to); /* bytes per second; 0: not measured */
/* For plan_wish.link, with the node as link_user. */
struct plan_link links_between(void *node, uint64_t from, uint64_t to);

/* ---- learned.c: what running models teach the plan ---- */
void learned_open(struct node *n);
void learned_close(struct node *n);
/* An event from a stage child: a request that ended alone says how fast its ring is. */
void learned_event(struct node *n, struct stage_child *c, const uint8_t *payload, size_t len);
/* What has been measured of the ring that this order's stage is the head of, into its record. */
void learned_record(const struct node *n, const struct stage_order *o, struct record_stage *ret);
/* A stage has been loaded on `node`: what it took over what was estimated. */
void learned_memory(struct node *n, uint64_t node, const char *arch, double kv, double compute);
/* Estimates and offers, corrected by what is known of the architecture. */
void learned_correct(const struct node *n, const char *arch, struct plan_source *source);
void learned_offer(const struct node *n, const char *arch, struct plan_node *p);
/* The type of hidden states on the links of an instance that this node coordinates: as asked for, or chosen by what it gains. */
uint8_t learned_wire(struct node *n, const char *instance);
/* Predicts the running plans, and learns from the difference when their heads have measured. */
void learned_follow(struct node *n);
/* What is predicted of an instance, and how its hidden states travel, into its record. */
void learned_model(const struct node *n, struct record_model *m);

/* ---- files.c: models' headers, read in threads ---- */
void files_create(struct node *n);
void files_stop(struct node *n); /* nothing is read any more; who waits for a file is told so */
void files_free(struct node *n);
/* done comes when the file's header has been read, from the loop, or at once when that can't begin. f NULL: e says why not. Else f stays
 * until the end, and the catalog and the weights server have the model. */
typedef void (*files_opened_fn)(void *user, struct serve_file *f, const struct err *e);
void files_open(struct node *n, const char *path, files_opened_fn done, void *user);
/* The same, waiting for it: before the loop runs. */
err_code files_open_now(struct node *n, const char *path, struct serve_file **ret, struct err *e);
const struct serve_file *files_find_id(const struct node *n, const char *id); /* NULL: none is kept of this model */

/* ---- models.c: loading and unloading, here and by others ---- */
struct models *models_create(struct node *n);
void models_free(struct models *m);
/* Nodes or offers have changed, or time has passed. */
void models_update(struct node *n);
/* The next four end with done, when it is known how it went, or at once. */
typedef void (*models_done_fn)(void *user, err_code code, const struct err *e);
/* This node is to coordinate it; name may be a path of this machine. */
void models_load_here(struct node *n, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
void models_remove_here(struct node *n, const char *name, models_done_fn done, void *user);
/* By the node that coordinates it or is to. */
void models_load(struct node *n, const char *name, const struct load_wish *wish, models_done_fn done, void *user);
void models_unload(struct node *n, const char *name, models_done_fn done, void *user);
/* The model shall be unloaded when it has been idle for so long; negative: it stays. As soon as its coordinator hears of it. */
void models_keep(struct node *n, const char *name, int32_t seconds);
/* Questions to a node that is gone end. */
void models_asks_lost(struct node *n, const struct record *lost);
/* A model whose coordinator is gone: loads it here as it was; asks its heir to do so. */
void models_take(struct node *n, const struct orphan *o);
void models_tell_heir(struct node *n, uint64_t heir, const struct orphan *o);
err_code models_on_ask(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code models_on_answer(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
void models_routes_add(struct node *n);

/* ---- saved.c: from one start to the next ---- */
/* Reads what this node coordinated before it was started anew: it is loaded again unless another node does so by then. */
void saved_open(struct node *n);
void saved_close(struct node *n);
void saved_update(struct node *n); /* writes it, if it has changed */

/* ---- holdings.c: whose weights are here ---- */
void holdings_create(struct node *n);
/* Looks through the cache in a thread, if it is time to. */
void holdings_look(struct node *n);
void holdings_free(struct node *n);
void holdings_gone(struct node *n, const char *id); /* the models folder has no file of this model any more */
void holdings_record(struct node *n, struct record *r);
/* Other nodes have said what they have. */
void holdings_sources(struct node *n);

/* ---- hold.c: the holder's side ---- */
/* Starts the child that an order asks for; addresses in it are looked up by node id. `from`: the coordinator. */
void hold_start(struct node *n, uint64_t from, struct stage_order *order);
/* Carries out an UNLOAD of the coordinator `from`: this node holds stages of the instance no more up to that epoch, or still does if they
 * are to go only when idle and are not. */
void hold_unload(struct node *n, uint64_t from, const char *instance, uint64_t up_to_epoch, enum coordinator_unload how);
/* Memory that a stage has taken, or will. */
uint64_t hold_bytes(const struct stage_child *c);
/* The coordinator is gone: what it ordered is dropped. */
void hold_node_lost(struct node *n, uint64_t id);
/* Its coordinator can be told again how its stages here fare. */
void hold_linked(struct node *n, uint64_t id);
extern const struct stages_callbacks hold_callbacks;

/* ---- calls.c ---- */
struct calls *calls_create(struct node *n);
void calls_free(struct calls *c);
struct backend calls_backend(struct node *n);
err_code calls_on_submit(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
void calls_on_cancel(struct node *n, uint64_t from, uint64_t id);
/* An event from a stage child (child not NULL) or from another node. */
err_code calls_on_event(struct node *n, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);
/* TOKENIZE from another node; TOKENIZED from a stage child (not NULL) or from another node. */
err_code calls_on_tokenize(struct node *n, uint64_t from, const uint8_t *payload, size_t len, struct err *e);
err_code calls_on_tokenized(struct node *n, struct stage_child *child, uint64_t node, const uint8_t *payload, size_t len, struct err *e);
/* What this child was to answer ends, for this reason. */
void calls_fail(struct node *n, struct stage_child *child, const struct err *why);
void calls_child_lost(struct node *n, struct stage_child *child, const struct err *why);
void calls_node_lost(struct node *n, uint64_t node, const struct err *why);
size_t calls_count(const struct calls *c);
/* Requests of an instance, as far as this node knows; when it last had one. */
uint32_t calls_load(struct node *n, const char *instance);
clock_us calls_used(struct node *n, const char *instance);
/* Records have changed, or time has passed. */
void calls_update(struct node *n);
void calls_tell_busy(struct node *n);
void calls_tell_anew(struct node *n); /* a node is linked that may not have heard how much work the heads here have */
err_code calls_on_busy(struct node *n, const uint8_t *payload, size_t len, struct err *e);
/* Requests that its head, here, works on or has queued. */
size_t calls_on_instance(const struct calls *c, const char *instance);

/* ---- join.c, join_routes.c: for the admin API ---- */
/* Shuts the node with this name or id out of the cluster, or lets it in again. */
err_code join_set_out(struct node *n, const char *name, bool out, struct err *e);
/* A new cluster key; *ret_told: nodes that were linked and have been sent it. */
err_code join_rotate(struct node *n, int64_t grace_s, size_t *ret_told, struct err *e);
void join_routes_add(struct node *n);
/* The body of an admin request: a JSON object, which the caller frees. */
err_code admin_body(struct http_exchange *x, yyjson_doc **ret, struct err *e);

/* ---- status.c ---- */
yyjson_mut_val *node_status(void *self, yyjson_mut_doc *doc);
/* How far a stage is, and what of its weights has still to come. */
void status_progress(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct record_stage *s);

#endif
