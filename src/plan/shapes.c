/* SPDX-License-Identifier: MIT
 * See shapes.h. The mixes follow llama.cpp's llama-quantize (which tensors of which layers get more bits), as far as they change sizes. */
#include "plan/shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#include "model/write.h"

enum { ROPE_MLA = 64, MAX_HEADER = 1 << 26, MAX_READ = 1 << 28 };
#define PAPER_FILE ((uint64_t)1 << 60) /* the size of a file whose header alone is used */

struct shape {
    const char *name, *arch;
    uint32_t n_layer, n_embd, n_vocab, n_ctx, heads, heads_kv, head, ff, experts, used, ff_expert, ff_shared, dense, rank_q, rank_kv;
    uint32_t window, period;
    bool tied;
};
static const struct shape shapes[] = {
#define SHAPE(name, arch, n_layer, n_embd, n_vocab, n_ctx, heads, heads_kv, head, ff, experts, used, ff_expert, ff_shared, dense, rank_q, \
              rank_kv, window, period, tied) \
    {name,    arch, n_layer,   n_embd,    n_vocab, n_ctx,  heads,   heads_kv, head,   ff, \
     experts, used, ff_expert, ff_shared, dense,   rank_q, rank_kv, window,   period, tied},
#include "../../tables/shapes.def"
#undef SHAPE
};

enum role { ROLE_OTHER, ROLE_EMBD, ROLE_OUTPUT, ROLE_K, ROLE_V, ROLE_ATTN_OUT, ROLE_DOWN, ROLE_EXPERT, ROLE_EXPERT_DOWN };

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

struct paper {
    const struct shape *s;
    const struct mix *m;
    struct model_writer w;
    uint64_t offset;
    uint32_t layer;
};

static void put(struct paper *p, const char *name, enum role role, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c) {
    char full[64];
    if (role == ROLE_EMBD || role == ROLE_OUTPUT) snprintf(full, sizeof(full), "%s", name);
    else snprintf(full, sizeof(full), "blk.%u.%s", p->layer, name);
    uint64_t ne[4] = {a, b, c, 1};
    uint32_t type = n_dims == 1 ? MODEL_TYPE_F32 : fitting_type(mixed_type(p->s, p->m, role, p->layer), a);
    if (strstr(name, "ffn_gate_inp")) type = MODEL_TYPE_F32;
    model_write_tensor(&p->w, full, type, n_dims, ne, p->offset);
    p->offset += (model_type_bytes(type, a * b * c) + 31) / 32 * 32;
}

static void put_attention(struct paper *p) {
    const struct shape *s = p->s;
    uint64_t out = (uint64_t)s->heads * s->head, kv = (uint64_t)s->heads_kv * s->head;
    put(p, "attn_norm.weight", ROLE_OTHER, 1, s->n_embd, 1, 1);
    if (s->rank_kv) {
        put(p, "attn_q_a.weight", ROLE_OTHER, 2, s->n_embd, s->rank_q, 1);
        put(p, "attn_q_b.weight", ROLE_OTHER, 2, s->rank_q, (uint64_t)s->heads * (s->head + ROPE_MLA), 1);
        put(p, "attn_kv_a_mqa.weight", ROLE_OTHER, 2, s->n_embd, s->rank_kv + ROPE_MLA, 1);
        put(p, "attn_k_b.weight", ROLE_OTHER, 3, s->head, s->rank_kv, s->heads);
        put(p, "attn_v_b.weight", ROLE_OTHER, 3, s->rank_kv, s->head, s->heads);
    } else {
        put(p, "attn_q.weight", ROLE_OTHER, 2, s->n_embd, out, 1);
        put(p, "attn_k.weight", ROLE_K, 2, s->n_embd, kv, 1);
        put(p, "attn_v.weight", ROLE_V, 2, s->n_embd, kv, 1);
    }
    put(p, "attn_output.weight", ROLE_ATTN_OUT, 2, out, s->n_embd, 1);
    put(p, "ffn_norm.weight", ROLE_OTHER, 1, s->n_embd, 1, 1);
}

static void put_feed_forward(struct paper *p) {
    const struct shape *s = p->s;
    if (!s->experts || p->layer < s->dense) {
        put(p, "ffn_gate.weight", ROLE_OTHER, 2, s->n_embd, s->ff, 1);
        put(p, "ffn_up.weight", ROLE_OTHER, 2, s->n_embd, s->ff, 1);
        put(p, "ffn_down.weight", ROLE_DOWN, 2, s->ff, s->n_embd, 1);
        return;
    }
    put(p, "ffn_gate_inp.weight", ROLE_OTHER, 2, s->n_embd, s->experts, 1);
    put(p, "ffn_gate_exps.weight", ROLE_EXPERT, 3, s->n_embd, s->ff_expert, s->experts);
    put(p, "ffn_up_exps.weight", ROLE_EXPERT, 3, s->n_embd, s->ff_expert, s->experts);
    put(p, "ffn_down_exps.weight", ROLE_EXPERT_DOWN, 3, s->ff_expert, s->n_embd, s->experts);
    if (!s->ff_shared) return;
    put(p, "ffn_gate_shexp.weight", ROLE_OTHER, 2, s->n_embd, s->ff_shared, 1);
    put(p, "ffn_up_shexp.weight", ROLE_OTHER, 2, s->n_embd, s->ff_shared, 1);
    put(p, "ffn_down_shexp.weight", ROLE_DOWN, 2, s->ff_shared, s->n_embd, 1);
}

