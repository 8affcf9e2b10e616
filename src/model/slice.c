/* SPDX-License-Identifier: MIT */
#include "model/slice.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/slice_priv.h"
#include "model/types.h"

static bool starts_with(const char *s, const char *start) { return strncmp(s, start, strlen(start)) == 0; }

/* The smallest type whose blocks divide rows of n elements: for tables that must exist and are never read. */
static uint32_t smallest_type(uint64_t n) {
    static const uint32_t types[] = {MODEL_TYPE_Q1_0, MODEL_TYPE_Q2_0, MODEL_TYPE_Q4_0};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (n % model_type_get(types[i])->block == 0) return types[i];
    return MODEL_TYPE_F16;
}

/* Makes a table that libllama insists on and no graph of the slice uses. */
static void make_unread(struct slice_tensor *t) {
    t->source = NULL;
    t->unread = true;
    if (t->n_dims >= 2) t->type = smallest_type(t->ne[0]);
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) n *= t->ne[i];
    t->bytes = model_type_bytes(t->type, n);
}

/* Makes a tensor of a layer that only stands where rows enter. What is computed with it is replaced, and zeros are as good as any number. A
 * matrix that isn't F32 is multiplied with rows and nothing else, for which each type serves. */
static void make_lead(struct slice_tensor *t, const char *rest) {
    if (t->n_dims == 2 && t->type != MODEL_TYPE_F32) make_unread(t);
    t->source = NULL;
    t->unread = false;
    snprintf(t->name, sizeof(t->name), "blk.0.%s", rest);
}

/* Does the slice look tokens up in token_embd, or use it as its output table? */
static bool reads_embedding(const struct model_slice *s) {
    const struct model_entry *entry = model_quirks_entry(s->l);
    bool guesses = s->info.tail && s->info.n_mtp > 0 && !model_layer_tensor(s->l, s->l->n_layer, "nextn.embed_tokens.");
    return s->info.head || (s->info.tail && s->l->tied) || guesses || (entry && entry->ids[0] == '*');
}

/* Makes the slice's version of a tensor outside of the layers. */
static void fit_table(const struct model_slice *s, struct slice_tensor *t) {
    bool input = starts_with(t->name, "token_embd."), output = starts_with(t->name, "output.");
    if (slice_has_small_vocab(s)) {
        bool vocab = false;
        for (uint32_t i = t->n_dims > 1 ? 1 : 0; i < t->n_dims; i++)
            if (t->ne[i] == s->l->n_vocab && (t->n_dims > 1 || output)) {
                t->ne[i] = SLICE_SMALL_VOCAB;
                vocab = true;
            }
        if (vocab) make_unread(t);
    } else if (output && !s->info.tail) make_unread(t);
    else if (input && !reads_embedding(s)) make_unread(t);
    if (!s->info.head && starts_with(t->name, "position_embd.") && (s->quirks->fixups & MODEL_FIX_POSITION)) {
        uint32_t type = t->type;
        make_unread(t);
        t->type = type;
        t->unread = false; /* zeros */
        t->bytes = model_type_bytes(type, t->ne[0] * t->ne[1]);
    }
}

/* Has the slice a layer that looks at token ids (model_entry.ids)? */
static bool looks_at_ids(const struct model_slice *s) {
    const struct model_entry *entry = model_quirks_entry(s->l);
    if (!entry || entry->ids[0] == '*') return entry != NULL;
    for (uint32_t i = s->info.first; i < s->info.end && entry->ids[0]; i++)
        if (model_layer_tensor(s->l, i, entry->ids)) return true;
    return false;
}

/* The embedding that layers look up by token ids. Slices without such a layer don't have it. */
static bool is_foreign_table(const struct model_slice *s, const char *name) {
    return starts_with(name, "per_layer_token_embd.") && model_quirks_entry(s->l) && !looks_at_ids(s);
}

/* Fills in t for the original's tensor; false: the slice doesn't need it. */
static bool take_tensor(const struct model_slice *s, const struct model_tensor *source, struct slice_tensor *t) {
    const char *rest = source->name;
    int32_t layer = model_layer_of_name(source->name, &rest);
    if (s->take) return s->take(s, source, t);
    *t = (struct slice_tensor){.source = source, .type = source->type, .n_dims = source->n_dims, .bytes = source->bytes};
    memcpy(t->ne, source->ne, sizeof(t->ne));
    if (layer < 0 || s->info.whole) {
        if (!s->info.whole && is_foreign_table(s, source->name)) return false;
        snprintf(t->name, sizeof(t->name), "%s", source->name);
        if (!s->info.whole) fit_table(s, t);
        return true;
    }
    if (layer == 0 && s->info.n_lead > 0) {
        make_lead(t, rest);
        return true;
    }
    if ((uint32_t)layer < s->info.first || (uint32_t)layer >= slice_block_end(s)) return false;
    snprintf(t->name, sizeof(t->name), "blk.%" PRIu32 ".%s", (uint32_t)layer - s->info.first + s->info.n_lead, rest);
    return true;
}

