/* SPDX-License-Identifier: MIT
 * Frame headers, byte by byte and limit by limit; the frame table against docs/PROTOCOL.md; the reader over any fragmentation. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "wire/frame.h"
#include "wire/reader.h"
#include "support/broken_bytes.h"

static const struct frame_header sample = {
    .type = FRAME_COMPUTE,
    .dtype = FRAME_F16,
    .epoch = 0x0102030405060708u,
    .sent_us = 0x1112131415161718u,
    .number = 0x21222324u,
    .n_ops = 1,
    .n_tokens = 2,
    .width = 4,
    .payload_len = 28 + 2 * 12 + 16 + 2 * 8,
    .n_trace = 1,
};

/* The layout that frame.h and PROTOCOL.md draw. */
static void test_header_bytes(void **state) {
    (void)state;
    uint8_t got[FRAME_HEADER_SIZE];
    static const uint8_t want[FRAME_HEADER_SIZE] = {
        'C',  'R',  'V',  'N',  1,    10,   1,    0, /* magic, version, type, dtype, flags */
        8,    7,    6,    5,    4,    3,    2,    1,          /* epoch */
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* sent_us */
        0x24, 0x23, 0x22, 0x21,          /* number */
        1,    0,    0,    0,    2,    0,    0,    0,    4, 0, 0, 0, /* n_ops, n_tokens, width */
        84,   0,    0,    0,    1,    0,    0,    0,         /* payload_len, n_trace, reserved */
    };
    frame_header_put(got, &sample);
    assert_memory_equal(got, want, sizeof(want));
    struct frame_header h;
    struct err e;
    assert_int_equal(frame_header_get(got, FRAME_LINK_RING, &h, &e), ERR_OK);
    assert_int_equal(h.type, sample.type);
    assert_int_equal(h.dtype, sample.dtype);
    assert_true(h.epoch == sample.epoch && h.sent_us == sample.sent_us && h.number == sample.number);
    assert_true(h.n_ops == 1 && h.n_tokens == 2 && h.width == 4 && h.payload_len == 84 && h.n_trace == 1);
}

