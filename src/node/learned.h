/* SPDX-License-Identifier: MIT
 * What running models teach the plan: as the holder of a head, and as a coordinator (plan/learn). Loop thread only. */
#ifndef CARAVAN_NODE_LEARNED_H
#define CARAVAN_NODE_LEARNED_H

#include "members/record.h"
#include "node/stage_child.h"
#include "plan/model.h"

struct node;

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

#endif
