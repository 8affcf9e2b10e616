/* SPDX-License-Identifier: MIT
 * The input of a batch, whole and in pieces: both must find the same lines and the same faults. Lines without faults can be read again
 * where they stand, and their results are lines of JSON. The first byte is the size of the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "batch/input.h"
#include "batch/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINES = 40 };
static const char CHAT[] = "/v1/chat/completions";

static struct batch_input *run(const char *text, size_t size, size_t step) {
    struct batch_input *in = batch_input_create(batch_endpoint(CHAT), MAX_LINES);
    for (size_t at = 0; at < size; at += step) batch_input_push(in, text + at, step < size - at ? step : size - at);
    batch_input_end(in);
    return in;
}

static void check_result(const struct batch_line *line, const char *text, size_t len) {
    const struct batch_result r = {
        .id = "r", .custom_id = line->custom_id, .status = 200, .request_id = "", .served_by = "", .body = text, .body_len = len};
    struct buf out;
    yyjson_doc *doc = NULL;
    buf_init(&out, SIZE_MAX - 1);
    batch_result_write(&r, &out);
    if (memchr(out.data, '\n', out.len) != NULL || json_parse((const char *)out.data, out.len, &doc, NULL) != ERR_OK) abort();
    if (!yyjson_equals_str(yyjson_obj_get(yyjson_doc_get_root(doc), "custom_id"), line->custom_id)) abort();
    yyjson_doc_free(doc);
    buf_done(&out);
}

/* first: a mark of the byte order may stand before it, which is no part of a body. */
static void check_line(const char *text, const struct batch_place *p, const char *model, bool first) {
    struct batch_line line;
    struct err e = {0};
    if (batch_line_read(text + p->at, p->len, CHAT, &line, &e) != ERR_OK || strcmp(line.model, model) != 0) abort();
    if (!first) check_result(&line, text + p->at, p->len);
    batch_line_done(&line);
}

static void check_lines(const struct batch_input *in, const char *text, size_t size, bool right) {
    uint32_t n;
    uint64_t end = 0;
    const struct batch_place *p = batch_input_lines(in, &n);
    if (n > MAX_LINES || (right && n == 0)) abort();
    for (uint32_t i = 0; i < n; i++) {
        if (p[i].at < end || p[i].at + p[i].len > size || memchr(text + p[i].at, '\n', p[i].len) != NULL) abort();
        end = p[i].at + p[i].len + 1;
        if (right) check_line(text, &p[i], batch_input_model(in), i == 0);
    }
}

static void check_same(const struct batch_input *a, const struct batch_input *b) {
    size_t n_faults, m_faults;
    uint32_t n, m;
    const struct batch_fault *f = batch_input_faults(a, &n_faults), *g = batch_input_faults(b, &m_faults);
    const struct batch_place *p = batch_input_lines(a, &n), *q = batch_input_lines(b, &m);
    if (n_faults != m_faults || n != m || strcmp(batch_input_model(a), batch_input_model(b)) != 0) abort();
    for (size_t i = 0; i < n_faults; i++)
        if (f[i].line != g[i].line || f[i].code != g[i].code || strcmp(f[i].message, g[i].message) != 0) abort();
    for (uint32_t i = 0; i < n; i++)
        if (p[i].at != q[i].at || p[i].len != q[i].len) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t n_faults;
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    struct batch_input *whole = run(text, size - 1, size), *pieces = run(text, size - 1, data[0] + (size_t)1);
    check_same(whole, pieces);
    batch_input_faults(whole, &n_faults);
    check_lines(whole, text, size - 1, n_faults == 0);
    batch_input_free(whole);
    batch_input_free(pieces);
    return 0;
}
