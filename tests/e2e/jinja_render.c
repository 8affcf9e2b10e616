/* SPDX-License-Identifier: MIT
 * Renders templates for a comparison: reads lines {"template", "context", "now"}, and writes for each a line {"ok": text} or
 * {"error": text}. */
#include <stdio.h>
#include <stdlib.h>

#include "jinja/jinja.h"

static void answer(const char *key, const char *text, size_t len) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_strn(doc, root, key, text, len);
    char *line = yyjson_mut_write(doc, 0, NULL);
    puts(line != NULL ? line : "{}");
    free(line);
    yyjson_mut_doc_free(doc);
}

static err_code render(yyjson_doc *doc, struct buf *out, struct err *e) {
    yyjson_val *root = yyjson_doc_get_root(doc), *text = yyjson_obj_get(root, "template");
    yyjson_mut_doc *variables = yyjson_mut_doc_new(NULL);
    struct jinja_template *t = NULL;
    err_code rc = jinja_parse(yyjson_get_str(text), yyjson_get_len(text), &t, e);
    if (rc == ERR_OK)
        rc = jinja_render(t, yyjson_val_mut_copy(variables, yyjson_obj_get(root, "context")), yyjson_get_sint(yyjson_obj_get(root, "now")),
                          NULL, out, NULL, e);
    jinja_free(t);
    yyjson_mut_doc_free(variables);
    return rc;
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    while ((len = getline(&line, &size, stdin)) > 0) {
        yyjson_doc *doc = NULL;
        struct err e = {0};
        struct buf out;
        buf_init(&out, 64 << 20);
        err_code rc = json_parse_exact(line, (size_t)len, &doc, &e);
        if (rc == ERR_OK) rc = render(doc, &out, &e);
        if (rc == ERR_OK) answer("ok", buf_cstr(&out), out.len);
        else answer("error", e.text, __builtin_strlen(e.text));
        yyjson_doc_free(doc);
        buf_done(&out);
    }
    free(line);
    return 0;
}
