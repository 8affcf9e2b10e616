/* SPDX-License-Identifier: MIT
 * Running requests. See call.h. */
#include "gateway/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "grammar/schema.h"
#include "api/parse.h"
#include "base/mem.h"
#include "os/os.h"

enum { MAX_GRAMMAR = 1 << 20, MAX_SCHEMA = 1 << 20 };

/* ---- life ---- */

static void free_tokens(struct api_token *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) free(tokens[i].block);
    free(tokens);
}

static void call_free(struct call *call) {
    struct gateway *g = call->gateway;
    if (call->request.has_keep) gateway_keep_model(g, call->model, call->request.keep_s); /* whichever way it ends */
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        if (c->running != NULL) g->backend.cancel(g->backend.self, c->running);
        replay_free(c->replay);
        text_filter_done(&c->filter);
        choice_output_close(c);
        free_tokens(c->pending, c->n_pending);
        free(c->tokens);
        api_choice_done(&call->answer.choices[i]);
    }
    if (call->awaiting != NULL) g->backend.cancel(g->backend.self, call->awaiting);
    if (call->asking != NULL) store_cancel(call->asking);
    if (call->rendering != NULL) render_cancel(g->render, call->rendering);
    if (call->counting != NULL) g->backend.cancel(g->backend.self, call->counting);
    *call->slot = call->next;
    if (call->next != NULL) call->next->slot = call->slot;
    g->n_calls--;
    buf_done(&call->answer.prefix);
    free(call->answer.choices);
    free(call->choices);
    free(call->model);
    free(call->tmpl);
    api_request_done(&call->request);
    free(call);
}

/* Once, at the call's end, whatever end that is: what it used so far. */
static void count_usage(struct call *call) {
    struct gateway_metrics *m = &call->gateway->metrics;
    struct api_usage *u = &call->answer.usage;
    for (uint32_t i = 0; i < call->n_choices; i++) {
        const struct choice *c = &call->choices[i];
        u->completion_tokens += c->completion_tokens;
        if (i % call->request.n != 0) continue; /* a prompt counts once, whatever n is */
        u->prompt_tokens += c->prompt_tokens;
        u->cached_tokens += c->cached_tokens;
    }
    metrics_count(m, METRIC_PROMPT_TOKENS, u->prompt_tokens);
    metrics_count(m, METRIC_CACHED_TOKENS, u->cached_tokens);
    metrics_count(m, METRIC_COMPLETION_TOKENS, u->completion_tokens);
    metrics_count(m, METRIC_DRAFT_TOKENS, u->draft_tokens);
    metrics_count(m, METRIC_DRAFT_ACCEPTED, u->draft_accepted);
}

static void on_gone(void *user) {
    struct call *call = user;
    log_debug("gateway", "%s: the client has gone", call->answer.id);
    metrics_count(&call->gateway->metrics, METRIC_GONE, 1);
    count_usage(call);
    call_free(call);
}

static void call_fail(struct call *call, err_code code, const struct err *e) {
    struct http_exchange *x = call->x;
    const struct api *api = call->api;
    metrics_count(&call->gateway->metrics, METRIC_FAILED, 1);
    count_usage(call);
    if (!http_stream_started(x)) {
        gateway_answer_error(api, x, code, e);
    } else {
        struct buf *out = &call->gateway->scratch;
        struct api_event ev = {.kind = API_FAIL, .code = code, .err = e};
        buf_clear(out);
        api->stream(&call->answer, &ev, out);
        http_stream_write(x, out->data, out->len);
        http_stream_end(x);
    }
    call_free(call);
}

/* ---- events out ---- */

static void stream_event(struct call *call, const struct api_event *ev) {
    struct buf *out = &call->gateway->scratch;
    if (!http_stream_started(call->x)) {
        http_response_header(call->x, "Cache-Control", "no-cache");
        http_response_header(call->x, "X-Accel-Buffering", "no"); /* nginx would hold the stream back */
        if (call->partial_format || call->partial_tools) http_response_header(call->x, "x-caravan-schema", "unchecked");
        http_stream_start(call->x, 200, call->api->stream_type);
    }
    buf_clear(out);
    call->api->stream(&call->answer, ev, out);
    http_stream_write(call->x, out->data, out->len);
    call->last_write = io_loop_now(call->gateway->loop);
}

