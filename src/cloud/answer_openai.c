/* SPDX-License-Identifier: MIT
 * Answers of OpenAI-compatible endpoints: chat/completions, completions, embeddings, as their reference and their imitators write them. A
 * chunk of a stream has "delta" where the whole has "message". See answer_priv.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/answer_priv.h"

static void take_usage(struct cloud_answer *a, yyjson_val *usage) {
    struct cloud_usage u = {.known = true};
    yyjson_val *details = yyjson_obj_get(usage, "prompt_tokens_details");
    if (!answer_tokens(usage, "prompt_tokens", &u.prompt)) return;
    if (!answer_tokens(usage, "completion_tokens", &u.completion) && a->options.form != CLOUD_EMBEDDINGS) return;
    if (!answer_tokens(details, "cached_tokens", &u.cached)) answer_tokens(usage, "prompt_cache_hit_tokens", &u.cached); /* DeepSeek's */
    a->usage = u;
}

/* A string, or an array of parts with text, as Mistral's. */
static void take_text(struct cloud_answer *a, uint32_t choice, enum api_event_kind kind, yyjson_val *v) {
    yyjson_val *part;
    size_t i, n;
    if (yyjson_is_str(v)) answer_emit(a, choice, kind, yyjson_get_str(v), yyjson_get_len(v));
    yyjson_arr_foreach(json_some(v), i, n, part) {
        yyjson_val *thinking = yyjson_obj_get(part, "thinking"), *text = yyjson_obj_get(part, "text");
        if (thinking != NULL) take_text(a, choice, API_REASONING, thinking); /* as deep as JSON may be nested */
        else if (yyjson_is_str(text)) answer_emit(a, choice, kind, yyjson_get_str(text), yyjson_get_len(text));
    }
}

static err_code take_function(struct cloud_answer *a, struct answer_call *call, yyjson_val *function, struct err *e) {
    yyjson_val *arguments = yyjson_obj_get(function, "arguments");
    err_code code = answer_call_name(&call->name, yyjson_obj_get(function, "name"), e);
    if (code != ERR_OK) return code;
    if (yyjson_is_str(arguments)) return answer_call_arguments(a, call, yyjson_get_str(arguments), yyjson_get_len(arguments), e);
    size_t len = 0; /* some imitators send an object */
    char *text = yyjson_is_obj(arguments) ? yyjson_val_write(arguments, 0, &len) : NULL;
    if (text != NULL) code = answer_call_arguments(a, call, text, len, e);
    free(text);
    return code;
}