/* Every field broken, one at a time. */
static void test_header_refusals(void **state) {
    (void)state;
    static const struct broken_bytes cases[] = {
        {0, 0x12345678, 4, "not a Caravan frame"},
        {4, 2, 1, "frame of version 2: this end speaks version 1"},
        {5, 99, 1, "unknown frame type 99"},
        {5, 0, 1, "unknown frame type 0"},
        {5, 255, 1, "unknown frame type 255"},
        {5, FRAME_SUBMIT, 1, "SUBMIT frame on a ring link"},
        {6, FRAME_DTYPE_COUNT, 1, "unknown hidden-state type"},
        {6, FRAME_Q8_0, 1, "not a multiple of 32"},
        {7, 1, 1, "unknown flags"},
        {28, FRAME_MAX_OPS + 1, 4, "4097 operations"},
        {28, 2, 4, "its counts ask for 112"},
        {32, FRAME_MAX_TOKENS + 1, 4, "16385 tokens"},
        {32, 0xFFFFFFFFu, 4, "4294967295 tokens"},
        {36, FRAME_MAX_WIDTH + 1, 4, "262145 floats"},
        {40, 85, 4, "85 bytes of payload: its counts ask for 84"},
        {40, 512u * 1024 * 1024 + 1, 4, "the limit is 536870912"},
        {44, FRAME_MAX_TRACE + 1, 2, "257 trace entries"},
        {46, 1, 2, "reserved bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t in[FRAME_HEADER_SIZE];
        struct frame_header h = {.number = 4711};
        struct err e = {.code = ERR_OK};
        frame_header_put(in, &sample);
        broken_bytes_put(&cases[i], in);
        assert_int_equal(frame_header_get(in, FRAME_LINK_RING, &h, &e), ERR_PROTOCOL);
        assert_int_equal(h.number, 4711);
        if (strstr(e.text, cases[i].says) == NULL) fail_msg("byte %zu: \"%s\" instead of \"%s\"", cases[i].at, e.text, cases[i].says);
    }
}

/* Counts whose product is over 32 bits must not wrap around to a small length. */
static void test_no_overflow(void **state) {
    (void)state;
    struct frame_header h = {.type = FRAME_COMPUTE, .n_tokens = 16384, .width = 262144}; /* 2^14 x 2^18 x 4 = 2^34 */
    uint8_t in[FRAME_HEADER_SIZE];
    struct err e;
    h.payload_len = 16384 * 12; /* the same sum in 32 bits */
    assert_int_equal(frame_header_check(&h, FRAME_LINK_RING, &e), ERR_PROTOCOL);
    frame_header_put(in, &(struct frame_header){.type = FRAME_PING});
    in[5] = FRAME_COMPUTE;
    bytes_put_u32(in + 32, 16384);
    bytes_put_u32(in + 36, 262144);
    bytes_put_u32(in + 40, 16384 * 12);
    assert_int_equal(frame_header_get(in, FRAME_LINK_RING, &h, &e), ERR_PROTOCOL);
}

static void test_row_bytes(void **state) {
    (void)state;
    assert_int_equal(frame_row_bytes(FRAME_F32, 4096), 16384);
    assert_int_equal(frame_row_bytes(FRAME_F16, 4095), 8190);
    assert_int_equal(frame_row_bytes(FRAME_BF16, 1), 2);
    assert_int_equal(frame_row_bytes(FRAME_Q8_0, 4096), 128 * 34);
    assert_int_equal(frame_row_bytes(FRAME_Q8_0, 33), 0);
    assert_int_equal(frame_row_bytes(FRAME_DTYPE_COUNT, 32), 0);
}

/* Each type is taken on the kinds of links in its row of the table, and on no others. */
static void test_types_and_links(void **state) {
    (void)state;
    static const enum frame_link links[] = {FRAME_LINK_RING, FRAME_LINK_CONTROL, FRAME_LINK_LOCAL, FRAME_LINK_WEIGHTS};
    size_t known = 0;
    for (unsigned type = 0; type < 256; type++) {
        known += frame_links((uint8_t)type) != 0;
        for (size_t i = 0; i < ARRAY_LEN(links); i++) {
            struct frame_header h = {.type = (uint8_t)type};
            struct err e;
            bool ok = frame_header_check(&h, links[i], &e) == ERR_OK;
            assert_int_equal(ok, (frame_links((uint8_t)type) & links[i]) != 0);
        }
    }
    size_t rows = 0;
#define FRAME(name, number, links, max, what) rows++;
#include "../../tables/frames.def"
#undef FRAME
    assert_int_equal(known, rows);
    assert_string_equal(frame_type_name(FRAME_TOKENS), "TOKENS");
    assert_string_equal(frame_type_name(9), "?");
    assert_int_equal(frame_max_payload(FRAME_PING), 0);
    assert_int_equal(frame_max_payload(FRAME_RANGE), 4 * 1024 * 1024);
}

/* docs/PROTOCOL.md has one row for each frame, as the table has it: "| 10 | COMPUTE | ring | 512 MiB | ... |". */
static void test_protocol_document(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    char path[1024];
    snprintf(path, sizeof(path), "%s/docs/PROTOCOL.md", source != NULL ? source : ".");
    FILE *f = fopen(path, "rb");
    if (f == NULL) fail_msg("cannot open %s (CARAVAN_SOURCE names the source folder)", path);
    static char text[200000];
    size_t len = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[len] = '\0';
    static const char *const links[] = {"ring", "control", "local", "weights"};
    static const struct {
        unsigned number;
        const char *name;
    } rows[] = {
#define FRAME(name, number, links, max, what) {number, #name},
#include "../../tables/frames.def"
#undef FRAME
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t type = (uint8_t)rows[i].number;
        char where[64] = "", size[32], row[256];
        for (size_t k = 0; k < ARRAY_LEN(links); k++)
            if (frame_links(type) & 1u << k)
                snprintf(where + strlen(where), sizeof(where) - strlen(where), "%s%s", where[0] ? ", " : "", links[k]);
        uint32_t max = frame_max_payload(type);
        if (max >= 1 << 20) snprintf(size, sizeof(size), "%u MiB", max >> 20);
        else if (max >= 1 << 10) snprintf(size, sizeof(size), "%u KiB", max >> 10);
        else snprintf(size, sizeof(size), "%u B", max);
        snprintf(row, sizeof(row), "| %u | %s | %s | %s |", rows[i].number, rows[i].name, where, size);
        if (strstr(text, row) == NULL) fail_msg("docs/PROTOCOL.md lacks the row \"%s\"", row);
    }
}

/* ---- the reader ---- */

enum { FRAMES = 300 };

/* A stream of frames of many sizes; frame i has number i, and payload bytes that follow from it. */
static uint8_t *make_stream(size_t *ret_len, unsigned *seed) {
    struct buf b;
    buf_init(&b, 64 << 20);
    for (uint32_t i = 0; i < FRAMES; i++) {
        static const uint32_t sizes[] = {0, 1, 47, 48, 49, 4095, 4096, 4097, 70000};
        uint32_t len = i % 3 == 0 ? sizes[(unsigned)rand_r(seed) % ARRAY_LEN(sizes)] : (uint32_t)rand_r(seed) % 3000;
        uint8_t head[FRAME_HEADER_SIZE];
        frame_header_put(head, &(struct frame_header){.type = FRAME_TOKENS, .number = i, .payload_len = len});
        buf_append(&b, head, sizeof(head));
        for (uint32_t k = 0; k < len; k++) buf_append_byte(&b, (uint8_t)(i * 31 + k));
    }
    assert_false(b.failed);
    return buf_detach(&b, ret_len);
}

static void test_reader_any_fragmentation(void **state) {
    (void)state;
    unsigned seed = 20240607;
    size_t len;
    uint8_t *stream = make_stream(&len, &seed);
    static const size_t most[] = {1, 3, 50, 5000, 1 << 20};
    for (size_t m = 0; m < ARRAY_LEN(most); m++) {
        struct wire_reader r;
        struct err e;
        wire_reader_init(&r, FRAME_LINK_RING);
        uint32_t next = 0;
        for (size_t at = 0; at < len;) {
            size_t n = 1 + (size_t)rand_r(&seed) % most[m];
            if (n > len - at) n = len - at;
            const uint8_t *p = stream + at;
            at += n;
            while (n > 0 && wire_reader_feed(&r, &p, &n, &e) == ERR_OK) {
                assert_int_equal(r.header.number, next);
                for (uint32_t k = 0; k < r.header.payload_len; k++)
                    if (r.payload[k] != (uint8_t)(next * 31 + k)) fail_msg("frame %u, byte %u", next, k);
                next++;
            }
        }
        assert_int_equal(next, FRAMES);
        const uint8_t *p = stream;
        size_t none = 0;
        assert_int_equal(wire_reader_feed(&r, &p, &none, &e), ERR_BUSY);
        assert_true(wire_reader_empty(&r));
        wire_reader_done(&r);
    }
    free(stream);
}

static void test_reader_refuses_before_it_allocates(void **state) {
    (void)state;
    struct wire_reader r;
    struct err e;
    uint8_t head[FRAME_HEADER_SIZE];
    wire_reader_init(&r, FRAME_LINK_RING);
    frame_header_put(head, &(struct frame_header){.type = FRAME_TOKENS});
    bytes_put_u32(head + 40, 65 * 1024 * 1024);
    const uint8_t *p = head;
    size_t n = sizeof(head);
    assert_int_equal(wire_reader_feed(&r, &p, &n, &e), ERR_PROTOCOL);
    assert_null(r.payload);
    wire_reader_done(&r);
}

/* The buffer is kept between frames, and given back after a huge one. */
static void test_reader_memory(void **state) {
    (void)state;
    struct wire_reader r;
    struct err e;
    wire_reader_init(&r, FRAME_LINK_RING);
    static const uint32_t sizes[] = {10000, 100, 40 * 1024 * 1024, 100};
    static const size_t caps[] = {16384, 16384, 40 * 1024 * 1024, 4096};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint8_t head[FRAME_HEADER_SIZE], *where;
        size_t room;
        frame_header_put(head, &(struct frame_header){.type = FRAME_TOKENS, .payload_len = sizes[i]});
        const uint8_t *p = head;
        size_t n = sizeof(head);
        assert_int_equal(wire_reader_feed(&r, &p, &n, &e), ERR_BUSY);
        assert_int_equal(wire_reader_space(&r, &where, &room, &e), ERR_OK);
        assert_int_equal(room, sizes[i]);
        assert_int_equal(r.cap, caps[i]);
        assert_int_equal(wire_reader_advance(&r, room, &e), ERR_OK);
        assert_true(wire_reader_whole(&r));
    }
    wire_reader_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_header_refusals),
        cmocka_unit_test(test_no_overflow),
        cmocka_unit_test(test_row_bytes),
        cmocka_unit_test(test_types_and_links),
        cmocka_unit_test(test_protocol_document),
        cmocka_unit_test(test_reader_any_fragmentation),
        cmocka_unit_test(test_reader_refuses_before_it_allocates),
        cmocka_unit_test(test_reader_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
