/* SPDX-License-Identifier: MIT
 * See pace.h. */
#include "routing/pace.h"

#define KEEP 0.875 /* of the older measurements, at each new one */

enum { ANSWER_TOKENS = 256 /* of an answer, before one has ended */ };

static void fade(double *sum, double more) { *sum = *sum * KEEP + more; }

void pace_learn(struct pace *p, uint64_t prompt_tokens, uint64_t prompt_us, uint64_t answer_tokens, uint64_t answer_us) {
    if (prompt_tokens > 0) {
        fade(&p->prompt_tokens, (double)prompt_tokens);
        fade(&p->prompt_us, (double)prompt_us);
    }
    fade(&p->answer_tokens, (double)answer_tokens);
    fade(&p->answer_us, (double)answer_us);
    fade(&p->answers, 1);
}

bool pace_known(const struct pace *p) { return p->answers > 0; }

static double each(double sum, double n) { return n > 0 ? sum / n : 0; }

clock_us pace_prompt(const struct pace *p, uint64_t tokens) { return (clock_us)((double)tokens * each(p->prompt_us, p->prompt_tokens)); }

uint64_t pace_answer(const struct pace *p, int32_t max_answer) {
    uint64_t usual = pace_known(p) ? (uint64_t)each(p->answer_tokens, p->answers) : ANSWER_TOKENS;
    return max_answer >= 0 && (uint64_t)max_answer < usual ? (uint64_t)max_answer : usual;
}

clock_us pace_request(const struct pace *p, uint64_t prompt_tokens, int32_t max_answer) {
    double answer = (double)pace_answer(p, max_answer) * each(p->answer_us, p->answer_tokens);
    return pace_prompt(p, prompt_tokens) + (clock_us)answer;
}
