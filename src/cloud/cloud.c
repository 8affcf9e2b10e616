/* SPDX-License-Identifier: MIT
 * See cloud.h. */
#include "cloud/cloud.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/ask.h"
#include "cloud/spend.h"
#include "http/outbound.h"
#include "routing/breaker.h"
#include "routing/failure.h"
#include "store/spend.h"

/* FAILURES: in a row, after which an upstream is left alone for a while. REST_S: how long after a 429 without Retry-After. MAX_ERROR: bytes
 * of an error's body that are read. TAIL_MS: how long a stream that has said its last word may stay open. IN_FLIGHT: tokens that an
 * upstream may have computed beyond those that have come, when a request is cut. */
enum { FAILURES = 3, REST_S = 1, MAX_ERROR = 64 * 1024, MAX_KEY = 8192, TAIL_MS = 1000, IN_FLIGHT = 64 };

/* What is known of an upstream, by its name. */
struct endpoint {
    char name[UPSTREAM_MAX_NAME + 1];
    char *source, *key;        /* where the key was read, and the key; owned. NULL: not read */
    struct breaker breaker;
    bool limited;              /* the last failure said that we ask too much */
    struct cloud_counts counts;
};

struct cloud {
    struct io_loop *loop;
    struct store *store;
    struct outbound *outbound;
    struct spend *spend;
    struct store_ask *reading; /* what was spent before */
    struct endpoint **endpoints; /* owned */
    size_t n_endpoints;
    struct list calls;
};

struct cloud_call {
    struct list link;
    struct cloud *cloud;
    struct endpoint *endpoint;
    struct cloud_options options;
    struct outbound_request *request; /* NULL: it has ended */
    struct cloud_answer *answer;
    struct spend_hold hold;
    uint64_t most_prompt, most_completion;
    int status;
    uint32_t retry_after_s;
    struct buf error;          /* the body of an error */
    struct io_timer *tail;     /* the answer is over, and the connection's end is waited for; NULL: not yet */
    struct io_task end;        /* the end is told from the loop */
    struct err err;
    err_code code;
    bool settled;              /* its cost is counted */
    bool judged;               /* the breaker has heard how it ended */
    bool unsent;               /* the upstream has never got the request */
    bool pushing, cancelled;   /* an event is being told; the owner has cancelled in it */
};

/* ---- endpoints and keys ---- */

static const struct endpoint *find(const struct cloud *c, const char *name) {
    for (size_t i = 0; i < c->n_endpoints; i++)
        if (strcmp(c->endpoints[i]->name, name) == 0) return c->endpoints[i];
    return NULL;
}

static struct endpoint *endpoint_of(struct cloud *c, const struct upstream *u) {
    for (size_t i = 0; i < c->n_endpoints; i++)
        if (strcmp(c->endpoints[i]->name, u->name) == 0) return c->endpoints[i];
    struct endpoint *p = MEM_NEW(struct endpoint);
    memcpy(p->name, u->name, sizeof(p->name));
    breaker_init(&p->breaker, FAILURES);
    c->endpoints = mem_realloc(c->endpoints, c->n_endpoints + 1, sizeof(struct endpoint *));
    c->endpoints[c->n_endpoints++] = p;
    return p;
}

static void forget_key(struct endpoint *p) {
    free(p->key);
    free(p->source);
    p->key = p->source = NULL;
}

void cloud_forget_keys(struct cloud *c) {
    for (size_t i = 0; i < c->n_endpoints; i++) forget_key(c->endpoints[i]);
}

static err_code read_key_text(const struct upstream *u, char *text, size_t size, struct err *e) {
    const char *value = u->key_env != NULL ? getenv(u->key_env) : NULL;
    if (u->key_file != NULL) return file_read_secret(u->key_file, "key of an upstream", text, size, e);
    if (value == NULL) return err_set(e, ERR_NOT_FOUND, "the variable %s is not set", u->key_env);
    if (strlen(value) >= size) return err_set(e, ERR_LIMIT, "the variable %s is too long for a key", u->key_env);
    memcpy(text, value, strlen(value) + 1);
    return ERR_OK;
}

