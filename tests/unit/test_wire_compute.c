/* SPDX-License-Identifier: MIT
 * The COMPUTE payload, byte by byte, and hidden states in the four types. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "wire/compute.h"
#include "wire/hidden.h"
#include "wire/hidden_simd.h"
#include "support/broken_bytes.h"

enum { WIDTH = 2 };

static const struct engine_op ops[] = {
    {.kind = ENGINE_OP_CP, .seq = 3, .dst = 1023, .p0 = 5, .p1 = 0x01020304},
    {.kind = ENGINE_OP_RM, .seq = 4, .dst = 77, .p0 = -9, .p1 = -9},     /* tidied: dst 0, p0 0, p1 -1 */
    {.kind = ENGINE_OP_CLOSE, .seq = 5, .dst = 9, .p0 = 3, .p1 = 4, .key = 6}, /* tidied: no destination, no positions, no key */
    {.kind = ENGINE_OP_BACK, .seq = 6, .p0 = 8, .p1 = -1, .key = 0x0102030405060708},
};
static const struct engine_token tokens[] = {{0x0A0B0C0D, 7, 2, ENGINE_TOKEN_SAMPLE, 5}, {1, ENGINE_MAX_POS, 1023, 3, 0}};
static const struct wire_trace trace[] = {{2, 100, 200, 0xFFFFFFFFu}};

static struct frame_header payload_make(uint8_t **ret) {
    struct frame_header h = {
        .type = FRAME_COMPUTE, .n_ops = ARRAY_LEN(ops), .n_tokens = ARRAY_LEN(tokens), .n_trace = ARRAY_LEN(trace), .width = WIDTH};
    size_t head = wire_compute_head_size(h.n_ops, h.n_tokens, h.n_trace);
    h.payload_len = (uint32_t)(head + h.n_tokens * frame_row_bytes(FRAME_F32, WIDTH));
    *ret = mem_zalloc(h.payload_len);
    wire_compute_put(*ret, ops, h.n_ops, tokens, h.n_tokens, trace, h.n_trace);
    static const float rows[2 * WIDTH] = {1.0f, -2.0f, 0.5f, 4.0f};
    wire_hidden_put(*ret + head, FRAME_F32, rows, 2, WIDTH);
    return h;
}

static void test_payload_bytes(void **state) {
    (void)state;
    uint8_t *p;
    struct frame_header h = payload_make(&p);
    static const uint8_t want[] = {
        2,    0,    0,    0,    3, 0, 0, 0,    0xFF, 3,    0,    0,    5, 0, 0,   0, 4, 3, 2,    1,    0,    0,    0,    0,    0,    0,
        0,    0,    1,    0,    0, 0, 4, 0,    0,    0,    0,    0,    0, 0, 0,   0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0,    0,    0,    0,
        0,    0,    0,    0,    3, 0, 0, 0,    5,    0,    0,    0,    0, 0, 0,   0, 0, 0, 0,    0,    0xFF, 0xFF, 0xFF, 0xFF, 0,    0,
        0,    0,    0,    0,    0, 0, 6, 0,    0,    0,    6,    0,    0, 0, 0,   0, 0, 0, 8,    0,    0,    0,    0xFF, 0xFF, 0xFF, 0xFF,
        8,    7,    6,    5,    4, 3, 2, 1,    0x0D, 0x0C, 0x0B, 0x0A, 7, 0, 0,   0, 2, 0, 1,    5,    1,    0,    0,    0,    0xFF, 0xFF,
        0xFF, 0x3F, 0xFF, 3,    3, 0, 2, 0,    0,    0,    100,  0,    0, 0, 200, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0,    0,    0x80, 0x3F,
        0,    0,    0,    0xC0, 0, 0, 0, 0x3F, 0,    0,    0x80, 64,
    };
    assert_int_equal(h.payload_len, sizeof(want));
    assert_memory_equal(p, want, sizeof(want));
    free(p);
}

static void test_view(void **state) {
    (void)state;
    uint8_t *p;
    struct frame_header h = payload_make(&p);
    struct wire_compute c;
    struct err e;
    assert_int_equal(frame_header_check(&h, FRAME_LINK_RING, &e), ERR_OK);
    assert_int_equal(wire_compute_view(&h, p, WIDTH, &c, &e), ERR_OK);
    struct engine_op op = wire_compute_op(&c, 0);
    assert_true(op.kind == ENGINE_OP_CP && op.seq == 3 && op.dst == 1023 && op.p0 == 5 && op.p1 == 0x01020304);
    op = wire_compute_op(&c, 1);
    assert_true(op.kind == ENGINE_OP_RM && op.seq == 4 && op.dst == 0 && op.p0 == 0 && op.p1 == -1);
    struct engine_token t = wire_compute_token(&c, 1);
    assert_true(t.token == 1 && t.pos == ENGINE_MAX_POS && t.seq == 1023 && t.flags == 3);
    struct wire_trace tr = wire_compute_trace(&c, 0);
    assert_true(tr.stage == 2 && tr.hop_us == 100 && tr.wait_us == 200 && tr.compute_us == 0xFFFFFFFFu);
    float rows[2 * WIDTH];
    wire_hidden_get(rows, c.dtype, c.hidden, c.n_tokens, c.width);
    assert_true(rows[0] == 1.0f && rows[1] == -2.0f && rows[2] == 0.5f && rows[3] == 4.0f);
    free(p);
}

