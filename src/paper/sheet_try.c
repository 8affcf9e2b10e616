/* SPDX-License-Identifier: MIT
 * See sheet.h: what is tried beside the plan that was asked for. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#include "paper/shapes.h"
#include "paper/sheet.h"

#define FASTER 1.15 /* a change that gains less is not worth a line, unless it makes the ring shorter */
enum { LEAST_CTX = 2048, GOOD_QUANTS = 3 /* quants[] up to q4_k_m */ };

static const char *const quants[] = {"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"};

/* What a change would bring. */
struct attempt {
    struct plan plan;
    double tps;
    uint64_t weights;
};

static bool attempt_plan(const struct sheet *s, const struct plan_source *source, uint32_t streams, struct attempt *ret) {
    const struct plan_model *m = plan_source_model(source);
    struct plan_wish wish = s->wish;
    struct plan_figures f;
    wish.streams = streams;
    if (plan_make(m, s->fleet->nodes, s->fleet->n, &wish, &ret->plan, NULL) != ERR_OK) return false;
    plan_predict(&ret->plan, m, s->fleet->nodes, &wish, &f);
    ret->tps = 1 / f.token_s;
    return true;
}

/* The same weights, loaded in another way. */
static bool attempt_load(const struct sheet *s, const struct paper_load *load, struct attempt *ret) {
    struct plan_source *source = paper_model_reload(&s->model, load, NULL);
    bool good = source && attempt_plan(s, source, load->n_seq, ret);
    ret->weights = s->model.layout->bytes_total;
    plan_source_free(source);
    return good;
}

/* The same model in another quantisation, which has a name. */
static bool attempt_quant(const struct sheet *s, const char *name, const struct paper_load *load, struct attempt *ret) {
    struct model_gguf *gguf;
    struct paper_model m = {0};
    if (shapes_open(name, &gguf, NULL) != ERR_OK) return false;
    bool good = paper_model_open(gguf, name, load, &m, NULL) == ERR_OK && attempt_plan(s, m.source, load->n_seq, ret);
    if (good) ret->weights = m.layout->bytes_total;
    paper_model_done(&m);
    return good;
}

/* The model's name with another quantisation. */
static void other_quant(const struct sheet *s, const char *quant, char *ret, size_t size) {
    char base[128];
    shapes_base(s->q->name, base, sizeof(base));
    snprintf(ret, size, "%s:%s", base, quant);
}

/* A line, if the change helps. faster: also when the token is faster, on as many machines. */
static bool put_attempt(const struct sheet *s, const struct attempt *a, const char *words, bool faster, struct buf *out) {
    struct plan_figures now;
    plan_predict(&s->plans[0], plan_source_model(s->model.source), s->fleet->nodes, &s->wish, &now);
    bool shorter = a->plan.n_stage < s->plans[0].n_stage && a->tps * now.token_s > 1;
    if (!shorter && !(faster && a->tps * now.token_s >= FASTER)) return false;
    buf_printf(out, "  %s: %.3g instead of %.3g tokens/s", words, a->tps, 1 / now.token_s);
    if (shorter && a->plan.n_stage == 1) buf_printf(out, ", whole on %s", s->fleet->nodes[a->plan.stages[0].node].name);
    else if (shorter) buf_printf(out, ", on %u machines instead of %u", a->plan.n_stage, s->plans[0].n_stage);
    buf_append_str(out, "\n");
    return true;
}

static void try_load(const struct sheet *s, const struct paper_load *load, const char *words, struct buf *out) {
    struct attempt a;
    if (attempt_load(s, load, &a)) put_attempt(s, &a, words, true, out);
}

