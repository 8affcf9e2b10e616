/* SPDX-License-Identifier: MIT
 * Text that people write and read. See str.h. */
#include "base/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char units[] = "BKMGTPE";

const char *str_size(uint64_t bytes, char out[STR_SHORT]) {
    if (bytes < 1024) {
        snprintf(out, STR_SHORT, "%" PRIu64 " B", bytes);
        return out;
    }
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1023.95 && unit < 6) { /* 1023.95 would be printed as 1024.0 */
        value /= 1024;
        unit++;
    }
    snprintf(out, STR_SHORT, value < 99.95 ? "%.1f %cB" : "%.0f %cB", value, units[unit]);
    return out;
}

bool str_parse_size(const char *text, uint64_t *ret) {
    char *end = NULL;
    if (!isdigit((unsigned char)text[0])) return false;
    double value = strtod(text, &end);
    if (strspn(text, "0123456789.") != (size_t)(end - text)) /* no exponents, no hexadecimal */
        return false;
    while (*end == ' ') end++;
    if (*end != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        if (!unit) return false;
        value *= pow(1024, (double)(unit - units));
        end++;
        if (unit != units) {
            if (*end == 'i') end++;
            if (*end == 'b' || *end == 'B') end++;
            else if (end[-1] == 'i') return false;
        }
    }
    if (*end != '\0' || !(value < 18446744073709551616.0)) return false;
    *ret = (uint64_t)value;
    return true;
}

static bool ends_with(const char *text, size_t len, const char *end) {
    size_t n = strlen(end);
    return len >= n && memcmp(text + len - n, end, n) == 0;
}

bool str_may_break(const char *text, size_t blank) {
    enum { UNIT_MAX = 4 };
    const char *next = text + blank + 1;
    size_t len = strcspn(next, " ,;()");
    bool unit = len <= UNIT_MAX && (isalpha((unsigned char)next[0]) || next[0] == '%');
    if (blank > 0 && isdigit((unsigned char)text[blank - 1]) && unit) return false;
    return !(isdigit((unsigned char)next[0]) && (ends_with(text, blank, " min") || ends_with(text, blank, " h")));
}

const char *str_duration(uint64_t us, char out[STR_SHORT]) {
    uint64_t s = us / 1000000;
    if (us < 1000) snprintf(out, STR_SHORT, "%" PRIu64 " us", us);
    else if (us < 1000000) snprintf(out, STR_SHORT, "%.1f ms", (double)us / 1e3);
    else if (s < 60) snprintf(out, STR_SHORT, "%.1f s", (double)us / 1e6);
    else if (s < 3600) snprintf(out, STR_SHORT, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else if (s < 48 * 3600) snprintf(out, STR_SHORT, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
    else snprintf(out, STR_SHORT, "%" PRIu64 " days", s / 86400);
    return out;
}

bool str_parse_i64(const char *text, int64_t *ret) {
    size_t sign = text[0] == '-' || text[0] == '+';
    if (!isdigit((unsigned char)text[sign])) return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0) return false;
    *ret = value;
    return true;
}

bool str_take_u64(const char **at, uint64_t *ret) {
    if (!isdigit((unsigned char)**at)) return false;
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(*at, &end, 10);
    if (errno != 0) return false;
    *at = end;
    *ret = value;
    return true;
}

bool str_parse_double(const char *text, double *ret) {
    if (text[0] == '\0' || strspn(text, "0123456789.+-eE") != strlen(text)) return false;
    char *end = NULL;
    double value = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(value)) return false;
    *ret = value;
    return true;
}

bool str_parse_bool(const char *text, bool *ret) {
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

/* Removes "http://" from the front and "/" or "/v1" from the end. */
static void strip_url(const char **text, size_t *len) {
    static const char scheme[] = "http://";
    static const char *const ends[] = {"/", "/v1"};
    if (*len > strlen(scheme) && strncasecmp(*text, scheme, strlen(scheme)) == 0) {
        *text += strlen(scheme);
        *len -= strlen(scheme);
    }
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(ends[i]);
        if (*len > n && memcmp(*text + *len - n, ends[i], n) == 0) *len -= n;
    }
}

static bool parse_port(const char *text, size_t len, uint16_t *ret) {
    unsigned long port = 0;
    if (len == 0 || len > 5) return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i])) return false;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    if (port > 65535) return false;
    *ret = (uint16_t)port;
    return true;
}

/* An IPv6 address without brackets: no port can follow it. */
static bool is_bare_ipv6(const char *text, size_t len) {
    char literal[INET6_ADDRSTRLEN];
    struct in6_addr ignored;
    const char *zone = memchr(text, '%', len);
    size_t n = zone ? (size_t)(zone - text) : len;
    if (n >= sizeof(literal)) return false;
    memcpy(literal, text, n);
    literal[n] = '\0';
    return inet_pton(AF_INET6, literal, &ignored) == 1;
}

