/* SPDX-License-Identifier: MIT */
#include "model/quirks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define SQRT_SCALE MODEL_FIX_SQRT_SCALE
#define EMBD_SCALE MODEL_FIX_EMBD_SCALE
#define POSITION   MODEL_FIX_POSITION
#define RESIDUAL   MODEL_FIX_RESIDUAL
#define HEADS      MODEL_FIX_HEADS
#define VOCAB      MODEL_FIX_VOCAB
#define POOL       MODEL_FIX_POOL
#define OUTPUTS    MODEL_FIX_OUTPUTS
#define STATE      MODEL_FIX_STATE
static const struct model_quirks rows[] = {
#define QUIRK(arch, split, cut, period, fixups, out, note) {arch, MODEL_SPLIT_##split, MODEL_CUT_##cut, period, fixups, out, note},
#include "../../tables/quirks.def"
#undef QUIRK
};

static const struct model_entry entries[] = {
#define WIDE                                                    0
#define ROW                                                     1
#define QUIRK_ENTRY(arch, tensor, streams, ids, restore, carry) {arch, tensor, streams, ids, restore, carry},
#include "../../tables/quirks_entry.def"
#undef QUIRK_ENTRY
};

static const struct model_scale scales[] = {
#define QUIRK_SCALE(arch, rule, nodes) {arch, MODEL_SCALE_##rule, nodes},
#include "../../tables/quirks_scale.def"
#undef QUIRK_SCALE
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
    MODEL_FIX_OUTPUTS,
    "l_out-",
    "it is not in the table of architectures, and has not been probed; `caravan verify --probe` does that"};

/* ---- rows that were found by probing ---- */

/* The latest of an architecture and its kinds of layers hides earlier ones. A row stays where it is, because slices point to it. */
static struct taught {
    char text[MODEL_MAX_ROW], arch[MODEL_MAX_ARCH], kinds[MODEL_KINDS_SIZE], out[128], in[64], ids[16], carry[64], why[160];
    struct model_quirks row;
    struct model_entry entry;
} taught[MODEL_MAX_TAUGHT];
static uint32_t n_taught;

static const struct taught *taught_find(const struct model_layout *l) {
    for (uint32_t i = n_taught; i-- > 0;) {
        const struct taught *t = &taught[i];
        if (strcmp(t->arch, l->arch) == 0 && (t->kinds[0] == '\0' || strcmp(t->kinds, l->kinds) == 0)) return t;
    }
    return NULL;
}

static bool take_text(const char *value, size_t len, char *ret, size_t size) {
    if (len == 0 || len >= size) return false;
    memcpy(ret, value, len);
    ret[len] = '\0';
    return true;
}

/* Takes one "name=value" of a row. */
static bool take_word(struct taught *t, const char *word, size_t len, uint32_t *period, uint32_t *width) {
    char number[16];
    int64_t n;
    const char *value = memchr(word, '=', len);
    size_t name = value != NULL ? (size_t)(value++ - word) : len, rest = value != NULL ? len - name - 1 : 0;
    if (name == 3 && memcmp(word, "out", 3) == 0) return take_text(value, rest, t->out, sizeof(t->out));
    if (name == 2 && memcmp(word, "in", 2) == 0) return take_text(value, rest, t->in, sizeof(t->in));
    if (name == 3 && memcmp(word, "ids", 3) == 0) return take_text(value, rest, t->ids, sizeof(t->ids));
    if (name == 5 && memcmp(word, "carry", 5) == 0) return take_text(value, rest, t->carry, sizeof(t->carry));
    if (name == 5 && memcmp(word, "kinds", 5) == 0) return take_text(value, rest, t->kinds, sizeof(t->kinds));
    bool is_period = name == 6 && memcmp(word, "period", 6) == 0;
    if (!is_period && !(name == 5 && memcmp(word, "width", 5) == 0)) return false;
    if (!take_text(value, rest, number, sizeof(number)) || !str_parse_i64(number, &n) || n < 1) return false;
    if (n > (is_period ? MODEL_MAX_LAYERS : MODEL_MAX_STREAMS)) return false;
    *(is_period ? period : width) = (uint32_t)n;
    return true;
}

