/* SPDX-License-Identifier: MIT
 * /v1/messages from within: anthropic_parse.c reads requests, anthropic.c writes answers. */
#ifndef CARAVAN_API_ANTHROPIC_PRIV_H
#define CARAVAN_API_ANTHROPIC_PRIV_H

#include "api/parse.h"

err_code anthropic_parse(yyjson_val *root, struct api_request *r, struct err *e);
/* The same, but only the fields that make the prompt: for counting its tokens. */
err_code anthropic_parse_count(yyjson_val *root, struct api_request *r, struct err *e);

#endif
