/* SPDX-License-Identifier: MIT
 * The input of `caravan batch`: a file of lines as batches have them (batch/line.h), of which lines may leave out what the options say.
 * Main thread. */
#ifndef CARAVAN_MANAGE_BATCH_TEXT_H
#define CARAVAN_MANAGE_BATCH_TEXT_H

#include "base/buf.h"
#include "base/err.h"

enum { BATCH_HASH_SIZE = 65 };

struct batch_given {
    const char *model;    /* of lines that name none; NULL: they must */
    const char *endpoint; /* a literal of batch_endpoint: of lines that name no url, and of the batch */
};
struct batch_text {
    struct buf lines;            /* complete lines; owned */
    char hash[BATCH_HASH_SIZE];  /* of them: SHA-256 in hexadecimal digits */
    uint32_t n;
};
/* Reads the file and completes its lines: method, url, model, and a custom_id made of the line's number. ERR_INVALID names the file, the
 * line and the cause. */
err_code batch_text_read(const char *path, const struct batch_given *given, struct batch_text *ret, struct err *e);
void batch_text_done(struct batch_text *t);

#endif
