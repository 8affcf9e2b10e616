/* SPDX-License-Identifier: MIT
 * /v1/responses from within: responses.c reads requests, responses_answer.c writes answers. */
#ifndef CARAVAN_API_RESPONSES_PRIV_H
#define CARAVAN_API_RESPONSES_PRIV_H

#include "api/parse.h"

/* What the answer repeats of the request: JSON text, but for the instructions (NULL: none). In the request's arena. */
struct responses_extra {
    const char *instructions, *tools, *tool_choice, *text, *reasoning, *metadata;
};

err_code responses_parse(yyjson_val *root, struct api_request *r, struct err *e);
err_code responses_resume(yyjson_val *chain, struct api_request *r, struct err *e);

#endif
