/* SPDX-License-Identifier: MIT
 * Questions between nodes, encoded and decoded, and malformed ones, which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "members/ask.h"

static void questions(void **state) {
    (void)state;
    struct ask a = {.id = 1ull << 63 | 5, .op = "load", .model = "big"}, back;
    wish_set_text(&a.wish, WISH_PLACEMENT, "20,12");
    wish_set(&a.wish, WISH_CTX, 4096);
    wish_set(&a.wish, WISH_KEEP_S, 300);
    struct err e = {0};
    struct buf b;
    buf_init(&b, 65536);
    ask_encode(&a, &b);
    assert_int_equal(ask_decode(b.data, b.len, &back, &e), ERR_OK);
    assert_true(back.id == a.id && wish_same(&back.wish, &a.wish));
    assert_string_equal(back.op, "load");
    assert_string_equal(back.model, "big");
    for (size_t i = 0; i < b.len; i++) assert_int_not_equal(ask_decode(b.data, i, &back, &e), ERR_OK);
    static const char plain[] = "{\"id\":\"0000000000000001\",\"op\":\"keep\",\"model\":\"a\"}";
    assert_int_equal(ask_decode((const uint8_t *)plain, strlen(plain), &back, &e), ERR_OK);
    assert_int_equal(back.wish.said, 0);
    buf_done(&b);
}

static void refused_questions(void **state) {
    (void)state;
    static const struct {
        const char *json;
        err_code code;
    } bad[] = {
        {"{}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"model\":\"a\"}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\"}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"source\":\"hf:a/b\"}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"pull\",\"source\":\"a\\nb\"}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"model\":\"/etc/passwd\"}", ERR_PROTOCOL},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"model\":\"a\\nb\"}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"model\":\"a\",\"wish\":{\"ctx\":99999999}}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"model\":\"a\",\"wish\":{\"replicas\":33}}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"keep\",\"model\":\"a\",\"wish\":{\"keep_s\":-2}}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"load\",\"model\":\"a\",\"wish\":{\"placement\":\"nowhere\"}}", ERR_INVALID},
        {"{\"id\":\"0000000000000001\",\"op\":\"a very long operation\",\"model\":\"a\"}", ERR_LIMIT},
    };
    static const char pull[] = "{\"id\":\"0000000000000001\",\"op\":\"pull\",\"source\":\"hf:owner/repo:Q8_0\"}";
    struct ask asked;
    assert_int_equal(ask_decode((const uint8_t *)pull, sizeof(pull) - 1, &asked, NULL), ERR_OK);
    assert_string_equal(asked.source, "hf:owner/repo:Q8_0");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ask a = {.op = "as it was"};
        struct err e = {0};
        err_code code = ask_decode((const uint8_t *)bad[i].json, strlen(bad[i].json), &a, &e);
        if (code != bad[i].code) fail_msg("%s: %s (%s)", bad[i].json, err_name(code), e.text);
        assert_string_equal(a.op, "as it was");
    }
}

static void answers(void **state) {
    (void)state;
    struct err why = {0}, back, e = {0};
    uint64_t id = 0;
    struct buf b;
    buf_init(&b, 65536);
    ask_answer_encode(7, &why, &b);
    assert_int_equal(ask_answer_decode(b.data, b.len, &id, &back, &e), ERR_OK);
    assert_true(id == 7 && back.code == ERR_OK);
    err_set(&why, ERR_NO_ROOM, "too big");
    err_hint(&why, "buy more");
    buf_clear(&b);
    ask_answer_encode(8, &why, &b);
    assert_int_equal(ask_answer_decode(b.data, b.len, &id, &back, &e), ERR_OK);
    assert_true(id == 8 && back.code == ERR_NO_ROOM);
    assert_string_equal(back.text, "too big");
    assert_string_equal(back.hint, "buy more");
    static const char newer[] = "{\"id\":\"0000000000000009\",\"err\":{\"error\":\"of a later version\",\"text\":\"x\"}}";
    assert_int_equal(ask_answer_decode((const uint8_t *)newer, sizeof(newer) - 1, &id, &back, &e), ERR_OK);
    assert_int_equal(back.code, ERR_INTERNAL);
    buf_done(&b);
}

static void work(void **state) {
    (void)state;
    static const struct ask_work w = {
        .n_instances = 2,
        .instances = {{.instance = "a-1", .calls = 3, .idle_ms = 12}, {.instance = "b-2", .idle_ms = UINT64_MAX}},
        .n_queues = 1,
        .queues = {{.model = "m", .calls = 4, .work_ms = 9000, .oldest_ms = 5}},
        .n_links = 1,
        .links = {{.instance = "a-1", .stage = 2, .sent = UINT64_MAX, .received = 7, .frames = 9}}};
    struct ask_work back;
    struct err e = {0};
    struct buf b;
    buf_init(&b, 65536);
    ask_work_encode(&w, &b);
    assert_int_equal(ask_work_decode(b.data, b.len, &back, &e), ERR_OK);
    assert_int_equal(back.n_instances, 2);
    assert_true(back.instances[0].calls == 3 && back.instances[0].idle_ms == 12);
    assert_true(back.instances[1].calls == 0 && back.instances[1].idle_ms == UINT64_MAX);
    assert_string_equal(back.instances[1].instance, "b-2");
    assert_int_equal(back.n_queues, 1);
    assert_string_equal(back.queues[0].model, "m");
    assert_true(back.n_links == 1 && back.links[0].stage == 2 && back.links[0].sent == UINT64_MAX && back.links[0].received == 7);
    assert_true(back.links[0].frames == 9 && strcmp(back.links[0].instance, "a-1") == 0);
    assert_true(back.queues[0].calls == 4 && back.queues[0].work_ms == 9000 && back.queues[0].oldest_ms == 5);
    buf_clear(&b);
    buf_append_str(&b, "{\"instances\":[");
    for (int i = 0; i < RECORD_MAX_STAGES + 1; i++) buf_printf(&b, "%s{\"instance\":\"x\"}", i ? "," : "");
    buf_append_str(&b, "]}");
    assert_int_equal(ask_work_decode(b.data, b.len, &back, &e), ERR_LIMIT);
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(questions), cmocka_unit_test(refused_questions), cmocka_unit_test(answers),
                                       cmocka_unit_test(work)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
