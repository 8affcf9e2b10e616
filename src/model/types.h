/* SPDX-License-Identifier: MIT
 * ggml's tensor types as a table (tables/ggml_types.def), so that nothing outside engine/ needs ggml.h.
 * Pure functions, any thread. */
#ifndef CARAVAN_MODEL_TYPES_H
#define CARAVAN_MODEL_TYPES_H

#include <stdbool.h>
#include <stdint.h>

enum model_type {
#define GGML_TYPE_ROW(id, constant, name, block, bytes) MODEL_TYPE_##constant = id,
#include "../../tables/ggml_types.def"
#undef GGML_TYPE_ROW
    MODEL_TYPE_END /* one more than the largest id */
};

struct model_type_info {
    const char *name;      /* "q4_K", as ggml_type_name says; NULL for an unknown or removed type */
    uint32_t block;        /* elements in a block: a row is a multiple of it */
    uint32_t bytes;        /* bytes of a block */
};

/* NULL for a type that ggml does not have, or no longer has. */
const struct model_type_info *model_type_get(uint32_t type);
/* Finds the type called `name`, ignoring case ("f16", "Q8_0", "q4_k"); false when there is none. */
bool model_type_parse(const char *name, uint32_t *ret_type);
/* Bytes of n elements; 0 if the type is unknown or n is not a multiple of its block. No overflow below 2^60 elements. */
uint64_t model_type_bytes(uint32_t type, uint64_t n);

#endif
