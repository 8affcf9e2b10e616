/* SPDX-License-Identifier: MIT
 * Base64 (RFC 4648) of bytes, and back to them: both alphabets, with or without padding; blanks and line ends are skipped. Any thread. */
#ifndef CARAVAN_BASE_BASE64_H
#define CARAVAN_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Appends the base64 of these bytes, with padding. */
void base64_encode(const uint8_t *data, size_t len, struct buf *out);
/* The most bytes that a text of this length can stand for. */
size_t base64_most(size_t len);
/* Is this base64? */
bool base64_valid(const char *text, size_t len);
/* Decodes into ret, which has room for base64_most(len). false: this is not base64, and ret is half written. */
bool base64_decode(const char *text, size_t len, uint8_t *ret, size_t *ret_len);

#endif
