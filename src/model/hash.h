/* SPDX-License-Identifier: MIT
 * The hash of weights: BLAKE3 with 32 bytes (a few GB/s a core). Any thread. */
#ifndef CARAVAN_MODEL_HASH_H
#define CARAVAN_MODEL_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { MODEL_HASH_SIZE = 32 };
void model_hash(const void *data, size_t len, uint8_t ret[MODEL_HASH_SIZE]);

#endif
