/* SPDX-License-Identifier: MIT
 * Pictures and sounds in a client's message. In the text of the chat each of them is a mark, which a template leaves as it is; the bytes
 * are kept beside the chat, once, and the head of the model finds the mark in the prompt (wire/request.h). The mark is made of the bytes'
 * hash, so nobody can name a picture that he has not sent himself. Pure. */
#ifndef CARAVAN_API_MEDIA_H
#define CARAVAN_API_MEDIA_H

#include "api/api.h"

enum { API_MAX_MEDIA_BYTES = 14 << 20 /* base64 of all pictures and sounds of a request: they travel in one frame */ };

/* Takes the base64 of a file and appends its mark. at: the client's field, for errors. ERR_INVALID: too much, too many, or no base64. */
err_code api_media_add(struct api_request *r, yyjson_val *base64, const char *at, struct buf *out, struct err *e);
/* Does the address have its file in it (RFC 2397)? The cases of its letters don't matter (RFC 3986, 3.1). */
bool api_media_is_data(const char *url);
/* The same for an address: "data:image/png;base64,...", or one that r->fetch gets it from. ERR_UNSUPPORTED: nothing is fetched here. */
err_code api_media_url(struct api_request *r, yyjson_val *url, const char *at, struct buf *out, struct err *e);

#endif
