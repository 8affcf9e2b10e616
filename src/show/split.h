/* SPDX-License-Identifier: MIT
 * A model's file, cut in slices as --stages or --split say, and a private ring of these slices: for the commands that compare slices with
 * the whole model (verify, perplexity). Main thread. */
#ifndef CARAVAN_SHOW_SPLIT_H
#define CARAVAN_SHOW_SPLIT_H

#include "model/layout.h"
#include "model/quirks.h"
#include "node/private_ring.h"
#include "options/option.h"

enum { SPLIT_MAX_STAGES = 64 };
struct split {
    struct model_gguf *gguf;
    struct model_layout *layout;
    uint32_t bounds[SPLIT_MAX_STAGES + 1];
    uint32_t n_stage;
    char quirk[MODEL_MAX_ROW]; /* --probe: the architecture's row; "": that of tables/quirks.def */
    uint32_t n_guess;            /* guesses of the model's own layers that travel with each token that the ring writes; 0: none */
};
err_code split_open(const struct options *o, const char *path, struct split *ret, struct err *e);
void split_done(struct split *s);
/* Starts a ring of these slices, or (whole) of one stage that holds the whole model. */
err_code split_ring(const struct options *o, const struct split *s, bool whole, uint32_t n_ctx, struct private_ring **ret, struct err *e);

#endif
