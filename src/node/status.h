/* SPDX-License-Identifier: MIT
 * The node's state as JSON, for /health, the admin API and `caravan nodes`. Loop thread only. */
#ifndef CARAVAN_NODE_STATUS_H
#define CARAVAN_NODE_STATUS_H

#include "base/json.h"
#include "members/record.h"

struct node;

yyjson_mut_val *node_status(void *self, yyjson_mut_doc *doc);
/* How far a stage is, and what of its weights has still to come. */
void status_progress(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct record_stage *s);

#endif
