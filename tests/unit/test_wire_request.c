/* SPDX-License-Identifier: MIT
 * Requests, events, evaluations and logits: round trips, and messages that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "support/field_at.h"
#include "wire/request.h"

static struct request_event ev, got; /* too big for the stack's taste */

static err_code decode_text(const char *json, struct request *ret, struct err *e) {
    return request_decode((const uint8_t *)json, strlen(json), ret, e);
}

/* ---- SUBMIT ---- */

static void test_request(void **state) {
    (void)state;
    struct request r, back;
    request_init(&r);
    r.id = UINT64_MAX;
    r.model = mem_strdup("demo \"quoted\"");
    r.text = mem_alloc(10);
    memcpy(r.text, "one\0two \xC3\xA9", 10);
    r.text_len = 10;
    r.add_bos = false;
    r.parse_special = true;
    r.generated = mem_calloc(2, sizeof(*r.generated));
    r.generated[1] = 99;
    r.n_generated = 2;
    r.max_tokens = 77;
    r.ignore_eos = true;
    r.alone = true;
    r.sampling.seed = 0x8000000000000001u;
    r.sampling.temperature = 0.25f;
    r.sampling.grammar = mem_strdup("root ::= \"x\"");
    struct buf b;
    buf_init(&b, 1 << 20);
    request_encode(&r, &b);
    assert_false(b.failed);
    struct err e = {0};
    if (request_decode(b.data, b.len, &back, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_true(back.id == UINT64_MAX);
    assert_string_equal(back.model, r.model);
    assert_int_equal(back.text_len, 10);
    assert_memory_equal(back.text, r.text, 10);
    assert_null(back.tokens);
    assert_int_equal(back.n_generated, 2);
    assert_int_equal(back.generated[1], 99);
    assert_int_equal(back.max_tokens, 77);
    assert_true(!back.add_bos && back.parse_special && back.ignore_eos && back.alone);
    assert_true(back.sampling.seed == r.sampling.seed);
    assert_true(back.sampling.temperature == 0.25f);
    assert_string_equal(back.sampling.grammar, r.sampling.grammar);
    request_done(&r);
    request_done(&back);
    buf_done(&b);
}

static void test_request_tokens(void **state) {
    (void)state;
    struct request r;
    assert_int_equal(decode_text("{\"id\":1,\"tokens\":[5,6,2147483647]}", &r, NULL), ERR_OK);
    assert_int_equal(r.n_tokens, 3);
    assert_int_equal(r.tokens[2], INT32_MAX);
    assert_int_equal(r.max_tokens, -1);
    request_done(&r);
}

static void test_request_refused(void **state) {
    (void)state;
    static const struct {
        const char *json;
        err_code code;
        const char *names;
    } cases[] = {
        {"", ERR_FORMAT, ""},
        {"{\"id\":1,\"text\":\"a\"", ERR_FORMAT, ""},
        {"[1]", ERR_FORMAT, "object"},
        {"{\"text\":\"a\"}", ERR_INVALID, "id"},
        {"{\"id\":-1,\"text\":\"a\"}", ERR_INVALID, "id"},
        {"{\"id\":\"1\",\"text\":\"a\"}", ERR_INVALID, "id"},
        {"{\"id\":1}", ERR_INVALID, "text"},
        {"{\"id\":1,\"text\":\"a\",\"tokens\":[1]}", ERR_INVALID, "tokens"},
        {"{\"id\":1,\"text\":5}", ERR_INVALID, "text"},
        {"{\"id\":1,\"tokens\":5}", ERR_INVALID, "tokens"},
        {"{\"id\":1,\"tokens\":[-1]}", ERR_INVALID, "tokens"},
        {"{\"id\":1,\"tokens\":[2147483648]}", ERR_INVALID, "tokens"},
        {"{\"id\":1,\"tokens\":[1.5]}", ERR_INVALID, "tokens"},
        {"{\"id\":1,\"tokens\":[1],\"generated\":[null]}", ERR_INVALID, "generated"},
        {"{\"id\":1,\"tokens\":[1],\"max_tokens\":-2}", ERR_INVALID, "max_tokens"},
        {"{\"id\":1,\"tokens\":[1],\"model\":7}", ERR_INVALID, "model"},
        {"{\"id\":1,\"tokens\":[1],\"ignore_eos\":1}", ERR_INVALID, "ignore_eos"},
        {"{\"id\":1,\"tokens\":[1],\"sampling\":{\"top_p\":7}}", ERR_INVALID, "top_p"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct request r = {.id = 4711};
        struct err e = {0};
        err_code code = decode_text(cases[i].json, &r, &e);
        if (code != cases[i].code || strstr(e.text, cases[i].names) == NULL) fail_msg("%s: %s %s", cases[i].json, err_name(code), e.text);
        assert_int_equal(r.id, 4711);
    }
}

static void test_request_id(void **state) {
    (void)state;
    uint64_t id = 0;
    static const char odd[] = "{\"id\": 12, \"tokens\": \"no\"}";
    assert_true(request_decode_id((const uint8_t *)odd, sizeof(odd) - 1, &id));
    assert_int_equal(id, 12);
    assert_false(request_decode_id((const uint8_t *)"{}", 2, &id));
    assert_false(request_decode_id((const uint8_t *)"nonsense", 8, &id));
    assert_false(request_decode_id((const uint8_t *)"[1]", 3, &id));
}

/* ---- EVENT ---- */

static void encode_event(struct buf *b) {
    buf_init(b, 1 << 16);
    request_event_encode(&ev, b);
    assert_false(b->failed);
}

static void event_back(void) {
    struct buf b;
    encode_event(&b);
    struct err e = {0};
    if (request_event_decode(b.data, b.len, &got, &e) != ERR_OK) fail_msg("%s", e.text);
    assert_true(got.id == ev.id && got.kind == ev.kind);
    for (size_t len = 0; len < b.len; len++) { /* every cut is refused */
        uint8_t *exact = malloc(len + 1);
        memcpy(exact, b.data, len);
        static struct request_event none;
        assert_int_equal(request_event_decode(exact, len, &none, NULL), ERR_PROTOCOL);
        free(exact);
    }
    buf_append_byte(&b, 0); /* and a byte too many */
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_PROTOCOL);
    b.len--;
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_OK);
    buf_done(&b);
}

static void test_event_started(void **state) {
    (void)state;
    ev = (struct request_event){.id = 1ull << 63, .kind = REQUEST_STARTED, .prompt_tokens = 12, .cached_tokens = 5};
    event_back();
    assert_int_equal(got.prompt_tokens, 12);
    assert_int_equal(got.cached_tokens, 5);
}

static void test_event_token(void **state) {
    (void)state;
    ev = (struct request_event){
        .id = 2, .kind = REQUEST_TOKEN, .token = 17, .logprob = -0.5f, .completion_tokens = 9, .n_top = ENGINE_MAX_TOP_LOGPROBS};
    ev.piece_len = REQUEST_MAX_PIECE;
    ev.control = true;
    memset(ev.piece, 'x', sizeof(ev.piece));
    for (size_t i = 0; i < ev.n_top; i++) {
        ev.top[i] = (struct request_top){.token = (int32_t)i, .logprob = -(float)i, .piece_len = (uint8_t)i};
        memset(ev.top[i].piece, 'a' + (int)i, i);
    }
    event_back();
    assert_int_equal(got.token, 17);
    assert_true(got.logprob == -0.5f);
    assert_int_equal(got.completion_tokens, 9);
    assert_int_equal(got.piece_len, REQUEST_MAX_PIECE);
    assert_true(got.control);
    assert_memory_equal(got.piece, ev.piece, sizeof(ev.piece));
    assert_int_equal(got.n_top, ENGINE_MAX_TOP_LOGPROBS);
    for (size_t i = 0; i < got.n_top; i++) {
        assert_int_equal(got.top[i].token, i);
        assert_int_equal(got.top[i].piece_len, i);
        assert_memory_equal(got.top[i].piece, ev.top[i].piece, i);
    }
}

static void test_event_done(void **state) {
    (void)state;
    ev = (struct request_event){.id = 3,
                                .kind = REQUEST_DONE,
                                .finish = REQUEST_FINISH_LENGTH,
                                .prompt_tokens = 1,
                                .completion_tokens = 2,
                                .cached_tokens = 3,
                                .queued_us = 4,
                                .prefill_us = 5,
                                .decode_us = 1ull << 40,
                                .draft_tokens = 6,
                                .draft_accepted = 7,
                                .n_hop = REQUEST_MAX_HOPS};
    for (uint32_t i = 0; i < ev.n_hop; i++)
        ev.hops[i] = (struct request_hop){.stage = i, .frames = 2 * i, .compute_us = 1ull << 33, .wait_us = i, .hop_us = 7};
    event_back();
    assert_int_equal(got.finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(got.prompt_tokens + 10 * got.completion_tokens + 100 * got.cached_tokens, 321);
    assert_true(got.queued_us == 4 && got.prefill_us == 5 && got.decode_us == 1ull << 40);
    assert_true(got.draft_tokens == 6 && got.draft_accepted == 7);
    assert_int_equal(got.n_hop, REQUEST_MAX_HOPS);
    for (uint32_t i = 0; i < got.n_hop; i++) assert_memory_equal(&got.hops[i], &ev.hops[i], sizeof(ev.hops[i]));
}

static void test_event_failed(void **state) {
    (void)state;
    ev = (struct request_event){.id = 4, .kind = REQUEST_FAILED};
    err_set(&ev.err, ERR_NO_ROOM, "it does not fit");
    err_hint(&ev.err, "less");
    event_back();
    assert_int_equal(got.err.code, ERR_NO_ROOM);
    assert_string_equal(got.err.text, "it does not fit");
    assert_string_equal(got.err.hint, "less");
}

static void test_event_vector(void **state) {
    (void)state;
    static const uint8_t floats[8] = {0, 0, 128, 63, 0, 0, 0, 64};
    ev = (struct request_event){.id = 5, .kind = REQUEST_VECTOR, .vector = floats, .n_vector = 2, .prompt_tokens = 3};
    struct buf b;
    encode_event(&b);
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_OK);
    assert_int_equal(got.n_vector, 2);
    assert_memory_equal(got.vector, floats, sizeof(floats));
    buf_done(&b);
}

/* A node that passes an event on changes its id, and nothing else. */
static void test_event_rename(void **state) {
    (void)state;
    ev = (struct request_event){.id = 6, .kind = REQUEST_TOKEN, .token = 17, .piece_len = 2, .piece = "ab"};
    struct buf b;
    encode_event(&b);
    request_event_rename(b.data, b.len, 1ull << 60);
    assert_int_equal(request_event_peek(b.data, b.len, &got, NULL), ERR_OK);
    assert_true(got.id == 1ull << 60 && got.kind == REQUEST_TOKEN && !request_event_is_last(&got));
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_OK);
    assert_true(got.token == 17 && got.piece_len == 2 && memcmp(got.piece, "ab", 2) == 0);
    buf_done(&b);
}

