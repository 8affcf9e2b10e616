/* SPDX-License-Identifier: MIT
 * See traces.h. An option comes before the environment. */
#include "serve/traces.h"

#include <stdlib.h>
#include <string.h>

void serve_traces(const struct options *o, struct trace_options *ret) {
    const char *endpoint = option_text(o, OPT_OTLP_ENDPOINT), *disabled = getenv("OTEL_SDK_DISABLED");
    *ret = (struct trace_options){.endpoint = endpoint[0] != '\0' ? endpoint : getenv("OTEL_EXPORTER_OTLP_ENDPOINT"),
                                  .headers = getenv("OTEL_EXPORTER_OTLP_HEADERS"),
                                  .ca_file = getenv("OTEL_EXPORTER_OTLP_CERTIFICATE"),
                                  .service = getenv("OTEL_SERVICE_NAME"),
                                  .ratio = option_num(o, OPT_TRACE_SAMPLE)};
    if (endpoint[0] == '\0' && disabled != NULL && strcmp(disabled, "true") == 0) ret->endpoint = NULL;
}
