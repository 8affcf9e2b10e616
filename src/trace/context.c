/* SPDX-License-Identifier: MIT
 * See context.h. */
#include "trace/context.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* traceparent: version-trace-span-flags, of 2, 32, 16 and 2 lower-case digits */
enum { TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, END_AT = 55 };

static bool is_lower_hex(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f')) return false;
    return true;
}

static bool is_zero(const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0) return false;
    return true;
}

static void unhex(const char *text, uint8_t *ret, size_t n) {
    char digits[33];
    snprintf(digits, sizeof(digits), "%.*s", (int)(2 * n), text);
    str_unhex(digits, ret, n);
}

bool trace_context_read(const char *traceparent, struct trace_context *ret) {
    const char *t = traceparent;
    if (t == NULL || strlen(t) < END_AT || t[2] != '-' || t[SPAN_AT - 1] != '-' || t[FLAGS_AT - 1] != '-') return false;
    bool first = strncmp(t, "00", 2) == 0;
    if (!is_lower_hex(t, 2) || strncmp(t, "ff", 2) == 0 || (first ? t[END_AT] != '\0' : t[END_AT] != '\0' && t[END_AT] != '-'))
        return false;
    if (!is_lower_hex(t + TRACE_AT, 32) || !is_lower_hex(t + SPAN_AT, 16) || !is_lower_hex(t + FLAGS_AT, 2)) return false;
    struct trace_context c;
    uint8_t flags;
    unhex(t + TRACE_AT, c.trace, sizeof(c.trace));
    unhex(t + SPAN_AT, c.span, sizeof(c.span));
    unhex(t + FLAGS_AT, &flags, 1);
    c.sampled = flags & 1;
    if (is_zero(c.trace, sizeof(c.trace)) || is_zero(c.span, sizeof(c.span))) return false;
    *ret = c;
    return true;
}

void trace_context_write(const struct trace_context *c, char ret[TRACE_PARENT_SIZE]) {
    char trace[33], span[17];
    str_hex(c->trace, sizeof(c->trace), trace);
    str_hex(c->span, sizeof(c->span), span);
    snprintf(ret, TRACE_PARENT_SIZE, "00-%s-%s-%s", trace, span, c->sampled ? "01" : "00");
}

void trace_context_state(const char *tracestate, char ret[TRACE_STATE_SIZE]) {
    ret[0] = '\0';
    if (tracestate == NULL || strlen(tracestate) >= TRACE_STATE_SIZE) return;
    for (const char *c = tracestate; *c != '\0'; c++)
        if ((*c < ' ' && *c != '\t') || *c > '~') return;
    snprintf(ret, TRACE_STATE_SIZE, "%s", tracestate);
}

bool trace_context_draw(const uint8_t trace[16], double ratio) {
    uint64_t random = 0; /* the last 56 bits are random */
    for (int i = 9; i < 16; i++) random = random << 8 | trace[i];
    return (double)random >= (1.0 - ratio) * (double)(UINT64_C(1) << 56);
}
