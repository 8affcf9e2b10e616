/* SPDX-License-Identifier: MIT
 * A number in a struct, by its row in a field table: for the parts of base/field.h, and for the test that fills every field. Messages in
 * bytes, for field_encode and field_decode. */
#ifndef CARAVAN_BASE_FIELD_PRIV_H
#define CARAVAN_BASE_FIELD_PRIV_H

#include "base/field.h"

uint64_t field_get_uint(const void *value, const struct field *f);
void field_set_uint(void *value, const struct field *f, uint64_t v);
int64_t field_get_int(const void *value, const struct field *f);
double field_get_real(const void *value, const struct field *f);
void field_set_real(void *value, const struct field *f, double v);

void field_append_bytes(const struct field_set *set, const void *value, struct buf *out);
/* ERR_PROTOCOL: too few or too many bytes, or a value that is out of range. */
err_code field_read_bytes(const struct field_set *set, const uint8_t *data, size_t len, void *value, struct err *e);

#endif