bool str_parse_address(const char *text, const char *default_host, uint16_t default_port, char ret_host[STR_HOST_MAX], uint16_t *ret_port) {
    size_t len = strlen(text);
    strip_url(&text, &len);
    const char *host = text, *rest;
    size_t host_len;
    if (text[0] == '[') { /* an IPv6 address: RFC 3986's brackets */
        const char *close = memchr(text, ']', len);
        if (!close) return false;
        host = text + 1;
        host_len = (size_t)(close - host);
        rest = close + 1;
    } else {
        const char *colon = memchr(text, ':', len);
        bool bare = is_bare_ipv6(text, len);
        host_len = colon && !bare ? (size_t)(colon - text) : len;
        rest = text + host_len;
    }
    size_t rest_len = (size_t)(text + len - rest);
    uint16_t port = default_port;
    if (rest_len > 0 && (rest[0] != ':' || !parse_port(rest + 1, rest_len - 1, &port))) return false;
    if (rest_len == 0 && default_port == 0) return false;
    if (host_len == 0) {
        if (!default_host || text[0] == '[' || rest_len == 0) return false;
        host = default_host;
        host_len = strlen(default_host);
    }
    for (size_t i = 0; i < host_len; i++)
        if (!isalnum((unsigned char)host[i]) && !strchr(".-_:%", host[i])) return false;
    if (host_len >= STR_HOST_MAX) return false;
    memcpy(ret_host, host, host_len);
    ret_host[host_len] = '\0';
    *ret_port = port;
    return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void str_trim(const char **text, size_t *len) {
    while (*len > 0 && is_blank((*text)[0])) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_blank((*text)[*len - 1])) (*len)--;
}

bool str_next(const char **at, char separator, const char **ret_part, size_t *ret_len) {
    if (!*at) return false;
    const char *part = *at;
    const char *end = strchr(part, separator);
    size_t len = end ? (size_t)(end - part) : strlen(part);
    *at = end ? end + 1 : NULL;
    str_trim(&part, &len);
    *ret_part = part;
    *ret_len = len;
    return true;
}

bool str_is_part(const char *s, char separator, const char *part) {
    const char *at;
    size_t len;
    while (str_next(&s, separator, &at, &len))
        if (strlen(part) == len && strncmp(at, part, len) == 0) return true;
    return false;
}

size_t str_distance(const char *a, const char *b) {
    enum { MAX = 64 };
    uint8_t rows[3][MAX];
    size_t a_len = strnlen(a, MAX - 1), b_len = strnlen(b, MAX - 1);
    uint8_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_len; j++) last[j] = (uint8_t)j;
    memset(before, 0, MAX);
    for (size_t i = 1; i <= a_len; i++) {
        now[0] = (uint8_t)i;
        for (size_t j = 1; j <= b_len; j++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            int best = last[j - 1] + !same;
            best = last[j] + 1 < best ? last[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            now[j] = (uint8_t)best;
        }
        uint8_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *str_nearest(const char *word, const char *const *names, size_t n) {
    const char *nearest = NULL;
    size_t word_len = strlen(word);
    size_t best = 1 + word_len / 3; /* one wrong letter in a short word, more in a long one */
    for (size_t i = 0; i < n; i++) {
        size_t distance = str_distance(word, names[i]);
        /* A beginning of the name is near, too. */
        if (word_len >= 3 && strncasecmp(word, names[i], word_len) == 0 && distance > 1) distance = 1;
        if (distance <= best && (!nearest || distance < best)) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* The ranges of the second byte are those of Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
size_t str_utf8_next(const char *text, size_t len, bool *ret_whole) {
    const unsigned char *p = (const unsigned char *)text;
    unsigned char lead = p[0], low = 0x80, high = 0xBF;
    *ret_whole = lead < 0x80;
    size_t need = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 1;
    if (need == 1) return 1;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (size_t i = 1; i < need; i++) {
        if (i == len) return 0;
        if (p[i] < low || p[i] > high) return i;
        low = 0x80;
        high = 0xBF;
    }
    *ret_whole = true;
    return need;
}

static const char hex_digits[] = "0123456789abcdef";

uint64_t str_hash(const char *text) {
    uint64_t h = 0xCBF29CE484222325u;
    for (; *text != '\0'; text++) h = (h ^ (uint8_t)*text) * 0x100000001B3u;
    return h != 0 ? h : 1;
}

void str_hex(const uint8_t *data, size_t len, char *ret) {
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = hex_digits[data[i] >> 4];
        ret[2 * i + 1] = hex_digits[data[i] & 15];
    }
    ret[2 * len] = '\0';
}

bool str_unhex(const char *text, uint8_t *ret, size_t len) {
    if (strlen(text) != 2 * len || strspn(text, hex_digits) != 2 * len) return false;
    for (size_t i = 0; i < len; i++)
        ret[i] = (uint8_t)((strchr(hex_digits, text[2 * i]) - hex_digits) << 4 | (strchr(hex_digits, text[2 * i + 1]) - hex_digits));
    return true;
}

bool str_utf8_valid(const char *text, size_t len) {
    bool whole = true;
    for (size_t at = 0; at < len && whole;) at += str_utf8_next(text + at, len - at, &whole);
    return whole;
}

size_t str_utf8_incomplete(const char *text, size_t len) {
    bool whole;
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        if (((unsigned char)text[len - n] & 0xC0) == 0x80) continue; /* not a first byte */
        return str_utf8_next(text + len - n, n, &whole) == 0 ? n : 0;
    }
    return 0;
}

void str_line(const char *text, size_t len, char *ret, size_t size) {
    size_t at = 0, to = 0;
    while (at < len) {
        bool whole;
        size_t n = str_utf8_next(text + at, len - at, &whole);
        bool plain = whole && (unsigned char)text[at] >= 0x20 && text[at] != 0x7F;
        if (to + (plain ? n : 1) >= size) break;
        if (plain) memcpy(ret + to, text + at, n);
        else ret[to] = '_';
        to += plain ? n : 1;
        at += n > 0 ? n : len - at;
    }
    ret[to] = '\0';
}

const char *str_find_nocase(const char *text, const char *word) {
    size_t len = strlen(word);
    for (; *text != '\0' || len == 0; text++)
        if (strncasecmp(text, word, len) == 0) return text;
    return NULL;
}
