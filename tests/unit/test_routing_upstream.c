/* SPDX-License-Identifier: MIT
 * Upstreams of a routes file: what is read, what is refused and how the error names it, and what a request costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "routing/upstream.h"

static err_code parse(const char *name, const char *text, struct upstream *ret, struct err *e) {
    yyjson_doc *doc = json_read(text, strlen(text));
    assert_non_null(doc);
    err_code code = upstream_parse(name, yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return code;
}

static void all_fields_are_read(void **state) {
    (void)state;
    struct upstream u = {0}, copy;
    struct err e = {0};
    const char *text =
        "{\"url\":\"https://api.example.com/v1/\",\"api\":\"anthropic\",\"key_env\":\"ACME_KEY\",\"ca_file\":\"/etc/ca.pem\","
        "\"timeout_s\":7,\"connect_s\":3,\"max_tokens\":99,\"max_tokens_field\":\"limit\","
        "\"prices\":{\"big\":{\"input\":1.25,\"output\":10,\"cached\":0.1},\"*\":{\"input\":0,\"output\":0.5}},"
        "\"spend\":{\"day\":5,\"month\":50.5}}";
    assert_int_equal(parse("acme.eu-1", text, &u, &e), ERR_OK);
    upstream_copy(&u, &copy);
    upstream_done(&u);
    assert_string_equal(copy.name, "acme.eu-1");
    assert_string_equal(copy.url, "https://api.example.com/v1");
    assert_int_equal(copy.api, UPSTREAM_ANTHROPIC);
    assert_null(copy.key_file);
    assert_string_equal(copy.key_env, "ACME_KEY");
    assert_string_equal(copy.ca_file, "/etc/ca.pem");
    assert_int_equal(copy.timeout_s, 7);
    assert_int_equal(copy.connect_s, 3);
    assert_int_equal(copy.max_tokens, 99);
    assert_string_equal(copy.max_tokens_field, "limit");
    assert_true(copy.day == 5000000000u && copy.month == 50500000000u);
    const struct upstream_price *p = upstream_price_of(&copy, "big");
    assert_true(p->input == 1250000 && p->output == 10000000 && p->cached == 100000);
    p = upstream_price_of(&copy, "small");
    assert_true(p->input == 0 && p->output == 500000 && p->cached == 0);
    upstream_done(&copy);
}

static void only_the_address_is_needed(void **state) {
    (void)state;
    static const char *const fine[] = {"https://a",        "HTTPS://a/v1",     "https://a:8443/v1/", "http://localhost:1/v1",
                                       "http://127.0.0.1", "http://[::1]:8/v1"};
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        struct upstream u = {0};
        char text[200];
        snprintf(text, sizeof(text), "{\"url\":\"%s\"}", fine[i]);
        assert_int_equal(parse("a", text, &u, NULL), ERR_OK);
        assert_int_equal(u.api, UPSTREAM_OPENAI);
        assert_int_equal(u.timeout_s, 60);
        assert_false(upstream_has_cap(&u));
        assert_int_equal(upstream_check_model(&u, "any", NULL), ERR_OK);
        upstream_done(&u);
    }
}

/* Each error has the field, and its text begins with it. */
static void wrong_fields_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *field, *said;
    } bad[] = {
        {"[]", "", "expected an object"},
        {"{}", "url", ""},
        {"{\"url\":7}", "url", ""},
        {"{\"url\":\"\"}", "url", ""},
        {"{\"url\":\"ftp://a\"}", "url", ""},
        {"{\"url\":\"api.example.com/v1\"}", "url", ""},
        {"{\"url\":\"https://\"}", "url", ""},
        {"{\"url\":\"https:///v1\"}", "url", ""},
        {"{\"url\":\"https://me:pw@a/v1\"}", "url", ""},
        {"{\"url\":\"https://a/v1?key=x\"}", "url", ""},
        {"{\"url\":\"https://a\\nb\"}", "url", ""},
        {"{\"url\":\"https://a\\u0000b\"}", "url", ""},
        {"{\"url\":\"http://a.example/v1\"}", "url", "not encrypted"},
        {"{\"url\":\"http://localhost.evil.com/v1\"}", "url", "not encrypted"},
        {"{\"url\":\"http://127.0.0.1.evil.com/v1\"}", "url", "not encrypted"},
        {"{\"url\":\"https://a\",\"api\":\"gemini\"}", "api", ""},
        {"{\"url\":\"https://a\",\"api\":1}", "api", ""},
        {"{\"url\":\"https://a\",\"key_env\":\"A\",\"key_file\":\"b\"}", "key_env", ""},
        {"{\"url\":\"https://a\",\"timeout_s\":0}", "timeout_s", ""},
        {"{\"url\":\"https://a\",\"timeout_s\":\"1\"}", "timeout_s", ""},
        {"{\"url\":\"https://a\",\"connect_s\":1e9}", "connect_s", ""},
        {"{\"url\":\"https://a\",\"max_tokens\":-1}", "max_tokens", ""},
        {"{\"url\":\"https://a\",\"price\":{}}", "price", ""},
        {"{\"url\":\"https://a\",\"prices\":[]}", "prices", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":3}}", "prices.m", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":1}}}", "prices.m.output", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":-1,\"output\":1}}}", "prices.m.input", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":1,\"output\":1e9}}}", "prices.m.output", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":1,\"output\":1,\"out\":1}}}", "prices.m.out", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"\":{\"input\":1,\"output\":1}}}", "prices", ""},
        {"{\"url\":\"https://a\",\"spend\":5}", "spend", ""},
        {"{\"url\":\"https://a\",\"spend\":{\"week\":5}}", "spend.week", ""},
        {"{\"url\":\"https://a\",\"spend\":{\"day\":5}}", "spend", ""},
        {"{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":1,\"output\":1}},\"spend\":{\"day\":-5}}", "spend.day", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct upstream u = {.timeout_s = 12345};
        struct err e = {0};
        if (parse("acme", bad[i].text, &u, &e) == ERR_OK) fail_msg("%s was taken", bad[i].text);
        char front[100] = "";
        if (bad[i].field[0] != '\0') snprintf(front, sizeof(front), "field \"%s\": ", bad[i].field);
        if (strcmp(e.field, bad[i].field) != 0 || strncmp(e.text, front, strlen(front)) != 0 || strstr(e.text, bad[i].said) == NULL)
            fail_msg("%s: \"%s\": %s", bad[i].text, e.field, e.text);
        assert_int_equal(u.timeout_s, 12345);
    }
    static const char *const names[] = {"", "a b", "a\"b", "\xC3\xA4", "a/b"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) assert_int_equal(parse(names[i], "{\"url\":\"https://a\"}", NULL, NULL), ERR_INVALID);
}

