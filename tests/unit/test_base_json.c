/* SPDX-License-Identifier: MIT
 * JSON: bounds, and errors that name the place or the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

static yyjson_doc *parse(const char *text) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    if (json_parse(text, strlen(text), &doc, &e)) fail_msg("%s: %s", text, e.text);
    return doc;
}

static void expect_error(err_code got, err_code wanted, const struct err *e, const char *part) {
    assert_int_equal(got, wanted);
    assert_int_equal(e->code, wanted);
    if (!strstr(e->text, part)) fail_msg("\"%s\" does not say \"%s\"", e->text, part);
}

static void malformed_text_is_located(void **state) {
    (void)state;
    yyjson_doc *doc = NULL;
    struct err e = {0};
    const char *text = "{\"a\": 1,\n  \"b\": x}";
    expect_error(json_parse(text, strlen(text), &doc, &e), ERR_FORMAT, &e, "line 2, column 8");
    expect_error(json_parse("", 0, &doc, &e), ERR_FORMAT, &e, "empty");
    expect_error(json_parse("{\"a\":1} x", 9, &doc, &e), ERR_FORMAT, &e, "line 1");
    expect_error(json_parse("[1,]", 4, &doc, &e), ERR_FORMAT, &e, "malformed");
    expect_error(json_parse("\"\xFF\"", 3, &doc, &e), ERR_FORMAT, &e, "malformed");
    expect_error(json_parse("{\"a\":NaN}", 9, &doc, &e), ERR_FORMAT, &e, "malformed");
    expect_error(json_parse("{\"a\":1", 6, &doc, &e), ERR_FORMAT, &e, "malformed");
    assert_null(doc);
    assert_int_equal(json_parse("[1,]", 4, &doc, NULL), ERR_FORMAT);
}

/* Numbers that a double or 64 bits would change go on as they came. */
static void numbers_may_stay_exact(void **state) {
    (void)state;
    static const char text[] = "{\"a\":123456789012345678901234567890,\"b\":1e400,\"c\":9007199254740993,\"d\":1.5}";
    yyjson_doc *doc = NULL;
    struct err e = {0};
    int64_t n = 0;
    assert_int_equal(json_parse_exact(text, strlen(text), &doc, &e), ERR_OK);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_true(yyjson_is_raw(yyjson_obj_get(root, "a")) && yyjson_is_raw(yyjson_obj_get(root, "b")));
    assert_int_equal(yyjson_get_uint(yyjson_obj_get(root, "c")), 9007199254740993);
    assert_true(yyjson_get_real(yyjson_obj_get(root, "d")) == 1.5);
    char *again = yyjson_val_write(root, 0, NULL);
    assert_string_equal(again, text);
    expect_error(json_get_i64(root, "a", 0, 5, &n, &e), ERR_INVALID, &e, "got 123456789012345678901234567890");
    free(again);
    yyjson_doc_free(doc);
}

static void depth_is_bounded(void **state) {
    (void)state;
    char text[2 * JSON_MAX_DEPTH + 4];
    yyjson_doc *doc = NULL;
    struct err e = {0};
    memset(text, '[', JSON_MAX_DEPTH + 1);
    memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
    expect_error(json_parse(text, 2 * JSON_MAX_DEPTH + 2, &doc, &e), ERR_LIMIT, &e, "64 levels");
    assert_null(doc);
    assert_int_equal(json_parse(text + 1, 2 * JSON_MAX_DEPTH, &doc, &e), ERR_OK);
    yyjson_doc_free(doc);
    /* Brackets in strings don't count as depth, also after escaped quotes. */
    char quoted[400] = "[\"\\\"";
    memset(quoted + 4, '[', 300);
    memcpy(quoted + 304, "\"]", 3);
    doc = parse(quoted);
    yyjson_doc_free(doc);
    /* After a string that ends with an escaped backslash, brackets count. */
    char after[400] = "[\"\\\\\",";
    memset(after + 6, '[', 300);
    expect_error(json_parse(after, 306, &doc, &e), ERR_LIMIT, &e, "64 levels");
}

