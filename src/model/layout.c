/* SPDX-License-Identifier: MIT */
#include "model/layout.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/hash.h"
#include "model/projector.h"

enum { DEFAULT_CTX = 4096 };

int32_t model_layer_of_name(const char *name, const char **ret_rest) {
    if (strncmp(name, "blk.", 4) != 0) return -1;
    int32_t n = 0;
    const char *at = name + 4;
    if (*at < '0' || *at > '9' || (*at == '0' && at[1] != '.')) return -1;
    for (; *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (*at - '0');
        if (n > 1000000) return -1;
    }
    if (*at != '.') return -1;
    if (ret_rest) *ret_rest = at + 1;
    return n;
}

/* A number of the architecture's metadata; `missing` if it is absent or not a number. */
static uint64_t arch_uint(const struct model_gguf *g, const char *suffix, uint64_t i, uint64_t missing) {
    uint64_t v = missing;
    model_kv_uint(model_gguf_find_arch(g, suffix), i, &v);
    return v;
}

static err_code need_u32(const struct model_gguf *g, const char *suffix, uint64_t max, uint32_t *ret, struct err *e) {
    uint64_t v;
    const struct model_kv *kv = model_gguf_find_arch(g, suffix);
    if (!kv)
        return err_set(e, ERR_FORMAT, "cannot use \"%s\": metadata key \"%s.%s\" is missing", model_gguf_path(g, 0), model_gguf_arch(g),
                       suffix);
    if (!model_kv_uint(kv, 0, &v) || v == 0 || v > max)
        return err_set(e, ERR_FORMAT, "cannot use \"%s\": metadata key \"%s\" is not a number from 1 to %" PRIu64, model_gguf_path(g, 0),
                       kv->key, max);
    *ret = (uint32_t)v;
    return ERR_OK;
}

static bool starts_with(const char *s, const char *start) { return strncmp(s, start, strlen(start)) == 0; }

/* Tables that only the first slice needs, or only the last; all other tensors outside of the layers go to every slice. */
static bool is_input_table(const char *name) {
    return starts_with(name, "token_embd.") || starts_with(name, "position_embd.") || starts_with(name, "token_types.") ||
           starts_with(name, "per_layer_token_embd.");
}

static bool is_output_table(const char *name) { return starts_with(name, "output."); }

/* The layer that alone reads the per-layer embedding; NULL: it is none of them alone. */
static struct model_layer *reader_of_ids(struct model_layout *l) {
    uint64_t layer = arch_uint(l->gguf, "ple.layers", 0, UINT64_MAX);
    return layer < l->n_block ? &l->layers[layer] : NULL;
}

static err_code sort_tensors(struct model_layout *l, struct err *e) {
    const struct model_gguf *g = l->gguf;
    uint64_t embd_table = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        int32_t n = model_layer_of_name(t->name, NULL);
        l->bytes_total += t->bytes;
        if (n >= (int32_t)l->n_block)
            return err_set(e, ERR_FORMAT,
                           "cannot use \"%s\": tensor \"%s\" is of a layer that \"%s.block_count\" (%" PRIu32 ") does not have",
                           model_gguf_path(g, t->part), t->name, l->arch, l->n_block);
        if (n >= 0) {
            l->layers[n].bytes += t->bytes;
            l->layers[n].n_tensors++;
        } else if (starts_with(t->name, "per_layer_token_embd.") && reader_of_ids(l)) reader_of_ids(l)->bytes += t->bytes;
        else if (is_input_table(t->name)) l->bytes_embd += t->bytes;
        else if (is_output_table(t->name)) l->bytes_output += t->bytes;
        else l->bytes_shared += t->bytes;
        if (strcmp(t->name, "token_embd.weight") == 0) embd_table = t->bytes;
    }
    l->tied = !model_gguf_find_tensor(g, "output.weight");
    if (l->tied) l->bytes_output += embd_table;

    uint32_t *next = l->tensor_of_layer = mem_calloc(model_gguf_n_tensors(g) + 1, sizeof(*next));
    for (uint32_t i = 0; i < l->n_block; i++) {
        if (l->layers[i].n_tensors == 0 && i < l->n_layer)
            return err_set(e, ERR_FORMAT, "cannot use \"%s\": layer %" PRIu32 " of %" PRIu32 " has no tensors", model_gguf_path(g, 0), i,
                           l->n_layer);
        l->layers[i].tensors = next;
        next += l->layers[i].n_tensors;
        l->layers[i].n_tensors = 0;
    }
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        int32_t n = model_layer_of_name(model_gguf_tensor(g, i)->name, NULL);
        if (n < 0) continue;
        struct model_layer *layer = &l->layers[n];
        l->tensor_of_layer[(size_t)(layer->tensors - l->tensor_of_layer) + layer->n_tensors++] = (uint32_t)i;
    }
    return ERR_OK;
}

