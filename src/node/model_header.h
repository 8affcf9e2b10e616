/* SPDX-License-Identifier: MIT
 * GET /caravan/v1/headers/NAME: the header of a model whose file this node has, so that plans can be made of it elsewhere. The file is
 * read in a thread, and what was read is not kept. The answer is, for each part of the model in order, the size of its file and the length
 * of its header (8 bytes each, little-endian), then that header. Loop thread only; owned by the node. */
#ifndef CARAVAN_NODE_MODEL_HEADER_H
#define CARAVAN_NODE_MODEL_HEADER_H

#include "catalog/catalog.h"
#include "endpoint/server.h"
#include "loading/names.h"
#include "peers/records.h"

/* What the route uses of the node; all of it outlives the gateway. */
struct model_header_parts {
    struct io_loop *loop;
    struct names *names;
    const struct catalog *catalog;
    const struct records *records; /* which nodes have the file, when this one hasn't */
};
struct model_header; /* opaque */
struct model_header *model_header_create(const struct model_header_parts *parts);
void model_header_free(struct model_header *h); /* after the gateway; NULL is fine */
void model_header_add_route(struct model_header *h, struct endpoint *ep);

#endif