static void fields_are_read(void **state) {
    (void)state;
    yyjson_doc *doc = parse("{\"b\":true,\"i\":-7,\"w\":3.0,\"d\":0.5,\"s\":\"x\\u0000y\",\"n\":null}");
    yyjson_val *obj = yyjson_doc_get_root(doc);
    struct err e = {0};
    bool b = false;
    int64_t i = 1;
    double d = 1;
    const char *s = "old";
    assert_int_equal(json_get_bool(obj, "b", &b, &e), ERR_OK);
    assert_true(b);
    assert_int_equal(json_get_i64(obj, "i", -10, 10, &i, &e), ERR_OK);
    assert_true(i == -7);
    assert_int_equal(json_get_i64(obj, "w", 0, 10, &i, &e), ERR_OK); /* 3.0, as some clients write 3 */
    assert_true(i == 3);
    assert_int_equal(json_get_double(obj, "d", 0, 1, &d, &e), ERR_OK);
    assert_true(d == 0.5);
    assert_int_equal(json_get_double(obj, "i", -10, 10, &d, &e), ERR_OK);
    assert_true(d == -7.0);
    assert_int_equal(json_get_str(obj, "s", &s, &e), ERR_OK);
    assert_memory_equal(s, "x\0y", 4);
    assert_int_equal(json_need_i64(obj, "i", -10, 10, &i, &e), ERR_OK);
    assert_int_equal(json_need_str(obj, "s", &s, &e), ERR_OK);
    yyjson_doc_free(doc);
}

static void missing_and_null_leave_the_default(void **state) {
    (void)state;
    yyjson_doc *doc = parse("{\"n\":null}");
    yyjson_val *obj = yyjson_doc_get_root(doc);
    struct err e = {0};
    bool b = true;
    int64_t i = 5;
    double d = 6;
    const char *s = "old", *const keys[] = {"n", "absent"};
    for (int k = 0; k < 2; k++) {
        assert_int_equal(json_get_bool(obj, keys[k], &b, &e), ERR_OK);
        assert_int_equal(json_get_i64(obj, keys[k], 0, 1, &i, &e), ERR_OK);
        assert_int_equal(json_get_double(obj, keys[k], 0, 1, &d, &e), ERR_OK);
        assert_int_equal(json_get_str(obj, keys[k], &s, &e), ERR_OK);
        expect_error(json_need_i64(obj, keys[k], 0, 1, &i, &e), ERR_INVALID, &e, "is missing");
        expect_error(json_need_str(obj, keys[k], &s, &e), ERR_INVALID, &e, keys[k]);
    }
    assert_true(b && i == 5 && d == 6 && strcmp(s, "old") == 0);
    assert_int_equal(json_get_bool(NULL, "x", &b, &e), ERR_OK); /* without an object, the field counts as missing */
    yyjson_doc_free(doc);
}

static void wrong_fields_are_named(void **state) {
    (void)state;
    yyjson_doc *doc = parse("{\"t\":\"hot\",\"big\":18446744073709551615,\"f\":2.5,\"a\":[1],\"o\":{},\"yes\":true,"
                            "\"huge\":1e300,\"long\":\"0123456789012345678901234567890123456789\\u20ac\"}");
    yyjson_val *obj = yyjson_doc_get_root(doc);
    struct err e = {0};
    bool b = true;
    int64_t i = 5;
    double d = 6;
    const char *s = "old";
    expect_error(json_get_double(obj, "t", 0, 2, &d, &e), ERR_INVALID, &e, "field \"t\": expected a number from 0 to 2, got \"hot\"");
    expect_error(json_get_double(obj, "f", 0, 2, &d, &e), ERR_INVALID, &e, "got 2.5");
    expect_error(json_get_i64(obj, "f", 0, 9, &i, &e), ERR_INVALID, &e, "whole number from 0 to 9, got 2.5");
    expect_error(json_get_i64(obj, "big", INT64_MIN, INT64_MAX, &i, &e), ERR_INVALID, &e, "a whole number, got 18446744073709551615");
    expect_error(json_get_i64(obj, "huge", 0, INT64_MAX, &i, &e), ERR_INVALID, &e, "at least 0");
    expect_error(json_get_bool(obj, "a", &b, &e), ERR_INVALID, &e, "expected true or false, got an array");
    expect_error(json_get_str(obj, "o", &s, &e), ERR_INVALID, &e, "expected a string, got an object");
    expect_error(json_get_str(obj, "yes", &s, &e), ERR_INVALID, &e, "got true");
    expect_error(json_need_i64(obj, "t", 0, 9, &i, &e), ERR_INVALID, &e, "got \"hot\"");
    expect_error(json_need_str(obj, "a", &s, &e), ERR_INVALID, &e, "got an array");
    expect_error(json_get_i64(obj, "long", 0, 1, &i, &e), ERR_INVALID, &e, "...");
    assert_true(str_utf8_valid(e.text, strlen(e.text)));
    assert_true(b && i == 5 && d == 6 && strcmp(s, "old") == 0);
    yyjson_doc_free(doc);
}

