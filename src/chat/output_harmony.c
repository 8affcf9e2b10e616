/* SPDX-License-Identifier: MIT
 * gpt-oss writes messages on channels: <|start|>assistant<|channel|>analysis<|message|>...<|end|>. "analysis" is reasoning, "final" and
 * "commentary" are for the reader, and a message to=functions.NAME is a call. Source: OpenAI harmony response format. The prompt
 * ends in <|start|>assistant, so the text begins inside a header. */
#include <string.h>

#include "base/mem.h"
#include "chat/output_step_priv.h"

static const char TO[] = "to=functions.";

static bool header_has(const char *p, size_t n, const char *word) { return n > 0 && mem_find(p, n, word, strlen(word)) != NULL; }

static bool name_end(char c) { return output_blank(c) || c == '<'; }

/* Begins the call if the header addresses a function. False: it doesn't, or the name is not valid. */
static bool header_call(struct output *o, const char *p, size_t n) {
    const char *to = n > 0 ? mem_find(p, n, TO, strlen(TO)) : NULL;
    if (to == NULL || o->o.n_tools == 0) return false;
    to += strlen(TO);
    size_t len = 0;
    while (to + len < p + n && !name_end(to[len])) len++;
    return output_begin_call(o, to, len);
}

/* Finds the text after the last channel mark of the header: a model may name one channel and then another. */
static size_t last_channel(const char *p, size_t n) {
    static const char channel[] = "<|channel|>";
    size_t at = 0;
    for (const char *hit; at < n && (hit = mem_find(p + at, n - at, channel, strlen(channel))) != NULL;)
        at = (size_t)(hit - p) + strlen(channel);
    return at;
}

static void begin_message(struct output *o, const char *p, size_t n) {
    size_t channel = last_channel(p, n);
    bool final = header_has(p + channel, n - channel, "final");
    o->headed = true;
    o->state = OUTPUT_IN_MESSAGE;
    o->have_arguments = false;
    if (header_call(o, p, n)) {
        o->message = OUTPUT_ARGUMENTS;
        scan_init(&o->scan);
        return;
    }
    bool other = !final && header_has(p, n, "to=") && !header_has(p, n, TO); /* to a tool built into the model: not for the reader */
    o->message = header_has(p + channel, n - channel, "analysis") || other ? OUTPUT_REASONING : OUTPUT_CONTENT;
    if (o->message == OUTPUT_CONTENT ? o->said : o->reasoned) buf_append(&o->space, "\n\n", 2); /* two messages, two paragraphs */
    if (o->message == OUTPUT_REASONING) o->reasoned = true;
}

bool output_step_header(struct output *o) {
    static const char message[] = "<|message|>";
    size_t safe = 0, end = output_find(o, message, &safe);
    if (end == SIZE_MAX && output_left(o) <= OUTPUT_MAX_HEAD + strlen(message)) return false;
    const char *p = output_at(o);
    if (end <= OUTPUT_MAX_HEAD) {
        o->at += end + strlen(message);
        begin_message(o, p, end);
        return true;
    }
    if (*p == '<') o->at++; /* a header that doesn't end is text, and is not read as a header again */
    o->message = OUTPUT_CONTENT;
    o->state = OUTPUT_IN_MESSAGE;
    return true;
}

/* At the end of the text: half a header is dropped; an answer without any channel is text. */
void output_step_last_header(struct output *o) {
    if (o->headed || (output_left(o) > 0 && *output_at(o) == '<')) o->at = o->in.len;
    o->message = OUTPUT_CONTENT;
    o->state = OUTPUT_IN_MESSAGE;
}

/* Gives n bytes of a call: one JSON value, checked as it comes. Text after the value is dropped. */
static void take_arguments(struct output *o, size_t n) {
    const char *p = output_at(o);
    size_t i = 0;
    o->at += n;
    if (!o->begun) return;
    for (; i < n; i++) {
        enum scan_result r = scan_push(&o->scan, p[i]);
        if (r == SCAN_MORE) continue;
        output_put_arguments(o, p, r == SCAN_END ? i + 1 : i);
        output_end_call(o);
        return;
    }
    if (n > 0) o->have_arguments = true;
    output_put_arguments(o, p, n);
}

static void end_message(struct output *o) {
    if (o->begun && !o->have_arguments) output_put_arguments(o, "{}", 2);
    if (o->begun) output_end_call(o);
    output_drop_space(o);
    o->skip_space = true;
    o->state = OUTPUT_IN_HEADER;
}

bool output_step_message(struct output *o) {
    const struct toolcall_format *f = o->o.format;
    const char *p = output_at(o);
    size_t left = output_left(o), i = 0;
    const char *mark = NULL;
    bool part = false;
    for (; i < left && mark == NULL && !part; i++) {
        if (p[i] != '<') continue;
        for (size_t k = 0; k < TOOLCALL_MAX_MARKS && f->marks[k] != NULL && mark == NULL; k++) {
            enum output_match m = output_match(o, f->marks[k], p + i, left - i);
            if (m == MATCH_FULL) mark = f->marks[k];
            part = part || m == MATCH_PART;
        }
    }
    if (mark != NULL || part) i--;
    if (o->message == OUTPUT_ARGUMENTS) {
        take_arguments(o, i);
    } else {
        output_put(o, o->message, p, i);
        o->at += i;
    }
    if (mark == NULL) return false;
    bool again = !o->last && strcmp(mark, "<|channel|>") == 0; /* a header that leaves out <|start|>assistant */
    if (!again) o->at += strlen(mark);
    if (strcmp(mark, "<|message|>") != 0 && strcmp(mark, "<|constrain|>") != 0) end_message(o);
    return true;
}
