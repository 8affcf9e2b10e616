/* SPDX-License-Identifier: MIT */
#include "chat/jinja_heap.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct jinja_block {
    struct jinja_block *prev, *next;
    size_t size;
    alignas(max_align_t) unsigned char data[];
};

static struct jinja_block *block_of(const void *p) {
    return (struct jinja_block *)(uintptr_t)((const unsigned char *)p - offsetof(struct jinja_block, data));
}

static bool fits(struct jinja_heap *h, size_t old, size_t size) {
    if (size <= h->limit && h->used - old <= h->limit - size) return true;
    h->full = true;
    return false;
}

static void count(struct jinja_heap *h, size_t old, size_t size) {
    h->used = h->used - old + size;
    if (h->used > h->peak) h->peak = h->used;
}

static void link_in(struct jinja_heap *h, struct jinja_block *b) {
    b->prev = NULL;
    b->next = h->first;
    if (h->first != NULL) h->first->prev = b;
    h->first = b;
}

void jinja_heap_init(struct jinja_heap *h, size_t limit) { *h = (struct jinja_heap){.limit = limit}; }

void jinja_heap_done(struct jinja_heap *h) {
    for (struct jinja_block *b = h->first, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    jinja_heap_init(h, h->limit);
}

void *jinja_heap_alloc(struct jinja_heap *h, size_t size) {
    if (!fits(h, 0, size)) return NULL;
    struct jinja_block *b = malloc(sizeof(*b) + size);
    if (b == NULL) return NULL;
    b->size = size;
    link_in(h, b);
    count(h, 0, size);
    return b->data;
}

void *jinja_heap_calloc(struct jinja_heap *h, size_t n, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(n, size, &total)) return NULL;
    void *p = jinja_heap_alloc(h, total);
    if (p != NULL) memset(p, 0, total);
    return p;
}

void *jinja_heap_realloc(struct jinja_heap *h, void *p, size_t size) {
    if (p == NULL) return jinja_heap_alloc(h, size);
    struct jinja_block *old = block_of(p);
    size_t old_size = old->size;
    if (size == 0) {
        jinja_heap_free(h, p);
        return NULL;
    }
    if (!fits(h, old_size, size)) return NULL;
    struct jinja_block *b = realloc(old, sizeof(*b) + size);
    if (b == NULL) return NULL;
    b->size = size;
    if (b->prev != NULL) b->prev->next = b;
    else h->first = b;
    if (b->next != NULL) b->next->prev = b;
    count(h, old_size, size);
    return b->data;
}

void jinja_heap_free(struct jinja_heap *h, void *p) {
    if (p == NULL) return;
    struct jinja_block *b = block_of(p);
    if (b->prev != NULL) b->prev->next = b->next;
    else h->first = b->next;
    if (b->next != NULL) b->next->prev = b->prev;
    count(h, b->size, 0);
    free(b);
}

size_t jinja_heap_size(const void *p) { return p != NULL ? block_of(p)->size : 0; }
