/* SPDX-License-Identifier: MIT
 * See sheet.h: the answer as JSON. */
#include "paper/money.h"
#include "paper/outlook.h"
#include "paper/sheet_priv.h"
#include "wire/frame.h"

static void put_stage(const struct sheet *s, const struct plan_stage *stage, const struct plan_figures *g, uint32_t i, yyjson_mut_doc *doc,
                      yyjson_mut_val *v) {
    const struct plan_node *node = &s->fleet->nodes[stage->node];
    yyjson_mut_obj_add_str(doc, v, "node", node->name);
    yyjson_mut_obj_add_uint(doc, v, "first_layer", stage->first);
    yyjson_mut_obj_add_uint(doc, v, "last_layer", stage->end - 1);
    yyjson_mut_obj_add_uint(doc, v, "bytes", stage->bytes);
    struct model_estimate m = plan_source_split(s->model.source, stage->first, stage->end);
    yyjson_mut_obj_add_uint(doc, v, "weights_bytes", m.weights);
    yyjson_mut_obj_add_uint(doc, v, "kv_bytes", m.kv);
    yyjson_mut_obj_add_uint(doc, v, "compute_bytes", m.compute);
    yyjson_mut_obj_add_uint(doc, v, "offered", node->memory);
    yyjson_mut_obj_add_real(doc, v, "compute_ms", g->stage_s[i] * 1e3);
    yyjson_mut_obj_add_real(doc, v, "hop_ms", g->hop_s[i] * 1e3);
}

static void put_plan(const struct sheet *s, const struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    struct plan_figures g;
    plan_predict(plan, sheet_model(s), s->fleet->nodes, &s->wish, &g);
    yyjson_mut_val *stages = yyjson_mut_obj_add_arr(doc, o, "stages");
    for (uint32_t i = 0; i < plan->n_stage; i++) put_stage(s, &plan->stages[i], &g, i, doc, yyjson_mut_arr_add_obj(doc, stages));
    yyjson_mut_obj_add_real(doc, o, "token_ms", g.token_s * 1e3);
    yyjson_mut_obj_add_real(doc, o, "first_token_ms", g.first_s * 1e3);
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second", 1 / g.token_s);
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second_all", g.streams_tps);
    yyjson_mut_obj_add_bool(doc, o, "proven", plan->proven);
}

/* How near such predictions are to published results. */
static void put_error(const struct sheet *s, bool prefill, const char *key, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    enum published_class class;
    struct published_error e;
    if (!outlook_error(s, prefill, &class, &e)) return;
    yyjson_mut_val *v = yyjson_mut_obj_add_obj(doc, o, key);
    yyjson_mut_obj_add_str(doc, v, "of", published_class_name(class));
    yyjson_mut_obj_add_uint(doc, v, "rows", e.n);
    yyjson_mut_obj_add_real(doc, v, "p10", e.p10);
    yyjson_mut_obj_add_real(doc, v, "median", e.median);
    yyjson_mut_obj_add_real(doc, v, "p90", e.p90);
}

static void put_outlook(const struct sheet *s, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    uint32_t node = 0;
    double load = outlook_load_s(s, &node);
    struct outlook_loss loss = outlook_loss(s);
    if (load > 0) yyjson_mut_obj_add_real(doc, o, "load_seconds", load);
    yyjson_mut_obj_add_uint(doc, o, "largest_ctx", outlook_largest_ctx(s));
    yyjson_mut_val *v = yyjson_mut_obj_add_obj(doc, o, "loss");
    yyjson_mut_obj_add_str(doc, v, "node", s->fleet->nodes[loss.node].name);
    yyjson_mut_obj_add_bool(doc, v, "goes_on", loss.goes_on);
    if (loss.goes_on) yyjson_mut_obj_add_uint(doc, v, "machines", loss.machines);
    if (loss.goes_on && loss.pause_s > 0) yyjson_mut_obj_add_real(doc, v, "pause_seconds", loss.pause_s);
}

static void put_cost(const struct sheet *s, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    struct money m = sheet_money(s);
    yyjson_mut_val *v = yyjson_mut_obj_add_obj(doc, o, "cost");
    if (m.price > 0) yyjson_mut_obj_add_real(doc, v, "price", money_round(m.price));
    if (m.price > 0) yyjson_mut_obj_add_real(doc, v, "hardware_per_million_tokens", money_round(m.hardware));
    yyjson_mut_obj_add_real(doc, v, "million_tokens_a_month", m.tokens_month);
    if (m.watts_known) {
        yyjson_mut_obj_add_real(doc, v, "watts_idle", m.idle_w);
        yyjson_mut_obj_add_real(doc, v, "watts_busy", m.busy_w);
        yyjson_mut_obj_add_real(doc, v, "electricity_per_million_tokens", money_round(m.power));
        yyjson_mut_obj_add_real(doc, v, "joules_per_token", m.joules);
    }
    if (!m.api_known) return;
    yyjson_mut_obj_add_strcpy(doc, v, "api_from", m.api.from);
    yyjson_mut_obj_add_strcpy(doc, v, "api_date", m.api.date);
    yyjson_mut_obj_add_real(doc, v, "api_output_per_million_tokens", m.api.output);
    yyjson_mut_obj_add_real(doc, v, "api_input_per_million_tokens", m.api.input);
    if (m.break_even > 0) yyjson_mut_obj_add_real(doc, v, "break_even_million_tokens", m.break_even);
}

void sheet_json(const struct sheet *s, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    const struct plan_model *m = sheet_model(s);
    struct buf text;
    buf_init(&text, 1 << 20);
    yyjson_mut_obj_add_bool(doc, o, "fits", true);
    yyjson_mut_obj_add_strcpy(doc, o, "model", m->name);
    yyjson_mut_obj_add_str(doc, o, "fleet", s->q->where);
    yyjson_mut_obj_add_uint(doc, o, "weights_bytes", s->model.layout->bytes_total);
    yyjson_mut_obj_add_uint(doc, o, "missing_bytes", s->source.missing);
    yyjson_mut_obj_add_uint(doc, o, "whole_bytes", s->plans[0].bytes_whole);
    yyjson_mut_obj_add_uint(doc, o, "n_ctx", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, o, "streams", s->wish.streams);
    yyjson_mut_obj_add_uint(doc, o, "prompt", s->wish.prompt);
    yyjson_mut_obj_add_str(doc, o, "wire_type", frame_dtype_name(s->wire));
    yyjson_mut_val *plans = yyjson_mut_obj_add_arr(doc, o, "copies");
    for (uint32_t i = 0; i < s->n_plans; i++) put_plan(s, &s->plans[i], doc, yyjson_mut_arr_add_obj(doc, plans));
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second_all", sheet_all_tps(s));
    put_error(s, false, "decode_error", doc, o);
    put_error(s, true, "prefill_error", doc, o);
    put_outlook(s, doc, o);
    put_cost(s, doc, o);
    sheet_left_out(s, &text);
    yyjson_mut_obj_add_strcpy(doc, o, "left_out", buf_cstr(&text));
    buf_clear(&text);
    if (!s->q->brief) sheet_try_free(s, &text);
    if (!s->q->brief) plan_advise(&s->plans[0], m, s->fleet->nodes, s->fleet->n, &s->wish, &text);
    yyjson_mut_obj_add_strcpy(doc, o, "advice", buf_cstr(&text));
    buf_done(&text);
}
