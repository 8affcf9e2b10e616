/* SPDX-License-Identifier: MIT
 * Prompts with pictures become tokens and rows: with an engine whose "files" are a byte, which is repeated as many times as it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "stage/media.h"

enum { WIDTH = 2 };

static int made; /* files that were made into rows */

static err_code tokenize(void *self, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens, size_t *ret_n,
                         struct err *e) {
    (void)self;
    (void)special;
    (void)e;
    size_t n = 0;
    *ret_tokens = mem_calloc(len + 1, sizeof(**ret_tokens));
    if (bos) (*ret_tokens)[n++] = 1;
    for (size_t i = 0; i < len; i++) (*ret_tokens)[n++] = text[i];
    *ret_n = n;
    return ERR_OK;
}

/* A begin token, rows, an end token. */
static err_code read_media(void *self, const uint8_t *data, size_t len, struct engine_pieces *ret, struct err *e) {
    (void)self;
    if (len != 1) return err_set(e, ERR_INVALID, "a file of %zu bytes", len);
    made++;
    for (int i = 0; i < 3; i++) {
        struct engine_piece piece = {.n = 1};
        if (i == 1) {
            piece = (struct engine_piece){.n = data[0], .rows = engine_rows_create(data[0], WIDTH)};
            for (int k = 0; k < data[0] * WIDTH; k++) piece.rows->values[k] = (float)(data[0] + k);
        } else *(piece.tokens = mem_calloc(1, sizeof(*piece.tokens))) = 500 + i;
        engine_pieces_add(ret, piece);
    }
    return ERR_OK;
}

static const struct engine_ops ops = {.tokenize = tokenize, .media = read_media};
static struct engine engine = {.ops = &ops, .info = {.sees = true, .n_row = WIDTH}};

static struct request ask(const char *text, size_t n_media, const char *const *marks, const char *const *data) {
    struct request r;
    request_init(&r);
    r.text = mem_strdup(text);
    r.text_len = strlen(text);
    r.media = mem_calloc(n_media, sizeof(*r.media));
    r.n_media = (uint32_t)n_media;
    for (size_t i = 0; i < n_media; i++) {
        snprintf(r.media[i].mark, sizeof(r.media[i].mark), "%s", marks[i]);
        r.media[i].data = mem_strdup(data[i]);
    }
    return r;
}

static void expect_tokens(const struct request *r, const int32_t *wanted, size_t n) {
    assert_int_equal(r->n_tokens, n);
    for (size_t i = 0; i < n; i++)
        if (wanted[i] >= 0) assert_int_equal(r->tokens[i], wanted[i]);
        else assert_true(r->tokens[i] < 0);
}

static void marks_become_rows(void **state) {
    (void)state;
    struct media *m = media_create(&engine, "/models/tiny.gguf", 1 << 20);
    const char *const marks[] = {"[media:a]", "[media:b]"}, *const data[] = {"Ag==", "Aw=="}; /* 2 and 3 */
    made = 0;
    struct request r = ask("x[media:b]y[media:a][media:b]", 2, marks, data);
    assert_int_equal(media_read(m, &r, 100, NULL), ERR_OK);
    expect_tokens(&r, (const int32_t[]){1, 'x', 500, -1, -1, -1, 502, 'y', 500, -1, -1, 502, 500, -1, -1, -1, 502}, 17);
    assert_int_equal(r.n_rows, 3);
    assert_int_equal(r.rows[0].at, 3);
    assert_int_equal(r.rows[1].at, 9);
    assert_ptr_equal(r.rows[0].rows, r.rows[2].rows);
    assert_int_equal(r.tokens[3], r.tokens[13]);
    assert_int_not_equal(r.tokens[3], r.tokens[9]);
    assert_int_equal(made, 2);
    assert_null(r.media);
    int32_t id = r.tokens[9];
    request_done(&r);
    r = ask("[media:z]", 1, (const char *const[]){"[media:z]"}, data); /* another name, the same file */
    assert_int_equal(media_read(m, &r, 100, NULL), ERR_OK);
    assert_int_equal(r.tokens[2], id);
    assert_int_equal(made, 2);
    request_done(&r);
    media_free(m);
}

