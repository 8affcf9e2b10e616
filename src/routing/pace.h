/* SPDX-License-Identifier: MIT
 * How long requests take at one place, learned from the requests that have ended there: the time for a token of a prompt, and for a token
 * of an answer, under the load that there was. Older measurements count for less and less. A value without I/O; one thread. */
#ifndef CARAVAN_ROUTING_PACE_H
#define CARAVAN_ROUTING_PACE_H

#include "base/clock.h"

struct pace {
    double prompt_tokens, prompt_us; /* sums that fade; tokens that were in the KV cache already don't count */
    double answer_tokens, answer_us;
    double answers;            /* requests; this sum fades too */
};

/* A request has ended. prompt_tokens: those that were computed. */
void pace_learn(struct pace *p, uint64_t prompt_tokens, uint64_t prompt_us, uint64_t answer_tokens, uint64_t answer_us);
/* Has any request shown its pace? */
bool pace_known(const struct pace *p);
/* The time for computing these tokens of a prompt; for a whole request. max_answer: the most tokens that its answer may have; negative: as
 * many as answers have on average. 0: nothing is known yet. */
clock_us pace_prompt(const struct pace *p, uint64_t tokens);
clock_us pace_request(const struct pace *p, uint64_t prompt_tokens, int32_t max_answer);
/* The tokens that an answer will have, as predicted: those of a usual answer, at most max_answer. */
uint64_t pace_answer(const struct pace *p, int32_t max_answer);

#endif
