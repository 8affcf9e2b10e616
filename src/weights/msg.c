/* SPDX-License-Identifier: MIT */
#include "weights/msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/json.h"
#include "wire/frame.h"

uint64_t weights_n_chunks(uint64_t size) { return (size + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK; }

/* ---- HELLO ---- */

void weights_hello_encode(const struct weights_hello *h, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_int(doc, root, "version", FRAME_VERSION);
    yyjson_mut_obj_add_str(doc, root, "model", h->model);
    yyjson_mut_obj_add_str(doc, root, "instance", h->instance);
    yyjson_mut_obj_add_uint(doc, root, "epoch", h->epoch);
    wire_proof_write(&h->proof, doc, root);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

static err_code read_hello(yyjson_val *root, struct weights_hello *h, struct err *e) {
    err_code code = json_need(root, "model", e);
    if (code == ERR_OK) code = json_get_line(root, "model", h->model, sizeof(h->model), e);
    if (code == ERR_OK) code = json_need(root, "instance", e);
    if (code == ERR_OK) code = json_get_line(root, "instance", h->instance, sizeof(h->instance), e);
    if (code == ERR_OK) code = json_need(root, "epoch", e);
    if (code == ERR_OK) code = json_get_u64(root, "epoch", &h->epoch, e);
    return code == ERR_OK ? wire_proof_read(root, &h->proof, e) : code;
}

err_code weights_hello_decode(const uint8_t *data, size_t len, struct weights_hello *ret, struct err *e) {
    yyjson_doc *doc;
    struct weights_hello h = {0};
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code != ERR_OK) return code;
    code = read_hello(yyjson_doc_get_root(doc), &h, e);
    yyjson_doc_free(doc);
    if (code == ERR_OK) *ret = h;
    return code;
}

/* ---- WELCOME ---- */

void weights_shape_encode(const struct weights_shape *s, const struct wire_proof *proof, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *parts = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "parts", parts);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        yyjson_mut_val *part = yyjson_mut_arr_add_obj(doc, parts);
        yyjson_mut_obj_add_uint(doc, part, "size", s->parts[i].size);
        yyjson_mut_obj_add_uint(doc, part, "header", s->parts[i].header);
    }
    yyjson_mut_obj_add_bool(doc, root, "whole", s->whole);
    if (proof) wire_proof_write(proof, doc, root);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

static err_code shape_part(yyjson_val *part, struct weights_part_shape *ret, struct err *e) {
    int64_t size = 0, header = 0;
    err_code code = json_need_i64(part, "size", 1, (int64_t)WEIGHTS_MAX_FILE, &size, e);
    int64_t most = size < (int64_t)WEIGHTS_MAX_HEADER ? size : (int64_t)WEIGHTS_MAX_HEADER;
    if (code == ERR_OK) code = json_need_i64(part, "header", 1, most, &header, e);
    *ret = (struct weights_part_shape){.size = (uint64_t)size, .header = (uint64_t)header};
    return code;
}

err_code weights_shape_decode(const uint8_t *data, size_t len, struct weights_shape *ret, struct wire_proof *ret_proof, struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc), *parts = yyjson_obj_get(root, "parts"), *part;
    size_t n = yyjson_arr_size(parts), i, max;
    if (n == 0 || n > MODEL_MAX_PARTS) code = err_set(e, ERR_PROTOCOL, "a model of %zu parts", n);
    *ret = (struct weights_shape){.n_parts = code == ERR_OK ? (uint32_t)n : 0};
    yyjson_arr_foreach(json_some(parts), i, max, part) {
        if (code == ERR_OK) code = shape_part(part, &ret->parts[i], e);
    }
    if (code == ERR_OK) code = json_get_bool(root, "whole", &ret->whole, e);
    if (code == ERR_OK && ret_proof) code = wire_proof_read(root, ret_proof, e);
    yyjson_doc_free(doc);
    return code;
}

/* ---- HAVE, HASHES ---- */

