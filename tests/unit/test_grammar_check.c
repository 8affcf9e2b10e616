/* SPDX-License-Identifier: MIT
 * The checker against the JSON Schema test suite (Debian's package json-schema-test-suite, tools/sysroot.sh test): valid values fit, others
 * fail, and only schemas with references to other documents are unknown. Also the checker's words about a value that fails. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/mem.h"
#include "grammar/check.h"

/* Where drafts differ, the later one is followed. Also schemas that are judged differently on purpose. */
static const struct {
    const char *file, *group;
} differences[] = {
    {"ref.json", "ref overrides any sibling keywords"},
    {"ref.json", "$ref prevents a sibling $id from changing the base uri"},
};

struct counts {
    size_t right, wrong, unknown, different;
};

static bool is_difference(const char *file, const char *group) {
    for (size_t i = 0; i < ARRAY_LEN(differences); i++)
        if (strcmp(differences[i].file, file) == 0 && strcmp(differences[i].group, group) == 0) return true;
    return false;
}

static void run_group(yyjson_val *group, const char *file, struct counts *c) {
    yyjson_val *schema = yyjson_obj_get(group, "schema"), *test;
    const char *name = yyjson_get_str(yyjson_obj_get(group, "description"));
    struct buf why;
    size_t i, n;
    buf_init(&why, 4096);
    yyjson_arr_foreach(yyjson_obj_get(group, "tests"), i, n, test) {
        bool valid = yyjson_is_true(yyjson_obj_get(test, "valid"));
        enum check_verdict v = check_value(schema, yyjson_obj_get(test, "data"), &why);
        assert_int_equal(v != CHECK_FITS, why.len > 0);
        if (v == CHECK_UNKNOWN) c->unknown++;
        else if ((v == CHECK_FITS) == valid) c->right++;
        else if (is_difference(file, name)) c->different++;
        else {
            c->wrong++;
            print_error("%s: %s: %s: should %s: %s\n", file, name, yyjson_get_str(yyjson_obj_get(test, "description")),
                        valid ? "fit" : "fail", buf_cstr(&why));
        }
    }
    buf_done(&why);
}

static void run_file(const char *folder, const char *name, struct counts *c) {
    char *path = mem_printf("%s/%s", folder, name);
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    size_t i, n;
    yyjson_val *group;
    if (doc == NULL) fail_msg("%s", path);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, group) run_group(group, name, c);
    yyjson_doc_free(doc);
    free(path);
}

static char *suite(const char *what) {
    const char *source = getenv("CARAVAN_SOURCE");
    char *folder = mem_printf("%s/build/sysroot-test/usr/share/json-schema-test-suite/tests/%s", source != NULL ? source : ".", what);
    struct stat st;
    if (stat(folder, &st) == 0) return folder;
    free(folder);
    print_message("skipped: no test suite; make sysroot-test fetches it\n");
    skip();
    return NULL;
}

static void the_suite_is_followed(void **state) {
    (void)state;
    static const char *const drafts[] = {"draft6", "draft7"};
    for (size_t k = 0; k < ARRAY_LEN(drafts); k++) {
        char *folder = suite(drafts[k]);
        struct counts c = {0};
        DIR *d = opendir(folder);
        for (struct dirent *entry; (entry = readdir(d)) != NULL;)
            if (strstr(entry->d_name, ".json") != NULL) run_file(folder, entry->d_name, &c);
        closedir(d);
        free(folder);
        print_message("%s: %zu right, %zu unknown, %zu knowingly different, %zu wrong\n", drafts[k], c.right, c.unknown, c.different,
                      c.wrong);
        assert_int_equal(c.wrong, 0);
        assert_true(c.right > 350 && c.unknown < 30);
    }
}

static void formats_are_judged(void **state) {
    (void)state;
    static const char *const files[] = {"date.json",          "email.json",        "hostname.json",
                                        "ipv4.json",          "ipv6.json",         "uri.json",
                                        "uri-reference.json", "json-pointer.json", "relative-json-pointer.json",
                                        "uri-template.json",  "iri-reference.json"};
    struct counts c = {0};
    char *folder = suite("draft7/optional/format");
    for (size_t i = 0; i < ARRAY_LEN(files); i++) run_file(folder, files[i], &c);
    free(folder);
    print_message("formats: %zu right, %zu unknown, %zu wrong\n", c.right, c.unknown, c.wrong);
    assert_int_equal(c.wrong, 0);
}

/* ---- what the suite doesn't ask ---- */

