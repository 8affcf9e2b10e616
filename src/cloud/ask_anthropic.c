/* SPDX-License-Identifier: MIT
 * The internal request as a body of Anthropic's Messages API, version 2023-06-01: instructions stand apart, roles alternate, results of
 * tools are blocks of a user's message. Reasoning of earlier answers is left out: the API takes only what it has signed itself. See
 * ask_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/ask_priv.h"

static bool is(yyjson_mut_val *m, const char *role) { return yyjson_mut_equals_str(yyjson_mut_obj_get(m, "role"), role); }

static yyjson_mut_val *add_block(struct ask_body *b, yyjson_mut_val *blocks, const char *type) {
    yyjson_mut_val *block = yyjson_mut_arr_add_obj(b->doc, blocks);
    yyjson_mut_obj_add_strcpy(b->doc, block, "type", type);
    return block;
}

/* Empty blocks of text are refused there. */
static void add_text(struct ask_body *b, yyjson_mut_val *blocks, yyjson_mut_val *text) {
    if (yyjson_mut_get_len(text) == 0) return;
    yyjson_mut_val *block = add_block(b, blocks, "text");
    yyjson_mut_obj_add_strncpy(b->doc, block, "text", yyjson_mut_get_str(text), yyjson_mut_get_len(text));
}

static void add_use(struct ask_body *b, yyjson_mut_val *blocks, yyjson_mut_val *call) {
    yyjson_mut_val *function = yyjson_mut_obj_get(call, "function"), *arguments = yyjson_mut_obj_get(function, "arguments");
    yyjson_mut_val *block = add_block(b, blocks, "tool_use");
    yyjson_doc *doc = json_read(yyjson_mut_get_str(arguments), yyjson_mut_get_len(arguments));
    yyjson_val *input = yyjson_doc_get_root(doc);
    yyjson_mut_obj_add_val(b->doc, block, "id", yyjson_mut_val_mut_copy(b->doc, yyjson_mut_obj_get(call, "id")));
    yyjson_mut_obj_add_val(b->doc, block, "name", yyjson_mut_val_mut_copy(b->doc, yyjson_mut_obj_get(function, "name")));
    yyjson_mut_obj_add_val(b->doc, block, "input", yyjson_is_obj(input) ? yyjson_val_mut_copy(b->doc, input) : yyjson_mut_obj(b->doc));
    yyjson_doc_free(doc);
}

static void add_result(struct ask_body *b, yyjson_mut_val *blocks, yyjson_mut_val *m) {
    yyjson_mut_val *block = add_block(b, blocks, "tool_result");
    yyjson_mut_obj_add_val(b->doc, block, "tool_use_id", yyjson_mut_val_mut_copy(b->doc, yyjson_mut_obj_get(m, "tool_call_id")));
    yyjson_mut_obj_add_val(b->doc, block, "content", yyjson_mut_val_mut_copy(b->doc, yyjson_mut_obj_get(m, "content")));
    if (yyjson_mut_is_true(yyjson_mut_obj_get(m, "is_error"))) yyjson_mut_obj_add_bool(b->doc, block, "is_error", true);
}

/* The blocks of one of our messages. */
static void add_blocks(struct ask_body *b, yyjson_mut_val *blocks, yyjson_mut_val *m) {
    yyjson_mut_val *item;
    size_t i, n;
    if (is(m, "tool")) {
        add_result(b, blocks, m);
        return;
    }
    yyjson_mut_val *calls = yyjson_mut_obj_get(m, "tool_calls");
    add_text(b, blocks, yyjson_mut_obj_get(m, "content"));
    if (yyjson_mut_is_arr(calls)) yyjson_mut_arr_foreach(calls, i, n, item) add_use(b, blocks, item);
}

/* Messages of one role that follow one another become one. */
static void add_messages(struct ask_body *b) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(b->doc, b->root, "messages"), *m, *blocks = NULL;
    const char *last = "";
    size_t i, n;
    yyjson_mut_arr_foreach(b->r->chat, i, n, m) {
        if (is(m, "system")) continue;
        const char *role = is(m, "assistant") ? "assistant" : "user";
        if (blocks == NULL || strcmp(role, last) != 0) {
            if (blocks != NULL && yyjson_mut_arr_size(blocks) == 0) yyjson_mut_arr_remove_last(list);
            yyjson_mut_val *to = yyjson_mut_arr_add_obj(b->doc, list);
            yyjson_mut_obj_add_str(b->doc, to, "role", role);
            blocks = yyjson_mut_obj_add_arr(b->doc, to, "content");
            last = role;
        }
        add_blocks(b, blocks, m);
    }
}

static void add_system(struct ask_body *b) {
    yyjson_mut_val *blocks = yyjson_mut_arr(b->doc), *m;
    size_t i, n;
    yyjson_mut_arr_foreach(b->r->chat, i, n, m) {
        if (is(m, "system")) add_text(b, blocks, yyjson_mut_obj_get(m, "content"));
    }
    if (b->r->format == API_FORMAT_JSON)
        yyjson_mut_obj_add_str(b->doc, add_block(b, blocks, "text"), "text", "Answer with one JSON object and nothing else.");
    if (yyjson_mut_arr_size(blocks) > 0) yyjson_mut_obj_add_val(b->doc, b->root, "system", blocks);
}

/* ---- tools and form ---- */