/* Every field of every entry broken, one at a time. */
static void test_view_refusals(void **state) {
    (void)state;
    static const struct broken_bytes cases[] = {
        {0, 0, 1, "operation 0: engine_op: field \"kind\""},
        {0, 12, 1, "operation 0: engine_op: field \"kind\""},
        {1, 1, 1, "operation 0: engine_op: reserved bytes"},
        {31, 1, 1, "operation 1: engine_op: reserved bytes"},
        {4, 1024, 4, "operation 0: engine_op: field \"seq\""},
        {8, 1024, 4, "operation 0: engine_op: field \"dst\""},
        {36, 1, 4, "operation 1: a destination"},
        {12, 0x40000000, 4, "operation 0: engine_op: field \"p0\""},
        {12, 0xFFFFFFFFu, 4, "operation 0: engine_op: field \"p0\""},
        {16, 4, 4, "operation 0: the last position is before the first"},
        {16, 0xFFFFFFFEu, 4, "operation 0: engine_op: field \"p1\""},
        {16, 0x40000000, 4, "operation 0: engine_op: field \"p1\""},
        {68, 1, 4, "operation 2: positions"},
        {20, 1, 4, "operation 0: a key"},
        {92, 1, 4, "operation 3: a destination"},
        {96, 0, 4, "operation 3: a mark of no positions"},
        {100, 9, 4, "operation 3: positions"},
        {112, 0xFFFFFFFFu, 4, "token 0: engine_token: field \"token\""},
        {116, 0x40000000, 4, "token 0: engine_token: field \"pos\""},
        {116, 0x80000000u, 4, "token 0: engine_token: field \"pos\""},
        {120, 1024, 2, "token 0: engine_token: field \"seq\""},
        {122, 128, 1, "token 0: engine_token: field \"flags\""},
        {123, 9, 1, "token 0: engine_token: field \"n_guess\""},
        {122, 0, 1, "token 0: guesses behind a token"},
        {122, 4, 2, "token 0: a proposal that is not sampled"},
        {134, 7, 2, "token 1: a proposal that follows no"},
        {122, 64, 2, "token 0: a token that is to be computed together"},
        {122, 32 | 2, 2, "token 0: a row of a picture that is to be a token"},
        {138, 1, 2, "trace entry 0: wire_trace: reserved bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t *p;
        struct frame_header h = payload_make(&p);
        struct wire_compute c;
        struct err e = {.code = ERR_OK};
        broken_bytes_put(&cases[i], p);
        assert_int_equal(wire_compute_view(&h, p, WIDTH, &c, &e), ERR_PROTOCOL);
        if (strstr(e.text, cases[i].says) == NULL) fail_msg("byte %zu: \"%s\" instead of \"%s\"", cases[i].at, e.text, cases[i].says);
        free(p);
    }
}

static void test_view_checks_the_frame(void **state) {
    (void)state;
    uint8_t *p;
    struct frame_header h = payload_make(&p);
    struct wire_compute c;
    struct err e;
    assert_int_equal(wire_compute_view(&h, p, WIDTH + 1, &c, &e), ERR_PROTOCOL); /* another ring's width */
    assert_non_null(strstr(e.text, "rows of 2 floats: this ring's are 3"));
    struct frame_header longer = h;
    longer.payload_len++;
    assert_int_equal(wire_compute_view(&longer, p, WIDTH, &c, &e), ERR_PROTOCOL);
    struct frame_header other = h;
    other.type = FRAME_TOKENS;
    assert_int_equal(wire_compute_view(&other, p, WIDTH, &c, &e), ERR_PROTOCOL);
    struct frame_header empty = {.type = FRAME_COMPUTE}; /* a frame whose work failed on the way still reaches the tail */
    assert_int_equal(frame_header_check(&empty, FRAME_LINK_RING, &e), ERR_OK);
    assert_int_equal(wire_compute_view(&empty, NULL, WIDTH, &c, &e), ERR_OK);
    free(p);
}

/* ---- hidden states ---- */

static float from_bits(uint32_t u) {
    float v;
    memcpy(&v, &u, 4);
    return v;
}

static uint16_t put16(uint8_t dtype, float v) {
    uint8_t out[2];
    wire_hidden_put(out, dtype, &v, 1, 1);
    return bytes_get_u16(out);
}

static float get16(uint8_t dtype, uint16_t bits) {
    uint8_t in[2];
    float v;
    bytes_put_u16(in, bits);
    wire_hidden_get(&v, dtype, in, 1, 1);
    return v;
}

/* The value of a binary16 from its definition, and every one of the 65,536 there and back. */
static void test_f16_all_values(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        int exponent = (int)(b >> 10 & 31);
        double m = b & 1023, want = exponent == 0 ? ldexp(m, -24) : ldexp(1024 + m, exponent - 25);
        if (b & 0x8000) want = -want;
        float got = get16(FRAME_F16, (uint16_t)b);
        if (exponent == 31 && m != 0) {
            assert_true(isnan(got));
            assert_true(isnan(get16(FRAME_F16, put16(FRAME_F16, got))));
        } else if (exponent == 31) {
            assert_true(isinf(got) && (got < 0) == ((b & 0x8000) != 0));
            assert_int_equal(put16(FRAME_F16, got), (b & 0x8000) | 0x7BFF); /* limited to 65504 */
        } else {
            if (got != (float)want || (signbit(got) != 0) != ((b & 0x8000) != 0)) fail_msg("%04x gives %g, not %g", b, (double)got, want);
            assert_int_equal(put16(FRAME_F16, got), b);
        }
    }
}

