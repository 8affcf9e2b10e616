/* SPDX-License-Identifier: MIT
 * Models that a command names and that may have to be fetched first. Main thread. */
#ifndef CARAVAN_MANAGE_PULL_H
#define CARAVAN_MANAGE_PULL_H

#include "base/err.h"
#include "options/option.h"

/* Argument 0: a name or a path as it is, or a model of a hub (hf:, ollama:, https:), which is pulled. *ret: the caller frees it; NULL when
 * there is no argument. */
err_code pull_model_file(const struct options *o, char **ret, struct err *e);
/* Has a node of the cluster fetch a model into its own models folder, and shows how far it is until it has ended. A node that fetches the
 * model already is watched. A signal ends the watching, not the fetching. */
err_code pull_by_node(const struct options *o, const char *source, const char *node, struct err *e);

#endif