static void misspelt_field_gets_a_hint(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(parse("a", "{\"url\":\"https://a\",\"spent\":{\"day\":5}}", NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.hint, "\"spend\""));
}

/* Someone writes the key itself where its variable is asked for. */
static void key_is_not_quoted(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(parse("a", "{\"url\":\"https://a\",\"key_env\":\"sk-secret-1\"}", NULL, &e), ERR_INVALID);
    assert_null(strstr(e.text, "sk-secret"));
    assert_int_equal(parse("a", "{\"url\":\"https://u:sk-secret@a\"}", NULL, &e), ERR_INVALID);
    assert_null(strstr(e.text, "sk-secret"));
}

static void cap_needs_a_price(void **state) {
    (void)state;
    struct upstream u = {0};
    struct err e = {0};
    assert_int_equal(parse("a", "{\"url\":\"https://a\",\"prices\":{\"m\":{\"input\":1,\"output\":2}},\"spend\":{\"day\":0}}", &u, &e),
                     ERR_OK);
    assert_true(upstream_has_cap(&u) && u.day == 0 && u.month == UPSTREAM_NO_CAP);
    assert_int_equal(upstream_check_model(&u, "m", &e), ERR_OK);
    assert_int_equal(upstream_check_model(&u, "n", &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "\"n\""));
    upstream_done(&u);
}

static void costs_are_rounded_up(void **state) {
    (void)state;
    const struct upstream_price p = {.input = 1250000, .output = 10000000, .cached = 100000};
    assert_true(upstream_cost(&p, 0, 0, 0) == 0);
    assert_true(upstream_cost(&p, 1000000, 0, 0) == 1250000000);       /* 1.25 */
    assert_true(upstream_cost(&p, 1000000, 1000000, 0) == 100000000);  /* 0.10 */
    assert_true(upstream_cost(&p, 1000, 400, 10) == 600 * 1250 + 400 * 100 + 10 * 10000);
    assert_true(upstream_cost(&p, 10, 999, 0) == 1000); /* more cached tokens than there are */
    const struct upstream_price small = {.input = 1, .output = 1};
    assert_true(upstream_cost(&small, 1, 0, 0) == 1);
    const struct upstream_price most = {.input = 10000000000u, .output = 10000000000u, .cached = 10000000000u};
    assert_true(upstream_cost(&most, UINT64_MAX, 0, UINT64_MAX) == 2000000000000000u); /* two million: no overflow */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_are_read),    cmocka_unit_test(only_the_address_is_needed),
        cmocka_unit_test(wrong_fields_are_named), cmocka_unit_test(misspelt_field_gets_a_hint),
        cmocka_unit_test(key_is_not_quoted),      cmocka_unit_test(cap_needs_a_price),
        cmocka_unit_test(costs_are_rounded_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
