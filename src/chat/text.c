/* SPDX-License-Identifier: MIT
 * UTF-8 and stop strings. See text.h. */
#include "base/mem.h"
#include "chat/text.h"

#include <string.h>

#include "base/str.h"

static const char REPLACEMENT[] = "\xEF\xBF\xBD"; /* U+FFFD */

void text_append_utf8(struct buf *out, const char *bytes, size_t len, uint8_t *tail, size_t *tail_len) {
    const uint8_t *p = (const uint8_t *)bytes;
    while (tail != NULL && *tail_len > 0 && len > 0) { /* complete the character that the last call began, byte by byte */
        uint8_t both[4];
        bool whole;
        size_t have = *tail_len;
        memcpy(both, tail, have);
        both[have] = *p;
        size_t n = str_utf8_next((const char *)both, have + 1, &whole);
        if (n == 0 || n > have) { /* the new byte belongs to it */
            p++;
            len--;
            *tail_len = n == 0 ? have + 1 : 0;
            memcpy(tail, both, have + 1);
            if (whole) buf_append(out, both, n);
        } else { /* it doesn't: the kept bytes are invalid, and the new byte begins a character */
            buf_append_str(out, REPLACEMENT);
            *tail_len = 0;
        }
    }
    size_t good = 0; /* valid bytes from p on that are not appended yet */
    while (good < len) {
        bool whole;
        size_t n = str_utf8_next((const char *)p + good, len - good, &whole);
        if (whole) {
            good += n;
            continue;
        }
        buf_append(out, p, good);
        if (n == 0) {
            n = len - good;
            if (tail != NULL) {
                memcpy(tail, p + good, n);
                *tail_len = n;
                return;
            }
        }
        buf_append_str(out, REPLACEMENT);
        p += good + n;
        len -= good + n;
        good = 0;
    }
    buf_append(out, p, good);
}

void text_filter_init(struct text_filter *f, const struct text_stop *stops, size_t n_stops) {
    *f = (struct text_filter){.stops = stops, .n_stops = n_stops};
    buf_init(&f->held, SIZE_MAX - 1); /* never longer than one push and the longest stop string */
}

void text_filter_done(struct text_filter *f) { buf_done(&f->held); }

size_t text_filter_seen(const struct text_filter *f) { return f->given + f->held.len; }

/* Finds the stop string that ends first in the held text. NULL: none does. */
static const struct text_stop *find_stop(const struct text_filter *f, size_t *ret_at) {
    const struct text_stop *best = NULL;
    size_t best_end = SIZE_MAX, best_at = 0;
    for (size_t i = 0; i < f->n_stops; i++) {
        const uint8_t *hit = mem_find(f->held.data, f->held.len, f->stops[i].text, f->stops[i].len);
        if (hit == NULL) continue;
        size_t at = (size_t)(hit - f->held.data), end = at + f->stops[i].len;
        if (end > best_end || (end == best_end && at >= best_at)) continue;
        best_end = end;
        best_at = at;
        best = &f->stops[i];
    }
    if (best != NULL) *ret_at = best_at;
    return best;
}

/* The held text ends with the first n bytes of the stop string. Can the unfinished character after it continue the stop string? */
static bool goes_on(const struct text_filter *f, const struct text_stop *stop, size_t n) {
    const char *rest = stop->text + n;
    size_t len = stop->len - n;
    if (f->tail_len == 0) return true;
    return (len > f->tail_len && memcmp(rest, f->tail, f->tail_len) == 0) || (len >= 3 && memcmp(rest, REPLACEMENT, 3) == 0);
}

/* Finds the longest end of the held text that may be the beginning of a stop string. */
static size_t longest_beginning(const struct text_filter *f) {
    size_t longest = 0;
    for (size_t i = 0; i < f->n_stops; i++) {
        size_t n = f->stops[i].len - 1;
        if (n > f->held.len) n = f->held.len;
        for (; n > longest; n--)
            if (memcmp(f->held.data + f->held.len - n, f->stops[i].text, n) == 0 && goes_on(f, &f->stops[i], n)) longest = n;
    }
    return longest;
}

static void give(struct text_filter *f, size_t n, struct buf *out) {
    buf_append(out, f->held.data, n);
    buf_consume(&f->held, n);
    f->given += n;
}

static bool filter_step(struct text_filter *f, bool last, struct buf *out) {
    size_t at;
    if (f->held.len > 0 && (f->found = find_stop(f, &at)) != NULL) {
        give(f, at, out);
        buf_clear(&f->held);
        f->stopped = true;
        return true;
    }
    if (f->held.len > 0) give(f, f->held.len - (last ? 0 : longest_beginning(f)), out);
    return false;
}

bool text_filter_push(struct text_filter *f, const char *bytes, size_t len, struct buf *out) {
    if (f->stopped) return true;
    text_append_utf8(&f->held, bytes, len, f->tail, &f->tail_len);
    return filter_step(f, false, out);
}

bool text_filter_finish(struct text_filter *f, struct buf *out) {
    if (f->stopped) return true;
    if (f->tail_len > 0) buf_append_str(&f->held, REPLACEMENT);
    f->tail_len = 0;
    return filter_step(f, true, out);
}

/* ---- JSON ---- */

static void append_escape(struct buf *out, uint8_t c) {
    switch (c) {
    case '"': buf_append(out, "\\\"", 2); break;
    case '\\': buf_append(out, "\\\\", 2); break;
    case '\n': buf_append(out, "\\n", 2); break;
    case '\r': buf_append(out, "\\r", 2); break;
    case '\t': buf_append(out, "\\t", 2); break;
    default: buf_printf(out, "\\u%04x", c); break;
    }
}

void text_append_escaped(struct buf *out, const char *bytes, size_t len) {
    const uint8_t *p = (const uint8_t *)bytes;
    if (len == 0) return; /* p may be NULL */
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        if (p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7F) continue;
        buf_append(out, p + from, i - from);
        append_escape(out, p[i]);
        from = i + 1;
    }
    buf_append(out, p + from, len - from);
}

void text_append_json(struct buf *out, const char *bytes, size_t len) {
    buf_append_byte(out, '"');
    if (str_utf8_valid(bytes, len)) {
        text_append_escaped(out, bytes, len);
    } else {
        struct buf clean;
        buf_init(&clean, SIZE_MAX - 1);
        text_append_utf8(&clean, bytes, len, NULL, NULL);
        text_append_escaped(out, (const char *)clean.data, clean.len);
        buf_done(&clean);
    }
    buf_append_byte(out, '"');
}

size_t text_count(const char *text, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += ((uint8_t)text[i] & 0xC0) != 0x80;
    return n;
}
