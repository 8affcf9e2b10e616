/* SPDX-License-Identifier: MIT */
#include "sched/time.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* The weight of a new time. A much longer time (another process had the core) counts as OFF_MOST times the mean. */
static const float NEW_SHARE = 0.125f, OFF_MOST = 2.0f;
/* How slowly a link's time rises towards a longer one: a frame that comes late has mostly waited for the head. */
static const float HOPS_RISE = 0.02f;
/* If only one size was measured: the share of its time that is assumed not to depend on the size (reading the weights). */
static const float FIXED_SHARE = 0.5f;

/* Sizes are powers of two, and the middle between two of them: 1 2 3 4 6 8 12 16 ... */
static uint32_t size_index(uint32_t n) {
    uint32_t log = 0;
    while (n >> (log + 1) != 0) log++;
    bool upper = log > 0 && (n & 1u << (log - 1)) != 0;
    uint32_t i = 2 * log + upper;
    return i < SCHED_TIME_SIZES ? i : SCHED_TIME_SIZES - 1;
}

void sched_time_init(struct sched_time *t, uint32_t n_stage) {
    assert(n_stage >= 1 && n_stage <= SCHED_TIME_STAGES);
    memset(t, 0, sizeof(*t));
    t->n_stage = n_stage;
    t->crowd = 1;
}

static void blend(float *mean, float value) {
    float most = *mean * OFF_MOST;
    *mean += ((value < most ? value : most) - *mean) * NEW_SHARE;
}

/* A new time of a stage for one size. */
static void learn(struct sched_time_table *t, uint32_t at, uint32_t stage, float value) {
    float before = t->us[at][stage], *us = &t->us[at][stage];
    blend(us, value);
    for (uint32_t i = 0; i < SCHED_TIME_SIZES && before > 0; i++)
        if (i != at) t->us[i][stage] *= *us / before;
}

void sched_time_learn(struct sched_time *t, enum sched_time_kind kind, uint32_t n, const struct wire_trace *traces, uint32_t hop_us) {
    struct sched_time_table *table = &t->kinds[kind];
    uint32_t at = size_index(n);
    bool first = table->n[at] == 0;
    float hops = (float)hop_us;
    for (uint32_t i = 0; i < t->n_stage; i++) {
        float value = (float)traces[i].compute_us;
        hops += (float)traces[i].hop_us;
        if (first) table->us[at][traces[i].stage] = value;
        else learn(table, at, traces[i].stage, value);
    }
    bool any = t->kinds[SCHED_TIME_DECODE].n_known + t->kinds[SCHED_TIME_PROMPT].n_known > 0;
    t->hops_us = !any || hops < t->hops_us ? hops : t->hops_us + (hops - t->hops_us) * HOPS_RISE;
    if (first) {
        table->n[at] = (float)n;
        table->n_known++;
    } else {
        table->n[at] += ((float)n - table->n[at]) * NEW_SHARE;
    }
}

void sched_time_learn_crowd(struct sched_time *t, uint32_t n, const struct wire_trace *traces) {
    float took = 0, alone;
    for (uint32_t i = 0; i < t->n_stage; i++) took += (float)traces[i].compute_us;
    sched_time_frame(t, SCHED_TIME_DECODE, n, &alone);
    alone -= t->hops_us;
    if (alone > 0) blend(&t->crowd, took / alone);
}

bool sched_time_known(const struct sched_time *t, enum sched_time_kind kind) { return t->kinds[kind].n_known > 0; }

bool sched_time_seen(const struct sched_time *t, enum sched_time_kind kind, uint32_t n) { return t->kinds[kind].n[size_index(n)] > 0; }

uint32_t sched_time_largest(const struct sched_time *t, enum sched_time_kind kind) {
    float largest = 0;
    for (int i = 0; i < SCHED_TIME_SIZES; i++) largest = t->kinds[kind].n[i] > largest ? t->kinds[kind].n[i] : largest;
    return (uint32_t)largest;
}

/* The measured sizes below and above n; -1: none. If none is above, the two largest below. */
struct around {
    int below, above, before;
};

static struct around find_around(const struct sched_time_table *t, float n) {
    struct around a = {-1, -1, -1};
    for (int i = 0; i < SCHED_TIME_SIZES; i++) {
        if (t->n[i] == 0) continue;
        if (t->n[i] <= n) {
            a.before = a.below;
            a.below = i;
        } else if (a.above < 0) {
            a.above = i;
        }
    }
    return a;
}

static float line(float n, float n0, float t0, float n1, float t1) { return t0 + (t1 - t0) * (n - n0) / (n1 - n0); }

static float stage_us(const struct sched_time_table *t, const struct around *a, uint32_t stage, float n) {
    if (a->below < 0) {
        float u = t->us[a->above][stage];
        return u * (FIXED_SHARE + (1 - FIXED_SHARE) * n / t->n[a->above]);
    }
    float n0 = t->n[a->below], t0 = t->us[a->below][stage];
    if (a->above >= 0) return line(n, n0, t0, t->n[a->above], t->us[a->above][stage]);
    float slope = (1 - FIXED_SHARE) * t0 / n0;
    if (a->before >= 0) {
        slope = (t0 - t->us[a->before][stage]) / (n0 - t->n[a->before]);
        slope = slope < 0 ? 0 : slope > t0 / n0 ? t0 / n0 : slope;
    }
    return t0 + slope * (n - n0);
}

float sched_time_frame(const struct sched_time *t, enum sched_time_kind kind, uint32_t n, float *ret_trip) {
    const struct sched_time_table *table = &t->kinds[kind];
    float slowest = 0, trip = 0;
    if (table->n_known > 0) {
        struct around a = find_around(table, (float)n);
        trip = t->hops_us;
        for (uint32_t i = 0; i < t->n_stage; i++) {
            float us = stage_us(table, &a, i, (float)n);
            trip += us;
            slowest = us > slowest ? us : slowest;
        }
    }
    if (ret_trip != NULL) *ret_trip = trip;
    return slowest;
}

float sched_time_crowded(const struct sched_time *t, uint32_t n, float *ret_trip) {
    float slowest = sched_time_frame(t, SCHED_TIME_DECODE, n, ret_trip);
    *ret_trip = (*ret_trip - t->hops_us) * t->crowd + t->hops_us;
    return slowest * t->crowd;
}

float sched_time_cycle(const struct sched_time *t, enum sched_time_kind kind, uint32_t n, uint32_t n_frames) {
    float trip, queue = sched_time_frame(t, kind, n, &trip) * (float)n_frames;
    return queue > trip ? queue : trip;
}