/* What a choice gives is kept until its end: for an answer in one piece, and where the stream's last event has it all again. */
static bool collects(const struct call *call) { return !call->request.stream || call->api->keeps_items; }

/* An event of a choice: to the client, or collected for later, or both. */
void choice_emit(struct choice *c, const struct api_event *ev) {
    struct call *call = c->call;
    if (!call->first_text && ev->kind == API_TEXT) {
        call->first_text = true;
        metrics_observe(&call->gateway->metrics, METRIC_FIRST_TEXT, io_loop_now(call->gateway->loop) - call->started);
    }
    if (collects(call)) api_choice_collect(&call->answer.choices[c->index], ev);
    if (call->request.stream) stream_event(call, ev);
}

/* Gives text that the filter has let through, with the tokens whose text is all out (a token that a stop string cuts through may be left
 * for last, without text). */
void choice_give(struct choice *c, const struct buf *text) {
    struct call *call = c->call;
    size_t n = 0;
    while (n < c->n_pending && c->pending[n].text_end <= c->filter.given) n++;
    if (text->len == 0 && !(n > 0 && c->filter.stopped)) return;
    struct api_event ev = {.kind = API_TEXT,
                           .choice = c->index,
                           .text = text->len > 0 ? (const char *)text->data : "",
                           .len = text->len,
                           .start = c->filter.given - text->len,
                           .tokens = c->pending,
                           .n_tokens = n};
    choice_emit(c, &ev);
    for (size_t i = 0; i < n && !collects(call); i++) free(c->pending[i].block);
    c->n_pending -= n;
    if (n > 0) memmove(c->pending, c->pending + n, c->n_pending * sizeof(*c->pending));
}

static void count_finished(const struct call *call) {
    struct gateway_metrics *m = &call->gateway->metrics;
    const struct api_usage *u = &call->answer.usage;
    metrics_count(m, METRIC_FINISHED, 1);
    metrics_observe(m, METRIC_DURATION, io_loop_now(call->gateway->loop) - call->started);
    if (call->n_choices > 0) metrics_observe(m, METRIC_QUEUED, (clock_us)u->queued_us);
}

/* The response, as the client got it in one piece or could have got it. */
static void call_store(struct call *call) {
    const struct api_request *r = &call->request;
    if (!r->store || r->input == NULL) return;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    call->api->whole(&call->answer, &text);
    store_response_put(call->gateway->store, &(struct store_response){.owner = call->owner,
                                                                      .id = call->answer.id,
                                                                      .previous = r->previous,
                                                                      .input = r->input,
                                                                      .created = call->answer.created,
                                                                      .response = buf_cstr(&text)});
    buf_done(&text);
}

static bool ask_again(struct call *call, const struct err *why);

static void call_finish(struct call *call) {
    const struct api_usage *u = &call->answer.usage;
    struct err e = {0};
    bool fits = true;
    err_code code = call->request.stream ? ERR_OK : call_check(call, &fits, &e);
    if (!fits && ask_again(call, &e)) return;
    if (code != ERR_OK) {
        call_fail(call, code, &e);
        return;
    }
    if (!fits) http_response_header(call->x, "x-caravan-schema", "unchecked");
    count_usage(call);
    log_debug("gateway", "%s: done, %llu prompt and %llu completion tokens", call->answer.id, (unsigned long long)u->prompt_tokens,
              (unsigned long long)u->completion_tokens);
    count_finished(call);
    call_store(call);
    if (call->request.stream) {
        struct api_event ev = {.kind = API_END};
        stream_event(call, &ev);
        http_stream_end(call->x);
    } else {
        struct buf out;
        buf_init(&out, SIZE_MAX - 1);
        call->api->whole(&call->answer, &out);
        gateway_respond(call->x, 200, call->api->whole_type, &out);
    }
    call_free(call);
}

/* ---- events in ---- */

static void choice_begin(struct choice *c) {
    if (c->begun) return;
    c->begun = true;
    struct api_event ev = {.kind = API_BEGIN, .choice = c->index, .prompt_tokens = c->prompt_tokens, .cached_tokens = c->cached_tokens};
    choice_emit(c, &ev);
}