static void choose_tensors(struct model_slice *s) {
    size_t total = model_gguf_n_tensors(s->g);
    uint64_t alignment = slice_alignment(s->g), offset = 0;
    s->tensor = mem_calloc(total + 1, sizeof(*s->tensor));
    for (size_t i = 0; i < total; i++) {
        struct slice_tensor *t = &s->tensor[s->n_tensors];
        if (!take_tensor(s, model_gguf_tensor(s->g, i), t)) continue;
        t->offset = offset;
        offset += (t->bytes + alignment - 1) / alignment * alignment;
        s->n_tensors++;
        if (t->source) s->info.bytes_weights += t->bytes;
        else s->info.bytes_made += t->bytes;
    }
    s->info.file_size = offset; /* without the header, which isn't written yet */
}

static void lay_out(struct model_slice *s) {
    s->segment = mem_calloc((size_t)s->n_tensors + 1, sizeof(*s->segment));
    s->segment[s->n_segments++] = (struct slice_segment){.at = 0, .len = s->header.len, .memory = s->header.data};
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct slice_tensor *t = &s->tensor[i];
        const struct model_tensor *from = t->source;
        if (!from && !t->unread) continue;
        s->segment[s->n_segments++] = (struct slice_segment){.at = s->header.len + t->offset,
                                                             .len = t->bytes,
                                                             .unread = t->unread,
                                                             .part = from ? from->part : 0,
                                                             .offset = from ? from->offset : 0};
    }
    s->info.file_size += s->header.len;
}

/* The whole model of one file: the file itself. */
static void pass_through(struct model_slice *s) {
    s->info.file_size = model_gguf_file_size(s->g, 0);
    s->info.bytes_weights = s->l->bytes_total;
    s->segment = mem_calloc(1, sizeof(*s->segment));
    s->segment[s->n_segments++] = (struct slice_segment){.at = 0, .len = s->info.file_size};
}

static int by_place(const void *a, const void *b) {
    const struct model_range *x = a, *y = b;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Joins ranges that are separated by padding only. */
static void collect_ranges(struct model_slice *s) {
    uint64_t gap = slice_alignment(s->g);
    s->range = mem_calloc(model_gguf_n_tensors(s->g) + 1, sizeof(*s->range));
    uint32_t n = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(s->g); i++) {
        struct slice_tensor t;
        const struct model_tensor *source = model_gguf_tensor(s->g, i);
        if (take_tensor(s, source, &t) && t.source) s->range[n++] = (struct model_range){source->part, source->offset, source->bytes};
    }
    qsort(s->range, n, sizeof(*s->range), by_place);
    for (uint32_t i = 0; i < n; i++) {
        struct model_range *last = s->n_ranges ? &s->range[s->n_ranges - 1] : NULL;
        if (last && last->part == s->range[i].part && s->range[i].offset < last->offset + last->len + gap)
            last->len = s->range[i].offset + s->range[i].len - last->offset;
        else s->range[s->n_ranges++] = s->range[i];
    }
}

static void describe_entry(struct model_slice *s) {
    struct model_slice_info *info = &s->info;
    const struct model_entry *entry = model_quirks_entry(s->l);
    info->ids = info->head || looks_at_ids(s);
    info->no_embeddings = entry && entry->streams != 1;
    info->injects = entry != NULL;
    if (entry && entry->carry[0] && !(info->head && info->tail)) {
        snprintf(info->carry, sizeof(info->carry), "blk.0.%s", entry->carry);
        info->n_carried = model_quirks_carried(s->l);
    }
    if (!entry || info->head) return;
    snprintf(info->in_tensor, sizeof(info->in_tensor), "%s", entry->tensor);
    snprintf(info->restore_after, sizeof(info->restore_after), "%s", entry->restore);
}

