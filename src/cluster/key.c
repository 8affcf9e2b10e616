/* SPDX-License-Identifier: MIT
 * See key.h. */
#include "cluster/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

void key_to_text(const uint8_t key[IO_TLS_KEY_SIZE], char ret[KEY_TEXT_SIZE]) {
    for (int i = 0; i < IO_TLS_KEY_SIZE; i++) snprintf(ret + 2 * i, 3, "%02x", key[i]);
}

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

static err_code key_write(const char *path, const char *text, struct err *e) {
    char line[KEY_TEXT_SIZE + 1];
    snprintf(line, sizeof(line), "%s\n", text);
    err_code code = file_make_folders(path, e);
    if (code == ERR_OK) code = file_write(path, line, strlen(line), e);
    if (code != ERR_OK) err_prefix(e, "cluster key");
    return code;
}

/* ERR_NOT_FOUND when there is no file. */
static err_code key_read(const char *path, uint8_t ret_key[IO_TLS_KEY_SIZE], struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;
        return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO, errnum, "cannot read cluster key \"%s\"", path);
    }
    struct stat st;
    char text[KEY_TEXT_SIZE + 8];
    ssize_t n = fstat(fd, &st) == 0 ? read(fd, text, sizeof(text) - 1) : -1;
    int errnum = errno;
    close(fd);
    if (n < 0) return err_set_errno(e, ERR_IO, errnum, "cannot read cluster key \"%s\"", path);
    if ((st.st_mode & 077) != 0) {
        err_set(e, ERR_AUTH, "cluster key \"%s\" can be read by others (mode %04o)", path, (unsigned)st.st_mode & 07777u);
        err_hint(e, "chmod 600 %s", path);
        return ERR_AUTH;
    }
    text[n] = '\0';
    err_code code = key_from_text(text, ret_key, e);
    if (code != ERR_OK) err_prefix(e, "cluster key \"%s\"", path);
    return code;
}

err_code key_open(const char *path, uint8_t ret_key[IO_TLS_KEY_SIZE], bool *ret_made, struct err *e) {
    *ret_made = false;
    err_code code = key_read(path, ret_key, e);
    if (code != ERR_NOT_FOUND) return code;
    uint8_t key[IO_TLS_KEY_SIZE];
    char text[KEY_TEXT_SIZE];
    io_tls_random(key, sizeof(key));
    key_to_text(key, text);
    code = key_write(path, text, e);
    if (code != ERR_OK) return code;
    memcpy(ret_key, key, sizeof(key));
    *ret_made = true;
    return ERR_OK;
}

err_code key_save(const char *path, const char *text, bool replace, struct err *e) {
    uint8_t key[IO_TLS_KEY_SIZE], old[IO_TLS_KEY_SIZE];
    err_code code = key_from_text(text, key, e);
    if (code != ERR_OK) return code;
    code = key_read(path, old, e);
    if (code == ERR_OK && memcmp(key, old, sizeof(key)) == 0) return ERR_OK;
    if (code != ERR_NOT_FOUND && !replace) {
        err_set(e, ERR_INVALID, "\"%s\" already holds another key", path);
        err_hint(e, "remove that file first if this machine is to leave its present cluster");
        return ERR_INVALID;
    }
    char canonical[KEY_TEXT_SIZE];
    key_to_text(key, canonical);
    return key_write(path, canonical, e);
}

void key_link(const uint8_t key[IO_TLS_KEY_SIZE], uint8_t ret_link_key[IO_TLS_KEY_SIZE]) {
    io_tls_derive(key, "caravan 1 link", ret_link_key);
}
