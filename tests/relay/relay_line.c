/* SPDX-License-Identifier: MIT
 * The arithmetic of a simulated link. */
#include "relay/relay_line.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

#define BITS_NS UINT64_C(8000000000) /* bits of a byte times nanoseconds of a second */

void relay_line_init(struct relay_line *l, uint64_t delay_ns, uint64_t bits_per_s) {
    *l = (struct relay_line){.delay_ns = delay_ns, .bits_per_s = bits_per_s};
    l->bytes = mem_alloc(RELAY_LINE_BYTES);
    l->marks = mem_calloc(RELAY_LINE_MARKS, sizeof(*l->marks));
}

void relay_line_done(struct relay_line *l) {
    free(l->bytes);
    free(l->marks);
}

uint8_t *relay_line_space(struct relay_line *l, size_t *ret_room) {
    size_t at = l->n_in % RELAY_LINE_BYTES, room = RELAY_LINE_BYTES - (size_t)(l->n_in - l->n_out);
    bool marks_full = l->mark_in - l->mark_out == RELAY_LINE_MARKS;
    *ret_room = marks_full ? 0 : room < RELAY_LINE_BYTES - at ? room : RELAY_LINE_BYTES - at;
    return l->bytes + at;
}

void relay_line_put(struct relay_line *l, uint64_t now_ns, size_t n) {
    assert(l->n_in + n - l->n_out <= RELAY_LINE_BYTES && l->mark_in - l->mark_out < RELAY_LINE_MARKS);
    if (l->free_ns < now_ns) l->free_ns = now_ns;
    l->free_ns += l->bits_per_s > 0 ? n * BITS_NS / l->bits_per_s : 0;
    l->n_in += n;
    l->marks[l->mark_in++ % RELAY_LINE_MARKS] = (struct relay_mark){.end = l->n_in, .due_ns = l->free_ns + l->delay_ns};
}

const uint8_t *relay_line_arrived(struct relay_line *l, uint64_t now_ns, size_t *ret_n) {
    for (; l->mark_out < l->mark_in && l->marks[l->mark_out % RELAY_LINE_MARKS].due_ns <= now_ns; l->mark_out++)
        l->n_arrived = l->marks[l->mark_out % RELAY_LINE_MARKS].end;
    size_t at = l->n_out % RELAY_LINE_BYTES, n = (size_t)(l->n_arrived - l->n_out);
    *ret_n = n < RELAY_LINE_BYTES - at ? n : RELAY_LINE_BYTES - at;
    return l->bytes + at;
}

void relay_line_take(struct relay_line *l, size_t n) {
    assert(n <= l->n_arrived - l->n_out);
    l->n_out += n;
}

uint64_t relay_line_next(const struct relay_line *l) {
    return l->mark_out < l->mark_in ? l->marks[l->mark_out % RELAY_LINE_MARKS].due_ns : RELAY_LINE_NEVER;
}

bool relay_line_empty(const struct relay_line *l) { return l->n_in == l->n_out; }
