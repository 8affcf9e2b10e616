/* SPDX-License-Identifier: MIT
 * A GGUF's layout as the plan needs it: which slices are legal, what they need, what their layers cost a token. Borrows the layout,
 * which must outlive it. Made once for a load shape, then read-only: any thread. */
#ifndef CARAVAN_PLAN_MODEL_H
#define CARAVAN_PLAN_MODEL_H

#include "plan/plan.h"
#include "model/estimate.h"
#include "plan/needs.h"

struct plan_source;
/* name must outlive the source. */
struct plan_source *plan_source_create(const struct model_layout *l, const struct model_load_shape *shape, const char *name);
void plan_source_free(struct plan_source *s); /* NULL is fine */
const struct plan_model *plan_source_model(const struct plan_source *s);
/* The need of layers [first, end), divided: plan_model.need() is its total. */
struct model_estimate plan_source_split(const struct plan_source *s, uint32_t first, uint32_t end);
/* Corrects later needs by what stages really took in proportion to the estimate (1: as estimated; kept within 0.5 to 2). */
void plan_source_correct(struct plan_source *s, double kv, double compute);
/* Needs follow from what libllama says itself, as far as that is known (NULL: not at all), and the model may be placed. Besides weights and
 * KV cache a slice counts at least MODEL_ESTIMATE_FIXED bytes. */
void plan_source_measured(struct plan_source *s, const struct needs *n);
/* Asks anew which slices are legal: a row for the model's architecture has been found. */
void plan_source_cut(struct plan_source *s);
/* The needs are being measured: the model is not placed before plan_source_measured. */
void plan_source_measuring(struct plan_source *s);

#endif
