/* SPDX-License-Identifier: MIT
 * GET /v1/files/{id}/content: an uploaded file from the disk, or the results of a batch from the store, in pieces, each when the client has
 * taken the one before. See uploads.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/uploads_priv.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "store/batches.h"

enum { PIECE = 256 * 1024 };

struct content {
    struct uploads *uploads;
    struct http_exchange *x;
    char *batch;             /* owned; "": it is an uploaded file */
    bool failed;
    int64_t after;           /* the last line that was sent */
    char *path;              /* owned */
    int fd;                  /* -1: none */
    struct store_ask *asking;
    struct piece *reading;
};

/* A piece of a file, which a thread reads. */
struct piece {
    struct content *content; /* NULL: it isn't wanted any more */
    char *path;              /* owned */
    int fd;                  /* -1: it is opened */
    char *data;
    ssize_t len;
    err_code code;
    struct err err;
};

static void content_free(struct content *c) {
    if (c->fd >= 0) close(c->fd);
    free(c->batch);
    free(c->path);
    free(c);
}

static void on_gone(void *user) {
    struct content *c = user;
    if (c->asking != NULL) store_cancel(c->asking);
    if (c->reading != NULL) c->reading->content = NULL;
    content_free(c);
}

static void start(struct content *c) {
    if (http_stream_started(c->x)) return;
    http_response_header(c->x, "Content-Disposition", "attachment");
    http_response_header(c->x, "X-Content-Type-Options", "nosniff"); /* a page of this origin must not come from a file */
    http_stream_start(c->x, 200, "application/octet-stream");
}

static void end(struct content *c) {
    start(c);
    http_stream_end(c->x);
    content_free(c);
}

/* After the first byte a client can only learn of a failure by a broken stream. */
static void fail(struct content *c, err_code code, const struct err *e) {
    log_warn("files", "%s", e->text);
    if (!http_stream_started(c->x)) gateway_respond_error(c->x, code, e);
    else http_stream_abort(c->x);
    content_free(c);
}

/* ---- results of a batch ---- */

static void ask_page(void *user);

static void on_page(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct content *c = user;
    c->asking = NULL;
    if (code != ERR_OK) {
        fail(c, code, e);
        return;
    }
    const char *rows = memchr(text, '\n', len);
    if (rows == NULL) {
        end(c);
        return;
    }
    c->after = strtoll(text, NULL, 10);
    start(c);
    http_stream_write(c->x, rows + 1, len - (size_t)(rows + 1 - text));
    http_stream_when_taken(c->x, ask_page, c);
}

static void ask_page(void *user) {
    struct content *c = user;
    c->asking = store_results_page(uploads_store(c->uploads), c->batch, c->failed, c->after, on_page, c);
}

/* ---- an uploaded file ---- */

static void piece_run(void *job) {
    struct piece *p = job;
    if (p->fd < 0) p->code = file_open(p->path, "file", &p->fd, &p->err);
    if (p->code != ERR_OK) return;
    p->data = mem_alloc(PIECE);
    do p->len = read(p->fd, p->data, PIECE);
    while (p->len < 0 && errno == EINTR);
    if (p->len < 0) p->code = err_set_errno(&p->err, ERR_IO, errno, "cannot read \"%s\"", p->path);
}

static void piece_free(void *job) {
    struct piece *p = job;
    if (p->fd >= 0) close(p->fd);
    free(p->path);
    free(p->data);
    free(p);
}

static void read_piece(void *user);

static void piece_done(void *job) {
    struct piece *p = job;
    struct content *c = p->content;
    if (c == NULL) return;
    c->reading = NULL;
    if (p->code != ERR_OK) {
        fail(c, p->code, &p->err);
    } else if (p->len == 0) {
        end(c);
    } else {
        c->fd = p->fd;
        p->fd = -1;
        start(c);
        http_stream_write(c->x, p->data, (size_t)p->len);
        http_stream_when_taken(c->x, read_piece, c);
    }
}

static void read_piece(void *user) {
    static const struct io_work work = {.run = piece_run, .done = piece_done, .free = piece_free};
    struct content *c = user;
    struct piece *p = MEM_NEW(struct piece);
    struct err e = {0};
    *p = (struct piece){.content = c, .path = mem_strdup(c->path), .fd = c->fd};
    c->fd = -1;
    err_code code = io_works_start(c->uploads->readers, &work, p, &e);
    if (code == ERR_OK) {
        c->reading = p;
        return;
    }
    piece_free(p);
    fail(c, code, &e);
}

void uploads_send(struct uploads *f, struct http_exchange *x, yyjson_val *kept) {
    struct content *c = MEM_NEW(struct content);
    *c = (struct content){.uploads = f,
                          .x = x,
                          .batch = mem_strdup(yyjson_get_str(yyjson_obj_get(kept, "batch"))),
                          .failed = yyjson_get_int(yyjson_obj_get(kept, "failed")) != 0,
                          .after = -1,
                          .path = uploads_path(f, yyjson_get_str(yyjson_obj_get(kept, "id"))),
                          .fd = -1};
    http_exchange_on_gone(x, on_gone, c);
    if (c->batch[0] != '\0') ask_page(c);
    else read_piece(c);
}
