/* SPDX-License-Identifier: MIT
 * make-model --preset NAME --type TYPE --out FILE [--layers N] [--seed N]: writes a GGUF model with random weights in the shape of a
 * real one, for benchmarks and tests. Its answers make no sense, but it computes like the real model: its vocabulary tokenizes any text,
 * and its weights are scaled so that its logits stay in an ordinary range.
 *
 * Quantising takes most of the time, so a few thousand rows of each shape are quantised and used again and again. Only the vocabulary's
 * tables have rows of their own (else tokens would tie). It writes row by row and needs little memory. */
#include <ggml.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"

struct preset {
    const char *name, *arch;
    uint32_t n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    uint32_t n_expert, n_used; /* mixture of experts: n_ff is one expert's width */
};

static const struct preset presets[] = {
    {"tiny", "llama", 8, 256, 4, 2, 64, 768, 1024, 2048, 0, 0},
    {"300m", "llama", 24, 1024, 16, 4, 64, 2816, 32000, 4096, 0, 0},
    {"1b", "llama", 22, 2048, 32, 4, 64, 5632, 32000, 8192, 0, 0},
    {"8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192, 0, 0},
    {"moe", "qwen3moe", 16, 1024, 16, 4, 64, 512, 32000, 4096, 32, 4},
    {"tiny-gemma3", "gemma3", 12, 64, 2, 1, 32, 128, 1024, 2048, 0, 0},
    {"tiny-moe", "qwen3moe", 8, 256, 4, 2, 64, 128, 1024, 2048, 16, 4},
    {"tiny-qwen2vl", "qwen2vl", 8, 64, 2, 1, 32, 128, 1024, 2048, 0, 0},
    {"tiny-gemma4", "gemma4", 12, 64, 2, 1, 32, 128, 1024, 2048, 0, 0},
    {"tiny-cogvlm", "cogvlm", 8, 64, 2, 2, 32, 128, 1024, 2048, 0, 0},
    {"tiny-rwkv7", "rwkv7", 8, 128, 0, 0, 64, 256, 1024, 2048, 0, 0},
    {"tiny-arwkv7", "arwkv7", 8, 128, 0, 0, 64, 256, 1024, 2048, 0, 0},
    {"tiny-rwkv6", "rwkv6", 8, 128, 0, 0, 64, 256, 1024, 2048, 0, 0},
    {"tiny-rwkv6qwen2", "rwkv6qwen2", 8, 128, 0, 1, 64, 256, 1024, 2048, 0, 0},
    {"rwkv7-3b", "rwkv7", 32, 2560, 0, 0, 64, 10240, 65536, 4096, 0, 0},
};

enum { POOL_ROWS = 2048, N_BYTES = 256, MAX_TENSORS = 2048 };

/* How a tensor is filled. */
enum fill { FILL_ONES, FILL_POOL, FILL_OWN_ROWS };

struct tensor {
    char name[64];
    uint32_t type, n_dims;
    uint64_t ne[4];
    enum fill fill;
    float scale;               /* standard deviation of the weights */
    uint64_t bytes;
};

struct maker {
    struct preset p;
    uint32_t type;
    uint64_t random;
    struct tensor tensor[MAX_TENSORS];
    uint32_t n_tensors;
    FILE *out;
};

static uint64_t next_random(struct maker *m) { /* xorshift64* (Vigna 2016) */
    m->random ^= m->random >> 12;
    m->random ^= m->random << 25;
    m->random ^= m->random >> 27;
    return m->random * UINT64_C(2685821657736338717);
}

/* About normal, mean 0, deviation 1: the sum of four uniform numbers. */
static float next_normal(struct maker *m) {
    uint64_t r = next_random(m);
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += (float)((r >> (16 * i)) & 0xffff) / 65536.0f - 0.5f;
    return sum * 1.7320508f;
}

/* ---- vocabulary: 256 bytes, a few merges, control tokens, made-up words ---- */

static const char *const merges[] = {"t h", "th e", "a n", "an d", "i n",        "in g",       "e r",
                                     "o u", "r e",  "o n", "e n",  "\xc4\xa0 t", "\xc4\xa0 a", "\xc4\xa0t he"};
static const char *const merged[] = {"th",
                                     "the",
                                     "an",
                                     "and",
                                     "in",
                                     "ing",
                                     "er",
                                     "ou",
                                     "re",
                                     "on",
                                     "en",
                                     "\xc4\xa0t",
                                     ("\xc4\xa0"
                                      "a"),
                                     "\xc4\xa0the"};
static const char *const controls[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
enum { ENDOFTEXT = N_BYTES + ARRAY_LEN(merged), IM_START, IM_END, TYPE_NORMAL = 1, TYPE_CONTROL = 3 };

/* The text of a byte in GPT-2's byte-level BPE: printable bytes as themselves, the others as U+0100 and up. */
static size_t byte_token(unsigned byte, char *out) {
    unsigned code = byte, skipped = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte && !printable) code = 256 + skipped;
        if (!printable) skipped++;
    }
    if (code < 128) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | (code >> 6));
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

