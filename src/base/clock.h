/* SPDX-License-Identifier: MIT
 * Time. Sans-I/O cores never call this: they get `now` as an argument. Any thread. */
#ifndef CARAVAN_BASE_CLOCK_H
#define CARAVAN_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t clock_us; /* microseconds, monotonic, from an arbitrary start */

clock_us clock_now(void);
int64_t clock_wall_s(void); /* seconds since 1970, for people, for JSON `created`, and for stamps by which the newest word counts */

/* May a stamp that another machine gave be believed, where the newest counts? Not when it lies in the far future: nothing newer could ever
 * be said. known: the newest believed so far, which may come from a clock that is ahead; now: ours, which may be years behind. */
bool clock_stamp_ok(int64_t stamp, int64_t known, int64_t now);

#endif