/* The choice is complete; true when it was the last one, and the call is gone. */
static bool choice_finish(struct choice *c, enum api_finish finish) {
    struct call *call = c->call;
    c->finished = true;
    call->answer.choices[c->index].finish = finish;
    call->answer.choices[c->index].stop = c->filter.found;
    struct api_event ev = {.kind = API_FINISH, .choice = c->index, .text = "", .start = c->filter.given, .finish = finish};
    choice_emit(c, &ev);
    if (--call->n_running > 0) return false;
    call_finish(call);
    return true;
}

static void choice_count(struct choice *c, const struct request_event *ev) {
    if (ev->prompt_tokens > 0) c->prompt_tokens = ev->prompt_tokens;
    if (ev->cached_tokens > 0 && c->replay == NULL) c->cached_tokens = ev->cached_tokens; /* where it began */
    if (ev->completion_tokens > 0) c->completion_tokens = ev->completion_tokens;
}

static void journal_token(struct choice *c, int32_t token) {
    if (c->n_tokens == c->cap_tokens) {
        c->cap_tokens = c->cap_tokens == 0 ? 64 : 2 * c->cap_tokens;
        c->tokens = mem_realloc(c->tokens, c->cap_tokens, sizeof(*c->tokens));
    }
    c->tokens[c->n_tokens++] = token;
}

/* Keeps what logprobs need of a token: one block holds its alternatives and all pieces. */
void choice_keep(struct choice *c, const struct request_event *ev, size_t text_start) {
    size_t bytes = ev->piece_len;
    for (uint32_t i = 0; i < ev->n_top; i++) bytes += ev->top[i].piece_len;
    struct api_top *top = mem_alloc(ev->n_top * sizeof(*top) + bytes + 1);
    char *at = (char *)(top + ev->n_top);
    struct api_token t = {.piece = at,
                          .len = ev->piece_len,
                          .logprob = ev->logprob,
                          .n_top = ev->n_top,
                          .top = top,
                          .text_start = text_start,
                          .text_end = text_filter_seen(&c->filter),
                          .block = top};
    memcpy(at, ev->piece, ev->piece_len);
    at += ev->piece_len;
    for (uint32_t i = 0; i < ev->n_top; i++) {
        top[i] = (struct api_top){.piece = at, .len = ev->top[i].piece_len, .logprob = ev->top[i].logprob};
        memcpy(at, ev->top[i].piece, ev->top[i].piece_len);
        at += ev->top[i].piece_len;
    }
    if (c->n_pending == c->cap_pending) {
        c->cap_pending = c->cap_pending == 0 ? 8 : 2 * c->cap_pending;
        c->pending = mem_realloc(c->pending, c->cap_pending, sizeof(*c->pending));
    }
    c->pending[c->n_pending++] = t;
}

/* A stop string was found: tokens wholly behind it are not the client's; the one it cuts through ends with the text. */
void choice_cut(struct choice *c) {
    while (c->n_pending > 0 && c->pending[c->n_pending - 1].text_start >= c->filter.given) free(c->pending[--c->n_pending].block);
    for (size_t i = 0; i < c->n_pending; i++)
        if (c->pending[i].text_end > c->filter.given) c->pending[i].text_end = c->filter.given;
}

