/* SPDX-License-Identifier: MIT
 * Takes a model's text apart while it comes: reasoning, the answer's text, tool calls with their arguments. Sans-I/O: text goes in in any
 * pieces, and events come out; put together they do not depend on how the text was cut. An event is given as soon as it is certain. Text
 * that looks like a call and turns out to be none comes out as text. A call that the end of the text cut before its name was known does
 * not come out, nor does the beginning of a mark. A call inside reasoning is one if the reasoning is never closed, so there the text waits
 * from the call's mark on. With `hold`, text at the beginning waits until it is known whether a mark ends it that says that it was
 * reasoning. Memory is bounded: at most OUTPUT_MAX_HELD bytes of each and a few marks are held. One owner, any thread. */
#ifndef CARAVAN_CHAT_OUTPUT_H
#define CARAVAN_CHAT_OUTPUT_H

#include "chat/toolcall.h"

enum { OUTPUT_MAX_HELD = 64 * 1024, OUTPUT_MAX_CALLS = 256 };

enum output_kind {
    OUTPUT_CONTENT,
    OUTPUT_REASONING,
    OUTPUT_CALL,                /* a tool call begins: id and name are known */
    OUTPUT_ARGUMENTS,           /* a piece of the open call's arguments; the pieces of a whole call are one JSON object */
    OUTPUT_CALL_END,            /* whole: the arguments are one JSON object; else the model stopped in the call, or wrote it wrongly */
};

struct output_event {
    enum output_kind kind;
    uint32_t call;              /* CALL, ARGUMENTS, CALL_END: its number, from 0 */
    const char *text;           /* CONTENT, REASONING, ARGUMENTS; CALL: the name. Valid during the callback, not terminated */
    size_t len;
    const char *id;             /* CALL */
    bool whole;                 /* CALL_END */
};
typedef void (*output_fn)(void *user, const struct output_event *ev);

struct output_options {
    const struct toolcall_format *format;       /* NULL: calls are not recognized */
    const struct toolcall_reasoning *reasoning; /* NULL: reasoning is not recognized */
    bool reasoning_open;        /* the prompt ends inside reasoning */
    bool reasoning_assumed;     /* with reasoning_open: nothing in the prompt says so, the model is known to begin so */
    bool call_open;             /* the prompt ends with the mark that opens a call */
    size_t hold;                /* so many bytes of text wait at the beginning, in case they are reasoning that was not opened; 0: none */
    bool content_open;          /* the prompt ends inside the answer's text: the model goes on with it */
    const struct toolcall_tool *tools;          /* borrowed; without tools calls are not recognized */
    size_t n_tools;
    uint32_t max_calls;         /* more are dropped; 0: OUTPUT_MAX_CALLS */
    uint64_t seed;              /* of the calls' ids */
};

struct output; /* opaque */

/* Could this parser change anything? If not, the text needs no parser. */
bool output_needed(const struct output_options *o);
struct output *output_create(const struct output_options *o, output_fn fn, void *user);
void output_free(struct output *o);  /* NULL is fine */
/* Takes the next piece of text. A control token comes as its text if output_wants says so; else the caller leaves it out. */
void output_push(struct output *o, const char *text, size_t len);
bool output_wants(const struct output *o, const char *control, size_t len);
/* The model has stopped: gives the text that was held. */
void output_finish(struct output *o);
uint32_t output_calls(const struct output *o);
/* After output_finish, for an answer that the model ended itself: assumed reasoning without any mark was the answer, and is given as
 * content, too. */
void output_mend_assumed(struct output *o);
/* Has the text ended reasoning that neither it nor the prompt's end had opened by a mark? */
bool output_unopened(const struct output *o);

#endif
