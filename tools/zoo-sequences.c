/* SPDX-License-Identifier: MIT
 * zoo-sequences MODEL: several sequences in mixed batches, as in continuous batching, on the real engine. The whole model and two slices
 * of it (if it may be cut) must give the same bits, and each sequence the same as alone, up to the effect of the batch's shape. Then
 * sequence operations: accepted or refused alike, with the same bits after them. Both with `exact` and without. And guesses: runs of
 * tokens whose last ones are taken back, as in speculation, leave no trace. Prints one line a mode; exit status 0: fine, 1: differs, 3:
 * the model runs whole only (the rest was fine). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice.h"
#include "model/quirks.h"

enum { N_SEQ = 4, N_BATCH = 64, N_STEPS = 24, N_REWIND = 3 };
static const double NOISE = 0.02; /* the effect of another batch shape on the logits of such models (measured: below 0.01) */

struct zoo {
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct engine whole, part[2], alone[N_SEQ];
    bool cut;
    float *hidden;
    uint64_t random;
    int32_t pos[N_SEQ];
    double noise;              /* largest difference to a sequence alone */
    int rows, same;
    struct err err;
};

static void check(struct zoo *z, err_code code) {
    if (code == ERR_OK) return;
    printf("failed: %s\n", z->err.text);
    exit(1);
}

static uint32_t draw(struct zoo *z, uint32_t below) {
    z->random = z->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(z->random >> 33) % below;
}

static struct engine open_slice(struct zoo *z, uint32_t first, uint32_t end, uint32_t n_seq, bool exact) {
    struct engine_load load;
    struct model_slice *s = NULL;
    struct engine ret = {0};
    engine_load_init(&load);
    load.n_ctx = 256;
    load.n_seq = n_seq;
    load.n_batch = N_BATCH;
    load.n_threads = 1;
    load.exact = exact;
    load.n_rewind = N_REWIND;
    snprintf(load.backends, sizeof(load.backends), "%s", CARAVAN_BACKENDS_DIR);
    check(z, model_slice_create(z->gguf, z->layout, first, end, &s, &z->err));
    check(z, engine_slice_open(s, NULL, NULL, &load, NULL, NULL, &ret, &z->err));
    model_slice_free(s);
    return ret;
}

/* A chunk of each sequence in changing order; every third batch one token of each. Logits after the last of each. */
static size_t make_batch(struct zoo *z, int step, struct engine_token *t) {
    static const uint16_t order[N_SEQ] = {2, 0, 3, 1};
    size_t n = 0;
    for (int k = 0; k < N_SEQ; k++) {
        uint16_t seq = order[(k + step) % N_SEQ];
        uint32_t count = step % 3 == 2 ? 1 : 1 + draw(z, 8) + (k == 0 ? 4 : 0);
        for (uint32_t i = 0; i < count; i++) {
            int32_t token = (int32_t)draw(z, z->whole.info.n_vocab);
            t[n++] = (struct engine_token){token, z->pos[seq]++, seq, i + 1 == count ? ENGINE_TOKEN_LOGITS : 0};
        }
    }
    return n;
}

static void eval_both(struct zoo *z, const struct engine_token *t, size_t n) {
    check(z, z->whole.ops->eval(z->whole.self, t, n, NULL, NULL, &z->err));
    if (z->cut) {
        check(z, z->part[0].ops->eval(z->part[0].self, t, n, NULL, z->hidden, &z->err));
        check(z, z->part[1].ops->eval(z->part[1].self, t, n, z->hidden, NULL, &z->err));
    }
    for (size_t i = 0; i < n; i++) {
        if (t[i].flags == 0) continue;
        const float *a = z->whole.ops->logits(z->whole.self, i), *b = z->cut ? z->part[1].ops->logits(z->part[1].self, i) : a;
        z->rows++;
        z->same += memcmp(a, b, z->whole.info.n_vocab * sizeof(*a)) == 0;
    }
}

/* Computes the same tokens, each sequence by itself. */
static void compare_alone(struct zoo *z, const struct engine_token *t, size_t n) {
    for (uint16_t seq = 0; seq < N_SEQ; seq++) {
        struct engine_token mine[N_BATCH];
        size_t count = 0, last = 0;
        for (size_t i = 0; i < n; i++) {
            if (t[i].seq != seq) continue;
            mine[count] = t[i];
            mine[count++].seq = 0;
            last = i;
        }
        struct engine *e = &z->alone[seq];
        check(z, e->ops->eval(e->self, mine, count, NULL, NULL, &z->err));
        const float *a = z->whole.ops->logits(z->whole.self, last), *b = e->ops->logits(e->self, count - 1);
        for (uint32_t i = 0; i < z->whole.info.n_vocab; i++) z->noise = fmax(z->noise, fabs((double)a[i] - (double)b[i]));
    }
}

/* Tries an operation and, if it is accepted, a token of its sequence after it. Returns 1 if whole and split disagree about it. */
static int try_op(struct zoo *z, struct engine_op op, uint16_t seq, int32_t pos) {
    err_code code = z->whole.ops->apply(z->whole.self, &op, 1, NULL);
    for (int i = 0; i < 2 && z->cut; i++)
        if (z->part[i].ops->apply(z->part[i].self, &op, 1, NULL) != code) return 1;
    const struct engine_token t = {5, pos, seq, ENGINE_TOKEN_LOGITS};
    if (code == ERR_OK) eval_both(z, &t, 1);
    return code != ERR_OK && code != ERR_UNSUPPORTED;
}

