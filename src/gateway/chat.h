/* SPDX-License-Identifier: MIT
 * What the parsers of the APIs share: the model's name, stop strings, and building the request's chat and tools, which stand in one form
 * (OpenAI's, as engine/chat.h takes it) whatever API they came by. Pure; everything made belongs to the request. */
#ifndef CARAVAN_GATEWAY_CHAT_H
#define CARAVAN_GATEWAY_CHAT_H

#include "gateway/api.h"

/* ERR_INVALID `field "KEY": expected ...`. */
err_code gateway_wrong(struct err *e, const char *key, const char *expected);
/* Refuses a parameter that is there and not null, false, 0, "", {} or [] (what clients send for "off"). */
err_code gateway_refuse(yyjson_val *root, const char *key, const char *why, struct err *e);
/* "model" of the body; absent: "". */
err_code gateway_parse_model(yyjson_val *root, struct gateway_request *r, struct err *e);
/* "suffix" of a prompt. */
err_code gateway_parse_suffix(yyjson_val *root, struct gateway_request *r, struct err *e);
/* "keep_alive": seconds, or a duration like "1h30m". */
err_code gateway_parse_keep(yyjson_val *root, struct gateway_request *r, struct err *e);
/* A string or an array of strings; absent or null: none. */
err_code gateway_parse_stops(yyjson_val *v, const char *key, struct gateway_request *r, struct err *e);
/* Sampling by the names of tables/sampling.def, and the seed. */
err_code gateway_parse_sampling(yyjson_val *obj, struct gateway_request *r, struct err *e);
/* A copy in the arena: of a string; of any value as JSON text. */
const char *gateway_keep_str(struct gateway_request *r, yyjson_val *v);
const char *gateway_keep_json(struct gateway_request *r, yyjson_val *v);

/* The chat begins: r->doc, r->chat, r->chat_extra. */
void gateway_chat_begin(struct gateway_request *r);
/* A message; text NULL: its content is null. It is at the end of r->chat. */
yyjson_mut_val *gateway_chat_add(struct gateway_request *r, const char *role, const char *text, size_t len);
/* A string field of a message. */
void gateway_chat_set(struct gateway_request *r, yyjson_mut_val *message, const char *key, const char *text, size_t len);
/* A tool call of an assistant's message; arguments: JSON text. */
void gateway_chat_call(struct gateway_request *r, yyjson_mut_val *message, const char *id, const char *name, const char *arguments);
/* A tool; schema may be NULL. `key` is its field's name, for errors. Room for r->tools is made by gateway_tools_begin. */
err_code gateway_tools_begin(struct gateway_request *r, const char *key, size_t n, struct err *e);
err_code gateway_tools_add(struct gateway_request *r, const char *key, yyjson_val *name, yyjson_val *description, yyjson_val *schema,
                           struct err *e);
/* The choice of a tool by name: ERR_INVALID where there is no such tool. */
err_code gateway_tools_choose(struct gateway_request *r, const char *key, yyjson_val *name, struct err *e);

#endif
