/* SPDX-License-Identifier: MIT
 * The bounds-checked reader over foreign bytes. See bytes.h. */
#include "base/bytes.h"

const uint8_t *bytes_take(struct bytes_reader *r, size_t n) {
    if (r->failed || n > r->len - r->at) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->data + r->at;
    r->at += n;
    return p;
}

uint8_t bytes_read_u8(struct bytes_reader *r) {
    const uint8_t *p = bytes_take(r, 1);
    return p ? *p : 0;
}

uint16_t bytes_read_u16(struct bytes_reader *r) {
    const uint8_t *p = bytes_take(r, 2);
    return p ? bytes_get_u16(p) : 0;
}

uint32_t bytes_read_u32(struct bytes_reader *r) {
    const uint8_t *p = bytes_take(r, 4);
    return p ? bytes_get_u32(p) : 0;
}

uint64_t bytes_read_u64(struct bytes_reader *r) {
    const uint8_t *p = bytes_take(r, 8);
    return p ? bytes_get_u64(p) : 0;
}
