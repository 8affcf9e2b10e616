/* SPDX-License-Identifier: MIT
 * See shapes.h: the header of a named model. The mixes follow llama.cpp's llama-quantize (which tensors of which layers get more bits), as
 * far as they change sizes. Of tensors whose names differ between architectures, only what model/layout reads is as in real files. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "model/types.h"
#include "model/write.h"
#include "paper/shapes_priv.h"

enum { ROPE_MLA = 64, MAX_HEADER = 1 << 26 };

enum role {
    ROLE_OTHER,
    ROLE_EMBD,
    ROLE_OUTPUT,
    ROLE_K,
    ROLE_V,
    ROLE_ATTN_OUT,
    ROLE_DOWN,
    ROLE_EXPERT,
    ROLE_EXPERT_DOWN,
    ROLE_SMALL,
    ROLE_TABLE
};

/* A mix: the type of everything, of the output table, and a rule for the tensors that get more bits. */
enum rule { RULE_PLAIN, RULE_K_M, RULE_K_S, RULE_Q3_M, RULE_Q2, RULE_MXFP4 };
static const struct mix {
    const char *name;
    uint32_t base, output;
    enum rule rule;
} mixes[] = {
    {"q4_k_m", MODEL_TYPE_Q4_K, MODEL_TYPE_Q6_K, RULE_K_M},     {"q8_0", MODEL_TYPE_Q8_0, MODEL_TYPE_Q8_0, RULE_PLAIN},
    {"q6_k", MODEL_TYPE_Q6_K, MODEL_TYPE_Q6_K, RULE_PLAIN},     {"q5_k_m", MODEL_TYPE_Q5_K, MODEL_TYPE_Q6_K, RULE_K_M},
    {"q4_k_s", MODEL_TYPE_Q4_K, MODEL_TYPE_Q6_K, RULE_K_S},     {"q3_k_m", MODEL_TYPE_Q3_K, MODEL_TYPE_Q6_K, RULE_Q3_M},
    {"q2_k", MODEL_TYPE_Q2_K, MODEL_TYPE_Q6_K, RULE_Q2},        {"q4_0", MODEL_TYPE_Q4_0, MODEL_TYPE_Q6_K, RULE_PLAIN},
    {"iq4_xs", MODEL_TYPE_IQ4_XS, MODEL_TYPE_Q6_K, RULE_PLAIN}, {"mxfp4", MODEL_TYPE_Q8_0, MODEL_TYPE_Q8_0, RULE_MXFP4},
    {"f16", MODEL_TYPE_F16, MODEL_TYPE_F16, RULE_PLAIN},        {"bf16", MODEL_TYPE_BF16, MODEL_TYPE_BF16, RULE_PLAIN},
};

/* llama-quantize gives these layers more bits: the first and last eighth, and every third between. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static bool is_v(enum role r) { return r == ROLE_V; }
static bool is_down(enum role r) { return r == ROLE_DOWN || r == ROLE_EXPERT_DOWN; }

static uint32_t mixed_type(const struct shape *s, const struct mix *m, enum role role, uint32_t i) {
    if (role == ROLE_OUTPUT || (role == ROLE_EMBD && s->tied)) return m->output;
    if (m->rule == RULE_MXFP4) return role == ROLE_EXPERT || role == ROLE_EXPERT_DOWN ? MODEL_TYPE_MXFP4 : m->base;
    if (m->rule == RULE_PLAIN || role == ROLE_EMBD) return m->base;
    if (s->experts == 8 && (role == ROLE_K || role == ROLE_V)) return MODEL_TYPE_Q8_0;
    bool big = s->n_layer == 80; /* llama-quantize recognises a 70B by this */
    switch (m->rule) {
    case RULE_K_M:
        if ((is_v(role) || is_down(role)) && more_bits(i, s->n_layer)) return MODEL_TYPE_Q6_K;
        if (is_v(role) && big && m->base == MODEL_TYPE_Q4_K) return MODEL_TYPE_Q5_K;
        return m->base;
    case RULE_K_S: return (is_v(role) && (big || i < 4)) || (is_down(role) && i < s->n_layer / 8) ? MODEL_TYPE_Q5_K : m->base;
    case RULE_Q3_M:
        if (is_v(role)) return big || i < 2 ? MODEL_TYPE_Q5_K : MODEL_TYPE_Q4_K;
        if (is_down(role)) return i < s->n_layer / 16 ? MODEL_TYPE_Q5_K : MODEL_TYPE_Q4_K;
        return role == ROLE_ATTN_OUT ? MODEL_TYPE_Q4_K : m->base;
    case RULE_Q2:
        if (is_v(role)) return s->heads_kv && s->heads / s->heads_kv >= 4 ? MODEL_TYPE_Q4_K : MODEL_TYPE_Q3_K;
        return is_down(role) || role == ROLE_ATTN_OUT ? MODEL_TYPE_Q3_K : m->base;
    default: return m->base;
    }
}

