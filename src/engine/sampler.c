/* SPDX-License-Identifier: MIT */
#include "engine/sampler.h"

#include <llama.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/philox.h"
#include "engine/sampler_priv.h"
#include "engine/vocab.h"
#include "grammar/match.h"

struct engine_scratch {
    uint32_t n_vocab;
    llama_token_data *data;
    struct match_pieces *pieces; /* for grammars; NULL until the first grammar needs them */
};

struct engine_sampler {
    struct engine_sampling p;           /* numbers only: its pointers are NULL */
    const struct llama_vocab *vocab;
    uint32_t n_vocab;
    struct llama_sampler *bias;         /* NULL: none */
    struct llama_sampler *history;      /* samplers that look at past tokens: penalties, DRY; NULL: none */
    struct llama_sampler *filters;      /* samplers that do not: top-k and so on; NULL: none */
    struct sampler_grammar *grammar;    /* NULL: none */
    int32_t history_at;                 /* next position that history has not seen */
    int32_t first;                      /* position of the first generated token; -1: not known yet */
    int32_t *ends;                      /* the tokens that end an answer; NULL where min_tokens is 0 */
    size_t n_ends;
    float mu;                           /* mirostat */
    float *noted;                       /* scoring: logits of the position noted_at; NULL: nothing has been scored */
    int32_t noted_at;
};

struct engine_scratch *engine_scratch_create(uint32_t n_vocab) {
    struct engine_scratch *s = MEM_NEW(struct engine_scratch);
    s->n_vocab = n_vocab;
    s->data = mem_calloc(n_vocab, sizeof(*s->data));
    return s;
}

void engine_scratch_free(struct engine_scratch *s) {
    if (s == NULL) return;
    match_pieces_free(s->pieces);
    free(s->data);
    free(s);
}

/* ---- making the chains ---- */

static struct llama_sampler *chain_create(void) {
    struct llama_sampler_chain_params params = llama_sampler_chain_default_params();
    params.no_perf = true;
    return llama_sampler_chain_init(params);
}

/* Returns NULL for an empty chain. */
static struct llama_sampler *chain_or_null(struct llama_sampler *chain) {
    if (llama_sampler_chain_n(chain) > 0) return chain;
    llama_sampler_free(chain);
    return NULL;
}

static err_code make_bias(struct engine_sampler *s, const struct engine_sampling *p, struct err *e) {
    int32_t n_banned = 0;
    const llama_token *banned = llama_vocab_get_suppress_tokens(s->vocab, &n_banned); /* tokens that the model must never say */
    size_t n = p->n_bias + (size_t)n_banned;
    if (n == 0) return ERR_OK;
    llama_logit_bias *list = mem_calloc(n, sizeof(*list));
    err_code code = ERR_OK;
    for (size_t i = 0; i < p->n_bias && code == ERR_OK; i++) {
        list[i] = (llama_logit_bias){p->bias[i].token, p->bias[i].bias};
        if (p->bias[i].token < 0 || (uint32_t)p->bias[i].token >= s->n_vocab)
            code = err_set_field(e, ERR_INVALID, "logit_bias", "the model has no token %d (it has %u)", p->bias[i].token, s->n_vocab);
    }
    for (int32_t i = 0; i < n_banned; i++) list[p->n_bias + (size_t)i] = (llama_logit_bias){banned[i], -INFINITY};
    if (code == ERR_OK) s->bias = llama_sampler_init_logit_bias((int32_t)s->n_vocab, (int32_t)n, list);
    free(list);
    return code;
}

static int32_t look_back(int32_t last_n, uint32_t n_ctx) { return last_n < 0 || (uint32_t)last_n > n_ctx ? (int32_t)n_ctx : last_n; }

static void make_history(struct engine_sampler *s, const struct engine_sampling *p, uint32_t n_ctx) {
    static const char *breakers[] = {"\n", ":", "\"", "*"}; /* a repeated phrase ends at these, as the DRY proposal says */
    struct llama_sampler *chain = chain_create();
    int32_t last_n = look_back(p->repeat_last_n, n_ctx);
    if (last_n > 0 && (p->repeat_penalty != 1.0f || p->presence_penalty != 0 || p->frequency_penalty != 0))
        llama_sampler_chain_add(
            chain, llama_sampler_init_penalties((int32_t)s->n_vocab, last_n, p->repeat_penalty, p->frequency_penalty, p->presence_penalty));
    last_n = look_back(p->dry_penalty_last_n, n_ctx);
    if (last_n > 0 && p->dry_multiplier > 0 && engine_vocab_usable(s->vocab))
        llama_sampler_chain_add(chain, llama_sampler_init_dry(s->vocab, p->dry_multiplier, p->dry_base, p->dry_allowed_length, last_n,
                                                              breakers, ARRAY_LEN(breakers)));
    s->history = chain_or_null(chain);
}

