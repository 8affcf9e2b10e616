/* SPDX-License-Identifier: MIT
 * Where a copy of a model would be placed now, for people who want to know it before they load it. Nothing is loaded, and no idle model
 * makes room. Pure: reads the core and what the node sees. */
#ifndef CARAVAN_COORDINATOR_PREVIEW_H
#define CARAVAN_COORDINATOR_PREVIEW_H

#include "coordinator/coordinator.h"

/* *ret: a new object of the document: {"fits": true, "stages": [{"node", "first_layer", "last_layer", "bytes"}],
 * "bytes_whole", "tokens_per_second", "first_token_seconds", "text"}. text: the plan, its figures and what would help, in words.
 * Errors as of plan_make. */
err_code preview_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, yyjson_mut_doc *doc,
                      yyjson_mut_val **ret, struct err *e);

#endif
