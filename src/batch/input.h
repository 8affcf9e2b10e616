/* SPDX-License-Identifier: MIT
 * Checks the whole input of a batch as its bytes come: every line by itself (batch/line.h), that no custom_id comes twice, and that all
 * ask one model. Keeps where each line stands, so that any line can be read later. A core: bytes go in, in pieces of any size. Blank
 * lines are skipped. One owner, any thread. */
#ifndef CARAVAN_BATCH_INPUT_H
#define CARAVAN_BATCH_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { BATCH_MAX_LINES = 1000000, BATCH_MAX_LINE = 16 << 20 /* bytes */, BATCH_MAX_FAULTS = 100 };

/* Something that is wrong. */
struct batch_fault {
    const char *code;        /* a literal: "duplicate_custom_id" */
    char param[ERR_FIELD_SIZE]; /* the field; "": the line as a whole */
    char message[sizeof(((struct err *)0)->text)];
    uint32_t line;           /* of the file, from 1; 0: the file as a whole */
};
struct batch_place {
    uint64_t at;             /* in the file */
    uint32_t len;            /* without the end of line */
};

struct batch_input; /* opaque */
/* endpoint: a literal of batch_endpoint. max_lines: at most BATCH_MAX_LINES. */
struct batch_input *batch_input_create(const char *endpoint, uint32_t max_lines);
void batch_input_free(struct batch_input *in); /* NULL is fine */
void batch_input_push(struct batch_input *in, const void *data, size_t len);
/* There are no more bytes. */
void batch_input_end(struct batch_input *in);
/* The first faults, at most BATCH_MAX_FAULTS; none: the input is right. */
const struct batch_fault *batch_input_faults(const struct batch_input *in, size_t *ret_n);
/* The lines that ask something. Valid until the input is freed. */
const struct batch_place *batch_input_lines(const struct batch_input *in, uint32_t *ret_n);
const char *batch_input_model(const struct batch_input *in); /* "": no line names one */

#endif
