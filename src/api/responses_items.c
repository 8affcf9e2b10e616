/* SPDX-License-Identifier: MIT
 * POST /v1/responses: the items of a conversation and the tools become the internal chat. Items of tools that ran on OpenAI's servers and
 * items of unknown types are left out, or become text if they have some. The conversation goes on. Pure. */
#include <stdio.h>
#include <string.h>

#include "api/media.h"
#include "api/parts.h"
#include "api/responses_priv.h"
#include "api/tools.h"
#include "base/mem.h"

static bool is_type(yyjson_val *v, const char *type) { return yyjson_equals_str(yyjson_obj_get(v, "type"), type); }

/* ---- tools ---- */

static bool has_tool(const struct api_request *r, const char *name) {
    for (size_t i = 0; i < r->n_tools; i++)
        if (strcmp(r->tools[i].name, name) == 0) return true;
    return false;
}

/* Adds the functions of a namespace. Other tools run on OpenAI's servers and are left out: the model answers without them. */
static err_code add_namespace(yyjson_val *tool, const char *at, struct api_request *r, struct err *e) {
    yyjson_val *name = yyjson_obj_get(tool, "name"), *member;
    struct responses_extra *x = r->extra;
    size_t i, n;
    if (!is_type(tool, "namespace")) return ERR_OK;
    if (!yyjson_is_str(name)) return api_wrong(e, at, "a namespace with a \"name\"");
    struct responses_space *space = arena_alloc(r->arena, sizeof(*space));
    *space = (struct responses_space){.name = api_keep_str(r, name), .next = x->spaces};
    x->spaces = space;
    yyjson_arr_foreach(json_some(yyjson_obj_get(tool, "tools")), i, n, member) {
        const char *own = yyjson_get_str(yyjson_obj_get(member, "name"));
        yyjson_val full = {0};
        if (own != NULL) yyjson_set_str(&full, arena_printf(r->arena, "%s.%s", space->name, own));
        if (!is_type(member, "function") || (own != NULL && has_tool(r, yyjson_get_str(&full)))) continue;
        err_code code = api_tools_add(r, &full, member, "parameters", at, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static const struct api_tools_shape tools_shape = {
    .type = "function",
    .other = add_namespace,
    .custom = "",
    .schema = "parameters",
    .required = "required",
    .named = "function",
    .choice_help = "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"name\": ...}",
};

err_code responses_parse_tools(yyjson_val *root, struct api_request *r, struct err *e) {
    bool parallel = true;
    err_code code = json_get_bool(root, "parallel_tool_calls", &parallel, e);
    r->single_tool = !parallel;
    return code == ERR_OK ? api_tools_parse(root, &tools_shape, r, e) : code;
}

/* Adds tools that the client found during the conversation. */
static err_code add_found_tools(struct api_request *r, yyjson_val *list, struct err *e) {
    yyjson_val *tool;
    size_t i, n;
    yyjson_arr_foreach(json_some(list), i, n, tool) {
        yyjson_val *name = yyjson_obj_get(tool, "name");
        bool function = is_type(tool, "function") && yyjson_is_str(name) && !has_tool(r, yyjson_get_str(name));
        err_code code = function ? api_tools_add(r, name, tool, "parameters", "input", e) : add_namespace(tool, "input", r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- items ---- */

static err_code wrong_item(struct err *e, size_t i, const char *what, const char *expected) {
    return err_set_field(e, ERR_INVALID, err_place("input[%zu]%s", i, what).text, "expected %s", expected);
}

/* A picture or a sound of a message: its mark. A file is refused, because an answer to the rest would answer another question. */
static err_code append_media(struct api_request *r, yyjson_val *part, size_t i, size_t k, struct buf *out, struct err *e) {
    struct err_place at = err_place("input[%zu].content[%zu]", i, k);
    yyjson_val *image = yyjson_obj_get(part, "image_url"), *url = yyjson_is_obj(image) ? yyjson_obj_get(image, "url") : image;
    if (is_type(part, "input_image") && url != NULL && !yyjson_is_null(url))
        return api_media_url(r, url, err_place("%s.image_url", at.text).text, out, e);
    if (is_type(part, "input_audio")) return api_media_add(r, yyjson_obj_get(yyjson_obj_get(part, "input_audio"), "data"), at.text, out, e);
    return err_set_field(e, ERR_UNSUPPORTED, err_place("%s.type", at.text).text,
                         "only text, pictures in \"image_url\" and sounds are supported");
}

/* Appends a string, or the text of parts. In the result of a tool (r NULL) a picture or file is named in a placeholder. */
static err_code append_content(yyjson_val *v, size_t i, struct api_request *r, struct buf *out, struct err *e) {
    bool any = r == NULL;
    yyjson_val *part;
    size_t k, n;
    if (yyjson_is_str(v)) buf_append(out, yyjson_get_str(v), yyjson_get_len(v));
    else if (any && yyjson_is_obj(v)) parts_append(v, out);
    else if (!yyjson_is_arr(v)) return wrong_item(e, i, ".content", "a string or an array of parts");
    yyjson_arr_foreach(json_some(v), k, n, part) {
        if (!any && (is_type(part, "input_image") || is_type(part, "input_file") || is_type(part, "input_audio"))) {
            err_code code = append_media(r, part, i, k, out, e);
            if (code != ERR_OK) return code;
            continue;
        }
        bool text = is_type(part, "input_text") || is_type(part, "output_text") || is_type(part, "text");
        if (!yyjson_is_obj(part) || (text && !yyjson_is_str(yyjson_obj_get(part, "text"))))
            return wrong_item(e, i, ".content", "parts with a \"text\"");
        parts_append(part, out);
    }
    return ERR_OK;
}

static err_code take_text(struct responses_reader *in, const char *role, const char *id, yyjson_val *content, size_t i, struct err *e) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_content(content, i, id != NULL ? NULL : in->r, &text, e);
    if (code == ERR_OK) {
        in->last = api_chat_add(in->r, role, buf_cstr(&text), text.len);
        if (id != NULL) api_chat_set(in->r, in->last, "tool_call_id", id, strlen(id));
    }
    buf_done(&text);
    return code;
}

static bool last_is_assistant(const struct responses_reader *in) {
    return in->last != NULL && yyjson_mut_equals_str(yyjson_mut_obj_get(in->last, "role"), "assistant");
}

static err_code give_reasoning(struct responses_reader *in, size_t i, struct err *e) {
    if (in->reasoning == NULL) return ERR_OK;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_content(in->reasoning, i, NULL, &text, e);
    if (code == ERR_OK) api_chat_set(in->r, in->last, "reasoning_content", buf_cstr(&text), text.len);
    in->reasoning = NULL;
    buf_done(&text);
    return code;
}

static err_code take_message(struct responses_reader *in, yyjson_val *item, size_t i, struct err *e) {
    static const struct {
        const char *name, *role;
    } roles[] = {{"system", "system"}, {"developer", "system"}, {"user", "user"}, {"assistant", "assistant"}};
    yyjson_val *role = yyjson_obj_get(item, "role");
    size_t k = 0;
    while (k < ARRAY_LEN(roles) && !yyjson_equals_str(role, roles[k].name)) k++;
    if (k == ARRAY_LEN(roles)) return wrong_item(e, i, ".role", "\"system\", \"developer\", \"user\" or \"assistant\"");
    err_code code = take_text(in, roles[k].role, NULL, yyjson_obj_get(item, "content"), i, e);
    return code == ERR_OK && k == 3 ? give_reasoning(in, i, e) : code;
}

/* Adds a call to the assistant's message. */
static err_code add_call(struct responses_reader *in, yyjson_val *id, const char *name, const char *arguments, size_t i, struct err *e) {
    if (!last_is_assistant(in)) in->last = api_chat_add(in->r, "assistant", NULL, 0);
    api_chat_call(in->r, in->last, api_keep_str(in->r, id), name, arguments);
    return give_reasoning(in, i, e);
}

static err_code take_call(struct responses_reader *in, yyjson_val *item, size_t i, struct err *e) {
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *name = yyjson_obj_get(item, "name"), *arguments = yyjson_obj_get(item, "arguments");
    const char *space = yyjson_get_str(yyjson_obj_get(item, "namespace"));
    if (!yyjson_is_str(id)) return wrong_item(e, i, ".call_id", "a string");
    if (!yyjson_is_str(name)) return wrong_item(e, i, ".name", "a string");
    if (!yyjson_is_str(arguments) && !yyjson_is_obj(arguments)) return wrong_item(e, i, ".arguments", "JSON in a string, or an object");
    const char *full = space != NULL && *space != '\0' ? arena_printf(in->r->arena, "%s.%s", space, yyjson_get_str(name)) : NULL;
    return add_call(in, id, full != NULL ? full : api_keep_str(in->r, name), api_keep_arguments(in->r, arguments), i, e);
}

/* A call of a tool that is no function ("custom_tool_call", "local_shell_call"): it becomes one. A call without a call_id ran on a
 * server, and its result is in the message that follows. */
static err_code take_other_call(struct responses_reader *in, yyjson_val *item, const char *type, size_t i, struct err *e) {
    static const char *const keys[] = {"arguments", "action", "operation"};
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *name = yyjson_obj_get(item, "name"), *input = yyjson_obj_get(item, "input");
    const char *arguments = "{}";
    if (!yyjson_is_str(id)) return ERR_OK;
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        if (yyjson_is_obj(yyjson_obj_get(item, keys[k]))) arguments = api_keep_json(in->r, yyjson_obj_get(item, keys[k]));
    if (yyjson_is_str(input)) arguments = arena_printf(in->r->arena, "{\"input\":%s}", api_keep_json(in->r, input));
    const char *kind = arena_strndup(in->r->arena, type, strlen(type) - strlen("_call"));
    return add_call(in, id, yyjson_is_str(name) ? api_keep_str(in->r, name) : kind, arguments, i, e);
}

static err_code take_output(struct responses_reader *in, yyjson_val *item, bool function, size_t i, struct err *e) {
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *output = yyjson_obj_get(item, "output");
    if (!yyjson_is_str(id) && !function) id = yyjson_obj_get(item, "id");
    if (!yyjson_is_str(id)) return wrong_item(e, i, ".call_id", "a string");
    if (output == NULL && !function) return ERR_OK;
    return take_text(in, "tool", api_keep_str(in->r, id), output, i, e);
}

/* One item that stands for the conversation before it. Its text is ours, or that of another server, which we cannot read. */
static void take_compaction(struct responses_reader *in, yyjson_val *item) {
    static const char unreadable[] = "[The conversation before this was compacted by another server, and cannot be read here.]";
    yyjson_val *v = yyjson_obj_get(item, "encrypted_content");
    size_t mark = strlen(RESPONSES_COMPACTED);
    bool ours = yyjson_is_str(v) && strncmp(yyjson_get_str(v), RESPONSES_COMPACTED, mark) == 0;
    if (ours) in->last = api_chat_add(in->r, "user", yyjson_get_str(v) + mark, yyjson_get_len(v) - mark);
    else in->last = api_chat_add(in->r, "user", unreadable, strlen(unreadable));
}

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), n = strlen(end);
    return len > n && strcmp(text + len - n, end) == 0;
}

static err_code take_other(struct responses_reader *in, yyjson_val *item, size_t i, struct err *e) {
    const char *type = yyjson_get_str(yyjson_obj_get(item, "type"));
    yyjson_val *content = yyjson_obj_get(item, "content");
    if (type == NULL) return wrong_item(e, i, ".type", "a string");
    if (strcmp(type, "item_reference") == 0)
        return err_set_field(e, ERR_UNSUPPORTED, err_place("input[%zu].type", i).text,
                             "references to items are not supported: send the item");
    if (strncmp(type, "compaction", 10) == 0 || strcmp(type, "context_compaction") == 0) take_compaction(in, item);
    else if (ends_with(type, "_output")) return take_output(in, item, false, i, e);
    else if (ends_with(type, "_call")) return take_other_call(in, item, type, i, e);
    else if (yyjson_is_str(content) || yyjson_is_arr(content)) return take_text(in, "user", NULL, content, i, e);
    return ERR_OK;
}

static err_code take_item(struct responses_reader *in, yyjson_val *item, size_t i, struct err *e) {
    yyjson_val *type = yyjson_obj_get(item, "type");
    if (!yyjson_is_obj(item)) return wrong_item(e, i, "", "an object");
    err_code code = add_found_tools(in->r, yyjson_obj_get(item, "tools"), e);
    if (code != ERR_OK) return code;
    if (type == NULL || is_type(item, "message")) return take_message(in, item, i, e);
    if (is_type(item, "function_call")) return take_call(in, item, i, e);
    if (is_type(item, "function_call_output")) return take_output(in, item, true, i, e);
    if (!is_type(item, "reasoning")) return take_other(in, item, i, e);
    yyjson_val *content = yyjson_obj_get(item, "content"), *summary = yyjson_obj_get(item, "summary");
    in->reasoning = yyjson_arr_size(content) > 0 ? content : yyjson_arr_size(summary) > 0 ? summary : NULL;
    return ERR_OK;
}

err_code responses_take_items(struct responses_reader *in, yyjson_val *items, struct err *e) {
    yyjson_val *item;
    size_t i, n;
    if (yyjson_is_str(items)) return take_text(in, "user", NULL, items, 0, e);
    yyjson_arr_foreach(json_some(items), i, n, item) {
        err_code code = take_item(in, item, i, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}
