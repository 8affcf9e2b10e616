/* SPDX-License-Identifier: MIT
 * Grammars on libllama's own sampler, with a vocabulary of single bytes, for comparison. Included once. */
#ifndef CARAVAN_TESTS_LLAMA_GRAMMAR_H
#define CARAVAN_TESTS_LLAMA_GRAMMAR_H

#include <llama.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/write.h"

enum { LLAMA_GRAMMAR_END = 2, LLAMA_GRAMMAR_FIRST_BYTE = 3 };

struct llama_grammar {
    struct buf file;
    struct llama_model *model;
    const struct llama_vocab *vocab;
};

static inline void llama_grammar_quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR && getenv("CARAVAN_LOG") != NULL) fprintf(stderr, "%s", text);
}

/* A model with only a vocabulary: <unk> <s> </s> and the 256 bytes. False: libllama refuses it. */
static inline bool llama_grammar_open(struct llama_grammar *f) {
    struct model_writer w;
    int32_t type;
    float score = 0;
    *f = (struct llama_grammar){0};
    buf_init(&f->file, 1 << 16);
    model_write_start(&w, &f->file);
    model_write_str(&w, "general.architecture", "llama");
    model_write_str(&w, "tokenizer.ggml.model", "llama");
    model_write_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    model_write_u32(&w, "tokenizer.ggml.eos_token_id", LLAMA_GRAMMAR_END);
    model_write_array(&w, "tokenizer.ggml.tokens", MODEL_KV_STR, 259);
    model_write_element(&w, "<unk>", 5);
    model_write_element(&w, "<s>", 3);
    model_write_element(&w, "</s>", 4);
    for (int i = 0; i < 256; i++) {
        char name[16];
        model_write_element(&w, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", (unsigned)i));
    }
    model_write_array(&w, "tokenizer.ggml.scores", MODEL_KV_F32, 259);
    for (int i = 0; i < 259; i++) model_write_raw(&w, &score, sizeof score);
    model_write_array(&w, "tokenizer.ggml.token_type", MODEL_KV_I32, 259);
    for (int i = 0; i < 259; i++) {
        type = i == 0 ? LLAMA_TOKEN_TYPE_UNKNOWN : i < 3 ? LLAMA_TOKEN_TYPE_CONTROL : LLAMA_TOKEN_TYPE_BYTE;
        model_write_raw(&w, &type, sizeof type);
    }
    model_write_end(&w, 32);
    llama_log_set(llama_grammar_quiet, NULL);
    FILE *file = fmemopen(f->file.data, f->file.len, "rb");
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    f->model = llama_model_load_from_file_ptr(file, params);
    fclose(file);
    if (f->model != NULL) f->vocab = llama_model_get_vocab(f->model);
    return f->model != NULL;
}

static inline void llama_grammar_close(struct llama_grammar *f) {
    llama_model_free(f->model);
    buf_done(&f->file);
}

static inline bool llama_grammar_allows(struct llama_sampler *s, llama_token token) {
    llama_token_data one = {token, 1.0f, 0};
    llama_token_data_array list = {.data = &one, .size = 1, .selected = -1};
    llama_sampler_apply(s, &list);
    return !isinf(one.logit);
}

/* How many bytes of the text fit; len + 1 if the text is also complete. -1: libllama refuses the grammar. */
static inline long llama_grammar_fit(const struct llama_grammar *f, const char *grammar, const char *text, size_t len) {
    struct llama_sampler *s = llama_sampler_init_grammar(f->vocab, grammar, "root");
    if (s == NULL) return -1;
    size_t n = 0;
    while (n < len && llama_grammar_allows(s, LLAMA_GRAMMAR_FIRST_BYTE + (unsigned char)text[n]))
        llama_sampler_accept(s, LLAMA_GRAMMAR_FIRST_BYTE + (unsigned char)text[n++]);
    bool complete = n == len && llama_grammar_allows(s, LLAMA_GRAMMAR_END);
    llama_sampler_free(s);
    return (long)n + complete;
}

#endif
