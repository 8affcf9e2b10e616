/* SPDX-License-Identifier: MIT
 * Which bytes of a file are still missing, and which of several connections fetches which: an idle connection takes over
 * the second half of the longest range of another one. A sans-I/O core (http/download.c has the connections); plain values,
 * one owner, any thread. */
#ifndef CARAVAN_HTTP_SPANS_H
#define CARAVAN_HTTP_SPANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SPANS_MAX = 64, SPANS_TEXT_MAX = SPANS_MAX * 42 };

/* Bytes [at, end) are missing; at == end: the slot is free. A slot's number doesn't change while it is taken. */
struct span {
    uint64_t at, end;
    bool taken;
};
struct spans {
    struct span list[SPANS_MAX];
};

void spans_init(struct spans *s, uint64_t size); /* all of [0, size) is missing */
uint64_t spans_missing(const struct spans *s);
/* Work for one more connection: the lowest free range, or half of the longest taken one if each half keeps min_half bytes.
 * Returns its slot, or -1: there is nothing for it to do. */
int spans_take(struct spans *s, uint64_t min_half);
/* The next len bytes of the range have come. Returns how many of them were still wanted. Fewer than len: another connection took over
 * the rest of the range. */
uint64_t spans_advance(struct spans *s, int slot, uint64_t len);
/* Frees the range of a connection that stops. Its missing bytes can be taken again. */
void spans_give_back(struct spans *s, int slot);
/* "0-4096,8192-9000", to be kept beside the file; reads it back (nothing taken): ERR_FORMAT when ranges are out of order or beyond size. */
void spans_write(const struct spans *s, char out[SPANS_TEXT_MAX]);
err_code spans_read(struct spans *ret, const char *text, uint64_t size, struct err *e);

#endif
