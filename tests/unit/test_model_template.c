/* SPDX-License-Identifier: MIT
 * The chat template of a model's metadata: one, or two in one. test_chat_render renders the result of two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/template.h"
#include "support/gguf_fixture.h"

static char *make(const char *plain, const char *tools, size_t max) {
    struct gguf_fixture f;
    struct model_gguf *g = NULL;
    struct err e = {0};
    gguf_fixture_open(&f, "llama");
    if (plain != NULL) model_write_str(&f.w, "tokenizer.chat_template", plain);
    if (tools != NULL) model_write_str(&f.w, "tokenizer.chat_template.tool_use", tools);
    gguf_fixture_tensor(&f, "output_norm.weight", 0, 1, 4, 1);
    gguf_fixture_close(&f);
    const struct model_part part = {.header = f.file.data, .header_len = f.file.len, .file_size = f.file.len};
    if (model_gguf_from_parts("m.gguf", &part, 1, &g, &e) != ERR_OK) fail_msg("%s", e.text);
    char *text = model_template_make(g, max);
    model_gguf_free(g);
    buf_done(&f.file);
    return text;
}

static void two_become_one(void **state) {
    (void)state;
    static const struct {
        const char *plain, *tools;
        size_t max;
        const char *want;
    } rows[] = {
        {"a {{ b }}\n", NULL, 100, "a {{ b }}"},
        {"plain\n", "tools\n", 100, "{% if tools +%}tools{%+ else +%}plain{%+ endif %}"},
        {"plain\n", "tools\n", 40, "plain"},
        {NULL, "tools", 100, "tools"},
        {"plain", "", 100, "plain"},
        {"too long", NULL, 5, NULL},
        {NULL, NULL, 5, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = make(rows[i].plain, rows[i].tools, rows[i].max);
        if (rows[i].want == NULL) assert_null(text);
        else assert_string_equal(text, rows[i].want);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_become_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
