/* SPDX-License-Identifier: MIT
 * Fuzzes the grammar check, and behind it libllama's own parser, with the demo model's vocabulary: no crash, and libllama parses what the
 * check lets through (tokens that the vocabulary lacks, and the product of repetitions, are its own to judge). */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/gbnf.h"
#include "engine/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct llama_vocab *vocab;

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    char path[4096];
    struct err e = {0};
    const char *source = getenv("CARAVAN_SOURCE");
    snprintf(path, sizeof(path), "%s/models/caravan-demo.gguf", source != NULL ? source : ".");
    if (engine_runtime_start(CARAVAN_BACKENDS_DIR, &e) != ERR_OK) return 0;
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    struct llama_model *model = llama_model_load_from_file(path, params);
    if (model != NULL) vocab = llama_model_get_vocab(model);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    char *text = malloc(size + 1);
    if (text == NULL) return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    err_code code = gbnf_check(text, &e);
    if ((code != ERR_OK) != (e.text[0] != '\0')) abort();
    if (code == ERR_OK && vocab != NULL && size < 4096) {
        engine_runtime_clear();
        struct llama_sampler *s = llama_sampler_init_grammar(vocab, text, "root");
        bool own = strpbrk(text, "<{") != NULL || strstr(engine_runtime_complaint(), "recursion") != NULL;
        if (s == NULL && !own) {
            fprintf(stderr, "libllama does not parse this: %s\n", text);
            abort();
        }
        if (s != NULL) llama_sampler_free(s);
    }
    free(text);
    return 0;
}
