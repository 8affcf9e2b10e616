/* SPDX-License-Identifier: MIT
 * The line that shows how far the fetching of a file is, on standard error: redrawn on a terminal, else a new one now and then. A value of
 * the caller's; main thread. */
#ifndef CARAVAN_MANAGE_PULL_VIEW_H
#define CARAVAN_MANAGE_PULL_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct pull_view {
    char name[512]; /* of what is fetched */
    bool tty;
    clock_us started, said, sample_at; /* said: when the last line was printed, if it is no terminal */
    uint64_t sample_done;
    double rate; /* bytes per second, over the last seconds */
};
void pull_view_begin(struct pull_view *v, const char *name);
/* So many of all bytes are here; or they are, and their checksum is computed. */
void pull_view_show(struct pull_view *v, uint64_t done, uint64_t all, bool checking);
/* A line that stays. */
void pull_view_say(const struct pull_view *v, const char *text);
void pull_view_end(const struct pull_view *v);

#endif
