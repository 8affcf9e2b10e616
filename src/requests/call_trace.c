/* SPDX-License-Identifier: MIT
 * See call_trace.h. */
#include "requests/call_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/cloud.h"
#include "requests/call_route.h"
#include "trace/exporter.h"

static clock_us now_of(const struct call *call) { return io_loop_now(call->gateway->loop); }

/* ---- the call ---- */

void call_trace_begin(struct call *call) {
    const struct http_request *r = http_request(call->x);
    struct trace_context c;
    char name[TRACE_NAME_SIZE];
    call->trace =
        trace_exporter_begin(call->gateway->exporter, http_request_header(r, "traceparent"), http_request_header(r, "tracestate"), &c);
    snprintf(name, sizeof(name), "%s %.80s", r->method, r->path);
    call->span = trace_begin(call->trace, NULL, TRACE_SERVER, name, call->started);
    trace_text(call->span, "http.request.method", r->method);
    trace_text(call->span, "url.path", r->path);
    trace_text(call->span, "user_agent.original", http_request_header(r, "user-agent"));
    trace_text(call->span, "caravan.request_id", r->id);
    snprintf(call->name.id, sizeof(call->name.id), "%s", r->id);
    if (trace_span_context(call->span, &c) || trace_context_read(http_request_header(r, "traceparent"), &c))
        trace_context_write(&c, call->name.trace);
}

/* The states that have a span: the call waits in them, or does much. */
static const char *span_of(const struct call *call, enum call_state state) {
    switch (state) {
    case CALL_LOOKING: return call->gateway->cache != NULL ? "cache" : NULL;
    case CALL_WAITING: return "load";
    case CALL_RENDERING: return "render";
    case CALL_QUEUING: return "queue";
    default: return NULL;
    }
}

/* The span of the call's state, until now. A model that was loaded already has none. */
static struct trace_span *add_step(struct call *call) {
    const char *name = span_of(call, call->state);
    clock_us now = now_of(call);
    if (name == NULL || call->told_step || (call->state == CALL_WAITING && now == call->since)) return NULL;
    call->told_step = true;
    return trace_add(call->trace, call->span, name, call->since, now);
}

void call_trace_state(struct call *call) {
    if (call->trace == NULL) return;
    add_step(call);
    call->told_step = false;
    call->since = now_of(call);
}

void call_trace_error(struct call *call, err_code code, const struct err *e) {
    if (call->trace == NULL) return;
    trace_fail(add_step(call), err_name(code), e->text);
    trace_fail(call->span, err_name(code), e->text);
    trace_number(call->span, "http.response.status_code", http_stream_started(call->x) ? 200 : api_error_status(code));
}

static void add_usage(struct trace_span *s, const struct api_usage *u) {
    trace_number(s, "gen_ai.usage.input_tokens", (int64_t)u->prompt_tokens);
    trace_number(s, "gen_ai.usage.output_tokens", (int64_t)u->completion_tokens);
    if (u->cached_tokens > 0) trace_number(s, "gen_ai.usage.cache_read.input_tokens", (int64_t)u->cached_tokens);
}

void call_trace_end(struct call *call, bool answered, const char *how) {
    if (call->trace == NULL) return;
    const char *served = call->served[0] != '\0' ? call->served : NULL;
    trace_text(call->span, "gen_ai.request.model", call->request.model);
    trace_text(call->span, "gen_ai.response.id", call->answer.id);
    trace_text(call->span, "caravan.served_by", served);
    trace_text(call->span, "caravan.end", how);
    if (answered) trace_number(call->span, "http.response.status_code", 200);
    add_usage(call->span, &call->answer.usage);
    if (call->money > 0) trace_real(call->span, "caravan.cost", (double)call->money / 1e6);
    trace_exporter_end(call->gateway->exporter, call->trace);
    call->trace = NULL;
    call->span = NULL;
}

void call_trace_log(const struct call *call, const char *how) {
    const struct api_usage *u = &call->answer.usage;
    const struct log_field all[] = {{.name = "id", .text = call->answer.id},
                                    {.name = "api", .text = call->api->name},
                                    {.name = "model", .text = call->model != NULL ? call->model : ""},
                                    {.name = "served_by", .text = call->served},
                                    {.name = "cache", .text = call->cache_says != NULL ? call->cache_says : ""},
                                    {.name = "error", .text = call->error != ERR_OK ? err_name(call->error) : ""},
                                    {.name = "why", .text = call->why},
                                    {.name = "prompt_tokens", .number = (int64_t)u->prompt_tokens},
                                    {.name = "cached_tokens", .number = (int64_t)u->cached_tokens},
                                    {.name = "completion_tokens", .number = (int64_t)u->completion_tokens},
                                    {.name = "queued_us", .number = (int64_t)u->queued_us},
                                    {.name = "duration_us", .number = (int64_t)(io_loop_now(call->gateway->loop) - call->started)}};
    struct log_field some[ARRAY_LEN(all)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].text == NULL || all[i].text[0] != '\0') some[n++] = all[i];
    log_write_fields(LOG_INFO, "gateway", some, n, "request %s", how);
}