/* Words for the rest: a space and syllables that number them. */
static size_t word_token(uint32_t n, char *out, size_t size) {
    static const char consonants[] = "bdfgklmnprstvz", vowels[] = "aeiou";
    size_t len = (size_t)snprintf(out, size, "\xc4\xa0");
    do {
        out[len++] = consonants[n % 14];
        n /= 14;
        out[len++] = vowels[n % 5];
        n /= 5;
    } while (n > 0 && len + 3 < size);
    out[len++] = 'h'; /* so that none equals a merged one */
    return len;
}

static size_t token_text(uint32_t i, char *out, size_t size) {
    if (i < N_BYTES) return byte_token(i, out);
    if (i < ENDOFTEXT) return (size_t)snprintf(out, size, "%s", merged[i - N_BYTES]);
    if (i <= IM_END) return (size_t)snprintf(out, size, "%s", controls[i - ENDOFTEXT]);
    return word_token(i, out, size);
}

static void write_vocabulary(const struct maker *m, struct model_writer *w) {
    char text[64];
    model_write_str(w, "tokenizer.ggml.model", "gpt2");
    model_write_str(w, "tokenizer.ggml.pre", "gpt-2");
    model_write_array(w, "tokenizer.ggml.tokens", MODEL_KV_STR, m->p.n_vocab);
    for (uint32_t i = 0; i < m->p.n_vocab; i++) {
        size_t len = token_text(i, text, sizeof(text));
        model_write_element(w, text, len);
    }
    model_write_array(w, "tokenizer.ggml.token_type", MODEL_KV_I32, m->p.n_vocab);
    for (uint32_t i = 0; i < m->p.n_vocab; i++) {
        uint8_t type[4] = {i >= ENDOFTEXT && i <= IM_END ? TYPE_CONTROL : TYPE_NORMAL};
        model_write_raw(w, type, sizeof(type));
    }
    model_write_array(w, "tokenizer.ggml.merges", MODEL_KV_STR, ARRAY_LEN(merges));
    for (size_t i = 0; i < ARRAY_LEN(merges); i++) model_write_element(w, merges[i], strlen(merges[i]));
    model_write_u32(w, "tokenizer.ggml.bos_token_id", ENDOFTEXT);
    model_write_u32(w, "tokenizer.ggml.eos_token_id", IM_END);
    model_write_bool(w, "tokenizer.ggml.add_bos_token", 0);
    model_write_str(w, "tokenizer.chat_template",
                    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
                    "'\\n'}}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}");
}

/* ---- gemma4: five layers with a window, then one that sees everything and has wider heads ---- */

enum { GEMMA4_PERIOD = 6, GEMMA4_WINDOW = 32 };

static bool is_arch(const struct maker *m, const char *arch) { return strcmp(m->p.arch, arch) == 0; }

static uint32_t head_dim(const struct maker *m, uint32_t layer) {
    bool wide = is_arch(m, "gemma4") && layer % GEMMA4_PERIOD == GEMMA4_PERIOD - 1;
    return wide ? 2 * m->p.head_dim : m->p.head_dim;
}

