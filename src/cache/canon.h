/* SPDX-License-Identifier: MIT
 * Canonical JSON (RFC 8785): one text for all spellings of a value. No blanks, members sorted by the UTF-16 units of their names, strings
 * with the fewest escapes, numbers as ECMAScript prints them. One thing goes beyond the RFC, which refuses such input, since here
 * different values must never get one text: an integer that a double cannot hold keeps all its digits. (Of members with one name the
 * parser keeps the last.) Pure, any thread. The values are bounded by their parser (base/json.h: depth 64). */
#ifndef CARAVAN_CACHE_CANON_H
#define CARAVAN_CACHE_CANON_H

#include "base/json.h"

/* Says of a member of the outermost object whether it is left out. */
typedef bool (*canon_skip_fn)(const char *name, size_t len);
/* Appends the canonical text of v. skip NULL: nothing is left out. */
void canon_append(yyjson_val *v, canon_skip_fn skip, struct buf *out);
/* Appends a finite number as ECMAScript's Number::toString does (ECMA-262, section 6.1.6.1.20). */
void canon_append_number(double number, struct buf *out);

#endif
