/* SPDX-License-Identifier: MIT
 * Bodies through an API's parser, and bodies that it must refuse with a 400 that names the field. Include after cmocka.h. */
#ifndef CARAVAN_TESTS_SUPPORT_GATEWAY_FIXTURE_H
#define CARAVAN_TESTS_SUPPORT_GATEWAY_FIXTURE_H

#include <string.h>

#include "gateway/api.h"

static inline err_code parse(const struct gateway_api *api, const char *body, struct gateway_request *r, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code rc = json_parse(body, strlen(body), &doc, e);
    if (rc == ERR_OK) rc = api->parse(yyjson_doc_get_root(doc), r, e);
    yyjson_doc_free(doc);
    return rc;
}

struct bad { const char *body, *param; };

static inline void expect_bad(const struct gateway_api *api, const struct bad *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct gateway_request r;
        struct err e = {0};
        gateway_request_init(&r);
        err_code rc = parse(api, cases[i].body, &r, &e);
        char param[96] = "";
        gateway_error_param(&e, param, sizeof param);
        if (rc == ERR_OK || gateway_error_status(rc) != 400 || strcmp(param, cases[i].param) != 0)
            fail_msg("%s: expected a 400 for \"%s\", got %s, \"%s\" (%s)", cases[i].body, cases[i].param, err_name(rc), param, e.text);
        gateway_request_done(&r);
    }
}

#endif
