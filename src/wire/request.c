/* SPDX-License-Identifier: MIT
 * Requests and what is answered to them: JSON for what is rare (SUBMIT), bytes for what comes with every token (EVENT, EVAL, LOGITS). */
#include "wire/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"

enum { TIMING_HOP_SIZE = 32 };

/* ---- SUBMIT ---- */

#define MESSAGES_REQUEST
#include "base/field_tables.h"
#undef MESSAGES_REQUEST

void request_init(struct request *r) { field_init(request_fields(), r); }
void request_done(struct request *r) { field_done(request_fields(), r); }
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

static void put_u16(struct buf *out, uint16_t v) {
    uint8_t b[2];
    bytes_put_u16(b, v);
    buf_append(out, b, sizeof(b));
}

static void put_u32(struct buf *out, uint32_t v) {
    uint8_t b[4];
    bytes_put_u32(b, v);
    buf_append(out, b, sizeof(b));
}

static void put_u64(struct buf *out, uint64_t v) {
    uint8_t b[8];
    bytes_put_u64(b, v);
    buf_append(out, b, sizeof(b));
}

static void put_f32(struct buf *out, float v) {
    uint8_t b[4];
    bytes_put_f32(b, v);
    buf_append(out, b, sizeof(b));
}

static void put_string(struct buf *out, const char *s) {
    size_t len = strlen(s);
    put_u32(out, (uint32_t)len);
    buf_append(out, s, len);
}

static void put_token(const struct request_event *ev, struct buf *out) {
    put_u32(out, (uint32_t)ev->token);
    put_f32(out, ev->logprob);
    put_u32(out, ev->completion_tokens);
    put_u16(out, ev->piece_len);
    buf_append_byte(out, (uint8_t)ev->n_top);
    buf_append_byte(out, ev->control);
    buf_append(out, ev->piece, ev->piece_len);
    for (size_t i = 0; i < ev->n_top; i++) {
        put_u32(out, (uint32_t)ev->top[i].token);
        put_f32(out, ev->top[i].logprob);
        put_u16(out, ev->top[i].piece_len);
        buf_append(out, ev->top[i].piece, ev->top[i].piece_len);
    }
}

static void put_done(const struct request_event *ev, struct buf *out) {
    put_u32(out, (uint32_t)ev->finish); /* u8 reason and three zeros */
    put_u32(out, ev->prompt_tokens);
    put_u32(out, ev->completion_tokens);
    put_u32(out, ev->cached_tokens);
    put_u32(out, ev->n_hop);
    put_u64(out, ev->queued_us);
    put_u64(out, ev->prefill_us);
    put_u64(out, ev->decode_us);
    put_u32(out, ev->draft_tokens);
    put_u32(out, ev->draft_accepted);
    for (size_t i = 0; i < ev->n_hop; i++) {
        const struct request_hop *h = &ev->hops[i];
        put_u32(out, h->stage);
        put_u32(out, h->frames);
        put_u64(out, h->compute_us);
        put_u64(out, h->wait_us);
        put_u64(out, h->hop_us);
    }
}

void request_event_encode(const struct request_event *ev, struct buf *out) {
    put_u64(out, ev->id);
    put_u32(out, (uint32_t)ev->kind); /* u8 kind and three zeros */
    switch (ev->kind) {
    case REQUEST_STARTED:
        put_u32(out, ev->prompt_tokens);
        put_u32(out, ev->cached_tokens);
        break;
    case REQUEST_TOKEN: put_token(ev, out); break;
    case REQUEST_DONE: put_done(ev, out); break;
    case REQUEST_VECTOR:
        put_u32(out, ev->n_vector);
        buf_append(out, ev->vector, (size_t)ev->n_vector * 4);
        break;
    case REQUEST_FAILED:
        put_string(out, err_name(ev->err.code));
        put_string(out, ev->err.text);
        put_string(out, ev->err.hint);
        break;
    }
}

static err_code event_error(const char *what, struct err *e) { return err_set(e, ERR_FORMAT, "event: %s", what); }

/* len bytes into a field of size bytes. */
static bool take_into(struct bytes_reader *r, size_t len, char *field, size_t size) {
    const uint8_t *p = len <= size ? bytes_take(r, len) : NULL;
    if (p == NULL) return false;
    memcpy(field, p, len);
    return true;
}

static err_code get_token(struct bytes_reader *r, struct request_event *ev, struct err *e) {
    ev->token = (int32_t)bytes_read_u32(r);
    ev->logprob = bytes_read_f32(r);
    ev->completion_tokens = bytes_read_u32(r);
    ev->piece_len = bytes_read_u16(r);
    ev->n_top = bytes_read_u8(r);
    ev->control = bytes_read_u8(r) != 0;
    if (ev->n_top > ENGINE_MAX_TOP_LOGPROBS) return event_error("too many alternatives", e);
    if (!take_into(r, ev->piece_len, ev->piece, sizeof(ev->piece))) return event_error("piece too long", e);
    for (size_t i = 0; i < ev->n_top; i++) {
        struct request_top *t = &ev->top[i];
        t->token = (int32_t)bytes_read_u32(r);
        t->logprob = bytes_read_f32(r);
        t->piece_len = bytes_read_u16(r);
        if (!take_into(r, t->piece_len, t->piece, sizeof(t->piece))) return event_error("piece of an alternative too long", e);
    }
    return ERR_OK;
}

