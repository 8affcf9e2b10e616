/* SPDX-License-Identifier: MIT
 * Numbers between bounds, and multiples of numbers, as a grammar: digit by digit. See schema_priv.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/schema_priv.h"
#include "grammar/schema_shape_priv.h"
#include "grammar/schema_write_priv.h"

static const uint64_t largest = 999999999999999999u; /* 18 digits */
enum { MAX_FRAC = 18, FREE_FRAC = 16 };

/* ---- bounds ---- */

static bool from_double(double d, struct schema_decimal *ret) {
    char text[400], *at = text;
    for (int digits = 1; digits <= 17; digits++) { /* the fewest digits that give the same number */
        snprintf(text, sizeof(text), "%.*e", digits - 1, d);
        if (strtod(text, NULL) == d) break;
    }
    if (!isfinite(d)) return false;
    *ret = (struct schema_decimal){.negative = *at == '-'};
    if (*at == '-') at++;
    char digits[32];
    size_t n = 0;
    for (; *at != 'e'; at++)
        if (*at != '.') digits[n++] = *at;
    long point = strtol(at + 1, NULL, 10) + 1; /* digits before the point */
    if (point > 18 || (long)n - point > MAX_FRAC) return false;
    for (long i = 0; i < point; i++) ret->whole = ret->whole * 10 + (i < (long)n ? (uint64_t)(digits[i] - '0') : 0);
    size_t len = 0;
    for (long i = point; i < (long)n; i++) ret->frac[len++] = i < 0 ? '0' : digits[i];
    while (len > 0 && ret->frac[len - 1] == '0') len--;
    ret->frac[len] = '\0';
    return true;
}

bool schema_shape_decimal(yyjson_val *number, struct schema_decimal *ret) {
    if (yyjson_is_real(number)) return from_double(yyjson_get_real(number), ret);
    bool negative = yyjson_is_sint(number) && yyjson_get_sint(number) < 0;
    uint64_t whole = negative ? 0 - (uint64_t)yyjson_get_sint(number) : yyjson_get_uint(number);
    if (whole > largest) return false;
    *ret = (struct schema_decimal){.negative = negative, .whole = whole};
    return true;
}

static bool is_zero(const struct schema_decimal *d) { return d->whole == 0 && d->frac[0] == '\0'; }

int schema_shape_decimal_compare(const struct schema_decimal *a, const struct schema_decimal *b) {
    bool a_negative = a->negative && !is_zero(a), b_negative = b->negative && !is_zero(b);
    if (a_negative != b_negative) return a_negative ? -1 : 1;
    int order = a->whole != b->whole ? (a->whole > b->whole ? 1 : -1) : strcmp(a->frac, b->frac);
    return a_negative ? -order : order;
}

/* ---- whole numbers ---- */

static bool all(const char *text, char c) { return text[strspn(text, (char[]){c, '\0'})] == '\0'; }

static void write_free(struct buf *out, size_t n) {
    if (n > 0) buf_printf(out, " [0-9]{%zu}", n);
}

static void write_digit(struct buf *out, char first, char last) {
    if (first == last) buf_printf(out, "\"%c\"", first);
    else buf_printf(out, "[%c-%c]", first, last);
}

/* Texts of digits between two of the same length. */
static void write_digits(struct buf *out, const char *low, const char *high) {
    static const char nines[] = "999999999999999999", zeros[] = "000000000000000000";
    size_t rest = strlen(low) - 1;
    if (all(low, '0') && all(high, '9')) {
        buf_printf(out, "[0-9]{%zu}", rest + 1);
        return;
    }
    if (*low == *high) {
        buf_printf(out, "\"%c\"", *low);
        if (rest > 0) {
            buf_append_byte(out, ' ');
            write_digits(out, low + 1, high + 1);
        }
        return;
    }
    bool low_free = all(low + 1, '0'), high_free = all(high + 1, '9'), any = false;
    char first = low_free ? *low : (char)(*low + 1), last = high_free ? *high : (char)(*high - 1);
    buf_append_byte(out, '(');
    if (!low_free) {
        buf_printf(out, "\"%c\" ", *low);
        write_digits(out, low + 1, nines + 18 - rest);
        any = true;
    }
    if (first <= last) {
        if (any) buf_append_byte(out, '|');
        write_digit(out, first, last);
        write_free(out, rest);
        any = true;
    }
    if (!high_free) {
        if (any) buf_append_byte(out, '|');
        buf_printf(out, "\"%c\" ", *high);
        write_digits(out, zeros + 18 - rest, high + 1);
    }
    buf_append_byte(out, ')');
}

