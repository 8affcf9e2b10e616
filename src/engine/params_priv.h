/* SPDX-License-Identifier: MIT
 * Functions of params.c that have files of their own. */
#ifndef CARAVAN_ENGINE_PARAMS_PRIV_H
#define CARAVAN_ENGINE_PARAMS_PRIV_H

#include "engine/params.h"

/* Reads and writes the field "grammar_lazy" of obj. If the field is absent, the value stays as it is. ERR_INVALID names the field. */
err_code engine_lazy_from_json(struct engine_lazy *lazy, yyjson_val *obj, struct err *e);
void engine_lazy_to_json(const struct engine_lazy *lazy, yyjson_mut_doc *doc, yyjson_mut_val *obj);

#endif
