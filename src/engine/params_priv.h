/* SPDX-License-Identifier: MIT
 * Parts of params.c that stand in files of their own. */
#ifndef CARAVAN_ENGINE_PARAMS_PRIV_H
#define CARAVAN_ENGINE_PARAMS_PRIV_H

#include "engine/params.h"

/* The field "grammar_lazy" of obj, both ways; absent: untouched. ERR_INVALID names the field. */
err_code engine_lazy_from_json(struct engine_lazy *lazy, yyjson_val *obj, struct err *e);
void engine_lazy_to_json(const struct engine_lazy *lazy, yyjson_mut_doc *doc, yyjson_mut_val *obj);

#endif