/* ---- one question to a model ---- */

static const char *operation_of(const struct call *call) {
    if (call->api->work == API_WORK_VECTORS) return "embeddings";
    return call->request.chat != NULL && yyjson_mut_arr_size(call->request.chat) > 0 ? "chat" : "text_completion";
}

static void add_wishes(struct trace_span *s, const struct call *call) {
    const struct api_request *r = &call->request;
    if (call->api->work == API_WORK_VECTORS) return;
    if (r->max_tokens >= 0) trace_number(s, "gen_ai.request.max_tokens", r->max_tokens);
    if (r->has_seed) trace_number(s, "gen_ai.request.seed", (int64_t)r->sampling.seed);
    if (r->n > 1) trace_number(s, "gen_ai.request.choice.count", r->n);
    if (r->format != API_FORMAT_TEXT) trace_text(s, "gen_ai.output.type", "json");
    trace_real(s, "gen_ai.request.temperature", (double)r->sampling.temperature);
    trace_real(s, "gen_ai.request.top_p", (double)r->sampling.top_p);
    trace_number(s, "gen_ai.request.top_k", r->sampling.top_k);
}

static void begin(struct call *call, struct call_attempt *a, enum trace_kind kind, const char *provider, const char *model) {
    char name[TRACE_NAME_SIZE];
    *a = (struct call_attempt){.sent = now_of(call)};
    snprintf(name, sizeof(name), "%s %.64s", operation_of(call), model);
    a->span = trace_begin(call->trace, call->span, kind, name, a->sent);
    trace_text(a->span, "gen_ai.operation.name", operation_of(call));
    trace_text(a->span, "gen_ai.provider.name", provider);
    trace_text(a->span, "gen_ai.request.model", model);
    add_wishes(a->span, call);
}

/* The name with which the span's work is asked for elsewhere. */
static struct log_request name_of(const struct call *call, const struct call_attempt *a) {
    struct log_request name = call->name;
    struct trace_context c;
    if (trace_span_context(a->span, &c)) trace_context_write(&c, name.trace);
    return name;
}

void call_trace_sent(struct call *call, struct call_attempt *a, struct request *r) {
    begin(call, a, TRACE_INTERNAL, "caravan", call->model);
    struct log_request name = name_of(call, a);
    memcpy(r->name, name.id, sizeof(r->name));
    memcpy(r->trace, name.trace, sizeof(r->trace));
}

void call_trace_placed(const struct call *call, struct call_attempt *a, const struct backend_call *part) {
    const struct backend *b = &call->gateway->backend;
    if (a->span == NULL || b->place == NULL) return;
    b->place(b->self, part, a->place, sizeof(a->place));
    trace_text(a->span, "caravan.instance", a->place);
}

/* ---- what the ring did for it ---- */

/* Adds the span of a hop or a stage, from *at on. The times are sums over all frames of the request: frames that follow each other closely
 * overlap, so the sums may be longer than the whole, and then a span is cut at its end. The attribute has the whole sum. */
static struct trace_span *add_part(struct call *call, const struct call_attempt *a, const char *name, clock_us *at, uint64_t us) {
    struct trace_span *s = trace_add(call->trace, a->span, name, *at, *at + us);
    trace_number(s, "caravan.sum_us", (int64_t)us);
    *at += us;
    return s;
}

static void add_hop(struct call *call, const struct call_attempt *a, uint32_t from, const struct request_hop *h, clock_us *at) {
    char name[48];
    snprintf(name, sizeof(name), "hop %u to %u", from, h->stage);
    trace_number(add_part(call, a, name, at, h->hop_us), "caravan.frames", h->frames);
}

static void add_stage(struct call *call, const struct call_attempt *a, const struct request_hop *h, const struct backend_stage *where,
                      clock_us *at) {
    char name[32], layers[32];
    snprintf(name, sizeof(name), "stage %u", h->stage);
    struct trace_span *s = add_part(call, a, name, at, h->compute_us + h->wait_us);
    trace_number(s, "caravan.frames", h->frames);
    trace_number(s, "caravan.compute_us", (int64_t)h->compute_us);
    trace_number(s, "caravan.wait_us", (int64_t)h->wait_us);
    if (where == NULL || where->node[0] == '\0') return;
    snprintf(layers, sizeof(layers), "%u-%u", where->first, where->end - 1);
    trace_text(s, "caravan.node", where->node);
    trace_text(s, "caravan.layers", layers);
}

/* In the order of a frame's way: from the head on, and last from the tail back to the head. */
static void add_ring(struct call *call, const struct call_attempt *a, const struct request_event *ev, clock_us at) {
    const struct backend *b = &call->gateway->backend;
    struct backend_stage *where = mem_calloc(REQUEST_MAX_HOPS, sizeof(*where));
    uint32_t n = ev->n_hop;
    if (b->stages != NULL) b->stages(b->self, a->place, where, REQUEST_MAX_HOPS);
    for (uint32_t i = 0; i < n; i++) {
        const struct request_hop *h = &ev->hops[i];
        if (i > 0) add_hop(call, a, ev->hops[i - 1].stage, h, &at);
        add_stage(call, a, h, h->stage < REQUEST_MAX_HOPS ? &where[h->stage] : NULL, &at);
    }
    if (n > 1) add_hop(call, a, ev->hops[n - 1].stage, &ev->hops[0], &at);
    free(where);
}

