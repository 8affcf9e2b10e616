/* SPDX-License-Identifier: MIT */
#include "paper/sheet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/frame.h"

const struct plan_model *sheet_model(const struct sheet *s) { return plan_source_model(s->model.source); }

static err_code sheet_plan(struct sheet *s, struct err *e) {
    const struct plan_model *m = sheet_model(s);
    const struct fleet *f = s->fleet;
    s->plans = mem_calloc(SHEET_MAX_COPIES, sizeof(*s->plans));
    err_code code = plan_make(m, f->nodes, f->n, &s->wish, &s->plans[0], e);
    if (code == ERR_NO_ROOM && s->wish.placement != PLAN_LIST) sheet_try_smaller(s, e);
    if (code != ERR_OK) return code;
    s->wire_auto = strcmp(s->q->wire_type, "auto") == 0;
    s->wire = s->wire_auto ? plan_wire_choose(&s->plans[0], m, f->nodes, &s->wish) : frame_dtype_of(s->q->wire_type);
    s->wish.wire_bytes = plan_wire_bytes(s->wire);
    s->n_plans = plan_replicas(m, f->nodes, f->n, &s->wish, s->plans, SHEET_MAX_COPIES);
    return ERR_OK;
}

err_code sheet_make(const struct sheet_question *q, const struct sheet_source *source, struct fleet *fleet, struct sheet *ret,
                    struct err *e) {
    *ret = (struct sheet){.q = q, .source = *source, .fleet = fleet};
    err_code code = paper_model_open(source->gguf, q->name, &q->load, &ret->model, e);
    if (code == ERR_OK) code = plan_wish_parse(q->placement, &ret->wish, e);
    if (code != ERR_OK) return code;
    if (q->needs) plan_source_measured(ret->model.source, q->needs);
    ret->wish.streams = ret->model.shape.n_seq;
    ret->wish.prompt = q->prompt ? q->prompt : SHEET_PROMPT;
    ret->wish.link = fleet_link;
    ret->wish.link_user = fleet;
    return sheet_plan(ret, e);
}

void sheet_done(struct sheet *s) {
    paper_model_done(&s->model);
    free(s->plans);
    s->plans = NULL;
}
