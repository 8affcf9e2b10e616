/* SPDX-License-Identifier: MIT
 * POST /v1/chat/completions: the request's body. Shapes: the OpenAI API reference. Pure. */
#include <stdio.h>
#include <string.h>

#include "api/parse.h"
#include "api/openai_priv.h"
#include "api/custom.h"
#include "api/media.h"
#include "api/tools.h"

/* ---- messages ---- */

static err_code wrong_message(struct err *e, size_t i, const char *what, const char *expected) {
    return err_set_field(e, ERR_INVALID, err_place("messages[%zu]%s", i, what).text, "expected %s", expected);
}

static err_code parse_role(yyjson_val *message, size_t i, const char **ret, struct err *e) {
    static const struct {
        const char *name, *role;
    } roles[] = {{"system", "system"},       {"developer", "system"}, {"user", "user"},
                 {"assistant", "assistant"}, {"tool", "tool"},        {"function", "tool"}};
    yyjson_val *v = yyjson_obj_get(message, "role");
    if (!yyjson_is_str(v)) return wrong_message(e, i, ".role", "a string");
    for (size_t k = 0; k < sizeof(roles) / sizeof(*roles); k++)
        if (yyjson_equals_str(v, roles[k].name)) {
            *ret = roles[k].role;
            return ERR_OK;
        }
    return wrong_message(e, i, ".role", "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
}

/* A picture or a sound: its mark. *ret_code: whether that worked; false: the part is something else. */
static bool append_media(struct api_request *r, yyjson_val *part, size_t i, size_t k, struct buf *out, err_code *ret_code, struct err *e) {
    yyjson_val *type = yyjson_obj_get(part, "type"), *image = yyjson_obj_get(part, "image_url");
    if (yyjson_equals_str(type, "image_url")) {
        yyjson_val *url = yyjson_is_obj(image) ? yyjson_obj_get(image, "url") : image;
        *ret_code = api_media_url(r, url, err_place("messages[%zu].content[%zu].image_url", i, k).text, out, e);
        return true;
    }
    if (!yyjson_equals_str(type, "input_audio")) return false;
    yyjson_val *data = yyjson_obj_get(yyjson_obj_get(part, "input_audio"), "data");
    *ret_code = api_media_add(r, data, err_place("messages[%zu].content[%zu].input_audio.data", i, k).text, out, e);
    return true;
}

static err_code append_part(struct api_request *r, yyjson_val *part, size_t i, size_t k, struct buf *out, struct err *e) {
    yyjson_val *type = yyjson_obj_get(part, "type"), *text = yyjson_obj_get(part, "text");
    if (!yyjson_is_str(type))
        return err_set_field(e, ERR_INVALID, err_place("messages[%zu].content[%zu].type", i, k).text, "expected a string");
    err_code code;
    if (append_media(r, part, i, k, out, &code, e)) return code;
    if (!yyjson_equals_str(type, "text"))
        return err_set_field(e, ERR_UNSUPPORTED, err_place("messages[%zu].content[%zu].type", i, k).text,
                             "\"%.40s\" parts are not supported, only \"text\", \"image_url\" and \"input_audio\"", yyjson_get_str(type));
    if (!yyjson_is_str(text))
        return err_set_field(e, ERR_INVALID, err_place("messages[%zu].content[%zu].text", i, k).text, "expected a string");
    buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
    return ERR_OK;
}

/* Appends the text of a message. Null is no text; only an assistant's content may be absent. */
static err_code parse_content(struct api_request *r, yyjson_val *message, size_t i, bool assistant, struct buf *out, struct err *e) {
    yyjson_val *v = yyjson_obj_get(message, "content"), *part;
    size_t k, n;
    if (yyjson_is_str(v)) {
        buf_append(out, yyjson_get_str(v), yyjson_get_len(v));
    } else if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, k, n, part) {
            err_code code = append_part(r, part, i, k, out, e);
            if (code != ERR_OK) return code;
        }
    } else if (!yyjson_is_null(v) && !(assistant && v == NULL)) {
        return wrong_message(e, i, ".content", "a string or an array of parts");
    }
    return ERR_OK;
}

