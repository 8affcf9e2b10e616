/* SPDX-License-Identifier: MIT
 * Makes another model of a llama model, for tests:  make_variant FROM TO mean|last|rank|smollm3
 * mean, last, rank: an embedding or a reranking model. smollm3: the same weights under that architecture: every fourth layer has no
 * positions, so that not every cut is allowed.
 * The pooling type is written into its metadata. For rank it becomes one of qwen3's shape, with a classifier of two numbers (its weights
 * are made up) and a template for query and document. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"

enum { LABELS = 2, ALIGNMENT = 32, TYPE_F32 = 0 };

struct made {
    char name[64];
    uint64_t ne[2];
    uint32_t n_dims;
    float *data;
};

static void put_metadata(struct model_writer *w, const struct model_gguf *g, const char *arch, uint32_t pooling) {
    char key[256];
    for (size_t i = 0; i < model_gguf_n_kv(g); i++) {
        struct model_kv kv = *model_gguf_kv(g, i);
        if (strncmp(kv.key, "llama.", 6) == 0) {
            snprintf(key, sizeof(key), "%s.%s", arch, kv.key + 6);
            kv.key = key;
        }
        if (strcmp(kv.key, "general.architecture") == 0) model_write_str(w, kv.key, arch);
        else if (strcmp(kv.key, "general.name") == 0) model_write_str(w, kv.key, "variant");
        else model_write_kv(w, &kv, 0, kv.n);
    }
    snprintf(key, sizeof(key), "%s.pooling_type", arch);
    if (pooling != 0) model_write_u32(w, key, pooling);
    if (pooling != 4) return;
    model_write_array(w, "qwen3.classifier.output_labels", MODEL_KV_STR, LABELS);
    model_write_element(w, "yes", 3);
    model_write_element(w, "no", 2);
    model_write_str(w, "tokenizer.chat_template.rerank", "Query: {query}\nDocument: {document}\n");
}

static struct made *made_tensors(const struct model_gguf *g, uint32_t n_layer, uint64_t n_embd, uint64_t n_head_dim, size_t *ret_n) {
    struct made *all = mem_calloc(2 * (size_t)n_layer + 1, sizeof(*all));
    size_t n = 0;
    (void)g;
    for (uint32_t i = 0; i < n_layer; i++)
        for (int k = 0; k < 2; k++) {
            struct made *m = &all[n++];
            snprintf(m->name, sizeof(m->name), "blk.%u.attn_%c_norm.weight", i, k == 0 ? 'q' : 'k');
            m->ne[0] = n_head_dim;
            m->n_dims = 1;
            m->data = mem_calloc(n_head_dim, sizeof(float));
            for (uint64_t j = 0; j < n_head_dim; j++) m->data[j] = 1.0f;
        }
    struct made *m = &all[n++];
    snprintf(m->name, sizeof(m->name), "cls.output.weight");
    m->ne[0] = n_embd;
    m->ne[1] = LABELS;
    m->n_dims = 2;
    m->data = mem_calloc(n_embd * LABELS, sizeof(float));
    for (uint64_t j = 0; j < n_embd * LABELS; j++) m->data[j] = (float)((j * 2654435761u >> 8) % 200) / 100.0f - 1.0f;
    *ret_n = n;
    return all;
}

static void pad(FILE *out) {
    while (ftell(out) % ALIGNMENT != 0) fputc(0, out);
}

static uint64_t aligned(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

int main(int argc, char **argv) {
    struct model_gguf *g = NULL;
    struct err e = {0};
    uint64_t n_layer = 0, n_embd = 0, n_head = 0, offset = 0;
    if (argc != 4 || model_gguf_open(argv[1], &g, &e) != ERR_OK) {
        fprintf(stderr, "make_variant FROM TO mean|last|rank|smollm3: %s\n", e.text);
        return 64;
    }
    model_kv_uint(model_gguf_find_arch(g, "block_count"), 0, &n_layer);
    model_kv_uint(model_gguf_find_arch(g, "embedding_length"), 0, &n_embd);
    model_kv_uint(model_gguf_find_arch(g, "attention.head_count"), 0, &n_head);
    bool rank = strcmp(argv[3], "rank") == 0;
    size_t n_made = 0;
    struct made *made = rank ? made_tensors(g, (uint32_t)n_layer, n_embd, n_embd / n_head, &n_made) : NULL;
    struct buf header;
    struct model_writer w;
    buf_init(&header, 64 << 20);
    model_write_start(&w, &header);
    bool other = strcmp(argv[3], "smollm3") == 0;
    put_metadata(&w, g, other ? "smollm3" : rank ? "qwen3" : "llama", other ? 0 : rank ? 4 : strcmp(argv[3], "last") == 0 ? 3 : 1);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        model_write_tensor(&w, t->name, t->type, t->n_dims, t->ne, offset);
        offset += aligned(t->bytes);
    }
    for (size_t i = 0; i < n_made; i++) {
        model_write_tensor(&w, made[i].name, TYPE_F32, made[i].n_dims, made[i].ne, offset);
        offset += aligned(made[i].ne[0] * (made[i].n_dims == 2 ? made[i].ne[1] : 1) * sizeof(float));
    }
    model_write_end(&w, ALIGNMENT);
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    if (!in || !out || header.failed) return 74;
    fwrite(header.data, 1, header.len, out);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        char *data = mem_alloc(t->bytes);
        fseek(in, (long)t->offset, SEEK_SET);
        if (fread(data, 1, t->bytes, in) != t->bytes) return 74;
        fwrite(data, 1, t->bytes, out);
        free(data);
        pad(out);
    }
    for (size_t i = 0; i < n_made; i++) {
        fwrite(made[i].data, sizeof(float), made[i].ne[0] * (made[i].n_dims == 2 ? made[i].ne[1] : 1), out);
        free(made[i].data);
        pad(out);
    }
    free(made);
    buf_done(&header);
    model_gguf_free(g);
    fclose(in);
    return fclose(out) == 0 ? 0 : 74;
}
