/* SPDX-License-Identifier: MIT
 * See trial.h. */
#include "engine/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice.h"
#include "model/quirks.h"

enum { SINGLE = 8 /* tokens, computed one by one behind the prompt */, PIECE = 16, JUDGED = 40 /* the last tokens */, SLICES = 3 };
enum { WINDOW_MOST = 8192 /* prompts go beyond windows up to this size, so that it shows which layers have one */ };
static const double CLOSE = 1e-2; /* as `caravan verify` says "close" */

struct trial {
    const struct model_layout *layout;
    struct engine_load load;
    int32_t *tokens;           /* [n]: the prompt, in whole pieces, and SINGLE more */
    int32_t n;
    float *rows;               /* [n][width]: between two slices */
    float *whole, *cut;        /* [JUDGED][n_vocab]: logits of the last tokens */
    uint32_t width, n_vocab;
};

static err_code compute(struct trial *t, struct engine *slice, float *logits, struct err *e) {
    struct engine_token batch[PIECE];
    float *in = slice->info.first ? NULL : t->rows, *out = slice->info.last ? NULL : t->rows;
    err_code code = ERR_OK;
    for (int32_t at = 0, n, judged = t->n - JUDGED; at < t->n && code == ERR_OK; at += n) {
        n = at < t->n - SINGLE ? PIECE : 1;
        size_t row = (size_t)at * t->width;
        for (int32_t i = 0; i < n; i++)
            batch[i] =
                (struct engine_token){.token = t->tokens[at + i], .pos = at + i, .flags = at + i >= judged ? ENGINE_TOKEN_LOGITS : 0};
        code = slice->ops->eval(slice->self, batch, (size_t)n, in ? in + row : NULL, out ? out + row : NULL, e);
        for (int32_t i = 0; i < n && code == ERR_OK && slice->info.last; i++)
            if (at + i >= judged)
                memcpy(logits + (size_t)(at + i - judged) * t->n_vocab, slice->ops->logits(slice->self, (size_t)i),
                       t->n_vocab * sizeof(float));
    }
    return code;
}

/* Makes the room for logits, and the tokens, when the vocabulary is known. */
static void prepare(struct trial *t, uint32_t n_vocab) {
    uint64_t random = 1;
    t->n_vocab = n_vocab;
    t->whole = mem_calloc((size_t)JUDGED * n_vocab, sizeof(*t->whole));
    t->cut = mem_calloc((size_t)JUDGED * n_vocab, sizeof(*t->cut));
    for (int32_t i = 0; i < t->n; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        t->tokens[i] = (int32_t)((random >> 33) % n_vocab);
    }
}

static err_code run_slice(struct trial *t, uint32_t first, uint32_t end, struct err *e) {
    struct model_slice *slice = NULL;
    struct engine engine;
    bool whole = first == 0 && end == t->layout->n_layer;
    err_code code = model_slice_create_forced(t->layout->gguf, t->layout, first, end, &slice, e);
    if (code == ERR_OK) code = engine_slice_open(slice, NULL, NULL, &t->load, NULL, NULL, &engine, e);
    model_slice_free(slice);
    if (code != ERR_OK) return code;
    if (whole) prepare(t, engine.info.n_vocab);
    code = compute(t, &engine, whole ? t->whole : t->cut, e);
    engine.ops->close(engine.self);
    return code;
}

/* Chooses up to three slices; ret_bounds[0] is 0. Returns their number. */
static uint32_t choose(const struct model_layout *l, uint32_t *ret_bounds) {
    uint32_t cuts[MODEL_MAX_LAYERS + 1], n_cuts = model_quirks_cuts(l, cuts, MODEL_MAX_LAYERS + 1) - 1; /* the last is no cut */
    uint32_t n = n_cuts < SLICES ? n_cuts : SLICES;
    for (uint32_t i = 0; i <= n; i++) ret_bounds[i] = cuts[i * n_cuts / n];
    return n;
}

static uint32_t first_choice(const float *row, uint32_t n) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

static err_code judge(const struct trial *t, struct err *e) {
    double most = 0;
    int same = 0;
    for (int i = 0; i < JUDGED; i++) {
        const float *a = t->whole + (size_t)i * t->n_vocab, *b = t->cut + (size_t)i * t->n_vocab;
        same += first_choice(a, t->n_vocab) == first_choice(b, t->n_vocab);
        for (uint32_t v = 0; v < t->n_vocab; v++) {
            double d = fabs((double)a[v] - (double)b[v]);
            if (!(d <= most)) most = isnan(d) ? INFINITY : d;
        }
    }
    if (same == JUDGED && most < CLOSE) return ERR_OK;
    return err_set(e, ERR_WHOLE_ONLY, "probed, its slices give other logits than the whole (by up to %.3g)", most);
}

/* Tokens that go beyond every window. */
static int32_t count_tokens(const struct model_layout *l) {
    uint32_t window = 0;
    for (uint32_t i = 0; i < l->n_layer; i++)
        if (l->layers[i].window > window) window = l->layers[i].window;
    if (window > WINDOW_MOST) window = WINDOW_MOST;
    return (int32_t)((window + JUDGED + PIECE - 1) / PIECE * PIECE) + SINGLE;
}

err_code engine_trial(const struct model_layout *l, const struct engine_load *load, struct err *e) {
    struct trial t = {.layout = l, .load = *load, .width = model_quirks_width(l)};
    uint32_t bounds[SLICES + 1], n = choose(l, bounds);
    if (n < 2) return err_set(e, ERR_WHOLE_ONLY, "probed, it has no place where it can be cut");
    t.n = count_tokens(l);
    t.load.n_ctx = (uint32_t)t.n + PIECE;
    t.load.n_seq = 1;
    t.load.n_batch = t.load.n_ubatch = t.load.n_outputs = PIECE;
    t.load.n_gpu_layers = 0;
    t.tokens = mem_calloc((size_t)t.n, sizeof(*t.tokens));
    t.rows = mem_calloc((size_t)t.n * t.width, sizeof(*t.rows));
    err_code code = run_slice(&t, 0, l->n_layer, e);
    for (uint32_t i = 0; i < n && code == ERR_OK; i++) code = run_slice(&t, bounds[i], bounds[i + 1], e);
    if (code == ERR_OK) code = judge(&t, e);
    free(t.tokens);
    free(t.rows);
    free(t.whole);
    free(t.cut);
    return code;
}
