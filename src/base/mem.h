/* SPDX-License-Identifier: MIT
 * Small allocations that cannot fail: running out of memory for a few bytes ends the process with a message.
 * Big buffers (weights, frames, KV) are allocated with plain malloc by their owner and return ERR_MEMORY. Any thread. */
#ifndef CARAVAN_BASE_MEM_H
#define CARAVAN_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                       /* uninitialised */
void *mem_zalloc(size_t size);                      /* zeroed */
void *mem_calloc(size_t count, size_t size);        /* zeroed, overflow-checked */
void *mem_realloc(void *p, size_t count, size_t size); /* overflow-checked */
char *mem_strdup(const char *s);                    /* NULL stays NULL */
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))
#define ARRAY_LEN(a)  (sizeof(a) / sizeof((a)[0]))
/* The first place of `needle` in the bytes [at, at + len); NULL: nowhere. An empty needle is found at the beginning. */
void *mem_find(const void *at, size_t len, const void *needle, size_t needle_len);
/* The last place of the byte in [at, at + len); NULL: nowhere. */
void *mem_find_last(const void *at, int byte, size_t len);

#endif
