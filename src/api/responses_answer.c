/* SPDX-License-Identifier: MIT
 * POST /v1/responses, the answer: events to the stream's events, and the response as one object. Pure. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/custom.h"
#include "api/openai_priv.h"
#include "api/responses_priv.h"

static void append_str(struct buf *out, const char *key, const char *text, size_t len) {
    buf_printf(out, ",\"%s\":", key);
    text_append_json(out, text, len);
}

static bool is_custom(const struct api_answer *a, const struct api_item *item) {
    return item->kind == API_CALL && api_custom_is(a->request, item->name, strlen(item->name));
}

static void append_id(const struct api_answer *a, const struct api_item *item, size_t i, struct buf *out) {
    const char *kind = is_custom(a, item) ? "ctc" : item->kind == API_CALL ? "fc" : item->kind == API_REASONING ? "rs" : "msg";
    buf_printf(out, "\"%s_%s%02zx\"", kind, a->id + strlen("resp_"), i);
}

/* Appends the log probabilities of the tokens in an item, if the client asked for them. */
static void append_logprobs(const struct api_choice_text *c, const struct api_item *item, struct buf *out) {
    size_t first = 0, n = 0;
    while (first < c->n_tokens && c->tokens[first].text_start < item->start) first++;
    while (first + n < c->n_tokens && c->tokens[first + n].text_start < item->end) n++;
    buf_append_str(out, ",\"logprobs\":");
    openai_append_logprobs(n > 0 ? c->tokens + first : NULL, n, out);
}

/* done: with what it holds, else as it begins. */
static void append_part(const struct api_choice_text *c, const struct api_item *item, bool done, struct buf *out) {
    bool reasoning = item->kind == API_REASONING;
    buf_printf(out, "{\"type\":\"%s\"", reasoning ? "reasoning_text" : "output_text");
    size_t len;
    const char *text = api_item_text(c, item, &len);
    append_str(out, "text", text, done ? len : 0);
    if (!reasoning) {
        buf_append_str(out, ",\"annotations\":[]");
        append_logprobs(c, done ? item : &(struct api_item){0}, out);
    }
    buf_append_byte(out, '}');
}

/* Appends the name of a called tool, and its namespace as a field of its own. */
static void append_name(const struct api_answer *a, const char *name, struct buf *out) {
    const struct responses_extra *x = a->request->extra;
    for (const struct responses_space *s = x->spaces; s != NULL; s = s->next) {
        size_t len = strlen(s->name);
        if (strncmp(name, s->name, len) != 0 || name[len] != '.') continue;
        append_str(out, "namespace", s->name, len);
        name += len + 1;
        break;
    }
    append_str(out, "name", name, strlen(name));
}

/* Appends what a custom tool is given, as the field `key`. */
static void append_input(const char *key, const char *arguments, size_t len, struct buf *out) {
    struct buf input;
    buf_init(&input, SIZE_MAX - 1);
    api_custom_input(arguments, len, &input);
    append_str(out, key, buf_cstr(&input), input.len);
    buf_done(&input);
}

/* done: with what it holds, else as it begins. */
static void append_item(const struct api_answer *a, size_t i, bool done, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    const struct api_item *item = &c->items[i];
    size_t len;
    const char *text = api_item_text(c, item, &len);
    bool cut = item->kind == API_CALL ? !item->whole : c->finish == API_FINISH_LENGTH && i + 1 == c->n_items;
    buf_append_str(out, "{\"id\":");
    append_id(a, item, i, out);
    buf_printf(out, ",\"status\":\"%s\"", !done ? "in_progress" : cut ? "incomplete" : "completed");
    if (item->kind == API_CALL) {
        bool custom = is_custom(a, item);
        buf_append_str(out, custom ? ",\"type\":\"custom_tool_call\"" : ",\"type\":\"function_call\"");
        append_str(out, "call_id", item->id, strlen(item->id));
        append_name(a, item->name, out);
        if (custom) append_input("input", text, done ? len : 0, out);
        else append_str(out, "arguments", text, done ? len : 0);
    } else {
        bool reasoning = item->kind == API_REASONING;
        buf_append_str(out, reasoning ? ",\"type\":\"reasoning\",\"summary\":[],\"content\":["
                                      : ",\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
        if (done) append_part(c, item, true, out);
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, '}');
}

void responses_append_usage(const struct api_usage *u, struct buf *out) {
    buf_printf(out,
               "{\"input_tokens\":%" PRIu64 ",\"input_tokens_details\":{\"cached_tokens\":%" PRIu64 "},\"output_tokens\":%" PRIu64
               ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%" PRIu64 "}",
               u->prompt_tokens, u->cached_tokens, u->completion_tokens, u->prompt_tokens + u->completion_tokens);
}

