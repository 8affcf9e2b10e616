/* SPDX-License-Identifier: MIT
 * Fuzzes the grammar compiler, and matching with the grammars that it accepts: a grammar up to the first NUL, then a text. Nothing takes
 * more steps than the limit; an allowed byte is accepted; and the pieces in which a text comes don't change whether it fits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grammar/gbnf.h"
#include "grammar/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* Bytes that fit; SIZE_MAX: too many steps. */
static size_t fit(struct match *m, const char *text, size_t len, size_t step) {
    struct err e = {0};
    size_t at = 0;
    match_reset(m);
    for (size_t n; at < len; at += n) {
        n = len - at < step ? len - at : step;
        bool allows = match_allows(m, -1, text + at, n), accepts = match_accept(m, -1, text + at, n);
        if (match_failed(m, &e) != ERR_OK) return SIZE_MAX;
        check(allows == accepts, "allowed and not accepted, or the other way round");
        if (!allows) break;
    }
    return at;
}

static void run(const struct program *g, const char *text, size_t len) {
    struct err e = {0};
    struct match *m = NULL;
    err_code code = match_create(g, &m, &e);
    check((code == ERR_OK) == (e.text[0] == '\0'), "an error without a text");
    if (code != ERR_OK) return;
    size_t bytes = fit(m, text, len, 1), whole = fit(m, text, len, len + 1);
    if (bytes != SIZE_MAX && whole != SIZE_MAX) check((bytes == len) == (whole == len), "cut into bytes");
    bool allowed[4];
    const struct match_piece list[] = {{"a", 1, 0}, {"ab", 2, 2}, {"\"", 1, 3}};
    struct match_pieces *pieces = match_pieces_create(list, 3, 4);
    match_reset(m);
    match_filter(m, pieces, allowed);
    for (size_t i = 0; i < 3 && match_failed(m, &e) == ERR_OK; i++)
        check(allowed[list[i].token] == match_allows(m, list[i].token, list[i].text, list[i].len), "the filter");
    match_pieces_free(pieces);
    match_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err e = {0};
    struct program *g = NULL;
    char *text = malloc(size + 1);
    if (text == NULL) return 0;
    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    clock_t start = clock();
    err_code code = gbnf_compile(text, NULL, NULL, &g, &e);
    check((code == ERR_OK) == (e.text[0] == '\0'), "an error without a text");
    size_t len = strlen(text);
    if (code == ERR_OK && size - len < 2000) run(g, len < size ? text + len + 1 : "aab", len < size ? size - len - 1 : 3);
    check(clock() - start < 60 * CLOCKS_PER_SEC, "it takes too long");
    program_free(g);
    free(text);
    return 0;
}
