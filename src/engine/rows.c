/* SPDX-License-Identifier: MIT */
#include "engine/rows.h"

#include <stdlib.h>

#include "base/mem.h"

struct engine_rows *engine_rows_create(uint32_t n, uint32_t width) {
    struct engine_rows *r = MEM_NEW(struct engine_rows);
    atomic_init(&r->refs, 1);
    r->n = n;
    r->width = width;
    r->values = malloc((size_t)n * width * sizeof(*r->values));
    r->places = calloc(n, sizeof(*r->places));
    if (r->values != NULL && r->places != NULL) return r;
    engine_rows_release(r);
    return NULL;
}

struct engine_rows *engine_rows_keep(struct engine_rows *r) {
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void engine_rows_release(struct engine_rows *r) {
    if (r == NULL || atomic_fetch_sub(&r->refs, 1) != 1) return;
    free(r->values);
    free(r->places);
    free(r);
}

void engine_pieces_add(struct engine_pieces *p, struct engine_piece piece) {
    if (p->n % 8 == 0) p->piece = mem_realloc(p->piece, p->n + 8, sizeof(*p->piece));
    p->piece[p->n++] = piece;
}

void engine_pieces_done(struct engine_pieces *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->piece[i].tokens);
        engine_rows_release(p->piece[i].rows);
    }
    free(p->piece);
    *p = (struct engine_pieces){0};
}
