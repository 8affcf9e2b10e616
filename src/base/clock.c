/* SPDX-License-Identifier: MIT
 * Time from the operating system. See clock.h. */
#include "base/clock.h"

#include <time.h>

static clock_us read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (clock_us)t.tv_sec * 1000000u + (clock_us)t.tv_nsec / 1000u;
}

clock_us clock_now(void) { return read_clock(CLOCK_MONOTONIC); }
clock_us clock_cpu(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }
clock_us clock_process(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

int64_t clock_wall_s(void) { return (int64_t)time(NULL); }

bool clock_stamp_ok(int64_t stamp, int64_t known, int64_t now) {
    enum { DAY = 24 * 3600 };
    static const int64_t written = 1767225600, far = INT64_C(10) * 365 * DAY; /* 2026: any clock before it is slow */
    return stamp <= (now > written ? now : written) + far || stamp - DAY <= known;
}
