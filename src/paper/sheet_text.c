/* SPDX-License-Identifier: MIT
 * See sheet.h: the answer in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "paper/outlook.h"
#include "paper/shapes.h"
#include "paper/sheet_priv.h"
#include "wire/frame.h"

/* Says that the file is shorter than its header promises. */
static void put_missing(const struct sheet *s, struct buf *b) {
    char size[STR_SHORT];
    if (s->source.n_missing == 0) return;
    buf_printf(b, "This file is not complete: %s of its tensors are missing (%u of %zu tensors). The plan is for the whole model.\n\n",
               str_size(s->source.missing, size), s->source.n_missing, model_gguf_n_tensors(s->model.gguf));
}

void sheet_left_out(const struct sheet *s, struct buf *b) {
    const struct fleet *f = s->fleet;
    struct plan_node *nodes = mem_calloc(f->n, sizeof(*nodes));
    struct plan first = s->plans[0];
    uint32_t n = 0, at[FLEET_MAX_NODES];
    for (uint32_t i = 0; i < f->n; i++) {
        bool other = false;
        for (uint32_t k = 1; k < s->n_plans; k++)
            for (uint32_t j = 0; j < s->plans[k].n_stage; j++) other = other || s->plans[k].stages[j].node == i;
        at[i] = n;
        if (!other) nodes[n++] = f->nodes[i];
    }
    for (uint32_t i = 0; i < first.n_stage; i++) first.stages[i].node = at[first.stages[i].node];
    plan_explain_left_out(&first, sheet_model(s), nodes, n, &s->wish, b);
    free(nodes);
}

/* Explains the choice of the wire's type. */
static void put_wire(const struct sheet *s, struct buf *b) {
    struct plan_wish exact = s->wish;
    struct plan_figures f32;
    char first[STR_SHORT];
    if (s->plans[0].n_stage < 2) return;
    exact.wire_bytes = plan_wire_bytes(FRAME_F32);
    plan_predict(&s->plans[0], sheet_model(s), s->fleet->nodes, &exact, &f32);
    if (s->wire == FRAME_F32)
        buf_printf(b, "Hidden states travel as f32, unchanged%s.\n", s->wire_auto ? ": smaller ones would gain little on these links" : "");
    else
        buf_printf(b, "Hidden states travel as %s%s: as f32 it would be %.3g tokens/s, and the first token after %s.\n",
                   frame_dtype_name(s->wire), s->wire_auto ? " (--wire-type auto)" : "", 1 / f32.token_s,
                   str_duration((uint64_t)(f32.first_s * 1e6), first));
}

double sheet_all_tps(const struct sheet *s) {
    double tps = 0;
    for (uint32_t i = 0; i < s->n_plans; i++) {
        struct plan_figures g;
        plan_predict(&s->plans[i], sheet_model(s), s->fleet->nodes, &s->wish, &g);
        tps += g.streams_tps;
    }
    return tps;
}

static void put_copies(const struct sheet *s, struct buf *b) {
    if (s->n_plans > 1)
        buf_printf(b, "There is room for %u copies; requests are routed to them: up to %.1f tokens/s with %u conversations on each.\n",
                   s->n_plans, sheet_all_tps(s), s->wish.streams);
}

static const char *seconds(double s, char out[STR_SHORT]) { return str_duration((uint64_t)(s * 1e6), out); }

/* How near such predictions are. */
static void put_error(const struct sheet *s, struct buf *b) {
    enum published_class class;
    struct published_error e;
    struct plan_figures g;
    if (!outlook_error(s, false, &class, &e)) return;
    plan_predict(&s->plans[0], sheet_model(s), s->fleet->nodes, &s->wish, &g);
    buf_printf(b, "How sure: where plans say %.3g tokens/s, 8 of 10 published results of %s say %.3g to %.3g (%u rows)", 1 / g.token_s,
               published_class_name(class), 1 / g.token_s / e.p90, 1 / g.token_s / e.p10, e.n);
    char first[STR_SHORT], from[STR_SHORT], to[STR_SHORT];
    if (outlook_error(s, true, &class, &e))
        buf_printf(b, "; for the first token after %s, those of %s say %s to %s (%u rows)", seconds(g.first_s, first),
                   published_class_name(class), seconds(g.first_s * e.p10, from), seconds(g.first_s * e.p90, to), e.n);
    buf_append_str(b, ".\n");
}

/* Weights, KV cache and room to compute, on each machine. */
static void put_memory(const struct sheet *s, struct buf *b) {
    const struct plan *p = &s->plans[0];
    char w[STR_SHORT], kv[STR_SHORT], compute[STR_SHORT];
    for (uint32_t i = 0; i < p->n_stage; i++) {
        struct model_estimate m = plan_source_split(s->model.source, p->stages[i].first, p->stages[i].end);
        buf_printf(b, "%s%s: %s of weights, %s of KV cache, %s to compute", i == 0 ? "Memory: " : "; ",
                   s->fleet->nodes[p->stages[i].node].name, str_size(m.weights, w), str_size(m.kv, kv), str_size(m.compute, compute));
    }
    buf_append_str(b, ".\n");
}