static void fields_are_copied(void **state) {
    (void)state;
    yyjson_doc *doc;
    struct err e = {0};
    static const char text[] = "{\"t\":\"a\\nb\",\"nul\":\"a\\u0000b\",\"id\":\"00000000000000ff\",\"short\":\"ff\","
                               "\"big\":18446744073709551615,\"n\":7,\"minus\":-1}";
    assert_int_equal(json_parse(text, sizeof(text) - 1, &doc, NULL), ERR_OK);
    yyjson_val *obj = yyjson_doc_get_root(doc);
    char copy[4] = "old";
    uint64_t id = 1;
    uint32_t n = 2;
    expect_error(json_get_line(obj, "t", copy, sizeof(copy), &e), ERR_INVALID, &e, "control character");
    expect_error(json_get_text(obj, "nul", copy, sizeof(copy), &e), ERR_INVALID, &e, "NUL");
    expect_error(json_get_text(obj, "t", copy, 3, &e), ERR_LIMIT, &e, "the limit is 2");
    expect_error(json_get_id(obj, "short", &id, &e), ERR_INVALID, &e, "16 hexadecimal");
    expect_error(json_need_id(obj, "none", &id, &e), ERR_INVALID, &e, "missing");
    expect_error(json_get_u32(obj, "n", 6, &n, &e), ERR_INVALID, &e, "from 0 to 6");
    expect_error(json_get_u64(obj, "minus", &id, &e), ERR_INVALID, &e, "got -1");
    assert_string_equal(copy, "old");
    assert_int_equal(id, 1);
    assert_int_equal(json_get_text(obj, "t", copy, sizeof(copy), &e), ERR_OK);
    assert_string_equal(copy, "a\nb");
    assert_int_equal(json_get_id(obj, "id", &id, &e), ERR_OK);
    assert_int_equal(id, 255);
    assert_int_equal(json_get_u64(obj, "big", &id, &e), ERR_OK);
    assert_true(id == UINT64_MAX);
    assert_int_equal(json_get_u32(obj, "n", 7, &n, &e), ERR_OK);
    assert_int_equal(n, 7);
    yyjson_doc_free(doc);
}

static void documents_are_written(void **state) {
    (void)state;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, obj);
    yyjson_mut_obj_add_int(doc, obj, "a", 1);
    struct buf b;
    buf_init(&b, 100);
    buf_append_str(&b, "x=");
    json_write(&b, doc);
    assert_string_equal(buf_cstr(&b), "x={\"a\":1}");
    buf_done(&b);
    buf_init(&b, 3);
    json_write(&b, doc);
    assert_true(b.failed);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
}

static void paths_keep_their_bytes(void **state) {
    (void)state;
    char path[256], back[256] = "", brief[4];
    for (int i = 1; i < 256; i++) path[i - 1] = (char)i;
    path[255] = '\0';
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    json_add_path(doc, yyjson_mut_doc_get_root(doc), "path", path);
    struct buf b;
    struct err e = {0};
    yyjson_doc *read = NULL;
    buf_init(&b, 4096);
    json_write(&b, doc);
    assert_int_equal(json_parse(buf_cstr(&b), b.len, &read, &e), ERR_OK);
    assert_int_equal(json_get_path(yyjson_doc_get_root(read), "path", back, sizeof(back), &e), ERR_OK);
    assert_string_equal(back, path);
    assert_int_equal(json_get_path(yyjson_doc_get_root(read), "path", brief, sizeof(brief), &e), ERR_LIMIT);
    yyjson_doc_free(read);
    yyjson_mut_doc_free(doc);
    buf_done(&b);
    static const char wide[] = "{\"path\":\"\xE2\x82\xAC\"}", nul[] = "{\"path\":\"a\\u0000b\"}";
    assert_int_equal(json_parse(wide, sizeof(wide) - 1, &read, &e), ERR_OK);
    assert_int_equal(json_get_path(yyjson_doc_get_root(read), "path", back, sizeof(back), &e), ERR_INVALID);
    yyjson_doc_free(read);
    assert_int_equal(json_parse(nul, sizeof(nul) - 1, &read, &e), ERR_OK);
    assert_int_equal(json_get_path(yyjson_doc_get_root(read), "path", back, sizeof(back), &e), ERR_INVALID);
    yyjson_doc_free(read);
}

