/* SPDX-License-Identifier: MIT
 * A model cut in slices as --stages or --split say. See split.h. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"
#include "engine/probe.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "show/split.h"

enum { PROBE_LAYERS = 8 }; /* that --probe looks at: enough for any pattern known */

/* Reads --split 3,1,4. Numbers that add up to the model's layers are layer counts; others are proportions, moved to the nearest legal
 * cuts. */
static err_code split_weights(const struct options *o, double *weights, uint32_t *ret_n, struct err *e) {
    const char *text = option_text(o, OPT_SPLIT), *part;
    size_t len;
    uint32_t n = 0;
    if (!text[0]) {
        n = (uint32_t)option_int(o, OPT_STAGES);
        if (n > SPLIT_MAX_STAGES) return err_set(e, ERR_LIMIT, "at most %d stages", SPLIT_MAX_STAGES);
        for (uint32_t i = 0; i < n; i++) weights[i] = 1;
        *ret_n = n;
        return ERR_OK;
    }
    for (const char *at = text; str_next(&at, ',', &part, &len);) {
        char number[16];
        int64_t v = 0;
        snprintf(number, sizeof(number), "%.*s", (int)(len < 15 ? len : 15), part);
        if (!str_parse_i64(number, &v) || v < 1 || v > MODEL_MAX_LAYERS || n == SPLIT_MAX_STAGES) {
            err_set(e, ERR_INVALID, "--split \"%s\": expected up to %d layer counts", text, SPLIT_MAX_STAGES);
            err_hint(e, "for example --split 3,1,4");
            return ERR_INVALID;
        }
        weights[n++] = (double)v;
    }
    *ret_n = n;
    return ERR_OK;
}

/* The legal cut nearest to `want`, above `after` and leaving room for `left` more slices. */
static uint32_t split_nearest(const uint32_t *cuts, uint32_t n_cuts, uint32_t after, uint32_t left, double want) {
    uint32_t best = 0;
    double best_distance = -1;
    for (uint32_t i = 0; i + left < n_cuts; i++) {
        double d = cuts[i] > want ? cuts[i] - want : want - cuts[i];
        if (cuts[i] <= after || (best_distance >= 0 && d >= best_distance)) continue;
        best = cuts[i];
        best_distance = d;
    }
    return best;
}

static err_code split_bounds(const struct options *o, struct split *s, struct err *e) {
    double weights[SPLIT_MAX_STAGES], sum = 0, at = 0;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    err_code code = split_weights(o, weights, &s->n_stage, e);
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < s->n_stage; i++) sum += weights[i];
    bool given = option_text(o, OPT_SPLIT)[0] && sum == s->layout->n_layer;
    uint32_t n_cuts = model_quirks_cuts(s->layout, cuts, MODEL_MAX_LAYERS + 1);
    bool forced = option_flag(o, OPT_FORCE);
    for (uint32_t i = 0; forced && i <= s->layout->n_layer; i++) cuts[i] = i;
    if (forced) n_cuts = s->layout->n_layer + 1;
    if (!given && n_cuts > 2 && s->n_stage > n_cuts - 1) {
        err_set(e, ERR_INVALID, "model \"%s\" (%s, %u layers) can be cut in at most %u slices", model_gguf_path(s->gguf, 0),
                s->layout->arch, s->layout->n_layer, n_cuts - 1);
        err_hint(e, "--stages %u", n_cuts - 1);
        return ERR_INVALID;
    }
    for (uint32_t i = 1; i < s->n_stage; i++) {
        at += weights[i - 1];
        s->bounds[i] = given ? (uint32_t)at : split_nearest(cuts, n_cuts, s->bounds[i - 1], s->n_stage - i, at / sum * s->layout->n_layer);
        if (s->bounds[i] > s->bounds[i - 1] && s->bounds[i] < s->layout->n_layer) continue;
        s->bounds[i] =
            s->bounds[i - 1] + 1 < s->layout->n_layer ? s->bounds[i - 1] + 1 : s->layout->n_layer; /* the check below says what is wrong */
        if (s->bounds[i] == s->layout->n_layer)
            return err_set(e, ERR_INVALID, "model \"%s\" has %u layers: it cannot be cut in %u slices", model_gguf_path(s->gguf, 0),
                           s->layout->n_layer, s->n_stage);
    }
    s->bounds[s->n_stage] = s->layout->n_layer;
    for (uint32_t i = 0; i < s->n_stage && !forced; i++)
        if ((code = model_quirks_check(s->layout, s->bounds[i], s->bounds[i + 1], e)) != ERR_OK) return code;
    return ERR_OK;
}