/* low..high, low <= high <= largest */
static void write_whole(struct buf *out, uint64_t low, uint64_t high) {
    char a[24], b[24], edge[24];
    snprintf(a, sizeof(a), "%" PRIu64, low);
    snprintf(b, sizeof(b), "%" PRIu64, high);
    size_t n = strlen(a), m = strlen(b);
    if (n == m) {
        write_digits(out, a, b);
        return;
    }
    buf_append_byte(out, '(');
    memset(edge, '9', n);
    edge[n] = '\0';
    write_digits(out, a, edge);
    if (m > n + 1) buf_printf(out, "|[1-9] [0-9]{%zu,%zu}", n, m - 2);
    memset(edge, '0', m);
    edge[0] = '1';
    edge[m] = '\0';
    buf_append_byte(out, '|');
    write_digits(out, edge, b);
    buf_append_byte(out, ')');
}

/* ---- decimals ---- */

/* What may follow "." or its first digits: fractions from low to high, in which missing digits count as zeros; NULL: no bound. */
struct span {
    const char *low, *high;
    bool low_open, high_open;  /* the bound itself is excluded */
};

static struct span normal(struct span p) {
    if (p.low != NULL && *p.low == '\0' && !p.low_open) p.low = NULL;
    return p;
}

static bool may_end(struct span p) {
    bool above = p.low == NULL || (*p.low == '\0' && !p.low_open);
    bool below = p.high == NULL || *p.high != '\0' || !p.high_open;
    return above && below;
}

static bool write_tail(struct buf *out, struct span p);

static void write_bar(struct buf *out, bool *any) {
    if (*any) buf_append_byte(out, '|');
    *any = true;
}

/* Writes the digit c and then what p allows; false (and nothing written) if p allows nothing. */
static bool write_then(struct buf *out, char c, struct span p, bool *any) {
    struct buf tail;
    buf_init(&tail, GBNF_MAX_TEXT);
    bool more = write_tail(&tail, p), end = may_end(p);
    if (more || end) {
        write_bar(out, any);
        buf_printf(out, "\"%c\"", c);
        if (more) buf_printf(out, " (%s)%s", buf_cstr(&tail), end ? "?" : "");
    }
    buf_done(&tail);
    return more || end;
}

/* Writes one digit or more within p, as alternatives; false if there are none. */
static bool write_tail(struct buf *out, struct span p) {
    bool any = false;
    p = normal(p);
    if (p.low == NULL && p.high == NULL) {
        buf_printf(out, "[0-9]{1,%d}", FREE_FRAC);
        return true;
    }
    if (p.high != NULL && *p.high == '\0') { /* only zeros are left */
        if (p.low != NULL || p.high_open) return false;
        buf_printf(out, "\"0\"{1,%d}", FREE_FRAC);
        return true;
    }
    if (p.low != NULL && *p.low == '\0' && p.high == NULL) { /* more than the bound itself */
        buf_printf(out, "\"0\"{0,%d} [1-9] [0-9]{0,%d}", FREE_FRAC, FREE_FRAC);
        return true;
    }
    char low = p.low != NULL && *p.low != '\0' ? *p.low : '0', high = p.high != NULL ? *p.high : '9';
    struct span after_low = {.low = p.low != NULL ? p.low + (*p.low != '\0') : NULL, .low_open = p.low_open};
    struct span after_high = {.high = p.high != NULL ? p.high + 1 : NULL, .high_open = p.high_open};
    if (p.low != NULL && p.high != NULL && low == high) {
        after_low.high = after_high.high;
        after_low.high_open = after_high.high_open;
        write_then(out, low, after_low, &any);
        return any;
    }
    if (low > high) return false;
    if (p.low != NULL) write_then(out, low, after_low, &any);
    char first = p.low != NULL ? (char)(low + 1) : low, last = p.high != NULL ? (char)(high - 1) : high;
    if (first <= last) {
        write_bar(out, &any);
        write_digit(out, first, last);
        buf_printf(out, " [0-9]{0,%d}", FREE_FRAC);
    }
    if (p.high != NULL) write_then(out, high, after_high, &any);
    return any;
}

/* The whole number w with decimals within p. */
static void write_point(struct buf *out, uint64_t w, struct span p, bool *any) {
    struct buf tail;
    buf_init(&tail, GBNF_MAX_TEXT);
    bool more = write_tail(&tail, p), end = may_end(p);
    if (more || end) {
        write_bar(out, any);
        buf_printf(out, "\"%" PRIu64 "\"", w);
        if (more) buf_printf(out, " (\".\" (%s))%s", buf_cstr(&tail), end ? "?" : "");
    }
    buf_done(&tail);
}

