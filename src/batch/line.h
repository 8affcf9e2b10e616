/* SPDX-License-Identifier: MIT
 * A line of a batch's input: {"custom_id", "method": "POST", "url", "body"}, as OpenAI's batches have it. Plain values, any thread. */
#ifndef CARAVAN_BATCH_LINE_H
#define CARAVAN_BATCH_LINE_H

#include "base/json.h"

enum { BATCH_MAX_CUSTOM_ID = 512 };

struct batch_line {
    yyjson_doc *doc;       /* owned; the texts and values below lie in it */
    const char *custom_id;
    const char *model;     /* of the body */
    yyjson_val *body;
};
/* Reads and checks a line. endpoint: what its url must be. ERR_JSON: it is no JSON object. ERR_INVALID: e->field says where; a body
 * that asks for a stream is ERR_UNSUPPORTED. */
err_code batch_line_read(const char *text, size_t len, const char *endpoint, struct batch_line *ret, struct err *e);
void batch_line_done(struct batch_line *line);

/* A path that a batch may ask; NULL: it may not. */
const char *batch_endpoint(const char *path);
/* All of these, with commas. */
const char *batch_endpoints(void);

/* Writes a result: {"id", "custom_id", "response", "error"}, without the end of line. id: of the request, copied. */
struct batch_result {
    const char *id, *custom_id;
    int status;                /* 0: the line was not asked */
    const char *request_id;    /* with status; may be "" */
    const char *served_by;     /* with status; may be "" */
    const char *body;          /* with status: JSON; ends of line in it become blanks */
    size_t body_len;
    const char *error, *message; /* without status: a code, and what it means */
};
void batch_result_write(const struct batch_result *r, struct buf *out);

#endif
