/* SPDX-License-Identifier: MIT
 * A slice as a FILE*, which libllama reads like the file of a whole model. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/pulse.h"
#include "model/slice_priv.h"
#include "os/os.h"
#include "os/pages.h"

enum {
    STREAM_BUFFER = 256 * 1024,
    READ_MOST = 16 * 1024 * 1024, /* in one read, so that each piece counts as a step on a slow disk too */
};

struct view {
    const struct model_slice *s;
    uint64_t pos;
    model_read_fn read;
    void *user;
    int *fds;                  /* of the parts, when the local files are read; else NULL */
    uint32_t n_fds;
    char buffer[STREAM_BUFFER]; /* of the stream */
};

static void view_free(struct view *v) {
    for (uint32_t i = 0; i < v->n_fds; i++)
        if (v->fds[i] >= 0) close(v->fds[i]);
    free(v->fds);
    free(v);
}

static bool read_local(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    const struct view *v = user;
    uint8_t *at = buf;
    while (len > 0) {
        ssize_t n = pread(v->fds[part], at, len < READ_MOST ? len : READ_MOST, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false; /* an error, or the file has become shorter */
        pulse_step_done();
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

/* The last segment that begins at or before pos. The header's segment begins at 0, so there is one. */
static const struct slice_segment *segment_at(const struct model_slice *s, uint64_t pos) {
    uint32_t low = 0, high = s->n_segments;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (s->segment[mid].at <= pos) low = mid;
        else high = mid;
    }
    return &s->segment[low];
}

static void fill_unread(char *buf, uint64_t into, size_t n) {
    for (size_t i = 0, len; i < n; i += len) {
        size_t from = (size_t)((into + i) % PAGES_UNREAD_LEN);
        len = PAGES_UNREAD_LEN - from < n - i ? PAGES_UNREAD_LEN - from : n - i;
        memcpy(buf + i, &PAGES_UNREAD[from], len);
    }
}

static ssize_t view_read(void *cookie, char *buf, size_t size) {
    struct view *v = cookie;
    const struct model_slice *s = v->s;
    uint64_t left = v->pos < s->info.file_size ? s->info.file_size - v->pos : 0;
    size_t want = size < left ? size : (size_t)left, done = 0;
    while (done < want) {
        const struct slice_segment *g = segment_at(s, v->pos);
        uint64_t into = v->pos - g->at, n = want - done;
        if (into < g->len) {
            if (n > g->len - into) n = g->len - into;
            if (g->memory) memcpy(buf + done, g->memory + into, (size_t)n);
            else if (g->unread) fill_unread(buf + done, into, (size_t)n);
            else if (!v->read(v->user, g->part, g->offset + into, buf + done, (size_t)n)) {
                errno = EIO;
                return -1;
            }
        } else {
            uint64_t next = g + 1 < s->segment + s->n_segments ? g[1].at : s->info.file_size;
            if (n > next - v->pos) n = next - v->pos;
            memset(buf + done, 0, (size_t)n);
        }
        done += (size_t)n;
        v->pos += n;
    }
    return (ssize_t)done;
}

static int64_t view_seek(void *cookie, int64_t offset, int whence) {
    struct view *v = cookie;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)v->pos : (int64_t)v->s->info.file_size;
    if (offset < -base || (offset > 0 && base > INT64_MAX - offset)) {
        errno = EINVAL;
        return -1;
    }
    v->pos = (uint64_t)(base + offset);
    return base + offset;
}

static int view_close(void *cookie) {
    view_free(cookie);
    return 0;
}

static const struct os_stream view_functions = {.read = view_read, .seek = view_seek, .close = view_close};

static err_code open_parts(struct view *v, struct err *e) {
    const struct model_gguf *g = v->s->g;
    v->n_fds = model_gguf_n_parts(g);
    v->fds = mem_calloc(v->n_fds, sizeof(*v->fds));
    for (uint32_t i = 0; i < v->n_fds; i++) v->fds[i] = -1;
    for (uint32_t i = 0; i < v->n_fds; i++) {
        err_code code = file_open(model_gguf_path(g, i), "model", &v->fds[i], e);
        if (code) return code;
    }
    v->read = read_local;
    v->user = v;
    return ERR_OK;
}

err_code model_slice_open(const struct model_slice *s, model_read_fn read, void *user, FILE **ret_f, struct err *e) {
    struct view *v = MEM_NEW(struct view);
    *v = (struct view){.s = s, .read = read, .user = user};
    err_code code = read ? ERR_OK : open_parts(v, e);
    FILE *f = code ? NULL : os_stream_open(v, &view_functions);
    if (!code && !f) code = err_set_errno(e, ERR_IO, errno, "cannot open a slice of \"%s\"", model_gguf_path(s->g, 0));
    if (code) {
        view_free(v);
        return code;
    }
    setvbuf(f, v->buffer, _IOFBF, sizeof(v->buffer)); /* glibc then never reads more at once */
    *ret_f = f;
    return ERR_OK;
}