static err_code parse_custom_call(yyjson_val *call, const char *at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *custom = yyjson_obj_get(call, "custom"), *name = yyjson_obj_get(custom, "name"), *input = yyjson_obj_get(custom, "input");
    if (!yyjson_is_str(name)) return err_set_field(e, ERR_INVALID, err_place("%s.custom.name", at).text, "expected a string");
    if (!yyjson_is_str(input)) return err_set_field(e, ERR_INVALID, err_place("%s.custom.input", at).text, "expected a string");
    api_chat_call(r, message, api_keep_str(r, yyjson_obj_get(call, "id")), api_keep_str(r, name), api_custom_arguments(r, input));
    return ERR_OK;
}

static err_code parse_call(yyjson_val *call, const char *at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *id = yyjson_obj_get(call, "id"), *function = yyjson_obj_get(call, "function");
    yyjson_val *name = yyjson_obj_get(function, "name"), *arguments = yyjson_obj_get(function, "arguments");
    if (!yyjson_is_str(id)) return err_set_field(e, ERR_INVALID, err_place("%s.id", at).text, "expected a string");
    if (yyjson_equals_str(yyjson_obj_get(call, "type"), "custom")) return parse_custom_call(call, at, r, message, e);
    if (!yyjson_is_str(name)) return err_set_field(e, ERR_INVALID, err_place("%s.function.name", at).text, "expected a string");
    if (!yyjson_is_str(arguments) && !yyjson_is_obj(arguments))
        return err_set_field(e, ERR_INVALID, err_place("%s.function.arguments", at).text, "expected JSON in a string, or an object");
    api_chat_call(r, message, api_keep_str(r, id), api_keep_str(r, name), api_keep_arguments(r, arguments));
    return ERR_OK;
}