static void describe_result(struct model_slice_info *info, const char *out) {
    size_t len = strlen(out);
    uint32_t last = info->end - info->first - 1 + info->n_lead;
    const char *op = strchr(out, '>');
    if (op) {
        snprintf(info->out_tensor, sizeof(info->out_tensor), "blk.%" PRIu32 ".%.*s", last, (int)(op - out), out);
        snprintf(info->out_op, sizeof(info->out_op), "%s", op + 1);
    } else if (len && out[len - 1] == '-') snprintf(info->out_tensor, sizeof(info->out_tensor), "%s%" PRIu32, out, last);
    else snprintf(info->out_tensor, sizeof(info->out_tensor), "%s", out);
}

static void describe(struct model_slice *s, uint32_t first, uint32_t end) {
    struct model_slice_info *info = &s->info;
    info->first = first;
    info->end = end;
    info->n_layer = s->l->n_layer;
    info->scale = first == 0 && end == s->l->n_layer ? NULL : model_quirks_scale(s->l);
    info->head = first == 0;
    info->tail = end == s->l->n_layer;
    info->whole = info->head && info->tail && !s->l->shortened;
    info->n_lead = model_quirks_lead(s->l, first);
    info->n_mtp = s->l->keeps_mtp ? 1 : 0;
    info->n_hidden_in = info->head ? 0 : model_quirks_width(s->l);
    info->n_hidden_out = info->tail ? 0 : model_quirks_width(s->l);
    info->keeps_state = (s->quirks->fixups & MODEL_FIX_STATE) != 0;
    info->kv_pool = (s->quirks->fixups & MODEL_FIX_POOL) != 0;
    info->all_outputs = info->tail && (s->quirks->fixups & MODEL_FIX_OUTPUTS) != 0;
    info->input_scale = 1.0f;
    if (!info->head && (s->quirks->fixups & MODEL_FIX_SQRT_SCALE)) info->input_scale = 1.0f / sqrtf((float)s->l->n_embd);
    describe_entry(s);
    if (!info->tail) describe_result(info, s->quirks->out);
}

/* Makes the virtual file of what s describes. Frees s if that fails. */
static err_code finish(struct model_slice *s, struct model_slice **ret_s, struct err *e) {
    err_code code = ERR_OK;
    if (s->info.whole && !s->take && model_gguf_n_parts(s->g) == 1) pass_through(s);
    else {
        choose_tensors(s);
        code = slice_write_header(s, e);
        if (!code) lay_out(s);
    }
    if (code) {
        model_slice_free(s);
        return code;
    }
    collect_ranges(s);
    *ret_s = s;
    return ERR_OK;
}

err_code slice_create_adapter(const struct model_gguf *adapter, const struct model_layout *l, uint32_t first, uint32_t end,
                              slice_take_fn take, struct model_slice **ret_s, struct err *e) {
    struct model_slice *s = MEM_NEW(struct model_slice);
    s->g = adapter;
    s->l = l;
    s->quirks = model_quirks_find(l);
    s->take = take;
    s->info = (struct model_slice_info){.first = first, .end = end, .n_layer = l->n_layer, .whole = true}; /* its header stays as it is */
    s->info.n_lead = model_quirks_lead(l, first);
    buf_init(&s->header, (size_t)1 << 30);
    return finish(s, ret_s, e);
}

err_code model_slice_create_forced(const struct model_gguf *g, const struct model_layout *l, uint32_t first, uint32_t end,
                                   struct model_slice **ret_s, struct err *e) {
    if (first >= end || end > l->n_layer)
        return err_set(e, ERR_INVALID, "cannot cut layers %" PRIu32 "-%" PRIu32 " from a model of %" PRIu32 " layers", first,
                       end ? end - 1 : 0, l->n_layer);
    struct model_slice *s = MEM_NEW(struct model_slice);
    s->g = g;
    s->l = l;
    s->quirks = model_quirks_find(l);
    buf_init(&s->header, (size_t)1 << 30);
    describe(s, first, end);
    return finish(s, ret_s, e);
}

err_code model_slice_create(const struct model_gguf *g, const struct model_layout *l, uint32_t first, uint32_t end,
                            struct model_slice **ret_s, struct err *e) {
    err_code code = model_quirks_check(l, first, end, e);
    return code ? code : model_slice_create_forced(g, l, first, end, ret_s, e);
}

void model_slice_free(struct model_slice *s) {
    if (!s) return;
    buf_done(&s->header);
    free(s->tensor);
    free(s->segment);
    free(s->range);
    free(s);
}

const struct model_slice_info *model_slice_info(const struct model_slice *s) { return &s->info; }
uint32_t model_slice_n_ranges(const struct model_slice *s) { return s->n_ranges; }
const struct model_range *model_slice_range(const struct model_slice *s, uint32_t i) { return &s->range[i]; }
