/* SPDX-License-Identifier: MIT
 * Parameters to JSON and back, and the errors for bad parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <regex.h>

#include "base/mem.h"
#include "engine/experts.h"
#include "engine/params.h"
#include "model/layout.h"

static err_code sampling_from(const char *text, struct engine_sampling *p, struct err *e) {
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(text, strlen(text), &doc, e), ERR_OK);
    err_code code = engine_sampling_from_json(p, yyjson_doc_get_root(doc), e);
    yyjson_doc_free(doc);
    return code;
}

static err_code load_from(const char *text, struct engine_load *p, struct err *e) {
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(text, strlen(text), &doc, e), ERR_OK);
    err_code code = field_read(engine_load_fields(), yyjson_doc_get_root(doc), p, e);
    yyjson_doc_free(doc);
    return code;
}

static void defaults_come_from_the_table(void **state) {
    (void)state;
    struct engine_sampling p;
    engine_sampling_init(&p);
    assert_float_equal(p.temperature, 0.8f, 0);
    assert_int_equal(p.top_k, 40);
    assert_int_equal(p.dry_penalty_last_n, -1);
    assert_null(p.grammar);
    assert_int_equal(p.n_bias, 0);
    struct err e = {0};
    assert_int_equal(sampling_from("{}", &p, &e), ERR_OK);
    assert_int_equal(sampling_from("{\"temperature\": null, \"seed\": null, \"logit_bias\": null, \"grammar\": null}", &p, &e), ERR_OK);
    assert_float_equal(p.temperature, 0.8f, 0);
}

static void sampling_survives_the_round_trip(void **state) {
    (void)state;
    struct engine_sampling a, b;
    struct err e = {0};
    engine_sampling_init(&a);
    engine_sampling_init(&b);
    a.temperature = 0.1f; /* not a short decimal in binary */
    a.top_p = 1.0f / 3;
    a.repeat_last_n = -1;
    a.mirostat = 2;
    a.seed = UINT64_MAX - 5;
    a.n_top_logprobs = 20;
    a.generated_from = 77;
    a.grammar = mem_strdup("root ::= \"\\n\" | \"\xC3\xA9\"");
    a.bias = mem_calloc(2, sizeof(*a.bias));
    a.n_bias = 2;
    a.bias[0] = (struct engine_logit_bias){5, -100};
    a.bias[1] = (struct engine_logit_bias){151000, 0.3f};
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, engine_sampling_to_json(&a, doc));
    char *text = yyjson_mut_write(doc, 0, NULL);
    if (sampling_from(text, &b, &e) != ERR_OK) fail_msg("%s: %s", text, e.text);
#define SAMPLING_F(x)                              assert_memory_equal(&a.x, &b.x, sizeof(a.x))
#define SAMPLING_I(x)                              assert_int_equal(a.x, b.x)
#define SAMPLING(field, type, min, max, def, help) SAMPLING_##type(field);
#include "../../tables/sampling.def"
#undef SAMPLING
    assert_true(a.seed == b.seed);
    assert_int_equal(b.n_top_logprobs, 20);
    assert_int_equal(b.generated_from, 77);
    assert_string_equal(a.grammar, b.grammar);
    assert_int_equal(b.n_bias, 2);
    assert_memory_equal(a.bias, b.bias, 2 * sizeof(*a.bias));
    free(text);
    yyjson_mut_doc_free(doc);
    engine_sampling_done(&a);
    engine_sampling_done(&b);
}

static void a_negative_seed_keeps_its_bits(void **state) {
    (void)state;
    struct engine_sampling p;
    engine_sampling_init(&p);
    assert_int_equal(sampling_from("{\"seed\": -1}", &p, NULL), ERR_OK);
    assert_true(p.seed == UINT64_MAX);
}