static void add_phases(struct call *call, const struct call_attempt *a, const struct request_event *ev) {
    clock_us slot = a->sent + ev->queued_us, first = slot + ev->prefill_us;
    trace_add(call->trace, a->span, "wait for slot", a->sent, slot);
    struct trace_span *prefill = trace_add(call->trace, a->span, "prefill", slot, first);
    trace_number(prefill, "gen_ai.usage.input_tokens", ev->prompt_tokens);
    trace_number(prefill, "gen_ai.usage.cache_read.input_tokens", ev->cached_tokens);
    if (ev->completion_tokens == 0) return; /* a vector */
    struct trace_span *decode = trace_add(call->trace, a->span, "decode", first, first + ev->decode_us);
    trace_number(decode, "gen_ai.usage.output_tokens", ev->completion_tokens);
    if (ev->draft_tokens == 0) return;
    trace_number(decode, "caravan.draft_tokens", ev->draft_tokens);
    trace_number(decode, "caravan.draft_accepted", ev->draft_accepted);
    if (ev->mtp_tokens == 0) return;
    trace_number(decode, "caravan.mtp_tokens", ev->mtp_tokens);
    trace_number(decode, "caravan.mtp_accepted", ev->mtp_accepted);
}

void call_trace_done(struct call *call, struct call_attempt *a, const struct request_event *ev) {
    static const char *const finishes[] = {"stop", "length", "cancelled"};
    if (a->span == NULL) return;
    if (ev->kind == REQUEST_FAILED) {
        call_trace_over(call, a, &ev->err);
        return;
    }
    trace_end(a->span, now_of(call));
    const struct api_usage u = {
        .prompt_tokens = ev->prompt_tokens, .completion_tokens = ev->completion_tokens, .cached_tokens = ev->cached_tokens};
    add_usage(a->span, &u);
    trace_text(a->span, "gen_ai.response.model", call->model);
    trace_texts(a->span, "gen_ai.response.finish_reasons", &finishes[ev->finish], 1);
    add_phases(call, a, ev);
    add_ring(call, a, ev, a->sent + ev->queued_us);
    a->span = NULL;
}

/* The ring's own times come with its last event. Without it there are only those of the gateway. */
static void add_seen(struct call *call, const struct call_attempt *a) {
    if (a->first == 0) return;
    trace_add(call->trace, a->span, "prefill", a->sent, a->first);
    trace_add(call->trace, a->span, "decode", a->first, now_of(call));
}

void call_trace_over(struct call *call, struct call_attempt *a, const struct err *why) {
    if (a->span == NULL) return;
    if (why != NULL) trace_fail(a->span, err_name(why->code), why->text);
    trace_end(a->span, now_of(call));
    add_seen(call, a);
    a->span = NULL;
}

void call_trace_token(const struct call *call, struct call_attempt *a) {
    if (a->span != NULL && a->first == 0) a->first = now_of(call);
}

/* ---- upstreams ---- */

/* The host and the port of an address, as attributes. */
static void add_server(struct trace_span *s, const char *url) {
    const char *at = strstr(url, "://");
    at = at != NULL ? at + 3 : url;
    char *text = mem_strndup(at, strcspn(at, "/?#")), host[STR_HOST_MAX];
    uint16_t port;
    if (str_parse_address(text, "", strncmp(url, "http://", 7) == 0 ? 80 : 443, host, &port)) {
        trace_text(s, "server.address", host);
        trace_number(s, "server.port", port);
    }
    free(text);
}

void call_trace_cloud(struct call *call, struct call_attempt *a, const struct upstream *u, const char *model,
                      struct log_request *ret_name) {
    begin(call, a, TRACE_CLIENT, u->api == UPSTREAM_ANTHROPIC ? "anthropic" : "openai", model);
    trace_text(a->span, "caravan.upstream", u->name);
    if (a->span != NULL) add_server(a->span, u->url);
    *ret_name = name_of(call, a);
}

void call_trace_cloud_done(struct call *call, struct call_attempt *a, const struct cloud_result *result) {
    if (a->span == NULL) return;
    if (result != NULL && result->status != 0) trace_number(a->span, "http.response.status_code", result->status);
    if (result != NULL) {
        const struct api_usage u = {
            .prompt_tokens = result->usage.prompt, .completion_tokens = result->usage.completion, .cached_tokens = result->usage.cached};
        add_usage(a->span, &u);
        trace_real(a->span, "caravan.cost", (double)result->charge.cost / 1e9);
    } else {
        trace_text(a->span, "caravan.end", "cancelled");
    }
    call_trace_over(call, a, result != NULL && result->code != ERR_OK ? result->err : NULL);
}
