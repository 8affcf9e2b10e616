/* SPDX-License-Identifier: MIT
 * Characters as in Python: UTF-8 by code point, blanks, letters, upper and lower case. The caller has checked that texts are valid
 * UTF-8. Nothing here depends on the locale, allocates or fails. Any thread. */
#ifndef CARAVAN_JINJA_TEXT_H
#define CARAVAN_JINJA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JINJA_CHAR_MAX = 4, JINJA_CASE_MAX = 3 }; /* bytes of a character; characters that one letter may become in another case */

/* The code point at text, which has len > 0 bytes; *ret_len: its bytes. */
uint32_t jinja_char_at(const char *text, size_t len, size_t *ret_len);
/* Writes a code point (a surrogate: U+FFFD) and returns its number of bytes. */
size_t jinja_char_write(uint32_t c, char ret[JINJA_CHAR_MAX]);
size_t jinja_char_count(const char *text, size_t len);
/* The offset of the character with index n; len if there are n characters or fewer. */
size_t jinja_char_offset(const char *text, size_t len, size_t n);
/* The offset of the last character; len > 0. */
size_t jinja_char_last(const char *text, size_t len);

bool jinja_char_is_space(uint32_t c);
bool jinja_char_is_line_end(uint32_t c);  /* where splitlines() divides; "\r\n" is one */
bool jinja_char_is_printable(uint32_t c); /* repr() shows it as it is; unassigned code points count too */
bool jinja_char_is_digit(uint32_t c);     /* decimal digits of all scripts */
/* Exact for ASCII and for letters that have a case; of the others, all that are not blanks, marks, symbols or digits. */
bool jinja_char_is_alpha(uint32_t c);
bool jinja_char_is_upper(uint32_t c);
bool jinja_char_is_lower(uint32_t c);
/* Writes the one to three characters that c becomes; returns their number. Capital: at the beginning of a word. */
size_t jinja_char_upper(uint32_t c, uint32_t ret[JINJA_CASE_MAX]);
size_t jinja_char_lower(uint32_t c, uint32_t ret[JINJA_CASE_MAX]);
size_t jinja_char_capital(uint32_t c, uint32_t ret[JINJA_CASE_MAX]);

/* Cuts blanks off the chosen sides: moves *text and *len. */
void jinja_text_strip(const char **text, size_t *len, bool left, bool right);

#endif