static err_code get_done(struct bytes_reader *r, struct request_event *ev, struct err *e) {
    uint32_t finish = bytes_read_u32(r);
    if (finish < REQUEST_FINISH_STOP || finish > REQUEST_FINISH_CANCELLED) return event_error("unknown reason of the end", e);
    ev->finish = (enum request_finish)finish;
    ev->prompt_tokens = bytes_read_u32(r);
    ev->completion_tokens = bytes_read_u32(r);
    ev->cached_tokens = bytes_read_u32(r);
    ev->n_hop = bytes_read_u32(r);
    ev->queued_us = bytes_read_u64(r);
    ev->prefill_us = bytes_read_u64(r);
    ev->decode_us = bytes_read_u64(r);
    ev->draft_tokens = bytes_read_u32(r);
    ev->draft_accepted = bytes_read_u32(r);
    if (ev->n_hop > REQUEST_MAX_HOPS || bytes_left(r) < (size_t)ev->n_hop * TIMING_HOP_SIZE) return event_error("too many hops", e);
    for (size_t i = 0; i < ev->n_hop; i++) {
        struct request_hop *h = &ev->hops[i];
        h->stage = bytes_read_u32(r);
        h->frames = bytes_read_u32(r);
        h->compute_us = bytes_read_u64(r);
        h->wait_us = bytes_read_u64(r);
        h->hop_us = bytes_read_u64(r);
    }
    return ERR_OK;
}

static bool get_string(struct bytes_reader *r, char *field, size_t size) {
    uint32_t len = bytes_read_u32(r);
    if (r->failed || !take_into(r, len, field, size - 1)) return false;
    field[len] = '\0';
    return true;
}

static err_code get_failed(struct bytes_reader *r, struct request_event *ev, struct err *e) {
    char name[32];
    if (!get_string(r, name, sizeof(name)) || !get_string(r, ev->err.text, sizeof(ev->err.text)) ||
        !get_string(r, ev->err.hint, sizeof(ev->err.hint))) {
        return event_error("error text too long", e);
    }
    ev->err.code = err_from_name(name);
    if (ev->err.code == ERR_OK) return event_error("a failure without an error", e);
    return ERR_OK;
}

static err_code get_vector(struct bytes_reader *r, struct request_event *ev, struct err *e) {
    ev->n_vector = bytes_read_u32(r);
    ev->vector = bytes_left(r) / 4 >= ev->n_vector ? bytes_take(r, (size_t)ev->n_vector * 4) : NULL;
    return ev->vector != NULL && ev->n_vector > 0 ? ERR_OK : event_error("a vector that is cut short, or empty", e);
}

static err_code get_event_body(struct bytes_reader *r, uint32_t kind, struct request_event *ev, struct err *e) {
    switch (kind) {
    case REQUEST_STARTED:
        ev->prompt_tokens = bytes_read_u32(r);
        ev->cached_tokens = bytes_read_u32(r);
        return ERR_OK;
    case REQUEST_TOKEN: return get_token(r, ev, e);
    case REQUEST_DONE: return get_done(r, ev, e);
    case REQUEST_VECTOR: return get_vector(r, ev, e);
    case REQUEST_FAILED: return get_failed(r, ev, e);
    default: return event_error("unknown kind", e);
    }
}

/* Everything of an event that another event of the same variable may have left behind, without clearing its kilobytes of text. */
static void event_reset(struct request_event *ev) {
    ev->prompt_tokens = ev->completion_tokens = ev->cached_tokens = 0;
    ev->token = 0;
    ev->logprob = 0;
    ev->control = false;
    ev->piece_len = ev->n_top = 0;
    ev->finish = 0;
    ev->queued_us = ev->prefill_us = ev->decode_us = 0;
    ev->draft_tokens = ev->draft_accepted = 0;
    ev->n_hop = 0;
    ev->vector = NULL;
    ev->n_vector = 0;
    ev->err.code = ERR_OK;
    ev->err.text[0] = ev->err.hint[0] = '\0';
}

err_code request_event_decode(const uint8_t *data, size_t len, struct request_event *ret, struct err *e) {
    struct bytes_reader r;
    bytes_reader_init(&r, data, len);
    struct request_event ev;
    event_reset(&ev);
    ev.id = bytes_read_u64(&r);
    uint32_t kind = bytes_read_u32(&r);
    if (r.failed) return event_error("cut short", e);
    ev.kind = (enum request_event_kind)kind;
    err_code code = get_event_body(&r, kind, &ev, e);
    if (code != ERR_OK) return code;
    if (r.failed) return event_error("cut short", e);
    if (bytes_left(&r) != 0) return event_error("bytes left over", e);
    *ret = ev;
    return ERR_OK;
}