bool model_layer_expert(const char *name) {
    static const char *const kinds[] = {"ffn_up_", "ffn_down_", "ffn_gate_", "ffn_gate_up_"};
    const char *rest = NULL;
    bool found = false;
    if (model_layer_of_name(name, &rest) < 0) return false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i]);
        found |= starts_with(rest, kinds[i]) && (starts_with(rest + len, "exps.") || starts_with(rest + len, "chexps."));
    }
    return found;
}

const struct model_tensor *model_layer_tensor(const struct model_layout *l, uint32_t layer, const char *start) {
    for (uint32_t i = 0; i < l->layers[layer].n_tensors; i++) {
        const struct model_tensor *t = model_gguf_tensor(l->gguf, l->layers[layer].tensors[i]);
        const char *rest = NULL;
        if (model_layer_of_name(t->name, &rest) >= 0 && starts_with(rest, start)) return t;
    }
    return NULL;
}

/* Recurrent state of one sequence in a layer, by the kind of its tensors: the sizes that libllama gives r (shifted inputs) and s
 * (state), both f32. */
static uint64_t state_bytes(const struct model_layout *l, uint32_t layer) {
    const struct model_gguf *g = l->gguf;
    uint64_t n_embd = l->n_embd, r = 0, s = 0;
    uint64_t conv = arch_uint(g, "ssm.conv_kernel", 0, 0), inner = arch_uint(g, "ssm.inner_size", 0, 0);
    uint64_t state = arch_uint(g, "ssm.state_size", 0, 0), groups = arch_uint(g, "ssm.group_count", 0, 0);
    uint64_t kda = arch_uint(g, "kda.head_dim", 0, 0);
    if (model_layer_tensor(l, layer, "shortconv.")) {
        uint64_t cache = arch_uint(g, "shortconv.l_cache", 0, 1);
        r = n_embd * (cache ? cache - 1 : 0);
    } else if (model_layer_tensor(l, layer, "time_mix_")) {
        uint64_t head = arch_uint(g, "wkv.head_size", 0, 64), shift = arch_uint(g, "token_shift_count", 0, 2);
        r = shift * n_embd;
        s = n_embd * head;
    } else if (kda && model_layer_tensor(l, layer, "ssm_")) {
        uint64_t heads = arch_uint(g, "attention.head_count", layer, 1);
        if (heads == 0) heads = arch_uint(g, "attention.head_count", 0, 1);
        r = 3 * (conv ? conv - 1 : 3) * kda * heads;
        s = kda * kda * heads;
    } else if (model_layer_tensor(l, layer, "ssm_")) {
        r = (conv ? conv - 1 : 0) * (inner + 2 * groups * state);
        s = state * inner;
    }
    return 4 * (r + s);
}

/* The layer's window, where the metadata gives it. (Patterns in libllama's code are not known here: those layers count with the whole
 * context, which is never too little.) */
static uint32_t layer_window(const struct model_layout *l, uint32_t layer) {
    uint64_t window = arch_uint(l->gguf, "attention.sliding_window", 0, 0);
    const struct model_kv *pattern = model_gguf_find_arch(l->gguf, "attention.sliding_window_pattern");
    uint64_t v;
    if (window == 0 || !pattern || !model_kv_uint(pattern, layer, &v)) return 0;
    bool swa = pattern->type == MODEL_KV_ARRAY ? v != 0 : v == 1 || (v > 1 && layer % v != v - 1);
    return swa ? (uint32_t)(window < UINT32_MAX ? window : 0) : 0;
}

static uint32_t at_most_u32(uint64_t v) { return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX; }

/* Elements of K and V that one token takes in an attention layer. */
static void layer_kv(const struct model_layout *l, uint32_t layer, uint32_t *ret_k, uint32_t *ret_v) {
    const struct model_gguf *g = l->gguf;
    uint64_t heads = arch_uint(g, "attention.head_count", layer, 0);
    uint64_t heads_kv = arch_uint(g, "attention.head_count_kv", layer, heads);
    uint64_t latent = arch_uint(g, "attention.kv_lora_rank", 0, 0);
    *ret_k = *ret_v = 0;
    if (model_layer_tensor(l, layer, "attn_kv_a_mqa") &&
        (model_layer_tensor(l, layer, "attn_k_b.") || model_layer_tensor(l, layer, "attn_v_b."))) {
        *ret_k = at_most_u32(latent + arch_uint(g, "rope.dimension_count", 0, 64)); /* MLA: K and V are both made from the latent */
        return;
    }
    bool attention = model_layer_tensor(l, layer, "attn_k.") || model_layer_tensor(l, layer, "attn_qkv.") ||
                     model_layer_tensor(l, layer, "attn_k_") || model_layer_tensor(l, layer, "attn_kv");
    if (!attention || heads == 0) return;
    if (layer_window(l, layer) && model_gguf_find_arch(g, "attention.key_length_swa")) {
        *ret_k = at_most_u32(heads_kv * arch_uint(g, "attention.key_length_swa", 0, 0));
        *ret_v = at_most_u32(heads_kv * arch_uint(g, "attention.value_length_swa", 0, 0));
        return;
    }
    uint64_t head = l->n_embd / heads;
    *ret_k = at_most_u32(heads_kv * arch_uint(g, "attention.key_length", 0, head));
    *ret_v = at_most_u32(heads_kv * arch_uint(g, "attention.value_length", 0, head));
}

