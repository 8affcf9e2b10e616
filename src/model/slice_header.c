/* SPDX-License-Identifier: MIT
 * The metadata of a slice: a copy of the model's, in which lists and counts of layers are cut down to [first, end). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "model/slice_priv.h"
#include "model/write.h"

/* Lists that have nothing to do with layers, even if their length is the same. */
static bool is_other_list(const char *name) {
    static const char *const names[] = {"rope.dimension_sections", "classifier.output_labels", "rope.scaling.short_factor",
                                        "rope.scaling.long_factor"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* Is it a list with one entry for each layer (or more)? */
static bool is_layer_list(const struct model_layout *l, const struct model_kv *kv, const char *name) {
    if (kv->type != MODEL_KV_ARRAY || model_kv_scalar_size(kv->elem) == 0 || kv->n < l->n_layer) return false;
    if (strncmp(kv->key, "xielu.", 6) == 0) return true;
    return name && !is_other_list(name) && (kv->n == l->n_block || kv->n == l->n_layer || strcmp(name, "deepstack_mapping") == 0);
}

/* The part of a key after "<arch>."; NULL for keys of no architecture. */
static const char *arch_name(const struct model_slice *s, const char *key) {
    size_t len = strlen(s->l->arch);
    return strncmp(key, s->l->arch, len) == 0 && key[len] == '.' ? key + len + 1 : NULL;
}

/* Counts of the first layers, which are of another kind. */
static bool is_leading_count(const char *name) {
    return strcmp(name, "leading_dense_block_count") == 0 || strcmp(name, "hash_layer_count") == 0;
}

/* A list of layers' numbers: those of the slice, counted from its first. */
static void put_layer_numbers(const struct model_slice *s, struct model_writer *w, const struct model_kv *kv) {
    uint64_t n = 0, v;
    for (uint64_t i = 0; i < kv->n; i++) n += model_kv_uint(kv, i, &v) && v >= s->info.first && v < s->info.end;
    model_write_array(w, kv->key, MODEL_KV_U32, n);
    for (uint64_t i = 0; i < kv->n; i++) {
        if (!model_kv_uint(kv, i, &v) || v < s->info.first || v >= s->info.end) continue;
        uint8_t bytes[4];
        bytes_put_u32(bytes, (uint32_t)v - s->info.first + s->info.n_lead);
        model_write_raw(w, bytes, sizeof(bytes));
    }
}

/* Writes the slice's version of an entry "<arch>.<name>" that is not a list; false: the slice takes the model's entry. */
static bool put_arch_entry(const struct model_slice *s, struct model_writer *w, const struct model_kv *kv, const char *name) {
    uint32_t first = s->info.first;
    uint64_t v;
    uint32_t lead = s->info.n_lead;
    if (strcmp(name, "block_count") == 0) model_write_u32(w, kv->key, slice_block_end(s) - first + lead);
    else if (strcmp(name, "nextn_predict_layers") == 0) model_write_u32(w, kv->key, slice_block_end(s) - s->info.end);
    else if (is_leading_count(name) && model_kv_uint(kv, 0, &v))
        model_write_u32(w, kv->key, v > first ? (uint32_t)v - first + lead : v > 0 ? lead : 0);
    else if (strcmp(name, "n_deepstack_layers") == 0 && !s->info.head) model_write_u32(w, kv->key, 0); /* they add to rows of images */
    else if (strcmp(name, "embedding_scale") == 0 && !s->info.head && (s->quirks->fixups & MODEL_FIX_EMBD_SCALE))
        model_write_f32(w, kv->key, 1.0f);
    else return false;
    return true;
}

/* The largest number of a list; 0 if there is none. */
static uint64_t largest(const struct model_kv *kv) {
    uint64_t most = 0, v;
    for (uint64_t i = 0; i < kv->n; i++)
        if (model_kv_uint(kv, i, &v) && v > most) most = v;
    return most;
}

static bool has_zero(const struct model_kv *kv) {
    uint64_t v;
    for (uint64_t i = 0; i < kv->n; i++)
        if (model_kv_uint(kv, i, &v) && v == 0) return true;
    return false;
}

static void put_layer_list(const struct model_slice *s, struct model_writer *w, const struct model_kv *kv, const char *name) {
    uint32_t n = (kv->n == s->l->n_block ? slice_block_end(s) : s->info.end) - s->info.first;
    if ((s->quirks->fixups & MODEL_FIX_HEADS) && name && strcmp(name, "attention.head_count") == 0 && has_zero(kv))
        model_write_u32(w, kv->key, (uint32_t)largest(kv));
    else if (s->info.n_lead > 0) { /* that is a copy of the model's first layer */ size_t size = model_kv_scalar_size(kv->elem);
        model_write_array(w, kv->key, kv->elem, n + 1);
        model_write_raw(w, kv->data, size);
        model_write_raw(w, kv->data + s->info.first * size, n * size);
    } else model_write_kv(w, kv, s->info.first, n);
}

/* Writes the entries that the model leaves to defaults and whose defaults are wrong for the slice. */
static void put_defaults(const struct model_slice *s, struct model_writer *w) {
    char key[MODEL_MAX_ARCH + 32];
    if (s->info.whole) return;
    if (!s->info.head && (s->quirks->fixups & MODEL_FIX_EMBD_SCALE) && !model_gguf_find_arch(s->g, "embedding_scale")) {
        snprintf(key, sizeof(key), "%s.embedding_scale", s->l->arch);
        model_write_f32(w, key, 1.0f);
    }
    if ((s->quirks->fixups & MODEL_FIX_RESIDUAL) && !model_gguf_find_arch(s->g, "residual_scale")) {
        snprintf(key, sizeof(key), "%s.residual_scale", s->l->arch);
        model_write_f32(w, key, 1.4f / sqrtf((float)s->l->n_layer));
    }
    if (slice_has_small_vocab(s)) {
        snprintf(key, sizeof(key), "%s.vocab_size", s->l->arch);
        model_write_u32(w, key, SLICE_SMALL_VOCAB);
        model_write_str(w, "tokenizer.ggml.model", "no_vocab");
    }
}

static void put_entry(const struct model_slice *s, struct model_writer *w, const struct model_kv *kv) {
    const char *name = arch_name(s, kv->key);
    if (strncmp(kv->key, "split.", 6) == 0) return;
    if (s->info.whole) model_write_kv(w, kv, 0, kv->n);
    else if (slice_has_small_vocab(s) && (strncmp(kv->key, "tokenizer.", 10) == 0 || (name && strcmp(name, "vocab_size") == 0))) return;
    else if (name && strcmp(name, "ple.layers") == 0 && kv->type == MODEL_KV_ARRAY) put_layer_numbers(s, w, kv);
    else if (is_layer_list(s->l, kv, name)) put_layer_list(s, w, kv, name);
    else if (!name || !put_arch_entry(s, w, kv, name)) model_write_kv(w, kv, 0, kv->n);
}

uint64_t slice_alignment(const struct model_gguf *g) {
    uint64_t alignment = 32;
    model_kv_uint(model_gguf_find(g, "general.alignment"), 0, &alignment);
    return alignment;
}

err_code slice_write_header(struct model_slice *s, struct err *e) {
    struct model_writer w;
    model_write_start(&w, &s->header);
    for (size_t i = 0; i < model_gguf_n_kv(s->g); i++) put_entry(s, &w, model_gguf_kv(s->g, i));
    put_defaults(s, &w);
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct slice_tensor *t = &s->tensor[i];
        model_write_tensor(&w, t->name, t->type, t->n_dims, t->ne, t->offset);
    }
    model_write_end(&w, slice_alignment(s->g));
    if (s->header.failed)
        return err_set(e, ERR_MEMORY, "cannot write the header of a slice of \"%s\": more than %zu bytes", model_gguf_path(s->g, 0),
                       s->header.max);
    return ERR_OK;
}
