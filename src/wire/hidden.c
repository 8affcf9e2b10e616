/* SPDX-License-Identifier: MIT
 * All loops work on groups of a fixed number of values without branches, so that the compiler makes vector code of them at -O2. */
#include "wire/hidden.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/hidden_simd.h"

enum { GROUP = 32, Q8_BLOCK = 34 };

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are copied as they stand in memory: a big-endian machine needs a swap here");

static inline uint32_t bits_of(float v) {
    uint32_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}

static inline float float_of(uint32_t u) {
    float v;
    memcpy(&v, &u, sizeof(v));
    return v;
}

/* ---- f16 (IEEE 754 binary16) ---- */

/* Normal results: move the exponent and round the mantissa by adding half of what is cut off (one less when the last kept bit is 0).
 * Subnormal results: adding 0.5 lines the mantissa up with binary16's smallest step, and the addition itself rounds. */
static inline uint16_t to_f16(float v) {
    uint32_t u = bits_of(v), sign = u >> 16 & 0x8000u, a = u & 0x7FFFFFFFu;
    uint32_t nan = a > 0x7F800000u;
    uint32_t limited = a > 0x477FE000u ? 0x477FE000u : a; /* 65504 */
    uint32_t normal = (limited + 0xC8000FFFu + (limited >> 13 & 1u)) >> 13;
    uint32_t small = bits_of(float_of(limited) + 0.5f) - bits_of(0.5f);
    uint32_t r = limited < 0x38800000u ? small : normal; /* 2^-14 */
    return (uint16_t)(sign | (nan ? 0x7E00u : r));
}

static inline float from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, a = (uint32_t)(h & 0x7FFFu) << 13;
    uint32_t normal = a + (112u << 23);
    uint32_t special = a | 0x7F800000u;
    uint32_t small = bits_of(float_of(a + (113u << 23)) - float_of(113u << 23));
    uint32_t r = a >= 0x0F800000u ? special : a < 0x00800000u ? small : normal;
    return float_of(sign | r);
}

/* ---- bf16 ---- */

static inline uint16_t to_bf16(float v) {
    uint32_t u = bits_of(v), nan = (u & 0x7FFFFFFFu) > 0x7F800000u;
    uint32_t rounded = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;
    return (uint16_t)(nan ? (u >> 16 | 0x40u) : rounded);
}

static inline float from_bf16(uint16_t h) { return float_of((uint32_t)h << 16); }

/* ---- groups ---- */

#define PUT_16(name, convert) \
    void name(uint8_t *restrict out, const float *restrict in, size_t n) { \
        uint16_t tmp[GROUP]; \
        for (; n >= GROUP; n -= GROUP, in += GROUP, out += sizeof(tmp)) { \
            for (int i = 0; i < GROUP; i++) tmp[i] = convert(in[i]); \
            memcpy(out, tmp, sizeof(tmp)); \
        } \
        for (size_t i = 0; i < n; i++) bytes_put_u16(out + 2 * i, convert(in[i])); \
    }
#define GET_16(name, convert) \
    void name(float *restrict out, const uint8_t *restrict in, size_t n) { \
        uint16_t tmp[GROUP]; \
        for (; n >= GROUP; n -= GROUP, out += GROUP, in += sizeof(tmp)) { \
            memcpy(tmp, in, sizeof(tmp)); \
            for (int i = 0; i < GROUP; i++) out[i] = convert(tmp[i]); \
        } \
        for (size_t i = 0; i < n; i++) out[i] = convert(bytes_get_u16(in + 2 * i)); \
    }
PUT_16(wire_hidden_plain_put_f16, to_f16)
static PUT_16(put_bf16, to_bf16) GET_16(wire_hidden_plain_get_f16, from_f16) static GET_16(get_bf16, from_bf16)

    static void put_f16(uint8_t *out, const float *in, size_t n) {
    size_t done = wire_hidden_simd_put_f16(out, in, n);
    wire_hidden_plain_put_f16(out + 2 * done, in + done, n - done);
}

static void get_f16(float *out, const uint8_t *in, size_t n) {
    size_t done = wire_hidden_simd_get_f16(out, in, n);
    wire_hidden_plain_get_f16(out + done, in + 2 * done, n - done);
}

/* Rounds to the nearest integer, ties to even, for |v| <= 2^22: the sum with 1.5 * 2^23 has no bits left for a fraction. */
static inline int32_t nearest(float v) { return (int32_t)(bits_of(v + 12582912.0f) - bits_of(12582912.0f)); }

static void put_q8_block(uint8_t *restrict out, const float *restrict in) {
    uint32_t top = 0; /* the largest magnitude, compared as integers: the same order, and a NaN is above all */
    for (int i = 0; i < GROUP; i++) {
        uint32_t a = bits_of(in[i]) & 0x7FFFFFFFu;
        top = a > top ? a : top;
    }
    float d = float_of(top) / 127.0f;
    float inverse = top > 0 && top < 0x7F800000u ? 127.0f / float_of(top) : 0.0f;
    inverse = isfinite(inverse) ? inverse : 0.0f; /* a block of tiny subnormals only */
    bytes_put_u16(out, top >= 0x7F800000u ? 0x7E00u : to_f16(d));
    int8_t q[GROUP];
    for (int i = 0; i < GROUP; i++) q[i] = (int8_t)nearest(inverse > 0.0f ? in[i] * inverse : 1.0f);
    memcpy(out + 2, q, sizeof(q));
}

static void get_q8_block(float *restrict out, const uint8_t *restrict in) {
    float d = from_f16(bytes_get_u16(in));
    int8_t q[GROUP];
    memcpy(q, in + 2, sizeof(q));
    for (int i = 0; i < GROUP; i++) out[i] = d * (float)q[i];
}

/* ---- rows ---- */

void wire_hidden_put(uint8_t *out, uint8_t dtype, const float *rows, uint32_t n_rows, uint32_t width) {
    assert(dtype < FRAME_DTYPE_COUNT && (dtype != FRAME_Q8_0 || width % GROUP == 0));
    size_t n = (size_t)n_rows * width;
    if (n == 0) return;
    switch ((enum frame_dtype)dtype) {
    case FRAME_F32: memcpy(out, rows, n * sizeof(*rows)); break;
    case FRAME_F16: put_f16(out, rows, n); break;
    case FRAME_BF16: put_bf16(out, rows, n); break;
    case FRAME_Q8_0:
        for (size_t i = 0; i < n / GROUP; i++) put_q8_block(out + i * Q8_BLOCK, rows + i * GROUP);
        break;
    case FRAME_DTYPE_COUNT: break;
    }
}

void wire_hidden_get(float *out, uint8_t dtype, const uint8_t *in, uint32_t n_rows, uint32_t width) {
    assert(dtype < FRAME_DTYPE_COUNT && (dtype != FRAME_Q8_0 || width % GROUP == 0));
    size_t n = (size_t)n_rows * width;
    if (n == 0) return;
    switch ((enum frame_dtype)dtype) {
    case FRAME_F32: memcpy(out, in, n * sizeof(*out)); break;
    case FRAME_F16: get_f16(out, in, n); break;
    case FRAME_BF16: get_bf16(out, in, n); break;
    case FRAME_Q8_0:
        for (size_t i = 0; i < n / GROUP; i++) get_q8_block(out + i * GROUP, in + i * Q8_BLOCK);
        break;
    case FRAME_DTYPE_COUNT: break;
    }
}
