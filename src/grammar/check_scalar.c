/* SPDX-License-Identifier: MIT
 * Numbers, exactly as they are written in decimal, and texts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "grammar/check_priv.h"
#include "grammar/format.h"
#include "grammar/product.h"
#include "grammar/regex.h"

/* ---- numbers ---- */

/* A number as digits times a power of ten, with the fewest digits. */
struct decimal {
    bool negative;
    char digits[32];
    int n, exponent;
};

static struct decimal decimal_of(yyjson_val *number) {
    struct decimal d = {.negative = yyjson_get_num(number) < 0};
    char text[64];
    if (yyjson_is_uint(number)) d.n = snprintf(d.digits, sizeof(d.digits), "%llu", (unsigned long long)yyjson_get_uint(number));
    else if (yyjson_is_sint(number)) d.n = snprintf(d.digits, sizeof(d.digits), "%llu", 0 - (unsigned long long)yyjson_get_sint(number));
    if (yyjson_is_int(number)) return d;
    double value = fabs(yyjson_get_real(number));
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) break;
    }
    const char *e = strchr(text, 'e');
    for (const char *c = text; e != NULL && c < e; c++)
        if (*c >= '0' && *c <= '9') d.digits[d.n++] = *c;
    d.exponent = e != NULL ? (int)strtol(e + 1, NULL, 10) - (d.n - 1) : 0;
    while (d.n > 1 && d.digits[d.n - 1] == '0') {
        d.n--;
        d.exponent++;
    }
    return d;
}

/* Is a a multiple of b? Both are integers in the smaller unit; long division finds the remainder. */
static bool is_multiple(const struct decimal *a, const struct decimal *b) {
    int unit = a->exponent < b->exponent ? a->exponent : b->exponent;
    uint64_t divisor = 0, rest = 0;
    for (int i = 0; i < b->n + b->exponent - unit; i++) {
        if (divisor > 99999999999999999u) return a->n == 1 && a->digits[0] == '0'; /* larger than any dividend but 0 */
        divisor = divisor * 10 + (i < b->n ? (uint64_t)(b->digits[i] - '0') : 0);
    }
    if (divisor == 0) return true; /* no condition */
    for (int i = 0; i < a->n + a->exponent - unit; i++) rest = (rest * 10 + (i < a->n ? (uint64_t)(a->digits[i] - '0') : 0)) % divisor;
    return rest == 0;
}

/* Below, equal or above? Exact if both are integers. */
static int compare(yyjson_val *a, yyjson_val *b) {
    if (yyjson_is_int(a) && yyjson_is_int(b)) {
        bool a_negative = yyjson_is_sint(a) && yyjson_get_sint(a) < 0, b_negative = yyjson_is_sint(b) && yyjson_get_sint(b) < 0;
        if (a_negative != b_negative) return a_negative ? -1 : 1;
        if (a_negative) return (yyjson_get_sint(a) > yyjson_get_sint(b)) - (yyjson_get_sint(a) < yyjson_get_sint(b));
        return (yyjson_get_uint(a) > yyjson_get_uint(b)) - (yyjson_get_uint(a) < yyjson_get_uint(b));
    }
    return (yyjson_get_num(a) > yyjson_get_num(b)) - (yyjson_get_num(a) < yyjson_get_num(b));
}

/* Before draft 6 "exclusiveMinimum": true made "minimum" exclusive. */
static bool is_out(yyjson_val *schema, yyjson_val *value, const char *key, const char *exclusive_key, int sign, yyjson_val **ret_bound) {
    yyjson_val *bound = yyjson_obj_get(schema, key), *exclusive = yyjson_obj_get(schema, exclusive_key);
    *ret_bound = bound;
    if (yyjson_is_num(bound)) {
        int order = sign * compare(value, bound);
        if (order < 0 || (order == 0 && yyjson_is_true(exclusive))) return true;
    }
    if (!yyjson_is_num(exclusive)) return false;
    *ret_bound = exclusive;
    return sign * compare(value, exclusive) <= 0;
}

enum check_verdict check_number(struct check *c, yyjson_val *schema, yyjson_val *value) {
    static const char *const steps[] = {"multipleOf", "divisibleBy"};
    yyjson_val *bound;
    double n = yyjson_get_num(value);
    if (is_out(schema, value, "minimum", "exclusiveMinimum", 1, &bound))
        return check_say(c, CHECK_FAILS, "%.17g is below the minimum %.17g", n, yyjson_get_num(bound));
    if (is_out(schema, value, "maximum", "exclusiveMaximum", -1, &bound))
        return check_say(c, CHECK_FAILS, "%.17g is above the maximum %.17g", n, yyjson_get_num(bound));
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        yyjson_val *step = yyjson_obj_get(schema, steps[i]);
        if (!yyjson_is_num(step) || !(yyjson_get_num(step) > 0)) continue;
        struct decimal a = decimal_of(value), b = decimal_of(step);
        if (!is_multiple(&a, &b)) return check_say(c, CHECK_FAILS, "%.17g is not a multiple of %.17g", n, yyjson_get_num(step));
    }
    return CHECK_FITS;
}