static int try_ops(struct zoo *z) {
    const struct engine_op all = {ENGINE_OP_CP, 3, 0, 0, -1}, last = {ENGINE_OP_RM, 0, 0, z->pos[0] - 1, -1};
    const struct engine_op some = {ENGINE_OP_RM, 2, 0, 10, -1}, prefix = {ENGINE_OP_CP, 3, 1, 0, 20};
    int wrong = try_op(z, last, 0, z->pos[0] - 1) + try_op(z, some, 2, 10) + try_op(z, prefix, 1, 20) + try_op(z, all, 0, z->pos[3]);
    for (uint16_t seq = 0; seq < N_SEQ; seq++) wrong += try_op(z, (struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, 0}, seq, 0);
    return wrong;
}

/* Sequence 0 begins anew with right tokens and wrong ones after them, which are taken back; sequence 1 goes on in between. Except for
 * the shape of the batches, everything must be as if the wrong tokens had never been there. Returns the number of wrong steps; -1: it
 * can't go back. */
static int try_guesses(struct zoo *z) {
    struct engine_token t[1 + N_REWIND];
    const struct engine *whole = &z->whole, *alone = &z->alone[0];
    int32_t pos = 0, other = 0;
    int wrong = 0;
    if (whole->info.n_rewind < N_REWIND) return -1;
    check(z, alone->ops->apply(alone->self, &(struct engine_op){ENGINE_OP_RM, 0, 0, 0, -1}, 1, &z->err));
    for (uint16_t seq = 0; seq < N_SEQ; seq++) try_op(z, (struct engine_op){ENGINE_OP_RM, seq, 0, 0, -1}, seq, 0);
    for (uint16_t seq = 0; seq < N_SEQ; seq++) wrong += try_op(z, (struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, 0}, seq, 0);
    other = pos = 1; /* the token 5 that try_op leaves */
    check(z, alone->ops->eval(alone->self, &(struct engine_token){5, 0, 0, ENGINE_TOKEN_LOGITS}, 1, NULL, NULL, &z->err));
    for (int step = 0; step < N_STEPS; step++) {
        int32_t right = 1 + step % (N_REWIND + 1);
        for (int32_t i = 0; i <= N_REWIND; i++)
            t[i] = (struct engine_token){(int32_t)draw(z, z->whole.info.n_vocab), pos + i, 0, ENGINE_TOKEN_LOGITS};
        eval_both(z, t, 1 + N_REWIND);
        for (int32_t i = 0; i < right; i++) {
            check(z, alone->ops->eval(alone->self, &t[i], 1, NULL, NULL, &z->err));
            const float *a = alone->ops->logits(alone->self, 0), *b = whole->ops->logits(whole->self, (size_t)i);
            for (uint32_t v = 0; v < whole->info.n_vocab; v++) z->noise = fmax(z->noise, fabs((double)a[v] - (double)b[v]));
        }
        pos += right;
        if (!whole->info.rewind_alone) eval_both(z, &(struct engine_token){7, other++, 1, ENGINE_TOKEN_LOGITS}, 1);
        const struct engine_op back = {ENGINE_OP_RM, 0, 0, pos, -1};
        wrong += whole->ops->apply(whole->self, &back, 1, NULL) != ERR_OK;
        for (int i = 0; i < 2 && z->cut; i++) wrong += z->part[i].ops->apply(z->part[i].self, &back, 1, NULL) != ERR_OK;
    }
    return wrong;
}

static bool run(struct zoo *z, bool exact, uint32_t middle) {
    const uint32_t n_layer = z->layout->n_layer;
    struct engine_token t[N_BATCH];
    z->rows = z->same = 0;
    z->noise = 0;
    z->random = 1;
    memset(z->pos, 0, sizeof(z->pos));
    z->whole = open_slice(z, 0, n_layer, N_SEQ, exact);
    for (int i = 0; i < N_SEQ; i++) z->alone[i] = open_slice(z, 0, n_layer, 1, exact);
    if (z->cut) {
        z->part[0] = open_slice(z, 0, middle, N_SEQ, exact);
        z->part[1] = open_slice(z, middle, n_layer, N_SEQ, exact);
    }
    for (int step = 0; step < N_STEPS; step++) {
        size_t n = make_batch(z, step, t);
        eval_both(z, t, n);
        compare_alone(z, t, n);
    }
    int wrong = try_ops(z), guesses = try_guesses(z);
    bool fine = wrong == 0 && guesses <= 0 && z->same == z->rows && z->noise < NOISE;
    printf("%s %s: %d of %d rows identical in two slices, %.2g from each alone, %d operations wrong, %s\n", exact ? "exact" : "plain",
           fine ? "fine" : "DIFFERS", z->same, z->rows, z->noise, wrong,
           guesses < 0   ? "no guesses"
           : guesses > 0 ? "guesses left traces"
                         : "guesses taken back");
    z->whole.ops->close(z->whole.self);
    for (int i = 0; i < N_SEQ; i++) z->alone[i].ops->close(z->alone[i].self);
    for (int i = 0; i < 2 && z->cut; i++) z->part[i].ops->close(z->part[i].self);
    return fine;
}

int main(int argc, char **argv) {
    struct zoo z = {0};
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    if (argc != 2) {
        fprintf(stderr, "usage: zoo-sequences MODEL\n");
        return 64;
    }
    check(&z, model_gguf_open(argv[1], &z.gguf, &z.err));
    check(&z, model_layout_create(z.gguf, &z.layout, &z.err));
    uint32_t n = model_quirks_cuts(z.layout, cuts, MODEL_MAX_LAYERS + 1);
    z.cut = n > 2;
    z.hidden = mem_calloc((size_t)N_BATCH * z.layout->n_embd, sizeof(*z.hidden));
    bool fine = run(&z, false, cuts[n / 2]);
    fine = run(&z, true, cuts[n / 2]) && fine;
    free(z.hidden);
    model_layout_free(z.layout);
    model_gguf_free(z.gguf);
    return !fine ? 1 : z.cut ? 0 : 3;
}
