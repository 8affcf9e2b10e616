/* SPDX-License-Identifier: MIT
 * Parameters, usage and errors that OpenAI's APIs share. For openai_*.c. */
#ifndef CARAVAN_API_OPENAI_PRIV_H
#define CARAVAN_API_OPENAI_PRIV_H

#include "api/parse.h"

/* Reads the common parameters (model, n, stop, seed, sampling, stream ...): all except the prompt, max_tokens and logprobs. */
err_code openai_parse_common(yyjson_val *root, struct api_request *r, struct err *e);
/* Reads a limit of tokens. *ret stays as it is if the field is absent or null. */
err_code openai_parse_limit(yyjson_val *root, const char *key, int32_t *ret, struct err *e);
/* The body of a chat: messages, tools and all. */
err_code openai_chat_parse(yyjson_val *root, struct api_request *r, struct err *e);

void openai_append_usage(const struct api_answer *a, struct buf *out);     /* {"prompt_tokens":...} */
void openai_append_stats(const struct api_answer *a, struct buf *out);     /* ,"caravan":{...} or nothing */
void openai_append_logprob(struct buf *out, float logprob);
/* [{"token", "logprob", "bytes", "top_logprobs": [...]}, ...] */
void openai_append_logprobs(const struct api_token *tokens, size_t n, struct buf *out);
const char *openai_finish_name(enum api_finish finish);
void openai_error(err_code code, const struct err *e, const char *request, struct buf *out);
/* Appends the last chunk, with the usage if the client asked for it, and [DONE]. */
void openai_stream_end(const struct api_answer *a, struct buf *out);
void openai_stream_fail(const struct api_event *ev, struct buf *out);

#endif
