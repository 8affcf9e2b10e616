/* SPDX-License-Identifier: MIT
 * Tools for models whose chat template knows none: they are described in the system message, with the form of a call (the GENERIC row of
 * tables/toolcalls.def), and earlier calls and their results become text of the chat. Pure. */
#ifndef CARAVAN_CHAT_TOOLCALL_WORDS_H
#define CARAVAN_CHAT_TOOLCALL_WORDS_H

#include "base/json.h"
#include "chat/toolcall.h"

/* Changes the chat (an array of messages in doc, as OpenAI's) in place. */
void toolcall_words(yyjson_mut_doc *doc, yyjson_mut_val *chat, const struct toolcall_tool *tools, size_t n_tools);

#endif
