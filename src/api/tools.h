/* SPDX-License-Identifier: MIT
 * The tools of a request and the choice among them. Each API has its own words for them, and a shape names these words. In the request
 * the tools have one form (OpenAI's). Pure; everything made belongs to the request. */
#ifndef CARAVAN_API_TOOLS_H
#define CARAVAN_API_TOOLS_H

#include "api/api.h"

/* How an API writes tools. A NULL word is not part of the API. */
struct api_tools_shape {
    const char *type;         /* of the tools whose name and schema the client sends; NULL: a tool has no type */
    bool type_optional;       /* a tool without a type is of that type */
    /* Reads a tool of another type, whose "type" is a string; NULL: it is left out. at: its place in the body, for errors. */
    err_code (*other)(yyjson_val *tool, const char *at, struct api_request *r, struct err *e);
    const char *function;     /* the field that holds a tool's name, description and schema; NULL: the tool itself holds them */
    const char *custom; /* the field that holds a tool of type "custom"; "": the tool itself; NULL: the API has none (api/custom.h) */
    const char *schema; /* the field of a tool's parameters */
    bool dotted; /* errors write "tools.0", else "tools[0]" */
    const char *required; /* the word of "tool_choice" that demands a call; NULL: the API has no "tool_choice" */
    const char *named; /* the type of a "tool_choice" that names a tool */
    bool choice_typed; /* all words of "tool_choice" stand as {"type": WORD} */
    const char *choice_help; /* the forms of "tool_choice", for errors */
};

/* Reads "tools" and "tool_choice" of a body. The request's chat must have begun. */
err_code api_tools_parse(yyjson_val *root, const struct api_tools_shape *shape, struct api_request *r, struct err *e);
/* Adds one tool. function holds its description and its schema; name stands elsewhere in some APIs. */
err_code api_tools_add(struct api_request *r, yyjson_val *name, yyjson_val *function, const char *schema_key, const char *at,
                       struct err *e);

#endif