/* A token's text where all is content. True: a stop string has been found. */
static bool plain_token(struct choice *c, const struct request_event *ev) {
    struct buf *text = &c->call->gateway->text;
    size_t text_start = text_filter_seen(&c->filter), len = ev->control ? 0 : ev->piece_len; /* markup is nobody's text */
    buf_clear(text);
    bool stopped = text_filter_push(&c->filter, ev->piece, len, text);
    if (c->call->request.logprobs && len > 0) choice_keep(c, ev, text_start);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

static bool plain_finish(struct choice *c) {
    struct buf *text = &c->call->gateway->text;
    buf_clear(text);
    bool stopped = text_filter_finish(&c->filter, text);
    if (stopped) choice_cut(c);
    choice_give(c, text);
    return stopped;
}

static enum api_finish finish_of(const struct choice *c, const struct request_event *ev, bool stopped) {
    if (stopped) return API_FINISH_STOP;
    if (ev->finish == REQUEST_FINISH_LENGTH || c->cut) return API_FINISH_LENGTH;
    return c->output != NULL && output_calls(c->output) > 0 ? API_FINISH_CALLS : API_FINISH_STOP;
}

static void on_token(struct choice *c, const struct request_event *ev) {
    struct gateway *g = c->call->gateway;
    journal_token(c, ev->token);
    choice_count(c, ev);
    if (!(c->output != NULL ? choice_output_token(c, ev) : plain_token(c, ev))) return;
    struct backend_call *running = c->running;
    c->running = NULL;
    g->backend.cancel(g->backend.self, running);
    choice_finish(c, API_FINISH_STOP);
}

static void on_done(struct choice *c, const struct request_event *ev) {
    struct call *call = c->call;
    c->running = NULL;
    choice_count(c, ev);
    if (ev->finish == REQUEST_FINISH_CANCELLED) {
        struct err e = {0};
        call_fail(call, err_set(&e, ERR_CANCELLED, "the node stopped this request"), &e);
        return;
    }
    struct api_usage *u = &call->answer.usage;
    u->draft_tokens += ev->draft_tokens;
    u->draft_accepted += ev->draft_accepted;
    u->queued_us = ev->queued_us;
    u->prefill_us = ev->prefill_us;
    u->decode_us = ev->decode_us;
    u->n_hop = ev->n_hop < REQUEST_MAX_HOPS ? ev->n_hop : REQUEST_MAX_HOPS;
    memcpy(u->hops, ev->hops, u->n_hop * sizeof(*u->hops));
    bool stopped = c->output != NULL ? choice_output_finish(c) : plain_finish(c);
    choice_finish(c, finish_of(c, ev, stopped));
}

static void on_backend_event(void *user, const struct request_event *ev);

static err_code choice_submit(struct choice *c, struct err *e) {
    struct backend *b = &c->call->gateway->backend;
    struct request r;
    choice_journal(c, &r);
    r.alone = replay_is_suspect(c->replay);
    return b->submit(b->self, &r, on_backend_event, c, &c->running, e);
}

static err_code choice_send_again(void *user, struct err *e) { return choice_submit(user, e); }

static void choice_give_up(void *user, err_code code, const struct err *e) { call_fail(((struct choice *)user)->call, code, e); }

/* What is to be sent of it, it has sent; the client sees a pause. */
static void choice_lost(struct choice *c, const struct err *why) {
    struct call *call = c->call;
    const struct replay_owner owner = {
        .model = call->model, .what = call->answer.id, .user = c, .send = choice_send_again, .fail = choice_give_up};
    replay_lost(&c->replay, call->gateway, &owner, why);
}

static void on_backend_event(void *user, const struct request_event *ev) {
    struct choice *c = user;
    if (c->finished) return;
    if (ev->kind != REQUEST_FAILED) replay_runs(c->replay, ev->kind == REQUEST_TOKEN);
    switch (ev->kind) {
    case REQUEST_STARTED:
        choice_count(c, ev);
        choice_begin(c);
        break;
    case REQUEST_TOKEN:
        choice_begin(c);
        on_token(c, ev);
        break;
    case REQUEST_VECTOR: /* nobody asked for one here */ break;
    case REQUEST_DONE:
        choice_begin(c);
        on_done(c, ev);
        break;
    case REQUEST_FAILED:
        c->running = NULL;
        if (replay_may(c->call->gateway, ev->err.code)) choice_lost(c, &ev->err);
        else call_fail(c->call, ev->err.code, &ev->err);
        break;
    }
}

/* ---- start ---- */

/* Messages of text alone, in the form of all others. */
static void chat_of_messages(struct api_request *r) {
    if (r->n_messages == 0 || r->chat != NULL) return;
    api_chat_begin(r);
    for (size_t i = 0; i < r->n_messages; i++) api_chat_add(r, r->messages[i].role, r->messages[i].content, strlen(r->messages[i].content));
}

void choice_journal(const struct choice *c, struct request *ret) {
    const struct api_request *r = &c->call->request;
    const struct api_prompt *p = &r->prompts[c->index / r->n];
    *ret = (struct request){
        .model = c->call->model,
        .text = (char *)(uintptr_t)p->text,
        .text_len = p->len,
        .add_bos = !p->has_bos,
        .parse_special = true,
        .tokens = (int32_t *)(uintptr_t)p->tokens,
        .n_tokens = p->n_tokens,
        .generated = c->tokens,
        .n_generated = c->n_tokens,
        .max_tokens = r->max_tokens,
        .ignore_eos = r->ignore_eos,
        .sampling = r->sampling,
    };
    ret->sampling.seed = c->seed;
}

static uint64_t random_u64(void) {
    uint64_t n;
    os_random(&n, sizeof(n));
    return n;
}

static void make_choices(struct call *call) {
    const struct api_request *r = &call->request;
    call->n_choices = (uint32_t)r->n_prompts * r->n;
    call->choices = mem_calloc(call->n_choices, sizeof(*call->choices));
    call->answer.choices = mem_calloc(call->n_choices, sizeof(*call->answer.choices));
    call->answer.n_choices = call->n_choices;
    uint64_t seed = r->has_seed ? r->sampling.seed : random_u64();
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        c->call = call;
        c->index = i;
        c->seed = seed + (i % r->n) * 0x9E3779B97F4A7C15u; /* the first choice has the client's own seed */
        text_filter_init(&c->filter, r->stops, r->n_stops);
        choice_output_open(c);
        api_choice_init(&call->answer.choices[i]);
    }
}

