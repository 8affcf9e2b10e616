/* SPDX-License-Identifier: MIT
 * See preview.h. */
#include "coordinator/preview.h"

#include <stdlib.h>

#include "base/mem.h"
#include "coordinator/offers.h"

enum { TEXT_MAX = 64 * 1024 };

static void put_text(const struct plan *p, const struct coordinator_model *m, const struct plan_node *nodes, uint32_t n,
                     yyjson_mut_doc *doc, yyjson_mut_val *o) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    plan_explain(p, m->plan, nodes, &text);
    plan_explain_left_out(p, m->plan, nodes, n, &m->wish, &text);
    buf_append_byte(&text, '\n');
    plan_explain_figures(p, m->plan, nodes, &m->wish, &text);
    buf_append_byte(&text, '\n');
    plan_advise(p, m->plan, nodes, n, &m->wish, &text);
    yyjson_mut_obj_add_strcpy(doc, o, "text", buf_cstr(&text));
    buf_done(&text);
}

static yyjson_mut_val *put_plan(const struct plan *p, const struct coordinator_model *m, const struct plan_node *nodes, uint32_t n,
                                yyjson_mut_doc *doc) {
    yyjson_mut_val *o = yyjson_mut_obj(doc), *stages = yyjson_mut_obj_add_arr(doc, o, "stages");
    struct plan_figures figures;
    yyjson_mut_obj_add_bool(doc, o, "fits", true);
    for (uint32_t i = 0; i < p->n_stage; i++) {
        yyjson_mut_val *stage = yyjson_mut_arr_add_obj(doc, stages);
        yyjson_mut_obj_add_strcpy(doc, stage, "node", nodes[p->stages[i].node].name);
        yyjson_mut_obj_add_uint(doc, stage, "first_layer", p->stages[i].first);
        yyjson_mut_obj_add_uint(doc, stage, "last_layer", p->stages[i].end - 1);
        yyjson_mut_obj_add_uint(doc, stage, "bytes", p->stages[i].bytes);
    }
    plan_predict(p, m->plan, nodes, &m->wish, &figures);
    yyjson_mut_obj_add_uint(doc, o, "bytes_whole", p->bytes_whole);
    if (figures.token_s > 0) yyjson_mut_obj_add_real(doc, o, "tokens_per_second", 1 / figures.token_s);
    if (figures.first_s > 0) yyjson_mut_obj_add_real(doc, o, "first_token_seconds", figures.first_s);
    put_text(p, m, nodes, n, doc, o);
    return o;
}

err_code preview_make(const struct coordinator *c, const struct coordinator_view *v, const struct coordinator_model *m, yyjson_mut_doc *doc,
                      yyjson_mut_val **ret, struct err *e) {
    struct plan_node *nodes = mem_calloc(v->n_records, sizeof(*nodes));
    struct plan *p = MEM_NEW(struct plan);
    uint32_t n = offers_make(c, v, m, NULL, NULL, nodes); /* without a function, all stages take memory */
    err_code code = plan_make(m->plan, nodes, n, &m->wish, p, e);
    if (code == ERR_OK) *ret = put_plan(p, m, nodes, n, doc);
    free(p);
    free(nodes);
    return code;
}
