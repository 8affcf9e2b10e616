/* SPDX-License-Identifier: MIT
 * How each architecture takes to being cut in slices (tables/quirks.def, measured with libllama 0.7.0; docs/ARCHITECTURES.md).
 * What the table does not know runs whole only. Pure functions, any thread. */
#ifndef CARAVAN_MODEL_QUIRKS_H
#define CARAVAN_MODEL_QUIRKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/layout.h"

enum model_split { MODEL_SPLIT_EXACT, MODEL_SPLIT_CLOSE, MODEL_SPLIT_WHOLE };

struct model_quirks {
    const char *arch;
    enum model_split split;
    uint32_t flags;            /* enum model_quirk_flag in quirks.c's table: fix-ups that model/slice applies */
    const char *cuts;          /* name of the rule for legal cuts: "any", "period", "dense", ... */
    const char *note;          /* why, in a few words; for WHOLE the reason given to people */
};

/* The row for an architecture, or the row of unknown ones (WHOLE). Never NULL. */
const struct model_quirks *model_quirks_find(const char *arch);

/* May the model be cut between layers `at - 1` and `at` (0 < at < n_layer)? 0 and n_layer are always true. */
bool model_quirks_cut_ok(const struct model_layout *l, uint32_t at);
/* The legal cut points in rising order, 0 and n_layer included, into cuts[max]; returns how many there are (never more than
 * n_layer + 1; 2 means whole only). */
uint32_t model_quirks_cuts(const struct model_layout *l, uint32_t *cuts, uint32_t max);
/* May exactly these slices be made? bounds[0] = 0 < bounds[1] < ... < bounds[n] = n_layer. ERR_WHOLE_ONLY says why the
 * architecture runs whole only; ERR_INVALID names the illegal cut and the nearest legal ones. */
err_code model_quirks_check(const struct model_layout *l, const uint32_t *bounds, uint32_t n_slices, struct err *e);

#endif
