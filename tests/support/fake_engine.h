/* SPDX-License-Identifier: MIT
 * An engine without a model, for tests. Its results are hashes of all earlier input, so one wrong, lost, repeated or
 * misordered token, hidden row or sequence operation changes every later token of that sequence. It keeps a "KV cache" like a real one
 * (a chain of hashes for each layer and sequence, copied and cut by the operations), refuses positions that do not follow, and gives the
 * same tokens for any cut into slices and any batches. A hash travels as small integers in a hidden row, which every wire type carries
 * exactly. */
#ifndef CARAVAN_TESTS_FAKE_ENGINE_H
#define CARAVAN_TESTS_FAKE_ENGINE_H

#include "engine/engine.h"

enum { FAKE_N_EMBD = 32, FAKE_N_VOCAB = 97, FAKE_EOG = 7, FAKE_BAD_SEED = 666 /* sampling with this seed fails */ };

struct fake_params {
    uint32_t first, end, n_layer;
    uint32_t n_seq, n_ctx_seq, n_ctx, n_batch;
    uint32_t loop;                         /* its text repeats after this many tokens, except for one in 16; 0: it does not */
    uint32_t n_guess;                      /* guesses at once of its last slice, right where the text repeats; 0: none */
    bool keeps_state;                      /* like a recurrent model: a part of a sequence can be neither removed nor copied */
    bool marks, mark_whole;                /* with keeps_state: keeps copies of states, as engine_info says */
    bool (*lose)(void *user);              /* true: this mark is not kept, or is gone when it is wanted; may be NULL */
    uint32_t room;                         /* sequences that it holds beside the KV cells, parked or stored; 0: any number */
    bool shapes;                           /* like real kernels: tokens in runs of 4, 8, and 64 and more are computed differently */
    bool no_eog;                           /* never an end-of-generation token by itself */
    void (*on_eval)(void *user, size_t n); /* called with each batch: a virtual clock moves on; may be NULL */
    void (*on_tokenize)(void *user, size_t len); /* called with each text, by any thread; may be NULL */
    bool (*fail)(void *user);              /* true: this eval is refused (ERR_ENGINE), nothing is changed; may be NULL */
    bool (*lacks)(void *user);             /* true: sequences may lack tokens that a slice failed to compute; may be NULL */
    void *user;
};

void fake_engine_open(const struct fake_params *p, struct engine *ret);
uint32_t fake_engine_len(const struct engine *e, uint32_t seq);    /* positions that the cache holds */
size_t fake_engine_marks(const struct engine *e);                   /* that it keeps */
bool fake_engine_has_sampler(const struct engine *e, uint32_t seq);

/* The correct answer to a request whose prompt is computed in multiples of 64, 8, 4 (if n_batch allows), and the rest one by one: up to
 * max tokens after `prompt` into ret; *ret_stop: an end-of-generation token came next. */
size_t fake_reference(const struct fake_params *p, const int32_t *prompt, size_t n_prompt, uint64_t seed, bool ignore_eos, size_t max,
                      int32_t *ret, bool *ret_stop);
/* The correct log probabilities of the prompt's tokens when it is scored; the first is 0. */
void fake_reference_scores(const struct fake_params *p, const int32_t *prompt, size_t n, float *ret);

#endif