/* Writes the numbers from low to high, both at least 0; high NULL: no bound. */
static void write_positive(struct buf *out, bool whole, const struct schema_bound *low, const struct schema_bound *high, bool *any) {
    uint64_t first = low->at.whole, last = high != NULL ? high->at.whole : largest;
    if (whole) {
        if (low->at.frac[0] != '\0' || low->exclusive) first++;
        if (high != NULL && high->at.frac[0] == '\0' && high->exclusive) {
            if (last == 0) return;
            last--;
        }
        if (first > last) return;
        write_bar(out, any);
        write_whole(out, first, last);
        return;
    }
    struct span p = {.low = low->at.frac, .low_open = low->exclusive};
    if (high != NULL && first == last) {
        p.high = high->at.frac;
        p.high_open = high->exclusive;
    }
    if (first > last) return;
    write_point(out, first, p, any);
    if (first == last) return;
    uint64_t end = high != NULL ? last - 1 : last;
    if (first + 1 <= end) {
        write_bar(out, any);
        write_whole(out, first + 1, end);
        buf_printf(out, " (\".\" [0-9]{1,%d})?", FREE_FRAC);
    }
    if (high != NULL) write_point(out, last, (struct span){.high = high->at.frac, .high_open = high->exclusive}, any);
}

static bool write_between(bool whole, const struct schema_bound *low, const struct schema_bound *high, struct buf *out) {
    const struct schema_bound zero = {.set = true}, above_zero = {.set = true, .exclusive = true};
    bool low_negative = !low->set || (low->at.negative && !is_zero(&low->at));
    bool high_negative = high->set && high->at.negative && !is_zero(&high->at);
    bool any = false;
    if (low->set && high->set) {
        int order = schema_shape_decimal_compare(&low->at, &high->at);
        if (order > 0 || (order == 0 && (low->exclusive || high->exclusive))) return false;
    }
    if (!high_negative) write_positive(out, whole, low_negative ? &zero : low, high->set ? high : NULL, &any);
    if (!low_negative) return any;
    struct buf minus;
    bool some = false;
    buf_init(&minus, GBNF_MAX_TEXT);
    write_positive(&minus, whole, high_negative ? high : &above_zero, low->set ? low : NULL, &some);
    if (some) {
        write_bar(out, &any);
        buf_printf(out, "\"-\" (%s)", buf_cstr(&minus));
    }
    buf_done(&minus);
    return any;
}

/* ---- multiples ---- */

/* The multiples of m / 10^k, m and k small, as rules "<name>" (the integer part), "<name>-i<r>" (after digits with remainder r) and
 * "<name>-f<r>-<d>" (d of the digits are decimals). zeros: this many end it. */
static void write_multiples(struct buf *out, const char *name, unsigned m, unsigned k, unsigned zeros) {
    unsigned scale = 1;
    for (unsigned i = 0; i < k; i++) scale = scale * 10 % m;
    buf_printf(out, "%s ::= \"-\"? (\"0\"%s", name, "");
    if (k > 0) buf_printf(out, " (\".\" %s-f0-0)?", name);
    for (unsigned digit = 1; digit < 10; digit++) buf_printf(out, " | \"%u\" %s-i%u", digit, name, digit % m);
    buf_append_str(out, ")\n");
    for (unsigned r = 0; r < m; r++) {
        buf_printf(out, "%s-i%u ::= ", name, r);
        for (unsigned digit = 0; digit < 10; digit++)
            buf_printf(out, "%s\"%u\" %s-i%u", digit > 0 ? " | " : "", digit, name, (10 * r + digit) % m);
        if (k > 0) buf_printf(out, " | \".\" %s-f%u-0", name, r);
        if (r * scale % m == 0) buf_printf(out, " | \"0\"{%u}", zeros);
        buf_append_byte(out, '\n');
    }
    for (unsigned d = 0; d <= k && k > 0; d++) {
        unsigned rest = 1; /* the remainder that the missing decimals must make up */
        for (unsigned i = d; i < k; i++) rest = rest * 10 % m;
        for (unsigned r = 0; r < m; r++) {
            bool ends = d > 0 && r * rest % m == 0;
            buf_printf(out, "%s-f%u-%u ::= %s", name, r, d, ends ? "\"\"" : "");
            for (unsigned digit = 0; digit < 10 && d < k; digit++)
                buf_printf(out, "%s\"%u\" %s-f%u-%u", digit > 0 || ends ? " | " : "", digit, name, (10 * r + digit) % m, d + 1);
            if (d == k && !ends) buf_append_str(out, "\"\\x00\""); /* a dead end: no number has this character */
            buf_append_byte(out, '\n');
        }
    }
}

