/* SPDX-License-Identifier: MIT
 * make-lora --model FILE --out FILE [--rank N] [--seed N] [--size X]: writes an adapter (LoRA) with random weights for all matrices in the
 * layers of a model, and for its output table if it has one, for tests. --size scales the weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "model/layout.h"
#include "model/types.h"
#include "model/write.h"

enum { ALIGNMENT = 32 };

struct maker {
    const char *model, *out;
    uint64_t rank, random;
    double size;
};

/* Uniform from -1 to 1: xorshift64* (Vigna 2016). */
static float next_random(struct maker *m) {
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return (float)(m->random * UINT64_C(2685821657736338717) >> 40) / 8388608.0f - 1.0f;
}

/* Matrices that libllama multiplies with, and so can change. */
static bool is_changed(const struct model_tensor *t) {
    const char *rest = t->name;
    size_t len = strlen(t->name);
    if (len < 7 || strcmp(t->name + len - 7, ".weight") != 0 || t->n_dims != 2) return false;
    if (strcmp(t->name, "output.weight") == 0) return true;
    if (model_layer_of_name(t->name, &rest) < 0) return false;
    static const char *const kinds[] = {"attn_",
                                        "ffn_",
                                        "time_mix_receptance.",
                                        "time_mix_key.",
                                        "time_mix_value.",
                                        "time_mix_output.",
                                        "channel_mix_key.",
                                        "channel_mix_value."};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strncmp(rest, kinds[i], strlen(kinds[i])) == 0) return true;
    return false;
}

static uint64_t values(const struct maker *m, const struct model_tensor *t, int half) { return m->rank * t->ne[half]; }

static uint64_t padded(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static void put_header(const struct maker *m, const struct model_gguf *g, struct buf *out) {
    struct model_writer w;
    uint64_t offset = 0;
    model_write_start(&w, out);
    model_write_str(&w, "general.architecture", model_gguf_arch(g));
    model_write_str(&w, "general.type", "adapter");
    model_write_str(&w, "adapter.type", "lora");
    model_write_f32(&w, "adapter.lora.alpha", (float)m->rank);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        for (int half = 0; half < 2 && is_changed(t); half++) {
            char name[96];
            const uint64_t a[MODEL_MAX_DIMS] = {t->ne[0], m->rank, 1, 1}, b[MODEL_MAX_DIMS] = {m->rank, t->ne[1], 1, 1};
            snprintf(name, sizeof(name), "%s.lora_%c", t->name, 'a' + half);
            model_write_tensor(&w, name, MODEL_TYPE_F32, 2, half == 0 ? a : b, offset);
            offset += padded(4 * values(m, t, half));
        }
    }
    model_write_end(&w, ALIGNMENT);
}

static void put_tensor(struct maker *m, uint64_t n, float scale, struct buf *out) {
    for (uint64_t i = 0; i < n; i++) {
        float v = scale * next_random(m);
        uint32_t bits;
        uint8_t bytes[4];
        memcpy(&bits, &v, sizeof(bits));
        bytes_put_u32(bytes, bits);
        buf_append(out, bytes, sizeof(bytes));
    }
    while (out->len % ALIGNMENT != 0) buf_append_byte(out, 0);
}

static int make(struct maker *m) {
    struct err e = {0};
    struct model_gguf *g = NULL;
    struct buf out;
    if (model_gguf_open(m->model, &g, &e) != ERR_OK) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    buf_init(&out, (size_t)1 << 31);
    put_header(m, g, &out);
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        for (int half = 0; half < 2 && is_changed(t); half++)
            put_tensor(m, values(m, t, half), (float)m->size / sqrtf(half == 0 ? (float)t->ne[0] : (float)m->rank), &out);
    }
    FILE *f = fopen(m->out, "wb");
    bool ok = f != NULL && !out.failed && fwrite(out.data, 1, out.len, f) == out.len;
    if (f != NULL) ok = fclose(f) == 0 && ok;
    if (!ok) fprintf(stderr, "cannot write \"%s\"\n", m->out);
    buf_done(&out);
    model_gguf_free(g);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    struct maker m = {.rank = 4, .random = 1, .size = 1};
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--model") == 0) m.model = argv[i + 1];
        else if (strcmp(argv[i], "--out") == 0) m.out = argv[i + 1];
        else if (strcmp(argv[i], "--rank") == 0) m.rank = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0) m.random = strtoull(argv[i + 1], NULL, 10) * 2 + 1;
        else if (strcmp(argv[i], "--size") == 0) m.size = strtod(argv[i + 1], NULL);
    if (m.model == NULL || m.out == NULL || m.rank == 0) {
        fprintf(stderr, "usage: make-lora --model FILE --out FILE [--rank N] [--seed N] [--size X]\n");
        return 1;
    }
    return make(&m);
}
