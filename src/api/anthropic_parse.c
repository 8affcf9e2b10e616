/* SPDX-License-Identifier: MIT
 * POST /v1/messages: the request's body to the internal request. A local model cannot use files, pictures in results of tools, and tools
 * that run on Anthropic's servers. Such a part is named in a placeholder or left out, and the conversation goes
 * on. Shapes: the reference of the Messages API, version 2023-06-01. Pure. */
#include <stdio.h>
#include <string.h>

#include "api/anthropic_priv.h"
#include "api/media.h"
#include "api/parts.h"
#include "api/tools.h"
#include "base/mem.h"

/* ---- messages ---- */

struct place {
    size_t message, block;
}; /* where in "messages" something stands, for errors */

static err_code wrong_block(struct err *e, struct place at, const char *what, const char *expected) {
    return err_set_field(e, ERR_INVALID, err_place("messages.%zu.content.%zu%s", at.message, at.block, what).text, "expected %s", expected);
}

static err_code append_text(yyjson_val *text, struct place at, struct buf *out, struct err *e) {
    if (!yyjson_is_str(text)) return wrong_block(e, at, ".text", "a string");
    buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
    return ERR_OK;
}

/* A picture in what the system says is refused, because an answer to the rest would answer another question. */
static err_code refuse_image(yyjson_val *block, struct err_place at, struct err *e) {
    if (!yyjson_equals_str(yyjson_obj_get(block, "type"), "image")) return ERR_OK;
    return err_set_field(e, ERR_UNSUPPORTED, err_place("%s.type", at.text).text, "images are taken from users only");
}

static err_code refuse_images(yyjson_val *blocks, const char *at, struct err *e) {
    yyjson_val *block;
    size_t i, n;
    err_code code = ERR_OK;
    yyjson_arr_foreach(json_some(blocks), i, n, block) if (code == ERR_OK) code = refuse_image(block, err_place("%s.%zu", at, i), e);
    return code;
}

/* Appends a string, or the text of blocks in their order. A block without text is named in a placeholder. */
static err_code append_content(yyjson_val *v, struct place at, struct buf *out, struct err *e) {
    yyjson_val *block;
    size_t i, n;
    if (yyjson_is_str(v)) return append_text(v, at, out, e);
    if (v != NULL && !yyjson_is_null(v) && !yyjson_is_arr(v)) return wrong_block(e, at, "", "a string or an array of blocks");
    yyjson_arr_foreach(json_some(v), i, n, block) {
        bool text = yyjson_equals_str(yyjson_obj_get(block, "type"), "text");
        if (!yyjson_is_obj(block)) return wrong_block(e, at, "", "an array of blocks");
        if (text && !yyjson_is_str(yyjson_obj_get(block, "text"))) return wrong_block(e, at, ".text", "a string");
        parts_append(block, out);
    }
    return ERR_OK;
}

static err_code take_result(yyjson_val *block, struct place at, struct api_request *r, struct err *e) {
    yyjson_val *id = yyjson_obj_get(block, "tool_use_id");
    if (!yyjson_is_str(id)) return wrong_block(e, at, ".tool_use_id", "a string");
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_content(yyjson_obj_get(block, "content"), at, &text, e);
    if (code == ERR_OK) {
        yyjson_mut_val *m = api_chat_add(r, "tool", buf_cstr(&text), text.len);
        api_chat_set(r, m, "tool_call_id", yyjson_get_str(id), yyjson_get_len(id));
        if (yyjson_is_true(yyjson_obj_get(block, "is_error"))) yyjson_mut_obj_add_bool(r->doc, m, "is_error", true);
    }
    buf_done(&text);
    return code;
}

