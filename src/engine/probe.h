/* SPDX-License-Identifier: MIT
 * Computes a few tokens of a model's first layers and writes down the graph, for model/graph. libllama may abort() on the way, so this
 * needs a process that has nothing to lose. One thread. */
#ifndef CARAVAN_ENGINE_PROBE_H
#define CARAVAN_ENGINE_PROBE_H

#include "base/err.h"
#include "engine/params.h"
#include "model/graph.h"
#include "model/slice.h"

/* slice begins with layer 0 and is loaded from local files, on the CPU. The caller frees ret->node. ERR_ENGINE: libllama refuses, with its
 * own message. */
err_code engine_probe(const struct model_slice *slice, const struct engine_load *load, struct model_graph *ret, struct err *e);

#endif