/* Elements of K that the indexer of sparse attention keeps besides the layer's own. */
static uint64_t indexer_k(const struct model_layout *l, uint32_t layer) {
    return arch_uint(l->gguf, "attention.head_count_kv", layer, 1) * arch_uint(l->gguf, "attention.indexer.key_length", 0, 0);
}

/* The last layers of some models use the K and V of earlier ones: they compute and keep none. */
static bool borrows_kv(const struct model_layout *l, uint32_t layer) {
    uint64_t shared = arch_uint(l->gguf, "attention.shared_kv_layers", 0, 0);
    return shared > 0 && shared < l->n_layer && layer >= l->n_layer - shared;
}

static void measure_layers(struct model_layout *l) {
    for (uint32_t i = 0; i < l->n_block; i++) {
        struct model_layer *layer = &l->layers[i];
        uint64_t ff = arch_uint(l->gguf, "feed_forward_length", i, 0), heads = arch_uint(l->gguf, "attention.head_count", i, 0);
        if (ff > l->n_ff_max) l->n_ff_max = at_most_u32(ff);
        if (heads > l->n_head_max) l->n_head_max = at_most_u32(heads);
        layer->nextn = i >= l->n_layer;
        layer->state_bytes = state_bytes(l, i);
        layer->window = layer_window(l, i);
        if (borrows_kv(l, i)) continue;
        if (layer->state_bytes == 0 || model_layer_tensor(l, i, "attn_k.") || model_layer_tensor(l, i, "attn_kv_a_mqa"))
            layer_kv(l, i, &layer->n_k, &layer->n_v);
        layer->indexer = model_layer_tensor(l, i, "indexer.") != NULL;
        if (layer->indexer) layer->n_k = at_most_u32(layer->n_k + indexer_k(l, i));
    }
}

/* Files that stand beside models, and are taken for one. */
static err_code check_kind(const struct model_gguf *g, struct err *e) {
    bool projector = model_projector_is(g), adapter = model_kv_is(model_gguf_find(g, "general.type"), "adapter");
    if (!projector && !adapter) return ERR_OK;
    err_set(e, ERR_UNSUPPORTED, "cannot use \"%s\": it is %s, not a model", model_gguf_path(g, 0),
            projector ? "a projector" : "an adapter");
    err_hint(e, "name the model's file, and this one with %s", projector ? "--mmproj FILE" : "--lora FILE");
    return ERR_UNSUPPORTED;
}

static err_code read_sizes(struct model_layout *l, struct err *e) {
    const struct model_gguf *g = l->gguf;
    err_code code = check_kind(g, e);
    if (!code) code = need_u32(g, "block_count", MODEL_MAX_LAYERS, &l->n_block, e);
    if (!code) code = need_u32(g, "embedding_length", 1u << 24, &l->n_embd, e);
    if (code) return code;
    uint64_t nextn = arch_uint(g, "nextn_predict_layers", 0, 0);
    if (nextn >= l->n_block)
        return err_set(e, ERR_FORMAT, "cannot use \"%s\": \"%s.nextn_predict_layers\" is %" PRIu64 " of %" PRIu32 " layers",
                       model_gguf_path(g, 0), l->arch, nextn, l->n_block);
    l->n_layer = l->n_block - (uint32_t)nextn;
    l->n_ctx_train = at_most_u32(arch_uint(g, "context_length", 0, 0));
    const struct model_tensor *embd = model_gguf_find_tensor(g, "token_embd.weight");
    if (!embd || embd->n_dims != 2 || embd->ne[1] > (1u << 28))
        return err_set(e, ERR_FORMAT, "cannot use \"%s\": tensor \"token_embd.weight\" %s", model_gguf_path(g, 0),
                       embd ? "is not a table" : "is missing");
    l->n_vocab = (uint32_t)embd->ne[1];
    const struct model_tensor *positions = model_gguf_find_tensor(g, "position_embd.weight");
    if (positions && positions->n_dims == 2) l->n_pos = at_most_u32(positions->ne[1]);
    return ERR_OK;
}

