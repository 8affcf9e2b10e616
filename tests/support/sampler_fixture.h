/* SPDX-License-Identifier: MIT
 * The demo model's vocabulary and room for logits, for tests of samplers and grammars: the last layer of models/caravan-demo.gguf is
 * loaded, which has the vocabulary. A test includes this once, and gives sampler_setup and sampler_teardown to its group. */
#ifndef CARAVAN_TESTS_SAMPLER_FIXTURE_H
#define CARAVAN_TESTS_SAMPLER_FIXTURE_H

#include "engine/sampler.h"
#include "engine/slice_priv.h"
#include "engine/vocab.h"
#include "support/engine_fixture.h"

static struct engine tail;
static const struct llama_vocab *vocab;
static uint32_t n_vocab;
static struct engine_scratch *scratch;
static float *logits; /* [n_vocab] */

static int sampler_setup(void **state) {
    struct engine_load load = fixture_load();
    fixture_setup(state);
    tail = fixture_slice(&model, model.layout->n_layer - 1, model.layout->n_layer, &load);
    vocab = ((struct slice *)tail.self)->vocab;
    n_vocab = engine_vocab_size(vocab);
    scratch = engine_scratch_create(n_vocab);
    logits = mem_calloc(n_vocab, sizeof(*logits));
    return 0;
}

static int sampler_teardown(void **state) {
    tail.ops->close(tail.self);
    engine_scratch_free(scratch);
    free(logits);
    return fixture_teardown(state);
}

#endif
