/* SPDX-License-Identifier: MIT
 * The hash of weights: BLAKE3 with 32 bytes (a few GB/s a core), and the model's id, which is the hash of its header in hex. Any thread. */
#ifndef CARAVAN_MODEL_HASH_H
#define CARAVAN_MODEL_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_HASH_SIZE = 32 };
void model_hash(const void *data, size_t len, uint8_t ret[MODEL_HASH_SIZE]);
/* True if `id` has the form of a model's id: 64 lower-case hex digits. Foreign ids are checked before they become file names. */
bool model_id_ok(const char *id);

#endif
