/* SPDX-License-Identifier: MIT
 * The file that is not whole yet: its lock, what is missing of it, room on the disk, its checksum. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_file.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/download_priv.h"
#include "io/sign.h"
#include "os/os.h"

enum { PART_MAX_STATE = 64 * 1024, PART_READ = 1 << 20, PART_TURN = 32 /* reads between two looks at the clock */ };

err_code download_part_open(struct part *p, const char *path, struct err *e) {
    p->path = mem_strdup(path);
    p->part = mem_printf("%s.part", path);
    p->state = mem_printf("%s.part.json", path);
    err_code code = file_make_folders(path, e);
    if (code != ERR_OK) return code;
    p->fd = open(p->part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (p->fd < 0) return err_set_errno(e, ERR_IO, errno, "cannot write \"%s\"", p->part);
    if (flock(p->fd, LOCK_EX | LOCK_NB) != 0) {
        err_set(e, ERR_BUSY, "another process is fetching \"%s\"", path);
        err_hint(e, "wait for it, or end it; what it has fetched is kept");
        return ERR_BUSY;
    }
    return ERR_OK;
}

/* Reads the state of an earlier attempt, if it belongs to the same file. */
static bool part_resume(struct part *p, const char *identity) {
    yyjson_doc *doc = NULL;
    const char *was = "", *missing = NULL;
    int64_t size = -1;
    struct stat st;
    bool same = json_file_load(p->state, "state", PART_MAX_STATE, &doc, NULL) == ERR_OK;
    if (same) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        same = json_need_str(root, "identity", &was, NULL) == ERR_OK && json_need_str(root, "missing", &missing, NULL) == ERR_OK &&
               json_need_i64(root, "size", 0, INT64_MAX, &size, NULL) == ERR_OK && strcmp(was, identity) == 0 &&
               (uint64_t)size == p->size && fstat(p->fd, &st) == 0 && st.st_size == size &&
               spans_read(&p->spans, missing, p->size, NULL) == ERR_OK;
    }
    yyjson_doc_free(doc);
    return same;
}

/* Bytes that the disk still has to take. */
static err_code part_room(const struct part *p, struct err *e) {
    struct statvfs fs;
    uint64_t missing = spans_missing(&p->spans);
    if (fstatvfs(p->fd, &fs) != 0) return ERR_OK;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= missing) return ERR_OK;
    char need[STR_SHORT], have[STR_SHORT];
    err_set(e, ERR_NO_ROOM, "no room for \"%s\": %s are still to come, %s are free", p->path, str_size(missing, need),
            str_size(room, have));
    err_hint(e, "make room there, or put models elsewhere: --models-dir DIR");
    return ERR_NO_ROOM;
}

err_code download_part_begin(struct part *p, uint64_t size, const char *identity, struct err *e) {
    p->size = size;
    p->identity = mem_strdup(identity);
    if (!part_resume(p, identity)) {
        spans_init(&p->spans, size);
        if (ftruncate(p->fd, 0) != 0 || ftruncate(p->fd, (off_t)size) != 0)
            return err_set_errno(e, ERR_IO, errno, "cannot write \"%s\"", p->part);
    }
    return part_room(p, e);
}

err_code download_part_save(struct part *p, struct err *e) {
    char missing[SPANS_TEXT_MAX];
    struct buf b;
    if (os_file_sync(p->fd) != 0)
        return err_set_errno(e, ERR_IO, errno, "cannot write \"%s\"",
                             p->part); /* the bytes must be durable before the state says that they are there */
    spans_write(&p->spans, missing);
    buf_init(&b, PART_MAX_STATE);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "identity", p->identity);
    yyjson_mut_obj_add_uint(doc, root, "size", p->size);
    yyjson_mut_obj_add_str(doc, root, "missing", missing);
    json_write(&b, doc);
    yyjson_mut_doc_free(doc);
    err_code code = b.failed ? err_set(e, ERR_LIMIT, "the state of \"%s\" is too long", p->part) : file_write(p->state, b.data, b.len, e);
    buf_done(&b);
    return code;
}

err_code download_part_write(struct part *p, uint64_t at, const char *data, size_t len, struct err *e) {
    while (len > 0) {
        ssize_t n = pwrite(p->fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return err_set_errno(e, ERR_IO, n == 0 ? EIO : errno, "cannot write \"%s\"", p->part);
        data += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

static err_code part_hash(struct part *p, const struct http_download *d, char ret[HTTP_SHA256_TEXT], struct err *e) {
    struct io_sha256 *sha = io_sha256_begin();
    char *data = mem_alloc(PART_READ);
    uint8_t sum[IO_SHA256_SIZE];
    err_code code = ERR_OK;
    uint64_t at = 0;
    for (unsigned turn = 0; code == ERR_OK && at < p->size; turn++) {
        ssize_t n = pread(p->fd, data, PART_READ, (off_t)at);
        if (n <= 0) code = err_set_errno(e, ERR_IO, n == 0 ? EIO : errno, "cannot read \"%s\"", p->part);
        else io_sha256_update(sha, data, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
        if (d->stop && *d->stop) code = err_set(e, ERR_CANCELLED, "interrupted");
        if (turn % PART_TURN == 0 && d->on_progress)
            d->on_progress(d->user, &(struct http_download_progress){.phase = HTTP_DOWNLOAD_CHECKING, .done = at, .size = p->size});
    }
    io_sha256_end(sha, code == ERR_OK ? sum : NULL);
    if (code == ERR_OK) str_hex(sum, sizeof(sum), ret);
    free(data);
    return code;
}

err_code download_part_finish(struct part *p, const struct http_download *d, const char *sha256, struct http_download_result *ret,
                              struct err *e) {
    err_code code = download_part_save(p, e);
    if (code == ERR_OK && sha256[0]) code = part_hash(p, d, ret->sha256, e);
    if (code != ERR_OK) return code;
    if (sha256[0] && strcasecmp(ret->sha256, sha256) != 0) {
        download_part_remove(p);
        err_set(e, ERR_FORMAT, "\"%s\" doesn't match its published SHA-256: %.16s... came, %.16s... was expected", p->path, ret->sha256,
                sha256);
        err_hint(e, "what came is removed; try again, and if it is the same then, ask whoever publishes it");
        return ERR_FORMAT;
    }
    if (link(p->part, p->path) != 0) return err_set_errno(e, ERR_IO, errno, "cannot make \"%s\"", p->path); /* never over another file */
    download_part_remove(p);
    return ERR_OK;
}

void download_part_remove(struct part *p) {
    unlink(p->part);
    unlink(p->state);
}

void download_part_close(struct part *p) {
    if (p->fd >= 0) close(p->fd);
    free(p->path);
    free(p->part);
    free(p->state);
    free(p->identity);
}
