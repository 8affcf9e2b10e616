/* SPDX-License-Identifier: MIT
 * Counters and histograms. See metrics.h. Format: Prometheus' text format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). */
#include "gateway/metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Upper ends of the buckets. */
static const uint32_t bucket_us[METRIC_BUCKETS] = {1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
                                                   500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000};

enum kind { COUNTER, TIME, GAUGE, STAGE, STAGE_TIME, GUESS, CLOUD, CLOUD_GAUGE, KINDS };
static const char *const types[KINDS] = {[COUNTER] = "counter",    [TIME] = "histogram", [GAUGE] = "gauge",   [STAGE] = "counter",
                                         [STAGE_TIME] = "counter", [GUESS] = "counter",  [CLOUD] = "counter", [CLOUD_GAUGE] = "gauge"};
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

void metrics_set(struct gateway_metrics *m, enum gateway_metric which, uint64_t value) { m->values[which].count = value; }

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

static struct metrics_ring *ring_of(struct gateway_metrics *m, const char *model) {
    for (size_t i = 0; i < m->n_rings; i++)
        if (strncmp(m->rings[i].model, model, METRIC_MODEL_NAME - 1) == 0) return &m->rings[i];
    if (m->n_rings == METRIC_MODELS) return &m->rings[METRIC_MODELS - 1];
    struct metrics_ring *r = &m->rings[m->n_rings++];
    snprintf(r->model, sizeof(r->model), "%s", m->n_rings == METRIC_MODELS ? "others" : model);
    return r;
}

void metrics_ring(struct gateway_metrics *m, const char *model, const struct request_event *done) {
    struct metrics_ring *r = ring_of(m, model);
    request_guesses_add(done, r->guesses);
    for (uint32_t i = 0; i < done->n_hop; i++) {
        const struct request_hop *h = &done->hops[i];
        if (h->stage >= REQUEST_MAX_HOPS) continue;
        if (h->stage >= r->n_stages) r->n_stages = h->stage + 1;
        r->stages[h->stage].frames += h->frames;
        r->stages[h->stage].compute_us += h->compute_us;
        r->stages[h->stage].wait_us += h->wait_us;
        r->stages[h->stage].hop_us += h->hop_us;
    }
}

/* ---- text ---- */

void metrics_append_head(enum gateway_metric which, struct buf *out) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[which].name, rows[which].help, rows[which].name, types[rows[which].kind]);
}

static void append_value(const char *text, struct buf *out) {
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"') buf_append_byte(out, '\\');
        if (*text == '\n') buf_append_str(out, "\\n");
        else buf_append_byte(out, (uint8_t)*text);
    }
}

void metrics_append_labelled(enum gateway_metric which, const char *label, const char *value, double number, struct buf *out) {
    buf_printf(out, "%s{%s=\"", rows[which].name, label);
    append_value(value, out);
    buf_printf(out, "\"} %.9g\n", number);
}

static void append_histogram(const struct gateway_metrics *m, enum gateway_metric which, struct buf *out) {
    const char *name = rows[which].name;
    uint64_t up_to = 0, count = m->values[which].count;
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        up_to += m->values[which].buckets[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bucket_us[i] / 1e6, up_to);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
    buf_printf(out, "%s_sum %.6f\n%s_count %" PRIu64 "\n", name, (double)m->values[which].sum_us / 1e6, name, count);
}

static uint64_t stage_value(const struct metrics_ring *r, uint32_t stage, enum gateway_metric which) {
    switch (which) {
    case METRIC_STAGE_FRAMES: return r->stages[stage].frames;
    case METRIC_STAGE_COMPUTE: return r->stages[stage].compute_us;
    case METRIC_STAGE_WAIT: return r->stages[stage].wait_us;
    default: return r->stages[stage].hop_us;
    }
}

static void append_stages(const struct gateway_metrics *m, enum gateway_metric which, struct buf *out) {
    for (size_t i = 0; i < m->n_rings; i++)
        for (uint32_t k = 0; k < m->rings[i].n_stages; k++) {
            uint64_t value = stage_value(&m->rings[i], k, which);
            buf_printf(out, "%s{model=\"", rows[which].name);
            append_value(m->rings[i].model, out);
            if (rows[which].kind == STAGE) buf_printf(out, "\",stage=\"%u\"} %" PRIu64 "\n", k, value);
            else buf_printf(out, "\",stage=\"%u\"} %.6f\n", k, (double)value / 1e6);
        }
}

static void append_guesses(const struct gateway_metrics *m, enum gateway_metric which, struct buf *out) {
    for (size_t i = 0; i < m->n_rings; i++)
        for (int k = 0; k < REQUEST_GUESS_KINDS; k++) {
            const struct request_guesses *g = &m->rings[i].guesses[k];
            buf_printf(out, "%s{model=\"", rows[which].name);
            append_value(m->rings[i].model, out);
            buf_printf(out, "\",kind=\"%s\"} %" PRIu64 "\n", request_guess_name(k), which == METRIC_GUESSES ? g->made : g->right);
        }
}

void metrics_append(const struct gateway_metrics *m, struct buf *out) {
    for (int k = 0; k < METRIC_COUNT; k++) {
        enum kind kind = rows[k].kind;
        if (kind == CLOUD || kind == CLOUD_GAUGE) continue;
        metrics_append_head((enum gateway_metric)k, out);
        if (kind == TIME) append_histogram(m, (enum gateway_metric)k, out);
        else if (kind == STAGE || kind == STAGE_TIME) append_stages(m, (enum gateway_metric)k, out);
        else if (kind == GUESS) append_guesses(m, (enum gateway_metric)k, out);
        else buf_printf(out, "%s %" PRIu64 "\n", rows[k].name, m->values[k].count);
    }
}
