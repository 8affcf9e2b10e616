/* SPDX-License-Identifier: MIT
 * See key.h. */
#include "members/key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#define MESSAGES_KEY
#include "base/field_tables.h"
#undef MESSAGES_KEY

void key_to_text(const uint8_t key[IO_TLS_KEY_SIZE], char ret[KEY_TEXT_SIZE]) { str_hex(key, IO_TLS_KEY_SIZE, ret); }

static int key_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

err_code key_from_text(const char *text, uint8_t ret_key[IO_TLS_KEY_SIZE], struct err *e) {
    uint8_t key[IO_TLS_KEY_SIZE];
    size_t n = strcspn(text, " \r\n");
    bool good = n == 2 * IO_TLS_KEY_SIZE && text[n + strspn(text + n, " \r\n")] == '\0';
    for (size_t i = 0; good && i < IO_TLS_KEY_SIZE; i++) {
        int hi = key_digit(text[2 * i]), lo = key_digit(text[2 * i + 1]);
        good = hi >= 0 && lo >= 0;
        if (good) key[i] = (uint8_t)(hi << 4 | lo);
    }
    if (!good) {
        err_set(e, ERR_INVALID, "not a cluster key: expected %d hexadecimal digits", 2 * IO_TLS_KEY_SIZE);
        err_hint(e, "copy the whole line that `caravan key` prints on a machine of the cluster");
        return ERR_INVALID;
    }
    memcpy(ret_key, key, sizeof(key));
    return ERR_OK;
}

static err_code key_write(const char *path, const struct key_ring *r, bool fresh, struct err *e) {
    char text[KEY_TEXT_SIZE], file[3 * KEY_TEXT_SIZE];
    key_to_text(r->key, text);
    int n = snprintf(file, sizeof(file), "%s\n", text);
    if (r->made) n += snprintf(file + n, sizeof(file) - (size_t)n, "%lld\n", (long long)r->made);
    if (r->made && r->old_until) {
        key_to_text(r->old, text);
        n += snprintf(file + n, sizeof(file) - (size_t)n, "%s\n%lld\n", text, (long long)r->old_until);
    }
    err_code code = file_make_folders(path, e);
    if (code == ERR_OK) code = (fresh ? file_write_new : file_write)(path, file, (size_t)n, e);
    if (code != ERR_OK) err_prefix(e, "cluster key");
    return code;
}

err_code key_ring_save(const char *path, const struct key_ring *r, struct err *e) { return key_write(path, r, false, e); }

static err_code key_parse(const char *text, struct key_ring *ret, struct err *e) {
    char line[4][KEY_TEXT_SIZE + 2] = {{0}};
    const char *part;
    size_t len, n = 0;
    bool good = true;
    for (const char *at = text; good && n < 4 && str_next(&at, '\n', &part, &len);) {
        str_trim(&part, &len);
        if (len == 0) continue;
        good = len < sizeof(line[0]);
        if (good) snprintf(line[n++], sizeof(line[0]), "%.*s", (int)len, part);
    }
    err_code code = key_from_text(good && n > 0 ? line[0] : "", ret->key, e);
    if (code != ERR_OK || n == 1) return code;
    if (!str_parse_i64(line[1], &ret->made) ||
        (n > 2 && (!str_parse_i64(line[3], &ret->old_until) || key_from_text(line[2], ret->old, NULL) != ERR_OK)))
        return err_set(e, ERR_FORMAT, "the lines after the key are damaged");
    return ERR_OK;
}

/* ERR_NOT_FOUND when there is no file. */
static err_code key_read(const char *path, struct key_ring *ret, struct err *e) {
    char text[4 * KEY_TEXT_SIZE];
    err_code code = file_read_secret(path, "cluster key", text, sizeof(text), e);
    if (code != ERR_OK) return code;
    code = key_parse(text, ret, e);
    if (code != ERR_OK) err_prefix(e, "cluster key \"%s\"", path);
    return code;
}

err_code key_ring_open(const char *path, struct key_ring *ret, bool *ret_made, struct err *e) {
    struct key_ring r = {0};
    *ret_made = false;
    err_code code = key_read(path, &r, e);
    if (code == ERR_NOT_FOUND) {
        io_tls_random(r.key, sizeof(r.key));
        code = key_write(path, &r, true, e);
        *ret_made = code == ERR_OK;
        if (code == ERR_BUSY) code = key_read(path, &r, e); /* another node of this machine was faster: its key is the cluster's */
    }
    if (code == ERR_OK) *ret = r;
    return code;
}

err_code key_open(const char *path, uint8_t ret_key[IO_TLS_KEY_SIZE], bool *ret_made, struct err *e) {
    struct key_ring r;
    err_code code = key_ring_open(path, &r, ret_made, e);
    if (code == ERR_OK) memcpy(ret_key, r.key, sizeof(r.key));
    return code;
}

err_code key_save(const char *path, const char *text, bool replace, struct err *e) {
    struct key_ring key = {0}, old = {0};
    err_code code = key_from_text(text, key.key, e);
    if (code != ERR_OK) return code;
    code = key_read(path, &old, e);
    if (code == ERR_OK && memcmp(key.key, old.key, sizeof(key.key)) == 0) return ERR_OK;
    if (code != ERR_NOT_FOUND && !replace) {
        err_set(e, ERR_INVALID, "\"%s\" already holds another key: this machine is a member of another cluster", path);
        err_hint(e, "`caravan leave` makes this machine forget its present cluster");
        return ERR_INVALID;
    }
    return key_ring_save(path, &key, e);
}

/* ---- rotation ---- */

void key_word_encode(const struct key_word *w, struct buf *out) { field_encode(key_word_fields(), w, out); }

err_code key_word_decode(const uint8_t *data, size_t len, struct key_word *ret, struct err *e) {
    return field_decode(key_word_fields(), data, len, ret, e);
}

static void key_ring_replace(struct key_ring *r, const uint8_t key[IO_TLS_KEY_SIZE], int64_t made, int64_t now, int64_t grace_s) {
    memcpy(r->old, r->key, sizeof(r->old));
    memcpy(r->key, key, sizeof(r->key));
    r->made = made;
    r->old_until = grace_s > 0 ? now + grace_s : 0;
}

void key_ring_rotate(struct key_ring *r, int64_t now, int64_t grace_s) {
    uint8_t key[IO_TLS_KEY_SIZE];
    io_tls_random(key, sizeof(key));
    key_ring_replace(r, key, now > r->made ? now : r->made + 1, now, grace_s);
}

int key_ring_hear(struct key_ring *r, const uint8_t key[IO_TLS_KEY_SIZE], int64_t made, int64_t now, int64_t grace_s) {
    int order = memcmp(key, r->key, IO_TLS_KEY_SIZE);
    if (order == 0) return 0;
    if (made < r->made || (made == r->made && order < 0)) return -1;
    key_ring_replace(r, key, made, now, grace_s);
    return 1;
}

void key_cluster_hash(const uint8_t key[IO_TLS_KEY_SIZE], char ret[17]) {
    uint8_t hash[IO_TLS_KEY_SIZE];
    io_tls_derive(key, "caravan 1 discovery", hash);
    str_hex(hash, 8, ret);
}

void key_link(const uint8_t key[IO_TLS_KEY_SIZE], uint8_t ret_link_key[IO_TLS_KEY_SIZE]) {
    io_tls_derive(key, "caravan 1 link", ret_link_key);
}
