/* SPDX-License-Identifier: MIT
 * Makes another model of a llama model, for tests:  make_variant FROM TO mean|last|rank|smollm3|bitnet
 * mean, last, rank: an embedding or a reranking model. smollm3: the same weights under that architecture: every fourth layer has no
 * positions, so that not every cut is allowed. bitnet: with two more norms in each layer, of an architecture that libllama has and
 * tables/quirks.def has not.
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

/* In every layer a norm whose weights are all 1. */
static void add_norms(struct made *all, size_t *n, const char *name, uint32_t n_layer, uint64_t size) {
    for (uint32_t i = 0; i < n_layer; i++) {
        struct made *m = &all[(*n)++];
        snprintf(m->name, sizeof(m->name), "blk.%u.%s.weight", i, name);
        m->ne[0] = size;
        m->n_dims = 1;
        m->data = mem_calloc(size, sizeof(float));
        for (uint64_t j = 0; j < size; j++) m->data[j] = 1.0f;
    }
}

static void add_classifier(struct made *all, size_t *n, uint64_t n_embd) {
    struct made *m = &all[(*n)++];
    snprintf(m->name, sizeof(m->name), "cls.output.weight");
    m->ne[0] = n_embd;
    m->ne[1] = LABELS;
    m->n_dims = 2;
    m->data = mem_calloc(n_embd * LABELS, sizeof(float));
    for (uint64_t j = 0; j < n_embd * LABELS; j++) m->data[j] = (float)((j * 2654435761u >> 8) % 200) / 100.0f - 1.0f;
}

static uint64_t number(const struct model_gguf *g, const char *name) {
    uint64_t n = 1;
    model_kv_uint(model_gguf_find_arch(g, name), 0, &n);
    return n;
}

/* The tensors that this kind has and a llama model has not. */
static struct made *made_tensors(const struct model_gguf *g, const char *kind, size_t *ret_n) {
    uint32_t n_layer = (uint32_t)number(g, "block_count");
    uint64_t n_embd = number(g, "embedding_length"), head = n_embd / number(g, "attention.head_count");
    struct made *all = mem_calloc(2 * (size_t)n_layer + 1, sizeof(*all));
    *ret_n = 0;
    if (strcmp(kind, "rank") == 0) {
        add_norms(all, ret_n, "attn_q_norm", n_layer, head);
        add_norms(all, ret_n, "attn_k_norm", n_layer, head);
        add_classifier(all, ret_n, n_embd);
    }
    if (strcmp(kind, "bitnet") == 0) {
        add_norms(all, ret_n, "attn_sub_norm", n_layer, n_embd);
        add_norms(all, ret_n, "ffn_sub_norm", n_layer, number(g, "feed_forward_length"));
    }
    return all;
}

/* bitnet uses the embedding as its output table, and takes no other. */
static bool is_left_out(const struct model_tensor *t, const char *kind) {
    return strcmp(kind, "bitnet") == 0 && strcmp(t->name, "output.weight") == 0;
}

/* The architecture and the pooling type (0: none) of each kind. */
static const struct {
    const char *kind, *arch;
    uint32_t pooling;
} kinds[] = {{"mean", "llama", 1}, {"last", "llama", 3}, {"rank", "qwen3", 4}, {"smollm3", "smollm3", 0}, {"bitnet", "bitnet", 0}};

static void pad(FILE *out) {
    while (ftell(out) % ALIGNMENT != 0) fputc(0, out);
}

static uint64_t aligned(uint64_t n) { return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

int main(int argc, char **argv) {
    struct model_gguf *g = NULL;
    struct err e = {0};
    uint64_t offset = 0;
    size_t kind = 0, n_made = 0;
    while (argc == 4 && kind < ARRAY_LEN(kinds) && strcmp(kinds[kind].kind, argv[3]) != 0) kind++;
    if (argc != 4 || kind == ARRAY_LEN(kinds) || model_gguf_open(argv[1], &g, &e) != ERR_OK) {
        fprintf(stderr, "make_variant FROM TO mean|last|rank|smollm3|bitnet: %s\n", e.text);
        return 64;
    }
    struct made *made = made_tensors(g, argv[3], &n_made);
    struct buf header;
    struct model_writer w;
    buf_init(&header, 64 << 20);
    model_write_start(&w, &header);
    put_metadata(&w, g, kinds[kind].arch, kinds[kind].pooling);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        if (is_left_out(t, argv[3])) continue;
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
        if (is_left_out(t, argv[3])) continue;
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
