/* SPDX-License-Identifier: MIT
 * Answers: documents, and errors in the form of the API that was asked. Calls, routes and the server use these functions. Each answer ends
 * the exchange. Loop thread. */
#ifndef CARAVAN_GATEWAY_ANSWER_H
#define CARAVAN_GATEWAY_ANSWER_H

#include "api/api.h"
#include "http/server.h"

/* Sends a complete answer and frees the body. A body that failed (it may be cut) is not sent; an error is. */
void gateway_respond(struct http_exchange *x, int status, const char *type, struct buf *body);
/* The document stays the caller's. */
void gateway_respond_json(struct http_exchange *x, int status, const yyjson_mut_doc *doc);
/* Answers with an error in the API's form, and with the headers that tell clients whether to try again, and when. */
void gateway_answer_error(const struct api *api, struct http_exchange *x, err_code code, const struct err *e);
/* The same, in the form of the API that the exchange's path belongs to. */
void gateway_respond_error(struct http_exchange *x, err_code code, const struct err *e);
/* The API in whose form errors of this path are written: that of the route with which the path has most segments in common. */
const struct api *gateway_api_of(const char *path);

#endif
