/* SPDX-License-Identifier: MIT
 * Which model `caravan plan NAME` means: a file, a model that the running node has, one of the models folder, or a shape that plans know by
 * name (paper/shapes.h). Reads headers only: a file may end after its header. Main thread; may wait for the node. */
#ifndef CARAVAN_SHOW_PLAN_MODEL_H
#define CARAVAN_SHOW_PLAN_MODEL_H

#include "options/option.h"
#include "paper/sheet.h"

/* node_runs: one answers, so that it can be asked. *ret's header is the caller's. */
err_code plan_model_find(const struct options *o, const char *name, bool node_runs, struct sheet_source *ret, struct err *e);

#endif
