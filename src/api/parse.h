/* SPDX-License-Identifier: MIT
 * Code that the parsers of all APIs share: the model's name, stop strings, and the request's chat. A chat has the same form for every API
 * (OpenAI's, as chat/render.h takes it). tools.h reads the tools. Pure; everything made belongs to the request. */
#ifndef CARAVAN_API_PARSE_H
#define CARAVAN_API_PARSE_H

#include "api/api.h"

/* ERR_INVALID of the field: `expected ...`. */
err_code api_wrong(struct err *e, const char *key, const char *expected);
/* Refuses a parameter, unless it is absent or means "off": null, false, 0, "", {} or []. */
err_code api_refuse(yyjson_val *root, const char *key, const char *why, struct err *e);
/* Refuses the fields of tables/fields.def that would change the answer. */
err_code api_refuse_fields(yyjson_val *root, struct err *e);
/* Does a table say what a field of this name means: one of sampling, or a row of tables/fields.def? */
bool api_is_parameter(const char *name);
/* "model" of the body; absent: "". */
err_code api_parse_model(yyjson_val *root, struct api_request *r, struct err *e);
/* A prompt of text, NUL bytes included; a prompt of tokens (ERR_INVALID names `key`; an empty list is allowed here). */
struct api_prompt api_prompt_text(struct api_request *r, yyjson_val *text);
err_code api_prompt_tokens(yyjson_val *list, const char *key, struct api_request *r, struct api_prompt *ret, struct err *e);
/* "suffix" of a prompt. */
err_code api_parse_suffix(yyjson_val *root, struct api_request *r, struct err *e);
/* "keep_alive": seconds, or a duration like "1h30m". */
err_code api_parse_keep(yyjson_val *root, struct api_request *r, struct err *e);
/* A string or an array of strings; absent or null: none. */
err_code api_parse_stops(yyjson_val *v, const char *key, struct api_request *r, struct err *e);
/* Reads the sampling parameters (tables/sampling.def) and the seed. */
err_code api_parse_sampling(yyjson_val *obj, struct api_request *r, struct err *e);
/* Copies into the arena: a string; any value, as JSON text. */
const char *api_keep_str(struct api_request *r, yyjson_val *v);
const char *api_keep_json(struct api_request *r, yyjson_val *v);
/* The arguments of a call, JSON in a string or an object, as JSON text; NULL: none. */
const char *api_keep_arguments(struct api_request *r, yyjson_val *v);

/* Makes an empty chat: r->doc, r->chat, r->chat_extra. */
void api_chat_begin(struct api_request *r);
/* Appends a message to r->chat. text NULL: its content is null. */
yyjson_mut_val *api_chat_add(struct api_request *r, const char *role, const char *text, size_t len);
/* Sets a string field of a message. */
void api_chat_set(struct api_request *r, yyjson_mut_val *message, const char *key, const char *text, size_t len);
/* Ends a chat: decides whether the model continues the last message. It does if that is an assistant's, unless the body says otherwise
 * ("continue_final_message", "add_generation_prompt"). */
err_code api_chat_end(yyjson_val *root, struct api_request *r, struct err *e);
/* Adds a tool call to an assistant's message. arguments: JSON text. */
void api_chat_call(struct api_request *r, yyjson_mut_val *message, const char *id, const char *name, const char *arguments);

#endif
