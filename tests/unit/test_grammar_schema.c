/* SPDX-License-Identifier: MIT
 * JSON Schema to grammar: for each keyword texts that must fit and texts that must not; keywords that are refused, by which name;
 * pathological schemas; texts generated under the grammar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"
#include "support/grammar_fixture.h"

enum { MAX_TEXTS = 14 };

static err_code compile(const char *schema, bool closed, struct buf *out, struct err *e) {
    yyjson_doc *doc = NULL;
    struct schema_options options = {.closed = closed};
    *e = (struct err){0};
    if (json_parse(schema, strlen(schema), &doc, e) != ERR_OK) fail_msg("%s: %s", schema, e->text);
    buf_clear(out);
    err_code code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, out, e);
    yyjson_doc_free(doc);
    return code;
}

struct row {
    const char *schema;
    const char *fits[MAX_TEXTS], *fails[MAX_TEXTS];
};

static void check_rows(const struct row *rows, size_t n, bool closed) {
    struct buf grammar;
    struct err e;
    size_t wrong = 0;
    buf_init(&grammar, GBNF_MAX_TEXT);
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        if (compile(r->schema, closed, &grammar, &e) != ERR_OK) fail_msg("%s: %s", r->schema, e.text);
        if (gbnf_check(buf_cstr(&grammar), &e) != ERR_OK) fail_msg("%s: %s\n%s", r->schema, e.text, buf_cstr(&grammar));
        for (size_t k = 0; k < 2 * MAX_TEXTS; k++) {
            bool should = k < MAX_TEXTS;
            const char *text = should ? r->fits[k] : r->fails[k - MAX_TEXTS];
            if (text == NULL) continue;
            long fit = grammar_fit(buf_cstr(&grammar), text, strlen(text));
            if ((fit == (long)strlen(text) + 1) == should) continue;
            print_error("%s: %s: %s (%ld bytes fit)\n", r->schema, text, should ? "should fit" : "should not fit", fit);
            wrong++;
        }
    }
    buf_done(&grammar);
    assert_int_equal(wrong, 0);
}

#define TYPED(body)     "{\"type\":" body "}"
#define INTEGER(limits) TYPED("\"integer\"," limits)
#define NUMBER(limits)  TYPED("\"number\"," limits)
#define STRING(limits)  TYPED("\"string\"," limits)

static void numbers_keep_their_bounds(void **state) {
    (void)state;
    static const struct row rows[] = {
        {INTEGER("\"minimum\":0"),
         {"0", "7", "10", "999999999999999999"},
         {"-1", "-0", "00", "01", "1.5", "1e3", "1000000000000000000", "", "+1"}},
        {INTEGER("\"minimum\":-7,\"maximum\":123"),
         {"-7", "-1", "0", "9", "10", "99", "100", "119", "123"},
         {"-8", "-10", "124", "130", "200", "1000"}},
        {INTEGER("\"exclusiveMinimum\":9,\"exclusiveMaximum\":11"), {"10"}, {"9", "11", "1", "100"}},
        {INTEGER("\"minimum\":1.5,\"maximum\":3.5"), {"2", "3"}, {"1", "4", "2.5"}},
        {INTEGER("\"minimum\":-3.5,\"maximum\":-1.5"), {"-2", "-3"}, {"-1", "-4", "2", "0"}},
        {INTEGER("\"maximum\":-10"), {"-10", "-11", "-100"}, {"-9", "0", "10", "-1"}},
        {INTEGER("\"minimum\":-9007199254740991,\"maximum\":9007199254740991"),
         {"0", "-9007199254740991", "9007199254740991", "9007199254740990", "8999999999999999"},
         {"9007199254740992", "-9007199254740992", "9100000000000000"}},
        {INTEGER("\"minimum\":15,\"maximum\":99"), {"15", "19", "20", "99"}, {"10", "14", "5", "100"}},
        {NUMBER("\"minimum\":-1"), {"-1", "-0.5", "0", "0.0"}, {"-0", "-0.0", "-1.5"}},
        {INTEGER("\"minimum\":5,\"maximum\":5"), {"5"}, {"4", "6", "55"}},
        {INTEGER("\"minimum\":98,\"maximum\":10234"),
         {"98", "99", "100", "999", "1000", "9999", "10000", "10199", "10234"},
         {"97", "10235", "10300", "20000", "9"}},
        {NUMBER("\"minimum\":0,\"maximum\":1"), {"0", "0.5", "1", "0.0001", "1.0", "0.999"}, {"-0.1", "1.1", "2", "1.01", "-0", "10"}},
        {NUMBER("\"exclusiveMinimum\":0,\"exclusiveMaximum\":1"), {"0.5", "0.001", "0.999"}, {"0", "1", "0.0", "1.0", "-0.5"}},
        {NUMBER("\"minimum\":1.25,\"maximum\":1.5"),
         {"1.25", "1.3", "1.5", "1.2500", "1.499", "1.50"},
         {"1.2", "1.24", "1.51", "1", "1.501", "2"}},
        {NUMBER("\"exclusiveMinimum\":1.25,\"exclusiveMaximum\":1.5"), {"1.251", "1.3", "1.4999"}, {"1.25", "1.5", "1.2", "1.250"}},
        {NUMBER("\"minimum\":-1.5,\"maximum\":2.25"),
         {"-1.5", "-1.49", "-1", "-0.5", "0", "2.25", "2.2", "1.9"},
         {"-1.51", "-2", "2.26", "2.3", "3"}},
        {NUMBER("\"minimum\":0.1"), {"0.1", "0.15", "0.2", "1", "99.5"}, {"0", "0.09", "0.05", "-1"}},
        {NUMBER("\"maximum\":1e2"), {"100", "99.9", "-5000", "0"}, {"100.1", "101", "1e3"}},
        {TYPED("\"number\""), {"0", "-1.5", "1e5", "1.5E-3", "123456789012345678"}, {".5", "1.", "01", "NaN", "1e", "--1"}},
        {TYPED("\"integer\""), {"0", "-12"}, {"1.0", "1e2", "a"}},
        {INTEGER("\"multipleOf\":7"), {"0", "7", "-14", "700000000000007"}, {"1", "8", "-15", "70001", "07", "7.0", "7000000000000000"}},
        {INTEGER("\"multipleOf\":5,\"minimum\":10,\"maximum\":25"), {"10", "15", "20", "25"}, {"5", "11", "30", "0", "100"}},
        {INTEGER("\"multipleOf\":1000"), {"0", "1000", "-25000"}, {"100", "1001", "10"}},
        {INTEGER("\"multipleOf\":0.5"), {"0", "1", "17"}, {"0.5"}},
        {NUMBER("\"multipleOf\":0.01"), {"0", "3", "1.5", "-0.25", "19.99"}, {"0.005", "1.", "1.234", "1e2"}},
        {NUMBER("\"multipleOf\":0.25,\"minimum\":0,\"maximum\":1"), {"0", "0.25", "0.5", "0.75", "1"}, {"0.2", "1.25", "-0.25", "0.255"}},
        {NUMBER("\"allOf\":[{\"multipleOf\":4},{\"multipleOf\":6}]"), {"12", "24", "0"}, {"4", "6", "8"}},
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void strings_keep_their_limits(void **state) {
    (void)state;
    static const struct row rows[] = {
        {TYPED("\"string\""),
         {"\"\"", "\"a\"", "\"\\\"\\\\\\n\"", "\"\\u001f\"", "\"\xc3\xa9\xf0\x9f\xa6\x99\""},
         {"\"a", "\"\\x\"", "\"\n\"", "\"\\u0041\"", "1"}},
        {STRING("\"minLength\":2,\"maxLength\":3"), {"\"ab\"", "\"abc\"", "\"\xf0\x9f\xa6\x99\\n\""}, {"\"a\"", "\"abcd\"", "\"\""}},
        {STRING("\"maxLength\":0"), {"\"\""}, {"\"a\""}},
        {STRING("\"pattern\":\"^a+b?$\""), {"\"a\"", "\"aaab\""}, {"\"b\"", "\"abb\"", "\"xab\"", "\"abx\""}},
        {STRING("\"pattern\":\"b\""), {"\"b\"", "\"abc\""}, {"\"a\"", "\"\""}},
        {STRING("\"pattern\":\"^(a|bc){2,3}$\""), {"\"abc\"", "\"aaa\"", "\"bcbc\""}, {"\"a\"", "\"aaaa\"", "\"b\""}},
        {STRING("\"pattern\":\"^[^a-z\\\\d]$\""), {"\"A\"", "\"\\\"\"", "\"\\n\"", "\"\xc3\xa9\""}, {"\"a\"", "\"5\"", "\"\""}},
        {STRING("\"pattern\":\"^\\\\w+@\\\\S\\\\.(?:com|org)$\""),
         {"\"a_1@x.com\"", "\"b@y.org\""},
         {"\"@x.com\"", "\"a@ .com\"", "\"a@xxcom\""}},
        {STRING("\"pattern\":\"^\\\\u00e9\\\\x41\\\\/$\""),
         {"\"\xc3\xa9"
          "A/\""},
         {"\"eA/\""}},
        {STRING("\"pattern\":\"^a$|^b\""), {"\"a\"", "\"b\"", "\"bxx\""}, {"\"ax\"", "\"xb\""}},
        {STRING("\"pattern\":\"^.$\""), {"\"a\"", "\"\xf0\x9f\xa6\x99\""}, {"\"\\n\"", "\"ab\""}},
        {STRING("\"pattern\":\"^[a-z]{3,5}$\",\"minLength\":1,\"maxLength\":10"), {"\"abc\""}, {"\"ab\""}},
        {STRING("\"pattern\":\"^[a-z]+$\",\"maxLength\":3"), {"\"a\"", "\"abc\""}, {"\"abcd\"", "\"\"", "\"aB\""}},
        {STRING("\"pattern\":\"b\",\"minLength\":2,\"maxLength\":3"), {"\"ab\"", "\"ba\"", "\"xby\""}, {"\"b\"", "\"xx\"", "\"xxby\""}},
        {STRING("\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"z$\"}]"), {"\"az\"", "\"a\\nz\""}, {"\"a\"", "\"z\"", "\"ya\""}},
        {STRING("\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)[a-z.]+$\""), {"\"a.b\"", "\"a.\""}, {"\".a\"", "\"a..b\"", "\"\""}},
        {STRING("\"pattern\":\"^(?=.*[0-9])(?=.*[a-z]).{3,}$\""), {"\"a1x\"", "\"99z\""}, {"\"a1\"", "\"abc\"", "\"123\""}},
        {STRING("\"pattern\":\"(^a|b$)\""), {"\"ax\"", "\"xb\""}, {"\"xa\"", "\"bx\""}},
        {STRING("\"pattern\":\"(a*)*b{5000}\""), {NULL}, {"\"ab\""}},
        {STRING("\"format\":\"uuid\",\"pattern\":\"^[0-9a-f-]{36}$\""),
         {"\"123e4567-e89b-12d3-a456-426614174000\""},
         {"\"123E4567-e89b-12d3-a456-426614174000\"", "\"123e4567-e89b-12d3-a456-42661417400-\""}},
        {STRING("\"format\":\"date\",\"pattern\":\"^2024\""), {"\"2024-02-29\""}, {"\"2023-01-01\"", "\"2024-02-30\""}},
        {STRING("\"format\":\"email\",\"pattern\":\"^(?!\\\\.)(?!.*\\\\.\\\\.)([A-Za-z0-9_'+\\\\-\\\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9]"
                "[A-Za-z0-9\\\\-]*\\\\.)+[A-Za-z]{2,}$\""),
         {"\"a.b@c.org\"", "\"a.b.c@d-e.f.org\""},
         {"\"a..b@c.org\"", "\".a@c.org\"", "\"a@c\"", "\"a!@c.org\""}},
        {STRING("\"format\":\"email\""), {"\"a.b.c.d@e.org\"", "\"a@b.co\""}, {"\"a..b@e.org\"", "\"a@b\"", "\".a@b.co\""}},
        {STRING("\"format\":\"file-path\",\"maxLength\":3"), {"\"a/b\""}, {"\"a/bc\""}},
        {STRING("\"format\":\"json-pointer\""), {"\"\"", "\"/a~1b/0\""}, {"\"a\"", "\"/~2\""}},
        {STRING("\"maxLength\":1000000"), {"\"a\""}, {"1"}},
        {"{\"enum\":[\"ab\",\"b\",3,\"abc\"],\"pattern\":\"^a\",\"maxLength\":2}", {"\"ab\"", "3"}, {"\"b\"", "\"abc\""}},
        {STRING("\"format\":\"date\""),
         {"\"2024-02-29\"", "\"2023-12-31\"", "\"2000-02-29\""},
         {"\"2023-02-29\"", "\"1900-02-29\"", "\"2023-04-31\"", "\"2023-13-01\""}},
        {STRING("\"format\":\"uuid\""), {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567e89b12d3a456426614174000\""}},
        {STRING("\"format\":\"duration\""), {"\"P1Y2M3DT4H5M6S\"", "\"PT1S\"", "\"P3W\""}, {"\"P\"", "\"PT\"", "\"P1S\""}},
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void objects_and_arrays_have_their_shape(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]+$\",\"maxLength\":3},\"additionalProperties\":{\"type\":\"boolean\"}"
         "}",
         {"{}", "{\"ab\":true}"},
         {"{\"A\":true}", "{\"abcd\":true}", "{\"ab\":1}"}},
        {"{\"type\":\"object\",\"propertyNames\":{\"enum\":[\"x\",\"y z\"]}}", {"{\"x\":1}", "{\"y z\":[]}"}, {"{\"z\":1}", "{\"\":1}"}},
        {"{\"type\":\"object\",\"propertyNames\":{\"type\":\"string\"},\"additionalProperties\":{\"type\":\"null\"}}",
         {"{\"q\":null}"},
         {"{\"q\":1}"}},
        {"{\"type\":\"object\",\"propertyNames\":false}", {"{}"}, {"{\"a\":1}"}},
        {"{\"type\":\"object\",\"patternProperties\":{\"^n\":{\"type\":\"null\"},\"b$\":{\"type\":\"boolean\"}},\"additionalProperties\":"
         "false}",
         {"{}", "{\"n\":null}", "{\"b\":true,\"n1\":null}"},
         {"{\"x\":1}", "{\"n\":1}", "{\"nb\":null}", "{\"nb\":true}"}},
        {"{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"integer\"},\"xa\":{\"minimum\":3}},\"patternProperties\":{\"^x\":{"
         "\"type\":\"integer\"}},"
         "\"additionalProperties\":{\"type\":\"string\"},\"required\":[\"id\"]}",
         {"{\"id\":1}", "{\"id\":1,\"xb\":2}", "{\"id\":1,\"q\":\"s\"}", "{\"id\":1,\"xa\":4}"},
         {"{\"id\":1,\"xb\":\"s\"}", "{\"id\":1,\"q\":1}", "{\"id\":1,\"xa\":2}", "{\"id\":1,\"xa\":\"s\"}"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":100000}", {"[null,null]"}, {"[null]"}},
        {"{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", {"null"}, {"1"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"},\"c\":{\"type\":\"null\"}},"
         "\"required\":[\"b\"],"
         "\"additionalProperties\":false}",
         {"{\"b\":true}", "{\"a\":1,\"b\":false}", "{\"a\":1,\"b\":true,\"c\":null}", "{ \"b\": true }", "{\n  \"b\": true\n}"},
         {"{}", "{\"a\":1}", "{\"b\":true,\"a\":1}", "{\"b\":true,\"d\":1}", "{\"b\":true,}", "{,\"b\":true}", "{\"b\":1}"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false}",
         {"{}", "{\"a\":1}", "{\"b\":[]}", "{\"a\":{},\"b\":\"x\"}"},
         {"{\"b\":1,\"a\":1}"}},
        {"{\"type\":\"object\",\"properties\":{\"foo\":{\"type\":\"integer\"},\"fob\":{\"type\":\"integer\"}}}",
         {"{}", "{\"foo\":1}", "{\"fo\":\"x\"}", "{\"food\":\"x\"}", "{\"foo\":1,\"x\":[]}", "{\"\":0}"},
         {"{\"foo\":\"x\"}", "{\"fob\":\"x\"}", "{\"x\":1,\"foo\":\"y\"}"}},
        {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":1,\"maxProperties\":2}",
         {"{\"x\":1}", "{\"x\":1,\"y\":2}"},
         {"{}", "{\"x\":1,\"y\":2,\"z\":3}", "{\"x\":\"1\"}"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"z\"],"
         "\"additionalProperties\":{\"type\":\"string\"}}",
         {"{\"z\":\"1\"}", "{\"a\":1,\"z\":\"1\",\"k\":\"2\"}"},
         {"{\"a\":1}", "{\"z\":1}"}},
        {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":3}},\"required\":[\"a\"]},"
         "{\"properties\":{\"a\":{\"maximum\":5},"
         "\"b\":{\"type\":\"string\"}},\"required\":[\"b\"]}]}",
         {"{\"a\":4,\"b\":\"x\"}"},
         {"{\"a\":6,\"b\":\"\"}", "{\"a\":2,\"b\":\"\"}", "{\"a\":4}"}},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
         {"[1]", "[1,2,3]", "[1, 2]"},
         {"[]", "[1,2,3,4]", "[\"1\"]", "[1,]"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}",
         {"[]", "[1]", "[1,\"a\"]"},
         {"[\"a\"]", "[1,\"a\",2]", "[1,2]"}},
        {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},\"minItems\":2,\"maxItems\":3}",
         {"[1,null]", "[1,null,null]"},
         {"[1]", "[1,2]", "[1,null,null,null]"}},
        {"{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\"]},\"uniqueItems\":false}", {"[]", "[\"a\",\"a\"]"}, {"[\"c\"]"}},
        {"{\"properties\":{\"a\":{\"type\":\"integer\"}}}", {"3", "\"x\"", "{\"a\":1}", "{\"b\":[]}"}, {"{\"a\":[]}"}},
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

static void values_are_chosen_from(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"enum\":[\"a\\\"b\",1,null,[1,{\"x\":2}],true,\"\\u00e9\"]}",
         {"\"a\\\"b\"", "1", "null", "[1,{\"x\":2}]", "true", "\"\xc3\xa9\""},
         {"\"a\"", "2", "[1]", "false"}},
        {"{\"type\":\"string\",\"enum\":[\"a\",1,\"bb\"],\"minLength\":2}", {"\"bb\""}, {"\"a\"", "1"}},
        {"{\"type\":\"boolean\",\"enum\":[null,true]}", {"true"}, {"null", "false"}},
        {"{\"type\":[\"integer\",\"string\"],\"allOf\":[{\"type\":[\"string\",\"null\"]}]}", {"\"\""}, {"null", "1"}},
        {"{\"type\":\"integer\",\"anyOf\":[{\"minimum\":3}],\"oneOf\":[{\"type\":\"integer\",\"maximum\":5},"
         "{\"type\":\"integer\",\"minimum\":8}]}",
         {"4", "9"},
         {"2", "6"}},
        {"{\"const\":{\"a\":[1]}}", {"{\"a\":[1]}"}, {"{}", "{\"a\":[2]}"}},
        {"{\"type\":[\"integer\",\"null\"]}", {"1", "null"}, {"\"1\"", "1.5"}},
        {"{\"type\":\"string\",\"nullable\":true}", {"\"x\"", "null"}, {"1"}},
        {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}", {"5", "\"a\"", "\"\""}, {"\"ab\"", "null"}},
        {"{\"type\":\"integer\",\"anyOf\":[{\"minimum\":10},{\"maximum\":-10}]}", {"10", "-10", "-11"}, {"0", "9", "\"a\""}},
        {"{\"anyOf\":[{\"type\":\"string\"},false]}", {"\"\""}, {"1"}},
        {"{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},"
         "\"required\":[\"kind\",\"x\"],\"additionalProperties\":false},"
         "{\"type\":\"object\",\"properties\":{\"kind\":{\"const\":\"b\"}},\"required\":[\"kind\"],\"additionalProperties\":false},"
         "{\"type\":\"null\"}]}",
         {"{\"kind\":\"a\",\"x\":1}", "{\"kind\":\"b\"}", "null"},
         {"{\"kind\":\"b\",\"x\":1}", "{\"kind\":\"a\"}"}},
        {"{\"oneOf\":[{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":5}]}", {"3", "5"}, {"4"}},
        {"{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
         "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/node\"},{\"type\":\"null\"}]}},"
         "\"required\":[\"v\",\"next\"],\"additionalProperties\":false}},\"$ref\":\"#/$defs/node\"}",
         {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
         {"{\"v\":1}", "null"}},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", {"[]", "[[],[[]]]"}, {"[1]"}},
        {"{\"definitions\":{\"a/b~c%\":{\"type\":\"null\"}},\"$ref\":\"#/definitions/a~1b~0c%25\"}", {"null"}, {"1"}},
        {"{\"$ref\":\"#/$defs/s\",\"maxLength\":1,\"$defs\":{\"s\":{\"type\":\"string\"}}}", {"\"a\""}, {"\"ab\""}},
        {"true", {"1", "{\"a\":[null,true]}"}, {"", "nul"}},
        {"{\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[1],\"$schema\":\"s\",\"x-own\":{},\"deprecated\":true,"
         "\"type\":\"boolean\"}",
         {"true"},
         {"1"}},
    };
    check_rows(rows, ARRAY_LEN(rows), false);
}

/* A schema without additionalProperties and type is read as people mean it. */
static void closed_schemas_allow_less(void **state) {
    (void)state;
    static const struct row rows[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", {"{}", "{\"a\":1}"}, {"{\"b\":1}", "{\"a\":1,\"b\":1}"}},
        {"{\"properties\":{\"a\":{\"minimum\":3}},\"required\":[\"a\"]}", {"{\"a\":4}"}, {"1", "{\"a\":\"x\"}", "{\"a\":2}"}},
        {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":true}", {"{\"a\":1,\"b\":2}"}, {"{\"a\":1,\"a\":2}"}},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"null\"}}},{\"properties\":{\"b\":{\"type\":\"null\"}}}],\"type\":\"object\"}",
         {"{\"a\":null,\"b\":null}"},
         {"{\"c\":1}"}},
        {"{\"type\":\"object\"}", {"{}", "{\"x\":1}"}, {"[]"}},
    };
    check_rows(rows, ARRAY_LEN(rows), true);
}