/* Of a token's event few bytes are written, though it has room for kilobytes. */
static void test_event_copies_what_is_there(void **state) {
    (void)state;
    ev = (struct request_event){.id = 7, .kind = REQUEST_TOKEN, .piece_len = 3, .piece = "abc", .n_top = 1};
    ev.top[0] = (struct request_top){.token = 1, .piece_len = 1, .piece = "x"};
    struct buf b;
    encode_event(&b);
    memset(&got, 0xA5, sizeof(got));
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_OK);
    size_t written = 0;
    for (size_t i = 0; i < sizeof(got); i++) written += ((const uint8_t *)&got)[i] != 0xA5;
    assert_true(written <= offsetof(struct request_event, piece) + 3 + sizeof(got.top[0]) + sizeof(got.vector));
    buf_done(&b);
}

/* The field in the encoding of ev becomes `value`, in `bytes` bytes. */
static void refuse_event(const char *field, uint32_t value, size_t bytes) {
    struct buf b;
    encode_event(&b);
    uint8_t zeros[60000] = {0};
    buf_append(&b, zeros, sizeof(zeros)); /* it isn't for want of bytes */
    for (size_t i = 0; i < bytes; i++) b.data[field_at(request_event_fields(), field) + i] = (uint8_t)(value >> 8 * i);
    if (request_event_decode(b.data, b.len, &got, NULL) != ERR_PROTOCOL) fail_msg("%s = %u was taken", field, value);
    buf_done(&b);
}

