/* SPDX-License-Identifier: MIT
 * Fuzzes the JSON front: any bytes give a document or an error with a text, and the typed getters keep their ranges. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    yyjson_doc *doc = NULL;
    struct err e = {0};
    if (json_parse((const char *)data, size, &doc, &e)) {
        if (doc || e.text[0] == '\0') abort();
        return 0;
    }
    yyjson_val *root = yyjson_doc_get_root(doc);
    int64_t i = 5;
    double d = 0.5;
    bool b = false;
    const char *s = "";
    json_get_i64(root, "i", 0, 10, &i, &e);
    json_get_double(root, "d", 0, 1, &d, &e);
    json_get_bool(root, "b", &b, &e);
    json_need_str(root, "s", &s, &e);
    if (i < 0 || i > 10 || !(d >= 0 && d <= 1) || !s) abort();
    yyjson_doc_free(doc);
    return 0;
}
