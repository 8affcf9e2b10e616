/* SPDX-License-Identifier: MIT
 * Canonical JSON. See canon.h. */
#include "cache/canon.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- numbers ---- */

enum { MOST_DIGITS = 17 }; /* of a double; so many always give it back */

/* The fewest digits that give the number back, and the place of the decimal point among them: 0.digits * 10^*ret_point. */
static size_t shortest_digits(double number, char digits[MOST_DIGITS + 1], int *ret_point) {
    char text[40];
    int n = 0;
    do snprintf(text, sizeof(text), "%.*e", n, number);
    while (n++ < MOST_DIGITS - 1 && strtod(text, NULL) != number);
    digits[0] = text[0];
    memcpy(digits + 1, text + 2, (size_t)n - 1); /* after the point */
    digits[n] = '\0';
    *ret_point = (int)strtol(strchr(text, 'e') + 1, NULL, 10) + 1;
    return (size_t)n;
}

static void append_zeros(struct buf *out, int n) {
    for (int i = 0; i < n; i++) buf_append_byte(out, '0');
}

/* As 1e+21, 1.5e-7. */
static void append_with_exponent(const char *digits, size_t n, int point, struct buf *out) {
    buf_append_byte(out, (uint8_t)digits[0]);
    if (n > 1) buf_printf(out, ".%s", digits + 1);
    buf_printf(out, "e%+d", point - 1);
}

void canon_append_number(double number, struct buf *out) {
    enum { LONGEST = 21, SMALLEST = -6 }; /* ECMA-262: more digits before the point, or zeros after it, make an exponent */
    char digits[MOST_DIGITS + 1];
    int point;
    if (number < 0) buf_append_byte(out, '-');
    size_t n = shortest_digits(fabs(number), digits, &point);
    if (number == 0) {
        buf_append_byte(out, '0'); /* -0, too */
    } else if (point > LONGEST || point <= SMALLEST) {
        append_with_exponent(digits, n, point, out);
    } else if (point <= 0) {
        buf_append_str(out, "0.");
        append_zeros(out, -point);
        buf_append_str(out, digits);
    } else if ((size_t)point >= n) {
        buf_append_str(out, digits);
        append_zeros(out, point - (int)n);
    } else {
        buf_printf(out, "%.*s.%s", point, digits, digits + point);
    }
}

/* Integers are printed as they are: below 2^53 that is what ECMAScript prints, and above it what keeps them apart. */
static void append_number(yyjson_val *v, struct buf *out) {
    if (yyjson_is_uint(v)) buf_printf(out, "%" PRIu64, yyjson_get_uint(v));
    else if (yyjson_is_sint(v)) buf_printf(out, "%" PRId64, yyjson_get_sint(v));
    else canon_append_number(yyjson_get_real(v), out);
}

/* ---- strings ---- */

static void append_escaped(char c, struct buf *out) {
    static const char letters[] = "btn?fr"; /* of 8 to 13; there is none for 11 */
    if (c == '"' || c == '\\') buf_printf(out, "\\%c", c);
    else if (c >= '\b' && c <= '\r' && c != '\v') buf_printf(out, "\\%c", letters[c - '\b']);
    else buf_printf(out, "\\u%04x", (unsigned)c);
}

static bool needs_escape(char c) { return (unsigned char)c < 0x20 || c == '"' || c == '\\'; }

static void append_string(const char *text, size_t len, struct buf *out) {
    buf_append_byte(out, '"');
    for (size_t i = 0, from = 0; i <= len; i++) {
        if (i < len && !needs_escape(text[i])) continue;
        buf_append(out, text + from, i - from);
        if (i < len) append_escaped(text[i], out);
        from = i + 1;
    }
    buf_append_byte(out, '"');
}

/* ---- objects ---- */

/* The order of UTF-16 units is that of UTF-8 bytes but for one thing: characters beyond U+FFFF (first byte F0 and up) stand before those
 * from U+E000 to U+FFFF (first byte EE or EF), since their first unit is a surrogate. */
static int by_units(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t n = a_len < b_len ? a_len : b_len, i = 0;
    while (i < n && a[i] == b[i]) i++;
    if (i == n) return (a_len > b_len) - (a_len < b_len);
    unsigned char x = (unsigned char)a[i], y = (unsigned char)b[i];
    int order = x < y ? -1 : 1;
    return x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) ? -order : order;
}

static int by_name(const void *a, const void *b) {
    yyjson_val *x = *(yyjson_val *const *)a, *y = *(yyjson_val *const *)b;
    int order = by_units(yyjson_get_str(x), yyjson_get_len(x), yyjson_get_str(y), yyjson_get_len(y));
    return order != 0 ? order : (x > y) - (x < y); /* in a document, values lie in their order */
}

static void append_object(yyjson_val *v, canon_skip_fn skip, struct buf *out) {
    size_t n = 0, i, max;
    yyjson_val **names = mem_calloc(yyjson_obj_size(v) + 1, sizeof(yyjson_val *)), *name, *value;
    yyjson_obj_foreach(v, i, max, name, value) {
        if (skip == NULL || !skip(yyjson_get_str(name), yyjson_get_len(name))) names[n++] = name;
    }
    qsort(names, n, sizeof(yyjson_val *), by_name);
    buf_append_byte(out, '{');
    for (i = 0; i < n; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_string(yyjson_get_str(names[i]), yyjson_get_len(names[i]), out);
        buf_append_byte(out, ':');
        canon_append(yyjson_obj_iter_get_val(names[i]), NULL, out);
    }
    buf_append_byte(out, '}');
    free(names);
}

static void append_array(yyjson_val *v, struct buf *out) {
    size_t i, n;
    yyjson_val *item;
    buf_append_byte(out, '[');
    yyjson_arr_foreach(v, i, n, item) {
        if (i > 0) buf_append_byte(out, ',');
        canon_append(item, NULL, out);
    }
    buf_append_byte(out, ']');
}

void canon_append(yyjson_val *v, canon_skip_fn skip, struct buf *out) {
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_OBJ: append_object(v, skip, out); break;
    case YYJSON_TYPE_ARR: append_array(v, out); break;
    case YYJSON_TYPE_STR: append_string(yyjson_get_str(v), yyjson_get_len(v), out); break;
    case YYJSON_TYPE_NUM: append_number(v, out); break;
    case YYJSON_TYPE_RAW: buf_append(out, yyjson_get_raw(v), yyjson_get_len(v)); break; /* a number beyond 64 bits, as it was sent */
    case YYJSON_TYPE_BOOL: buf_append_str(out, yyjson_get_bool(v) ? "true" : "false"); break;
    default: buf_append_str(out, "null"); break;
    }
}
