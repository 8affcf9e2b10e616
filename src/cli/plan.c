/* SPDX-License-Identifier: MIT
 * `caravan plan`: what a model would need and how fast it would be, on this cluster or on paper. Loads no weights. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "plan/fleet.h"
#include "plan/model.h"
#include "plan/profile.h"
#include "plan/shapes.h"
#include "http/client.h"
#include "model/types.h"
#include "wire/frame.h"

enum { PROBE_MS = 2000, MAX_COPIES = 64 };

struct paper {
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct plan_source *source;
    struct fleet *fleet;
    struct plan_wish wish;
    struct plan *plans; /* copies, MAX_COPIES of them at most */
    uint32_t n_plans;
    uint8_t wire; /* enum frame_dtype of hidden states on the links */
    bool wire_auto;
    bool alone;        /* for one conversation, whatever --parallel says */
    const char *where; /* the fleet, in words */
};

static err_code paper_model(const struct options *o, const char *name, struct paper *p, struct err *e) {
    err_code code;
    if (access(name, R_OK) == 0) {
        code = model_gguf_open(name, &p->gguf, e);
        struct err header = {0};
        if (code != ERR_OK && shapes_open_header(name, &p->gguf, &header) == ERR_OK) code = ERR_OK; /* the rest of the file is missing */
    } else code = shapes_open(name, &p->gguf, e);
    if (code == ERR_OK) code = model_layout_create(p->gguf, &p->layout, e);
    if (code != ERR_OK) return code;
    struct model_load_shape shape = {.n_seq = p->alone ? 1 : (uint32_t)option_int(o, OPT_PARALLEL), .n_ubatch = 512};
    code = model_layout_ctx(p->layout, (uint32_t)option_int(o, OPT_CTX), &shape.n_ctx, e);
    if (code != ERR_OK) return code;
    if (!model_type_parse(option_text(o, OPT_CACHE_TYPE_K), &shape.type_k) ||
        !model_type_parse(option_text(o, OPT_CACHE_TYPE_V), &shape.type_v))
        return err_set(e, ERR_INVALID, "the cache type is not one of ggml's");
    p->source = plan_source_create(p->layout, &shape, name);
    return ERR_OK;
}

/* The cluster of a node that runs at --api. */
static bool running_fleet(const struct options *o, struct fleet *f) {
    struct http_client *c = NULL;
    struct buf body;
    yyjson_doc *doc = NULL;
    struct cli_api api;
    int status = 0;
    if (cli_api_open(o, &api, &c, NULL) != ERR_OK) return false;
    buf_init(&body, 16 << 20);
    struct http_client_request r = {.method = "GET", .path = "/caravan/v1/status", .timeout_ms = PROBE_MS};
    bool ok = http_client_send(c, &r, &status, &body, NULL) == ERR_OK && status == 200 &&
              json_parse(buf_cstr(&body), body.len, &doc, NULL) == ERR_OK &&
              fleet_from_status(yyjson_doc_get_root(doc), f, NULL) == ERR_OK && f->n > 0;
    yyjson_doc_free(doc);
    buf_done(&body);
    http_client_free(c);
    return ok;
}

static err_code paper_fleet(const struct options *o, struct paper *p, struct err *e) {
    const char *spec = option_text(o, OPT_FLEET);
    p->fleet = MEM_NEW(struct fleet);
    p->where = spec;
    if (spec[0]) return fleet_parse(spec, p->fleet, e);
    p->where = "this cluster";
    if (running_fleet(o, p->fleet)) return ERR_OK;
    p->where = "this machine alone (no node runs here)";
    memset(p->fleet, 0, sizeof(*p->fleet));
    struct plan_node *n = &p->fleet->nodes[p->fleet->n++];
    *n = (struct plan_node){.id = 1, .memory = profile_memory_offer()};
    if (gethostname(n->name, sizeof(n->name) - 1) != 0) snprintf(n->name, sizeof(n->name), "here");
    return ERR_OK;
}

/* Explains which nodes are in none of the plans, by the first plan. */
static void paper_left_out(const struct paper *p, struct buf *b) {
    const struct fleet *f = p->fleet;
    struct plan_node *nodes = mem_calloc(f->n, sizeof(*nodes));
    struct plan first = p->plans[0];
    uint32_t n = 0, at[FLEET_MAX_NODES];
    for (uint32_t i = 0; i < f->n; i++) {
        bool other = false;
        for (uint32_t k = 1; k < p->n_plans; k++)
            for (uint32_t s = 0; s < p->plans[k].n_stage; s++) other = other || p->plans[k].stages[s].node == i;
        at[i] = n;
        if (!other) nodes[n++] = f->nodes[i];
    }
    for (uint32_t s = 0; s < first.n_stage; s++) first.stages[s].node = at[first.stages[s].node];
    plan_explain_left_out(&first, plan_source_model(p->source), nodes, n, &p->wish, b);
    free(nodes);
}

