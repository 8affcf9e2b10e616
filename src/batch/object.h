/* SPDX-License-Identifier: MIT
 * A batch and a file as clients see them: the objects of OpenAI's API. A batch's object is also what the state file keeps of it. Plain
 * values, any thread. Times are seconds since 1970. */
#ifndef CARAVAN_BATCH_OBJECT_H
#define CARAVAN_BATCH_OBJECT_H

#include "base/json.h"
#include "batch/core.h"
#include "batch/input.h"

enum { BATCH_WINDOW_S = 86400, BATCH_ID_SIZE = 48, BATCH_MAX_METADATA = 16 };

/* What a client asks for. */
struct batch_order {
    const char *input, *endpoint;      /* point into the body, and to a literal */
    yyjson_val *metadata;              /* NULL: none */
    int64_t output_ttl_s;              /* how long the results are kept; 0: as long as the node's option says */
};
/* Reads the body of POST /v1/batches. ERR_INVALID names the field. */
err_code batch_order_read(yyjson_val *root, struct batch_order *ret, struct err *e);

struct batch_object {
    yyjson_mut_doc *doc;               /* owned */
};
void batch_object_init(struct batch_object *o, const struct batch_order *order, int64_t now);
/* Reads what the state file has kept. ERR_FORMAT. */
err_code batch_object_read(struct batch_object *o, yyjson_val *kept, enum batch_state *ret_state, struct err *e);
void batch_object_done(struct batch_object *o);

/* A field's text, "" if it has none; its number, 0 if it has none. */
const char *batch_object_text(const struct batch_object *o, const char *field);
int64_t batch_object_number(const struct batch_object *o, const char *field);
void batch_object_set_text(struct batch_object *o, const char *field, const char *text);
/* "in_progress": the state, and when that began ("in_progress_at"). */
void batch_object_set_state(struct batch_object *o, enum batch_state state, int64_t now);
/* Counts, and the files of results where there are some. */
void batch_object_set_counts(struct batch_object *o, const struct batch_counts *counts);
void batch_object_set_faults(struct batch_object *o, const struct batch_fault *faults, size_t n);
void batch_object_write(const struct batch_object *o, struct buf *out);

/* The id of the file that a batch's results, or those that failed, make. */
void batch_output_id(const char *batch, bool failed, char ret[BATCH_ID_SIZE]);
/* "batch_", "file-" and so on, and 24 random digits. */
void batch_new_id(const char *prefix, char ret[BATCH_ID_SIZE]);

/* The API's object of a file that the store has described (store/files.h). */
yyjson_mut_val *batch_file_object(yyjson_mut_doc *doc, yyjson_val *kept);

#endif
