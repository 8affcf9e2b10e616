/* SPDX-License-Identifier: MIT */
#include "paper/outlook.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "paper/money.h"

#define NOTICE_S 2.0 /* until a machine that answers no more is given up, at most */
enum { CTX_STEP = 1024, FEW_ROWS = 5, MANY_NODES = 16 };

double outlook_load_s(const struct sheet *s, uint32_t *ret_node) {
    const struct plan_model *m = plan_source_model(s->model.source);
    double longest = 0;
    for (uint32_t i = 0; i < s->plans[0].n_stage; i++) {
        const struct plan_stage *st = &s->plans[0].stages[i];
        double disk = money_machine(s->fleet, st->node, s->q->money.prices).disk;
        if (disk <= 0 || m->weights == NULL) return 0;
        double time = (double)m->weights(m->user, st->first, st->end) / disk;
        if (time <= longest) continue;
        longest = time;
        *ret_node = st->node;
    }
    return longest;
}

/* Bytes of weights of layers [first, end) that the node doesn't hold in this plan. */
static double fresh_bytes(const struct sheet *s, uint32_t node, uint32_t first, uint32_t end) {
    const struct plan_model *m = plan_source_model(s->model.source);
    double bytes = 0;
    for (uint32_t layer = first; layer < end; layer++) {
        bool held = false;
        for (uint32_t i = 0; i < s->plans[0].n_stage; i++) {
            const struct plan_stage *st = &s->plans[0].stages[i];
            held = held || (st->node == node && layer >= st->first && layer < st->end);
        }
        if (!held && m->weights) bytes += (double)m->weights(m->user, layer, layer + 1);
    }
    return bytes;
}

/* Plans without this machine, and times the change. */
static struct outlook_loss without(const struct sheet *s, uint32_t lost) {
    const struct fleet *f = s->fleet;
    const struct plan_model *m = plan_source_model(s->model.source);
    struct plan_node *rest = mem_calloc(f->n, sizeof(*rest));
    uint32_t n = 0, index[FLEET_MAX_NODES];
    struct outlook_loss loss = {.node = lost};
    struct plan_figures g;
    struct plan plan;
    for (uint32_t i = 0; i < f->n; i++) {
        if (i == lost) continue;
        index[n] = i;
        rest[n++] = f->nodes[i];
    }
    loss.goes_on = n > 0 && plan_make(m, rest, n, &s->wish, &plan, NULL) == ERR_OK;
    if (loss.goes_on) {
        plan_predict(&plan, m, rest, &s->wish, &g);
        loss.machines = plan.n_stage;
        loss.pause_s = NOTICE_S + g.first_s;
        double longest = 0;
        bool known = true;
        for (uint32_t i = 0; i < plan.n_stage; i++) {
            const struct plan_stage *st = &plan.stages[i];
            double disk = money_machine(f, index[st->node], s->q->money.prices).disk,
                   fresh = fresh_bytes(s, index[st->node], st->first, st->end);
            known = known && (disk > 0 || fresh <= 0);
            if (disk > 0 && fresh / disk > longest) longest = fresh / disk;
        }
        loss.pause_s = known ? loss.pause_s + longest : 0;
    }
    free(rest);
    return loss;
}

struct outlook_loss outlook_loss(const struct sheet *s) {
    struct outlook_loss worst = {.node = s->plans[0].stages[0].node};
    if (s->n_plans > 1) {
        struct plan_figures g;
        plan_predict(&s->plans[1], plan_source_model(s->model.source), s->fleet->nodes, &s->wish, &g);
        return (struct outlook_loss){
            .node = worst.node, .goes_on = true, .copy = true, .machines = s->plans[1].n_stage, .pause_s = NOTICE_S + g.first_s};
    }
    for (uint32_t i = 0; i < s->plans[0].n_stage && s->fleet->n <= MANY_NODES; i++) {
        struct outlook_loss one = without(s, s->plans[0].stages[i].node);
        if (i == 0 || (worst.goes_on && (!one.goes_on || one.pause_s > worst.pause_s))) worst = one;
    }
    return worst;
}

static bool ctx_fits(const struct sheet *s, uint32_t n_ctx) {
    struct paper_load load = s->q->load;
    struct plan plan;
    load.n_ctx = n_ctx;
    struct plan_source *source = paper_model_reload(&s->model, &load, NULL);
    bool fits = source && plan_make(plan_source_model(source), s->fleet->nodes, s->fleet->n, &s->wish, &plan, NULL) == ERR_OK;
    plan_source_free(source);
    return fits;
}

uint32_t outlook_largest_ctx(const struct sheet *s) {
    uint32_t most = s->model.layout->n_ctx_train, low = s->model.shape.n_ctx;
    if (most <= low || ctx_fits(s, most)) return most > low ? most : low;
    while (most - low > CTX_STEP) {
        uint32_t middle = (low + (most - low) / 2) / CTX_STEP * CTX_STEP;
        if (middle <= low) break;
        if (ctx_fits(s, middle)) low = middle;
        else most = middle;
    }
    return low;
}

/* Is part of the slice computed in RAM beside GPUs? No published result is of that. */
static bool is_mixed(const struct plan_model *m, const struct plan_node *n, const struct plan_stage *stage) {
    struct plan_spread s;
    uint32_t on_gpus = 0;
    if (!plan_node_spreads(n) || !plan_spread_make(m, n, stage->first, stage->end, &s)) return false;
    for (uint32_t i = 0; i < s.n_used; i++) on_gpus += s.layers[s.used[i]];
    return s.n_apart > 0 || (s.n_used > 0 && on_gpus < stage->end - stage->first);
}

bool outlook_error(const struct sheet *s, bool prefill, enum published_class *ret_class, struct published_error *ret) {
    const struct plan_model *m = plan_source_model(s->model.source);
    bool moe = false;
    for (uint32_t i = 0; i < m->n_layer; i++) moe = moe || m->layers[i].expert > 0;
    for (uint32_t i = 0; i < s->plans[0].n_stage; i++) {
        const struct plan_node *n = &s->fleet->nodes[s->plans[0].stages[i].node];
        enum published_class c = PUBLISHED_CPU;
        for (uint8_t d = 0; d < n->n_devices; d++) {
            if (n->devices[d].gpu != n->devices[n->n_devices - 1].gpu && !n->devices[d].gpu) continue; /* the cards' host */
            if (!published_class_of(n->devices[d].name, &c)) return false;
        }
        if (n->n_devices == 0 || (i > 0 && c != *ret_class) || is_mixed(m, n, &s->plans[0].stages[i])) return false;
        *ret_class = c;
    }
    *ret = published_error_of(*ret_class, moe, prefill);
    if (ret->n >= FEW_ROWS) return true;
    *ret_class = PUBLISHED_ANY;
    *ret = published_error_of(PUBLISHED_ANY, moe, prefill);
    return ret->n >= FEW_ROWS;
}
