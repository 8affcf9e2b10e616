/* SPDX-License-Identifier: MIT
 * What a call tells: a line of the log when it has ended, and, to a collector of traces (trace/trace.h), a span for itself, one for each
 * state in which it waited, one for each time that a model or an upstream was asked, and below that one for each part of the work of a
 * ring, as the ring itself has measured it. Names and attributes are those of OpenTelemetry's conventions for HTTP and generative AI
 * (https://opentelemetry.io/docs/specs/semconv/gen-ai/). Nothing of a trace is done if the request is not recorded. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_TRACE_H
#define CARAVAN_REQUESTS_CALL_TRACE_H

#include "requests/call_priv.h"

/* Finds out whether the request is recorded, and what its log lines name. */
void call_trace_begin(struct call *call);
/* The call is about to leave its state for another one. */
void call_trace_state(struct call *call);
/* The call has ended: its line in the log. how: for people. */
void call_trace_log(const struct call *call, const char *how);
/* The call has ended, and the whole trace is sent. how: for people. */
void call_trace_end(struct call *call, bool answered, const char *how);
/* An error that the client gets: the call is about to end with it. */
void call_trace_error(struct call *call, err_code code, const struct err *e);

/* ---- the work: a model of the cluster is asked ---- */

/* Before the request is sent: it carries the call's name, and its span. */
void call_trace_sent(struct call *call, struct call_attempt *a, struct request *r);
/* It has been sent. */
void call_trace_placed(const struct call *call, struct call_attempt *a, const struct backend_call *part);
/* A token has come. */
void call_trace_token(const struct call *call, struct call_attempt *a);
/* Its last event has come. */
void call_trace_done(struct call *call, struct call_attempt *a, const struct request_event *ev);
/* Nothing comes any more: it was cancelled, or could not be sent (why not NULL). */
void call_trace_over(struct call *call, struct call_attempt *a, const struct err *why);

/* ---- the work: an upstream is asked ---- */

struct cloud_result;
/* Fills in the name under which the upstream is asked: the trace goes on there. */
void call_trace_cloud(struct call *call, struct call_attempt *a, const struct upstream *u, const char *model, struct log_request *ret_name);
/* result NULL: it was cancelled. */
void call_trace_cloud_done(struct call *call, struct call_attempt *a, const struct cloud_result *result);

#endif
