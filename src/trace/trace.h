/* SPDX-License-Identifier: MIT
 * The spans of one request: what was done for it, from when to when, and what each was a part of. A trace is made when a request comes
 * that is to be recorded, and is handed over as JSON when it has ended (https://opentelemetry.io/docs/specs/otlp/, JSON encoding). Of a
 * request that is not recorded the trace is NULL, and so are its spans: all functions take NULL and do nothing, so callers need not ask.
 * A core without a clock; one owner, who frees it. */
#ifndef CARAVAN_TRACE_TRACE_H
#define CARAVAN_TRACE_TRACE_H

#include "base/buf.h"
#include "base/clock.h"
#include "trace/context.h"

enum { TRACE_MAX_SPANS = 512, TRACE_NAME_SIZE = 96 };

/* The numbers are OTLP's. */
enum trace_kind { TRACE_INTERNAL = 1, TRACE_SERVER = 2, TRACE_CLIENT = 3 };

struct trace;
struct trace_span; /* of its trace, as long as that lives */

/* context: the trace, and the span of another program that asks (all zero: none does). seed: random; the spans' ids come from it.
 * epoch_us: what has to be added to times for microseconds since 1970. */
struct trace *trace_create(const struct trace_context *context, const char *state, uint64_t seed, int64_t epoch_us);
void trace_free(struct trace *t);

/* A span begins. parent NULL: it is the trace's first. NULL is returned for NULL, and when the trace has too many spans. */
struct trace_span *trace_begin(struct trace *t, const struct trace_span *parent, enum trace_kind kind, const char *name, clock_us now);
/* A span that is over already. It is put within its parent, if that has ended. */
struct trace_span *trace_add(struct trace *t, const struct trace_span *parent, const char *name, clock_us from, clock_us to);
void trace_end(struct trace_span *s, clock_us now); /* the first end counts */
/* It failed: type is a word of few values, for error.type. */
void trace_fail(struct trace_span *s, const char *type, const char *message);
void trace_text(struct trace_span *s, const char *key, const char *value); /* nothing for "" */
void trace_texts(struct trace_span *s, const char *key, const char *const *values, size_t n);
void trace_number(struct trace_span *s, const char *key, int64_t value);
void trace_real(struct trace_span *s, const char *key, double value);
/* What a request carries that is made within the span; sampled. Of NULL: *ret is untouched, and false. */
bool trace_span_context(const struct trace_span *s, struct trace_context *ret);

/* All spans as objects, with commas between them. Spans without an end end now. */
void trace_write(struct trace *t, clock_us now, struct buf *out);
size_t trace_count(const struct trace *t);
uint64_t trace_left_out(const struct trace *t); /* spans beyond TRACE_MAX_SPANS */

#endif
