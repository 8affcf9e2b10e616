/* SPDX-License-Identifier: MIT
 * See invite.h. The bytes: u8 version 1 | u8 length of all | 32 key | u8 n | n x { u8 4 or 6 | 4 or 16 address | u16 port } | u32 CRC-32 of
 * what stands before. The check character of a group: the sum of its five values times 1, x, x^2, x^3, x^4, and of the group's number times
 * x^5, in GF(32): any one wrong character, and any two swapped, change it. */
#include "members/invite.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum { VERSION = 1, GROUP = 6, GROUP_DATA = 5 };
enum { MIN_BYTES = 2 + IO_TLS_KEY_SIZE + 1 + 4, MAX_BYTES = MIN_BYTES + INVITE_MAX_ADDRS * 19 };
enum { MAX_GROUPS = (MAX_BYTES * 8 + 24) / 25, DATA_SIZE = MAX_GROUPS * 25 / 8 + 1 };

static const char ALPHABET[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* ---- checks ---- */

static uint32_t invite_crc(const uint8_t *data, size_t len) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* v times x in GF(32) = GF(2)[x] / (x^5 + x^2 + 1). */
static uint8_t times_x(uint8_t v) { return (uint8_t)((v << 1 ^ (v & 16 ? 0x25 : 0)) & 31); }

static uint8_t group_check(const uint8_t value[GROUP_DATA], size_t number) {
    uint8_t sum = (uint8_t)((number + 1) & 31);
    for (int i = GROUP_DATA - 1; i >= 0; i--) sum = times_x(sum) ^ value[i]; /* Horner */
    return sum;
}

/* ---- encoding ---- */

static err_code addr_put(const struct io_addr *a, uint8_t *out, size_t *at, struct err *e) {
    bool v6 = strchr(a->host, ':') != NULL;
    out[*at] = v6 ? 6 : 4;
    if (a->port == 0 || inet_pton(v6 ? AF_INET6 : AF_INET, a->host, out + *at + 1) != 1)
        return err_set(e, ERR_INVALID, "\"%s\" port %u is not an address for a join code", a->host, a->port);
    *at += v6 ? 17 : 5;
    bytes_put_u16(out + *at, a->port);
    *at += 2;
    return ERR_OK;
}

static void text_put(const uint8_t *data, size_t len, char ret[INVITE_TEXT_SIZE]) {
    size_t at = 0, n_groups = (len * 8 + 24) / 25;
    for (size_t g = 0; g < n_groups; g++) {
        uint8_t value[GROUP_DATA] = {0};
        for (size_t bit = 0; bit < 25; bit++) {
            size_t from = g * 25 + bit;
            if (from < len * 8 && (data[from / 8] >> (7 - from % 8) & 1)) value[bit / 5] |= (uint8_t)(16 >> bit % 5);
        }
        if (g > 0) ret[at++] = '-';
        for (int i = 0; i < GROUP_DATA; i++) ret[at++] = ALPHABET[value[i]];
        ret[at++] = ALPHABET[group_check(value, g)];
    }
    ret[at] = '\0';
}

err_code invite_encode(const struct invite *in, char ret[INVITE_TEXT_SIZE], struct err *e) {
    _Static_assert(MAX_GROUPS * (GROUP + 1) <= INVITE_TEXT_SIZE, "the longest code fits");
    uint8_t data[MAX_BYTES];
    size_t at = 2;
    if (in->n_addrs > INVITE_MAX_ADDRS) return err_set(e, ERR_INVALID, "more than %d addresses", INVITE_MAX_ADDRS);
    data[0] = VERSION;
    memcpy(data + at, in->key, IO_TLS_KEY_SIZE);
    at += IO_TLS_KEY_SIZE;
    data[at++] = (uint8_t)in->n_addrs;
    for (size_t i = 0; i < in->n_addrs; i++) {
        err_code code = addr_put(&in->addrs[i], data, &at, e);
        if (code != ERR_OK) return code;
    }
    data[1] = (uint8_t)(at + 4);
    bytes_put_u32(data + at, invite_crc(data, at));
    text_put(data, at + 4, ret);
    return ERR_OK;
}

/* ---- decoding: characters ---- */

static int value_of(char c) {
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c == 'I' || c == 'L') c = '1';
    if (c == 'O') c = '0';
    const char *found = c ? strchr(ALPHABET, c) : NULL;
    return found ? (int)(found - ALPHABET) : -1;
}