/* Reads the key of an upstream, unless it is known. The log says where the key should be; the client isn't told. */
static err_code need_key(struct endpoint *p, const struct upstream *u, struct err *e) {
    const char *source = u->key_file != NULL ? u->key_file : u->key_env;
    char text[MAX_KEY];
    struct err why = {0};
    if (p->key != NULL && (source == NULL || strcmp(source, p->source) != 0)) forget_key(p);
    if (source == NULL || p->key != NULL) return ERR_OK;
    err_code code = read_key_text(u, text, sizeof(text), &why);
    const char *key = text;
    size_t len = code == ERR_OK ? strlen(text) : 0;
    str_trim(&key, &len);
    if (code == ERR_OK && (len == 0 || len >= MAX_KEY - 1)) code = err_set(&why, ERR_FORMAT, "\"%s\" holds no key", source);
    for (size_t i = 0; i < len && code == ERR_OK; i++)
        if (key[i] <= ' ' || key[i] == 0x7F) code = err_set(&why, ERR_FORMAT, "the key in \"%s\" has blanks or control characters", source);
    if (code != ERR_OK) {
        log_warn("cloud", "upstream \"%s\": %s%s%s", u->name, why.text, why.hint[0] != '\0' ? ": " : "", why.hint);
        return err_set(e, ERR_UNAVAILABLE, "upstream \"%s\": its key cannot be read; the node's log says why", u->name);
    }
    p->key = mem_strndup(key, len);
    p->source = mem_strdup(source);
    return ERR_OK;
}

/* ---- the end of a call ---- */

/* The tokens that a request counts for. If the upstream has not said how many, they are the most that there can be. */
static struct cloud_usage usage_of(const struct cloud_call *call, bool whole) {
    struct cloud_usage u = cloud_answer_usage(call->answer);
    uint64_t bytes = cloud_answer_bytes(call->answer), most = bytes + (whole ? 0 : IN_FLIGHT);
    if (u.known && whole) return u;
    if (most > call->most_completion) most = call->most_completion;
    if (!u.known) return (struct cloud_usage){.prompt = call->most_prompt, .completion = most};
    if (u.completion < most) u.completion = most; /* it was told when the answer began */
    return u;
}

static void call_free(struct cloud_call *call) {
    if (call->request != NULL) outbound_cancel(call->request);
    io_task_cancel(&call->end);
    io_timer_close(call->tail);
    cloud_answer_free(call->answer);
    buf_done(&call->error);
    list_remove(&call->link);
    if (!call->judged) breaker_left(&call->endpoint->breaker);
    call->endpoint->counts.running--;
    free(call);
}

/* Settles what the call costs: nothing, if the upstream has refused it or never got it. */
static struct cloud_charge settle(struct cloud_call *call, bool whole) {
    if (call->settled) return (struct cloud_charge){0};
    call->settled = true;
    bool nothing = call->status != 0 || call->unsent;
    struct cloud_usage u = nothing ? (struct cloud_usage){0} : usage_of(call, whole);
    struct cloud_counts *counts = &call->endpoint->counts;
    uint64_t cost = spend_settle(call->cloud->spend, &call->hold, u.prompt, u.cached, u.completion);
    struct cloud_usage told = cloud_answer_usage(call->answer);
    counts->prompt_tokens += told.prompt;
    counts->completion_tokens += told.completion;
    counts->cost += cost;
    return (struct cloud_charge){.usage = u, .cost = cost};
}

/* Tells the breaker what the end of a call says about the upstream. */
static void judge(struct cloud_call *call) {
    struct endpoint *p = call->endpoint;
    clock_us now = io_loop_now(call->cloud->loop);
    const struct failure *f = call->status != 0 ? failure_of_status(call->status) : failure_of_error(call->code);
    bool limited = f->id == FAILURE_LIMITED || f->id == FAILURE_FULL;
    uint32_t rest_s = call->retry_after_s > 0 ? call->retry_after_s : REST_S;
    call->judged = true;
    if (f->id == FAILURE_NONE) breaker_worked(&p->breaker);
    else if (f->counts) breaker_failed(&p->breaker, now);
    else breaker_left(&p->breaker);
    if (limited) breaker_rest(&p->breaker, now, (clock_us)rest_s * 1000000);
    if (f->id == FAILURE_NONE || f->counts || limited) p->limited = limited;
}

static void log_end(const struct cloud_call *call, const char *how, const struct cloud_usage *u, uint64_t cost) {
    log_info("cloud", "upstream \"%s\": %s: %s, %llu prompt and %llu completion tokens, cost %.6f", call->endpoint->name,
             call->options.model, how, (unsigned long long)u->prompt, (unsigned long long)u->completion, (double)cost / 1e9);
}

static void count_failure(struct cloud_call *call) {
    struct cloud_counts *c = &call->endpoint->counts;
    c->failed++;
    c->failed_at = clock_wall_s();
    str_line(call->err.text, strlen(call->err.text), c->error, sizeof(c->error));
}

