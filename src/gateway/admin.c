/* SPDX-License-Identifier: MIT
 * See admin.h. */
#include "gateway/admin.h"

#include <string.h>

#include "http/server.h"

err_code admin_json(struct http_exchange *x, yyjson_doc **ret, struct err *e) {
    const struct http_request *r = http_request(x);
    const char *type = http_request_header(r, "Content-Type");
    if (!type || strncmp(type, "application/json", 16) != 0) return err_set(e, ERR_INVALID, "Content-Type must be application/json");
    return json_parse_body(r->body, r->body_len, ret, e);
}

err_code admin_body(struct http_exchange *x, yyjson_doc **ret, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = admin_json(x, &doc, e);
    if (code == ERR_OK && !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        yyjson_doc_free(doc);
        code = err_set(e, ERR_INVALID, "expected an object");
    }
    if (code == ERR_OK) *ret = doc;
    return code;
}
