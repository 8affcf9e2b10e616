/* SPDX-License-Identifier: MIT
 * Tools of type `custom`: their input is a text, not JSON (Codex's apply_patch). The model knows such a tool as a function with one string,
 * "input"; the client gets and sends the text itself. A grammar of syntax `regex` holds the model to it as far as a schema's pattern can;
 * one of syntax `lark` is shown to the model, and the answer is marked as unchecked. Pure; everything made belongs to the request. */
#ifndef CARAVAN_API_CUSTOM_H
#define CARAVAN_API_CUSTOM_H

#include "api/api.h"

/* Adds one: its "name", "description" and "format" stand in spec. at: its place in the body, for errors. */
err_code api_custom_add(struct api_request *r, yyjson_val *spec, const char *at, struct err *e);
/* Is the tool of this name (not terminated) one of these? */
bool api_custom_is(const struct api_request *r, const char *name, size_t len);
/* The arguments of a call that a client has told, as JSON text. */
const char *api_custom_arguments(struct api_request *r, yyjson_val *input);
/* Appends the text in a call's arguments; of a call that was cut, what there is of it. */
void api_custom_input(const char *arguments, size_t len, struct buf *out);

#endif
