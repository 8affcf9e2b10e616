/* SPDX-License-Identifier: MIT
 * Files of pictures and sounds, as clients send them: whatever is in them, looking at them ends, and what passes is small. */
#include <stdlib.h>
#include <string.h>

#include "engine/media_file.h"
#include "engine/media_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum media_kind kind = MEDIA_PICTURE;
    struct err e = {0};
    struct media_png png;
    err_code code = media_file_check(data, size, &kind, &e);
    if (code != ERR_OK && (code != ERR_INVALID || e.text[0] == '\0')) abort();
    if (code != ERR_OK || size < 8 || memcmp(data, "\x89PNG\r\n\x1a\n", 8) != 0) return 0;
    if (kind != MEDIA_PICTURE || !media_png_head(data, size, &png)) abort();
    if ((uint64_t)png.width * png.height > MEDIA_MAX_PIXELS || !media_png_inflates(data, size, media_png_raw(&png))) abort();
    return 0;
}
