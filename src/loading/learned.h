/* SPDX-License-Identifier: MIT
 * What running models teach the plan (plan/learn). As the holder of a head, this node takes the pace of the ring from the requests that
 * end there, and tells it in its record. As a coordinator, it corrects the plan's constants by those paces and by what stages report, and
 * keeps them in the state folder. Loop thread only; owned by the node. */
#ifndef CARAVAN_LOADING_LEARNED_H
#define CARAVAN_LOADING_LEARNED_H

#include "coordinator/coordinator.h"
#include "peers/links.h"
#include "peers/news.h"
#include "peers/records.h"
#include "plan/model.h"

/* What learned uses of the node; all of it outlives it. */
struct learned_parts {
    uint64_t self;
    const char *state_dir; /* ending in '/'; NULL: nothing is kept */
    const struct coordinator *core;
    struct links *links;
    const struct records *records;
    struct news *news;
};
struct learned; /* opaque */
struct learned *learned_create(const struct learned_parts *parts);
void learned_free(struct learned *l); /* NULL is fine */

/* ---- the holder of a head ---- */

/* An EVENT from the head of this order, while no other request runs: the end of a request says how fast its ring is. */
void learned_event(struct learned *l, const struct stage_order *o, const uint8_t *payload, size_t len);
/* Adds to the stage's record what has been measured of the ring, if this order's stage is its head. */
void learned_record(const struct learned *l, const struct stage_order *o, struct record_stage *ret);

/* ---- the coordinator ---- */

/* A stage of a model of this architecture has been loaded on `node`: the memory that it took, as a multiple of the estimate. */
void learned_memory(struct learned *l, uint64_t node, const char *arch, double kv, double compute);
/* Corrects estimates, and the speed of an offer, by what is known of the architecture. */
void learned_correct(const struct learned *l, const char *arch, struct plan_source *source);
void learned_offer(const struct learned *l, const char *arch, struct plan_node *p);
/* The type of hidden states (enum frame_dtype) on the links of an instance that this node coordinates: as asked for, or the type that
 * makes the slowest link fast enough. It stays the same for an epoch. */
uint8_t learned_wire(struct learned *l, const char *instance);
/* Predicts the running plans, and learns from the difference when their heads have measured. */
void learned_follow(struct learned *l);
/* Adds to the model's record the predicted speed of its instance, and the type of its hidden states. */
void learned_model(const struct learned *l, struct record_model *m);

#endif
