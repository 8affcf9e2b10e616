/* SPDX-License-Identifier: MIT
 * Choosing one of a list of candidates: softmax, draw, XTC, mirostat. */
#include <math.h>
#include <stdlib.h>

#include "engine/sampler_priv.h"

size_t sampler_best(const llama_token_data_array *c) {
    size_t best = 0;
    for (size_t i = 1; i < c->size; i++) {
        const llama_token_data *a = &c->data[i], *b = &c->data[best];
        if (a->logit > b->logit || (a->logit == b->logit && a->id < b->id)) best = i;
    }
    return best;
}

void sampler_softmax(llama_token_data_array *c, float temperature) {
    float max = c->data[sampler_best(c)].logit;
    double sum = 0;
    for (size_t i = 0; i < c->size; i++) {
        c->data[i].p = expf((c->data[i].logit - max) / temperature);
        sum += (double)c->data[i].p;
    }
    for (size_t i = 0; i < c->size; i++) c->data[i].p = (float)((double)c->data[i].p / sum);
}

size_t sampler_draw(const llama_token_data_array *c, double u) {
    double total = 0, at = 0;
    size_t last = 0;
    for (size_t i = 0; i < c->size; i++) total += (double)c->data[i].p;
    for (size_t i = 0; i < c->size; i++) {
        if (!(c->data[i].p > 0)) continue;
        at += (double)c->data[i].p;
        last = i;
        if (u * total < at) break;
    }
    return last; /* rounding can pass the end: then the last possible candidate */
}

void sampler_xtc(llama_token_data_array *c, float threshold) {
    sampler_softmax(c, 1.0f);
    size_t above = 0, least = 0, kept = 0;
    for (size_t i = 0; i < c->size; i++) {
        if (c->data[i].p < threshold) continue;
        if (above == 0 || c->data[i].p < c->data[least].p) least = i;
        above++;
    }
    for (size_t i = 0; i < c->size; i++) /* with at most one candidate above the threshold, all stay */
        if (c->data[i].p < threshold || i == least) c->data[kept++] = c->data[i];
    c->size = kept;
}

static int by_probability(const void *a, const void *b) {
    const llama_token_data *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* Draws, and moves mu towards the target surprise. As in the paper, the surprise is computed from the model's own probabilities, before a
 * cut scales them up. */
static size_t draw_and_learn(const llama_token_data_array *c, double u, float tau, float eta, float *mu) {
    size_t i = sampler_draw(c, u);
    double surprise = -log2((double)c->data[i].p);
    *mu -= eta * (float)(surprise - (double)tau);
    return i;
}

size_t sampler_mirostat1(llama_token_data_array *c, double u, float tau, float eta, uint32_t n_vocab, float *mu) {
    enum { M = 100 }; /* how many of the best the estimate looks at, as in the paper */
    qsort(c->data, c->size, sizeof(*c->data), by_probability);
    double num = 0, den = 0;
    for (size_t i = 0; i + 1 < c->size && i + 1 < M && c->data[i + 1].p > 0; i++) {
        double t = log((double)(i + 2) / (double)(i + 1));
        num += t * log((double)c->data[i].p / (double)c->data[i + 1].p);
        den += t * t;
    }
    double s = den > 0 ? num / den : 1.0; /* Zipf's exponent */
    double epsilon = s - 1.0;
    double k = pow((epsilon * exp2((double)*mu)) / (1.0 - pow((double)n_vocab, -epsilon)), 1.0 / s);
    size_t keep = k >= 1.0 && k < (double)c->size ? (size_t)k : k < 1.0 ? 1 : c->size;
    c->size = keep;
    return draw_and_learn(c, u, tau, eta, mu);
}

size_t sampler_mirostat2(llama_token_data_array *c, double u, float tau, float eta, float *mu) {
    float floor_p = exp2f(-*mu);
    size_t best = sampler_best(c), kept = 0;
    llama_token_data top = c->data[best];
    for (size_t i = 0; i < c->size; i++)
        if (c->data[i].p >= floor_p) c->data[kept++] = c->data[i];
    if (kept == 0) c->data[kept++] = top;
    c->size = kept;
    return draw_and_learn(c, u, tau, eta, mu);
}
