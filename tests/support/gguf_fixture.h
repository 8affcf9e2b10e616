/* SPDX-License-Identifier: MIT
 * Small GGUF models made in memory: metadata and tensors as a test lists them; each byte of data tells its tensor and place. */
#ifndef CARAVAN_TESTS_GGUF_FIXTURE_H
#define CARAVAN_TESTS_GGUF_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"

enum { FIXTURE_MAX_TENSORS = 256 };

struct gguf_fixture {
    struct buf file;           /* the whole file, once closed */
    struct model_writer w;
    struct {
        char name[80];
        uint32_t type, n_dims;
        uint64_t ne[4], bytes;
    } tensor[FIXTURE_MAX_TENSORS];
    size_t n_tensors;
};

static inline void gguf_fixture_open(struct gguf_fixture *f, const char *arch) {
    memset(f, 0, sizeof(*f));
    buf_init(&f->file, (size_t)1 << 24);
    model_write_start(&f->w, &f->file);
    if (arch) model_write_str(&f->w, "general.architecture", arch);
}

static inline void gguf_fixture_tensor(struct gguf_fixture *f, const char *name, uint32_t type, uint32_t n_dims, uint64_t ne0,
                                       uint64_t ne1) {
    uint64_t ne[4] = {ne0, ne1, 1, 1};
    snprintf(f->tensor[f->n_tensors].name, sizeof(f->tensor[0].name), "%s", name);
    f->tensor[f->n_tensors].type = type;
    f->tensor[f->n_tensors].n_dims = n_dims;
    memcpy(f->tensor[f->n_tensors].ne, ne, sizeof(ne));
    f->tensor[f->n_tensors++].bytes = model_type_bytes(type, ne0 * ne1);
}

/* The byte at place i of tensor t's data. */
static inline uint8_t gguf_fixture_byte(size_t t, uint64_t i) { return (uint8_t)(t * 31 + i * 7 + 1); }

/* Writes tensor infos and data. */
static inline void gguf_fixture_close(struct gguf_fixture *f) {
    uint64_t offset = 0;
    for (size_t i = 0; i < f->n_tensors; i++) {
        model_write_tensor(&f->w, f->tensor[i].name, f->tensor[i].type, f->tensor[i].n_dims, f->tensor[i].ne, offset);
        offset += (f->tensor[i].bytes + 31) / 32 * 32;
    }
    model_write_end(&f->w, 32);
    for (size_t i = 0; i < f->n_tensors; i++) {
        for (uint64_t b = 0; b < f->tensor[i].bytes; b++) buf_append_byte(&f->file, gguf_fixture_byte(i, b));
        while (f->file.len % 32) buf_append_byte(&f->file, 0);
    }
}

static inline void gguf_fixture_key(char *key, size_t size, const char *arch, const char *suffix) {
    snprintf(key, size, "%s.%s", arch, suffix);
}

static inline void gguf_fixture_u32(struct gguf_fixture *f, const char *arch, const char *suffix, uint32_t v) {
    char key[128];
    gguf_fixture_key(key, sizeof(key), arch, suffix);
    model_write_u32(&f->w, key, v);
}

/* A llama-like model: n_layer layers of three tensors, width 128, 40 tokens, heads 4 (2 for K and V), and a list with an entry per layer.
 */
static inline void gguf_fixture_llama(struct gguf_fixture *f, const char *arch, uint32_t n_layer, bool tied) {
    static const char *const parts[] = {"attn_q", "attn_k", "ffn_down"};
    char name[80];
    gguf_fixture_open(f, arch);
    gguf_fixture_u32(f, arch, "block_count", n_layer);
    gguf_fixture_u32(f, arch, "embedding_length", 128);
    gguf_fixture_u32(f, arch, "context_length", 512);
    gguf_fixture_u32(f, arch, "feed_forward_length", 256);
    gguf_fixture_u32(f, arch, "attention.head_count", 4);
    gguf_fixture_u32(f, arch, "vocab_size", 40);
    gguf_fixture_u32(f, arch, "leading_dense_block_count", 3);
    gguf_fixture_key(name, sizeof(name), arch, "attention.head_count_kv");
    model_write_array(&f->w, name, MODEL_KV_U32, n_layer);
    for (uint32_t i = 0; i < n_layer; i++) model_write_raw(&f->w, (uint8_t[4]){2}, 4);
    gguf_fixture_key(name, sizeof(name), arch, "some.list");
    model_write_array(&f->w, name, MODEL_KV_U32, n_layer);
    for (uint32_t i = 0; i < n_layer; i++) model_write_raw(&f->w, (uint8_t[4]){(uint8_t)(10 + i)}, 4);
    gguf_fixture_key(name, sizeof(name), arch, "rope.dimension_sections");
    model_write_array(&f->w, name, MODEL_KV_I32, n_layer);
    for (uint32_t i = 0; i < n_layer; i++) model_write_raw(&f->w, (uint8_t[4]){(uint8_t)(20 + i)}, 4);
    model_write_str(&f->w, "tokenizer.ggml.model", "gpt2");
    gguf_fixture_tensor(f, "token_embd.weight", MODEL_TYPE_F32, 2, 128, 40);
    if (!tied) gguf_fixture_tensor(f, "output.weight", MODEL_TYPE_Q8_0, 2, 128, 40);
    gguf_fixture_tensor(f, "output_norm.weight", MODEL_TYPE_F32, 1, 128, 1);
    for (uint32_t i = 0; i < n_layer; i++)
        for (size_t k = 0; k < ARRAY_LEN(parts); k++) {
            snprintf(name, sizeof(name), "blk.%u.%s.weight", i, parts[k]);
            gguf_fixture_tensor(f, name, k == 2 ? MODEL_TYPE_Q4_0 : MODEL_TYPE_F16, 2, 128, 32);
        }
}

#endif
