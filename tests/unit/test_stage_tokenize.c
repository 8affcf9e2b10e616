/* SPDX-License-Identifier: MIT
 * TOKENIZE and TOKENIZED: round trips, every cut, errors that an answer carries, and ids that change on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "stage/tokenize.h"
#include "support/field_at.h"

static struct buf b;

static void start(void) {
    buf_done(&b);
    buf_init(&b, 1 << 16);
}

static void test_ask_text(void **state) {
    (void)state;
    struct tokenize_ask ask =
                            {.id = 1ull << 40, .bos = true, .special = true, .name = "demo", .name_len = 4, .text = "a\0b", .text_len = 3},
                        got;
    start();
    tokenize_ask_encode(&ask, &b);
    assert_int_equal(tokenize_ask_decode(b.data, b.len, &got, NULL), ERR_OK);
    assert_true(got.id == ask.id && got.bos && got.special && !got.back);
    assert_int_equal(got.name_len, 4);
    assert_memory_equal(got.name, "demo", 4);
    assert_int_equal(got.text_len, 3);
    assert_memory_equal(got.text, "a\0b", 3);
    for (size_t len = 0; len < FIELD_SIZE(tokenize_ask) + 4; len++)
        assert_int_equal(tokenize_ask_decode(b.data, len, &got, NULL), ERR_PROTOCOL);
    b.data[field_at(tokenize_ask_fields(), "bos")] = 2;
    assert_int_equal(tokenize_ask_decode(b.data, b.len, &got, NULL), ERR_PROTOCOL);
}

static void test_ask_tokens(void **state) {
    (void)state;
    static const int32_t tokens[2] = {5, 0x01020304};
    struct tokenize_ask ask = {.id = 3, .back = true, .tokens = tokens, .n_tokens = 2}, got;
    start();
    tokenize_ask_encode(&ask, &b);
    struct err e = {0};
    if (tokenize_ask_decode(b.data, b.len, &got, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_int_equal(got.n_tokens, 2);
    assert_int_equal(tokenize_ask_token(&got, 1), 0x01020304);
    struct buf relayed;
    buf_init(&relayed, 1 << 16);
    tokenize_ask_encode(&got, &relayed); /* a node passes on the question as it came */
    assert_int_equal(relayed.len, b.len);
    assert_memory_equal(relayed.data, b.data, b.len);
    buf_done(&relayed);
    assert_int_equal(tokenize_ask_decode(b.data, b.len - 1, &got, NULL), ERR_PROTOCOL);
}

static void test_tokens(void **state) {
    (void)state;
    static const int32_t tokens[3] = {1, 2, INT32_MAX};
    int32_t *got = NULL;
    size_t n = 0;
    uint64_t id = 0;
    start();
    tokenize_tokens_encode(9, tokens, 3, &b);
    for (size_t len = 0; len < b.len; len++) assert_int_equal(tokenize_tokens_decode(b.data, len, &got, &n, NULL), ERR_PROTOCOL);
    tokenize_answer_rename(b.data, b.len, 1ull << 50);
    assert_int_equal(tokenize_answer_peek(b.data, b.len, &id, NULL), ERR_OK);
    assert_true(id == 1ull << 50);
    assert_int_equal(tokenize_tokens_decode(b.data, b.len, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(got, tokens, sizeof(tokens));
    free(got);
    buf_append_byte(&b, 0);
    assert_int_equal(tokenize_tokens_decode(b.data, b.len, &got, &n, NULL), ERR_PROTOCOL);
}

static void test_pieces(void **state) {
    (void)state;
    uint32_t ends[3] = {2, 2, 5}, *got = NULL;
    const char *bytes = NULL;
    size_t n = 0;
    start();
    tokenize_pieces_encode(9, "abcde", ends, 3, &b);
    for (size_t len = 0; len < b.len; len++) assert_int_equal(tokenize_pieces_decode(b.data, len, &bytes, &got, &n, NULL), ERR_PROTOCOL);
    assert_int_equal(tokenize_pieces_decode(b.data, b.len, &bytes, &got, &n, NULL), ERR_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(got, ends, sizeof(ends));
    assert_memory_equal(bytes, "abcde", 5);
    free(got);
    bytes_put_u32(b.data + FIELD_SIZE(tokenize_answer), 3); /* the second ends before the first */
    assert_int_equal(tokenize_pieces_decode(b.data, b.len, &bytes, &got, &n, NULL), ERR_PROTOCOL);
    bytes_put_u32(b.data + FIELD_SIZE(tokenize_answer), UINT32_MAX);
    assert_int_equal(tokenize_pieces_decode(b.data, b.len, &bytes, &got, &n, NULL), ERR_PROTOCOL);
    start();
    tokenize_pieces_encode(9, "", NULL, 0, &b);
    assert_int_equal(tokenize_pieces_decode(b.data, b.len, &bytes, &got, &n, NULL), ERR_OK);
    free(got);
}

/* The error arrives whole, with its kind and its hint. */
static void test_failure(void **state) {
    (void)state;
    struct err why = {0}, e = {0};
    int32_t *got = NULL;
    size_t n = 0;
    err_set(&why, ERR_UNAVAILABLE, "the model is loading");
    err_hint(&why, "wait");
    start();
    tokenize_failure_encode(9, &why, &b);
    assert_int_equal(tokenize_tokens_decode(b.data, b.len, &got, &n, &e), ERR_UNAVAILABLE);
    assert_string_equal(e.text, "the model is loading");
    assert_string_equal(e.hint, "wait");
    assert_int_equal(tokenize_tokens_decode(b.data, b.len - 1, &got, &n, &e), ERR_PROTOCOL);
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ask_text), cmocka_unit_test(test_ask_tokens), cmocka_unit_test(test_tokens),
                                       cmocka_unit_test(test_pieces), cmocka_unit_test(test_failure)};
    return cmocka_run_group_tests_name("stage_tokenize", tests, NULL, NULL);
}