static void call_ended(void *user) {
    struct cloud_call *call = user;
    struct cloud_options o = call->options;
    struct err e = call->err;
    bool whole = call->code == ERR_OK;
    struct cloud_result result = {.code = call->code,
                                  .err = &e,
                                  .status = call->status,
                                  .retry_after_s = call->retry_after_s,
                                  .usage = cloud_answer_usage(call->answer)};
    result.charge = settle(call, whole);
    judge(call);
    if (!whole) count_failure(call);
    struct log_request before = log_enter(o.name);
    log_end(call, whole ? "answered" : err_text(result.code), &result.usage, result.charge.cost);
    call_free(call);
    o.on_end(o.user, &result);
    log_leave(&before);
}

/* The first end counts. It is told by a task, since this may run within a callback. */
static void end_soon(struct cloud_call *call, err_code code) {
    if (call->end.fn != NULL) return;
    if (call->request != NULL) outbound_cancel(call->request);
    call->request = NULL;
    call->code = code;
    call->end = (struct io_task){.fn = call_ended, .user = call};
    io_task_post(call->cloud->loop, &call->end);
}

/* Errors of the answer begin with the upstream's name. No text of the upstream is in them that could hold our key. */
static void end_with(struct cloud_call *call, err_code code, const struct err *e) {
    err_set(&call->err, code, "upstream \"%s\": %s", call->endpoint->name, e->text);
    end_soon(call, code);
}

struct cloud_charge cloud_cancel(struct cloud_call *call) {
    bool again = call->settled;
    struct cloud_charge charge = settle(call, call->end.fn != NULL && call->code == ERR_OK);
    if (!again) log_end(call, "left by its client", &charge.usage, charge.cost);
    if (call->pushing) call->cancelled = true;
    else call_free(call);
    return charge;
}

/* ---- what comes ---- */

static void on_event(void *user, const struct api_event *ev) {
    struct cloud_call *call = user;
    if (!call->cancelled) call->options.on_event(call->options.user, ev);
}

static void on_vector(void *user, size_t index, const float *numbers, uint32_t n) {
    struct cloud_call *call = user;
    if (!call->cancelled) call->options.on_vector(call->options.user, index, numbers, n);
}

static void on_head(void *user, const struct outbound_head *head) {
    struct cloud_call *call = user;
    call->retry_after_s = head->retry_after_s;
    if (head->status / 100 != 2) call->status = head->status;
}

static void on_tail(void *user) {
    struct cloud_call *call = user;
    end_soon(call, ERR_OK);
}

/* The upstream has said its last word: only its connection has to end. */
static void wait_for_end(struct cloud_call *call) {
    if (call->tail != NULL) return;
    call->tail = io_timer_open(call->cloud->loop, on_tail, call);
    io_timer_start(call->tail, TAIL_MS, 0);
}

/* Feeds the answer, or tells it that it has ended (data NULL). The owner may cancel the call in an event of the answer. false: the call is
 * gone. */
static bool feed(struct cloud_call *call, const void *data, size_t len, err_code *ret_code, struct err *e) {
    struct log_request before = log_enter(call->options.name);
    call->pushing = true;
    *ret_code = data != NULL ? cloud_answer_push(call->answer, data, len, e) : cloud_answer_end(call->answer, e);
    call->pushing = false;
    log_leave(&before);
    if (!call->cancelled) return true;
    cloud_cancel(call);
    return false;
}

static void on_body(void *user, const void *data, size_t len) {
    struct cloud_call *call = user;
    struct err e = {0};
    err_code code;
    if (call->status != 0) {
        buf_append(&call->error, data, len);
        return;
    }
    if (call->tail != NULL || !feed(call, data, len, &code, &e)) return;
    if (code != ERR_OK) end_with(call, code == ERR_LIMIT ? ERR_PROTOCOL : code, &e);
    else if (cloud_answer_is_over(call->answer)) wait_for_end(call);
}

