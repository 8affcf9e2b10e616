/* SPDX-License-Identifier: MIT
 * The picture of `caravan top` from two looks at a node: stages in their order, rates and times since the look before, what waits; at three
 * widths. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "terminal/cell.h"
#include "show/top.h"
#include "support/golden.h"

static const char status_before[] = "{\"nodes\":[{\"stages\":[{\"instance\":\"i1\",\"stage\":0,\"sent_bytes\":1000}]},{}],\"requests\":3,"
                                    "\"rings\":[{\"instance\":\"i1\",\"tokens\":100,\"stages\":["
                                    "{\"frames\":100,\"compute_us\":400000,\"wait_us\":0,\"hop_us\":90000},{\"frames\":100,\"compute_us\":"
                                    "100000,\"wait_us\":0,\"hop_us\":50000}]}]}";
static const char status_now[] =
    "{\"nodes\":[{\"stages\":[{\"instance\":\"i1\",\"stage\":0,\"sent_bytes\":401000,\"threads\":3,\"threads_batch\":4},"
    "{\"instance\":\"i1\",\"stage\":1,\"threads\":8,\"threads_batch\":8}]},{}],\"requests\":5,"
    "\"rings\":[{\"instance\":\"i1\",\"tokens\":150,\"guesses\":{\"text\":{\"made\":100,\"right\":10},\"own\":"
    "{\"made\":730,\"right\":579}},\"stages\":["
    "{\"frames\":110,\"compute_us\":420000,\"wait_us\":0,\"hop_us\":91000},{\"frames\":100,\"compute_us\":"
    "100000,\"wait_us\":0,\"hop_us\":50000}]},"
    "{\"instance\":\"gone\",\"tokens\":7,\"stages\":[]}]}";
static const char models_now[] =
    "{\"models\":[{\"name\":\"idle\",\"instances\":[]},"
    "{\"name\":\"a-model-with-quite-a-long-name.Q4_K_M\",\"instances\":[{\"instance\":\"i1\",\"state\":\"ready\",\"requests\":5,"
    "\"parallel\":2,\"stages\":["
    "{\"node\":\"beta\",\"stage\":1,\"first_layer\":16,\"last_layer\":31,\"state\":\"ready\"},"
    "{\"node\":\"alpha\",\"stage\":0,\"first_layer\":0,\"last_layer\":15,\"state\":\"ready\"}]}]},"
    "{\"name\":\"new\",\"instances\":[{\"instance\":\"i2\",\"state\":\"loading\",\"requests\":0,\"parallel\":4,\"stages\":["
    "{\"node\":\"gamma\",\"stage\":0,\"first_layer\":0,\"last_layer\":7,\"state\":\"loading\",\"progress\":43}]}]},"
    "{\"name\":\"big\",\"instances\":[{\"instance\":\"i3\",\"state\":\"waiting\",\"stages\":[]}]}]}";

static yyjson_doc *parse(const char *text) {
    yyjson_doc *doc = NULL;
    assert_int_equal(json_parse(text, strlen(text), &doc, NULL), ERR_OK);
    return doc;
}

static void pictures(void **state) {
    static const uint32_t widths[] = {0, 80, 60};
    yyjson_doc *before = parse(status_before), *now = parse(status_now), *models = parse(models_now), *none = parse("{\"models\":[]}");
    struct top_look first = {.status = yyjson_doc_get_root(before), .models = yyjson_doc_get_root(models), .at_s = 10};
    struct top_look second = {.status = yyjson_doc_get_root(now), .models = yyjson_doc_get_root(models), .at_s = 12};
    struct top_look empty = {.status = yyjson_doc_get_root(now), .models = yyjson_doc_get_root(none), .at_s = 12};
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        size_t from = out.len;
        buf_printf(&out, "==== %u columns\n", widths[i]);
        top_put(&second, &first, widths[i], &out);
        for (const char *line = buf_cstr(&out) + from, *end; widths[i] > 0 && (end = strchr(line, '\n')) != NULL; line = end + 1)
            if (cell_width(line, (size_t)(end - line)) > widths[i]) fail_msg("wider than %u: %.*s", widths[i], (int)(end - line), line);
    }
    buf_append_str(&out, "==== the first look, and no model\n");
    top_put(&second, &(struct top_look){0}, 0, &out);
    top_put(&empty, &first, 60, &out);
    compare_golden("show_top.txt", &out);
    buf_done(&out);
    yyjson_doc_free(before);
    yyjson_doc_free(now);
    yyjson_doc_free(models);
    yyjson_doc_free(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
