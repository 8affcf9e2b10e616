/* SPDX-License-Identifier: MIT
 * Answers of Anthropic's Messages API, version 2023-06-01: events of a stream, and the whole message. See answer_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "cloud/answer_priv.h"

/* The prompt's tokens are counted in three parts, and the output's grow from event to event. */
static void take_usage(struct cloud_answer *a, yyjson_val *usage) {
    uint64_t input = 0, read = 0, written = 0, output = 0;
    if (answer_tokens(usage, "input_tokens", &input)) {
        answer_tokens(usage, "cache_read_input_tokens", &read);
        answer_tokens(usage, "cache_creation_input_tokens", &written);
        a->input_known = true;
        a->input_tokens = input + read + written;
        a->cached_tokens = read;
    }
    if (!a->input_known || !answer_tokens(usage, "output_tokens", &output)) return;
    a->usage = (struct cloud_usage){.known = true, .prompt = a->input_tokens, .cached = a->cached_tokens, .completion = output};
}

static bool is(yyjson_val *obj, const char *type) { return yyjson_equals_str(yyjson_obj_get(obj, "type"), type); }

static void take_stop(struct cloud_answer *a, yyjson_val *why) {
    bool cut = yyjson_equals_str(why, "max_tokens") || yyjson_equals_str(why, "model_context_window_exceeded");
    if (yyjson_is_str(why)) a->stop = cut ? API_FINISH_LENGTH : API_FINISH_STOP;
}

static void give(struct cloud_answer *a, enum api_event_kind kind, yyjson_val *text) {
    if (yyjson_is_str(text)) answer_emit(a, 0, kind, yyjson_get_str(text), yyjson_get_len(text));
}

static err_code take_use(struct cloud_answer *a, int64_t index, yyjson_val *block, struct err *e) {
    yyjson_val *input = yyjson_obj_get(block, "input");
    struct answer_call *call = NULL;
    size_t len = 0;
    err_code code = answer_call_at(a, 0, index, &call, e);
    if (code == ERR_OK) code = answer_call_name(&call->id, yyjson_obj_get(block, "id"), e);
    if (code == ERR_OK) code = answer_call_name(&call->name, yyjson_obj_get(block, "name"), e);
    char *text = code == ERR_OK && yyjson_obj_size(input) > 0 ? yyjson_val_write(input, 0, &len) : NULL;
    if (text != NULL) code = answer_call_arguments(a, call, text, len, e);
    free(text);
    if (code == ERR_OK) answer_call_give(a, 0);
    return code;
}

/* A block of a message, or the beginning of one. */
static err_code take_block(struct cloud_answer *a, int64_t index, yyjson_val *block, struct err *e) {
    if (is(block, "text")) give(a, API_TEXT, yyjson_obj_get(block, "text"));
    if (is(block, "thinking")) give(a, API_REASONING, yyjson_obj_get(block, "thinking"));
    return is(block, "tool_use") ? take_use(a, index, block, e) : ERR_OK;
}

/* Pieces of arguments for a block that is no call of ours (a tool that runs there) make a call without a name, which is dropped. */
static err_code take_delta(struct cloud_answer *a, int64_t index, yyjson_val *delta, struct err *e) {
    yyjson_val *part = yyjson_obj_get(delta, "partial_json");
    struct answer_call *call = NULL;
    if (is(delta, "text_delta")) give(a, API_TEXT, yyjson_obj_get(delta, "text"));
    if (is(delta, "thinking_delta")) give(a, API_REASONING, yyjson_obj_get(delta, "thinking"));
    if (!is(delta, "input_json_delta") || !yyjson_is_str(part) || yyjson_get_len(part) == 0) return ERR_OK;
    err_code code = answer_call_at(a, 0, index, &call, e);
    if (code == ERR_OK) code = answer_call_arguments(a, call, yyjson_get_str(part), yyjson_get_len(part), e);
    if (code == ERR_OK) answer_call_give(a, 0);
    return code;
}

static bool is_empty(const struct cloud_answer *a) { return a->n_given == 0 && a->choices[0].n_calls == 0; }

static void take_message_delta(struct cloud_answer *a, yyjson_val *root) {
    yyjson_val *why = yyjson_obj_get(yyjson_obj_get(root, "delta"), "stop_reason");
    take_usage(a, yyjson_obj_get(root, "usage"));
    take_stop(a, why);
    if (yyjson_is_str(why)) answer_finish(a, 0, a->stop);
}

err_code answer_anthropic_event(struct cloud_answer *a, yyjson_val *root, struct err *e) {
    yyjson_val *index = yyjson_obj_get(root, "index");
    int64_t at = yyjson_is_int(index) ? yyjson_get_sint(index) : 0;
    if (a->choices[0].finished && !is(root, "message_stop")) return ERR_OK;
    if (is(root, "content_block_start")) return take_block(a, at, yyjson_obj_get(root, "content_block"), e);
    if (is(root, "content_block_delta")) return take_delta(a, at, yyjson_obj_get(root, "delta"), e);
    if (is(root, "message_delta")) take_message_delta(a, root);
    if (is(root, "message_start")) {
        take_usage(a, yyjson_obj_get(yyjson_obj_get(root, "message"), "usage"));
        answer_begin(a, 0, a->input_tokens, a->cached_tokens);
    }
    if (is(root, "message_stop")) {
        if (!a->choices[0].finished && is_empty(a)) return answer_wrong(e, "it has neither content nor a stop reason");
        a->over = true;
        answer_finish(a, 0, a->stop);
    }
    return ERR_OK; /* "ping", and what a later version adds */
}

err_code answer_anthropic_whole(struct cloud_answer *a, yyjson_val *root, struct err *e) {
    yyjson_val *content = yyjson_obj_get(root, "content"), *block;
    size_t i, n;
    if (!yyjson_is_arr(content)) return answer_wrong(e, "it has no \"content\"");
    take_usage(a, yyjson_obj_get(root, "usage"));
    take_stop(a, yyjson_obj_get(root, "stop_reason"));
    answer_begin(a, 0, a->input_tokens, a->cached_tokens);
    yyjson_arr_foreach(content, i, n, block) {
        err_code code = take_block(a, (int64_t)i, block, e);
        if (code != ERR_OK) return code;
    }
    if (is_empty(a) && !yyjson_is_str(yyjson_obj_get(root, "stop_reason")))
        return answer_wrong(e, "it has neither content nor a stop reason");
    answer_finish(a, 0, a->stop);
    return ERR_OK;
}
