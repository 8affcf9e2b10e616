/* SPDX-License-Identifier: MIT
 * A stream of frames as a link receives it, in two ways at once: whole, and byte by byte; both must see the same frames and the same end.
 * The first byte of the input chooses the kind of link. COMPUTE payloads are viewed, and every entry read. */
#include <stdlib.h>
#include <string.h>

#include "wire/compute.h"
#include "wire/hidden.h"
#include "wire/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t frames, sum;
    err_code end;
};

static void add(struct seen *s, uint64_t v) { s->sum = (s->sum ^ v) * 0x100000001b3u; }

/* Encodes a decoded view again: the payload must be the same, byte for byte. */
static void check_compute(const struct frame_header *h, const uint8_t *payload, struct seen *s) {
    struct wire_compute c;
    struct err e;
    err_code code = wire_compute_view(h, payload, h->width, &c, &e);
    add(s, code);
    if (code != ERR_OK) return;
    size_t head = wire_compute_head_size(c.n_ops, c.n_tokens, c.n_trace);
    struct engine_op *ops = calloc(c.n_ops + 1, sizeof(*ops));
    struct engine_token *tokens = calloc(c.n_tokens + 1, sizeof(*tokens));
    struct wire_trace *trace = calloc(c.n_trace + 1, sizeof(*trace));
    uint8_t *again = malloc(head + 1);
    for (uint32_t i = 0; i < c.n_ops; i++) ops[i] = wire_compute_op(&c, i);
    for (uint32_t i = 0; i < c.n_tokens; i++) tokens[i] = wire_compute_token(&c, i);
    for (uint32_t i = 0; i < c.n_trace; i++) trace[i] = wire_compute_trace(&c, i);
    wire_compute_put(again, ops, c.n_ops, tokens, c.n_tokens, trace, c.n_trace);
    if (head > 0 && memcmp(again, payload, head) != 0) abort();
    size_t n = (size_t)c.n_tokens * c.width;
    float *rows = malloc(n * sizeof(*rows) + 1);
    wire_hidden_get(rows, c.dtype, c.hidden, c.n_tokens, c.width);
    uint8_t *back = malloc(c.n_tokens * c.row_bytes + 1);
    wire_hidden_put(back, c.dtype, rows, c.n_tokens, c.width);
    if (c.dtype == FRAME_F32 && n > 0 && memcmp(back, c.hidden, n * 4) != 0) abort();
    free(ops);
    free(tokens);
    free(trace);
    free(again);
    free(rows);
    free(back);
}

static struct seen run(enum frame_link link, const uint8_t *data, size_t size, size_t step) {
    struct seen s = {.end = ERR_OK};
    struct wire_reader r;
    struct err e;
    wire_reader_init(&r, link);
    for (size_t at = 0; at < size && s.end == ERR_OK;) {
        size_t n = step < size - at ? step : size - at;
        const uint8_t *p = data + at;
        at += n;
        while (n > 0) {
            err_code code = wire_reader_feed(&r, &p, &n, &e);
            if (code == ERR_BUSY) break;
            if (code != ERR_OK) {
                s.end = code;
                break;
            }
            uint8_t head[FRAME_HEADER_SIZE];
            frame_header_put(head, &r.header);
            if (memcmp(head, r.head, sizeof(head)) != 0) abort();
            s.frames++;
            add(&s, r.header.type);
            for (uint32_t i = 0; i < r.header.payload_len; i++) add(&s, r.payload[i]);
            if (r.header.type == FRAME_COMPUTE) check_compute(&r.header, r.payload, &s);
        }
    }
    wire_reader_done(&r);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    enum frame_link link = (enum frame_link)(1 << (data[0] & 3));
    struct seen whole = run(link, data + 1, size - 1, size), bytes = run(link, data + 1, size - 1, 1);
    if (whole.frames != bytes.frames || whole.sum != bytes.sum || whole.end != bytes.end) abort();
    return 0;
}