/* Rows that are not a whole number of blocks get a type with smaller blocks, as in llama-quantize. */
static uint32_t fitting_type(uint32_t type, uint64_t row) {
    if (row % model_type_get(type)->block == 0) return type;
    uint32_t other = type == MODEL_TYPE_Q4_K   ? MODEL_TYPE_Q5_0
                     : type == MODEL_TYPE_Q5_K ? MODEL_TYPE_Q5_1
                     : type == MODEL_TYPE_Q6_K ? MODEL_TYPE_Q8_0
                                               : MODEL_TYPE_IQ4_NL;
    return row % model_type_get(other)->block == 0 ? other : MODEL_TYPE_F16;
}

/* A header that is being written. */
struct paper {
    const struct shape *s;
    const struct mix *m;
    struct model_writer w;
    uint64_t offset;
    uint32_t layer;
};

static void put(struct paper *p, const char *name, enum role role, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c) {
    char full[64];
    if (role == ROLE_EMBD || role == ROLE_OUTPUT || role == ROLE_TABLE) snprintf(full, sizeof(full), "%s", name);
    else snprintf(full, sizeof(full), "blk.%u.%s", p->layer, name);
    uint64_t ne[4] = {a, b, c, 1};
    uint32_t type = n_dims == 1 ? MODEL_TYPE_F32 : fitting_type(mixed_type(p->s, p->m, role, p->layer), a);
    if (role == ROLE_SMALL) type = MODEL_TYPE_F32;
    if (role == ROLE_TABLE) type = MODEL_TYPE_BF16;
    model_write_tensor(&p->w, full, type, n_dims, ne, p->offset);
    p->offset += (model_type_bytes(type, a * b * c) + 31) / 32 * 32;
}

static void put_norm(struct paper *p, const char *name) { put(p, name, ROLE_OTHER, 1, p->s->n_embd, 1, 1); }

static void put_mla(struct paper *p) {
    const struct shape *s = p->s;
    uint64_t nope = s->nope ? s->nope : s->head;
    put(p, "attn_q_a.weight", ROLE_OTHER, 2, s->n_embd, s->rank_q, 1);
    put(p, "attn_q_b.weight", ROLE_OTHER, 2, s->rank_q, (uint64_t)s->heads * (nope + ROPE_MLA), 1);
    put(p, "attn_kv_a_mqa.weight", ROLE_OTHER, 2, s->n_embd, s->rank_kv + ROPE_MLA, 1);
    put(p, "attn_k_b.weight", ROLE_OTHER, 3, nope, s->rank_kv, s->heads);
    put(p, "attn_v_b.weight", ROLE_OTHER, 3, s->rank_kv, s->head, s->heads);
}

/* Queries, keys and values of one layer; returns the width of what attention gives. */
static uint64_t put_qkv(struct paper *p, bool full) {
    const struct shape *s = p->s;
    bool differs = full && s->full_head > 0;
    uint64_t head = differs ? s->full_head : s->head, kv = head * (differs ? s->full_heads_kv : s->heads_kv), out = s->heads * head;
    if (s->rank_q) {
        put(p, "attn_q_a.weight", ROLE_OTHER, 2, s->n_embd, s->rank_q, 1);
        put(p, "attn_q_b.weight", ROLE_OTHER, 2, s->rank_q, out, 1);
        put(p, "attn_kv.weight", ROLE_K, 2, s->n_embd, kv, 1);
        return out;
    }
    put(p, "attn_q.weight", ROLE_OTHER, 2, s->n_embd, s->gated ? 2 * out : out, 1);
    put(p, "attn_k.weight", ROLE_K, 2, s->n_embd, kv, 1);
    if (!differs || s->full_v) put(p, "attn_v.weight", ROLE_V, 2, s->n_embd, kv, 1);
    return out;
}

