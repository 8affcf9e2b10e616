/* SPDX-License-Identifier: MIT
 * Parsing that the APIs share. See parse.h. */
#include "api/parse.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

err_code api_wrong(struct err *e, const char *key, const char *expected) {
    return err_set_field(e, ERR_INVALID, key, "expected %s", expected);
}

static bool means_off(yyjson_val *v) {
    return v == NULL || yyjson_is_null(v) || yyjson_is_false(v) || (yyjson_is_ctn(v) && yyjson_get_len(v) == 0) ||
           (yyjson_is_str(v) && yyjson_get_len(v) == 0) || (yyjson_is_num(v) && yyjson_get_num(v) == 0);
}

err_code api_refuse(yyjson_val *root, const char *key, const char *why, struct err *e) {
    if (means_off(yyjson_obj_get(root, key))) return ERR_OK;
    return err_set_field(e, ERR_UNSUPPORTED, key, "%s", why);
}

enum { IGNORED, REFUSED };
static const struct {
    const char *key, *why;
    int kind;
} FIELDS[] = {
#define FIELD(name, kind, why) {#name, why, kind},
#include "../../tables/fields.def"
#undef FIELD
};

err_code api_refuse_fields(yyjson_val *root, struct err *e) {
    err_code code = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(FIELDS) && code == ERR_OK; i++)
        if (FIELDS[i].kind == REFUSED) code = api_refuse(root, FIELDS[i].key, FIELDS[i].why, e);
    return code;
}

bool api_is_parameter(const char *name) {
    static const char *const keys[] = {
#define SAMPLING(field, type, min, max, def, help) #field,
#include "../../tables/sampling.def"
#undef SAMPLING
        "seed", "grammar", "grammar_lazy", "logit_bias", "top_logprobs", "repetition_penalty", "lora"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strcmp(keys[i], name) == 0) return true;
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
        if (strcmp(FIELDS[i].key, name) == 0) return true;
    return false;
}

const char *api_keep_str(struct api_request *r, yyjson_val *v) { return arena_strndup(r->arena, yyjson_get_str(v), yyjson_get_len(v)); }

const char *api_keep_json(struct api_request *r, yyjson_val *v) {
    size_t len;
    char *text = yyjson_val_write(v, 0, &len);
    const char *kept = arena_strndup(r->arena, text != NULL ? text : "null", text != NULL ? len : 4);
    free(text);
    return kept;
}

const char *api_keep_arguments(struct api_request *r, yyjson_val *v) {
    return yyjson_is_str(v) ? api_keep_str(r, v) : v != NULL ? api_keep_json(r, v) : "{}";
}

err_code api_parse_model(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "model");
    if (!yyjson_is_obj(root)) return err_set(e, ERR_INVALID, "the request's body: expected a JSON object");
    r->model = "";
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (!yyjson_is_str(v)) return api_wrong(e, "model", "a string");
    size_t len = yyjson_get_len(v);
    if (len > API_MAX_MODEL_NAME || memchr(yyjson_get_str(v), 0, len) != NULL) return api_wrong(e, "model", "a name of at most 512 bytes");
    r->model = api_keep_str(r, v);
    return ERR_OK;
}

struct api_prompt api_prompt_text(struct api_request *r, yyjson_val *text) {
    size_t len = yyjson_get_len(text);
    char *copy = arena_alloc(r->arena, len + 1);
    memcpy(copy, yyjson_get_str(text), len);
    return (struct api_prompt){.text = copy, .len = len};
}

err_code api_prompt_tokens(yyjson_val *list, const char *key, struct api_request *r, struct api_prompt *ret, struct err *e) {
    size_t n = yyjson_arr_size(list), i, max;
    if (!yyjson_is_arr(list)) return api_wrong(e, key, "an array of token ids");
    if (n > API_MAX_PROMPT_TOKENS)
        return err_set_field(e, ERR_INVALID, key, "%zu tokens, at most %d are allowed", n, API_MAX_PROMPT_TOKENS);
    int32_t *tokens = arena_alloc(r->arena, (n + 1) * sizeof(*tokens));
    yyjson_val *v;
    yyjson_arr_foreach(list, i, max, v) {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT32_MAX) return api_wrong(e, key, "token ids, whole numbers from 0");
        tokens[i] = (int32_t)yyjson_get_uint(v);
    }
    *ret = (struct api_prompt){.tokens = tokens, .n_tokens = n};
    return ERR_OK;
}

err_code api_parse_suffix(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, "suffix");
    if (v == NULL || yyjson_is_null(v) || (yyjson_is_str(v) && yyjson_get_len(v) == 0)) return ERR_OK;
    if (!yyjson_is_str(v)) return api_wrong(e, "suffix", "a string");
    if (r->echo) return err_set_field(e, ERR_UNSUPPORTED, "echo", "not together with \"suffix\"");
    r->suffix_len = yyjson_get_len(v);
    char *text = arena_alloc(r->arena, r->suffix_len); /* not a C string: it may hold NUL */
    memcpy(text, yyjson_get_str(v), r->suffix_len);
    r->suffix = text;
    return ERR_OK;
}

