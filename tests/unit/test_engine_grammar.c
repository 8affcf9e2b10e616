/* SPDX-License-Identifier: MIT
 * Random small grammars and texts, judged here and by libllama: both let the same bytes through, and the same texts end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/runtime.h"
#include "support/grammar_fixture.h"
#include "support/llama_grammar.h"

enum { N_GRAMMARS = 800, N_TEXTS = 12, N_RULES = 3, MAX_TEXT = 10 }; /* small, for libllama's sake: its cost grows fast */

static uint64_t seed = 20240601;

static unsigned below(unsigned n) { return (unsigned)(grammar_random(&seed) % n); }

static void write_sequence(struct buf *out, int depth);

static void write_element(struct buf *out, int depth) {
    static const char *const repeats[] = {"", "", "", "", "?", "*", "+", "{2}", "{0,2}", "{1,3}", "{2,}"};
    switch (below(depth > 0 ? 6 : 4)) {
    case 0:
    case 1: buf_printf(out, "\"%c\"", "abc"[below(3)]); break;
    case 2: buf_printf(out, "\"%c%c\"", "abc"[below(3)], "abc"[below(3)]); break;
    case 3: buf_append_str(out, (const char *const[]){"[ab]", "[^a]", "[b-c]"}[below(3)]); break;
    case 4: buf_printf(out, "r%u", below(N_RULES)); break;
    default:
        buf_append_str(out, "(");
        write_sequence(out, depth - 1);
        if (below(2) == 0) {
            buf_append_str(out, " | ");
            write_sequence(out, depth - 1);
        }
        buf_append_str(out, ")");
    }
    buf_printf(out, "%s ", repeats[below(sizeof repeats / sizeof *repeats)]);
}

static void write_sequence(struct buf *out, int depth) {
    for (unsigned n = 1 + below(2); n > 0; n--) write_element(out, depth);
}

static void write_grammar(struct buf *out) {
    buf_append_str(out, "root ::= r0 \"c\"?\n");
    for (unsigned i = 0; i < N_RULES; i++) {
        buf_printf(out, "r%u ::= ", i);
        write_sequence(out, 1);
        for (unsigned n = below(2); n > 0; n--) {
            buf_append_str(out, "| ");
            write_sequence(out, 1);
        }
        buf_append_byte(out, '\n');
    }
}

/* Half of the texts fit up to a place. */
static void write_text(struct buf *out, const char *grammar) {
    if (below(2) == 0) grammar_walk(grammar, &seed, 1 + below(10), out);
    if (out->len > MAX_TEXT) out->len = MAX_TEXT;
    for (unsigned n = below(4); n > 0; n--) buf_append_byte(out, (uint8_t)"abcd"[below(4)]);
}

static void both_say_the_same(void **state) {
    const struct llama_grammar *f = *state;
    size_t compared = 0, ended = 0, recursive = 0;
    for (int i = 0; i < N_GRAMMARS; i++) {
        struct buf grammar;
        struct err e = {0};
        buf_init(&grammar, 1 << 16);
        write_grammar(&grammar);
        bool refused = gbnf_check(buf_cstr(&grammar), &e) != ERR_OK;
        if (refused) { /* libllama doesn't notice every left recursion, and then never returns */
            assert_non_null(strstr(e.text, "left recursion"));
            recursive++;
        }
        for (int k = 0; k < N_TEXTS && !refused; k++) {
            struct buf text;
            buf_init(&text, 1 << 10);
            write_text(&text, buf_cstr(&grammar));
            long here = grammar_fit(buf_cstr(&grammar), buf_cstr(&text), text.len);
            long there = llama_grammar_fit(f, buf_cstr(&grammar), buf_cstr(&text), text.len);
            if (here != there) fail_msg("%s\"%s\": %ld here, %ld there", buf_cstr(&grammar), buf_cstr(&text), here, there);
            compared++;
            ended += here == (long)text.len + 1;
            buf_done(&text);
        }
        buf_done(&grammar);
    }
    print_message("%zu texts, %zu of them to their end; %zu grammars recursive\n", compared, ended, recursive);
    assert_true(compared > N_GRAMMARS && ended > N_GRAMMARS / 10);
}

int main(void) {
    struct llama_grammar f;
    if (!llama_grammar_open(&f)) {
        print_error("libllama refuses the vocabulary\n");
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(both_say_the_same, &f)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    llama_grammar_close(&f);
    return failed;
}
