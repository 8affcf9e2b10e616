/* SPDX-License-Identifier: MIT
 * Every message between processes: its name up to a line feed, then the message. What is accepted is written, read again, and written to
 * the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "program/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 64 << 20 };

static const struct field_set *set_of(const uint8_t *name, size_t len) {
    size_t n;
    const messages_set_fn *sets = messages_sets(&n);
    for (size_t i = 0; i < n; i++) {
        const struct field_set *set = sets[i]();
        if (strlen(set->name) == len && memcmp(set->name, name, len) == 0) return set;
    }
    return NULL;
}

static void must(bool ok) {
    if (!ok) abort();
}

static void check(const struct field_set *set, const uint8_t *data, size_t len) {
    void *value = calloc(1, set->size), *again = calloc(1, set->size);
    struct err e = {0};
    struct buf first, second;
    buf_init(&first, MOST);
    buf_init(&second, MOST);
    must(value != NULL && again != NULL);
    err_code code = field_decode(set, data, len, value, &e);
    must((code == ERR_OK) == (e.text[0] == '\0'));
    if (code == ERR_OK) {
        field_encode(set, value, &first);
        must(!first.failed && (!set->bytes || first.len == len));
        must(field_decode(set, first.data, first.len, again, &e) == ERR_OK);
        field_encode(set, again, &second);
        must(second.len == first.len && memcmp(first.data, second.data, first.len) == 0);
        field_done(set, again);
        field_done(set, value);
    }
    buf_done(&first);
    buf_done(&second);
    free(value);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    const struct field_set *set = end != NULL ? set_of(data, (size_t)(end - data)) : NULL;
    if (set == NULL) return 0;
    /* A copy of exactly this size: a sanitizer sees a byte read beyond it. */
    size_t len = size - (size_t)(end + 1 - data);
    uint8_t *copy = malloc(len > 0 ? len : 1);
    must(copy != NULL);
    memcpy(copy, end + 1, len);
    check(set, copy, len);
    free(copy);
    return 0;
}
