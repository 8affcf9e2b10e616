/* SPDX-License-Identifier: MIT
 * The metadata of a slice: the model's own, with what counts or lists layers cut down to [first, end). */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/slice_priv.h"

static const size_t max_header = (size_t)1 << 30;

static void put_u32(struct buf *b, uint32_t v) {
    uint8_t bytes[4];
    bytes_put_u32(bytes, v);
    buf_append(b, bytes, sizeof bytes);
}

static void put_u64(struct buf *b, uint64_t v) {
    uint8_t bytes[8];
    bytes_put_u64(bytes, v);
    buf_append(b, bytes, sizeof bytes);
}

static void put_str(struct buf *b, const char *s) {
    put_u64(b, strlen(s));
    buf_append_str(b, s);
}

static void put_kv_u32(struct buf *b, const char *key, uint32_t v) {
    put_str(b, key);
    put_u32(b, MODEL_KV_U32);
    put_u32(b, v);
}

static void put_kv_f32(struct buf *b, const char *key, float v) {
    uint8_t bytes[4];
    bytes_put_f32(bytes, v);
    put_str(b, key);
    put_u32(b, MODEL_KV_F32);
    buf_append(b, bytes, sizeof bytes);
}

/* Elements [skip, skip + n) of an entry that is an array of scalars; all of it otherwise. */
static void put_kv(struct buf *b, const struct model_kv *kv, uint64_t skip, uint64_t n) {
    put_str(b, kv->key);
    put_u32(b, (uint32_t)kv->type);
    size_t size = model_kv_scalar_size(kv->elem);
    if (kv->type != MODEL_KV_ARRAY || size == 0) {
        skip = 0;
        n = kv->n;
    }
    if (kv->type == MODEL_KV_ARRAY) {
        put_u32(b, (uint32_t)kv->elem);
        put_u64(b, n);
    }
    if (size == 0) buf_append(b, kv->data, kv->size);
    else buf_append(b, kv->data + skip * size, n * size);
}

/* Lists that have nothing to do with layers, even when they are as long. */
static bool is_other_list(const char *name) {
    static const char *const names[] = {"rope.dimension_sections", "classifier.output_labels", "rope.scaling.short_factor", "rope.scaling.long_factor"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* Is it a list with an entry for each layer (and maybe more)? */
static bool is_layer_list(const struct model_layout *l, const struct model_kv *kv, const char *name) {
    if (kv->type != MODEL_KV_ARRAY || model_kv_scalar_size(kv->elem) == 0 || kv->n < l->n_layer) return false;
    if (strncmp(kv->key, "xielu.", 6) == 0) return true;
    return name && !is_other_list(name) && (kv->n == l->n_block || kv->n == l->n_layer || strcmp(name, "deepstack_mapping") == 0);
}

/* The part of a key behind "<arch>."; NULL for keys of no architecture. */
static const char *arch_name(const struct model_slice *s, const char *key) {
    size_t len = strlen(s->l->arch);
    return strncmp(key, s->l->arch, len) == 0 && key[len] == '.' ? key + len + 1 : NULL;
}

/* Writes the slice's version of an entry; false: the slice goes without it. */
static bool put_entry(struct model_slice *s, const struct model_kv *kv) {
    struct buf *b = &s->header;
    const char *name = arch_name(s, kv->key);
    uint32_t first = s->info.first, n = s->info.end - s->info.first;
    uint64_t v;
    if (strncmp(kv->key, "split.", 6) == 0) return false;
    if (s->info.whole) put_kv(b, kv, 0, kv->n);
    else if (slice_is_middle(s) && (strncmp(kv->key, "tokenizer.", 10) == 0 || (name && strcmp(name, "vocab_size") == 0))) return false;
    else if (is_layer_list(s->l, kv, name)) put_kv(b, kv, first, n);
    else if (name && strcmp(name, "block_count") == 0) put_kv_u32(b, kv->key, n);
    else if (name && strcmp(name, "leading_dense_block_count") == 0 && model_kv_uint(kv, 0, &v)) put_kv_u32(b, kv->key, v > first ? (uint32_t)v - first : 0);
    else if (name && strcmp(name, "nextn_predict_layers") == 0) put_kv_u32(b, kv->key, 0);
    else if (name && strcmp(name, "embedding_scale") == 0 && !s->info.head && (s->quirks->fixups & MODEL_FIX_EMBD_SCALE)) put_kv_f32(b, kv->key, 1.0f);
    else put_kv(b, kv, 0, kv->n);
    return true;
}

static uint64_t put_metadata(struct model_slice *s) {
    uint64_t n = 0;
    for (size_t i = 0; i < model_gguf_n_kv(s->g); i++) n += put_entry(s, model_gguf_kv(s->g, i));
    if (slice_is_middle(s)) {
        char key[MODEL_MAX_ARCH + 16];
        snprintf(key, sizeof key, "%s.vocab_size", s->l->arch);
        put_kv_u32(&s->header, key, SLICE_SMALL_VOCAB);
        put_str(&s->header, "tokenizer.ggml.model");
        put_u32(&s->header, MODEL_KV_STR);
        put_str(&s->header, "no_vocab");
        n += 2;
    }
    return n;
}

uint64_t slice_alignment(const struct model_gguf *g) {
    uint64_t alignment = 32;
    model_kv_uint(model_gguf_find(g, "general.alignment"), 0, &alignment);
    return alignment;
}

err_code slice_write_header(struct model_slice *s, struct err *e) {
    struct buf *b = &s->header;
    buf_append(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, s->n_tensors);
    size_t count_at = b->len;
    put_u64(b, 0);
    uint64_t n_kv = put_metadata(s);
    for (uint32_t i = 0; i < s->n_tensors; i++) {
        const struct slice_tensor *t = &s->tensor[i];
        put_str(b, t->name);
        put_u32(b, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++) put_u64(b, t->ne[d]);
        put_u32(b, t->type);
        put_u64(b, t->offset);
    }
    uint64_t alignment = slice_alignment(s->g);
    while (!b->failed && b->len % alignment) buf_append_byte(b, 0);
    if (b->failed) return err_set(e, ERR_MEMORY, "cannot write the header of a slice of \"%s\": more than %zu bytes", model_gguf_path(s->g, 0), max_header);
    bytes_put_u64(b->data + count_at, n_kv);
    return ERR_OK;
}