static void put_u32(struct paper *p, const char *suffix, uint32_t v) {
    char key[96];
    snprintf(key, sizeof(key), "%s.%s", p->s->arch, suffix);
    if (v) model_write_u32(&p->w, key, v);
}

static void put_metadata(struct paper *p) {
    const struct shape *s = p->s;
    model_write_str(&p->w, "general.architecture", s->arch);
    put_u32(p, "block_count", s->n_layer);
    put_u32(p, "embedding_length", s->n_embd);
    put_u32(p, "context_length", s->n_ctx);
    put_u32(p, "feed_forward_length", s->ff);
    put_u32(p, "attention.head_count", s->heads);
    put_u32(p, "attention.head_count_kv", s->rank_kv ? 1 : s->heads_kv);
    put_u32(p, "attention.key_length", s->rank_kv ? s->rank_kv + ROPE_MLA : s->head);
    put_u32(p, "attention.value_length", s->rank_kv ? s->rank_kv : s->head);
    put_u32(p, "attention.kv_lora_rank", s->rank_kv);
    put_u32(p, "rope.dimension_count", s->rank_kv ? ROPE_MLA : 0);
    put_u32(p, "expert_count", s->experts);
    put_u32(p, "expert_used_count", s->used);
    put_u32(p, "expert_feed_forward_length", s->ff_expert);
    put_u32(p, "leading_dense_block_count", s->dense);
    put_u32(p, "attention.sliding_window", s->window);
    put_u32(p, "attention.sliding_window_pattern", s->period);
}

static err_code shape_write(const struct shape *s, const struct mix *m, const char *name, struct model_gguf **ret, struct err *e) {
    struct buf b;
    struct paper p = {.s = s, .m = m};
    buf_init(&b, MAX_HEADER);
    model_write_start(&p.w, &b);
    put_metadata(&p);
    put(&p, "token_embd.weight", ROLE_EMBD, 2, s->n_embd, s->n_vocab, 1);
    put(&p, "output_norm.weight", ROLE_OUTPUT, 1, s->n_embd, 1, 1);
    if (!s->tied) put(&p, "output.weight", ROLE_OUTPUT, 2, s->n_embd, s->n_vocab, 1);
    for (p.layer = 0; p.layer < s->n_layer; p.layer++) {
        put_attention(&p);
        put_feed_forward(&p);
    }
    model_write_end(&p.w, 32);
    struct model_part part = {.header = b.data, .header_len = b.len, .file_size = b.len + p.offset};
    err_code code =
        b.failed ? err_set(e, ERR_INTERNAL, "the header of \"%s\" is too long", name) : model_gguf_from_parts(name, &part, 1, ret, e);
    buf_done(&b);
    return code;
}

static const struct shape *shape_find(const char *name, size_t len) {
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        if (strlen(shapes[i].name) == len && strncasecmp(shapes[i].name, name, len) == 0) return &shapes[i];
    return NULL;
}

bool shapes_known(const char *name) { return shape_find(name, strcspn(name, ":")) != NULL; }

void shapes_list(struct buf *out) {
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) buf_printf(out, "%s%s", i ? ", " : "", shapes[i].name);
}

err_code shapes_open(const char *name, struct model_gguf **ret, struct err *e) {
    const char *names[ARRAY_LEN(shapes)];
    size_t len = strcspn(name, ":");
    const struct shape *s = shape_find(name, len);
    if (!s) {
        char word[64];
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++) names[i] = shapes[i].name;
        snprintf(word, sizeof(word), "%.*s", (int)(len < 63 ? len : 63), name);
        const char *near = str_nearest(word, names, ARRAY_LEN(shapes));
        err_set(e, ERR_NOT_FOUND, "there is no file \"%s\" and no model of that name is known", name);
        if (near) err_hint(e, "did you mean %s:q4_k_m? --list names all", near);
        else err_hint(e, "give a GGUF (its header is enough), or a name such as llama-70b:q4_k_m; --list names all");
        return ERR_NOT_FOUND;
    }
    const char *quant = name[len] ? name + len + 1 : "q4_k_m";
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++)
        if (strcasecmp(mixes[i].name, quant) == 0) return shape_write(s, &mixes[i], name, ret, e);
    err_set(e, ERR_INVALID, "\"%s\" is not a quantisation that plans know", quant);
    err_hint(e, "q2_k, q3_k_m, q4_0, q4_k_s, q4_k_m, iq4_xs, mxfp4, q5_k_m, q6_k, q8_0, f16, bf16");
    return ERR_INVALID;
}

err_code shapes_open_header(const char *path, struct model_gguf **ret, struct err *e) {
    int fd;
    err_code code = file_open(path, "model", &fd, e);
    FILE *f = code == ERR_OK ? fdopen(fd, "r") : NULL;
    if (!f) return code;
    code = ERR_FORMAT;
    uint8_t *data = NULL;
    size_t have = 0, want = 1 << 20;
    for (; want <= MAX_READ; want *= 4) { /* the header's length is unknown: read more until it parses or the file ends */
        data = mem_realloc(data, want, 1);
        have += fread(data + have, 1, want - have, f);
        struct model_part part = {.header = data, .header_len = have, .file_size = PAPER_FILE};
        code = model_gguf_from_parts(path, &part, 1, ret, e);
        if (code == ERR_OK || have < want) break;
    }
    fclose(f);
    free(data);
    return code;
}
