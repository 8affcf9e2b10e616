/* SPDX-License-Identifier: MIT
 * Matching texts with grammars: texts that fit, in pieces of any size; texts that are refused, and why; the cost of a grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "support/grammar_fixture.h"

enum { MAX_TEXTS = 8 };

static const struct {
    const char *grammar;
    const char *fits[MAX_TEXTS], *fails[MAX_TEXTS];
} rows[] = {
    {"root ::= \"ab\" | \"ac\"", {"ab", "ac"}, {"a", "", "ad", "abc"}},
    {"root ::= \"a\"? \"b\"* \"c\"+", {"c", "ac", "abbbc", "ccc"}, {"", "ab", "aac", "cb"}},
    {"root ::= (\"a\" | \"b\" \"c\")* \"d\"", {"d", "aad", "bcabcd"}, {"bd", "acd"}},
    {"root ::= [a-c]{2,3}", {"ab", "abc"}, {"a", "abca", "ad"}},
    {"root ::= [a]{2} [b]{2,} [c]{0,1}", {"aabb", "aabbbbc"}, {"aab", "abb", "aabbcc"}},
    {"root ::= \"a\"{0} \"b\"{0,0} \"c\"", {"c"}, {"ac", "bc", ""}},
    {"root ::= \"ab\"{2}", {"abab"}, {"abb", "aab", "ab"}},
    {"root ::= (\"a\"{2} \"b\"{1,2}){2,3}", {"aabaab", "aabbaabaabb"}, {"aab", "aabab", "aabaabaabaab"}},
    {"root ::= \"a\"{100000} \"b\"", {NULL}, {"ab", "b"}},
    {"root ::= (\"a\"? \"b\"?){3,} \"c\"", {"c", "abc", "bababac", "aaaac"}, {"", "ab"}}, /* empty rounds count */
    {"root ::= (\"a\"?){2,4} \"b\"", {"b", "ab", "aaaab"}, {"aaaaab"}},
    {"root ::= (\"a\"* \"b\"?)*", {"", "aaa", "bbb", "abab"}, {"c"}},
    {"root ::= x \"d\"\nx ::= \"a\" x \"c\" | \"b\"", {"bd", "aabccd"}, {"abd", "aabcd"}}, /* a stack */
    {"root ::= x\nx ::= \"a\" x | \"b\"", {"b", "aaaab"}, {"a", "ba"}},
    {"root ::= a b\na ::= \"x\" | \"\"\nb ::= a \"y\"", {"y", "xy", "xxy"}, {"xxxy"}},
    {"root ::= [^a-c] [^\\n\\]]",
     {"dx",
      "\xC3\xA9"
      "a",
      "zz"},
     {"ax", "d\n", "d]"}},
    {"root ::= [\xC3\xA4-\xC3\xBC] \"\xE2\x82\xAC\" .",
     {"\xC3\xB6\xE2\x82\xAC\xF0\x9F\x98\x80"},
     {"o\xE2\x82\xAC"
      "x",
      "\xC3\xB6\xE2\x82", "\xC3\xB6"}},
    {"root ::= .", {"a", "\xF0\x9F\x98\x80", "\n"}, {"\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\x80"}}, /* no UTF-8 */
    {"root ::= [z-a] | \"q\"", {"q"}, {"m", "z"}},
    {"root ::= [^z-a] \"q\"",
     {"mq", "\n"
            "q"},
     {"q", "m"}},
    {"root ::= \"\\x41\\u00e9\\U0001F600\\t\\\\\\\"\"", {"A\xC3\xA9\xF0\x9F\x98\x80\t\\\""}, {"A"}},
    {"# words\nroot ::= # the answer\n  yes |\n  no\nyes ::= \"yes\" # fine\nno ::= \"no\"\n", {"yes", "no"}, {"maybe"}},
    {"root ::= \"a\"\nroot ::= \"b\"", {"b"}, {"a"}},
    {"root ::= \"a\" ( ( (\"b\")? )+ | \"c\" \n | \"d\" ){1,2}", {"a", "ab", "abc", "add"}, {"addd"}},
};

