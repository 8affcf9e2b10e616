/* SPDX-License-Identifier: MIT */
#include "wire/compute.h"

#include <assert.h>

#include "base/bytes.h"

size_t wire_compute_head_size(uint32_t n_ops, uint32_t n_tokens, uint32_t n_trace) {
    return (size_t)n_ops * FRAME_OP_SIZE + (size_t)n_tokens * FRAME_TOKEN_SIZE + (size_t)n_trace * FRAME_TRACE_SIZE;
}

/* ---- one entry ---- */

/* u8 kind, u8[3] 0, u32 seq, u32 dst, i32 p0, i32 p1 */
static void put_op(uint8_t *out, const struct wire_op *op) {
    bytes_put_u32(out, op->kind);
    bytes_put_u32(out + 4, op->seq);
    bytes_put_u32(out + 8, op->dst);
    bytes_put_u32(out + 12, (uint32_t)op->p0);
    bytes_put_u32(out + 16, (uint32_t)op->p1);
}

static struct wire_op get_op(const uint8_t *in) {
    return (struct wire_op){
        .kind = in[0],
        .seq = bytes_get_u32(in + 4),
        .dst = bytes_get_u32(in + 8),
        .p0 = (int32_t)bytes_get_u32(in + 12),
        .p1 = (int32_t)bytes_get_u32(in + 16),
    };
}

/* i32 token, i32 pos, u16 seq, u16 flags */
static void put_token(uint8_t *out, const struct wire_token *t) {
    bytes_put_u32(out, (uint32_t)t->token);
    bytes_put_u32(out + 4, (uint32_t)t->pos);
    bytes_put_u16(out + 8, t->seq);
    bytes_put_u16(out + 10, t->flags);
}

static struct wire_token get_token(const uint8_t *in) {
    return (struct wire_token){
        .token = (int32_t)bytes_get_u32(in),
        .pos = (int32_t)bytes_get_u32(in + 4),
        .seq = bytes_get_u16(in + 8),
        .flags = bytes_get_u16(in + 10),
    };
}

/* u16 stage, u16 0, u32 hop_us, u32 wait_us, u32 compute_us */
void wire_trace_put(uint8_t out[FRAME_TRACE_SIZE], const struct wire_trace *t) {
    bytes_put_u32(out, t->stage);
    bytes_put_u32(out + 4, t->hop_us);
    bytes_put_u32(out + 8, t->wait_us);
    bytes_put_u32(out + 12, t->compute_us);
}

struct wire_trace wire_trace_get(const uint8_t in[FRAME_TRACE_SIZE]) {
    return (struct wire_trace){
        .stage = bytes_get_u16(in),
        .hop_us = bytes_get_u32(in + 4),
        .wait_us = bytes_get_u32(in + 8),
        .compute_us = bytes_get_u32(in + 12),
    };
}

/* ---- checks: NULL, or what is wrong ---- */

static bool position_ok(int32_t p) { return p >= 0 && p <= WIRE_MAX_POSITION; }

static const char *op_fault(const struct wire_op *op) {
    if (op->kind < WIRE_OP_RM || op->kind > WIRE_OP_PARK) return "unknown kind";
    if (op->seq >= FRAME_MAX_SEQ) return "sequence over the limit";
    if (op->dst >= FRAME_MAX_SEQ) return "destination sequence over the limit";
    if (op->kind != WIRE_OP_CP && op->dst != 0) return "a destination where none belongs";
    if (!position_ok(op->p0)) return "first position out of range";
    if (op->p1 != -1 && (!position_ok(op->p1) || op->p1 < op->p0)) return "last position out of range";
    if (op->kind >= WIRE_OP_KEEP && (op->p0 != 0 || op->p1 != -1)) return "positions where none belong";
    return NULL;
}

static const char *token_fault(const struct wire_token *t) {
    if (t->token < 0) return "negative token";
    if (!position_ok(t->pos)) return "position out of range";
    if (t->seq >= FRAME_MAX_SEQ) return "sequence over the limit";
    if ((t->flags & ~WIRE_TOKEN_FLAGS) != 0) return "unknown flags";
    return NULL;
}

/* A proposal stands right behind the token that it is a guess after, and both are sampled; the first token of a frame may be one after the
 * last token of an earlier frame. */
static const char *draft_fault(const struct wire_token *before, const struct wire_token *t) {
    if ((t->flags & WIRE_TOKEN_DRAFT) == 0) return NULL;
    bool follows = before == NULL || (before->seq == t->seq && before->pos + 1 == t->pos && (before->flags & WIRE_TOKEN_SAMPLE) != 0);
    if (!follows) return "a proposal that follows no sampled token";
    return (t->flags & WIRE_TOKEN_SAMPLE) == 0 ? "a proposal that is not sampled" : NULL;
}

