/* SPDX-License-Identifier: MIT
 * Statistics of the raw logits: the sum that turns them into log probabilities, the best tokens, a draw from all tokens. */
#include <math.h>
#include <string.h>

#include "engine/sampler_priv.h"

enum { BLOCK = 1024 }; /* numbers summed in float; the sums of blocks are added in double */

/* Four numbers at a time, by the compilers' vector extension: it compiles to SIMD instructions where the processor has them, else to a
 * loop. A vocabulary of 256k takes well under a millisecond. */
typedef float floats __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(16)));
enum { LANES = 4 };

/* exp(x) for x <= 0, to about 2e-7 relative: 2^i * 2^f, f in [-0.5, 0.5], as a polynomial (Taylor, degree 6). */
static inline floats exp_fast(floats x) {
    floats t = x * 1.44269504f;
    ints low = t < -126.0f;
    t = (floats)(((ints)t & ~low) | ((ints)((floats){0} - 126.0f) & low));
    floats r = (t + 12582912.0f) - 12582912.0f; /* nearest integer: 1.5 * 2^23 pushes the fraction out */
    floats f = (t - r) * 0.693147181f;
    floats p = 1.0f + f * (1.0f + f * (0.5f + f * (0.166666667f + f * (0.0416666667f + f * (0.00833333333f + f * 0.00138888889f)))));
    ints scale = (__builtin_convertvector(r, ints) + 127) << 23;
    return p * (floats)scale;
}

/* sum(exp((x - max) / temperature)) of the first BLOCK of n numbers. */
static float block_sum(const float *x, uint32_t n, float max, float temperature) {
    if (n > BLOCK) n = BLOCK;
    floats sum[2] = {{0}, {0}}, v; /* two sums, so that one addition need not wait for the other */
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        memcpy(&v, x + i, sizeof(v));
        sum[i / LANES % 2] += exp_fast((v - max) / temperature);
    }
    if (i < n) { /* the rest of the lanes add exp(-infinity), next to nothing */
        v = (floats){0} - INFINITY;
        memcpy(&v, x + i, (n - i) * sizeof(*x));
        sum[0] += exp_fast((v - max) / temperature);
    }
    sum[0] += sum[1];
    return (sum[0][0] + sum[0][1]) + (sum[0][2] + sum[0][3]);
}

double sampler_log_sum(const float *logits, uint32_t n, int32_t *ret_best) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    *ret_best = (int32_t)best;
    double sum = 0;
    for (uint32_t i = 0; i < n; i += BLOCK) sum += (double)block_sum(logits + i, n - i, logits[best], 1);
    return (double)logits[best] + log(sum);
}

int32_t sampler_draw_raw(const float *logits, uint32_t n, int32_t best, float temperature, double u) {
    float max = logits[best];
    double total = 0, at = 0, next = 0;
    for (uint32_t i = 0; i < n; i += BLOCK) total += (double)block_sum(logits + i, n - i, max, temperature);
    uint32_t start = 0;
    /* Finds the block of the drawn token. Sums the blocks again, because a list of their sums would have no fixed length. */
    for (; start < n; start += BLOCK, at = next) {
        next = at + (double)block_sum(logits + start, n - start, max, temperature);
        if (u * total < next) break;
    }
    int32_t last = best; /* if rounding leads past the end, the last token that is possible */
    for (uint32_t i = start; i < n && i < start + BLOCK; i++) {
        if (logits[i] == -INFINITY) continue;
        at += (double)expf((logits[i] - max) / temperature);
        last = (int32_t)i;
        if (u * total < at) break;
    }
    return last;
}

void sampler_top(const float *logits, uint32_t n, double log_sum, uint32_t n_top, struct engine_sample *ret) {
    if (n_top > ENGINE_MAX_TOP_LOGPROBS) n_top = ENGINE_MAX_TOP_LOGPROBS;
    uint32_t have = 0;
    for (uint32_t i = 0; i < n && n_top > 0; i++) {
        if (have == n_top && !(logits[i] > ret->top[have - 1].logprob)) continue;
        uint32_t at = have < n_top ? have++ : have - 1;
        for (; at > 0 && logits[i] > ret->top[at - 1].logprob; at--) ret->top[at] = ret->top[at - 1];
        ret->top[at].token = (int32_t)i;
        ret->top[at].logprob = logits[i]; /* a logit until the loop below turns it into a log probability */
    }
    for (uint32_t i = 0; i < have; i++) ret->top[i].logprob = (float)((double)ret->top[i].logprob - log_sum);
    ret->n_top = (uint8_t)have;
}
