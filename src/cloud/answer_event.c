/* SPDX-License-Identifier: MIT
 * What both APIs' files use: events, and numbers that an upstream tells. See answer_priv.h. */
#include "cloud/answer_priv.h"
#include "routing/upstream.h"

err_code answer_wrong(struct err *e, const char *why) {
    return err_set(e, ERR_PROTOCOL, "the upstream's answer is malformed: %.200s", why);
}

void answer_begin(struct cloud_answer *a, uint32_t choice, uint64_t prompt_tokens, uint64_t cached_tokens) {
    struct answer_choice *c = &a->choices[choice];
    if (c->begun) return;
    c->begun = true;
    a->options.on_event(a->options.user, &(struct api_event){.kind = API_BEGIN,
                                                             .choice = choice,
                                                             .prompt_tokens = (uint32_t)prompt_tokens,
                                                             .cached_tokens = (uint32_t)cached_tokens});
}

void answer_emit(struct cloud_answer *a, uint32_t choice, enum api_event_kind kind, const char *text, size_t len) {
    if (len == 0 || a->choices[choice].finished) return;
    answer_begin(a, choice, 0, 0);
    a->n_given += len;
    a->options.on_event(a->options.user, &(struct api_event){.kind = kind, .choice = choice, .text = text, .len = len});
}

bool answer_tokens(yyjson_val *obj, const char *key, uint64_t *ret) {
    yyjson_val *v = yyjson_obj_get(obj, key);
    double n = yyjson_is_num(v) ? yyjson_get_num(v) : -1;
    if (!(n >= 0 && n <= UPSTREAM_MAX_TOKENS)) return false;
    *ret = (uint64_t)n;
    return true;
}
