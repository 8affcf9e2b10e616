/* SPDX-License-Identifier: MIT
 * Counters and histograms of the gateway (tables/metrics.def), and their text for GET /metrics. Part of struct gateway. Loop thread. */
#ifndef CARAVAN_GATEWAY_METRICS_H
#define CARAVAN_GATEWAY_METRICS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"

enum gateway_metric {
#define METRIC(id, name, kind, help) METRIC_##id,
#include "../../tables/metrics.def"
#undef METRIC
    METRIC_COUNT
};

enum { METRIC_BUCKETS = 16 };

struct gateway_metrics {
    struct {
        uint64_t count, sum_us, buckets[METRIC_BUCKETS];
    } values[METRIC_COUNT];
};

void metrics_count(struct gateway_metrics *m, enum gateway_metric which, uint64_t more);
void metrics_observe(struct gateway_metrics *m, enum gateway_metric which, clock_us time);
void metrics_append_gauge(struct buf *out, const char *name, const char *help, uint64_t value);
void metrics_append(const struct gateway_metrics *m, struct buf *out);

#endif
