/* SPDX-License-Identifier: MIT
 * What a picture or a sound becomes: pieces, each of them tokens, or rows that take the place of the embeddings of tokens. Rows are counted
 * references, since a cache keeps them beside the requests that use them; any thread may keep and release them, and they never change. */
#ifndef CARAVAN_ENGINE_ROWS_H
#define CARAVAN_ENGINE_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A row's place in its piece. In models whose positions have several axes (M-RoPE) a piece is a grid, whose rows have one place in time, or
 * a line; in all others a row's place is its number. The first row of a piece has place 0, and no other row has. */
enum { ENGINE_PLACE_BITS = 15, ENGINE_PLACE_MASK = (1 << ENGINE_PLACE_BITS) - 1, ENGINE_PLACE_LINE = 1 << 30 };

struct engine_rows {
    _Atomic uint32_t refs;
    uint32_t n, width;
    bool together;     /* each row attends to all of them, so that they have to be computed at once */
    int32_t *ids;      /* [n]: stand for them among the tokens of a sequence: negative, and the same only for the same rows */
    int32_t *places;   /* [n]: M-RoPE: y << ENGINE_PLACE_BITS | x, or ENGINE_PLACE_LINE | number after the first; else the number */
    float *values;     /* [n][width] */
};

/* One reference, which the caller has; values, places and ids are not set. NULL: no memory for them. */
struct engine_rows *engine_rows_create(uint32_t n, uint32_t width);
/* Sets the ids, by the hash of all that the model gets to see: so they mean the same in every process, at any time. Those of a
 * few rows are drawn by lot: their hash would be so short that somebody could make another picture for it. */
void engine_rows_name(struct engine_rows *r);
struct engine_rows *engine_rows_keep(struct engine_rows *r);
void engine_rows_release(struct engine_rows *r); /* NULL is fine */

struct engine_piece {
    size_t n;                  /* tokens, or rows */
    int32_t *tokens;           /* owned; NULL: rows */
    struct engine_rows *rows;  /* a reference; NULL: tokens */
};
struct engine_pieces {
    struct engine_piece *piece; /* owned */
    size_t n;
};
/* Appends a piece, whose tokens or rows belong to the pieces then. */
void engine_pieces_add(struct engine_pieces *p, struct engine_piece piece);
void engine_pieces_done(struct engine_pieces *p);

#endif
