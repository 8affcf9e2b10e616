/* SPDX-License-Identifier: MIT
 * Reads one JSON value byte by byte and says where it ends. It is strict (RFC 8259), but accepts bare control characters in strings, since
 * models write them: scan_in_string tells the caller to escape them. Depth is bounded. Pure, allocates nothing. */
#ifndef CARAVAN_CHAT_SCAN_H
#define CARAVAN_CHAT_SCAN_H

#include <stdbool.h>
#include <stdint.h>

enum { SCAN_MAX_DEPTH = 64 };

enum scan_result {
    SCAN_MORE,
    SCAN_END,        /* this byte ends the value */
    SCAN_END_BEFORE, /* the byte before ended the value (a number); this byte is not part of it */
    SCAN_BAD,
};

struct scan {
    uint8_t state, depth;
    const char *word;   /* the rest of true, false, or null */
    uint64_t objects;   /* a bit for each level: is it an object? */
};

void scan_init(struct scan *s);
enum scan_result scan_push(struct scan *s, char c);
bool scan_in_string(const struct scan *s);

#endif
