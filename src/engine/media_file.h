/* SPDX-License-Identifier: MIT
 * Looks at the file of a picture or a sound before a decoder does: what it is, and whether it would stay small in memory. A small file can
 * stand for gigabytes of pixels. Pure, any thread. */
#ifndef CARAVAN_ENGINE_MEDIA_FILE_H
#define CARAVAN_ENGINE_MEDIA_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    MEDIA_MAX_FILE = 24 << 20,    /* bytes */
    MEDIA_MAX_PIXELS = 34000000,  /* of a picture: 8K video has 33.2 million */
    MEDIA_MAX_SIDE = 32768,       /* pixels */
    MEDIA_MAX_SECONDS = 1800      /* of a sound */
};

enum media_kind { MEDIA_PICTURE, MEDIA_SOUND };

/* ERR_INVALID: no picture and no sound in a format that is known here, or a broken one, or one that is too large. The error says which, and
 * what to do. */
err_code media_file_check(const uint8_t *data, size_t len, enum media_kind *ret, struct err *e);

#endif
