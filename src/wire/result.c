/* SPDX-License-Identifier: MIT
 * The TOKENS payload: the rules that its table (struct result) cannot express. */
#include "wire/result.h"

#define MESSAGES_RESULT
#include "base/field_tables.h"
#undef MESSAGES_RESULT

bool result_is_due(const struct result_last *last, uint16_t flags, int32_t pos, int32_t token) {
    return (flags & ENGINE_TOKEN_ANSWERED) != 0 && ((flags & ENGINE_TOKEN_DRAFT) == 0 || (last->pos == pos - 1 && last->token == token));
}

void result_note(struct result_last *last, const struct result *r) {
    *last = (struct result_last){r->pos, (r->flags & RESULT_SAMPLED) != 0 ? r->sample.token : -1};
}

void result_put(const struct result *r, struct buf *out) {
    struct result head = *r;
    if ((r->flags & RESULT_SAMPLED) == 0) {
        head.sample = (struct engine_sample){0};
        head.n_guess = 0;
    }
    if ((r->flags & RESULT_SCORED) == 0) head.score = (struct engine_sample){0};
    if ((r->flags & RESULT_FAILED) == 0) head.text_len = 0;
    if ((r->flags & (RESULT_LOGITS | RESULT_VECTOR)) == 0) head.n_logits = 0;
    field_encode(result_fields(), &head, out);
}

static err_code check_flags(const struct result *r, struct err *e) {
    bool sampled = (r->flags & RESULT_SAMPLED) != 0, failed = (r->flags & RESULT_FAILED) != 0, scored = (r->flags & RESULT_SCORED) != 0;
    bool unannounced = (!sampled && (r->sample.n_top != 0 || r->sample.end || r->n_guess != 0)) || (!scored && r->score.n_top != 0) ||
                       (!failed && r->text_len != 0) || (sampled && failed) ||
                       ((r->flags & (RESULT_LOGITS | RESULT_VECTOR)) == 0 && r->n_logits != 0);
    return unannounced ? err_set(e, ERR_PROTOCOL, "result: parts that its flags 0x%02x do not announce", r->flags) : ERR_OK;
}

err_code result_get(struct bytes_reader *r, struct result *ret, struct err *e) {
    struct result res = {0};
    err_code code = field_get(result_fields(), r, &res, e);
    if (code == ERR_OK) code = check_flags(&res, e);
    if (code == ERR_OK) *ret = res;
    return code;
}
