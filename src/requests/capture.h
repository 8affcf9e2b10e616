/* SPDX-License-Identifier: MIT
 * The bodies of requests and of their answers, for the owner of a gateway who has asked for them (--capture): those of the requests
 * that run, and of those that ended last. In memory only, of a bounded size. Headers are not kept, so no keys; where a body contains the
 * key that came with it, asterisks stand there. Loop thread; the gateway's requests own it. */
#ifndef CARAVAN_REQUESTS_CAPTURE_H
#define CARAVAN_REQUESTS_CAPTURE_H

#include "base/json.h"
#include "http/server.h"

struct captures;
struct capture;
struct gateway;

/* most: bytes of all bodies together; 0: none are kept, and the result is NULL, which all functions take. */
struct captures *capture_create(size_t most);
void capture_free(struct captures *s); /* when no request is left */

/* A request has come. *id is kept; secret: the key that came with it, NULL: none. NULL: nothing is kept of it. */
struct capture *capture_begin(struct captures *s, const char *id, const struct http_request *r, const char *secret);
/* More of its answer has been written. c may be NULL, here and below. */
void capture_answer(struct captures *s, struct capture *c, const void *data, size_t len);
/* Its end: it is kept among those that ended, until others need the room. why: with which error, "": none. */
void capture_end(struct capture *c, const char *why);

bool capture_has(const struct captures *s, const char *id);
/* {"id", "request": {"text", "bytes", "cut"}, "answer": the same, "error"}; NULL: nothing is kept under this id. */
yyjson_mut_val *capture_value(const struct gateway *g, const char *id, yyjson_mut_doc *doc);

#endif
