/* SPDX-License-Identifier: MIT
 * Time. Sans-I/O cores never call this: they get `now` as an argument. Any thread. */
#ifndef CARAVAN_BASE_CLOCK_H
#define CARAVAN_BASE_CLOCK_H

#include <stdint.h>

typedef uint64_t clock_us; /* microseconds, monotonic, from an arbitrary start */

clock_us clock_now(void);
int64_t clock_wall_s(void); /* seconds since 1970, for people and for JSON `created` only */

#endif