static const struct {
    const char *schema, *place, *name;
    err_code code;
} refusals[] = {
    {"{\"properties\":{\"a\":{\"not\":{}}}}", "/properties/a", "\"not\"", ERR_UNSUPPORTED},
    {"{\"if\":{},\"then\":{}}", "schema: ", "\"if\"", ERR_UNSUPPORTED},
    {"{\"type\":\"array\",\"uniqueItems\":true}", "", "\"uniqueItems\"", ERR_UNSUPPORTED},
    {"{\"dependentRequired\":{}}", "", "\"dependentRequired\"", ERR_UNSUPPORTED},
    {"{\"contains\":{}}", "", "\"contains\"", ERR_UNSUPPORTED},
    {"{\"unevaluatedProperties\":false}", "", "\"unevaluatedProperties\"", ERR_UNSUPPORTED},
    {"{\"$ref\":\"http://example.org/x\"}", "", "\"$ref\"", ERR_UNSUPPORTED},
    {"{\"$ref\":\"#/$defs/nowhere\"}", "", "there is no", ERR_INVALID},
    {"{\"$dynamicRef\":\"#x\"}", "", "\"$dynamicRef\"", ERR_UNSUPPORTED},
    {"{\"properties\":{\"a\":{\"$id\":\"x\"}}}", "/properties/a", "\"$id\"", ERR_UNSUPPORTED},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "", "\"oneOf\": a value might fit branches 0 and 1", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", "", "back references", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"\\\\bx\"}", "", "word borders", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"\\\\p{L}\"}", "", "Unicode properties", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"a^b\"}", "", "^ and $", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(\"}", "", "a ( without )", ERR_INVALID},
    {"{\"type\":\"string\",\"pattern\":\"a)\"}", "", "a ) without (", ERR_INVALID},
    {"{\"type\":\"string\",\"pattern\":\"[z-a]\"}", "", "out of order", ERR_INVALID},
    {"{\"type\":\"string\",\"pattern\":\"^a$\",\"minLength\":2}", "", "nothing fits", ERR_INVALID},
    {"{\"type\":\"string\",\"pattern\":\"a(?=b)\"}", "", "look-ahead", ERR_UNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(?<=a)b\"}", "", "look-behind", ERR_UNSUPPORTED},
    {"{\"type\":\"integer\",\"multipleOf\":12345}", "", "\"multipleOf\"", ERR_UNSUPPORTED},
    {"{\"type\":\"integer\",\"multipleOf\":0}", "", "\"multipleOf\"", ERR_INVALID},
    {"{\"type\":\"string\",\"format\":\"uri-template\"}", "", "uri-template", ERR_UNSUPPORTED},
    {"{\"$defs\":{\"x\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/x\"}},"
     "\"b\":false},"
     "\"required\":[\"b\"]}},\"anyOf\":[{\"$ref\":\"#/$defs/x\"},{\"type\":\"null\"}]}",
     "/x", "contains itself for ever", ERR_INVALID},
    {"{\"type\":\"wrong\"}", "", "\"type\"", ERR_INVALID},
    {"{\"type\":\"integer\",\"minimum\":\"3\"}", "", "\"minimum\"", ERR_INVALID},
    {"{\"minLength\":-1}", "", "\"minLength\"", ERR_INVALID},
    {"{\"required\":\"a\"}", "", "\"required\"", ERR_INVALID},
    {"{\"properties\":[]}", "", "\"properties\"", ERR_INVALID},
    {"{\"enum\":3}", "", "\"enum\"", ERR_INVALID},
    {"{\"anyOf\":[]}", "", "\"anyOf\"", ERR_INVALID},
    {"{\"allOf\":{}}", "", "\"allOf\"", ERR_INVALID},
    {"{\"items\":7}", "/items", "expected a schema", ERR_INVALID},
    {"7", "", "expected a schema", ERR_INVALID},
    {"false", "", "nothing fits", ERR_INVALID},
    {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "", "nothing fits", ERR_INVALID},
    {"{\"type\":\"object\",\"properties\":{\"a\":false},\"required\":[\"a\"]}", "", "nothing fits", ERR_INVALID},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "", "contains itself for ever", ERR_INVALID},
    {"{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{\"const\":1}]}},"
     "\"$ref\":\"#/$defs/a\"}",
     "/$defs/", "its own alternative", ERR_INVALID},
    {"{\"$defs\":{\"x\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/x\"},\"minItems\":1}},"
     "\"properties\":{\"x\":{\"$ref\":\"#/$defs/x\"}}}",
     "/x", "contains itself for ever", ERR_INVALID},
};

