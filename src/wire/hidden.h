/* SPDX-License-Identifier: MIT
 * Converts hidden states between the engine's f32 and the types on the wire: f32 (exact), f16, bf16, q8_0 (34 bytes for 32 values: f16
 * scale, then 32 int8, as ggml's block_q8_0). Rounded to nearest, ties to even. On the wire everything is little-endian. Any thread.
 *
 * In f16, finite values beyond +-65504 and infinities become +-65504 (some models have a few such activations: a large number keeps the
 * rest of the row alive, an infinity turns it into NaN). NaN stays NaN, except in q8_0, which has none: a block with a NaN or infinity in
 * it gives NaNs. */
#ifndef CARAVAN_WIRE_HIDDEN_H
#define CARAVAN_WIRE_HIDDEN_H

#include <stddef.h>
#include <stdint.h>

#include "wire/frame.h"

/* n_rows rows of `width` floats to n_rows x frame_row_bytes(dtype, width) bytes. dtype and width fit each other (asserted). */
void wire_hidden_put(uint8_t *out, uint8_t dtype, const float *rows, uint32_t n_rows, uint32_t width);
/* The reverse. */
void wire_hidden_get(float *out, uint8_t dtype, const uint8_t *in, uint32_t n_rows, uint32_t width);

#endif