static void put_indexer(struct paper *p) {
    const struct shape *s = p->s;
    put(p, "indexer.attn_k.weight", ROLE_OTHER, 2, s->n_embd, s->index_head, 1);
    put(p, "indexer.attn_q_b.weight", ROLE_OTHER, 2, s->rank_q, (uint64_t)s->index_heads * s->index_head, 1);
    put(p, "indexer.proj.weight", ROLE_OTHER, 2, s->n_embd, s->index_heads, 1);
}

static void put_attention(struct paper *p, bool full) {
    const struct shape *s = p->s;
    uint64_t out = (uint64_t)s->heads * s->head;
    put_norm(p, "attn_norm.weight");
    if (s->rank_kv) put_mla(p);
    else out = put_qkv(p, full);
    if (s->rank_kv && s->gated) put(p, "attn_gate.weight", ROLE_OTHER, 2, s->n_embd, out, 1);
    if (s->index_head) put_indexer(p);
    if (s->out_groups) {
        put(p, "attn_output_a.weight", ROLE_OTHER, 2, out / s->out_groups, (uint64_t)s->out_groups * s->out_rank, 1);
        out = (uint64_t)s->out_groups * s->out_rank;
    }
    put(p, "attn_output.weight", ROLE_ATTN_OUT, 2, out, s->n_embd, 1);
}

/* A recurrent layer's mixer: Mamba where the model has a pattern, else linear attention. */
static void put_recurrent(struct paper *p) {
    const struct shape *s = p->s;
    uint64_t state = s->state ? s->state : s->linear_head, inner = (uint64_t)s->linear_heads * s->linear_head;
    uint64_t keys = s->linear_groups * state, mixed = inner + 2 * keys;
    put_norm(p, "attn_norm.weight");
    put(p, "ssm_conv1d.weight", ROLE_SMALL, 2, 4, mixed, 1);
    put(p, "ssm_dt.bias", ROLE_OTHER, 1, s->linear_heads, 1, 1);
    if (s->pattern) {
        put(p, "ssm_in.weight", ROLE_OTHER, 2, s->n_embd, inner + mixed + s->linear_heads, 1);
    } else {
        put(p, "attn_qkv.weight", ROLE_OTHER, 2, s->n_embd, mixed, 1);
        put(p, "attn_gate.weight", ROLE_OTHER, 2, s->n_embd, inner, 1);
        put(p, "ssm_ba.weight", ROLE_OTHER, 2, s->n_embd, 2 * (uint64_t)s->linear_heads, 1);
    }
    put(p, "ssm_out.weight", ROLE_ATTN_OUT, 2, inner, s->n_embd, 1);
}

static uint32_t dense_width(const struct shape *s, uint32_t layer) {
    return s->shared_wide && layer >= s->n_layer - s->kv_shared ? 2 * s->ff : s->ff;
}

static void put_dense(struct paper *p) {
    const struct shape *s = p->s;
    uint32_t ff = dense_width(s, p->layer);
    if (!s->ungated) put(p, "ffn_gate.weight", ROLE_OTHER, 2, s->n_embd, ff, 1);
    put(p, "ffn_up.weight", ROLE_OTHER, 2, s->n_embd, ff, 1);
    put(p, "ffn_down.weight", ROLE_DOWN, 2, ff, s->n_embd, 1);
}