static bool take_words(struct taught *t, const char *text, uint32_t *period, uint32_t *width) {
    static const char WHOLE[] = "whole=";
    const char *word, *at = text;
    size_t len;
    if (!str_next(&at, ' ', &word, &len) || !take_text(word, len, t->arch, sizeof(t->arch))) return false;
    while (at != NULL && strncmp(at, WHOLE, sizeof(WHOLE) - 1) != 0)
        if (!str_next(&at, ' ', &word, &len) || !take_word(t, word, len, period, width)) return false;
    if (t->carry[0] != '\0' && t->in[0] == '\0') return false;
    if (at == NULL) return t->out[0] != '\0';
    at += sizeof(WHOLE) - 1;
    return take_text(at, strlen(at), t->why, sizeof(t->why));
}

static bool same_model(const struct taught *a, const struct taught *b) {
    return strcmp(a->arch, b->arch) == 0 && strcmp(a->kinds, b->kinds) == 0;
}

err_code model_quirks_teach(const char *text, struct err *e) {
    struct taught made = {0};
    uint32_t period = 1, width = 1, at = 0;
    if (strlen(text) >= MODEL_MAX_ROW || !take_words(&made, text, &period, &width)) {
        err_set(e, ERR_INVALID, "row of an architecture \"%.200s\": one of its words is wrong or missing", text);
        err_hint(e, "as `caravan verify --probe MODEL` prints it: ARCHITECTURE period=1 width=1 out=l_out-");
        return ERR_INVALID;
    }
    while (at < n_taught && !same_model(&taught[at], &made)) at++;
    if (at == MODEL_MAX_TAUGHT) return err_set(e, ERR_LIMIT, "more than %d architectures were probed", MODEL_MAX_TAUGHT);
    if (at == n_taught) n_taught++;
    struct taught *t = &taught[at];
    *t = made;
    memcpy(t->text, text, strlen(text) + 1);
    enum model_cut_rule cut = period > 1 ? MODEL_CUT_PERIOD : MODEL_CUT_KINDS;
    enum model_split split = t->why[0] != '\0' ? MODEL_SPLIT_WHOLE : MODEL_SPLIT_EXACT;
    const char *note = t->why[0] != '\0' ? t->why : "found by probing";
    t->row = (struct model_quirks){t->arch, split, cut, period, MODEL_FIX_HEADS | MODEL_FIX_OUTPUTS, t->out, note};
    t->entry = (struct model_entry){t->arch, t->in, width, t->ids, "", t->carry};
    return ERR_OK;
}

const char *model_quirks_taught(const struct model_layout *l) {
    const struct taught *t = taught_find(l);
    return t != NULL ? t->text : "";
}

bool model_quirks_known(const struct model_layout *l) { return model_quirks_find(l) != &unknown; }

/* ---- finding ---- */

static const struct model_quirks *listed(const char *arch) {
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].arch, arch) == 0) return &rows[i];
    return &unknown;
}

bool model_quirks_listed(const char *arch) { return listed(arch) != &unknown; }

const struct model_quirks *model_quirks_find(const struct model_layout *l) {
    const struct taught *t = taught_find(l);
    return t != NULL ? &t->row : listed(l->arch);
}

const struct model_entry *model_quirks_entry(const struct model_layout *l) {
    const struct taught *t = taught_find(l);
    if (t != NULL) return t->in[0] != '\0' ? &t->entry : NULL;
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (strcmp(entries[i].arch, l->arch) == 0) return &entries[i];
    return NULL;
}

