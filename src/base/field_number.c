/* SPDX-License-Identifier: MIT
 * A number in a struct, by its row in a field table. */
#include <string.h>

#include "base/field_priv.h"

static void *at(void *value, const struct field *f) { return (char *)value + f->at; }
static const void *at_const(const void *value, const struct field *f) { return (const char *)value + f->at; }

/* By memcpy: the member may be a float or an enum. */
uint64_t field_get_uint(const void *value, const struct field *f) {
    const void *p = at_const(value, f);
    uint16_t two;
    uint32_t four;
    uint64_t eight;
    switch (f->size) {
    case 1: return *(const uint8_t *)p;
    case 2: memcpy(&two, p, 2); return two;
    case 4: memcpy(&four, p, 4); return four;
    default: memcpy(&eight, p, 8); return eight;
    }
}

void field_set_uint(void *value, const struct field *f, uint64_t v) {
    void *p = at(value, f);
    uint16_t two = (uint16_t)v;
    uint32_t four = (uint32_t)v;
    switch (f->size) {
    case 1: *(uint8_t *)p = (uint8_t)v; break;
    case 2: memcpy(p, &two, 2); break;
    case 4: memcpy(p, &four, 4); break;
    default: memcpy(p, &v, 8); break;
    }
}

int64_t field_get_int(const void *value, const struct field *f) {
    uint64_t v = field_get_uint(value, f);
    return f->size == 4 ? (int32_t)v : (int64_t)v;
}

double field_get_real(const void *value, const struct field *f) {
    const void *p = at_const(value, f);
    return f->size == sizeof(float) ? (double)*(const float *)p : *(const double *)p;
}

void field_set_real(void *value, const struct field *f, double v) {
    void *p = at(value, f);
    if (f->size == sizeof(float)) *(float *)p = (float)v;
    else *(double *)p = v;
}
