/* SPDX-License-Identifier: MIT
 * The chat template of a model's metadata. Some models have a second one for chats with tools ("tokenizer.chat_template.tool_use"). Both
 * become one template, which uses the second one if there are tools, so that all users of templates see one text. Pure, any thread. */
#ifndef CARAVAN_MODEL_TEMPLATE_H
#define CARAVAN_MODEL_TEMPLATE_H

#include "model/gguf.h"

/* The caller frees the text. NULL: the model has no template, or it is longer than max bytes. If only both together are too long, the
 * plain one. */
char *model_template_make(const struct model_gguf *g, size_t max);

#endif