static void test_event_refused(void **state) {
    (void)state;
    ev = (struct request_event){.id = 1, .kind = REQUEST_TOKEN};
    refuse_event("kind", REQUEST_SCORE + 1, 1);
    refuse_event("control", 2, 1);
    refuse_event("piece_len", REQUEST_MAX_PIECE + 1, 2);
    refuse_event("n_top", ENGINE_MAX_TOP_LOGPROBS + 1, 1);
    refuse_event("n_vector", 2, 4);                 /* of a token */
    refuse_event("kind", REQUEST_FAILED, 1);        /* without an error */
    ev = (struct request_event){.id = 1, .kind = REQUEST_DONE, .finish = REQUEST_FINISH_STOP};
    refuse_event("finish", REQUEST_FINISH_CANCELLED + 1, 1);
    refuse_event("n_hop", REQUEST_MAX_HOPS + 1, 4);
    ev = (struct request_event){.id = 1, .kind = REQUEST_VECTOR};
    refuse_event("n_vector", 0, 4);
    ev = (struct request_event){.id = 1, .kind = REQUEST_FAILED}; /* "OK" is no failure */
    struct buf b;
    encode_event(&b);
    assert_int_equal(request_event_decode(b.data, b.len, &got, NULL), ERR_PROTOCOL);
    buf_done(&b);
}

