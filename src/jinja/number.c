/* SPDX-License-Identifier: MIT
 * Python's numbers: integers of 64 bits with overflow checks, exact longer ones for showing and comparing, floats. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jinja/object_priv.h"
#include "jinja/run_priv.h"
#include "jinja/number_priv.h"
#include "jinja/text.h"

/* ---- text to numbers ---- */

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
    return 99;
}

/* A prefix such as 0x, if the base allows one: moves *text past it. */
static void take_prefix(const char **text, size_t *len, int *base) {
    static const struct {
        char letter;
        int base;
    } rows[] = {{'x', 16}, {'o', 8}, {'b', 2}};
    for (int i = 0; i < 3 && *len > 2 && (*text)[0] == '0'; i++) {
        if (((*text)[1] | 0x20) != rows[i].letter || (*base != 0 && *base != rows[i].base)) continue;
        *base = rows[i].base;
        *text += 2;
        *len -= 2;
        if ((*text)[0] == '_') (*text)++, (*len)--;
        return;
    }
    if (*base == 0) *base = 10;
}

/* Copies the digits, each below the base, without underscores into digits[0..*ret_n). */
static bool take_digits(const char *text, size_t len, int base, char *digits, size_t *ret_n) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_' && i > 0 && i + 1 < len && text[i - 1] != '_') continue;
        if (digit_of(text[i]) >= base) return false;
        if (n > 0 || text[i] != '0') digits[n++] = text[i];
    }
    if (n == 0 && len > 0) digits[n++] = '0';
    *ret_n = n;
    return n > 0;
}

static bool value_of_digits(struct jinja_run *r, const char *digits, size_t n, int base, bool negative, struct jinja_value *ret) {
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        int d = negative ? -digit_of(digits[i]) : digit_of(digits[i]);
        if (!__builtin_mul_overflow(value, (int64_t)base, &value) && !__builtin_add_overflow(value, (int64_t)d, &value)) continue;
        if (base != 10) return jinja_fail(r, "an integer of base %d has more than 64 bits", base);
        struct jinja_out o = {0};
        if ((negative && !jinja_out_byte(r, &o, '-')) || !jinja_out_write(r, &o, digits, n) || !jinja_out_take(r, &o, ret)) return false;
        ret->type = JINJA_BIG;
        return true;
    }
    *ret = jinja_int(value);
    return true;
}

bool jinja_number_parse_int(struct jinja_run *r, const char *text, size_t len, int base, struct jinja_value *ret) {
    jinja_text_strip(&text, &len, true, true);
    bool negative = len > 0 && text[0] == '-';
    if (len > 0 && (text[0] == '-' || text[0] == '+')) text++, len--;
    take_prefix(&text, &len, &base);
    size_t n;
    char *digits = jinja_heap_bytes(r->heap, len);
    if (digits == NULL) return jinja_fail_memory(r);
    return take_digits(text, len, base, digits, &n) && value_of_digits(r, digits, n, base, negative, ret);
}

/* Copies without underscores, which are allowed only between digits. false: it doesn't fit, or has a character that no number has. */
static bool clean_float(const char *text, size_t len, char *ret, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '_') {
            if (i == 0 || i + 1 == len || digit_of(text[i - 1]) > 9 || digit_of(text[i + 1]) > 9) return false;
            continue;
        }
        if (n + 1 >= size || text[i] == 'x' || text[i] == 'X' || text[i] == 'p' || text[i] == 'P' || text[i] == '(') return false;
        ret[n++] = text[i];
    }
    ret[n] = '\0';
    return n > 0;
}

bool jinja_number_parse_float(const char *text, size_t len, double *ret) {
    char clean[1024], *end;
    jinja_text_strip(&text, &len, true, true);
    if (!clean_float(text, len, clean, sizeof(clean))) return false;
    double f = strtod(clean, &end);
    if (*end != '\0') return false;
    *ret = f;
    return true;
}

/* ---- numbers to text ---- */

/* The fewest digits that give the same number, as "d.ddde+x"; returns the number of digits after the point. */
static int shortest_digits(double f, char *digits, size_t size) {
    enum { ALWAYS_KEPT = 14 }; /* this many digits after the first survive the conversion to a double and back, except for tiny numbers */
    int precision = fabs(f) < 2.3e-308 ? 0 : ALWAYS_KEPT;
    snprintf(digits, size, "%.*e", precision, f);
    while (strtod(digits, NULL) != f && precision < 16) snprintf(digits, size, "%.*e", ++precision, f);
    if (precision != ALWAYS_KEPT) return precision;
    char *power = strchr(digits, 'e'), *end = power;
    for (; precision > 0 && end[-1] == '0'; precision--) end--;
    if (precision == 0) end--; /* remove the point */
    memmove(end, power, strlen(power) + 1);
    return precision;
}