/* --probe: computes a few tokens of the first layers in this process, and takes the row that their graph proposes. */
static err_code split_probe(const struct options *o, struct split *s, struct err *e) {
    const struct model_layout *l = s->layout;
    struct model_slice *slice = NULL;
    struct engine_load load;
    struct model_graph graph = {0};
    uint32_t end = l->n_layer < PROBE_LAYERS ? l->n_layer : PROBE_LAYERS;
    err_code code = cli_load(o, &load, e);
    if (code == ERR_OK) code = model_slice_create_forced(s->gguf, l, 0, end, &slice, e);
    if (code == ERR_OK) code = engine_probe(slice, &load, &graph, e);
    if (code == ERR_OK) code = model_graph_propose(&graph, l->arch, l->n_embd, s->quirk, sizeof(s->quirk), e);
    if (code == ERR_OK) code = model_quirks_teach(s->quirk, e);
    free(graph.node);
    model_slice_free(slice);
    return code;
}

err_code split_open(const struct options *o, const char *path, struct split *ret, struct err *e) {
    struct split s = {0};
    err_code code = model_gguf_open(path, &s.gguf, e);
    if (code == ERR_OK) code = model_layout_create(s.gguf, &s.layout, e);
    if (code == ERR_OK && option_flag(o, OPT_PROBE)) code = split_probe(o, &s, e);
    if (code == ERR_OK) code = split_bounds(o, &s, e);
    if (code != ERR_OK) {
        split_done(&s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

void split_done(struct split *s) {
    model_layout_free(s->layout);
    model_gguf_free(s->gguf);
    memset(s, 0, sizeof(*s));
}

err_code split_ring(const struct options *o, const struct split *s, bool whole, uint32_t n_ctx, struct private_ring **ret, struct err *e) {
    const uint32_t all[2] = {0, s->layout->n_layer};
    struct private_ring_config c = {
        .program = cli_program(),
        .path = model_gguf_path(s->gguf, 0),
        .model_id = model_gguf_id(s->gguf),
        .bounds = whole ? all : s->bounds,
        .n_stage = whole ? 1 : s->n_stage,
        .dtype = cli_dtype(o, NULL),
        .forced = option_flag(o, OPT_FORCE),
    };
    struct model_adapter adapters[MODEL_MAX_ADAPTERS];
    c.adapters = adapters;
    cli_stage_options(o, &c.options);
    c.options.n_draft = s->n_guess;
    c.options.draft_always = true;
    c.options.prefix_cache = false;
    err_code code = cli_load(o, &c.load, e);
    if (n_ctx) c.load.n_ctx = n_ctx;
    c.load.mtp = s->n_guess > 0;
    snprintf(c.load.architecture, sizeof(c.load.architecture), "%s", s->quirk);
    c.load.n_outputs = engine_load_batch(&c.load); /* the logits of every token are compared or counted */
    if (c.load.n_threads == 0) c.load.n_threads = cli_share_of_cores(s->n_stage); /* the whole model gets the same number */
    if (code == ERR_OK) code = model_adapters_read(option_text(o, OPT_LORA), s->layout, adapters, &c.n_adapters, NULL, NULL, e);
    return code == ERR_OK ? private_ring_start(&c, ret, e) : code;
}
