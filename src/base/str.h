/* SPDX-License-Identifier: MIT
 * Text that people write and read: sizes, durations, numbers, addresses, splitting, the nearest name, UTF-8. Nothing here depends on the
 * locale. Parsers return false on anything left over, and leave *ret untouched then. Any thread. */
#ifndef CARAVAN_BASE_STR_H
#define CARAVAN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STR_SHORT = 32, STR_HOST_MAX = 256 };

/* Writes "9.1 GB", "512 B". Units are powers of 1024, as memory is sold and measured. Returns out. */
const char *str_size(uint64_t bytes, char out[STR_SHORT]);
/* "24G", "24 GB", "1.5GiB", "4096", "512 k": all units are powers of 1024. */
bool str_parse_size(const char *text, uint64_t *ret);
/* Writes "340 us", "12.3 ms", "4.2 s", "3 min 20 s", "2 h 5 min", "3 days". Returns out. */
/* May a line of prose end at this blank of the text? Not between a number and its unit ("1.2 GB", "43 %"), nor inside a duration
 * ("3 min 20 s"). */
bool str_may_break(const char *text, size_t blank);
const char *str_duration(uint64_t us, char out[STR_SHORT]);

bool str_parse_i64(const char *text, int64_t *ret);   /* decimal */
/* Reads decimal digits at *at and moves *at past them. false: there are none, or the number is too large. */
bool str_take_u64(const char **at, uint64_t *ret);
bool str_parse_double(const char *text, double *ret); /* finite */
bool str_parse_bool(const char *text, bool *ret);     /* yes/no, true/false, on/off, 1/0 */

/* "host:port", "host", ":port", "[::1]:port", "::1", with or without "http://" before and "/" or "/v1" after it. Missing parts get the
 * defaults (default_host NULL: the host is required; default_port 0: the port is required). */
bool str_parse_address(const char *text, const char *default_host, uint16_t default_port, char ret_host[STR_HOST_MAX], uint16_t *ret_port);

/* One part after another of a list such as "3,1,4", without surrounding blanks; a part may be empty. Start with *at = text; false at the
 * end. for (const char *at = s; str_next(&at, ',', &part, &len);) */
bool str_next(const char **at, char separator, const char **ret_part, size_t *ret_len);
/* Is this one of the parts of the list s? */
bool str_is_part(const char *s, char separator, const char *part);
/* Cuts blanks off both ends: moves *text and *len. */
void str_trim(const char **text, size_t *len);

/* How many letters to insert, remove, replace or swap with their neighbour to make b of a, ignoring case; texts are compared up to 63
 * bytes. */
size_t str_distance(const char *a, const char *b);
/* The one of the n names that is most like `word`, for a hint after a typing error; NULL when none is similar. */
const char *str_nearest(const char *word, const char *const *names, size_t n);

/* The first place of `word` in `text`, ignoring the case of ASCII letters; NULL: nowhere. */
const char *str_find_nocase(const char *text, const char *word);

/* A hash of the text, the same in every process: FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/). Never 0. */
uint64_t str_hash(const char *text);

/* Bytes as lower-case hexadecimal digits (ret: 2 * len + 1), and back; false: the text is not exactly `len` bytes in hexadecimal. */
void str_hex(const uint8_t *data, size_t len, char *ret);
bool str_unhex(const char *text, uint8_t *ret, size_t len);

/* The length of the character at the start of these bytes (at least one): 1 to 4, and *ret_whole is true. If it is false, the result is
 * the length of the invalid part (Unicode 15, section 3.9), or 0 if the bytes end within a character that is valid so far. */
size_t str_utf8_next(const char *text, size_t len, bool *ret_whole);
/* Whether these bytes are UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). NUL is allowed. */
bool str_utf8_valid(const char *text, size_t len);
/* How many bytes at the end belong to a character that is not complete yet: 0 to 3. */
size_t str_utf8_incomplete(const char *text, size_t len);
/* Makes one line of UTF-8 from any bytes, in ret[size]: each control character and each invalid part becomes '_'. A text that is too
 * long is cut at the end of a character. */
void str_line(const char *text, size_t len, char *ret, size_t size);

#endif