/* Nothing is wrong with this but that the text of an alternative would overflow. */
static void test_event_overflow(void **state) {
    (void)state;
    enum { HEAD = FIELD_SIZE(request_event), TOP = FIELD_SIZE(request_top), MOST = REQUEST_MAX_TOP_PIECE };
    uint8_t top[HEAD + TOP + MOST + 1] = {0};
    ev = (struct request_event){.kind = REQUEST_TOKEN, .n_top = 1};
    field_put(request_event_fields(), &ev, top);
    top[HEAD + field_at(request_top_fields(), "piece_len")] = MOST;
    assert_int_equal(request_event_decode(top, sizeof(top) - 1, &got, NULL), ERR_OK);
    top[HEAD + field_at(request_top_fields(), "piece_len")] = MOST + 1;
    assert_int_equal(request_event_decode(top, sizeof(top), &got, NULL), ERR_PROTOCOL);
}

/* ---- EVAL and LOGITS ---- */

static void test_eval(void **state) {
    (void)state;
    struct request_eval_batch batches[2] = {{3, 1}, {1, 0}};
    int32_t tokens[4] = {4, 5, 6, 7};
    struct request_eval in = {.id = 9, .batches = batches, .n_batches = 2, .tokens = tokens, .n_tokens = 4}, out;
    struct buf b;
    buf_init(&b, 1 << 16);
    request_eval_encode(&in, &b);
    assert_int_equal(request_eval_decode(b.data, b.len, &out, NULL, NULL), ERR_OK);
    assert_int_equal(out.id, 9);
    assert_memory_equal(out.batches, batches, sizeof(batches));
    assert_memory_equal(out.tokens, tokens, sizeof(tokens));
    request_eval_done(&out);
    for (size_t len = 0; len < b.len; len++) assert_int_equal(request_eval_decode(b.data, len, &out, NULL, NULL), ERR_PROTOCOL);
    bytes_put_u32(b.data + 16, 4); /* the batches ask for more tokens than there are */
    assert_int_equal(request_eval_decode(b.data, b.len, &out, NULL, NULL), ERR_INVALID);
    bytes_put_u32(b.data + 16, 3);
    bytes_put_u32(b.data + 20, 4); /* more logits than tokens */
    assert_int_equal(request_eval_decode(b.data, b.len, &out, NULL, NULL), ERR_INVALID);
    bytes_put_u32(b.data + 20, 1);
    bytes_put_u32(b.data + 32, 0x80000000u); /* a negative token */
    assert_int_equal(request_eval_decode(b.data, b.len, &out, NULL, NULL), ERR_INVALID);
    bytes_put_u32(b.data + 8, 0xFFFFFFFFu); /* counts whose product is past 32 bits */
    uint64_t id = 0;
    assert_int_equal(request_eval_decode(b.data, b.len, &out, &id, NULL), ERR_PROTOCOL);
    assert_int_equal(id, 9); /* so that its sender can be told */
    buf_done(&b);
}

static void test_logits(void **state) {
    (void)state;
    uint8_t bytes[FIELD_SIZE(request_logits) + 24] = {0};
    struct request_logits in = {.id = 5, .batch = 1, .n_rows = 2, .n_vocab = 3, .pos = 40}, out;
    field_put(request_logits_fields(), &in, bytes);
    assert_int_equal(request_logits_decode(bytes, sizeof(bytes), &out, NULL), ERR_OK);
    assert_int_equal(out.id + out.batch + out.n_rows + out.n_vocab + out.pos, 51);
    assert_ptr_equal(out.rows, bytes + FIELD_SIZE(request_logits));
    assert_int_equal(request_logits_decode(bytes, sizeof(bytes) - 1, &out, NULL), ERR_PROTOCOL);
    assert_int_equal(request_logits_decode(bytes, 3, &out, NULL), ERR_PROTOCOL);
    in.n_rows = 0x80010001u; /* the product times four is 8 in 64 bits */
    in.n_vocab = 0xFFFE0002u;
    field_put(request_logits_fields(), &in, bytes);
    assert_int_equal(request_logits_decode(bytes, FIELD_SIZE(request_logits) + 8, &out, NULL), ERR_PROTOCOL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),        cmocka_unit_test(test_request_tokens), cmocka_unit_test(test_request_refused),
        cmocka_unit_test(test_request_id),     cmocka_unit_test(test_event_started),  cmocka_unit_test(test_event_token),
        cmocka_unit_test(test_event_done),     cmocka_unit_test(test_event_failed),   cmocka_unit_test(test_event_refused),
        cmocka_unit_test(test_event_overflow), cmocka_unit_test(test_eval),           cmocka_unit_test(test_logits),
        cmocka_unit_test(test_event_vector),   cmocka_unit_test(test_event_rename),   cmocka_unit_test(test_event_copies_what_is_there),
    };
    return cmocka_run_group_tests_name("pipeline_request", tests, NULL, NULL);
}
