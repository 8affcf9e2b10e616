/* SPDX-License-Identifier: MIT
 * Files that hold a JSON document. Any thread. */
#ifndef CARAVAN_BASE_JSON_FILE_H
#define CARAVAN_BASE_JSON_FILE_H

#include "base/json.h"

/* The document of a file of at most max bytes; the caller frees it (yyjson_doc_free). `what` names the file in errors ("profile").
 * Errors of file_read and of json_parse; *ret_doc is untouched then. */
err_code json_file_load(const char *path, const char *what, size_t max, yyjson_doc **ret_doc, struct err *e);

#endif
