/* SPDX-License-Identifier: MIT
 * Chooses a token from logits as the request's parameters say. A choice is a function of (parameters, seed, position, logits, tokens up to
 * there): nothing depends on earlier draws, except mirostat's running estimate, which starts anew in a new sampler. So a rejected draft, or
 * a replay on another machine, changes no later token.
 *
 * Order: logit bias, penalties (Keskar et al., CTRL, 2019), DRY, top-k, typical (Meister et al. 2022), top-p (Holtzman et al. 2020), min-p,
 * XTC, temperature, draw; or, with mirostat (Basu et al. 2021): bias, penalties, DRY, temperature, mirostat. Temperature 0: the best after
 * bias, penalties, DRY. A grammar (GBNF) checks the chosen token, and filters the whole vocabulary and draws again only if it refuses that
 * token. The filters are libllama's where libllama has them; the random numbers are Caravan's (engine/philox.h). One thread. */
#ifndef CARAVAN_ENGINE_SAMPLER_H
#define CARAVAN_ENGINE_SAMPLER_H

#include <stdint.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/params.h"

struct llama_vocab;
struct engine_sampler; /* opaque */
struct engine_scratch; /* opaque: room for one vocabulary of candidates; one serves all samplers of a slice */

struct engine_scratch *engine_scratch_create(uint32_t n_vocab);
void engine_scratch_free(struct engine_scratch *s);       /* NULL is fine */

/* n_ctx: how far back "the whole context" looks. ERR_INVALID: a bad grammar (line, column, fault), or a biased token that is not in the
 * vocabulary. Borrows vocab. */
err_code engine_sampler_create(const struct llama_vocab *vocab, uint32_t n_ctx, const struct engine_sampling *p,
                               struct engine_sampler **ret, struct err *e);
void engine_sampler_free(struct engine_sampler *s);       /* NULL is fine */

/* The token after position pos. logits: [n_vocab], untouched. history: the tokens of positions 0 to pos (negative: not known).
 * ERR_ENGINE when logits are not numbers; ERR_INVALID when tokens in history break the grammar or it leaves no token. */
err_code engine_sampler_sample(struct engine_sampler *s, struct engine_scratch *scratch, const float *logits, const int32_t *history,
                               int32_t pos, struct engine_sample *ret, struct err *e);

/* The log probability of a token that was not sampled but given, after position pos - 1: notes its own logits for the token after it, and
 * uses those noted for the token before it. Position 0: nothing is known. ERR_INVALID: nothing was noted for pos - 1. */
err_code engine_sampler_score(struct engine_sampler *s, const float *logits, int32_t token, int32_t pos, struct engine_sample *ret,
                              struct err *e);

#endif