static struct request read_one(struct media *m, const char *data) {
    struct request r = ask("[media:a]", 1, (const char *const[]){"[media:a]"}, &data);
    assert_int_equal(media_read(m, &r, 100, NULL), ERR_OK);
    return r;
}

static void what_is_given_up_comes_back_under_its_ids(void **state) {
    (void)state;
    struct media *m = media_create(&engine, "tiny.gguf", 0); /* nothing is kept beside the last one */
    made = 0;
    struct request first = read_one(m, "Bg=="), other = read_one(m, "Bw=="); /* 6 and 7 */
    assert_int_equal(first.rows[0].rows->n, 6);                              /* who uses it keeps it */
    struct request again = read_one(m, "Bg==");
    assert_int_equal(made, 3);
    media_free(m);
    m = media_create(&engine, "tiny.gguf", 0); /* as in a later process */
    struct request later = read_one(m, "Bg==");
    assert_int_equal(again.n_tokens, first.n_tokens);
    assert_memory_equal(again.tokens, first.tokens, first.n_tokens * sizeof(*first.tokens));
    assert_memory_equal(later.tokens, first.tokens, first.n_tokens * sizeof(*first.tokens));
    for (uint32_t i = 0; i < 6; i++) assert_true(first.tokens[2 + i] < 0 && first.tokens[2 + i] != other.tokens[2 + i]);
    request_done(&first);
    request_done(&other);
    request_done(&again);
    request_done(&later);
    media_free(m);
}

/* The ids are a hash of the values, of the places, and of whether the rows look at each other. */
static void ids_name_all_that_the_model_sees(void **state) {
    (void)state;
    struct engine_rows *all[5];
    for (int i = 0; i < 5; i++) {
        all[i] = engine_rows_create(40, WIDTH);
        for (int k = 0; k < 40 * WIDTH; k++) all[i]->values[k] = (float)k;
    }
    all[2]->values[7] = -1;
    all[3]->places[3] = 9;
    all[4]->together = true;
    for (int i = 0; i < 5; i++) engine_rows_name(all[i]);
    assert_memory_equal(all[0]->ids, all[1]->ids, 40 * sizeof(int32_t));
    for (int i = 2; i < 5; i++)
        for (int k = 0; k < 40; k++) assert_int_not_equal(all[i]->ids[k], all[0]->ids[k]);
    for (int k = 1; k < 40; k++) assert_int_not_equal(all[0]->ids[k], all[0]->ids[k - 1]);
    for (int i = 0; i < 5; i++) engine_rows_release(all[i]);
}

/* Three ids are no hash that nobody could find a second picture for. */
static void a_few_rows_have_ids_by_lot(void **state) {
    (void)state;
    struct media *m = media_create(&engine, "tiny.gguf", 0);
    struct request first = read_one(m, "Aw=="), other = read_one(m, "Bw=="), again = read_one(m, "Aw==");
    assert_memory_not_equal(again.tokens + 2, first.tokens + 2, 3 * sizeof(*first.tokens));
    request_done(&first);
    request_done(&other);
    request_done(&again);
    media_free(m);
}

static void refuse(struct media *m, const char *text, const char *data, uint32_t limit, err_code wanted, const char *says) {
    struct err e = {0};
    struct request r = ask(text, 1, (const char *const[]){"[media:a]"}, &data);
    assert_int_equal(media_read(m, &r, limit, &e), wanted);
    if (strstr(e.text, says) == NULL) fail_msg("\"%s\" instead of \"%s\"", e.text, says);
    request_done(&r);
}

