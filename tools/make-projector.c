/* SPDX-License-Identifier: MIT
 * make-projector --like llava|gemma3|qwen2.5vl|qwen2a --width N --out FILE [--seed N]: writes a tiny projector with random weights, in the
 * form of a real one, for tests: llava's rows enter like tokens, those of gemma3 attend to each other, those of qwen2.5vl stand in a grid,
 * and qwen2a hears sounds. --width is the model's. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"

enum { N_EMBD = 32, N_HEAD = 2, N_FF = 64, N_LAYER = 2, PATCH = 14, MERGED = 4, N_MEL = 128, N_AUDIO = 1500, MAX_TENSORS = 128 };

struct tensor {
    char name[64];
    uint32_t n_dims;
    uint64_t ne[4];
    float scale, middle;   /* deviation and mean of the weights */
};

struct maker {
    const char *like;
    uint32_t width, side;  /* of the model; of a picture */
    uint64_t random;
    struct tensor tensor[MAX_TENSORS];
    uint32_t n_tensors;
};

/* Uniform from -1 to 1: xorshift64* (Vigna 2016). */
static float next_random(struct maker *m) {
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return (float)(m->random * UINT64_C(2685821657736338717) >> 40) / 8388608.0f - 1.0f;
}

static bool is_like(const struct maker *m, const char *like) { return strcmp(m->like, like) == 0; }

/* ---- tensors ---- */