const struct model_scale *model_quirks_scale(const struct model_layout *l) {
    if (taught_find(l) != NULL) return NULL; /* they don't show in a graph */
    for (size_t i = 0; i < ARRAY_LEN(scales); i++)
        if (strcmp(scales[i].arch, l->arch) == 0) return &scales[i];
    return NULL;
}

uint32_t model_quirks_width(const struct model_layout *l) {
    const struct model_entry *entry = model_quirks_entry(l);
    uint64_t streams = entry && entry->streams > 0 ? entry->streams : 1;
    if (entry && entry->streams == 0) model_kv_uint(model_gguf_find_arch(l->gguf, "hyper_connection.count"), 0, &streams);
    return (streams >= 1 && streams <= MODEL_MAX_STREAMS ? (uint32_t)streams * l->n_embd : l->n_embd) + model_quirks_carried(l);
}

static bool carries(const struct model_layout *l) {
    const struct model_entry *entry = model_quirks_entry(l);
    return entry != NULL && entry->carry[0] != '\0';
}

uint32_t model_quirks_lead(const struct model_layout *l, uint32_t first) { return first > 0 && carries(l) ? 1 : 0; }

uint32_t model_quirks_carried(const struct model_layout *l) { return carries(l) ? l->n_embd : 0; }

/* Exact answers need cells of their own for each sequence: in one pool it depends on the other sequences which cells a sequence gets, and
 * with it the order of sums in attention. */
err_code model_quirks_check_exact(const struct model_layout *l, struct err *e) {
    if (!(model_quirks_find(l)->fixups & MODEL_FIX_POOL)) return ERR_OK;
    err_set(e, ERR_UNSUPPORTED,
            "a model of architecture \"%s\" cannot be served with --exact: libllama keeps all its sequences in one pool", l->arch);
    err_hint(e, "leave --exact out: an answer that is continued after a fault may then differ in the last bits of its logits");
    return ERR_UNSUPPORTED;
}

/* The kinds of memory that layers keep, as bits: libllama makes one store for each kind, and aborts if a store is empty. */
enum { KIND_ATTENTION = 1, KIND_WINDOW = 2, KIND_RECURRENT = 4, KIND_INDEXER = 8 };

static unsigned layer_kinds(const struct model_layout *l, uint32_t i) {
    const struct model_layer *layer = &l->layers[i];
    unsigned kinds = layer->indexer ? KIND_INDEXER : 0;
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

uint32_t model_quirks_sample(const struct model_layout *l, uint32_t least) {
    unsigned all = range_kinds(l, 0, l->n_layer), seen = 0;
    uint32_t n = 0, groups = 0;
    while (n < l->n_layer && groups < 2) {
        seen |= layer_kinds(l, n++);
        if (seen != all) continue;
        groups++;
        seen = 0;
    }
    return n > least ? n : least < l->n_layer ? least : l->n_layer;
}

/* The period of the rule by which layers are of different kinds; 1: there is none, or the file has a list. */
static uint32_t kinds_period(const struct model_layout *l, const struct model_quirks *q) {
    uint64_t period = q->period;
    static const char *const rules[] = {"attention.sliding_window_pattern", "attention.recurrent_layers", "full_attention_interval"};
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const struct model_kv *kv = model_gguf_find_arch(l->gguf, rules[i]);
        if (kv && kv->type == MODEL_KV_ARRAY) return 1;
        if (kv && model_kv_uint(kv, 0, &period) && period > 0) break;
    }
    return period > 0 && period <= MODEL_MAX_LAYERS ? (uint32_t)period : 1;
}

/* Cuts must be at multiples of this. */
static uint32_t cut_period(const struct model_layout *l, const struct model_quirks *q) {
    uint32_t period = q->cut == MODEL_CUT_PERIOD ? q->period : q->cut == MODEL_CUT_KINDS ? kinds_period(l, q) : 1;
    /* Every such layer has experts; behind every such layer the rows are halved. libllama counts from the file's first layer. */
    static const char *const steps[] = {"interleave_moe_layer_step", "rescale_every_n_layers"};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        uint64_t step = 1;
        uint32_t all = period;
        model_kv_uint(model_gguf_find_arch(l->gguf, steps[i]), 0, &step);
        if (step < 1 || step > MODEL_MAX_LAYERS) step = 1;
        while (all % step != 0) all += period;
        period = all;
    }
    return period;
}

