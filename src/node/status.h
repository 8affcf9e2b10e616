/* SPDX-License-Identifier: MIT
 * The node's state as JSON, for /health, the admin API and `caravan nodes`: this node and those linked to it, their stages, the models.
 * Pure; any thread. */
#ifndef CARAVAN_NODE_STATUS_H
#define CARAVAN_NODE_STATUS_H

#include "base/json.h"
#include "calls/traffic.h"
#include "members/control.h"
#include "peers/records.h"

/* The state of a node. */
struct status {
    const struct record *own;       /* this node's record */
    const struct records *records;  /* of the others */
    const struct control *control;  /* where they are */
    const struct traffic *traffic;  /* of ring links */
    uint64_t requests;              /* that run through this node */
    uint64_t weights_sent;          /* bytes */
};
/* A new object in doc. */
yyjson_mut_val *status_make(const struct status *s, yyjson_mut_doc *doc);
const char *status_model(const struct record_model *m); /* "ready", "loading", "waiting" (for room), "failed" */
/* Adds to o how far a stage is, and which bytes of its weights have still to come. */
void status_progress(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct record_stage *s);

#endif