static void try_quants(const struct sheet *s, struct buf *out) {
    const char *quant = shapes_quant(s->q->name);
    size_t i = 0;
    while (i < ARRAY_LEN(quants) && strcasecmp(quants[i], quant) != 0) i++;
    for (i++; i < ARRAY_LEN(quants); i++) { /* fewer bits than q4_k_m cost quality: only where machines can be left out for it */
        char full[160];
        struct attempt a;
        other_quant(s, quants[i], full, sizeof(full));
        if (attempt_quant(s, full, &s->q->load, &a) && put_attempt(s, &a, full, i <= GOOD_QUANTS, out)) return;
    }
}

void sheet_try_free(const struct sheet *s, struct buf *out) {
    uint32_t n_ctx = s->model.shape.n_ctx;
    char words[64];
    size_t before = out->len;
    if (s->wish.placement == PLAN_LIST) return;
    buf_append_str(out, "What would help, and costs nothing:\n");
    size_t after = out->len;
    struct paper_load one = s->q->load, half = s->q->load, types = s->q->load;
    one.n_seq = 1;
    half.n_ctx = n_ctx / 2;
    types.type_k = types.type_v = MODEL_TYPE_Q8_0;
    if (s->q->load.n_seq > 1) try_load(s, &one, "one conversation at a time (--parallel 1)", out);
    snprintf(words, sizeof(words), "half the context (--ctx %u)", n_ctx / 2);
    if (n_ctx / 2 >= LEAST_CTX) try_load(s, &half, words, out);
    if (s->q->load.type_k == MODEL_TYPE_F16 && s->q->load.type_v == MODEL_TYPE_F16)
        try_load(s, &types, "a smaller KV cache (--cache-type-k q8_0 --cache-type-v q8_0)", out);
    if (s->source.is_shape) try_quants(s, out);
    if (out->len == after) out->len = before;
}

/* What would fit, if anything: a hint, or nothing. */
static bool hint_loads(const struct sheet *s, char *hint, size_t size) {
    char bytes[STR_SHORT];
    struct attempt a;
    struct paper_load load = s->q->load;
    load.n_seq = 1;
    if (s->q->load.n_seq > 1 && attempt_load(s, &load, &a)) {
        snprintf(hint, size, "with --parallel 1 it would fit, in %s", str_size(a.plan.bytes_whole, bytes));
        return true;
    }
    for (load.n_ctx = s->model.shape.n_ctx / 2; load.n_ctx >= LEAST_CTX / 4; load.n_ctx /= 2)
        if (attempt_load(s, &load, &a)) {
            snprintf(hint, size, "with %s--ctx %u it would fit, in %s", s->q->load.n_seq > 1 ? "--parallel 1 " : "", load.n_ctx,
                     str_size(a.plan.bytes_whole, bytes));
            return true;
        }
    load.n_ctx = s->q->load.n_ctx;
    load.n_ubatch = 32;
    if (s->q->load.n_ubatch > load.n_ubatch && attempt_load(s, &load, &a)) {
        snprintf(hint, size, "with %s--ubatch %u it would fit, in %s: prompts are read in smaller steps",
                 s->q->load.n_seq > 1 ? "--parallel 1 " : "", load.n_ubatch, str_size(a.plan.bytes_whole, bytes));
        return true;
    }
    return false;
}

void sheet_try_smaller(const struct sheet *s, struct err *e) {
    char bytes[STR_SHORT], hint[sizeof(e->hint)] = "";
    struct attempt a;
    bool found = hint_loads(s, hint, sizeof(hint));
    for (size_t i = 0; s->source.is_shape && !found && i < ARRAY_LEN(quants); i++) {
        char full[160];
        other_quant(s, quants[i], full, sizeof(full));
        if (!attempt_quant(s, full, &s->q->load, &a) || a.weights >= s->model.layout->bytes_total) continue;
        snprintf(hint, sizeof(hint), "%s would fit, in %s", full, str_size(a.plan.bytes_whole, bytes));
        found = true;
    }
    if (!found && s->source.is_shape)
        snprintf(hint, sizeof(hint), "even at q2_k it would not fit: add machines, or lower --ctx or --parallel");
    if (hint[0]) err_hint(e, "%s", hint);
}
