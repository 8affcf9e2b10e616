/* SPDX-License-Identifier: MIT */
#include "engine/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/hash.h"
#include "os/os.h"

enum { NAMED_LEAST = 4 /* rows; so many ids have 124 bits of a hash */ };

struct engine_rows *engine_rows_create(uint32_t n, uint32_t width) {
    struct engine_rows *r = MEM_NEW(struct engine_rows);
    atomic_init(&r->refs, 1);
    r->n = n;
    r->width = width;
    r->values = malloc((size_t)n * width * sizeof(*r->values));
    r->places = calloc(n, sizeof(*r->places));
    r->ids = calloc(n, sizeof(*r->ids));
    if (r->values != NULL && r->places != NULL && r->ids != NULL) return r;
    engine_rows_release(r);
    return NULL;
}

/* The hash of what the model sees of the rows. */
static void hash_of(const struct engine_rows *r, uint8_t ret[MODEL_HASH_SIZE]) {
    uint8_t parts[2 * MODEL_HASH_SIZE + 1];
    model_hash(r->values, (size_t)r->n * r->width * sizeof(*r->values), parts);
    model_hash(r->places, r->n * sizeof(*r->places), parts + MODEL_HASH_SIZE);
    parts[sizeof(parts) - 1] = r->together;
    model_hash(parts, sizeof(parts), ret);
}

void engine_rows_name(struct engine_rows *r) {
    enum { IDS = MODEL_HASH_SIZE / 4 };
    uint8_t block[MODEL_HASH_SIZE + 4], hash[MODEL_HASH_SIZE];
    if (r->n >= NAMED_LEAST) hash_of(r, block);
    else os_random(block, MODEL_HASH_SIZE);
    for (uint32_t i = 0; i < r->n; i++) {
        if (i % IDS == 0) { /* the next eight ids */
            bytes_put_u32(block + MODEL_HASH_SIZE, i);
            model_hash(block, sizeof(block), hash);
        }
        r->ids[i] = (int32_t)(bytes_get_u32(hash + i % IDS * 4) & INT32_MAX) + INT32_MIN;
    }
}

struct engine_rows *engine_rows_keep(struct engine_rows *r) {
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void engine_rows_release(struct engine_rows *r) {
    if (r == NULL || atomic_fetch_sub(&r->refs, 1) != 1) return;
    free(r->values);
    free(r->places);
    free(r->ids);
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
