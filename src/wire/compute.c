/* SPDX-License-Identifier: MIT */
#include "wire/compute.h"

#include <assert.h>

#include "base/bytes.h"

enum { OP_SIZE = FIELD_SIZE(engine_op), TOKEN_SIZE = FIELD_SIZE(engine_token), TRACE_SIZE = FIELD_SIZE(wire_trace) };

static_assert((int)FRAME_MAX_SEQ == ENGINE_MAX_SEQ, "a frame can name every sequence of an engine");

size_t wire_compute_head_size(uint32_t n_ops, uint32_t n_tokens, uint32_t n_trace) {
    return (size_t)n_ops * OP_SIZE + (size_t)n_tokens * TOKEN_SIZE + (size_t)n_trace * TRACE_SIZE;
}

/* ---- rules that the table cannot express: NULL, or the fault ---- */

/* Is p0 a number of positions? */
static bool has_count(uint8_t kind) {
    return kind == ENGINE_OP_MARK || kind == ENGINE_OP_BACK || kind == ENGINE_OP_SAVE || kind == ENGINE_OP_LOAD;
}

static const char *op_fault(const struct engine_op *op) {
    if (op->kind != ENGINE_OP_CP && op->dst != 0) return "a destination where none belongs";
    if (op->p1 != -1 && op->p1 < op->p0) return "the last position is before the first";
    bool counts = has_count(op->kind);
    if (op->kind >= ENGINE_OP_CLOSE && ((op->p0 != 0 && !counts) || op->p1 != -1)) return "positions where none belong";
    if (counts && op->p0 == 0) return "a mark of no positions";
    if (op->kind < ENGINE_OP_MARK && op->key != 0) return "a key where none belongs";
    return NULL;
}

/* A proposal comes directly after the token that it continues, and both have the flag SAMPLE. The first token of a frame may continue the
 * last token of an earlier frame. */
static const char *draft_fault(const struct engine_token *before, const struct engine_token *t) {
    if ((t->flags & ENGINE_TOKEN_DRAFT) == 0) return NULL;
    bool follows = before == NULL || (before->seq == t->seq && before->pos + 1 == t->pos && (before->flags & ENGINE_TOKEN_SAMPLE) != 0);
    if (!follows) return "a proposal that follows no sampled token";
    return (t->flags & ENGINE_TOKEN_SAMPLE) == 0 ? "a proposal that is not sampled" : NULL;
}

/* A row may be sampled after, if it ends the prompt; nothing else of a token makes sense. */
static const char *row_fault(const struct engine_token *t) {
    bool row = (t->flags & ENGINE_TOKEN_ROW) != 0, together = (t->flags & ENGINE_TOKEN_TOGETHER) != 0;
    if (together && !row) return "a token that is to be computed together with a picture";
    return row && (t->flags & ENGINE_TOKEN_ANSWERED & ~ENGINE_TOKEN_SAMPLE) != 0 ? "a row of a picture that is to be a token" : NULL;
}

static const char *guess_fault(const struct engine_token *t) {
    bool sampled = (t->flags & ENGINE_TOKEN_SAMPLE) != 0;
    return t->n_guess > 0 && !sampled ? "guesses behind a token that is not sampled after" : NULL;
}

/* ---- writing ---- */

/* The operation in the form of the wire. */
static struct engine_op tidy_op(struct engine_op op) {
    if (op.kind != ENGINE_OP_CP) op.dst = 0;
    if (op.p0 < 0 || (op.kind >= ENGINE_OP_CLOSE && !has_count(op.kind))) op.p0 = 0;
    if (op.p1 < 0 || op.kind >= ENGINE_OP_CLOSE) op.p1 = -1;
    if (op.kind < ENGINE_OP_MARK) op.key = 0;
    return op;
}

void wire_compute_put(uint8_t *out, const struct engine_op *ops, uint32_t n_ops, const struct engine_token *tokens, uint32_t n_tokens,
                      const struct wire_trace *trace, uint32_t n_trace) {
    for (uint32_t i = 0; i < n_ops; i++, out += OP_SIZE) {
        struct engine_op op = tidy_op(ops[i]);
        assert(op_fault(&op) == NULL);
        field_put(engine_op_fields(), &op, out);
    }
    for (uint32_t i = 0; i < n_tokens; i++, out += TOKEN_SIZE) {
        assert(draft_fault(i > 0 ? &tokens[i - 1] : NULL, &tokens[i]) == NULL && row_fault(&tokens[i]) == NULL);
        assert(guess_fault(&tokens[i]) == NULL);
        field_put(engine_token_fields(), &tokens[i], out);
    }
    for (uint32_t i = 0; i < n_trace; i++, out += TRACE_SIZE) field_put(wire_trace_fields(), &trace[i], out);
}

/* ---- reading ---- */

/* Reads entry i of a list; its table checks the values. */
static err_code get(const struct field_set *set, const uint8_t *list, uint32_t i, void *ret, struct err *e) {
    return field_peek(set, list + i * set->wire_size, set->wire_size, ret, e);
}

static err_code bad_entry(const char *what, uint32_t i, const char *fault, struct err *e) {
    return err_set(e, ERR_PROTOCOL, "COMPUTE frame, %s %u: %s", what, i, fault);
}

static err_code check_entries(const struct wire_compute *c, struct err *e) {
    struct err why = {0};
    struct engine_op op;
    for (uint32_t i = 0; i < c->n_ops; i++) {
        const char *fault = get(engine_op_fields(), c->ops, i, &op, &why) != ERR_OK ? why.text : op_fault(&op);
        if (fault != NULL) return bad_entry("operation", i, fault, e);
    }
    struct engine_token before = {0}, t;
    for (uint32_t i = 0; i < c->n_tokens; i++) {
        const char *fault = get(engine_token_fields(), c->tokens, i, &t, &why) != ERR_OK ? why.text : NULL;
        if (fault == NULL) fault = draft_fault(i > 0 ? &before : NULL, &t);
        if (fault == NULL) fault = row_fault(&t);
        if (fault == NULL) fault = guess_fault(&t);
        if (fault != NULL) return bad_entry("token", i, fault, e);
        before = t;
    }
    struct wire_trace trace;
    for (uint32_t i = 0; i < c->n_trace; i++)
        if (get(wire_trace_fields(), c->trace, i, &trace, &why) != ERR_OK) return bad_entry("trace entry", i, why.text, e);
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
    c.ops = payload != NULL ? payload : nothing; /* an empty payload may have no buffer yet */
    c.tokens = c.ops + (size_t)c.n_ops * OP_SIZE;
    c.trace = c.tokens + (size_t)c.n_tokens * TOKEN_SIZE;
    c.hidden = c.trace + (size_t)c.n_trace * TRACE_SIZE;
    err_code code = check_entries(&c, e);
    if (code == ERR_OK) *ret = c;
    return code;
}

struct engine_op wire_compute_op(const struct wire_compute *c, uint32_t i) {
    struct engine_op op = {0};
    assert(i < c->n_ops);
    get(engine_op_fields(), c->ops, i, &op, NULL);
    return op;
}

struct engine_token wire_compute_token(const struct wire_compute *c, uint32_t i) {
    struct engine_token t = {0};
    assert(i < c->n_tokens);
    get(engine_token_fields(), c->tokens, i, &t, NULL);
    return t;
}

struct wire_trace wire_compute_trace(const struct wire_compute *c, uint32_t i) {
    struct wire_trace t = {0};
    assert(i < c->n_trace);
    get(wire_trace_fields(), c->trace, i, &t, NULL);
    return t;
}
