/* SPDX-License-Identifier: MIT
 * Sets of characters, and how a JSON string spells them, as GBNF. Values; any thread. */
#ifndef CARAVAN_GRAMMAR_CHARSET_H
#define CARAVAN_GRAMMAR_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct charset {
    struct {
        uint32_t first, last;
    } range[256];
    size_t n;
    bool full;                  /* too many ranges */
};
void charset_add(struct charset *set, uint32_t first, uint32_t last);
void charset_sort(struct charset *set);   /* in order, joined; call before the next two */
void charset_invert(struct charset *set);
/* Writes one character of a JSON string out of the set, as one element; false: the set is empty. It may use the rule "ctl". */
bool charset_write(const struct charset *set, struct buf *out);
/* The same for a character outside of JSON strings, where nothing is escaped. */
bool charset_write_plain(const struct charset *set, struct buf *out);
/* The text between [ and ] for the characters first to last; nothing if there are none. */
void charset_write_range(struct buf *out, uint32_t first, uint32_t last);

#endif