static err_code parse_calls(yyjson_val *message, size_t i, struct api_request *r, yyjson_mut_val *to, struct err *e) {
    yyjson_val *calls = yyjson_obj_get(message, "tool_calls"), *call;
    char at[64];
    size_t k, n;
    if (calls == NULL || yyjson_is_null(calls)) return ERR_OK;
    if (!yyjson_is_arr(calls)) return wrong_message(e, i, ".tool_calls", "an array");
    yyjson_arr_foreach(calls, k, n, call) {
        snprintf(at, sizeof(at), "messages[%zu].tool_calls[%zu]", i, k);
        err_code code = parse_call(call, at, r, to, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static void copy_field(yyjson_val *message, const char *key, struct api_request *r, yyjson_mut_val *to) {
    yyjson_val *v = yyjson_obj_get(message, key);
    if (yyjson_is_str(v)) api_chat_set(r, to, key, yyjson_get_str(v), yyjson_get_len(v));
}

/* Copies the reasoning of an earlier answer. Some servers and clients call it "reasoning" instead of "reasoning_content". */
static void copy_reasoning(yyjson_val *message, struct api_request *r, yyjson_mut_val *to) {
    yyjson_val *v = yyjson_obj_get(message, "reasoning_content");
    if (!yyjson_is_str(v)) v = yyjson_obj_get(message, "reasoning");
    if (yyjson_is_str(v)) api_chat_set(r, to, "reasoning_content", yyjson_get_str(v), yyjson_get_len(v));
}

/* ---- "functions", as they were before tools: one call in a message, and no ids ---- */

static const char *old_id(yyjson_val *name, struct api_request *r) { return arena_printf(r->arena, "call_%s", yyjson_get_str(name)); }

static void set_old_id(yyjson_val *name, struct api_request *r, yyjson_mut_val *to) {
    const char *id = old_id(name, r);
    api_chat_set(r, to, "tool_call_id", id, strlen(id));
}

static err_code parse_old_call(yyjson_val *message, size_t i, struct api_request *r, yyjson_mut_val *to, struct err *e) {
    yyjson_val *call = yyjson_obj_get(message, "function_call"), *name = yyjson_obj_get(call, "name"),
               *arguments = yyjson_obj_get(call, "arguments");
    if (call == NULL || yyjson_is_null(call)) return ERR_OK;
    if (!yyjson_is_str(name)) return wrong_message(e, i, ".function_call.name", "a string");
    if (!yyjson_is_str(arguments) && !yyjson_is_obj(arguments)) return wrong_message(e, i, ".function_call.arguments", "JSON in a string");
    api_chat_call(r, to, old_id(name, r), api_keep_str(r, name), api_keep_arguments(r, arguments));
    return ERR_OK;
}

static err_code parse_message(yyjson_val *message, size_t i, struct api_request *r, struct err *e) {
    const char *role = "";
    struct buf text;
    if (!yyjson_is_obj(message)) return wrong_message(e, i, "", "an object");
    err_code code = parse_role(message, i, &role, e);
    if (code != ERR_OK) return code;
    bool assistant = strcmp(role, "assistant") == 0, tool = strcmp(role, "tool") == 0;
    bool old = yyjson_equals_str(yyjson_obj_get(message, "role"), "function");
    if (tool && !yyjson_is_str(yyjson_obj_get(message, old ? "name" : "tool_call_id")))
        return wrong_message(e, i, old ? ".name" : ".tool_call_id", "a string");
    buf_init(&text, SIZE_MAX - 1); /* bounded by the body */
    code = parse_content(r, message, i, assistant, &text, e);
    if (code == ERR_OK) {
        bool calls = yyjson_get_len(yyjson_obj_get(message, "tool_calls")) > 0 || yyjson_is_obj(yyjson_obj_get(message, "function_call"));
        bool none = assistant && text.len == 0 && calls;
        yyjson_mut_val *to = api_chat_add(r, role, none ? NULL : buf_cstr(&text), text.len);
        if (tool && !old) copy_field(message, "tool_call_id", r, to);
        if (old) set_old_id(yyjson_obj_get(message, "name"), r, to);
        if (tool) copy_field(message, "name", r, to);
        if (assistant) copy_reasoning(message, r, to);
        if (assistant) code = parse_calls(message, i, r, to, e);
        if (assistant && code == ERR_OK) code = parse_old_call(message, i, r, to, e);
    }
    buf_done(&text);
    return code;
}

static err_code parse_messages(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "messages"), *message;
    size_t n = yyjson_arr_size(list), i, max;
    if (!yyjson_is_arr(list) || n == 0) return api_wrong(e, "messages", "an array with at least one message");
    if (n > ENGINE_MAX_MESSAGES)
        return err_set_field(e, ERR_INVALID, "messages", "expected at most %d messages, got %zu", ENGINE_MAX_MESSAGES, n);
    api_chat_begin(r);
    yyjson_arr_foreach(list, i, max, message) {
        err_code code = parse_message(message, i, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- tools ---- */

static const struct api_tools_shape tools_shape = {
    .type = "function",
    .function = "function",
    .custom = "custom",
    .schema = "parameters",
    .required = "required",
    .named = "function",
    .choice_help = "\"none\", \"auto\", \"required\", or {\"type\": \"function\", \"function\": {...}}",
};

/* "functions" and "function_call". */
static err_code parse_old_functions(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "functions"), *choice = yyjson_obj_get(root, "function_call"), *function,
               *name = yyjson_obj_get(choice, "name");
    char at[32];
    size_t i, n;
    if (list != NULL && !yyjson_is_null(list) && !yyjson_is_arr(list)) return api_wrong(e, "functions", "an array");
    yyjson_arr_foreach(json_some(list), i, n, function) {
        snprintf(at, sizeof(at), "functions[%zu]", i);
        err_code code = api_tools_add(r, yyjson_obj_get(function, "name"), function, "parameters", at, e);
        if (code != ERR_OK) return code;
        r->old_functions = r->single_tool = true;
    }
    if (choice == NULL || yyjson_is_null(choice) || yyjson_equals_str(choice, "auto")) return ERR_OK;
    if (yyjson_equals_str(choice, "none")) {
        r->tool_choice = API_TOOLS_NONE;
        return ERR_OK;
    }
    for (i = 0; i < r->n_tools; i++)
        if (yyjson_equals_str(name, r->tools[i].name)) {
            r->tool_choice = API_TOOLS_NAMED;
            r->tool_name = r->tools[i].name;
            return ERR_OK;
        }
    return api_wrong(e, "function_call", "\"none\", \"auto\" or {\"name\": one of the functions}");
}

static err_code parse_parallel(yyjson_val *root, struct api_request *r, struct err *e) {
    bool parallel = true;
    err_code code = json_get_bool(root, "parallel_tool_calls", &parallel, e);
    r->single_tool = !parallel;
    return code;
}

/* ---- the rest ---- */

static err_code parse_logprobs(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = json_get_bool(root, "logprobs", &r->logprobs, e);
    if (code != ERR_OK) return code;
    if (!r->logprobs && r->sampling.n_top_logprobs > 0)
        return err_set_field(e, ERR_INVALID, "top_logprobs", "only allowed with \"logprobs\": true");
    return ERR_OK;
}

/* Reads the further variables of the template: how hard to think, and the "chat_template_kwargs" of local clients. */
static err_code parse_thinking(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *effort = yyjson_obj_get(root, "reasoning_effort"), *extra = yyjson_obj_get(root, "chat_template_kwargs"), *key, *v;
    size_t i, n;
    if (effort != NULL && !yyjson_is_null(effort)) {
        if (!yyjson_is_str(effort)) return api_wrong(e, "reasoning_effort", "a string");
        api_chat_set(r, r->chat_extra, "reasoning_effort", yyjson_get_str(effort), yyjson_get_len(effort));
        yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", !yyjson_equals_str(effort, "none"));
    }
    if (extra == NULL || yyjson_is_null(extra)) return ERR_OK;
    if (!yyjson_is_obj(extra)) return api_wrong(e, "chat_template_kwargs", "an object");
    yyjson_obj_foreach(extra, i, n, key, v)
        yyjson_mut_obj_put(r->chat_extra, yyjson_val_mut_copy(r->doc, key), yyjson_val_mut_copy(r->doc, v));
    return ERR_OK;
}

static err_code check_modalities(yyjson_val *root, struct err *e) {
    yyjson_val *modality, *modalities = yyjson_obj_get(root, "modalities");
    size_t i, max;
    yyjson_arr_foreach(json_some(modalities), i, max, modality) {
        if (!yyjson_equals_str(modality, "text")) return err_set_field(e, ERR_UNSUPPORTED, "modalities", "only \"text\" is supported");
    }
    return ERR_OK;
}

err_code openai_chat_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = openai_parse_common(root, r, e)) != ERR_OK) return code;
    if ((code = parse_messages(root, r, e)) != ERR_OK) return code;
    if ((code = parse_logprobs(root, r, e)) != ERR_OK) return code;
    if ((code = openai_parse_limit(root, "max_tokens", &r->max_tokens, e)) != ERR_OK) return code;
    if ((code = openai_parse_limit(root, "max_completion_tokens", &r->max_tokens, e)) != ERR_OK) return code; /* the newer name wins */
    if ((code = check_modalities(root, e)) != ERR_OK) return code;
    if ((code = parse_thinking(root, r, e)) != ERR_OK) return code;
    if ((code = api_tools_parse(root, &tools_shape, r, e)) != ERR_OK) return code;
    if ((code = parse_parallel(root, r, e)) != ERR_OK) return code;
    if ((code = parse_old_functions(root, r, e)) != ERR_OK) return code;
    return api_chat_end(root, r, e);
}
