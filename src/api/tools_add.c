/* SPDX-License-Identifier: MIT
 * Adds one tool to a request. See tools.h. */
#include "api/parse.h"
#include "api/tools.h"

/* bytes of "tools[0].function", a tool's place in the body */

static void append_str(struct api_request *r, yyjson_mut_val *to, const char *key, yyjson_val *v) {
    api_chat_set(r, to, key, yyjson_get_str(v), yyjson_get_len(v));
}

err_code api_tools_add(struct api_request *r, yyjson_val *name, yyjson_val *function, const char *schema_key, const char *at,
                       struct err *e) {
    yyjson_val *description = yyjson_obj_get(function, "description");
    yyjson_val *schema = yyjson_obj_get(function, schema_key);
    struct toolcall_tool tool = {0};
    err_code code = json_get_bool(function, "strict", &tool.strict, e);
    if (code != ERR_OK) return code;
    if (!yyjson_is_str(name) || !toolcall_name_valid(yyjson_get_str(name), yyjson_get_len(name)))
        return api_wrong(e, at, "a tool with a \"name\" of letters, digits, _ and -");
    if (description != NULL && !yyjson_is_str(description) && !yyjson_is_null(description))
        return api_wrong(e, at, "a tool whose \"description\" is a string");
    if (schema != NULL && !yyjson_is_obj(schema) && !yyjson_is_null(schema))
        return api_wrong(e, at, "a tool whose parameters are a JSON schema, an object");
    if (r->n_tools == TOOLCALL_MAX_TOOLS) return err_set_field(e, ERR_INVALID, "tools", "expected at most %d tools", TOOLCALL_MAX_TOOLS);
    if (r->tools == NULL) {
        r->tools = arena_alloc(r->arena, TOOLCALL_MAX_TOOLS * sizeof(*r->tools));
        r->chat_tools = yyjson_mut_arr(r->doc);
    }
    yyjson_mut_val *outer = yyjson_mut_arr_add_obj(r->doc, r->chat_tools);
    yyjson_mut_obj_add_str(r->doc, outer, "type", "function");
    yyjson_mut_val *o = yyjson_mut_obj_add_obj(r->doc, outer, "function");
    tool.name = api_keep_str(r, name);
    append_str(r, o, "name", name);
    if (yyjson_is_str(description)) {
        tool.description = api_keep_str(r, description);
        append_str(r, o, "description", description);
    }
    if (yyjson_is_obj(schema)) {
        tool.parameters = api_keep_json(r, schema);
        yyjson_mut_obj_add_val(r->doc, o, "parameters", yyjson_val_mut_copy(r->doc, schema));
    }
    r->tools[r->n_tools++] = tool;
    return ERR_OK;
}
