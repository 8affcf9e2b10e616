/* SPDX-License-Identifier: MIT
 * The JSON messages between a node and its stages: round trips, defaults, and messages that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "wire/stage.h"
#include "wire/frame.h"

static struct buf b;

static int setup(void **state) {
    (void)state;
    buf_init(&b, 1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    buf_done(&b);
    return 0;
}

static struct stage_order some_order(void) {
    struct stage_order o;
    stage_order_init(&o);
    snprintf(o.instance, sizeof(o.instance), "demo-1");
    snprintf(o.model, sizeof(o.model), "abc");
    snprintf(o.path, sizeof(o.path), "/models/\"odd\".gguf");
    snprintf(o.next_host, sizeof(o.next_host), "fe80::1");
    snprintf(o.source_host, sizeof(o.source_host), "10.0.0.7");
    snprintf(o.cache, sizeof(o.cache), "/cache");
    o.epoch = 0x70000000FFu;
    o.first = 4;
    o.end = 9;
    o.stage = 1;
    o.n_stage = 3;
    o.load.n_ctx = 1000;
    o.load.exact = true;
    for (size_t i = 0; i < sizeof(o.key); i++) o.key[i] = (uint8_t)(i * 9);
    o.next_port = 7433;
    o.source_port = 65535;
    o.next_node = 0xF000000000000001u;
    o.prev_node = 3;
    wire_pass_make(o.key, o.instance, o.epoch, &o.pass);
    o.source_node = 2;
    o.dtype = FRAME_BF16;
    o.options.spin_us = 20;
    o.connect_timeout_ms = 1;
    o.n_queue = 3;
    o.n_credit = 9;
    o.options.prefix_cache = 0;
    o.options.latency_ms = 77;
    return o;
}

static void test_order(void **state) {
    (void)state;
    struct stage_order o = some_order(), back;
    stage_order_encode(&o, &b);
    struct err e = {0};
    if (stage_order_decode(b.data, b.len, &back, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_string_equal(back.instance, o.instance);
    assert_string_equal(back.model, o.model);
    assert_string_equal(back.path, o.path);
    assert_string_equal(back.next_host, o.next_host);
    assert_memory_equal(&back.pass, &o.pass, sizeof(o.pass));
    assert_true(back.prev_node == o.prev_node);
    assert_string_equal(back.source_host, o.source_host);
    assert_string_equal(back.cache, o.cache);
    assert_memory_equal(back.key, o.key, sizeof(o.key));
    assert_true(back.epoch == o.epoch && back.next_node == o.next_node && back.source_node == o.source_node);
    assert_true(back.first == 4 && back.end == 9 && back.stage == 1 && back.n_stage == 3);
    assert_true(back.next_port == 7433 && back.source_port == 65535 && back.dtype == FRAME_BF16);
    assert_true(back.options.spin_us == 20 && back.connect_timeout_ms == 1 && back.n_queue == 3 && back.n_credit == 9);
    assert_true(back.options.prefix_cache == 0 && back.options.latency_ms == 77);
    assert_true(back.load.n_ctx == 1000 && back.load.exact);
}

static void test_order_refused(void **state) {
    (void)state;
    static const struct {
        const char *json;
        const char *names;
    } cases[] = {
        {"[]", "object"},
        {"{}", "layers"},
        {"{\"end\":8,\"n_stage\":0}", "stage"},
        {"{\"end\":8,\"n_stage\":2,\"stage\":2,\"next_node\":\"0000000000000001\"}", "stage"},
        {"{\"end\":8,\"n_stage\":2,\"stage\":1,\"next_node\":\"0000000000000001\"}", "beside it"},
        {"{\"end\":8,\"pass\":{\"word\":\"05\"}}", "word"},
        {"{\"first\":8,\"end\":8}", "layers"},
        {"{\"end\":8,\"key\":\"05\"}", "key"},
        {"{\"end\":8,\"key\":\"zz00000000000000000000000000000000000000000000000000000000000000\"}", "key"},
        {"{\"end\":8,\"dtype\":\"f8\"}", "dtype"},
        {"{\"end\":8,\"epoch\":-1}", "epoch"},
        {"{\"end\":8,\"next_node\":\"xyz\"}", "next_node"},
        {"{\"end\":8,\"next_node\":\"00000000000000001\"}", "next_node"},
        {"{\"end\":8,\"next_port\":65536}", "next_port"},
        {"{\"end\":8,\"n_stage\":65}", "n_stage"},
        {"{\"end\":8,\"instance\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}", "instance"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stage_order o = {.stage = 55};
        struct err e = {0};
        if (stage_order_decode((const uint8_t *)cases[i].json, strlen(cases[i].json), &o, &e) == ERR_OK ||
            strstr(e.text, cases[i].names) == NULL) {
            fail_msg("%s: %s", cases[i].json, e.text);
        }
        assert_int_equal(o.stage, 55);
    }
    struct stage_order o;
    static const char least[] = "{\"end\":8}";
    assert_int_equal(stage_order_decode((const uint8_t *)least, sizeof(least) - 1, &o, NULL), ERR_OK);
    assert_int_equal(o.n_stage, 1);
    assert_int_equal(o.n_queue, 256);
}

static void test_state(void **state) {
    (void)state;
    struct stage_state s = {.phase = STAGE_READY, .progress = 100}, back;
    s.info = (struct engine_info){.n_embd = 1,
                                  .n_vocab = 2,
                                  .n_ctx_seq = 3,
                                  .n_ctx = 4,
                                  .n_seq = 5,
                                  .n_batch = 6,
                                  .first = true,
                                  .can_remove = true,
                                  .bytes_weights = 1ull << 40,
                                  .bytes_kv = 8,
                                  .bytes_compute = 9,
                                  .device = "CPU"};
    stage_state_encode(&s, &b);
    assert_int_equal(stage_state_decode(b.data, b.len, &back, NULL), ERR_OK);
    assert_int_equal(back.phase, STAGE_READY);
    assert_int_equal(back.progress, 100);
    assert_true(back.info.n_embd == 1 && back.info.n_vocab == 2 && back.info.n_ctx_seq == 3 && back.info.n_ctx == 4 &&
                back.info.n_seq == 5 && back.info.n_batch == 6);
    assert_true(back.info.first && !back.info.last && back.info.can_remove);
    assert_true(back.info.bytes_weights == 1ull << 40 && back.info.bytes_kv == 8 && back.info.bytes_compute == 9);
    assert_string_equal(back.info.device, "CPU");
    static const char *const odd[] = {"{}", "{\"phase\":\"gone\"}", "{\"phase\":\"ready\",\"progress\":101}", "5"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_not_equal(stage_state_decode((const uint8_t *)odd[i], strlen(odd[i]), &back, NULL), ERR_OK);
}

static void test_fault(void **state) {
    (void)state;
    struct stage_fault f = {.stage = 3, .frame = UINT32_MAX, .seq = -1, .generation = -1, .fatal = true}, back;
    err_set(&f.err, ERR_ENGINE, "broken \"thing\"");
    err_hint(&f.err, "mend it");
    stage_fault_encode(&f, &b);
    assert_int_equal(stage_fault_decode(b.data, b.len, &back, NULL), ERR_OK);
    assert_int_equal(back.err.code, ERR_ENGINE);
    assert_string_equal(back.err.text, f.err.text);
    assert_string_equal(back.err.hint, "mend it");
    assert_true(back.stage == 3 && back.frame == UINT32_MAX && back.seq == -1 && back.generation == -1 && back.fatal);
    static const char *const odd[] = {"{}", "{\"err\":{\"error\":\"OK\"}}", "{\"err\":{\"error\":\"IO\"},\"frame\":-2}",
                                      "{\"err\":{\"error\":\"IO\"},\"seq\":2000}"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_not_equal(stage_fault_decode((const uint8_t *)odd[i], strlen(odd[i]), &back, NULL), ERR_OK);
}

/* With any text of an engine, a fault fits its frame and is JSON. */
static void test_fault_odd_text(void **state) {
    (void)state;
    struct stage_fault f = {.frame = 1, .seq = -1, .generation = -1}, back;
    err_set(&f.err, ERR_ENGINE, "%s", "");
    memcpy(f.err.text, "half a letter: \xC3", 17);
    stage_fault_encode(&f, &b);
    assert_false(b.failed);
    assert_int_equal(stage_fault_decode(b.data, b.len, &back, NULL), ERR_OK);
    assert_string_equal(back.err.text, "half a letter: ?");
    f = (struct stage_fault){.stage = 255, .frame = UINT32_MAX, .seq = FRAME_MAX_SEQ, .generation = UINT32_MAX, .fatal = true};
    f.err.code = ERR_UNAVAILABLE;
    memset(f.err.text, 1, sizeof(f.err.text) - 1);
    f.err.text[sizeof(f.err.text) - 1] = '\0';
    memset(f.err.hint, 1, sizeof(f.err.hint) - 1);
    f.err.hint[sizeof(f.err.hint) - 1] = '\0';
    buf_clear(&b);
    stage_fault_encode(&f, &b);
    assert_true(b.len > 0 && b.len <= frame_max_payload(FRAME_FAULT));
    assert_int_equal(stage_fault_decode(b.data, b.len, &back, NULL), ERR_OK);
    assert_int_equal(back.frame, UINT32_MAX);
}

