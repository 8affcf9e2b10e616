/* SPDX-License-Identifier: MIT
 * The growing byte buffer. See buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max) {
    *b = (struct buf){.max = max < SIZE_MAX ? max : SIZE_MAX - 1}; /* room for the NUL after the data */
}

void buf_done(struct buf *b) {
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b) {
    b->len = 0;
    b->failed = false;
}

bool buf_reserve(struct buf *b, size_t extra) {
    if (b->failed) return false;
    if (extra > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + extra + 1; /* one more, for buf_cstr's NUL */
    if (need <= b->cap) return true;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1) cap = b->max + 1;
    uint8_t *grown = realloc(b->data, cap);
    if (!grown) {
        b->failed = true;
        return false;
    }
    b->data = grown;
    b->cap = cap;
    return true;
}

void buf_append(struct buf *b, const void *data, size_t len) {
    if (len == 0 || !buf_reserve(b, len)) return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_append_str(struct buf *b, const char *s) { buf_append(b, s, strlen(s)); }

void buf_append_byte(struct buf *b, uint8_t byte) { buf_append(b, &byte, 1); }

void buf_printf(struct buf *b, const char *fmt, ...) {
    char small[256];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    assert(len >= 0);
    if ((size_t)len < sizeof(small)) {
        buf_append(b, small, (size_t)len);
        return;
    }
    if (!buf_reserve(b, (size_t)len)) return;
    va_start(args, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_consume(struct buf *b, size_t n) {
    assert(n <= b->len);
    if (n == 0) return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
}

const char *buf_cstr(struct buf *b) {
    if (!b->data) return "";
    b->data[b->len] = '\0'; /* buf_reserve always leaves room for it */
    return (const char *)b->data;
}

uint8_t *buf_detach(struct buf *b, size_t *ret_len) {
    uint8_t *data = b->data;
    if (data) data[b->len] = '\0';
    if (ret_len) *ret_len = b->len;
    *b = (struct buf){.max = b->max};
    return data;
}
