/* SPDX-License-Identifier: MIT
 * POST /v1/responses, the request: its parameters, and the fields that the answer repeats or the store keeps. responses_items.c reads items
 * and tools, responses_answer.c writes the answer. Pure. */
#include <stdio.h>
#include <string.h>

#include "api/responses_priv.h"
#include "base/mem.h"

/* ---- the body ---- */

/* Makes the items that the store keeps: each has a type and an id. */
static const char *keep_input(struct api_request *r, yyjson_val *input) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    yyjson_val *item;
    size_t i, n;
    yyjson_arr_foreach(input, i, n, item) {
        yyjson_mut_val *o = yyjson_val_mut_copy(doc, item);
        if (yyjson_mut_obj_get(o, "type") == NULL) yyjson_mut_obj_add_str(doc, o, "type", "message");
        if (yyjson_mut_obj_get(o, "id") == NULL) yyjson_mut_obj_add_strcpy(doc, o, "id", arena_printf(r->arena, "item_%zu", i));
        yyjson_mut_arr_append(list, o);
    }
    if (yyjson_is_str(input)) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_str(doc, o, "type", "message");
        yyjson_mut_obj_add_str(doc, o, "id", "item_0");
        yyjson_mut_obj_add_str(doc, o, "role", "user");
        yyjson_mut_val *part = yyjson_mut_arr_add_obj(doc, yyjson_mut_obj_add_arr(doc, o, "content"));
        yyjson_mut_obj_add_str(doc, part, "type", "input_text");
        yyjson_mut_obj_add_val(doc, part, "text", yyjson_val_mut_copy(doc, input));
    }
    yyjson_mut_doc_set_root(doc, list);
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    json_write(&text, doc);
    const char *kept = arena_strndup(r->arena, buf_cstr(&text), text.len);
    buf_done(&text);
    yyjson_mut_doc_free(doc);
    return kept;
}

static err_code parse_input(yyjson_val *root, struct api_request *r, struct err *e) {
    struct responses_extra *x = r->extra;
    yyjson_val *input = yyjson_obj_get(root, "input"), *instructions = yyjson_obj_get(root, "instructions");
    size_t n = yyjson_arr_size(input);
    if (!yyjson_is_str(input) && n == 0) return api_wrong(e, "input", "a string or an array with at least one item");
    if (n > ENGINE_MAX_MESSAGES) return err_set_field(e, ERR_INVALID, "input", "expected at most %d items", ENGINE_MAX_MESSAGES);
    if (instructions != NULL && !yyjson_is_null(instructions) && !yyjson_is_str(instructions))
        return api_wrong(e, "instructions", "a string");
    if (yyjson_is_str(instructions)) x->instructions = api_keep_str(r, instructions);
    r->input = keep_input(r, input);
    err_code code = responses_take_items(&(struct responses_reader){.r = r}, input, e);
    bool alone = !yyjson_is_str(yyjson_obj_get(root, "previous_response_id"));
    if (code == ERR_OK && alone && yyjson_mut_arr_size(r->chat) == 0) return api_wrong(e, "input", "at least one message");
    return code;
}

static err_code parse_format(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(root, "text"), "format"), *type = yyjson_obj_get(v, "type");
    r->format_field = "text.format";
    if (v == NULL || yyjson_is_null(v) || yyjson_equals_str(type, "text")) return ERR_OK;
    if (yyjson_equals_str(type, "json_object")) {
        r->format = API_FORMAT_JSON;
        return ERR_OK;
    }
    yyjson_val *schema = yyjson_obj_get(v, "schema");
    if (!yyjson_equals_str(type, "json_schema")) return api_wrong(e, "text.format.type", "\"text\", \"json_object\" or \"json_schema\"");
    if (!yyjson_is_obj(schema)) return api_wrong(e, "text.format.schema", "a JSON schema, an object");
    r->format = API_FORMAT_SCHEMA;
    r->schema = api_keep_json(r, schema);
    r->strict = yyjson_is_true(yyjson_obj_get(v, "strict"));
    return ERR_OK;
}

static err_code parse_state(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *previous = yyjson_obj_get(root, "previous_response_id");
    yyjson_val *truncation = yyjson_obj_get(root, "truncation");
    r->store = true;
    err_code code = json_get_bool(root, "store", &r->store, e);
    if (code != ERR_OK) return code;
    r->truncates = yyjson_equals_str(truncation, "auto");
    if (truncation != NULL && !yyjson_is_null(truncation) && !r->truncates && !yyjson_equals_str(truncation, "disabled"))
        return api_wrong(e, "truncation", "\"auto\" or \"disabled\"");
    if (previous == NULL || yyjson_is_null(previous)) return ERR_OK;
    if (!yyjson_is_str(previous) || yyjson_get_len(previous) > 128) return api_wrong(e, "previous_response_id", "a response's id");
    r->previous = api_keep_str(r, previous);
    return ERR_OK;
}