static err_code take_use(yyjson_val *block, struct place at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *id = yyjson_obj_get(block, "id"), *name = yyjson_obj_get(block, "name"), *input = yyjson_obj_get(block, "input");
    if (!yyjson_is_str(id)) return wrong_block(e, at, ".id", "a string");
    if (!yyjson_is_str(name)) return wrong_block(e, at, ".name", "a string");
    if (!yyjson_is_obj(input)) return wrong_block(e, at, ".input", "an object");
    api_chat_call(r, message, api_keep_str(r, id), api_keep_str(r, name), api_keep_json(r, input));
    return ERR_OK;
}

/* A message may have several thinking blocks between its calls. They become one text. */
static err_code take_thinking(yyjson_val *block, struct place at, struct api_request *r, yyjson_mut_val *message, struct err *e) {
    yyjson_val *thinking = yyjson_obj_get(block, "thinking");
    if (!yyjson_is_str(thinking)) return wrong_block(e, at, ".thinking", "a string");
    yyjson_mut_val *before = yyjson_mut_obj_get(message, "reasoning_content");
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    if (before != NULL) {
        buf_append(&text, yyjson_mut_get_str(before), yyjson_mut_get_len(before));
        buf_append_str(&text, "\n\n");
    }
    buf_append(&text, yyjson_get_str(thinking), yyjson_get_len(thinking));
    api_chat_set(r, message, "reasoning_content", buf_cstr(&text), text.len);
    buf_done(&text);
    return ERR_OK;
}

/* A picture of the user: its mark. */
static err_code take_image(yyjson_val *block, struct place at, struct api_request *r, struct buf *text, struct err *e) {
    yyjson_val *source = yyjson_obj_get(block, "source"), *kind = yyjson_obj_get(source, "type");
    struct err_place field = err_place("messages.%zu.content.%zu.source", at.message, at.block);
    if (yyjson_equals_str(kind, "base64")) return api_media_add(r, yyjson_obj_get(source, "data"), field.text, text, e);
    if (yyjson_equals_str(kind, "url")) return api_media_url(r, yyjson_obj_get(source, "url"), field.text, text, e);
    return err_set_field(e, ERR_UNSUPPORTED, field.text, "only sources of type \"base64\" and \"url\" are supported");
}

/* Reads one block. */
static err_code take_block(yyjson_val *block, struct place at, bool user, struct api_request *r, yyjson_mut_val *message, struct buf *text,
                           struct err *e) {
    yyjson_val *type = yyjson_obj_get(block, "type");
    if (!yyjson_is_str(type)) return wrong_block(e, at, ".type", "a string");
    if (yyjson_equals_str(type, "text")) return append_text(yyjson_obj_get(block, "text"), at, text, e);
    if (user && yyjson_equals_str(type, "tool_result")) return take_result(block, at, r, e);
    if (user && yyjson_equals_str(type, "image")) return take_image(block, at, r, text, e);
    if (!user && yyjson_equals_str(type, "tool_use")) return take_use(block, at, r, message, e);
    bool served = yyjson_equals_str(type, "server_tool_use") ||
                  yyjson_equals_str(type, "mcp_tool_use"); /* its result follows as a block of its own */
    if (!user && (served || yyjson_equals_str(type, "redacted_thinking"))) return ERR_OK;
    if (!user && yyjson_equals_str(type, "thinking")) return take_thinking(block, at, r, message, e);
    parts_append(block, text);
    return ERR_OK;
}

