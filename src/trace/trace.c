/* SPDX-License-Identifier: MIT
 * See trace.h. */
#include "trace/trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "chat/text.h"

enum { MAX_ATTRIBUTES = 16 * 1024 };

struct trace_span {
    struct trace *trace;
    const struct trace_span *parent;
    struct trace_span *next;
    uint8_t id[8];
    enum trace_kind kind;
    char name[TRACE_NAME_SIZE];
    clock_us from, to;
    bool ended, failed;
    struct buf attributes; /* JSON, with commas between them */
    struct buf message;    /* of the failure, JSON */
};

struct trace {
    struct trace_context context;
    char state[TRACE_STATE_SIZE];
    uint64_t seed;
    int64_t epoch_us;
    struct trace_span *first, **last;
    size_t n;
    uint64_t left_out;
};

struct trace *trace_create(const struct trace_context *context, const char *state, uint64_t seed, int64_t epoch_us) {
    struct trace *t = MEM_NEW(struct trace);
    t->context = *context;
    snprintf(t->state, sizeof(t->state), "%s", state);
    t->seed = seed;
    t->epoch_us = epoch_us;
    t->last = &t->first;
    return t;
}

void trace_free(struct trace *t) {
    if (t == NULL) return;
    for (struct trace_span *s = t->first, *next; s != NULL; s = next) {
        next = s->next;
        buf_done(&s->attributes);
        buf_done(&s->message);
        free(s);
    }
    free(t);
}

/* SplitMix64 (Steele, Lea, Flood 2014): each number of the sequence once. */
static void next_id(struct trace *t, uint8_t ret[8]) {
    uint64_t z = t->seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    if (z == 0) z = 1; /* an id of zeros means none */
    memcpy(ret, &z, sizeof(z));
}

struct trace_span *trace_begin(struct trace *t, const struct trace_span *parent, enum trace_kind kind, const char *name, clock_us now) {
    if (t == NULL) return NULL;
    if (t->n == TRACE_MAX_SPANS) {
        t->left_out++;
        return NULL;
    }
    struct trace_span *s = MEM_NEW(struct trace_span);
    *s = (struct trace_span){.trace = t, .parent = parent, .kind = kind, .from = now};
    next_id(t, s->id);
    str_line(name, strlen(name), s->name, sizeof(s->name));
    buf_init(&s->attributes, MAX_ATTRIBUTES);
    buf_init(&s->message, MAX_ATTRIBUTES);
    *t->last = s;
    t->last = &s->next;
    t->n++;
    return s;
}

void trace_end(struct trace_span *s, clock_us now) {
    if (s == NULL || s->ended) return;
    s->ended = true;
    s->to = now > s->from ? now : s->from;
}

/* Times of other machines are lengths, which may be longer than what they are a part of. */
struct trace_span *trace_add(struct trace *t, const struct trace_span *parent, const char *name, clock_us from, clock_us to) {
    if (parent != NULL && from < parent->from) from = parent->from;
    if (parent != NULL && parent->ended && to > parent->to) to = parent->to;
    if (from > to) from = to;
    struct trace_span *s = trace_begin(t, parent, TRACE_INTERNAL, name, from);
    trace_end(s, to);
    return s;
}

/* ---- attributes ---- */

static void put_key(struct trace_span *s, const char *key) {
    buf_printf(&s->attributes, "%s{\"key\":\"%s\",\"value\":", s->attributes.len > 0 ? "," : "", key);
}

/* An attribute that doesn't fit is left out, whole. */
static void put_end(struct trace_span *s, size_t before) {
    buf_append_str(&s->attributes, "}");
    if (!s->attributes.failed) return;
    s->attributes.len = before;
    s->attributes.failed = false;
}

void trace_text(struct trace_span *s, const char *key, const char *value) {
    if (s == NULL || value == NULL || value[0] == '\0') return;
    size_t before = s->attributes.len;
    put_key(s, key);
    buf_append_str(&s->attributes, "{\"stringValue\":");
    text_append_json(&s->attributes, value, strlen(value));
    buf_append_byte(&s->attributes, '}');
    put_end(s, before);
}