static err_code submit_choices(struct call *call, struct err *e) {
    for (uint32_t i = 0; i < call->n_choices; i++) {
        struct choice *c = &call->choices[i];
        err_code code = choice_submit(c, e);
        if (code != ERR_OK && !replay_may(call->gateway, code)) return code;
        call->n_running++;
        if (code != ERR_OK) choice_lost(c, e); /* it was ready a moment ago */
    }
    return ERR_OK;
}

static err_code parse_body(struct call *call, const struct http_request *http, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse_exact(http->body, http->body_len, &doc, e); /* schemas and arguments go on as they came */
    if (code == ERR_LIMIT) code = e->code = ERR_FORMAT; /* too deep: malformed, as far as the client is concerned */
    if (code == ERR_OK) code = call->api->parse(yyjson_doc_get_root(doc), &call->request, e);
    yyjson_doc_free(doc);
    return code;
}

/* Has it been prepared, and is there nothing to do? */
static bool call_is_empty(const struct call *call) {
    return call->n_choices == 0 && call->counting == NULL && call->asking == NULL && call->awaiting == NULL && call->rendering == NULL;
}

static void on_counted(void *user, err_code code, const struct backend_text *text, const struct err *e) {
    struct call *call = user;
    call->counting = NULL;
    if (code != ERR_OK) {
        call_fail(call, code, e);
        return;
    }
    call->answer.usage.prompt_tokens = text->n;
    call_finish(call);
}

static err_code start_counting(struct call *call, struct err *e) {
    struct backend *b = &call->gateway->backend;
    const struct api_prompt *p = &call->request.prompts[0];
    return b->tokenize(b->self, call->model, p->text, p->len, !p->has_bos, true, on_counted, call, &call->counting, e);
}

/* What the answer must look like, as a grammar. */
static err_code make_grammar(struct call *call, struct err *e) {
    struct api_request *r = &call->request;
    if (r->format == API_FORMAT_TEXT) return ERR_OK;
    if (r->schema != NULL && strlen(r->schema) > MAX_SCHEMA)
        return err_set(e, ERR_INVALID, "field \"%s\": the schema has %zu bytes, at most %d are allowed", r->format_field, strlen(r->schema),
                       MAX_SCHEMA);
    if (r->sampling.grammar != NULL)
        return err_set(e, ERR_INVALID, "field \"%s\": a grammar is given, too: leave one of them out", r->format_field);
    struct buf grammar;
    yyjson_doc *doc = NULL;
    const struct schema_options options = {.closed = true, .ret_partial = &call->partial_format};
    buf_init(&grammar, MAX_GRAMMAR);
    err_code code = ERR_OK;
    if (r->format == API_FORMAT_JSON) {
        schema_any_object(&grammar);
    } else {
        code = json_parse(r->schema, strlen(r->schema), &doc, e);
        if (code == ERR_OK) code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, e);
        yyjson_doc_free(doc);
    }
    if (code == ERR_OK) r->sampling.grammar = mem_strdup(buf_cstr(&grammar));
    else err_prefix(e, "field \"%s\"", r->format_field);
    buf_done(&grammar);
    return code == ERR_LIMIT ? ERR_INVALID : code;
}