static void put_experts(struct paper *p) {
    const struct shape *s = p->s;
    uint32_t width = s->ff_latent ? s->ff_latent : s->n_embd;
    put(p, "ffn_gate_inp.weight", ROLE_SMALL, 2, s->n_embd, s->experts, 1);
    if (s->ff_latent) {
        put(p, "ffn_latent_down.weight", ROLE_OTHER, 2, s->n_embd, width, 1);
        put(p, "ffn_latent_up.weight", ROLE_OTHER, 2, width, s->n_embd, 1);
    }
    if (!s->ungated) put(p, "ffn_gate_exps.weight", ROLE_EXPERT, 3, width, s->ff_expert, s->experts);
    put(p, "ffn_up_exps.weight", ROLE_EXPERT, 3, width, s->ff_expert, s->experts);
    put(p, "ffn_down_exps.weight", ROLE_EXPERT_DOWN, 3, s->ff_expert, width, s->experts);
    if (!s->ff_shared) return;
    if (!s->ungated) put(p, "ffn_gate_shexp.weight", ROLE_OTHER, 2, s->n_embd, s->ff_shared, 1);
    put(p, "ffn_up_shexp.weight", ROLE_OTHER, 2, s->n_embd, s->ff_shared, 1);
    put(p, "ffn_down_shexp.weight", ROLE_DOWN, 2, s->ff_shared, s->n_embd, 1);
}

static bool has_experts(const struct shape *s, uint32_t layer) {
    return s->experts && layer >= s->dense && (s->moe_every == 0 || (layer + 1) % s->moe_every == 0);
}

static void put_layer(struct paper *p) {
    const struct shape *s = p->s;
    uint32_t i = p->layer;
    char kind = s->pattern ? s->pattern[i % strlen(s->pattern)] : s->full_every && (i + 1) % s->full_every ? 'M' : '*';
    bool full = s->window == 0 || s->period == 0 || i % s->period == s->period - 1;
    if (kind == 'M') put_recurrent(p);
    if (kind == '*') put_attention(p, full);
    if (kind != 'E' && s->pattern) return;
    put_norm(p, "ffn_norm.weight");
    if (kind == 'E' || has_experts(s, i)) put_experts(p);
    else put_dense(p);
    if (s->per_layer == 0) return;
    put(p, "inp_gate.weight", ROLE_OTHER, 2, s->n_embd, s->per_layer, 1);
    put(p, "proj.weight", ROLE_OTHER, 2, s->per_layer, s->n_embd, 1);
}

static void put_u32(struct paper *p, const char *suffix, uint32_t v) {
    char key[96];
    snprintf(key, sizeof(key), "%s.%s", p->s->arch, suffix);
    if (v) model_write_u32(&p->w, key, v);
}

/* A number for each layer. */
static void put_each(struct paper *p, const char *suffix, uint32_t (*of)(const struct shape *s, uint32_t layer)) {
    char key[96];
    snprintf(key, sizeof(key), "%s.%s", p->s->arch, suffix);
    model_write_array(&p->w, key, MODEL_KV_U32, p->s->n_layer);
    for (uint32_t i = 0; i < p->s->n_layer; i++) {
        uint32_t v = of(p->s, i);
        uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
        model_write_raw(&p->w, bytes, sizeof(bytes));
    }
}

static uint32_t layer_heads_kv(const struct shape *s, uint32_t layer) {
    return layer % s->period == s->period - 1 ? s->full_heads_kv : s->heads_kv;
}

/* Of a model whose layers with a window have other heads than those without: the general sizes are those of the latter. */
static void put_windowed_heads(struct paper *p) {
    put_u32(p, "attention.key_length_swa", p->s->head);
    put_u32(p, "attention.value_length_swa", p->s->head);
    put_each(p, "attention.head_count_kv", layer_heads_kv);
}

static void put_recurrent_sizes(struct paper *p) {
    const struct shape *s = p->s;
    if (s->kda) put_u32(p, "kda.head_dim", s->linear_head);
    put_u32(p, "ssm.conv_kernel", 4);
    put_u32(p, "ssm.inner_size", s->linear_heads * s->linear_head);
    put_u32(p, "ssm.state_size", s->state ? s->state : s->linear_head);
    put_u32(p, "ssm.group_count", s->linear_groups);
    put_u32(p, "ssm.time_step_rank", s->linear_heads);
    put_u32(p, "full_attention_interval", s->full_every);
}