void trace_texts(struct trace_span *s, const char *key, const char *const *values, size_t n) {
    if (s == NULL || n == 0) return;
    size_t before = s->attributes.len;
    put_key(s, key);
    buf_append_str(&s->attributes, "{\"arrayValue\":{\"values\":[");
    for (size_t i = 0; i < n; i++) {
        buf_append_str(&s->attributes, i > 0 ? ",{\"stringValue\":" : "{\"stringValue\":");
        text_append_json(&s->attributes, values[i], strlen(values[i]));
        buf_append_byte(&s->attributes, '}');
    }
    buf_append_str(&s->attributes, "]}}");
    put_end(s, before);
}

void trace_number(struct trace_span *s, const char *key, int64_t value) {
    if (s == NULL) return;
    size_t before = s->attributes.len;
    put_key(s, key);
    buf_printf(&s->attributes, "{\"intValue\":\"%" PRId64 "\"}", value);
    put_end(s, before);
}

void trace_real(struct trace_span *s, const char *key, double value) {
    if (s == NULL || !isfinite(value)) return;
    size_t before = s->attributes.len;
    put_key(s, key);
    buf_printf(&s->attributes, "{\"doubleValue\":%.9g}", value);
    put_end(s, before);
}

void trace_fail(struct trace_span *s, const char *type, const char *message) {
    if (s == NULL || s->failed) return;
    s->failed = true;
    trace_text(s, "error.type", type);
    text_append_json(&s->message, message, strlen(message));
}

bool trace_span_context(const struct trace_span *s, struct trace_context *ret) {
    if (s == NULL) return false;
    memcpy(ret->trace, s->trace->context.trace, sizeof(ret->trace));
    memcpy(ret->span, s->id, sizeof(ret->span));
    ret->sampled = true;
    return true;
}

/* ---- JSON ---- */

static void write_ids(const struct trace_span *s, struct buf *out) {
    static const uint8_t none[8];
    const uint8_t *parent = s->parent != NULL ? s->parent->id : s->trace->context.span;
    char trace[33], id[17], parent_id[17] = "";
    str_hex(s->trace->context.trace, sizeof(s->trace->context.trace), trace);
    str_hex(s->id, sizeof(s->id), id);
    if (memcmp(parent, none, sizeof(none)) != 0) str_hex(parent, sizeof(none), parent_id);
    buf_printf(out, "{\"traceId\":\"%s\",\"spanId\":\"%s\"", trace, id);
    if (parent_id[0] != '\0') buf_printf(out, ",\"parentSpanId\":\"%s\"", parent_id);
    if (s->trace->state[0] != '\0') {
        buf_append_str(out, ",\"traceState\":");
        text_append_json(out, s->trace->state, strlen(s->trace->state));
    }
}

static void write_span(struct trace_span *s, struct buf *out) {
    const int64_t epoch = s->trace->epoch_us;
    write_ids(s, out);
    buf_append_str(out, ",\"name\":");
    text_append_json(out, s->name, strlen(s->name));
    buf_printf(out, ",\"kind\":%d,\"startTimeUnixNano\":\"%" PRId64 "000\",\"endTimeUnixNano\":\"%" PRId64 "000\",\"attributes\":[",
               (int)s->kind, epoch + (int64_t)s->from, epoch + (int64_t)s->to);
    buf_append(out, s->attributes.data, s->attributes.len);
    buf_append_byte(out, ']');
    if (s->failed) {
        buf_append_str(out, ",\"status\":{\"code\":2,\"message\":"); /* STATUS_CODE_ERROR */
        buf_append(out, s->message.data, s->message.len);
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, '}');
}

void trace_write(struct trace *t, clock_us now, struct buf *out) {
    for (struct trace_span *s = t != NULL ? t->first : NULL; s != NULL; s = s->next) {
        trace_end(s, now);
        if (s != t->first) buf_append_byte(out, ',');
        write_span(s, out);
    }
}

size_t trace_count(const struct trace *t) { return t != NULL ? t->n : 0; }

uint64_t trace_left_out(const struct trace *t) { return t != NULL ? t->left_out : 0; }
