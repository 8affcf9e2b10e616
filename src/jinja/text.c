/* SPDX-License-Identifier: MIT */
#include "jinja/text.h"

#include <string.h>

#include "base/mem.h"

/* ---- tables ---- */

struct change {
    uint32_t first, last;
    int step, by;
};
struct run {
    uint32_t first, last;
};

static const struct change lower[] = {
#define LOWER(first, last, step, by) {first, last, step, by},
#include "../../tables/unicode.def"
};
static const struct change upper[] = {
#define UPPER(first, last, step, by) {first, last, step, by},
#include "../../tables/unicode.def"
};
static const uint32_t many[][1 + JINJA_CASE_MAX] = {
#define MANY(c, x, y, z) {c, x, y, z},
#include "../../tables/unicode.def"
};
static const struct run hidden[] = {
#define HIDDEN(first, last) {first, last},
#include "../../tables/unicode.def"
};
static const struct run digits[] = {
#define DIGITS(first) {first, (first) + 9},
#include "../../tables/unicode.def"
};
/* Signs that are not letters: punctuation, marks, symbols, pictures. By large blocks, not each single sign. */
static const struct run signs[] = {
    {0xA1, 0xA9},     {0xAB, 0xB1},     {0xB4, 0xB4},     {0xB6, 0xB8},     {0xBB, 0xBB},     {0xBF, 0xBF},     {0xD7, 0xD7},
    {0xF7, 0xF7},     {0x2C2, 0x2C5},   {0x300, 0x36F},   {0x2010, 0x2070}, {0x207A, 0x207E}, {0x20A0, 0x2101}, {0x2190, 0x2BFF},
    {0x2E00, 0x2FFF}, {0x3001, 0x3004}, {0x3008, 0x3020}, {0xFE10, 0xFE6F}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0x1F000, 0x1FAFF},
};

static bool in_runs(const struct run *list, size_t n, uint32_t c) {
    size_t low = 0, high = n; /* all rows before `low` end before c */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].last < c) low = middle + 1;
        else high = middle;
    }
    return low < n && list[low].first <= c;
}

static uint32_t changed(const struct change *list, size_t n, uint32_t c) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (list[middle].last < c) low = middle + 1;
        else high = middle;
    }
    if (low == n || list[low].first > c || (c - list[low].first) % (uint32_t)list[low].step != 0) return c;
    return (uint32_t)((int32_t)c + list[low].by);
}

/* ---- UTF-8 ---- */

uint32_t jinja_char_at(const char *text, size_t len, size_t *ret_len) {
    const unsigned char *p = (const unsigned char *)text;
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (n == 1 || n > len) {
        *ret_len = 1;
        return p[0];
    }
    uint32_t c = p[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3Fu);
    *ret_len = n;
    return c;
}

size_t jinja_char_write(uint32_t c, char ret[JINJA_CHAR_MAX]) {
    unsigned char *p = (unsigned char *)ret;
    if ((c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) c = 0xFFFD;
    if (c < 0x80) {
        p[0] = (unsigned char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) p[i] = (unsigned char)(0x80 | (c & 0x3F));
    p[0] = (unsigned char)((0xF00u >> n & 0xF0u) | c);
    return n;
}

static bool starts_char(char c) { return ((unsigned char)c & 0xC0) != 0x80; }

size_t jinja_char_count(const char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += starts_char(text[i]);
    return n;
}

size_t jinja_char_offset(const char *text, size_t len, size_t n) {
    size_t i = 0;
    while (i < len) {
        if (starts_char(text[i]) && n-- == 0) return i;
        i++;
    }
    return len;
}

size_t jinja_char_last(const char *text, size_t len) {
    size_t i = len - 1;
    while (i > 0 && !starts_char(text[i])) i--;
    return i;
}

/* ---- kinds ---- */

bool jinja_char_is_space(uint32_t c) {
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

bool jinja_char_is_line_end(uint32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool jinja_char_is_printable(uint32_t c) {
    if (c < 0x80) return c >= 0x20 && c < 0x7F;
    return !in_runs(hidden, ARRAY_LEN(hidden), c);
}

bool jinja_char_is_digit(uint32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    return in_runs(digits, ARRAY_LEN(digits), c);
}

static uint32_t to_lower(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return changed(lower, ARRAY_LEN(lower), c);
}

static uint32_t to_upper(uint32_t c) {
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 32 : c;
    return changed(upper, ARRAY_LEN(upper), c);
}

static const uint32_t *find_many(uint32_t c) {
    for (size_t i = 0; c >= 0x80 && i < ARRAY_LEN(many) && many[i][0] <= c; i++)
        if (many[i][0] == c) return many[i] + 1;
    return NULL;
}

bool jinja_char_is_upper(uint32_t c) { return to_lower(c) != c || c == 0x130; }
bool jinja_char_is_lower(uint32_t c) { return to_upper(c) != c || find_many(c) != NULL || c == 0xAA || c == 0xBA; }

bool jinja_char_is_alpha(uint32_t c) {
    if (jinja_char_is_upper(c) || jinja_char_is_lower(c)) return true;
    if (c < 0x80) return false;
    return !jinja_char_is_space(c) && jinja_char_is_printable(c) && !jinja_char_is_digit(c) && !in_runs(signs, ARRAY_LEN(signs), c) &&
           c != 0xB2 && c != 0xB3 && c != 0xB9 && (c < 0xBC || c > 0xBE);
}

/* ---- case ---- */

size_t jinja_char_upper(uint32_t c, uint32_t ret[JINJA_CASE_MAX]) {
    const uint32_t *several = find_many(c);
    size_t n = 0;
    if (several == NULL) {
        ret[0] = to_upper(c);
        return 1;
    }
    while (n < JINJA_CASE_MAX && several[n] != 0) {
        ret[n] = several[n];
        n++;
    }
    return n;
}

size_t jinja_char_lower(uint32_t c, uint32_t ret[JINJA_CASE_MAX]) {
    ret[0] = c == 0x130 ? 'i' : to_lower(c);
    ret[1] = 0x307; /* I with a dot, the only letter that becomes two */
    return c == 0x130 ? 2 : 1;
}

size_t jinja_char_capital(uint32_t c, uint32_t ret[JINJA_CASE_MAX]) {
    size_t n = jinja_char_upper(c, ret);
    for (size_t i = 1; i < n; i++) ret[i] = to_lower(ret[i]);
    return n;
}

void jinja_text_strip(const char **text, size_t *len, bool left, bool right) {
    size_t n;
    while (left && *len > 0 && jinja_char_is_space(jinja_char_at(*text, *len, &n))) {
        *text += n;
        *len -= n;
    }
    while (right && *len > 0) {
        size_t last = jinja_char_last(*text, *len);
        if (!jinja_char_is_space(jinja_char_at(*text + last, *len - last, &n))) break;
        *len = last;
    }
}
