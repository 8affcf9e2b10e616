/* SPDX-License-Identifier: MIT
 * Sends traces to an OpenTelemetry collector by OTLP/HTTP in JSON, from the loop: https://opentelemetry.io/docs/specs/otlp/#otlphttp. Which
 * traces are recorded is decided here, too. trace/batch.h has the queue and its bounds. Loop thread; the node's gateway owns it. */
#ifndef CARAVAN_TRACE_EXPORTER_H
#define CARAVAN_TRACE_EXPORTER_H

#include "base/err.h"
#include "io/loop.h"
#include "trace/batch.h"
#include "trace/trace.h"

enum { TRACE_MAX_HEADERS = 16 };

struct trace_options {
    const char *endpoint;      /* http:// or https://; NULL or "": traces are off */
    const char *headers;       /* "name=value,name=value", values with %-escapes; NULL: none */
    const char *ca_file;       /* certificates that are trusted instead of the system's; NULL or "": the system's */
    const char *service;       /* service.name; NULL: "caravan" */
    const char *node, *version;/* service.instance.id, service.version */
    double ratio;              /* how many traces without a parent are recorded: 0 to 1 */
};

struct trace_exporter;

/* *ret is NULL when traces are off. ERR_INVALID: the endpoint, or a header, which isn't quoted since it may be a key. */
err_code trace_exporter_open(struct io_loop *loop, const struct trace_options *options, struct trace_exporter **ret, struct err *e);
/* What waits is lost. NULL is fine. */
void trace_exporter_close(struct trace_exporter *x);
/* What waits is sent at once from here on. NULL is fine. */
void trace_exporter_hurry(struct trace_exporter *x);
/* Begins the trace of a request that came with these headers (NULL: without), if it is to be recorded. *ret_context: what is known of the
 * trace, recorded or not; its trace is all zero if there is none. */
struct trace *trace_exporter_begin(struct trace_exporter *x, const char *traceparent, const char *tracestate,
                                   struct trace_context *ret_context);
/* Takes the trace over: it is sent, and freed. NULL is fine. */
void trace_exporter_end(struct trace_exporter *x, struct trace *t);
void trace_exporter_count(const struct trace_exporter *x, struct trace_batch_counts *ret);

#endif
