/* SPDX-License-Identifier: MIT
 * Text that people write and read: sizes, durations, numbers, addresses, nearest names, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void sizes_are_written(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},
                {512, "512 B"},
                {1023, "1023 B"},
                {1024, "1.0 KB"},
                {1536, "1.5 KB"},
                {1048575, "1.0 MB"},
                {9771050598, "9.1 GB"},
                {104857600, "100 MB"},
                {(uint64_t)1023 << 20, "1023 MB"},
                {(uint64_t)3 << 40, "3.0 TB"},
                {UINT64_MAX, "16.0 EB"}};
    char out[STR_SHORT];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_string_equal(str_size(rows[i].bytes, out), rows[i].text);
}

static void sizes_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"24G", (uint64_t)24 << 30},
                {"24 GB", (uint64_t)24 << 30},
                {"1.5GiB", (uint64_t)3 << 29},
                {"512 k", 512 << 10},
                {"7b", 7},
                {"2T", (uint64_t)2 << 40}};
    static const char *const bad[] = {"",     "G",   "-1",   "24X", "24GG",   "24 G B", "1e9",
                                      "0x10", "nan", "24Gi", " 5",  "1.2.3G", "99E",    "20000000P"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        uint64_t bytes = 1;
        assert_true(str_parse_size(good[i].text, &bytes));
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t bytes = 77;
        if (str_parse_size(bad[i], &bytes)) fail_msg("\"%s\" was taken for a size", bad[i]);
        assert_true(bytes == 77);
    }
}

static void durations_are_written(void **state) {
    (void)state;
    char out[STR_SHORT];
    assert_string_equal(str_duration(340, out), "340 us");
    assert_string_equal(str_duration(12345, out), "12.3 ms");
    assert_string_equal(str_duration(4200000, out), "4.2 s");
    assert_string_equal(str_duration(200000000, out), "3 min 20 s");
    assert_string_equal(str_duration(7500000000, out), "2 h 5 min");
}

static void numbers_are_read(void **state) {
    (void)state;
    int64_t i = 5;
    double d = 5;
    bool b = true;
    assert_true(str_parse_i64("-42", &i) && i == -42);
    assert_true(str_parse_i64("+7", &i) && i == 7);
    assert_true(str_parse_i64("9223372036854775807", &i) && i == INT64_MAX);
    assert_false(str_parse_i64("9223372036854775808", &i));
    assert_false(str_parse_i64("", &i));
    assert_false(str_parse_i64("-", &i));
    assert_false(str_parse_i64("4x", &i));
    assert_false(str_parse_i64(" 4", &i));
    assert_true(i == INT64_MAX);
    assert_true(str_parse_double("0.8", &d) && d == 0.8);
    assert_true(str_parse_double("-1e-3", &d) && d == -1e-3);
    assert_false(str_parse_double("", &d));
    assert_false(str_parse_double("inf", &d));
    assert_false(str_parse_double("1e999", &d));
    assert_false(str_parse_double("1.0.0", &d));
    assert_false(str_parse_double("--1", &d));
    assert_true(d == -1e-3);
    assert_true(str_parse_bool("No", &b) && !b);
    assert_true(str_parse_bool("TRUE", &b) && b);
    assert_true(str_parse_bool("off", &b) && !b);
    assert_true(str_parse_bool("1", &b) && b);
    assert_false(str_parse_bool("maybe", &b));
    assert_true(b);
}

static void addresses_are_read(void **state) {
    (void)state;
    char host[STR_HOST_MAX] = "old";
    uint16_t port = 1;
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {{"192.168.1.5:7433", "192.168.1.5", 7433},
                {"box", "box", 99},
                {"box.local:1", "box.local", 1},
                {":8080", "::", 8080},
                {"[::1]:80", "::1", 80},
                {"[fe80::1%eth0]", "fe80::1%eth0", 99},
                {"http://127.0.0.1:8080/v1", "127.0.0.1", 8080},
                {"HTTP://box:1/", "box", 1},
                {"::1", "::1", 99},
                {"fe80::2%eth0", "fe80::2%eth0", 99},
                {"::ffff:10.0.0.1", "::ffff:10.0.0.1", 99},
                {"a_b-c:0", "a_b-c", 0},
                {"box:65535", "box", 65535}};
    static const char *const bad[] = {"",     "box:", "box:70000", "box:x", "box:1:2",    "[::1",   "box:99999999999", "http://",
                                      "::1 ", "[]:1", "[::1]80",   "a b:1", "user@box:1", "box:-1", "https://box:1"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(str_parse_address(good[i].text, "::", 99, host, &port));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (str_parse_address(bad[i], "::", 99, host, &port)) fail_msg("\"%s\" was taken for an address", bad[i]);
    assert_string_equal(host, "box"); /* a failed call leaves it as it was */
    assert_false(str_parse_address(":80", NULL, 99, host, &port)); /* a host is needed */
    assert_false(str_parse_address("box", NULL, 0, host, &port));  /* a port is needed */
    char longer[STR_HOST_MAX + 2];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_false(str_parse_address(longer, NULL, 1, host, &port));
}