/* The same, if conditions that can't be expressed may be left out: every valid schema gives a grammar, which allows the rest. */
static void what_cannot_be_said_is_left_out(void **state) {
    static const struct {
        const char *schema, *fits, *fails;
    } rows[] = {
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"not\":{\"const\":1},\"type\":\"integer\"}}}", "{\"a\":1}", "{\"a\":\"x\"}"},
        {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"integer\"}}", "[1,1]", "[\"a\"]"},
        {"{\"type\":\"array\",\"contains\":{\"const\":1},\"maxItems\":1}", "[2]", "[2,1]"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}",
         "{\"a\":null,\"b\":2}", "{\"a\":1}"},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\",\"minimum\":2}]}", "3", "\"x\""},
        {"{\"properties\":{\"a\":{\"$ref\":\"http://elsewhere/x\"}},\"required\":[\"a\"]}", "{\"a\":[1]}", "{}"},
        {"{\"type\":\"string\",\"pattern\":\"^(a)\\\\1$\",\"maxLength\":2}", "\"xy\"", "\"xyz\""},
        {"{\"type\":\"string\",\"pattern\":\"^a{0,3000}b{0,3000}$\",\"maxLength\":5000}", "\"ab\"", "\"c\""},
        {"{\"type\":\"integer\",\"multipleOf\":12345,\"minimum\":5}", "12346", "4"},
        {"{\"type\":\"object\",\"properties\":{\"a\":{}},\"required\":[\"a\"],\"minProperties\":2,\"additionalProperties\":true}",
         "{\"a\":1}", "{}"},
        {"{\"type\":\"object\",\"patternProperties\":{\"^(?=a)(?=b)\":{}},\"additionalProperties\":false}", "{}", "[]"},
    };
    struct buf grammar;
    struct err e;
    (void)state;
    buf_init(&grammar, GBNF_MAX_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool partial = false;
        yyjson_doc *doc = yyjson_read(rows[i].schema, strlen(rows[i].schema), 0);
        const struct schema_options options = {.closed = true, .ret_partial = &partial};
        buf_clear(&grammar);
        if (schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e) != ERR_OK) fail_msg("%s: %s", rows[i].schema, e.text);
        assert_int_equal(partial, i + 1 < ARRAY_LEN(rows));
        if (grammar_fit(buf_cstr(&grammar), rows[i].fits, strlen(rows[i].fits)) != (long)strlen(rows[i].fits) + 1)
            fail_msg("%s: %s", rows[i].schema, rows[i].fits);
        if (grammar_fit(buf_cstr(&grammar), rows[i].fails, strlen(rows[i].fails)) == (long)strlen(rows[i].fails) + 1)
            fail_msg("%s: %s", rows[i].schema, rows[i].fails);
        yyjson_doc_free(doc);
    }
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        bool partial = false;
        yyjson_doc *doc = yyjson_read(refusals[i].schema, strlen(refusals[i].schema), 0);
        const struct schema_options options = {.closed = true, .ret_partial = &partial};
        buf_clear(&grammar);
        err_code code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e);
        bool no_pattern = strstr(refusals[i].schema, "\"pattern\"") != NULL && strstr(refusals[i].name, "nothing fits") == NULL;
        if (refusals[i].code == ERR_INVALID && !no_pattern ? code != ERR_INVALID : code != ERR_OK || !partial)
            fail_msg("%s: %s", refusals[i].schema, e.text);
        yyjson_doc_free(doc);
    }
    buf_done(&grammar);
}

