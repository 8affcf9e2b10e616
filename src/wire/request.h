/* SPDX-License-Identifier: MIT
 * A generation request as the head stage gets it, and the events it answers with: values and their encodings on LOCAL and CONTROL links
 * (frames SUBMIT, CANCEL, EVENT, EVAL, LOGITS). Used by the stage (this floor) and by the gateway and the node above. No I/O, any thread.
 *
 * EVENT payload, little-endian: u64 id | u8 kind | u8[3] 0 | then by kind:
 *   STARTED  u32 prompt_tokens | u32 cached_tokens
 *   TOKEN    i32 token | f32 logprob | u32 completion_tokens | u16 piece_len | u8 n_top | u8 control | piece bytes
 *            | n_top x { i32 token, f32 logprob, u16 piece_len, piece }
 *   DONE     u8 reason | u8[3] 0 | u32 prompt_tokens | u32 completion_tokens | u32 cached_tokens | u32 n_hop | timing (below)
 *            u64 queued_us | u64 prefill_us | u64 decode_us | u32 draft_tokens | u32 draft_accepted
 *            | n_hop x { u32 stage, u32 frames, u64 compute_us, u64 wait_us, u64 hop_us }
 *   VECTOR   u32 n | n x f32
 *   FAILED   u32 err_code name length | name | u32 text length | text | u32 hint length | hint
 *            (UNAVAILABLE: the place is lost, not the request, which may be sent again, here or elsewhere, with what it `generated`.
 *            CRASH: so, and it may be the reason: it was in flight when a stage's process crashed)
 */
#ifndef CARAVAN_WIRE_REQUEST_H
#define CARAVAN_WIRE_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "engine/params.h"

enum { REQUEST_MAX_HOPS = 64, REQUEST_MAX_PIECE = 512 };
/* So many tokens a request gives alone that may have crashed the process which computed it. What crashes once because of where a
 * request stands does so again before that: it is sent with all tokens that it gave, and nothing is guessed ahead. */
enum { REQUEST_ALONE_TOKENS = 8 };

/* What to generate: struct request. */
#define MESSAGES_REQUEST
#include "base/field_structs.h"
#undef MESSAGES_REQUEST
void request_init(struct request *r);
void request_done(struct request *r);
/* Appends the SUBMIT payload (JSON) to out; reads it back. ERR_INVALID/ERR_FORMAT name the field. */
void request_encode(const struct request *r, struct buf *out);
err_code request_decode(const uint8_t *data, size_t len, struct request *ret, struct err *e);
/* Only the id, of a payload that request_decode refuses: so that its sender can be told. false: there is none. */
bool request_decode_id(const uint8_t *data, size_t len, uint64_t *ret_id);

enum request_event_kind { REQUEST_STARTED = 1, REQUEST_TOKEN, REQUEST_DONE, REQUEST_FAILED, REQUEST_VECTOR };
enum request_finish { REQUEST_FINISH_STOP = 1 /* end-of-generation token */, REQUEST_FINISH_LENGTH, REQUEST_FINISH_CANCELLED };

struct request_hop {
    uint32_t stage, frames;
    uint64_t compute_us, wait_us, hop_us;
}; /* sums over the request's frames */

struct request_top {
    int32_t token;
    float logprob;
    uint16_t piece_len;
    char piece[64];
};

struct request_event {
    uint64_t id;
    enum request_event_kind kind;
    uint32_t prompt_tokens, completion_tokens, cached_tokens; /* as far as known at this event */
    /* TOKEN */
    int32_t token;
    float logprob;
    bool control;                       /* a control token: its text is markup, which the gateway reads or drops, never shows */
    uint16_t piece_len;                 /* bytes of text: may be half a UTF-8 character */
    char piece[REQUEST_MAX_PIECE];
    uint16_t n_top;
    struct request_top top[ENGINE_MAX_TOP_LOGPROBS];
    /* VECTOR */
    const uint8_t *vector;              /* n_vector little-endian floats; points into what the event was made of, or decoded from */
    uint32_t n_vector;
    /* DONE */
    enum request_finish finish;
    uint64_t queued_us, prefill_us, decode_us;
    uint32_t draft_tokens, draft_accepted; /* guesses that travelled with decode tokens; those that came true */
    uint32_t n_hop;
    struct request_hop hops[REQUEST_MAX_HOPS];
    /* FAILED */
    struct err err;
};
/* EVAL: explicit batches of one sequence from position 0, computed exactly as they are given, with the logits of the last n_logits tokens
 * of each. Payload, little-endian:
 *   u64 id | u32 n_batches | u32 n_tokens | n_batches x { u32 n_tokens, u32 n_logits } | n_tokens x i32 token
 * The answer is a LOGITS frame for each batch, then an EVENT (DONE, or FAILED):
 *   u64 id | u32 batch | u32 n_rows | u32 n_vocab | u32 position of the first row | n_rows x n_vocab x f32 */
struct request_eval_batch {
    uint32_t n_tokens, n_logits;
};
struct request_eval {
    uint64_t id;
    struct request_eval_batch *batches; /* owned */
    size_t n_batches;
    int32_t *tokens;                    /* owned; the batches' tokens one after another */
    size_t n_tokens;
};
enum { REQUEST_MAX_EVAL_BATCHES = 65536, REQUEST_LOGITS_HEAD = 24 };
void request_eval_init(struct request_eval *ev);
void request_eval_done(struct request_eval *ev);
void request_eval_encode(const struct request_eval *ev, struct buf *out);
err_code request_eval_decode(const uint8_t *data, size_t len, struct request_eval *ret, struct err *e);

struct request_logits {
    uint64_t id;
    uint32_t batch, n_rows, n_vocab, pos;
    const uint8_t *rows; /* n_rows x n_vocab little-endian floats */
};
void request_logits_put_head(uint8_t out[REQUEST_LOGITS_HEAD], const struct request_logits *l); /* the rows follow */
err_code request_logits_decode(const uint8_t *data, size_t len, struct request_logits *ret, struct err *e); /* rows point into data */

void request_event_encode(const struct request_event *ev, struct buf *out);
err_code request_event_decode(const uint8_t *data, size_t len, struct request_event *ret, struct err *e);

#endif
