/* SPDX-License-Identifier: MIT
 * A generation request in the form that the head stage gets, and the events that answer it: values and their encodings on LOCAL and CONTROL
 * links (frames SUBMIT, CANCEL, EVENT, EVAL, LOGITS), from tables/messages.def. The stage uses them, and the gateway and the node above. No
 * I/O, any thread. */
#ifndef CARAVAN_WIRE_REQUEST_H
#define CARAVAN_WIRE_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/params.h"
#include "engine/rows.h"

enum { REQUEST_MAX_MEDIA = 64, REQUEST_MARK_SIZE = 64 };
enum { REQUEST_MAX_HOPS = 64, REQUEST_MAX_PIECE = 512, REQUEST_MAX_TOP_PIECE = 64, REQUEST_MAX_EVAL_BATCHES = 65536 };
/* A request that may have crashed a process is computed alone until it has generated this many tokens. If it is the cause, it crashes the
 * next process before that, because it is replayed with all tokens generated so far, and without guesses. */
enum { REQUEST_ALONE_TOKENS = 8 };

enum request_event_kind { REQUEST_STARTED, REQUEST_TOKEN, REQUEST_DONE, REQUEST_FAILED, REQUEST_VECTOR, REQUEST_SCORE };
enum request_finish { REQUEST_FINISH_STOP /* end-of-generation token */, REQUEST_FINISH_LENGTH, REQUEST_FINISH_CANCELLED };

/* Rows among the tokens of a request, from tokens[at] on. The tokens in their places are their ids. */
struct request_rows {
    uint32_t at;
    struct engine_rows *rows; /* a reference */
};

/* The structs request (what to generate), request_cancel, request_event with request_top and request_hop, request_eval with
 * request_eval_batch, and request_logits. */
#define MESSAGES_REQUEST
#include "base/field_structs.h"
#undef MESSAGES_REQUEST

void request_init(struct request *r);
void request_done(struct request *r); /* releases the rows, too */
/* Appends the SUBMIT payload (JSON) to out; reads it back. ERR_INVALID/ERR_FORMAT name the field. */
void request_encode(const struct request *r, struct buf *out);
err_code request_decode(const uint8_t *data, size_t len, struct request *ret, struct err *e);
/* Reads only the id, from a payload that request_decode refuses, so that its sender can get an error. false: there is no id. */
bool request_decode_id(const uint8_t *data, size_t len, uint64_t *ret_id);

/* ---- EVENT ---- */

/* An event without any part. */
void request_event_init(struct request_event *ev, uint64_t id, enum request_event_kind kind);
/* FAILED with UNAVAILABLE means that the ring is lost, but not the request: it may be sent again, here or to another ring, with the tokens
 * that were `generated`. CRASH means the same, and that the request was in flight when a stage's process crashed, and may be the cause. */
void request_event_encode(const struct request_event *ev, struct buf *out);
/* Copies only the parts that are present; the rest of piece, top, hops and err is not set. vector points into data. ERR_PROTOCOL. *ret is
 * untouched on failure. */
err_code request_event_decode(const uint8_t *data, size_t len, struct request_event *ret, struct err *e);
/* Reads only the head: the id, the kind, numbers. For a node that passes an event on. */
err_code request_event_peek(const uint8_t *data, size_t len, struct request_event *ret, struct err *e);
/* Gives an encoded event, which request_event_peek has passed, another id. */
void request_event_rename(uint8_t *data, size_t len, uint64_t id);
bool request_event_is_last(const struct request_event *ev);

/* Where guesses of a request that has ended came from: its own text, a small model, the model's own layers. */
enum { REQUEST_GUESS_KINDS = 3 };
struct request_guesses {
    uint64_t made, right; /* those that travelled; of these, those that came true */
};
const char *request_guess_name(int kind);
/* Adds those of this event to sums[REQUEST_GUESS_KINDS]. */
void request_guesses_add(const struct request_event *done, struct request_guesses *sums);

/* ---- EVAL: explicit batches of one sequence from position 0, computed exactly as they are given ---- */

/* The answer is a LOGITS frame for each batch, then an EVENT (DONE, or FAILED). */
void request_eval_init(struct request_eval *ev);
void request_eval_done(struct request_eval *ev);
void request_eval_encode(const struct request_eval *ev, struct buf *out);
/* ret_id (may be NULL): the id, also of a refused EVAL; 0: the id cannot be read. */
err_code request_eval_decode(const uint8_t *data, size_t len, struct request_eval *ret, uint64_t *ret_id, struct err *e);

/* To encode, call field_put(request_logits_fields(), ...), and send the rows after the head. */
err_code request_logits_decode(const uint8_t *data, size_t len, struct request_logits *ret, struct err *e); /* rows point into data */

#endif
