/* SPDX-License-Identifier: MIT
 * Allocations that end the process when memory runs out. See mem.h. */
#include "base/mem.h"

#include <stdarg.h>
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
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0) out_of_memory(strlen(fmt));
    return text;
}
