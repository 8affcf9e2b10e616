/* SPDX-License-Identifier: MIT
 * The facts that people want to see of a model file: name, size, quantisation, architecture, layers, parameters. Read from the header
 * into a plain value, which outlives the model_gguf. Pure functions, any thread. */
#ifndef CARAVAN_MODEL_CARD_H
#define CARAVAN_MODEL_CARD_H

#include "model/gguf.h"

enum { MODEL_NAME_SIZE = 288 }; /* of a name with its NUL: the longest file name, and a tag */

#define MESSAGES_CARD
#include "base/field_structs.h"
#undef MESSAGES_CARD

void model_card_make(const struct model_gguf *g, struct model_card *ret);
/* A file's own name: "models/caravan-demo.gguf" is called "caravan-demo", "big-00001-of-00003.gguf" is called "big". Control characters
 * and invalid UTF-8 become '_'. */
void model_card_name(const char *path, char *ret, size_t size);
/* The name of one of several models that are called `name`: it ends with the first digits of the model's id, as in "qwen:1f3a9c2e". */
void model_card_tag(const char *name, const char *id, char *ret, size_t size);
/* How well the name in a client's request fits a model's name. A final ":latest" (as Ollama's clients write it) and the case of ASCII
 * letters don't matter, but a more exact name fits better. */
enum model_fit { MODEL_FIT_NONE, MODEL_FIT_LETTERS, MODEL_FIT_TAG, MODEL_FIT_EXACT };
enum model_fit model_card_fit(const char *asked, const char *name);
/* The number of this part of a split model, counted from 1; 0: the model isn't split. */
uint32_t model_card_part(const char *path);

#endif
