/* SPDX-License-Identifier: MIT
 * What the text of an answer must look like: OpenAI's "response_format", and the fields by which clients of llama-server ("json_schema"),
 * vLLM ("structured_outputs", "guided_json" ...) and SGLang ("regex", "ebnf") ask for the same. Pure. */
#ifndef CARAVAN_API_CONSTRAINT_H
#define CARAVAN_API_CONSTRAINT_H

#include "api/api.h"

/* Sets the request's format, schema and grammar. ERR_INVALID also where two fields ask for a form. */
err_code constraint_parse(yyjson_val *root, struct api_request *r, struct err *e);

#endif
