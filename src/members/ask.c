/* SPDX-License-Identifier: MIT
 * See ask.h. */
#include "members/ask.h"

#include <string.h>

#define MESSAGES_ASK
#include "base/field_tables.h"
#undef MESSAGES_ASK

void ask_encode(const struct ask *a, struct buf *out) { field_encode(ask_fields(), a, out); }

/* Questions about no model of the cluster; pull and unpull name one that hubs know. */
static bool needs_model(const char *op) {
    static const char *const without[] = {"pull", "unpull", "retire", "return"};
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
        if (strcmp(op, without[i]) == 0) return false;
    return true;
}

err_code ask_decode(const uint8_t *data, size_t len, struct ask *ret, struct err *e) {
    struct ask a;
    err_code code = field_decode(ask_fields(), data, len, &a, e);
    if (code == ERR_OK && (!a.op[0] || (!a.model[0] && needs_model(a.op))))
        code = err_set(e, ERR_INVALID, "an ASK without \"%s\"", a.op[0] ? "model" : "op");
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

void ask_plan_encode(const struct ask_plan *p, struct buf *out) { field_encode(ask_plan_fields(), p, out); }

err_code ask_plan_decode(const uint8_t *data, size_t len, struct ask_plan *ret, struct err *e) {
    return field_decode(ask_plan_fields(), data, len, ret, e);
}

void ask_plan_done(struct ask_plan *p) { field_done(ask_plan_fields(), p); }

void ask_planned_encode(const struct ask_planned *p, struct buf *out) { field_encode(ask_planned_fields(), p, out); }

err_code ask_planned_decode(const uint8_t *data, size_t len, struct ask_planned *ret, struct err *e) {
    return field_decode(ask_planned_fields(), data, len, ret, e);
}

void ask_planned_done(struct ask_planned *p) { field_done(ask_planned_fields(), p); }

void ask_work_encode(const struct ask_work *w, struct buf *out) { field_encode(ask_work_fields(), w, out); }

err_code ask_work_decode(const uint8_t *data, size_t len, struct ask_work *ret, struct err *e) {
    return field_decode(ask_work_fields(), data, len, ret, e);
}