/* Where the file lists which layers have an indexer of their own: does this layer look where an earlier layer's indexer says? */
static bool borrows_indexer(const struct model_layout *l, uint32_t layer) {
    const struct model_kv *types = model_gguf_find_arch(l->gguf, "attention.indexer.types");
    return types && types->type == MODEL_KV_ARRAY && l->layers[layer].state_bytes == 0 && !l->layers[layer].indexer;
}

/* ---- legal slices ---- */

static err_code check_whole(const struct model_layout *l, const struct model_quirks *q, struct err *e) {
    const char *conclusion = layers_conclusion(l->arch, l->n_layer);
    if (q->split == MODEL_SPLIT_WHOLE) err_set(e, ERR_WHOLE_ONLY, "architecture \"%s\" runs whole only: %s", l->arch, q->note);
    else if (conclusion)
        err_set(e, ERR_WHOLE_ONLY, "architecture \"%s\" with %" PRIu32 " layers runs whole only: from their number libllama concludes %s",
                l->arch, l->n_layer, conclusion);
    else return ERR_OK;
    err_hint(e, "run it on one node that has room for all of it");
    return ERR_WHOLE_ONLY;
}

/* May [first, end) begin and end there? *ret_wrong: the bound that is wrong. */
static err_code check_bounds(const struct model_layout *l, const struct model_quirks *q, uint32_t first, uint32_t end, uint32_t *ret_wrong,
                             struct err *e) {
    uint32_t period = cut_period(l, q);
    *ret_wrong = first % period ? first : end < l->n_layer && end % period ? end : 0;
    if (*ret_wrong)
        return err_set(e, ERR_INVALID,
                       "cannot cut architecture \"%s\" before layer %" PRIu32 ": its layers repeat with a period of %" PRIu32, l->arch,
                       *ret_wrong, period);
    *ret_wrong = first > 0 && borrows_indexer(l, first) ? first : end < l->n_layer && borrows_indexer(l, end) ? end : 0;
    if (*ret_wrong)
        return err_set(e, ERR_INVALID,
                       "cannot cut architecture \"%s\" before layer %" PRIu32 ": it has no indexer, and uses that of an earlier layer",
                       l->arch, *ret_wrong);
    return ERR_OK;
}

/* Does [first, end) have what libllama insists on? */
static err_code check_content(const struct model_layout *l, const struct model_quirks *q, uint32_t first, uint32_t end, struct err *e) {
    const char *conclusion = layers_conclusion(l->arch, end - first + model_quirks_lead(l, first));
    if (conclusion)
        return err_set(e, ERR_INVALID,
                       "cannot make a slice of %" PRIu32 " layers of architecture \"%s\": from their number libllama would conclude %s",
                       end - first, l->arch, conclusion);
    unsigned missing = range_kinds(l, 0, l->n_layer) & ~range_kinds(l, first, end);
    if (q->cut != MODEL_CUT_ANY && missing)
        return err_set(e, ERR_INVALID,
                       "cannot make a slice of layers %" PRIu32 "-%" PRIu32 " of architecture \"%s\": there is no %s among them", first,
                       end - 1, l->arch, kind_name(missing));
    if (q->cut == MODEL_CUT_PERIOD && end - first < q->period)
        return err_set(e, ERR_INVALID,
                       "cannot make a slice of layers %" PRIu32 "-%" PRIu32 " of architecture \"%s\": it needs %" PRIu32
                       " layers, one of each kind",
                       first, end - 1, l->arch, q->period);
    return ERR_OK;
}