static void what_cannot_be_said_is_refused_by_name(void **state) {
    struct buf grammar;
    struct err e;
    (void)state;
    buf_init(&grammar, GBNF_MAX_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        err_code code = compile(refusals[i].schema, false, &grammar, &e);
        if (code != refusals[i].code || strstr(e.text, refusals[i].name) == NULL || strstr(e.text, refusals[i].place) == NULL)
            fail_msg("%s: %s %s", refusals[i].schema, err_name(code), e.text);
        assert_int_equal(grammar.len, 0);
    }
    buf_done(&grammar);
}

/* ---- pathological schemas ---- */

static char *text_of(struct buf *b) { return (char *)buf_detach(b, &(size_t){0}); }

static char *bomb_of_refs(const char *keyword, int depth) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < depth; i++)
        buf_printf(&b, "\"d%d\":{\"%s\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i, keyword, i + 1, i + 1);
    buf_printf(&b, "\"d%d\":{\"type\":\"null\"}}}", depth);
    return text_of(&b);
}

static char *product_of_choices(void) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "{\"allOf\":[");
    for (int i = 0; i < 12; i++)
        buf_printf(&b, "%s{\"anyOf\":[{\"minLength\":%d},{\"maxLength\":%d},{\"minimum\":%d}]}", i > 0 ? "," : "", i, 50 + i, i);
    buf_append_str(&b, "]}");
    return text_of(&b);
}

