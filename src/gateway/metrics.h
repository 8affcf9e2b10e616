/* SPDX-License-Identifier: MIT
 * Counters and histograms of the gateway (tables/metrics.def), and their text for GET /metrics. Embedded in struct gateway. Loop thread. */
#ifndef CARAVAN_GATEWAY_METRICS_H
#define CARAVAN_GATEWAY_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "wire/request.h"

enum gateway_metric {
#define METRIC(id, name, kind, help) METRIC_##id,
#include "../../tables/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum { METRIC_BUCKETS = 16, METRIC_MODELS = 16, METRIC_MODEL_NAME = 128 };

struct gateway_metrics {
    struct {
        uint64_t count, sum_us, buckets[METRIC_BUCKETS]; /* of a gauge: count */
    } values[METRIC_COUNT];
    /* Rings, by model. The last entry has all models for which there is no other one. */
    struct metrics_ring {
        char model[METRIC_MODEL_NAME];
        uint32_t n_stages;
        struct {
            uint64_t frames, compute_us, wait_us, hop_us;
        } stages[REQUEST_MAX_HOPS];
        struct request_guesses guesses[REQUEST_GUESS_KINDS];
    } rings[METRIC_MODELS];
    size_t n_rings;
};

void metrics_count(struct gateway_metrics *m, enum gateway_metric which, uint64_t more);
void metrics_observe(struct gateway_metrics *m, enum gateway_metric which, clock_us time);
/* Sets a gauge, or a counter that is kept elsewhere. */
void metrics_set(struct gateway_metrics *m, enum gateway_metric which, uint64_t value);
/* What a ring has done for a request that has ended. */
void metrics_ring(struct gateway_metrics *m, const char *model, const struct request_event *done);

/* Appends all but those of upstreams. */
void metrics_append(const struct gateway_metrics *m, struct buf *out);
/* For metrics with a value for each upstream: what stands before the values, and a value. */
void metrics_append_head(enum gateway_metric which, struct buf *out);
void metrics_append_labelled(enum gateway_metric which, const char *label, const char *value, double number, struct buf *out);

#endif
