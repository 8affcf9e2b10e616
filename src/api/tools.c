/* SPDX-License-Identifier: MIT
 * See tools.h. */
#include "api/tools.h"

#include <stdio.h>
#include <string.h>

#include "api/custom.h"
#include "api/parse.h"

enum { PLACE_SIZE = 64 };

static err_code parse_tool(yyjson_val *tool, size_t i, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    char at[PLACE_SIZE];
    yyjson_val *type = yyjson_obj_get(tool, "type");
    snprintf(at, sizeof(at), shape->dotted ? "tools.%zu" : "tools[%zu]", i);
    if (!yyjson_is_obj(tool)) return api_wrong(e, at, "an object");
    if (shape->custom != NULL && yyjson_equals_str(type, "custom"))
        return api_custom_add(r, *shape->custom != '\0' ? yyjson_obj_get(tool, shape->custom) : tool, at, e);
    bool known = shape->type == NULL || (type == NULL && shape->type_optional) || yyjson_equals_str(type, shape->type);
    if (!known && !yyjson_is_str(type)) return err_set_field(e, ERR_INVALID, err_place("%s.type", at).text, "expected a string");
    if (!known) return shape->other != NULL ? shape->other(tool, at, r, e) : ERR_OK;
    if (shape->function != NULL) {
        size_t len = strlen(at);
        snprintf(at + len, sizeof(at) - len, ".%s", shape->function);
        tool = yyjson_obj_get(tool, shape->function);
        if (!yyjson_is_obj(tool)) return api_wrong(e, at, "an object");
    }
    return api_tools_add(r, yyjson_obj_get(tool, "name"), tool, shape->schema, at, e);
}

static err_code parse_list(yyjson_val *root, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "tools"), *tool;
    size_t i, n;
    if (list == NULL || yyjson_is_null(list)) return ERR_OK;
    if (!yyjson_is_arr(list)) return api_wrong(e, "tools", "an array");
    yyjson_arr_foreach(list, i, n, tool) {
        err_code code = parse_tool(tool, i, shape, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* Reads the choice of one tool by its name. */
static err_code choose_named(yyjson_val *choice, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    char at[PLACE_SIZE];
    const char *function = yyjson_equals_str(yyjson_obj_get(choice, "type"), "custom") ? shape->custom : shape->function;
    if (function != NULL && *function == '\0') function = NULL;
    yyjson_val *name = yyjson_obj_get(function != NULL ? yyjson_obj_get(choice, function) : choice, "name");
    for (size_t i = 0; i < r->n_tools; i++)
        if (yyjson_equals_str(name, r->tools[i].name)) {
            r->tool_choice = API_TOOLS_NAMED;
            r->tool_name = r->tools[i].name;
            return ERR_OK;
        }
    snprintf(at, sizeof(at), "tool_choice%s%s.name", function != NULL ? "." : "", function != NULL ? function : "");
    return api_wrong(e, at, "the name of one of the tools");
}

/* Keeps the tools that a list names, in their order. */
static void keep_allowed(yyjson_val *list, const struct api_tools_shape *shape, struct api_request *r) {
    yyjson_mut_val *kept = yyjson_mut_arr(r->doc);
    size_t n = 0;
    for (size_t i = 0; i < r->n_tools; i++) {
        yyjson_val *tool;
        size_t k, max;
        bool allowed = false;
        yyjson_arr_foreach(json_some(list), k, max, tool) {
            yyjson_val *inner = shape->function != NULL ? yyjson_obj_get(tool, shape->function) : NULL;
            if (inner == NULL && shape->custom != NULL && *shape->custom != '\0') inner = yyjson_obj_get(tool, shape->custom);
            allowed |= yyjson_equals_str(yyjson_obj_get(inner != NULL ? inner : tool, "name"), r->tools[i].name);
        }
        if (!allowed) continue;
        r->tools[n++] = r->tools[i];
        yyjson_mut_arr_append(kept, yyjson_mut_val_mut_copy(r->doc, yyjson_mut_arr_get(r->chat_tools, i)));
    }
    r->n_tools = n;
    r->chat_tools = n > 0 ? kept : NULL;
}

/* {"type": "allowed_tools", "mode": "auto" | "required", "tools": [...]}; in OpenAI's chats mode and tools stand one level deeper. */
static err_code choose_allowed(yyjson_val *choice, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    yyjson_val *inner = yyjson_obj_get(choice, "allowed_tools"), *from = inner != NULL ? inner : choice,
               *mode = yyjson_obj_get(from, "mode");
    bool required = yyjson_equals_str(mode, "required");
    if (!required && !yyjson_equals_str(mode, "auto")) return api_wrong(e, "tool_choice.mode", "\"auto\" or \"required\"");
    keep_allowed(yyjson_obj_get(from, "tools"), shape, r);
    if (r->n_tools == 0) return api_wrong(e, "tool_choice.tools", "at least one of the tools");
    if (required) r->tool_choice = API_TOOLS_REQUIRED;
    return ERR_OK;
}

static err_code parse_choice(yyjson_val *root, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    yyjson_val *choice = yyjson_obj_get(root, "tool_choice"), *type = yyjson_obj_get(choice, "type");
    yyjson_val *word = shape->choice_typed ? type : choice;
    if (shape->required == NULL || choice == NULL || yyjson_is_null(choice) || yyjson_equals_str(word, "auto")) return ERR_OK;
    if (yyjson_equals_str(word, "none")) {
        r->tool_choice = API_TOOLS_NONE;
        return ERR_OK;
    }
    if (yyjson_equals_str(type, "allowed_tools")) return choose_allowed(choice, shape, r, e);
    bool named = yyjson_equals_str(type, shape->named) || (shape->custom != NULL && yyjson_equals_str(type, "custom"));
    if (!named && !yyjson_equals_str(word, shape->required)) return api_wrong(e, "tool_choice", shape->choice_help);
    if (named) return choose_named(choice, shape, r, e);
    if (r->n_tools == 0) return err_set_field(e, ERR_INVALID, "tool_choice", "only allowed with \"tools\"");
    r->tool_choice = API_TOOLS_REQUIRED;
    return ERR_OK;
}

err_code api_tools_parse(yyjson_val *root, const struct api_tools_shape *shape, struct api_request *r, struct err *e) {
    err_code code = parse_list(root, shape, r, e);
    return code == ERR_OK ? parse_choice(root, shape, r, e) : code;
}
