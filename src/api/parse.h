/* SPDX-License-Identifier: MIT
 * What the parsers of the APIs share: the model's name, stop strings, and building the request's chat, which stands in one form
 * (OpenAI's, as chat/render.h takes it) whatever API it came by. tools.h reads the tools. Pure; everything made belongs to the request. */
#ifndef CARAVAN_API_PARSE_H
#define CARAVAN_API_PARSE_H

#include "api/api.h"

/* ERR_INVALID `field "KEY": expected ...`. */
err_code api_wrong(struct err *e, const char *key, const char *expected);
/* Refuses a parameter that is there and not null, false, 0, "", {} or [] (what clients send for "off"). */
err_code api_refuse(yyjson_val *root, const char *key, const char *why, struct err *e);
/* Refuses the fields of tables/fields.def that would change the answer. */
err_code api_refuse_fields(yyjson_val *root, struct err *e);
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
/* Sampling by the names of tables/sampling.def, and the seed. */
err_code api_parse_sampling(yyjson_val *obj, struct api_request *r, struct err *e);
/* A copy in the arena: of a string; of any value as JSON text. */
const char *api_keep_str(struct api_request *r, yyjson_val *v);
const char *api_keep_json(struct api_request *r, yyjson_val *v);
/* The arguments of a call, JSON in a string or an object, as JSON text; NULL: none. */
const char *api_keep_arguments(struct api_request *r, yyjson_val *v);

/* The chat begins: r->doc, r->chat, r->chat_extra. */
void api_chat_begin(struct api_request *r);
/* A message; text NULL: its content is null. It is at the end of r->chat. */
yyjson_mut_val *api_chat_add(struct api_request *r, const char *role, const char *text, size_t len);
/* A string field of a message. */
void api_chat_set(struct api_request *r, yyjson_mut_val *message, const char *key, const char *text, size_t len);
/* Call at the end of a chat: whether the model goes on with the text of its last message ("continue_final_message",
 * "add_generation_prompt"). It does where that is an assistant's, unless the body says otherwise. */
err_code api_chat_end(yyjson_val *root, struct api_request *r, struct err *e);
/* A tool call of an assistant's message; arguments: JSON text. */
void api_chat_call(struct api_request *r, yyjson_mut_val *message, const char *id, const char *name, const char *arguments);

#endif
