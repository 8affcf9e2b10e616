/* SPDX-License-Identifier: MIT
 * See cell.h. */
#include "terminal/cell.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

struct range {
    uint32_t first, last;
};

static const struct range none[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},   {0x064b, 0x065f},   {0x06d6, 0x06dc},
    {0x0900, 0x0902}, {0x093c, 0x093c}, {0x0941, 0x0948}, {0x094d, 0x094d},   {0x0e31, 0x0e31},   {0x0e34, 0x0e3a},
    {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},   {0x20d0, 0x20ff},   {0x3099, 0x309a},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef},
};
static const struct range two[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x23e9, 0x23ec},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},
    {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},
    {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97f},
    {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f3fa}, {0x1f400, 0x1f64f}, {0x1f680, 0x1f6ff},
    {0x1f7e0, 0x1f7eb}, {0x1f900, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd},
};

static int is_in(uint32_t c, const struct range *ranges, size_t n) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle].last) low = middle + 1;
        else high = middle;
    }
    return low < n && c >= ranges[low].first;
}

/* The code point of a whole UTF-8 sequence. */
static uint32_t code_point(const char *text, size_t n) {
    static const uint8_t lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)text[0] & lead[n];
    for (size_t i = 1; i < n; i++) c = c << 6 | ((uint8_t)text[i] & 0x3f);
    return c;
}

size_t cell_next(const char *text, size_t len, uint32_t *ret_width) {
    bool whole;
    size_t n = str_utf8_next(text, len, &whole);
    *ret_width = 1;
    if (!whole) return 1;
    uint32_t c = code_point(text, n);
    if (is_in(c, none, ARRAY_LEN(none))) *ret_width = 0;
    else if (is_in(c, two, ARRAY_LEN(two))) *ret_width = 2;
    return n;
}

uint32_t cell_width(const char *text, size_t len) {
    uint32_t sum = 0, w;
    for (size_t at = 0; at < len; sum += w) at += cell_next(text + at, len - at, &w);
    return sum;
}

size_t cell_fit(const char *text, size_t len, uint32_t width) {
    uint32_t sum = 0, w;
    size_t at = 0, n;
    for (; at < len; at += n, sum += w) {
        n = cell_next(text + at, len - at, &w);
        if (sum + w > width) break;
    }
    return at;
}

uint32_t cell_terminal(int fd) {
    struct winsize w;
    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}
