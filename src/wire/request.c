/* SPDX-License-Identifier: MIT
 * Requests and their answers: JSON for the rare frame SUBMIT, bytes for the frequent or large ones (EVENT, EVAL, LOGITS). */
#include "wire/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"

static const char *const EVENT_KINDS[] = {"started", "token", "done", "failed", "vector", "score"};
static const char *const FINISH_NAMES[] = {"stop", "length", "cancelled"};
#define MESSAGES_REQUEST
#include "base/field_tables.h"
#undef MESSAGES_REQUEST

/* ---- SUBMIT ---- */

void request_init(struct request *r) { field_init(request_fields(), r); }
void request_done(struct request *r) {
    for (uint32_t i = 0; i < r->n_rows; i++) engine_rows_release(r->rows[i].rows);
    free(r->rows);
    r->rows = NULL;
    r->n_rows = 0;
    field_done(request_fields(), r);
}
void request_encode(const struct request *r, struct buf *out) { field_encode(request_fields(), r, out); }

err_code request_decode(const uint8_t *data, size_t len, struct request *ret, struct err *e) {
    struct request r;
    err_code code = field_decode(request_fields(), data, len, &r, e);
    if (code != ERR_OK) return code;
    if ((r.text != NULL) == (r.tokens != NULL)) {
        request_done(&r);
        return err_set(e, ERR_INVALID, "a request has either \"text\" or \"tokens\"");
    }
    *ret = r;
    return ERR_OK;
}

bool request_decode_id(const uint8_t *data, size_t len, uint64_t *ret_id) {
    yyjson_doc *doc = NULL;
    if (json_parse((const char *)data, len, &doc, NULL) != ERR_OK) return false;
    yyjson_val *id = yyjson_obj_get(yyjson_doc_get_root(doc), "id");
    bool ok = yyjson_is_uint(id);
    if (ok) *ret_id = yyjson_get_uint(id);
    yyjson_doc_free(doc);
    return ok;
}

/* ---- EVENT ---- */

void request_event_init(struct request_event *ev, uint64_t id, enum request_event_kind kind) {
    memset(ev, 0, offsetof(struct request_event, piece)); /* the kilobytes after that offset are valid only as far as their counts say */
    ev->vector = NULL;
    ev->id = id;
    ev->kind = kind;
}

void request_event_encode(const struct request_event *ev, struct buf *out) {
    field_encode(request_event_fields(), ev, out);
    if (ev->kind == REQUEST_FAILED) field_encode(err_fields(), &ev->err, out);
}

static err_code event_error(const char *what, struct err *e) { return err_set(e, ERR_PROTOCOL, "event: %s", what); }

static err_code get_err(struct bytes_reader *r, struct err *ret, struct err *e) {
    size_t len = bytes_left(r);
    if (field_decode(err_fields(), bytes_take(r, len), len, ret, e) != ERR_OK) return event_error("an error that cannot be read", e);
    return ret->code != ERR_OK ? ERR_OK : event_error("a failure without an error", e);
}

/* An event has room for kilobytes, and most have a few bytes. */
static void copy_event(const struct request_event *from, struct request_event *ret) {
    memcpy(ret, from, offsetof(struct request_event, piece));
    ret->vector = from->vector;
    memcpy(ret->piece, from->piece, from->piece_len);
    memcpy(ret->top, from->top, from->n_top * sizeof(from->top[0]));
    memcpy(ret->hops, from->hops, from->n_hop * sizeof(from->hops[0]));
    if (from->kind == REQUEST_FAILED) ret->err = from->err;
}

err_code request_event_decode(const uint8_t *data, size_t len, struct request_event *ret, struct err *e) {
    struct bytes_reader r;
    struct request_event ev;
    bytes_reader_init(&r, data, len);
    err_code code = field_get(request_event_fields(), &r, &ev, e);
    if (code == ERR_OK && (ev.kind == REQUEST_VECTOR) != (ev.n_vector > 0))
        code = event_error("a vector that is empty, or out of place", e);
    if (code == ERR_OK && ev.kind == REQUEST_FAILED) code = get_err(&r, &ev.err, e);
    if (code != ERR_OK) return code;
    if (bytes_left(&r) != 0) return event_error("bytes left over", e);
    copy_event(&ev, ret);
    return ERR_OK;
}

