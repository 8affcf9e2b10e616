/* SPDX-License-Identifier: MIT
 * Fuzzes templates: a template and its variables (JSON), with a NUL between. It gives text in UTF-8 or an error with a text, twice the
 * same, within its limits. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "jinja/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char usual[] =
    "{\"s\":\"Hello \\u00e9\\n\",\"n\":7,\"f\":2.5,\"x\":null,\"t\":true,\"l\":[3,\"a\",[1]],\"d\":{\"items\":[1],\"a\":{\"b\":\"c\"}},"
    "\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":null}]}";

static err_code render(struct jinja_template *t, yyjson_doc *doc, struct buf *out) {
    const struct jinja_limits limits = {.steps = 200000, .memory = (size_t)8 << 20, .depth = 300};
    yyjson_mut_doc *variables = yyjson_doc_mut_copy(doc, NULL);
    struct err e = {0};
    enum jinja_end end;
    err_code code = jinja_render(t, yyjson_mut_doc_get_root(variables), 1, &limits, out, &end, &e);
    if ((code == ERR_OK) != (end == JINJA_DONE)) abort();
    if (code != ERR_OK && (e.code != code || e.text[0] == '\0' || !str_utf8_valid(e.text, strlen(e.text)))) abort();
    yyjson_mut_doc_free(variables);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = memchr(data, 0, size);
    size_t len = nul != NULL ? (size_t)(nul - data) : size;
    const char *text = nul != NULL ? (const char *)nul + 1 : usual;
    struct jinja_template *t = NULL;
    struct err e = {0};
    err_code code = jinja_parse((const char *)data, len, &t, &e);
    if (code != ERR_OK && (e.code != code || e.text[0] == '\0' || !str_utf8_valid(e.text, strlen(e.text)))) abort();
    if (code != ERR_OK) return 0;
    yyjson_doc *doc = NULL;
    if (json_parse_exact(text, nul != NULL ? size - len - 1 : sizeof(usual) - 1, &doc, &e) == ERR_OK &&
        yyjson_is_obj(yyjson_doc_get_root(doc))) {
        struct buf first, second;
        buf_init(&first, 1 << 20);
        buf_init(&second, 1 << 20);
        code = render(t, doc, &first);
        if (render(t, doc, &second) != code || first.len != second.len) abort();
        if (first.len > 0 && memcmp(first.data, second.data, first.len) != 0) abort();
        if (code == ERR_OK && !str_utf8_valid((const char *)first.data, first.len)) abort();
        if (code != ERR_OK && first.len > 0) abort();
        buf_done(&first);
        buf_done(&second);
    }
    yyjson_doc_free(doc);
    jinja_free(t);
    return 0;
}
