/* SPDX-License-Identifier: MIT
 * One direction of a simulated network link: bytes pass its narrowest place one after another, at `bits_per_s`, and arrive `delay_ns`
 * after they have passed. Order and content stay. Pure: the caller brings the clock (nanoseconds), puts bytes in when they come, and
 * takes out bytes that have arrived. The bytes on their way are bounded: without space the caller stops reading, as TCP would. */
#ifndef CARAVAN_TESTS_RELAY_LINE_H
#define CARAVAN_TESTS_RELAY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RELAY_LINE_BYTES = 4 << 20, RELAY_LINE_MARKS = 4096 };
#define RELAY_LINE_NEVER UINT64_MAX

struct relay_line {
    uint64_t delay_ns, bits_per_s;  /* bits_per_s 0: no limit */
    uint64_t free_ns;               /* when everything has passed the narrowest place */
    uint8_t *bytes;                 /* a ring of RELAY_LINE_BYTES */
    uint64_t n_in, n_arrived, n_out;/* bytes put, bytes that may be taken, bytes taken */
    struct relay_mark {
        uint64_t end, due_ns;
    } *marks; /* a ring: bytes up to `end` arrive at due_ns */
    uint64_t mark_in, mark_out;
};

void relay_line_init(struct relay_line *l, uint64_t delay_ns, uint64_t bits_per_s);
void relay_line_done(struct relay_line *l);

/* Where the next bytes go, and how many at once; 0: full. */
uint8_t *relay_line_space(struct relay_line *l, size_t *ret_room);
void relay_line_put(struct relay_line *l, uint64_t now_ns, size_t n); /* n bytes of the space have been filled, now */
/* The bytes that have arrived by now, as far as they are contiguous. */
const uint8_t *relay_line_arrived(struct relay_line *l, uint64_t now_ns, size_t *ret_n);
void relay_line_take(struct relay_line *l, size_t n);
/* When more will have arrived; RELAY_LINE_NEVER: nothing is on its way. */
uint64_t relay_line_next(const struct relay_line *l);
bool relay_line_empty(const struct relay_line *l);

#endif
