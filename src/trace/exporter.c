/* SPDX-License-Identifier: MIT
 * See exporter.h. */
#include "trace/exporter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "chat/text.h"
#include "http/outbound.h"
#include "os/os.h"

enum { CONNECT_MS = 5000, SILENT_MS = 10000, MAX_ANSWER = 64 * 1024 };

struct trace_exporter {
    struct io_loop *loop;
    struct io_timer *timer;
    struct outbound *outbound;
    struct outbound_request *running;
    struct trace_batch *batch;
    char *url, *words, *ca_file; /* words: the headers' texts; ca_file may be NULL */
    struct outbound_header headers[TRACE_MAX_HEADERS + 1];
    size_t n_headers;
    double ratio;
    int status;                /* of the request that runs; 0: none came yet */
    uint32_t retry_after_s;
    bool told;                 /* the log says that the collector takes nothing */
};

/* ---- options ---- */

/* The path of traces is added, as the exporters of OpenTelemetry do it. */
static char *make_url(const char *endpoint) {
    static const char path[] = "/v1/traces";
    size_t len = strlen(endpoint), n = sizeof(path) - 1;
    while (len > 0 && endpoint[len - 1] == '/') len--;
    bool whole = len >= n && strncmp(endpoint + len - n, path, n) == 0;
    return mem_printf("%.*s%s", (int)len, endpoint, whole ? "" : path);
}

/* Decodes %-escapes in place. false: a broken one. */
static bool decode(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        uint8_t byte = (uint8_t)*from;
        if (*from == '%') {
            char digits[3] = {from[1], from[1] != '\0' ? from[2] : '\0', '\0'};
            if (!str_unhex(digits, &byte, 1)) return false;
            from += 2;
        }
        *to++ = (char)byte;
    }
    *to = '\0';
    return true;
}

static char *trim(char *text) {
    while (*text == ' ') text++;
    for (size_t len = strlen(text); len > 0 && text[len - 1] == ' ';) text[--len] = '\0';
    return text;
}

static err_code read_headers(struct trace_exporter *x, const char *headers, struct err *e) {
    x->headers[x->n_headers++] = (struct outbound_header){.name = "Content-Type", .value = "application/json"};
    x->words = mem_strdup(headers != NULL ? headers : "");
    for (char *word = x->words, *next; *trim(word) != '\0'; word = next) {
        next = word + strcspn(word, ",");
        if (*next != '\0') *next++ = '\0';
        char *value = strchr(word, '=');
        if (x->n_headers == TRACE_MAX_HEADERS + 1)
            return err_set(e, ERR_LIMIT, "more than %d headers for the collector of traces", TRACE_MAX_HEADERS);
        if (value == NULL) return err_set(e, ERR_INVALID, "the headers for the collector of traces are written name=value,name=value");
        *value++ = '\0';
        if (!decode(value)) return err_set(e, ERR_INVALID, "a header for the collector of traces has a %% that is no escape");
        x->headers[x->n_headers++] = (struct outbound_header){.name = trim(word), .value = trim(value)};
    }
    return ERR_OK;
}

static void put_attribute(struct buf *out, const char *key, const char *value) {
    buf_printf(out, "%s{\"key\":\"%s\",\"value\":{\"stringValue\":", out->data[out->len - 1] == '[' ? "" : ",", key);
    text_append_json(out, value, strlen(value));
    buf_append_str(out, "}}");
}

static struct trace_batch *make_batch(const struct trace_options *o) {
    struct buf head;
    buf_init(&head, 64 * 1024);
    buf_append_str(&head, "{\"resourceSpans\":[{\"resource\":{\"attributes\":[");
    put_attribute(&head, "service.name", o->service != NULL && o->service[0] != '\0' ? o->service : "caravan");
    put_attribute(&head, "service.instance.id", o->node);
    put_attribute(&head, "service.version", o->version);
    put_attribute(&head, "telemetry.sdk.name", "caravan");
    put_attribute(&head, "telemetry.sdk.language", "c");
    buf_append_str(&head, "]},\"scopeSpans\":[{\"scope\":{\"name\":\"caravan\"},\"spans\":[");
    struct trace_batch *b = trace_batch_create(buf_cstr(&head), "]}]}]}");
    buf_done(&head);
    return b;
}

/* ---- sending ---- */

static void look(struct trace_exporter *x);

static void on_head(void *user, const struct outbound_head *head) {
    struct trace_exporter *x = user;
    x->status = head->status;
    x->retry_after_s = head->retry_after_s;
}

static void on_body(void *user, const void *data, size_t len) {
    (void)user;
    (void)data;
    (void)len;
}

/* A collector that fails is told once, until it works again. */
static void tell(struct trace_exporter *x, const struct err *why) {
    bool works = x->status >= 200 && x->status < 300;
    if (works && x->told) log_info("trace", "the collector of traces takes spans again");
    if (!works && !x->told && x->status != 0)
        log_warn("trace", "the collector of traces answers with HTTP %d; requests go on without it", x->status);
    if (!works && !x->told && x->status == 0) log_warn("trace", "the collector of traces: %s; requests go on without it", why->text);
    x->told = !works;
}