static struct tensor *add(struct maker *m, const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    struct tensor *t = &m->tensor[m->n_tensors++];
    *t = (struct tensor){.n_dims = n_dims, .ne = {a, b, c, d}};
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

static void add_matrix(struct maker *m, const char *name, uint64_t in, uint64_t out, bool bias) {
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    add(m, full, 2, in, out, 1, 1)->scale = 1.7f / sqrtf((float)in);
    snprintf(full, sizeof(full), "%s.bias", name);
    if (bias) add(m, full, 1, out, 1, 1, 1)->scale = 0.1f;
}

static void add_norm(struct maker *m, const char *name, uint64_t n, bool bias) {
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    add(m, full, 1, n, 1, 1, 1)->middle = 1;
    snprintf(full, sizeof(full), "%s.bias", name);
    if (bias) add(m, full, 1, n, 1, 1, 1)->scale = 0.1f;
}

static void add_layer(struct maker *m, const char *kind, uint32_t i) {
    static const char *const attn[] = {"attn_q", "attn_k", "attn_v", "attn_out"};
    char name[64];
    bool gated = is_like(m, "qwen2.5vl");
    for (size_t k = 0; k < ARRAY_LEN(attn); k++) {
        snprintf(name, sizeof(name), "%s.blk.%" PRIu32 ".%s", kind, i, attn[k]);
        add_matrix(m, name, N_EMBD, N_EMBD, !is_like(m, "qwen2a") || strcmp(attn[k], "attn_k") != 0);
    }
    for (int k = 1; k <= 2; k++) {
        snprintf(name, sizeof(name), "%s.blk.%" PRIu32 ".ln%d", kind, i, k);
        add_norm(m, name, N_EMBD, !gated);
    }
    snprintf(name, sizeof(name), "%s.blk.%" PRIu32 ".ffn_up", kind, i);
    add_matrix(m, name, N_EMBD, N_FF, true);
    snprintf(name, sizeof(name), "%s.blk.%" PRIu32 ".ffn_gate", kind, i);
    if (gated) add_matrix(m, name, N_EMBD, N_FF, true);
    snprintf(name, sizeof(name), "%s.blk.%" PRIu32 ".ffn_down", kind, i);
    add_matrix(m, name, N_FF, N_EMBD, true);
}

static void add_vision(struct maker *m) {
    uint64_t patches = (uint64_t)(m->side / PATCH) * (m->side / PATCH);
    bool llava = is_like(m, "llava"), qwen = is_like(m, "qwen2.5vl");
    add(m, "v.patch_embd.weight", 4, PATCH, PATCH, 3, N_EMBD)->scale = 0.1f;
    if (qwen) add(m, "v.patch_embd.weight.1", 4, PATCH, PATCH, 3, N_EMBD)->scale = 0.1f;
    else add(m, "v.position_embd.weight", 2, N_EMBD, patches + llava, 1, 1)->scale = 0.5f;
    if (is_like(m, "gemma3")) add(m, "v.patch_embd.bias", 1, N_EMBD, 1, 1, 1)->scale = 0.1f;
    if (llava) add(m, "v.class_embd", 1, N_EMBD, 1, 1, 1)->scale = 0.5f;
    if (llava) add_norm(m, "v.pre_ln", N_EMBD, true);
    for (uint32_t i = 0; i < N_LAYER; i++) add_layer(m, "v", i);
    if (!llava) add_norm(m, "v.post_ln", N_EMBD, !qwen);
    if (is_like(m, "gemma3")) {
        add(m, "mm.input_projection.weight", 2, m->width, N_EMBD, 1, 1)->scale = 1.7f / sqrtf(N_EMBD);
        add_norm(m, "mm.soft_emb_norm", N_EMBD, false);
        return;
    }
    uint64_t in = qwen ? N_EMBD * MERGED : N_EMBD, middle = qwen ? in : m->width;
    add_matrix(m, "mm.0", in, middle, true);
    add_matrix(m, "mm.2", middle, m->width, true);
}

static void add_audio(struct maker *m) {
    add(m, "a.conv1d.1.weight", 3, 3, N_MEL, N_EMBD, 1)->scale = 0.1f;
    add(m, "a.conv1d.1.bias", 2, 1, N_EMBD, 1, 1)->scale = 0.1f;
    add(m, "a.conv1d.2.weight", 3, 3, N_EMBD, N_EMBD, 1)->scale = 0.2f;
    add(m, "a.conv1d.2.bias", 2, 1, N_EMBD, 1, 1)->scale = 0.1f;
    add(m, "a.position_embd.weight", 2, N_EMBD, N_AUDIO, 1, 1)->scale = 0.5f;
    for (uint32_t i = 0; i < N_LAYER; i++) add_layer(m, "a", i);
    add_norm(m, "a.post_ln", N_EMBD, true);
    add_matrix(m, "mm.a.fc", N_EMBD, m->width, true);
}

/* ---- the file ---- */

static void write_reals(struct model_writer *w, const char *key, float v) {
    model_write_array(w, key, MODEL_KV_F32, 3);
    for (int i = 0; i < 3; i++) model_write_raw(w, &v, sizeof(v));
}

static void write_encoder(struct model_writer *w, const struct maker *m, const char *kind) {
    char key[96];
#define KEY(suffix) (snprintf(key, sizeof(key), "clip.%s.%s", kind, suffix), key)
    model_write_u32(w, KEY("embedding_length"), N_EMBD);
    model_write_u32(w, KEY("feed_forward_length"), N_FF);
    model_write_u32(w, KEY("block_count"), N_LAYER);
    model_write_u32(w, KEY("projection_dim"), m->width);
    model_write_u32(w, KEY("attention.head_count"), N_HEAD);
    model_write_f32(w, KEY("attention.layer_norm_epsilon"), 1e-6f);
#undef KEY
}

static void write_metadata(struct model_writer *w, const struct maker *m) {
    bool audio = is_like(m, "qwen2a"), qwen = is_like(m, "qwen2.5vl");
    const char *type = is_like(m, "llava") ? "mlp" : qwen ? "qwen2.5vl_merger" : m->like;
    model_write_str(w, "general.architecture", "clip");
    model_write_str(w, "general.type", "mmproj");
    model_write_str(w, "general.name", m->like);
    model_write_u32(w, "general.file_type", 0);
    model_write_bool(w, "clip.has_vision_encoder", !audio);
    model_write_bool(w, "clip.has_audio_encoder", audio);
    model_write_str(w, "clip.projector_type", type);
    model_write_bool(w, qwen ? "clip.use_silu" : "clip.use_gelu", 1);
    write_encoder(w, m, audio ? "audio" : "vision");
    if (audio) {
        model_write_u32(w, "clip.audio.num_mel_bins", N_MEL);
        return;
    }
    model_write_u32(w, "clip.vision.image_size", m->side);
    model_write_u32(w, "clip.vision.patch_size", PATCH);
    if (qwen) model_write_u32(w, "clip.vision.n_wa_pattern", N_LAYER);
    write_reals(w, "clip.vision.image_mean", 0.5f);
    write_reals(w, "clip.vision.image_std", 0.5f);
}

static uint64_t elements(const struct tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

static bool write_data(struct maker *m, const struct tensor *t, FILE *out) {
    bool ok = true;
    for (uint64_t i = 0; i < elements(t) && ok; i++) {
        float v = t->middle + t->scale * next_random(m);
        ok = fwrite(&v, sizeof(v), 1, out) == 1;
    }
    for (uint64_t pad = 4 * elements(t); ok && pad % 32 != 0; pad++) ok = fputc(0, out) != EOF;
    return ok;
}

static bool write_file(struct maker *m, FILE *out) {
    struct buf header;
    struct model_writer w;
    uint64_t offset = 0;
    buf_init(&header, (size_t)1 << 24);
    model_write_start(&w, &header);
    write_metadata(&w, m);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensor[i];
        model_write_tensor(&w, t->name, MODEL_TYPE_F32, t->n_dims, t->ne, offset);
        offset += (4 * elements(t) + 31) / 32 * 32;
    }
    model_write_end(&w, 32);
    bool ok = !header.failed && fwrite(header.data, 1, header.len, out) == header.len;
    buf_done(&header);
    for (uint32_t i = 0; i < m->n_tensors && ok; i++) ok = write_data(m, &m->tensor[i], out);
    return ok;
}

static int usage(void) {
    fprintf(stderr, "usage: make-projector --like llava|gemma3|qwen2.5vl|qwen2a --width N --out FILE [--seed N]\n");
    return 64;
}

int main(int argc, char **argv) {
    static const struct {
        const char *like;
        uint32_t side;
    } kinds[] = {{"llava", 56}, {"gemma3", 224}, {"qwen2.5vl", 560}, {"qwen2a", 0}};
    const char *like = "", *width = NULL, *out = NULL, *seed = "1";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char **value = strcmp(argv[i], "--like") == 0    ? &like
                             : strcmp(argv[i], "--width") == 0 ? &width
                             : strcmp(argv[i], "--out") == 0   ? &out
                             : strcmp(argv[i], "--seed") == 0  ? &seed
                                                               : NULL;
        if (!value) return usage();
        *value = argv[i + 1];
    }
    struct maker *m = MEM_NEW(struct maker);
    size_t kind = 0;
    while (kind < ARRAY_LEN(kinds) && strcmp(kinds[kind].like, like) != 0) kind++;
    if (argc % 2 == 0 || !width || !out || kind == ARRAY_LEN(kinds)) return usage();
    m->like = like;
    m->side = kinds[kind].side;
    m->width = (uint32_t)strtoul(width, NULL, 10);
    m->random = strtoull(seed, NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (is_like(m, "qwen2a")) add_audio(m);
    else add_vision(m);
    FILE *f = fopen(out, "wb");
    bool ok = f && write_file(m, f);
    if (f && fclose(f) != 0) ok = false;
    if (!ok) fprintf(stderr, "cannot write \"%s\"\n", out);
    free(m);
    return ok ? 0 : 74;
}
