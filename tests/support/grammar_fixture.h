/* SPDX-License-Identifier: MIT
 * Grammars on libllama's own sampler, with a vocabulary of single bytes: does a text fit, and random ones that do. Included once. */
#ifndef CARAVAN_TESTS_GRAMMAR_FIXTURE_H
#define CARAVAN_TESTS_GRAMMAR_FIXTURE_H

#include <llama.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "model/write.h"

enum { GRAMMAR_END = 2, GRAMMAR_FIRST_BYTE = 3 };

struct grammar_fixture {
    struct buf file;
    struct llama_model *model;
    const struct llama_vocab *vocab;
};

static inline void grammar_fixture_quiet(enum ggml_log_level level, const char *text, void *user) {
    (void)user;
    if (level == GGML_LOG_LEVEL_ERROR && getenv("CARAVAN_LOG") != NULL) fprintf(stderr, "%s", text);
}

/* A model of nothing but a vocabulary: <unk> <s> </s> and the 256 bytes. False: libllama refuses it. */
static inline bool grammar_fixture_open(struct grammar_fixture *f) {
    struct model_writer w;
    int32_t type;
    float score = 0;
    *f = (struct grammar_fixture){0};
    buf_init(&f->file, 1 << 16);
    model_write_start(&w, &f->file);
    model_write_str(&w, "general.architecture", "llama");
    model_write_str(&w, "tokenizer.ggml.model", "llama");
    model_write_u32(&w, "tokenizer.ggml.bos_token_id", 1);
    model_write_u32(&w, "tokenizer.ggml.eos_token_id", GRAMMAR_END);
    model_write_array(&w, "tokenizer.ggml.tokens", MODEL_KV_STR, 259);
    model_write_element(&w, "<unk>", 5);
    model_write_element(&w, "<s>", 3);
    model_write_element(&w, "</s>", 4);
    for (int i = 0; i < 256; i++) {
        char name[16];
        model_write_element(&w, name, (size_t)snprintf(name, sizeof(name), "<0x%02X>", (unsigned)i));
    }
    model_write_array(&w, "tokenizer.ggml.scores", MODEL_KV_F32, 259);
    for (int i = 0; i < 259; i++) model_write_raw(&w, &score, sizeof(score));
    model_write_array(&w, "tokenizer.ggml.token_type", MODEL_KV_I32, 259);
    for (int i = 0; i < 259; i++) {
        type = i == 0 ? LLAMA_TOKEN_TYPE_UNKNOWN : i < 3 ? LLAMA_TOKEN_TYPE_CONTROL : LLAMA_TOKEN_TYPE_BYTE;
        model_write_raw(&w, &type, sizeof(type));
    }
    model_write_end(&w, 32);
    llama_log_set(grammar_fixture_quiet, NULL);
    FILE *file = fmemopen(f->file.data, f->file.len, "rb");
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
    f->model = llama_model_load_from_file_ptr(file, params);
    fclose(file);
    if (f->model != NULL) f->vocab = llama_model_get_vocab(f->model);
    return f->model != NULL;
}

static inline void grammar_fixture_close(struct grammar_fixture *f) {
    llama_model_free(f->model);
    buf_done(&f->file);
}

static inline bool grammar_allows(struct llama_sampler *s, llama_token token) {
    llama_token_data one = {token, 1.0f, 0};
    llama_token_data_array list = {.data = &one, .size = 1, .selected = -1};
    llama_sampler_apply(s, &list);
    return !isinf(one.logit);
}

/* Bytes of the text that fit; len + 1 when it is also complete. -1: libllama refuses the grammar. */
static inline long grammar_fit(const struct grammar_fixture *f, const char *grammar, const char *text, size_t len) {
    struct llama_sampler *s = llama_sampler_init_grammar(f->vocab, grammar, "root");
    if (s == NULL) return -1;
    size_t n = 0;
    while (n < len && grammar_allows(s, GRAMMAR_FIRST_BYTE + (unsigned char)text[n]))
        llama_sampler_accept(s, GRAMMAR_FIRST_BYTE + (unsigned char)text[n++]);
    bool complete = n == len && grammar_allows(s, GRAMMAR_END);
    llama_sampler_free(s);
    return (long)n + complete;
}

static inline uint64_t grammar_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Appends a random text that fits; after `most` bytes it closes what is open as soon as it can. False: no end in 20 * most bytes. */
static inline bool grammar_walk(const struct grammar_fixture *f, const char *grammar, uint64_t *seed, size_t most, struct buf *out) {
    static const char closing[] = "\"]}0aZ9-1T:,xbc";
    struct llama_sampler *s = llama_sampler_init_grammar(f->vocab, grammar, "root");
    bool ended = false;
    if (s == NULL) return false;
    for (size_t n = 0; n < 20 * most && !ended; n++) {
        llama_token_data list[257];
        llama_token_data_array array = {.data = list, .size = 257, .selected = -1};
        for (int i = 0; i < 257; i++) list[i] = (llama_token_data){i == 256 ? GRAMMAR_END : GRAMMAR_FIRST_BYTE + i, 1.0f, 0};
        llama_sampler_apply(s, &array);
        size_t allowed = 0;
        llama_token pick = -1, beyond = -1;
        for (size_t i = 0; i < array.size; i++) {
            if (isinf(array.data[i].logit)) continue;
            if (array.data[i].id >= GRAMMAR_FIRST_BYTE + 0x80) { /* only in literals: elsewhere bytes need not make characters */
                beyond = array.data[i].id;
                continue;
            }
            if (grammar_random(seed) % ++allowed == 0) pick = array.data[i].id;
        }
        if (n >= most) {
            if (grammar_allows(s, GRAMMAR_END)) pick = GRAMMAR_END;
            for (size_t i = grammar_random(seed) % 3 ? 0 : grammar_random(seed) % (sizeof(closing) - 1);
                 pick != GRAMMAR_END && closing[i] != '\0'; i++)
                if (grammar_random(seed) % 4 != 0 && grammar_allows(s, GRAMMAR_FIRST_BYTE + closing[i])) {
                    pick = GRAMMAR_FIRST_BYTE + closing[i];
                    break;
                }
        }
        if (pick < 0) pick = beyond;
        if (pick < 0) break;
        ended = pick == GRAMMAR_END;
        if (ended) break;
        llama_sampler_accept(s, pick);
        buf_append_byte(out, (uint8_t)(pick - GRAMMAR_FIRST_BYTE));
    }
    llama_sampler_free(s);
    return ended;
}

#endif