/* Like Python: with an exponent below 1e-4 and from 1e16 on. */
size_t jinja_number_text(double f, char ret[JINJA_NUMBER_TEXT]) {
    char digits[32];
    if (isnan(f)) return (size_t)snprintf(ret, JINJA_NUMBER_TEXT, "nan");
    if (isinf(f)) return (size_t)snprintf(ret, JINJA_NUMBER_TEXT, f > 0 ? "inf" : "-inf");
    int precision = shortest_digits(f, digits, sizeof(digits));
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        int after = precision - exponent > 1 ? precision - exponent : 1;
        return (size_t)snprintf(ret, JINJA_NUMBER_TEXT, "%.*f", after, f);
    }
    return (size_t)snprintf(ret, JINJA_NUMBER_TEXT, "%.*se%c%02d", (int)(strchr(digits, 'e') - digits), digits, exponent < 0 ? '-' : '+',
                            abs(exponent));
}

/* ---- comparing ---- */

double jinja_number_double(struct jinja_value v) {
    enum { ENOUGH = 40 };
    char text[ENOUGH + 32];
    if (v.type == JINJA_FLOAT) return v.f;
    if (v.type != JINJA_BIG) return (double)jinja_int_of(v);
    if (v.s->len <= ENOUGH) snprintf(text, sizeof(text), "%.*s", (int)v.s->len, v.s->data);
    else snprintf(text, sizeof(text), "%.*se%zu", ENOUGH, v.s->data, v.s->len - ENOUGH);
    return strtod(text, NULL);
}

static int order_double(double a, double b) {
    if (isnan(a) || isnan(b)) return 2;
    return (a > b) - (a < b);
}

static int order_int_double(int64_t i, double f) {
    if (isnan(f)) return 2;
    if (f >= 9223372036854775808.0) return -1;
    if (f < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)f;
    if (i != whole) return i > whole ? 1 : -1;
    double rest = f - (double)whole;
    return (rest < 0) - (rest > 0);
}

static int order_big(const struct jinja_str *a, const struct jinja_str *b) {
    bool less = a->data[0] == '-', negative = b->data[0] == '-';
    if (less != negative) return less ? -1 : 1;
    int c = a->len != b->len ? (a->len > b->len ? 1 : -1) : memcmp(a->data, b->data, a->len);
    return c == 0 ? 0 : (c > 0) != less ? 1 : -1;
}

int jinja_number_order(struct jinja_value a, struct jinja_value b) {
    bool ints = jinja_is_int(a) && jinja_is_int(b);
    if (ints) return (jinja_int_of(a) > jinja_int_of(b)) - (jinja_int_of(a) < jinja_int_of(b));
    if (jinja_is_int(a) && b.type == JINJA_FLOAT) return order_int_double(jinja_int_of(a), b.f);
    if (a.type == JINJA_FLOAT && jinja_is_int(b)) {
        int c = order_int_double(jinja_int_of(b), a.f);
        return c == 2 ? 2 : -c;
    }
    if (a.type == JINJA_BIG && b.type == JINJA_BIG) return order_big(a.s, b.s);
    if (a.type == JINJA_BIG && jinja_is_int(b)) return a.s->data[0] == '-' ? -1 : 1;
    if (jinja_is_int(a) && b.type == JINJA_BIG) return b.s->data[0] == '-' ? 1 : -1;
    return order_double(jinja_number_double(a), jinja_number_double(b));
}

/* ---- computing ---- */

static bool give_wide(struct jinja_run *r, __int128 v, struct jinja_value *ret) {
    if (v >= INT64_MIN && v <= INT64_MAX) {
        *ret = jinja_int((int64_t)v);
        return true;
    }
    char digits[48];
    size_t at = sizeof(digits);
    bool negative = v < 0;
    for (unsigned __int128 rest = negative ? -(unsigned __int128)v : (unsigned __int128)v; rest > 0; rest /= 10)
        digits[--at] = (char)('0' + (int)(rest % 10));
    if (negative) digits[--at] = '-';
    if (!jinja_str_copy(r, digits + at, sizeof(digits) - at, ret)) return false;
    ret->type = JINJA_BIG;
    return true;
}

static bool power_int(struct jinja_run *r, int64_t base, int64_t exponent, struct jinja_value *ret) {
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return jinja_fail(r, "a power has more than 64 bits");
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return jinja_fail(r, "a power has more than 64 bits");
    }
    *ret = jinja_int(result);
    return true;
}

static bool power_float(struct jinja_run *r, double a, double b, struct jinja_value *ret) {
    if (a == 0 && b < 0) return jinja_fail(r, "0.0 cannot be raised to a negative power");
    double f = pow(a, b);
    if (isnan(f) && !isnan(a) && !isnan(b)) return jinja_fail(r, "the power of a negative number is no real number");
    if (isinf(f) && !isinf(a) && !isinf(b)) return jinja_fail(r, "a power is too large");
    *ret = jinja_float(f);
    return true;
}

