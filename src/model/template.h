/* SPDX-License-Identifier: MIT
 * The chat template of a model's metadata. Some models bring a second one for chats with tools ("tokenizer.chat_template.tool_use"): both
 * become one template that takes the second where there are tools, so that everybody deals with one text. Pure, any thread. */
#ifndef CARAVAN_MODEL_TEMPLATE_H
#define CARAVAN_MODEL_TEMPLATE_H

#include "model/gguf.h"

/* The caller's (free). NULL: the model has none, or it is longer than max bytes; of two that are too long together, the plain one. */
char *model_template_make(const struct model_gguf *g, size_t max);

#endif
