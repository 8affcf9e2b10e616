/* SPDX-License-Identifier: MIT
 * The facts about a model that clients get besides its name: how big it is, of what kind, what it can do besides continuing text. Read
 * from its header; a plain value. Pure, any thread. */
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

#define MESSAGES_FACTS
#include "base/field_structs.h"
#undef MESSAGES_FACTS
void model_facts_make(const struct model_gguf *g, const struct model_layout *l, struct model_facts *ret);

/* The text of a token of the header's vocabulary; "" when the token is missing or its text doesn't fit. */
void model_token_text(const struct model_gguf *g, uint64_t id, char *ret, size_t size);
/* As model_token_text, for the token that the metadata names under `key`. */
void model_token_text_of(const struct model_gguf *g, const char *key, char *ret, size_t size);

#endif