/* The prompt is there: the work begins. */
static err_code begin(struct call *call, struct err *e) {
    const struct api_request *r = &call->request;
    err_code code = call_output_prepare(call, e);
    if (code != ERR_OK) return code;
    if (r->n_prompts == 0 && !call->api->may_be_empty)
        return err_set(e, ERR_INVALID, "the request has nothing to answer: no prompt and no message");
    if (call->api->counts) return start_counting(call, e);
    make_choices(call);
    return submit_choices(call, e);
}

static void on_rendered(void *user, err_code code, const struct render_answer *answer, const struct err *cause) {
    struct call *call = user;
    struct api_request *r = &call->request;
    struct err e = *cause;
    call->rendering = NULL;
    if (code == ERR_OK) {
        r->prompts = arena_alloc(r->arena, sizeof(*r->prompts));
        r->n_prompts = 1;
        r->prompts[0] =
            (struct api_prompt){.text = arena_strndup(r->arena, answer->text, answer->len), .len = answer->len, .has_bos = answer->has_bos};
        code = begin(call, &e);
    }
    if (code != ERR_OK) call_fail(call, code, &e);
}

static err_code start_rendering(struct call *call, const struct backend_model *model, struct err *e) {
    struct api_request *r = &call->request;
    if (model->chat_template == NULL || *model->chat_template == '\0') {
        err_set(e, ERR_UNSUPPORTED, "the model \"%s\" has no chat template", model->id);
        err_hint(e, "it continues text: use /v1/completions");
        return ERR_UNSUPPORTED;
    }
    call->tmpl = mem_strdup(model->chat_template);
    bool shows_tools = call->shows_tools = call_tools_tell(call); /* may change the chat */
    const struct render_chat chat = {.tmpl = call->tmpl,
                                     .bos = model->bos,
                                     .eos = model->eos,
                                     .messages = r->chat,
                                     .tools = shows_tools ? r->chat_tools : NULL,
                                     .extra = r->chat_extra,
                                     .now = clock_wall_s()};
    call->rendering = render_chat(call->gateway->render, &chat, on_rendered, call);
    return ERR_OK;
}

/* ---- once more, with what was wrong ---- */

static void choice_reset(struct choice *c) {
    struct call *call = c->call;
    struct api_usage *u = &call->answer.usage;
    u->prompt_tokens += c->prompt_tokens;
    u->cached_tokens += c->cached_tokens;
    u->completion_tokens += c->completion_tokens;
    c->prompt_tokens = c->cached_tokens = c->completion_tokens = 0;
    c->finished = c->cut = false;
    c->n_tokens = c->tail_len = 0;
    text_filter_done(&c->filter);
    text_filter_init(&c->filter, call->request.stops, call->request.n_stops);
    choice_output_close(c);
    choice_output_open(c);
    free_tokens(c->pending, c->n_pending);
    c->pending = NULL;
    c->n_pending = c->cap_pending = 0;
    api_choice_done(&call->answer.choices[c->index]);
    api_choice_init(&call->answer.choices[c->index]);
}

static void on_rendered_again(void *user, err_code code, const struct render_answer *answer, const struct err *cause) {
    struct call *call = user;
    struct api_request *r = &call->request;
    struct err e = *cause;
    call->rendering = NULL;
    if (code == ERR_OK) {
        r->prompts[0] =
            (struct api_prompt){.text = arena_strndup(r->arena, answer->text, answer->len), .len = answer->len, .has_bos = answer->has_bos};
        choice_reset(&call->choices[0]);
        code = submit_choices(call, &e);
    }
    if (code != ERR_OK) call_fail(call, code, &e);
}

