/* SPDX-License-Identifier: MIT
 * Renders a chat (messages as the OpenAI API has them) as the prompt that a model expects, by the model's own template (jinja/jinja.h).
 * Templates differ in what they take: content as text or as parts, arguments of tool calls as an object or as text, a system message or
 * none. Small chats are rendered once to find out what a template takes; then messages are brought into that form.
 * A template that uses up its steps for a short chat is remembered as broken, and is not tried again.
 * If a template can't be parsed, a template that is built into libllama is used (plain text messages only). A model without a template is
 * refused: a guessed format gives bad answers and no error.
 * A struct chat keeps parsed templates, and belongs to one thread at a time. It doesn't read the model's answer (output.h does). */
#ifndef CARAVAN_CHAT_RENDER_H
#define CARAVAN_CHAT_RENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "chat/toolcall.h"
#include "jinja/jinja.h"

/* What a template takes. */
struct chat_caps {
    bool typed_content;     /* content must be a list of parts, not text */
    bool system_role;       /* else the system's text goes before the text of the next user message */
    bool late_system;       /* a system message may follow other messages; else its text is added to the message before it */
    bool developer_role;    /* else a developer's message becomes a system message */
    bool tools;             /* the template shows the tools to the model */
    bool tool_calls;        /* the template shows tool calls of earlier turns */
    bool object_arguments;  /* arguments of tool calls as an object, else as JSON text */
    bool null_content;      /* content may be null beside tool calls, else "" */
    bool is_error;          /* the template reads "is_error" of a tool's result; else an error's text says that it is an error */
    const char *reasoning_key; /* from which the template takes the reasoning of earlier turns; NULL: it shows none; a string literal */
};

struct chat_input {
    const char *tmpl;       /* Jinja text, or the name of a built-in template ("chatml") */
    const char *bos, *eos;  /* text of these tokens, "" or NULL: none */
    yyjson_val *messages;   /* array of {"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", "is_error", ...} */
    yyjson_val *tools;      /* array as in the request, NULL: none */
    bool words; /* if the form of the model's calls isn't known, tools, calls and results become words of the chat */
    yyjson_val *documents; /* array, NULL: none */
    yyjson_val *extra; /* object of further variables, NULL: none; "messages" and the like can't be replaced. "enable_thinking" reaches
                             * a template that has another name for it, too */
    bool add_generation_prompt;
    bool continue_final;    /* the prompt ends with the text of the last message, which the model continues; no generation prompt */
    int64_t now; /* seconds since 1970: the template's present, in UTC */
};

/* How the answer to a prompt has to be read. */
struct chat_answer {
    bool has_bos; /* the prompt begins with the bos text, so the tokenizer must not add another */
    const struct toolcall_format *format; /* how the model writes tool calls; never NULL, valid until the next call on the chat */
    const struct toolcall_reasoning *reasoning; /* how it writes its reasoning; NULL: without marks */
};

struct chat;

struct chat *chat_create(const struct jinja_limits *limits);
void chat_free(struct chat *c);

/* Appends the prompt to out; ret may be NULL.
 * ERR_INVALID: the template refuses the messages (the error quotes its words) or fails on them, or there are none. ERR_TEMPLATE: it met
 * one of the limits. ERR_LIMIT: the prompt is longer than out may be. ERR_UNSUPPORTED: no template, or
 * the template doesn't show the message that is to be continued. */
err_code chat_render(struct chat *c, const struct chat_input *in, struct buf *out, struct chat_answer *ret, struct err *e);

/* Tells what a template takes. ERR_UNSUPPORTED: it can't be parsed. ERR_TEMPLATE: it met one of the limits. */
err_code chat_caps(struct chat *c, const char *tmpl, struct chat_caps *ret, struct err *e);

#endif
