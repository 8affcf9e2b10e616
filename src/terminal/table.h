/* SPDX-License-Identifier: MIT
 * A table for a terminal: columns as wide as their widest cell. When the lines would be too long, columns that may be left out are, then
 * columns that may be cut are, and the last one goes on in further lines, broken at its commas or blanks. Values; no I/O besides asking
 * how wide the terminal is. */
#ifndef CARAVAN_TERMINAL_TABLE_H
#define CARAVAN_TERMINAL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { TABLE_MAX_COLUMNS = 12 };

struct table_column {
    const char *title;
    uint32_t least; /* columns that it keeps when it is cut; 0: it is never cut */
    bool right;     /* numbers */
    uint8_t leave;  /* its turn to be left out of a table that is too wide, from 1; 0: it stays */
};
struct table; /* opaque */
struct table *table_create(const struct table_column *columns, uint32_t n); /* columns must outlive it */
void table_free(struct table *t);
/* The cells of one row, copied. */
void table_row(struct table *t, const char *const *cells);
void table_print(const struct table *t, uint32_t width, struct buf *out); /* width 0: as wide as it is */

/* A text on lines of its own, broken at blanks; all but the first line are indented. width 0: one line. */
void table_wrap(const char *text, uint32_t width, uint32_t indent, struct buf *out);

/* A text of several lines, each of which ends with '\n'. A line that is too long is broken at blanks, and goes on indented by two more
 * than it was; its blanks stay as they are, so that columns stay columns. width 0: all as it is. */
void table_fold(const char *text, uint32_t width, struct buf *out);

/* Characters of a line of standard output; 0: it is no terminal. */
uint32_t table_width(void);

#endif