/* ---- texts ---- */

struct compiled_pattern {
    char *text;
    size_t len;
    err_code code;
    struct regex_parts parts;
};

static struct compiled_pattern *pattern_of(struct check *c, const char *text, size_t len) {
    for (size_t i = 0; i < c->n_patterns; i++)
        if (c->patterns[i]->len == len && memcmp(c->patterns[i]->text, text, len) == 0) return c->patterns[i];
    if (c->n_patterns == CHECK_MAX_PATTERNS) return NULL;
    struct compiled_pattern *p = c->patterns[c->n_patterns++] = MEM_NEW(struct compiled_pattern);
    const char *why;
    p->text = mem_strndup(text, len);
    p->len = len;
    p->code = regex_read(text, len, &p->parts, &why);
    return p;
}

void check_patterns_done(struct check *c) {
    for (size_t i = 0; i < c->n_patterns; i++) {
        regex_parts_done(&c->patterns[i]->parts);
        free(c->patterns[i]->text);
        free(c->patterns[i]);
    }
}

/* Patterns are grammars of the text between the quotation marks of a JSON string. */
static bool fits_parts(const struct compiled_pattern *p, const char *text, size_t len, err_code *ret_code) {
    struct buf shared;
    bool fits = false;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    size_t json_len = 0;
    char *json = yyjson_mut_val_write(yyjson_mut_strn(doc, text, len), YYJSON_WRITE_NOFLAG, &json_len);
    buf_init(&shared, 4096);
    regex_write_rules(&shared);
    *ret_code = json != NULL ? product_fits(p->parts.list, p->parts.n, buf_cstr(&shared), json + 1, json_len - 2, &fits) : ERR_FORMAT;
    buf_done(&shared);
    free(json);
    yyjson_mut_doc_free(doc);
    return fits;
}

enum check_verdict check_matches(struct check *c, const char *pattern, size_t pattern_len, const char *text, size_t len) {
    struct compiled_pattern *p = pattern_of(c, pattern, pattern_len);
    err_code code = p != NULL ? p->code : ERR_LIMIT;
    if (code == ERR_OK && !check_work(c, len / 8 + 20)) code = ERR_LIMIT;
    bool fits = code == ERR_OK && fits_parts(p, text, len, &code);
    if (code != ERR_OK) return check_say(c, CHECK_UNKNOWN, "the pattern \"%.80s\" cannot be checked", pattern);
    return fits ? CHECK_FITS : CHECK_FAILS;
}

enum check_verdict check_pattern(const char *pattern, size_t pattern_len, const char *text, size_t len) {
    struct check c = {.quiet = 1};
    enum check_verdict v = check_matches(&c, pattern, pattern_len, text, len);
    check_patterns_done(&c);
    return v;
}

static size_t count_characters(yyjson_val *text) {
    const char *s = yyjson_get_str(text);
    size_t n = 0;
    for (size_t i = 0; i < yyjson_get_len(text); i++) n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

enum check_verdict check_string(struct check *c, yyjson_val *schema, yyjson_val *value) {
    yyjson_val *pattern = yyjson_obj_get(schema, "pattern"), *format = yyjson_obj_get(schema, "format");
    yyjson_val *min = yyjson_obj_get(schema, "minLength"), *max = yyjson_obj_get(schema, "maxLength");
    const char *text = yyjson_get_str(value);
    size_t len = yyjson_get_len(value), n = count_characters(value);
    if (yyjson_is_num(min) && (double)n < yyjson_get_num(min))
        return check_say(c, CHECK_FAILS, "it has %zu characters, at least %.0f are needed", n, yyjson_get_num(min));
    if (yyjson_is_num(max) && (double)n > yyjson_get_num(max))
        return check_say(c, CHECK_FAILS, "it has %zu characters, at most %.0f are allowed", n, yyjson_get_num(max));
    enum check_verdict all = CHECK_FITS;
    if (yyjson_is_str(pattern)) {
        all = check_matches(c, yyjson_get_str(pattern), yyjson_get_len(pattern), text, len);
        if (all == CHECK_FAILS) return check_say(c, all, "it does not match the pattern \"%.80s\"", yyjson_get_str(pattern));
    }
    const struct format *known = yyjson_is_str(format) ? format_named(yyjson_get_str(format)) : NULL;
    if (known == NULL || known->allows == NULL) return all;
    enum check_verdict v = check_matches(c, known->allows, strlen(known->allows), text, len);
    if (v == CHECK_FAILS) return check_say(c, v, "it is no %s", known->name);
    return v == CHECK_UNKNOWN ? v : all;
}
