/* SPDX-License-Identifier: MIT
 * zoo-deepen IN OUT [--layers N] [--without KEY] [--context N]: repeats the layers of a small model, and the lists in its metadata,
 * until the model has N layers (8 by default), so that it can be cut. It also leaves out the entry "<arch>.KEY". Leading dense layers
 * are not repeated. If layers differ in their attention too (windows, recurrence), the attention of all layers is repeated in order, and
 * only the feed-forward parts of the dense layers are not. Prediction layers (nextn) stay at the end, and so does the only layer with a
 * per-layer embedding. --context N makes a model of it that a node can serve: one that was trained with contexts of N tokens, and whose
 * vocabulary has texts (the characters of ASCII, and some words) instead of none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/layout.h"
#include "model/write.h"

static uint32_t n_out = 8;
static const char *without = "";
static uint32_t n_ctx;            /* 0: context and vocabulary stay as they are */

struct deepen {
    const struct model_gguf *g;
    const struct model_layout *l;
    uint32_t n_dense;          /* leading dense layers, not repeated */
    uint32_t n_nextn;
    bool mixed;                /* layers differ in more than their feed-forward part */
    FILE *in, *out;
    uint64_t offset;           /* of the next tensor's data */
};

/* The original's layer whose feed-forward part becomes part of layer `at` of the deep model. */
static uint32_t ff_layer(const struct deepen *d, uint32_t at) {
    uint32_t n = d->l->n_layer;
    if (at >= n_out) return n + (at - n_out);
    if (at < d->n_dense || d->n_dense >= n) return at % n;
    return d->n_dense + (at - d->n_dense) % (n - d->n_dense);
}

/* The same for all other parts of a layer. */
static uint32_t mixer_layer(const struct deepen *d, uint32_t at) { return d->mixed && at < n_out ? at % d->l->n_layer : ff_layer(d, at); }

/* The last layer of the deep model that repeats the original's. */
static uint32_t last_repeat(const struct deepen *d, uint32_t source) {
    uint32_t last = source;
    for (uint32_t at = source; at < n_out; at++)
        if (mixer_layer(d, at) == source) last = at;
    return last;
}

static bool is_mixed(const struct deepen *d) {
    static const char *const lists[] = {"attention.head_count", "attention.recurrent_layers", "attention.sliding_window_pattern",
                                        "attention.indexer.types"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const struct model_kv *kv = model_gguf_find_arch(d->g, lists[i]);
        if (kv && kv->type == MODEL_KV_ARRAY) return true;
    }
    return false;
}

static bool is_ff(const char *name) { return strncmp(name, "ffn_", 4) == 0 || strncmp(name, "exp_", 4) == 0; }

/* The list of the layers with a per-layer embedding. libllama allows one; it moves to the end, so that token ids have to get there. */
static void write_ple_layers(const struct deepen *d, struct model_writer *w, const struct model_kv *kv) {
    model_write_array(w, kv->key, MODEL_KV_U32, kv->n);
    for (uint64_t i = 0, v = 0; i < kv->n; i++) {
        uint8_t bytes[4];
        model_kv_uint(kv, i, &v);
        bytes_put_u32(bytes, last_repeat(d, (uint32_t)v));
        model_write_raw(w, bytes, sizeof(bytes));
    }
}

/* ---- a vocabulary with texts: byte-level BPE without merges ---- */

enum { N_CHARACTERS = 96, FIRST_PRINTABLE = 33, END_OF_TEXT = N_CHARACTERS, TYPE_NORMAL = 1, TYPE_CONTROL = 3 };

