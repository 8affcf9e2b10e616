/* SPDX-License-Identifier: MIT
 * What is looked at before a picture or a sound is decoded: each format that is read, the sizes that are refused, files that stand for much
 * more than they are, and files that are cut off at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "engine/media_file.h"
#include "engine/media_priv.h"

/* ---- PNG ---- */

static void put_be32(struct buf *b, uint32_t v) {
    const uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_append(b, bytes, sizeof(bytes));
}

/* The checksums are wrong: nobody here looks at them. */
static void put_chunk(struct buf *b, const char *name, const void *data, size_t len) {
    put_be32(b, (uint32_t)len);
    buf_append(b, name, 4);
    if (len > 0) buf_append(b, data, len);
    put_be32(b, 0);
}

static void begin_png(struct buf *b, uint32_t width, uint32_t height, uint8_t depth, uint8_t color, bool interlaced) {
    struct buf head;
    buf_init(b, 1 << 20);
    buf_init(&head, 64);
    buf_append(b, "\x89PNG\r\n\x1a\n", 8);
    put_be32(&head, width);
    put_be32(&head, height);
    const uint8_t rest[5] = {depth, color, 0, 0, interlaced};
    buf_append(&head, rest, sizeof(rest));
    put_chunk(b, "IHDR", head.data, head.len);
    buf_done(&head);
}

/* 3 x 2 pixels of 8 bits: 20 zeros, as zlib packs them. */
static const uint8_t packed[] = {0x78, 0x9c, 0x63, 0x60, 0xc0, 0x04, 0x00, 0x00, 0x14, 0x00, 0x01};

static void expect(const uint8_t *data, size_t len, err_code wanted, const char *says) {
    enum media_kind kind = MEDIA_SOUND;
    struct err e = {0};
    err_code code = media_file_check(data, len, &kind, &e);
    if (code != wanted) fail_msg("%d instead of %d: %s", code, wanted, e.text);
    if (says != NULL && strstr(e.text, says) == NULL) fail_msg("\"%s\" instead of \"%s\"", e.text, says);
}

/* Deflate's own words: blocks that are written bit by bit. */
struct writer {
    struct buf *out;
    uint32_t held;
    unsigned n;
};

static void put_bits(struct writer *w, uint32_t v, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        w->held |= (v >> i & 1) << w->n++;
        if (w->n < 8) continue;
        buf_append_byte(w->out, (uint8_t)w->held);
        w->held = w->n = 0;
    }
}

/* A Huffman code goes out with its first bit first. */
static void put_code(struct writer *w, uint32_t code, unsigned n) {
    while (n-- > 0) put_bits(w, code >> n & 1, 1);
}

/* One zero, and then matches of 258 bytes at distance 1, by fixed codes: `n` bytes and one. */
static void put_bomb(struct buf *out, uint32_t matches) {
    struct writer w = {.out = out};
    buf_append(out, "\x78\x9c", 2);
    put_bits(&w, 1, 1);
    put_bits(&w, 1, 2);
    put_code(&w, 0x30, 8); /* literal 0 */
    for (uint32_t i = 0; i < matches; i++) {
        put_code(&w, 0xC5, 8); /* 285: 258 bytes */
        put_code(&w, 0, 5);    /* distance 1 */
    }
    put_code(&w, 0, 7); /* the end */
    put_bits(&w, 0, 7);
}

static void png_of_its_own_size_is_taken(void **state) {
    (void)state;
    struct buf b, data;
    for (int pieces = 1; pieces <= 3; pieces++) { /* the stream may be cut anywhere */
        begin_png(&b, 3, 2, 8, 2, false);
        buf_init(&data, 1 << 20);
        put_bomb(&data, 0);
        for (int i = 0; i < pieces; i++) {
            size_t from = data.len * (size_t)i / (size_t)pieces, to = data.len * (size_t)(i + 1) / (size_t)pieces;
            put_chunk(&b, "IDAT", data.data + from, to - from);
        }
        put_chunk(&b, "IEND", NULL, 0);
        expect(b.data, b.len, ERR_OK, NULL);
        buf_done(&b);
        buf_done(&data);
    }
    assert_true(media_png_inflates(NULL, 0, 100) == false);
}

static void png_that_unpacks_to_more_is_refused(void **state) {
    (void)state;
    struct buf b, data;
    begin_png(&b, 3, 2, 8, 2, false); /* 20 bytes */
    buf_init(&data, 1 << 20);
    put_bomb(&data, 40000); /* 10 MB from 65 KB */
    put_chunk(&b, "IDAT", data.data, data.len);
    put_chunk(&b, "IEND", NULL, 0);
    expect(b.data, b.len, ERR_INVALID, "do not fit its size");
    buf_done(&b);
    begin_png(&b, 3000, 2000, 8, 2, false); /* there they fit */
    put_chunk(&b, "IDAT", data.data, data.len);
    put_chunk(&b, "IEND", NULL, 0);
    expect(b.data, b.len, ERR_OK, NULL);
    buf_done(&b);
    buf_done(&data);
}

