/* SPDX-License-Identifier: MIT
 * See ask.h. */
#include "members/ask.h"

#include <string.h>

#define MESSAGES_ASK
#include "base/field_tables.h"
#undef MESSAGES_ASK

void ask_encode(const struct ask *a, struct buf *out) { field_encode(ask_fields(), a, out); }

err_code ask_decode(const uint8_t *data, size_t len, struct ask *ret, struct err *e) {
    struct ask a;
    err_code code = field_decode(ask_fields(), data, len, &a, e);
    if (code == ERR_OK && (!a.op[0] || !a.model[0])) code = err_set(e, ERR_INVALID, "an ASK without \"%s\"", a.op[0] ? "model" : "op");
    if (code == ERR_OK && strchr(a.model, '/')) code = err_set(e, ERR_PROTOCOL, "a path of another machine");
    if (code == ERR_OK) *ret = a;
    return code;
}

void ask_answer_encode(uint64_t id, const struct err *why, struct buf *out) {
    struct ask_answer a = {.id = id, .err = *why};
    field_encode(ask_answer_fields(), &a, out);
}

err_code ask_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *ret_why, struct err *e) {
    struct ask_answer a;
    err_code code = field_decode(ask_answer_fields(), data, len, &a, e);
    if (code != ERR_OK) return code;
    *ret_id = a.id;
    *ret_why = a.err;
    return ERR_OK;
}

void ask_busy_encode(const struct ask_busy *list, size_t n, struct buf *out) {
    struct ask_work w = {.n_instances = n < RECORD_MAX_STAGES ? (uint32_t)n : RECORD_MAX_STAGES};
    memcpy(w.instances, list, w.n_instances * sizeof(*list));
    field_encode(ask_work_fields(), &w, out);
}

err_code ask_busy_decode(const uint8_t *data, size_t len, struct ask_busy *ret, size_t *ret_n, struct err *e) {
    struct ask_work w;
    err_code code = field_decode(ask_work_fields(), data, len, &w, e);
    if (code != ERR_OK) return code;
    memcpy(ret, w.instances, w.n_instances * sizeof(*ret));
    *ret_n = w.n_instances;
    return ERR_OK;
}
