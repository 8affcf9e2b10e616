/* SPDX-License-Identifier: MIT
 * How many decode tokens and how many prompt tokens go into the next frame: the one place where throughput is weighed against latency. Pure
 * functions of the work to do and of the stages' measured times. */
#ifndef CARAVAN_SCHED_POLICY_H
#define CARAVAN_SCHED_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "sched/time.h"

struct sched_load {
    uint32_t n_stage, n_batch;
    uint32_t n_credit;         /* frames in flight at most */
    uint32_t latency_us;       /* how long a prompt may make decoding sequences wait for a token */
    bool exact;
    uint32_t n_decoding;       /* sequences past their prompt, whose first token has come: ready or in flight */
    uint32_t n_prefilling;     /* sequences with prompt left to send */
    uint32_t prompt_tokens;    /* of their prompts, sent and not */
    uint32_t waited_us;        /* since a decode token last went into a frame, or no sequence decoded */
    uint32_t groups;           /* as sched_policy_groups said last */
    uint32_t decode_in_flight; /* frames in flight that carry decode tokens */
    uint32_t in_flight;        /* frames in flight */
    bool prefill_last;         /* the last frame carried prompt tokens */
    const struct sched_time *time;
};
struct sched_share {
    uint32_t decode_tokens;  /* most decode tokens in this frame (0: none) */
    uint32_t prefill_tokens; /* most prompt tokens beside them (in exact mode: instead, when no decode token went in) */
    bool prefill_first;      /* prompts go first in this frame: decode tokens go only if no prompt can */
};

/* Most frames in flight. */
uint32_t sched_policy_credit(uint32_t n_stage);
/* Into how many groups the decoding sequences are divided, one frame each. load->groups: the division until now (0: none), which stays
 * unless another is clearly better. */
uint32_t sched_policy_groups(const struct sched_load *load);
void sched_policy_share(const struct sched_load *load, struct sched_share *ret);

#endif