/* Keeps the fields that the answer repeats. Only their type is checked. */
static err_code parse_echoed(yyjson_val *root, struct api_request *r, struct err *e) {
    struct responses_extra *x = r->extra;
    struct {
        const char *key;
        const char **to;
        bool expects_object;
    } echoed[] = {{"tools", &x->tools, false},
                  {"tool_choice", &x->tool_choice, false},
                  {"text", &x->text, true},
                  {"reasoning", &x->reasoning, true},
                  {"metadata", &x->metadata, true},
                  {"max_tool_calls", &x->max_tool_calls, false},
                  {"safety_identifier", &x->safety_identifier, false},
                  {"prompt_cache_key", &x->prompt_cache_key, false}};
    for (size_t i = 0; i < sizeof(echoed) / sizeof(*echoed); i++) {
        yyjson_val *v = yyjson_obj_get(root, echoed[i].key);
        if (v == NULL || yyjson_is_null(v)) continue;
        if (echoed[i].expects_object && !yyjson_is_obj(v)) return api_wrong(e, echoed[i].key, "an object");
        *echoed[i].to = api_keep_json(r, v);
    }
    yyjson_val *effort = yyjson_obj_get(yyjson_obj_get(root, "reasoning"), "effort");
    if (effort != NULL && !yyjson_is_null(effort)) {
        if (!yyjson_is_str(effort)) return api_wrong(e, "reasoning.effort", "a string");
        api_chat_set(r, r->chat_extra, "reasoning_effort", yyjson_get_str(effort), yyjson_get_len(effort));
        yyjson_mut_obj_add_bool(r->doc, r->chat_extra, "enable_thinking", !yyjson_equals_str(effort, "none"));
    }
    return ERR_OK;
}

/* Reads "include", which asks for additional parts of an answer. Names that are not known here ask for parts that no answer has. */
static err_code parse_logprobs(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "include"), *what;
    int64_t top = 0;
    size_t i, n;
    if (list != NULL && !yyjson_is_null(list) && !yyjson_is_arr(list)) return api_wrong(e, "include", "an array of strings");
    yyjson_arr_foreach(json_some(list), i, n, what) {
        if (!yyjson_is_str(what)) return api_wrong(e, "include", "an array of strings");
        r->logprobs |= yyjson_equals_str(what, "message.output_text.logprobs");
    }
    err_code code = json_get_i64(root, "top_logprobs", 0, ENGINE_MAX_TOP_LOGPROBS, &top, e);
    if (code != ERR_OK) return code;
    r->logprobs |= top > 0;
    r->sampling.n_top_logprobs = (uint32_t)top;
    return ERR_OK;
}

err_code responses_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"background", "answers in the background are not supported"},
        {"conversation", "conversations are not supported, use previous_response_id"},
        {"prompt", "stored prompts are not supported"},
    };
    int64_t limit = -1;
    err_code code = api_parse_model(root, r, e);
    if (code != ERR_OK) return code;
    api_chat_begin(r);
    r->extra = arena_alloc(r->arena, sizeof(struct responses_extra));
    *(struct responses_extra *)r->extra = (struct responses_extra){.tools = "[]",
                                                                   .tool_choice = "\"auto\"",
                                                                   .metadata = "{}",
                                                                   .text = "{\"format\":{\"type\":\"text\"}}",
                                                                   .reasoning = "{\"effort\":null,\"summary\":null}",
                                                                   .max_tool_calls = "null",
                                                                   .safety_identifier = "null",
                                                                   .prompt_cache_key = "null"};
    code = api_refuse_fields(root, e);
    for (size_t i = 0; i < ARRAY_LEN(refused) && code == ERR_OK; i++) code = api_refuse(root, refused[i].key, refused[i].why, e);
    if (code == ERR_OK) code = responses_parse_tools(root, r, e);
    if (code == ERR_OK) code = parse_input(root, r, e);
    if (code == ERR_OK) code = parse_format(root, r, e);
    if (code == ERR_OK) code = parse_state(root, r, e);
    if (code == ERR_OK) code = parse_echoed(root, r, e);
    if (code == ERR_OK) code = json_get_bool(root, "stream", &r->stream, e);
    if (code == ERR_OK) code = json_get_i64(root, "max_output_tokens", 1, INT32_MAX, &limit, e);
    r->max_tokens = (int32_t)limit;
    if (code == ERR_OK) code = api_parse_sampling(root, r, e);
    return code == ERR_OK ? parse_logprobs(root, r, e) : code;
}

/* Puts the chat in order: instructions, the stored conversation, this request's items. Instructions of earlier requests don't count. */
err_code responses_resume(yyjson_val *chain, struct api_request *r, struct err *e) {
    const struct responses_extra *x = r->extra;
    yyjson_mut_val *own = r->chat;
    yyjson_val *turn;
    size_t i, n;
    struct responses_reader in = {.r = r};
    r->chat = yyjson_mut_arr(r->doc);
    if (x->instructions != NULL) api_chat_add(r, "system", x->instructions, strlen(x->instructions));
    yyjson_arr_foreach(chain, i, n, turn) {
        err_code code = responses_take_items(&in, yyjson_arr_get(turn, 0), e);
        if (code == ERR_OK) code = responses_take_items(&in, yyjson_obj_get(yyjson_arr_get(turn, 1), "output"), e);
        if (code != ERR_OK) return err_set(e, ERR_INTERNAL, "the stored conversation cannot be read: %.200s", e->text);
    }
    for (yyjson_mut_val *m; (m = yyjson_mut_arr_remove_first(own)) != NULL;) yyjson_mut_arr_append(r->chat, m);
    return ERR_OK;
}
