/* SPDX-License-Identifier: MIT
 * Experts in RAM: of the first layers of a slice, the weights of the experts stay in RAM while everything else of these layers is on GPUs.
 * A token reads all of the rest and few of the experts, so a card that is too small for the model computes most of what every token needs.
 * This file says it to libllama; which layers, the plan decides (plan/spread.c). Values; any thread. */
#ifndef CARAVAN_ENGINE_EXPERTS_H
#define CARAVAN_ENGINE_EXPERTS_H

#include <stdint.h>

#include "base/buf.h"

/* A regular expression for the names of the experts' weights in the first n_layers of a slice (ENGINE_MOE_ALL: in all of them), the same
 * weights that model_layer_expert knows. n_layers is not 0. Appended to out. */
void engine_experts_pattern(int32_t n_layers, struct buf *out);

#endif
