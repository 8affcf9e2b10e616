/* SPDX-License-Identifier: MIT
 * Python's two ways of formatting: "%s" % values and "{}".format(values). Both write a value into a field: sign, digits, fill. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "jinja/builtin_priv.h"
#include "jinja/object_priv.h"
#include "jinja/text.h"
#include "jinja/show_priv.h"
#include "jinja/number_priv.h"
#include "jinja/eval_priv.h"
#include "jinja/text_ops_priv.h"

enum { MAX_PRECISION = 1000, MAX_WIDTH = 1 << 20, NUMBER_ROOM = MAX_PRECISION + 400 };

/* How a value is shown: the part that both ways have in common. */
struct spec {
    uint32_t fill;
    char align;      /* '<', '>', '^', '=' (fill after the sign); 0: by the value's type */
    char sign;       /* '-', '+', ' ' */
    bool alternate;  /* "#" */
    char group;      /* ',' or '_' between thousands; 0: none */
    int64_t width, precision; /* -1: not given */
    char type;       /* 0: not given */
};

struct field {
    const char *prefix; /* sign, 0x */
    size_t prefix_len;
    const char *body;
    size_t body_len, body_chars;
};

static bool write_field(struct jinja_run *r, struct jinja_out *o, const struct spec *s, const struct field *f, char align) {
    size_t chars = f->prefix_len + f->body_chars, room = s->width > (int64_t)chars ? (size_t)s->width - chars : 0;
    size_t left = align == '>' ? room : align == '^' ? room / 2 : 0, middle = align == '=' ? room : 0;
    return jinja_out_fill(r, o, s->fill, left) && jinja_out_write(r, o, f->prefix, f->prefix_len) &&
           jinja_out_fill(r, o, s->fill, middle) && jinja_out_write(r, o, f->body, f->body_len) &&
           jinja_out_fill(r, o, s->fill, room - left - middle);
}

static bool write_text(struct jinja_run *r, struct jinja_out *o, const struct spec *s, const struct jinja_str *text) {
    size_t len = text->len, chars = jinja_str_chars(text);
    if (s->precision >= 0 && (size_t)s->precision < chars) {
        chars = (size_t)s->precision;
        len = jinja_char_offset(text->data, text->len, chars);
    }
    const struct field f = {.body = text->data, .body_len = len, .body_chars = chars};
    return write_field(r, o, s, &f, s->align != 0 ? s->align : '<');
}

/* ---- numbers ---- */

/* Inserts a separator after each three digits (in other bases four) before the point. */
static size_t group_digits(const char *digits, size_t len, char separator, size_t each, char *ret) {
    size_t whole = 0, n = 0;
    while (whole < len && ((digits[whole] >= '0' && digits[whole] <= '9') || (each == 4 && (digits[whole] | 0x20) >= 'a'))) whole++;
    for (size_t i = 0; i < whole; i++) {
        if (i > 0 && (whole - i) % each == 0) ret[n++] = separator;
        ret[n++] = digits[i];
    }
    memcpy(ret + n, digits + whole, len - whole);
    return n + len - whole;
}

static bool write_number(struct jinja_run *r, struct jinja_out *o, const struct spec *s, bool negative, const char *base,
                         const char *digits, size_t len, size_t each) {
    char prefix[4], grouped[2 * NUMBER_ROOM];
    size_t n = 0;
    if (negative) prefix[n++] = '-';
    else if (s->sign == '+' || s->sign == ' ') prefix[n++] = s->sign;
    for (; *base != '\0'; base++) prefix[n++] = *base;
    if (s->group != 0 && len <= NUMBER_ROOM) {
        len = group_digits(digits, len, s->group, each, grouped);
        digits = grouped;
    }
    const struct field f = {.prefix = prefix, .prefix_len = n, .body = digits, .body_len = len, .body_chars = len};
    return write_field(r, o, s, &f, s->align != 0 ? s->align : '>');
}

static size_t digits_of(uint64_t v, unsigned base, bool upper, char *end) {
    const char *letters = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t n = 0;
    do {
        *--end = letters[v % base];
        v /= base;
        n++;
    } while (v > 0);
    return n;
}

