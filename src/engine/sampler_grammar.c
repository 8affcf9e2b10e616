/* SPDX-License-Identifier: MIT
 * The grammar of a sequence: which tokens may come next. A lazy one waits for its words, and then holds for what comes behind them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/gbnf.h"
#include "engine/runtime.h"
#include "engine/sampler_priv.h"
#include "engine/trigger.h"
#include "engine/vocab.h"

struct sampler_grammar {
    const struct llama_vocab *vocab;
    uint32_t n_vocab;
    struct llama_sampler *grammar;
    uint32_t from;                  /* position of the first token it sees, 0: not known yet */
    int32_t at;                     /* next position it has not seen */
    struct engine_lazy lazy;        /* owned copy */
    struct engine_trigger trigger;
    bool waiting;
    struct buf text, rest;          /* of the token in question; what it has behind the word */
};

enum { MAX_TOKEN_TEXT = 4096 };

err_code sampler_grammar_create(const struct llama_vocab *vocab, const struct engine_sampling *p, struct sampler_grammar **ret,
                                struct err *e) {
    *ret = NULL;
    if (p->grammar == NULL) return ERR_OK;
    if (!engine_vocab_usable(vocab)) return err_set(e, ERR_UNSUPPORTED, "a grammar needs a tokenizer, and the model has none");
    err_code code = gbnf_check(p->grammar, e);
    if (code != ERR_OK) return code;
    engine_runtime_clear();
    struct llama_sampler *grammar = llama_sampler_init_grammar(vocab, p->grammar, "root");
    if (grammar == NULL) {
        const char *why = engine_runtime_complaint();
        return err_set(e, ERR_INVALID, "grammar: %s", *why != '\0' ? why : "libllama refuses it");
    }
    struct sampler_grammar *g = MEM_NEW(struct sampler_grammar);
    g->vocab = vocab;
    g->n_vocab = engine_vocab_size(vocab);
    g->grammar = grammar;
    g->from = p->generated_from;
    g->at = (int32_t)p->generated_from;
    engine_lazy_copy(&p->lazy, &g->lazy);
    engine_trigger_init(&g->trigger, &g->lazy);
    g->waiting = g->lazy.n_triggers > 0;
    buf_init(&g->text, MAX_TOKEN_TEXT);
    buf_init(&g->rest, MAX_TOKEN_TEXT);
    *ret = g;
    return ERR_OK;
}

void sampler_grammar_free(struct sampler_grammar *g) {
    if (g == NULL) return;
    llama_sampler_free(g->grammar);
    engine_lazy_done(&g->lazy);
    buf_done(&g->text);
    buf_done(&g->rest);
    free(g);
}

/* ---- text into the grammar ---- */

static bool grammar_allows(struct llama_sampler *grammar, int32_t token) {
    llama_token_data one = {token, 0, 0};
    llama_token_data_array c = {&one, 1, -1, false};
    llama_sampler_apply(grammar, &c);
    return one.logit != -INFINITY;
}

/* The longest token that the text begins with; -1: none. */
static int32_t longest_token(struct sampler_grammar *g, const char *text, size_t len, size_t *ret_len) {
    int32_t best = -1;
    *ret_len = 0;
    for (int32_t t = 0; t < (int32_t)g->n_vocab; t++) {
        buf_clear(&g->text);
        if (engine_vocab_piece(g->vocab, t, &g->text) || g->text.len > len || g->text.len <= *ret_len) continue;
        if (memcmp(g->text.data, text, g->text.len) != 0) continue;
        best = t;
        *ret_len = g->text.len;
    }
    return best;
}

/* Does the grammar take this text? It is given to it in tokens, since libllama takes nothing else. */
static bool grammar_takes(struct sampler_grammar *g, struct llama_sampler *grammar, const char *text, size_t len) {
    for (size_t n; len > 0; text += n, len -= n) {
        int32_t token = longest_token(g, text, len, &n);
        if (token < 0 || !grammar_allows(grammar, token)) return false;
        llama_sampler_accept(grammar, token);
    }
    return true;
}

/* What stands in g->rest, against a grammar that has seen nothing. */
static bool rest_fits(struct sampler_grammar *g) {
    if (g->rest.len == 0) return true;
    struct llama_sampler *copy = llama_sampler_clone(g->grammar);
    bool fits = copy != NULL && grammar_takes(g, copy, (const char *)g->rest.data, g->rest.len);
    if (copy != NULL) llama_sampler_free(copy);
    return fits;
}

/* Would the token, or does it, complete a word? Then g->rest is what it has behind it. */
static bool fires(struct sampler_grammar *g, struct engine_trigger *trigger, int32_t token) {
    size_t used = 0;
    buf_clear(&g->text);
    buf_clear(&g->rest);
    engine_vocab_piece(g->vocab, token, &g->text);
    if (!engine_trigger_push(trigger, (const char *)g->text.data, g->text.len, &used)) return false;
    buf_append(&g->rest, g->text.data + used, g->text.len - used);
    return true;
}

/* ---- tokens ---- */

bool sampler_grammar_allows(struct sampler_grammar *g, int32_t token) {
    if (!g->waiting) return grammar_allows(g->grammar, token);
    struct engine_trigger copy = g->trigger;
    return !fires(g, &copy, token) || rest_fits(g);
}

void sampler_grammar_filter(struct sampler_grammar *g, llama_token_data_array *c) {
    if (!g->waiting) {
        llama_sampler_apply(g->grammar, c);
        return;
    }
    for (size_t i = 0; i < c->size; i++)
        if (!sampler_grammar_allows(g, c->data[i].id)) c->data[i].logit = -INFINITY;
}

static void accept_token(struct sampler_grammar *g, int32_t token) {
    if (!g->waiting) {
        llama_sampler_accept(g->grammar, token);
        return;
    }
    if (!fires(g, &g->trigger, token)) return;
    g->waiting = false;
    struct buf rest = g->rest; /* grammar_takes uses g->text only */
    grammar_takes(g, g->grammar, (const char *)rest.data, rest.len);
}

err_code sampler_grammar_see(struct sampler_grammar *g, const int32_t *history, int32_t pos, struct err *e) {
    if (g->from == 0) {
        g->from = (uint32_t)pos + 1;
        g->at = pos + 1;
    }
    if (g->at > pos + 1) { /* positions were taken back */
        llama_sampler_reset(g->grammar);
        engine_trigger_init(&g->trigger, &g->lazy);
        g->waiting = g->lazy.n_triggers > 0;
        g->at = (int32_t)g->from;
    }
    for (; g->at <= pos; g->at++) { /* libllama aborts on a token that the grammar forbids, so each is asked about first */
        int32_t token = history[g->at];
        if (token < 0 || (uint32_t)token >= g->n_vocab || !sampler_grammar_allows(g, token))
            return err_set(e, ERR_INVALID, "the generated token %d at position %d breaks the grammar", token, g->at);
        accept_token(g, token);
    }
    return ERR_OK;
}