/* Explains the choice of the wire's type. */
static void paper_wire(const struct paper *p, struct buf *b) {
    const struct plan_model *m = plan_source_model(p->source);
    struct plan_wish exact = p->wish;
    struct plan_figures f32;
    char first[STR_SHORT];
    if (p->plans[0].n_stage < 2) return;
    exact.wire_bytes = plan_wire_bytes(FRAME_F32);
    plan_predict(&p->plans[0], m, p->fleet->nodes, &exact, &f32);
    if (p->wire == FRAME_F32)
        buf_printf(b, "Hidden states travel as f32, unchanged%s.\n", p->wire_auto ? ": smaller ones would gain little on these links" : "");
    else
        buf_printf(b, "Hidden states travel as %s%s: as f32 it would be %.3g tokens/s, and the first token after %s.\n",
                   frame_dtype_name(p->wire), p->wire_auto ? " (--wire-type auto)" : "", 1 / f32.token_s,
                   str_duration((uint64_t)(f32.first_s * 1e6), first));
}

static void paper_print(const struct paper *p) {
    const struct plan_model *m = plan_source_model(p->source);
    const struct fleet *f = p->fleet;
    char size[STR_SHORT];
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b, "%s on %s: %s of weights, %u layers, %u positions for each of %u conversation%s\n\n", m->name, p->where,
               str_size(p->layout->bytes_total, size), m->n_layer, m->n_ctx, p->wish.streams, p->wish.streams == 1 ? "" : "s");
    plan_explain(&p->plans[0], m, f->nodes, &b);
    plan_explain_figures(&p->plans[0], m, f->nodes, &p->wish, &b);
    paper_wire(p, &b);
    if (p->n_plans > 1) {
        double tps = 0;
        for (uint32_t i = 0; i < p->n_plans; i++) {
            struct plan_figures g;
            plan_predict(&p->plans[i], m, f->nodes, &p->wish, &g);
            tps += g.streams_tps;
        }
        buf_printf(&b, "There is room for %u copies; requests are routed to them: up to %.1f tokens/s with %u conversations on each.\n",
                   p->n_plans, tps, p->wish.streams);
    }
    buf_append_str(&b, "\n");
    paper_left_out(p, &b);
    plan_advise(&p->plans[0], m, f->nodes, f->n, &p->wish, &b);
    fputs(buf_cstr(&b), stdout);
    buf_done(&b);
}

static void json_one(const struct paper *p, const struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    const struct plan_model *m = plan_source_model(p->source);
    struct plan_figures g;
    plan_predict(plan, m, p->fleet->nodes, &p->wish, &g);
    yyjson_mut_val *stages = yyjson_mut_obj_add_arr(doc, o, "stages");
    for (uint32_t i = 0; i < plan->n_stage; i++) {
        const struct plan_stage *s = &plan->stages[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, stages);
        yyjson_mut_obj_add_str(doc, v, "node", p->fleet->nodes[s->node].name);
        yyjson_mut_obj_add_uint(doc, v, "first_layer", s->first);
        yyjson_mut_obj_add_uint(doc, v, "last_layer", s->end - 1);
        yyjson_mut_obj_add_uint(doc, v, "bytes", s->bytes);
        yyjson_mut_obj_add_uint(doc, v, "offered", p->fleet->nodes[s->node].memory);
        yyjson_mut_obj_add_real(doc, v, "compute_ms", g.stage_s[i] * 1e3);
        yyjson_mut_obj_add_real(doc, v, "hop_ms", g.hop_s[i] * 1e3);
    }
    yyjson_mut_obj_add_real(doc, o, "token_ms", g.token_s * 1e3);
    yyjson_mut_obj_add_real(doc, o, "first_token_ms", g.first_s * 1e3);
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second", 1 / g.token_s);
    yyjson_mut_obj_add_real(doc, o, "tokens_per_second_all", g.streams_tps);
    yyjson_mut_obj_add_bool(doc, o, "proven", plan->proven);
}

static void paper_json(const struct paper *p) {
    const struct plan_model *m = plan_source_model(p->source);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct buf b, text;
    buf_init(&b, 1 << 22);
    buf_init(&text, 1 << 20);
    yyjson_mut_obj_add_str(doc, root, "model", m->name);
    yyjson_mut_obj_add_str(doc, root, "fleet", p->where);
    yyjson_mut_obj_add_uint(doc, root, "weights_bytes", p->layout->bytes_total);
    yyjson_mut_obj_add_uint(doc, root, "whole_bytes", p->plans[0].bytes_whole);
    yyjson_mut_obj_add_uint(doc, root, "n_ctx", m->n_ctx);
    yyjson_mut_obj_add_uint(doc, root, "streams", p->wish.streams);
    yyjson_mut_obj_add_str(doc, root, "wire_type", frame_dtype_name(p->wire));
    yyjson_mut_val *plans = yyjson_mut_obj_add_arr(doc, root, "copies");
    for (uint32_t i = 0; i < p->n_plans; i++) json_one(p, &p->plans[i], doc, yyjson_mut_arr_add_obj(doc, plans));
    paper_left_out(p, &text);
    yyjson_mut_obj_add_strcpy(doc, root, "left_out", buf_cstr(&text));
    buf_clear(&text);
    plan_advise(&p->plans[0], m, p->fleet->nodes, p->fleet->n, &p->wish, &text);
    yyjson_mut_obj_add_strcpy(doc, root, "advice", buf_cstr(&text));
    json_write(&b, doc);
    puts(buf_cstr(&b));
    buf_done(&b);
    buf_done(&text);
    yyjson_mut_doc_free(doc);
}

