/* SPDX-License-Identifier: MIT
 * The grammar of a sequence: which tokens may come next. A lazy grammar waits for its words, and then applies to the text after them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/sampler_priv.h"
#include "engine/trigger.h"
#include "engine/vocab.h"
#include "grammar/gbnf.h"
#include "grammar/match.h"

struct sampler_grammar {
    const struct llama_vocab *vocab;
    uint32_t n_vocab;
    struct program *program;
    struct match *match;
    uint32_t from;                  /* position of the first token that the grammar sees, 0: not known yet */
    int32_t at;                     /* next position that the grammar has not seen */
    struct engine_lazy lazy;        /* owned copy */
    struct engine_trigger trigger;
    bool waiting, ended;
    struct buf text;                /* of the token that is checked */
};

enum { MAX_TOKEN_TEXT = 4096 };

/* ---- life ---- */

static int32_t token_written(void *user, const char *text, size_t len) {
    const struct llama_vocab *vocab = user;
    int32_t *tokens = NULL, found;
    size_t n = 0;
    if (engine_vocab_tokenize(vocab, text, len, false, true, &tokens, &n, NULL) != ERR_OK) return -1;
    found = n == 1 ? tokens[0] : -1;
    free(tokens);
    return found;
}

static void begin_again(struct sampler_grammar *g) {
    match_reset(g->match);
    engine_trigger_init(&g->trigger, &g->lazy);
    g->waiting = g->lazy.n_triggers > 0;
    g->ended = false;
}

err_code sampler_grammar_create(const struct llama_vocab *vocab, const struct engine_sampling *p, struct sampler_grammar **ret,
                                struct err *e) {
    *ret = NULL;
    if (p->grammar == NULL) return ERR_OK;
    if (!engine_vocab_usable(vocab)) return err_set(e, ERR_UNSUPPORTED, "a grammar needs a tokenizer, and the model has none");
    struct sampler_grammar *g = MEM_NEW(struct sampler_grammar);
    buf_init(&g->text, MAX_TOKEN_TEXT);
    engine_lazy_copy(&p->lazy, &g->lazy);
    g->vocab = vocab;
    g->n_vocab = engine_vocab_size(vocab);
    g->from = p->generated_from;
    g->at = (int32_t)p->generated_from;
    err_code code = gbnf_compile(p->grammar, token_written, (void *)(uintptr_t)vocab, &g->program, e);
    if (code == ERR_OK) code = match_create(g->program, &g->match, e);
    if (code != ERR_OK) {
        sampler_grammar_free(g);
        return code;
    }
    begin_again(g);
    *ret = g;
    return ERR_OK;
}

void sampler_grammar_free(struct sampler_grammar *g) {
    if (g == NULL) return;
    match_free(g->match);
    program_free(g->program);
    engine_lazy_done(&g->lazy);
    buf_done(&g->text);
    free(g);
}

err_code sampler_grammar_failed(const struct sampler_grammar *g, struct err *e) { return match_failed(g->match, e); }

/* ---- lazy grammars ---- */

/* Does the token in g->text complete a word? *ret_rest: bytes at the end of g->text that come after the word. Pass a copy of the trigger to
 * ask without a change. */
static bool fires(struct sampler_grammar *g, struct engine_trigger *trigger, size_t *ret_rest) {
    size_t used = 0;
    if (!engine_trigger_push(trigger, (const char *)g->text.data, g->text.len, &used)) return false;
    *ret_rest = g->text.len - used;
    return true;
}

static const char *end_of_text(const struct sampler_grammar *g, size_t len) { return (const char *)g->text.data + g->text.len - len; }

static bool waiting_allows(struct sampler_grammar *g) {
    struct engine_trigger copy = g->trigger;
    size_t rest = 0;
    return !fires(g, &copy, &rest) || rest == 0 || match_allows(g->match, -1, end_of_text(g, rest), rest);
}

static void waiting_accept(struct sampler_grammar *g) {
    size_t rest = 0;
    if (!fires(g, &g->trigger, &rest)) return;
    g->waiting = false;
    if (rest > 0) match_accept(g->match, -1, end_of_text(g, rest), rest);
}

/* ---- tokens ---- */

static void take_text(struct sampler_grammar *g, int32_t token) {
    buf_clear(&g->text);
    engine_vocab_piece(g->vocab, token, &g->text);
}

bool sampler_grammar_allows(struct sampler_grammar *g, int32_t token) {
    take_text(g, token);
    if (g->waiting) return waiting_allows(g);
    if (engine_vocab_is_end(g->vocab, token)) return g->ended || match_may_end(g->match);
    return match_allows(g->match, token, (const char *)g->text.data, g->text.len);
}

struct match_pieces *sampler_grammar_pieces(const struct llama_vocab *vocab) {
    uint32_t n_vocab = engine_vocab_size(vocab), n = 0;
    struct match_piece *list = mem_calloc(n_vocab, sizeof *list);
    struct buf texts;
    buf_init(&texts, SIZE_MAX - 1);
    for (int32_t t = 0; t < (int32_t)n_vocab; t++) {
        size_t start = texts.len;
        if (engine_vocab_is_end(vocab, t)) continue;
        engine_vocab_piece(vocab, t, &texts);
        if (texts.len > start) list[n++] = (struct match_piece){.len = texts.len - start, .token = t};
    }
    const char *at = (const char *)texts.data;
    for (uint32_t i = 0; i < n; at += list[i++].len) list[i].text = at;
    struct match_pieces *pieces = match_pieces_create(list, n, n_vocab);
    free(list);
    buf_done(&texts);
    return pieces;
}

void sampler_grammar_filter(struct sampler_grammar *g, const struct match_pieces *pieces, llama_token_data_array *c) {
    if (g->waiting) {
        for (size_t i = 0; i < c->size; i++)
            if (!sampler_grammar_allows(g, c->data[i].id)) c->data[i].logit = -INFINITY;
        return;
    }
    bool *allowed = mem_calloc(g->n_vocab, sizeof *allowed), end = g->ended || match_may_end(g->match);
    match_filter(g->match, pieces, allowed);
    for (size_t i = 0; i < c->size; i++) {
        int32_t token = c->data[i].id;
        if (!(engine_vocab_is_end(g->vocab, token) ? end : allowed[token])) c->data[i].logit = -INFINITY;
    }
    free(allowed);
}

err_code sampler_grammar_see(struct sampler_grammar *g, const int32_t *history, int32_t pos, struct err *e) {
    if (g->from == 0) {
        g->from = (uint32_t)pos + 1;
        g->at = pos + 1;
    }
    if (g->at > pos + 1) { /* positions were taken back */
        begin_again(g);
        g->at = (int32_t)g->from;
    }
    for (; g->at <= pos; g->at++) {
        int32_t token = history[g->at];
        bool fits = token >= 0 && (uint32_t)token < g->n_vocab && sampler_grammar_allows(g, token);
        err_code code = sampler_grammar_failed(g, e);
        if (code != ERR_OK) return code;
        if (!fits) return err_set(e, ERR_INVALID, "the generated token %d at position %d breaks the grammar", token, g->at);
        if (g->waiting) waiting_accept(g);
        else if (engine_vocab_is_end(g->vocab, token)) g->ended = true;
        else match_accept(g->match, token, (const char *)g->text.data, g->text.len);
    }
    return ERR_OK;
}
