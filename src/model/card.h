/* SPDX-License-Identifier: MIT
 * What people want to know of a model file at a glance, taken from its header: name, size, quantisation, architecture, layers, parameters.
 * A plain value, made from a model_gguf, kept when that is gone. Pure functions, any thread. */
#ifndef CARAVAN_MODEL_CARD_H
#define CARAVAN_MODEL_CARD_H

#include "model/gguf.h"

enum { MODEL_NAME_SIZE = 288 }; /* of a name with its NUL: the longest that a file can have, and a tag */

#define MESSAGES_CARD
#include "base/field_structs.h"
#undef MESSAGES_CARD

void model_card_make(const struct model_gguf *g, struct model_card *ret);
/* A file's own name: "models/caravan-demo.gguf" is called "caravan-demo", "big-00001-of-00003.gguf" "big". Control characters, and what is
 * no UTF-8, become '_'. */
void model_card_name(const char *path, char *ret, size_t size);
/* The name of one of several models that are called `name`: the first digits of its id behind it, as in "qwen:1f3a9c2e". */
void model_card_tag(const char *name, const char *id, char *ret, size_t size);
/* How well what a client asks for fits a model's name: with or without ":latest" behind it (as Ollama's clients write it), in any case of
 * ASCII letters, but better the more exact. */
enum model_fit { MODEL_FIT_NONE, MODEL_FIT_LETTERS, MODEL_FIT_TAG, MODEL_FIT_EXACT };
enum model_fit model_card_fit(const char *asked, const char *name);
/* Which part of a split model this file is, counted from 1; 0: it isn't split. */
uint32_t model_card_part(const char *path);

#endif