static void make_filters(struct engine_sampler *s, const struct engine_sampling *p) {
    struct llama_sampler *chain = chain_create();
    if (p->top_k > 0) llama_sampler_chain_add(chain, llama_sampler_init_top_k(p->top_k));
    if (p->typical_p < 1) llama_sampler_chain_add(chain, llama_sampler_init_typical(p->typical_p, 1));
    if (p->top_p < 1) llama_sampler_chain_add(chain, llama_sampler_init_top_p(p->top_p, 1));
    if (p->min_p > 0) llama_sampler_chain_add(chain, llama_sampler_init_min_p(p->min_p, 1));
    s->filters = chain_or_null(chain);
}

static void make_ends(struct engine_sampler *s) {
    s->first = s->p.generated_from > 0 ? (int32_t)s->p.generated_from : -1;
    if (s->p.min_tokens == 0) return;
    s->ends = mem_calloc(s->n_vocab, sizeof(*s->ends));
    for (uint32_t i = 0; i < s->n_vocab; i++)
        if (engine_vocab_is_end(s->vocab, (int32_t)i)) s->ends[s->n_ends++] = (int32_t)i;
}

err_code engine_sampler_create(const struct llama_vocab *vocab, uint32_t n_ctx, const struct engine_sampling *p,
                               struct engine_sampler **ret, struct err *e) {
    struct engine_sampler *s = MEM_NEW(struct engine_sampler);
    s->p = *p;
    s->p.grammar = NULL;
    s->p.lazy = (struct engine_lazy){0};
    s->p.bias = NULL;
    s->p.n_bias = 0;
    s->vocab = vocab;
    s->n_vocab = engine_vocab_size(vocab);
    s->mu = 2 * p->mirostat_tau;
    err_code code = make_bias(s, p, e);
    if (code == ERR_OK) code = sampler_grammar_create(vocab, p, &s->grammar, e);
    if (code != ERR_OK) {
        engine_sampler_free(s);
        return code;
    }
    make_ends(s);
    make_history(s, p, n_ctx);
    make_filters(s, p);
    *ret = s;
    return ERR_OK;
}

void engine_sampler_free(struct engine_sampler *s) {
    if (s == NULL) return;
    if (s->bias != NULL) llama_sampler_free(s->bias);
    if (s->history != NULL) llama_sampler_free(s->history);
    if (s->filters != NULL) llama_sampler_free(s->filters);
    sampler_grammar_free(s->grammar);
    free(s->ends);
    free(s->noted);
    free(s);
}

/* ---- bringing the chains to a position ---- */

static void see_history(struct engine_sampler *s, const int32_t *history, int32_t pos) {
    if (s->history == NULL) return;
    if (s->history_at > pos + 1) { /* positions were taken back */
        llama_sampler_reset(s->history);
        s->history_at = 0;
    }
    for (; s->history_at <= pos; s->history_at++)
        if (history[s->history_at] >= 0) llama_sampler_accept(s->history, history[s->history_at]);
}

/* ---- choosing ---- */

static void fill(struct engine_scratch *scratch, const float *logits, llama_token_data_array *c) {
    for (uint32_t i = 0; i < scratch->n_vocab; i++) scratch->data[i] = (llama_token_data){(llama_token)i, logits[i], 0};
    *c = (llama_token_data_array){scratch->data, scratch->n_vocab, -1, false};
}

/* Must the answer go on after this position? */
static bool too_short(const struct engine_sampler *s, int32_t pos) { return pos + 1 - s->first < s->p.min_tokens; }

static bool is_end(const struct engine_sampler *s, int32_t token) {
    for (size_t i = 0; i < s->n_ends; i++)
        if (s->ends[i] == token) return true;
    return false;
}

/* Removes the tokens that end an answer from c, if other tokens remain. A grammar that is complete here still ends the answer. */
static void drop_ends(const struct engine_sampler *s, llama_token_data_array *c) {
    size_t kept = 0, possible = 0;
    for (size_t i = 0; i < c->size; i++) possible += c->data[i].logit != -INFINITY && !is_end(s, c->data[i].id);
    if (possible == 0) return;
    for (size_t i = 0; i < c->size; i++)
        if (!is_end(s, c->data[i].id)) c->data[kept++] = c->data[i];
    c->size = kept;
}

/* Chooses from candidates to which bias, penalties and DRY were applied. */
static int32_t choose(struct engine_sampler *s, llama_token_data_array *c, int32_t pos, enum sampler_purpose purpose) {
    if (!(s->p.temperature > 0)) return c->data[sampler_best(c)].id;
    double u = engine_uniform(s->p.seed, pos, purpose);
    if (s->p.mirostat > 0) {
        sampler_softmax(c, s->p.temperature);
        size_t i = s->p.mirostat == 1 ? sampler_mirostat1(c, u, s->p.mirostat_tau, s->p.mirostat_eta, s->n_vocab, &s->mu)
                                      : sampler_mirostat2(c, u, s->p.mirostat_tau, s->p.mirostat_eta, &s->mu);
        return c->data[i].id;
    }
    if (s->filters != NULL) llama_sampler_apply(s->filters, c);
    if (s->p.xtc_probability > 0 && engine_uniform(s->p.seed, pos, SAMPLER_XTC) < (double)s->p.xtc_probability)
        sampler_xtc(c, s->p.xtc_threshold);
    sampler_softmax(c, s->p.temperature);
    return c->data[sampler_draw(c, u)].id;
}

