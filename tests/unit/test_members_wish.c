/* SPDX-License-Identifier: MIT
 * Wishes for a model: every field of the table is encoded and decoded, missing fields are filled in, bad ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "members/wish.h"

static const char *const all =
    "{\"placement\":\"3,1,4\",\"ctx\":2048,\"parallel\":6,\"replicas\":0,\"kept\":true,\"asked\":7,\"pinned\":true,"
    "\"replan\":\"never\",\"keep_s\":90,\"batch\":256,\"ubatch\":0,\"cache_type_k\":\"q8_0\",\"cache_type_v\":\"iq4_nl\","
    "\"flash_attn\":\"on\",\"pooling\":\"mean\",\"exact\":true,\"wire_type\":\"bf16\",\"latency_budget\":50,"
    "\"prefix_cache\":false,\"speculate\":4,\"mtp\":true,\"lora\":\"/a.gguf:0.5,/b.gguf\",\"speculate_always\":true}";

static err_code read(const char *text, struct load_wish *ret, struct err *e) {
    yyjson_doc *doc;
    assert_int_equal(json_parse(text, strlen(text), &doc, e), ERR_OK);
    err_code code = wish_read(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return code;
}

static void every_field_there_and_back(void **state) {
    (void)state;
    struct load_wish w = {0}, back = {0};
    struct err e = {0};
    assert_int_equal(read(all, &w, &e), ERR_OK);
    assert_int_equal(w.said, (1u << WISH_COUNT) - 1); /* a new row is missing in the text above */
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    wish_write(&w, doc, yyjson_mut_doc_get_root(doc));
    char *text = yyjson_mut_write(doc, 0, NULL);
    assert_string_equal(text, all);
    assert_int_equal(read(text, &back, &e), ERR_OK);
    assert_true(wish_same(&w, &back));
    back.speculate++;
    assert_false(wish_same(&w, &back));
    free(text);
    yyjson_mut_doc_free(doc);
}

/* A refusal shows values as people write them. */
static void what_is_loaded_otherwise(void **state) {
    (void)state;
    struct load_wish asked = {0}, has = {0};
    struct err e = {0};
    assert_int_equal(read("{\"replicas\":0}", &asked, &e), ERR_OK);
    assert_int_equal(read("{\"replicas\":1}", &has, &e), ERR_OK);
    assert_int_equal(wish_met(&asked, &has, "m", &e), ERR_STALE);
    assert_non_null(strstr(e.text, "with 1 and not auto"));
    assert_int_equal(wish_met(&has, &has, "m", &e), ERR_OK);
}

/* With the same adapters only their scales change, for which nothing is loaded. */
static void other_scales_and_other_adapters(void **state) {
    (void)state;
    struct load_wish asked = {0}, has = {0};
    struct err e = {0};
    assert_int_equal(read("{\"lora\":\"/a.gguf:0.5,/b.gguf\"}", &has, &e), ERR_OK);
    static const struct {
        const char *json;
        err_code code;
    } cases[] = {{"{\"lora\":\"/a.gguf,/b.gguf:-1\"}", ERR_OK},
                 {"{\"lora\":\"/b.gguf,/a.gguf\"}", ERR_STALE}, /* their order is that of requests' ids */
                 {"{\"lora\":\"/a.gguf\"}", ERR_STALE},
                 {"{\"lora\":\"/a.gguf,/b.gguf,/c.gguf\"}", ERR_STALE}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(read(cases[i].json, &asked, &e), ERR_OK);
        assert_int_equal(wish_met(&asked, &has, "m", &e), cases[i].code);
    }
}

static void what_is_not_said(void **state) {
    (void)state;
    struct load_wish w = {0}, own = {0};
    struct err e = {0};
    assert_int_equal(read("{\"ctx\":0,\"parallel\":2,\"placement\":\"\",\"exact\":null,\"kept\":false}", &w, &e), ERR_OK);
    assert_int_equal(w.said, 1u << WISH_PARALLEL | 1u << WISH_KEPT);
    assert_int_equal(read(all, &own, &e), ERR_OK);
    wish_merge(&w, &own);
    assert_int_equal(w.said, own.said);
    assert_true(w.ctx == 2048 && w.parallel == 2 && !w.kept && w.exact);
    assert_string_equal(w.placement, "3,1,4");
    wish_unset(&w, WISH_KEEP_S);
    assert_false(wish_says(&w, WISH_KEEP_S));
    assert_int_equal(w.keep_s, 0);
    wish_set_text(&w, WISH_PLACEMENT, "8"); /* nothing of the longer value stays */
    wish_set_text(&own, WISH_PLACEMENT, "8");
    assert_memory_equal(w.placement, own.placement, sizeof(w.placement));
}

static void what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *field;
    } bad[] = {
        {"{\"ctx\":99999999}", "ctx"},
        {"{\"replicas\":33}", "replicas"},
        {"{\"parallel\":-1}", "parallel"},
        {"{\"placement\":\"nowhere\"}", "placement"},
        {"{\"cache_type_k\":\"q\"}", "cache_type_k"},
        {"{\"flash_attn\":\"auto|on\"}", "flash_attn"},
        {"{\"exact\":1}", "exact"},
        {"{\"wire_type\":\"a very long word\"}", "wire_type"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct load_wish w = {0};
        struct err e = {0};
        wish_set(&w, WISH_BATCH, 7);
        struct load_wish before = w;
        if (read(bad[i].json, &w, &e) == ERR_OK || !strstr(e.text, bad[i].field)) fail_msg("%s: %s", bad[i].json, e.text);
        assert_true(wish_same(&w, &before));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_field_there_and_back), cmocka_unit_test(what_is_loaded_otherwise),
                                       cmocka_unit_test(other_scales_and_other_adapters), cmocka_unit_test(what_is_not_said),
                                       cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