static void bad_sampling_is_named(void **state) {
    (void)state;
    static const struct {
        const char *json, *word, *range;
    } rows[] = {
        {"{\"temperature\": -0.1}", "temperature", "100"},
        {"{\"temperature\": \"hot\"}", "temperature", ""},
        {"{\"top_p\": 1.01}", "top_p", "1"},
        {"{\"top_k\": 1.5}", "top_k", ""},
        {"{\"repeat_penalty\": 0}", "repeat_penalty", "0.01"},
        {"{\"mirostat\": 3}", "mirostat", "2"},
        {"{\"presence_penalty\": -3}", "presence_penalty", "-2"},
        {"{\"seed\": 1.5}", "seed", "integer"},
        {"{\"seed\": \"x\"}", "seed", "integer"},
        {"{\"top_logprobs\": 21}", "top_logprobs", "20"},
        {"{\"grammar\": 5}", "grammar", ""},
        {"{\"grammar\": \"a\\u0000b\"}", "grammar", "NUL"},
        {"{\"logit_bias\": [1]}", "logit_bias", "object"},
        {"{\"logit_bias\": {\"x\": 1}}", "logit_bias", "\"x\""},
        {"{\"logit_bias\": {\"-5\": 1}}", "logit_bias", "\"-5\""},
        {"{\"logit_bias\": {\"5\": 101}}", "logit_bias", "100"},
        {"{\"logit_bias\": {\"5\": \"1\"}}", "logit_bias", "token 5"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine_sampling p;
        struct err e = {0};
        engine_sampling_init(&p);
        err_code code = sampling_from(rows[i].json, &p, &e);
        if (code != ERR_INVALID || strstr(e.text, rows[i].word) == NULL || strstr(e.text, rows[i].range) == NULL)
            fail_msg("%s: got %s \"%s\"", rows[i].json, err_name(code), e.text);
        engine_sampling_done(&p);
    }
}

static void too_many_biases_are_refused(void **state) {
    (void)state;
    struct engine_sampling p;
    struct err e = {0};
    struct buf b;
    engine_sampling_init(&p);
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "{\"logit_bias\": {");
    for (int i = 0; i <= ENGINE_MAX_LOGIT_BIAS; i++) buf_printf(&b, "%s\"%d\": 1", i > 0 ? "," : "", i);
    buf_append_str(&b, "}}");
    assert_int_equal(sampling_from(buf_cstr(&b), &p, &e), ERR_LIMIT);
    buf_done(&b);
    engine_sampling_done(&p);
}

/* libllama aborts at loading where a batch can't hold a token of each sequence. */
static void a_batch_holds_a_token_of_each_sequence(void **state) {
    (void)state;
    struct engine_load a;
    engine_load_init(&a);
    a.n_batch = 2;
    a.n_seq = 4;
    assert_int_equal(engine_load_batch(&a), 4);
    assert_int_equal(engine_load_ubatch(&a), 4);
    assert_int_equal(engine_load_outputs(&a), 4);
    a.n_batch = 0;
    assert_true(engine_load_batch(&a) > 4);
    a.n_seq = 2 * engine_load_batch(&a);
    assert_int_equal(engine_load_batch(&a), a.n_seq);
}

static void loading_survives_the_round_trip(void **state) {
    (void)state;
    struct engine_load a, b;
    struct err e = {0};
    engine_load_init(&a);
    engine_load_init(&b);
    assert_string_equal(a.cache_type_k, "f16");
    a.n_ctx = 8192;
    a.n_seq = 6;
    a.n_batch = 256;
    a.n_ubatch = 128;
    a.n_outputs = 48;
    a.n_threads = 3;
    a.n_threads_batch = 4;
    a.n_rewind = 5;
    a.n_gpu_layers = -1;
    a.exact = true;
    memcpy(a.devices, "Vulkan0,Vulkan1", sizeof "Vulkan0,Vulkan1");
    memcpy(a.split_mode, "row", sizeof "row");
    memcpy(a.cache_type_k, "q8_0", sizeof "q8_0");
    memcpy(a.flash_attn, "on", sizeof "on");
    memcpy(a.backends, "/some/where", sizeof "/some/where");
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, field_write(engine_load_fields(), &a, doc));
    char *text = yyjson_mut_write(doc, 0, NULL);
    if (load_from(text, &b, &e) != ERR_OK) fail_msg("%s: %s", text, e.text);
    char *again = NULL;
    yyjson_mut_doc_set_root(doc, field_write(engine_load_fields(), &b, doc));
    again = yyjson_mut_write(doc, 0, NULL);
    assert_string_equal(text, again);
    assert_int_equal(b.n_gpu_layers, -1);
    assert_int_equal(b.n_rewind, 5);
    assert_string_equal(b.devices, "Vulkan0,Vulkan1");
    free(text);
    free(again);
    yyjson_mut_doc_free(doc);
}

