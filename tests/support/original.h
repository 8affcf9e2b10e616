/* SPDX-License-Identifier: MIT
 * The bytes of a model file in memory, as slices read them (model_read_fn). */
#ifndef CARAVAN_TESTS_ORIGINAL_H
#define CARAVAN_TESTS_ORIGINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct original {
    const uint8_t *data;
    size_t size;
};

static bool read_original(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    const struct original *o = user;
    if (part != 0 || offset > o->size || len > o->size - offset) abort(); /* checked when the header was read */
    memcpy(buf, o->data + offset, len);
    return true;
}

#endif