static char *deep_chain(void) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 3000; i++) buf_printf(&b, "\"d%d\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/d%d\"}},", i, i + 1);
    buf_append_str(&b, "\"d3000\":{}}}");
    return text_of(&b);
}

static char *huge_enum(void) {
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_append_str(&b, "{\"enum\":[");
    for (int i = 0; i < 60000; i++) buf_printf(&b, "%s\"value %d\"", i > 0 ? "," : "", i);
    buf_append_str(&b, "]}");
    return text_of(&b);
}

static char *many_properties(int n) {
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_append_str(&b, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < n; i++)
        buf_printf(&b, "%s\"a property with a long name, number %d\":{\"type\":\"integer\",\"minimum\":%d}", i > 0 ? "," : "", i, i);
    buf_append_str(&b, "}}");
    return text_of(&b);
}

/* Texts of which several things are asked, each a different one. */
static char *many_patterns(int n) {
    struct buf b;
    buf_init(&b, 1 << 22);
    buf_append_str(&b, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < n; i++)
        buf_printf(&b,
                   "%s\"p%d\":{\"type\":\"string\",\"pattern\":\"^([a-z]{1,%d}-[0-9]{0,40})+$\",\"format\":\"hostname\",\"maxLength\":%d}",
                   i > 0 ? "," : "", i, 10 + i % 50, 60 + i);
    buf_append_str(&b, "}}");
    return text_of(&b);
}