/* What a status of an upstream means for our client. If something is wrong with our key or account, it is not the client's fault. */
static err_code code_of_status(int status) {
    static const struct {
        int first, last;
        err_code code;
    } rows[] = {{401, 403, ERR_UNAVAILABLE}, {404, 404, ERR_NO_MODEL},   {407, 407, ERR_UNAVAILABLE}, {408, 408, ERR_TIMEOUT},
                {413, 413, ERR_LIMIT},       {429, 429, ERR_BUSY},       {400, 499, ERR_INVALID},     {504, 504, ERR_TIMEOUT},
                {529, 529, ERR_BUSY},        {500, 599, ERR_UNAVAILABLE}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (status >= rows[i].first && status <= rows[i].last) return rows[i].code;
    return ERR_PROTOCOL;
}

static void end_with_status(struct cloud_call *call) {
    char said[240] = "";
    bool key = call->status == 401 || call->status == 403;
    err_code code = code_of_status(call->status);
    if (key) forget_key(call->endpoint);
    else cloud_answer_message(buf_cstr(&call->error), call->error.len, call->endpoint->key, said, sizeof(said));
    err_set(&call->err, code, "upstream \"%s\": %s (status %d)%s%s", call->endpoint->name,
            key                ? "it refuses our key"
            : code == ERR_BUSY ? "it has too many requests"
                               : "it refuses the request",
            call->status, said[0] != '\0' ? ": " : "", said);
    end_soon(call, code);
}

/* None of these are the client's fault: a certificate that isn't trusted, a wrong address in the routes file, an answer without end. */
static err_code code_of_end(err_code code) {
    if (code == ERR_AUTH) return ERR_NETWORK;
    if (code == ERR_INVALID) return ERR_UNAVAILABLE;
    return code == ERR_LIMIT ? ERR_PROTOCOL : code;
}

static void on_end(void *user, const struct outbound_end *end) {
    struct cloud_call *call = user;
    struct err e = {0};
    err_code code;
    call->request = NULL;
    call->unsent = !end->sent;
    if (call->status != 0) {
        end_with_status(call);
    } else if (cloud_answer_is_over(call->answer) || (end->code != ERR_OK && cloud_answer_is_complete(call->answer))) {
        end_soon(call, ERR_OK); /* all has come, however the connection has ended */
    } else if (end->code != ERR_OK) {
        end_with(call, code_of_end(end->code), end->err);
    } else if (feed(call, NULL, 0, &code, &e)) {
        if (code != ERR_OK) end_with(call, code, &e);
        else end_soon(call, ERR_OK);
    }
}

/* ---- the beginning of a call ---- */

static err_code send_ask(struct cloud_call *call, const struct cloud_ask *ask, struct err *e) {
    const struct cloud_options *o = &call->options;
    const struct upstream *u = o->upstream;
    struct outbound_header headers[6] = {{"Content-Type", "application/json"}};
    size_t n = 1;
    bool anthropic = u->api == UPSTREAM_ANTHROPIC;
    char *url = mem_printf("%s%s", u->url, ask->path), *bearer = NULL;
    const char *key = call->endpoint->key;
    if (key != NULL) bearer = mem_printf("%s%s", anthropic ? "" : "Bearer ", key);
    if (key != NULL) headers[n++] = (struct outbound_header){anthropic ? "x-api-key" : "Authorization", bearer};
    if (anthropic) headers[n++] = (struct outbound_header){"anthropic-version", "2023-06-01"};
    if (anthropic && o->beta != NULL) headers[n++] = (struct outbound_header){"anthropic-beta", o->beta};
    if (o->name->trace[0] != '\0') headers[n++] = (struct outbound_header){"traceparent", o->name->trace};
    if (o->name->trace[0] != '\0' && o->tracestate[0] != '\0') headers[n++] = (struct outbound_header){"tracestate", o->tracestate};
    const struct outbound_options out = {.url = url,
                                         .headers = headers,
                                         .n_headers = n,
                                         .body = ask->body.data,
                                         .body_len = ask->body.len,
                                         .ca_file = u->ca_file,
                                         .connect_ms = u->connect_s * 1000,
                                         .silent_ms = u->timeout_s * 1000,
                                         .max_body = CLOUD_MAX_ANSWER + 1,
                                         .on_head = on_head,
                                         .on_body = on_body,
                                         .on_end = on_end,
                                         .user = call};
    err_code code = outbound_start(call->cloud->outbound, &out, &call->request, e);
    free(bearer);
    free(url);
    return code;
}

static struct cloud_call *call_new(struct cloud *c, const struct cloud_options *options, const struct cloud_ask *ask) {
    struct cloud_call *call = MEM_NEW(struct cloud_call);
    *call = (struct cloud_call){.cloud = c,
                                .endpoint = endpoint_of(c, options->upstream),
                                .options = *options,
                                .most_prompt = ask->most_prompt,
                                .most_completion = ask->most_completion};
    buf_init(&call->error, MAX_ERROR);
    call->answer = cloud_answer_create(&(struct cloud_answer_options){
        .form = ask->form, .n_choices = ask->n_choices, .on_event = on_event, .on_vector = on_vector, .user = call});
    list_push_back(&c->calls, &call->link);
    call->endpoint->counts.running++;
    breaker_begin(&call->endpoint->breaker);
    return call;
}

static err_code begin(struct cloud *c, const struct cloud_options *options, const struct cloud_ask *ask, struct cloud_call **ret,
                      struct err *e) {
    const struct upstream *u = options->upstream;
    struct spend_hold hold;
    err_code code = need_key(endpoint_of(c, u), u, e);
    if (code == ERR_OK) code = spend_reserve(c->spend, u, options->model, ask->most_prompt, ask->most_completion, clock_wall_s(), &hold, e);
    if (code != ERR_OK) return code;
    struct cloud_call *call = call_new(c, options, ask);
    call->hold = hold;
    uint64_t most = ask->most_completion == UINT64_MAX ? (uint64_t)u->max_tokens : ask->most_completion;
    code = options->admit(options->user, ask->most_prompt + most, hold.amount, e);
    if (code == ERR_OK) code = send_ask(call, ask, e);
    if (code != ERR_OK) {
        call->unsent = true;
        settle(call, false);
        call_free(call);
        return code;
    }
    call->endpoint->counts.requests++;
    *ret = call;
    return ERR_OK;
}

uint32_t cloud_rest_s(const struct cloud *c, const char *upstream) {
    const struct endpoint *p = find(c, upstream);
    clock_us now = io_loop_now(c->loop);
    return p != NULL && p->breaker.until > now ? (uint32_t)((p->breaker.until - now) / 1000000) + 1 : 0;
}

/* An upstream that fails again and again, or has said that we ask too much, is left alone for a while. */
static err_code check_breaker(struct cloud *c, const struct upstream *u, struct err *e) {
    const struct endpoint *p = endpoint_of(c, u);
    if (breaker_allows(&p->breaker, io_loop_now(c->loop))) return ERR_OK;
    if (p->limited)
        return err_set(e, ERR_BUSY, "upstream \"%s\": it has said that we ask too much: it isn't asked for %u s", u->name,
                       cloud_rest_s(c, u->name));
    return err_set(e, ERR_UNAVAILABLE, "upstream \"%s\": it has failed again and again: it isn't asked for a while", u->name);
}

err_code cloud_start(struct cloud *c, const struct cloud_options *options, struct cloud_call **ret, struct err *e) {
    struct cloud_ask ask;
    err_code code = check_breaker(c, options->upstream, e);
    if (code != ERR_OK) return code;
    code = cloud_ask_make(options->api, options->request, options->upstream, options->model, options->system, &ask, e);
    if (code != ERR_OK) return code;
    code = begin(c, options, &ask, ret, e);
    cloud_ask_done(&ask);
    return code;
}

/* ---- counts ---- */

struct cloud_counts cloud_counts_of(const struct cloud *c, const char *upstream) {
    const struct endpoint *p = find(c, upstream);
    struct cloud_counts counts = p != NULL ? p->counts : (struct cloud_counts){0};
    spend_totals(c->spend, upstream, clock_wall_s(), &counts.day, &counts.month);
    return counts;
}

static void on_spent(void *user, const char *upstream, int64_t day, int64_t more) {
    struct cloud *c = user;
    store_spend_add(c->store, upstream, day, more);
}

static void on_rows(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct cloud *c = user;
    struct err e = *cause;
    c->reading = NULL;
    if (code == ERR_OK) code = spend_load(c->spend, text, len, clock_wall_s(), &e);
    if (code != ERR_OK) log_warn("cloud", "upstreams with a cap are not asked: %s", e.text);
}

/* ---- the whole ---- */

struct cloud *cloud_create(struct io_loop *loop, struct store *store) {
    struct cloud *c = MEM_NEW(struct cloud);
    *c = (struct cloud){.loop = loop, .store = store, .outbound = outbound_create(loop)};
    list_init(&c->calls);
    c->spend = spend_create(on_spent, c);
    c->reading = store_spend_read(store, spend_first_day(clock_wall_s()), on_rows, c);
    return c;
}

void cloud_free(struct cloud *c) {
    if (c == NULL) return;
    while (!list_empty(&c->calls)) cloud_cancel(LIST_ENTRY(c->calls.next, struct cloud_call, link));
    if (c->reading != NULL) store_cancel(c->reading);
    for (size_t i = 0; i < c->n_endpoints; i++) {
        forget_key(c->endpoints[i]);
        free(c->endpoints[i]);
    }
    free(c->endpoints);
    outbound_free(c->outbound);
    spend_free(c->spend);
    free(c);
}
