/* SPDX-License-Identifier: MIT
 * multipart/form-data in pieces of every size: forms as clients write them, contents that look like delimiters, and what is malformed,
 * cut or without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/multipart.h"

static void on_part(void *user, const struct multipart_part *part) {
    buf_printf(user, "[%s%s%s]", part->name, part->filename != NULL ? "|" : "", part->filename != NULL ? part->filename : "");
}

static void on_data(void *user, const void *data, size_t len) {
    assert_true(len > 0);
    buf_append(user, data, len);
}

static const struct multipart_events events = {.part = on_part, .data = on_data};

/* The events of a body that comes `step` bytes at a time. */
static err_code read_by(const char *type, const char *body, size_t len, size_t step, struct buf *ret, struct err *e) {
    struct multipart *m = NULL;
    buf_clear(ret);
    assert_int_equal(multipart_create(type, &events, ret, &m, e), ERR_OK);
    for (size_t at = 0; at < len; at += step) multipart_push(m, body + at, step < len - at ? step : len - at);
    err_code code = multipart_finish(m, e);
    multipart_free(m);
    return code;
}

static void expect(const char *body, size_t len, err_code want, const char *seen) {
    struct buf got;
    buf_init(&got, 1 << 22);
    for (size_t step = 1; step <= len + 1; step = step < 80 ? step + 1 : 2 * step) {
        struct err e = {0};
        err_code code = read_by("multipart/form-data; boundary=B", body, len, step, &got, &e);
        if (code != want) fail_msg("\"%s\" by %zu: %s, %s", body, step, err_name(code), e.text);
        if (seen != NULL) assert_string_equal(buf_cstr(&got), seen);
        if (want != ERR_OK) assert_true(e.text[0] != '\0');
    }
    buf_done(&got);
}

static void expect_text(const char *body, err_code want, const char *seen) { expect(body, strlen(body), want, seen); }

#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

static void forms_are_read_in_any_pieces(void **state) {
    (void)state;
    expect_text("--B\r\n" FIELD("purpose") "\r\nbatch\r\n--B\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; "
                                           "filename=\"a \\\"b\\\".jsonl\"; name=file\r\n\r\n{\"x\":1}\r\n{\"y\":2}\r\n\r\n--B--\r\n",
                ERR_OK, "[purpose]batch[file|a \"b\".jsonl]{\"x\":1}\r\n{\"y\":2}\r\n");
    expect_text("a preamble\r\n--B \t\r\n" FIELD("n") "\r\n\r\n--B\r\n" FIELD("m") "\r\nx\r\n--B--an epilogue\r\n--B\r\n", ERR_OK,
                "[n][m]x");
    expect_text("--B--\r\n", ERR_OK, "");
}

/* What only looks like a delimiter is a part of the contents. */
static void contents_may_look_like_delimiters(void **state) {
    (void)state;
    expect_text("--B\r\n" FIELD("f") "\r\n--B\r\n\r\n--Boat\r\n--B-x\r\r\n--\r\n-\r\n--B \t.\n--B\r\n--B--", ERR_OK,
                "[f]--B\r\n\r\n--Boat\r\n--B-x\r\r\n--\r\n-\r\n--B \t.\n--B");
    static const char zero[] = "--B\r\n" FIELD("f") "\r\na\0b\r\n--B--";
    expect(zero, sizeof(zero) - 1, ERR_OK, NULL);
}