static bool int_op(struct jinja_run *r, enum jinja_op op, int64_t a, int64_t b, struct jinja_value *ret) {
    if (b == 0 && (op == JINJA_DIV || op == JINJA_FLOORDIV || op == JINJA_MOD)) return jinja_fail(r, "division by zero");
    switch (op) {
    case JINJA_ADD: return give_wide(r, (__int128)a + b, ret);
    case JINJA_SUB: return give_wide(r, (__int128)a - b, ret);
    case JINJA_MUL: return give_wide(r, (__int128)a * b, ret);
    case JINJA_FLOORDIV: return give_wide(r, (__int128)a / b - (a % (__int128)b != 0 && (a < 0) != (b < 0)), ret);
    case JINJA_MOD: {
        __int128 rest = (__int128)a % b;
        return give_wide(r, rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest, ret);
    }
    case JINJA_POW:
        if (b >= 0) return power_int(r, a, b, ret);
        return power_float(r, (double)a, (double)b, ret);
    default: *ret = jinja_float((double)a / (double)b); return true;
    }
}

/* Python's quotient and remainder: the remainder has the sign of b. */
static void divide_float(double a, double b, double *ret_quotient, double *ret_rest) {
    double rest = fmod(a, b), quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) {
        rest += b;
        quotient -= 1;
    } else if (rest == 0) {
        rest = copysign(0.0, b);
    }
    double whole = floor(quotient);
    if (quotient - whole > 0.5) whole += 1;
    *ret_quotient = quotient != 0 ? whole : copysign(0.0, a / b);
    *ret_rest = rest;
}

static bool float_op(struct jinja_run *r, enum jinja_op op, double a, double b, struct jinja_value *ret) {
    double quotient = 0, rest = 0;
    if (b == 0 && (op == JINJA_DIV || op == JINJA_FLOORDIV || op == JINJA_MOD)) return jinja_fail(r, "float division by zero");
    if (op == JINJA_FLOORDIV || op == JINJA_MOD) divide_float(a, b, &quotient, &rest);
    switch (op) {
    case JINJA_ADD: *ret = jinja_float(a + b); return true;
    case JINJA_SUB: *ret = jinja_float(a - b); return true;
    case JINJA_MUL: *ret = jinja_float(a * b); return true;
    case JINJA_DIV: *ret = jinja_float(a / b); return true;
    case JINJA_FLOORDIV: *ret = jinja_float(quotient); return true;
    case JINJA_MOD: *ret = jinja_float(rest); return true;
    default: return power_float(r, a, b, ret);
    }
}

bool jinja_number_op(struct jinja_run *r, enum jinja_op op, struct jinja_value a, struct jinja_value b, struct jinja_value *ret) {
    if (a.type == JINJA_FLOAT || b.type == JINJA_FLOAT) return float_op(r, op, jinja_number_double(a), jinja_number_double(b), ret);
    if (a.type == JINJA_BIG || b.type == JINJA_BIG)
        return jinja_fail(r, "integers of more than 64 bits can be shown and compared, not computed with");
    return int_op(r, op, jinja_int_of(a), jinja_int_of(b), ret);
}

bool jinja_number_negate(struct jinja_run *r, struct jinja_value v, struct jinja_value *ret) {
    if (v.type == JINJA_FLOAT) {
        *ret = jinja_float(-v.f);
        return true;
    }
    if (v.type != JINJA_BIG) return give_wide(r, -(__int128)jinja_int_of(v), ret);
    bool negative = v.s->data[0] == '-';
    struct jinja_out o = {0};
    if ((!negative && !jinja_out_byte(r, &o, '-')) || !jinja_out_write(r, &o, v.s->data + negative, v.s->len - negative)) return false;
    struct jinja_value text, small;
    if (!jinja_out_take(r, &o, &text)) return false;
    if (!jinja_number_parse_int(r, text.s->data, text.s->len, 10, &small)) return false; /* -2^63 fits an INT */
    *ret = small;
    return true;
}

bool jinja_number_truncate(struct jinja_run *r, double f, struct jinja_value *ret) {
    char text[JINJA_NUMBER_TEXT];
    if (isnan(f)) return jinja_fail(r, "cannot convert float NaN to integer");
    if (isinf(f)) return jinja_fail(r, "cannot convert float infinity to integer");
    if (fabs(f) < 9223372036854775808.0) {
        *ret = jinja_int((int64_t)f);
        return true;
    }
    int len = snprintf(text, sizeof(text), "%.0f", f);
    if (!jinja_str_copy(r, text, (size_t)len, ret)) return false;
    ret->type = JINJA_BIG;
    return true;
}
