/* SPDX-License-Identifier: MIT
 * The headers by which a trace goes from program to program (https://www.w3.org/TR/trace-context/): traceparent names the trace, the span
 * that asks, and whether the trace is recorded; tracestate is passed on unread. Pure, any thread. */
#ifndef CARAVAN_TRACE_CONTEXT_H
#define CARAVAN_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

enum { TRACE_PARENT_SIZE = 56, TRACE_STATE_SIZE = 513 };

struct trace_context {
    uint8_t trace[16], span[8];
    bool sampled;
};

/* Reads a traceparent header. false: NULL, or malformed; *ret is untouched. Of later versions the fields that version 00 has are read. */
bool trace_context_read(const char *traceparent, struct trace_context *ret);
void trace_context_write(const struct trace_context *c, char ret[TRACE_PARENT_SIZE]);
/* Copies a tracestate header that may be passed on; else *ret is "". */
void trace_context_state(const char *tracestate, char ret[TRACE_STATE_SIZE]);
/* Is a trace without a parent recorded, if `ratio` of all are? Decided by the trace's random bits, so that programs with the same ratio
 * decide alike (https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/). */
bool trace_context_draw(const uint8_t trace[16], double ratio);

#endif
