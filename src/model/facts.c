/* SPDX-License-Identifier: MIT
 * Facts from a header. See facts.h. */
#include "model/facts.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#define MESSAGES_FACTS
#include "base/field_tables.h"
#undef MESSAGES_FACTS

/* general.file_type, as llama.h's enum llama_ftype numbers it. */
static const struct {
    uint32_t number;
    const char *name;
} file_types[] = {
    {0, "F32"},     {1, "F16"},     {2, "Q4_0"},     {3, "Q4_1"},    {7, "Q8_0"},    {8, "Q5_0"},    {9, "Q5_1"},
    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},  {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"},
    {17, "Q5_K_M"}, {18, "Q6_K"},   {19, "IQ2_XXS"}, {20, "IQ2_XS"}, {21, "Q2_K_S"}, {22, "IQ3_XS"}, {23, "IQ3_XXS"},
    {24, "IQ1_S"},  {25, "IQ4_NL"}, {26, "IQ3_S"},   {27, "IQ3_M"},  {28, "IQ2_S"},  {29, "IQ2_M"},  {30, "IQ4_XS"},
    {31, "IQ1_M"},  {32, "BF16"},   {36, "TQ1_0"},   {37, "TQ2_0"},  {38, "MXFP4"},
};

/* The file's own statement; else the type of most of its bytes. */
static void quantization(const struct model_gguf *g, char *ret, size_t size) {
    uint64_t number, bytes[MODEL_TYPE_END] = {0};
    uint32_t most = 0;
    if (model_kv_uint(model_gguf_find(g, "general.file_type"), 0, &number))
        for (size_t i = 0; i < ARRAY_LEN(file_types); i++)
            if (file_types[i].number == number) {
                snprintf(ret, size, "%s", file_types[i].name);
                return;
            }
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        if (t->type < MODEL_TYPE_END) bytes[t->type] += t->bytes;
    }
    for (uint32_t i = 0; i < MODEL_TYPE_END; i++)
        if (bytes[i] > bytes[most]) most = i;
    const struct model_type_info *info = model_type_get(most);
    snprintf(ret, size, "%s", info != NULL ? info->name : "");
    for (char *p = ret; *p != '\0'; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
}

static uint64_t parameters(const struct model_gguf *g) {
    uint64_t sum = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(g); i++) {
        const struct model_tensor *t = model_gguf_tensor(g, i);
        uint64_t n = 1;
        for (int k = 0; k < MODEL_MAX_DIMS; k++) n *= t->ne[k];
        sum += n;
    }
    return sum;
}

/* ---- tokens ---- */

/* The vocabulary's texts, one after another: u64 length, bytes; checked when the header was read. */
struct tokens {
    const uint8_t *at;
    uint64_t n, i;
};

static bool tokens_begin(const struct model_gguf *g, struct tokens *t) {
    const struct model_kv *list = model_gguf_find(g, "tokenizer.ggml.tokens");
    if (list == NULL || list->type != MODEL_KV_ARRAY || list->elem != MODEL_KV_STR) return false;
    *t = (struct tokens){.at = list->data, .n = list->n};
    return true;
}

static bool tokens_next(struct tokens *t, const char **ret_text, uint64_t *ret_len) {
    if (t->i == t->n) return false;
    memcpy(ret_len, t->at, 8);
    *ret_text = (const char *)t->at + 8;
    t->at += 8 + *ret_len;
    t->i++;
    return true;
}

void model_token_text(const struct model_gguf *g, uint64_t id, char *ret, size_t size) {
    struct tokens t;
    const char *text;
    uint64_t len;
    ret[0] = '\0';
    if (!tokens_begin(g, &t)) return;
    while (tokens_next(&t, &text, &len)) {
        if (t.i - 1 != id) continue;
        if (len < size) {
            memcpy(ret, text, len);
            ret[len] = '\0';
        }
        return;
    }
}

void model_token_text_of(const struct model_gguf *g, const char *key, char *ret, size_t size) {
    uint64_t id;
    ret[0] = '\0';
    if (model_kv_uint(model_gguf_find(g, key), 0, &id)) model_token_text(g, id, ret, size);
}

/* Files name these tokens by number, or the vocabulary has them under well-known texts. */
static void infill(const struct model_gguf *g, struct model_facts *f) {
    static const char *const known[][3] = {
        {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}, {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
        {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},       {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},
        {"<|fim▁begin|>", "<|fim▁hole|>", "<|fim▁end|>"},       {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"}};
    bool found[ARRAY_LEN(known)][3] = {0};
    struct tokens t;
    const char *text;
    uint64_t len;
    model_token_text_of(g, "tokenizer.ggml.fim_pre_token_id", f->fim_pre, sizeof(f->fim_pre));
    model_token_text_of(g, "tokenizer.ggml.fim_suf_token_id", f->fim_suf, sizeof(f->fim_suf));
    model_token_text_of(g, "tokenizer.ggml.fim_mid_token_id", f->fim_mid, sizeof(f->fim_mid));
    if (f->fim_pre[0] != '\0' && f->fim_suf[0] != '\0' && f->fim_mid[0] != '\0') return;
    f->fim_pre[0] = f->fim_suf[0] = f->fim_mid[0] = '\0';
    if (!tokens_begin(g, &t)) return;
    while (tokens_next(&t, &text, &len))
        for (size_t i = 0; len > 0 && text[0] == '<' && i < ARRAY_LEN(known); i++)
            for (int k = 0; k < 3; k++) found[i][k] |= len == strlen(known[i][k]) && memcmp(text, known[i][k], len) == 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!found[i][0] || !found[i][1] || !found[i][2]) continue;
        snprintf(f->fim_pre, sizeof(f->fim_pre), "%s", known[i][0]);
        snprintf(f->fim_suf, sizeof(f->fim_suf), "%s", known[i][1]);
        snprintf(f->fim_mid, sizeof(f->fim_mid), "%s", known[i][2]);
        return;
    }
}

void model_facts_make(const struct model_gguf *g, const struct model_layout *l, struct model_facts *ret) {
    uint64_t pooling = 0;
    *ret = (struct model_facts){.n_params = parameters(g),
                                .bytes = model_gguf_total_size(g),
                                .n_embd = l->n_embd,
                                .n_layer = l->n_layer,
                                .n_ctx_train = l->n_ctx_train};
    snprintf(ret->family, sizeof(ret->family), "%s", l->arch);
    snprintf(ret->digest, sizeof(ret->digest), "%s", model_gguf_id(g));
    quantization(g, ret->quantization, sizeof(ret->quantization));
    infill(g, ret);
    if (model_kv_uint(model_gguf_find_arch(g, "pooling_type"), 0, &pooling) && pooling < MODEL_POOLING_COUNT)
        ret->pooling = (uint32_t)pooling;
}
