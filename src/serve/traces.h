/* SPDX-License-Identifier: MIT
 * The options of traces, for `caravan up`, and the environment variables that all programs with OpenTelemetry read
 * (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). */
#ifndef CARAVAN_SERVE_TRACES_H
#define CARAVAN_SERVE_TRACES_H

#include "options/option.h"
#include "trace/exporter.h"

/* The texts are those of the options and of the environment. node and version are left out. */
void serve_traces(const struct options *o, struct trace_options *ret);

#endif
