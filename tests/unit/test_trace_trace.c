/* SPDX-License-Identifier: MIT
 * The spans of a request as OTLP's JSON: ids, parents, times within each other, attributes, failures, bounds; and NULL for all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "trace/trace.h"

static const struct trace_context asked = {.trace = {1, 2, 3, 15}, .span = {4, 5}, .sampled = true};

static yyjson_doc *written(struct trace *t, clock_us now) {
    struct buf out;
    yyjson_doc *doc = NULL;
    buf_init(&out, 1 << 20);
    buf_append_byte(&out, '[');
    trace_write(t, now, &out);
    buf_append_byte(&out, ']');
    assert_int_equal(json_parse((const char *)out.data, out.len, &doc, NULL), ERR_OK);
    buf_done(&out);
    return doc;
}

static const char *text(yyjson_val *v, const char *name) {
    const char *found = yyjson_get_str(yyjson_obj_get(v, name));
    return found != NULL ? found : "";
}

static yyjson_val *attribute(yyjson_val *span, const char *key) {
    size_t i, n;
    yyjson_val *a;
    yyjson_arr_foreach(yyjson_obj_get(span, "attributes"), i, n, a) if (strcmp(text(a, "key"), key) == 0) return yyjson_obj_get(a, "value");
    return NULL;
}

static void spans_are_a_tree(void **state) {
    (void)state;
    struct trace *t = trace_create(&asked, "rojo=1", 99, 1000000);
    struct trace_span *root = trace_begin(t, NULL, TRACE_SERVER, "POST /v1", 10), *child = trace_begin(t, root, TRACE_CLIENT, "chat m", 20);
    trace_end(child, 70);
    trace_end(child, 90);
    trace_add(t, child, "prefill", 5, 40);  /* it begins before its parent, */
    trace_add(t, child, "decode", 40, 300); /* ends after it, */
    trace_add(t, child, "late", 200, 300);  /* or lies wholly after it */
    struct trace_context c = {0};
    assert_true(trace_span_context(child, &c) && c.sampled && memcmp(c.trace, asked.trace, 16) == 0);
    assert_int_equal(trace_count(t), 5);
    yyjson_doc *doc = written(t, 100);
    yyjson_val *all = yyjson_doc_get_root(doc), *s[5];
    assert_int_equal(yyjson_arr_size(all), 5);
    for (size_t i = 0; i < 5; i++) {
        s[i] = yyjson_arr_get(all, i);
        assert_string_equal(text(s[i], "traceId"), "0102030f000000000000000000000000");
        assert_string_equal(text(s[i], "traceState"), "rojo=1");
        assert_int_equal(strlen(text(s[i], "spanId")), 16);
        for (size_t k = 0; k < i; k++) assert_string_not_equal(text(s[i], "spanId"), text(s[k], "spanId"));
        assert_string_equal(text(s[i], "parentSpanId"), i == 0 ? "0405000000000000" : text(i == 1 ? s[0] : s[1], "spanId"));
    }
    static const char *const times[5][2] = {{"1000010000", "1000100000"},
                                            {"1000020000", "1000070000"},
                                            {"1000020000", "1000040000"},
                                            {"1000040000", "1000070000"},
                                            {"1000070000", "1000070000"}};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(text(s[i], "startTimeUnixNano"), times[i][0]);
        assert_string_equal(text(s[i], "endTimeUnixNano"), times[i][1]);
    }
    assert_string_equal(text(s[0], "name"), "POST /v1");
    assert_int_equal(yyjson_get_int(yyjson_obj_get(s[0], "kind")), 2);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(s[1], "kind")), 3);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(s[2], "kind")), 1);
    yyjson_doc_free(doc);
    trace_free(t);
}

