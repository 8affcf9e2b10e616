/* SPDX-License-Identifier: MIT
 * The coordinator core in a node: what the node sees goes in, its actions are carried out. Loop thread only; the node owns it. */
#ifndef CARAVAN_NODE_SERVE_H
#define CARAVAN_NODE_SERVE_H

#include "coordinator/coordinator.h"

struct node;
struct serve_file;

void serve_create(struct node *n, uint32_t tag); /* tag: as for coordinator_create */
void serve_free(struct node *n); /* at the end: nobody is told */

/* What the node sees now, for the core. Valid until records change. */
struct coordinator_view serve_view(struct node *n);
struct coordinator *serve_core(const struct node *n);
/* Who looks after the model? Pointers are valid until records change. */
bool serve_claimed(struct node *n, const char *name, struct coordinator_claim *ret);

/* What this node's options say of models for which nothing else was said. */
void serve_own_wish(const struct node *n, struct load_wish *ret);
/* Loads the model under this name, unless this node does so already. ERR_LIMIT, or what is wrong with the wish. */
err_code serve_open(struct node *n, struct serve_file *file, const char *name, const struct load_wish *wish, struct err *e);
/* Is it loaded, or being loaded, by this node? Then the wish counts for it. */
bool serve_again(struct node *n, const char *name, const struct load_wish *wish);
/* The name of the model of the file at `path` that this node has loaded; NULL: none is. */
const char *serve_name(const struct node *n, const char *path);
/* What this node has loaded as `from` is called `to` from now on. */
void serve_rename(struct node *n, const char *from, const char *to);
/* Carries out what the core wants. After each event that was given to it. */
void serve_act(struct node *n);
/* Records or requests have changed, or time has passed. */
void serve_update(struct node *n);
/* A stage's report, from a child here (node: our id) or from another node. */
void serve_report(struct node *n, uint64_t node, const struct stage_report *r);

#endif
