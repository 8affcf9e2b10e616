/* SPDX-License-Identifier: MIT
 * The list of models as JSON, for GET /caravan/v1/models: each model's files, its instances and their stages, on all nodes; and the files
 * of this node that cannot be used. Loop thread only. */
#ifndef CARAVAN_NODE_LISTING_H
#define CARAVAN_NODE_LISTING_H

#include "base/json.h"
#include "catalog/catalog.h"
#include "members/record.h"

struct listing {
    const struct record *const *records; /* of all nodes */
    size_t n_records;
    const struct catalog *catalog;       /* of this node */
    uint32_t (*requests)(void *user, const char *instance);
    void *user;
};
/* A new object in doc; all strings are copied. */
yyjson_mut_val *listing_make(const struct listing *l, yyjson_mut_doc *doc);

#endif