static bool is_gap(char c) { return c == '-' || c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '_'; }

struct group {
    char text[16];    /* as typed, cut */
    size_t n;         /* characters */
    uint8_t value[GROUP];
    bool foreign;     /* a character that no code has */
};

/* Takes one group off the text: up to a gap, or six characters where people left the gaps out. false: none is left. */
static bool group_take(const char **at, struct group *ret) {
    memset(ret, 0, sizeof(*ret));
    while (is_gap(**at)) (*at)++;
    size_t len = 0, take;
    while ((*at)[len] && !is_gap((*at)[len])) len++;
    if (len == 0) return false;
    take = len > GROUP + 1 ? GROUP : len; /* seven: one too many was typed */
    for (size_t i = 0; i < take; i++) {
        int v = value_of((*at)[i]);
        if (v < 0) ret->foreign = true;
        else if (i < GROUP) ret->value[i] = (uint8_t)v;
    }
    memcpy(ret->text, *at, take);
    ret->n = take;
    *at += take;
    return true;
}

static bool group_is_good(const struct group *g, size_t number) {
    return !g->foreign && g->n == GROUP && group_check(g->value, number) == g->value[GROUP_DATA];
}

/* Quotes only what can be shown. */
static const char *group_shown(const struct group *g) {
    for (size_t i = 0; i < g->n; i++)
        if (g->text[i] < '!' || g->text[i] > '~') return "?";
    return g->text;
}

static err_code mistyped(struct err *e, const char *fmt, size_t number, const char *text) {
    char detail[200];
    snprintf(detail, sizeof(detail), fmt, number, text);
    err_set(e, ERR_INVALID, "the join code is mistyped: %s", detail);
    err_hint(e, "compare it with what `caravan invite` prints on a machine of the cluster");
    return ERR_INVALID;
}

/* What the groups of a code are like. */
struct groups {
    struct group bad; /* the first bad one */
    size_t n, n_bad, first_bad, last_bad, expected; /* expected: as the first group says; 0: it cannot be trusted */
};

static err_code not_a_code(struct err *e) {
    err_set(e, ERR_INVALID, "this is not a join code");
    err_hint(e, "copy the whole line that `caravan invite` prints on a machine of the cluster");
    return ERR_INVALID;
}

static err_code not_complete(size_t here, size_t expected, struct err *e) {
    err_set(e, ERR_INVALID, "the join code is not complete: %zu of its %zu groups are here", here, expected);
    err_hint(e, "copy the whole line that `caravan invite` prints on a machine of the cluster");
    return ERR_INVALID;
}

static err_code groups_check(const struct groups *s, struct err *e) {
    const struct group *g = &s->bad;
    char rest[64];
    if (s->n == 0 || (s->n_bad == s->n && s->n_bad > 1) || (s->n == 1 && g->foreign)) return not_a_code(e);
    if (s->n_bad == 0 && s->n < s->expected) return not_complete(s->n, s->expected, e);
    if (s->n_bad == 0 && s->n == s->expected) return ERR_OK;
    if (s->n_bad == 0) return mistyped(e, "there are %zu groups%s more than its beginning says", s->n - s->expected, "");
    if (s->n_bad == 1 && g->n < GROUP && s->first_bad + 1 == s->n && s->n <= s->expected && !g->foreign)
        return not_complete(s->n - 1, s->expected, e);
    if (s->n_bad > 1 && s->n < s->expected && s->last_bad + 1 == s->n && s->n_bad == s->n - s->first_bad)
        return mistyped(e, "something is missing at group %zu, \"%s\"", s->first_bad + 1, group_shown(g));
    if (s->n_bad > 1) {
        snprintf(rest, sizeof(rest), "\"%s\", and %zu more", group_shown(g), s->n_bad - 1);
        return mistyped(e, "group %zu, %s are wrong", s->first_bad + 1, rest);
    }
    if (g->foreign) return mistyped(e, "group %zu, \"%s\", has a character that no join code has", s->first_bad + 1, group_shown(g));
    if (g->n != GROUP) return mistyped(e, "group %zu, \"%s\", does not have six characters", s->first_bad + 1, group_shown(g));
    return mistyped(e, "group %zu, \"%s\", is wrong", s->first_bad + 1, group_shown(g));
}

