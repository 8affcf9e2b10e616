/* SPDX-License-Identifier: MIT
 * The bodies of admin requests. */
#ifndef CARAVAN_GATEWAY_ADMIN_H
#define CARAVAN_GATEWAY_ADMIN_H

#include "base/json.h"

struct http_exchange;
/* The body of an admin request: a JSON object, which the caller frees. ERR_INVALID. The Content-Type must be application/json, which a web
 * page of another origin cannot send without asking first. */
err_code admin_body(struct http_exchange *x, yyjson_doc **ret, struct err *e);
/* The same for a body that may be any JSON. */
err_code admin_json(struct http_exchange *x, yyjson_doc **ret, struct err *e);

#endif
