/* SPDX-License-Identifier: MIT
 * Little-endian integers and floats in byte arrays, and a bounds-checked reader. Never cast structs from the wire. Any thread. */
#ifndef CARAVAN_BASE_BYTES_H
#define CARAVAN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void bytes_put_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void bytes_put_u32(uint8_t *p, uint32_t v) {
    bytes_put_u16(p, (uint16_t)v);
    bytes_put_u16(p + 2, (uint16_t)(v >> 16));
}
static inline void bytes_put_u64(uint8_t *p, uint64_t v) {
    bytes_put_u32(p, (uint32_t)v);
    bytes_put_u32(p + 4, (uint32_t)(v >> 32));
}
static inline uint16_t bytes_get_u16(const uint8_t *p) { return (uint16_t)(p[0] | (uint16_t)(p[1] << 8)); }
static inline uint32_t bytes_get_u32(const uint8_t *p) { return (uint32_t)bytes_get_u16(p) | ((uint32_t)bytes_get_u16(p + 2) << 16); }
static inline uint64_t bytes_get_u64(const uint8_t *p) { return (uint64_t)bytes_get_u32(p) | ((uint64_t)bytes_get_u32(p + 4) << 32); }
static inline void bytes_put_f32(uint8_t *p, float v) {
    uint32_t u;
    memcpy(&u, &v, 4);
    bytes_put_u32(p, u);
}
static inline float bytes_get_f32(const uint8_t *p) {
    uint32_t u = bytes_get_u32(p);
    float v;
    memcpy(&v, &u, 4);
    return v;
}

/* A reader over foreign bytes: every get checks; once past the end, `failed` is set and all later gets give 0. */
struct bytes_reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool failed;
};
static inline void bytes_reader_init(struct bytes_reader *r, const void *data, size_t len) {
    r->data = data;
    r->len = len;
    r->at = 0;
    r->failed = false;
}
static inline size_t bytes_left(const struct bytes_reader *r) { return r->len - r->at; }
const uint8_t *bytes_take(struct bytes_reader *r, size_t n);    /* the next n bytes, or NULL (failed) */
uint8_t bytes_read_u8(struct bytes_reader *r);
uint16_t bytes_read_u16(struct bytes_reader *r);
uint32_t bytes_read_u32(struct bytes_reader *r);
uint64_t bytes_read_u64(struct bytes_reader *r);

#endif