static void finished(struct trace_exporter *x, const struct err *why) {
    x->running = NULL;
    tell(x, why);
    trace_batch_answer(x->batch, io_loop_now(x->loop), x->status, x->retry_after_s);
    look(x);
}

static void on_end(void *user, const struct outbound_end *end) {
    struct trace_exporter *x = user;
    if (end->code != ERR_OK) x->status = 0;
    finished(x, end->err);
}

static void send_body(struct trace_exporter *x, const struct buf *body) {
    struct err e = {0};
    const struct outbound_options options = {.url = x->url,
                                             .headers = x->headers,
                                             .n_headers = x->n_headers,
                                             .body = body->data,
                                             .body_len = body->len,
                                             .ca_file = x->ca_file,
                                             .connect_ms = CONNECT_MS,
                                             .silent_ms = SILENT_MS,
                                             .max_body = MAX_ANSWER,
                                             .on_head = on_head,
                                             .on_body = on_body,
                                             .on_end = on_end,
                                             .user = x};
    x->status = 0;
    x->retry_after_s = 0;
    if (outbound_start(x->outbound, &options, &x->running, &e) != ERR_OK) finished(x, &e);
}

static void look(struct trace_exporter *x) {
    struct buf body;
    clock_us now = io_loop_now(x->loop);
    buf_init(&body, SIZE_MAX - 1);
    if (trace_batch_next(x->batch, now, &body)) send_body(x, &body);
    buf_done(&body);
    clock_us due = trace_batch_due(x->batch);
    if (due == UINT64_MAX) io_timer_stop(x->timer);
    else io_timer_start(x->timer, due > now ? (due - now) / 1000 + 1 : 1, 0);
}

static void on_timer(void *user) { look(user); }

/* ---- traces ---- */

static int64_t wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct trace *trace_exporter_begin(struct trace_exporter *x, const char *traceparent, const char *tracestate,
                                   struct trace_context *ret_context) {
    char state[TRACE_STATE_SIZE] = "";
    uint64_t seed;
    struct trace_context c = {0};
    bool asked = trace_context_read(traceparent, &c);
    *ret_context = c;
    if (x == NULL) return NULL;
    if (asked) trace_context_state(tracestate, state);
    else os_random(c.trace, sizeof(c.trace));
    if (!(asked ? c.sampled : trace_context_draw(c.trace, x->ratio))) return NULL;
    os_random(&seed, sizeof(seed));
    *ret_context = c;
    return trace_create(&c, state, seed, wall_us() - (int64_t)io_loop_now(x->loop));
}

void trace_exporter_end(struct trace_exporter *x, struct trace *t) {
    if (t == NULL) return;
    struct buf spans;
    clock_us now = io_loop_now(x->loop);
    buf_init(&spans, TRACE_BATCH_BYTES);
    trace_write(t, now, &spans);
    trace_batch_add(x->batch, now, &spans, trace_count(t));
    trace_batch_drop(x->batch, trace_left_out(t));
    buf_done(&spans);
    trace_free(t);
    look(x);
}

void trace_exporter_hurry(struct trace_exporter *x) {
    if (x == NULL) return;
    trace_batch_hurry(x->batch);
    look(x);
}

void trace_exporter_count(const struct trace_exporter *x, struct trace_batch_counts *ret) {
    *ret = (struct trace_batch_counts){0};
    if (x != NULL) trace_batch_count(x->batch, ret);
}

/* ---- life ---- */

err_code trace_exporter_open(struct io_loop *loop, const struct trace_options *o, struct trace_exporter **ret, struct err *e) {
    *ret = NULL;
    if (o->endpoint == NULL || o->endpoint[0] == '\0') return ERR_OK;
    if (strncmp(o->endpoint, "http://", 7) != 0 && strncmp(o->endpoint, "https://", 8) != 0) {
        err_set(e, ERR_INVALID, "the collector of traces \"%.200s\" is no http:// or https:// address", o->endpoint);
        err_hint(e, "its port for OTLP by HTTP is 4318 in most setups: --otlp-endpoint http://HOST:4318");
        return ERR_INVALID;
    }
    struct trace_exporter *x = MEM_NEW(struct trace_exporter);
    x->loop = loop;
    x->ratio = o->ratio;
    x->url = make_url(o->endpoint);
    x->ca_file = o->ca_file != NULL && o->ca_file[0] != '\0' ? mem_strdup(o->ca_file) : NULL;
    x->batch = make_batch(o);
    x->outbound = outbound_create(loop);
    x->timer = io_timer_open(loop, on_timer, x);
    err_code code = read_headers(x, o->headers, e);
    if (code == ERR_OK) *ret = x;
    else trace_exporter_close(x);
    return code;
}

void trace_exporter_close(struct trace_exporter *x) {
    if (x == NULL) return;
    if (x->running != NULL) outbound_cancel(x->running);
    outbound_free(x->outbound);
    io_timer_close(x->timer);
    trace_batch_free(x->batch);
    free(x->url);
    free(x->words);
    free(x->ca_file);
    free(x);
}
