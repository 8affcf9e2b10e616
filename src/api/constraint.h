/* SPDX-License-Identifier: MIT
 * The form that an answer must have. OpenAI calls it "response_format"; clients of llama-server ("json_schema"), vLLM
 * ("structured_outputs", "guided_json" ...) and SGLang ("regex", "ebnf") have fields of their own for it. Pure. */
#ifndef CARAVAN_API_CONSTRAINT_H
#define CARAVAN_API_CONSTRAINT_H

#include "api/api.h"

/* Sets the request's format, schema and grammar. ERR_INVALID also if two fields ask for a form. */
err_code constraint_parse(yyjson_val *root, struct api_request *r, struct err *e);

#endif
