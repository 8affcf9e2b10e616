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
const char *str_duration(uint64_t us, char out[STR_SHORT]);

bool str_parse_i64(const char *text, int64_t *ret);   /* decimal */
/* Decimal digits at the start of *at, which is moved behind them. false: there is none, or the number is too large. */
bool str_take_u64(const char **at, uint64_t *ret);
bool str_parse_double(const char *text, double *ret); /* finite */
bool str_parse_bool(const char *text, bool *ret);     /* yes/no, true/false, on/off, 1/0 */

/* "host:port", "host", ":port", "[::1]:port", "::1", with or without "http://" before and "/" or "/v1" behind. What is not given is
 * taken from the defaults (default_host may be NULL: then a host is needed; default_port 0: a port is needed). */
bool str_parse_address(const char *text, const char *default_host, uint16_t default_port, char ret_host[STR_HOST_MAX], uint16_t *ret_port);

/* One part after another of a list such as "3,1,4", without surrounding blanks; a part may be empty. Start with *at = text; false at
 * the end. for (const char *at = s; str_next(&at, ',', &part, &len);) */
bool str_next(const char **at, char separator, const char **ret_part, size_t *ret_len);
/* Cuts blanks off both ends: moves *text and *len. */
void str_trim(const char **text, size_t *len);

/* Letters to insert, remove, replace or swap with their neighbour until a is b, in any case of letters; texts are compared up to
 * 63 bytes. */
size_t str_distance(const char *a, const char *b);
/* Which of the n names someone who wrote `word` most likely meant; NULL when none is near. */
const char *str_nearest(const char *word, const char *const *names, size_t n);

/* Where `word` begins first in `text`, in any case of ASCII letters; NULL: nowhere. */
const char *str_find_nocase(const char *text, const char *word);

/* Bytes as lower-case hexadecimal digits (ret: 2 * len + 1), and back; false: not exactly `len` bytes of them. */
void str_hex(const uint8_t *data, size_t len, char *ret);
bool str_unhex(const char *text, uint8_t *ret, size_t len);

/* The length of the character at the start of these bytes (at least one): 1 to 4, *ret_whole. Else *ret_whole is false, and it is the
 * length of the wrong part there (Unicode 15, section 3.9), or 0: the bytes end within a character that is right so far. */
size_t str_utf8_next(const char *text, size_t len, bool *ret_whole);
/* Whether these bytes are UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). NUL is a character like another. */
bool str_utf8_valid(const char *text, size_t len);
/* How many bytes at the end are the beginning of a character whose rest has not come yet: 0 to 3. */
size_t str_utf8_incomplete(const char *text, size_t len);
/* Makes a line of UTF-8 of any bytes, in ret[size]: control characters and wrong parts become '_' each. Text that is too long is cut at the
 * end of a character. */
void str_line(const char *text, size_t len, char *ret, size_t size);

#endif
