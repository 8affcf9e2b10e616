/* SPDX-License-Identifier: MIT */
#include "paper/model.h"

#include <stdlib.h>

#include "base/mem.h"

static err_code load_shape(const struct model_layout *l, const struct paper_load *load, struct model_load_shape *ret, struct err *e) {
    uint32_t most = l->n_ctx_train, wish = load->within && most > 0 && load->n_ctx > most ? most : load->n_ctx;
    *ret = (struct model_load_shape){.n_seq = load->n_seq ? load->n_seq : 1,
                                     .n_ubatch = load->n_ubatch,
                                     .type_k = load->type_k,
                                     .type_v = load->type_v,
                                     .streams = load->exact,
                                     .mtp = load->mtp};
    return model_layout_ctx(l, wish, &ret->n_ctx, e);
}

err_code paper_model_open(struct model_gguf *gguf, const char *name, const struct paper_load *load, struct paper_model *ret,
                          struct err *e) {
    *ret = (struct paper_model){.name = mem_strdup(name), .gguf = gguf};
    err_code code = model_layout_create(gguf, &ret->layout, e);
    if (code == ERR_OK) code = load_shape(ret->layout, load, &ret->shape, e);
    if (code == ERR_OK) ret->source = plan_source_create(ret->layout, &ret->shape, ret->name);
    return code;
}

struct plan_source *paper_model_reload(const struct paper_model *m, const struct paper_load *load, struct err *e) {
    struct model_load_shape shape;
    if (load_shape(m->layout, load, &shape, e) != ERR_OK) return NULL;
    return plan_source_create(m->layout, &shape, m->name);
}

void paper_model_done(struct paper_model *m) {
    plan_source_free(m->source);
    model_layout_free(m->layout);
    model_gguf_free(m->gguf);
    free(m->name);
    *m = (struct paper_model){0};
}
