/* SPDX-License-Identifier: MIT
 * A body of the type multipart/form-data (RFC 7578, RFC 2046 section 5.1) in its parts, as its bytes come. A core: bytes go in, in pieces
 * of any size, and events come out; contents are passed on and not kept. One owner, any thread. */
#ifndef CARAVAN_HTTP_MULTIPART_H
#define CARAVAN_HTTP_MULTIPART_H

#include <stddef.h>

#include "base/err.h"

enum { MULTIPART_MAX_HEADERS = 8192, MULTIPART_MAX_PARTS = 64, MULTIPART_MAX_PREAMBLE = 4096 };

/* The headers of a part. Valid during the call. */
struct multipart_part {
    const char *name;     /* of the field */
    const char *filename; /* NULL: it has none. As the client wrote it: no path to be used */
};
struct multipart_events {
    void (*part)(void *user, const struct multipart_part *part);  /* a part begins, and the one before it has ended */
    void (*data)(void *user, const void *data, size_t len);       /* some of its contents */
};

struct multipart; /* opaque */
/* content_type: the header's value, with the boundary; NULL: there is none. ERR_INVALID says what is wrong with it. */
err_code multipart_create(const char *content_type, const struct multipart_events *events, void *user, struct multipart **ret,
                          struct err *e);
void multipart_free(struct multipart *m); /* NULL is fine */
/* The next bytes. After an error the rest is read over. */
void multipart_push(struct multipart *m, const void *data, size_t len);
/* There are no more bytes. ERR_FORMAT: it was malformed, or cut; ERR_LIMIT: too many parts, or headers too long. */
err_code multipart_finish(struct multipart *m, struct err *e);

#endif