static err_code bad_entry(const char *what, uint32_t i, const char *fault, struct err *e) {
    return err_set(e, ERR_PROTOCOL, "COMPUTE frame, %s %u: %s", what, i, fault);
}

/* ---- whole payloads ---- */

/* The operation as the wire wants it. */
static struct wire_op tidy_op(struct wire_op op) {
    if (op.kind != WIRE_OP_CP) op.dst = 0;
    if (op.p0 < 0 || op.kind >= WIRE_OP_KEEP) op.p0 = 0;
    if (op.p1 < 0 || op.kind >= WIRE_OP_KEEP) op.p1 = -1;
    return op;
}

void wire_compute_put(uint8_t *out, const struct wire_op *ops, uint32_t n_ops, const struct wire_token *tokens, uint32_t n_tokens,
                      const struct wire_trace *trace, uint32_t n_trace) {
    for (uint32_t i = 0; i < n_ops; i++, out += FRAME_OP_SIZE) {
        struct wire_op op = tidy_op(ops[i]);
        assert(op_fault(&op) == NULL);
        put_op(out, &op);
    }
    for (uint32_t i = 0; i < n_tokens; i++, out += FRAME_TOKEN_SIZE) {
        assert(token_fault(&tokens[i]) == NULL && draft_fault(i > 0 ? &tokens[i - 1] : NULL, &tokens[i]) == NULL);
        put_token(out, &tokens[i]);
    }
    for (uint32_t i = 0; i < n_trace; i++, out += FRAME_TRACE_SIZE) wire_trace_put(out, &trace[i]);
}

static err_code check_entries(const struct wire_compute *c, struct err *e) {
    for (uint32_t i = 0; i < c->n_ops; i++) {
        const uint8_t *in = c->ops + (size_t)i * FRAME_OP_SIZE;
        struct wire_op op = get_op(in);
        const char *fault = in[1] | in[2] | in[3] ? "reserved bytes are not 0" : op_fault(&op);
        if (fault != NULL) return bad_entry("operation", i, fault, e);
    }
    struct wire_token before = {0};
    for (uint32_t i = 0; i < c->n_tokens; i++) {
        struct wire_token t = get_token(c->tokens + (size_t)i * FRAME_TOKEN_SIZE);
        const char *fault = token_fault(&t);
        if (fault == NULL) fault = draft_fault(i > 0 ? &before : NULL, &t);
        if (fault != NULL) return bad_entry("token", i, fault, e);
        before = t;
    }
    for (uint32_t i = 0; i < c->n_trace; i++)
        if (bytes_get_u16(c->trace + (size_t)i * FRAME_TRACE_SIZE + 2) != 0)
            return bad_entry("trace entry", i, "reserved bytes are not 0", e);
    return ERR_OK;
}

err_code wire_compute_view(const struct frame_header *h, const uint8_t *payload, uint32_t width, struct wire_compute *ret, struct err *e) {
    struct wire_compute c = {
        .n_ops = h->n_ops,
        .n_tokens = h->n_tokens,
        .n_trace = h->n_trace,
        .width = h->width,
        .dtype = h->dtype,
        .row_bytes = frame_row_bytes(h->dtype, h->width),
    };
    if (h->n_tokens > 0 && h->width != width)
        return err_set(e, ERR_PROTOCOL, "COMPUTE frame with rows of %u floats: this ring's are %u", h->width, width);
    size_t size = wire_compute_head_size(c.n_ops, c.n_tokens, c.n_trace) + c.n_tokens * c.row_bytes;
    if (h->type != FRAME_COMPUTE || size != h->payload_len)
        return err_set(e, ERR_PROTOCOL, "not a COMPUTE frame whose counts fit its length");
    static const uint8_t nothing[1];
    c.ops = payload != NULL ? payload : nothing; /* of an empty payload nobody may have a buffer yet */
    c.tokens = c.ops + (size_t)c.n_ops * FRAME_OP_SIZE;
    c.trace = c.tokens + (size_t)c.n_tokens * FRAME_TOKEN_SIZE;
    c.hidden = c.trace + (size_t)c.n_trace * FRAME_TRACE_SIZE;
    err_code code = check_entries(&c, e);
    if (code == ERR_OK) *ret = c;
    return code;
}

struct wire_op wire_compute_op(const struct wire_compute *c, uint32_t i) {
    assert(i < c->n_ops);
    return get_op(c->ops + (size_t)i * FRAME_OP_SIZE);
}

struct wire_token wire_compute_token(const struct wire_compute *c, uint32_t i) {
    assert(i < c->n_tokens);
    return get_token(c->tokens + (size_t)i * FRAME_TOKEN_SIZE);
}

struct wire_trace wire_compute_trace(const struct wire_compute *c, uint32_t i) {
    assert(i < c->n_trace);
    return wire_trace_get(c->trace + (size_t)i * FRAME_TRACE_SIZE);
}
