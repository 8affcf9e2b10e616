/* SPDX-License-Identifier: MIT
 * See json_file.h. */
#include "base/json_file.h"

#include "base/file.h"

err_code json_file_load(const char *path, const char *what, size_t max, yyjson_doc **ret_doc, struct err *e) {
    struct buf text;
    buf_init(&text, max);
    err_code code = file_read(path, what, &text, e);
    if (code == ERR_OK) code = json_parse(buf_cstr(&text), text.len, ret_doc, e);
    buf_done(&text);
    return code;
}
