/* SPDX-License-Identifier: MIT
 * Chat messages to a prompt, by the templates that libllama has built in: it recognises a model's Jinja template by its
 * features and renders it with code of its own. No model is needed; any thread. */
#ifndef CARAVAN_ENGINE_TEMPLATE_H
#define CARAVAN_ENGINE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct engine_message {
    const char *role;          /* "system", "user", "assistant" */
    const char *content;
};

enum { ENGINE_MAX_MESSAGES = 16384 };

/* Appends the prompt to out. tmpl: the model's template text (tokenizer.chat_template), or the name of a built-in one ("chatml").
 * add_assistant: end with the words that open the assistant's turn. ERR_UNSUPPORTED when the template is not recognised;
 * ERR_INVALID without messages; ERR_LIMIT past out's maximum. */
err_code engine_template_render(const char *tmpl, const struct engine_message *messages, size_t n, bool add_assistant, struct buf *out,
                                struct err *e);

#endif
