/* SPDX-License-Identifier: MIT
 * A table for a terminal: columns as wide as their widest cell; when the lines would be too long, the columns that may be cut give way,
 * and the last one goes on in further lines, cut at its commas. Values; no I/O besides asking how wide the terminal is. */
#ifndef CARAVAN_CLI_TABLE_H
#define CARAVAN_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { TABLE_MAX_COLUMNS = 12 };

struct table_column {
    const char *title;
    uint32_t least; /* characters that it keeps when it is cut; 0: it is never cut */
    bool right;     /* numbers */
};
struct table; /* opaque */
struct table *table_create(const struct table_column *columns, uint32_t n); /* columns must outlive it */
void table_free(struct table *t);
/* The cells of one row, copied. */
void table_row(struct table *t, const char *const *cells);
void table_print(const struct table *t, uint32_t width, struct buf *out); /* width 0: as wide as it is */

/* Characters of a line of standard output; 0: it is no terminal. */
uint32_t table_width(void);

#endif