/* The model doesn't fit: hints whether it would for one conversation, or in a smaller quantisation. */
static void paper_smaller(const struct options *o, struct paper *p, const char *name, struct err *e) {
    static const char *const quants[] = {"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k"};
    char size[STR_SHORT], hint[256] = "even at q2_k it would not fit: add machines, or lower --ctx or --parallel";
    uint64_t whole = p->layout->bytes_total;
    if (access(name, R_OK) == 0 || !shapes_known(name)) return;
    for (size_t i = 0; i <= ARRAY_LEN(quants); i++) {
        struct paper q = {.fleet = p->fleet, .wish = p->wish, .alone = i == 0};
        struct plan plan;
        char full[128];
        if (q.alone) snprintf(full, sizeof(full), "%s", name);
        else snprintf(full, sizeof(full), "%.*s:%s", (int)strcspn(name, ":"), name, quants[i - 1]);
        bool fits = paper_model(o, full, &q, NULL) == ERR_OK && (q.alone || q.layout->bytes_total < whole) &&
                    plan_make(plan_source_model(q.source), p->fleet->nodes, p->fleet->n, &p->wish, &plan, NULL) == ERR_OK;
        if (fits)
            snprintf(hint, sizeof(hint), "%s would fit, in %s", q.alone ? "with --parallel 1 it" : full, str_size(plan.bytes_whole, size));
        plan_source_free(q.source);
        model_layout_free(q.layout);
        model_gguf_free(q.gguf);
        if (fits) break;
    }
    err_hint(e, "%s", hint);
}

static err_code paper_make(const struct options *o, struct paper *p, struct err *e) {
    err_code code = plan_wish_parse(option_text(o, OPT_PLACEMENT), &p->wish, e);
    if (code != ERR_OK) return code;
    p->wish.streams = (uint32_t)option_int(o, OPT_PARALLEL);
    p->wish.link = fleet_link;
    p->wish.link_user = p->fleet;
    p->plans = mem_calloc(MAX_COPIES, sizeof(*p->plans));
    code = plan_make(plan_source_model(p->source), p->fleet->nodes, p->fleet->n, &p->wish, &p->plans[0], e);
    if (code == ERR_NO_ROOM && p->wish.placement != PLAN_LIST) paper_smaller(o, p, option_argument(o, 0), e);
    if (code == ERR_OK) {
        p->wire = cli_dtype(o, &p->wire_auto);
        if (p->wire_auto) p->wire = plan_wire_choose(&p->plans[0], plan_source_model(p->source), p->fleet->nodes, &p->wish);
        p->wish.wire_bytes = plan_wire_bytes(p->wire);
    }
    if (code == ERR_OK)
        p->n_plans = plan_replicas(plan_source_model(p->source), p->fleet->nodes, p->fleet->n, &p->wish, p->plans, MAX_COPIES);
    return code;
}

static void print_lists(void) {
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_append_str(&b, "Models (name:quantisation): ");
    shapes_list(&b);
    buf_append_str(&b, "\n");
    fleet_list(&b);
    fputs(buf_cstr(&b), stdout);
    buf_done(&b);
}

err_code cli_plan(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct paper p = {0};
    if (option_flag(o, OPT_LIST)) {
        print_lists();
        return ERR_OK;
    }
    if (!option_argument(o, 0)) {
        err_set(e, ERR_USAGE, "caravan plan: which model?");
        err_hint(e, "a GGUF, or a name such as llama-70b:q4_k_m; `caravan plan --list` names all");
        return ERR_USAGE;
    }
    err_code code = paper_model(o, option_argument(o, 0), &p, e);
    if (code == ERR_OK) code = paper_fleet(o, &p, e);
    if (code == ERR_OK) code = paper_make(o, &p, e);
    if (code == ERR_OK && option_flag(o, OPT_JSON)) paper_json(&p);
    else if (code == ERR_OK) paper_print(&p);
    plan_source_free(p.source);
    model_layout_free(p.layout);
    model_gguf_free(p.gguf);
    free(p.fleet);
    free(p.plans);
    return code;
}
