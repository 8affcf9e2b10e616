/* SPDX-License-Identifier: MIT */
#include "weights/msg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/handshake.h"

#define MESSAGES_WEIGHTS
#include "base/field_tables.h"
#undef MESSAGES_WEIGHTS

uint64_t weights_n_chunks(uint64_t size) { return (size + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK; }

/* ---- HELLO, WELCOME ---- */

void weights_hello_encode(const struct weights_hello *h, struct buf *out) {
    struct weights_hello hello = *h;
    hello.version = WIRE_VERSION;
    field_encode(weights_hello_fields(), &hello, out);
}

err_code weights_hello_decode(const uint8_t *data, size_t len, struct weights_hello *ret, struct err *e) {
    return wire_greeting_decode(weights_hello_fields(), "HELLO", data, len, ret, e);
}

void weights_welcome_encode(const struct weights_shape *s, const struct wire_proof *proof, struct buf *out) {
    struct weights_welcome w = {.version = WIRE_VERSION, .shape = *s, .proof = *proof};
    field_encode(weights_welcome_fields(), &w, out);
}

static err_code shape_check(const struct weights_shape *s, struct err *e) {
    if (s->n_parts == 0) return err_set(e, ERR_PROTOCOL, "a model of no parts");
    for (uint32_t i = 0; i < s->n_parts; i++)
        if (s->parts[i].header > s->parts[i].size) return err_set(e, ERR_PROTOCOL, "part %u has a header longer than the file", i);
    return ERR_OK;
}

err_code weights_welcome_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct wire_proof *ret_proof, struct err *e) {
    struct weights_welcome w;
    err_code code = wire_greeting_decode(weights_welcome_fields(), "WELCOME", data, len, &w, e);
    if (code == ERR_OK) code = shape_check(&w.shape, e);
    if (code != ERR_OK) return code;
    *ret = w.shape;
    *ret_proof = w.proof;
    return ERR_OK;
}

void weights_shape_encode(const struct weights_shape *s, struct buf *out) { field_encode(weights_shape_fields(), s, out); }

err_code weights_shape_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct err *e) {
    struct weights_shape s;
    err_code code = field_decode(weights_shape_fields(), data, len, &s, e);
    if (code == ERR_OK) code = shape_check(&s, e);
    if (code == ERR_OK) *ret = s;
    return code;
}

/* ---- HAVE, HASHES ---- */

void weights_have_encode(const uint8_t *bits, uint64_t n, struct buf *out) {
    size_t bytes = (size_t)(n + 3) / 4;
    uint8_t *marks = mem_calloc(bytes, 1);
    for (uint64_t i = 0; i < n; i++) marks[i / 4] |= (uint8_t)((bits[i] & 3) << 2 * (i % 4));
    field_encode(weights_have_fields(), &(struct weights_have){.marks = marks, .marks_len = bytes}, out);
    free(marks);
}

err_code weights_have_decode(const uint8_t *data, size_t len, uint64_t n, uint8_t *ret_bits, struct err *e) {
    struct weights_have h;
    if (field_decode(weights_have_fields(), data, len, &h, e) != ERR_OK) return ERR_PROTOCOL;
    if (h.marks_len != (n + 3) / 4) return err_set(e, ERR_PROTOCOL, "HAVE of %zu bytes for %" PRIu64 " chunks", len, n);
    for (uint64_t i = 0; i < n; i++) ret_bits[i] = h.marks[i / 4] >> 2 * (i % 4) & 3;
    return ERR_OK;
}

err_code weights_run_decode(const uint8_t *data, size_t len, uint64_t n_chunks, struct weights_run *ret, struct err *e) {
    struct weights_run r;
    if (field_decode(weights_run_fields(), data, len, &r, e) != ERR_OK) return ERR_PROTOCOL;
    if (r.first >= n_chunks || r.n > n_chunks - r.first)
        return err_set(e, ERR_PROTOCOL, "hashes of %u chunks from %" PRIu64 " on, of %" PRIu64, r.n, r.first, n_chunks);
    *ret = r;
    return ERR_OK;
}

/* ---- SOURCES ---- */

void weights_sources_encode(const struct weights_source *list, size_t n, struct buf *out) {
    struct weights_sources s = {.n_sources = n < WEIGHTS_MAX_SOURCES ? (uint32_t)n : WEIGHTS_MAX_SOURCES};
    memcpy(s.sources, list, s.n_sources * sizeof(*list));
    field_encode(weights_sources_fields(), &s, out);
}

err_code weights_sources_decode(const uint8_t *data, size_t len, struct weights_source ret[WEIGHTS_MAX_SOURCES], size_t *ret_n,
                                struct err *e) {
    struct weights_sources s;
    err_code code = field_decode(weights_sources_fields(), data, len, &s, e);
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < s.n_sources; i++)
        if (s.sources[i].host[0] == '\0') return err_set(e, ERR_PROTOCOL, "a source without an address");
    memcpy(ret, s.sources, s.n_sources * sizeof(*ret));
    *ret_n = s.n_sources;
    return ERR_OK;
}
