/* SPDX-License-Identifier: MIT
 * Messages of a weights link: HELLO, WELCOME, HAVE, HASHES, SOURCES. An accepted one is the same after encoding it again. */
#include <stdlib.h>
#include <string.h>

#include "weights/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHUNKS = 37 };

static void check_shape(const uint8_t *data, size_t size) {
    static struct weights_shape a, b;
    struct wire_proof pa, pb;
    struct err e = {0};
    struct buf out;
    if (weights_welcome_decode(data, size, &a, &pa, &e) != ERR_OK) return;
    buf_init(&out, 1 << 20);
    weights_welcome_encode(&a, &pa, &out);
    if (weights_welcome_decode(out.data, out.len, &b, &pb, &e) != ERR_OK || a.n_parts != b.n_parts || a.whole != b.whole) abort();
    if (memcmp(a.parts, b.parts, a.n_parts * sizeof(a.parts[0])) != 0 || memcmp(&pa, &pb, sizeof(pa)) != 0) abort();
    buf_done(&out);
}

static void check_hello(const uint8_t *data, size_t size) {
    struct weights_hello a, b;
    struct err e = {0};
    struct buf out;
    if (weights_hello_decode(data, size, &a, &e) != ERR_OK) return;
    buf_init(&out, 1 << 16);
    weights_hello_encode(&a, &out);
    if (weights_hello_decode(out.data, out.len, &b, &e) != ERR_OK || a.epoch != b.epoch) abort();
    if (strcmp(a.model, b.model) != 0 || strcmp(a.instance, b.instance) != 0 || memcmp(&a.proof, &b.proof, sizeof(a.proof)) != 0) abort();
    buf_done(&out);
}

static void check_sources(const uint8_t *data, size_t size) {
    static struct weights_source a[WEIGHTS_MAX_SOURCES], b[WEIGHTS_MAX_SOURCES];
    struct err e = {0};
    struct buf out;
    size_t n, m;
    if (weights_sources_decode(data, size, a, &n, &e) != ERR_OK) return;
    buf_init(&out, 1 << 20);
    weights_sources_encode(a, n, &out);
    if (weights_sources_decode(out.data, out.len, b, &m, &e) != ERR_OK || n != m) abort();
    for (size_t i = 0; i < n; i++)
        if (a[i].node != b[i].node || a[i].port != b[i].port || strcmp(a[i].host, b[i].host) != 0 || a[i].whole != b[i].whole) abort();
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct weights_run run;
    uint8_t bits[CHUNKS];
    struct err e = {0};
    struct buf out;
    check_hello(data, size);
    check_shape(data, size);
    check_sources(data, size);
    buf_init(&out, 1 << 12);
    if (weights_run_decode(data, size, 1000, &run, &e) == ERR_OK) {
        if (run.n == 0 || run.n > WEIGHTS_MAX_HASHES || run.first + run.n > 1000) abort();
        field_encode(weights_run_fields(), &run, &out);
        if (out.len != size || memcmp(out.data, data, size) != 0) abort();
    }
    buf_clear(&out);
    if (weights_have_decode(data, size, CHUNKS, bits, &e) == ERR_OK) {
        for (size_t i = 0; i < CHUNKS; i++)
            if (bits[i] > 3) abort();
        weights_have_encode(bits, CHUNKS, &out);
        if (out.len != size || memcmp(out.data, data, size - 1) != 0) abort();
    }
    buf_done(&out);
    return 0;
}
