/* SPDX-License-Identifier: MIT
 * The positions of tokens. To everybody else a token's position is its number in its sequence. In libllama it is the same, except in M-RoPE
 * models, whose positions have several axes: there the rows of a picture have one place in time and differ in the two other axes, and the
 * text behind them goes on where the longest of these axes ends. So a sequence with pictures has fewer positions than tokens. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice_priv.h"

static int32_t *positions(const struct slice *s, uint32_t seq) { return s->pos.at + (size_t)seq * (s->info.n_ctx_seq + 1); }

void slice_pos_room(struct slice *s) {
    if (s->n_pos == 1) return;
    s->pos.at = mem_calloc(s->info.n_seq, ((size_t)s->info.n_ctx_seq + 1) * sizeof(*s->pos.at));
    s->pos.n = mem_calloc(s->info.n_seq, sizeof(*s->pos.n));
    s->pos.base = mem_calloc(s->info.n_seq, sizeof(*s->pos.base));
    s->pos.most = mem_calloc(s->info.n_seq, sizeof(*s->pos.most));
}

void slice_pos_done(struct slice *s) {
    free(s->pos.at);
    free(s->pos.n);
    free(s->pos.base);
    free(s->pos.most);
}

struct place {
    int32_t t, y, x;
};

static int32_t largest(struct place p) {
    int32_t most = p.t > p.y ? p.t : p.y;
    return most > p.x ? most : p.x;
}

/* A row's place relative to the first row. */
static struct place place_of(int32_t place) {
    if ((place & ENGINE_PLACE_LINE) == 0) return (struct place){0, place >> ENGINE_PLACE_BITS, place & ENGINE_PLACE_MASK};
    place &= ~ENGINE_PLACE_LINE;
    return (struct place){place, place, place};
}

/* Notes the token and gives its place. The first row of a picture begins it, whatever came before. */
static struct place place_token(struct slice *s, const struct engine_token *t) {
    int32_t *at = positions(s, t->seq), *base = &s->pos.base[t->seq], *most = &s->pos.most[t->seq];
    if (t->pos == 0) at[0] = 0;
    int32_t pos = at[t->pos];
    s->pos.n[t->seq] = t->pos + 1;
    if ((t->flags & ENGINE_TOKEN_ROW) == 0) {
        at[t->pos + 1] = pos + 1;
        return (struct place){pos, pos, pos};
    }
    if (t->token == 0) {
        *base = pos;
        *most = 0;
    }
    struct place p = place_of(t->token);
    if (largest(p) > *most) *most = largest(p);
    at[t->pos] = *base + p.t;
    at[t->pos + 1] = *base + *most + 1;
    return (struct place){*base + p.t, *base + p.y, *base + p.x};
}

void slice_pos_set(struct slice *s, const struct engine_token *t, size_t n, bool rows) {
    llama_pos *to = s->batch.pos;
    for (size_t i = 0; i < n; i++) {
        to[i] = t[i].pos;
        if (s->pos.at == NULL) continue;
        struct place p = place_token(s, &t[i]);
        to[i] = p.t;
        if (!rows) continue; /* libllama gives a token id the same position on all axes */
        to[n + i] = p.y;
        to[2 * n + i] = p.x;
        to[3 * n + i] = 0;
    }
}

int32_t slice_pos_of(const struct slice *s, uint32_t seq, int32_t n) {
    if (s->pos.at == NULL || n <= 0) return n;
    int32_t held = s->pos.n[seq];
    return n <= held ? positions(s, seq)[n] : positions(s, seq)[held] + n - held;
}

void slice_pos_copy(struct slice *s, uint32_t seq, uint32_t dst) {
    if (s->pos.at == NULL || seq == dst) return;
    memcpy(positions(s, dst), positions(s, seq), ((size_t)s->info.n_ctx_seq + 1) * sizeof(*s->pos.at));
    s->pos.n[dst] = s->pos.n[seq];
    s->pos.base[dst] = s->pos.base[seq];
    s->pos.most[dst] = s->pos.most[seq];
}

void slice_pos_cut(struct slice *s, uint32_t seq, int32_t n) {
    if (s->pos.at != NULL && n < s->pos.n[seq]) s->pos.n[seq] = n;
}

int32_t *slice_pos_take(const struct slice *s, uint32_t seq, int32_t n) {
    if (s->pos.at == NULL) return NULL;
    int32_t *copy = mem_calloc((size_t)n + 1, sizeof(*copy));
    memcpy(copy, positions(s, seq), ((size_t)n + 1) * sizeof(*copy));
    return copy;
}

void slice_pos_put(struct slice *s, uint32_t seq, const int32_t *from, int32_t n) {
    memcpy(positions(s, seq), from, ((size_t)n + 1) * sizeof(*from));
    s->pos.n[seq] = n;
}
