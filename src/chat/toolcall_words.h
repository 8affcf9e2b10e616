/* SPDX-License-Identifier: MIT
 * Tools for models whose chat template has no form for them. The system message describes the tools and the form of a call (the GENERIC row
 * of tables/toolcalls.def); earlier calls and their results become text of the chat. Pure. */
#ifndef CARAVAN_CHAT_TOOLCALL_WORDS_H
#define CARAVAN_CHAT_TOOLCALL_WORDS_H

#include "base/json.h"

/* Changes the chat (an array of messages in doc) in place. tools: an array; NULL: none. Both as OpenAI's API has them. */
void toolcall_words(yyjson_mut_doc *doc, yyjson_mut_val *chat, yyjson_val *tools);

#endif
