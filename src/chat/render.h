/* SPDX-License-Identifier: MIT
 * A chat (messages as the OpenAI API has them) to the prompt that a model expects, by the model's own template (chat/jinja.h).
 * Templates differ in what they take: content as text or as parts, arguments of tool calls as an object or as text, a system message or
 * none. What a template takes is found out once, by rendering small chats with it; the messages are then brought into that form.
 * A template that uses up its time for next to nothing is remembered as broken: it doesn't cost that time again.
 * A template that cannot be parsed, and a build without Jinja, fall back on the templates that libllama has built in (plain text messages
 * only). A model without a template is refused: a guessed format gives bad answers and no error.
 * One chat belongs to one thread at a time; it keeps parsed templates. It doesn't read the model's answer. */
#ifndef CARAVAN_CHAT_RENDER_H
#define CARAVAN_CHAT_RENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "chat/jinja.h"

/* What a template takes. */
struct chat_caps {
    bool typed_content;     /* content must be a list of parts, not text */
    bool system_role;       /* else the system's text is put before the next user message */
    bool developer_role;    /* else a developer's message becomes a system message */
    bool tools;             /* it shows the tools to the model */
    bool tool_calls;        /* it shows tool calls of earlier turns */
    bool object_arguments;  /* arguments of tool calls as an object, else as JSON text */
    bool null_content;      /* content may be null beside tool calls, else "" */
};

struct chat_input {
    const char *tmpl;       /* Jinja text, or the name of a built-in template ("chatml") */
    const char *bos, *eos;  /* text of these tokens, "" or NULL: none */
    yyjson_val *messages;   /* array of {"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content", ...} */
    yyjson_val *tools;      /* array as in the request, NULL: none */
    yyjson_val *documents;  /* array, NULL: none */
    yyjson_val *extra;      /* object of further variables ("enable_thinking"), NULL: none; "messages" and so on cannot be replaced */
    bool add_generation_prompt;
    int64_t now;            /* seconds since 1970: what the template takes for today, in UTC */
};

struct chat;

struct chat *chat_create(const struct jinja_limits *limits);
void chat_free(struct chat *c);

/* Appends the prompt to out; *ret_bos (may be NULL) says whether it begins with the bos text, so that the tokenizer must not add another.
 * Errors as jinja_render, and: ERR_UNSUPPORTED without a template; ERR_INVALID without messages. */
err_code chat_render(struct chat *c, const struct chat_input *in, struct buf *out, bool *ret_bos, struct err *e);

/* ERR_UNSUPPORTED when there is no Jinja for it (see above); ERR_LIMIT. */
err_code chat_caps(struct chat *c, const char *tmpl, struct chat_caps *ret, struct err *e);

#endif
