/* SPDX-License-Identifier: MIT */
#include "model/write.h"

#include <string.h>

#include "base/bytes.h"

enum { AT_TENSORS = 8, AT_KV = 16 }; /* the places of the counts */

static void put_u32(struct model_writer *w, uint32_t v) {
    uint8_t bytes[4];
    bytes_put_u32(bytes, v);
    buf_append(w->out, bytes, sizeof(bytes));
}

static void put_u64(struct model_writer *w, uint64_t v) {
    uint8_t bytes[8];
    bytes_put_u64(bytes, v);
    buf_append(w->out, bytes, sizeof(bytes));
}

static void put_key(struct model_writer *w, const char *key, enum model_kv_type type) {
    model_write_element(w, key, strlen(key));
    put_u32(w, (uint32_t)type);
    w->n_kv++;
}

void model_write_start(struct model_writer *w, struct buf *out) {
    *w = (struct model_writer){.out = out, .start = out->len};
    buf_append(out, "GGUF", 4);
    put_u32(w, 3);
    put_u64(w, 0);
    put_u64(w, 0);
}

void model_write_u32(struct model_writer *w, const char *key, uint32_t v) {
    put_key(w, key, MODEL_KV_U32);
    put_u32(w, v);
}

void model_write_f32(struct model_writer *w, const char *key, float v) {
    uint8_t bytes[4];
    bytes_put_f32(bytes, v);
    put_key(w, key, MODEL_KV_F32);
    buf_append(w->out, bytes, sizeof(bytes));
}

void model_write_bool(struct model_writer *w, const char *key, int v) {
    put_key(w, key, MODEL_KV_BOOL);
    buf_append_byte(w->out, v != 0);
}

void model_write_str(struct model_writer *w, const char *key, const char *s) {
    put_key(w, key, MODEL_KV_STR);
    model_write_element(w, s, strlen(s));
}

void model_write_kv(struct model_writer *w, const struct model_kv *kv, uint64_t skip, uint64_t n) {
    size_t size = model_kv_scalar_size(kv->elem);
    if (kv->type != MODEL_KV_ARRAY) {
        put_key(w, kv->key, kv->type);
        buf_append(w->out, kv->data, kv->size);
    } else if (size == 0) {
        model_write_array(w, kv->key, kv->elem, kv->n);
        buf_append(w->out, kv->data, kv->size);
    } else {
        model_write_array(w, kv->key, kv->elem, n);
        buf_append(w->out, kv->data + skip * size, n * size);
    }
}

void model_write_array(struct model_writer *w, const char *key, enum model_kv_type elem, uint64_t n) {
    put_key(w, key, MODEL_KV_ARRAY);
    put_u32(w, (uint32_t)elem);
    put_u64(w, n);
}

void model_write_raw(struct model_writer *w, const void *data, size_t len) { buf_append(w->out, data, len); }

void model_write_element(struct model_writer *w, const char *s, size_t len) {
    put_u64(w, len);
    buf_append(w->out, s, len);
}

void model_write_tensor(struct model_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *ne, uint64_t offset) {
    model_write_element(w, name, strlen(name));
    put_u32(w, n_dims);
    for (uint32_t d = 0; d < n_dims; d++) put_u64(w, ne[d]);
    put_u32(w, type);
    put_u64(w, offset);
    w->n_tensors++;
}

void model_write_end(struct model_writer *w, uint64_t alignment) {
    struct buf *b = w->out;
    while (!b->failed && (b->len - w->start) % alignment) buf_append_byte(b, 0);
    if (b->failed) return;
    bytes_put_u64(b->data + w->start + AT_TENSORS, w->n_tensors);
    bytes_put_u64(b->data + w->start + AT_KV, w->n_kv);
}