static void append_request(const struct api_answer *a, struct buf *out) {
    const struct api_request *r = a->request;
    const struct responses_extra *x = r->extra;
    if (x->instructions != NULL) append_str(out, "instructions", x->instructions, strlen(x->instructions));
    else buf_append_str(out, ",\"instructions\":null");
    if (r->max_tokens >= 0) buf_printf(out, ",\"max_output_tokens\":%d", r->max_tokens);
    else buf_append_str(out, ",\"max_output_tokens\":null");
    if (r->previous != NULL) append_str(out, "previous_response_id", r->previous, strlen(r->previous));
    else buf_append_str(out, ",\"previous_response_id\":null");
    buf_printf(out, ",\"parallel_tool_calls\":%s,\"store\":%s,\"temperature\":%.6g,\"top_p\":%.6g", r->single_tool ? "false" : "true",
               r->store ? "true" : "false", (double)r->sampling.temperature, (double)r->sampling.top_p);
    buf_printf(
        out, ",\"presence_penalty\":%.6g,\"frequency_penalty\":%.6g,\"top_logprobs\":%u,\"truncation\":\"%s\",\"service_tier\":\"default\"",
        (double)r->sampling.presence_penalty, (double)r->sampling.frequency_penalty, r->sampling.n_top_logprobs,
        r->truncates ? "auto" : "disabled");
    const struct {
        const char *key, *json;
    } echoed[] = {{"max_tool_calls", x->max_tool_calls},
                  {"safety_identifier", x->safety_identifier},
                  {"prompt_cache_key", x->prompt_cache_key},

                  {"tools", x->tools},
                  {"tool_choice", x->tool_choice},
                  {"text", x->text},
                  {"reasoning", x->reasoning},
                  {"metadata", x->metadata}};
    for (size_t i = 0; i < sizeof(echoed) / sizeof(*echoed); i++) {
        buf_printf(out, ",\"%s\":", echoed[i].key);
        buf_append_str(out, echoed[i].json);
    }
}

enum status { IN_PROGRESS, ENDED, FAILED };

static void append_response(const struct api_answer *a, enum status status, const struct api_event *failure, struct buf *out) {
    const struct api_choice_text *c = a->choices;
    bool cut = status == ENDED && c->finish == API_FINISH_LENGTH;
    static const char *const names[] = {"in_progress", "completed", "failed"};
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%" PRId64 ",\"status\":\"%s\",\"background\":false", a->id,
               a->created, cut ? "incomplete" : names[status]);
    if (status == ENDED && !cut && a->completed > 0) buf_printf(out, ",\"completed_at\":%" PRId64, a->completed);
    else buf_append_str(out, ",\"completed_at\":null");
    buf_append_str(out, ",\"error\":");
    if (failure != NULL) {
        const char *text = failure->err != NULL && failure->err->text[0] != '\0' ? failure->err->text : err_text(failure->code);
        buf_append_str(out, "{\"code\":\"server_error\",\"message\":");
        text_append_json(out, text, strlen(text));
        buf_append_byte(out, '}');
    } else {
        buf_append_str(out, "null");
    }
    buf_append_str(out, cut ? ",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}" : ",\"incomplete_details\":null");
    append_str(out, "model", a->model, strlen(a->model));
    append_request(a, out);
    buf_append_str(out, ",\"output\":[");
    for (size_t i = 0; status != IN_PROGRESS && c != NULL && i < c->n_items; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_item(a, i, true, out);
    }
    buf_append_str(out, "],\"usage\":");
    if (status == ENDED) responses_append_usage(&a->usage, out);
    else buf_append_str(out, "null");
    buf_append_byte(out, '}');
}

/* ---- the stream ---- */

static void event_begin(struct api_answer *a, const char *type, struct buf *out) {
    buf_printf(out, "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%zu", type, type, a->sequence++);
}

static void event_end(struct buf *out) { buf_append_str(out, "}\n\n"); }

static void event_response(struct api_answer *a, const char *type, enum status status, const struct api_event *failure, struct buf *out) {
    event_begin(a, type, out);
    buf_append_str(out, ",\"response\":");
    append_response(a, status, failure, out);
    event_end(out);
}

static void event_item(struct api_answer *a, const char *type, size_t i, bool done, struct buf *out) {
    event_begin(a, type, out);
    buf_printf(out, ",\"output_index\":%zu,\"item\":", i);
    append_item(a, i, done, out);
    event_end(out);
}