static void stored_and_real_streams_are_followed(void **state) {
    (void)state;
    struct buf b;
    const uint8_t stored[] = {0x78, 0x01, 1,  20, 0,  0xEB, 0xFF, 1,  2,  3,  4,  5, 6, 7, 8, 9,
                              10,   11,   12, 13, 14, 15,   16,   17, 18, 19, 20, 0, 0, 0, 0};
    begin_png(&b, 3, 2, 8, 2, false);
    put_chunk(&b, "IDAT", stored, sizeof(stored));
    put_chunk(&b, "IEND", NULL, 0);
    expect(b.data, b.len, ERR_OK, NULL);
    assert_true(media_png_inflates(b.data, b.len, 20));
    assert_false(media_png_inflates(b.data, b.len, 19));
    buf_done(&b);
    begin_png(&b, 3, 2, 8, 2, false);
    put_chunk(&b, "IDAT", packed, sizeof(packed));
    put_chunk(&b, "IEND", NULL, 0);
    assert_true(media_png_inflates(b.data, b.len, 20));
    assert_false(media_png_inflates(b.data, b.len, 2));
    buf_done(&b);
}

static void pixels_are_counted_by_depth_and_passes(void **state) {
    (void)state;
    const struct {
        struct media_png png;
        uint64_t bytes;
    } cases[] = {
        {{3, 2, 8, 2, false}, 20}, {{9, 1, 1, 0, false}, 3},
        {{1, 1, 16, 6, false}, 9}, {{8, 8, 8, 0, true}, 2 + 2 + 3 + 2 * 3 + 2 * 5 + 4 * 5 + 4 * 9},
        {{1, 1, 8, 0, true}, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) assert_int_equal(media_png_raw(&cases[i].png), cases[i].bytes);
}

/* ---- the other formats ---- */

static void sizes_are_read_and_bounded(void **state) {
    (void)state;
    uint8_t jpeg[] = {0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC2, 0, 17, 8, 0, 100, 0, 200, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0};
    uint8_t gif[] = {'G', 'I', 'F', '8', '9', 'a', 100, 0, 200, 0, 0, 0, 0};
    uint8_t bmp[30] = {'B', 'M', [14] = 40, [18] = 100, [22] = 0x9C, 0xFF, 0xFF, 0xFF}; /* 100 x -100 */
    expect(jpeg, sizeof(jpeg), ERR_OK, NULL);
    expect(gif, sizeof(gif), ERR_OK, NULL);
    expect(bmp, sizeof(bmp), ERR_OK, NULL);
    jpeg[13] = jpeg[15] = 0xFF;
    gif[7] = gif[9] = 0xFF;
    bmp[20] = 1;
    expect(jpeg, sizeof(jpeg), ERR_INVALID, "at most");
    expect(gif, sizeof(gif), ERR_INVALID, "at most");
    expect(bmp, sizeof(bmp), ERR_INVALID, "at most");
    jpeg[13] = jpeg[14] = 0;
    expect(jpeg, sizeof(jpeg), ERR_INVALID, "no pixels");
    struct buf b;
    begin_png(&b, 60000, 60000, 8, 2, false);
    expect(b.data, b.len, ERR_INVALID, "60000 x 60000 pixels");
    buf_done(&b);
}

static void make_wav(uint8_t ret[48], uint16_t form, uint32_t rate, uint16_t frame, uint32_t bytes) {
    const uint8_t head[48] = {'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'A', 'V', 'E', 'f', 'm', 't', ' ', 16, 0, 0, 0};
    memcpy(ret, head, 48);
    memcpy(ret + 20, &form, 2);
    memcpy(ret + 24, &rate, 4);
    memcpy(ret + 32, &frame, 2);
    memcpy(ret + 36, "data", 4);
    memcpy(ret + 40, &bytes, 4);
}

static void sounds_have_a_length(void **state) {
    (void)state;
    enum { BYTES = 1 << 20 };
    uint8_t wav[48], *long_one = mem_zalloc(48 + BYTES);
    make_wav(wav, 1, 16000, 2, 4);
    expect(wav, sizeof(wav), ERR_OK, NULL);
    make_wav(wav, 0x11, 16000, 2, 4);
    expect(wav, sizeof(wav), ERR_INVALID, "form 17");
    make_wav(wav, 1, 1, 2, 4); /* would become 16,000 times as many samples */
    expect(wav, sizeof(wav), ERR_INVALID, "rate");
    make_wav(wav, 1, 16000, 0, 4);
    expect(wav, sizeof(wav), ERR_INVALID, "rate");
    make_wav(long_one, 1, 4000, 1, BYTES);
    expect(long_one, 48 + BYTES, ERR_OK, NULL); /* 262 s */
    for (size_t at = 0; at + 24 <= BYTES; at += 24)
        memcpy(long_one + at, "\xff\xe3\x10\x00", 4); /* MPEG 2.5 at 8 kbit, 8 kHz: 72 ms in 72 bytes */
    expect(long_one, BYTES, ERR_OK, NULL);
    free(long_one);
}

/* MP3 frames of 72 ms each, 24 bytes at 8 kbit/s and 24 kHz: 24 ms. */
static void a_sound_of_hours_is_refused(void **state) {
    (void)state;
    enum { FRAME = 72, FRAMES = 30000 };
    uint8_t *mp3 = mem_zalloc(FRAME * FRAMES);
    for (size_t i = 0; i < FRAMES; i++) memcpy(mp3 + i * FRAME, "\xff\xe3\x18\x00", 4); /* 8 kbit/s at 8 kHz: 72 bytes, 72 ms */
    expect(mp3, FRAME * FRAMES, ERR_INVALID, "minutes");
    expect(mp3, FRAME * 1000, ERR_OK, NULL);
    free(mp3);
}

static void the_bound_that_a_picture_breaks_is_named(void **state) {
    (void)state;
    static const struct {
        uint32_t width, height;
        const char *says;
    } cases[] = {{40000, 10, "40000 x 10 pixels, at most 32768 in a side"},
                 {10, 32769, "at most 32768 in a side"},
                 {30000, 30000, "at most 34 million"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        begin_png(&b, cases[i].width, cases[i].height, 8, 2, false);
        expect(b.data, b.len, ERR_INVALID, cases[i].says);
        buf_done(&b);
    }
}

static void unknown_formats_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *says;
        size_t len;
    } cases[] = {
        {"RIFF....WEBPVP8 ", "WebP", 16},       {"fLaC............", "FLAC", 16},       {"....ftypheic....", "HEIC files", 16},
        {"II*\0............", "TIFF", 16},      {"hello, I am text", "no picture", 16}, {"", "no picture", 0},
        {"RIFF....AVI LIST", "no picture", 16}, {"....ftypavif....", "AVIF files", 16}, {"....ftypM4A ....", "MP4 or M4A files", 16},
        {"<?xml version=\"1", "SVG", 16},       {"%PDF-1.7........", "PDF files", 16},  {"\x1a\x45\xdf\xa3............", "WebM", 16}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) expect((const uint8_t *)cases[i].bytes, cases[i].len, ERR_INVALID, cases[i].says);
}

/* Each prefix of each file, in memory of just that size: the sanitizers see what is read behind it. */
static void cut_files_are_no_harm(void **state) {
    (void)state;
    struct buf b;
    begin_png(&b, 3, 2, 8, 2, true);
    put_chunk(&b, "IDAT", packed, sizeof(packed));
    put_chunk(&b, "IEND", NULL, 0);
    uint8_t wav[48];
    make_wav(wav, 1, 16000, 2, 1000000);
    const uint8_t jpeg[] = {0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2, 0xFF, 0xC2, 0, 17, 8, 0, 100, 0, 200, 3, 1, 0x11, 0};
    const struct {
        const uint8_t *data;
        size_t len;
    } files[] = {{b.data, b.len}, {wav, sizeof(wav)}, {jpeg, sizeof(jpeg)}, {(const uint8_t *)"GIF89a123456789", 15}};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        for (size_t len = 0; len <= files[i].len; len++) {
            enum media_kind kind;
            uint8_t *copy = mem_alloc(len + 1);
            memcpy(copy, files[i].data, len);
            media_file_check(copy, len, &kind, NULL);
            free(copy);
        }
    buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_of_its_own_size_is_taken),
        cmocka_unit_test(png_that_unpacks_to_more_is_refused),
        cmocka_unit_test(stored_and_real_streams_are_followed),
        cmocka_unit_test(pixels_are_counted_by_depth_and_passes),
        cmocka_unit_test(sizes_are_read_and_bounded),
        cmocka_unit_test(sounds_have_a_length),
        cmocka_unit_test(a_sound_of_hours_is_refused),
        cmocka_unit_test(the_bound_that_a_picture_breaks_is_named),
        cmocka_unit_test(unknown_formats_are_named),
        cmocka_unit_test(cut_files_are_no_harm),
    };
    return cmocka_run_group_tests_name("media_file", tests, NULL, NULL);
}
