/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

void base64_encode(const uint8_t *data, size_t len, struct buf *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (n > 2 ? data[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
        buf_append(out, four, 4);
    }
}

size_t base64_most(size_t len) { return len / 4 * 3 + 3; }

/* The six bits of a digit; -1: it is none. */
static int digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static void put(uint8_t *ret, size_t *n, uint32_t byte) {
    if (ret != NULL) ret[*n] = (uint8_t)byte;
    (*n)++;
}

/* ret NULL: nothing is written. */
static bool decode(const char *text, size_t len, uint8_t *ret, size_t *ret_len) {
    uint32_t bits = 0;
    size_t n_digits = 0, n_pads = 0, n = 0;
    for (size_t i = 0; i < len; i++) {
        int d = digit(text[i]);
        if (is_blank(text[i])) continue;
        n_pads += text[i] == '=';
        if (text[i] == '=') continue;
        if (d < 0 || n_pads > 0) return false;
        bits = bits << 6 | (uint32_t)d;
        if (++n_digits % 4 == 0) {
            put(ret, &n, bits >> 16);
            put(ret, &n, bits >> 8);
            put(ret, &n, bits);
        }
    }
    size_t rest = n_digits % 4;
    if (rest == 1 || n_pads > 2 || (n_pads > 0 && (n_digits + n_pads) % 4 != 0)) return false;
    if (rest == 2) put(ret, &n, bits >> 4);
    if (rest == 3) {
        put(ret, &n, bits >> 10);
        put(ret, &n, bits >> 2);
    }
    *ret_len = n;
    return true;
}

bool base64_decode(const char *text, size_t len, uint8_t *ret, size_t *ret_len) { return decode(text, len, ret, ret_len); }

bool base64_valid(const char *text, size_t len) {
    size_t ignored;
    return decode(text, len, NULL, &ignored);
}
