/* SPDX-License-Identifier: MIT
 * f32 to f16 and back by the processor's own instructions, where it has them. The results equal those of hidden.c's portable code, limits
 * included; a test compares them. For this folder only; any thread. */
#ifndef CARAVAN_WIRE_HIDDEN_SIMD_H
#define CARAVAN_WIRE_HIDDEN_SIMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Converts the first values, a multiple of 8 and at most n; returns how many (0: this processor has no such instructions). */
size_t wire_hidden_simd_put_f16(uint8_t *out, const float *in, size_t n);
size_t wire_hidden_simd_get_f16(float *out, const uint8_t *in, size_t n);

/* The portable code alone, for the test that compares the two. */
void wire_hidden_plain_put_f16(uint8_t *out, const float *in, size_t n);
void wire_hidden_plain_get_f16(float *out, const uint8_t *in, size_t n);

#endif