static int32_t draw_token(struct engine_sampler *s, struct engine_scratch *scratch, const float *logits, int32_t pos, bool constrained,
                          bool *ret_any) {
    llama_token_data_array c;
    fill(scratch, logits, &c);
    if (s->bias != NULL) llama_sampler_apply(s->bias, &c);
    if (constrained && scratch->pieces == NULL) scratch->pieces = sampler_grammar_pieces(s->vocab);
    if (constrained) sampler_grammar_filter(s->grammar, scratch->pieces, &c);
    if (s->history != NULL) llama_sampler_apply(s->history, &c);
    if (too_short(s, pos)) drop_ends(s, &c);
    *ret_any = c.data[sampler_best(&c)].logit != -INFINITY;
    return *ret_any ? choose(s, &c, pos, constrained ? SAMPLER_REDRAW : SAMPLER_DRAW) : -1;
}

/* Draws first without the grammar, which is slow over a whole vocabulary. If the grammar refuses the token, draws again from the allowed
 * tokens, with another random number. Together these are a draw in proportion to the allowed tokens' probabilities (rejection sampling). */
static err_code pick_token(struct engine_sampler *s, struct engine_scratch *scratch, const float *logits, int32_t pos, int32_t *ret,
                           struct err *e) {
    bool any;
    float mu = s->mu;
    int32_t token = draw_token(s, scratch, logits, pos, false, &any);
    if (any && s->grammar != NULL && !sampler_grammar_allows(s->grammar, token)) {
        s->mu = mu;
        token = draw_token(s, scratch, logits, pos, true, &any);
    }
    err_code code = s->grammar != NULL ? sampler_grammar_failed(s->grammar, e) : ERR_OK;
    if (code != ERR_OK) return code;
    if (!any) return err_set(e, ERR_INVALID, "grammar and logit bias leave no token at position %d", pos + 1);
    *ret = token;
    return ERR_OK;
}

/* Only the temperature changes the logits before the choice. */
static bool is_raw(const struct engine_sampler *s, int32_t pos) {
    if (too_short(s, pos) || s->bias != NULL || s->history != NULL || s->grammar != NULL) return false;
    return !(s->p.temperature > 0) || (s->filters == NULL && s->p.xtc_probability <= 0 && s->p.mirostat == 0);
}

err_code engine_sampler_sample(struct engine_sampler *s, struct engine_scratch *scratch, const float *logits, const int32_t *history,
                               int32_t pos, struct engine_sample *ret, struct err *e) {
    int32_t best = 0;
    double log_sum = sampler_log_sum(logits, s->n_vocab, &best);
    if (!isfinite(log_sum)) return err_set(e, ERR_ENGINE, "the model's logits at position %d are not numbers", pos);
    see_history(s, history, pos);
    if (s->first < 0) s->first = pos + 1;
    err_code code = s->grammar != NULL ? sampler_grammar_see(s->grammar, history, pos, e) : ERR_OK;
    if (code != ERR_OK) return code;
    struct engine_sample out = {.token = best};
    if (!is_raw(s, pos)) {
        if ((code = pick_token(s, scratch, logits, pos, &out.token, e)) != ERR_OK) return code;
    } else if (s->p.temperature > 0) {
        out.token = sampler_draw_raw(logits, s->n_vocab, best, s->p.temperature, engine_uniform(s->p.seed, pos, SAMPLER_DRAW));
    }
    out.logprob = (float)((double)logits[out.token] - log_sum);
    out.end = engine_vocab_is_end(s->vocab, out.token);
    sampler_top(logits, s->n_vocab, log_sum, s->p.n_top_logprobs, &out);
    *ret = out;
    return ERR_OK;
}

/* ---- tokens that were given ---- */

err_code engine_sampler_score(struct engine_sampler *s, const float *logits, int32_t token, int32_t pos, struct engine_sample *ret,
                              struct err *e) {
    struct engine_sample out = {.token = token};
    if (pos > 0) {
        int32_t best = 0;
        if (s->noted == NULL || s->noted_at != pos - 1)
            return err_set(e, ERR_INVALID, "position %d was not scored before %d", pos - 1, pos);
        double log_sum = sampler_log_sum(s->noted, s->n_vocab, &best);
        if (!isfinite(log_sum)) return err_set(e, ERR_ENGINE, "the model's logits at position %d are not numbers", pos - 1);
        out.logprob = (float)((double)s->noted[token] - log_sum);
        sampler_top(s->noted, s->n_vocab, log_sum, s->p.n_top_logprobs, &out);
    }
    if (s->noted == NULL) s->noted = mem_calloc(s->n_vocab, sizeof(*s->noted));
    memcpy(s->noted, logits, s->n_vocab * sizeof(*s->noted));
    s->noted_at = pos;
    *ret = out;
    return ERR_OK;
}
