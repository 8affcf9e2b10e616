/* SPDX-License-Identifier: MIT
 * Tries whether a model gives the same logits in slices as whole, in this process, one slice after the other. libllama may abort() on the
 * way, so this needs a process that has nothing to lose. One thread. */
#ifndef CARAVAN_ENGINE_TRIAL_H
#define CARAVAN_ENGINE_TRIAL_H

#include "base/err.h"
#include "engine/params.h"
#include "model/layout.h"

/* Computes a prompt that is longer than the model's windows, and a few tokens one by one, with the whole model and with as many slices as
 * can be, at most three, of local files on the CPU. load: where ggml's modules are, and threads. ERR_WHOLE_ONLY: the logits differ, or no
 * slice can be made; the text says which. ERR_ENGINE and others: libllama refuses. */
err_code engine_trial(const struct model_layout *l, const struct engine_load *load, struct err *e);

#endif
