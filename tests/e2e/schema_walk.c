/* SPDX-License-Identifier: MIT
 * Random texts under the grammar of a schema, and the checker's verdicts on them, for schema.test.mjs. Standard input: one JSON object a
 * line, {"schema": ..., "closed": true, "loose": false, "count": 20, "seed": 1}. Standard output, a line each: {"error": "..."} or
 * {"texts": ["...", ...], "verdicts": ["fits" | "fails" | "unknown", ...], "partial": false}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/check.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"
#include "support/grammar_fixture.h"

enum { TEXT_BYTES = 150, MAX_TEXT = 1 << 16 };

static void walk(const char *grammar, yyjson_val *order, yyjson_mut_doc *doc, yyjson_mut_val *answer) {
    static const char *const words[] = {[CHECK_FITS] = "fits", [CHECK_FAILS] = "fails", [CHECK_UNKNOWN] = "unknown"};
    uint64_t seed = yyjson_get_uint(yyjson_obj_get(order, "seed"));
    yyjson_mut_val *texts = yyjson_mut_obj_add_arr(doc, answer, "texts"), *verdicts = yyjson_mut_obj_add_arr(doc, answer, "verdicts");
    for (uint64_t i = 0; i < yyjson_get_uint(yyjson_obj_get(order, "count")); i++) {
        struct buf text;
        buf_init(&text, MAX_TEXT);
        if (grammar_walk(grammar, &seed, TEXT_BYTES, &text)) yyjson_mut_arr_add_strncpy(doc, texts, buf_cstr(&text), text.len);
        else yyjson_mut_arr_add_null(doc, texts); /* found no end */
        yyjson_doc *value = yyjson_read(buf_cstr(&text), text.len, 0);
        yyjson_mut_arr_add_str(
            doc, verdicts, value == NULL ? "none" : words[check_value(yyjson_obj_get(order, "schema"), yyjson_doc_get_root(value), NULL)]);
        yyjson_doc_free(value);
        buf_done(&text);
    }
}

static void answer_line(const char *line) {
    struct err e = {0};
    struct buf grammar;
    yyjson_doc *doc = NULL;
    yyjson_mut_doc *out = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *answer = yyjson_mut_obj(out);
    yyjson_mut_doc_set_root(out, answer);
    buf_init(&grammar, GBNF_MAX_TEXT);
    err_code code = json_parse(line, strlen(line), &doc, &e);
    yyjson_val *order = yyjson_doc_get_root(doc);
    bool partial = false;
    struct schema_options options = {.closed = yyjson_is_true(yyjson_obj_get(order, "closed")),
                                     .ret_partial = yyjson_is_true(yyjson_obj_get(order, "loose")) ? &partial : NULL};
    if (code == ERR_OK) code = schema_to_gbnf(yyjson_obj_get(order, "schema"), &options, &grammar, &e);
    if (code == ERR_OK) code = gbnf_check(buf_cstr(&grammar), &e);
    if (code == ERR_OK) walk(buf_cstr(&grammar), order, out, answer);
    else yyjson_mut_obj_add_str(out, answer, "error", e.text);
    yyjson_mut_obj_add_bool(out, answer, "partial", partial);
    char *text = yyjson_mut_write(out, 0, NULL);
    puts(text);
    free(text);
    buf_done(&grammar);
    yyjson_doc_free(doc);
    yyjson_mut_doc_free(out);
}

int main(void) {
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) answer_line(line);
    free(line);
    return 0;
}
