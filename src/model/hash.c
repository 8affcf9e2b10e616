/* SPDX-License-Identifier: MIT */
#include "model/hash.h"

#include <string.h>

#include <blake3.h>

void model_hash(const void *data, size_t len, uint8_t ret[MODEL_HASH_SIZE]) {
    blake3_hasher h;
    blake3_hasher_init(&h);
    blake3_hasher_update(&h, data, len);
    blake3_hasher_finalize(&h, ret, MODEL_HASH_SIZE);
}

bool model_id_ok(const char *id) { return strlen(id) == 2 * MODEL_HASH_SIZE && strspn(id, "0123456789abcdef") == 2 * MODEL_HASH_SIZE; }