/* least: the least number of digits, filled with zeros ("%.5d"). */
static bool write_int(struct jinja_run *r, struct jinja_out *o, const struct spec *s, struct jinja_value v, int64_t least) {
    char digits[NUMBER_ROOM + 80], *end = digits + sizeof(digits);
    unsigned base = s->type == 'x' || s->type == 'X' ? 16 : s->type == 'o' ? 8 : s->type == 'b' ? 2 : 10;
    const char *prefix = !s->alternate || base == 10 ? "" : base == 16 ? (s->type == 'X' ? "0X" : "0x") : base == 8 ? "0o" : "0b";
    if (v.type == JINJA_BIG) {
        bool negative = v.s->data[0] == '-';
        if (base != 10) return jinja_fail(r, "integers of more than 64 bits are shown in base 10 only");
        return write_number(r, o, s, negative, "", v.s->data + negative, v.s->len - negative, 3);
    }
    int64_t i = jinja_int_of(v);
    size_t n = digits_of(i < 0 ? 0 - (uint64_t)i : (uint64_t)i, base, s->type == 'X', end);
    while (n < sizeof(digits) && (int64_t)n < least) *(end - ++n) = '0';
    return write_number(r, o, s, i < 0, prefix, end - n, n, base == 10 ? 3 : 4);
}

/* A float without a type: like str(); with a precision like "g", but always with a point. */
static size_t plain_float(const struct spec *s, double f, char *ret) {
    if (s->precision < 0) return jinja_number_text(f, ret);
    int n = snprintf(ret, NUMBER_ROOM, "%.*g", s->precision > 0 ? (int)s->precision : 1, f);
    if (strpbrk(ret, ".e") == NULL && isfinite(f)) n += snprintf(ret + n, 3, ".0");
    return (size_t)n;
}

