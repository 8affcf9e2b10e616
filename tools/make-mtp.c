/* SPDX-License-Identifier: MIT
 * make-mtp --model DEMO --layer LAYER --out FILE: the demo model with a layer for multi-token prediction (tools/demo-model/train_mtp.py),
 * for tests and benchmarks. Such layers are not part of the architecture "llama". "mimo2" computes the same if its queries, keys and
 * values are one tensor, rotary pairs stand half a head apart, and its windows are longer than the context. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/layout.h"
#include "model/types.h"
#include "model/write.h"

enum { ALIGNMENT = 32, MAX_FILE = 1 << 30, WINDOW = 65536 };

/* A GGUF file with its bytes. */
struct source {
    struct model_gguf *g;
    struct buf bytes;
};

struct maker {
    struct source model, layer;
    uint64_t head;               /* numbers in an attention head */
    struct buf data, header;     /* of the new file */
    struct model_writer w;
};

static err_code source_open(struct source *s, const char *path, struct err *e) {
    buf_init(&s->bytes, MAX_FILE);
    err_code code = model_gguf_open(path, &s->g, e);
    FILE *f = code == ERR_OK ? fopen(path, "rb") : NULL;
    if (code == ERR_OK && f == NULL) code = err_set(e, ERR_IO, "cannot read \"%s\"", path);
    char block[1 << 16];
    for (size_t n; f != NULL && (n = fread(block, 1, sizeof(block), f)) > 0;) buf_append(&s->bytes, block, n);
    if (f != NULL) fclose(f);
    return code;
}

static const uint8_t *bytes_of(const struct source *s, const struct model_tensor *t) { return s->bytes.data + t->offset; }

/* ---- metadata ---- */

static void put_fields(struct maker *m, uint32_t n_layer) {
    struct model_writer *w = &m->w;
    for (size_t i = 0; i < model_gguf_n_kv(m->model.g); i++) {
        struct model_kv kv = *model_gguf_kv(m->model.g, i);
        char key[128];
        if (strcmp(kv.key, "general.architecture") == 0 || strcmp(kv.key, "llama.block_count") == 0) continue;
        if (strncmp(kv.key, "llama.", 6) == 0) {
            snprintf(key, sizeof(key), "mimo2.%s", kv.key + 6);
            kv.key = key;
        }
        model_write_kv(w, &kv, 0, kv.n);
    }
    model_write_str(w, "general.architecture", "mimo2");
    model_write_u32(w, "mimo2.block_count", n_layer + 1);
    model_write_u32(w, "mimo2.nextn_predict_layers", 1);
    model_write_u32(w, "mimo2.attention.key_length", (uint32_t)m->head);
    model_write_u32(w, "mimo2.attention.value_length", (uint32_t)m->head);
    model_write_u32(w, "mimo2.attention.sliding_window", WINDOW);
    model_write_f32(w, "mimo2.rope.freq_base_swa", 10000);
    model_write_u32(w, "mimo2.expert_feed_forward_length", 0);
    model_write_array(w, "mimo2.attention.sliding_window_pattern", MODEL_KV_U32, n_layer);
    for (uint32_t i = 0; i < n_layer; i++) {
        uint8_t one[4];
        bytes_put_u32(one, 1);
        model_write_raw(w, one, sizeof(one));
    }
}

/* ---- tensors ---- */

/* Names a tensor of the new file; its bytes follow. */
static void begin_tensor(struct maker *m, const char *name, const struct model_tensor *like, uint64_t rows) {
    uint64_t ne[MODEL_MAX_DIMS] = {like->ne[0], rows, 1, 1};
    while (m->data.len % ALIGNMENT != 0) buf_append_byte(&m->data, 0);
    model_write_tensor(&m->w, name, like->type, like->n_dims, ne, m->data.len);
}

/* Rows of a matrix of heads, whose rotary pairs are neighbours: now they stand half a head apart. */
static void put_turned(struct maker *m, const struct source *s, const struct model_tensor *t) {
    size_t row = t->bytes / t->ne[1];
    for (uint64_t i = 0; i < t->ne[1]; i++) {
        uint64_t at = i % m->head, half = m->head / 2, from = at < half ? 2 * at : 2 * (at - half) + 1;
        buf_append(&m->data, bytes_of(s, t) + (i - at + from) * row, row);
    }
}

