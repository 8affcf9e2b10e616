/* SPDX-License-Identifier: MIT */
#include "model/quirks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define SQRT_SCALE MODEL_FIX_SQRT_SCALE
#define EMBD_SCALE MODEL_FIX_EMBD_SCALE
#define POSITION   MODEL_FIX_POSITION
#define RESIDUAL   MODEL_FIX_RESIDUAL
#define HEADS      MODEL_FIX_HEADS
#define VOCAB      MODEL_FIX_VOCAB
#define POOL       MODEL_FIX_POOL
#define STREAMS    MODEL_FIX_STREAMS
static const struct model_quirks rows[] = {
#define QUIRK(arch, split, cut, period, fixups, out, note) {arch, MODEL_SPLIT_##split, MODEL_CUT_##cut, period, fixups, out, note},
#include "../../tables/quirks.def"
#undef QUIRK
};

static const struct {
    const char *arch;
    uint32_t from, to;
    const char *what;
} layer_rows[] = {
#define QUIRK_LAYERS(arch, from, to, what) {arch, from, to, what},
#include "../../tables/quirks_layers.def"
#undef QUIRK_LAYERS
};

/* What libllama concludes from n layers; NULL: nothing special. */
static const char *layers_conclusion(const char *arch, uint32_t n) {
    for (size_t i = 0; i < ARRAY_LEN(layer_rows); i++)
        if (strcmp(layer_rows[i].arch, arch) == 0 && n >= layer_rows[i].from && n <= layer_rows[i].to) return layer_rows[i].what;
    return NULL;
}

static const struct model_quirks unknown = {
    "",
    MODEL_SPLIT_WHOLE,
    MODEL_CUT_ANY,
    1,
    0,
    "l_out-",
    "it is not in the table of architectures; run `caravan verify --force` to see whether it can be split"};

const struct model_quirks *model_quirks_find(const char *arch) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].arch, arch) == 0) return &rows[i];
    return &unknown;
}

/* Exact answers need cells of their own for each sequence: in one pool it depends on the other sequences which cells a sequence gets, and
 * with it the order of sums in attention. */
err_code model_quirks_check_exact(const char *arch, struct err *e) {
    if (!(model_quirks_find(arch)->fixups & MODEL_FIX_POOL)) return ERR_OK;
    err_set(e, ERR_UNSUPPORTED,
            "a model of architecture \"%s\" cannot be served with --exact: libllama keeps all its sequences in one pool", arch);
    err_hint(e, "leave --exact out: an answer that is continued after a fault may then differ in the last bits of its logits");
    return ERR_UNSUPPORTED;
}

/* The kinds of memory that layers keep, as bits: libllama makes one store for each kind, and aborts if a store is empty. */
enum { KIND_ATTENTION = 1, KIND_WINDOW = 2, KIND_RECURRENT = 4, KIND_INDEXER = 8 };

static unsigned layer_kinds(const struct model_layout *l, uint32_t i) {
    const struct model_layer *layer = &l->layers[i];
    unsigned kinds = model_layer_tensor(l, i, "indexer.") ? KIND_INDEXER : 0;
    if (layer->state_bytes) kinds |= KIND_RECURRENT;
    if (layer->n_k || layer->n_v) kinds |= layer->window ? KIND_WINDOW : KIND_ATTENTION;
    return kinds;
}

static unsigned range_kinds(const struct model_layout *l, uint32_t first, uint32_t end) {
    unsigned kinds = 0;
    for (uint32_t i = first; i < end; i++) kinds |= layer_kinds(l, i);
    return kinds;
}

static const char *kind_name(unsigned missing) {
    if (missing & KIND_RECURRENT) return "recurrent layer";
    if (missing & KIND_INDEXER) return "layer with an indexer";
    return missing & KIND_WINDOW ? "layer with a sliding window" : "layer with full attention";
}

/* Cuts must be at multiples of this. */
static uint32_t cut_period(const struct model_layout *l, const struct model_quirks *q) {
    uint64_t period = q->period;
    if (q->cut == MODEL_CUT_ANY) return 1;
    if (q->cut == MODEL_CUT_PERIOD) return q->period;
    static const char *const rules[] = {"attention.sliding_window_pattern", "attention.recurrent_layers", "full_attention_interval"};
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct model_kv *kv = model_gguf_find_arch(l->gguf, rules[i]);
        if (kv && kv->type == MODEL_KV_ARRAY) return 1; /* a list: the kinds are known layer by layer */
        if (kv && model_kv_uint(kv, 0, &period) && period > 0) break;
    }
    return period > 0 && period <= MODEL_MAX_LAYERS ? (uint32_t)period : 1;
}