static void attributes_have_types(void **state) {
    (void)state;
    const struct trace_context fresh = {.trace = {9}};
    struct trace *t = trace_create(&fresh, "", 1, 0);
    struct trace_span *s = trace_begin(t, NULL, TRACE_INTERNAL, "a \"b\"\n\xff", 1);
    static const char *const two[] = {"stop", "le\"ngth"};
    static char huge[20000];
    memset(huge, 'x', sizeof(huge) - 1);
    trace_text(s, "text", "a\"b\xff");
    trace_text(s, "empty", "");
    trace_text(s, "none", NULL);
    trace_text(s, "huge", huge);
    trace_number(s, "number", -(INT64_C(1) << 60));
    trace_real(s, "real", 0.25);
    trace_real(s, "infinite", 1e308 * 10);
    trace_texts(s, "texts", two, 2);
    trace_fail(s, "TIMEOUT", "it \"took\" too long");
    trace_fail(s, "OTHER", "the first failure counts");
    yyjson_doc *doc = written(t, 5);
    yyjson_val *span = yyjson_arr_get(yyjson_doc_get_root(doc), 0);
    assert_null(yyjson_obj_get(span, "parentSpanId"));
    assert_null(yyjson_obj_get(span, "traceState"));
    assert_int_equal(strncmp(text(attribute(span, "text"), "stringValue"), "a\"b", 3), 0);
    assert_string_equal(text(attribute(span, "number"), "intValue"), "-1152921504606846976"); /* OTLP writes 64 bits as text */
    assert_true(yyjson_get_real(yyjson_obj_get(attribute(span, "real"), "doubleValue")) == 0.25);
    yyjson_val *values = yyjson_obj_get(yyjson_obj_get(attribute(span, "texts"), "arrayValue"), "values");
    assert_int_equal(yyjson_arr_size(values), 2);
    assert_string_equal(text(yyjson_arr_get(values, 1), "stringValue"), "le\"ngth");
    assert_string_equal(text(attribute(span, "error.type"), "stringValue"), "TIMEOUT");
    assert_int_equal(yyjson_get_int(yyjson_obj_get(yyjson_obj_get(span, "status"), "code")), 2);
    assert_string_equal(text(yyjson_obj_get(span, "status"), "message"), "it \"took\" too long");
    static const char *const left_out[] = {"empty", "none", "huge", "infinite"};
    for (size_t i = 0; i < ARRAY_LEN(left_out); i++) assert_null(attribute(span, left_out[i]));
    yyjson_doc_free(doc);
    trace_free(t);
}

static void spans_are_bounded(void **state) {
    (void)state;
    struct trace *t = trace_create(&asked, "", 1, 0);
    struct trace_span *root = trace_begin(t, NULL, TRACE_SERVER, "root", 1);
    for (int i = 1; i < TRACE_MAX_SPANS; i++) assert_non_null(trace_begin(t, root, TRACE_INTERNAL, "s", 2));
    assert_null(trace_begin(t, root, TRACE_INTERNAL, "one too many", 2));
    assert_null(trace_add(t, root, "two too many", 2, 3));
    assert_int_equal(trace_count(t), TRACE_MAX_SPANS);
    assert_int_equal(trace_left_out(t), 2);
    trace_free(t);
}

static void nothing_comes_of_nothing(void **state) {
    (void)state;
    struct buf out;
    struct trace_context c = {.span = {7}};
    buf_init(&out, 100);
    struct trace_span *s = trace_begin(NULL, NULL, TRACE_SERVER, "a", 1);
    assert_null(s);
    assert_null(trace_add(NULL, s, "a", 1, 2));
    trace_text(s, "a", "b");
    trace_texts(s, "a", NULL, 0);
    trace_number(s, "a", 1);
    trace_real(s, "a", 1);
    trace_fail(s, "a", "b");
    trace_end(s, 2);
    assert_false(trace_span_context(s, &c));
    assert_int_equal(c.span[0], 7);
    trace_write(NULL, 1, &out);
    assert_int_equal(out.len, 0);
    assert_int_equal(trace_count(NULL), 0);
    trace_free(NULL);
    buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(spans_are_a_tree), cmocka_unit_test(attributes_have_types),
                                       cmocka_unit_test(spans_are_bounded), cmocka_unit_test(nothing_comes_of_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
