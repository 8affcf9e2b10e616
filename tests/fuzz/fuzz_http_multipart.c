/* SPDX-License-Identifier: MIT
 * A form (multipart/form-data) whole and in pieces: both must give the same parts, the same contents and the same end. The first byte is
 * the size of the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_part(void *user, const struct multipart_part *part) {
    buf_printf(user, "\n%zu %zu:%s", strlen(part->name), part->filename != NULL ? strlen(part->filename) : 0, part->name);
}

static void on_data(void *user, const void *data, size_t len) { buf_append(user, data, len); }

static err_code run(const uint8_t *data, size_t size, size_t step, struct buf *ret) {
    static const struct multipart_events events = {.part = on_part, .data = on_data};
    struct multipart *m = NULL;
    struct err e = {0};
    buf_init(ret, 1 << 24);
    if (multipart_create("multipart/form-data; boundary=B", &events, ret, &m, &e) != ERR_OK) abort();
    for (size_t at = 0; at < size; at += step) multipart_push(m, data + at, step < size - at ? step : size - at);
    err_code code = multipart_finish(m, &e);
    multipart_free(m);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole, pieces;
    if (size == 0) return 0;
    err_code a = run(data + 1, size - 1, size, &whole), b = run(data + 1, size - 1, data[0] + (size_t)1, &pieces);
    if (a != b) abort();
    if (a == ERR_OK && (whole.len != pieces.len || (whole.len > 0 && memcmp(whole.data, pieces.data, whole.len) != 0))) abort();
    buf_done(&whole);
    buf_done(&pieces);
    struct multipart *m = NULL;
    char *type = malloc(size);
    memcpy(type, data + 1, size - 1);
    type[size - 1] = '\0';
    static const struct multipart_events none = {.part = on_part, .data = on_data};
    if (multipart_create(type, &none, NULL, &m, NULL) == ERR_OK) multipart_free(m);
    free(type);
    return 0;
}
