/* SPDX-License-Identifier: MIT
 * Bodies through an API's parser, and bodies that it must refuse with a 400 that names the field. Include after cmocka.h. */
#ifndef CARAVAN_TESTS_SUPPORT_GATEWAY_FIXTURE_H
#define CARAVAN_TESTS_SUPPORT_GATEWAY_FIXTURE_H

#include <string.h>

#include "api/api.h"

static inline err_code parse(const struct api *api, const char *body, struct api_request *r, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = json_parse_exact(body, strlen(body), &doc, e);
    if (code == ERR_OK) code = api->parse(yyjson_doc_get_root(doc), r, e);
    yyjson_doc_free(doc);
    return code;
}

struct bad {
    const char *body, *param;
};

static inline void expect_bad(const struct api *api, const struct bad *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct api_request r;
        struct err e = {0};
        api_request_init(&r);
        err_code code = parse(api, cases[i].body, &r, &e);
        if (code == ERR_OK || api_error_status(code) != 400 || strcmp(e.field, cases[i].param) != 0)
            fail_msg("%s: expected a 400 for \"%s\", got %s, \"%s\" (%s)", cases[i].body, cases[i].param, err_name(code), e.field, e.text);
        api_request_done(&r);
    }
}

#endif
