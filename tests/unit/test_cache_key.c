/* SPDX-License-Identifier: MIT
 * Canonical JSON: numbers, strings and orders of RFC 8785's examples, and random numbers both ways. Keys: what is apart from the answer
 * doesn't change them, all else does. Headers: what a client may say of the cache. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cache/canon.h"
#include "cache/key.h"
#include "cache/wish.h"

static double of_bits(uint64_t bits) {
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

static void expect_canon(const char *json, const char *wanted) {
    yyjson_doc *doc = NULL;
    struct buf out;
    struct err e = {0};
    buf_init(&out, 1 << 20);
    if (json_parse_body(json, strlen(json), &doc, &e) != ERR_OK) fail_msg("%s: %s", json, e.text);
    canon_append(yyjson_doc_get_root(doc), NULL, &out);
    assert_string_equal(buf_cstr(&out), wanted);
    yyjson_doc_free(doc);
    buf_done(&out);
}

/* ---- canonical JSON ---- */

/* The bits and texts of RFC 8785, appendix B. */
static void numbers_are_printed_as_ecmascript_does(void **state) {
    static const struct {
        uint64_t bits;
        const char *text;
    } cases[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        buf_init(&out, 64);
        canon_append_number(of_bits(cases[i].bits), &out);
        assert_string_equal(buf_cstr(&out), cases[i].text);
        buf_done(&out);
    }
}

/* Whatever the bits are, the text gives the number back, and no text with fewer digits does. */
static void every_number_comes_back(void **state) {
    uint64_t seed = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17; /* Marsaglia's xorshift */
        double number = of_bits(seed), back;
        struct buf out;
        char shorter[40];
        int digits = 0;
        if (!isfinite(number)) continue;
        buf_init(&out, 64);
        canon_append_number(number, &out);
        const char *text = buf_cstr(&out);
        back = strtod(text, NULL);
        if (back != number) fail_msg("%a is printed as %s", number, text);
        for (const char *p = text; *p != '\0' && *p != 'e'; p++) digits += *p >= '0' && *p <= '9' && (digits > 0 || *p != '0');
        if (digits > 1 && strchr(text, 'e') != NULL) {
            snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, number);
            if (strtod(shorter, NULL) == number) fail_msg("%a is printed as %s, and %s would do", number, text, shorter);
        }
        buf_done(&out);
    }
}

