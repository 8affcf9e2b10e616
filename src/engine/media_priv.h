/* SPDX-License-Identifier: MIT
 * The inside of media_file.c: how much data a PNG file holds. Pure. */
#ifndef CARAVAN_ENGINE_MEDIA_PRIV_H
#define CARAVAN_ENGINE_MEDIA_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct media_png {
    uint32_t width, height;
    uint8_t depth, color;
    bool interlaced;
};
/* Reads the header; false: it is broken. */
bool media_png_head(const uint8_t *data, size_t len, struct media_png *ret);
/* Bytes of its pixels and of their filters. */
uint64_t media_png_raw(const struct media_png *png);
/* Do its data become no more bytes than this? They are followed, but not kept. */
bool media_png_inflates(const uint8_t *data, size_t len, uint64_t most);

#endif