void weights_have_encode(const uint8_t *bits, uint64_t n, struct buf *out) {
    uint64_t bytes = (n + 3) / 4;
    if (!buf_reserve(out, bytes)) return;
    for (uint64_t i = 0; i < bytes; i++) {
        uint8_t four = 0;
        for (uint64_t k = 0; k < 4 && 4 * i + k < n; k++) four |= (uint8_t)((bits[4 * i + k] & 3) << 2 * k);
        out->data[out->len++] = four;
    }
}

err_code weights_have_decode(const uint8_t *data, size_t len, uint64_t n, uint8_t *ret_bits, struct err *e) {
    if (len != (n + 3) / 4) return err_set(e, ERR_PROTOCOL, "HAVE of %zu bytes for %" PRIu64 " chunks", len, n);
    for (uint64_t i = 0; i < n; i++) ret_bits[i] = data[i / 4] >> 2 * (i % 4) & 3;
    return ERR_OK;
}

void weights_run_encode(const struct weights_run *r, struct buf *out) {
    uint8_t bytes[12];
    bytes_put_u64(bytes, r->first);
    bytes_put_u32(bytes + 8, r->n);
    buf_append(out, bytes, sizeof(bytes));
}

err_code weights_run_decode(const uint8_t *data, size_t len, uint64_t n_chunks, struct weights_run *ret, struct err *e) {
    if (len != 12) return err_set(e, ERR_PROTOCOL, "HASHES of %zu bytes", len);
    struct weights_run r = {.first = bytes_get_u64(data), .n = bytes_get_u32(data + 8)};
    if (r.n == 0 || r.n > WEIGHTS_MAX_HASHES || r.first >= n_chunks || r.n > n_chunks - r.first)
        return err_set(e, ERR_PROTOCOL, "hashes of %u chunks from %" PRIu64 " on, of %" PRIu64, r.n, r.first, n_chunks);
    *ret = r;
    return ERR_OK;
}

/* ---- SOURCES ---- */

void weights_sources_encode(const struct weights_source *list, size_t n, struct buf *out) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc), *sources = yyjson_mut_arr(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_val(doc, root, "sources", sources);
    for (size_t i = 0; i < n && i < WEIGHTS_MAX_SOURCES; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, sources);
        json_add_id(doc, o, "node", list[i].node);
        yyjson_mut_obj_add_strcpy(doc, o, "host", list[i].host);
        yyjson_mut_obj_add_uint(doc, o, "port", list[i].port);
        yyjson_mut_obj_add_bool(doc, o, "whole", list[i].whole);
    }
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
}

static err_code source_decode(yyjson_val *o, struct weights_source *ret, struct err *e) {
    const char *host = NULL;
    int64_t port = 0;
    err_code code = json_need_id(o, "node", &ret->node, e);
    if (code == ERR_OK) code = json_need_str(o, "host", &host, e);
    if (code == ERR_OK) code = json_need_i64(o, "port", 1, UINT16_MAX, &port, e);
    if (code == ERR_OK) code = json_get_bool(o, "whole", &ret->whole, e);
    if (code != ERR_OK) return code;
    if (!host[0] || strlen(host) >= sizeof(ret->host)) return err_set(e, ERR_PROTOCOL, "field \"host\": %zu bytes", strlen(host));
    snprintf(ret->host, sizeof(ret->host), "%s", host);
    ret->port = (uint16_t)port;
    return ERR_OK;
}

err_code weights_sources_decode(const uint8_t *data, size_t len, struct weights_source ret[WEIGHTS_MAX_SOURCES], size_t *ret_n,
                                struct err *e) {
    yyjson_doc *doc;
    err_code code = json_parse((const char *)data, len, &doc, e);
    if (code != ERR_OK) return code;
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "sources"), *one;
    size_t n = yyjson_arr_size(list), i, max;
    if (n > WEIGHTS_MAX_SOURCES) code = err_set(e, ERR_PROTOCOL, "%zu sources", n);
    yyjson_arr_foreach(json_some(list), i, max, one) {
        if (code != ERR_OK) break;
        ret[i] = (struct weights_source){0};
        code = source_decode(one, &ret[i], e);
    }
    if (code == ERR_OK) *ret_n = n;
    yyjson_doc_free(doc);
    return code;
}
