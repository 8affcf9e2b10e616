/* SPDX-License-Identifier: MIT
 * See log_tail.h. */
#include "base/log_tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct log_tail {
    char *path;
    int fd;
    off_t at;        /* of the next byte to read */
    struct buf part; /* a line that has not come to its end */
};

/* Reads the open file from *at on, at most about `most` bytes. */
static void read_on(int fd, off_t *at, size_t most, struct buf *out) {
    char bytes[65536];
    ssize_t n;
    for (size_t got = 0; got < most && (n = pread(fd, bytes, sizeof(bytes), *at)) > 0; got += (size_t)n) {
        buf_append(out, bytes, (size_t)n);
        *at += n;
    }
}

/* Where the last n lines begin; negative: at the start. */
static size_t last_lines(const struct buf *b, int64_t n) {
    size_t at = b->len;
    if (n < 0) return 0;
    while (at > 0 && n > 0) {
        at--;
        while (at > 0 && b->data[at - 1] != '\n') at--;
        n--;
    }
    return at;
}

/* Where the first whole line begins in the last `most` bytes. */
static size_t last_bytes(const struct buf *b, size_t most) {
    if (b->len <= most) return 0;
    const uint8_t *end = memchr(b->data + b->len - most, '\n', most);
    return end ? (size_t)(end - b->data) + 1 : b->len;
}

/* Moves the whole lines from `from` to out, and drops what stands before them. */
static void take_lines(struct buf *from, struct buf *out) {
    size_t len = from->len;
    while (len > 0 && from->data[len - 1] != '\n') len--;
    if (len == 0) return;
    buf_append(out, from->data, len);
    buf_consume(from, len);
}

/* Appends the end of the file before this one, of which `most` bytes may be wanted. */
static void read_old(const char *path, size_t most, struct buf *out) {
    char *old = mem_printf("%s.1", path);
    struct stat st;
    int fd = open(old, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        off_t at = (uintmax_t)st.st_size > most ? st.st_size - (off_t)most : 0;
        read_on(fd, &at, most, out);
    }
    if (fd >= 0) close(fd);
    free(old);
}

err_code log_tail_open(const char *path, int64_t lines, size_t most, struct buf *out, struct log_tail **ret, struct err *e) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set_errno(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot read the log \"%s\"", path);
        if (fd >= 0) close(fd);
        return e ? e->code : ERR_IO;
    }
    struct log_tail *t = MEM_NEW(struct log_tail);
    *t = (struct log_tail){.path = mem_strdup(path), .fd = fd};
    buf_init(&t->part, SIZE_MAX);
    if ((uintmax_t)st.st_size < most) read_old(path, most - (size_t)st.st_size, &t->part);
    else t->at = st.st_size - (off_t)most;
    read_on(fd, &t->at, most + 65536, &t->part);
    buf_consume(&t->part, last_bytes(&t->part, most));
    struct buf all;
    buf_init(&all, SIZE_MAX);
    take_lines(&t->part, &all);
    size_t from = last_lines(&all, lines);
    if (all.len > from) buf_append(out, all.data + from, all.len - from);
    buf_done(&all);
    *ret = t;
    return ERR_OK;
}

/* Is the file at the path still the open one? A log that has become too long is renamed, and another file begun. */
static bool is_current(const struct log_tail *t) {
    struct stat mine, there;
    return fstat(t->fd, &mine) == 0 && stat(t->path, &there) == 0 && mine.st_ino == there.st_ino;
}

void log_tail_read(struct log_tail *t, size_t most, struct buf *out) {
    bool current = is_current(t); /* before reading: what is written into a file that was renamed comes before the rename is seen */
    size_t before = t->part.len;
    read_on(t->fd, &t->at, most, &t->part);
    int next = current || t->part.len - before >= most ? -1 : open(t->path, O_RDONLY | O_CLOEXEC);
    if (next >= 0) {
        close(t->fd);
        t->fd = next;
        t->at = 0;
    }
    take_lines(&t->part, out);
}

void log_tail_close(struct log_tail *t) {
    if (!t) return;
    close(t->fd);
    buf_done(&t->part);
    free(t->path);
    free(t);
}
