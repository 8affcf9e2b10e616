/* SPDX-License-Identifier: MIT
 * A choice's text on its way from the engine to the API: taken apart into reasoning, content and tool calls where the model writes such;
 * stop strings are looked for in the content alone. See choice.h. */
#include <stdlib.h>
#include <string.h>

#include "requests/choice.h"

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
    struct buf *text = &c->call->gateway->requests->text;
    if (c->filter.stopped) return;
    buf_clear(text);
    if (ev->kind == OUTPUT_CONTENT) {
        bool stopped = text_filter_push(&c->filter, ev->text, ev->len, text);
        give_content(c, stopped, text);
        return;
    }
    if (ev->kind == OUTPUT_CALL) { /* text that was held back, since it could have become a stop string, comes before the call */
        bool stopped = text_filter_finish(&c->filter, text);
        give_content(c, stopped, text);
        if (stopped) return;
    }
    drop_pending(c);
    c->only_text = false;
    struct api_event out = {
        .kind = kinds[ev->kind], .choice = c->index, .text = ev->text, .len = ev->len, .call = ev->call, .id = ev->id, .whole = ev->whole};
    if (ev->kind == OUTPUT_CALL_END && !ev->whole) c->cut = true;
    call_emit(c->call, &out);
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

/* Gives the replacement character for a character that will not be completed. */
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

bool choice_output_finish(struct choice *c, bool cut) {
    struct buf *text = &c->call->gateway->requests->text;
    end_character(c);
    output_finish(c->output);
    if (!cut) output_mend_assumed(c->output);
    if (c->filter.stopped) return true;
    buf_clear(text);
    bool stopped = text_filter_finish(&c->filter, text);
    give_content(c, stopped, text);
    return stopped;
}