/* No schema makes more work than its limits allow; one that does, of those that double 60 times, goes on until the test's time is over. */
static void pathological_schemas_cost_little(void **state) {
    (void)state;
    char *texts[] = {bomb_of_refs("allOf", 15),
                     bomb_of_refs("allOf", 60),
                     bomb_of_refs("anyOf", 40),
                     bomb_of_refs("oneOf", 60),
                     product_of_choices(),
                     deep_chain(),
                     huge_enum(),
                     many_properties(5000),
                     many_properties(500),
                     many_patterns(300)};
    static const char *const names[] = {"", "48 schemas", "", "\"oneOf\"", "schema", "deeper than", "\"enum\"", "\"properties\"", "", ""};
    struct buf grammar;
    struct err e;
    buf_init(&grammar, GBNF_MAX_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        clock_t start = clock();
        err_code code = compile(texts[i], false, &grammar, &e);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        print_message("%.50s...: %s %s, %.3f s\n", texts[i], err_name(code), e.text, seconds);
        assert_true(code == ERR_OK || code == ERR_LIMIT || code == ERR_UNSUPPORTED);
        if (i + 1 < ARRAY_LEN(texts)) assert_true((*names[i] == '\0') == (code == ERR_OK) && strstr(e.text, names[i]) != NULL);
        bool partial = false;
        yyjson_doc *doc = yyjson_read(texts[i], strlen(texts[i]), 0);
        const struct schema_options options = {.closed = true, .ret_partial = &partial};
        buf_clear(&grammar);
        start = clock();
        code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e);
        seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        print_message("    what can be said of it: %s, %s, %zu bytes, %.3f s\n", err_name(code), partial ? "in part" : "all", grammar.len,
                      seconds);
        assert_int_equal(code, ERR_OK);
        yyjson_doc_free(doc);
        free(texts[i]);
    }
    buf_done(&grammar);
}