static err_code take_calls(struct cloud_answer *a, uint32_t choice, yyjson_val *calls, struct err *e) {
    yyjson_val *v;
    size_t i, n;
    yyjson_arr_foreach(json_some(calls), i, n, v) {
        yyjson_val *index = yyjson_obj_get(v, "index");
        struct answer_call *call = NULL;
        err_code code = answer_call_at(a, choice, yyjson_is_int(index) ? yyjson_get_sint(index) : (int64_t)i, &call, e);
        if (code == ERR_OK) code = answer_call_name(&call->id, yyjson_obj_get(v, "id"), e);
        if (code == ERR_OK) code = take_function(a, call, yyjson_obj_get(v, "function"), e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code take_old_call(struct cloud_answer *a, uint32_t choice, yyjson_val *function, struct err *e) {
    struct answer_call *call = NULL;
    if (!yyjson_is_obj(function)) return ERR_OK;
    err_code code = answer_call_at(a, choice, 0, &call, e);
    return code == ERR_OK ? take_function(a, call, function, e) : code;
}

static err_code take_message(struct cloud_answer *a, uint32_t choice, yyjson_val *m, struct err *e) {
    yyjson_val *reasoning = yyjson_obj_get(m, "reasoning_content");
    if (yyjson_get_len(reasoning) == 0) reasoning = yyjson_obj_get(m, "reasoning");
    if (yyjson_is_str(reasoning)) take_text(a, choice, API_REASONING, reasoning);
    take_text(a, choice, API_TEXT, yyjson_obj_get(m, "content"));
    take_text(a, choice, API_TEXT, yyjson_obj_get(m, "refusal"));
    err_code code = take_calls(a, choice, yyjson_obj_get(m, "tool_calls"), e);
    if (code == ERR_OK) code = take_old_call(a, choice, yyjson_obj_get(m, "function_call"), e);
    if (code == ERR_OK) answer_call_give(a, choice);
    return code;
}

static err_code take_choice(struct cloud_answer *a, yyjson_val *v, struct err *e) {
    yyjson_val *at = yyjson_obj_get(v, "index"), *message = yyjson_obj_get(v, "delta"), *why = yyjson_obj_get(v, "finish_reason");
    uint64_t choice = yyjson_is_uint(at) ? yyjson_get_uint(at) : 0;
    if (!yyjson_is_obj(v)) return answer_wrong(e, "\"choices\" has something else than objects");
    if (choice >= a->options.n_choices) return answer_wrong(e, "there are more choices than were asked for");
    if (a->choices[choice].finished) return ERR_OK; /* some send an empty delta with the usage */
    if (message == NULL) message = yyjson_obj_get(v, "message");
    err_code code = take_message(a, (uint32_t)choice, message, e);
    if (code != ERR_OK) return code;
    if (a->options.form == CLOUD_COMPLETIONS) take_text(a, (uint32_t)choice, API_TEXT, yyjson_obj_get(v, "text"));
    if (yyjson_is_str(why) && yyjson_get_len(why) > 0)
        answer_finish(a, (uint32_t)choice, yyjson_equals_str(why, "length") ? API_FINISH_LENGTH : API_FINISH_STOP);
    return ERR_OK;
}

err_code answer_openai_take(struct cloud_answer *a, yyjson_val *root, struct err *e) {
    yyjson_val *choices = yyjson_obj_get(root, "choices"), *v;
    size_t i, n;
    bool none = choices == NULL || yyjson_is_null(choices);
    if (!none && !yyjson_is_arr(choices)) return answer_wrong(e, "\"choices\" is not an array");
    if (a->mode == ANSWER_WHOLE && yyjson_arr_size(choices) == 0) return answer_wrong(e, "it has no \"choices\"");
    take_usage(a, yyjson_obj_get(root, "usage"));
    yyjson_arr_foreach(json_some(choices), i, n, v) {
        err_code code = take_choice(a, v, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- embeddings ---- */

static err_code take_vector(struct cloud_answer *a, size_t index, yyjson_val *list, struct err *e) {
    size_t n = yyjson_arr_size(list), i, max;
    yyjson_val *v;
    if (index >= a->options.n_choices || a->have[index]) return answer_wrong(e, "a vector has a wrong \"index\"");
    if (n == 0 || n > CLOUD_MAX_VECTOR || (a->n_vector != 0 && n != a->n_vector)) return answer_wrong(e, "a vector has a wrong length");
    float *numbers = mem_calloc(n, sizeof(*numbers));
    bool fine = true;
    yyjson_arr_foreach(list, i, max, v) {
        numbers[i] = (float)yyjson_get_num(v);
        fine = fine && yyjson_is_num(v) && isfinite(numbers[i]);
    }
    if (fine) {
        a->have[index] = true;
        a->n_have++;
        a->n_vector = (uint32_t)n;
        a->options.on_vector(a->options.user, index, numbers, (uint32_t)n);
    }
    free(numbers);
    return fine ? ERR_OK : answer_wrong(e, "a vector has something else than numbers");
}

err_code answer_openai_vectors(struct cloud_answer *a, yyjson_val *root, struct err *e) {
    yyjson_val *data = yyjson_obj_get(root, "data"), *v;
    size_t i, n;
    if (!yyjson_is_arr(data)) return answer_wrong(e, "it has no \"data\"");
    take_usage(a, yyjson_obj_get(root, "usage"));
    yyjson_arr_foreach(data, i, n, v) {
        yyjson_val *index = yyjson_obj_get(v, "index");
        err_code code = take_vector(a, yyjson_is_uint(index) ? yyjson_get_uint(index) : i, yyjson_obj_get(v, "embedding"), e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}
