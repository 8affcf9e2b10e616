/* SPDX-License-Identifier: MIT
 * A chat (messages as the OpenAI API has them) to the prompt that a model expects, by the model's own template (jinja/jinja.h).
 * Templates differ in what they take: content as text or as parts, arguments of tool calls as an object or as text, a system message or
 * none. What a template takes is found out once, by rendering small chats with it; the messages are then brought into that form.
 * A template that uses up its steps for next to nothing is remembered as broken: it doesn't cost that time again.
 * A template that cannot be parsed falls back on the templates that libllama has built in (plain text messages only). A model without a
 * template is refused: a guessed format gives bad answers and no error.
 * One chat belongs to one thread at a time; it keeps parsed templates. It doesn't read the model's answer. */
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
    bool system_role;       /* else the system's text is put before the next user message */
    bool late_system;       /* a system message may come after others; else its text is added to the message before it */
    bool developer_role;    /* else a developer's message becomes a system message */
    bool tools;             /* it shows the tools to the model */
    bool tool_calls;        /* it shows tool calls of earlier turns */
    bool object_arguments;  /* arguments of tool calls as an object, else as JSON text */
    bool null_content;      /* content may be null beside tool calls, else "" */
    bool is_error;          /* it looks at "is_error" of a tool's result, else an error's text says that it is one */
    const char *reasoning_key; /* under which it shows the reasoning of earlier turns; NULL: it doesn't; a literal */
};

struct chat_input {
    const char *tmpl;       /* Jinja text, or the name of a built-in template ("chatml") */
    const char *bos, *eos;  /* text of these tokens, "" or NULL: none */
    yyjson_val *messages;   /* array of {"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", "is_error", ...} */
    yyjson_val *tools;      /* array as in the request, NULL: none */
    bool words; /* where it is not known how the template's models write calls, the chat's words tell of tools, calls, results */
    yyjson_val *documents; /* array, NULL: none */
    yyjson_val *extra; /* object of further variables, NULL: none; "messages" and so on cannot be replaced. "enable_thinking" reaches
                             * a template that has another word for it too */
    bool add_generation_prompt;
    bool continue_final;    /* the prompt ends with the text of the last message, as if the model were writing it; no generation prompt */
    int64_t now; /* seconds since 1970: what the template takes for today, in UTC */
};

/* How the answer to a prompt has to be read. */
struct chat_answer {
    bool has_bos; /* the prompt begins with the bos text, so the tokenizer must not add another */
    const struct toolcall_format *format; /* how the model writes tool calls; never NULL, valid until the next call on the chat */
};

struct chat;

struct chat *chat_create(const struct jinja_limits *limits);
void chat_free(struct chat *c);

/* Appends the prompt to out; ret may be NULL.
 * ERR_INVALID: the template refuses the messages (its words are in the error) or fails on them, or there are none. ERR_TEMPLATE: it met
 * one of the limits. ERR_LIMIT: the prompt is longer than out may be. ERR_UNSUPPORTED: no template, or
 * one that does not show the message that is to be continued. */
err_code chat_render(struct chat *c, const struct chat_input *in, struct buf *out, struct chat_answer *ret, struct err *e);

/* ERR_UNSUPPORTED when it cannot be parsed (see above); ERR_TEMPLATE. */
err_code chat_caps(struct chat *c, const char *tmpl, struct chat_caps *ret, struct err *e);

#endif
