/* SPDX-License-Identifier: MIT
 * Time. Sans-I/O cores never call this: they get `now` as an argument. Any thread. */
#ifndef CARAVAN_BASE_CLOCK_H
#define CARAVAN_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t clock_us; /* microseconds, monotonic, from an arbitrary start */

clock_us clock_now(void);
clock_us clock_cpu(void); /* processor time that the calling thread has used; it stands still while other programs have the core */
clock_us clock_process(void); /* processor time that all threads of the process have used together */
int64_t clock_wall_s(void); /* seconds since 1970, for people, for JSON `created`, and for stamps of which the newest counts */

/* May a stamp from another machine be believed, where the newest stamp counts? Not if it lies in the far future: no later stamp could
 * ever replace it. known: the newest stamp believed so far, perhaps from a clock that is fast; now: our clock, perhaps years slow. */
bool clock_stamp_ok(int64_t stamp, int64_t known, int64_t now);

#endif