/* Bytes that fit, the text being given in pieces of `step` bytes. */
static size_t fit_in_steps(struct match *m, const char *text, size_t step) {
    size_t len = strlen(text), at = 0;
    match_reset(m);
    while (at < len) {
        size_t n = len - at < step ? len - at : step;
        bool allows = match_allows(m, -1, text + at, n);
        assert_int_equal(match_accept(m, -1, text + at, n), allows);
        if (!allows) break;
        at += n;
    }
    return at;
}

static void texts_fit(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct program *g = NULL;
        struct match *m = grammar_open(rows[i].grammar, &g);
        if (m == NULL) fail_msg("%s", rows[i].grammar);
        for (size_t k = 0; k < 2 * MAX_TEXTS; k++) {
            const char *text = k < MAX_TEXTS ? rows[i].fits[k] : rows[i].fails[k - MAX_TEXTS];
            for (size_t step = 1; text != NULL && step <= strlen(text) + 1; step++) {
                bool fits = fit_in_steps(m, text, step) == strlen(text) && match_may_end(m);
                if (fits != (k < MAX_TEXTS))
                    fail_msg("%s: \"%s\" in steps of %zu: %s", rows[i].grammar, text, step, fits ? "fits" : "doesn't");
            }
        }
        match_free(m);
        program_free(g);
    }
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    static const struct {
        const char *grammar, *says;
    } bad[] = {
        {"", "no rule \"root\""},
        {"start ::= \"a\"", "no rule \"root\""},
        {"root ::= word", "\"word\" is used but not defined"},
        {"root ::= \"a", "line 1, column 10: this literal is not closed"},
        {"root ::= \"a\"\nroot ::= \"\\q\"", "line 2, column 11: unknown escape"},
        {"root ::= \"\\x4\"", "too few hexadecimal digits"},
        {"root ::= \"\\U00110000\"", "no such character"},
        {"root ::= [a", "not closed with ]"},
        {"root ::= []", "empty"},
        {"root ::= (\"a\"", "not closed with )"},
        {"root ::= *", "nothing stands before"},
        {"root ::= \"\"*", "nothing stands before"},
        {"root ::= \"a\"{2,1}", "at most fewer"},
        {"root ::= \"a\"{x}", "expected a number"},
        {"root ::= \"a\"{9999999999}", "repeated more than"},
        {"root ::= <a", "not closed with >"},
        {"root ::= <[x]>", "token's number"},
        {"root = \"a\"", "expected ::="},
        {"root ::= \"a\" }", "expected an element"},
        {"root ::= root \"a\" | \"b\"", "\"root\" can begin with itself"},
        {"root ::= x\nx ::= y? x \"a\"\ny ::= \"b\"", "\"x\" can begin with itself"},
        {"root ::= x\nx ::= (\"b\"? y)* \"a\"\ny ::= x", "can begin with itself"},
        {"root ::= x\nx ::= (\"b\"?){2,5} x", "can begin with itself"},
        {"root ::= \"\xFF\"", "not valid UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = {0};
        err_code code = gbnf_check(bad[i].grammar, &e);
        if ((code != ERR_INVALID && code != ERR_LIMIT) || strstr(e.text, bad[i].says) == NULL)
            fail_msg("<%s>: %s \"%s\", expected \"%s\"", bad[i].grammar, err_name(code), e.text, bad[i].says);
    }
}

/* ---- cost ---- */

static char *repeated(const char *before, const char *text, int n, const char *after) {
    struct buf b;
    size_t len;
    buf_init(&b, 1 << 24);
    buf_append_str(&b, before);
    for (int i = 0; i < n; i++) buf_append_str(&b, text);
    buf_append_str(&b, after);
    buf_append_byte(&b, 0);
    return (char *)buf_detach(&b, &len);
}

