/* SPDX-License-Identifier: MIT
 * The models as clients see them: those that are loaded anywhere, those that were until their node went, and those whose files some node
 * has. Loop thread only; owned by the node. */
#ifndef CARAVAN_CALLS_MODEL_LIST_H
#define CARAVAN_CALLS_MODEL_LIST_H

#include "calls/instances.h"
#include "catalog/catalog.h"
#include "gateway/backend.h"
#include "loading/serve.h"

/* What the list uses of the node; all of it outlives it. */
struct model_list_parts {
    struct instances instances;
    const struct catalog *catalog;
    struct serve *serve;
    uint32_t queue;      /* requests that may wait for each copy */
    bool load_on_demand; /* a model that is asked for and not loaded is loaded */
    const struct news *news;
};
struct model_list; /* opaque */
struct model_list *model_list_create(const struct model_list_parts *parts);
void model_list_free(struct model_list *l); /* NULL is fine */
/* The models, each name once. The array and its strings are the list's: valid until the next call after a change. */
const struct backend_model *model_list_get(struct model_list *l, size_t *ret_n);

#endif