/* ---- EVAL and LOGITS ---- */

void request_eval_init(struct request_eval *ev) { memset(ev, 0, sizeof(*ev)); }

void request_eval_done(struct request_eval *ev) {
    free(ev->batches);
    free(ev->tokens);
    memset(ev, 0, sizeof(*ev));
}

void request_eval_encode(const struct request_eval *ev, struct buf *out) {
    put_u64(out, ev->id);
    put_u32(out, (uint32_t)ev->n_batches);
    put_u32(out, (uint32_t)ev->n_tokens);
    for (size_t i = 0; i < ev->n_batches; i++) {
        put_u32(out, ev->batches[i].n_tokens);
        put_u32(out, ev->batches[i].n_logits);
    }
    for (size_t i = 0; i < ev->n_tokens; i++) put_u32(out, (uint32_t)ev->tokens[i]);
}

static err_code read_eval(struct bytes_reader *r, struct request_eval *ev, struct err *e) {
    uint64_t total = 0;
    for (size_t i = 0; i < ev->n_batches; i++) {
        struct request_eval_batch *b = &ev->batches[i];
        b->n_tokens = bytes_read_u32(r);
        b->n_logits = bytes_read_u32(r);
        total += b->n_tokens;
        if (b->n_tokens == 0 || b->n_logits > b->n_tokens)
            return err_set(e, ERR_INVALID, "eval: batch %zu has %u tokens, %u of them with logits", i, b->n_tokens, b->n_logits);
    }
    if (total != ev->n_tokens)
        return err_set(e, ERR_INVALID, "eval: the batches ask for %llu tokens, %zu are there", (unsigned long long)total, ev->n_tokens);
    for (size_t i = 0; i < ev->n_tokens; i++) {
        ev->tokens[i] = (int32_t)bytes_read_u32(r);
        if (ev->tokens[i] < 0) return err_set(e, ERR_INVALID, "eval: entry %zu is not a token id", i);
    }
    return ERR_OK;
}

err_code request_eval_decode(const uint8_t *data, size_t len, struct request_eval *ret, struct err *e) {
    struct bytes_reader r;
    bytes_reader_init(&r, data, len);
    struct request_eval ev;
    request_eval_init(&ev);
    ev.id = bytes_read_u64(&r);
    ev.n_batches = bytes_read_u32(&r);
    ev.n_tokens = bytes_read_u32(&r);
    if (r.failed || ev.n_batches == 0 || ev.n_batches > REQUEST_MAX_EVAL_BATCHES ||
        bytes_left(&r) != (uint64_t)ev.n_batches * 8 + (uint64_t)ev.n_tokens * 4) {
        return err_set(e, ERR_FORMAT, "eval: %zu bytes do not hold the batches that are announced", len);
    }
    ev.batches = malloc(ev.n_batches * sizeof(*ev.batches));
    ev.tokens = malloc((ev.n_tokens > 0 ? ev.n_tokens : 1) * sizeof(*ev.tokens));
    err_code code = ev.batches == NULL || ev.tokens == NULL ? err_set(e, ERR_MEMORY, "eval: no memory for %zu tokens", ev.n_tokens)
                                                            : read_eval(&r, &ev, e);
    if (code != ERR_OK) {
        request_eval_done(&ev);
        return code;
    }
    *ret = ev;
    return ERR_OK;
}

void request_logits_put_head(uint8_t out[REQUEST_LOGITS_HEAD], const struct request_logits *l) {
    bytes_put_u64(out, l->id);
    bytes_put_u32(out + 8, l->batch);
    bytes_put_u32(out + 12, l->n_rows);
    bytes_put_u32(out + 16, l->n_vocab);
    bytes_put_u32(out + 20, l->pos);
}

err_code request_logits_decode(const uint8_t *data, size_t len, struct request_logits *ret, struct err *e) {
    struct bytes_reader r;
    bytes_reader_init(&r, data, len);
    struct request_logits l = {.id = bytes_read_u64(&r)};
    l.batch = bytes_read_u32(&r);
    l.n_rows = bytes_read_u32(&r);
    l.n_vocab = bytes_read_u32(&r);
    l.pos = bytes_read_u32(&r);
    uint64_t floats = (uint64_t)l.n_rows * l.n_vocab;
    if (r.failed || floats > SIZE_MAX / 8 || floats * 4 != bytes_left(&r))
        return err_set(e, ERR_FORMAT, "logits: %zu bytes do not hold %u rows of %u", len, l.n_rows, l.n_vocab);
    l.rows = data + r.at;
    *ret = l;
    return ERR_OK;
}
