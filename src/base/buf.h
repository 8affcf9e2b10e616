/* SPDX-License-Identifier: MIT
 * A growing byte buffer with a maximum given when it is made. Embedded: init/done. Appending past the maximum, or failing to
 * get memory, sets `failed` and appends nothing more (check once at the end). One owner, any thread. */
#ifndef CARAVAN_BASE_BUF_H
#define CARAVAN_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;   /* owned; NULL while empty */
    size_t len;      /* bytes used */
    size_t cap;      /* bytes allocated */
    size_t max;      /* most bytes used */
    bool failed;     /* an append did not fit */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_clear(struct buf *b);                                  /* len = 0, failed = false, memory kept */
bool buf_reserve(struct buf *b, size_t extra);                  /* room for extra more bytes; false sets failed */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_str(struct buf *b, const char *s);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_consume(struct buf *b, size_t n);                      /* drops the first n bytes (n <= len) */
/* The contents as a C string: the data is followed by a NUL that doesn't count. "" when empty. Valid until the next change. */
const char *buf_cstr(struct buf *b);
/* Gives the data away (caller frees with free()); the buffer is empty afterwards. */
uint8_t *buf_detach(struct buf *b, size_t *ret_len);

#endif