static void put_metadata(struct paper *p) {
    const struct shape *s = p->s;
    model_write_str(&p->w, "general.architecture", s->arch);
    put_u32(p, "block_count", s->n_layer);
    put_u32(p, "embedding_length", s->n_embd);
    put_u32(p, "context_length", s->n_ctx);
    if (s->shared_wide) put_each(p, "feed_forward_length", dense_width);
    else put_u32(p, "feed_forward_length", s->ff);
    put_u32(p, "attention.head_count", s->heads);
    if (!s->full_head) put_u32(p, "attention.head_count_kv", s->rank_kv ? 1 : s->heads_kv);
    put_u32(p, "attention.key_length", s->rank_kv ? s->rank_kv + ROPE_MLA : s->full_head ? s->full_head : s->head);
    put_u32(p, "attention.value_length", s->rank_kv ? s->rank_kv : s->full_head ? s->full_head : s->head);
    put_u32(p, "attention.kv_lora_rank", s->rank_kv);
    put_u32(p, "rope.dimension_count", s->rank_kv ? ROPE_MLA : 0);
    put_u32(p, "expert_count", s->experts);
    put_u32(p, "expert_used_count", s->used);
    put_u32(p, "expert_feed_forward_length", s->ff_expert);
    put_u32(p, "leading_dense_block_count", s->dense);
    put_u32(p, "attention.sliding_window", s->window);
    put_u32(p, "attention.sliding_window_pattern", s->period);
    put_u32(p, "attention.shared_kv_layers", s->kv_shared);
    put_u32(p, "embedding_length_per_layer_input", s->per_layer);
    put_u32(p, "attention.indexer.key_length", s->index_head);
    if (s->full_head) put_windowed_heads(p);
    if (s->linear_heads) put_recurrent_sizes(p);
}

/* Quantised as the embedding is; its projection isn't quantised. */
static void put_per_layer_tables(struct paper *p) {
    const struct shape *s = p->s;
    uint64_t width = (uint64_t)s->per_layer * s->n_layer;
    if (width == 0) return;
    put(p, "per_layer_token_embd.weight", ROLE_EMBD, 2, width, s->n_vocab, 1);
    put(p, "per_layer_model_proj.weight", ROLE_TABLE, 2, s->n_embd, width, 1);
}

static err_code shape_write(const struct shape *s, const struct mix *m, const char *name, struct model_gguf **ret, struct err *e) {
    struct buf b;
    struct paper p = {.s = s, .m = m};
    buf_init(&b, MAX_HEADER);
    model_write_start(&p.w, &b);
    put_metadata(&p);
    put(&p, "token_embd.weight", ROLE_EMBD, 2, s->n_embd, s->n_vocab, 1);
    put_per_layer_tables(&p);
    put(&p, "output_norm.weight", ROLE_OUTPUT, 1, s->n_embd, 1, 1);
    if (!s->tied) put(&p, "output.weight", ROLE_OUTPUT, 2, s->n_embd, s->n_vocab, 1);
    for (p.layer = 0; p.layer < s->n_layer; p.layer++) put_layer(&p);
    model_write_end(&p.w, 32);
    struct model_part part = {.header = b.data, .header_len = b.len, .file_size = b.len + p.offset};
    err_code code =
        b.failed ? err_set(e, ERR_INTERNAL, "the header of \"%s\" is too long", name) : model_gguf_from_parts(name, &part, 1, ret, e);
    buf_done(&b);
    return code;
}

err_code shapes_write(const struct shape *s, const char *quant, const char *name, struct model_gguf **ret, struct err *e) {
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++)
        if (strcasecmp(mixes[i].name, quant) == 0) return shape_write(s, &mixes[i], name, ret, e);
    err_set(e, ERR_INVALID, "\"%s\" is not a quantisation that plans know", quant);
    err_hint(e, "q2_k, q3_k_m, q4_0, q4_k_s, q4_k_m, iq4_xs, mxfp4, q5_k_m, q6_k, q8_0, f16, bf16");
    return ERR_INVALID;
}
