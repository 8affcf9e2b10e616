/* SPDX-License-Identifier: MIT
 * Time from the operating system. See clock.h. */
#include "base/clock.h"

#include <time.h>

clock_us clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (clock_us)t.tv_sec * 1000000u + (clock_us)t.tv_nsec / 1000u;
}

int64_t clock_wall_s(void) { return (int64_t)time(NULL); }