static const char *const vocabulary_keys[] = {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"};

/* Of a token: a character, the end of a text, or a word that only answers have. */
static size_t token_text(uint32_t i, char *ret, size_t size) {
    static const char first[] = "bdfgklmnprstvz", second[] = "aeiou";
    if (i == 0) return (size_t)snprintf(ret, size, "\xc4\xa0"); /* a blank */
    if (i == 1) return (size_t)snprintf(ret, size, "\xc4\x8a"); /* the end of a line */
    if (i < N_CHARACTERS) return (size_t)snprintf(ret, size, "%c", (char)(FIRST_PRINTABLE + i - 2));
    if (i == END_OF_TEXT) return (size_t)snprintf(ret, size, "<|endoftext|>");
    return (size_t)snprintf(ret, size, "\xc4\xa0%c%ch%" PRIu32, first[i % 14], second[i % 5], i);
}

static void write_vocabulary(struct model_writer *w, uint64_t n) {
    char text[32];
    model_write_str(w, "tokenizer.ggml.model", "gpt2");
    model_write_str(w, "tokenizer.ggml.pre", "gpt-2");
    model_write_array(w, "tokenizer.ggml.tokens", MODEL_KV_STR, n);
    for (uint32_t i = 0; i < n; i++) model_write_element(w, text, token_text(i, text, sizeof(text)));
    model_write_array(w, "tokenizer.ggml.token_type", MODEL_KV_I32, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t type[4] = {i == END_OF_TEXT ? TYPE_CONTROL : TYPE_NORMAL};
        model_write_raw(w, type, sizeof(type));
    }
    model_write_u32(w, "tokenizer.ggml.eos_token_id", END_OF_TEXT);
}

static bool is_replaced(const char *key) {
    for (size_t i = 0; i < ARRAY_LEN(vocabulary_keys); i++)
        if (n_ctx > 0 && strcmp(key, vocabulary_keys[i]) == 0) return true;
    return false;
}

static void write_kv(const struct deepen *d, struct model_writer *w, const struct model_kv *kv) {
    size_t len = strlen(d->l->arch), size = model_kv_scalar_size(kv->elem);
    const char *name = strncmp(kv->key, d->l->arch, len) == 0 && kv->key[len] == '.' ? kv->key + len + 1 : "";
    if ((name[0] && strcmp(name, without) == 0) || is_replaced(kv->key)) return;
    if (strcmp(name, "block_count") == 0) model_write_u32(w, kv->key, n_out + d->n_nextn);
    else if (strcmp(name, "context_length") == 0 && n_ctx > 0) model_write_u32(w, kv->key, n_ctx);
    else if (strcmp(name, "ple.layers") == 0 && kv->type == MODEL_KV_ARRAY) write_ple_layers(d, w, kv);
    else if (name[0] && kv->type == MODEL_KV_ARRAY && size && kv->n == d->l->n_block && strcmp(name, "rope.dimension_sections") != 0) {
        model_write_array(w, kv->key, kv->elem, n_out + d->n_nextn);
        for (uint32_t i = 0; i < n_out + d->n_nextn; i++)
            model_write_raw(w, kv->data + (strstr(name, "feed_forward") ? ff_layer(d, i) : mixer_layer(d, i)) * size, size);
    } else model_write_kv(w, kv, 0, kv->n);
}

static void write_tensor(struct deepen *d, struct model_writer *w, const struct model_tensor *t, const char *name) {
    model_write_tensor(w, name, t->type, t->n_dims, t->ne, d->offset);
    d->offset += (t->bytes + 31) / 32 * 32;
}

static bool copy_data(struct deepen *d, const struct model_tensor *t) {
    uint64_t padded = (t->bytes + 31) / 32 * 32;
    uint8_t *data = calloc(1, padded);
    bool ok = data && fseeko(d->in, (off_t)t->offset, SEEK_SET) == 0 && fread(data, 1, t->bytes, d->in) == t->bytes &&
              fwrite(data, 1, padded, d->out) == padded;
    free(data);
    return ok;
}

/* The feed-forward tensors of the original's layer `source`, or all others, for place `at`. w NULL: their data. */
static bool layer_part(struct deepen *d, struct model_writer *w, uint32_t at, uint32_t source, bool ff) {
    const struct model_layer *layer = &d->l->layers[source];
    for (uint32_t i = 0; i < layer->n_tensors; i++) {
        const struct model_tensor *t = model_gguf_tensor(d->g, layer->tensors[i]);
        const char *rest = "";
        char name[128];
        model_layer_of_name(t->name, &rest);
        if (is_ff(rest) != ff) continue;
        if (strncmp(rest, "ple_", 4) == 0 && at != last_repeat(d, source)) continue;
        snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s", at, rest);
        if (w) write_tensor(d, w, t, name);
        else if (!copy_data(d, t)) return false;
    }
    return true;
}

/* Tensors in the order of the file: first those outside of the layers, then layer by layer. w NULL: their data. */
static bool each_tensor(struct deepen *d, struct model_writer *w) {
    bool ok = true;
    for (size_t i = 0; i < model_gguf_n_tensors(d->g) && ok; i++) {
        const struct model_tensor *t = model_gguf_tensor(d->g, i);
        if (model_layer_of_name(t->name, NULL) >= 0) continue;
        if (w) write_tensor(d, w, t, t->name);
        else ok = copy_data(d, t);
    }
    for (uint32_t at = 0; at < n_out + d->n_nextn; at++)
        ok = ok && layer_part(d, w, at, mixer_layer(d, at), false) && layer_part(d, w, at, ff_layer(d, at), true);
    return ok;
}

static bool write_model(struct deepen *d) {
    struct buf header;
    struct model_writer w;
    uint64_t dense = 0;
    model_kv_uint(model_gguf_find_arch(d->g, "leading_dense_block_count"), 0, &dense);
    d->n_dense = (uint32_t)dense;
    d->n_nextn = d->l->n_block - d->l->n_layer;
    d->mixed = is_mixed(d);
    buf_init(&header, (size_t)1 << 28);
    model_write_start(&w, &header);
    for (size_t i = 0; i < model_gguf_n_kv(d->g); i++) {
        const struct model_kv *kv = model_gguf_kv(d->g, i);
        if (strcmp(kv->key, "general.alignment") != 0) write_kv(d, &w, kv);
    }
    if (n_ctx > 0) write_vocabulary(&w, d->l->n_vocab);
    each_tensor(d, &w);
    model_write_end(&w, 32);
    bool ok = !header.failed && fwrite(header.data, 1, header.len, d->out) == header.len && each_tensor(d, NULL);
    buf_done(&header);
    return ok;
}

int main(int argc, char **argv) {
    struct err e = {0};
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    for (int i = 3; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--layers") == 0) n_out = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--without") == 0) without = argv[i + 1];
        else if (strcmp(argv[i], "--context") == 0) n_ctx = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else n_out = 0;
    if (argc < 3 || argc % 2 == 0 || n_out == 0 || n_out > MODEL_MAX_LAYERS) {
        fprintf(stderr, "usage: zoo-deepen IN OUT [--layers N] [--without KEY] [--context N]\n");
        return 64;
    }
    if (model_gguf_open(argv[1], &g, &e) || model_layout_create(g, &l, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    struct deepen d = {.g = g, .l = l, .in = fopen(argv[1], "rb"), .out = fopen(argv[2], "wb")};
    bool ok = d.in && d.out && write_model(&d);
    if (d.in) fclose(d.in);
    if (d.out && fclose(d.out) != 0) ok = false;
    if (!ok) fprintf(stderr, "cannot write \"%s\"\n", argv[2]);
    model_layout_free(l);
    model_gguf_free(g);
    return ok ? 0 : 1;
}
