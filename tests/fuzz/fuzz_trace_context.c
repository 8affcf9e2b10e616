/* SPDX-License-Identifier: MIT
 * The headers traceparent and tracestate, divided by the first end of line: what is read is written again as it came, but for later
 * versions and their further fields; a state that is passed on is the one that came. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/context.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VERSION = 2, FLAGS_AT = 53 }; /* digits of the version; where the flags stand */

static void check_parent(const char *text) {
    const struct trace_context before = {.trace = {1}, .span = {2}, .sampled = true};
    struct trace_context c = before, again;
    char out[TRACE_PARENT_SIZE];
    if (!trace_context_read(text, &c)) {
        if (memcmp(&c, &before, sizeof(c)) != 0) abort();
        return;
    }
    trace_context_write(&c, out);
    if (strlen(out) != TRACE_PARENT_SIZE - 1 || strlen(text) < strlen(out)) abort();
    if (strncmp(out + VERSION, text + VERSION, FLAGS_AT - VERSION) != 0) abort();
    if (!trace_context_read(out, &again) || memcmp(&c, &again, sizeof(c)) != 0) abort();
}

static void check_state(const char *text) {
    char out[TRACE_STATE_SIZE];
    trace_context_state(text, out);
    if (out[0] != '\0' && strcmp(out, text) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    char *line = memchr(text, '\n', size);
    if (line != NULL) *line = '\0';
    check_parent(text);
    check_state(line != NULL ? line + 1 : text);
    free(text);
    return 0;
}