/* The nearest of two neighbours, and between them the even one; checked at, just below and just above every midpoint. */
static void test_f16_rounding(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 0x7BFF; b++) {
        float low = get16(FRAME_F16, (uint16_t)b), high = get16(FRAME_F16, (uint16_t)(b + 1));
        float middle = (float)(((double)low + (double)high) / 2);
        uint16_t even = (uint16_t)(b % 2 == 0 ? b : b + 1);
        if (put16(FRAME_F16, middle) != even) fail_msg("%a gives %04x, not %04x", (double)middle, put16(FRAME_F16, middle), even);
        assert_int_equal(put16(FRAME_F16, nextafterf(middle, 0.0f)), b);
        assert_int_equal(put16(FRAME_F16, nextafterf(middle, INFINITY)), b + 1);
        assert_int_equal(put16(FRAME_F16, -middle), even | 0x8000);
    }
    assert_int_equal(put16(FRAME_F16, 65504.0f), 0x7BFF);
    assert_int_equal(put16(FRAME_F16, 65520.0f), 0x7BFF);
    assert_int_equal(put16(FRAME_F16, -FLT_MAX), 0xFBFF);
    assert_int_equal(put16(FRAME_F16, FLT_TRUE_MIN), 0);
    assert_int_equal(put16(FRAME_F16, NAN) & 0x7E00, 0x7E00);
}

/* The processor's own conversion and the portable one give the same for a spread of all floats, NaNs and infinities among them. */
static void test_f16_simd_agrees(void **state) {
    (void)state;
    enum { N = 64 };
    float in[N], a[N], b[N];
    uint8_t x[2 * N], y[2 * N];
    if (wire_hidden_simd_put_f16(x, memset(in, 0, sizeof(in)), N) == 0) skip(); /* none here */
    for (uint64_t u = 0; u < UINT64_C(1) << 32; u += N * 4099u) {
        for (uint32_t i = 0; i < N; i++) in[i] = from_bits((uint32_t)u + i * 4099u);
        assert_int_equal(wire_hidden_simd_put_f16(x, in, N), N);
        wire_hidden_plain_put_f16(y, in, N);
        for (size_t i = 0; i < N; i++) {
            uint16_t p = bytes_get_u16(x + 2 * i), q = bytes_get_u16(y + 2 * i);
            if (p != q && !(isnan(in[i]) && (p & 0x7E00) == 0x7E00 && (q & 0x7E00) == 0x7E00))
                fail_msg("%a: %04x and %04x", (double)in[i], p, q);
        }
        assert_int_equal(wire_hidden_simd_get_f16(a, x, N), N);
        wire_hidden_plain_get_f16(b, x, N);
        for (size_t i = 0; i < N; i++) assert_true(a[i] == b[i] || (isnan(a[i]) && isnan(b[i])));
    }
}

static void test_bf16(void **state) {
    (void)state;
    for (uint32_t b = 0; b < 65536; b++) {
        float v = get16(FRAME_BF16, (uint16_t)b);
        float want = from_bits(b << 16);
        assert_memory_equal(&v, &want, 4);
        if (isnan(v)) assert_true(isnan(get16(FRAME_BF16, put16(FRAME_BF16, v))));
        else assert_int_equal(put16(FRAME_BF16, v), b);
    }
    assert_int_equal(put16(FRAME_BF16, from_bits(0x3F808000)), 0x3F80); /* a tie, to even: down */
    assert_int_equal(put16(FRAME_BF16, from_bits(0x3F818000)), 0x3F82); /* a tie, to even: up */
    assert_int_equal(put16(FRAME_BF16, from_bits(0x3F808001)), 0x3F81);
    assert_int_equal(put16(FRAME_BF16, from_bits(0x3F817FFF)), 0x3F81);
    assert_int_equal(put16(FRAME_BF16, FLT_MAX), 0x7F80);
    assert_true(isnan(get16(FRAME_BF16, put16(FRAME_BF16, from_bits(0x7F800001))))); /* its payload is all in the cut bits */
}

