/* SPDX-License-Identifier: MIT
 * What chat.c and chat_form.c share: bringing messages into the form that a template takes. */
#ifndef CARAVAN_CHAT_RENDER_PRIV_H
#define CARAVAN_CHAT_RENDER_PRIV_H

#include "chat/render.h"

/* A new array in doc with the messages in the form that the template takes. */
err_code chat_form(const struct chat_caps *caps, yyjson_val *messages, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct err *e);

#endif
