/* SPDX-License-Identifier: MIT */
#include "paper/can.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "paper/shapes.h"

enum { MAX_COPIES = 64, WORK = PLAN_LOOP_WORK };

static const char *const formats[] = {"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m"};

/* Makes the header of a model in a format, and reads it. false: there is no such model; the candidate is to be freed all the same. */
static bool candidate_open(const char *model, const char *format, const struct can_wish *w, struct paper_model *ret) {
    char name[96];
    struct model_gguf *gguf;
    struct paper_load load = w->load;
    *ret = (struct paper_model){0};
    snprintf(name, sizeof(name), "%s:%s", model, format);
    load.within = true;
    load.n_seq = w->plan.streams;
    return shapes_open(name, &gguf, NULL) == ERR_OK && paper_model_open(gguf, name, &load, ret, NULL) == ERR_OK;
}

/* Parameters in all, and those that one token uses: of the experts only as many as are chosen. */
static void count_parameters(const struct paper_model *c, struct can_row *row) {
    const struct plan_model *m = plan_source_model(c->source);
    double share = 1;
    for (uint32_t i = 0; i < m->n_layer; i++)
        if (m->layers[i].expert > 0) share = m->layers[i].share;
    for (size_t i = 0; i < model_gguf_n_tensors(c->gguf); i++) {
        const struct model_tensor *t = model_gguf_tensor(c->gguf, i);
        double n = (double)t->ne[0] * (double)t->ne[1] * (double)t->ne[2];
        row->parameters += n;
        row->active += strstr(t->name, "_exps.") ? n * share : n;
    }
}

static bool plan_one(const struct paper_model *c, const struct plan_node *nodes, uint32_t n_nodes, struct plan_wish *wish,
                     struct can_row *row) {
    const struct plan_model *m = plan_source_model(c->source);
    struct plan_figures f;
    if (plan_try(m, nodes, n_nodes, wish, &row->plan, &f, NULL) != ERR_OK) return false;
    row->bytes = row->plan.bytes_whole;
    row->n_ctx = c->shape.n_ctx;
    row->tps = 1 / f.token_s;
    row->first_s = f.first_s;
    row->tps_all = f.streams_tps;
    return true;
}

/* Counts the copies beside the row's plan, each with the same type of hidden states on its links. */
static void plan_copies(const struct paper_model *c, const struct plan_node *nodes, uint32_t n_nodes, const struct plan_wish *wish,
                        struct can_row *row) {
    const struct plan_model *m = plan_source_model(c->source);
    struct plan *plans = mem_calloc(MAX_COPIES, sizeof(*plans));
    plans[0] = row->plan;
    row->copies = plan_replicas(m, nodes, n_nodes, wish, plans, MAX_COPIES);
    for (uint32_t i = 1; i < row->copies; i++) {
        struct plan_figures f;
        plan_predict(&plans[i], m, nodes, wish, &f);
        row->tps_all += f.streams_tps;
    }
    free(plans);
}

/* A format that fits. */
struct fitting {
    struct paper_model model;
    struct plan_wish wish;
    struct can_row row;
};

static void fitting_done(struct fitting *f) { paper_model_done(&f->model); }

/* Plans the model in one format. false: it doesn't fit. *least: the smallest need so far. */
static bool try_format(const char *model, const char *format, const struct plan_node *nodes, uint32_t n_nodes, const struct can_wish *w,
                       struct fitting *ret, uint64_t *least) {
    uint64_t offered = 0;
    for (uint32_t i = 0; i < n_nodes; i++) offered += nodes[i].memory;
    *ret = (struct fitting){.row = {.model = model, .format = format}, .wish = w->plan};
    ret->wish.work = WORK;
    bool good = candidate_open(model, format, w, &ret->model);
    if (good) {
        const struct plan_model *m = plan_source_model(ret->model.source);
        uint64_t need = m->need(m->user, 0, m->n_layer);
        if (*least == 0 || need < *least) *least = need;
        good = ret->model.layout->bytes_total <= offered && plan_one(&ret->model, nodes, n_nodes, &ret->wish, &ret->row);
    }
    ret->row.quick = good && ret->row.tps >= w->floor_tps;
    if (!good) fitting_done(ret);
    return good;
}