/* 40 times an x that is 24 times an optional letter: a thousand ways at once, which follow on each other in a thousand ways. */
static void many_ways_cost_no_more_than_their_number(void **state) {
    (void)state;
    char *root = repeated("root ::=", " x", 40, "\nx ::="), *grammar = repeated(root, " \"a\"?", 24, "\n");
    struct program *g = NULL;
    struct match *m = grammar_open(grammar, &g);
    struct err e = {0};
    assert_non_null(m);
    for (int i = 0; i < 40 * 24; i++) {
        assert_true(match_may_end(m));
        assert_true(match_accept(m, -1, "a", 1));
    }
    assert_false(match_allows(m, -1, "a", 1));
    assert_int_equal(match_failed(m, &e), ERR_OK);
    match_free(m);
    program_free(g);
    free(root);
    free(grammar);
}

static void too_many_ways_are_refused(void **state) {
    (void)state;
    struct program *g = NULL;
    struct match *m = NULL;
    struct err e = {0};
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_append_str(&text, "root ::= x0\n");
    for (int i = 0; i < 40; i++) buf_printf(&text, "x%d ::= x%d \"a\" | x%d \"b\"\n", i, i + 1, i + 1); /* 2^40 stacks */
    buf_append_str(&text, "x40 ::= \"c\"\n");
    assert_int_equal(gbnf_compile(buf_cstr(&text), NULL, NULL, &g, &e), ERR_OK);
    assert_int_equal(match_create(g, &m, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "too many ways"));
    program_free(g);
    /* the same later: with each letter twice as many stacks */
    assert_int_equal(gbnf_compile("root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"\"", NULL, NULL, &g, &e), ERR_OK);
    assert_int_equal(match_create(g, &m, &e), ERR_OK);
    int n = 0;
    while (n < 100 && match_accept(m, -1, "a", 1)) n++;
    assert_true(n > 5 && n < 30);
    assert_int_equal(match_failed(m, &e), ERR_LIMIT);
    match_reset(m);
    assert_true(match_accept(m, -1, "ab", 2) && match_may_end(m));
    match_free(m);
    program_free(g);
    buf_done(&text);
}

/* Compiling is linear: the longest text, of each kind of thing, in the time of one test. */
static void long_texts_are_compiled(void **state) {
    (void)state;
    static const struct {
        const char *before, *text, *after;
    } kinds[] = {
        {"root ::= \"", "a", "\""},        {"root ::= ", "a|", "a\na ::= \"b\""},
        {"root ::= ", "\"a\"?", ""},       {"root ::= ", "[a-c\xE2\x82\xAC]*", ""},
        {"root ::= ", "(\"a\"|", "\"b\""}, {"root ::= [^", "\xE2\x82\xAC", "]"},
        {"root ::= ", "\"a\"{3,9}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        size_t room = GBNF_MAX_TEXT - strlen(kinds[i].before) - strlen(kinds[i].after);
        char *text = repeated(kinds[i].before, kinds[i].text, (int)(room / strlen(kinds[i].text)), kinds[i].after);
        struct err e = {0};
        err_code code = gbnf_check(text, &e);
        if (code != ERR_OK && code != ERR_LIMIT) fail_msg("%.30s: %s", text, e.text);
        free(text);
    }
    struct buf chain; /* rules of which each can be empty because the next one can */
    buf_init(&chain, GBNF_MAX_TEXT);
    buf_append_str(&chain, "root ::= r0\n");
    int n = 0;
    for (; chain.len < GBNF_MAX_TEXT - 100; n++) buf_printf(&chain, "r%d ::= r%d r%d | \"x\"\n", n, n + 1, n + 1);
    buf_printf(&chain, "r%d ::= \"\"\n", n);
    assert_int_equal(gbnf_check(buf_cstr(&chain), NULL), ERR_OK);
    buf_done(&chain);
}

/* ---- vocabularies ---- */

/* After any text, the filter of all tokens gives the same answers as the question for each token. */
static void the_filter_agrees(void **state) {
    (void)state;
    static const char *const texts[] = {"a",    "ab",       "abc",  "b",    "ba",     "c",  "cc",   "d", "\xC3", "\xC3\xA9",
                                        "\xA9", "\xE2\x82", "\xAC", "abab", "aabaab", "x",  "xy",   "y", "<t>",  "yes",
                                        "no",   "e",        "es",   "\n",   "\xFF",   "zz", "aaaa", "q"};
    struct match_piece list[ARRAY_LEN(texts)];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) list[i] = (struct match_piece){texts[i], strlen(texts[i]), (int32_t)i};
    struct match_pieces *pieces = match_pieces_create(list, ARRAY_LEN(list), ARRAY_LEN(list) + 1);
    uint64_t seed = 7;
    size_t seen = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct program *g = NULL;
        struct match *m = grammar_open(rows[i].grammar, &g);
        for (int round = 0; round < 20; round++, match_reset(m)) {
            for (int step = 0; step < 12; step++) {
                bool allowed[ARRAY_LEN(list) + 1];
                int32_t pick = -1;
                size_t n = 0;
                match_filter(m, pieces, allowed);
                assert_false(allowed[ARRAY_LEN(list)]); /* has no text */
                for (int32_t t = 0; t < (int32_t)ARRAY_LEN(list); t++) {
                    assert_int_equal(allowed[t], match_allows(m, t, texts[t], strlen(texts[t])));
                    if (allowed[t] && grammar_random(&seed) % ++n == 0) pick = t;
                }
                if (pick < 0) break;
                seen++;
                assert_true(match_accept(m, pick, texts[pick], strlen(texts[pick])));
            }
        }
        match_free(m);
        program_free(g);
    }
    match_pieces_free(pieces);
    assert_true(seen > 500);
}

