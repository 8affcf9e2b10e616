/* SPDX-License-Identifier: MIT
 * See file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static const char *kind_of(mode_t mode) {
    return S_ISFIFO(mode) ? "a pipe" : S_ISDIR(mode) ? "a folder" : S_ISSOCK(mode) ? "a socket" : "a device";
}

err_code file_open(const char *path, const char *what, int *ret_fd, struct err *e) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer would block; plain files don't notice */
    if (fd < 0 && errno == EWOULDBLOCK) fd = open(path, O_RDONLY | O_CLOEXEC); /* a plain file with a lease on it, which ends (fcntl(2)) */
    int errnum = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
    if (errnum == ENXIO) errnum = stat(path, &st) == 0 ? 0 : errno; /* a socket, or a device that isn't there */
    if (errnum == 0 && S_ISREG(st.st_mode)) {
        *ret_fd = fd;
        return ERR_OK;
    }
    if (fd >= 0) close(fd);
    if (errnum == 0) return err_set(e, ERR_INVALID, "cannot read %s \"%s\": it is %s, not a file", what, path, kind_of(st.st_mode));
    return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO, errnum, "cannot read %s \"%s\"", what, path);
}

err_code file_make_folders(const char *path, struct err *e) {
    if (!path[0]) return ERR_OK;
    char *copy = mem_strdup(path);
    err_code code = ERR_OK;
    for (char *p = strchr(copy + 1, '/'); p && code == ERR_OK; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) code = err_set_errno(e, ERR_IO, errno, "cannot make folder \"%s\"", copy);
        *p = '/';
    }
    free(copy);
    return code;
}

static bool write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* Renames the finished file to its path: over an existing file, or (fresh) only where there is none. */
static bool put_in_place(const char *temp, const char *path, bool fresh) {
    return fresh ? link(temp, path) == 0 && unlink(temp) == 0 : rename(temp, path) == 0;
}

static err_code write_whole(const char *path, const void *data, size_t len, bool fresh, struct err *e) {
    char *temp = mem_printf("%s.%d", path, (int)getpid());
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, data, len) && fsync(fd) == 0;
    int errnum = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        ok = false;
        errnum = errno;
    }
    if (ok && !put_in_place(temp, path, fresh)) {
        ok = false;
        errnum = errno;
    }
    if (!ok && fd >= 0) unlink(temp);
    free(temp);
    return ok ? ERR_OK : err_set_errno(e, fresh && errnum == EEXIST ? ERR_BUSY : ERR_IO, errnum, "cannot write \"%s\"", path);
}

err_code file_write(const char *path, const void *data, size_t len, struct err *e) { return write_whole(path, data, len, false, e); }

err_code file_write_new(const char *path, const void *data, size_t len, struct err *e) { return write_whole(path, data, len, true, e); }

err_code file_read(const char *path, const char *what, struct buf *out, struct err *e) {
    FILE *f = fopen(path, "re");
    if (!f) {
        int errnum = errno;
        return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO, errnum, "cannot read %s \"%s\"", what, path);
    }
    char block[4096];
    for (size_t n; !out->failed && (n = fread(block, 1, sizeof(block), f)) > 0;) buf_append(out, block, n);
    err_code code = ERR_OK;
    if (ferror(f)) code = err_set_errno(e, ERR_IO, errno, "cannot read %s \"%s\"", what, path);
    else if (out->failed) code = err_set(e, ERR_LIMIT, "%s \"%s\" is larger than %zu bytes", what, path, out->max);
    fclose(f);
    return code;
}

char *file_read_text(const char *folder, const char *name, size_t max) {
    char *path = mem_printf("%s/%s", folder, name);
    struct buf b;
    buf_init(&b, max);
    char *text = mem_strdup(file_read(path, "file", &b, NULL) == ERR_OK ? buf_cstr(&b) : "");
    buf_done(&b);
    free(path);
    return text;
}

err_code file_read_secret(const char *path, const char *what, char *text, size_t size, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int errnum = errno;
        return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO, errnum, "cannot read %s \"%s\"", what, path);
    }
    struct stat st;
    ssize_t n = fstat(fd, &st) == 0 ? read(fd, text, size - 1) : -1;
    int errnum = errno;
    close(fd);
    if (n < 0) return err_set_errno(e, ERR_IO, errnum, "cannot read %s \"%s\"", what, path);
    if ((st.st_mode & 077) != 0) {
        err_set(e, ERR_AUTH, "%s \"%s\" can be read by others (mode %04o)", what, path, (unsigned)st.st_mode & 07777u);
        err_hint(e, "chmod 600 %s", path);
        return ERR_AUTH;
    }
    text[n] = '\0';
    return ERR_OK;
}
