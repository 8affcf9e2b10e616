/* SPDX-License-Identifier: MIT
 * The internal request as a body of OpenAI's chat/completions, completions or embeddings. The chat has that form already. See
 * ask_priv.h. */
#include <string.h>

#include "base/mem.h"
#include "cloud/ask_priv.h"

static void add_copy(struct ask_body *b, const char *key, yyjson_mut_val *v) {
    if (v != NULL) yyjson_mut_obj_add_val(b->doc, b->root, key, yyjson_mut_val_mut_copy(b->doc, v));
}

/* ---- messages ---- */

/* Fields of ours that upstreams don't take: the reasoning of earlier answers, and marks for templates. */
static void add_message(struct ask_body *b, yyjson_mut_val *list, yyjson_mut_val *from) {
    static const char *const fields[] = {"role", "content", "tool_calls", "tool_call_id"};
    yyjson_mut_val *m = yyjson_mut_arr_add_obj(b->doc, list);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        yyjson_mut_val *v = yyjson_mut_obj_get(from, fields[i]);
        if (v != NULL) yyjson_mut_obj_add_val(b->doc, m, fields[i], yyjson_mut_val_mut_copy(b->doc, v));
    }
}

static void add_messages(struct ask_body *b) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(b->doc, b->root, "messages"), *message;
    size_t i, n;
    yyjson_mut_arr_foreach(b->r->chat, i, n, message) add_message(b, list, message);
}

/* ---- tools and form ---- */

static void add_tools(struct ask_body *b) {
    static const char *const words[] = {[API_TOOLS_NONE] = "none", [API_TOOLS_REQUIRED] = "required"};
    const struct api_request *r = b->r;
    if (r->n_tools == 0) return;
    add_copy(b, "tools", r->chat_tools);
    if (r->single_tool) yyjson_mut_obj_add_bool(b->doc, b->root, "parallel_tool_calls", false);
    if (r->tool_choice == API_TOOLS_NAMED) {
        yyjson_mut_val *choice = yyjson_mut_obj_add_obj(b->doc, b->root, "tool_choice");
        yyjson_mut_obj_add_str(b->doc, choice, "type", "function");
        yyjson_mut_val *function = yyjson_mut_obj_add_obj(b->doc, choice, "function");
        yyjson_mut_obj_add_strcpy(b->doc, function, "name", r->tool_name);
    } else if (r->tool_choice != API_TOOLS_AUTO) {
        yyjson_mut_obj_add_str(b->doc, b->root, "tool_choice", words[r->tool_choice]);
    }
}

static void add_format(struct ask_body *b) {
    const struct api_request *r = b->r;
    if (r->format == API_FORMAT_TEXT) return;
    yyjson_doc *schema = r->format == API_FORMAT_SCHEMA && r->schema != NULL ? json_read(r->schema, strlen(r->schema)) : NULL;
    yyjson_mut_val *format = yyjson_mut_obj_add_obj(b->doc, b->root, "response_format");
    yyjson_mut_obj_add_str(b->doc, format, "type", schema != NULL ? "json_schema" : "json_object");
    if (schema != NULL) {
        yyjson_mut_val *inner = yyjson_mut_obj_add_obj(b->doc, format, "json_schema");
        yyjson_mut_obj_add_str(b->doc, inner, "name", "answer");
        yyjson_mut_obj_add_val(b->doc, inner, "schema", yyjson_val_mut_copy(b->doc, yyjson_doc_get_root(schema)));
        if (r->strict) yyjson_mut_obj_add_bool(b->doc, inner, "strict", true);
    }
    yyjson_doc_free(schema);
}

static void add_sampling(struct ask_body *b) {
    static const char *const numbers[] = {"temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) ask_copy_number(b, numbers[i]);
    ask_add_stops(b, "stop", CLOUD_MAX_STOPS);
    if (b->r->n > 1) yyjson_mut_obj_add_uint(b->doc, b->root, "n", b->r->n);
}

void ask_openai_chat(struct ask_body *b) {
    add_messages(b);
    add_tools(b);
    add_format(b);
    add_sampling(b);
    add_copy(b, "reasoning_effort", yyjson_mut_obj_get(b->r->chat_extra, "reasoning_effort"));
}

/* ---- prompts as they are ---- */

static void add_prompts(struct ask_body *b, const char *key) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(b->doc, b->root, key);
    for (size_t i = 0; i < b->r->n_prompts; i++) {
        const struct api_prompt *p = &b->r->prompts[i];
        if (p->tokens == NULL) yyjson_mut_arr_add_strncpy(b->doc, list, p->text, p->len);
        else yyjson_mut_arr_append(list, yyjson_mut_arr_with_sint32(b->doc, p->tokens, p->n_tokens));
    }
}

void ask_openai_completions(struct ask_body *b) {
    add_prompts(b, "prompt");
    if (b->r->suffix != NULL) yyjson_mut_obj_add_strncpy(b->doc, b->root, "suffix", b->r->suffix, b->r->suffix_len);
    add_sampling(b);
}

void ask_openai_embeddings(struct ask_body *b) { add_prompts(b, "input"); }
