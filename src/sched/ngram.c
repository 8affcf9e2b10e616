/* SPDX-License-Identifier: MIT */
#include "sched/ngram.h"

#include <stdlib.h>

#include "base/mem.h"

enum { CHAIN_MOST = 64 /* earlier places looked at */, HEADS_LEAST = 256 };

struct sched_ngram {
    int32_t *tokens;
    uint32_t n, cap;
    uint32_t *before; /* [cap]: the place before this one with the same hash of two tokens, plus 1; 0: none */
    uint32_t *heads;  /* [n_heads]: the latest place of each hash, plus 1 */
    uint32_t n_heads; /* a power of two */
};

struct sched_ngram *sched_ngram_create(uint32_t cap) {
    struct sched_ngram *g = MEM_NEW(struct sched_ngram);
    g->cap = cap;
    g->tokens = mem_calloc(cap, sizeof(*g->tokens));
    g->before = mem_calloc(cap, sizeof(*g->before));
    for (g->n_heads = HEADS_LEAST; g->n_heads < cap; g->n_heads *= 2) {
    }
    g->heads = mem_calloc(g->n_heads, sizeof(*g->heads));
    return g;
}

void sched_ngram_free(struct sched_ngram *g) {
    if (g != NULL) {
        free(g->tokens);
        free(g->before);
        free(g->heads);
    }
    free(g);
}

/* Of the tokens at `at` and before it. Fibonacci hashing (Knuth, volume 3, section 6.4). */
static uint32_t *head_of(const struct sched_ngram *g, uint32_t at) {
    uint64_t pair = (uint64_t)(uint32_t)g->tokens[at - 1] << 32 | (uint32_t)g->tokens[at];
    return &g->heads[(pair * 0x9E3779B97F4A7C15u >> 32) & (g->n_heads - 1)];
}

void sched_ngram_push(struct sched_ngram *g, int32_t token) {
    if (g->n == g->cap) return;
    uint32_t at = g->n++;
    g->tokens[at] = token;
    if (at > 0) {
        uint32_t *head = head_of(g, at);
        g->before[at] = *head;
        *head = at + 1;
    }
}

const int32_t *sched_ngram_tokens(const struct sched_ngram *g, uint32_t *ret_n) {
    *ret_n = g->n;
    return g->tokens;
}

/* How many tokens, from `at` backwards, equal the last tokens of the text. */
static uint32_t match_length(const struct sched_ngram *g, uint32_t at) {
    uint32_t n = 0, last = g->n - 1;
    while (n <= at && n < SCHED_NGRAM_MOST && g->tokens[at - n] == g->tokens[last - n]) n++;
    return n;
}

uint32_t sched_ngram_guess(const struct sched_ngram *g, uint32_t most, int32_t *ret) {
    if (g->n < SCHED_NGRAM_LEAST) return 0;
    uint32_t best = 0, from = 0, place = g->before[g->n - 1];
    for (uint32_t i = 0; i < CHAIN_MOST && place != 0 && best < SCHED_NGRAM_MOST; i++, place = g->before[place - 1]) {
        uint32_t length = match_length(g, place - 1);
        if (length > best) {
            best = length;
            from = place;
        }
    }
    if (best < SCHED_NGRAM_LEAST) return 0;
    for (uint32_t i = 0; i < most; i++) ret[i] = from + i < g->n ? g->tokens[from + i] : ret[from + i - g->n];
    return best;
}
