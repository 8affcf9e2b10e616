/* SPDX-License-Identifier: MIT
 * What is told of the raw logits: the sum that makes them log probabilities, the best ones. */
#include <math.h>
#include <string.h>

#include "engine/sampler_priv.h"

enum { BLOCK = 1024 };

/* exp(x) for x <= 0, to about 2e-7 relative: 2^i * 2^f, f in [-0.5, 0.5], as a polynomial (Taylor, degree 6). Written without
 * branches so that the compiler makes SIMD of the loop below: a vocabulary of 256k takes well under a millisecond. */
static inline float exp_fast(float x) {
    float t = x * 1.44269504f;
    t = t < -126.0f ? -126.0f : t;
    float r = (t + 12582912.0f) - 12582912.0f; /* nearest integer: 1.5 * 2^23 pushes the fraction out */
    float f = (t - r) * 0.693147181f;
    float p = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333333f + f * 0.00138888889f)))));
    int32_t i = (int32_t)r;
    uint32_t bits = (uint32_t)(i + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

__attribute__((optimize("O3"))) static float block_sum(const float *x, uint32_t n, float max) {
    float sum[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += exp_fast(x[i + (uint32_t)k] - max);
    for (; i < n; i++) sum[0] += exp_fast(x[i] - max);
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

double sampler_log_sum(const float *logits, uint32_t n, int32_t *ret_best) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    *ret_best = (int32_t)best;
    double sum = 0;
    for (uint32_t i = 0; i < n; i += BLOCK) sum += (double)block_sum(logits + i, n - i < BLOCK ? n - i : BLOCK, logits[best]);
    return (double)logits[best] + log(sum);
}

void sampler_top(const float *logits, uint32_t n, double log_sum, uint32_t n_top, struct engine_sample *ret) {
    if (n_top > ENGINE_MAX_TOP_LOGPROBS) n_top = ENGINE_MAX_TOP_LOGPROBS;
    uint32_t have = 0;
    for (uint32_t i = 0; i < n && n_top > 0; i++) {
        if (have == n_top && !(logits[i] > ret->top[have - 1].logprob)) continue;
        uint32_t at = have < n_top ? have++ : have - 1;
        for (; at > 0 && logits[i] > ret->top[at - 1].logprob; at--) ret->top[at] = ret->top[at - 1];
        ret->top[at].token = (int32_t)i;
        ret->top[at].logprob = logits[i]; /* the logit for now */
    }
    for (uint32_t i = 0; i < have; i++) ret->top[i].logprob = (float)((double)ret->top[i].logprob - log_sum);
    ret->n_top = have;
}
