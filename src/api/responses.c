/* SPDX-License-Identifier: MIT
 * POST /v1/responses, the request: OpenAI's items to the internal chat, and what is echoed and stored. Pure. The answer is
 * responses_answer.c's. */
#include <stdio.h>
#include <string.h>

#include "api/responses_priv.h"
#include "api/tools.h"

/* ---- items ---- */

struct reader {
    struct api_request *r;
    yyjson_mut_val *last;   /* the message made last */
    yyjson_val *reasoning;  /* of the assistant's message to come */
};

static err_code wrong_item(struct err *e, size_t i, const char *what, const char *expected) {
    return err_set(e, ERR_INVALID, "field \"input[%zu]%s\": expected %s", i, what, expected);
}

/* A string, or parts with text. */
static err_code append_content(yyjson_val *v, size_t i, struct buf *out, struct err *e) {
    yyjson_val *part;
    size_t k, n;
    if (yyjson_is_str(v)) buf_append(out, yyjson_get_str(v), yyjson_get_len(v));
    else if (!yyjson_is_arr(v)) return wrong_item(e, i, ".content", "a string or an array of parts");
    yyjson_arr_foreach(v, k, n, part) {
        yyjson_val *type = yyjson_obj_get(part, "type"), *text = yyjson_obj_get(part, "text");
        bool refusal = yyjson_equals_str(type, "refusal");
        if (refusal) text = yyjson_obj_get(part, "refusal");
        bool known = refusal || yyjson_equals_str(type, "input_text") || yyjson_equals_str(type, "output_text") ||
                     yyjson_equals_str(type, "text") || yyjson_equals_str(type, "reasoning_text") ||
                     yyjson_equals_str(type, "summary_text");
        if (!known) return err_set(e, ERR_UNSUPPORTED, "field \"input[%zu].content[%zu].type\": only parts of text are supported", i, k);
        if (!yyjson_is_str(text)) return wrong_item(e, i, ".content", "parts with a \"text\"");
        buf_append(out, yyjson_get_str(text), yyjson_get_len(text));
    }
    if (out->len > 0 && memchr(out->data, 0, out->len) != NULL) return wrong_item(e, i, ".content", "text without NUL characters");
    return ERR_OK;
}

static err_code take_text(struct reader *in, const char *role, const char *id, yyjson_val *content, size_t i, struct err *e) {
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_content(content, i, &text, e);
    if (code == ERR_OK) {
        in->last = api_chat_add(in->r, role, buf_cstr(&text), text.len);
        if (id != NULL) api_chat_set(in->r, in->last, "tool_call_id", id, strlen(id));
    }
    buf_done(&text);
    return code;
}

static bool last_is_assistant(const struct reader *in) {
    return in->last != NULL && yyjson_mut_equals_str(yyjson_mut_obj_get(in->last, "role"), "assistant");
}

static err_code give_reasoning(struct reader *in, size_t i, struct err *e) {
    if (in->reasoning == NULL) return ERR_OK;
    struct buf text;
    buf_init(&text, SIZE_MAX - 1);
    err_code code = append_content(in->reasoning, i, &text, e);
    if (code == ERR_OK) api_chat_set(in->r, in->last, "reasoning_content", buf_cstr(&text), text.len);
    in->reasoning = NULL;
    buf_done(&text);
    return code;
}

static err_code take_message(struct reader *in, yyjson_val *item, size_t i, struct err *e) {
    static const struct {
        const char *name, *role;
    } roles[] = {{"system", "system"}, {"developer", "system"}, {"user", "user"}, {"assistant", "assistant"}};
    yyjson_val *role = yyjson_obj_get(item, "role");
    size_t k = 0;
    while (k < 4 && !yyjson_equals_str(role, roles[k].name)) k++;
    if (k == 4) return wrong_item(e, i, ".role", "\"system\", \"developer\", \"user\" or \"assistant\"");
    err_code code = take_text(in, roles[k].role, NULL, yyjson_obj_get(item, "content"), i, e);
    return code == ERR_OK && k == 3 ? give_reasoning(in, i, e) : code;
}

static err_code take_call(struct reader *in, yyjson_val *item, size_t i, struct err *e) {
    yyjson_val *id = yyjson_obj_get(item, "call_id"), *name = yyjson_obj_get(item, "name"), *arguments = yyjson_obj_get(item, "arguments");
    if (!yyjson_is_str(id)) return wrong_item(e, i, ".call_id", "a string");
    if (!yyjson_is_str(name)) return wrong_item(e, i, ".name", "a string");
    if (!yyjson_is_str(arguments)) return wrong_item(e, i, ".arguments", "a string");
    if (!last_is_assistant(in)) in->last = api_chat_add(in->r, "assistant", NULL, 0);
    api_chat_call(in->r, in->last, api_keep_str(in->r, id), api_keep_str(in->r, name), api_keep_str(in->r, arguments));
    return give_reasoning(in, i, e);
}

static err_code take_item(struct reader *in, yyjson_val *item, size_t i, struct err *e) {
    yyjson_val *type = yyjson_obj_get(item, "type");
    if (!yyjson_is_obj(item)) return wrong_item(e, i, "", "an object");
    if (type == NULL || yyjson_equals_str(type, "message")) return take_message(in, item, i, e);
    if (yyjson_equals_str(type, "function_call")) return take_call(in, item, i, e);
    if (yyjson_equals_str(type, "function_call_output")) {
        yyjson_val *id = yyjson_obj_get(item, "call_id");
        if (!yyjson_is_str(id)) return wrong_item(e, i, ".call_id", "a string");
        return take_text(in, "tool", api_keep_str(in->r, id), yyjson_obj_get(item, "output"), i, e);
    }
    if (yyjson_equals_str(type, "reasoning")) {
        yyjson_val *content = yyjson_obj_get(item, "content");
        in->reasoning = yyjson_arr_size(content) > 0 ? content : yyjson_obj_get(item, "summary");
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "field \"input[%zu].type\": items of type \"%.40s\" are not supported", i,
                   yyjson_is_str(type) ? yyjson_get_str(type) : "?");
}