/* Writes rules for the multiples of a number; false: too many rules. */
static bool write_step(struct buf *out, const char *name, yyjson_val *step) {
    struct schema_decimal d;
    unsigned m = 0, k = 0, zeros = 0;
    if (!schema_shape_decimal(step, &d) || d.whole > 1000000000) return false;
    uint64_t digits = d.whole;
    for (; d.frac[k] != '\0'; k++) {
        digits = digits * 10 + (uint64_t)(d.frac[k] - '0');
        if (digits > 1000000000) return false;
    }
    for (; k == 0 && digits > 0 && digits % 10 == 0; digits /= 10) zeros++;
    if (digits == 0 || digits * (k + 1) > SCHEMA_MAX_STEP) return false;
    m = (unsigned)digits;
    write_multiples(out, name, m, k, zeros);
    return true;
}

/* Writes the numbers that fit `between` and are multiples of all steps. If that needs too many states, it writes multiples of any
 * length, and the left-out conditions are checked. */
static err_code write_stepped(struct schema *s, yyjson_val *at, const struct schema_shape *shape, const char *between, struct buf *out,
                              bool *ret_any) {
    static char any_number[] = "\"-\"? [0-9]+ (\".\" [0-9]+)?";
    struct regex_part parts[1 + SCHEMA_MAX_TEXTS] = {{.text = (char *)(uintptr_t)between}};
    char names[SCHEMA_MAX_TEXTS][8];
    struct buf shared;
    size_t n = 1;
    unsigned number = 0;
    err_code code = ERR_OK;
    buf_init(&shared, GBNF_MAX_TEXT);
    for (size_t i = 0; i < shape->n_steps && code == ERR_OK; i++) {
        snprintf(names[i], sizeof(names[i]), "m%zu", i);
        if (write_step(&shared, names[i], shape->steps[i])) parts[n++] = (struct regex_part){.text = names[i]};
        else code = schema_leave_out(s, at, "\"multipleOf\": too many digits for a grammar");
    }
    for (int tries = 0; tries < 2 && n > 1; tries++) {
        if (code == ERR_OK) code = schema_extra(s, &number);
        if (code == ERR_OK) code = schema_write_product(s, parts, n, buf_cstr(&shared), number, ret_any);
        if (code != ERR_LIMIT || tries > 0) break;
        parts[0].text = any_number;
        code = schema_leave_out(s, at, "\"multipleOf\": too many numbers for a grammar");
    }
    buf_done(&shared);
    if (code == ERR_OK && n > 1 && *ret_any) buf_printf(out, "p%u-0", number);
    if (code == ERR_OK && n > 1) return ERR_OK;
    if (code != ERR_OK && code != ERR_LIMIT) return code;
    *ret_any = true;
    buf_append_str(out, between);
    return code == ERR_LIMIT ? schema_leave_out(s, at, "\"multipleOf\": too many numbers for a grammar") : ERR_OK;
}

err_code schema_write_number(struct schema *s, const struct schema_set *set, const struct schema_shape *shape, struct buf *out,
                             bool *ret_any) {
    bool whole = !(shape->types & SCHEMA_DECIMAL), bounded = shape->low.set || shape->high.set;
    struct buf between;
    err_code code = ERR_OK;
    buf_init(&between, GBNF_MAX_TEXT);
    *ret_any = true;
    buf_append_byte(&between, '(');
    if (bounded) *ret_any = write_between(whole, &shape->low, &shape->high, &between);
    else if (shape->n_steps > 0)
        buf_append_str(&between, whole ? "\"-\"? [0-9]{1,15}" : "\"-\"? [0-9]{1,9} (\".\" [0-9]+)?"); /* exact as doubles */
    else buf_append_str(&between, whole ? "integer" : "number");
    buf_append_byte(&between, ')');
    if (*ret_any && shape->n_steps > 0) {
        *ret_any = false;
        code = write_stepped(s, set->n > 0 ? set->items[0].v : s->root, shape, buf_cstr(&between), out, ret_any);
    } else if (*ret_any) {
        buf_append(out, between.data, between.len);
    }
    out->failed = out->failed || between.failed;
    buf_done(&between);
    return code;
}