static void lists_are_split(void **state) {
    (void)state;
    static const char *const expected[] = {"3", "", "1 2", "4"};
    const char *part;
    size_t len, n = 0;
    for (const char *at = "3,, 1 2 ,\t4\n"; str_next(&at, ',', &part, &len); n++) {
        assert_int_equal(len, strlen(expected[n]));
        assert_memory_equal(part, expected[n], len);
    }
    assert_int_equal(n, 4);
    n = 0;
    assert_true(str_is_part("Vulkan0,Vulkan10", ',', "Vulkan10") && !str_is_part("Vulkan0,Vulkan10", ',', "Vulkan1"));
    assert_true(str_is_part("a\nb\n", '\n', "b") && !str_is_part("", ',', "a"));
    for (const char *at = ""; str_next(&at, ',', &part, &len); n++) assert_int_equal(len, 0);
    assert_int_equal(n, 1);
}

static void nearest_names_are_found(void **state) {
    (void)state;
    static const char *const names[] = {"ctx", "threads", "threads-batch", "gpu-layers", "cache-type-k", "temperature"};
    assert_int_equal(str_distance("", ""), 0);
    assert_int_equal(str_distance("abc", ""), 3);
    assert_int_equal(str_distance("kitten", "sitting"), 3);
    assert_int_equal(str_distance("ab", "ba"), 1);
    assert_int_equal(str_distance("CTX", "ctx"), 0);
    char longer[200];
    memset(longer, 'q', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(str_distance(longer, longer), 0);
    assert_int_equal(str_distance(longer, "q"), 62);
    assert_string_equal(str_nearest("ctxx", names, ARRAY_LEN(names)), "ctx");
    assert_string_equal(str_nearest("thread", names, ARRAY_LEN(names)), "threads");
    assert_string_equal(str_nearest("gpulayers", names, ARRAY_LEN(names)), "gpu-layers");
    assert_string_equal(str_nearest("temp", names, ARRAY_LEN(names)), "temperature");
    assert_string_equal(str_nearest("cache-type-c", names, ARRAY_LEN(names)), "cache-type-k");
    assert_null(str_nearest("zebra", names, ARRAY_LEN(names)));
    assert_null(str_nearest("ctx", names, 0));
}

static void any_bytes_become_a_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *line;
    } rows[] = {{"", ""},
                {"llama", "llama"},
                {"a b\"c", "a b\"c"},
                {"caf\xE9", "caf_"},
                {"\xE9t\xE9", "_t_"},
                {"a\nb\x7F\tc", "a_b__c"},
                {"\xF0\x9F\xA6\x99", "\xF0\x9F\xA6\x99"},
                {"\xE2\x82", "_"}};
    char line[16];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        str_line(rows[i].text, strlen(rows[i].text), line, sizeof(line));
        assert_string_equal(line, rows[i].line);
    }
    str_line("abc\xC3\xA9", 5, line, 5); /* a character that doesn't fit is left out as a whole */
    assert_string_equal(line, "abc");
    str_line("abc\xC3\xA9", 5, line, 6);
    assert_string_equal(line, "abc\xC3\xA9");
}

static void utf8_is_checked(void **state) {
    (void)state;
    static const char *const good[] = {"", "abc", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\xA6\x99 llama", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {
        "\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",
        "\xFF", "a\xC3",    "\xE2\x82", "\xC3\x28"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_true(str_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (str_utf8_valid(bad[i], strlen(bad[i]))) fail_msg("row %zu was taken for UTF-8", i);
    assert_true(str_utf8_valid("a\0b", 3));
}

static void unfinished_characters_are_seen(void **state) {
    (void)state;
    const char llama[] = "ab\xF0\x9F\xA6\x99";
    assert_int_equal(str_utf8_incomplete(llama, 2), 0);
    assert_int_equal(str_utf8_incomplete(llama, 3), 1);
    assert_int_equal(str_utf8_incomplete(llama, 4), 2);
    assert_int_equal(str_utf8_incomplete(llama, 5), 3);
    assert_int_equal(str_utf8_incomplete(llama, 6), 0);
    assert_int_equal(str_utf8_incomplete("", 0), 0);
    assert_int_equal(str_utf8_incomplete("\x99\x99\x99\x99", 4), 0); /* wrong, not unfinished */
    assert_int_equal(str_utf8_incomplete("\xF0\x80", 2), 0);         /* no further byte can make it valid */
    assert_int_equal(str_utf8_incomplete("\xE2\x82\xAC\xC3", 4), 1);
}

static void lines_end_beside_units_not_before_them(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool may;
    } rows[] = {{"a|b", true},         {"1.2|GB", false},    {"43|%", false},         {"3|min 20 s", false},
                {"3 min|20 s", false}, {"2 h|5 min", false}, {"20 s|on a", true},     {"in 16|layers", true},
                {"12|nodes", true},    {"x 3|", true},       {"min|20 s left", true}, {"4.0 MB/s,|16 s", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[32];
        snprintf(text, sizeof(text), "%s", rows[i].text);
        size_t at = strcspn(text, "|");
        text[at] = ' ';
        if (str_may_break(text, at) != rows[i].may) fail_msg("%s", rows[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_end_beside_units_not_before_them),
        cmocka_unit_test(sizes_are_written),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(durations_are_written),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(lists_are_split),
        cmocka_unit_test(nearest_names_are_found),
        cmocka_unit_test(any_bytes_become_a_line),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(unfinished_characters_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