static void values_have_one_text(void **state) {
    (void)state;
    expect_canon(" { \"numbers\" : [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],\n"
                 "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", \"literals\": [null, true, false] }",
                 "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
                 "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    expect_canon("[]", "[]");
    expect_canon("{ }", "{}");
    expect_canon("\"\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f\"", "\"\\b\\t\\n\\u000b\\f\\r\\u001f\x7F\"");
    expect_canon("[-0, -0.0, 1.0, -1, 1e2]", "[0,0,1,-1,100]");
}

/* The order of UTF-16 units: an emoji's surrogates stand before U+FB33. */
static void members_stand_in_the_order_of_their_units(void **state) {
    (void)state;
    expect_canon("{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                 "{\"\\r\":2,\"1\":4,\"\xC2\x80\":6,\"\xC3\xB6\":7,\"\xE2\x82\xAC\":1,\"\xF0\x9F\x98\x80\":5,\"\xEF\xAC\xB3\":3}");
    expect_canon("{\"b\":{\"z\":1,\"y\":[{\"d\":1,\"c\":2}]},\"a\":1,\"\":0,\"aa\":2}",
                 "{\"\":0,\"a\":1,\"aa\":2,\"b\":{\"y\":[{\"c\":2,\"d\":1}],\"z\":1}}");
}

/* Values that a double cannot tell apart keep their digits, and of two members with one name the parser keeps the last. */
static void different_values_have_different_texts(void **state) {
    (void)state;
    expect_canon("[9007199254740993, 9007199254740992]", "[9007199254740993,9007199254740992]");
    expect_canon("[18446744073709551615, -9223372036854775808]", "[18446744073709551615,-9223372036854775808]");
    expect_canon("123456789012345678901234567890", "123456789012345678901234567890");
    expect_canon("{\"a\":2,\"b\":0,\"a\":1}", "{\"a\":1,\"b\":0}");
}

/* ---- keys ---- */

static void digest(const char *json, uint8_t ret[CACHE_KEY_SIZE]) {
    yyjson_doc *doc = json_read(json, strlen(json));
    assert_non_null(doc);
    key_of_request(yyjson_doc_get_root(doc), ret);
    yyjson_doc_free(doc);
}

static bool same(const char *a, const char *b) {
    uint8_t x[CACHE_KEY_SIZE], y[CACHE_KEY_SIZE];
    digest(a, x);
    digest(b, y);
    return memcmp(x, y, sizeof(x)) == 0;
}

static void what_is_apart_from_the_answer_does_not_count(void **state) {
    (void)state;
    assert_true(same("{\"model\":\"a\",\"prompt\":\"x\",\"seed\":1}", "{\"seed\":1.0, \"prompt\":\"x\", \"model\":\"b\", \"stream\":true,"
                                                                      "\"stream_options\":{\"include_usage\":true}, \"user\":\"u\"}"));
    assert_true(same("{\"prompt\":\"x\"}", "{\"prompt\":\"\\u0078\",\"metadata\":{\"a\":\"b\"},\"store\":false,\"keep_alive\":5}"));
    assert_false(same("{\"prompt\":\"x\"}", "{\"prompt\":\"y\"}"));
    assert_false(same("{\"prompt\":\"x\",\"seed\":1}", "{\"prompt\":\"x\",\"seed\":2}"));
    assert_false(same("{\"prompt\":\"x\",\"n\":1}", "{\"prompt\":\"x\"}"));
    assert_false(same("{\"users\":1}", "{\"users\":2}"));
    /* inside of other values, such names are anybody's */
    assert_false(same("{\"tools\":[{\"stream\":true}]}", "{\"tools\":[{\"stream\":false}]}"));
}

static void every_part_counts(void **state) {
    uint8_t request[CACHE_KEY_SIZE] = {1}, other[CACHE_KEY_SIZE] = {2}, keys[9][CACHE_KEY_SIZE];
    const struct cache_key_parts all[] = {
        {.request = request, .weights = "ab"},
        {.request = other, .weights = "ab"},
        {.request = request, .api = "ab"},
        {.request = request, .engine = "ab"},
        {.request = request, .adapters = "ab"},
        {.request = request, .tenant = "ab"},
        {.request = request, .chat_template = "ab"},
        {.request = request, .day = "ab"},
        {.request = request, .weights = "a", .tenant = "b"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) key_make(&all[i], keys[i]);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(keys[i], keys[k], CACHE_KEY_SIZE);
    uint8_t again[CACHE_KEY_SIZE];
    key_make(&all[0], again);
    assert_memory_equal(again, keys[0], CACHE_KEY_SIZE);
}

/* ---- what a client says ---- */

static void headers_are_read(void **state) {
    static const struct {
        const char *control, *own;
        bool look, keep, any;
        int64_t max_age;
    } cases[] = {
        {NULL, NULL, true, true, false, INT64_MAX},
        {"", "", true, true, false, INT64_MAX},
        {"no-store", NULL, false, false, false, INT64_MAX},
        {"no-cache", NULL, false, true, false, INT64_MAX},
        {"No-Cache , NO-STORE", NULL, false, false, false, INT64_MAX},
        {"max-age=60", NULL, true, true, false, 60},
        {"MAX-AGE=\"60\", private", NULL, true, true, false, 60},
        {"max-age=0", NULL, false, true, false, 0},
        {"max-age=99999999999", NULL, true, true, false, INT32_MAX},
        {"max-age=, max-age=x, max-age", NULL, true, true, false, INT64_MAX},
        {"no-storefront, not-no-cache", "any", true, true, true, INT64_MAX},
        {NULL, "hit", true, true, false, INT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cache_wish w = cache_wish_read(cases[i].control, cases[i].own);
        if (w.look != cases[i].look || w.keep != cases[i].keep || w.any != cases[i].any || w.max_age != cases[i].max_age)
            fail_msg("case %zu: look %d, keep %d, any %d, max-age %lld", i, w.look, w.keep, w.any, (long long)w.max_age);
    }
}

static void only_what_repeats_itself_is_kept(void **state) {
    struct cache_wish plain = cache_wish_read(NULL, NULL), any = cache_wish_read(NULL, "any");
    (void)state;
    assert_true(cache_wish_allows(&plain, 0, false));
    assert_true(cache_wish_allows(&plain, 0.8f, true));
    assert_false(cache_wish_allows(&plain, 0.8f, false));
    assert_true(cache_wish_allows(&any, 0.8f, false));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_printed_as_ecmascript_does),
        cmocka_unit_test(every_number_comes_back),
        cmocka_unit_test(values_have_one_text),
        cmocka_unit_test(members_stand_in_the_order_of_their_units),
        cmocka_unit_test(different_values_have_different_texts),
        cmocka_unit_test(what_is_apart_from_the_answer_does_not_count),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(only_what_repeats_itself_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