static bool write_float(struct jinja_run *r, struct jinja_out *o, const struct spec *s, double f) {
    char text[NUMBER_ROOM], format[8];
    bool negative = signbit(f) && !isnan(f);
    double size = fabs(f) * (s->type == '%' ? 100 : 1);
    size_t len;
    if (!isfinite(f)) {
        bool upper = s->type == 'F' || s->type == 'E' || s->type == 'G';
        len = (size_t)snprintf(text, sizeof(text), "%s", isnan(f) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"));
    } else if (s->type == 0) {
        len = plain_float(s, size, text);
    } else {
        snprintf(format, sizeof(format), "%%%s.*%c", s->alternate ? "#" : "", s->type == '%' ? 'f' : s->type == 'n' ? 'g' : s->type);
        len = (size_t)snprintf(text, sizeof(text), format, s->precision >= 0 ? (int)s->precision : 6, size);
    }
    if (len >= sizeof(text) - 1) return jinja_fail(r, "a number is too long to be shown");
    if (s->type == '%') text[len++] = '%';
    return write_number(r, o, s, negative, "", text, len, 3);
}

static bool write_char(struct jinja_run *r, struct jinja_out *o, const struct spec *s, int64_t c) {
    char bytes[JINJA_CHAR_MAX];
    if (c < 0 || c > 0x10FFFF) return jinja_fail(r, "%%c requires a character or the number of one");
    size_t n = jinja_char_write((uint32_t)c, bytes);
    const struct field f = {.body = bytes, .body_len = n, .body_chars = 1};
    return write_field(r, o, s, &f, s->align != 0 ? s->align : '<');
}

static bool check_room(struct jinja_run *r, const struct spec *s) {
    if (s->width > MAX_WIDTH) return jinja_fail(r, "a field is wider than %d characters", MAX_WIDTH);
    return s->precision <= MAX_PRECISION || s->type == 's' || s->type == 0 || jinja_fail(r, "a precision is above %d", MAX_PRECISION);
}

/* ---- "%s" % values ---- */

struct percent {
    struct jinja_value values;
    size_t used;
    bool mapped;
};

static bool next_value(struct jinja_run *r, struct percent *p, struct jinja_value *ret) {
    size_t n = p->values.type == JINJA_TUPLE ? p->values.list->n : 1;
    if (p->used >= n) return jinja_fail(r, "not enough arguments for format string");
    *ret = p->values.type == JINJA_TUPLE ? p->values.list->items[p->used] : p->values;
    p->used++;
    return true;
}

static bool percent_text(struct jinja_run *r, struct jinja_out *o, const struct spec *s, struct jinja_value v, bool safe) {
    const struct jinja_str *text;
    struct jinja_value escaped;
    struct jinja_out repr = {0};
    if (s->type == 's' ? !jinja_to_str(r, v, &text) : !(jinja_show_repr(r, &repr, v) && jinja_out_take(r, &repr, &v))) return false;
    if (s->type != 's') text = v.s;
    if (safe) {
        if (!jinja_str_escape(r, text, &escaped)) return false;
        text = escaped.s;
    }
    struct spec right = *s;
    if (right.align == 0 || right.align == '=') right.align = '>';
    right.fill = ' ';
    return write_text(r, o, &right, text);
}

static bool percent_value(struct jinja_run *r, struct jinja_out *o, struct spec *s, struct jinja_value v, bool safe) {
    if (s->type == 's' || s->type == 'r' || s->type == 'a') return percent_text(r, o, s, v, safe);
    if (s->type == 'c' && v.type == JINJA_STR && jinja_str_chars(v.s) == 1) return write_text(r, o, s, v.s);
    if (v.type == JINJA_UNDEFINED) return jinja_fail_undefined(r, v);
    bool decimal = s->type == 'd' || s->type == 'i' || s->type == 'u';
    if (decimal && v.type == JINJA_FLOAT && !jinja_number_truncate(r, v.f, &v)) return false;
    if (decimal || s->type == 'x' || s->type == 'X' || s->type == 'o') {
        if (!jinja_is_int(v) && v.type != JINJA_BIG)
            return jinja_fail(r, "%%%c format: a number is required, not %s", s->type, jinja_type_name(v));
        return write_int(r, o, s, v, s->precision);
    }
    if (s->type == 'c' && jinja_is_int(v)) return write_char(r, o, s, jinja_int_of(v));
    if (s->type == 'c') return jinja_fail(r, "%%c requires a character or the number of one");
    if (!jinja_is_number(v)) return jinja_fail(r, "must be real number, not %s", jinja_type_name(v));
    return write_float(r, o, s, jinja_number_double(v));
}

/* A number in the format, or "*"; moves *at past it. */
static bool percent_number(struct jinja_run *r, struct percent *p, const struct jinja_str *f, size_t *at, int64_t *ret) {
    struct jinja_value v;
    if (*at < f->len && f->data[*at] == '*') {
        ++*at;
        if (!next_value(r, p, &v)) return false;
        if (!jinja_is_int(v)) return jinja_fail(r, "* wants an integer");
        *ret = jinja_int_of(v);
        return true;
    }
    for (; *at < f->len && f->data[*at] >= '0' && f->data[*at] <= '9'; ++*at)
        if (*ret < MAX_WIDTH + 1) *ret = (*ret < 0 ? 0 : *ret) * 10 + (f->data[*at] - '0');
    return true;
}

/* "%(name)": the value of that key. *at is after "(". */
static bool percent_key(struct jinja_run *r, struct percent *p, const struct jinja_str *f, size_t *at, struct jinja_value *ret) {
    size_t start = *at;
    const struct jinja_value *found;
    struct jinja_value key;
    int depth = 1;
    for (; *at < f->len && depth > 0; ++*at) depth += (f->data[*at] == '(') - (f->data[*at] == ')');
    if (depth > 0) return jinja_fail(r, "incomplete format key");
    if (p->values.type != JINJA_DICT) return jinja_fail(r, "format requires a mapping");
    if (!jinja_str_part(r, f, start, *at - 1 - start, &key) || !jinja_dict_find(r, p->values.dict, key, &found)) return false;
    if (found == NULL) return jinja_fail(r, "the format's key '%.*s' is missing", (int)(key.s->len < 60 ? key.s->len : 60), key.s->data);
    p->mapped = true;
    *ret = *found;
    return true;
}

static bool percent_flags(struct jinja_run *r, struct percent *p, const struct jinja_str *f, size_t *at, struct spec *s) {
    for (; *at < f->len && strchr("-+ #0", f->data[*at]) != NULL; ++*at) {
        switch (f->data[*at]) {
        case '-': s->align = '<'; break;
        case '+': s->sign = '+'; break;
        case ' ': s->sign = s->sign == '+' ? '+' : ' '; break;
        case '#': s->alternate = true; break;
        default: s->fill = '0'; break;
        }
    }
    if (!percent_number(r, p, f, at, &s->width)) return false;
    if (s->width < -1) {
        s->align = '<';
        s->width = -s->width;
    }
    if (*at < f->len && f->data[*at] == '.') {
        ++*at;
        s->precision = 0;
        if (!percent_number(r, p, f, at, &s->precision)) return false;
        if (s->precision < 0) s->precision = 0;
    }
    if (s->align == '<') s->fill = ' ';
    if (s->fill == '0') s->align = '=';
    return true;
}

/* One field; *at is after the "%". */
static bool percent_field(struct jinja_run *r, struct jinja_out *o, struct percent *p, const struct jinja_str *f, size_t *at) {
    struct spec s = {.fill = ' ', .width = -1, .precision = -1};
    struct jinja_value v = jinja_missing();
    if (*at < f->len && f->data[*at] == '(') {
        ++*at;
        if (!percent_key(r, p, f, at, &v)) return false;
    }
    if (!percent_flags(r, p, f, at, &s)) return false;
    while (*at < f->len && strchr("hlL", f->data[*at]) != NULL) ++*at;
    if (*at == f->len) return jinja_fail(r, "incomplete format");
    s.type = f->data[(*at)++];
    if (s.type == '%') return jinja_out_byte(r, o, '%');
    if (strchr("sradiuoxXeEfFgGc", s.type) == NULL) return jinja_fail(r, "unsupported format character '%c'", s.type);
    if (!check_room(r, &s) || (v.type == JINJA_MISSING && !next_value(r, p, &v))) return false;
    return percent_value(r, o, &s, v, f->safe);
}

bool jinja_format_percent(struct jinja_run *r, const struct jinja_str *format, struct jinja_value values, struct jinja_value *ret) {
    struct percent p = {.values = values};
    struct jinja_out o = {0};
    size_t at = 0;
    while (at < format->len) {
        const char *next = memchr(format->data + at, '%', format->len - at);
        size_t len = next != NULL ? (size_t)(next - format->data) - at : format->len - at;
        if (!jinja_out_write(r, &o, format->data + at, len)) return false;
        at += len;
        if (next == NULL) break;
        at++;
        if (!jinja_spend(r, 1) || !percent_field(r, &o, &p, format, &at)) return false;
    }
    size_t n = values.type == JINJA_TUPLE ? values.list->n : 1;
    bool may_be_left =
        values.type == JINJA_DICT || values.type == JINJA_LIST || values.type == JINJA_RANGE || values.type == JINJA_UNDEFINED;
    if (p.used < n && !p.mapped && !may_be_left) return jinja_fail(r, "not all arguments converted during string formatting");
    struct jinja_value text;
    return jinja_out_take(r, &o, &text) && jinja_str_safe(r, text.s, format->safe, ret);
}

/* ---- "{}".format(values) ---- */

struct braces {
    const struct jinja_args *args;
    int64_t next;    /* number of the next "{}"; -1: the fields have numbers */
    bool safe;
    int depth;
};

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static bool read_spec(struct jinja_run *r, const struct jinja_str *text, struct spec *ret) {
    struct spec s = {.fill = ' ', .width = -1, .precision = -1};
    const char *p = text->data, *end = p + text->len;
    size_t n = 0;
    uint32_t first = text->len > 0 ? jinja_char_at(p, text->len, &n) : 0;
    if (p + n < end && strchr("<>=^", p[n]) != NULL) {
        s.fill = first;
        s.align = p[n];
        p += n + 1;
    } else if (p < end && strchr("<>=^", *p) != NULL) {
        s.align = *p++;
    }
    if (p < end && strchr("+- ", *p) != NULL) s.sign = *p++;
    if (p < end && *p == 'z') p++;
    if (p < end && *p == '#') s.alternate = true, p++;
    if (p < end && *p == '0') {
        if (s.align == 0) s.fill = '0', s.align = '=';
        p++;
    }
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (s.width <= MAX_WIDTH) s.width = (s.width < 0 ? 0 : s.width) * 10 + (*p - '0');
    if (p < end && (*p == ',' || *p == '_')) s.group = *p++;
    if (p < end && *p == '.') {
        p++;
        if (p == end || *p < '0' || *p > '9') return jinja_fail(r, "Format specifier missing precision");
        for (s.precision = 0; p < end && *p >= '0' && *p <= '9'; p++)
            if (s.precision <= MAX_WIDTH) s.precision = s.precision * 10 + (*p - '0');
    }
    if (p < end) s.type = *p++;
    if (p < end || (s.type != 0 && strchr("sbcdoxXneEfFgG%", s.type) == NULL)) return jinja_fail(r, "Invalid format specifier");
    *ret = s;
    return check_room(r, ret);
}

/* As Python's format(v, spec). */
static bool format_value(struct jinja_run *r, struct jinja_out *o, struct jinja_value v, const struct jinja_str *text) {
    struct spec s;
    const struct jinja_str *shown;
    if (text->len == 0) return jinja_show(r, o, v);
    if (!read_spec(r, text, &s)) return false;
    if (jinja_is_number(v) && v.type != JINJA_FLOAT && !(v.type == JINJA_BOOL && s.type == 0)) {
        if (s.type == 'c') return write_char(r, o, &s, jinja_is_int(v) ? jinja_int_of(v) : -1);
        if (s.type != 0 && strchr("eEfFgG%", s.type) != NULL) return write_float(r, o, &s, jinja_number_double(v));
        if (s.type == 's') return jinja_fail(r, "Unknown format code 's' for object of type 'int'");
        if (s.precision >= 0) return jinja_fail(r, "Precision not allowed in integer format specifier");
        return write_int(r, o, &s, v, 0);
    }
    if (v.type == JINJA_FLOAT) {
        if (s.type != 0 && strchr("eEfFgG%n", s.type) == NULL)
            return jinja_fail(r, "Unknown format code '%c' for object of type 'float'", s.type);
        return write_float(r, o, &s, v.f);
    }
    if (v.type == JINJA_UNDEFINED || (v.type != JINJA_STR && v.type != JINJA_BOOL))
        return jinja_fail(r, "unsupported format string passed to %s.__format__", jinja_type_name(v));
    if (s.type != 0 && s.type != 's') return jinja_fail(r, "Unknown format code '%c' for object of type 'str'", s.type);
    if (s.align == '=') return jinja_fail(r, "'=' alignment not allowed in string format specifier");
    return jinja_to_str(r, v, &shown) && write_text(r, o, &s, shown);
}

static bool is_number(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return len > 0 && len < 9;
}

static size_t number_of(const char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n = n * 10 + (size_t)(text[i] - '0');
    return n;
}

/* The argument at the beginning of a field: "", "0", "name". */
static bool first_value(struct jinja_run *r, struct braces *b, const char *name, size_t len, struct jinja_value *ret) {
    size_t i = 0;
    if (len == 0 || is_number(name, len)) {
        if (len == 0 && b->next < 0) return jinja_fail(r, "cannot switch from manual field specification to automatic field numbering");
        if (len > 0 && b->next > 0) return jinja_fail(r, "cannot switch from automatic field numbering to manual field specification");
        i = len == 0 ? (size_t)b->next++ : number_of(name, len);
        if (len > 0) b->next = -1;
        if (i >= b->args->n) return jinja_fail(r, "Replacement index %zu out of range for positional args tuple", i);
        *ret = b->args->list[i];
        return true;
    }
    while (i < b->args->n_named && !jinja_str_is(b->args->names[i], name, len)) i++;
    if (i == b->args->n_named) return jinja_fail(r, "the format's key '%.*s' is missing", (int)(len < 60 ? len : 60), name);
    *ret = b->args->values[i];
    return true;
}

/* Follows ".name" and "[key]" after the first part. */
static bool follow_field(struct jinja_run *r, const struct jinja_str *field, size_t at, struct jinja_value *v) {
    while (at < field->len) {
        char kind = field->data[at++];
        size_t start = at;
        if (kind != '.' && kind != '[') return jinja_fail(r, "only '.' or '[' may follow ']' in a format field");
        while (at < field->len && (kind == '[' ? field->data[at] != ']' : field->data[at] != '.' && field->data[at] != '[')) at++;
        if (kind == '[' && at == field->len) return jinja_fail(r, "missing ']' in format string");
        struct jinja_value key;
        if (kind == '[' && is_number(field->data + start, at - start)) key = jinja_int((int64_t)number_of(field->data + start, at - start));
        else if (!jinja_str_part(r, field, start, at - start, &key)) return false;
        if (kind == '.' ? !jinja_get_attr(r, *v, key.s, v) : !jinja_get_item(r, *v, key, v)) return false;
        if (kind == '[') at++;
    }
    return true;
}

static bool write_braces(struct jinja_run *r, struct jinja_out *o, struct braces *b, const char *text, size_t len);

/* One field: the text between the braces. */
static bool braces_field(struct jinja_run *r, struct jinja_out *o, struct braces *b, const char *text, size_t len) {
    size_t name = 0, first;
    int square = 0;
    while (name < len && (square > 0 || (text[name] != '!' && text[name] != ':'))) {
        square += (text[name] == '[') - (text[name] == ']' && square > 0);
        name++;
    }
    struct jinja_value field, v, spec;
    struct jinja_out own = {0}, repr = {0};
    if (!jinja_str_refer(r, text, name, &field)) return false;
    for (first = 0; first < name && text[first] != '.' && text[first] != '[';) first++;
    if (!first_value(r, b, text, first, &v) || !follow_field(r, field.s, first, &v)) return false;
    size_t at = name;
    if (at < len && text[at] == '!') {
        char how = at + 1 < len ? text[at + 1] : '\0';
        at += 2;
        if (how != 's' && how != 'r' && how != 'a') return jinja_fail(r, "unknown conversion specifier in a format field");
        if (!(how == 's' ? jinja_show : jinja_show_repr)(r, &repr, v) || !jinja_out_take(r, &repr, &v)) return false;
        if (at < len && text[at] != ':') return jinja_fail(r, "expected ':' after conversion specifier");
    }
    size_t spec_at = at < len ? at + 1 : len;
    if (!write_braces(r, &own, b, text + spec_at, len - spec_at) || !jinja_out_take(r, &own, &spec)) return false;
    if (b->safe) {
        bool safe = v.type == JINJA_STR && v.s->safe;
        if (!format_value(r, &repr, v, spec.s) || !jinja_out_take(r, &repr, &v)) return false;
        return (safe || jinja_str_escape(r, v.s, &v)) && jinja_show(r, o, v);
    }
    return format_value(r, o, v, spec.s);
}

static bool write_braces(struct jinja_run *r, struct jinja_out *o, struct braces *b, const char *text, size_t len) {
    if (++b->depth > 3) return jinja_fail(r, "Max string recursion exceeded");
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '{' && text[i] != '}') {
            if (!jinja_out_byte(r, o, text[i])) return false;
            continue;
        }
        if (i + 1 < len && text[i + 1] == text[i] && b->depth == 1) {
            if (!jinja_out_byte(r, o, text[i++])) return false;
            continue;
        }
        if (text[i] == '}') return jinja_fail(r, "Single '}' encountered in format string");
        size_t start = i + 1, nested = 1;
        for (i = start; i < len && nested > 0; i++) nested += (text[i] == '{') - (size_t)(text[i] == '}');
        if (nested > 0) return jinja_fail(r, "expected '}' before end of string");
        i--;
        if (!jinja_spend(r, 1) || !braces_field(r, o, b, text + start, i - start)) return false;
    }
    b->depth--;
    return true;
}

bool jinja_format_braces(struct jinja_run *r, const struct jinja_str *format, const struct jinja_args *args, struct jinja_value *ret) {
    struct braces b = {.args = args, .safe = format->safe};
    struct jinja_out o = {0};
    struct jinja_value text;
    return write_braces(r, &o, &b, format->data, format->len) && jinja_out_take(r, &o, &text) &&
           jinja_str_safe(r, text.s, format->safe, ret);
}