static const struct {
    const char *schema, *value;
    enum check_verdict verdict;
    const char *why;
} rows[] = {
    {"{\"properties\":{\"a\":{\"items\":{\"multipleOf\":0.1}}}}", "{\"a\":[0.3,7.25]}", CHECK_FAILS,
     "at \"/a/1\": 7.25 is not a multiple of 0.1"},
    {"{\"multipleOf\":0.01}", "1234567890.12", CHECK_FITS, ""},
    {"{\"multipleOf\":7}", "123456789012345678", CHECK_FAILS, "not a multiple"},
    {"{\"multipleOf\":1e-7}", "3", CHECK_FITS, ""},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":[2]},3,{\"b\":[2.0],\"a\":1}]", CHECK_FAILS, "two of the items are equal"},
    {"{\"uniqueItems\":true}", "[0,false,null,\"\",[],{}]", CHECK_FITS, ""},
    {"{\"required\":[\"x/y\"]}", "{}", CHECK_FAILS, "the property \"x/y\" is missing"},
    {"{\"maxLength\":2}", "\"\\u00e4\\ud83d\\ude00\"", CHECK_FITS, ""},
    {"{\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)[a-z.]+$\"}", "\"a.b\"", CHECK_FITS, ""},
    {"{\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)[a-z.]+$\"}", "\"a..b\"", CHECK_FAILS, "does not match"},
    {"{\"pattern\":\"(a)\\\\1\"}", "\"aa\"", CHECK_UNKNOWN, "cannot be checked"},
    {"{\"pattern\":\"^[^\\\"\\\\\\\\]+$\"}", "\"a\\nb\"", CHECK_FITS, ""},
    {"{\"pattern\":\"^(^a|b$|c)$\"}", "\"b\"", CHECK_UNKNOWN, ""},
    {"{\"pattern\":\"(^a|b$)\"}", "\"xb\"", CHECK_FITS, ""},
    {"{\"pattern\":\"(^a|b$)\"}", "\"bx\"", CHECK_FAILS, ""},
    {"{\"format\":\"email\"}", "\"a.b.c.d@e.org\"", CHECK_FITS, ""},
    {"{\"format\":\"email\"}", "\"a..b@e.org\"", CHECK_FAILS, "no email"},
    {"{\"format\":\"x-own\"}", "\"anything\"", CHECK_FITS, ""},
    {"{\"$ref\":\"http://elsewhere/x\"}", "1", CHECK_UNKNOWN, "is not followed"},
    {"{\"anyOf\":[{\"$ref\":\"http://elsewhere/x\"},{\"type\":\"integer\"}]}", "1", CHECK_FITS, ""},
    {"{\"anyOf\":[{\"$ref\":\"http://elsewhere/x\"},{\"type\":\"integer\"}]}", "\"x\"", CHECK_UNKNOWN, ""},
    {"{\"$ref\":\"#a\",\"$defs\":{\"x\":{\"$anchor\":\"a\",\"type\":\"null\"}}}", "1", CHECK_FAILS, "expected a value of type null"},
    {"{\"$ref\":\"#\"}", "1", CHECK_UNKNOWN, "too complicated"},
    {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}", "[null,1]", CHECK_FAILS, "at \"/1\": nothing is allowed here"},
    {"{\"contains\":{\"type\":\"null\"},\"minContains\":2}", "[null,1]", CHECK_FAILS, "too few"},
    {"{\"properties\":{\"a\":true},\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":2}", CHECK_FAILS, "at \"/b\""},
    {"{\"allOf\":[{\"properties\":{\"a\":true}},{\"if\":{\"required\":[\"b\"]},\"then\":{\"properties\":{\"b\":{\"type\":\"null\"}}}}],"
     "\"unevaluatedProperties\":false}",
     "{\"a\":1,\"b\":null}", CHECK_FITS, ""},
    {"{\"prefixItems\":[true],\"contains\":{\"type\":\"null\"},\"unevaluatedItems\":false}", "[1,null]", CHECK_FITS, ""},
    {"{\"prefixItems\":[true],\"unevaluatedItems\":false}", "[1,null]", CHECK_FAILS, ""},
    {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", CHECK_FAILS, "\"b\" is missing"},
    {"{\"dependentSchemas\":{\"a\":{\"maxProperties\":1}}}", "{\"a\":1,\"b\":1}", CHECK_FAILS, "at most 1"},
    {"{\"minimum\":3,\"exclusiveMinimum\":true}", "3", CHECK_FAILS, "below the minimum"},
    {"{\"type\":\"string\",\"nullable\":true}", "null", CHECK_FITS, ""},
    {"{\"minimum\":9007199254740993}", "9007199254740992", CHECK_FAILS, "below"},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "3", CHECK_FAILS, "fits 2 schemas"},
};

static void reasons_are_said(void **state) {
    (void)state;
    struct buf why;
    buf_init(&why, 4096);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        yyjson_doc *schema = yyjson_read(rows[i].schema, strlen(rows[i].schema), 0),
                   *value = yyjson_read(rows[i].value, strlen(rows[i].value), 0);
        assert_true(schema != NULL && value != NULL);
        enum check_verdict v = check_value(yyjson_doc_get_root(schema), yyjson_doc_get_root(value), &why);
        if (v != rows[i].verdict || strstr(buf_cstr(&why), rows[i].why) == NULL)
            fail_msg("%s: %s: %d \"%s\", expected %d \"%s\"", rows[i].schema, rows[i].value, v, buf_cstr(&why), rows[i].verdict,
                     rows[i].why);
        yyjson_doc_free(schema);
        yyjson_doc_free(value);
    }
    buf_done(&why);
}

/* The checker gives up schemas that multiply, and does not follow them for ever. */
static void it_comes_to_an_end(void **state) {
    (void)state;
    struct buf schema, why;
    buf_init(&schema, 1 << 20);
    buf_init(&why, 4096);
    buf_append_str(&schema, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 60; i++)
        buf_printf(&schema, "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i, i + 1, i + 1);
    buf_append_str(&schema, "\"d60\":{\"type\":\"null\"}}}");
    yyjson_doc *doc = yyjson_read(buf_cstr(&schema), schema.len, 0), *value = yyjson_read("1", 1, 0);
    assert_int_equal(check_value(yyjson_doc_get_root(doc), yyjson_doc_get_root(value), &why), CHECK_UNKNOWN);
    assert_non_null(strstr(buf_cstr(&why), "too complicated"));
    yyjson_doc_free(doc);
    yyjson_doc_free(value);
    buf_done(&schema);
    buf_done(&why);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_suite_is_followed), cmocka_unit_test(formats_are_judged),
                                       cmocka_unit_test(reasons_are_said), cmocka_unit_test(it_comes_to_an_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
