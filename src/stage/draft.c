/* SPDX-License-Identifier: MIT */
#include "stage/draft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    PADDING_MOST = 128,  /* tokens by which vocabularies may differ in length: models of one family are padded differently */
    CATCH_UP_USUAL = 8,  /* tokens to take in that still count as part of a guess's cost */
    COST_SHIFT = 3
};    /* the running mean of a guess's cost follows one eighth of each difference */

struct draft {
    struct engine engine;
    uint32_t n_vocab;        /* token ids that both models have */
    clock_us (*clock)(void *user);
    void *user;
    int32_t *tokens;         /* [n_seq][n_ctx_seq]: the tokens in the small model's cache */
    uint32_t *n;             /* [n_seq] */
    struct engine_token *batch; /* [n_batch] */
    uint32_t cost_us;
    bool broken;
};

/* ---- one vocabulary ---- */

static bool same_piece(const struct engine *a, const struct engine *b, int32_t token, struct buf *x, struct buf *y) {
    buf_clear(x);
    buf_clear(y);
    bool control = a->ops->piece(a->self, token, x);
    return b->ops->piece(b->self, token, y) == control && x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
}

static err_code compare(const struct engine *big, const struct engine *small, uint32_t *ret_n, struct err *e) {
    enum { PIECE_MAX = 1 << 16, SHOWN = 40 };
    uint32_t a = big->info.n_vocab, b = small->info.n_vocab, n = a < b ? a : b;
    err_code code = ERR_OK;
    struct buf x, y;
    buf_init(&x, PIECE_MAX);
    buf_init(&y, PIECE_MAX);
    if ((a > b ? a - b : b - a) > PADDING_MOST) code = err_set(e, ERR_INVALID, "the draft model has %u tokens, the model %u", b, a);
    for (uint32_t i = 0; i < n && code == ERR_OK; i++) {
        if (!same_piece(big, small, (int32_t)i, &x, &y)) {
            code = err_set(e, ERR_INVALID, "the draft model's token %u is \"%.*s\", the model's \"%.*s\"", i, SHOWN, buf_cstr(&y), SHOWN,
                           buf_cstr(&x));
        }
    }
    if (code != ERR_OK) err_hint(e, "a draft model must have the model's own vocabulary: usually it is a smaller one of the same family");
    buf_done(&x);
    buf_done(&y);
    *ret_n = n;
    return code;
}

err_code draft_create(const struct engine *big, struct engine *small, clock_us (*clock)(void *user), void *user, struct draft **ret,
                      struct err *e) {
    uint32_t n_vocab;
    if (!small->info.can_remove) return err_set(e, ERR_UNSUPPORTED, "it keeps a state, not the past, so it cannot take wrong guesses back");
    err_code code = compare(big, small, &n_vocab, e);
    if (code != ERR_OK) return code;
    struct draft *d = MEM_NEW(struct draft);
    d->engine = *small;
    *small = (struct engine){0};
    d->n_vocab = n_vocab;
    d->clock = clock;
    d->user = user;
    d->tokens = mem_calloc((size_t)d->engine.info.n_seq * d->engine.info.n_ctx_seq, sizeof(*d->tokens));
    d->n = mem_calloc(d->engine.info.n_seq, sizeof(*d->n));
    d->batch = mem_calloc(d->engine.info.n_batch, sizeof(*d->batch));
    *ret = d;
    return ERR_OK;
}

void draft_free(struct draft *d) {
    if (d != NULL) {
        d->engine.ops->close(d->engine.self);
        free(d->tokens);
        free(d->n);
        free(d->batch);
    }
    free(d);
}

/* ---- computing ---- */

static int32_t *text_of(const struct draft *d, uint32_t seq) { return d->tokens + (size_t)seq * d->engine.info.n_ctx_seq; }

