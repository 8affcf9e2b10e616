/* SPDX-License-Identifier: MIT
 * Spans on their way to a collector (https://opentelemetry.io/docs/specs/otlp/#otlphttp): they wait in a bounded queue, leave together, and
 * are sent again, later and later, while the collector doesn't answer or is busy. What finds no place is counted and dropped, so a
 * collector that is gone costs nothing. One request at a time. A sans-I/O core: trace/exporter.h sends. */
#ifndef CARAVAN_TRACE_BATCH_H
#define CARAVAN_TRACE_BATCH_H

#include "base/buf.h"
#include "base/clock.h"

enum {
    TRACE_BATCH_SPANS = 512,            /* of one request; one trace may have more */
    TRACE_BATCH_WAIT_MS = 1000,         /* spans wait so long for others */
    TRACE_BATCH_QUEUE = 8192,           /* spans that wait at most, */
    TRACE_BATCH_BYTES = 8 << 20,        /* and their bytes */
    TRACE_BATCH_FIRST_BACKOFF_MS = 1000,
    TRACE_BATCH_LAST_BACKOFF_MS = 32000,
    TRACE_BATCH_LONGEST_WAIT_S = 300    /* of what a collector may ask for */
};

struct trace_batch;
struct trace_batch_counts {
    uint64_t exported, dropped; /* spans: taken by the collector; lost, since the queue was full or the collector refused them */
    uint64_t failures;          /* requests without success */
    size_t waiting;             /* spans */
};

/* head and tail: what stands before and after the spans of a request. Copied. */
struct trace_batch *trace_batch_create(const char *head, const char *tail);
void trace_batch_free(struct trace_batch *b);
/* Takes the spans of a trace, with commas between them. */
void trace_batch_add(struct trace_batch *b, clock_us now, const struct buf *spans, size_t n);
/* Spans that were lost before they came here. */
void trace_batch_drop(struct trace_batch *b, size_t n);
/* Is there something to send now? Then *out gets the body, and the answer is due. */
bool trace_batch_next(struct trace_batch *b, clock_us now, struct buf *out);
/* The collector answered with this HTTP status; 0: it did not answer. retry_after_s: 0, if it has not said. */
void trace_batch_answer(struct trace_batch *b, clock_us now, int status, uint32_t retry_after_s);
/* When trace_batch_next should be asked again; UINT64_MAX: not before something happens. */
clock_us trace_batch_due(const struct trace_batch *b);
/* Spans wait no longer for others from here on. */
void trace_batch_hurry(struct trace_batch *b);
void trace_batch_count(const struct trace_batch *b, struct trace_batch_counts *ret);

#endif
