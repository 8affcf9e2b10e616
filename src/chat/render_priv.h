/* SPDX-License-Identifier: MIT
 * What render.c, probe.c and form.c share. */
#ifndef CARAVAN_CHAT_RENDER_PRIV_H
#define CARAVAN_CHAT_RENDER_PRIV_H

#include "chat/render.h"

/* Finds out what the template takes. ERR_LIMIT: it met a limit with a tiny chat. */
err_code chat_probe(struct jinja_template *t, const struct jinja_limits *limits, struct chat_caps *ret, struct err *e);
/* Makes an array in doc with the messages in the form that the template takes. */
err_code chat_form(const struct chat_caps *caps, yyjson_val *messages, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct err *e);
/* If the request has "enable_thinking" and the template another variable for it, sets that variable. root: the template's variables,
 * including those of the request. */
void chat_form_thinking(const struct jinja_template *t, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