static void put_outlook(const struct sheet *s, struct buf *b) {
    const struct fleet *f = s->fleet;
    char time[STR_SHORT];
    uint32_t node = 0, most = outlook_largest_ctx(s);
    double load = outlook_load_s(s, &node);
    struct outlook_loss loss = outlook_loss(s);
    if (load > 0) buf_printf(b, "Loading takes about %s, from the disk of %s.\n", seconds(load, time), f->nodes[node].name);
    if (most > s->model.shape.n_ctx) buf_printf(b, "A context of up to %u positions fits (--ctx %u).\n", most, most);
    if (loss.copy) buf_printf(b, "If a machine goes, another copy goes on after about %s.\n", seconds(loss.pause_s, time));
    else if (f->n < 2) return;
    else if (!loss.goes_on) buf_printf(b, "If %s goes, the others cannot carry the model.\n", f->nodes[loss.node].name);
    else if (loss.pause_s > 0)
        buf_printf(b, "If %s goes, answers go on after about %s, on %u machine%s.\n", f->nodes[loss.node].name, seconds(loss.pause_s, time),
                   loss.machines, loss.machines == 1 ? "" : "s");
}

struct money sheet_money(const struct sheet *s) {
    char base[128];
    shapes_base(s->q->name, base, sizeof(base));
    base[strcspn(base, ":")] = '\0';
    return money_of(s->fleet, s->plans, s->n_plans, sheet_all_tps(s), base, &s->q->money);
}

static void put_break_even(const struct money *m, struct buf *b) {
    if (!m->api_known) {
        buf_append_str(b, "  nobody's price for this model is known: --prices FILE has them\n");
        return;
    }
    buf_printf(b, "  others ask %.4g for a million tokens of answers, %.4g of prompts (%s, %s)\n", m->api.output, m->api.input, m->api.from,
               m->api.date);
    if (!m->watts_known) return;
    if (m->break_even > 0)
        buf_printf(b, "  against that price the machines pay for themselves after %.*f million tokens, %.1f years at this use\n",
                   m->break_even < 100 ? 1 : 0, m->break_even, m->break_even_days / 365.25);
    else if (m->price > 0)
        buf_printf(b, "  against that price they never pay for themselves%s\n",
                   m->power_busy >= m->api.output ? ": the electricity alone costs as much" : " at this use");
}

static void put_cost(const struct sheet *s, struct buf *b) {
    const struct money_wish *w = &s->q->money;
    struct money m = sheet_money(s);
    double use = w->utilisation > 0 ? w->utilisation : MONEY_USE, life = w->life_years > 0 ? w->life_years : MONEY_LIFE;
    buf_printf(b, "\nWhat it costs, answering %.0f %% of the day (%.3g million tokens a month), %.3g years, %.2f a kWh:\n", use * 100,
               m.tokens_month, life, w->electricity);
    if (m.price > 0)
        buf_printf(b, "  the machines %.0f (%s%s): %.3g for a million tokens\n", m.price, m.own ? "" : "list prices, ",
                   m.own ? "as you said" : prices_date(), m.hardware);
    else buf_append_str(b, "  the price of the machines is not known: say it with --price\n");
    if (m.watts_known)
        buf_printf(b, "  electricity, %.0f W idle and %.0f W busy: %.3g for a million tokens, %.3g of it while answering; %.3g J a token\n",
                   m.idle_w, m.busy_w, m.power, m.power_busy, m.joules);
    else buf_append_str(b, "  what the machines draw is not known: a fleet file says watts_idle and watts_busy\n");
    put_break_even(&m, b);
}

void sheet_text(const struct sheet *s, struct buf *out) {
    const struct plan_model *m = sheet_model(s);
    const struct fleet *f = s->fleet;
    char size[STR_SHORT];
    buf_printf(out, "%s on %s: %s of weights, %u layers, %u positions for each of %u conversation%s\n\n", m->name, s->q->where,
               str_size(s->model.layout->bytes_total, size), m->n_layer, m->n_ctx, s->wish.streams, s->wish.streams == 1 ? "" : "s");
    put_missing(s, out);
    plan_explain(&s->plans[0], m, f->nodes, out);
    plan_explain_figures(&s->plans[0], m, f->nodes, &s->wish, out);
    put_wire(s, out);
    put_copies(s, out);
    put_error(s, out);
    put_memory(s, out);
    put_outlook(s, out);
    if (s->q->cost) put_cost(s, out);
    buf_append_str(out, "\n");
    sheet_left_out(s, out);
    sheet_try_free(s, out);
    plan_advise(&s->plans[0], m, f->nodes, f->n, &s->wish, out);
}
