/* SPDX-License-Identifier: MIT
 * The place of a field in a message in bytes, for tests that break a field. */
#ifndef CARAVAN_TESTS_SUPPORT_FIELD_AT_H
#define CARAVAN_TESTS_SUPPORT_FIELD_AT_H

#include <assert.h>
#include <string.h>

#include "base/field.h"

static inline size_t field_at(const struct field_set *set, const char *name) {
    size_t at = 0, i = 0;
    for (; i < set->n_fields && strcmp(set->fields[i].name, name) != 0; i++) {
        const struct field *f = &set->fields[i];
        bool one = f->type == FIELD_BOOL || f->type == FIELD_WORD;
        at += one ? 1 : f->type == FIELD_OBJECT ? f->of()->wire_size : f->size;
    }
    assert(i < set->n_fields);
    return at;
}

#endif