static void what_is_malformed_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *body;
        err_code code;
    } cases[] = {
        {"", ERR_FORMAT},
        {"--B", ERR_FORMAT},
        {"--C\r\n\r\n--C--", ERR_FORMAT},
        {"--B\r\n", ERR_FORMAT},
        {"--B\r\n" FIELD("f"), ERR_FORMAT},
        {"--B\r\n" FIELD("f") "\r\n", ERR_FORMAT},
        {"--B\r\n" FIELD("f") "\r\nno end", ERR_FORMAT},
        {"--B\r\n" FIELD("f") "\r\nno end\r\n--B", ERR_FORMAT},
        {"--B\r\n" FIELD("f") "\r\nno end\r\n--B-", ERR_FORMAT},
        {"--B\r\n\r\nno headers\r\n--B--", ERR_FORMAT},
        {"--B\r\nContent-Type: text/plain\r\n\r\nno name\r\n--B--", ERR_FORMAT},
        {"--B\r\nContent-Disposition: form-data; name=\"f\r\n\r\nno quote\r\n--B--", ERR_FORMAT},
        {"--B\r\nContent-Disposition: form-data; filename=\"name=f\"\r\n\r\nno name\r\n--B--", ERR_FORMAT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) expect_text(cases[i].body, cases[i].code, NULL);
    static const char zero[] = "--B\r\nContent-Disposition: form-data; name=\"f\0\"\r\n\r\nx\r\n--B--";
    expect(zero, sizeof(zero) - 1, ERR_FORMAT, NULL);
}

/* Bodies without end: nothing of them is kept, and they are refused. */
static void what_is_huge_is_bounded(void **state) {
    (void)state;
    struct buf body;
    buf_init(&body, 1 << 22);
    buf_append_str(&body, "--B\r\nX: ");
    for (int i = 0; i < 3 * MULTIPART_MAX_HEADERS; i++) buf_append_byte(&body, 'x');
    expect((const char *)body.data, body.len, ERR_LIMIT, "");
    buf_clear(&body);
    for (int i = 0; i < 2 * MULTIPART_MAX_PREAMBLE; i++) buf_append_byte(&body, '-');
    expect((const char *)body.data, body.len, ERR_FORMAT, "");
    buf_clear(&body);
    for (int i = 0; i <= MULTIPART_MAX_PARTS; i++) buf_append_str(&body, "--B\r\n" FIELD("f") "\r\nx\r\n");
    buf_append_str(&body, "--B--");
    expect((const char *)body.data, body.len, ERR_LIMIT, NULL);
    buf_done(&body);
}

static void large_contents_come_whole(void **state) {
    (void)state;
    enum { SIZE = 300000 };
    struct buf body, got;
    struct err e = {0};
    buf_init(&body, 1 << 20);
    buf_init(&got, 1 << 20);
    buf_append_str(&body, "--B\r\n" FIELD("f") "\r\n");
    size_t from = body.len;
    for (int i = 0; i < SIZE; i++) buf_append_byte(&body, "\r\n--BB-x"[i * 7 % 9]);
    buf_append_str(&body, "\r\n--B--");
    for (size_t step = 1000; step < 1000000; step *= 7) {
        assert_int_equal(read_by("multipart/form-data;boundary=\"B\"", (const char *)body.data, body.len, step, &got, &e), ERR_OK);
        assert_int_equal(got.len, SIZE + 3);
        assert_memory_equal(got.data + 3, body.data + from, SIZE);
    }
    buf_done(&body);
    buf_done(&got);
}

static void a_type_without_a_boundary_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {NULL,
                                        "application/json",
                                        "multipart/form-data",
                                        "multipart/form-data; boundary=",
                                        "multipart/form-data; boundary=\"\"",
                                        "multipart/form-data; boundary=\"a",
                                        "multipart/form-data; boundary=\"a \"",
                                        "multipart/form-data; boundary=\"a\x01\"",
                                        "multipart/form-data; charset=boundary=a",
                                        "multipart/form-data; boundary="
                                        "0123456789012345678901234567890123456789012345678901234567890123456789x"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct multipart *m = NULL;
        struct err e = {0};
        assert_int_equal(multipart_create(wrong[i], &events, NULL, &m, &e), ERR_INVALID);
        assert_null(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_read_in_any_pieces), cmocka_unit_test(contents_may_look_like_delimiters),
        cmocka_unit_test(what_is_malformed_is_refused), cmocka_unit_test(what_is_huge_is_bounded),
        cmocka_unit_test(large_contents_come_whole),    cmocka_unit_test(a_type_without_a_boundary_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
