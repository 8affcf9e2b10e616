/* SPDX-License-Identifier: MIT */
#include "show/plan_paper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "engine/params.h"
#include "model/types.h"
#include "os/runtime.h"
#include "plan/profile.h"

enum { PAPER_UBATCH = 512 };

err_code plan_paper_node(const struct options *o, struct paper *p, struct err *e) {
    struct err why = {0};
    err_code code = cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, &p->status, &why);
    bool another = code == ERR_UNAVAILABLE || code == ERR_PROTOCOL;
    if (code == ERR_OK || option_text(o, OPT_FLEET)[0] || (another && !cli_api_named(o))) return ERR_OK;
    if (e) *e = why;
    return code;
}

/* Fills in what the wish does not say yet. all: also by options that nobody has set. */
static void load_by_options(const struct options *o, bool all, struct load_wish *w) {
    static const struct {
        enum option_id option;
        enum wish_id wish;
    } texts[] = {{OPT_CACHE_TYPE_K, WISH_CACHE_TYPE_K},
                 {OPT_CACHE_TYPE_V, WISH_CACHE_TYPE_V},
                 {OPT_PLACEMENT, WISH_PLACEMENT},
                 {OPT_WIRE_TYPE, WISH_WIRE_TYPE}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if ((all || option_is_set(o, texts[i].option)) && !wish_says(w, texts[i].wish))
            wish_set_text(w, texts[i].wish, option_text(o, texts[i].option));
    if ((all || option_is_set(o, OPT_PARALLEL)) && !wish_says(w, WISH_PARALLEL))
        wish_set(w, WISH_PARALLEL, (uint32_t)option_int(o, OPT_PARALLEL));
    if ((all || option_is_set(o, OPT_MTP)) && !wish_says(w, WISH_MTP)) wish_set(w, WISH_MTP, strcmp(option_text(o, OPT_MTP), "on") == 0);
    if (option_int(o, OPT_CTX) > 0) wish_set(w, WISH_CTX, (uint32_t)option_int(o, OPT_CTX));
}

err_code plan_paper_load(const struct options *o, struct paper *p, struct err *e) {
    struct load_wish node = {0};
    struct engine_load here;
    load_by_options(o, false, &p->load);
    p->said = p->load;
    yyjson_val *defaults = yyjson_obj_get(yyjson_doc_get_root(p->status), "defaults");
    if (defaults && !option_text(o, OPT_FLEET)[0] && wish_read(defaults, &node, NULL) == ERR_OK) {
        if (option_is_set(o, OPT_CTX)) wish_unset(&node, WISH_CTX); /* 0 is an answer too */
        wish_merge(&p->load, &node);
    }
    load_by_options(o, true, &p->load);
    engine_load_init(&here);
    uint32_t ubatch = option_int(o, OPT_UBATCH) > 0 ? (uint32_t)option_int(o, OPT_UBATCH) : p->load.ubatch;
    if (ubatch == 0) ubatch = option_text(o, OPT_FLEET)[0] ? PAPER_UBATCH : engine_load_ubatch(&here);
    struct paper_load load = {
        .n_ctx = p->load.ctx, .n_seq = p->load.parallel, .n_ubatch = ubatch, .exact = p->load.exact, .mtp = p->load.mtp};
    if (!model_type_parse(p->load.cache_type_k, &load.type_k) || !model_type_parse(p->load.cache_type_v, &load.type_v))
        return err_set(e, ERR_INVALID, "the cache type is not one of ggml's");
    p->question = (struct sheet_question){
        .load = load, .placement = p->load.placement, .wire_type = p->load.wire_type, .prompt = (uint32_t)option_int(o, OPT_PROMPT_TOKENS)};
    return ERR_OK;
}

err_code plan_paper_money(const struct options *o, struct paper *p, struct err *e) {
    const char *path = option_text(o, OPT_PRICES);
    err_code code = path[0] ? prices_open(path, &p->prices, e) : ERR_OK;
    p->question.money = (struct money_wish){.prices = p->prices,
                                            .price = option_num(o, OPT_PRICE),
                                            .life_years = option_num(o, OPT_LIFE),
                                            .electricity = option_num(o, OPT_ELECTRICITY),
                                            .utilisation = option_num(o, OPT_UTILISATION) / 100};
    p->question.cost = option_flag(o, OPT_COST);
    return code;
}

err_code plan_paper_fleet(const struct options *o, struct paper *p, struct err *e) {
    const char *spec = option_text(o, OPT_FLEET);
    p->fleet = MEM_NEW(struct fleet);
    p->question.where = spec;
    if (spec[0]) return fleet_open(spec, p->fleet, e);
    p->question.where = "this cluster";
    const char *model = option_argument(o, 0);
    const struct fleet_without w = {.instance = "", .model = model ? model : ""};
    if (p->status) return fleet_from_status(yyjson_doc_get_root(p->status), &w, p->fleet, e);
    p->question.where = "this machine alone (no node runs here)";
    struct fleet_machine m = {.node.memory = profile_memory_offer()};
    if (gethostname(m.node.name, sizeof(m.node.name) - 1) != 0) snprintf(m.node.name, sizeof(m.node.name), "here");
    return fleet_add(p->fleet, &m, e);
}

static void load_of(const struct paper *p, uint32_t n_ctx, struct engine_load *ret) {
    const struct load_wish *w = &p->load;
    engine_load_init(ret);
    ret->n_ctx = n_ctx;
    ret->n_seq = w->parallel;
    ret->n_batch = w->batch;
    ret->n_ubatch = p->question.load.n_ubatch;
    ret->exact = w->exact;
    ret->mtp = w->mtp;
    snprintf(ret->cache_type_k, sizeof(ret->cache_type_k), "%s", w->cache_type_k);
    snprintf(ret->cache_type_v, sizeof(ret->cache_type_v), "%s", w->cache_type_v);
    snprintf(ret->backends, sizeof(ret->backends), "%s", os_backends_dir);
}

void plan_paper_measure(const struct options *o, struct paper *p, const struct sheet_source *source) {
    struct model_layout *layout = NULL;
    struct engine_load load;
    uint32_t n_ctx;
    if (option_text(o, OPT_FLEET)[0] || source->is_shape) return;
    if (model_layout_create(source->gguf, &layout, NULL) == ERR_OK && model_layout_ctx(layout, p->load.ctx, &n_ctx, NULL) == ERR_OK) {
        load_of(p, n_ctx, &load);
        if (load.mtp) model_layout_keep_mtp(layout, load.n_rewind);
        needs_measure(source->gguf, layout, &load, &p->needs);
        p->question.needs = &p->needs;
    }
    model_layout_free(layout);
}

void plan_paper_done(struct paper *p) {
    yyjson_doc_free(p->status);
    free(p->fleet);
    prices_free(p->prices);
}