/* What the model wrote, as it goes back to it: the text, or the calls as JSON. */
static void append_written(const struct api_choice_text *c, struct buf *out) {
    for (size_t i = 0; i < c->n_items; i++) {
        size_t len;
        const char *text = api_item_text(c, &c->items[i], &len);
        if (c->items[i].kind == API_REASONING) continue;
        if (c->items[i].kind == API_CALL) buf_printf(out, "%s ", c->items[i].name);
        buf_append(out, text, len);
    }
}

/* An answer in one piece that doesn't fit its schema: the model is told why, once. False: it isn't. */
static bool ask_again(struct call *call, const struct err *why) {
    struct api_request *r = &call->request;
    const struct backend_model *model = NULL;
    struct buf written;
    if (call->asked_again || call->n_choices != 1 || r->chat == NULL || call->tmpl == NULL) return false;
    if (gateway_find_model(call->gateway, call->model, &model, NULL) != ERR_OK || !model->ready) return false;
    call->asked_again = true;
    log_debug("gateway", "%s: asked again: %s", call->answer.id, why->text);
    buf_init(&written, SIZE_MAX - 1);
    append_written(&call->answer.choices[0], &written);
    api_chat_add(r, "assistant", buf_cstr(&written), written.len);
    buf_clear(&written);
    buf_printf(&written, "That is not right: %s. Answer again, in the same form, and put this right.", why->text);
    api_chat_add(r, "user", buf_cstr(&written), written.len);
    buf_done(&written);
    const struct render_chat chat = {.tmpl = call->tmpl,
                                     .bos = model->bos,
                                     .eos = model->eos,
                                     .messages = r->chat,
                                     .tools = call->shows_tools ? r->chat_tools : NULL,
                                     .extra = r->chat_extra,
                                     .now = clock_wall_s()};
    call->rendering = render_chat(call->gateway->render, &chat, on_rendered_again, call);
    return true;
}

/* A prompt and what comes after it, in the model's own tokens for that: prefix, suffix, and then the middle is written. */
static err_code make_infill(struct api_request *r, const struct backend_model *model, struct err *e) {
    const struct model_facts *f = &model->facts;
    if (r->suffix == NULL) return ERR_OK;
    if (f->fim_pre[0] == '\0') {
        err_set(e, ERR_UNSUPPORTED, "field \"suffix\": the model \"%s\" has no infill tokens", model->id);
        err_hint(e, "leave it out, or ask a model that was trained to fill in");
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; i < r->n_prompts; i++) {
        struct api_prompt *p = &r->prompts[i];
        struct buf text;
        if (p->text == NULL) return err_set(e, ERR_UNSUPPORTED, "field \"suffix\": only text prompts have one, not token ids");
        buf_init(&text, SIZE_MAX - 1);
        buf_append_str(&text, f->fim_pre);
        buf_append(&text, p->text, p->len);
        buf_append_str(&text, f->fim_suf);
        buf_append(&text, r->suffix, r->suffix_len);
        buf_append_str(&text, f->fim_mid);
        char *made = arena_alloc(r->arena, text.len);
        memcpy(made, text.data, text.len);
        *p = (struct api_prompt){.text = made, .len = text.len};
        buf_done(&text);
    }
    return ERR_OK;
}

static err_code go_on(struct call *call, yyjson_val *chain, struct err *e);

static void on_model(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct call *call = user;
    struct err e = *cause;
    (void)text;
    call->awaiting = NULL;
    if (code == ERR_OK) code = go_on(call, NULL, &e);
    if (code != ERR_OK) call_fail(call, code, &e);
    else if (call_is_empty(call)) call_finish(call);
}

/* The model is being loaded, or will be: the request waits, and a stream's client hears now and then that it does. */
static err_code await_model(struct call *call, struct err *e) {
    struct backend *b = &call->gateway->backend;
    return b->await(b->self, call->model, on_model, call, &call->awaiting, e);
}