static float random_float(unsigned *seed) { return (float)(rand_r(seed) % 2000001 - 1000000) / 1000.0f; }

/* Whole rows, whose length is no multiple of the group that the loops work on, agree with single values. */
static void test_rows_agree_with_single_values(void **state) {
    (void)state;
    enum { N = 3 * 101 };
    float in[N], back[N];
    uint8_t out[4 * N];
    unsigned seed = 5;
    for (int i = 0; i < N; i++) in[i] = random_float(&seed);
    for (uint8_t dtype = FRAME_F16; dtype <= FRAME_BF16; dtype++) {
        wire_hidden_put(out, dtype, in, 3, N / 3);
        wire_hidden_get(back, dtype, out, 3, N / 3);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(bytes_get_u16(out + 2 * i), put16(dtype, in[i]));
            assert_true(back[i] == get16(dtype, put16(dtype, in[i])));
        }
    }
    wire_hidden_put(out, FRAME_F32, in, 3, N / 3);
    assert_memory_equal(out, in, sizeof(in));
}

static void test_q8_0(void **state) {
    (void)state;
    float in[64], back[64];
    uint8_t out[2 * 34];
    unsigned seed = 6;
    for (int round = 0; round < 2000; round++) {
        float scale = ldexpf(1.0f, rand_r(&seed) % 20 - 10), top = 0;
        for (int i = 0; i < 64; i++) in[i] = random_float(&seed) / 1000.0f * scale;
        wire_hidden_put(out, FRAME_Q8_0, in, 2, 32);
        wire_hidden_get(back, FRAME_Q8_0, out, 2, 32);
        for (int i = 0; i < 64; i++) {
            if (i % 32 == 0) {
                top = 0;
                for (int k = i; k < i + 32; k++) top = fmaxf(top, fabsf(in[k]));
                assert_int_equal(bytes_get_u16(out + (i / 32) * 34), put16(FRAME_F16, top / 127.0f));
            }
            /* half a step, and the scale's own rounding (coarse where it is subnormal) on up to 127 steps */
            float step = top / 127.0f, rounding = fabsf(get16(FRAME_F16, bytes_get_u16(out + (i / 32) * 34)) - step);
            if (fabsf(back[i] - in[i]) > 0.5001f * step + 127.0f * rounding)
                fail_msg("%g came back as %g (largest %g)", (double)in[i], (double)back[i], (double)top);
        }
    }
    for (int i = 0; i < 32; i++) in[i] = i == 5 ? -127.0f : (float)i + 0.5f; /* scale 1: the values themselves, ties to even */
    wire_hidden_put(out, FRAME_Q8_0, in, 1, 32);
    assert_int_equal(bytes_get_u16(out), 0x3C00);
    assert_int_equal((int8_t)out[2 + 5], -127);
    assert_int_equal((int8_t)out[2 + 0], 0);
    assert_int_equal((int8_t)out[2 + 1], 2);
    assert_int_equal((int8_t)out[2 + 2], 2);
    assert_int_equal((int8_t)out[2 + 3], 4);
    memset(in, 0, sizeof(in));
    wire_hidden_put(out, FRAME_Q8_0, in, 1, 32);
    wire_hidden_get(back, FRAME_Q8_0, out, 1, 32);
    for (int i = 0; i < 32; i++) assert_true(back[i] == 0.0f);
    in[9] = FLT_TRUE_MIN;
    wire_hidden_put(out, FRAME_Q8_0, in, 1, 32);
    wire_hidden_get(back, FRAME_Q8_0, out, 1, 32);
    for (int i = 0; i < 32; i++) assert_true(back[i] == 0.0f);
    in[9] = NAN;
    wire_hidden_put(out, FRAME_Q8_0, in, 1, 32);
    wire_hidden_get(back, FRAME_Q8_0, out, 1, 32);
    assert_true(isnan(back[0]) && isnan(back[9]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload_bytes),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_view_refusals),
        cmocka_unit_test(test_view_checks_the_frame),
        cmocka_unit_test(test_f16_all_values),
        cmocka_unit_test(test_f16_rounding),
        cmocka_unit_test(test_f16_simd_agrees),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_rows_agree_with_single_values),
        cmocka_unit_test(test_q8_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