/* Is [first, end), which lies within the model and isn't all of it, a legal slice? *ret_wrong: the bound that had better be moved. */
static err_code check_slice(const struct model_layout *l, uint32_t first, uint32_t end, uint32_t *ret_wrong, struct err *e) {
    const struct model_quirks *q = model_quirks_find(l);
    *ret_wrong = 0;
    err_code code = check_whole(l, q, e);
    if (code == ERR_OK) code = check_bounds(l, q, first, end, ret_wrong, e);
    if (code != ERR_OK) return code;
    *ret_wrong = end < l->n_layer ? end : first;
    return check_content(l, q, first, end, e);
}

static bool is_legal(const struct model_layout *l, uint32_t first, uint32_t end) {
    uint32_t wrong;
    return (first == 0 && end == l->n_layer) || (first < end && check_slice(l, first, end, &wrong, NULL) == ERR_OK);
}

uint32_t model_quirks_cuts(const struct model_layout *l, uint32_t *ret_cuts, uint32_t max) {
    uint32_t n = 0;
    if (max < 2) return 0;
    ret_cuts[n++] = 0;
    bool whole = check_whole(l, model_quirks_find(l), NULL) != ERR_OK;
    for (uint32_t at = 1; at < l->n_layer && !whole && n < max - 1; at++)
        if (is_legal(l, ret_cuts[n - 1], at) && is_legal(l, at, l->n_layer)) ret_cuts[n++] = at;
    ret_cuts[n++] = l->n_layer;
    return n;
}

/* May the model be cut at `at`, if the slice before it, or behind it, keeps its other bound? */
static bool moves_to(const struct model_layout *l, uint32_t first, uint32_t end, uint32_t wrong, uint32_t at) {
    if (wrong == end && end < l->n_layer) return is_legal(l, first, at) && is_legal(l, at, l->n_layer);
    return is_legal(l, 0, at) && is_legal(l, at, end);
}

/* Adds a hint that names the legal cut nearest to `wrong`, and others. */
static void hint_cuts(const struct model_layout *l, uint32_t first, uint32_t end, uint32_t wrong, struct err *e) {
    uint32_t cuts[MODEL_MAX_LAYERS + 1], nearest = 0;
    uint32_t n = model_quirks_cuts(l, cuts, MODEL_MAX_LAYERS + 1);
    char list[120] = "";
    size_t at = 0;
    for (uint32_t d = 1; d < l->n_layer && nearest == 0; d++)
        if (wrong > d && moves_to(l, first, end, wrong, wrong - d)) nearest = wrong - d;
        else if (wrong + d < l->n_layer && moves_to(l, first, end, wrong, wrong + d)) nearest = wrong + d;
    for (uint32_t i = 1; i + 1 < n && at < sizeof(list) - 16; i++)
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%" PRIu32, i > 1 ? ", " : "", cuts[i]);
    const char *more = at < sizeof(list) - 16 ? "" : ", ...";
    if (n > 2 && nearest) err_hint(e, "the nearest legal cut is before layer %" PRIu32 "; slices may begin at %s%s", nearest, list, more);
    else if (n > 2) err_hint(e, "slices may begin at %s%s", list, more);
    else err_hint(e, "this model has too few layers to be cut");
}

err_code model_quirks_check(const struct model_layout *l, uint32_t first, uint32_t end, struct err *e) {
    uint32_t wrong;
    if (first >= end || end > l->n_layer)
        return err_set(e, ERR_INVALID, "cannot cut layers %" PRIu32 "-%" PRIu32 " from a model of %" PRIu32 " layers", first,
                       end ? end - 1 : 0, l->n_layer);
    if (first == 0 && end == l->n_layer) return ERR_OK;
    err_code code = check_slice(l, first, end, &wrong, e);
    if (code == ERR_INVALID && e) hint_cuts(l, first, end, wrong, e);
    return code;
}
