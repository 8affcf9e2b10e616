/* SPDX-License-Identifier: MIT
 * Counters and histograms. See metrics.h. Format: Prometheus' text format, version 0.0.4. */
#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdbool.h>

/* Upper ends of the buckets. */
static const uint32_t bucket_us[METRIC_BUCKETS] = {1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
                                                   500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000};

enum kind { COUNTER, TIME };
static const struct {
    const char *name;
    enum kind kind;
    const char *help;
} rows[METRIC_COUNT] = {
#define METRIC(id, name, kind, help) {name, kind, help},
#include "../../tables/metrics.def"
#undef METRIC
};

void metrics_count(struct gateway_metrics *m, enum gateway_metric which, uint64_t more) { m->values[which].count += more; }

void metrics_observe(struct gateway_metrics *m, enum gateway_metric which, clock_us time) {
    uint64_t us = time > 0 ? (uint64_t)time : 0;
    m->values[which].count++;
    m->values[which].sum_us += us;
    for (int i = 0; i < METRIC_BUCKETS; i++)
        if (us <= bucket_us[i]) {
            m->values[which].buckets[i]++;
            break;
        }
}

void metrics_append_gauge(struct buf *out, const char *name, const char *help, uint64_t value) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name, value);
}

void metrics_append(const struct gateway_metrics *m, struct buf *out) {
    for (int k = 0; k < METRIC_COUNT; k++) {
        bool time = rows[k].kind == TIME;
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[k].name, rows[k].help, rows[k].name, time ? "histogram" : "counter");
        uint64_t up_to = 0;
        for (int i = 0; time && i < METRIC_BUCKETS; i++) {
            up_to += m->values[k].buckets[i];
            buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", rows[k].name, bucket_us[i] / 1e6, up_to);
        }
        if (time)
            buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.6f\n%s_count %" PRIu64 "\n", rows[k].name, m->values[k].count,
                       rows[k].name, (double)m->values[k].sum_us / 1e6, rows[k].name, m->values[k].count);
        else buf_printf(out, "%s %" PRIu64 "\n", rows[k].name, m->values[k].count);
    }
}