/* Groups to bytes, and their own checks. */
static err_code text_get(const char *text, uint8_t data[DATA_SIZE], size_t *ret_n, struct err *e) {
    struct group g;
    struct groups s = {0};
    memset(data, 0, DATA_SIZE);
    for (; group_take(&text, &g); s.n++) {
        if (s.n == MAX_GROUPS) return s.n_bad < s.n / 2 ? mistyped(e, "it has more than %zu groups%s", s.n, "") : not_a_code(e);
        if (!group_is_good(&g, s.n)) {
            if (s.n_bad++ == 0) {
                s.bad = g;
                s.first_bad = s.n;
            }
            s.last_bad = s.n;
        }
        for (size_t bit = 0; bit < 25; bit++)
            if (g.value[bit / 5] & 16 >> bit % 5) data[(s.n * 25 + bit) / 8] |= (uint8_t)(128 >> (s.n * 25 + bit) % 8);
    }
    if (!(s.n_bad > 0 && s.first_bad == 0) && data[0] == VERSION && data[1] >= MIN_BYTES && data[1] <= MAX_BYTES)
        s.expected = ((size_t)data[1] * 8 + 24) / 25;
    if (s.n_bad == 0 && s.n > 0 && data[0] != VERSION)
        return err_set(e, ERR_INVALID, "the join code is of version %u, this build knows version %d", data[0], VERSION);
    *ret_n = s.n;
    return groups_check(&s, e);
}

/* ---- decoding: bytes ---- */

static err_code not_whole(struct err *e) {
    err_set(e, ERR_INVALID, "the join code is mistyped: its checksum is wrong");
    err_hint(e, "compare it with what `caravan invite` prints on a machine of the cluster");
    return ERR_INVALID;
}

static bool addr_get(struct bytes_reader *r, struct io_addr *ret) {
    uint8_t kind = bytes_read_u8(r);
    if (kind != 4 && kind != 6) return false;
    const uint8_t *addr = bytes_take(r, kind == 4 ? 4 : 16);
    ret->port = bytes_read_u16(r);
    return addr && !r->failed && ret->port != 0 && inet_ntop(kind == 4 ? AF_INET : AF_INET6, addr, ret->host, sizeof(ret->host));
}

err_code invite_decode(const char *text, struct invite *ret, struct err *e) {
    uint8_t data[DATA_SIZE];
    size_t n = 0;
    err_code code = text_get(text, data, &n, e);
    if (code != ERR_OK) return code;
    size_t len = data[1];
    for (size_t bit = len * 8; bit < n * 25; bit++)
        if (data[bit / 8] >> (7 - bit % 8) & 1) return not_whole(e);
    if (bytes_get_u32(data + len - 4) != invite_crc(data, len - 4)) return not_whole(e);
    struct bytes_reader r;
    struct invite in = {0};
    bytes_reader_init(&r, data, len - 4);
    bytes_take(&r, 2);
    memcpy(in.key, bytes_take(&r, IO_TLS_KEY_SIZE), IO_TLS_KEY_SIZE);
    in.n_addrs = bytes_read_u8(&r);
    bool good = in.n_addrs <= INVITE_MAX_ADDRS;
    for (size_t i = 0; good && i < in.n_addrs; i++) good = addr_get(&r, &in.addrs[i]);
    if (!good || r.at != r.len) return not_whole(e);
    *ret = in;
    return ERR_OK;
}