/* Schemas as programs send them: every text that their grammar generates parses and has the shape. */
static void what_is_generated_fits(void **state) {
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":12},\"age\":{\"type\":\"integer\","
        "\"minimum\":0,\"maximum\":150},"
        "\"mail\":{\"type\":\"string\",\"format\":\"email\"},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"x\",\"y\"]},"
        "\"maxItems\":3}},"
        "\"required\":[\"name\",\"age\",\"tags\"],\"additionalProperties\":false}";
    (void)state;
    struct buf grammar, text;
    struct err e;
    uint64_t seed = 42;
    buf_init(&grammar, GBNF_MAX_TEXT);
    buf_init(&text, 1 << 16);
    assert_int_equal(compile(schema, true, &grammar, &e), ERR_OK);
    for (int i = 0; i < 50; i++) {
        buf_clear(&text);
        if (!grammar_walk(buf_cstr(&grammar), &seed, 200, &text)) fail_msg("no end: %s", buf_cstr(&text));
        yyjson_doc *doc = NULL;
        if (json_parse(buf_cstr(&text), text.len, &doc, &e) != ERR_OK) fail_msg("%s: %s", buf_cstr(&text), e.text);
        yyjson_val *root = yyjson_doc_get_root(doc), *age = yyjson_obj_get(root, "age");
        assert_true(yyjson_is_int(age) && yyjson_get_int(age) >= 0 && yyjson_get_int(age) <= 150);
        assert_true(yyjson_is_str(yyjson_obj_get(root, "name")) && yyjson_arr_size(yyjson_obj_get(root, "tags")) <= 3);
        yyjson_doc_free(doc);
    }
    buf_done(&text);
    buf_done(&grammar);
}

