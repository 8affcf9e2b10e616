/* SPDX-License-Identifier: MIT
 * Random texts under the grammar of a schema, for schema.test.mjs. Standard input: one JSON object a line, {"schema": ..., "closed": true,
 * "count": 20, "seed": 1}. Standard output, a line each: {"error": "..."} or {"texts": ["...", ...]}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"
#include "support/grammar_fixture.h"

enum { TEXT_BYTES = 150, MAX_TEXT = 1 << 16 };

static void walk(const char *grammar, yyjson_val *order, yyjson_mut_doc *doc, yyjson_mut_val *answer) {
    uint64_t seed = yyjson_get_uint(yyjson_obj_get(order, "seed"));
    yyjson_mut_val *texts = yyjson_mut_obj_add_arr(doc, answer, "texts");
    for (uint64_t i = 0; i < yyjson_get_uint(yyjson_obj_get(order, "count")); i++) {
        struct buf text;
        buf_init(&text, MAX_TEXT);
        if (grammar_walk(grammar, &seed, TEXT_BYTES, &text)) yyjson_mut_arr_add_strncpy(doc, texts, buf_cstr(&text), text.len);
        else yyjson_mut_arr_add_null(doc, texts); /* found no end */
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
    struct schema_options options = {.closed = yyjson_is_true(yyjson_obj_get(order, "closed"))};
    if (code == ERR_OK) code = schema_to_gbnf(yyjson_obj_get(order, "schema"), &options, &grammar, &e);
    if (code == ERR_OK) code = gbnf_check(buf_cstr(&grammar), &e);
    if (code == ERR_OK) walk(buf_cstr(&grammar), order, out, answer);
    else yyjson_mut_obj_add_str(out, answer, "error", e.text);
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