/* Layers are of one kind if their tensors have the same names, and they keep the same memory. */
static void hash_kinds(struct model_layout *l) {
    uint8_t hash[MODEL_HASH_SIZE];
    struct buf b;
    buf_init(&b, SIZE_MAX);
    for (uint32_t i = 0; i < l->n_layer; i++) {
        const struct model_layer *layer = &l->layers[i];
        buf_printf(&b, "layer %u %u %u %d %d\n", layer->n_k, layer->n_v, layer->window, layer->state_bytes > 0, layer->indexer);
        for (uint32_t k = 0; k < layer->n_tensors; k++) {
            const char *rest = NULL;
            model_layer_of_name(model_gguf_tensor(l->gguf, layer->tensors[k])->name, &rest);
            buf_printf(&b, "%s\n", rest);
        }
    }
    model_hash(b.data, b.len, hash);
    str_hex(hash, (MODEL_KINDS_SIZE - 1) / 2, l->kinds);
    buf_done(&b);
}

/* Has the layer a tensor for each of these words, which are beginnings of names? */
static bool has_tensors(const struct model_layout *l, uint32_t layer, const char *words) {
    char name[32];
    const char *word;
    size_t len;
    while (str_next(&words, ' ', &word, &len)) {
        snprintf(name, sizeof(name), "%.*s", (int)len, word);
        if (!model_layer_tensor(l, layer, name)) return false;
    }
    return true;
}

static bool can_predict(const struct model_layout *l) {
    static const struct {
        const char *arch;
        uint32_t most;
        const char *tensors;
    } rows[] = {
#define MTP(arch, most, tensors) {arch, most, tensors},
#include "../../tables/quirks_mtp.def"
#undef MTP
    };
    uint32_t n = l->n_block - l->n_layer;
    for (size_t i = 0; n > 0 && i < ARRAY_LEN(rows); i++)
        if (strcmp(l->arch, rows[i].arch) == 0 && n <= rows[i].most)
            return has_tensors(l, l->n_layer, "nextn.eh_proj. nextn.enorm. nextn.hnorm.") && has_tensors(l, l->n_layer, rows[i].tensors);
    return false;
}

bool model_layout_guesses(const struct model_layout *l, uint32_t n_rewind) {
    bool guesses = l->predicts && !l->shortened;
    for (uint32_t i = 0; i < l->n_layer && n_rewind == 0; i++) guesses = guesses && l->layers[i].state_bytes == 0;
    return guesses;
}

void model_layout_keep_mtp(struct model_layout *l, uint32_t n_rewind) { l->keeps_mtp = model_layout_guesses(l, n_rewind); }

void model_layout_shorten(struct model_layout *l, uint32_t n) {
    assert(n > 0 && n <= l->n_layer);
    l->n_layer = n;
    l->shortened = true;
}

err_code model_layout_ctx(const struct model_layout *l, uint32_t wish, uint32_t *ret, struct err *e) {
    uint32_t most = l->n_pos ? l->n_pos : UINT32_MAX, trained = l->n_ctx_train ? l->n_ctx_train : DEFAULT_CTX;
    if (trained > DEFAULT_CTX) trained = DEFAULT_CTX;
    if (wish > most) {
        err_set(e, ERR_INVALID, "a context of %u positions is more than the model can: it has learned %u", wish, most);
        err_hint(e, "--ctx %u, or less", most);
        return ERR_INVALID;
    }
    *ret = wish ? wish : trained < most ? trained : most;
    return ERR_OK;
}

err_code model_layout_create(const struct model_gguf *g, struct model_layout **ret_l, struct err *e) {
    struct model_layout *l = MEM_NEW(struct model_layout);
    l->gguf = g;
    size_t len = strlen(model_gguf_arch(g));
    memcpy(l->arch, model_gguf_arch(g), len < sizeof(l->arch) ? len : sizeof(l->arch) - 1);
    err_code code = read_sizes(l, e);
    if (!code) {
        l->layers = mem_calloc(l->n_block, sizeof(*l->layers));
        code = sort_tensors(l, e);
    }
    if (code) {
        model_layout_free(l);
        return code;
    }
    measure_layers(l);
    hash_kinds(l);
    l->predicts = can_predict(l);
    *ret_l = l;
    return ERR_OK;
}

void model_layout_free(struct model_layout *l) {
    if (!l) return;
    free(l->layers);
    free(l->tensor_of_layer);
    free(l);
}
