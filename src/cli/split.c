/* SPDX-License-Identifier: MIT
 * A model cut in slices as --stages or --split say (cli.h). */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"
#include "model/quirks.h"

/* Reads --split 3,1,4. Numbers that add up to the model's layers are layer counts; others are proportions, moved to the nearest legal
 * cuts. */
static err_code split_weights(const struct options *o, double *weights, uint32_t *ret_n, struct err *e) {
    const char *text = option_text(o, OPT_SPLIT), *part;
    size_t len;
    uint32_t n = 0;
    if (!text[0]) {
        n = (uint32_t)option_int(o, OPT_STAGES);
        if (n > CLI_MAX_STAGES) return err_set(e, ERR_LIMIT, "at most %d stages", CLI_MAX_STAGES);
        for (uint32_t i = 0; i < n; i++) weights[i] = 1;
        *ret_n = n;
        return ERR_OK;
    }
    for (const char *at = text; str_next(&at, ',', &part, &len);) {
        char number[16];
        int64_t v = 0;
        snprintf(number, sizeof(number), "%.*s", (int)(len < 15 ? len : 15), part);
        if (!str_parse_i64(number, &v) || v < 1 || v > MODEL_MAX_LAYERS || n == CLI_MAX_STAGES) {
            err_set(e, ERR_INVALID, "--split \"%s\": expected up to %d layer counts", text, CLI_MAX_STAGES);
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

static err_code split_bounds(const struct options *o, struct cli_split *s, struct err *e) {
    double weights[CLI_MAX_STAGES], sum = 0, at = 0;
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    err_code code = split_weights(o, weights, &s->n_stage, e);
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < s->n_stage; i++) sum += weights[i];
    bool given = option_text(o, OPT_SPLIT)[0] && sum == s->layout->n_layer;
    uint32_t n_cuts = model_quirks_cuts(s->layout, cuts, MODEL_MAX_LAYERS + 1);
    bool forced = option_flag(o, OPT_FORCE);
    for (uint32_t i = 0; forced && i <= s->layout->n_layer; i++) cuts[i] = i;
    if (forced) n_cuts = s->layout->n_layer + 1;
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

err_code cli_split_open(const struct options *o, const char *path, struct cli_split *ret, struct err *e) {
    struct cli_split s = {0};
    err_code code = model_gguf_open(path, &s.gguf, e);
    if (code == ERR_OK) code = model_layout_create(s.gguf, &s.layout, e);
    if (code == ERR_OK) code = split_bounds(o, &s, e);
    if (code != ERR_OK) {
        cli_split_done(&s);
        return code;
    }
    *ret = s;
    return ERR_OK;
}

void cli_split_done(struct cli_split *s) {
    model_layout_free(s->layout);
    model_gguf_free(s->gguf);
    memset(s, 0, sizeof(*s));
}

err_code cli_split_ring(const struct options *o, const struct cli_split *s, bool whole, uint32_t n_ctx, struct private_ring **ret,
                        struct err *e) {
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
    cli_stage_options(o, &c.options);
    c.options.n_draft = 0;
    c.options.prefix_cache = false;
    err_code code = cli_load(o, &c.load, e);
    if (n_ctx) c.load.n_ctx = n_ctx;
    c.load.n_outputs = engine_load_batch(&c.load); /* the logits of every token are compared or counted */
    if (c.load.n_threads == 0) c.load.n_threads = cli_share_of_cores(s->n_stage); /* the whole model gets the same number */
    return code == ERR_OK ? private_ring_start(&c, ret, e) : code;
}
