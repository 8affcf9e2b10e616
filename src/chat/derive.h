/* SPDX-License-Identifier: MIT
 * How models of an unknown family write tool calls, derived from their chat template: chats with and without a call are rendered, and
 * compared. What is derived is believed only if the parser (output.h) reads the rendered calls back by it. Pure; one thread at a time for a
 * template. */
#ifndef CARAVAN_CHAT_DERIVE_H
#define CARAVAN_CHAT_DERIVE_H

#include "chat/render.h"
#include "chat/toolcall.h"

/* The row of tables/toolcalls.def that the template's text tells, if the parser finds the template's own calls by it, or if nothing better
 * can be derived; else what is derived. Never NULL. The caller owns it: toolcall_format_free. */
const struct toolcall_format *chat_derive(struct jinja_template *t, const char *tmpl, const struct jinja_limits *limits,
                                          const struct chat_caps *caps);

#endif
