/* SPDX-License-Identifier: MIT
 * What render.c, probe.c and form.c share. */
#ifndef CARAVAN_CHAT_RENDER_PRIV_H
#define CARAVAN_CHAT_RENDER_PRIV_H

#include "chat/render.h"

/* What the template takes. ERR_LIMIT: it met a limit for next to nothing. */
err_code chat_probe(struct jinja_template *t, const struct jinja_limits *limits, struct chat_caps *ret, struct err *e);
/* A new array in doc with the messages in the form that the template takes. */
err_code chat_form(const struct chat_caps *caps, yyjson_val *messages, yyjson_mut_doc *doc, yyjson_mut_val **ret, struct err *e);
/* The variables of the template that turn its thinking on and off, where the request says so with "enable_thinking" and the template
 * knows other words. root: the variables, with those that the request gave. */
void chat_form_thinking(const struct jinja_template *t, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