static void write_gemma4(const struct maker *m, struct model_writer *w) {
    const struct preset *p = &m->p;
    model_write_u32(w, "gemma4.attention.key_length_swa", p->head_dim);
    model_write_u32(w, "gemma4.attention.value_length_swa", p->head_dim);
    model_write_u32(w, "gemma4.rope.dimension_count_swa", p->head_dim);
    model_write_f32(w, "gemma4.rope.freq_base_swa", 10000.0f);
    model_write_u32(w, "gemma4.attention.sliding_window", GEMMA4_WINDOW);
    model_write_u32(w, "gemma4.attention.shared_kv_layers", 0);
    model_write_u32(w, "gemma4.embedding_length_per_layer_input", 0);
    model_write_f32(w, "gemma4.final_logit_softcapping", 30.0f);
    model_write_array(w, "gemma4.attention.sliding_window_pattern", MODEL_KV_BOOL, p->n_layer);
    for (uint32_t i = 0; i < p->n_layer; i++) {
        uint8_t window = head_dim(m, i) == p->head_dim;
        model_write_raw(w, &window, 1);
    }
}

/* ---- rwkv: layers with a state ---- */

/* Widths of the pairs of small matrices, all different, so that none passes for another. */
enum { RWKV_DECAY = 32, RWKV_ICLR = 16, RWKV_VALUE = 24, RWKV_GATE = 40, RWKV_RESCALE = 2 };

static bool is_rwkv(const struct maker *m) { return strstr(m->p.arch, "rwkv") != NULL; }
static bool is_rwkv7(const struct maker *m) { return is_arch(m, "rwkv7") || is_arch(m, "arwkv7"); }

/* The two that were made of another model by exchanging its attention; they have the other model's feed-forward part. */
static bool is_converted(const struct maker *m) { return is_arch(m, "arwkv7") || is_arch(m, "rwkv6qwen2"); }