/* Begins an event about a part of an item. The caller appends the rest. */
static void event_within(struct api_answer *a, const char *type, size_t i, struct buf *out) {
    const struct api_item *item = &a->choices[0].items[i];
    event_begin(a, type, out);
    buf_append_str(out, ",\"item_id\":");
    append_id(a, item, i, out);
    buf_printf(out, item->kind == API_CALL ? ",\"output_index\":%zu" : ",\"output_index\":%zu,\"content_index\":0", i);
}

static void event_part(struct api_answer *a, const char *type, size_t i, bool done, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    const struct api_item *item = &c->items[i];
    event_within(a, type, i, out);
    buf_append_str(out, ",\"part\":");
    append_part(c, item, done, out);
    event_end(out);
}

static void open_item(struct api_answer *a, struct buf *out) {
    size_t i = a->choices[0].n_items - 1;
    a->open = i + 1;
    event_item(a, "output_item.added", i, false, out);
    if (a->choices[0].items[i].kind != API_CALL) event_part(a, "content_part.added", i, false, out);
}

static void close_item(struct api_answer *a, struct buf *out) {
    const struct api_choice_text *c = &a->choices[0];
    if (a->open == 0) return;
    size_t i = a->open - 1;
    const struct api_item *item = &c->items[i];
    size_t len;
    const char *text = api_item_text(c, item, &len);
    a->open = 0;
    if (is_custom(a, item)) {
        event_within(a, "custom_tool_call_input.delta", i, out); /* all at once: before, its text cannot be told from the JSON around it */
        append_input("delta", text, len, out);
        event_end(out);
        event_within(a, "custom_tool_call_input.done", i, out);
        append_input("input", text, len, out);
        event_end(out);
    } else if (item->kind == API_CALL) {
        event_within(a, "function_call_arguments.done", i, out);
        append_name(a, item->name, out);
        append_str(out, "arguments", text, len);
        event_end(out);
    } else {
        bool reasoning = item->kind == API_REASONING;
        event_within(a, reasoning ? "reasoning_text.done" : "output_text.done", i, out);
        append_str(out, "text", text, len);
        if (!reasoning) append_logprobs(c, item, out);
        event_end(out);
        event_part(a, "content_part.done", i, true, out);
    }
    event_item(a, "output_item.done", i, true, out);
}

static void stream_delta(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    size_t n = a->choices[0].n_items;
    if (n == 0 || (ev->len == 0 && ev->kind != API_CALL)) return;
    if (a->open != n) {
        close_item(a, out);
        open_item(a, out);
    }
    if (ev->kind == API_CALL || is_custom(a, &a->choices[0].items[n - 1])) return;
    event_within(a,
                 ev->kind == API_TEXT        ? "output_text.delta"
                 : ev->kind == API_REASONING ? "reasoning_text.delta"
                                             : "function_call_arguments.delta",
                 n - 1, out);
    append_str(out, "delta", ev->text, ev->len);
    if (ev->kind == API_TEXT) {
        buf_append_str(out, ",\"logprobs\":");
        openai_append_logprobs(ev->tokens, ev->n_tokens, out);
    }
    event_end(out);
}

static void responses_stream(struct api_answer *a, const struct api_event *ev, struct buf *out) {
    switch (ev->kind) {
    case API_BEGIN:
        event_response(a, "created", IN_PROGRESS, NULL, out);
        event_response(a, "in_progress", IN_PROGRESS, NULL, out);
        break;
    case API_PROMPT: break;
    case API_TEXT:
    case API_REASONING:
    case API_CALL:
    case API_ARGUMENTS: stream_delta(a, ev, out); break;
    case API_CALL_END:
    case API_FINISH: close_item(a, out); break;
    case API_END: event_response(a, a->choices[0].finish == API_FINISH_LENGTH ? "incomplete" : "completed", ENDED, NULL, out); break;
    case API_FAIL: event_response(a, "failed", FAILED, ev, out); break;
    }
}

static void responses_whole(struct api_answer *a, struct buf *out) { append_response(a, ENDED, NULL, out); }

const struct api api_openai_responses = {
    .name = "openai responses",
    .id_prefix = "resp_",
    .stream_type = "text/event-stream",
    .whole_type = "application/json",
    .ping = ": ping\n\n",
    .keeps_items = true,
    .parse = responses_parse,
    .resume = responses_resume,
    .stream = responses_stream,
    .whole = responses_whole,
    .error = openai_error,
};
