/* SPDX-License-Identifier: MIT
 * Loaded before libllama (LD_PRELOAD), this makes a request crash the process that computes it, as a failed assertion of libllama does:
 * llama_decode aborts on a batch with the token GGML_ABORT_TOKEN, writes where nothing is on one with the token GGML_FAULT_TOKEN, and
 * aborts in a slice that takes hidden states on one with a position from GGML_ABORT_POSITION on. A slice that takes tokens needs three
 * seconds for the batch after one with a position from GGML_SLOW_POSITION on. (Stages get variables of these names.) */
#include <dlfcn.h>
#include <llama.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

static long setting(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : -1;
}

static int *volatile nowhere;
static bool slow_next;

int32_t llama_decode(struct llama_context *ctx, struct llama_batch batch) {
    int32_t (*next)(struct llama_context *, struct llama_batch);
    long slow = setting("GGML_SLOW_POSITION"), token = setting("GGML_ABORT_TOKEN"), fault = setting("GGML_FAULT_TOKEN"),
         position = setting("GGML_ABORT_POSITION");
    if (slow_next) poll(NULL, 0, 3000);
    slow_next = slow >= 0 && batch.token != NULL && batch.pos[batch.n_tokens - 1] >= slow;
    for (int32_t i = 0; i < batch.n_tokens; i++) {
        if (token >= 0 && batch.token != NULL && batch.token[i] == token) abort();
        if (fault >= 0 && batch.token != NULL && batch.token[i] == fault) *nowhere = 1;
        if (position >= 0 && batch.token == NULL && batch.pos[i] >= position) abort();
    }
    *(void **)&next = dlsym(RTLD_NEXT, "llama_decode");
    return next(ctx, batch);
}
