/* SPDX-License-Identifier: MIT
 * How many columns of a terminal a text takes. Chinese, Japanese and Korean characters and emoji take two, combining marks none (Unicode
 * Standard Annex 11 and general category Mn, in coarse ranges). Nothing here depends on the locale. Any thread. */
#ifndef CARAVAN_TERMINAL_CELL_H
#define CARAVAN_TERMINAL_CELL_H

#include <stddef.h>
#include <stdint.h>

/* The character at the start of text[len], len > 0. Returns its bytes (at least 1); *ret_width: its columns. A byte that is no UTF-8 counts
 * as one character of one column. */
size_t cell_next(const char *text, size_t len, uint32_t *ret_width);
/* The columns of text[len]. */
uint32_t cell_width(const char *text, size_t len);
/* How many bytes of text[len] fit in `width` columns. */
size_t cell_fit(const char *text, size_t len, uint32_t width);
/* The columns of the terminal at this descriptor; 0: it is no terminal, or does not say. */
uint32_t cell_terminal(int fd);

#endif
