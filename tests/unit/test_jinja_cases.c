/* SPDX-License-Identifier: MIT
 * tests/data/jinja/cases.jsonl: templates, variables, and their results in Python's Jinja2 (written by tests/e2e/lib/jinja_judge.py; a case
 * without "ok" fails there). Cases marked "ours" use more than Jinja2 has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "jinja/jinja.h"

enum { NOVEMBER_2023 = 1700000000 };

static err_code render(yyjson_val *root, struct buf *out, struct err *e) {
    yyjson_val *text = yyjson_obj_get(root, "template");
    yyjson_mut_doc *variables = yyjson_mut_doc_new(NULL);
    struct jinja_template *t = NULL;
    err_code code = jinja_parse(yyjson_get_str(text), yyjson_get_len(text), &t, e);
    if (code == ERR_OK)
        code = jinja_render(t, yyjson_val_mut_copy(variables, yyjson_obj_get(root, "context")), NOVEMBER_2023, NULL, out, NULL, e);
    jinja_free(t);
    yyjson_mut_doc_free(variables);
    return code;
}

/* One line of the file; true when it is as it should be. */
static bool check(const char *line, size_t len) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(json_parse_exact(line, len, &doc, &e), ERR_OK);
    yyjson_val *root = yyjson_doc_get_root(doc), *want = yyjson_obj_get(root, "ok");
    err_code code = render(root, &out, &e);
    bool fine = want == NULL
                    ? code != ERR_OK && e.text[0] != '\0' && out.len == 0
                    : code == ERR_OK && out.len == yyjson_get_len(want) && memcmp(buf_cstr(&out), yyjson_get_str(want), out.len) == 0;
    if (!fine)
        print_error("%s:\n got %s%s\nwant %s\n", yyjson_get_str(yyjson_obj_get(root, "name")), code != ERR_OK ? "the error: " : "",
                    code != ERR_OK ? e.text : buf_cstr(&out), want != NULL ? yyjson_get_str(want) : "an error");
    yyjson_doc_free(doc);
    buf_done(&out);
    return fine;
}

static void templates_render_as_in_python(void **state) {
    (void)state;
    const char *source = getenv("CARAVAN_SOURCE");
    char *path = mem_printf("%s/tests/data/jinja/cases.jsonl", source != NULL ? source : "."), *line = NULL;
    FILE *f = fopen(path, "rb");
    size_t size = 0, n = 0, wrong = 0;
    ssize_t len;
    assert_non_null(f);
    for (; (len = getline(&line, &size, f)) > 0; n++) wrong += !check(line, (size_t)len);
    fclose(f);
    free(line);
    free(path);
    print_message("%zu cases\n", n);
    assert_true(n > 140);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(templates_render_as_in_python)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
