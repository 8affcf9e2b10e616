/* SPDX-License-Identifier: MIT
 * One line of progress on standard error, for work that takes long: "the whole model [####....] 50 %  40 of 80 positions  12.3 a second
 * 3 s left". Nothing is written where standard error is no terminal. One thread at a time. */
#ifndef CARAVAN_TERMINAL_BAR_H
#define CARAVAN_TERMINAL_BAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

struct bar {
    const char *what, *unit; /* literals: what goes on, and what is counted, in the plural */
    bool terminal, shown;
    clock_us began, drawn;
};

void bar_init(struct bar *b, const char *what, const char *unit);
/* So much of `total` is done. Draws at most ten times a second. */
void bar_show(struct bar *b, uint64_t done, uint64_t total);
void bar_hide(struct bar *b); /* its line is empty again */

/* "[######......]": so many characters between the brackets, this share of them full. */
void bar_put_share(double share, int width, struct buf *out);
/* The line's text; rate: a second, 0 while it is not known. */
void bar_put(const struct bar *b, uint64_t done, uint64_t total, double rate, struct buf *out);

#endif