/* A request may leave out the bytes of a file that is kept here; of others it is told. */
static void bytes_that_are_left_out(void **state) {
    (void)state;
    struct media *m = media_create(&engine, "tiny.gguf", 4 * WIDTH * sizeof(float));
    refuse(m, "[media:a]", "", 100, ERR_STALE, "not kept here any more");
    struct request first = ask("[media:a]", 1, (const char *const[]){"[media:a]"}, (const char *const[]){"Ag=="});
    made = 0;
    assert_int_equal(media_read(m, &first, 100, NULL), ERR_OK);
    struct request r = ask("x[media:a]", 1, (const char *const[]){"[media:a]"}, (const char *const[]){""});
    assert_int_equal(media_read(m, &r, 100, NULL), ERR_OK);
    expect_tokens(&r, (const int32_t[]){1, 'x', 500, -1, -1, 502}, 6);
    assert_int_equal(r.tokens[3], first.tokens[2]);
    assert_int_equal(made, 1);
    request_done(&r);
    r = ask("[media:b]", 1, (const char *const[]){"[media:b]"}, (const char *const[]){"Aw=="}); /* for which the first one is given up */
    assert_int_equal(media_read(m, &r, 100, NULL), ERR_OK);
    request_done(&r);
    refuse(m, "[media:a]", "", 100, ERR_STALE, "not kept here any more");
    request_done(&first);
    media_free(m);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    struct media *m = media_create(&engine, "/models/tiny.gguf", 1 << 20);
    refuse(m, "[media:a]", "AgI=", 100, ERR_INVALID, "a file of 2 bytes");
    refuse(m, "[media:a]", "?", 100, ERR_INVALID, "base64");
    refuse(m, "no mark at all", "Ag==", 100, ERR_INVALID, "template");
    refuse(m, "[media:a][media:a][media:a]", "Fg==", 50, ERR_LIMIT, "with its pictures");
    struct err e = {0}; /* of several, which one */
    struct request r = ask("[media:a][media:b]", 2, (const char *const[]){"[media:a]", "[media:b]"}, (const char *const[]){"Ag==", "AgI="});
    assert_int_equal(media_read(m, &r, 100, &e), ERR_INVALID);
    assert_string_equal(e.text, "picture or sound 2 of 2: a file of 2 bytes");
    request_done(&r);
    media_free(m);
    struct engine blind = engine;
    blind.info.n_row = 0;
    m = media_create(&blind, "/models/tiny.gguf", 1 << 20);
    refuse(m, "[media:a]", "Ag==", 100, ERR_UNSUPPORTED, "\"mmproj-tiny.gguf\" is missing");
    snprintf(blind.no_media, sizeof(blind.no_media), "it is broken");
    refuse(m, "[media:a]", "Ag==", 100, ERR_UNSUPPORTED, "that of \"tiny.gguf\" is not used: it is broken");
    media_free(m);
}

static void base64_is_read_strictly(void **state) {
    (void)state;
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""},
                {"Zg==", "f"},
                {"Zg", "f"},
                {"Zm8=", "fo"},
                {"Zm9v", "foo"},
                {"Zm9v\r\nYg==", "foob"},
                {"_-8=", "\xff\xef"},
                {"/+8=", "\xff\xef"}};
    static const char *const bad[] = {"Z", "Zg=", "Zg===", "Z=g=", "Zg==Zg==", "Zm9v!", "Zm9vZ"};
    uint8_t out[32];
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(base64_valid(good[i].text, strlen(good[i].text)));
        assert_true(base64_decode(good[i].text, strlen(good[i].text), out, &n));
        assert_int_equal(n, strlen(good[i].bytes));
        assert_true(n <= base64_most(strlen(good[i].text)));
        assert_memory_equal(out, good[i].bytes, n);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(base64_valid(bad[i], strlen(bad[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_become_rows),
        cmocka_unit_test(what_is_given_up_comes_back_under_its_ids),
        cmocka_unit_test(ids_name_all_that_the_model_sees),
        cmocka_unit_test(a_few_rows_have_ids_by_lot),
        cmocka_unit_test(bytes_that_are_left_out),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(base64_is_read_strictly),
    };
    return cmocka_run_group_tests_name("stage media", tests, NULL, NULL);
}