/* Cuts the small model's text back to n tokens. */
static err_code cut(struct draft *d, uint32_t seq, uint32_t n, struct err *e) {
    if (d->n[seq] <= n) return ERR_OK;
    struct engine_op op = {.kind = ENGINE_OP_RM, .seq = seq, .p0 = (int32_t)n, .p1 = -1};
    err_code code = d->engine.ops->apply(d->engine.self, &op, 1, e);
    d->n[seq] = n;
    return code;
}

/* Appends tokens to the small model's text. logits: keeps the logits of the last token. */
static err_code take_in(struct draft *d, uint32_t seq, const int32_t *tokens, uint32_t n, bool logits, struct err *e) {
    int32_t *text = text_of(d, seq) + d->n[seq];
    for (uint32_t i = 0; i < n; i++) {
        d->batch[i] = (struct engine_token){.token = tokens[i],
                                            .pos = (int32_t)(d->n[seq] + i),
                                            .seq = (uint16_t)seq,
                                            .flags = logits && i + 1 == n ? ENGINE_TOKEN_LOGITS : 0};
        text[i] = tokens[i];
    }
    err_code code = d->engine.ops->eval(d->engine.self, d->batch, n, NULL, NULL, e);
    if (code == ERR_OK) d->n[seq] += n;
    return code;
}

static int32_t best_token(const struct draft *d, size_t i) {
    const float *logits = d->engine.ops->logits(d->engine.self, i);
    int32_t best = 0;
    for (uint32_t t = 1; t < d->n_vocab; t++)
        if (logits[t] > logits[best]) best = (int32_t)t;
    return best;
}

static uint32_t common(const struct draft *d, uint32_t seq, const int32_t *tokens, uint32_t n) {
    const int32_t *text = text_of(d, seq);
    uint32_t i = 0, most = d->n[seq] < n ? d->n[seq] : n;
    while (i < most && text[i] == tokens[i]) i++;
    return i;
}

/* *ret_n guesses; 0 while the small model is still reading. */
static err_code guess(struct draft *d, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret, uint32_t *ret_n,
                      struct err *e) {
    uint32_t have = common(d, seq, tokens, n), n_batch = d->engine.info.n_batch;
    have = have == n ? n - 1 : have; /* computes the last token again, because its logits are needed */
    uint32_t left = n - have, piece = left < n_batch ? left : n_batch;
    err_code code = cut(d, seq, have, e);
    if (code != ERR_OK || (code = take_in(d, seq, tokens + have, piece, piece == left, e)) != ERR_OK || piece < left) return code;
    size_t row = piece - 1;
    for (uint32_t i = 0; i < most; i++, row = 0) {
        ret[i] = best_token(d, row);
        *ret_n = i + 1;
        if (i + 1 < most && (code = take_in(d, seq, &ret[i], 1, true, e)) != ERR_OK) return code;
    }
    return ERR_OK;
}

static uint32_t on_guess(void *user, uint32_t seq, const int32_t *tokens, uint32_t n, uint32_t most, int32_t *ret) {
    struct draft *d = user;
    struct err e = {0};
    uint32_t got = 0;
    assert(n > 0);
    if (d->broken || most == 0 || seq >= d->engine.info.n_seq || n + most > d->engine.info.n_ctx_seq) return 0;
    bool usual = n - common(d, seq, tokens, n) <= CATCH_UP_USUAL;
    clock_us start = d->clock(d->user);
    if (guess(d, seq, tokens, n, most, ret, &got, &e) != ERR_OK) {
        log_warn("draft", "the draft model is not used any more: %s", e.text);
        d->broken = true;
        return 0;
    }
    if (usual && got > 0) {
        int64_t cost = (int64_t)((d->clock(d->user) - start) / got), mean = d->cost_us;
        d->cost_us = (uint32_t)(mean == 0 ? cost : mean + (cost - mean) / (1 << COST_SHIFT));
    }
    return got;
}

static uint32_t on_cost(void *user) { return ((const struct draft *)user)->cost_us; }

struct sched_drafter draft_drafter(struct draft *d) { return (struct sched_drafter){.guess = on_guess, .cost_us = on_cost, .user = d}; }
