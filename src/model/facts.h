/* SPDX-License-Identifier: MIT
 * What clients are told of a model besides its name: how big it is, of what kind, what it can do besides continuing text. Read from its
 * header; a plain value. Pure, any thread. */
#ifndef CARAVAN_MODEL_FACTS_H
#define CARAVAN_MODEL_FACTS_H

#include "model/layout.h"

enum model_pooling {
    MODEL_POOLING_NONE,
    MODEL_POOLING_MEAN,
    MODEL_POOLING_CLS,
    MODEL_POOLING_LAST,
    MODEL_POOLING_RANK,
    MODEL_POOLING_COUNT
};

struct model_facts {
    char family[MODEL_MAX_ARCH]; /* general.architecture */
    char quantization[24];       /* "Q4_K_M" */
    char digest[65];             /* of the header (model_gguf_id) */
    char fim_pre[32], fim_suf[32], fim_mid[32]; /* texts of the infill tokens; all "" when it has none */
    uint64_t n_params, bytes;
    uint32_t n_embd, n_layer, n_ctx_train;
    uint32_t pooling;            /* enum model_pooling; not NONE: it is made for embeddings (RANK: for ranking) */
};
void model_facts_make(const struct model_gguf *g, const struct model_layout *l, struct model_facts *ret);

/* The text of a token of the header's vocabulary; "" when there is none, or no room. */
void model_token_text(const struct model_gguf *g, uint64_t id, char *ret, size_t size);
/* The same for the token that `key` of the metadata names. */
void model_token_text_of(const struct model_gguf *g, const char *key, char *ret, size_t size);

#endif
