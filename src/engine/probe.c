/* SPDX-License-Identifier: MIT */
#include "engine/probe.h"

#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/runtime.h"

enum { TOKENS = 5, CONTEXT = 64, FIRST_ROOM = 256 };

struct probe {
    struct model_graph graph;
    const struct ggml_tensor **tensor; /* of each node */
    uint32_t room;
    bool on, too_many;
};

/* A node's index; UINT32_MAX: it is a leaf. Sources are near, so the search goes backwards. */
static uint32_t index_of(const struct probe *p, const struct ggml_tensor *t) {
    for (uint32_t i = p->graph.n; i-- > 0;)
        if (p->tensor[i] == t) return i;
    return UINT32_MAX;
}

static void grow(struct probe *p) {
    p->room = p->room > 0 ? 2 * p->room : FIRST_ROOM;
    p->graph.node = mem_realloc(p->graph.node, p->room, sizeof(*p->graph.node));
    p->tensor = mem_realloc(p->tensor, p->room, sizeof(*p->tensor));
}

/* ggml_backend_sched_eval_callback: asked about each node in order; needs none of them. */
static bool on_node(struct ggml_tensor *t, bool ask, void *user) {
    struct probe *p = user;
    if (!ask || !p->on) return false;
    p->too_many = p->graph.n >= MODEL_GRAPH_MAX_NODES;
    if (p->too_many) return false;
    if (p->graph.n == p->room) grow(p);
    struct model_graph_node *n = &p->graph.node[p->graph.n];
    *n = (struct model_graph_node){.layer = -1, .n_values = (uint64_t)ggml_nelements(t)};
    snprintf(n->name, sizeof(n->name), "%s", t->name);
    snprintf(n->op, sizeof(n->op), "%s", ggml_op_name(t->op));
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        uint32_t at = t->src[i] != NULL ? index_of(p, t->src[i]) : UINT32_MAX;
        if (at != UINT32_MAX && n->n_src < MODEL_GRAPH_MAX_SOURCES) n->src[n->n_src++] = at;
        else if (t->src[i] != NULL) model_graph_note_leaf(n, t->src[i]->name);
    }
    p->tensor[p->graph.n++] = t;
    return false;
}

static struct llama_context *make_context(struct llama_model *model, struct probe *p) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = CONTEXT;
    params.n_batch = params.n_ubatch = TOKENS;
    params.cb_eval = on_node;
    params.cb_eval_user_data = p;
    params.no_perf = true;
    params.offload_kqv = params.op_offload = false;
    return llama_init_from_model(model, params);
}

static bool compute(struct llama_context *ctx, struct probe *p) {
    struct llama_batch b = llama_batch_init(TOKENS, 0, 1);
    for (int32_t i = 0; i < TOKENS; i++) {
        b.token[i] = i;
        b.pos[i] = i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1; /* so that no rows are left out on the way */
    }
    b.n_tokens = TOKENS;
    p->on = true;
    bool ok = llama_decode(ctx, b) == 0;
    p->on = false;
    llama_batch_free(b);
    return ok;
}

static struct llama_model *load_model(FILE *f) {
    struct llama_model_params params = llama_model_default_params();
    ggml_backend_dev_t none[1] = {NULL};
    params.devices = none;
    params.n_gpu_layers = 0;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    return llama_model_load_from_file_ptr(f, params);
}

err_code engine_probe(const struct model_slice *slice, const struct engine_load *load, struct model_graph *ret, struct err *e) {
    struct probe p = {0};
    FILE *f = NULL;
    err_code code = engine_runtime_start(load->backends, e);
    if (code == ERR_OK) code = model_slice_open(slice, NULL, NULL, &f, e);
    if (code != ERR_OK) return code;
    engine_runtime_clear();
    struct llama_model *model = load_model(f);
    fclose(f);
    struct llama_context *ctx = model != NULL ? make_context(model, &p) : NULL;
    bool ok = ctx != NULL && compute(ctx, &p) && !p.too_many;
    if (ctx != NULL) llama_free(ctx);
    if (model != NULL) llama_model_free(model);
    free(p.tensor);
    p.graph.n_layer = model_slice_info(slice)->end;
    p.graph.n_tokens = TOKENS;
    if (ok) *ret = p.graph;
    else free(p.graph.node);
    return ok ? ERR_OK : err_set(e, ERR_ENGINE, "libllama cannot compute the first layers: %s", engine_runtime_complaint());
}
