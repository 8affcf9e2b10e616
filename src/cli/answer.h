/* SPDX-License-Identifier: MIT
 * The list of the cluster's models as GET /caravan/v1/models gives it: what a model's state is, how far its loading is, why it failed.
 * Values of the document; no I/O. Any thread. */
#ifndef CARAVAN_CLI_ANSWER_H
#define CARAVAN_CLI_ANSWER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

const char *answer_text(yyjson_val *object, const char *key);   /* "" when it is missing or no text */
uint64_t answer_number(yyjson_val *object, const char *key);    /* 0 then */

/* The model of this name, or the one that a file's path, a tag or other letters lead to (model_card_fit); NULL: none. */
yyjson_val *answer_find_model(yyjson_val *root, const char *name);
/* Does any node hold a part of it, or is it about to? */
bool answer_is_loaded(yyjson_val *model);
/* "ready for 3 min on a, b", "loading 43 % on a", "waiting", "not loaded". wall: seconds since 1970, now. */
void answer_put_state(yyjson_val *model, int64_t wall, struct buf *out);
/* Why the model is not ready, as its coordinator says; "" when it is, or when there is nothing to say. */
const char *answer_reason(yyjson_val *model);
/* One line: "loading demo 43 % (1.2 GB of 3.0 GB, 112 MB/s, 16 s left)", or "waiting for demo: cannot place ...". */
void answer_put_loading(yyjson_val *model, struct buf *out);
/* " 40 %", and while a stage's weights come from other nodes " 40 % (1.2 GB of 3.0 GB, 112 MB/s, 16 s left)". */
void answer_put_progress(yyjson_val *stage, struct buf *out);
/* Why none of the model's copies will become ready. ERR_OK: one is, or may still become ready. */
err_code answer_failure(yyjson_val *model, struct err *e);

#endif