/* One model: the formats are tried from the largest on. False: it fits in none. */
static bool best_format(const char *model, const char *own, const struct plan_node *nodes, uint32_t n_nodes, const struct can_wish *w,
                        struct can_row *ret, uint64_t *least) {
    struct fitting best = {0}, f;
    bool fits = false;
    for (size_t i = 0; i < (*own ? 1 : ARRAY_LEN(formats)) && !best.row.quick; i++) {
        if (!try_format(model, *own ? own : formats[i], nodes, n_nodes, w, &f, least)) continue;
        bool better = !fits || f.row.tps > best.row.tps;
        fits = true;
        fitting_done(better ? &best : &f);
        if (better) best = f;
    }
    if (fits) {
        count_parameters(&best.model, &best.row);
        plan_copies(&best.model, nodes, n_nodes, &best.wish, &best.row);
        *ret = best.row;
    }
    fitting_done(&best);
    return fits;
}

static int by_rank(const void *a, const void *b) {
    const struct can_row *x = a, *y = b;
    if (x->quick != y->quick) return x->quick ? -1 : 1;
    if (x->parameters != y->parameters) return x->parameters > y->parameters ? -1 : 1;
    if (x->tps != y->tps) return x->tps > y->tps ? -1 : 1;
    return strcmp(x->model, y->model);
}

size_t can_run(const struct plan_node *nodes, uint32_t n_nodes, const struct can_wish *wish, struct can_row *ret, size_t max,
               uint64_t *ret_least) {
    size_t n = 0;
    *ret_least = 0;
    for (size_t i = 0; i < shapes_count() && n < max; i++) {
        const char *own, *model = shapes_name(i, &own);
        if (best_format(model, own, nodes, n_nodes, wish, &ret[n], ret_least)) n++;
    }
    qsort(ret, n, sizeof(*ret), by_rank);
    return n;
}

void can_json(const struct can_row *rows, size_t n, const struct fleet *f, const char *where, yyjson_mut_doc *doc, yyjson_mut_val *root) {
    yyjson_mut_val *models = yyjson_mut_obj_add_arr(doc, root, "models");
    yyjson_mut_obj_add_strcpy(doc, root, "fleet", where);
    for (size_t i = 0; i < n; i++) {
        const struct can_row *r = &rows[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, models), *nodes;
        yyjson_mut_obj_add_str(doc, v, "model", r->model);
        yyjson_mut_obj_add_str(doc, v, "quantisation", r->format);
        yyjson_mut_obj_add_real(doc, v, "parameters", r->parameters);
        yyjson_mut_obj_add_real(doc, v, "active_parameters", r->active);
        yyjson_mut_obj_add_uint(doc, v, "whole_bytes", r->bytes);
        yyjson_mut_obj_add_uint(doc, v, "n_ctx", r->n_ctx);
        yyjson_mut_obj_add_uint(doc, v, "copies", r->copies);
        yyjson_mut_obj_add_real(doc, v, "tokens_per_second", r->tps);
        yyjson_mut_obj_add_real(doc, v, "tokens_per_second_all", r->tps_all);
        yyjson_mut_obj_add_real(doc, v, "first_token_ms", r->first_s * 1e3);
        yyjson_mut_obj_add_bool(doc, v, "quick_enough", r->quick);
        nodes = yyjson_mut_obj_add_arr(doc, v, "nodes");
        for (uint32_t s = 0; s < r->plan.n_stage; s++) yyjson_mut_arr_add_strcpy(doc, nodes, f->nodes[r->plan.stages[s].node].name);
    }
}
