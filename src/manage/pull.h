/* SPDX-License-Identifier: MIT
 * Models that a command names and that may have to be fetched first. Main thread. */
#ifndef CARAVAN_MANAGE_PULL_H
#define CARAVAN_MANAGE_PULL_H

#include "base/err.h"
#include "options/option.h"

/* Argument 0: a name or a path as it is, or a model of a hub (hf:, ollama:, https:), which is pulled. *ret: the caller frees it; NULL when
 * there is no argument. */
err_code pull_model_file(const struct options *o, char **ret, struct err *e);

#endif
