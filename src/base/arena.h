/* SPDX-License-Identifier: MIT
 * An arena: many small allocations, freed together. One arena a request. One owner, one thread at a time. */
#ifndef CARAVAN_BASE_ARENA_H
#define CARAVAN_BASE_ARENA_H

#include <stddef.h>

struct arena; /* opaque */

struct arena *arena_create(void);
void arena_free(struct arena *a);                              /* NULL is fine */
void *arena_alloc(struct arena *a, size_t size);               /* zeroed, aligned for any type */
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
