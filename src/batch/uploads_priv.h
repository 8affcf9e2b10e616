/* SPDX-License-Identifier: MIT
 * What uploads.c, upload.c and content.c share. */
#ifndef CARAVAN_BATCH_UPLOADS_PRIV_H
#define CARAVAN_BATCH_UPLOADS_PRIV_H

#include "batch/uploads.h"
#include "io/work.h"

struct uploads {
    struct gateway *gateway;
    struct uploads_options options;
    char *dir;                 /* owned; NULL: no files are kept */
    uint64_t bytes;            /* of all files, as far as is known */
    uint64_t coming;           /* bytes of uploads that are not complete */
    struct store_ask *sizing, *sweeping;
    struct io_timer *timer;
    struct io_works *readers;  /* of contents */
};

/* Asks the store anew how many bytes all files have. */
void uploads_count(struct uploads *f);

#endif