/* The blocks of an assistant make one message. In a user's message each tool result makes a message of its own, before the text. */
static err_code take_blocks(yyjson_val *content, size_t i, bool user, struct api_request *r, struct err *e) {
    struct place at = {.message = i};
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    yyjson_mut_val *message = user ? NULL : api_chat_add(r, "assistant", NULL, 0);
    yyjson_val *block;
    size_t n;
    err_code code = ERR_OK;
    bool results = false;
    yyjson_arr_foreach(content, at.block, n, block) {
        if (code == ERR_OK) code = take_block(block, at, user, r, message, &text, e);
        results |= yyjson_equals_str(yyjson_obj_get(block, "type"), "tool_result");
    }
    if (code == ERR_OK && user && (text.len > 0 || !results)) api_chat_add(r, "user", buf_cstr(&text), text.len);
    if (code == ERR_OK && !user && (text.len > 0 || yyjson_mut_obj_get(message, "tool_calls") == NULL))
        api_chat_set(r, message, "content", buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

static err_code take_plain(const char *role, yyjson_val *content, size_t i, struct api_request *r, struct err *e) {
    struct buf text;
    err_code code = refuse_images(content, err_place("messages.%zu.content", i).text, e);
    if (code != ERR_OK) return code;
    buf_init(&text, SIZE_MAX - 1);
    code = append_content(content, (struct place){.message = i}, &text, e);
    if (code == ERR_OK) api_chat_add(r, role, buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

/* Claude Code sends "system" messages between two turns, to tell what has changed around it. */
static err_code parse_message(yyjson_val *message, size_t i, struct api_request *r, struct err *e) {
    static const char *const roles[] = {"user", "assistant", "system"};
    yyjson_val *role = yyjson_obj_get(message, "role"), *content = yyjson_obj_get(message, "content");
    size_t k = 0;
    while (k < ARRAY_LEN(roles) && !yyjson_equals_str(role, roles[k])) k++;
    if (k == ARRAY_LEN(roles))
        return err_set_field(e, ERR_INVALID, err_place("messages.%zu.role", i).text, "expected \"user\", \"assistant\" or \"system\"");
    if (!yyjson_is_arr(content) && !yyjson_is_str(content))
        return err_set_field(e, ERR_INVALID, err_place("messages.%zu.content", i).text, "expected a string or an array of blocks");
    bool blocks = yyjson_is_arr(content) && k < 2;
    return blocks ? take_blocks(content, i, k == 0, r, e) : take_plain(roles[k], content, i, r, e);
}

static err_code parse_chat(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *system = yyjson_obj_get(root, "system"), *list = yyjson_obj_get(root, "messages"), *message;
    size_t i, n = yyjson_arr_size(list);
    if (!yyjson_is_arr(list) || n == 0) return api_wrong(e, "messages", "an array with at least one message");
    if (n > ENGINE_MAX_MESSAGES) return err_set_field(e, ERR_INVALID, "messages", "expected at most %d messages", ENGINE_MAX_MESSAGES);
    if (system != NULL && !yyjson_is_null(system)) {
        struct buf text;
        err_code code = refuse_images(system, "system", e);
        if (code != ERR_OK) return code;
        buf_init(&text, SIZE_MAX - 1);
        code = append_content(system, (struct place){0}, &text, NULL);
        if (code == ERR_OK && text.len > 0) api_chat_add(r, "system", buf_cstr(&text), text.len);
        buf_done(&text);
        if (code != ERR_OK) return api_wrong(e, "system", "a string or an array of blocks of text");
    }
    yyjson_arr_foreach(list, i, n, message) {
        err_code code = parse_message(message, i, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- tools ---- */

static const struct {
    const char *prefix, *json;
} CLIENT_TOOLS[] = {
#define CLIENT_TOOL(prefix, description, schema) {prefix, "{\"description\":\"" description "\",\"input_schema\":" schema "}"},
#include "../../tables/client_tools.def"
#undef CLIENT_TOOL
};

/* Adds a tool that the client carries out although it sends no schema. Tools that run on Anthropic's servers are left out: the model
 * answers without them. */
static err_code add_typed_tool(yyjson_val *tool, const char *at, struct api_request *r, struct err *e) {
    yyjson_val *name = yyjson_obj_get(tool, "name");
    const char *type = yyjson_get_str(yyjson_obj_get(tool, "type"));
    size_t i = 0;
    if (yyjson_is_obj(yyjson_obj_get(tool, "input_schema"))) return api_tools_add(r, name, tool, "input_schema", at, e);
    while (i < ARRAY_LEN(CLIENT_TOOLS) && strncmp(type, CLIENT_TOOLS[i].prefix, strlen(CLIENT_TOOLS[i].prefix)) != 0) i++;
    if (i == ARRAY_LEN(CLIENT_TOOLS) || !yyjson_is_str(name)) return ERR_OK;
    yyjson_doc *row = json_read(CLIENT_TOOLS[i].json, strlen(CLIENT_TOOLS[i].json));
    err_code code = api_tools_add(r, name, yyjson_doc_get_root(row), "input_schema", at, e);
    yyjson_doc_free(row);
    return code;
}

static const struct api_tools_shape tools_shape = {
    .type = "custom",
    .type_optional = true,
    .other = add_typed_tool,
    .schema = "input_schema",
    .dotted = true,
    .required = "any",
    .named = "tool",
    .choice_typed = true,
    .choice_help = "{\"type\": \"auto\"}, {\"type\": \"any\"}, {\"type\": \"none\"} or {\"type\": \"tool\", \"name\": ...}",
};

static err_code parse_tools(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code = api_tools_parse(root, &tools_shape, r, e);
    if (code != ERR_OK) return code;
    code = json_get_bool(yyjson_obj_get(root, "tool_choice"), "disable_parallel_tool_use", &r->single_tool, e);
    if (code != ERR_OK) err_in_object(e, "tool_choice");
    return code;
}

/* ---- the rest ---- */

static err_code parse_thinking(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "thinking"), *type = yyjson_obj_get(v, "type");
    yyjson_val *effort = yyjson_obj_get(yyjson_obj_get(root, "output_config"), "effort");
    if (yyjson_is_str(effort)) api_chat_set(r, r->chat_extra, "reasoning_effort", yyjson_get_str(effort), yyjson_get_len(effort));
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    bool on = yyjson_equals_str(type, "enabled") || yyjson_equals_str(type, "adaptive");
    if (!on && !yyjson_equals_str(type, "disabled")) return api_wrong(e, "thinking.type", "\"enabled\", \"adaptive\" or \"disabled\"");
    yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", on);
    return ERR_OK;
}

static err_code parse_format(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(root, "output_config"), "format");
    r->format_field = "output_config.format";
    if (v == NULL) {
        v = yyjson_obj_get(root, "output_format");
        r->format_field = "output_format";
    }
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    yyjson_val *schema = yyjson_obj_get(v, "schema");
    if (!yyjson_equals_str(yyjson_obj_get(v, "type"), "json_schema") || !yyjson_is_obj(schema))
        return api_wrong(e, r->format_field, "{\"type\": \"json_schema\", \"schema\": {...}}");
    r->format = API_FORMAT_SCHEMA;
    r->schema = api_keep_json(r, schema);
    return ERR_OK;
}

/* Reads everything that counts as prompt. */
err_code anthropic_parse_count(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = api_parse_model(root, r, e)) != ERR_OK) return code;
    api_chat_begin(r);
    if ((code = parse_chat(root, r, e)) != ERR_OK) return code;
    if ((code = parse_tools(root, r, e)) != ERR_OK) return code;
    if ((code = parse_thinking(root, r, e)) != ERR_OK) return code;
    if ((code = parse_format(root, r, e)) != ERR_OK) return code;
    return api_chat_end(root, r, e);
}

err_code anthropic_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    err_code code;
    int64_t limit = 0;
    if ((code = anthropic_parse_count(root, r, e)) != ERR_OK) return code;
    if ((code = json_need_i64(root, "max_tokens", 1, INT32_MAX, &limit, e)) != ERR_OK) return code;
    r->max_tokens = (int32_t)limit;
    if ((code = json_get_bool(root, "stream", &r->stream, e)) != ERR_OK) return code;
    if ((code = api_parse_stops(yyjson_obj_get(root, "stop_sequences"), "stop_sequences", r, e)) != ERR_OK) return code;
    if (api_refuse(root, "thread", "threads are not kept here: send the whole conversation", e) != ERR_OK) return e->code = ERR_NO_THREAD;
    return api_parse_sampling(root, r, e);
}
