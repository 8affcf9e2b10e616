/* SPDX-License-Identifier: MIT
 * The input of a batch: what is right, each thing that may be wrong with its line and code, in pieces of every size; and results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "batch/input.h"
#include "batch/line.h"

#define CHAT            "/v1/chat/completions"
#define LINE(id, model) "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"" model "\"}}"

static struct batch_input *read_by(const char *text, size_t len, size_t step, uint32_t max) {
    struct batch_input *in = batch_input_create(batch_endpoint(CHAT), max);
    for (size_t at = 0; at < len; at += step) batch_input_push(in, text + at, step < len - at ? step : len - at);
    batch_input_end(in);
    return in;
}

static void lines_are_found_again(void **state) {
    (void)state;
    static const char text[] = "\xEF\xBB\xBF" LINE("a", "m") "\r\n\n  \n" LINE("b", "m") "\n" LINE("c", "m");
    for (size_t step = 1; step < sizeof(text); step++) {
        struct batch_input *in = read_by(text, sizeof(text) - 1, step, 10);
        size_t n_faults;
        uint32_t n;
        const struct batch_fault *f = batch_input_faults(in, &n_faults);
        if (n_faults > 0) fail_msg("line %u: %s", f->line, f->message);
        const struct batch_place *places = batch_input_lines(in, &n);
        assert_int_equal(n, 3);
        assert_string_equal(batch_input_model(in), "m");
        for (uint32_t i = 0; i < n; i++) {
            struct batch_line line;
            struct err e = {0};
            assert_int_equal(batch_line_read(text + places[i].at, places[i].len, CHAT, &line, &e), ERR_OK);
            assert_int_equal(line.custom_id[0], 'a' + (int)i);
            batch_line_done(&line);
        }
        batch_input_free(in);
    }
}

static void each_fault_has_its_line_and_code(void **state) {
    (void)state;
    static const struct {
        const char *text, *code, *param;
        uint32_t line;
    } cases[] = {
        {"", "empty_file", "", 0},
        {" \n\n", "empty_file", "", 0},
        {LINE("a", "m") "\n{\"custom_id\":", "invalid_json_line", "", 2},
        {LINE("a", "m") "\n\n[1]\n", "invalid_json_line", "", 3},
        {LINE("a", "m") "\n" LINE("b", "m") "\n" LINE("a", "m"), "duplicate_custom_id", "custom_id", 3},
        {LINE("a", "m") "\n" LINE("b", "n"), "mismatched_model", "body.model", 2},
        {"{\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\"}}", "invalid_request", "custom_id", 1},
        {"{\"custom_id\":\"\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\"}}", "invalid_request", "custom_id", 1},
        {"{\"custom_id\":\"a\",\"method\":\"GET\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\"}}", "invalid_request", "method", 1},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/embeddings\",\"body\":{\"model\":\"m\"}}", "mismatched_endpoint", "url",
         1},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT "\"}", "invalid_request", "body", 1},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{}}", "invalid_request", "body.model", 1},
        {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\",\"stream\":true}}", "unsupported",
         "body.stream", 1},
        {LINE("a", "m") "\n" LINE("b", "m") "\n" LINE("c", "m") "\n" LINE("d", "m"), "too_many_lines", "", 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 200; step += 13) {
            struct batch_input *in = read_by(cases[i].text, strlen(cases[i].text), step, 3);
            size_t n;
            const struct batch_fault *f = batch_input_faults(in, &n);
            if (n != 1 || strcmp(f->code, cases[i].code) != 0 || strcmp(f->param, cases[i].param) != 0 || f->line != cases[i].line)
                fail_msg("case %zu: %zu faults, the first one of line %u: %s, %s: %s", i, n, f->line, f->code, f->param, f->message);
            assert_true(f->message[0] != '\0');
            batch_input_free(in);
        }
}

static void faults_and_lines_are_bounded(void **state) {
    (void)state;
    struct batch_input *in = batch_input_create(batch_endpoint(CHAT), BATCH_MAX_LINES);
    size_t n;
    for (int i = 0; i < 3 * BATCH_MAX_FAULTS; i++) batch_input_push(in, "x\n", 2);
    batch_input_end(in);
    batch_input_faults(in, &n);
    assert_int_equal(n, BATCH_MAX_FAULTS);
    batch_input_free(in);

    in = batch_input_create(batch_endpoint(CHAT), BATCH_MAX_LINES);
    char *block = mem_alloc(1 << 20);
    memset(block, 'x', 1 << 20);
    for (int i = 0; i < 20; i++) batch_input_push(in, block, 1 << 20);
    batch_input_push(in, "\n" LINE("a", "m"), sizeof(LINE("a", "m")));
    batch_input_end(in);
    const struct batch_fault *f = batch_input_faults(in, &n);
    assert_int_equal(n, 1);
    assert_string_equal(f->code, "line_too_long");
    assert_int_equal(f->line, 1);
    free(block);
    batch_input_free(in);
}

static void many_ids_are_told_apart(void **state) {
    (void)state;
    enum { MANY = 20000 };
    struct batch_input *in = batch_input_create(batch_endpoint(CHAT), BATCH_MAX_LINES);
    char line[200];
    size_t n;
    uint32_t lines;
    for (int i = 0; i <= MANY; i++) {
        int len = snprintf(line, sizeof(line),
                           "{\"custom_id\":\"id-%d\",\"method\":\"POST\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\"}}\n", i % MANY);
        batch_input_push(in, line, (size_t)len);
    }
    batch_input_end(in);
    const struct batch_fault *f = batch_input_faults(in, &n);
    assert_int_equal(n, 1);
    assert_int_equal(f->line, MANY + 1);
    batch_input_lines(in, &lines);
    assert_int_equal(lines, MANY + 1);
    batch_input_free(in);
}

static void results_are_one_line_each(void **state) {
    (void)state;
    struct buf out;
    static const char body[] = "{\n\"a\":\r\n\"b\\n\"}";
    buf_init(&out, 4096);
    batch_result_write(
        &(struct batch_result){
            .id = "r", .custom_id = "\"c\n", .status = 200, .request_id = "q", .served_by = "", .body = body, .body_len = sizeof(body) - 1},
        &out);
    assert_string_equal(buf_cstr(&out),
                        "{\"id\":\"r\",\"custom_id\":\"\\\"c\\n\",\"response\":{\"status_code\":200,\"request_id\":\"q\",\"body\":{ "
                        "\"a\":  \"b\\n\"}},\"error\":null}");
    buf_clear(&out);
    batch_result_write(&(struct batch_result){.id = "r", .custom_id = "c", .error = "batch_expired", .message = "over"}, &out);
    assert_string_equal(buf_cstr(&out),
                        "{\"id\":\"r\",\"custom_id\":\"c\",\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":\"over\"}}");
    buf_done(&out);
    assert_null(batch_endpoint("/v1/models"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found_again),        cmocka_unit_test(each_fault_has_its_line_and_code),
        cmocka_unit_test(faults_and_lines_are_bounded), cmocka_unit_test(many_ids_are_told_apart),
        cmocka_unit_test(results_are_one_line_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
