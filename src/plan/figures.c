/* SPDX-License-Identifier: MIT
 * The predicted cost of a plan's tokens (plan.h). The formulae stand in docs/PLANNER.md. */
#include "plan/plan_priv.h"
#include "wire/frame.h"

#define WIRE_GAIN_TOKEN 0.95 /* a smaller type of hidden states must bring a token's time below this fraction */
#define WIRE_GAIN_FIRST 0.80
enum { DEFAULT_PROMPT = 512, DEFAULT_UBATCH = 512 };

/* A prompt goes down the ring in chunks that follow one another: the first passes every stage, the others wait for the slowest stage. */
static double first_token(const struct plan_cost *c, const struct plan *p, double token_s) {
    double prompt = c->wish->prompt ? c->wish->prompt : DEFAULT_PROMPT, ubatch = c->m->n_ubatch ? c->m->n_ubatch : DEFAULT_UBATCH;
    double chunk = prompt < ubatch ? prompt : ubatch, pass = 0, longest = 0;
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const struct plan_stage *s = &p->stages[i];
        double time = plan_cost_batch(c, s->node, s->first, s->end, chunk, prompt);
        double hop = plan_cost_hop(c, s->node, p->stages[(i + 1) % p->n_stage].node,
                                   i + 1 < p->n_stage ? chunk * plan_cost_hidden(c) : PLAN_TOKEN_BYTES);
        pass += time + hop;
        if (time > longest) longest = time;
    }
    double chunks = prompt / chunk;
    double s = pass + (chunks - 1) * longest;
    return s > token_s ? s : token_s;
}

void plan_predict(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish,
                  struct plan_figures *ret) {
    struct plan_cost c;
    uint32_t n_nodes = 0;
    for (uint32_t i = 0; i < p->n_stage; i++)
        if (p->stages[i].node >= n_nodes) n_nodes = p->stages[i].node + 1;
    plan_cost_init(&c, m, nodes, n_nodes, wish);
    *ret = (struct plan_figures){.streams = wish->streams ? wish->streams : 1};
    double most = 0;
    for (uint32_t i = 0; i < p->n_stage; i++) {
        const struct plan_stage *s = &p->stages[i];
        bool tail = i + 1 == p->n_stage;
        ret->stage_s[i] = plan_cost_stage(&c, s->node, s->first, s->end);
        ret->hop_s[i] = plan_cost_hop(&c, s->node, p->stages[tail ? 0 : i + 1].node, tail ? PLAN_TOKEN_BYTES : plan_cost_hidden(&c));
        ret->read_bytes += plan_cost_read(&c, s->first, s->end);
        ret->token_s += ret->stage_s[i] + ret->hop_s[i];
        for (int hop = 0; hop < 2; hop++) {
            double time = hop ? ret->hop_s[i] : ret->stage_s[i];
            if (time <= most) continue;
            most = time;
            ret->slowest = i;
            ret->slowest_is_hop = hop;
        }
    }
    ret->first_s = first_token(&c, p, ret->token_s);
    ret->streams_tps = plan_cost_streams(&c, p, ret->streams);
    plan_cost_done(&c);
}

double plan_wire_bytes(uint8_t dtype) { return (double)frame_row_bytes(dtype, 1024) / 1024; }

uint8_t plan_wire_choose(const struct plan *p, const struct plan_model *m, const struct plan_node *nodes, const struct plan_wish *wish) {
    const uint8_t smaller[] = {m->wide ? FRAME_BF16 : FRAME_F16, FRAME_Q8_0};
    struct plan_wish w = *wish;
    struct plan_figures best, f;
    uint8_t chosen = FRAME_F32;
    if (p->n_stage < 2) return chosen;
    w.wire_bytes = plan_wire_bytes(chosen);
    plan_predict(p, m, nodes, &w, &best);
    for (size_t i = 0; i < sizeof(smaller); i++) {
        if (frame_row_bytes(smaller[i], m->n_embd) == 0) continue; /* q8_0 needs blocks of 32 */
        w.wire_bytes = plan_wire_bytes(smaller[i]);
        plan_predict(p, m, nodes, &w, &f);
        if (f.token_s >= best.token_s * WIRE_GAIN_TOKEN && f.first_s >= best.first_s * WIRE_GAIN_FIRST) break;
        best = f;
        chosen = smaller[i];
    }
    return chosen;
}
