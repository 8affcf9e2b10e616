/* SPDX-License-Identifier: MIT
 * A choice's text on its way from the engine to the API: taken apart into reasoning, content and tool calls where the model writes such;
 * stop strings are looked for in the content alone. And, before that, what the request's tools mean for the prompt and the sampling. */
#include <stdlib.h>
#include <string.h>

#include "gateway/call.h"
#include "chat/toolcall_grammar.h"
#include "chat/toolcall_words.h"

/* ---- before ---- */

static bool tools_wanted(const struct api_request *r) { return r->n_tools > 0 && r->tool_choice != API_TOOLS_NONE; }

bool call_tools_tell(struct call *call) {
    struct api_request *r = &call->request;
    call->output.format = toolcall_detect(call->tmpl);
    if (!call->output.format->generic) return tools_wanted(r);
    toolcall_words(r->doc, r->chat, r->tools, tools_wanted(r) ? r->n_tools : 0);
    return false;
}

/* FNV-1a: ids of calls must differ between answers, whatever their seed. */
static uint64_t id_seed(const char *id) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *id != '\0'; id++) h = (h ^ (uint8_t)*id) * 0x100000001B3u;
    return h;
}

static err_code tools_grammar(struct call *call, struct err *e) {
    struct api_request *r = &call->request;
    bool required = r->tool_choice == API_TOOLS_REQUIRED || r->tool_choice == API_TOOLS_NAMED;
    if (!tools_wanted(r)) return ERR_OK;
    char *answer = r->format != API_FORMAT_TEXT ? r->sampling.grammar : NULL; /* a call may come instead, or has to */
    if (r->sampling.grammar != NULL && answer == NULL) {
        if (!required) return ERR_OK; /* the answer's form was asked for: it holds for all of the answer */
        return err_set(e, ERR_INVALID,
                       "field \"tool_choice\": a tool call is required, but a schema or grammar for the answer is given, "
                       "too: leave one of them out");
    }
    const struct output_options *o = &call->output;
    const struct toolcall_wish wish = {.format = o->format,
                                       .reasoning = o->reasoning,
                                       .reasoning_open = o->reasoning_open,
                                       .tools = r->tools,
                                       .n_tools = r->n_tools,
                                       .required = required,
                                       .single = r->single_tool,
                                       .answer = required ? NULL : answer,
                                       .partial = &call->partial_tools,
                                       .only = r->tool_choice == API_TOOLS_NAMED ? r->tool_name : NULL};
    struct err why = {0};
    r->sampling.grammar = NULL;
    err_code code = toolcall_grammar_make(&wish, &r->sampling, &why);
    if (code == ERR_OK) free(answer);
    else r->sampling.grammar = answer;
    if (code == ERR_LIMIT && !required) return ERR_OK; /* too many for a grammar: the model is trusted to write calls as it should */
    if (code != ERR_OK) *e = why;
    return code;
}

err_code call_output_prepare(struct call *call, struct err *e) {
    const struct api_request *r = &call->request;
    struct output_options *o = &call->output;
    if (r->chat == NULL || r->n_prompts == 0) return ERR_OK; /* plain text goes on as plain text */
    if (o->format == NULL) o->format = toolcall_detect(call->tmpl);
    if (!o->format->harmony) o->reasoning = toolcall_detect_reasoning(call->tmpl);
    o->reasoning_open = toolcall_reasoning_open(o->reasoning, r->prompts[0].text, r->prompts[0].len);
    o->tools = r->tools;
    o->n_tools = tools_wanted(r) ? r->n_tools : 0;
    o->max_calls = r->single_tool ? 1 : 0;
    o->seed = id_seed(call->answer.id);
    return tools_grammar(call, e);
}

/* ---- out ---- */

/* Tokens whose text is not content have no place in its log probabilities. */
static void drop_pending(struct choice *c) {
    for (size_t i = 0; i < c->n_pending; i++) free(c->pending[i].block);
    c->n_pending = 0;
}

static void give_content(struct choice *c, bool stopped, const struct buf *text) {
    if (stopped) choice_cut(c);
    choice_give(c, text);
}

static void on_output(void *user, const struct output_event *ev) {
    static const enum api_event_kind kinds[] = {[OUTPUT_CONTENT] = API_TEXT,
                                                [OUTPUT_REASONING] = API_REASONING,
                                                [OUTPUT_CALL] = API_CALL,
                                                [OUTPUT_ARGUMENTS] = API_ARGUMENTS,
                                                [OUTPUT_CALL_END] = API_CALL_END};
    struct choice *c = user;
    struct buf *text = &c->call->gateway->text;
    if (c->filter.stopped) return;
    buf_clear(text);
    if (ev->kind == OUTPUT_CONTENT) {
        bool stopped = text_filter_push(&c->filter, ev->text, ev->len, text);
        give_content(c, stopped, text);
        return;
    }
    if (ev->kind == OUTPUT_CALL) { /* what may have become a stop string has not: it comes before the call */
        bool stopped = text_filter_finish(&c->filter, text);
        give_content(c, stopped, text);
        if (stopped) return;
    }
    drop_pending(c);
    struct api_event out = {
        .kind = kinds[ev->kind], .choice = c->index, .text = ev->text, .len = ev->len, .call = ev->call, .id = ev->id, .whole = ev->whole};
    if (ev->kind == OUTPUT_CALL_END && !ev->whole) c->cut = true;
    choice_emit(c, &out);
}

void choice_output_open(struct choice *c) {
    struct output_options o = c->call->output;
    o.seed += c->index;
    buf_init(&c->clean, SIZE_MAX - 1); /* one token's text */
    if (output_needed(&o)) c->output = output_create(&o, on_output, c);
}

void choice_output_close(struct choice *c) {
    output_free(c->output);
    buf_done(&c->clean);
}

/* A character that was begun, and will not be finished. */
static void end_character(struct choice *c) {
    if (c->tail_len == 0) return;
    c->tail_len = 0;
    output_push(c->output, "\xEF\xBF\xBD", 3);
}

bool choice_output_token(struct choice *c, const struct request_event *ev) {
    size_t seen = text_filter_seen(&c->filter);
    if (ev->control) {
        end_character(c);
        if (output_wants(c->output, ev->piece, ev->piece_len)) output_push(c->output, ev->piece, ev->piece_len);
        return c->filter.stopped;
    }
    if (c->call->request.logprobs && ev->piece_len > 0) choice_keep(c, ev, seen);
    buf_clear(&c->clean);
    text_append_utf8(&c->clean, ev->piece, ev->piece_len, c->tail, &c->tail_len);
    output_push(c->output, (const char *)c->clean.data, c->clean.len);
    return c->filter.stopped;
}

bool choice_output_finish(struct choice *c) {
    struct buf *text = &c->call->gateway->text;
    end_character(c);
    output_finish(c->output);
    if (c->filter.stopped) return true;
    buf_clear(text);
    bool stopped = text_filter_finish(&c->filter, text);
    give_content(c, stopped, text);
    return stopped;
}
