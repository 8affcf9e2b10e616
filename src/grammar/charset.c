/* SPDX-License-Identifier: MIT
 * Sets of characters, and how a JSON string spells them. See charset.h. */
#include "grammar/charset.h"

#include <stdlib.h>
#include <string.h>

#include "grammar/gbnf.h"

enum { LAST = 0x10FFFF, SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

void charset_add(struct charset *set, uint32_t first, uint32_t last) {
    if (set->n == sizeof(set->range) / sizeof(*set->range)) {
        set->full = true;
        return;
    }
    set->range[set->n].first = first;
    set->range[set->n++].last = last;
}

static int by_first(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void charset_sort(struct charset *set) {
    qsort(set->range, set->n, sizeof(*set->range), by_first);
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (n > 0 && set->range[i].first <= set->range[n - 1].last + 1) {
            if (set->range[i].last > set->range[n - 1].last) set->range[n - 1].last = set->range[i].last;
        } else {
            set->range[n++] = set->range[i];
        }
    }
    set->n = n;
}

void charset_invert(struct charset *set) {
    struct charset out = {.full = set->full};
    uint32_t next = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->range[i].first > next) charset_add(&out, next, set->range[i].first - 1);
        next = set->range[i].last + 1;
    }
    if (next <= LAST) charset_add(&out, next, LAST);
    *set = out;
}

static void write_char(struct buf *out, uint32_t c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) buf_append_byte(out, (uint8_t)c);
    else if (c <= 0xFF) buf_printf(out, "\\x%02X", c);
    else if (c <= 0xFFFF) buf_printf(out, "\\u%04X", c);
    else buf_printf(out, "\\U%08X", c);
}

void charset_write_range(struct buf *out, uint32_t first, uint32_t last) {
    if (first > last) return;
    write_char(out, first);
    if (last > first) {
        buf_append_byte(out, '-');
        write_char(out, last);
    }
}

/* Writes the part of first..last that a JSON string can hold unescaped: without controls, quotation mark, backslash and surrogates. */
static void write_plain(struct buf *out, uint32_t first, uint32_t last) {
    static const struct {
        uint32_t first, last;
    } plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, SURROGATE_FIRST - 1}, {SURROGATE_LAST + 1, LAST}};
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        charset_write_range(out, first > plain[i].first ? first : plain[i].first, last < plain[i].last ? last : plain[i].last);
}

static void write_escaped(struct buf *out, uint32_t c) {
    static const char short_form[] = "\b\t\n\f\r\"\\", letter[] = "btnfr\"\\";
    const char *at = c != 0 ? strchr(short_form, (int)c) : NULL;
    if (at != NULL && (c == '"' || c == '\\')) buf_printf(out, "\"\\\\\\%c\"", letter[at - short_form]);
    else if (at != NULL) buf_printf(out, "\"\\\\%c\"", letter[at - short_form]);
    else if (c % 16 < 10) buf_printf(out, "\"\\\\u00%02x\"", c);
    else buf_printf(out, "\"\\\\u00%u\" [%c%c]", c / 16, "abcdef"[c % 16 - 10], "ABCDEF"[c % 16 - 10]);
}

static bool holds(const struct charset *set, uint32_t c) {
    for (size_t i = 0; i < set->n; i++)
        if (c >= set->range[i].first && c <= set->range[i].last) return true;
    return false;
}

/* Appends a bar between alternatives. */
static void write_bar(struct buf *out, int *count) {
    if ((*count)++ > 0) buf_append_byte(out, '|');
}

bool charset_write(const struct charset *set, struct buf *out) {
    struct buf list;
    int count = 0;
    buf_init(&list, GBNF_MAX_TEXT);
    buf_append_byte(&list, '[');
    for (size_t i = 0; i < set->n; i++) write_plain(&list, set->range[i].first, set->range[i].last);
    if (list.len > 1) {
        buf_append_byte(&list, ']');
        count = 1;
    } else {
        buf_clear(&list);
    }
    bool controls = set->n > 0 && set->range[0].first == 0 && set->range[0].last >= 0x1F;
    if (controls) {
        write_bar(&list, &count);
        buf_append_str(&list, "ctl");
    }
    for (uint32_t c = controls ? 0x20 : 0; c <= '\\'; c++) {
        if ((c >= 0x20 && c != '"' && c != '\\') || !holds(set, c)) continue;
        write_bar(&list, &count);
        write_escaped(&list, c);
    }
    buf_printf(out, count == 1 && (list.data[0] == '[' || controls) ? "%s" : "(%s)", count > 0 ? buf_cstr(&list) : "");
    out->failed = out->failed || list.failed;
    buf_done(&list);
    return count > 0;
}

bool charset_write_plain(const struct charset *set, struct buf *out) {
    size_t start = out->len;
    buf_append_byte(out, '[');
    for (size_t i = 0; i < set->n; i++) {
        uint32_t first = set->range[i].first, last = set->range[i].last;
        charset_write_range(out, first, last < SURROGATE_FIRST ? last : SURROGATE_FIRST - 1);
        charset_write_range(out, first > SURROGATE_LAST ? first : SURROGATE_LAST + 1, last);
    }
    bool any = out->len > start + 1;
    buf_append_byte(out, ']');
    return any;
}
