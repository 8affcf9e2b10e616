/* SPDX-License-Identifier: MIT
 * A model of a plan on paper: its header, its layout, and what its slices need when it is loaded in a certain way. No weights, no I/O; any
 * thread. */
#ifndef CARAVAN_PAPER_MODEL_H
#define CARAVAN_PAPER_MODEL_H

#include "plan/model.h"

/* How a model would be loaded. */
struct paper_load {
    uint32_t n_ctx;          /* positions of a conversation; 0: what the model was trained with, at most 4096 */
    bool within;             /* a longer context than the model was trained with is cut to that; else it is taken as it is */
    uint32_t n_seq;          /* conversations at once; 0: 1 */
    uint32_t n_ubatch;       /* tokens of a prompt in one step */
    uint32_t type_k, type_v; /* enum model_type of the KV cache */
    bool exact;
    bool mtp; /* the last slice guesses with the model's own layers */
};
struct paper_model {
    char *name;
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct plan_source *source;
    struct model_load_shape shape; /* what the load became */
};

/* The header belongs to *ret from here on, also after an error; paper_model_done() frees what there is. ERR_FORMAT: a header that is no
 * model. ERR_INVALID: a context that the model cannot have. */
err_code paper_model_open(struct model_gguf *gguf, const char *name, const struct paper_load *load, struct paper_model *ret, struct err *e);
/* The needs of the same model when it is loaded in another way; NULL: it cannot be. The caller frees it, before the model. */
struct plan_source *paper_model_reload(const struct paper_model *m, const struct paper_load *load, struct err *e);
void paper_model_done(struct paper_model *m);

#endif
