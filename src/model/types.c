/* SPDX-License-Identifier: MIT */
#include "model/types.h"

#include <stddef.h>
#include <strings.h>

static const struct model_type_info types[MODEL_TYPE_END] = {
#define GGML_TYPE_ROW(id, constant, name, block, bytes) [id] = {name, block, bytes},
#include "../../tables/ggml_types.def"
#undef GGML_TYPE_ROW
};

const struct model_type_info *model_type_get(uint32_t type) { return type < MODEL_TYPE_END && types[type].name ? &types[type] : NULL; }

bool model_type_parse(const char *name, uint32_t *ret_type) {
    for (uint32_t i = 0; i < MODEL_TYPE_END; i++)
        if (types[i].name && strcasecmp(types[i].name, name) == 0) {
            *ret_type = i;
            return true;
        }
    return false;
}

uint64_t model_type_bytes(uint32_t type, uint64_t n) {
    const struct model_type_info *t = model_type_get(type);
    if (!t || n % t->block) return 0;
    return n / t->block * t->bytes;
}