static err_code add_stop(yyjson_val *v, const char *key, struct api_request *r, struct err *e) {
    if (!yyjson_is_str(v)) return api_wrong(e, key, "strings");
    size_t len = yyjson_get_len(v);
    if (len == 0) return ERR_OK; /* some clients send [""] for none */
    if (len > API_MAX_STOP_LEN) return err_set_field(e, ERR_INVALID, key, "expected strings of at most %d bytes", API_MAX_STOP_LEN);
    if (r->n_stops == API_MAX_STOPS) return err_set_field(e, ERR_INVALID, key, "expected at most %d strings", API_MAX_STOPS);
    r->stops[r->n_stops++] = (struct text_stop){.text = api_keep_str(r, v), .len = len};
    return ERR_OK;
}

err_code api_parse_stops(yyjson_val *v, const char *key, struct api_request *r, struct err *e) {
    yyjson_val *item;
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    r->stops = arena_alloc(r->arena, API_MAX_STOPS * sizeof(*r->stops));
    if (!yyjson_is_arr(v)) return add_stop(v, key, r, e);
    size_t i, n;
    yyjson_arr_foreach(v, i, n, item) {
        err_code code = add_stop(item, key, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

err_code api_parse_sampling(yyjson_val *obj, struct api_request *r, struct err *e) {
    err_code code = engine_sampling_from_json(&r->sampling, obj, e);
    if (code != ERR_OK) return code;
    r->sampling.generated_from = 0; /* a field of the wire, not of the API */
    yyjson_val *penalty = yyjson_obj_get(obj, "repetition_penalty"); /* as vLLM and SGLang call it */
    if (yyjson_is_num(penalty)) {
        double value = (double)r->sampling.repeat_penalty;
        if ((code = json_get_double(obj, "repetition_penalty", 0.01, 100, &value, e)) != ERR_OK) return code;
        r->sampling.repeat_penalty = (float)value;
    }
    yyjson_val *seed = yyjson_obj_get(obj, "seed"); /* -1 is a random one, as Ollama and llama-server have it */
    r->has_seed = seed != NULL && !yyjson_is_null(seed) && !(yyjson_is_sint(seed) && yyjson_get_sint(seed) == -1);
    return ERR_OK;
}

/* ---- the chat ---- */

void api_chat_begin(struct api_request *r) {
    r->doc = yyjson_mut_doc_new(NULL);
    r->chat = yyjson_mut_arr(r->doc);
    r->chat_extra = yyjson_mut_obj(r->doc);
}

void api_chat_set(struct api_request *r, yyjson_mut_val *message, const char *key, const char *text, size_t len) {
    yyjson_mut_val *v = text != NULL ? yyjson_mut_strncpy(r->doc, text, len) : yyjson_mut_null(r->doc);
    yyjson_mut_obj_put(message, yyjson_mut_str(r->doc, key), v);
}

yyjson_mut_val *api_chat_add(struct api_request *r, const char *role, const char *text, size_t len) {
    yyjson_mut_val *message = yyjson_mut_arr_add_obj(r->doc, r->chat);
    api_chat_set(r, message, "role", role, strlen(role));
    api_chat_set(r, message, "content", text, len);
    return message;
}

void api_chat_call(struct api_request *r, yyjson_mut_val *message, const char *id, const char *name, const char *arguments) {
    yyjson_mut_val *calls = yyjson_mut_obj_get(message, "tool_calls");
    if (calls == NULL) calls = yyjson_mut_obj_add_arr(r->doc, message, "tool_calls");
    yyjson_mut_val *call = yyjson_mut_arr_add_obj(r->doc, calls);
    yyjson_mut_obj_add_strcpy(r->doc, call, "id", id);
    yyjson_mut_obj_add_str(r->doc, call, "type", "function");
    yyjson_mut_val *function = yyjson_mut_obj_add_obj(r->doc, call, "function");
    yyjson_mut_obj_add_strcpy(r->doc, function, "name", name);
    yyjson_mut_obj_add_strcpy(r->doc, function, "arguments", arguments);
}

err_code api_chat_end(yyjson_val *root, struct api_request *r, struct err *e) {
    static const char add_key[] = "add_generation_prompt", go_on_key[] = "continue_final_message";
    yyjson_mut_val *last = yyjson_mut_arr_get_last(r->chat), *content = yyjson_mut_obj_get(last, "content");
    bool text = yyjson_mut_equals_str(yyjson_mut_obj_get(last, "role"), "assistant") && yyjson_mut_get_len(content) > 0 &&
                yyjson_mut_obj_get(last, "tool_calls") == NULL;
    bool constrained = r->format != API_FORMAT_TEXT || r->sampling.grammar != NULL, add = false, go_on = text && !constrained;
    err_code code = json_get_bool(root, add_key, &add, e);
    if (code == ERR_OK && add) go_on = false;
    if (code == ERR_OK) code = json_get_bool(root, go_on_key, &go_on, e);
    if (code != ERR_OK) return code;
    if (go_on && add) return err_set_field(e, ERR_INVALID, go_on_key, "not together with \"%s\"", add_key);
    if (go_on && !text) return err_set_field(e, ERR_INVALID, go_on_key, "the last message is no text of an assistant");
    if (go_on && constrained)
        return err_set_field(e, ERR_UNSUPPORTED, go_on_key, "not together with \"%s\"",
                             r->format_field != NULL ? r->format_field : "grammar");
    r->continues = go_on;
    r->no_generation_prompt = yyjson_is_false(yyjson_obj_get(root, add_key));
    return ERR_OK;
}
