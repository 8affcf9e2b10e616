/* SPDX-License-Identifier: MIT
 * What people want to know of a model file at a glance, taken from its header: name, size, quantisation, architecture, layers, parameters.
 * A plain value, made from a model_gguf, kept when that is gone. Pure functions, any thread. */
#ifndef CARAVAN_MODEL_CARD_H
#define CARAVAN_MODEL_CARD_H

#include "model/gguf.h"

#define MESSAGES_CARD
#include "base/field_structs.h"
#undef MESSAGES_CARD

void model_card_make(const struct model_gguf *g, struct model_card *ret);
/* "models/caravan-demo.gguf" is called "caravan-demo", "big-00001-of-00003.gguf" "big". */
void model_card_name(const char *path, char *ret, size_t size);
/* Which part of a split model this file is, counted from 1; 0: it isn't split. */
uint32_t model_card_part(const char *path);

#endif
