/* SPDX-License-Identifier: MIT
 * Shared by the sampler's files: choosing from a list of candidates (sampler_pick.c), statistics of raw logits (sampler_stats.c), grammars
 * (sampler_grammar.c). */
#ifndef CARAVAN_ENGINE_SAMPLER_PRIV_H
#define CARAVAN_ENGINE_SAMPLER_PRIV_H

#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

/* The purpose of a random number. It is part of the counter, so two purposes at one position never share a number. */
enum sampler_purpose { SAMPLER_DRAW = 0, SAMPLER_XTC = 1, SAMPLER_REDRAW = 2 };

/* XTC ("exclude top choices"): of the candidates with at least `threshold` of the probability all but the least likely are removed.
 * Design: p-e-w, text-generation-webui pull request 6335. */
void sampler_xtc(llama_token_data_array *c, float threshold);
/* Logits to probabilities (in .p) at a temperature. */
void sampler_softmax(llama_token_data_array *c, float temperature);
/* The index of the candidate at u in the cumulative probabilities, which may have any sum. */
size_t sampler_draw(const llama_token_data_array *c, double u);
/* The index of the largest logit; the smaller token wins a tie. */
size_t sampler_best(const llama_token_data_array *c);
/* Mirostat 1 and 2: cuts c (with probabilities) by the running estimate mu, draws at u, updates mu; returns the index.
 * Basu et al., "Mirostat: a neural text decoding algorithm that directly controls perplexity", ICLR 2021. */
size_t sampler_mirostat1(llama_token_data_array *c, double u, float tau, float eta, uint32_t n_vocab, float *mu);
size_t sampler_mirostat2(llama_token_data_array *c, double u, float tau, float eta, float *mu);

/* log(sum(exp(logits))); *ret_best: the largest logit's token (smallest on a tie). NAN or infinite when logits are not numbers. */
double sampler_log_sum(const float *logits, uint32_t n, int32_t *ret_best);
/* The token at u in the cumulative probabilities of the whole vocabulary at a temperature; best: the token with the largest logit. Gives
 * the same token as softmax and draw over a list of candidates, which take four times as long (151,936 tokens: 1.2 against 0.3 ms). */
int32_t sampler_draw_raw(const float *logits, uint32_t n, int32_t best, float temperature, double u);
/* The n_top largest, best first, into ret->top, with log probabilities. */
void sampler_top(const float *logits, uint32_t n, double log_sum, uint32_t n_top, struct engine_sample *ret);

/* The grammar of a sequence (sampler_grammar.c). create: *ret is NULL where p has no grammar; ERR_INVALID: a bad grammar. */
struct sampler_grammar;
struct match_pieces;
err_code sampler_grammar_create(const struct llama_vocab *vocab, const struct engine_sampling *p, struct sampler_grammar **ret,
                                struct err *e);
void sampler_grammar_free(struct sampler_grammar *g); /* NULL is fine */
/* Takes the tokens generated up to pos. ERR_INVALID: a token breaks the grammar. */
err_code sampler_grammar_see(struct sampler_grammar *g, const int32_t *history, int32_t pos, struct err *e);
/* May this token come next? The filter removes from c the tokens that may not. */
bool sampler_grammar_allows(struct sampler_grammar *g, int32_t token);
void sampler_grammar_filter(struct sampler_grammar *g, const struct match_pieces *pieces, llama_token_data_array *c);
/* ERR_LIMIT: the grammar needed too much work, so its last answer is not valid. */
err_code sampler_grammar_failed(const struct sampler_grammar *g, struct err *e);
/* The pieces of a vocabulary, for the filter. Free them with match_pieces_free. */
struct match_pieces *sampler_grammar_pieces(const struct llama_vocab *vocab);

#endif
