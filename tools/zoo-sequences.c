/* SPDX-License-Identifier: MIT
 * zoo-sequences MODEL: several sequences in mixed batches, as in continuous batching, on the real engine. The whole model and two slices
 * of it (if it may be cut) must give the same bits, and each sequence the same as alone, up to the effect of the batch's shape. Then
 * sequence operations: accepted or refused alike, with the same bits after them. Both with `exact` and without. And guesses: runs of
 * tokens whose last ones are taken back, as in speculation, leave no trace. And marks: a sequence that goes back to a copy of its state
 * goes on as if it had never been further. And stored sequences, which come back as they were. Prints one line a mode; exit status 0: fine,
 * 1: differs, 3: the model runs whole only (the rest was fine). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/slice.h"
#include "model/quirks.h"
#include "os/runtime.h"

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
    snprintf(load.backends, sizeof(load.backends), "%s", os_backends_dir);
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
            t[n++] =
                (struct engine_token){.token = token, .pos = z->pos[seq]++, .seq = seq, .flags = i + 1 == count ? ENGINE_TOKEN_LOGITS : 0};
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

/* Computes the same tokens, each sequence by itself. Here every token has logits, so a token whose logits were those of another one in the
 * batch shows. */
static void compare_alone(struct zoo *z, const struct engine_token *t, size_t n) {
    for (uint16_t seq = 0; seq < N_SEQ; seq++) {
        struct engine_token mine[N_BATCH];
        size_t count = 0, last = 0;
        for (size_t i = 0; i < n; i++) {
            if (t[i].seq != seq) continue;
            mine[count] = t[i];
            mine[count].flags = ENGINE_TOKEN_LOGITS;
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
    const struct engine_token t = {.token = 5, .pos = pos, .seq = seq, .flags = ENGINE_TOKEN_LOGITS};
    if (code == ERR_OK) eval_both(z, &t, 1);
    return code != ERR_OK && code != ERR_UNSUPPORTED;
}

static int try_ops(struct zoo *z) {
    const struct engine_op all = {ENGINE_OP_CP, 3, 0, 0, -1, 0}, last = {ENGINE_OP_RM, 0, 0, z->pos[0] - 1, -1, 0};
    const struct engine_op some = {ENGINE_OP_RM, 2, 0, 10, -1, 0}, prefix = {ENGINE_OP_CP, 3, 1, 0, 20, 0};
    int wrong = try_op(z, last, 0, z->pos[0] - 1) + try_op(z, some, 2, 10) + try_op(z, prefix, 1, 20) + try_op(z, all, 0, z->pos[3]);
    for (uint16_t seq = 0; seq < N_SEQ; seq++) wrong += try_op(z, (struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, 0, 0}, seq, 0);
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
    check(z, alone->ops->apply(alone->self, &(struct engine_op){ENGINE_OP_RM, 0, 0, 0, -1, 0}, 1, &z->err));
    for (uint16_t seq = 0; seq < N_SEQ; seq++) try_op(z, (struct engine_op){ENGINE_OP_RM, seq, 0, 0, -1, 0}, seq, 0);
    for (uint16_t seq = 0; seq < N_SEQ; seq++) wrong += try_op(z, (struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, 0, 0}, seq, 0);
    other = pos = 1; /* the token 5 that try_op leaves */
    check(z, alone->ops->eval(alone->self, &(struct engine_token){.token = 5, .flags = ENGINE_TOKEN_LOGITS}, 1, NULL, NULL, &z->err));
    for (int step = 0; step < N_STEPS; step++) {
        int32_t right = 1 + step % (N_REWIND + 1);
        for (int32_t i = 0; i <= N_REWIND; i++)
            t[i] = (struct engine_token){(int32_t)draw(z, z->whole.info.n_vocab), pos + i, 0, ENGINE_TOKEN_LOGITS, 0};
        eval_both(z, t, 1 + N_REWIND);
        for (int32_t i = 0; i < right; i++) {
            check(z, alone->ops->eval(alone->self, &t[i], 1, NULL, NULL, &z->err));
            const float *a = alone->ops->logits(alone->self, 0), *b = whole->ops->logits(whole->self, (size_t)i);
            for (uint32_t v = 0; v < whole->info.n_vocab; v++) z->noise = fmax(z->noise, fabs((double)a[v] - (double)b[v]));
        }
        pos += right;
        if (!whole->info.rewind_alone) eval_both(z, &(struct engine_token){7, other++, 1, ENGINE_TOKEN_LOGITS, 0}, 1);
        const struct engine_op back = {ENGINE_OP_RM, 0, 0, pos, -1, 0};
        wrong += whole->ops->apply(whole->self, &back, 1, NULL) != ERR_OK;
        for (int i = 0; i < 2 && z->cut; i++) wrong += z->part[i].ops->apply(z->part[i].self, &back, 1, NULL) != ERR_OK;
    }
    return wrong;
}

static void apply_all(struct zoo *z, const struct engine_op *ops, size_t n) {
    check(z, z->whole.ops->apply(z->whole.self, ops, n, &z->err));
    for (int i = 0; i < 2 && z->cut; i++) check(z, z->part[i].ops->apply(z->part[i].self, ops, n, &z->err));
}

/* n tokens of the sequence, the last with logits; the same in `alone`, unless that is NULL. */
static void go_on(struct zoo *z, uint16_t seq, int32_t pos, size_t n, uint64_t random, const struct engine *alone) {
    struct engine_token t[N_BATCH];
    z->random = random;
    for (size_t i = 0; i < n; i++) t[i] = (struct engine_token){(int32_t)draw(z, z->whole.info.n_vocab), pos + (int32_t)i, seq, 0, 0};
    t[n - 1].flags = ENGINE_TOKEN_LOGITS;
    eval_both(z, t, n);
    if (alone == NULL) return;
    for (size_t i = 0; i < n; i++) t[i].seq = 0;
    check(z, alone->ops->eval(alone->self, t, n, NULL, NULL, &z->err));
    const float *a = alone->ops->logits(alone->self, n - 1), *b = z->whole.ops->logits(z->whole.self, n - 1);
    for (uint32_t v = 0; v < z->whole.info.n_vocab; v++) z->noise = fmax(z->noise, fabs((double)a[v] - (double)b[v]));
}

static void give_room(struct zoo *z) {
    z->whole.ops->park_room(z->whole.self, UINT64_MAX);
    for (int i = 0; i < 2 && z->cut; i++) z->part[i].ops->park_room(z->part[i].self, UINT64_MAX);
}

static size_t lost_marks(struct zoo *z) {
    uint64_t keys[16];
    size_t n = z->whole.ops->lost(z->whole.self, keys);
    for (int i = 0; i < 2 && z->cut; i++) n += z->part[i].ops->lost(z->part[i].self, keys);
    return n;
}

/* The tokens with which try_marks and try_stored begin, in `alone`. */
static void begin_alone(struct zoo *z, const struct engine *alone, int32_t n) {
    struct engine_token t[N_BATCH];
    check(z, alone->ops->apply(alone->self, &(struct engine_op){ENGINE_OP_RM, 0, 0, 0, -1, 0}, 1, &z->err));
    z->random = 5;
    for (int32_t i = 0; i < n; i++) t[i] = (struct engine_token){(int32_t)draw(z, z->whole.info.n_vocab), i, 0, 0, 0};
    check(z, alone->ops->eval(alone->self, t, (size_t)n, NULL, NULL, &z->err));
}

/* Sequence 0 is marked after some tokens, and goes on. Its copy, it itself, and where a mark is all that there is an empty sequence go back
 * to the mark, and on in another way. Returns the number of wrong steps; -1: the model has no marks. */
static int try_marks(struct zoo *z) {
    enum { FIRST = 60, MORE = 50, OTHER = 30, KEY = 77 };
    const struct engine *alone = &z->alone[0];
    const struct engine_op mark = {ENGINE_OP_MARK, 0, 0, FIRST, -1, KEY}, drop = {ENGINE_OP_DROP, 0, 0, 0, -1, KEY};
    if (!z->whole.info.can_mark) return -1;
    for (uint16_t seq = 0; seq < N_SEQ; seq++) apply_all(z, &(struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, -1, 0}, 1);
    go_on(z, 0, 0, FIRST, 5, NULL);
    apply_all(z, &mark, 1);
    for (int k = 0; k < 3; k++) go_on(z, 0, FIRST + k * MORE, MORE, 6, NULL);
    for (uint16_t seq = 1; seq <= 3; seq++) {
        bool empty = seq == 2 && z->whole.info.mark_whole, itself = seq == 3;
        uint16_t home = itself ? 0 : seq;
        const struct engine_op ops[] = {{ENGINE_OP_CP, 0, home, 0, -1, 0}, {ENGINE_OP_BACK, home, 0, FIRST, -1, KEY}};
        apply_all(z, empty || itself ? ops + 1 : ops, empty || itself ? 1 : 2);
        begin_alone(z, alone, FIRST);
        go_on(z, home, FIRST, OTHER, 7, alone);
        go_on(z, home, FIRST + OTHER, 1, 8, alone);
    }
    int wrong = (int)lost_marks(z);
    apply_all(z, &drop, 1);
    apply_all(z, &(struct engine_op){ENGINE_OP_BACK, 0, 0, FIRST, -1, KEY}, 1);
    return wrong + ((int)lost_marks(z) != (z->cut ? 3 : 1)); /* it is gone, and every slice says so */
}

/* Sequence 0 is stored and given up. It comes back in the place of another one, and in an empty one, and goes on there. Returns the number
 * of wrong steps. */
static int try_stored(struct zoo *z) {
    enum { FIRST = 60, SHORT = 20, OTHER = 30, KEY = 78 };
    const struct engine *alone = &z->alone[0];
    for (uint16_t seq = 0; seq < N_SEQ; seq++) apply_all(z, &(struct engine_op){ENGINE_OP_CLOSE, seq, 0, 0, -1, 0}, 1);
    go_on(z, 0, 0, FIRST, 5, NULL);
    go_on(z, 2, 0, SHORT, 9, NULL);
    const struct engine_op given_up[] = {{ENGINE_OP_SAVE, 0, 0, FIRST, 0, KEY}, {ENGINE_OP_CLOSE, 0, 0, 0, -1, 0}};
    apply_all(z, given_up, 2);
    for (uint16_t home = 1; home <= 2; home++) {
        apply_all(z, &(struct engine_op){ENGINE_OP_LOAD, home, 0, FIRST, -1, KEY}, 1);
        begin_alone(z, alone, FIRST);
        go_on(z, home, FIRST, OTHER, 7, alone);
        go_on(z, home, FIRST + OTHER, 1, 8, alone);
    }
    int wrong = (int)lost_marks(z);
    apply_all(z, &(struct engine_op){ENGINE_OP_ERASE, 0, 0, 0, -1, KEY}, 1);
    apply_all(z, &(struct engine_op){ENGINE_OP_LOAD, 0, 0, FIRST, -1, KEY}, 1);
    return wrong + ((int)lost_marks(z) != (z->cut ? 3 : 1));
}

/* Computes the next n random tokens of the sequence, the last with logits, in batches as --exact makes them. */
static void eval_run(struct zoo *z, const struct engine *e, uint16_t seq, uint64_t random, int32_t pos, size_t n) {
    z->random = random;
    for (size_t left = n; left > 0;) {
        struct engine_token t[N_BATCH];
        size_t count = left < N_BATCH ? left : N_BATCH;
        for (size_t i = 0; i < count; i++) t[i] = (struct engine_token){(int32_t)draw(z, z->whole.info.n_vocab), pos++, seq, 0, 0};
        left -= count;
        if (left == 0) t[count - 1].flags = ENGINE_TOKEN_LOGITS;
        check(z, e->ops->eval(e->self, t, count, NULL, NULL, &z->err));
    }
}

/* Computes a prompt of n tokens and a few tokens after it, in an engine where another sequence has had `other` tokens, and in one where it
 * is alone. Are all logits the same bits? So --exact promises. */
static bool same_beside(struct zoo *z, const struct engine *beside, const struct engine *alone, size_t n, size_t other) {
    const struct engine_op forget[] = {{ENGINE_OP_RM, 0, 0, 0, -1, 0}, {ENGINE_OP_RM, 1, 0, 0, -1, 0}};
    bool same = true;
    check(z, beside->ops->apply(beside->self, forget, 2, &z->err));
    check(z, alone->ops->apply(alone->self, forget, 1, &z->err));
    eval_run(z, beside, 0, 7, 0, other);
    for (int step = 0; step < 4; step++) {
        size_t count = step == 0 ? n : 1;
        int32_t pos = step == 0 ? 0 : (int32_t)n + step - 1;
        eval_run(z, alone, 0, n + (size_t)step, pos, count);
        eval_run(z, beside, 1, n + (size_t)step, pos, count);
        size_t last = (count - 1) % N_BATCH;
        same &= memcmp(alone->ops->logits(alone->self, last), beside->ops->logits(beside->self, last),
                       z->whole.info.n_vocab * sizeof(float)) == 0;
    }
    return same;
}

/* The lengths of prompts at which a sequence is not the same beside another one. False: --exact is offered for the architecture all the
 * same. */
static bool run_beside(struct zoo *z) {
    static const size_t lengths[] = {16, 63, 64, 128};
    bool offered = model_quirks_check_exact(z->layout, NULL) == ERR_OK;
    char differs[64] = "";
    struct engine beside = open_slice(z, 0, z->layout->n_layer, N_SEQ, true), alone = open_slice(z, 0, z->layout->n_layer, 1, true);
    z->whole.info.n_vocab = alone.info.n_vocab;
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
        if (!same_beside(z, &beside, &alone, lengths[i], 30))
            snprintf(differs + strlen(differs), sizeof(differs) - strlen(differs), " %zu", lengths[i]);
    printf("exact beside another sequence: %s%s; --exact is %s\n", differs[0] ? "DIFFERS with prompts of" : "identical", differs,
           offered ? "offered" : "refused");
    beside.ops->close(beside.self);
    alone.ops->close(alone.self);
    return !differs[0] || !offered;
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
    give_room(z);
    int marks = try_marks(z), stored = try_stored(z);
    bool fine = wrong == 0 && guesses <= 0 && marks <= 0 && stored == 0 && z->same == z->rows && z->noise < NOISE;
    printf("%s %s: %d of %d rows identical in two slices, %.2g from each alone, %d operations wrong, %s, %s, %s\n",
           exact ? "exact" : "plain", fine ? "fine" : "DIFFERS", z->same, z->rows, z->noise, wrong,
           guesses < 0   ? "no guesses"
           : guesses > 0 ? "guesses left traces"
                         : "guesses taken back",
           marks < 0   ? "no marks"
           : marks > 0 ? "marks WRONG"
                       : "marks fine",
           stored > 0 ? "stored sequences WRONG" : "stored sequences fine");
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
    z.hidden = mem_calloc((size_t)N_BATCH * model_quirks_width(z.layout), sizeof(*z.hidden));
    bool fine = run(&z, false, cuts[n / 2]);
    fine = run(&z, true, cuts[n / 2]) && fine;
    fine = run_beside(&z) && fine;
    free(z.hidden);
    model_layout_free(z.layout);
    model_gguf_free(z.gguf);
    return !fine ? 1 : z.cut ? 0 : 3;
}
