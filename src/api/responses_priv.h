/* SPDX-License-Identifier: MIT
 * /v1/responses from within: responses.c reads requests, responses_items.c their items and tools, responses_answer.c writes answers. */
#ifndef CARAVAN_API_RESPONSES_PRIV_H
#define CARAVAN_API_RESPONSES_PRIV_H

#include "api/parse.h"

/* The beginning of "encrypted_content" in our compaction items. The text after it is plain: it is the client's own conversation. */
#define RESPONSES_COMPACTED "caravan:"

/* A namespace of tools: the model knows its members as "NAME.MEMBER", the client gets both parts. */
struct responses_space {
    const char *name;
    const struct responses_space *next;
};

/* Fields of the request that the answer repeats, as JSON text; the instructions as they are (NULL: none). In the request's arena. */
struct responses_extra {
    const char *instructions, *tools, *tool_choice, *text, *reasoning, *metadata, *max_tool_calls, *safety_identifier, *prompt_cache_key;
    const struct responses_space *spaces;
};

err_code responses_parse(yyjson_val *root, struct api_request *r, struct err *e);
err_code responses_resume(yyjson_val *chain, struct api_request *r, struct err *e);

/* Reads items into the request's chat, in order. */
struct responses_reader {
    struct api_request *r;
    yyjson_mut_val *last;   /* the message made last; NULL: none */
    yyjson_val *reasoning;  /* of the assistant's message that follows; NULL: none */
};
/* items: an array, or a string: what the user says. */
err_code responses_take_items(struct responses_reader *in, yyjson_val *items, struct err *e);
/* "tools", "tool_choice" and "parallel_tool_calls". */
err_code responses_parse_tools(yyjson_val *root, struct api_request *r, struct err *e);
void responses_append_usage(const struct api_usage *u, struct buf *out); /* {"input_tokens":...} */

#endif
