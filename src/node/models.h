/* SPDX-License-Identifier: MIT
 * Loading and unloading models, here and by other nodes (ASK, ANSWER), for the admin API and for requests that wait. Loop thread only. */
#ifndef CARAVAN_NODE_MODELS_H
#define CARAVAN_NODE_MODELS_H

#include "members/ask.h"
#include "members/orphans.h"
#include "node/catalog.h"

struct node;
struct models;

struct models *models_create(struct node *n);
void models_free(struct models *m);
/* Nodes or offers have changed, or time has passed. */
void models_update(struct node *n);
/* The next four end with done, when it is known how it went, or at once. */
typedef catalog_done_fn models_done_fn;
/* This node is to coordinate it; name may be a path of this machine, as in unload and remove. */
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

#endif
