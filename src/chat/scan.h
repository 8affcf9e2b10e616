/* SPDX-License-Identifier: MIT
 * Follows one JSON value byte by byte and says where it ends, strictly (RFC 8259), except that bare control characters in strings pass:
 * models write them; scan_in_string tells, so that they can be escaped. Depth is bounded. Pure, no memory of its own. */
#ifndef CARAVAN_CHAT_SCAN_H
#define CARAVAN_CHAT_SCAN_H

#include <stdbool.h>
#include <stdint.h>

enum { SCAN_MAX_DEPTH = 64 };

enum scan_result {
    SCAN_MORE,
    SCAN_END,        /* this byte ends the value */
    SCAN_END_BEFORE, /* the byte before did: this one is not part of it (numbers) */
    SCAN_BAD,
};

struct scan {
    uint8_t state, depth;
    const char *word;   /* what is left of true, false, null */
    uint64_t objects;   /* bit by depth: is this level an object? */
};

void scan_init(struct scan *s);
enum scan_result scan_push(struct scan *s, char c);
bool scan_in_string(const struct scan *s);

#endif
