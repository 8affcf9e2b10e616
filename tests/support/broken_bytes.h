/* SPDX-License-Identifier: MIT
 * Bytes of a valid message of which a few are replaced, and the words that the refusal must have. For tables in tests of the wire. */
#ifndef CARAVAN_TESTS_BROKEN_BYTES_H
#define CARAVAN_TESTS_BROKEN_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct broken_bytes {
    size_t at;
    uint32_t value; /* little-endian, in `bytes` bytes from `at` on */
    int bytes;
    const char *says;
};

static inline void broken_bytes_put(const struct broken_bytes *b, uint8_t *message) {
    for (int i = 0; i < b->bytes; i++) message[b->at + (size_t)i] = (uint8_t)(b->value >> 8 * i);
}

#endif