/* A written document can always be read again, with any bytes in its strings and any numbers. */
static void any_document_is_written(void **state) {
    (void)state;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "name", "caf\xE9");
    yyjson_mut_obj_add_str(doc, root, "cut \xE2\x82", "\xE2\x82\\\"\xFF\xFE\n");
    yyjson_mut_obj_add_str(doc, root, "good", "\xC3\xA9\xF0\x9F\xA6\x99");
    yyjson_mut_obj_add_real(doc, root, "rate", NAN);
    yyjson_mut_obj_add_real(doc, root, "most", INFINITY);
    struct buf b;
    buf_init(&b, 4096);
    json_write(&b, doc);
    assert_false(b.failed);
    assert_string_equal(
        buf_cstr(&b), "{\"name\":\"caf?\",\"cut ?\":\"?\\\\\\\"??\\n\",\"good\":\"\xC3\xA9\xF0\x9F\xA6\x99\",\"rate\":null,\"most\":null}");
    yyjson_doc *back = NULL;
    struct err e = {0};
    assert_int_equal(json_parse(buf_cstr(&b), b.len, &back, &e), ERR_OK);
    yyjson_doc_free(back);
    yyjson_mut_doc_free(doc);
    buf_done(&b);
    static const char *const texts[] = {"", "plain", "\"\\\n", "caf\xE9", "\xC3\xA9"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_doc_set_root(doc, yyjson_mut_str(doc, texts[i]));
        buf_init(&b, 4096);
        json_write(&b, doc);
        assert_true(b.len <= json_size(texts[i]));
        buf_done(&b);
        yyjson_mut_doc_free(doc);
    }
}

/* Bodies as programs write them: half a surrogate pair becomes a character, and a byte order mark is skipped. */
static void bodies_are_mended(void **state) {
    (void)state;
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"\"\\ud83d\"", "\xEF\xBF\xBD"},
        {"\"a\\uDE00b\"", "a\xEF\xBF\xBD"
                          "b"},
        {"\"\\ud83d\\ud83d\\ude00\"", "\xEF\xBF\xBD\xF0\x9F\x98\x80"},
        {"\"\\ud83d\\ude00\"", "\xF0\x9F\x98\x80"},
        {"\"\\\\ud83d\"", "\\ud83d"},
        {"\"\\ud83d\\u0041\"", "\xEF\xBF\xBD"
                               "A"},
        {"\"\\ud83d\\\\\"", "\xEF\xBF\xBD\\"},
        {"\xEF\xBB\xBF\"x\"", "x"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        yyjson_doc *doc = NULL;
        struct err e = {0};
        if (json_parse_body(cases[i].text, strlen(cases[i].text), &doc, &e) != ERR_OK) fail_msg("%s: %s", cases[i].text, e.text);
        assert_string_equal(yyjson_get_str(yyjson_doc_get_root(doc)), cases[i].value);
        yyjson_doc_free(doc);
    }
    yyjson_doc *doc = NULL;
    struct err e = {0};
    assert_int_equal(json_parse_body("\"\\ud83\"", 7, &doc, &e), ERR_JSON);
    assert_int_equal(json_parse_body("\"\xFF\"", 3, &doc, &e), ERR_JSON);
}

/* The last member of a name counts, at any depth and in objects of any size; the others keep their order. */
static void the_last_of_each_name_counts(void **state) {
    (void)state;
    static const struct {
        const char *text, *read;
    } cases[] = {
        {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}"},
        {"{\"a\":1,\"\\u0061\":2,\"a\":3}", "{\"a\":3}"},
        {"[1,{\"x\":{\"a\":[],\"a\":{\"b\":1,\"b\":null}}}]", "[1,{\"x\":{\"a\":{\"b\":null}}}]"},
        {"{\"a\\u0000b\":1,\"a\":2}", "{\"a\\u0000b\":1,\"a\":2}"},
        {"{\"a\":123456789012345678901234567890,\"b\":1,\"b\":2.50}", "{\"a\":123456789012345678901234567890,\"b\":2.5}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        yyjson_doc *doc = NULL;
        assert_int_equal(json_parse_exact(cases[i].text, strlen(cases[i].text), &doc, NULL), ERR_OK);
        char *read = yyjson_val_write(yyjson_doc_get_root(doc), 0, NULL);
        assert_string_equal(read, cases[i].read);
        free(read);
        yyjson_doc_free(doc);
    }
    struct buf many;
    buf_init(&many, 1 << 20);
    for (int i = 0; i < 2000; i++) buf_printf(&many, "%s\"k%d\":%d", i == 0 ? "{" : ",", i % 1500, i);
    buf_append_byte(&many, '}');
    yyjson_doc *doc = parse(buf_cstr(&many));
    assert_int_equal(yyjson_obj_size(yyjson_doc_get_root(doc)), 1500);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "k7")), 1507);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_doc_get_root(doc), "k700")), 700);
    yyjson_doc_free(doc);
    buf_done(&many);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_of_each_name_counts),
        cmocka_unit_test(bodies_are_mended),
        cmocka_unit_test(any_document_is_written),
        cmocka_unit_test(paths_keep_their_bytes),
        cmocka_unit_test(malformed_text_is_located),
        cmocka_unit_test(numbers_may_stay_exact),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(fields_are_read),
        cmocka_unit_test(missing_and_null_leave_the_default),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(fields_are_copied),
        cmocka_unit_test(documents_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