/* Are [last, at) and the rest from `at` on possible slices? */
static bool cut_works(const struct model_layout *l, const struct model_quirks *q, uint32_t last, uint32_t at, unsigned all) {
    if (layers_conclusion(l->arch, at - last) || layers_conclusion(l->arch, l->n_layer - at)) return false;
    return q->cut != MODEL_CUT_KINDS || (range_kinds(l, last, at) == all && range_kinds(l, at, l->n_layer) == all);
}

uint32_t model_quirks_cuts(const struct model_layout *l, uint32_t *ret_cuts, uint32_t max) {
    const struct model_quirks *q = model_quirks_find(l->arch);
    uint32_t n = 0, period = cut_period(l, q);
    if (max < 2) return 0;
    ret_cuts[n++] = 0;
    bool whole = q->split == MODEL_SPLIT_WHOLE || layers_conclusion(l->arch, l->n_layer);
    unsigned all = range_kinds(l, 0, l->n_layer);
    for (uint32_t at = period; at < l->n_layer && !whole && n < max - 1; at += period)
        if (cut_works(l, q, ret_cuts[n - 1], at, all)) ret_cuts[n++] = at;
    ret_cuts[n++] = l->n_layer;
    return n;
}

/* Adds a hint that lists the possible cuts. */
static void hint_cuts(const struct model_layout *l, struct err *e) {
    uint32_t cuts[MODEL_MAX_LAYERS + 1];
    uint32_t n = model_quirks_cuts(l, cuts, MODEL_MAX_LAYERS + 1);
    char list[160] = "";
    size_t at = 0;
    for (uint32_t i = 1; i + 1 < n && at < sizeof(list) - 16; i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%" PRIu32, i > 1 ? ", " : "", cuts[i]);
    if (n > 2) err_hint(e, "cut before layer %s%s", list, at < sizeof(list) - 16 ? "" : ", ...");
    else err_hint(e, "this model has too few layers to be cut");
}

err_code model_quirks_check(const struct model_layout *l, uint32_t first, uint32_t end, struct err *e) {
    const struct model_quirks *q = model_quirks_find(l->arch);
    if (first >= end || end > l->n_layer)
        return err_set(e, ERR_INVALID, "cannot cut layers %" PRIu32 "-%" PRIu32 " from a model of %" PRIu32 " layers", first,
                       end ? end - 1 : 0, l->n_layer);
    if (first == 0 && end == l->n_layer) return ERR_OK;
    const char *conclusion = layers_conclusion(l->arch, l->n_layer);
    if (q->split == MODEL_SPLIT_WHOLE || conclusion) {
        if (q->split == MODEL_SPLIT_WHOLE) err_set(e, ERR_WHOLE_ONLY, "architecture \"%s\" runs whole only: %s", l->arch, q->note);
        else
            err_set(e, ERR_WHOLE_ONLY,
                    "architecture \"%s\" with %" PRIu32 " layers runs whole only: from their number libllama concludes %s", l->arch,
                    l->n_layer, conclusion);
        err_hint(e, "run it on one node that has room for all of it");
        return ERR_WHOLE_ONLY;
    }
    uint32_t period = cut_period(l, q);
    uint32_t wrong = first % period ? first : end < l->n_layer && end % period ? end : 0;
    if (wrong) {
        err_set(e, ERR_INVALID, "cannot cut architecture \"%s\" before layer %" PRIu32 ": its layers repeat with a period of %" PRIu32,
                l->arch, wrong, period);
        hint_cuts(l, e);
        return ERR_INVALID;
    }
    conclusion = layers_conclusion(l->arch, end - first);
    if (conclusion) {
        err_set(e, ERR_INVALID,
                "cannot make a slice of %" PRIu32 " layers of architecture \"%s\": from their number libllama would conclude %s",
                end - first, l->arch, conclusion);
        hint_cuts(l, e);
        return ERR_INVALID;
    }
    unsigned missing = range_kinds(l, 0, l->n_layer) & ~range_kinds(l, first, end);
    if (q->cut == MODEL_CUT_KINDS && missing) {
        err_set(e, ERR_INVALID, "cannot make a slice of layers %" PRIu32 "-%" PRIu32 " of architecture \"%s\": there is no %s among them",
                first, end - 1, l->arch, kind_name(missing));
        hint_cuts(l, e);
        return ERR_INVALID;
    }
    return ERR_OK;
}
