/* SPDX-License-Identifier: MIT
 * Files of pictures and sounds, as clients send them: whatever is in them, looking at them ends, and what passes is small. */
#include <stdlib.h>

#include "engine/media_file.h"
#include "engine/media_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum media_kind kind = MEDIA_PICTURE;
    struct err e = {0};
    struct media_png png;
    err_code code = media_file_check(data, size, &kind, &e);
    if (code != ERR_OK && (code != ERR_INVALID || e.text[0] == '\0')) abort();
    if (code == ERR_OK && media_png_head(data, size, &png) && (uint64_t)png.width * png.height > MEDIA_MAX_PIXELS) abort();
    return 0;
}
