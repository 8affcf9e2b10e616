/* SPDX-License-Identifier: MIT
 * Texts to tokens, in the head. A short text is turned into tokens at once; a long one, or one with pictures, which takes seconds, by a
 * thread, while the compute thread goes on with the requests that run. Jobs are done in order. Owner: the compute thread, which calls
 * everything here. The thread only calls the engine's tokenize, tokenize_pair and media, which use nothing that computing changes. */
#ifndef CARAVAN_STAGE_TOKENIZER_H
#define CARAVAN_STAGE_TOKENIZER_H

#include "engine/engine.h"
#include "stage/media.h"
#include "stage/watch.h"
#include "wire/request.h"

enum {
    TOKENIZER_SHORT = 4096,        /* bytes of the longest text that is short: a few milliseconds */
    TOKENIZER_MAX_BYTES = 64 << 20 /* of all texts that wait */
};

struct tokenizer;

/* limit: tokens that a request may have at most. max_bytes: of all texts and pictures that wait. engine, media and watch are borrowed. */
err_code tokenizer_create(const struct engine *engine, struct media *media, struct stage_watch *watch, uint32_t limit, size_t max_bytes,
                          struct tokenizer **ret, struct err *e);
/* Waits for the job that runs; the others are dropped. Before the engine is closed. NULL is fine. */
void tokenizer_free(struct tokenizer *t);

/* Turns r's text into tokens at once; does nothing if r has tokens. ERR_LIMIT: the text has too many tokens, which is found without reading
 * much of the text beyond the limit. */
err_code tokenizer_run(struct tokenizer *t, struct request *r, struct err *e);
/* Is r's text too long for tokenizer_run? */
bool tokenizer_is_long(const struct request *r);

/* A text for the thread. asks: the job answers a TOKENIZE frame, has no limit of tokens, and is no request. */
struct tokenizer_job {
    struct request request; /* done: with tokens */
    bool asks;
    err_code code;          /* done: ERR_OK, or err says why not */
    struct err err;
};
/* Is there room for this text among the waiting ones? If none waits, there always is. */
bool tokenizer_has_room(const struct tokenizer *t, const struct request *r);
/* Takes over *r's contents. */
void tokenizer_push(struct tokenizer *t, struct request *r, bool asks);
/* Readable when a job is done. */
int tokenizer_fd(const struct tokenizer *t);
/* Takes the next finished job; the caller calls request_done on its request. False: no job is finished. */
bool tokenizer_pop(struct tokenizer *t, struct tokenizer_job *ret);
/* Drops the job of a request. False: there is no such job. */
bool tokenizer_cancel(struct tokenizer *t, uint64_t id);
/* Number of jobs that tokenizer_pop has not taken. */
size_t tokenizer_count(const struct tokenizer *t);
/* Cancels any one request and returns its id; false: no request is left. */
bool tokenizer_drop(struct tokenizer *t, uint64_t *ret_id);

#endif