static void test_open(void **state) {
    (void)state;
    struct stage_open open = {.seq = 1023, .generation = UINT32_MAX, .name = "my-request"}, back;
    engine_sampling_init(&open.sampling);
    open.sampling.seed = 77;
    open.sampling.top_k = 9;
    open.sampling.n_top_logprobs = 4;
    stage_open_encode(&open, &b);
    assert_int_equal(stage_open_decode(b.data, b.len, &back, NULL), ERR_OK);
    assert_int_equal(back.seq, 1023);
    assert_int_equal(back.generation, UINT32_MAX);
    assert_string_equal(back.name, "my-request");
    assert_true(back.sampling.seed == 77 && back.sampling.top_k == 9 && back.sampling.n_top_logprobs == 4);
    engine_sampling_done(&open.sampling);
    engine_sampling_done(&back.sampling);
    static const char *const odd[] = {"{}", "{\"seq\":1024,\"generation\":1,\"sampling\":{}}", "{\"seq\":1,\"sampling\":{}}",
                                      "{\"seq\":1,\"generation\":1}", "{\"seq\":1,\"generation\":1,\"sampling\":{\"top_k\":-2}}"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_not_equal(stage_open_decode((const uint8_t *)odd[i], strlen(odd[i]), &back, NULL), ERR_OK);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_order), TEST(test_order_refused),  TEST(test_state),
                                       TEST(test_fault), TEST(test_fault_odd_text), TEST(test_open)};
    return cmocka_run_group_tests_name("pipeline_msg", tests, NULL, NULL);
}