err_code request_event_peek(const uint8_t *data, size_t len, struct request_event *ret, struct err *e) {
    return field_peek(request_event_fields(), data, len, ret, e);
}

void request_event_rename(uint8_t *data, size_t len, uint64_t id) {
    struct request_event ev;
    err_code code = request_event_peek(data, len, &ev, NULL);
    assert(code == ERR_OK);
    (void)code;
    ev.id = id;
    field_put(request_event_fields(), &ev, data);
}

bool request_event_is_last(const struct request_event *ev) { return ev->kind == REQUEST_DONE || ev->kind == REQUEST_FAILED; }

const char *request_guess_name(int kind) {
    static const char *const names[REQUEST_GUESS_KINDS] = {"text", "small", "own"};
    return names[kind];
}

/* A head of another machine may count anything. */
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

void request_guesses_add(const struct request_event *done, struct request_guesses *sums) {
    uint64_t made = (uint64_t)done->small_tokens + done->mtp_tokens, right = (uint64_t)done->small_accepted + done->mtp_accepted;
    const struct request_guesses more[REQUEST_GUESS_KINDS] = {{less(done->draft_tokens, made), less(done->draft_accepted, right)},
                                                              {done->small_tokens, done->small_accepted},
                                                              {done->mtp_tokens, done->mtp_accepted}};
    for (int i = 0; i < REQUEST_GUESS_KINDS; i++) {
        sums[i].made += more[i].made;
        sums[i].right += more[i].right;
    }
}

/* ---- EVAL and LOGITS ---- */

void request_eval_init(struct request_eval *ev) { field_init(request_eval_fields(), ev); }

void request_eval_done(struct request_eval *ev) { field_done(request_eval_fields(), ev); }
void request_eval_encode(const struct request_eval *ev, struct buf *out) { field_encode(request_eval_fields(), ev, out); }

static err_code check_eval(const struct request_eval *ev, struct err *e) {
    uint64_t total = 0;
    for (size_t i = 0; i < ev->n_batches; i++) {
        const struct request_eval_batch *b = &ev->batches[i];
        total += b->n_tokens;
        if (b->n_logits > b->n_tokens)
            return err_set(e, ERR_INVALID, "eval: batch %zu has %u tokens, %u of them with logits", i, b->n_tokens, b->n_logits);
    }
    if (total != ev->n_tokens)
        return err_set(e, ERR_INVALID, "eval: the batches ask for %llu tokens, %u are there", (unsigned long long)total, ev->n_tokens);
    for (size_t i = 0; i < ev->n_tokens; i++)
        if (ev->tokens[i] < 0) return err_set(e, ERR_INVALID, "eval: entry %zu is not a token id", i);
    return ERR_OK;
}

err_code request_eval_decode(const uint8_t *data, size_t len, struct request_eval *ret, uint64_t *ret_id, struct err *e) {
    struct request_eval ev;
    request_eval_init(&ev);
    field_peek(request_eval_fields(), data, len, &ev, NULL);
    if (ret_id != NULL) *ret_id = ev.id;
    err_code code = field_decode(request_eval_fields(), data, len, &ev, e);
    if (code != ERR_OK) return code;
    code = check_eval(&ev, e);
    if (code == ERR_OK) *ret = ev;
    else request_eval_done(&ev);
    return code;
}

err_code request_logits_decode(const uint8_t *data, size_t len, struct request_logits *ret, struct err *e) {
    struct request_logits l;
    err_code code = field_decode(request_logits_fields(), data, len, &l, e);
    if (code != ERR_OK) return code;
    uint64_t floats = (uint64_t)l.n_rows * l.n_vocab;
    if (floats > SIZE_MAX / 8 || floats * 4 != l.rows_len)
        return err_set(e, ERR_PROTOCOL, "logits: %zu bytes do not hold %u rows of %u", len, l.n_rows, l.n_vocab);
    *ret = l;
    return ERR_OK;
}
