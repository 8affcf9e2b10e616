/* SPDX-License-Identifier: MIT
 * Grammars by themselves: whether a text fits, and random texts that fit. Included once. */
#ifndef CARAVAN_TESTS_GRAMMAR_FIXTURE_H
#define CARAVAN_TESTS_GRAMMAR_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "grammar/gbnf.h"
#include "grammar/match.h"

/* NULL: the grammar is refused; the reason stands on standard error. */
static inline struct match *grammar_open(const char *text, struct program **ret_program) {
    struct err e = {0};
    struct match *m = NULL;
    if (gbnf_compile(text, NULL, NULL, ret_program, &e) == ERR_OK && match_create(*ret_program, &m, &e) == ERR_OK) return m;
    fprintf(stderr, "%s\n", e.text);
    return NULL;
}

/* Bytes of the text that fit; len + 1 when it is also complete. -1: the grammar is refused. */
static inline long grammar_fit(const char *grammar, const char *text, size_t len) {
    struct program *program = NULL;
    struct match *m = grammar_open(grammar, &program);
    if (m == NULL) return -1;
    size_t n = 0;
    while (n < len && match_accept(m, -1, text + n, 1)) n++;
    bool complete = n == len && match_may_end(m);
    match_free(m);
    program_free(program);
    return (long)n + complete;
}

static inline uint64_t grammar_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A byte that may come next; 0: none, or only the text's end. ends: prefers a byte that closes an open part. */
static inline char grammar_next(struct match *m, uint64_t *seed, bool ends) {
    static const char closing[] = "\"]}0aZ9-1T:,xbcf";
    char pick = 0, beyond = 0;
    size_t allowed = 0;
    for (size_t i = grammar_random(seed) % 3 ? 0 : grammar_random(seed) % (sizeof closing - 1); ends && closing[i] != '\0'; i++)
        if (grammar_random(seed) % 4 != 0 && match_allows(m, -1, &closing[i], 1)) return closing[i];
    for (int i = 1; i < 256; i++) {
        char byte = (char)i;
        if (!match_allows(m, -1, &byte, 1)) continue;
        if (i >= 0x80) beyond = byte; /* only where no other byte may come */
        else if (grammar_random(seed) % ++allowed == 0) pick = byte;
    }
    return pick != 0 ? pick : beyond;
}

/* Appends a random text that fits; after `most` bytes it closes all open parts as soon as it can. False: no end in 20 * most bytes. */
static inline bool grammar_walk(const char *grammar, uint64_t *seed, size_t most, struct buf *out) {
    struct program *program = NULL;
    struct match *m = grammar_open(grammar, &program);
    bool ended = false;
    for (size_t n = 0; m != NULL && n < 20 * most && !ended; n++) {
        bool may_end = match_may_end(m);
        char c = may_end && (n >= most || grammar_random(seed) % 8 == 0) ? 0 : grammar_next(m, seed, n >= most);
        ended = c == 0 && may_end;
        if (c == 0) break;
        match_accept(m, -1, &c, 1);
        buf_append_byte(out, (uint8_t)c);
    }
    match_free(m);
    program_free(program);
    return ended;
}

#endif
