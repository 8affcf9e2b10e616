/* SPDX-License-Identifier: MIT
 * See breaker.h. */
#include "routing/breaker.h"

#define PAUSE_MIN_US 500000u
#define PAUSE_MAX_US 30000000u
#define REST_MAX_US  86400000000u

const char *breaker_state_name(enum breaker_state s) {
    static const char *const names[BREAKER_STATES] = {"closed", "open", "half-open"};
    return names[s];
}

void breaker_init(struct breaker *b, uint32_t allowed) { *b = (struct breaker){.allowed = allowed}; }

enum breaker_state breaker_state(const struct breaker *b, clock_us now) {
    if (now < b->until) return BREAKER_OPEN;
    return b->failures >= b->allowed ? BREAKER_HALF_OPEN : BREAKER_CLOSED;
}

bool breaker_allows(const struct breaker *b, clock_us now) {
    enum breaker_state s = breaker_state(b, now);
    return s == BREAKER_CLOSED || (s == BREAKER_HALF_OPEN && b->running == 0);
}

void breaker_begin(struct breaker *b) { b->running++; }

void breaker_left(struct breaker *b) {
    if (b->running > 0) b->running--;
}

void breaker_worked(struct breaker *b) {
    breaker_left(b);
    b->failures = 0;
}

void breaker_failed(struct breaker *b, clock_us now) {
    breaker_left(b);
    if (b->failures < UINT32_MAX) b->failures++;
    if (b->failures < b->allowed) return;
    uint32_t more = b->failures - b->allowed;
    clock_us pause = (clock_us)PAUSE_MIN_US << (more < 6 ? more : 6);
    if (pause > PAUSE_MAX_US) pause = PAUSE_MAX_US;
    if (now + pause > b->until) b->until = now + pause;
}

void breaker_rest(struct breaker *b, clock_us now, clock_us pause) {
    clock_us until = now + (pause < REST_MAX_US ? pause : REST_MAX_US);
    if (until > b->until) b->until = until;
}
