/* SPDX-License-Identifier: MIT
 * UTF-8 and stop strings: the same text comes out however the bytes were cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "chat/text.h"

#define BAD "\xEF\xBF\xBD"

struct sample {
    const char *bytes, *stops[4], *text;
    bool stopped;
};

static const struct sample samples[] = {
    {"plain text", {0}, "plain text", false},
    {"h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\xA6\x99!", {0}, "h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\xA6\x99!", false},
    {"a\xC3", {0}, "a" BAD, false},                                  /* cut off at the end */
    {"a\xF0\x9F\xA6", {0}, "a" BAD, false},                          /* three of four: one wrong part */
    {"\xFF\xFE", {0}, BAD BAD, false},
    {"\xC0\xAF", {0}, BAD BAD, false},                               /* overlong */
    {"\xE0\x80\x80", {0}, BAD BAD BAD, false},
    {"\xED\xA0\x80", {0}, BAD BAD BAD, false},                       /* a surrogate */
    {"\xF4\x90\x80\x80", {0}, BAD BAD BAD BAD, false},               /* above U+10FFFF */
    {"\xE2\x82"
     "A",
     {0},
     BAD "A",
     false},
    {"\xE2\x82\xE2\x82\xAC", {0}, BAD "\xE2\x82\xAC", false},
    {"\x80\x80x", {0}, BAD BAD "x", false},
    {"one STOP two", {"STOP"}, "one ", true},
    {"one STO two", {"STOP"}, "one STO two", false},
    {"ends with STO", {"STOP"}, "ends with STO", false},
    {"aaab", {"aab"}, "a", true},                                    /* the held beginning moves on by one */
    {"ababac", {"abac"}, "ab", true},
    {"xabcy", {"abc", "b"}, "xa", true},                             /* the one that ends first */
    {"xabcy", {"bc", "abc"}, "x", true},                             /* both end together: the longest */
    {"one\n\nHuman: two", {"\nHuman:", "###"}, "one\n", true},
    {"\xE2\x82\xAC\xE2\x82\xAC", {"\xE2\x82\xAC"}, "", true},
    {"caf\xC3\xA9 ol\xC3\xA9", {"\xC3\xA9 "}, "caf", true},
    {"x\xFFy", {BAD "y"}, "x", true},                                /* stop strings are searched in the clean text */
    {"x\xC3", {BAD}, "x", true},                                     /* completed only by the end of the stream */
    {"", {"x"}, "", false},
};

static size_t make_stops(const struct sample *s, struct text_stop *stops) {
    size_t n = 0;
    for (; n < 4 && s->stops[n] != NULL; n++) stops[n] = (struct text_stop){s->stops[n], strlen(s->stops[n])};
    return n;
}

/* Pushes the sample in pieces, cut at the places in `cuts` (bits), and checks the output. */
static void run_cut(const struct sample *s, uint64_t cuts) {
    struct text_stop stops[4];
    struct text_filter f;
    struct buf out;
    text_filter_init(&f, stops, make_stops(s, stops));
    buf_init(&out, 4096);
    size_t len = strlen(s->bytes), from = 0;
    bool stopped = false;
    for (size_t i = 1; i <= len && !stopped; i++) {
        if (i < len && !(cuts >> (i % 64) & 1)) continue;
        stopped = text_filter_push(&f, s->bytes + from, i - from, &out);
        from = i;
        size_t given = out.len; /* every prefix of the output consists of whole characters */
        struct buf again;
        buf_init(&again, 4096);
        text_append_utf8(&again, (const char *)out.data, given, NULL, NULL);
        assert_int_equal(again.len, given);
        if (given > 0) assert_memory_equal(again.data, out.data, given);
        buf_done(&again);
    }
    if (!stopped) stopped = text_filter_finish(&f, &out);
    if (strcmp(buf_cstr(&out), s->text) != 0 || stopped != s->stopped)
        fail_msg("\"%s\" with cuts %llx gave \"%s\" (%d)", s->bytes, (unsigned long long)cuts, buf_cstr(&out), stopped);
    assert_int_equal(f.given, out.len);
    buf_done(&out);
    text_filter_done(&f);
}

static void every_cut_gives_the_same(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        size_t len = strlen(samples[i].bytes);
        uint64_t all = len < 14 ? 1ull << len : 1ull << 14;
        for (uint64_t cuts = 0; cuts < all; cuts++) run_cut(&samples[i], cuts);
        run_cut(&samples[i], UINT64_MAX);
    }
}

static void held_only_as_long_as_needed(void **state) {
    (void)state;
    static const struct text_stop stop = {"</s>", 4};
    static const struct {
        const char *push, *gives;
    } steps[] = {{"a", "a"},   {"b<", "b"},       {"x", "<x"},
                 {"</", ""},   {"/", "<//"},      {"</s", ""},
                 {"<", "</s"}, {"\xE2\x82", "<"}, {"\xAC", "\xE2\x82\xAC"}};
    struct text_filter f;
    struct buf out;
    text_filter_init(&f, &stop, 1);
    buf_init(&out, 4096);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        buf_clear(&out);
        assert_false(text_filter_push(&f, steps[i].push, strlen(steps[i].push), &out));
        assert_string_equal(buf_cstr(&out), steps[i].gives);
    }
    buf_done(&out);
    text_filter_done(&f);
}

static void json_strings(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\n\r\t\0\x1f\x7f", 6, "\"\\n\\r\\t\\u0000\\u001f\\u007f\""},
        {"\xE2\x82\xAC\xFF", 4, "\"\xE2\x82\xAC" BAD "\""},
        {"\xE2\x82", 2, "\"" BAD "\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        buf_init(&out, 4096);
        text_append_json(&out, cases[i].bytes, cases[i].len);
        assert_string_equal(buf_cstr(&out), cases[i].json);
        buf_done(&out);
    }
    assert_int_equal(text_count("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA6\x99", 10), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_cut_gives_the_same), cmocka_unit_test(held_only_as_long_as_needed),
                                       cmocka_unit_test(json_strings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