/* The longest strings that are allowed, and any object. */
static void long_strings_are_counted(void **state) {
    (void)state;
    struct buf grammar, text;
    struct err e;
    buf_init(&grammar, GBNF_MAX_TEXT);
    buf_init(&text, 1 << 16);
    assert_int_equal(compile("{\"type\":\"string\",\"minLength\":2500,\"maxLength\":7000}", false, &grammar, &e), ERR_OK);
    for (size_t n = 2499; n <= 7001; n += n == 2499 || n == 7000 ? 1 : 4500) {
        buf_clear(&text);
        buf_append_byte(&text, '"');
        for (size_t i = 0; i < n; i++) buf_append_byte(&text, 'a');
        buf_append_byte(&text, '"');
        bool fits = grammar_fit(buf_cstr(&grammar), buf_cstr(&text), text.len) == (long)text.len + 1;
        assert_int_equal(fits, n >= 2500 && n <= 7000);
    }
    buf_clear(&grammar);
    schema_any_object(&grammar);
    assert_int_equal(gbnf_check(buf_cstr(&grammar), &e), ERR_OK);
    assert_int_equal(grammar_fit(buf_cstr(&grammar), "{\"a\":[1,{}]}", 12), 13);
    assert_int_equal(grammar_fit(buf_cstr(&grammar), "[1]", 3), 0);
    buf_done(&text);
    buf_done(&grammar);
}

/* All tools of a request share one budget for their schemas. */
static void schemas_share_a_budget(void **state) {
    (void)state;
    yyjson_doc *doc = NULL;
    struct buf schema, grammar;
    struct err e = {0};
    buf_init(&schema, 1 << 20);
    buf_init(&grammar, 1 << 24);
    buf_append_str(&schema, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 300; i++) buf_printf(&schema, "%s\"p%d\":{\"type\":\"string\",\"maxLength\":%d}", i > 0 ? "," : "", i, i + 1);
    buf_append_str(&schema, "}}");
    assert_int_equal(json_parse(buf_cstr(&schema), schema.len, &doc, &e), ERR_OK);
    uint64_t budget = SCHEMA_BUDGET, before = budget;
    const struct schema_options options = {.closed = true, .budget = &budget};
    int n = 0;
    while (schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e) == ERR_OK && n++ < 1000) {
        assert_true(budget < before);
        before = budget;
    }
    assert_true(n >= 2 && n < 100);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_int_equal(budget, 0);
    yyjson_doc_free(doc);
    buf_done(&schema);
    buf_done(&grammar);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_keep_their_bounds),
        cmocka_unit_test(strings_keep_their_limits),
        cmocka_unit_test(objects_and_arrays_have_their_shape),
        cmocka_unit_test(values_are_chosen_from),
        cmocka_unit_test(closed_schemas_allow_less),
        cmocka_unit_test(what_cannot_be_said_is_refused_by_name),
        cmocka_unit_test(what_cannot_be_said_is_left_out),
        cmocka_unit_test(pathological_schemas_cost_little),
        cmocka_unit_test(schemas_share_a_budget),
        cmocka_unit_test(what_is_generated_fits),
        cmocka_unit_test(long_strings_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