static err_code take_items(struct reader *in, yyjson_val *items, struct err *e) {
    yyjson_val *item;
    size_t i, n;
    yyjson_arr_foreach(items, i, n, item) {
        err_code code = take_item(in, item, i, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- the body ---- */

/* The items as they are stored: each with a type and an id. */
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
    if (n > ENGINE_MAX_MESSAGES) return err_set(e, ERR_INVALID, "field \"input\": expected at most %d items", ENGINE_MAX_MESSAGES);
    if (instructions != NULL && !yyjson_is_null(instructions) && !yyjson_is_str(instructions))
        return api_wrong(e, "instructions", "a string");
    if (yyjson_is_str(instructions)) x->instructions = api_keep_str(r, instructions);
    r->input = keep_input(r, input);
    struct reader in = {.r = r};
    if (yyjson_is_str(input)) return take_text(&in, "user", NULL, input, 0, e);
    return take_items(&in, input, e);
}

static const struct api_tools_shape tools_shape = {
    .type = "function",
    .schema = "parameters",
    .required = "required",
    .named = "function",
    .choice_help = "\"auto\", \"none\", \"required\" or {\"type\": \"function\", \"name\": ...}",
};

static err_code parse_tools(yyjson_val *root, struct api_request *r, struct err *e) {
    bool parallel = true;
    err_code code = json_get_bool(root, "parallel_tool_calls", &parallel, e);
    r->single_tool = !parallel;
    return code == ERR_OK ? api_tools_parse(root, &tools_shape, r, e) : code;
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
    r->store = true;
    err_code code = json_get_bool(root, "store", &r->store, e);
    if (code != ERR_OK) return code;
    if (previous == NULL || yyjson_is_null(previous)) return ERR_OK;
    if (!yyjson_is_str(previous) || yyjson_get_len(previous) > 128) return api_wrong(e, "previous_response_id", "a response's id");
    r->previous = api_keep_str(r, previous);
    return ERR_OK;
}

/* What is only echoed; objects of names are checked as far as that. */
static err_code parse_echoed(yyjson_val *root, struct api_request *r, struct err *e) {
    struct responses_extra *x = r->extra;
    struct {
        const char *key;
        const char **to;
    } echoed[] = {{"tools", &x->tools},
                  {"tool_choice", &x->tool_choice},
                  {"text", &x->text},
                  {"reasoning", &x->reasoning},
                  {"metadata", &x->metadata}};
    for (size_t i = 0; i < sizeof(echoed) / sizeof(*echoed); i++) {
        yyjson_val *v = yyjson_obj_get(root, echoed[i].key);
        if (v == NULL || yyjson_is_null(v)) continue;
        if (i >= 2 && !yyjson_is_obj(v)) return api_wrong(e, echoed[i].key, "an object");
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

/* "include" names what an answer has besides the usual; what is not known here is nothing that it could have. */
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
                                                                   .reasoning = "{\"effort\":null,\"summary\":null}"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused) && code == ERR_OK; i++)
        code = api_refuse(root, refused[i].key, refused[i].why, e);
    if (code == ERR_OK) code = parse_input(root, r, e);
    if (code == ERR_OK) code = parse_tools(root, r, e);
    if (code == ERR_OK) code = parse_format(root, r, e);
    if (code == ERR_OK) code = parse_state(root, r, e);
    if (code == ERR_OK) code = parse_echoed(root, r, e);
    if (code == ERR_OK) code = json_get_bool(root, "stream", &r->stream, e);
    if (code == ERR_OK) code = json_get_i64(root, "max_output_tokens", 1, INT32_MAX, &limit, e);
    r->max_tokens = (int32_t)limit;
    if (code == ERR_OK) code = api_parse_sampling(root, r, e);
    return code == ERR_OK ? parse_logprobs(root, r, e) : code;
}

/* The chat in its order: instructions, what came before, this request's own items. Instructions of earlier requests don't count. */
err_code responses_resume(yyjson_val *chain, struct api_request *r, struct err *e) {
    const struct responses_extra *x = r->extra;
    yyjson_mut_val *own = r->chat;
    yyjson_val *turn;
    size_t i, n;
    struct reader in = {.r = r};
    r->chat = yyjson_mut_arr(r->doc);
    if (x->instructions != NULL) api_chat_add(r, "system", x->instructions, strlen(x->instructions));
    yyjson_arr_foreach(chain, i, n, turn) {
        err_code code = take_items(&in, yyjson_arr_get(turn, 0), e);
        if (code == ERR_OK) code = take_items(&in, yyjson_obj_get(yyjson_arr_get(turn, 1), "output"), e);
        if (code != ERR_OK) return err_set(e, ERR_INTERNAL, "the stored conversation cannot be read: %.200s", e->text);
    }
    for (yyjson_mut_val *m; (m = yyjson_mut_arr_remove_first(own)) != NULL;) yyjson_mut_arr_append(r->chat, m);
    return ERR_OK;
}