#define TEN "0123456789"

static void bad_loading_is_named(void **state) {
    (void)state;
    static const struct {
        const char *json, *word;
    } rows[] = {
        {"{\"n_ctx\": -1}", "n_ctx"},
        {"{\"n_seq\": 0}", "n_seq"},
        {"{\"n_seq\": 257}", "256"},
        {"{\"cache_type_k\": \"q9\"}", "expected one of f32, f16"},
        {"{\"split_mode\": \"diagonal\"}", "none, layer, row, tensor"},
        {"{\"flash_attn\": true}", "flash_attn"},
        {"{\"exact\": 1}", "exact"},
        {"{\"devices\": \"" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "\"}", "127"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct engine_load p;
        struct err e = {0};
        engine_load_init(&p);
        err_code code = load_from(rows[i].json, &p, &e);
        if ((code != ERR_INVALID && code != ERR_LIMIT) || strstr(e.text, rows[i].word) == NULL)
            fail_msg("%s: got %s \"%s\"", rows[i].json, err_name(code), e.text);
    }
}

/* The same weights by their names and by the pattern that libllama gets. */
static void experts_are_known_by_name(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool expert;
        int32_t within; /* the fewest layers whose experts stay in RAM, so that this one does */
    } names[] = {
        {"blk.0.ffn_gate_exps.weight", true, 1},   {"blk.1.ffn_up_exps.weight", true, 2},
        {"blk.2.ffn_down_exps.bias", true, 3},     {"blk.11.ffn_gate_up_exps.weight", true, 12},
        {"blk.0.ffn_down_chexps.weight", true, 1}, {"blk.0.ffn_gate_inp.weight", false, 0},
        {"blk.0.ffn_gate_shexp.weight", false, 0}, {"blk.0.ffn_norm_exps.weight", false, 0},
        {"blk.0.attn_v_exps.weight", false, 0},    {"blk.0.ffn_up.weight", false, 0},
        {"v.blk.0.ffn_up_exps.weight", false, 0},  {"output.weight", false, 0},
    };
    for (int32_t n = -1; n <= 13; n++) {
        struct buf pattern;
        regex_t compiled;
        if (n == 0) continue;
        buf_init(&pattern, 1024);
        engine_experts_pattern(n, &pattern);
        assert_int_equal(regcomp(&compiled, buf_cstr(&pattern), REG_EXTENDED | REG_NOSUB), 0);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            bool found = regexec(&compiled, names[i].name, 0, NULL, 0) == 0;
            assert_int_equal(found, names[i].expert && (n < 0 || n >= names[i].within));
            assert_int_equal(model_layer_expert(names[i].name), names[i].expert);
        }
        regfree(&compiled);
        buf_done(&pattern);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(experts_are_known_by_name),
        cmocka_unit_test(defaults_come_from_the_table),
        cmocka_unit_test(sampling_survives_the_round_trip),
        cmocka_unit_test(a_negative_seed_keeps_its_bits),
        cmocka_unit_test(bad_sampling_is_named),
        cmocka_unit_test(too_many_biases_are_refused),
        cmocka_unit_test(a_batch_holds_a_token_of_each_sequence),
        cmocka_unit_test(loading_survives_the_round_trip),
        cmocka_unit_test(bad_loading_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