static void add_tool(struct ask_body *b, yyjson_mut_val *list, const struct toolcall_tool *tool) {
    yyjson_mut_val *to = yyjson_mut_arr_add_obj(b->doc, list);
    yyjson_doc *schema = tool->parameters != NULL ? json_read(tool->parameters, strlen(tool->parameters)) : NULL;
    yyjson_mut_obj_add_strcpy(b->doc, to, "name", tool->name);
    if (tool->description != NULL) yyjson_mut_obj_add_strcpy(b->doc, to, "description", tool->description);
    yyjson_mut_val *input = schema != NULL ? yyjson_val_mut_copy(b->doc, yyjson_doc_get_root(schema)) : yyjson_mut_obj(b->doc);
    if (yyjson_mut_obj_get(input, "type") == NULL) yyjson_mut_obj_add_str(b->doc, input, "type", "object");
    yyjson_mut_obj_add_val(b->doc, to, "input_schema", input);
    yyjson_doc_free(schema);
}

static void add_tools(struct ask_body *b) {
    static const char *const types[] = {
        [API_TOOLS_AUTO] = "auto", [API_TOOLS_NONE] = "none", [API_TOOLS_REQUIRED] = "any", [API_TOOLS_NAMED] = "tool"};
    const struct api_request *r = b->r;
    if (r->n_tools == 0) return;
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(b->doc, b->root, "tools");
    for (size_t i = 0; i < r->n_tools; i++) add_tool(b, list, &r->tools[i]);
    if (r->tool_choice == API_TOOLS_AUTO && !r->single_tool) return;
    yyjson_mut_val *choice = yyjson_mut_obj_add_obj(b->doc, b->root, "tool_choice");
    yyjson_mut_obj_add_str(b->doc, choice, "type", types[r->tool_choice]);
    if (r->tool_choice == API_TOOLS_NAMED) yyjson_mut_obj_add_strcpy(b->doc, choice, "name", r->tool_name);
    if (r->single_tool && r->tool_choice != API_TOOLS_NONE) yyjson_mut_obj_add_bool(b->doc, choice, "disable_parallel_tool_use", true);
}

static void add_format(struct ask_body *b) {
    const char *text = b->r->format == API_FORMAT_SCHEMA ? b->r->schema : NULL;
    yyjson_doc *schema = text != NULL ? json_read(text, strlen(text)) : NULL;
    if (schema == NULL) return;
    yyjson_mut_val *config = yyjson_mut_obj_add_obj(b->doc, b->root, "output_config");
    yyjson_mut_val *format = yyjson_mut_obj_add_obj(b->doc, config, "format");
    yyjson_mut_obj_add_str(b->doc, format, "type", "json_schema");
    yyjson_mut_obj_add_val(b->doc, format, "schema", yyjson_val_mut_copy(b->doc, yyjson_doc_get_root(schema)));
    yyjson_doc_free(schema);
}

/* ---- reasoning and sampling ---- */

/* Calls of earlier turns must be preceded by their signed reasoning where reasoning is on, which other APIs can't keep. */
static bool has_calls(const struct api_request *r) {
    yyjson_mut_val *m;
    size_t i, n;
    yyjson_mut_arr_foreach(r->chat, i, n, m) {
        if (yyjson_mut_obj_get(m, "tool_calls") != NULL) return true;
    }
    return false;
}

/* The effort becomes a part of the answer's limit. Returns whether reasoning is on. */
static bool add_thinking(struct ask_body *b) {
    enum { LEAST = 1024 }; /* tokens, there */
    const char *effort = yyjson_mut_get_str(yyjson_mut_obj_get(b->r->chat_extra, "reasoning_effort"));
    bool forced = b->r->tool_choice == API_TOOLS_REQUIRED || b->r->tool_choice == API_TOOLS_NAMED;
    if (effort == NULL || strcmp(effort, "none") == 0 || strcmp(effort, "minimal") == 0 || forced || has_calls(b->r)) return false;
    int32_t budget = strcmp(effort, "low") == 0      ? b->max_tokens / 4
                     : strcmp(effort, "medium") == 0 ? b->max_tokens / 2
                                                     : b->max_tokens / 4 * 3;
    if (budget < LEAST || b->r->continues) return false; /* an answer that has begun has no place for it */
    yyjson_mut_val *thinking = yyjson_mut_obj_add_obj(b->doc, b->root, "thinking");
    yyjson_mut_obj_add_str(b->doc, thinking, "type", "enabled");
    yyjson_mut_obj_add_int(b->doc, thinking, "budget_tokens", budget);
    return true;
}

/* Temperatures end at 1 there. Newer models take one of temperature and top_p. */
static void add_sampling(struct ask_body *b) {
    yyjson_val *t = ask_number(b, "temperature");
    double temperature = yyjson_get_num(t);
    if (t != NULL) yyjson_mut_obj_add_real(b->doc, b->root, "temperature", temperature < 1 ? temperature : 1);
    else ask_copy_number(b, "top_p");
    yyjson_val *k = ask_number(b, "top_k");
    if (yyjson_is_uint(k) && yyjson_get_uint(k) > 0) ask_copy_number(b, "top_k");
}

void ask_anthropic_messages(struct ask_body *b) {
    add_system(b);
    add_messages(b);
    add_tools(b);
    add_format(b);
    if (!add_thinking(b)) add_sampling(b);
    ask_add_stops(b, "stop_sequences", API_MAX_STOPS);
}