static int32_t token_named(void *user, const char *text, size_t len) {
    (void)user;
    return len == 3 && memcmp(text, "<t>", 3) == 0 ? 18 : -1;
}

static void tokens_are_elements(void **state) {
    (void)state;
    struct program *g = NULL;
    struct match *m = NULL;
    struct err e = {0};
    assert_int_equal(gbnf_compile("root ::= \"a\" (<t> | <[7]>) !<t> \"<t>\"?", token_named, NULL, &g, &e), ERR_OK);
    assert_int_equal(match_create(g, &m, &e), ERR_OK);
    assert_true(match_accept(m, 1, "a", 1));
    assert_false(match_allows(m, 3, "b", 1));
    assert_true(match_allows(m, 7, "", 0));
    assert_true(match_accept(m, 18, "<t>", 3));
    assert_false(match_allows(m, 18, "<t>", 3));
    assert_true(match_accept(m, 5, "anything", 8));
    assert_true(match_may_end(m) && match_accept(m, -1, "<t>", 3) && match_may_end(m)); /* as text */
    match_free(m);
    program_free(g);
    assert_int_equal(gbnf_compile("root ::= <u>", token_named, NULL, &g, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "no such token"));
}

/* A long text keeps little memory: kept states are forgotten now and then, and the match goes on. */
static void long_texts_go_through(void **state) {
    (void)state;
    struct program *g = NULL;
    struct match *m = grammar_open("root ::= \"[\" (item (\",\" item){0,1000000})? \"]\"\nitem ::= \"x\" item \"y\" | [0-9]{1,4}", &g);
    assert_non_null(m);
    assert_true(match_accept(m, -1, "[1", 2));
    for (int i = 0; i < 100000; i++) assert_true(match_accept(m, -1, ",xx12yy", 7));
    for (int i = 0; i < 100000; i++) assert_true(match_accept(m, -1, i == 0 ? ",x" : "x", i == 0 ? 2 : 1));
    assert_true(match_accept(m, -1, "5", 1));
    for (int i = 0; i < 100000; i++) assert_true(match_accept(m, -1, "y", 1));
    assert_false(match_may_end(m));
    assert_true(match_accept(m, -1, "]", 1) && match_may_end(m));
    match_free(m);
    program_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_fit),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(many_ways_cost_no_more_than_their_number),
        cmocka_unit_test(too_many_ways_are_refused),
        cmocka_unit_test(long_texts_are_compiled),
        cmocka_unit_test(the_filter_agrees),
        cmocka_unit_test(tokens_are_elements),
        cmocka_unit_test(long_texts_go_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
