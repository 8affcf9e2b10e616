/* SPDX-License-Identifier: MIT
 * Allocations that end the process when memory runs out. See mem.h. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size) {
    fprintf(stderr, "caravan: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *mem_alloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p) out_of_memory(size);
    return p;
}

void *mem_zalloc(size_t size) { return mem_calloc(1, size); }

void *mem_calloc(size_t count, size_t size) {
    if (count == 0 || size == 0) count = size = 1;
    void *p = calloc(count, size);
    if (!p) out_of_memory(size > SIZE_MAX / count ? SIZE_MAX : count * size);
    return p;
}

void *mem_realloc(void *p, size_t count, size_t size) {
    if (count == 0 || size == 0) count = size = 1;
    if (size > SIZE_MAX / count) out_of_memory(SIZE_MAX);
    void *grown = realloc(p, count * size);
    if (!grown) out_of_memory(count * size);
    return grown;
}

char *mem_strdup(const char *s) { return s ? mem_strndup(s, strlen(s)) : NULL; }

char *mem_strndup(const char *s, size_t len) {
    if (!s) return NULL;
    len = strnlen(s, len);
    char *copy = mem_alloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *mem_printf(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) out_of_memory(strlen(fmt));
    char *text = mem_alloc((size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

/* The largest suffix of x in the order of bytes (or the reverse order): where it begins; *ret_period: its smallest period. */
static size_t largest_suffix(const uint8_t *x, size_t n, bool reverse, size_t *ret_period) {
    size_t start = 0, at = 1, k = 0, period = 1; /* x[start..) is compared with x[at..) */
    while (at + k < n) {
        uint8_t a = x[at + k], b = x[start + k];
        if (a == b) {
            if (++k == period) {
                at += period;
                k = 0;
            }
        } else if ((a < b) != reverse) {
            at += k + 1;
            k = 0;
            period = at - start;
        } else {
            start = at++;
            k = 0;
            period = 1;
        }
    }
    *ret_period = period;
    return start;
}

/* The two-way search of Crochemore and Perrin (1991): its time is linear in both lengths, whatever the bytes are. */
static const uint8_t *find_two_way(const uint8_t *y, size_t n, const uint8_t *x, size_t m) {
    size_t period, other, cut = largest_suffix(x, m, false, &period), cut2 = largest_suffix(x, m, true, &other), known = 0;
    if (cut2 > cut) {
        cut = cut2;
        period = other;
    }
    bool periodic = memcmp(x, x + period, cut) == 0;
    if (!periodic) period = (cut > m - cut ? cut : m - cut) + 1;
    for (size_t at = 0; at + m <= n;) {
        size_t i = cut > known ? cut : known;
        while (i < m && x[i] == y[at + i]) i++;
        if (i < m) {
            at += i - cut + 1;
            known = 0;
            continue;
        }
        for (i = cut; i > known && x[i - 1] == y[at + i - 1];) i--;
        if (i <= known) return y + at;
        at += period;
        known = periodic ? m - period : 0;
    }
    return NULL;
}

void *mem_find(const void *at, size_t len, const void *needle, size_t needle_len) {
    enum { SHORT = 16 }; /* up to this length it is faster to try each place where the first byte fits */
    const char *from = at, *first = needle;
    if (needle_len == 0) return (void *)(uintptr_t)from;
    if (needle_len > SHORT) return (void *)(uintptr_t)find_two_way(at, len, needle, needle_len);
    while (len >= needle_len) {
        const char *hit = memchr(from, *first, len - needle_len + 1);
        if (hit == NULL) return NULL;
        if (memcmp(hit, needle, needle_len) == 0) return (void *)(uintptr_t)hit;
        len -= (size_t)(hit + 1 - from);
        from = hit + 1;
    }
    return NULL;
}

void *mem_find_last(const void *at, int byte, size_t len) {
    for (const uint8_t *from = at; len > 0; len--)
        if (from[len - 1] == (uint8_t)byte) return (void *)(uintptr_t)(from + len - 1);
    return NULL;
}