/* All of the request is there, and the chat before it (chain; NULL: none). */
static err_code go_on(struct call *call, yyjson_val *chain, struct err *e) {
    struct api_request *r = &call->request;
    const struct backend_model *model = NULL;
    err_code code;
    if (call->model == NULL && call->api->resume != NULL && (code = call->api->resume(chain, r, e)) != ERR_OK) return code;
    if ((code = gateway_find_model(call->gateway, call->model != NULL ? call->model : r->model, &model, e)) != ERR_OK) return code;
    if (call->model == NULL) call->model = mem_strdup(model->id);
    call->answer.model = call->model;
    if (!model->ready && r->n_prompts == 0 && yyjson_mut_arr_size(r->chat) == 0 && r->has_keep && r->keep_s == 0)
        return ERR_OK; /* it only asks for it to be unloaded */
    if (!model->ready && model->loadable && call->gateway->backend.await != NULL) return await_model(call, e);
    if (!model->ready)
        return err_set(e, ERR_UNAVAILABLE, "the model \"%s\" is not ready: %s", model->id,
                       model->message != NULL && model->message[0] ? model->message : "it is still loading");
    if ((code = make_grammar(call, e)) != ERR_OK) return code;
    if ((code = make_infill(r, model, e)) != ERR_OK) return code;
    chat_of_messages(r);
    return yyjson_mut_arr_size(r->chat) > 0 ? start_rendering(call, model, e) : begin(call, e);
}

static void on_chain(void *user, err_code code, const char *text, size_t len, const struct err *cause) {
    struct call *call = user;
    struct err e = *cause;
    yyjson_doc *doc = NULL;
    call->asking = NULL;
    if (code == ERR_NOT_FOUND)
        code = err_set(&e, ERR_INVALID, "field \"previous_response_id\": there is no response \"%.80s\" here", call->request.previous);
    if (code == ERR_OK && (doc = yyjson_read(text, len, 0)) == NULL)
        code = err_set(&e, ERR_INTERNAL, "the stored conversation cannot be read");
    if (code == ERR_OK) code = go_on(call, yyjson_doc_get_root(doc), &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) call_fail(call, code, &e);
}

static err_code prepare(struct call *call, struct err *e) {
    err_code code = parse_body(call, http_request(call->x), e);
    if (code != ERR_OK || call->request.previous == NULL) return code == ERR_OK ? go_on(call, NULL, e) : code;
    call->asking = store_response_chain(call->gateway->store, call->owner, call->request.previous, on_chain, call);
    return ERR_OK;
}

void call_start(struct gateway *g, struct http_exchange *x, const struct api *api) {
    struct call *call = MEM_NEW(struct call);
    *call = (struct call){.gateway = g, .next = g->calls, .slot = &g->calls, .api = api, .x = x, .last_write = io_loop_now(g->loop)};
    if (call->next != NULL) call->next->slot = &call->next;
    g->calls = call;
    g->n_calls++;
    call->started = call->last_write;
    metrics_count(&g->metrics, METRIC_REQUESTS, 1);
    api_request_init(&call->request);
    gateway_keys_owner(&g->keys, http_request(x), call->owner);
    struct api_answer *a = &call->answer;
    a->request = &call->request;
    a->model = "";
    a->fingerprint = g->fingerprint;
    a->created = clock_wall_s();
    snprintf(a->id, sizeof(a->id), "%s%016llx%08llx", api->id_prefix, (unsigned long long)random_u64(), (unsigned long long)++g->id_state);
    buf_init(&a->prefix, 4096);
    struct err e = {0};
    err_code code = prepare(call, &e);
    if (code != ERR_OK) {
        call_fail(call, code, &e);
        return;
    }
    if (call_is_empty(call)) call_finish(call);
    else http_exchange_on_gone(x, on_gone, call);
}

void call_ping_all(struct gateway *g) {
    clock_us now = io_loop_now(g->loop);
    for (struct call *call = g->calls; call != NULL; call = call->next) {
        if (!call->request.stream || now - call->last_write < (clock_us)g->ping_ms * 1000) continue;
        if (!http_stream_started(call->x)) {
            http_response_header(call->x, "Cache-Control", "no-cache");
            http_stream_start(call->x, 200, call->api->stream_type);
        }
        http_stream_write(call->x, call->api->ping, strlen(call->api->ping));
        call->last_write = now;
    }
}
