/* SPDX-License-Identifier: MIT
 * Derives the form of tool calls of an unknown family from the chat template: renders chats with and without calls and compares them. The
 * result counts only if the parser (output.h) can read the rendered calls by it. Pure; a template belongs to one thread at a time. */
#ifndef CARAVAN_CHAT_DERIVE_H
#define CARAVAN_CHAT_DERIVE_H

#include "chat/render.h"
#include "chat/toolcall.h"

/* Returns the row of tables/toolcalls.def that the template's text tells. If the parser can't read the template's own calls by that row,
 * returns a derived form that it can read them by, if there is one. Never NULL. The caller owns it: toolcall_format_free. */
const struct toolcall_format *chat_derive(struct jinja_template *t, const char *tmpl, const struct jinja_limits *limits,
                                          const struct chat_caps *caps);

#endif