/* Queries, keys and values as one tensor. q: that of the queries. */
static void put_qkv(struct maker *m, const struct source *s, int32_t layer, const struct model_tensor *q) {
    char name[64];
    snprintf(name, sizeof(name), "blk.%" PRIi32 ".attn_k.weight", layer);
    const struct model_tensor *k = model_gguf_find_tensor(s->g, name);
    snprintf(name, sizeof(name), "blk.%" PRIi32 ".attn_v.weight", layer);
    const struct model_tensor *v = model_gguf_find_tensor(s->g, name);
    if (k == NULL || v == NULL) return;
    snprintf(name, sizeof(name), "blk.%" PRIi32 ".attn_qkv.weight", layer);
    begin_tensor(m, name, q, q->ne[1] + k->ne[1] + v->ne[1]);
    put_turned(m, s, q);
    put_turned(m, s, k);
    buf_append(&m->data, bytes_of(s, v), v->bytes);
}

static void put_tensors(struct maker *m, const struct source *s) {
    for (size_t i = 0; i < model_gguf_n_tensors(s->g); i++) {
        const struct model_tensor *t = model_gguf_tensor(s->g, i);
        const char *rest = t->name;
        int32_t layer = model_layer_of_name(t->name, &rest);
        bool attention = layer >= 0 && strncmp(rest, "attn_", 5) == 0;
        if (attention && (strncmp(rest, "attn_k.", 7) == 0 || strncmp(rest, "attn_v.", 7) == 0)) continue;
        if (attention && strncmp(rest, "attn_q.", 7) == 0) {
            put_qkv(m, s, layer, t);
            continue;
        }
        begin_tensor(m, t->name, t, t->ne[1]);
        buf_append(&m->data, bytes_of(s, t), t->bytes);
    }
}

/* ---- the file ---- */

static err_code write_file(const struct maker *m, const char *path, struct err *e) {
    FILE *f = fopen(path, "wb");
    bool ok = f != NULL && !m->header.failed && !m->data.failed && fwrite(m->header.data, 1, m->header.len, f) == m->header.len &&
              fwrite(m->data.data, 1, m->data.len, f) == m->data.len;
    if (f != NULL) ok = fclose(f) == 0 && ok;
    return ok ? ERR_OK : err_set(e, ERR_IO, "cannot write \"%s\"", path);
}

static uint64_t number(const struct model_gguf *g, const char *key) {
    uint64_t v = 0;
    model_kv_uint(model_gguf_find_arch(g, key), 0, &v);
    return v;
}

static err_code make(struct maker *m, const char *path, struct err *e) {
    uint64_t n = number(m->model.g, "block_count"), heads = number(m->model.g, "attention.head_count");
    uint64_t width = number(m->model.g, "embedding_length");
    if (strcmp(model_gguf_arch(m->model.g), "llama") != 0 || heads == 0 || n == 0 || n > MODEL_MAX_LAYERS ||
        number(m->layer.g, "block_count") != n + 1 || number(m->layer.g, "embedding_length") != width)
        return err_set(e, ERR_INVALID, "the layer does not belong to this model");
    m->head = width / heads;
    buf_init(&m->data, MAX_FILE);
    buf_init(&m->header, MAX_FILE);
    model_write_start(&m->w, &m->header);
    put_fields(m, (uint32_t)n);
    put_tensors(m, &m->model);
    put_tensors(m, &m->layer);
    model_write_end(&m->w, ALIGNMENT);
    return write_file(m, path, e);
}

static void source_close(struct source *s) {
    model_gguf_free(s->g);
    buf_done(&s->bytes);
}

int main(int argc, char **argv) {
    const char *model = NULL, *layer = NULL, *out = NULL;
    struct maker m = {0};
    struct err e = {0};
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--model") == 0) model = argv[i + 1];
        else if (strcmp(argv[i], "--layer") == 0) layer = argv[i + 1];
        else if (strcmp(argv[i], "--out") == 0) out = argv[i + 1];
    if (model == NULL || layer == NULL || out == NULL) {
        fprintf(stderr, "usage: make-mtp --model FILE --layer FILE --out FILE\n");
        return 1;
    }
    err_code code = source_open(&m.model, model, &e);
    if (code == ERR_OK) code = source_open(&m.layer, layer, &e);
    if (code == ERR_OK) code = make(&m, out, &e);
    if (code != ERR_OK) fprintf(stderr, "make-mtp: %s\n", e.text);
    source_close(&m.model);
    source_close(&m.layer);
    buf_done(&m.data);
    buf_done(&m.header);
    return code == ERR_OK ? 0 : 1;
}