static void write_rwkv(const struct maker *m, struct model_writer *w) {
    const struct preset *p = &m->p;
    char key[96];
#define KEY(suffix) (snprintf(key, sizeof(key), "%s.%s", p->arch, suffix), key)
    model_write_u32(w, KEY("attention.head_count"), 0);
    if (is_arch(m, "rwkv6qwen2")) model_write_u32(w, KEY("attention.head_count_kv"), p->n_head_kv);
    model_write_f32(w, KEY(is_converted(m) ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"), 1e-5f);
    model_write_u32(w, KEY("wkv.head_size"), p->head_dim);
    model_write_u32(w, KEY("token_shift_count"), is_converted(m) ? 1 : 2);
    if (is_rwkv7(m)) {
        model_write_u32(w, KEY("attention.decay_lora_rank"), RWKV_DECAY);
        model_write_u32(w, KEY("attention.iclr_lora_rank"), RWKV_ICLR);
        model_write_u32(w, KEY("attention.value_residual_mix_lora_rank"), RWKV_VALUE);
        model_write_u32(w, KEY("attention.gate_lora_rank"), RWKV_GATE);
    } else {
        model_write_u32(w, KEY("time_mix_extra_dim"), RWKV_ICLR);
        model_write_u32(w, KEY("time_decay_extra_dim"), RWKV_DECAY);
        if (!is_converted(m)) model_write_u32(w, KEY("rescale_every_n_layers"), RWKV_RESCALE);
    }
    model_write_u32(w, KEY("vocab_size"), p->n_vocab);
#undef KEY
}

/* ---- metadata and tensors ---- */

static void write_metadata(const struct maker *m, struct model_writer *w) {
    const struct preset *p = &m->p;
    char key[96];
#define KEY(suffix) (snprintf(key, sizeof(key), "%s.%s", p->arch, suffix), key)
    snprintf(key, sizeof(key), "Random %s", p->name);
    model_write_str(w, "general.architecture", p->arch);
    model_write_str(w, "general.name", key);
    model_write_u32(w, "general.quantization_version", 2);
    model_write_u32(w, KEY("block_count"), p->n_layer);
    model_write_u32(w, KEY("context_length"), p->n_ctx);
    model_write_u32(w, KEY("embedding_length"), p->n_embd);
    model_write_u32(w, KEY("feed_forward_length"), p->n_ff);
    if (is_rwkv(m)) {
        write_rwkv(m, w);
        write_vocabulary(m, w);
        return;
    }
    model_write_u32(w, KEY("attention.head_count"), p->n_head);
    model_write_u32(w, KEY("attention.head_count_kv"), p->n_head_kv);
    model_write_u32(w, KEY("attention.key_length"), head_dim(m, GEMMA4_PERIOD - 1));
    model_write_u32(w, KEY("attention.value_length"), head_dim(m, GEMMA4_PERIOD - 1));
    model_write_u32(w, KEY("rope.dimension_count"), head_dim(m, GEMMA4_PERIOD - 1));
    model_write_f32(w, KEY("rope.freq_base"), 10000.0f);
    model_write_f32(w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    model_write_u32(w, KEY("vocab_size"), p->n_vocab);
    if (is_arch(m, "gemma3")) model_write_u32(w, KEY("attention.sliding_window"), 512);
    if (is_arch(m, "gemma4")) write_gemma4(m, w);
    if (strcmp(p->arch, "qwen2vl") == 0) {
        const uint32_t sections[4] = {p->head_dim / 8, p->head_dim * 3 / 16, p->head_dim * 3 / 16, 0}; /* of half of a head */
        model_write_array(w, KEY("rope.dimension_sections"), MODEL_KV_U32, 4);
        model_write_raw(w, sections, sizeof(sections));
    }
    if (p->n_expert) {
        model_write_u32(w, KEY("expert_count"), p->n_expert);
        model_write_u32(w, KEY("expert_used_count"), p->n_used);
        model_write_u32(w, KEY("expert_feed_forward_length"), p->n_ff);
    }
#undef KEY
    write_vocabulary(m, w);
}

static struct tensor *add_tensor(struct maker *m, const char *name, uint32_t n_dims, uint64_t ne0, uint64_t ne1, uint64_t ne2,
                                 enum fill fill, float scale) {
    if (m->n_tensors == MAX_TENSORS) {
        fprintf(stderr, "too many layers\n");
        exit(65);
    }
    struct tensor *t = &m->tensor[m->n_tensors++];
    *t = (struct tensor){
        .type = fill == FILL_ONES ? MODEL_TYPE_F32 : m->type, .n_dims = n_dims, .ne = {ne0, ne1, ne2, 1}, .fill = fill, .scale = scale};
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->bytes = model_type_bytes(t->type, ne0) * ne1 * ne2;
    return t;
}

static void add_matrix(struct maker *m, uint32_t layer, const char *what, uint64_t in, uint64_t out, uint64_t n, float gain) {
    char name[64];
    snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s.weight", layer, what);
    add_tensor(m, name, n > 1 ? 3 : 2, in, out, n, FILL_POOL, gain / sqrtf((float)in));
}

static void add_norm(struct maker *m, uint32_t layer, const char *what, uint64_t n) {
    char name[64];
    snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s.weight", layer, what);
    add_tensor(m, name, 1, n, 1, 1, FILL_ONES, 1);
}

static void add_bias(struct maker *m, uint32_t layer, const char *what, uint64_t n) {
    char name[64];
    snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s.bias", layer, what);
    add_tensor(m, name, 1, n, 1, 1, FILL_ONES, 1);
}

/* cogvlm: the rows of pictures have weights of their own. */
static void add_vision_expert(struct maker *m, uint32_t i, float residual) {
    const struct preset *p = &m->p;
    const float other = 0.9f; /* a scale that no matrix of the text's has, so that the weights are others */
    add_matrix(m, i, "vis_attn_qkv", p->n_embd, 3 * (uint64_t)p->n_embd, 1, other);
    add_matrix(m, i, "vis_attn_output", p->n_embd, p->n_embd, 1, other * residual);
    add_matrix(m, i, "vis_gate", p->n_embd, p->n_ff, 1, other);
    add_matrix(m, i, "vis_up", p->n_embd, p->n_ff, 1, other);
    add_matrix(m, i, "vis_down", p->n_ff, p->n_embd, 1, other * residual);
}

/* ---- tensors of rwkv ---- */

/* Random numbers as F32: ne0 in a row; several rows are weights of their own, with the dimensions that libllama expects. */
static void add_numbers(struct maker *m, uint32_t layer, const char *what, uint64_t ne0, uint64_t ne1, uint64_t ne3, float scale) {
    char name[64];
    snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s", layer, what);
    struct tensor *t = add_tensor(m, name, ne3 > 1 ? 4 : ne1 > 1 ? 2 : 1, ne0, ne1, 1, FILL_OWN_ROWS, scale);
    t->type = MODEL_TYPE_F32;
    t->ne[3] = ne3;
    t->bytes = 4 * ne0 * ne1 * ne3;
}

/* Two small matrices that stand for a large one; with a vector of `offset` standard deviations added, if that isn't 0. */
static void add_small_pair(struct maker *m, uint32_t layer, const char *letter, uint64_t rank, float offset) {
    char name[32];
    uint64_t n = m->p.n_embd;
    snprintf(name, sizeof(name), "time_mix_%s0.weight", letter);
    if (offset > 0) add_numbers(m, layer, name, n, 1, 1, offset);
    snprintf(name, sizeof(name), "time_mix_%s1.weight", letter);
    add_numbers(m, layer, name, n, rank, 1, 1 / sqrtf((float)n));
    snprintf(name, sizeof(name), "time_mix_%s2.weight", letter);
    add_numbers(m, layer, name, rank, n, 1, 1 / sqrtf((float)rank));
}

static void add_rwkv7_mix(struct maker *m, uint32_t i) {
    uint64_t n = m->p.n_embd;
    add_small_pair(m, i, "w", RWKV_DECAY, 1);
    add_small_pair(m, i, "a", RWKV_ICLR, 1);
    add_small_pair(m, i, "v", i == 0 ? RWKV_ICLR : RWKV_VALUE, 1); /* nothing reads that of layer 0 */
    add_small_pair(m, i, "g", RWKV_GATE, 0);
    add_numbers(m, i, "time_mix_lerp_fused.weight", n, 1, 6, 0.5f);
    add_numbers(m, i, "time_mix_k_k.weight", n, 1, 1, 1);
    add_numbers(m, i, "time_mix_k_a.weight", n, 1, 1, 0.5f);
    add_numbers(m, i, "time_mix_r_k.weight", n, 1, 1, 0.5f);
}

static void add_rwkv6_mix(struct maker *m, uint32_t i) {
    uint64_t n = m->p.n_embd, head = m->p.head_dim;
    float extra = 1 / sqrtf((float)RWKV_ICLR);
    char name[64];
    add_numbers(m, i, "time_mix_w1.weight", n, 5 * RWKV_ICLR, 1, 1 / sqrtf((float)n));
    snprintf(name, sizeof(name), "blk.%" PRIu32 ".time_mix_w2.weight", i);
    struct tensor *w2 = add_tensor(m, name, 3, RWKV_ICLR, n, 5, FILL_OWN_ROWS, extra);
    w2->type = MODEL_TYPE_F32;
    w2->bytes = (uint64_t)4 * RWKV_ICLR * n * 5;
    add_numbers(m, i, "time_mix_lerp_x.weight", n, 1, 1, 0.5f);
    add_numbers(m, i, "time_mix_lerp_fused.weight", n, 1, 5, 0.5f);
    if (!is_converted(m)) add_numbers(m, i, "time_mix_first.weight", head, n / head, 1, 0.5f);
    add_numbers(m, i, "time_mix_decay.weight", n, 1, 1, 1);
    add_numbers(m, i, "time_mix_decay_w1.weight", n, RWKV_DECAY, 1, 1 / sqrtf((float)n));
    add_numbers(m, i, "time_mix_decay_w2.weight", RWKV_DECAY, n, 1, 1 / sqrtf((float)RWKV_DECAY));
    add_matrix(m, i, "time_mix_gate", n, n, 1, 1);
}

/* What follows the mixing with earlier tokens. */
static void add_rwkv_feed(struct maker *m, uint32_t i, float residual) {
    uint64_t n = m->p.n_embd, ff = m->p.n_ff;
    if (is_converted(m)) {
        add_norm(m, i, "ffn_norm", n);
        add_matrix(m, i, "ffn_gate", n, ff, 1, 1);
        add_matrix(m, i, "ffn_up", n, ff, 1, 1);
        add_matrix(m, i, "ffn_down", ff, n, 1, residual);
        return;
    }
    add_norm(m, i, "attn_norm_2", n);
    add_numbers(m, i, "attn_norm_2.bias", n, 1, 1, 0.1f);
    add_numbers(m, i, "channel_mix_lerp_k.weight", n, 1, 1, 0.5f);
    add_matrix(m, i, "channel_mix_key", n, ff, 1, 1);
    add_matrix(m, i, "channel_mix_value", ff, n, 1, residual);
    if (is_rwkv7(m)) return;
    add_numbers(m, i, "channel_mix_lerp_r.weight", n, 1, 1, 0.5f);
    add_matrix(m, i, "channel_mix_receptance", n, n, 1, 1);
}

static void add_rwkv_layer(struct maker *m, uint32_t i) {
    uint64_t n = m->p.n_embd, kv = m->p.n_head_kv > 0 ? (uint64_t)m->p.n_head_kv * m->p.head_dim : n;
    float residual = 1.0f / sqrtf(2.0f * (float)m->p.n_layer);
    add_norm(m, i, "attn_norm", n);
    if (!is_converted(m)) add_numbers(m, i, "attn_norm.bias", n, 1, 1, 0.1f);
    if (is_rwkv7(m)) add_rwkv7_mix(m, i);
    else add_rwkv6_mix(m, i);
    add_matrix(m, i, "time_mix_receptance", n, n, 1, 1);
    add_matrix(m, i, "time_mix_key", n, kv, 1, 1);
    add_matrix(m, i, "time_mix_value", n, kv, 1, 1);
    add_matrix(m, i, "time_mix_output", n, n, 1, residual);
    if (!is_converted(m)) {
        add_norm(m, i, "time_mix_ln", n);
        add_numbers(m, i, "time_mix_ln.bias", n, 1, 1, 0.1f);
    }
    add_rwkv_feed(m, i, residual);
}

static void add_rwkv_tables(struct maker *m) {
    const uint64_t n = m->p.n_embd;
    static const char *const biases[] = {"token_embd_norm.bias", "output_norm.bias"};
    if (is_converted(m)) return;
    add_tensor(m, "token_embd_norm.weight", 1, n, 1, 1, FILL_ONES, 1);
    for (size_t i = 0; i < ARRAY_LEN(biases); i++) {
        struct tensor *t = add_tensor(m, biases[i], 1, n, 1, 1, FILL_OWN_ROWS, 0.1f);
        t->type = MODEL_TYPE_F32;
        t->bytes = 4 * n;
    }
}

static void add_layer(struct maker *m, uint32_t i) {
    const struct preset *p = &m->p;
    if (is_rwkv(m)) {
        add_rwkv_layer(m, i);
        return;
    }
    uint64_t q = (uint64_t)p->n_head * head_dim(m, i), kv = (uint64_t)p->n_head_kv * head_dim(m, i), n = p->n_expert ? p->n_expert : 1;
    bool gemma = is_arch(m, "gemma3") || is_arch(m, "gemma4"), cogvlm = is_arch(m, "cogvlm");
    float residual = 1.0f / sqrtf(2.0f * (float)p->n_layer);
    add_norm(m, i, "attn_norm", p->n_embd);
    if (cogvlm) {
        add_matrix(m, i, "attn_qkv", p->n_embd, q + 2 * kv, 1, 1);
        add_vision_expert(m, i, residual);
    } else {
        add_matrix(m, i, "attn_q", p->n_embd, q, 1, 1);
        add_matrix(m, i, "attn_k", p->n_embd, kv, 1, 1);
        add_matrix(m, i, "attn_v", p->n_embd, kv, 1, 1);
    }
    add_matrix(m, i, "attn_output", q, p->n_embd, 1, residual);
    add_norm(m, i, "ffn_norm", p->n_embd);
    if (is_arch(m, "gemma4")) add_norm(m, i, "layer_output_scale", 1);
    if (gemma) {
        add_norm(m, i, "post_attention_norm", p->n_embd);
        add_norm(m, i, "post_ffw_norm", p->n_embd);
    }
    if (is_arch(m, "qwen2vl")) {
        add_bias(m, i, "attn_q", q);
        add_bias(m, i, "attn_k", kv);
        add_bias(m, i, "attn_v", kv);
    }
    if (p->n_expert || gemma) {
        add_norm(m, i, "attn_q_norm", head_dim(m, i));
        add_norm(m, i, "attn_k_norm", head_dim(m, i));
    }
    if (p->n_expert) {
        add_matrix(m, i, "ffn_gate_inp", p->n_embd, n, 1, 1);
        m->tensor[m->n_tensors - 1].type = MODEL_TYPE_F32;
        m->tensor[m->n_tensors - 1].bytes = 4 * p->n_embd * n;
    }
    add_matrix(m, i, p->n_expert ? "ffn_gate_exps" : "ffn_gate", p->n_embd, p->n_ff, n, 1);
    add_matrix(m, i, p->n_expert ? "ffn_up_exps" : "ffn_up", p->n_embd, p->n_ff, n, 1);
    add_matrix(m, i, p->n_expert ? "ffn_down_exps" : "ffn_down", p->n_ff, p->n_embd, n, residual);
}

static void add_tensors(struct maker *m) {
    const struct preset *p = &m->p;
    bool gemma = is_arch(m, "gemma3") || is_arch(m, "gemma4");
    add_tensor(m, "token_embd.weight", 2, p->n_embd, p->n_vocab, 1, FILL_OWN_ROWS, gemma ? 0.06f : 1);
    if (is_rwkv(m)) add_rwkv_tables(m);
    if (is_arch(m, "gemma4")) add_tensor(m, "rope_freqs.weight", 1, p->head_dim, 1, 1, FILL_ONES, 1);
    for (uint32_t i = 0; i < p->n_layer; i++) add_layer(m, i);
    add_tensor(m, "output_norm.weight", 1, p->n_embd, 1, 1, FILL_ONES, 1);
    if (!gemma) add_tensor(m, "output.weight", 2, p->n_embd, p->n_vocab, 1, FILL_OWN_ROWS, 2.0f / sqrtf((float)p->n_embd));
}

/* ---- data ---- */

static void make_rows(struct maker *m, const struct tensor *t, uint64_t n, float *row, uint8_t *out) {
    size_t bytes = (size_t)model_type_bytes(t->type, t->ne[0]);
    for (uint64_t r = 0; r < n; r++) {
        for (uint64_t i = 0; i < t->ne[0]; i++) row[i] = t->fill == FILL_ONES ? 1.0f : t->scale * next_normal(m);
        ggml_quantize_chunk((enum ggml_type)t->type, row, out + r * bytes, 0, 1, (int64_t)t->ne[0], NULL);
    }
}

/* Rows of one length, scale and type, made once. */
struct pool {
    uint64_t row_len;
    float scale;
    uint32_t type;
    uint8_t *rows;
};

static const uint8_t *pool_rows(struct maker *m, const struct tensor *t) {
    static struct pool pools[16];
    static uint32_t n_pools;
    for (uint32_t i = 0; i < n_pools; i++)
        if (pools[i].row_len == t->ne[0] && pools[i].scale == t->scale && pools[i].type == t->type) return pools[i].rows;
    struct pool *p = &pools[n_pools < ARRAY_LEN(pools) ? n_pools++ : 0];
    free(p->rows);
    *p = (struct pool){.row_len = t->ne[0], .scale = t->scale, .type = t->type};
    p->rows = mem_calloc(POOL_ROWS, (size_t)model_type_bytes(t->type, t->ne[0]));
    float *row = mem_calloc((size_t)t->ne[0], sizeof(*row));
    make_rows(m, t, POOL_ROWS, row, p->rows);
    free(row);
    return p->rows;
}

static bool write_tensor_data(struct maker *m, const struct tensor *t) {
    size_t bytes = (size_t)model_type_bytes(t->type, t->ne[0]);
    uint64_t n_rows = t->ne[1] * t->ne[2] * t->ne[3], at = 0, step = 1;
    const uint8_t *pool = t->fill == FILL_POOL ? pool_rows(m, t) : NULL;
    float *row = mem_calloc((size_t)t->ne[0], sizeof(*row));
    uint8_t *own = mem_alloc(bytes);
    bool ok = true;
    for (uint64_t r = 0; r < n_rows && ok; r++) {
        if (!pool) make_rows(m, t, 1, row, own);
        else if (r % POOL_ROWS == 0) { /* each row of the pool once, in another order every time */
            step = 2 * (next_random(m) % (POOL_ROWS / 2)) + 1;
            at = next_random(m) % POOL_ROWS;
        } else at = (at + step) % POOL_ROWS;
        ok = fwrite(pool ? pool + at * bytes : own, 1, bytes, m->out) == bytes;
    }
    for (uint64_t pad = t->bytes; ok && pad % 32; pad++) ok = fputc(0, m->out) != EOF;
    free(own);
    free(row);
    return ok;
}

static bool write_model(struct maker *m) {
    struct buf header;
    struct model_writer w;
    uint64_t offset = 0;
    buf_init(&header, (size_t)1 << 28);
    model_write_start(&w, &header);
    write_metadata(m, &w);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        const struct tensor *t = &m->tensor[i];
        model_write_tensor(&w, t->name, t->type, t->n_dims, t->ne, offset);
        offset += (t->bytes + 31) / 32 * 32;
    }
    model_write_end(&w, 32);
    bool ok = !header.failed && fwrite(header.data, 1, header.len, m->out) == header.len;
    buf_done(&header);
    for (uint32_t i = 0; i < m->n_tensors && ok; i++) ok = write_tensor_data(m, &m->tensor[i]);
    return ok;
}

static const struct preset *find_preset(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(presets); i++)
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    return NULL;
}

static int usage(void) {
    fprintf(stderr,
            "usage: make-model --preset tiny|300m|1b|8b|moe|tiny-gemma3|tiny-gemma4|tiny-qwen2vl|tiny-cogvlm|tiny-rwkv6|tiny-rwkv6qwen2|"
            "tiny-rwkv7|tiny-arwkv7|rwkv7-3b --type f32|f16|q8_0|q4_k|... --out FILE "
            "[--layers N] [--seed N]\n");
    return 64;
}

int main(int argc, char **argv) {
    const char *preset = NULL, *type = "q4_k", *out = NULL, *layers = NULL, *seed = "1";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char **value = strcmp(argv[i], "--preset") == 0   ? &preset
                             : strcmp(argv[i], "--type") == 0   ? &type
                             : strcmp(argv[i], "--out") == 0    ? &out
                             : strcmp(argv[i], "--layers") == 0 ? &layers
                             : strcmp(argv[i], "--seed") == 0   ? &seed
                                                                : NULL;
        if (!value) return usage();
        *value = argv[i + 1];
    }
    if (argc % 2 == 0 || !preset || !out || !find_preset(preset)) return usage();
    struct maker *m = MEM_NEW(struct maker);
    m->p = *find_preset(preset);
    if (layers) m->p.n_layer = (uint32_t)strtoul(layers, NULL, 10);
    m->random = strtoull(seed, NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (m->p.n_layer == 0 || !model_type_parse(type, &m->type)) return usage();
    if (m->p.n_embd % model_type_get(m->type)->block || m->p.n_ff % model_type_get(m->type)->block) {
        fprintf(stderr, "the rows of preset %s do not fit the blocks of type %s\n", preset, type);
        return 65;
    }
    add_tensors(m);
    m->out = fopen(out, "wb");
    bool ok = m->out && write_model(m);
    if (m->out && fclose(m->out) != 0) ok = false;
    if (!ok) fprintf(stderr, "cannot write \"%s\"\n", out);
    free(m);
    return ok ? 0 : 74;
}
