/* SPDX-License-Identifier: MIT
 * The present policy. Decoding: as many groups as there are stages, of equal size, each one frame in flight. Prompts, while nobody is
 * decoding: in pieces that follow one another through the stages; else at most a quarter of a batch beside the decodes, so that a long
 * prompt slows the others but never stops them. */
#include "pipeline/sched_policy.h"

enum { EXACT_DECODE = 3, PREFILL_LEAST = 32, PREFILL_SHARE = 4, PIECES_PER_STAGE = 8, PIECE_LEAST = 64, PIECE_STEP = 32 };

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* One frame more than there are stages hides the tail's answer on its way to the head; a single stage has nobody to overlap with. */
uint32_t sched_policy_credit(uint32_t n_stage) {
    return n_stage == 1 ? 1 : n_stage + 1;
}

/* Filling and emptying a line of k stages costs k - 1 pieces' time, so a prompt travels in many pieces; but a piece must not be so small
 * that reading the weights takes longer than computing with them. */
static uint32_t piece_size(const struct sched_load *load) {
    if (load->n_stage == 1) {
        return load->n_batch;
    }
    uint32_t pieces = PIECES_PER_STAGE * load->n_stage;
    uint32_t size = (load->prompt_tokens / pieces + PIECE_STEP - 1) / PIECE_STEP * PIECE_STEP;
    return min_u32(size > PIECE_LEAST ? size : PIECE_LEAST, load->n_batch);
}

void sched_policy_share(const struct sched_load *load, struct sched_share *ret) {
    uint32_t groups = load->exact ? sched_policy_credit(load->n_stage) : min_u32(load->n_stage, load->n_decoding);
    uint32_t size = groups > 0 ? (load->n_decoding + groups - 1) / groups : 0;
    uint32_t most = load->exact ? min_u32(EXACT_DECODE, load->n_batch) : load->n_batch;
    ret->decode_tokens = load->decode_in_flight < groups ? min_u32(size, most) : 0;
    ret->prefill_first = load->exact && load->n_prefilling > 0 && !load->prefill_last;

    uint32_t share = load->n_batch / PREFILL_SHARE > PREFILL_LEAST ? load->n_batch / PREFILL_SHARE : PREFILL_LEAST;
    ret->prefill_tokens = min_u32(piece_size(load), load->n_decoding > 0 ? share : load->n_batch);
    if (load->n_decoding > 0 && ret->decode_tokens == 0 && load->in_flight >= load->n_stage) {
        ret->prefill_tokens = 0; /* the spare credit is kept for the decode frame that comes back next */
    }
}
