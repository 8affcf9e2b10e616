/* SPDX-License-Identifier: MIT
 * Fuzzes the schema compiler: any JSON gives an error with a text, or a grammar that gbnf_check accepts, in bounded time. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "grammar/check.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    if (size < 1 || json_parse((const char *)data + 1, size - 1, &doc, &e) != ERR_OK) return 0;
    bool partial = false;
    struct schema_options options = {.closed = data[0] & 1, .ret_partial = data[0] & 2 ? &partial : NULL};
    struct buf grammar;
    buf_init(&grammar, GBNF_MAX_TEXT);
    clock_t start = clock();
    err_code code = schema_to_gbnf(yyjson_doc_get_root(doc), &options, &grammar, &e);
    if (clock() - start > 5 * CLOCKS_PER_SEC) abort();
    if (code != ERR_OK && (e.code != code || e.text[0] == '\0' || grammar.len > 0)) abort();
    if (code == ERR_OK && gbnf_check(buf_cstr(&grammar), &e) != ERR_OK) abort();
    if (partial && options.ret_partial == NULL) abort();
    struct buf why;
    buf_init(&why, 4096);
    enum check_verdict verdict = check_value(yyjson_doc_get_root(doc), yyjson_doc_get_root(doc), &why); /* schemas are values, too */
    if ((verdict != CHECK_FITS) != (why.len > 0) || clock() - start > 10 * CLOCKS_PER_SEC) abort();
    buf_done(&why);
    buf_done(&grammar);
    yyjson_doc_free(doc);
    return 0;
}
